package main

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

const gadget = `apiVersion: GROUP/v1
kind: Gadget
metadata: {name: one}
`

// discovery counts what was asked of the API server about itself.
func (w *world) discovery() int {
	asked := 0
	for _, request := range w.requests.take() {
		if path := request.URL.Path; path == "/api" || path == "/apis" || path == "/version" || strings.HasPrefix(path, "/openapi") {
			asked++
		}
	}
	return asked
}

// brings a kind to the cluster, for as long as the test lasts.
func (w *world) brings(group string) {
	w.t.Helper()
	const path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
	name := "gadgets." + group
	body := fmt.Sprintf(`{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":%q},
		"spec":{"group":%q,"scope":"Namespaced","names":{"plural":"gadgets","kind":"Gadget"},
		"versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object"}}}]}}`, name, group)
	client := w.clients.RESTClient()
	must(w.t, client.Post().AbsPath(path).Body([]byte(body)).Do(w.t.Context()).Error())
	w.t.Cleanup(func() { client.Delete().AbsPath(path, name).Do(context.Background()) })
	until := time.Now().Add(30 * time.Second)
	for client.Get().AbsPath("/apis", group, "v1", "namespaces", w.namespace, "gadgets").Do(w.t.Context()).Error() != nil {
		if time.Now().After(until) {
			w.t.Fatal("the kind is not served")
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func TestWhatTheServerServesIsAskedOnceAndAgainForAKindThatIsNew(t *testing.T) {
	w := newWorld(t)
	plain := chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys})
	w.do(w.request(actionInstall, 1, plain))
	if w.discovery() == 0 {
		t.Error("nothing was asked at first")
	}
	w.do(w.request(actionUpgrade, 2, plain))
	if asked := w.discovery(); asked != 0 {
		t.Errorf("asked %d times again", asked)
	}
	group := w.namespace + ".example.com"
	w.brings(group)
	with := chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys, "gadget.yaml": strings.ReplaceAll(gadget, "GROUP", group)})
	r := w.request(actionUpgrade, 3, with)
	r.AllowedKinds = append([]string{group + "/v1/Gadget"}, defaultKinds...)
	w.do(r)
	if w.discovery() == 0 {
		t.Error("the new kind was not looked for")
	}
	// What failed may have failed for what is not known.
	r = w.request(actionUpgrade, 4, chartArchive(t, "odoo", map[string]string{"none.yaml": strings.ReplaceAll(gadget, "GROUP", "none.example.com")}))
	r.AllowedKinds = append([]string{"none.example.com/v1/Gadget"}, defaultKinds...)
	if _, _, failure := w.try(r); failure == nil {
		t.Error("a kind that nobody serves was applied")
	}
	w.discovery()
	w.do(w.request(actionUpgrade, 4, plain))
	if w.discovery() == 0 {
		t.Error("nothing was asked after a failure")
	}
}
