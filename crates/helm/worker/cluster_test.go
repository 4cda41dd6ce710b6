package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
)

const twoKeys = `apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data:
  {{- range $key, $value := .Values.keys }}
  {{ $key }}: {{ $value | quote }}
  {{- end }}
`

const webAndDatabase = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: {{ .Values.replicaCount | default 1 }}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: "odoo:{{ .Values.tag | default "18" }}"}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: 1
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      containers: [{name: db, image: "postgres:15"}]
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: backup}
spec:
  schedule: "0 1 * * *"
  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: b, image: "busybox"}]}}}}
`

func keys(pairs ...string) map[string]any {
	m := map[string]any{}
	for _, pair := range pairs {
		m[pair] = "v-" + pair
	}
	return map[string]any{"keys": m}
}

func TestInstallAndUpgrade(t *testing.T) {
	w := newWorld(t)
	chart := chartArchive(t, "odoo", map[string]string{"all.yaml": webAndDatabase, "cm.yaml": twoKeys})
	r := w.request(actionInstall, 1, chart)
	r.Values, r.Labels = keys("a", "b"), map[string]string{"odoofleet.dev/customer": "acme"}
	_, stages, failure := w.try(r)
	if failure != nil {
		t.Fatal(failure)
	}
	if want := []string{"loaded", "rendered", "checked", "recorded", "applied"}; !slices.Equal(stages, want) {
		t.Errorf("stages %v", stages)
	}
	if got := w.secretNames(); !slices.Equal(got, []string{"sh.helm.release.v1.acme-prod.v1 deployed"}) {
		t.Errorf("stored: %v", got)
	}
	r = w.request(actionUpgrade, 2, chart)
	r.Values = keys("b", "c")
	if _, stages, failure = w.try(r); failure != nil {
		t.Fatal(failure)
	}
	if want := []string{"loaded", "rendered", "checked", "accepted", "recorded", "applied"}; !slices.Equal(stages, want) {
		t.Errorf("stages %v", stages)
	}
	if got := w.secretNames(); len(got) != 2 || got[1] != "sh.helm.release.v1.acme-prod.v2 deployed" {
		t.Errorf("stored: %v", got)
	}
	if got := fmt.Sprint(w.configMap("settings")); got != "map[b:v-b c:v-c]" {
		t.Errorf("settings %s", got)
	}
	// Values are never taken over from the revision before, not even by an upgrade that has none.
	w.do(w.request(actionUpgrade, 3, chart))
	if got := w.configMap("settings"); len(got) != 0 {
		t.Errorf("settings %v", got)
	}
	web, err := w.clients.AppsV1().Deployments(w.namespace).Get(t.Context(), "web", metav1.GetOptions{})
	must(t, err)
	spec := web.Spec.Template.Spec
	if spec.EnableServiceLinks == nil || *spec.EnableServiceLinks || spec.AutomountServiceAccountToken == nil || *spec.AutomountServiceAccountToken {
		t.Errorf("service links %v, token %v", spec.EnableServiceLinks, spec.AutomountServiceAccountToken)
	}
	for _, owner := range web.ManagedFields {
		if owner.Manager == "helm" {
			return
		}
	}
	t.Errorf("managers %v", web.ManagedFields)
}

func TestNoListOfSecretsAndUserAgent(t *testing.T) {
	w := newWorld(t)
	hook := "apiVersion: v1\nkind: Secret\nmetadata: {name: hooked, annotations: {helm.sh/hook: \"pre-install,pre-upgrade\"}}\nstringData: {a: b}\n"
	chart := chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys, "hook.yaml": hook})
	w.do(w.request(actionInstall, 1, chart))
	w.do(w.request(actionUpgrade, 2, chart))
	w.do(w.request(actionUpgrade, 3, chart))
	w.do(w.request(actionUpgrade, 4, chart))
	if got := w.secretNames(); !slices.Equal(got, []string{"sh.helm.release.v1.acme-prod.v3 superseded", "sh.helm.release.v1.acme-prod.v4 deployed"}) {
		t.Errorf("stored: %v", got)
	}
	w.do(w.request(actionUninstall, 4, chart))
	if got := w.secretNames(); len(got) != 0 {
		t.Errorf("left: %v", got)
	}
	secrets := 0
	for _, request := range w.requests.take() {
		if strings.HasSuffix(request.URL.Path, "/secrets") && request.Method == http.MethodGet {
			t.Errorf("LIST %s", request.URL)
		}
		if strings.Contains(request.URL.Path, "/secrets/") {
			secrets++
			if agent := request.Header.Get("User-Agent"); !strings.HasPrefix(agent, "odoofleet-helm-worker/dev (operation op-") {
				t.Errorf("user agent %q", agent)
			}
		}
	}
	if secrets == 0 {
		t.Error("no request for a Secret was seen at all")
	}
}

// Installed by the command line, upgraded in turn by both: what each no longer renders goes, and the command line goes on
// understanding everything.
func TestTakesTurnsWithTheCommandLine(t *testing.T) {
	for _, mode := range []string{"--server-side=true", "--server-side=false"} {
		t.Run(mode, func(t *testing.T) {
			w := newWorld(t)
			chart := chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys, "all.yaml": webAndDatabase})
			w.helm("install", "acme-prod", chart, mode, "--set", "keys.a=v-a,keys.b=v-b,keys.c=v-c")
			r := w.request(actionUpgrade, 2, chart)
			r.Values = keys("b", "c")
			w.do(r)
			if got := fmt.Sprint(w.configMap("settings")); got != "map[b:v-b c:v-c]" {
				t.Errorf("after ours: %s", got)
			}
			w.helm("upgrade", "acme-prod", chart, "--reset-values", "--set", "keys.c=v-c,keys.d=v-d")
			if got := fmt.Sprint(w.configMap("settings")); got != "map[c:v-c d:v-d]" {
				t.Errorf("after theirs: %s", got)
			}
			r = w.request(actionUpgrade, 4, chart)
			r.Values = keys("d")
			w.do(r)
			if got := fmt.Sprint(w.configMap("settings")); got != "map[d:v-d]" {
				t.Errorf("after ours again: %s", got)
			}
			var history []map[string]any
			must(t, json.Unmarshal([]byte(w.helm("history", "acme-prod", "-o", "json")), &history))
			if last := history[len(history)-1]; last["status"] != "deployed" || last["revision"] != 4.0 {
				t.Errorf("history %v", history)
			}
			w.helm("rollback", "acme-prod", "3")
			if got := fmt.Sprint(w.configMap("settings")); got != "map[c:v-c d:v-d]" {
				t.Errorf("after rollback: %s", got)
			}
		})
	}
}

// What somebody else has set by server-side apply meanwhile is set back, not a reason to fail.
func TestConflictsAreForced(t *testing.T) {
	w := newWorld(t)
	chart := chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys})
	r := w.request(actionInstall, 1, chart)
	r.Values = keys("a")
	w.do(r)
	_, err := w.clients.CoreV1().ConfigMaps(w.namespace).Patch(t.Context(), "settings", types.ApplyPatchType,
		[]byte(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"settings"},"data":{"a":"theirs"}}`),
		metav1.PatchOptions{FieldManager: "kubectl", Force: new(true)})
	must(t, err)
	r = w.request(actionUpgrade, 2, chart)
	r.Values = keys("a")
	w.do(r)
	if got := w.configMap("settings")["a"]; got != "v-a" {
		t.Errorf("a is %q", got)
	}
}

func TestAsleepThroughAnUpgrade(t *testing.T) {
	w := newWorld(t)
	chart := chartArchive(t, "odoo", map[string]string{"all.yaml": webAndDatabase})
	w.do(w.request(actionInstall, 1, chart))
	_, err := w.clients.AppsV1().StatefulSets(w.namespace).Patch(t.Context(), "db", types.MergePatchType,
		[]byte(`{"spec":{"replicas":0}}`), metav1.PatchOptions{}, "scale")
	must(t, err)
	r := w.request(actionUpgrade, 2, chart)
	r.Replicas = map[string]int64{"StatefulSet/db": 0, "Deployment/web": 0}
	r.SuspendCronJobs = true
	r.Values = map[string]any{"tag": "18.1"}
	w.do(r)
	db, err := w.clients.AppsV1().StatefulSets(w.namespace).Get(t.Context(), "db", metav1.GetOptions{})
	must(t, err)
	web, err := w.clients.AppsV1().Deployments(w.namespace).Get(t.Context(), "web", metav1.GetOptions{})
	must(t, err)
	backup, err := w.clients.BatchV1().CronJobs(w.namespace).Get(t.Context(), "backup", metav1.GetOptions{})
	must(t, err)
	if *db.Spec.Replicas != 0 || *web.Spec.Replicas != 0 || !*backup.Spec.Suspend {
		t.Errorf("database %d, web %d, suspended %t", *db.Spec.Replicas, *web.Spec.Replicas, *backup.Spec.Suspend)
	}
	if image := web.Spec.Template.Spec.Containers[0].Image; image != "odoo:18.1" {
		t.Errorf("image %q: the upgrade did not arrive", image)
	}
	three := int64(3)
	r = w.request(actionUpgrade, 3, chart)
	r.OtherReplicas = &three
	w.do(r)
	web, err = w.clients.AppsV1().Deployments(w.namespace).Get(t.Context(), "web", metav1.GetOptions{})
	must(t, err)
	if *web.Spec.Replicas != 3 {
		t.Errorf("web %d, want 3", *web.Spec.Replicas)
	}
}

// The permit ends between two writes of one action.
func TestLabels(t *testing.T) {
	w := newWorld(t)
	chart := chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys})
	r := w.request(actionInstall, 1, chart)
	r.Labels = map[string]string{"odoofleet.dev/customer": "acme", labelRetainedAt: "1700000000"}
	w.do(r)
	r = w.request(actionUpgrade, 2, chart)
	r.Labels = map[string]string{"odoofleet.dev/revision": "2"}
	w.do(r)
	secret, err := w.clients.CoreV1().Secrets(w.namespace).Get(t.Context(), secretName("acme-prod", 2), metav1.GetOptions{})
	must(t, err)
	if _, retained := secret.Labels[labelRetainedAt]; retained || secret.Labels["odoofleet.dev/customer"] != "acme" || secret.Labels["odoofleet.dev/revision"] != "2" {
		t.Errorf("%v", secret.Labels)
	}
}

func TestHooksThatSucceed(t *testing.T) {
	w := newWorld(t)
	w.needsNode()
	hook := func(name, annotations string) string {
		return "apiVersion: batch/v1\nkind: Job\nmetadata: {name: " + name + ", annotations: {" + annotations + "}}\n" +
			"spec: {template: {spec: {tolerations: [{operator: Exists}], restartPolicy: Never, containers: [{name: a, image: busybox}]}}}\n"
	}
	chart := chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys,
		"a.yaml": hook("before", `helm.sh/hook: "pre-install,pre-upgrade", helm.sh/hook-output-log-policy: hook-succeeded`),
		"b.yaml": hook("after", `helm.sh/hook: "post-install,post-upgrade", helm.sh/hook-delete-policy: hook-succeeded`),
		"c.yaml": hook("test", `helm.sh/hook: test`)})
	for revision, action := range []string{actionInstall, actionUpgrade} {
		if result := w.do(w.request(action, revision+1, chart)); result.Hooks != (hooks{Total: 2, Upgrade: 2}) {
			t.Errorf("%+v", result)
		}
	}
	jobs, err := w.clients.BatchV1().Jobs(w.namespace).List(t.Context(), metav1.ListOptions{})
	must(t, err)
	if len(jobs.Items) != 1 || jobs.Items[0].Name != "before" {
		t.Errorf("%d jobs are left", len(jobs.Items))
	}
	for _, request := range w.requests.take() {
		if strings.HasSuffix(request.URL.Path, "/jobs") && request.Method == http.MethodGet && request.URL.Query().Get("fieldSelector") == "" {
			t.Errorf("all jobs are listed: %s", request.URL)
		}
	}
}

// A kind that is installed while the worker runs is known to the next operation.
func TestKindsThatAreNew(t *testing.T) {
	w := newWorld(t)
	group := w.namespace + ".example.org"
	chart := chartArchive(t, "odoo", map[string]string{"a.yaml": "apiVersion: " + group + "/v1\nkind: Thing\nmetadata: {name: a}\nspec: {}\n"})
	r := w.request(actionInstall, 1, chart)
	r.AllowedKinds = []string{group + "/v1/Thing"}
	w.refused(r, classInvalid)
	path := "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
	definition := fmt.Sprintf(`{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"things.%[1]s"},"spec":{"group":"%[1]s","scope":"Namespaced",
		"names":{"plural":"things","kind":"Thing"},"versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}}]}}`, group)
	rest := w.clients.RESTClient()
	must(t, rest.Post().AbsPath(path).Body([]byte(definition)).Do(t.Context()).Error())
	t.Cleanup(func() { rest.Delete().AbsPath(path, "things."+group).Do(context.Background()) })
	must(t, wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
		return rest.Get().AbsPath("/apis", group, "v1", "namespaces", w.namespace, "things").Do(ctx).Error() == nil, nil
	}))
	w.do(r)
}
