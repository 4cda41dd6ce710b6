package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
)

// Upgrades that the API server refuses, and what they leave.

const jobOfImage = `apiVersion: batch/v1
kind: Job
metadata: {name: init}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: "{{ .Values.image | default "odoo:17" }}"}]}}}
`

// Helm applies it after "settings".
const fixedOfImage = `apiVersion: v1
kind: ConfigMap
metadata: {name: unalterable}
immutable: true
data: {image: "{{ .Values.image | default "odoo:17" }}"}
`

const claimOfSize = `apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: files}
spec: {accessModes: [ReadWriteOnce], {{ with .Values.class }}storageClassName: {{ . }}, {{ end }}resources: {requests: {storage: {{ .Values.size | default "1Gi" }}}}}
`

func (w *world) untouched(values map[string]string, records ...string) {
	w.t.Helper()
	if got := w.configMap("settings"); fmt.Sprint(got) != fmt.Sprint(values) {
		w.t.Errorf("settings %v, want %v", got, values)
	}
	if got := w.secretNames(); !slices.Equal(got, records) {
		w.t.Errorf("stored: %v", got)
	}
}

const firstDeployed = "sh.helm.release.v1.acme-prod.v1 deployed"

// The second object is refused: the first, which Helm applies before it, stays as it was, and no revision is made.
func TestUpgradeThatIsRefusedLeavesNothingHalfApplied(t *testing.T) {
	for _, mode := range []string{"ours", "--server-side=false"} {
		t.Run(mode, func(t *testing.T) {
			w := newWorld(t)
			chart := chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys, "fixed.yaml": fixedOfImage})
			if mode == "ours" {
				r := w.request(actionInstall, 1, chart)
				r.Values = keys("a")
				w.do(r)
			} else {
				w.helm("install", "acme-prod", chart, mode, "--set", "keys.a=v-a")
			}
			r := w.request(actionUpgrade, 2, chart)
			r.Values = keys("b")
			r.Values["image"] = "odoo:18"
			failure := w.refused(r, classImmutable)
			want := `ConfigMap "unalterable": data.image cannot change in an object that exists`
			if failure.Message != want {
				t.Errorf("message %q", failure.Message)
			}
			w.untouched(map[string]string{"a": "v-a"}, firstDeployed)
			delete(r.Values, "image")
			w.do(r)
			w.untouched(map[string]string{"b": "v-b"}, "sh.helm.release.v1.acme-prod.v1 superseded", "sh.helm.release.v1.acme-prod.v2 deployed")
		})
	}
}

func TestUpgradeWithANewObjectThatIsRefused(t *testing.T) {
	w := newWorld(t)
	w.do(w.request(actionInstall, 1, chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys})))
	for class, more := range map[string]string{
		classInvalid:   "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 99999}]}\n",
		classForbidden: "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {serviceAccountName: no-such, containers: [{name: a, image: b}]}\n",
	} {
		r := w.request(actionUpgrade, 2, chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys, "more.yaml": more}))
		r.Values = keys("b")
		w.refused(r, class)
		w.untouched(nil, firstDeployed)
	}
}

// What the release itself brings first is not missed by what comes after.
func TestUpgradeWithAPodOfANewServiceAccount(t *testing.T) {
	w := newWorld(t)
	w.do(w.request(actionInstall, 1, chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys})))
	pod := "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: brought}\n---\n" +
		"apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {serviceAccountName: brought, containers: [{name: a, image: b}]}\n"
	w.do(w.request(actionUpgrade, 2, chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys, "more.yaml": pod})))
}

// What a dry run would have removed is still there when the upgrade is refused, and gone when it is made.
func TestDryRunRemovesNothing(t *testing.T) {
	w := newWorld(t)
	other := strings.ReplaceAll(twoKeys, "settings", "other")
	w.do(w.request(actionInstall, 1, chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys, "other.yaml": other, "job.yaml": jobOfImage})))
	without := chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys, "job.yaml": jobOfImage})
	r := w.request(actionUpgrade, 2, without)
	r.Values = map[string]any{"image": "odoo:18"}
	w.refused(r, classImmutable)
	w.configMap("other")
	w.do(w.request(actionUpgrade, 2, without))
	if _, err := w.clients.CoreV1().ConfigMaps(w.namespace).Get(t.Context(), "other", metav1.GetOptions{}); err == nil {
		t.Error("what is no longer rendered is still there")
	}
}

// After an upgrade that failed half way, the objects may be as either revision has them.
func TestUpgradeAfterAFailedOneLooksAtBoth(t *testing.T) {
	w := newWorld(t)
	chart := chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys, "hook.yaml": jobThatFails})
	plain := chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys})
	w.do(w.request(actionInstall, 1, plain))
	r := w.request(actionUpgrade, 2, chart)
	r.Values = keys("b")
	w.refused(r, classHook)
	w.untouched(map[string]string{"b": "v-b"}, firstDeployed, "sh.helm.release.v1.acme-prod.v2 failed")
	tried := 0
	w.requests.take()
	w.do(w.request(actionUpgrade, 3, plain))
	for _, request := range w.requests.take() {
		if request.URL.Query().Get("dryRun") == "All" {
			tried++
		}
	}
	if tried != 1 {
		t.Errorf("%d objects were tried, want the one that the failed revision changed", tried)
	}
}

const jobThatFails = `apiVersion: batch/v1
kind: Job
metadata: {name: fails, annotations: {helm.sh/hook: post-upgrade}}
spec: {activeDeadlineSeconds: 1, backoffLimit: 0, template: {spec: {nodeSelector: {no: node}, restartPolicy: Never, containers: [{name: a, image: busybox}]}}}
`

func (w *world) claim(name string) *corev1.PersistentVolumeClaim {
	w.t.Helper()
	claim, err := w.clients.CoreV1().PersistentVolumeClaims(w.namespace).Get(context.Background(), name, metav1.GetOptions{})
	must(w.t, err)
	return claim
}

// volumeOf makes a storage class and a volume for the claim "files", as an administrator would.
func (w *world) volumeOf(expandable bool) (class string) {
	w.t.Helper()
	storage, core := w.clients.StorageV1().StorageClasses(), w.clients.CoreV1().PersistentVolumes()
	meta := metav1.ObjectMeta{Name: w.namespace}
	_, err := storage.Create(w.t.Context(), &storagev1.StorageClass{ObjectMeta: meta, Provisioner: "example.org/none", AllowVolumeExpansion: &expandable}, metav1.CreateOptions{})
	must(w.t, err)
	_, err = core.Create(w.t.Context(), &corev1.PersistentVolume{ObjectMeta: meta, Spec: corev1.PersistentVolumeSpec{
		StorageClassName: meta.Name, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		Capacity:               corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")},
		ClaimRef:               &corev1.ObjectReference{Namespace: w.namespace, Name: "files"},
		PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/none"}},
	}}, metav1.CreateOptions{})
	must(w.t, err)
	w.t.Cleanup(func() {
		_ = core.Delete(context.Background(), meta.Name, metav1.DeleteOptions{})
		_ = storage.Delete(context.Background(), meta.Name, metav1.DeleteOptions{})
	})
	return meta.Name
}

func (w *world) waitUntilBound(name string) {
	w.t.Helper()
	must(w.t, wait.PollUntilContextTimeout(w.t.Context(), 50*time.Millisecond, 30*time.Second, true, func(context.Context) (bool, error) {
		return w.claim(name).Status.Phase == corev1.ClaimBound, nil
	}))
}

// The claim was enlarged elsewhere: an upgrade that says nothing of it is refused as a whole, and goes on with the size told.
func TestVolumeThatWasEnlargedElsewhere(t *testing.T) {
	w := newWorld(t)
	class := w.volumeOf(true)
	chart := chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys, "claim.yaml": claimOfSize, "values.yaml": "class: " + class + "\n"})
	w.do(w.request(actionInstall, 1, chart))
	w.waitUntilBound("files")
	for _, subresource := range [][]string{nil, {"status"}} {
		patch := `{"spec":{"resources":{"requests":{"storage":"2Gi"}}},"status":{"capacity":{"storage":"2Gi"}}}`
		_, err := w.clients.CoreV1().PersistentVolumeClaims(w.namespace).Patch(t.Context(), "files", types.MergePatchType,
			[]byte(patch), metav1.PatchOptions{}, subresource...)
		must(t, err)
	}
	r := w.request(actionUpgrade, 2, chart)
	r.Values = keys("b")
	w.refusedWithout("hunter2", r, classInvalid, `PersistentVolumeClaim "files"`, "spec.resources.requests.storage")
	w.untouched(nil, firstDeployed)
	r.Volumes = map[string]string{"files": "2Gi"}
	w.do(r)
	if size := w.claim("files").Spec.Resources.Requests.Storage().String(); size != "2Gi" {
		t.Errorf("size %s", size)
	}
	r = w.request(actionUpgrade, 3, chart)
	r.Volumes, r.Values = map[string]string{"files": "2Gi"}, map[string]any{"size": "3Gi"}
	w.do(r)
	if size := w.claim("files").Spec.Resources.Requests.Storage().String(); size != "3Gi" {
		t.Errorf("size %s", size)
	}
}

func TestVolumeWhoseClassDoesNotLetItGrow(t *testing.T) {
	w := newWorld(t)
	class := w.volumeOf(false)
	chart := chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys, "claim.yaml": claimOfSize, "values.yaml": "class: " + class + "\n"})
	w.do(w.request(actionInstall, 1, chart))
	w.waitUntilBound("files")
	r := w.request(actionUpgrade, 2, chart)
	r.Values = map[string]any{"size": "2Gi"}
	failure := w.refused(r, classImmutable)
	if failure.Message != `PersistentVolumeClaim "files" cannot become larger: its storage class does not allow expansion` {
		t.Errorf("message %q", failure.Message)
	}
	w.untouched(nil, firstDeployed)
}

// The API server's own message has a diff of many lines.
func TestVolumeThatIsNotBoundYet(t *testing.T) {
	w := newWorld(t)
	chart := chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys, "claim.yaml": claimOfSize})
	r := w.request(actionInstall, 1, chart)
	r.Values = map[string]any{"class": "no-such-class"}
	w.do(r)
	r = w.request(actionUpgrade, 2, chart)
	r.Values = map[string]any{"class": "no-such-class", "size": "2Gi"}
	failure := w.refused(r, classImmutable)
	if failure.Message != `PersistentVolumeClaim "files": spec.resources.requests.storage cannot change in an object that exists` {
		t.Errorf("message %q", failure.Message)
	}
}
