package main

import (
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestCausesWithoutValues(t *testing.T) {
	for message, want := range map[string]string{
		`Invalid value: "hunter2": field is immutable`:                                          "invalid value: field is immutable",
		`Invalid value: {"a":"hunter2: x"}: field is immutable`:                                 "invalid value: field is immutable",
		`Invalid value: core.PodSpec{Env:[]core.EnvVar{{Value:"hunter2"}}}: field is immutable`: "invalid value: field is immutable",
		`Invalid value: "a: hunter2"`:                                                           "invalid value",
		`Invalid value: "a: hunter2": `:                                                         "invalid value",
		`Duplicate value: "hunter2"`:                                                            "duplicate value",
		`Unsupported value: "hunter2": supported values: "A", "B"`:                              "unsupported value",
		`Invalid value: "{\"a\":\"hunter2\"}": strict decoding error: unknown field "spec.a"`:   `strict decoding error: unknown field "spec.a"`,
		`Required value`:              "Required value",
		`Required value: must be set`: "Required value: must be set",
		`Forbidden: updates to statefulset spec for fields other than 'replicas' are forbidden`:                                                              "Forbidden: updates to statefulset spec for fields other than 'replicas' are forbidden",
		`Too long: may not be more than 1048576 bytes`:                                                                                                       "too long: may not be more than 1048576 bytes",
		`Invalid value: "hunter2_": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and (e.g. 'example.com')`: "invalid value: a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters",
		`Invalid value: "x": what nobody knows (e.g. 'hunter2' is fine)`:                                                                                     "invalid value",
	} {
		if got := safeCauseMessage(message); got != want {
			t.Errorf("%s\n got %q\nwant %q", message, got, want)
		}
	}
}

func TestServerMessagesWithoutValues(t *testing.T) {
	for message, want := range map[string]string{
		`failed to create typed patch object (odoo/a; apps/v1, Kind=Deployment): .spec.replicas: expected numeric (int or float), got hunter2`: "failed to create typed patch object (odoo/a; apps/v1, Kind=Deployment): .spec.replicas: expected numeric (int or float), got another type",
		`Pod "a" is invalid: spec: Invalid value: "hunter2"`:                    `Pod "a" is invalid: spec: Invalid value`,
		`configmaps is forbidden: User "u" cannot create resource "configmaps"`: `configmaps is forbidden: User "u" cannot create resource "configmaps"`,
	} {
		if got := safeServerMessage(message); got != want {
			t.Errorf("got %q\nwant %q", got, want)
		}
	}
}

func TestScrubber(t *testing.T) {
	s := newScrubber(map[string]any{"admin_passwd": "hunter2", "name": "acme", "db": map[string]any{"secret": map[string]any{"deep": "s3cr3t"}}, "list": []any{map[string]any{"apiToken": "tok/en+1"}}})
	s.addSecrets(objectsOf(t, "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {a: plaintext}\ndata: {b: ZGVjb2RlZA==}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: public}\n"))
	got := s.clean(`hunter2 "s3cr3t" tok/en+1 plaintext ZGVjb2RlZA== decoded public acme nothunter2not`)
	if want := `… "…" … … … … public acme nothunter2not`; got != want {
		t.Errorf("got %s", got)
	}
}

func TestClassesOfAnswers(t *testing.T) {
	answer := func(code int32, reason metav1.StatusReason, message string) *apierrors.StatusError {
		return &apierrors.StatusError{ErrStatus: metav1.Status{Code: code, Reason: reason, Message: message}}
	}
	for want, answers := range map[string][]*apierrors.StatusError{
		classForbidden: {answer(403, metav1.StatusReasonForbidden, "no"), answer(401, metav1.StatusReasonUnauthorized, "no")},
		classImmutable: {answer(422, metav1.StatusReasonInvalid, "x: field is immutable"), answer(422, metav1.StatusReasonInvalid, "spec: Forbidden: updates to statefulset spec for fields other than")},
		classInvalid:   {answer(422, metav1.StatusReasonInvalid, "x"), answer(400, metav1.StatusReasonBadRequest, "strict decoding error"), answer(500, metav1.StatusReasonInternalError, misfit[0])},
		classTooLarge:  {answer(413, metav1.StatusReasonRequestEntityTooLarge, "x"), answer(500, "", "etcdserver: request is too large"), answer(422, metav1.StatusReasonInvalid, "Too long: may not be more than 1048576 bytes")},
		classConflict:  {answer(409, metav1.StatusReasonConflict, "x"), answer(409, metav1.StatusReasonAlreadyExists, "x")},
		classNotFound:  {answer(404, metav1.StatusReasonNotFound, "x")},
		classUnreachable: {answer(503, metav1.StatusReasonServiceUnavailable, "x"), answer(500, metav1.StatusReasonInternalError, "failed calling webhook"),
			answer(429, metav1.StatusReasonTooManyRequests, "x"), answer(504, metav1.StatusReasonTimeout, "x")},
		classUnknown: {answer(405, metav1.StatusReasonMethodNotAllowed, "x")},
	} {
		for _, a := range answers {
			if got := statusClass(a); got != want {
				t.Errorf("%d %s: %s, want %s", a.ErrStatus.Code, a.ErrStatus.Message, got, want)
			}
		}
	}
}

func TestYAMLErrorsWithoutValues(t *testing.T) {
	for message, want := range map[string]string{
		"yaml: line 3: mapping values are not allowed in this context":                        "yaml: line 3: mapping values are not allowed in this context",
		"yaml: unmarshal errors:\n  line 3: cannot unmarshal !!str `hunter2` into int":        "line 3: cannot unmarshal !!str … into int",
		"yaml: unknown anchor 'hunter2' referenced":                                           "yaml: unknown anchor … referenced",
		"wrong node kind: expected MappingNode but got ScalarNode: node contents:\nhunter2\n": "wrong node kind: expected MappingNode but got ScalarNode: node contents:",
		"yaml: 'hunter2 never ends":                                                           "yaml: …",
	} {
		if got := safeYAMLError(message); got != want || strings.Contains(got, "hunter2") {
			t.Errorf("got %q\nwant %q", got, want)
		}
	}
}
