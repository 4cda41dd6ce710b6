//go:build !linux

package main

import (
	"errors"
	"os"
	"runtime/debug"
	"time"
)

// dieWithParent can only look once: elsewhere than on Linux the end of standard input is what ends this process.
func dieWithParent(parent int) error {
	if parent != 0 && os.Getppid() != parent {
		return errors.New("the operator that started this process is gone")
	}
	return nil
}

// limitMemory makes Go's collector work the harder the nearer the limit is; elsewhere than on Linux nothing ends a process that passes it.
func limitMemory(bytes uint64) error {
	if bytes != 0 {
		debug.SetMemoryLimit(int64(bytes / 4 * 3))
	}
	return nil
}

func now() time.Duration { return time.Since(processStart) }

var processStart = time.Now()
