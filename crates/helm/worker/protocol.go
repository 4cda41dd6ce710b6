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

	"k8s.io/apimachinery/pkg/api/resource"

	"helm.sh/helm/v4/pkg/storage/driver"
)

// The other half of the protocol is src/protocol.rs. testdata/protocol.jsonl holds each line once, and the tests of both sides
// compare with it.

// maxLine bounds a message on standard input: values are far smaller, and a chart travels as a path.
const maxLine = 64 << 20

const (
	actionInstall   = "install"
	actionUpgrade   = "upgrade"
	actionCheck     = "check"
	actionRender    = "render"
	actionDiff      = "diff"
	actionCompare   = "compare"
	actionDrift     = "drift"
	actionUnlock    = "unlock"
	actionUninstall = "uninstall"
)

// The stages of an operation that are told while it runs.
const (
	stageLoaded   = "loaded"
	stageRendered = "rendered"
	stageChecked  = "checked"
	stageAccepted = "accepted"
	stageRecorded = "recorded"
	stageApplied  = "applied"
)

// envelope says what a line on standard input is.
type envelope struct {
	Type string `json:"type"`
	ID   string `json:"id"`
}

// validity says for how long the worker may write. SentAtMillis is the sender's CLOCK_BOOTTIME, the same in all processes
// of a machine: with it a message that waited in the pipe, as after a stop of the process, counts from when it was sent.
type validity struct {
	ValidForMillis int64 `json:"validForMillis"`
	SentAtMillis   int64 `json:"sentAtMillis"`
}

func (v validity) until() time.Duration {
	from := min(now(), time.Duration(v.SentAtMillis)*time.Millisecond)
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
	// ExpectedRevision is the revision that the operation makes or would make; for uninstall, unlock
	// and drift the one that it acts on.
	ExpectedRevision int `json:"expectedRevision"`
	// Revisions are those in storage: no other is ever asked for, save the expected one.
	Revisions      []int `json:"revisions"`
	TimeoutSeconds int64 `json:"timeoutSeconds"`

	// Inputs are there for whatever renders a chart.
	*Inputs `json:"inputs,omitempty"`
	// Check, for check, says what its pod is to carry.
	Check *checkRequest `json:"check,omitempty"`
	// Objects, for diff, are compared even if they are rendered as they were; each is named by "Kind/name".
	Objects []string `json:"objects,omitempty"`
	// Drift, for drift, says what is looked at and what is done.
	Drift *driftRequest `json:"drift,omitempty"`
	// Seen, for upgrade, is what the operator knows of the objects in the cluster.
	Seen *seen `json:"seen,omitempty"`
}

// Inputs are what a chart is rendered with, and by what the result is judged.
type Inputs struct {
	Chart struct {
		Path   string `json:"path"`
		SHA256 string `json:"sha256"`
	} `json:"chart"`
	Values map[string]any    `json:"values"`
	Labels map[string]string `json:"labels"`

	Replicas        map[string]int64 `json:"replicas"`
	OtherReplicas   *int64           `json:"otherReplicas,omitempty"`
	SuspendCronJobs bool             `json:"suspendCronJobs"`
	// Volumes are the sizes that claims have, by name.
	Volumes map[string]string `json:"volumes"`

	AllowedKinds   []string `json:"allowedKinds"`
	AllowedSecrets []string `json:"allowedSecrets"`
	// AllowedConfigMaps may be referred to besides those that the chart renders.
	AllowedConfigMaps []string `json:"allowedConfigMaps"`
	// SecretPaths are places, as JSON pointers, of values that came from Secrets.
	SecretPaths []string `json:"secretPaths"`
	// Hosts for which routes and certificates may be rendered; nil where there is no environment.
	Hosts         []string `json:"hosts,omitempty"`
	AllowDataLoss bool     `json:"allowDataLoss"`
}

// checkRequest says what the pod of a check carries.
type checkRequest struct {
	// Digest of what is checked: a pod with the same one is left alone.
	Digest string `json:"digest"`
	// Owner is the object with which the pod goes.
	Owner struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Name       string `json:"name"`
		UID        string `json:"uid"`
	} `json:"owner"`
}

// driftRequest says what of a release is compared with what is live.
type driftRequest struct {
	// Correct puts right what differs.
	Correct bool `json:"correct"`
	// Objects, named as in what is seen, are those to look at; nil for all.
	Objects *[]string `json:"objects,omitempty"`
	Ignore  []ignored `json:"ignore"`
	// Scaled are workloads, by "Kind/name", whose replicas are somebody's choice, and CronJobs whose "suspend" is.
	Scaled []string `json:"scaled"`
}

// ignored are paths, of one object by its name as in what is seen or of all, that are as somebody wants them, with all below them.
type ignored struct {
	Object *string  `json:"object,omitempty"`
	Paths  []string `json:"paths"`
}

func (d *driftRequest) validate() error {
	for _, ignore := range d.Ignore {
		for _, path := range ignore.Paths {
			if _, err := parsePath(path); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *checkRequest) valid() bool {
	return c.Digest != "" && c.Owner.APIVersion != "" && c.Owner.Kind != "" && c.Owner.Name != "" && c.Owner.UID != ""
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
	case actionInstall, actionUpgrade, actionCheck, actionRender, actionDiff, actionCompare, actionDrift, actionUnlock, actionUninstall:
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
	case r.Action == actionUpgrade && r.ExpectedRevision == 1:
		return errors.New("an upgrade creates revision 2 or later")
	case (r.Action == actionCheck) != (r.Check != nil) || (r.Check != nil && !r.Check.valid()):
		return errors.New("a check, and nothing else, needs \"check\" with a digest and an owner")
	case r.Action != actionDiff && len(r.Objects) > 0:
		return errors.New("\"objects\" are for a diff alone")
	case (r.Action == actionDrift) != (r.Drift != nil):
		return errors.New("drift, and nothing else, needs \"drift\"")
	case r.Action != actionUpgrade && r.Seen != nil:
		return errors.New("\"seen\" is for an upgrade alone")
	case r.rendersChart() != (r.Inputs != nil):
		return errors.New("what renders a chart, and nothing else, needs \"inputs\"")
	case r.Inputs != nil:
		return r.Inputs.validate()
	case r.Drift != nil:
		return r.Drift.validate()
	}
	return nil
}

func (i *Inputs) validate() error {
	switch {
	case i.Chart.Path == "" || i.Chart.SHA256 == "":
		return errors.New("\"chart\" needs a path and a sha256")
	case driver.ContainsSystemLabels(i.Labels):
		return fmt.Errorf("\"labels\" may not hold any of %q, which are Helm's own", driver.GetSystemLabels())
	}
	for name, size := range i.Volumes {
		if _, err := resource.ParseQuantity(size); err != nil {
			return fmt.Errorf("the size of volume claim %q is no quantity", name)
		}
	}
	return nil
}

func (r *request) rendersChart() bool {
	return r.Action != actionUnlock && r.Action != actionUninstall && r.Action != actionDrift
}

// writes says whether the action changes anything at all.
func (r *request) writes() bool {
	switch r.Action {
	case actionRender, actionDiff, actionCompare:
		return false
	case actionDrift:
		return r.Drift != nil && r.Drift.Correct
	}
	return true
}

// makesRevision says whether the action adds a revision to the storage.
func (r *request) makesRevision() bool {
	return r.Action == actionInstall || r.Action == actionUpgrade
}

func (r *request) timeout() time.Duration { return time.Duration(r.TimeoutSeconds) * time.Second }

type readyMessage struct {
	Type          string `json:"type"`
	HelmVersion   string `json:"helmVersion"`
	WorkerVersion string `json:"workerVersion"`
}

type progressMessage struct {
	Type  string `json:"type"`
	ID    string `json:"id"`
	Stage string `json:"stage"`
	Hooks *hooks `json:"hooks,omitempty"`
}

// successMessage ends an operation that succeeded.
type successMessage struct {
	Type    string   `json:"type"`
	ID      string   `json:"id"`
	Success *success `json:"success"`
}

// failureMessage ends an operation that failed.
type failureMessage struct {
	Type  string       `json:"type"`
	ID    string       `json:"id"`
	Error *workerError `json:"error"`
}

// success is what came of an operation.
type success struct {
	Hooks hooks `json:"hooks"`
	// Checks is the number of check pods that the chart has; for check only.
	Checks int `json:"checks"`
	// Diff is given for diff only.
	Diff []objectDiff `json:"diff,omitempty"`
	// Compared is given for compare only.
	Compared *compared `json:"compared,omitempty"`
	// Drift is given for drift only: what is live otherwise than it should be. Removed is what is missing.
	Drift []objectDiff `json:"drift,omitempty"`
	// Corrected and Refused are the objects that were put right, named as in what is seen, and those that could not be looked at or
	// put right.
	Corrected []string        `json:"corrected,omitempty"`
	Refused   []objectRefused `json:"refused,omitempty"`
}

// objectRefused says why one object could not be looked at or put right.
type objectRefused struct {
	Object  string `json:"object"`
	Class   string `json:"class"`
	Message string `json:"message"`
}

// compared says whether a chart renders what a release's newest record holds, and if not, what an upgrade would do.
type compared struct {
	Revision        int    `json:"revision"`
	ResourceVersion string `json:"resourceVersion"`
	Status          string `json:"status"`
	Chart           string `json:"chart"`
	ChartVersion    string `json:"chartVersion"`
	// Differences are between what is rendered and the record; without any the two are equal.
	Differences []objectDiff `json:"differences,omitempty"`
	// Unstable is what is rendered differently each time; it is no part of the differences.
	Unstable []objectDiff `json:"unstable,omitempty"`
	// Changes and Restarts are given where there are differences: what an upgrade would do to what is live, and the workloads
	// whose pods it would replace.
	Changes  []objectDiff `json:"changes,omitempty"`
	Restarts []string     `json:"restarts,omitempty"`
}

// hooks counts those of a chart.
type hooks struct {
	// Total is all but those of "helm test".
	Total int `json:"total"`
	// Upgrade is those that an upgrade runs.
	Upgrade int `json:"upgrade"`
}

// What an upgrade would do to an object.
const (
	changeCreated = "created"
	changeChanged = "changed"
	changeRemoved = "removed"
)

// objectDiff says what would change in an object. It names fields and holds no value.
type objectDiff struct {
	Kind   string   `json:"kind"`
	Name   string   `json:"name"`
	Change string   `json:"change"`
	Paths  []string `json:"paths,omitempty"`
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
