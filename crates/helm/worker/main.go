// Command odoofleet-helm-worker runs Helm operations for the OdooFleet operator, one at a time, asked for by JSON lines
// on standard input and answered on standard output. It is a child process of the operator and lives no longer than it.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
)

// garbagePercent lets the heap grow to four times what lives of it before it is collected. That is little, an operation makes fifty
// mebibytes of garbage, and collecting took an eighth of its time.
const garbagePercent = 300

// version is set by the linker.
var version = "dev"

func init() {
	// The signal that a parent's death sends is a property of a thread: it is asked for on the main one, which never ends.
	runtime.LockOSThread()
}

func main() {
	namespace := flag.String("namespace", "", "the namespace of every release (required)")
	kubeconfig := flag.String("kubeconfig", "", "path of a kubeconfig; else KUBECONFIG, else the pod's ServiceAccount")
	parent := flag.Int("parent", 0, "process id of the operator; another parent than this one means that it is gone")
	memory := flag.Uint64("memory-limit", 0, "MiB of data that this process may take; it ends at the limit. 0: no limit")
	flag.Parse()
	os.Exit(start(*namespace, *kubeconfig, *parent, *memory))
}

func start(namespace, kubeconfig string, parent int, memory uint64) int {
	if namespace == "" {
		fmt.Fprintln(os.Stderr, "odoofleet-helm-worker: --namespace is required")
		return 2
	}
	if err := dieWithParent(parent); err != nil {
		fmt.Fprintln(os.Stderr, "odoofleet-helm-worker:", err)
		return 1
	}
	debug.SetGCPercent(garbagePercent)
	if err := limitMemory(memory << 20); err != nil {
		fmt.Fprintln(os.Stderr, "odoofleet-helm-worker:", err)
		return 1
	}
	// Standard output carries the protocol alone: whatever a library prints goes nowhere.
	protocol := os.Stdout
	if null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0); err == nil {
		os.Stdout = null
	}
	logger := silenceLibraries(os.Stderr)
	c, err := connect(namespace, kubeconfig)
	if err != nil {
		logger.Error("no connection to a cluster is configured", "error", err.Error())
		return 1
	}
	return newSession(os.Stdin, protocol, logger, c.run).serve()
}
