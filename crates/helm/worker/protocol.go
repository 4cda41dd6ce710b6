package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"sync"
	"time"

	"helm.sh/helm/v4/pkg/storage/driver"
)

// maxLine bounds a message on standard input: values are far smaller, and a chart travels as a path.
const maxLine = 64 << 20

const (
	actionInstall   = "install"
	actionUpgrade   = "upgrade"
	actionUninstall = "uninstall"
	actionUnlock    = "unlock"
	actionRender    = "render"
	actionCheck     = "check"
)

// envelope says what a line on standard input is.
type envelope struct {
	Type string `json:"type"`
	ID   string `json:"id"`
}

// validity says for how long the worker may write. SentAtMillis is the sender's CLOCK_BOOTTIME, the same in all processes
// of a machine: with it a message that waited in the pipe, as after a stop of the process, counts from when it was sent.
type validity struct {
	ValidForMillis int64  `json:"validForMillis"`
	SentAtMillis   *int64 `json:"sentAtMillis,omitempty"`
}

func (v validity) until() time.Duration {
	from := now()
	if v.SentAtMillis != nil {
		from = min(from, time.Duration(*v.SentAtMillis)*time.Millisecond)
	}
	return from + time.Duration(v.ValidForMillis)*time.Millisecond
}

// permitMessage renews the permit of the running operation.
type permitMessage struct {
	Type string `json:"type"`
	validity
}

// request is one operation.
type request struct {
	Type   string `json:"type"`
	ID     string `json:"id"`
	Action string `json:"action"`
	validity

	Release   string `json:"release"`
	Namespace string `json:"namespace"`
	// ExpectedRevision is the revision that the operation creates; for uninstall and unlock the one that it acts on.
	ExpectedRevision int `json:"expectedRevision"`
	// Revisions are those in storage: no other is ever asked for, save the expected one.
	Revisions []int `json:"revisions"`
	// ResourceVersion, for unlock, is the one that the release Secret must still have.
	ResourceVersion string `json:"resourceVersion"`

	Chart struct {
		Path   string `json:"path"`
		SHA256 string `json:"sha256"`
	} `json:"chart"`
	Values map[string]any    `json:"values"`
	Labels map[string]string `json:"labels"`

	Replicas                map[string]int64 `json:"replicas"`
	OtherReplicas           *int64           `json:"otherReplicas"`
	SuspendCronJobs         bool             `json:"suspendCronJobs"`
	KeepServiceLinks        bool             `json:"keepServiceLinks"`
	KeepServiceAccountToken bool             `json:"keepServiceAccountToken"`
	// Verbatim, for render, leaves out the transform: what comes back is what the chart says by itself.
	Verbatim bool `json:"verbatim"`

	// Check, for check, says what its pod is to carry.
	Check *checkRequest `json:"check,omitempty"`

	AllowedKinds   []string `json:"allowedKinds"`
	AllowedSecrets []string `json:"allowedSecrets"`
	AllowDataLoss  bool     `json:"allowDataLoss"`
	MaxHistory     int      `json:"maxHistory"`
	TimeoutSeconds int64    `json:"timeoutSeconds"`
}

func parseRequest(line []byte) (*request, error) {
	r := &request{}
	d := json.NewDecoder(bytes.NewReader(line))
	// A field that is not understood might be the one that forbids something.
	d.DisallowUnknownFields()
	if err := d.Decode(r); err != nil {
		// The decoder's own words can quote what it read.
		var typed *json.UnmarshalTypeError
		if errors.As(err, &typed) {
			return nil, fmt.Errorf("field %q has the wrong type", typed.Field)
		}
		if name := unknownField.FindString(err.Error()); name != "" {
			return nil, errors.New(name)
		}
		return nil, errors.New("the operation is not valid JSON")
	}
	return r, nil
}

var (
	unknownField = regexp.MustCompile(`unknown field "[A-Za-z0-9_.-]{1,64}"`)
	releaseName  = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`)
)

// validate returns what is wrong with the request, if anything.
func (r *request) validate(namespace string) error {
	switch r.Action {
	case actionInstall, actionUpgrade, actionUninstall, actionUnlock, actionRender, actionCheck:
	default:
		return fmt.Errorf("action %q is unknown", r.Action)
	}
	switch {
	case r.ID == "":
		return errors.New("\"id\" is missing")
	case len(r.Release) > 53 || !releaseName.MatchString(r.Release):
		return fmt.Errorf("release name %q is not valid", r.Release)
	case r.Namespace != namespace:
		return fmt.Errorf("namespace %q is not this worker's, which is %q", r.Namespace, namespace)
	case r.ExpectedRevision < 1:
		return errors.New("\"expectedRevision\" is missing")
	case r.TimeoutSeconds < 1:
		return errors.New("\"timeoutSeconds\" is missing")
	case r.MaxHistory < 0 || r.MaxHistory == 1:
		// With one, Helm would remove the deployed revision's record before it knows how the next one ends.
		return errors.New("\"maxHistory\" must be 2 or more, or 0 for the default of 2")
	case driver.ContainsSystemLabels(r.Labels):
		return fmt.Errorf("\"labels\" may not hold any of %q, which are Helm's own", driver.GetSystemLabels())
	case r.Action == actionInstall && r.ExpectedRevision != 1:
		return errors.New("an install creates revision 1")
	case r.Action == actionUpgrade && r.ExpectedRevision == 1:
		return errors.New("an upgrade creates revision 2 or later")
	case (r.Action == actionCheck) != (r.Check != nil && r.Check.valid()):
		return errors.New("a check, and nothing else, needs \"check\" with a digest and an owner")
	case r.rendersChart() && (r.Chart.Path == "" || r.Chart.SHA256 == ""):
		return errors.New("\"chart\" needs a path and a sha256")
	}
	return nil
}

func (r *request) rendersChart() bool {
	return r.Action == actionInstall || r.Action == actionUpgrade || r.Action == actionRender || r.Action == actionCheck
}

// writes says whether the action changes anything at all.
func (r *request) writes() bool { return r.Action != actionRender }

// writesRelease says whether the action makes or changes a revision.
func (r *request) writesRelease() bool { return r.Action != actionRender && r.Action != actionCheck }

func (r *request) timeout() time.Duration { return time.Duration(r.TimeoutSeconds) * time.Second }

type readyMessage struct {
	Type          string `json:"type"`
	HelmVersion   string `json:"helmVersion"`
	WorkerVersion string `json:"workerVersion"`
	PID           int    `json:"pid"`
}

type progressMessage struct {
	Type  string `json:"type"`
	ID    string `json:"id"`
	Stage string `json:"stage"`
	Hooks *int   `json:"hooks,omitempty"`
}

type chartInfo struct {
	Name       string `json:"name"`
	Version    string `json:"version"`
	AppVersion string `json:"appVersion"`
}

type resultMessage struct {
	Type           string     `json:"type"`
	ID             string     `json:"id"`
	OK             bool       `json:"ok"`
	Revision       int        `json:"revision,omitempty"`
	Status         string     `json:"status,omitempty"`
	Chart          *chartInfo `json:"chart,omitempty"`
	Hooks          int        `json:"hooks"`
	DurationMillis int64      `json:"durationMillis"`
	// Checks is the number of check pods that the chart has; for check only.
	Checks int `json:"checks,omitempty"`
	// Manifest and HookManifests are given for render only.
	Manifest      string       `json:"manifest,omitempty"`
	HookManifests []string     `json:"hookManifests,omitempty"`
	Error         *workerError `json:"error,omitempty"`
}

// emitter writes messages, one a line.
type emitter struct {
	mu sync.Mutex
	to io.Writer
}

func (e *emitter) emit(message any) error {
	line, err := json.Marshal(message)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	_, err = e.to.Write(append(line, '\n'))
	return err
}
