// Reads names of files, one a line, and tells of each which licences stand in it, one JSON object a line. Go has no field for a
// module's licence; this asks what pkg.go.dev asks.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"

	"github.com/google/licensecheck"
)

type found struct {
	File string `json:"file"`
	// SPDX identifiers, and how much of the file these licences are, in hundredths.
	Licenses []string `json:"licenses"`
	Percent  float64  `json:"percent"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	out := json.NewEncoder(os.Stdout)
	files := bufio.NewScanner(os.Stdin)
	for files.Scan() {
		text, err := os.ReadFile(files.Text())
		if err != nil {
			return err
		}
		coverage := licensecheck.Scan(text)
		told := found{File: files.Text(), Licenses: []string{}, Percent: coverage.Percent}
		for _, match := range coverage.Match {
			told.Licenses = append(told.Licenses, match.ID)
		}
		slices.Sort(told.Licenses)
		told.Licenses = slices.Compact(told.Licenses)
		if err := out.Encode(told); err != nil {
			return err
		}
	}
	return files.Err()
}
