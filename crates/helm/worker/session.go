package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"time"
)

// runner does one operation and answers when it has ended.
type runner func(r *request, p *permit, progress func(stage string, hooks *int)) (*resultMessage, *workerError)

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
	done     chan *resultMessage
}

func newSession(in io.Reader, out io.Writer, logger *slog.Logger, run runner) *session {
	return &session{in: in, out: &emitter{to: out}, logger: logger, run: run}
}

// serve returns the exit code: 0 if nothing was left undone.
func (s *session) serve() int {
	ready := readyMessage{Type: "ready", HelmVersion: helmVersion(), WorkerVersion: version, PID: os.Getpid()}
	if s.out.emit(ready) != nil {
		return 1
	}
	lines := make(chan []byte)
	go readLines(s.in, lines)
	for {
		var done chan *resultMessage
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
		case result := <-done:
			if end, code := s.finish(result); end {
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
	case "cancel":
		if s.current != nil && s.current.request.ID == e.ID {
			return true, s.abandon(fail(classCancelled, "the operation was cancelled"))
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
		return s.send(&resultMessage{ID: id, Error: fail(classInvalidRequest, "%s", err)})
	}
	c := &running{request: r, started: time.Now(), done: make(chan *resultMessage, 1)}
	if r.writes() {
		c.permit = newPermit(r.validity)
	} else {
		c.permit = readOnly()
	}
	c.deadline = time.NewTimer(max(r.timeout(), time.Second))
	s.current = c
	go func() {
		result, failure := s.run(r, c.permit, func(stage string, hooks *int) {
			_ = s.out.emit(progressMessage{Type: "progress", ID: r.ID, Stage: stage, Hooks: hooks})
		})
		if failure != nil {
			result = &resultMessage{Error: failure}
		}
		c.done <- result
	}()
	s.logger.Info("operation begins", "id", r.ID, "action", r.Action, "release", r.Release, "revision", r.ExpectedRevision)
	return false, 0
}

// finish answers an operation that has ended by itself.
func (s *session) finish(result *resultMessage) (bool, int) {
	c := s.current
	if result.Error != nil {
		// Whatever Helm made of a refused write: the reason is that it was refused.
		if reason := c.permit.check(); reason != nil && c.request.writes() {
			return true, s.abandon(reason)
		}
	}
	c.permit.end(fail(classPermitExpired, "the operation has ended"))
	c.deadline.Stop()
	s.current = nil
	result.ID = c.request.ID
	result.DurationMillis = time.Since(c.started).Milliseconds()
	s.log(c, result)
	return s.send(result)
}

// abandon answers for an operation whose Helm action may still be at work: it can write no more, and the process ends,
// because Helm goes on in the background and must not meet the next operation.
func (s *session) abandon(reason *workerError) int {
	c := s.current
	c.permit.end(reason)
	result := &resultMessage{ID: c.request.ID, Error: reason, DurationMillis: time.Since(c.started).Milliseconds()}
	s.log(c, result)
	s.send(result)
	return 1
}

// close handles the end of standard input.
func (s *session) close() int {
	if s.current == nil {
		return 0
	}
	s.current.permit.end(fail(classCancelled, "the operator is gone"))
	s.logger.Warn("the operator is gone in the middle of an operation", "id", s.current.request.ID)
	return 1
}

func (s *session) send(result *resultMessage) (bool, int) {
	result.Type, result.OK = "result", result.Error == nil
	if err := s.out.emit(result); err != nil {
		s.logger.Error("nobody reads the results")
		return true, 1
	}
	return false, 0
}

func (s *session) log(c *running, result *resultMessage) {
	class := ""
	if result.Error != nil {
		class = result.Error.Class
	}
	s.logger.Info("operation ends", "id", c.request.ID, "action", c.request.Action, "release", c.request.Release,
		"class", class, "durationMillis", result.DurationMillis)
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
