package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const nowhere = `apiVersion: v1
kind: Config
clusters: [{name: a, cluster: {server: "http://127.0.0.1:1"}}]
contexts: [{name: a, context: {cluster: a}}]
current-context: a
`

// The worker ends with its parent although its standard input stays open.
func TestWorkerDiesWithItsParent(t *testing.T) {
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	must(t, os.WriteFile(kubeconfig, []byte(nowhere), 0o600))
	stdin, held, err := os.Pipe()
	must(t, err)
	defer held.Close()
	// "<&3" because a shell gives what it starts in the background an empty input.
	parent := exec.Command("/bin/sh", "-c", `"$0" <&3 & echo $!; wait`, os.Args[0])
	parent.Env = append(os.Environ(), envChild+"=odoo", envKubeconfig+"="+kubeconfig)
	parent.ExtraFiles = []*os.File{stdin}
	stdout, err := parent.StdoutPipe()
	must(t, err)
	must(t, parent.Start())
	lines := bufio.NewScanner(stdout)
	pid, ready := "", false
	for lines.Scan() {
		if strings.Contains(lines.Text(), `"ready"`) {
			ready = true
		} else {
			pid = strings.TrimSpace(lines.Text())
		}
		if ready && pid != "" {
			break
		}
	}
	if pid == "" || !ready {
		t.Fatalf("pid %q, ready %t", pid, ready)
	}
	must(t, parent.Process.Kill())
	_ = parent.Wait()
	for range 100 {
		state, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil || strings.Contains(string(state), ") Z ") {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("process %s lives on", pid)
}

func TestAnotherParentThanTheOperator(t *testing.T) {
	if err := dieWithParent(os.Getpid()); err == nil {
		t.Error("a parent that is not the operator is accepted")
	}
	must(t, dieWithParent(os.Getppid()))
}
