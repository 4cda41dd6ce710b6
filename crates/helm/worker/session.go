package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"time"
)

// runner does one operation and answers when it has ended.
type runner func(r *request, p *permit, progress func(stage string, counted *hooks)) (*success, *workerError)

// session reads messages and does one operation at a time.
type session struct {
	in     io.Reader
	out    *emitter
	logger *slog.Logger
	run    runner

	current *running
}

// running is the operation that is being done.
type running struct {
	request  *request
	permit   *permit
	started  time.Time
	deadline *time.Timer
	done     chan answer
}

// answer is how an operation ended: either of the two.
type answer struct {
	success *success
	failure *workerError
}

func newSession(in io.Reader, out io.Writer, logger *slog.Logger, run runner) *session {
	return &session{in: in, out: &emitter{to: out}, logger: logger, run: run}
}

// serve returns the exit code: 0 if nothing was left undone.
func (s *session) serve() int {
	ready := readyMessage{Type: "ready", HelmVersion: helmVersion(), WorkerVersion: version}
	if s.out.emit(ready) != nil {
		return 1
	}
	lines := make(chan []byte)
	go readLines(s.in, lines)
	for {
		var done chan answer
		var ended chan struct{}
		var deadline <-chan time.Time
		if c := s.current; c != nil {
			done, ended, deadline = c.done, c.permit.ended, c.deadline.C
		}
		select {
		case line, open := <-lines:
			if !open {
				return s.close()
			}
			if end, code := s.receive(line); end {
				return code
			}
		case a := <-done:
			if end, code := s.finish(a); end {
				return code
			}
		case <-deadline:
			return s.abandon(fail(classDeadline, "the operation took longer than %s", s.current.request.timeout()))
		case <-ended:
			return s.abandon(s.current.permit.check())
		}
	}
}

// receive acts on one line; it says whether the process ends.
func (s *session) receive(line []byte) (bool, int) {
	var e envelope
	if err := json.Unmarshal(line, &e); err != nil {
		s.logger.Error("a message is not valid JSON")
		return true, 1
	}
	switch e.Type {
	case "operation":
		return s.begin(e.ID, line)
	case "permit":
		var m permitMessage
		if json.Unmarshal(line, &m) == nil && s.current != nil {
			s.current.permit.renew(m.validity)
		}
	default:
		s.logger.Error("a message is of unknown type")
		return true, 1
	}
	return false, 0
}

func (s *session) begin(id string, line []byte) (bool, int) {
	r, err := parseRequest(line)
	if err == nil && s.current != nil {
		err = errors.New("another operation is running")
	}
	if err != nil {
		return s.send(id, answer{failure: fail(classInvalidRequest, "%s", err)})
	}
	c := &running{request: r, started: time.Now(), done: make(chan answer, 1)}
	if r.writes() {
		c.permit = newPermit(r.validity)
	} else {
		c.permit = readOnly()
	}
	c.deadline = time.NewTimer(max(r.timeout(), time.Second))
	s.current = c
	go func() {
		success, failure := s.run(r, c.permit, func(stage string, counted *hooks) {
			_ = s.out.emit(progressMessage{Type: "progress", ID: r.ID, Stage: stage, Hooks: counted})
		})
		c.done <- answer{success: success, failure: failure}
	}()
	s.logger.Info("operation begins", "id", r.ID, "action", r.Action, "release", r.Release, "revision", r.ExpectedRevision)
	return false, 0
}

// finish answers an operation that has ended by itself.
func (s *session) finish(a answer) (bool, int) {
	c := s.current
	if a.failure != nil {
		// Whatever Helm made of a refused write: the reason is that it was refused.
		if reason := c.permit.check(); reason != nil && c.request.writes() {
			return true, s.abandon(reason)
		}
	}
	c.permit.end(fail(classPermitExpired, "the operation has ended"))
	c.deadline.Stop()
	s.current = nil
	s.log(c, a.failure)
	return s.send(c.request.ID, a)
}

// abandon answers for an operation whose Helm action may still be at work: it can write no more, and the process ends,
// because Helm goes on in the background and must not meet the next operation.
func (s *session) abandon(reason *workerError) int {
	c := s.current
	c.permit.end(reason)
	s.log(c, reason)
	s.send(c.request.ID, answer{failure: reason})
	return 1
}

// close handles the end of standard input.
func (s *session) close() int {
	if s.current == nil {
		return 0
	}
	s.current.permit.end(fail(classPermitExpired, "the operator is gone"))
	s.logger.Warn("the operator is gone in the middle of an operation", "id", s.current.request.ID)
	return 1
}

func (s *session) send(id string, a answer) (bool, int) {
	var message any = successMessage{Type: "success", ID: id, Success: a.success}
	if a.failure != nil {
		message = failureMessage{Type: "failure", ID: id, Error: a.failure}
	}
	if err := s.out.emit(message); err != nil {
		s.logger.Error("nobody reads the results")
		return true, 1
	}
	return false, 0
}

func (s *session) log(c *running, failure *workerError) {
	class := ""
	if failure != nil {
		class = failure.Class
	}
	s.logger.Info("operation ends", "id", c.request.ID, "action", c.request.Action, "release", c.request.Release,
		"class", class, "durationMillis", time.Since(c.started).Milliseconds())
}

// readLines ends the channel at the end of input, and at a line that is too long.
func readLines(in io.Reader, lines chan<- []byte) {
	defer close(lines)
	scanner := bufio.NewScanner(in)
	scanner.Buffer(make([]byte, 64<<10), maxLine)
	for scanner.Scan() {
		if line := bytes.TrimSpace(scanner.Bytes()); len(line) > 0 {
			lines <- bytes.Clone(line)
		}
	}
}
