package main

import (
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Actions that only look: render and diff.

func (w *world) wroteNothing() {
	w.t.Helper()
	for _, request := range w.requests.take() {
		if mutates(request) {
			w.t.Errorf("%s %s", request.Method, request.URL)
		}
	}
}

const hookOf = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: NAME, annotations: {helm.sh/hook: \"EVENTS\"}}\n---\n"

func TestRenderCountsHooksAndWritesNothing(t *testing.T) {
	w := newWorld(t)
	var hooked strings.Builder
	for name, events := range map[string]string{"a": "pre-install", "b": "pre-install,post-upgrade", "c": "pre-delete", "d": "test", "e": "pre-upgrade"} {
		hooked.WriteString(strings.NewReplacer("NAME", name, "EVENTS", events).Replace(hookOf))
	}
	// The Secret that it names comes with an environment, and so do values that the schema asks for.
	pod := "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: a, image: b, envFrom: [{secretRef: {name: of-an-environment}}]}]}\n"
	chart := chartArchive(t, "odoo", map[string]string{"hooks.yaml": hooked.String(), "cm.yaml": twoKeys, "pod.yaml": pod,
		"values.schema.json": `{"type": "object", "required": ["customer"]}`})
	r := w.request(actionRender, 1, chart)
	r.Release = "any-release"
	result, stages, failure := w.try(r)
	if failure != nil {
		t.Fatal(failure)
	}
	if result.Hooks != (hooks{Total: 4, Upgrade: 2}) {
		t.Errorf("%+v", result.Hooks)
	}
	if !slices.Equal(stages, []string{"loaded", "rendered"}) {
		t.Errorf("stages %v", stages)
	}
	w.wroteNothing()
}

// A name that is taken in the namespace says nothing against a chart.
func TestRenderTakesNoInterestInWhatIsThere(t *testing.T) {
	w := newWorld(t)
	chart := chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys})
	w.do(w.request(actionInstall, 1, chart))
	w.requests.take()
	r := w.request(actionRender, 1, chart)
	r.Release = "any-release"
	w.do(r)
	for _, request := range w.requests.take() {
		if strings.Contains(request.URL.Path, "/configmaps") || strings.Contains(request.URL.Path, "/secrets") {
			t.Errorf("%s %s", request.Method, request.URL)
		}
	}
}

func TestChartsThatCannotBeAccepted(t *testing.T) {
	w := newWorld(t)
	needs := "apiVersion: v2\nname: odoo\nversion: 1.0.0\ndependencies: [{name: postgresql, version: 1.0.0, repository: \"https://example.org\"}]\n"
	for name, c := range map[string]struct {
		files   map[string]string
		class   string
		message string
	}{
		"dependency": {map[string]string{"Chart.yaml": needs, "cm.yaml": twoKeys}, classChart, "postgresql"},
		"template":   {map[string]string{"cm.yaml": "{{ .Values.a.b }}"}, classRender, "odoo/templates/cm.yaml:1"},
		"YAML":       {map[string]string{"cm.yaml": "a: b: c\n"}, classRender, "odoo/templates/cm.yaml"},
		"kind":       {map[string]string{"role.yaml": "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: r}\n"}, classKindNotAllowed, `Role "r"`},
		"hook":       {map[string]string{"role.yaml": "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: r, annotations: {helm.sh/hook: pre-install}}\n"}, classKindNotAllowed, `Role "r"`},
		"scope":      {map[string]string{"ns.yaml": "apiVersion: v1\nkind: Namespace\nmetadata: {name: n}\n"}, classKindNotAllowed, "belongs to no namespace"},
	} {
		r := w.request(actionRender, 1, chartArchive(t, "odoo", c.files))
		if name == "scope" {
			r.AllowedKinds = []string{"v1/Namespace"}
		}
		failure := w.refused(r, c.class)
		if !strings.Contains(failure.Message, c.message) {
			t.Errorf("%s: message %q", name, failure.Message)
		}
	}
	unserved := w.request(actionRender, 1, chartArchive(t, "odoo", map[string]string{"a.yaml": "apiVersion: example.org/v1\nkind: Later\nmetadata: {name: a}\n"}))
	unserved.AllowedKinds = []string{"example.org/v1/Later"}
	w.do(unserved)
}

// Nothing of an environment is there yet: no host, no customer, no Secret. For what a chart insists on, some name will do.
func TestTheChartOfMostEnvironmentsIsAccepted(t *testing.T) {
	w := newWorld(t)
	r := w.odoo(actionRender, 1, "18.0")
	r.Values, r.AllowedSecrets, r.Labels = nil, nil, nil
	failure := w.refused(r, classValueRequired)
	if !strings.Contains(failure.Message, "set postgresql.auth.existingSecret") {
		t.Errorf("message %q", failure.Message)
	}
	r.Values = map[string]any{"postgresql": map[string]any{"auth": map[string]any{"existingSecret": "any"}}}
	if result := w.do(r); result.Hooks != (hooks{}) {
		t.Errorf("%+v", result)
	}
}

func diffs(result *success) []string {
	var found []string
	for _, one := range result.Diff {
		found = append(found, strings.TrimSpace(one.Change+" "+one.Kind+"/"+one.Name+" "+strings.Join(one.Paths, " ")))
	}
	slices.Sort(found)
	return found
}

func TestDiffNamesPathsAndNoValues(t *testing.T) {
	w := newWorld(t)
	secret := "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: {{ .Values.password | default \"first\" }}}\n"
	files := map[string]string{"all.yaml": webAndDatabase, "cm.yaml": twoKeys, "secret.yaml": secret}
	w.do(w.request(actionInstall, 1, chartArchive(t, "odoo", files)))
	r := w.request(actionDiff, 2, chartArchive(t, "odoo", files))
	if got := diffs(w.do(r)); len(got) != 0 {
		t.Errorf("%q", got)
	}
	files["more.yaml"] = strings.ReplaceAll(twoKeys, "settings", "more")
	delete(files, "cm.yaml")
	r = w.request(actionDiff, 2, chartArchive(t, "odoo", files))
	r.Values = map[string]any{"password": "hunter2", "tag": "18.1"}
	w.requests.take()
	got := diffs(w.do(r))
	want := []string{"changed Deployment/web spec.template.spec.containers[0].image", "changed Secret/s data.password",
		"created ConfigMap/more", "removed ConfigMap/settings"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	w.wroteNothing()
}

// What somebody changed by hand is found only in what the request names: the stored manifest knows nothing of it.
func TestDiffOfWhatWasChangedByHand(t *testing.T) {
	w := newWorld(t)
	chart := chartArchive(t, "odoo", map[string]string{"all.yaml": webAndDatabase})
	w.do(w.request(actionInstall, 1, chart))
	_, err := w.clients.AppsV1().Deployments(w.namespace).Patch(t.Context(), "web", types.JSONPatchType,
		[]byte(`[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"other"},{"op":"add","path":"/metadata/annotations/by.hand~1note","value":"x"}]`), metav1.PatchOptions{})
	must(t, err)
	must(t, w.clients.BatchV1().CronJobs(w.namespace).Delete(t.Context(), "backup", metav1.DeleteOptions{}))
	r := w.request(actionDiff, 2, chart)
	if got := diffs(w.do(r)); len(got) != 0 {
		t.Errorf("%q", got)
	}
	r.Objects = []string{"Deployment/web", "CronJob/backup", "StatefulSet/db"}
	want := []string{"changed Deployment/web spec.template.spec.containers[0].image", "created CronJob/backup"}
	if got := diffs(w.do(r)); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestDiffIsRefusedAsAnUpgradeIs(t *testing.T) {
	w := newWorld(t)
	w.do(w.request(actionInstall, 1, chartArchive(t, "odoo", map[string]string{"job.yaml": jobOfImage})))
	r := w.request(actionDiff, 2, chartArchive(t, "odoo", map[string]string{"job.yaml": jobOfImage}))
	r.Values = map[string]any{"image": "odoo:18"}
	w.refused(r, classImmutable)
	w.refused(w.request(actionDiff, 3, r.Chart.Path), classStaleRevision)
	w.refused(w.request(actionDiff, 2, chartArchive(t, "odoo", map[string]string{"a.yaml": "apiVersion: v1\nkind: Namespace\nmetadata: {name: n}\n"})), classKindNotAllowed)
}
