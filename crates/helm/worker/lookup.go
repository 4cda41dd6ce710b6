package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync/atomic"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
)

// A template's "lookup" reads the cluster with the worker's rights, and "tpl" lets values contain templates. So what a
// template can look up is bounded here: no Secret, nothing that is not a plain read, and of objects only the release's own.

// lookupGuard is the transport behind "lookup".
type lookupGuard struct {
	next    http.RoundTripper
	release string
	refused *atomic.Bool
}

func (g *lookupGuard) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodGet || readsSecrets(r.URL.Path) {
		g.refused.Store(true)
		return nil, fail(classRender, `"lookup" of Secrets is refused`)
	}
	answer, err := g.next.RoundTrip(r)
	if err != nil || answer.StatusCode != http.StatusOK || !readsObjects(r.URL.Path) {
		return answer, err
	}
	return g.own(r, answer)
}

// own leaves of an answer what is the release's: anything else is answered as if it did not exist.
func (g *lookupGuard) own(r *http.Request, answer *http.Response) (*http.Response, error) {
	body, err := io.ReadAll(answer.Body)
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		return nil, err
	}
	content := unstructured.Unstructured{}
	if err := json.Unmarshal(body, &content.Object); err != nil {
		return nil, fail(classRender, `"lookup" got an answer that is no JSON`)
	}
	owned := func(o unstructured.Unstructured) bool { return o.GetAnnotations()[annotationRelease] == g.release }
	var status any
	switch items, isList := content.Object["items"].([]any); {
	case isList:
		content.Object["items"] = slices.DeleteFunc(items, func(item any) bool {
			one, _ := item.(map[string]any)
			return !owned(unstructured.Unstructured{Object: one})
		})
		status = content.Object
	case owned(content):
		status = content.Object
	default:
		resource := schema.GroupResource{Resource: path.Base(path.Dir(r.URL.Path))}
		status = apierrors.NewNotFound(resource, path.Base(r.URL.Path)).Status()
		answer.StatusCode, answer.Status = http.StatusNotFound, http.StatusText(http.StatusNotFound)
	}
	if body, err = json.Marshal(status); err != nil {
		return nil, err
	}
	answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	answer.Header.Del("Content-Length")
	return answer, nil
}

// readsObjects says whether the path is one of objects, not of what kinds there are.
func readsObjects(urlPath string) bool {
	parts := strings.Split(strings.Trim(path.Clean(urlPath), "/"), "/")
	switch parts[0] {
	case "api":
		return len(parts) > 2
	case "apis":
		return len(parts) > 3
	}
	return false
}

// readsSecrets says whether the path is that of a Secret, of several, or of a ServiceAccount's token. A name or a
// namespace may well be "secrets".
func readsSecrets(urlPath string) bool {
	_, rest, found := strings.Cut(path.Clean(urlPath)+"/", "/api/v1/")
	if !found {
		return false
	}
	parts := strings.Split(strings.Trim(rest, "/"), "/")
	if parts[0] == "watch" {
		parts = parts[1:]
	}
	if len(parts) >= 3 && parts[0] == "namespaces" {
		parts = parts[2:]
	}
	if len(parts) == 0 {
		return false
	}
	return parts[0] == "secrets" || (parts[0] == "serviceaccounts" && len(parts) > 2)
}

// renderGetter is what Helm's action has for rendering; its Kubernetes client and its storage have the plain one.
type renderGetter struct {
	*getter
	release string
	refused *atomic.Bool
}

func (g *renderGetter) ToRESTConfig() (*rest.Config, error) {
	config, err := g.getter.ToRESTConfig()
	if err != nil {
		return nil, err
	}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return &lookupGuard{next: next, release: g.release, refused: g.refused}
	})
	return config, nil
}
