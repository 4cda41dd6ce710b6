package main

import (
	"net/http"
	"path"
	"strings"
	"sync/atomic"

	"k8s.io/client-go/rest"
)

// A template's "lookup" reads the cluster with the worker's rights, and "tpl" lets values contain templates. So what a
// template can look up is bounded here: no Secret, and nothing that is not a plain read.

// lookupGuard is the transport behind "lookup".
type lookupGuard struct {
	next    http.RoundTripper
	refused *atomic.Bool
}

func (g *lookupGuard) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodGet || readsSecrets(r.URL.Path) {
		g.refused.Store(true)
		return nil, fail(classRender, `"lookup" of Secrets is refused`)
	}
	return g.next.RoundTrip(r)
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
	refused *atomic.Bool
}

func (g *renderGetter) ToRESTConfig() (*rest.Config, error) {
	config, err := g.getter.ToRESTConfig()
	if err != nil {
		return nil, err
	}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return &lookupGuard{next: next, refused: g.refused}
	})
	return config, nil
}
