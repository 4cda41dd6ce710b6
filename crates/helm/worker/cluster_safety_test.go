package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What an operation refuses to do.

func TestLookupOfSecretsLeaksNothing(t *testing.T) {
	w := newWorld(t)
	_, err := w.clients.CoreV1().Secrets(w.namespace).Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "other"}, StringData: map[string]string{"seed": "TOPSECRET"}}, metav1.CreateOptions{})
	must(t, err)
	cm := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: leak}\ndata:\n  x: {{ tpl .Values.extra . | quote }}\n"
	chart := chartArchive(t, "odoo", map[string]string{"cm.yaml": cm})
	for _, extra := range []string{
		`{{ (lookup "v1" "Secret" .Release.Namespace "other").data.seed | b64dec }}`,
		`{{ range (lookup "v1" "Secret" .Release.Namespace "").items }}{{ .data }}{{ end }}`,
		`{{ range (lookup "v1" "Secret" "" "").items }}{{ .data }}{{ end }}`,
	} {
		r := w.request(actionInstall, 1, chart)
		r.Values = map[string]any{"extra": extra}
		failure := w.refused(r, classRender)
		if failure.Message != `"lookup" of Secrets is refused` {
			t.Errorf("message %q", failure.Message)
		}
	}
	if got := w.secretNames(); len(got) != 0 {
		t.Errorf("stored: %v", got)
	}
}

func TestLookupSeesWhatIsTheReleasesOwn(t *testing.T) {
	w := newWorld(t)
	foreign := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "other", Annotations: map[string]string{annotationRelease: "globex-prod"}}}
	_, err := w.clients.CoreV1().ConfigMaps(w.namespace).Create(t.Context(), foreign, metav1.CreateOptions{})
	must(t, err)
	found := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: found}\ndata:\n" +
		`  one: {{ (lookup "v1" "ConfigMap" .Release.Namespace "settings").metadata | default dict | dig "name" "none" | quote }}` + "\n" +
		`  other: {{ (lookup "v1" "ConfigMap" .Release.Namespace "other").metadata | default dict | dig "name" "none" | quote }}` + "\n" +
		`  namespace: {{ (lookup "v1" "Namespace" "" .Release.Namespace).metadata | default dict | dig "name" "none" | quote }}` + "\n" +
		`  all: {{ range (lookup "v1" "ConfigMap" .Release.Namespace "").items }}{{ .metadata.name }} {{ end }}` + "\n"
	chart := chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys, "found.yaml": found})
	w.do(w.request(actionInstall, 1, chart))
	w.do(w.request(actionUpgrade, 2, chart))
	want := map[string]string{"one": "settings", "other": "none", "namespace": "none", "all": "found settings"}
	if got := w.configMap("found"); !maps.Equal(got, want) {
		t.Errorf("found %v", got)
	}
}

func TestHooksTakeNobodysPlace(t *testing.T) {
	w := newWorld(t)
	hook := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other, annotations: {helm.sh/hook: 'pre-install,pre-upgrade'%s}}\ndata: {a: hook}\n"
	configs := w.clients.CoreV1().ConfigMaps(w.namespace)
	for name, annotations := range map[string]map[string]string{
		"an object of nobody":       nil,
		"another release's object":  {annotationRelease: "globex-prod"},
		"a hook of another release": {annotationRelease: "globex-prod", "helm.sh/hook": "pre-install"},
		"an object that is no hook": {annotationRelease: "acme-prod"},
	} {
		foreign := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "other", Annotations: annotations}, Data: map[string]string{"b": "theirs"}}
		_, err := configs.Create(t.Context(), foreign, metav1.CreateOptions{})
		must(t, err)
		for _, policy := range []string{"", ", helm.sh/hook-delete-policy: hook-succeeded"} {
			w.refused(w.request(actionInstall, 1, chartArchive(t, "odoo", map[string]string{"a.yaml": fmt.Sprintf(hook, policy)})), classConflict)
			if got := w.configMap("other"); !maps.Equal(got, foreign.Data) {
				t.Errorf("%s: %v", name, got)
			}
			w.do(w.request(actionUninstall, 1, ""))
		}
		must(t, configs.Delete(t.Context(), "other", metav1.DeleteOptions{}))
	}
	chart := chartArchive(t, "odoo", map[string]string{"a.yaml": fmt.Sprintf(hook, "")})
	w.do(w.request(actionInstall, 1, chart))
	w.do(w.request(actionUpgrade, 2, chart))
	if got := w.configMap("other"); got["a"] != "hook" {
		t.Errorf("its own hook is %v", got)
	}
}

func TestStaleRevisions(t *testing.T) {
	w := newWorld(t)
	chart := chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys})
	w.do(w.request(actionInstall, 1, chart))
	w.refused(w.request(actionInstall, 1, chart), classStaleRevision)
	w.do(w.request(actionUpgrade, 2, chart))
	again := w.request(actionUpgrade, 2, chart)
	again.Values = keys("late")
	w.refused(again, classStaleRevision)
	ahead := w.request(actionUpgrade, 4, chart)
	ahead.Revisions = []int{1, 2}
	w.refused(ahead, classStaleRevision)
	w.refused(w.request(actionUninstall, 1, chart), classStaleRevision)
	if got := w.configMap("settings"); len(got) != 0 {
		t.Errorf("settings %v", got)
	}
	// Another Helm comes between the look and the write.
	w.requests.before = func(r *http.Request) error {
		if r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/secrets") {
			return nil
		}
		_, err := w.clients.CoreV1().Secrets(w.namespace).Create(context.Background(),
			&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: secretName("acme-prod", 3)}}, metav1.CreateOptions{})
		return err
	}
	race := w.request(actionUpgrade, 3, chart)
	race.Values = keys("race")
	w.refused(race, classStaleRevision)
	if got := w.configMap("settings"); len(got) != 0 {
		t.Errorf("settings %v", got)
	}
}

func TestNothingIsWrittenWhenACheckFails(t *testing.T) {
	w := newWorld(t)
	role := "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: r}\nrules: []\n"
	pod := "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: a, image: b, envFrom: [{secretRef: {name: other}}]}]}\n"
	for class, template := range map[string]string{classKindNotAllowed: role, classSecretNotAllowed: pod, classRender: "{{ fail \"no\" }}"} {
		failure := w.refused(w.request(actionInstall, 1, chartArchive(t, "odoo", map[string]string{"a.yaml": twoKeys, "b.yaml": template})), class)
		t.Log(failure.Message)
	}
	for _, request := range w.requests.take() {
		if mutates(request) {
			t.Errorf("%s %s", request.Method, request.URL)
		}
	}
}

func TestUpgradeKeepsData(t *testing.T) {
	w := newWorld(t)
	claim := "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: files%s}\nspec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n"
	with := chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys, "pvc.yaml": fmt.Sprintf(claim, "")})
	renamed := chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys, "pvc.yaml": fmt.Sprintf(claim, "-new")})
	w.do(w.request(actionInstall, 1, with))
	failure := w.refused(w.request(actionUpgrade, 2, renamed), classWouldDeleteData)
	if !slices.Equal(failure.Details, []string{"PersistentVolumeClaim/files would be removed"}) {
		t.Errorf("%v", failure.Details)
	}
	// The record says that Helm keeps it, but somebody has taken the annotation off the live object: the dry run meets the transport that refuses.
	kept := chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys,
		"pvc.yaml": strings.Replace(fmt.Sprintf(claim, ""), "{name: files}", "{name: files, annotations: {helm.sh/resource-policy: keep}}", 1)})
	w.do(w.request(actionUpgrade, 2, kept))
	live, err := w.clients.CoreV1().PersistentVolumeClaims(w.namespace).Get(t.Context(), "files", metav1.GetOptions{})
	must(t, err)
	delete(live.Annotations, "helm.sh/resource-policy")
	_, err = w.clients.CoreV1().PersistentVolumeClaims(w.namespace).Update(t.Context(), live, metav1.UpdateOptions{})
	must(t, err)
	w.refused(w.request(actionUpgrade, 3, renamed), classWouldDeleteData)
	live, err = w.clients.CoreV1().PersistentVolumeClaims(w.namespace).Get(t.Context(), "files", metav1.GetOptions{})
	if err != nil || live.DeletionTimestamp != nil {
		t.Errorf("the claim is gone: %v", err)
	}
	if got := w.secretNames(); !slices.Equal(got, []string{"sh.helm.release.v1.acme-prod.v1 superseded", "sh.helm.release.v1.acme-prod.v2 deployed"}) {
		t.Errorf("stored: %v", got)
	}
	if _, err := w.clients.CoreV1().PersistentVolumeClaims(w.namespace).Get(t.Context(), "files-new", metav1.GetOptions{}); err == nil {
		t.Error("what was refused is half applied")
	}
	allowed := w.request(actionUpgrade, 3, renamed)
	allowed.AllowDataLoss = true
	w.do(allowed)
}

func TestUninstallKeepsTheRecordOfWhatItCouldNotRead(t *testing.T) {
	w := newWorld(t)
	chart := chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys})
	w.do(w.request(actionInstall, 1, chart))
	w.requests.before = func(r *http.Request) error {
		if strings.HasSuffix(r.URL.Path, "/configmaps/settings") {
			return fmt.Errorf("the network is down")
		}
		return nil
	}
	w.refused(w.request(actionUninstall, 1, ""), classUnreachable)
	if got := w.secretNames(); !slices.Equal(got, []string{"sh.helm.release.v1.acme-prod.v1 uninstalling"}) {
		t.Errorf("stored: %v", got)
	}
	w.requests.before = nil
	w.do(w.request(actionUninstall, 1, ""))
	if got := w.secretNames(); len(got) != 0 {
		t.Errorf("stored: %v", got)
	}
}
