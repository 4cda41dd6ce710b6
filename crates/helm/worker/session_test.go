package main

import (
	"bufio"
	"encoding/json"
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
	finish chan *resultMessage
	permit chan *permit
}

func newTalk(t *testing.T) *talk {
	in, stdin := io.Pipe()
	stdout, out := io.Pipe()
	k := &talk{t: t, stdin: stdin, lines: bufio.NewScanner(stdout), code: make(chan int, 1),
		finish: make(chan *resultMessage), permit: make(chan *permit, 1)}
	run := func(r *request, p *permit, progress func(string, *int)) (*resultMessage, *workerError) {
		progress("loaded", nil)
		k.permit <- p
		result := <-k.finish
		return result, result.Error
	}
	s := newSession(in, out, discard, run)
	go func() {
		code := s.serve()
		out.Close()
		k.code <- code
	}()
	t.Cleanup(func() { stdin.Close(); stdout.Close() })
	k.wants(`"type":"ready"`, `"pid":`)
	return k
}

func (k *talk) say(format string, args ...any) {
	fmt.Fprintf(k.stdin, format+"\n", args...)
}

func (k *talk) begin(validForMillis int) *permit {
	k.say(`{"type":"operation","id":"1","action":"install","release":"a","namespace":"odoo","expectedRevision":1,"timeoutSeconds":60,"validForMillis":%d}`, validForMillis)
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
		k.finish <- &resultMessage{Revision: 1, Status: "deployed"}
		k.wants(`"type":"result","id":"1","ok":true,"revision":1,"status":"deployed"`)
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
	k.finish <- &resultMessage{Error: fail(classRender, "no")}
	k.wants(`"ok":false`, `"error":{"class":"render","message":"no"}`)
	k.begin(60_000)
}

func TestSessionRenewsThePermit(t *testing.T) {
	k := newTalk(t)
	p := k.begin(60_000)
	first := p.until
	k.say(`{"type":"permit","validForMillis":600000}`)
	k.say(`{"type":"cancel","id":"not this one"}`)
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
	k.wants(`"ok":false`, `"class":"permitExpired"`)
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
	k.finish <- &resultMessage{Error: fail(classUnknown, "something odd")}
	k.wants(`"class":"permitExpired"`)
	k.exits(1)
}

func TestSessionIsCancelled(t *testing.T) {
	k := newTalk(t)
	p := k.begin(60_000)
	k.say(`{"type":"cancel","id":"1"}`)
	k.wants(`"id":"1"`, `"class":"cancelled"`)
	k.exits(1)
	if reason := p.check(); reason == nil || reason.Class != classCancelled {
		t.Errorf("%v", reason)
	}
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
		`{"type":"operation","id":"1","allowDataLos":true}`:      `unknown field \"allowDataLos\"`,
		`{"type":"operation","id":"1","values":"hunter2"}`:       `field \"values\" has the wrong type`,
		`{"type":"operation","id":"1","expectedRevision":"one"}`: `field \"expectedRevision\" has the wrong type`,
	} {
		k.say("%s", line)
		k.wants(`"id":"1","ok":false`, classInvalidRequest, want)
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
		r := &request{ID: "1", Action: actionUpgrade, Release: "acme-prod", Namespace: "odoo", ExpectedRevision: 2, TimeoutSeconds: 1}
		r.Chart.Path, r.Chart.SHA256 = "p", "s"
		return r
	}
	if err := good().validate("odoo"); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*request){
		"action":     func(r *request) { r.Action = "rollback" },
		"id":         func(r *request) { r.ID = "" },
		"no name":    func(r *request) { r.Release = "" },
		"bad name":   func(r *request) { r.Release = "a/../b" },
		"long name":  func(r *request) { r.Release = strings.Repeat("a", 54) },
		"namespace":  func(r *request) { r.Namespace = "kube-system" },
		"revision":   func(r *request) { r.ExpectedRevision = 0 },
		"first":      func(r *request) { r.ExpectedRevision = 1 },
		"install":    func(r *request) { r.Action = actionInstall },
		"timeout":    func(r *request) { r.TimeoutSeconds = 0 },
		"history":    func(r *request) { r.MaxHistory = 1 },
		"chart":      func(r *request) { r.Chart.Path = "" },
		"no digest":  func(r *request) { r.Chart.SHA256 = "" },
		"labels":     func(r *request) { r.Labels = map[string]string{"owner": "me"} },
		"no history": func(r *request) { r.MaxHistory = -1 },
	} {
		r := good()
		change(r)
		if r.validate("odoo") == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// What the operator sends is what the worker reads.
func TestRequestOverTheWire(t *testing.T) {
	line := `{"type":"operation","id":"1","action":"upgrade","validForMillis":8000,"sentAtMillis":5,"release":"a","namespace":"odoo","expectedRevision":3,
		"revisions":[1,2],"resourceVersion":"7","chart":{"path":"/c","sha256":"ab"},"values":{"big":1e6,"n":null},"labels":{"a":"b"},"replicas":{"Deployment/web":0},
		"otherReplicas":null,"suspendCronJobs":true,"keepServiceLinks":true,"keepServiceAccountToken":true,"verbatim":true,"allowedKinds":["v1/Pod"],
		"check":{"digest":"d","owner":{"apiVersion":"v1","kind":"Pod","name":"p","uid":"u"}},
		"allowedSecrets":["s"],"allowDataLoss":true,"maxHistory":2,"timeoutSeconds":5}`
	r, err := parseRequest([]byte(line))
	must(t, err)
	if r.ValidForMillis != 8000 || *r.SentAtMillis != 5 || r.Chart.SHA256 != "ab" || r.Replicas["Deployment/web"] != 0 || r.OtherReplicas != nil ||
		r.Check.Digest != "d" || r.Check.Owner.APIVersion != "v1" || !r.AllowDataLoss || r.Values["big"] != 1e6 || len(r.Revisions) != 2 || !r.KeepServiceAccountToken {
		t.Errorf("%+v", r)
	}
	var again, first map[string]any
	back, err := json.Marshal(r)
	must(t, err)
	must(t, json.Unmarshal(back, &again))
	must(t, json.Unmarshal([]byte(line), &first))
	if fmt.Sprint(again) != fmt.Sprint(first) {
		t.Errorf("%v\n%v", again, first)
	}
}
