package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// What somebody changes of a release by hand is found, and put right by the same writes.

const driftingChart = `apiVersion: v1
kind: ConfigMap
metadata: {name: settings, labels: {app: odoo}}
data: {a: "1", b: "2"}
---
apiVersion: v1
kind: Secret
metadata: {name: passwords}
stringData: {password: hunter1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: a, image: a, env: [{name: X, value: "1"}], resources: {limits: {cpu: 1000m}}}, {name: b, image: b}]}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: backup}
spec: {schedule: "@daily", suspend: false, jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: a}]}}}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: hooked, annotations: {helm.sh/hook: "pre-install,pre-upgrade"}}
data: {h: "1"}
`

func (w *world) driftOf(change func(*driftRequest)) *success {
	w.t.Helper()
	r := w.request(actionDrift, 1, "")
	if change != nil {
		change(r.Drift)
	}
	w.requests.take()
	result := w.do(r)
	for _, request := range w.requests.take() {
		if mutates(request) && (!r.Drift.Correct || strings.Contains(request.URL.Path, "/sh.helm.release")) {
			w.t.Errorf("%s %s", request.Method, request.URL)
		}
	}
	return result
}

func correcting(d *driftRequest) { d.Correct = true }

func (w *world) noDrift(what string) {
	w.t.Helper()
	if found := w.driftOf(nil); len(found.Drift)+len(found.Refused) > 0 {
		w.t.Errorf("%s: %q, refused %v", what, said(found.Drift), found.Refused)
	}
}

func (w *world) live(resource, name string) map[string]any {
	w.t.Helper()
	prefix := map[string]string{"deployments": "/apis/apps/v1", "cronjobs": "/apis/batch/v1"}[resource]
	if prefix == "" {
		prefix = "/api/v1"
	}
	text, err := w.clients.RESTClient().Get().AbsPath(prefix, "namespaces", w.namespace, resource, name).DoRaw(w.t.Context())
	must(w.t, err)
	content := map[string]any{}
	must(w.t, json.Unmarshal(text, &content))
	return content
}

// edits patches an object as "kubectl edit" does.
func (w *world) edits(prefix, resource, name, patch string) {
	w.t.Helper()
	must(w.t, w.clients.RESTClient().Patch(types.StrategicMergePatchType).AbsPath(prefix, "namespaces", w.namespace, resource, name).
		Param("fieldManager", "kubectl-edit").Body([]byte(patch)).Do(w.t.Context()).Error())
}

const (
	core = "/api/v1"
	apps = "/apis/apps/v1"
)

func TestDriftIsFoundAndPutRight(t *testing.T) {
	for name, by := range makers {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.makes(by, "install", "acme-prod", chartArchive(t, "odoo", map[string]string{"all.yaml": driftingChart}))
			record, _ := w.record(1)
			w.noDrift("as it was made")

			// A person changes, removes and adds.
			w.edits(core, "configmaps", "settings", `{"data":{"a":"changed","b":null,"mine":"added"},"metadata":{"labels":{"app":null,"mine":"added"}}}`)
			w.edits(core, "secrets", "passwords", `{"stringData":{"password":"hunter2"}}`)
			w.edits(apps, "deployments", "web", `{"spec":{"template":{"spec":{"containers":[{"name":"a","image":"changed",`+
				`"env":[{"name":"MINE","value":"added"},{"name":"X","value":"changed"}],"resources":{"limits":null}},{"name":"mine","image":"added"}]}}}}`)
			must(t, w.clients.CoreV1().Services(w.namespace).Delete(t.Context(), "web", metav1.DeleteOptions{}))
			must(t, w.clients.CoreV1().ConfigMaps(w.namespace).Delete(t.Context(), "hooked", metav1.DeleteOptions{}))

			want := []string{
				"changed ConfigMap/settings [data.a data.b metadata.labels.app]",
				"changed Secret/passwords [data.password]",
				"removed Service/web []",
			}
			found := said(w.driftOf(nil).Drift)
			for _, one := range want {
				if !slices.Contains(found, one) {
					t.Errorf("%q is not told: %q", one, found)
				}
			}
			if len(found) != 4 || !slices.ContainsFunc(found, func(one string) bool {
				return strings.HasPrefix(one, "changed Deployment/web [spec.template.spec.containers")
			}) {
				t.Errorf("told is %q", found)
			}
			if got := said(w.driftOf(nil).Drift); !slices.Equal(got, found) {
				t.Errorf("looking changed something: %q", got)
			}
			if strings.Contains(fmt.Sprint(found), "hunter") {
				t.Errorf("a value is told: %q", found)
			}

			done := w.driftOf(correcting)
			slices.Sort(done.Corrected)
			if all := []string{"ConfigMap/settings", "Deployment.apps/web", "Secret/passwords", "Service/web"}; !slices.Equal(done.Corrected, all) || len(done.Refused) > 0 {
				t.Errorf("corrected %q, refused %v", done.Corrected, done.Refused)
			}
			w.noDrift("after the correction")
			if got := w.configMap("settings"); fmt.Sprint(got) != "map[a:1 b:2 mine:added]" {
				t.Errorf("settings %v", got)
			}
			settings := newObject(w.live("configmaps", "settings"))
			if labels := settings.GetLabels(); labels["app"] != "odoo" || labels["mine"] != "added" || labels[labelManagedBy] != managedByHelm {
				t.Errorf("labels %v", labels)
			}
			web := newObject(w.live("deployments", "web"))
			text := fmt.Sprint(web.at("spec", "template", "spec", "containers"))
			for _, part := range []string{"image:a ", "value:1", "MINE", "image:added", "limits:map[cpu:1]"} {
				if !strings.Contains(text, part) {
					t.Errorf("%q is not in %s", part, text)
				}
			}
			if now, _ := w.record(1); now.ResourceVersion != record.ResourceVersion || len(w.secretNames()) != 1 {
				t.Error("a record was written")
			}
			// What comes after is as if nothing had been: Helm's own upgrade takes away what it no longer renders, and leaves what is not its own.
			w.makes(by, "upgrade", "acme-prod", chartArchive(t, "odoo", map[string]string{"all.yaml": strings.Replace(driftingChart, `, b: "2"`, "", 1)}))
			if got := w.configMap("settings"); fmt.Sprint(got) != "map[a:1 mine:added]" {
				t.Errorf("settings after an upgrade %v", got)
			}
		})
	}
}

// Fields that an older revision has written stay away when what came after is put right.
func TestCorrectionBringsNothingBackAndTakesNothingAway(t *testing.T) {
	for name, by := range makers {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			chart := chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys})
			w.makes(by, "install", "acme-prod", chart, "--set", "keys.a=x,keys.b=y")
			w.makes(by, "upgrade", "acme-prod", chart, "--set", "keys.a=x,keys.c=z")
			w.edits(core, "configmaps", "settings", `{"data":{"a":"changed","b":"mine"}}`)
			r := w.request(actionDrift, 2, "")
			r.Drift.Correct = true
			w.do(r)
			if got := w.configMap("settings"); fmt.Sprint(got) != "map[a:x b:mine c:z]" {
				t.Errorf("settings %v", got)
			}
			w.makes(by, "upgrade", "acme-prod", chart, "--set", "keys.a=x")
			if got := w.configMap("settings"); fmt.Sprint(got) != "map[a:x b:mine]" {
				t.Errorf("settings after an upgrade %v", got)
			}
		})
	}
}

func TestWhatIsNobodysMistakeIsNoDrift(t *testing.T) {
	for name, by := range makers {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.makes(by, "install", "acme-prod", chartArchive(t, "odoo", map[string]string{"all.yaml": driftingChart}))
			w.edits(apps, "deployments", "web", `{"spec":{"replicas":0}}`)
			w.edits("/apis/batch/v1", "cronjobs", "backup", `{"spec":{"suspend":true}}`)
			want := []string{"changed CronJob/backup [spec.suspend]", "changed Deployment/web [spec.replicas]"}
			got := said(w.driftOf(nil).Drift)
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("%q", got)
			}
			scaled := func(d *driftRequest) { d.Scaled = []string{"Deployment/web", "CronJob/backup"} }
			if got := w.driftOf(scaled).Drift; len(got) > 0 {
				t.Errorf("scaled: %q", said(got))
			}
			// What is scaled stays so when something else is put right.
			w.edits(apps, "deployments", "web", `{"spec":{"template":{"spec":{"containers":[{"name":"a","image":"changed"}]}}}}`)
			done := w.driftOf(func(d *driftRequest) { scaled(d); d.Correct = true })
			if !slices.Equal(done.Corrected, []string{"Deployment.apps/web"}) {
				t.Errorf("corrected %v", done.Corrected)
			}
			web := newObject(w.live("deployments", "web"))
			if replicas := web.at("spec", "replicas"); replicas != float64(0) || !strings.Contains(fmt.Sprint(web.at("spec", "template")), "image:a ") {
				t.Errorf("%v replicas, %v", replicas, web.at("spec", "template"))
			}
		})
	}
}

func TestAutoscalersScale(t *testing.T) {
	const autoscaler = `apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}, maxReplicas: 5, metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}}]}
`
	for name, more := range map[string]string{"of the release": autoscaler, "of somebody else": ""} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.helm("install", "acme-prod", chartArchive(t, "odoo", map[string]string{"all.yaml": driftingChart, "hpa.yaml": more}))
			manager := "somebody"
			if more == "" {
				manager = "kube-controller-manager"
			}
			scale := &autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: w.namespace}, Spec: autoscalingv1.ScaleSpec{Replicas: 4}}
			_, err := w.clients.AppsV1().Deployments(w.namespace).UpdateScale(t.Context(), "web", scale, metav1.UpdateOptions{FieldManager: manager})
			must(t, err)
			w.noDrift("scaled by an autoscaler")
		})
	}
}

func TestIgnoredFieldsStayAsTheyAre(t *testing.T) {
	for name, by := range makers {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.makes(by, "install", "acme-prod", chartArchive(t, "odoo", map[string]string{"all.yaml": driftingChart}))
			w.edits(core, "configmaps", "settings", `{"data":{"a":"changed","b":null}}`)
			web, settings := "Deployment.apps/web", "ConfigMap/settings"
			some := func(d *driftRequest) {
				d.Ignore = []ignored{{Object: &settings, Paths: []string{"data.a"}}, {Object: &web, Paths: []string{"data.b"}}}
			}
			if got := said(w.driftOf(some).Drift); !slices.Equal(got, []string{"changed ConfigMap/settings [data.b]"}) {
				t.Errorf("%q", got)
			}
			w.driftOf(func(d *driftRequest) { some(d); d.Correct = true })
			if got := w.configMap("settings"); fmt.Sprint(got) != "map[a:changed b:2]" {
				t.Errorf("settings %v", got)
			}
			if got := w.driftOf(func(d *driftRequest) { d.Ignore = []ignored{{Paths: []string{"data"}}} }).Drift; len(got) > 0 {
				t.Errorf("%q", said(got))
			}
			if got := w.driftOf(func(d *driftRequest) { d.Objects = &[]string{"Secret/passwords"} }).Drift; len(got) > 0 {
				t.Errorf("what was not asked for: %q", said(got))
			}
		})
	}
}

// One that cannot be put right does not keep the others from it.
func TestCorrectionThatIsRefused(t *testing.T) {
	w := newWorld(t)
	w.helm("install", "acme-prod", chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys, "fixed.yaml": fixedOfImage, "claim.yaml": claimOfSize}), "--set", "keys.a=x")
	must(t, w.clients.CoreV1().ConfigMaps(w.namespace).Delete(t.Context(), "unalterable", metav1.DeleteOptions{}))
	immutable := strings.Replace(fixedOfImage, `{{ .Values.image | default "odoo:17" }}`, "mine", 1)
	must(t, w.clients.RESTClient().Post().AbsPath(core, "namespaces", w.namespace, "configmaps").SetHeader("Content-Type", "application/yaml").
		Body([]byte(immutable)).Do(t.Context()).Error())
	must(t, w.clients.CoreV1().PersistentVolumeClaims(w.namespace).Delete(t.Context(), "files", metav1.DeleteOptions{}))
	w.touchesClaim("files")
	w.edits(core, "configmaps", "settings", `{"data":{"a":"changed"}}`)
	done := w.driftOf(correcting)
	if !slices.Equal(done.Corrected, []string{"ConfigMap/settings"}) || w.configMap("settings")["a"] != "x" {
		t.Errorf("corrected %v", done.Corrected)
	}
	refused := map[string]string{}
	for _, one := range done.Refused {
		refused[one.Object] = one.Class
	}
	if fmt.Sprint(refused) != fmt.Sprint(map[string]string{"ConfigMap/unalterable": classImmutable, "PersistentVolumeClaim/files": classWouldDeleteData}) {
		t.Errorf("%v", done.Refused)
	}
	if _, err := w.clients.CoreV1().PersistentVolumeClaims(w.namespace).Get(t.Context(), "files", metav1.GetOptions{}); err == nil {
		t.Error("an empty volume was made")
	}
}

// touchesClaim lets a claim go that Kubernetes protects.
func (w *world) touchesClaim(name string) {
	w.t.Helper()
	_, _ = w.clients.CoreV1().PersistentVolumeClaims(w.namespace).Patch(w.t.Context(), name, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
}

func TestDriftOfAnotherRevisionOrNone(t *testing.T) {
	w := newWorld(t)
	chart := chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys})
	w.refused(w.request(actionDrift, 1, ""), classNotFound)
	w.helm("install", "acme-prod", chart)
	w.helm("upgrade", "acme-prod", chart)
	w.refused(w.request(actionDrift, 1, ""), classStaleRevision)
	w.do(w.request(actionDrift, 2, ""))
	r := w.request(actionDrift, 2, "")
	r.Drift.Ignore = []ignored{{Paths: []string{"/data/a"}}}
	w.refused(r, classInvalidRequest)
}

// Somebody who changes an object at the same moment is not overruled unseen.
func TestCorrectionMeetsAnotherWriter(t *testing.T) {
	w := newWorld(t)
	w.helm("install", "acme-prod", chartArchive(t, "odoo", map[string]string{"all.yaml": driftingChart}))
	w.edits(apps, "deployments", "web", `{"spec":{"template":{"spec":{"containers":[{"name":"a","image":"changed"}]}}}}`)
	meddled := false
	w.requests.before = func(r *http.Request) error {
		if r.Method == http.MethodPatch && path.Base(r.URL.Path) == "web" && r.URL.Query().Get("dryRun") == "" && !meddled {
			meddled = true
			w.edits(apps, "deployments", "web", `{"spec":{"replicas":7}}`)
		}
		return nil
	}
	done := w.driftOf(func(d *driftRequest) { d.Correct = true; d.Scaled = []string{"Deployment/web"} })
	web := newObject(w.live("deployments", "web"))
	if !meddled || len(done.Corrected) != 1 || web.at("spec", "replicas") != float64(7) {
		t.Errorf("%t, corrected %v, %v replicas", meddled, done.Corrected, web.at("spec", "replicas"))
	}
}

// After a correction an upgrade sends the object once more, since its record tells of how it was before.
func TestUpgradeAfterACorrectionSendsTheObject(t *testing.T) {
	w := newWorld(t)
	chart := chartArchive(t, "odoo", map[string]string{"all.yaml": untouchedChart})
	w.do(w.request(actionInstall, 1, chart))
	w.touches("two", `{"data":{"a":"changed"}}`)
	w.driftOf(correcting)
	r := w.request(actionUpgrade, 2, chart)
	r.Values, r.Seen = map[string]any{"one": "2"}, w.look(1)
	w.requests.take()
	w.do(r)
	if got := w.sent(); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("sent %v", got)
	}
}

// A volume that was enlarged is as it should be, and asking for less would be refused.
func TestEnlargedVolumeIsNoDrift(t *testing.T) {
	for name, by := range makers {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			class := w.volumeOf(true)
			w.makes(by, "install", "acme-prod", chartArchive(t, "odoo", map[string]string{"claim.yaml": claimOfSize, "values.yaml": "class: " + class + "\n"}))
			w.waitUntilBound("files")
			w.edits(core, "persistentvolumeclaims", "files", `{"spec":{"resources":{"requests":{"storage":"2Gi"}}},"metadata":{"labels":{"mine":"x"}}}`)
			w.noDrift("an enlarged volume")
			w.edits(core, "persistentvolumeclaims", "files", `{"metadata":{"labels":{"app.kubernetes.io/managed-by":"me"}}}`)
			if done := w.driftOf(correcting); !slices.Equal(done.Corrected, []string{"PersistentVolumeClaim/files"}) || len(done.Refused) > 0 {
				t.Errorf("corrected %v, refused %v", done.Corrected, done.Refused)
			}
			if size := w.claim("files").Spec.Resources.Requests.Storage().String(); size != "2Gi" {
				t.Errorf("size %s", size)
			}
		})
	}
}

// A Job that Kubernetes has removed when its time was over is not run again.
func TestFinishedJobThatIsGoneIsNoDrift(t *testing.T) {
	w := newWorld(t)
	expiring := strings.ReplaceAll(strings.Replace(jobOfImage, "spec: {template", "spec: {ttlSecondsAfterFinished: 60, template", 1), "init", "expiring")
	w.helm("install", "acme-prod", chartArchive(t, "odoo", map[string]string{"one.yaml": expiring, "two.yaml": jobOfImage}))
	now := metav1.DeletePropagationBackground
	for _, name := range []string{"expiring", "init"} {
		must(t, w.clients.BatchV1().Jobs(w.namespace).Delete(t.Context(), name, metav1.DeleteOptions{PropagationPolicy: &now}))
	}
	if got := said(w.driftOf(nil).Drift); !slices.Equal(got, []string{"removed Job/init []"}) {
		t.Errorf("%q", got)
	}
}

// What was made anew under a name of the release's by another release is not taken away from that.
func TestObjectOfAnotherReleaseIsLeftAlone(t *testing.T) {
	w := newWorld(t)
	chart := chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys})
	w.helm("install", "acme-prod", chart, "--set", "keys.a=x")
	must(t, w.clients.CoreV1().ConfigMaps(w.namespace).Delete(t.Context(), "settings", metav1.DeleteOptions{}))
	w.helm("install", "other", chart, "--set", "keys.a=theirs")
	done := w.driftOf(correcting)
	if len(done.Corrected) > 0 || len(done.Refused) != 1 || done.Refused[0].Class != classConflict || w.configMap("settings")["a"] != "theirs" {
		t.Errorf("%+v", done)
	}
}

// Without the right to write, looking works and putting right does not.
func TestCorrectionNeedsAPermit(t *testing.T) {
	w := newWorld(t)
	w.helm("install", "acme-prod", chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys}), "--set", "keys.a=x")
	w.edits(core, "configmaps", "settings", `{"data":{"a":"changed"}}`)
	r := w.request(actionDrift, 1, "")
	r.Drift.Correct = true
	r.ValidForMillis = 0
	w.refused(r, classPermitExpired)
	if got := w.configMap("settings")["a"]; got != "changed" {
		t.Errorf("a is %q", got)
	}
}

// The API server does not answer: then nothing is said of any object.
func TestDriftWithoutAnAnswer(t *testing.T) {
	w := newWorld(t)
	w.helm("install", "acme-prod", chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys}))
	w.requests.before = func(r *http.Request) error {
		if path.Base(r.URL.Path) == "settings" {
			return http.ErrHandlerTimeout
		}
		return nil
	}
	w.refused(w.request(actionDrift, 1, ""), classUnreachable)
}

// The chart that most environments have, by every way in which its releases come to be.
func TestTheOdooChartIsEqualAndHasNoDrift(t *testing.T) {
	ways := map[string]func(*world, *request){"ours": func(w *world, r *request) { w.do(r) }}
	for name, by := range makers {
		ways[name] = func(w *world, r *request) {
			file := filepath.Join(w.t.TempDir(), "values.json")
			must(w.t, os.WriteFile(file, must1(json.Marshal(r.Values)), 0o600))
			w.makes(by, "install", "acme-prod", r.Chart.Path, "--values", file)
		}
	}
	for name, install := range ways {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			install(w, w.odoo(actionInstall, 1, "18.0"))
			w.noDrift("as it was made")
			if name == "ours" {
				return
			}
			r := w.odoo(actionCompare, 2, "18.0")
			w.isEqual(w.do(r).Compared)
			r = w.odoo(actionCompare, 2, "18.0-2")
			c := w.do(r).Compared
			if len(c.Differences) == 0 || !slices.Contains(c.Restarts, "Deployment/acme-prod-web") || slices.Contains(c.Restarts, "StatefulSet/acme-prod-postgresql") {
				t.Errorf("%+v", c)
			}
		})
	}
}
