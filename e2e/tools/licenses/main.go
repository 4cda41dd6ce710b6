// Reads names of folders, one a line, and tells of each file in them that is named like a licence which licences stand in it:
// one JSON object a line. Go has no field for a module's licence; this asks what pkg.go.dev asks.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/google/licensecheck"
)

var name = regexp.MustCompile(`(?i)^(un)?(licen[sc]e|copying)s?([-._].*)?$`)

type file struct {
	Folder string `json:"folder"`
	Name   string `json:"name"`
	// SPDX identifiers, and how much of the file is made of these licences, in hundredths.
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
	folders := bufio.NewScanner(os.Stdin)
	for folders.Scan() {
		entries, err := os.ReadDir(folders.Text())
		if err != nil {
			return err
		}
		for _, entry := range entries {
			// A package may be about licences; what Go compiles is none.
			if entry.IsDir() || !name.MatchString(entry.Name()) || filepath.Ext(entry.Name()) == ".go" {
				continue
			}
			text, err := os.ReadFile(filepath.Join(folders.Text(), entry.Name()))
			if err != nil {
				return err
			}
			coverage := licensecheck.Scan(text)
			told := file{folders.Text(), entry.Name(), []string{}, coverage.Percent}
			for _, match := range coverage.Match {
				told.Licenses = append(told.Licenses, match.ID)
			}
			slices.Sort(told.Licenses)
			told.Licenses = slices.Compact(told.Licenses)
			if err := out.Encode(told); err != nil {
				return err
			}
		}
	}
	return folders.Err()
}
