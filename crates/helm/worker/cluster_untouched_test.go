package main

import (
	"net/http"
	"path"
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// What nobody has touched is not sent; in doubt everything is.

const untouchedChart = `{{- range list "one" "two" }}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ . }}, labels: {mark: as-rendered}}
data: {a: {{ index $.Values . | default "1" | quote }}}
{{- end }}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {mark: as-rendered}}
spec:
  replicas: 0
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: a, image: {{ .Values.image | default "a" }}}]}
`

// look says how everything is, as the operator's watches would.
func (w *world) look(revision int) *seen {
	w.t.Helper()
	record, _ := w.record(revision)
	all := &seen{Revision: revision, ResourceVersion: record.ResourceVersion, Objects: map[string]seenObject{}}
	maps, err := w.clients.CoreV1().ConfigMaps(w.namespace).List(w.t.Context(), metav1.ListOptions{LabelSelector: "mark"})
	must(w.t, err)
	for _, m := range maps.Items {
		all.Objects["ConfigMap/"+m.Name] = seenObject{UID: string(m.UID), ResourceVersion: m.ResourceVersion}
	}
	web, err := w.clients.AppsV1().Deployments(w.namespace).Get(w.t.Context(), "web", metav1.GetOptions{})
	must(w.t, err)
	one := seenObject{UID: string(web.UID), Generation: web.Generation, ResourceVersion: web.ResourceVersion}
	for key, value := range web.Labels {
		one.Marks = append(one.Marks, markOf("label", key, value))
	}
	for key, value := range web.Annotations {
		one.Marks = append(one.Marks, markOf("annotation", key, value))
	}
	all.Objects["Deployment.apps/web"] = one
	return all
}

// sent are the objects about which the API server was asked anything, records apart.
func (w *world) sent() []string {
	var names []string
	for _, request := range w.requests.take() {
		kind := path.Base(path.Dir(request.URL.Path))
		if kind == "configmaps" || kind == "deployments" {
			names = append(names, path.Base(request.URL.Path))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func TestWhatNobodyHasTouchedIsNotSent(t *testing.T) {
	for _, mode := range []string{"--server-side=true", "--server-side=false"} {
		t.Run(mode, func(t *testing.T) {
			w := newWorld(t)
			chart := chartArchive(t, "odoo", map[string]string{"all.yaml": untouchedChart})
			w.helm("install", "acme-prod", chart, mode)
			revision := 1
			next := func(values map[string]any, told *seen) []string {
				t.Helper()
				w.requests.take()
				revision++
				r := w.request(actionUpgrade, revision, chart)
				r.Values, r.Seen = values, told
				w.do(r)
				return w.sent()
			}
			all, some := []string{"one", "two", "web"}, []string{"one"}
			expect := func(what string, got, want []string) {
				t.Helper()
				if !slices.Equal(got, want) {
					t.Errorf("%s: %v were sent, want %v", what, got, want)
				}
			}
			expect("a revision that another Helm made", next(map[string]any{"one": "2"}, w.look(revision)), all)
			expect("nothing is touched", next(map[string]any{"one": "3"}, w.look(revision)), some)
			expect("nothing was sent the time before", next(map[string]any{"one": "4"}, w.look(revision)), some)
			expect("the chart changes another", next(map[string]any{"image": "b", "one": "4"}, w.look(revision)), []string{"web"})
			expect("nothing is known", next(map[string]any{"one": "5"}, nil), all)

			told := w.look(revision)
			told.ResourceVersion = "1"
			expect("the record is another", next(map[string]any{"one": "6", "image": "b"}, told), all)
			told = w.look(revision)
			told.Revision--
			expect("it is known of another revision", next(map[string]any{"one": "7", "image": "b"}, told), all)
			told = w.look(revision)
			delete(told.Objects, "ConfigMap/two")
			expect("one is not known", next(map[string]any{"one": "8", "image": "b"}, told), []string{"one", "two"})

			w.touches("two", `{"metadata":{"labels":{"mark":"changed"}}}`)
			expect("a label was changed", next(map[string]any{"one": "9", "image": "b"}, w.look(revision)), []string{"one", "two"})
			w.touches("web", `{"metadata":{"labels":{"mark":"changed"}}}`)
			expect("and so was one that the generation does not tell of", next(map[string]any{"one": "10", "image": "b"}, w.look(revision)), []string{"one", "web"})
			w.touches("web", `{"spec":{"replicas":2}}`)
			expect("a spec was changed", next(map[string]any{"one": "11", "image": "b"}, w.look(revision)), []string{"one", "web"})
			w.touches("web", `{"metadata":{"labels":{"somebodys":"own"}}}`)
			expect("somebody's own label is nothing of the chart's", next(map[string]any{"one": "12", "image": "b"}, w.look(revision)), some)

			// A failed revision in between may have changed anything.
			w.requests.before = func(r *http.Request) error {
				if r.Method == http.MethodPatch && path.Base(r.URL.Path) == "two" && r.URL.Query().Get("dryRun") == "" {
					return http.ErrHandlerTimeout
				}
				return nil
			}
			revision++
			r := w.request(actionUpgrade, revision, chart)
			r.Values, r.Seen = map[string]any{"one": "13", "two": "13", "image": "b"}, w.look(revision-1)
			if _, _, failure := w.try(r); failure == nil {
				t.Fatal("the write that was refused succeeded")
			}
			w.requests.before = nil
			expect("a revision failed half way", next(map[string]any{"one": "12", "two": "1", "image": "b"}, w.look(revision-1)), []string{"one", "two"})
			if one, two := w.configMap("one")["a"], w.configMap("two")["a"]; one != "12" || two != "1" {
				t.Errorf("one is %q, two is %q", one, two)
			}
			web, err := w.clients.AppsV1().Deployments(w.namespace).Get(t.Context(), "web", metav1.GetOptions{})
			must(t, err)
			if web.Labels["mark"] != "as-rendered" || *web.Spec.Replicas != 0 {
				t.Errorf("%v %d", web.Labels, *web.Spec.Replicas)
			}
		})
	}
}

// touches changes an object as somebody would by hand.
func (w *world) touches(name, patch string) {
	w.t.Helper()
	var err error
	if name == "web" {
		_, err = w.clients.AppsV1().Deployments(w.namespace).Patch(w.t.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	} else {
		_, err = w.clients.CoreV1().ConfigMaps(w.namespace).Patch(w.t.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	}
	must(w.t, err)
}
