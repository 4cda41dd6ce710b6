package main

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"testing"
)

// talk is a session in this process with an operation that the test controls.
type talk struct {
	t      *testing.T
	stdin  *io.PipeWriter
	lines  *bufio.Scanner
	code   chan int
	finish chan answer
	permit chan *permit
}

func newTalk(t *testing.T) *talk {
	in, stdin := io.Pipe()
	stdout, out := io.Pipe()
	k := &talk{t: t, stdin: stdin, lines: bufio.NewScanner(stdout), code: make(chan int, 1),
		finish: make(chan answer), permit: make(chan *permit, 1)}
	run := func(r *request, p *permit, progress func(string, *hooks)) (*success, *workerError) {
		progress("loaded", nil)
		k.permit <- p
		a := <-k.finish
		return a.success, a.failure
	}
	s := newSession(in, out, discard, run)
	go func() {
		code := s.serve()
		out.Close()
		k.code <- code
	}()
	t.Cleanup(func() { stdin.Close(); stdout.Close() })
	k.wants(`"type":"ready"`)
	return k
}

func (k *talk) say(format string, args ...any) {
	fmt.Fprintf(k.stdin, format+"\n", args...)
}

func (k *talk) begin(validForMillis int) *permit {
	k.say(`{"type":"operation","id":"1","action":"install","release":"a","namespace":"odoo","expectedRevision":1,"timeoutSeconds":60,"sentAtMillis":%d,"validForMillis":%d}`, now().Milliseconds(), validForMillis)
	k.wants(`"type":"progress","id":"1","stage":"loaded"`)
	return <-k.permit
}

func (k *talk) wants(parts ...string) {
	k.t.Helper()
	if !k.lines.Scan() {
		k.t.Fatalf("no message, want %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(k.lines.Text(), part) {
			k.t.Fatalf("message %s lacks %s", k.lines.Text(), part)
		}
	}
}

func (k *talk) exits(code int) {
	k.t.Helper()
	if got := <-k.code; got != code {
		k.t.Errorf("exit code %d, want %d", got, code)
	}
}

func TestSessionDoesOneAfterTheOther(t *testing.T) {
	k := newTalk(t)
	for range 2 {
		p := k.begin(60_000)
		k.finish <- answer{success: &success{Hooks: hooks{Total: 2, Upgrade: 1}}}
		k.wants(`"type":"success","id":"1","success":{"hooks":{"total":2,"upgrade":1},"checks":0}`)
		if p.check() == nil {
			t.Error("the permit outlives its operation")
		}
	}
	k.stdin.Close()
	k.exits(0)
}

func TestSessionGoesOnAfterAnError(t *testing.T) {
	k := newTalk(t)
	k.begin(60_000)
	k.finish <- answer{failure: fail(classRender, "no")}
	k.wants(`"type":"failure"`, `"error":{"class":"render","message":"no"}`)
	k.begin(60_000)
}

func TestSessionRenewsThePermit(t *testing.T) {
	k := newTalk(t)
	p := k.begin(60_000)
	first := p.until
	k.say(`{"type":"permit","sentAtMillis":%d,"validForMillis":600000}`, now().Milliseconds())
	k.say(`{"type":"operation","id":"2"}`) // its answer shows that what came before was read
	k.wants(`"id":"2"`, classInvalidRequest)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.until <= first || p.reason != nil {
		t.Errorf("until %s, then %s: %v", first, p.until, p.reason)
	}
}

func TestSessionEndsWithThePermit(t *testing.T) {
	k := newTalk(t)
	p := k.begin(50)
	k.wants(`"type":"failure"`, `"class":"permitExpired"`)
	k.exits(1)
	if p.check() == nil {
		t.Error("the permit lasts")
	}
}

// Whatever Helm makes of a refused write, the class says why it was refused.
func TestSessionNamesTheReasonOfARefusedWrite(t *testing.T) {
	k := newTalk(t)
	p := k.begin(60_000)
	p.mu.Lock()
	p.reason = fail(classPermitExpired, "over") // as seen by a write before the timer has told
	p.mu.Unlock()
	k.finish <- answer{failure: fail(classUnknown, "something odd")}
	k.wants(`"class":"permitExpired"`)
	k.exits(1)
}

func TestSessionEndsWithItsInput(t *testing.T) {
	k := newTalk(t)
	p := k.begin(60_000)
	k.stdin.Close()
	k.exits(1)
	if p.check() == nil {
		t.Error("the permit lasts")
	}
}

func TestSessionRefusesWhatItDoesNotUnderstand(t *testing.T) {
	for _, line := range []string{`not JSON`, `{"type":"other"}`, `[]`} {
		k := newTalk(t)
		k.say("%s", line)
		k.exits(1)
	}
	k := newTalk(t)
	for line, want := range map[string]string{
		`{"type":"operation","id":"1","allowDataLos":true}`:           `unknown field \"allowDataLos\"`,
		`{"type":"operation","id":"1","inputs":{"values":"hunter2"}}`: `field \"inputs.values\" has the wrong type`,
		`{"type":"operation","id":"1","expectedRevision":"one"}`:      `field \"expectedRevision\" has the wrong type`,
	} {
		k.say("%s", line)
		k.wants(`"type":"failure","id":"1"`, classInvalidRequest, want)
		if strings.Contains(k.lines.Text(), "hunter2") {
			t.Errorf("a value leaks: %s", k.lines.Text())
		}
	}
	k.say("")
	k.stdin.Close()
	k.exits(0)
}

func TestRequestsThatAreRefused(t *testing.T) {
	good := func() *request {
		r := &request{ID: "1", Action: actionUpgrade, Release: "acme-prod", Namespace: "odoo", ExpectedRevision: 2, TimeoutSeconds: 1, Inputs: &Inputs{}}
		r.Chart.Path, r.Chart.SHA256 = "p", "s"
		return r
	}
	if err := good().validate("odoo"); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*request){
		"action":           func(r *request) { r.Action = "rollback" },
		"id":               func(r *request) { r.ID = "" },
		"no name":          func(r *request) { r.Release = "" },
		"bad name":         func(r *request) { r.Release = "a/../b" },
		"long name":        func(r *request) { r.Release = strings.Repeat("a", 54) },
		"namespace":        func(r *request) { r.Namespace = "kube-system" },
		"revision":         func(r *request) { r.ExpectedRevision = 0 },
		"first":            func(r *request) { r.ExpectedRevision = 1 },
		"timeout":          func(r *request) { r.TimeoutSeconds = 0 },
		"inputs":           func(r *request) { r.Inputs = nil },
		"chart":            func(r *request) { r.Chart.Path = "" },
		"no digest":        func(r *request) { r.Chart.SHA256 = "" },
		"labels":           func(r *request) { r.Labels = map[string]string{"owner": "me"} },
		"volumes":          func(r *request) { r.Volumes = map[string]string{"files": "large"} },
		"check":            func(r *request) { r.Action = actionCheck },
		"unlock":           func(r *request) { r.Action = actionUnlock },
		"uninstall":        func(r *request) { r.Action = actionUninstall },
		"pod of no check":  func(r *request) { r.Check = &checkRequest{} },
		"objects":          func(r *request) { r.Objects = []string{"ConfigMap/a"} },
		"check of nothing": func(r *request) { r.Action, r.Check = actionCheck, &checkRequest{} },
	} {
		r := good()
		change(r)
		if r.validate("odoo") == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
