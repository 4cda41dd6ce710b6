package main

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func (w *world) brokenRecord(revision int, status string) {
	w.t.Helper()
	secret := &corev1.Secret{Type: "helm.sh/release.v1", ObjectMeta: metav1.ObjectMeta{Name: secretName("acme-prod", revision),
		Labels: map[string]string{"owner": "helm", "name": "acme-prod", "status": status}}, Data: map[string][]byte{releaseKey: []byte("hunter2")}}
	_, err := w.clients.CoreV1().Secrets(w.namespace).Create(w.t.Context(), secret, metav1.CreateOptions{})
	must(w.t, err)
}

// Nothing that is tried again mends it: it is told as what it is, with the Secret's name and what a person can do.
func TestRecordThatCannotBeRead(t *testing.T) {
	w := newWorld(t)
	chart := chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys})
	w.do(w.request(actionInstall, 1, chart))
	w.brokenRecord(2, "pending-upgrade")
	for _, r := range []*request{w.request(actionUnlock, 2, ""), w.request(actionUninstall, 2, ""), w.request(actionUpgrade, 3, chart), w.request(actionDiff, 3, chart)} {
		failure := w.refusedWithout("hunter2", r, classRecordUnreadable, `Secret "sh.helm.release.v1.acme-prod.v2"`, "backup", "remove it")
		if strings.Contains(failure.Message, "<") {
			t.Errorf("message %q", failure.Message)
		}
	}
	must(t, w.clients.CoreV1().Secrets(w.namespace).Delete(t.Context(), secretName("acme-prod", 2), metav1.DeleteOptions{}))
	w.do(w.request(actionUpgrade, 2, chart))
	if got := w.secretNames(); !slices.Equal(got, []string{"sh.helm.release.v1.acme-prod.v1 superseded", "sh.helm.release.v1.acme-prod.v2 deployed"}) {
		t.Errorf("stored: %v", got)
	}
}
