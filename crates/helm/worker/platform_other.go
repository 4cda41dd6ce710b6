//go:build !linux

package main

import (
	"errors"
	"os"
	"time"
)

// dieWithParent can only look once: elsewhere than on Linux the end of standard input is what ends this process.
func dieWithParent(parent int) error {
	if parent != 0 && os.Getppid() != parent {
		return errors.New("the operator that started this process is gone")
	}
	return nil
}

func now() time.Duration { return time.Since(processStart) }

var processStart = time.Now()
