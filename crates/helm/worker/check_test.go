package main

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const checkPodTemplate = `apiVersion: v1
kind: Pod
metadata:
  name: shop-check
  labels: {app: check}
  annotations: {helm.sh/hook: test, odoofleet.dev/role: Check}
spec:
  restartPolicy: OnFailure
  containers: [{name: done, image: "odoo:{{ .Values.tag }}"}]
  volumes:
    - {name: brought, configMap: {name: brought}}
    - {name: foreign, configMap: {name: foreign}}
    {{- with .Values.secret }}
    - {name: secret, secret: {secretName: {{ . }}}}
    {{- end }}
`

const brought = `apiVersion: v1
kind: ConfigMap
metadata: {name: brought}
data: {tag: "{{ .Values.tag }}"}
`

func checkOf(w *world, digest, tag, chart string) *request {
	w.t.Helper()
	configs := w.clients.CoreV1().ConfigMaps(w.namespace)
	owner, err := configs.Get(w.t.Context(), "owner", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		// It exists, for what belongs to nobody is collected.
		owner, err = configs.Create(w.t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "owner"}}, metav1.CreateOptions{})
		w.do(w.request(actionInstall, 1, chartArchive(w.t, "odoo", map[string]string{"base.yaml": strings.ReplaceAll(twoKeys, "settings", "base")})))
	}
	must(w.t, err)
	r := w.request(actionCheck, 2, chart)
	r.ID += "-" + digest
	r.Check = &checkRequest{Digest: digest}
	r.Check.Owner.APIVersion, r.Check.Owner.Kind, r.Check.Owner.Name, r.Check.Owner.UID = "v1", "ConfigMap", owner.Name, string(owner.UID)
	r.Values = map[string]any{"tag": tag}
	r.AllowedConfigMaps = []string{"foreign", "brought"}
	return r
}

func (w *world) checkPod() *corev1.Pod {
	w.t.Helper()
	pod, err := w.clients.CoreV1().Pods(w.namespace).Get(w.t.Context(), "shop-check", metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return pod
}

func TestCheckStartsThePodOfTheNextRevision(t *testing.T) {
	w := newWorld(t)
	chart := chartArchive(t, "odoo", map[string]string{"check.yaml": checkPodTemplate, "cm.yaml": brought})
	if result := w.do(checkOf(w, "one", "18", chart)); result.Checks != 1 {
		t.Fatalf("%+v", result)
	}
	pod := w.checkPod()
	if pod.Labels[labelCheck] != "one" || pod.Labels["app"] != "check" || pod.Spec.Containers[0].Image != "odoo:18" {
		t.Errorf("%v %v", pod.Labels, pod.Spec.Containers[0].Image)
	}
	if len(pod.OwnerReferences) != 1 || pod.OwnerReferences[0].Name != "owner" || len(pod.Annotations) != 2 {
		t.Errorf("%v %v", pod.OwnerReferences, pod.Annotations)
	}
	if *pod.Spec.EnableServiceLinks || *pod.Spec.AutomountServiceAccountToken {
		t.Error("the pod is not transformed as all pods are")
	}
	copied, foreign := pod.Spec.Volumes[0].ConfigMap.Name, pod.Spec.Volumes[1].ConfigMap.Name
	if !strings.HasPrefix(copied, "brought-check-") || foreign != "foreign" {
		t.Errorf("%q %q", copied, foreign)
	}
	if data := w.configMap(copied); data["tag"] != "18" {
		t.Errorf("%v", data)
	}
	if _, err := w.clients.CoreV1().ConfigMaps(w.namespace).Get(t.Context(), "brought", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the release was touched: %v", err)
	}
	if names := w.secretNames(); len(names) != 1 {
		t.Errorf("the release was touched: %v", names)
	}

	w.do(checkOf(w, "one", "18", chart))
	if same := w.checkPod(); same.UID != pod.UID {
		t.Error("what is tried already was begun again")
	}
	w.do(checkOf(w, "two", "19", chart))
	if _, err := w.clients.CoreV1().ConfigMaps(w.namespace).Get(t.Context(), copied, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("what the check before has left is still there: %v", err)
	}
	if other := w.checkPod(); other.UID == pod.UID || other.Spec.Containers[0].Image != "odoo:19" {
		t.Errorf("%v is still there", other.Spec.Containers[0].Image)
	}
}

func TestCheckOfAChartThatTriesNothing(t *testing.T) {
	w := newWorld(t)
	plain := strings.ReplaceAll(checkPodTemplate, "role: Check", "role: Other")
	if result := w.do(checkOf(w, "one", "18", chartArchive(t, "odoo", map[string]string{"pod.yaml": plain}))); result.Checks != 0 {
		t.Errorf("%+v", result)
	}
}

func TestCheckIsJudgedAsAnUpgradeIs(t *testing.T) {
	w := newWorld(t)
	chart := chartArchive(t, "odoo", map[string]string{"check.yaml": checkPodTemplate})
	foreign := checkOf(w, "one", "18", chart)
	foreign.Values["secret"] = "of-another"
	w.refused(foreign, classSecretNotAllowed)
	foreign.AllowedSecrets = []string{"of-another"}
	w.do(foreign)

	two := strings.ReplaceAll(checkPodTemplate, "shop-check", "another-check")
	w.refused(checkOf(w, "one", "18", chartArchive(t, "odoo", map[string]string{"a.yaml": checkPodTemplate, "b.yaml": two})), classRender)
	role := "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: r}\n"
	w.refused(checkOf(w, "one", "18", chartArchive(t, "odoo", map[string]string{"a.yaml": checkPodTemplate, "b.yaml": role})), classKindNotAllowed)
}

func TestCheckLeavesPodsOfOthersAlone(t *testing.T) {
	w := newWorld(t)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "shop-check"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
	if _, err := w.clients.CoreV1().Pods(w.namespace).Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.refused(checkOf(w, "one", "18", chartArchive(t, "odoo", map[string]string{"check.yaml": checkPodTemplate})), classInvalid)
}

func TestTestHooksOfChartsAreNobodysBusiness(t *testing.T) {
	w := newWorld(t)
	hook := strings.ReplaceAll(checkPodTemplate, "role: Check", "role: Other") + "---\n" + brought
	r := w.request(actionInstall, 1, chartArchive(t, "odoo", map[string]string{"all.yaml": hook}))
	r.Values = map[string]any{"tag": "18", "secret": "of-another"}
	w.do(r)
	if w.configMap("brought")["tag"] != "18" {
		t.Error("the release was not installed")
	}
}

const checkOfAccount = `apiVersion: v1
kind: ServiceAccount
metadata: {name: shop}
imagePullSecrets: [{name: registry}]
---
apiVersion: v1
kind: Pod
metadata: {name: shop-check, annotations: {helm.sh/hook: test, odoofleet.dev/role: Check}}
spec: {serviceAccountName: shop, restartPolicy: OnFailure, containers: [{name: done, image: odoo}]}
`

// Before the upgrade that brings it, the API server would refuse the pod for its ServiceAccount.
func TestCheckWithAServiceAccountThatTheUpgradeBrings(t *testing.T) {
	w := newWorld(t)
	r := checkOf(w, "one", "18", chartArchive(t, "odoo", map[string]string{"all.yaml": checkOfAccount}))
	r.AllowedSecrets = []string{"registry"}
	w.do(r)
	pod := w.checkPod()
	if pod.Spec.ServiceAccountName != "default" || len(pod.Spec.ImagePullSecrets) != 1 || pod.Spec.ImagePullSecrets[0].Name != "registry" {
		t.Errorf("%q %v", pod.Spec.ServiceAccountName, pod.Spec.ImagePullSecrets)
	}
	_, err := w.clients.CoreV1().ServiceAccounts(w.namespace).Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}, metav1.CreateOptions{})
	must(t, err)
	again := checkOf(w, "two", "18", r.Chart.Path)
	again.AllowedSecrets = r.AllowedSecrets
	w.do(again)
	if name := w.checkPod().Spec.ServiceAccountName; name != "shop" {
		t.Errorf("account %q, though it is there", name)
	}
}

func TestCheckWithAServiceAccountThatNobodyBrings(t *testing.T) {
	w := newWorld(t)
	_, pod, _ := strings.Cut(checkOfAccount, "---\n")
	failure := w.refused(checkOf(w, "one", "18", chartArchive(t, "odoo", map[string]string{"all.yaml": pod})), classNotFound)
	if !strings.Contains(failure.Message, `ServiceAccount "shop"`) {
		t.Errorf("message %q", failure.Message)
	}
}

// What could not be upgraded to is not tried: the answer is the upgrade's.
func TestCheckTellsOfDataLossFirst(t *testing.T) {
	w := newWorld(t)
	r := checkOf(w, "one", "18", chartArchive(t, "another-chart", map[string]string{"all.yaml": checkOfAccount}))
	r.AllowedSecrets = []string{"registry"}
	failure := w.refused(r, classWouldDeleteData)
	if failure.Message != `chart "odoo" would be replaced by chart "another-chart"` {
		t.Errorf("message %q", failure.Message)
	}
	if _, err := w.clients.CoreV1().Pods(w.namespace).Get(t.Context(), "shop-check", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("a pod was started: %v", err)
	}
	r.AllowDataLoss = true
	w.do(r)
}
