package main

import (
	"context"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Installations that failed and are tried again.

// initJob is a hook that fails in a second if the values say so, and else succeeds on a node that kwok plays.
const initJob = `apiVersion: batch/v1
kind: Job
metadata:
  name: init
  annotations: {helm.sh/hook: "post-install"{{ with .Values.policy }}, helm.sh/hook-delete-policy: {{ . }}{{ end }}}
spec:
  backoffLimit: 0
  {{- if .Values.fails }}
  activeDeadlineSeconds: 1
  {{- end }}
  template:
    spec:
      restartPolicy: Never
      tolerations: [{operator: Exists}]
      {{- if .Values.fails }}
      nodeSelector: {no: node}
      {{- end }}
      containers: [{name: a, image: busybox}]
`

func (w *world) needsNode() {
	w.t.Helper()
	nodes, err := w.clients.CoreV1().Nodes().List(w.t.Context(), metav1.ListOptions{})
	must(w.t, err)
	if len(nodes.Items) == 0 {
		w.t.Skip("the cluster has no node: hooks need one, kwok's do")
	}
}

// failsOnce installs the files with a hook that fails, and returns the request that tries again without.
func (w *world) failsOnce(files map[string]string, values map[string]any) *request {
	w.t.Helper()
	w.needsNode()
	files["init.yaml"] = initJob
	chart := chartArchive(w.t, "odoo", files)
	r := w.request(actionInstall, 1, chart)
	r.Values = merged(values, map[string]any{"fails": true})
	w.refused(r, classHook)
	if got := w.secretNames(); !slices.Equal(got, []string{"sh.helm.release.v1.acme-prod.v1 failed"}) {
		w.t.Errorf("stored: %v", got)
	}
	again := w.request(actionInstall, 2, chart)
	again.Values = merged(values, nil)
	return again
}

func (w *world) uidOf(name string) types.UID {
	w.t.Helper()
	found, err := w.clients.CoreV1().ConfigMaps(w.namespace).Get(context.Background(), name, metav1.GetOptions{})
	must(w.t, err)
	return found.UID
}

func (w *world) jobSucceeded() bool {
	w.t.Helper()
	job, err := w.clients.BatchV1().Jobs(w.namespace).Get(context.Background(), "init", metav1.GetOptions{})
	must(w.t, err)
	return job.Status.Succeeded == 1
}

func TestInstallHooksRunAgainWhileNothingWasEverDeployed(t *testing.T) {
	w := newWorld(t)
	again := w.failsOnce(map[string]string{"cm.yaml": twoKeys}, keys("a"))
	first := w.uidOf("settings")
	w.do(again)
	if !w.jobSucceeded() {
		t.Error("the hook did not run again")
	}
	if w.uidOf("settings") != first {
		t.Error("an object of the failed try was removed and made anew")
	}
	w.untouched(map[string]string{"a": "v-a"}, "sh.helm.release.v1.acme-prod.v1 failed", "sh.helm.release.v1.acme-prod.v2 deployed")
	// From here on it is a release as any other.
	up := w.request(actionUpgrade, 3, again.Chart.Path)
	up.Values = keys("b")
	w.do(up)
	w.untouched(map[string]string{"b": "v-b"}, "sh.helm.release.v1.acme-prod.v2 superseded", "sh.helm.release.v1.acme-prod.v3 deployed")
	late := w.request(actionInstall, 4, again.Chart.Path)
	w.refused(late, classStaleRevision)
}

// A try may fail often: its records do not pile up.
func TestInstallThatFailsAgainAndAgain(t *testing.T) {
	w := newWorld(t)
	again := w.failsOnce(map[string]string{"cm.yaml": twoKeys}, nil)
	again.Values["fails"] = true
	w.refused(again, classHook)
	third := w.request(actionInstall, 3, again.Chart.Path)
	w.do(third)
	w.untouched(nil, "sh.helm.release.v1.acme-prod.v2 failed", "sh.helm.release.v1.acme-prod.v3 deployed")
}

// Helm leaves a hook with this policy where it failed, and would take its failure for that of the next try.
func TestInstallHookWithoutDeletionIsMadeAnew(t *testing.T) {
	w := newWorld(t)
	w.do(w.failsOnce(map[string]string{"cm.yaml": twoKeys}, map[string]any{"policy": "hook-succeeded"}))
}

func TestReleaseThatWasDeployedIsNotInstalledAgain(t *testing.T) {
	w := newWorld(t)
	w.do(w.request(actionInstall, 1, chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys})))
	hook := chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys, "hook.yaml": jobThatFails})
	w.refused(w.request(actionUpgrade, 2, hook), classHook)
	w.refused(w.request(actionInstall, 3, hook), classStaleRevision)
	if got := w.secretNames(); len(got) != 2 {
		t.Errorf("stored: %v", got)
	}
}

func TestWhatAFailedTryLeftGoesWithIt(t *testing.T) {
	w := newWorld(t)
	named := func(name, annotations string) string {
		return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + ", annotations: {" + annotations + "}}\n"
	}
	files := map[string]string{"cm.yaml": twoKeys, "left.yaml": named("left", ""), "kept.yaml": named("kept", "helm.sh/resource-policy: keep"),
		"taken.yaml": named("taken", "")}
	again := w.failsOnce(files, nil)
	_, err := w.clients.CoreV1().ConfigMaps(w.namespace).Patch(t.Context(), "taken", types.MergePatchType,
		[]byte(`{"metadata":{"annotations":{"meta.helm.sh/release-name":"another"}}}`), metav1.PatchOptions{})
	must(t, err)
	again.Chart.Path = chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys, "init.yaml": initJob})
	again.Chart.SHA256 = digestOf(t, again.Chart.Path)
	w.do(again)
	list, err := w.clients.CoreV1().ConfigMaps(w.namespace).List(t.Context(), metav1.ListOptions{})
	must(t, err)
	var left []string
	for _, one := range list.Items {
		if one.Name != "kube-root-ca.crt" {
			left = append(left, one.Name)
		}
	}
	if !slices.Equal(left, []string{"kept", "settings", "taken"}) {
		t.Errorf("left: %v", left)
	}
}

// By the time of the next try, a database may have been made with the password that the first one made up.
func TestHooksThatHoldDataStay(t *testing.T) {
	w := newWorld(t)
	hooked := `apiVersion: v1
kind: Secret
metadata: {name: made-up, annotations: {helm.sh/hook: pre-install}}
stringData: {password: {{ randAlphaNum 20 }}}
---
apiVersion: v1
kind: Secret
metadata: {name: given, annotations: {helm.sh/hook: pre-install}}
stringData: {password: "{{ .Values.given }}"}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: files, annotations: {helm.sh/hook: pre-install}}
spec: {accessModes: [ReadWriteOnce], storageClassName: none, resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: reader}
spec: {containers: [{name: a, image: b, envFrom: [{secretRef: {name: made-up}}]}]}
`
	again := w.failsOnce(map[string]string{"cm.yaml": twoKeys, "hooked.yaml": hooked}, map[string]any{"given": "first-try"})
	secret := func(name string) *corev1.Secret {
		found, err := w.clients.CoreV1().Secrets(w.namespace).Get(t.Context(), name, metav1.GetOptions{})
		must(t, err)
		return found
	}
	password, claim := string(secret("made-up").Data["password"]), w.claim("files").UID
	again.Values["given"] = "second-try"
	w.do(again)
	if now := string(secret("made-up").Data["password"]); now != password || len(now) != 20 {
		t.Error("the password that was made up is another one")
	}
	if now := string(secret("given").Data["password"]); now != "second-try" {
		t.Errorf("the password that was given is still %q", now)
	}
	if w.claim("files").UID != claim {
		t.Error("the volume was removed")
	}
}
