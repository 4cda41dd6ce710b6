package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"helm.sh/helm/v4/pkg/storage/driver"
)

// The classes of errors. The operator decides by them, so they are part of the protocol.
const (
	classSchema              = "schema"
	classRender              = "render"
	classForbidden           = "forbidden"
	classConflict            = "conflict"
	classLocked              = "locked"
	classImmutable           = "immutable"
	classUnreachable         = "unreachable"
	classTooLarge            = "tooLarge"
	classHook                = "hook"
	classDeadline            = "deadline"
	classWouldDeleteData     = "wouldDeleteData"
	classKindNotAllowed      = "kindNotAllowed"
	classSecretNotAllowed    = "secretNotAllowed"
	classReferenceNotAllowed = "referenceNotAllowed"
	classPermitExpired       = "permitExpired"
	classStaleRevision       = "staleRevision"
	classNotFound            = "notFound"
	classRecordUnreadable    = "recordUnreadable"
	classInvalidRequest      = "invalidRequest"
	classValueRequired       = "valueRequired"
	classChart               = "chart"
	classInvalid             = "invalid"
	classUnknown             = "unknown"
)

// workerError is an error that a person may read: it names things, and holds no values.
type workerError struct {
	Class   string   `json:"class"`
	Message string   `json:"message"`
	Details []string `json:"details,omitempty"`
}

func (e *workerError) Error() string { return e.Message }

func fail(class, format string, args ...any) *workerError {
	return &workerError{Class: class, Message: fmt.Sprintf(format, args...)}
}

// What Helm says but gives no type to. This file is the only one that knows Helm's words; each has a test that makes Helm
// say them.
const (
	helmPending      = "another operation (install/upgrade/rollback) is in progress"
	helmNameInUse    = "cannot reuse a name that is still in use"
	helmSchema       = "values don't meet the specifications of the schema(s)"
	helmNotImported  = "exists and cannot be imported into the current release"
	helmDependencies = "chart dependencies processing failed"
	helmKubeVersion  = "chart requires kubeVersion"
	helmUnreachable  = "kubernetes cluster unreachable"
)

// What the API server calls an internal error when an applied object does not fit its type.
var misfit = []string{"failed to create typed patch object", "unable to convert unstructured object"}

var (
	helmNoKind = regexp.MustCompile(`no matches for kind "([^"]*)" in version "([^"]*)"`)
	helmPatch  = regexp.MustCompile(`cannot patch "([^"]*)" with kind (\w+)`)
)

var helmHooks = []string{
	"failed pre-install", "failed post-install", "pre-upgrade hooks failed", "post-upgrade hooks failed",
	"warning: Hook pre-delete", "warning: Hook post-delete",
}

// classify turns whatever an action returned into an error with a class.
func (o *operation) classify(err error) *workerError {
	failure := o.classOf(err)
	failure.Message = o.scrub.clean(failure.Message)
	for i := range failure.Details {
		failure.Details[i] = o.scrub.clean(failure.Details[i])
	}
	return failure
}

func (o *operation) classOf(err error) *workerError {
	text := err.Error()
	if own, ok := errors.AsType[*workerError](err); ok {
		copied := *own
		copied.Details = slices.Clone(own.Details)
		return &copied
	}
	switch {
	case o.lookupRefused.Load():
		return fail(classRender, `"lookup" of Secrets is refused`)
	case strings.Contains(text, helmPending):
		return fail(classLocked, "release %q is locked: another operation is in progress", o.request.Release)
	case strings.Contains(text, helmNameInUse), errors.Is(err, driver.ErrReleaseExists):
		return fail(classStaleRevision, "release %q already has revision %d", o.request.Release, o.request.ExpectedRevision)
	case errors.Is(err, driver.ErrReleaseNotFound), errors.Is(err, driver.ErrNoDeployedReleases):
		return fail(classNotFound, "release %q has no revision to start from", o.request.Release)
	case strings.Contains(text, helmSchema):
		return schemaError(text)
	case strings.Contains(text, helmNotImported):
		return fail(classConflict, "%s", importError(text))
	case strings.Contains(text, helmDependencies):
		return fail(classChart, "the chart's dependencies cannot be processed")
	case strings.Contains(text, helmKubeVersion):
		return fail(classChart, "%s", text)
	}
	if failure := o.apiError(err); failure != nil {
		return failure
	}
	if slices.ContainsFunc(helmHooks, func(s string) bool { return strings.Contains(text, s) }) {
		return fail(classHook, "%s", hookError(text))
	}
	if isNetwork(err) || strings.Contains(text, helmUnreachable) {
		return fail(classUnreachable, "the API server cannot be reached: %s", networkReason(err))
	}
	if !o.gate.done && o.request.rendersChart() {
		class := classRender
		if o.request.Action == actionRender && isAuthored(text) {
			// What the chart asks for may be what an environment brings: nothing is wrong with the chart.
			class = classValueRequired
		}
		return fail(class, "%s", o.renderError(text))
	}
	return fail(classUnknown, "%s", safeYAMLError(text))
}

// apiError looks for the first answer of the API server that says why.
func (o *operation) apiError(err error) *workerError {
	if m := helmNoKind.FindStringSubmatch(err.Error()); m != nil {
		return fail(classInvalid, "the cluster does not serve kind %q of %q", m[1], m[2])
	}
	answers := statusErrors(err, nil)
	if len(answers) == 0 {
		return nil
	}
	var details []string
	for _, answer := range answers {
		details = append(details, o.safeStatus(answer))
	}
	if m := helmPatch.FindStringSubmatch(err.Error()); m != nil && !strings.Contains(details[0], m[1]) {
		details[0] = fmt.Sprintf("%s %q: %s", m[2], m[1], details[0])
	}
	failure := fail(statusClass(answers[0]), "%s", details[0])
	if len(details) > 1 {
		failure.Details = details
	}
	return failure
}

// statusErrors collects the API server's answers from a tree of errors.
func statusErrors(err error, found []*apierrors.StatusError) []*apierrors.StatusError {
	if answer, ok := err.(*apierrors.StatusError); ok {
		return append(found, answer)
	}
	switch e := err.(type) {
	case interface{ Unwrap() []error }:
		for _, child := range e.Unwrap() {
			found = statusErrors(child, found)
		}
	case interface{ Unwrap() error }:
		if child := e.Unwrap(); child != nil {
			found = statusErrors(child, found)
		}
	case interface{ Errors() []error }:
		for _, child := range e.Errors() {
			found = statusErrors(child, found)
		}
	}
	return found
}

var (
	immutableWords = []string{"field is immutable", "is immutable after creation", "may not be changed", "may not change once set",
		"updates to statefulset spec", "spec is immutable", "cannot change roleRef"}
	tooLargeWords = []string{"may not be more than 1048576 bytes", "may not be larger than", "request is too large", "larger than max"}
)

func says(text string, words []string) bool {
	return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(text, word) })
}

// expansionWords are those of the admission plugin that guards volumes; it calls forbidden what only the storage class forbids.
var expansionWords = []string{"only dynamically provisioned pvc can be resized"}

func statusClass(answer *apierrors.StatusError) string {
	switch {
	case says(answer.ErrStatus.Message, tooLargeWords), apierrors.IsRequestEntityTooLargeError(answer):
		return classTooLarge
	case isImmutable(answer):
		return classImmutable
	case apierrors.IsForbidden(answer), apierrors.IsUnauthorized(answer):
		return classForbidden
	case apierrors.IsInvalid(answer):
		return classInvalid
	case apierrors.IsConflict(answer), apierrors.IsAlreadyExists(answer):
		return classConflict
	case apierrors.IsNotFound(answer):
		return classNotFound
	case apierrors.IsBadRequest(answer), says(answer.ErrStatus.Message, misfit):
		return classInvalid
	case answer.ErrStatus.Code >= 500, apierrors.IsTooManyRequests(answer), apierrors.IsTimeout(answer):
		return classUnreachable
	}
	return classUnknown
}

func isImmutable(answer *apierrors.StatusError) bool {
	return (apierrors.IsForbidden(answer) || apierrors.IsInvalid(answer)) && (says(answer.ErrStatus.Message, immutableWords) || says(answer.ErrStatus.Message, expansionWords))
}

// safeStatus says what the API server said, without the values that it quotes.
func (o *operation) safeStatus(answer *apierrors.StatusError) string {
	status := answer.ErrStatus
	if isImmutable(answer) && status.Details != nil {
		return o.immutable(answer)
	}
	if !apierrors.IsInvalid(answer) || status.Details == nil || len(status.Details.Causes) == 0 {
		return safeServerMessage(status.Message)
	}
	causes := make([]string, 0, len(status.Details.Causes))
	for _, cause := range status.Details.Causes {
		causes = append(causes, safeCause(cause))
	}
	if status.Details.Kind == "" {
		return strings.Join(causes, "; ")
	}
	return fmt.Sprintf("%s %q is invalid: %s", status.Details.Kind, status.Details.Name, strings.Join(causes, "; "))
}

// immutable names the fields that cannot change. The API server adds a list of what can, and a diff of many lines.
func (o *operation) immutable(answer *apierrors.StatusError) string {
	details := answer.ErrStatus.Details
	if says(answer.ErrStatus.Message, expansionWords) {
		return fmt.Sprintf("PersistentVolumeClaim %q cannot become larger: its storage class does not allow expansion", details.Name)
	}
	var fields []string
	for _, cause := range details.Causes {
		if cause.Field == "" || !says(cause.Message, immutableWords) {
			continue
		}
		fields = append(fields, o.changedBelow(details.Kind+"/"+details.Name, cause.Field)...)
	}
	if len(fields) == 0 {
		message, _, _ := strings.Cut(answer.ErrStatus.Message, "\n")
		return safeServerMessage(message)
	}
	return fmt.Sprintf("%s %q: %s cannot change in an object that exists", details.Kind, details.Name, strings.Join(fields, ", "))
}

// changedBelow returns the fields that are rendered otherwise than before, at or below the one that the API server names.
func (o *operation) changedBelow(key, field string) []string {
	was, is := o.before[key], o.after[key]
	if was.Unstructured == nil || is.Unstructured == nil {
		return []string{field}
	}
	root, _, _ := strings.Cut(field, "[")
	below := slices.DeleteFunc(changedPaths(was.Object, is.Object), func(path string) bool {
		rest, found := strings.CutPrefix(path, root)
		return !found || (rest != "" && rest[0] != '.' && rest[0] != '[')
	})
	if len(below) == 0 || len(below) > maxFields {
		return []string{field}
	}
	return below
}

// maxFields bounds a message.
const maxFields = 5

func safeCause(cause metav1.StatusCause) string {
	if cause.Field == "" {
		return safeServerMessage(cause.Message)
	}
	return cause.Field + ": " + safeCauseMessage(cause.Message)
}

func isNetwork(err error) bool {
	if _, ok := errors.AsType[*url.Error](err); ok {
		return true
	}
	_, ok := errors.AsType[net.Error](err)
	return ok
}

// networkReason leaves out the address of the request, which can be long and says nothing new.
func networkReason(err error) string {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err.Error()
	}
	return "no answer"
}
