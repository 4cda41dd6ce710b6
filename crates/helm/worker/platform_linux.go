package main

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"
)

// dieWithParent asks the kernel to kill this process when its parent ends. The kernel means the thread that started the
// process, so the operator has to start workers from a thread that lives as long as itself.
func dieWithParent(parent int) error {
	before := os.Getppid()
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("cannot tie this process to its parent: %w", err)
	}
	if now := os.Getppid(); now != before || (parent != 0 && now != parent) {
		return errors.New("the operator that started this process is gone")
	}
	return nil
}

// limitMemory ends this process when it takes more than so many bytes of data, before the kernel chooses whom to end: the operator and
// its other workers live in the same pod. Go's collector works the harder the nearer the limit is. 0 is no limit.
func limitMemory(bytes uint64) error {
	if bytes == 0 {
		return nil
	}
	debug.SetMemoryLimit(int64(bytes / 4 * 3))
	if err := unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: bytes, Max: bytes}); err != nil {
		return fmt.Errorf("cannot limit the memory to %d bytes: %w", bytes, err)
	}
	return nil
}

// now is a clock that no one can set and that goes on while the machine is suspended. It is the same in all processes of
// the machine, so that a permit can say when it was given.
func now() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return time.Since(processStart)
	}
	return time.Duration(t.Nano())
}

var processStart = time.Now()
