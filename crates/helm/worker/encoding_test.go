package main

import (
	"maps"
	"reflect"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	releasei "helm.sh/helm/v4/pkg/release"
	"helm.sh/helm/v4/pkg/release/common"
	release "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage/driver"
)

// A record is what Helm's own driver would have written, and Helm's own driver reads it.
func TestRecordsAreThoseOfHelmsOwnDriver(t *testing.T) {
	clients := fake.NewClientset()
	theirs := driver.NewSecrets(clients.CoreV1().Secrets("theirs"))
	secrets := clients.CoreV1().Secrets("ours")
	ours := &quickSecrets{Secrets: driver.NewSecrets(secrets), secrets: secrets}
	one := storedRevision(7, common.StatusPendingUpgrade)
	one.Manifest = strings.Repeat("kind: ConfigMap\n", 2000)
	one.Labels = map[string]string{"odoofleet.dev/customer": "acme", "createdAt": "5"}
	key := secretName("acme-prod", 7)
	read := func(namespace string) *corev1.Secret {
		secret, err := clients.CoreV1().Secrets(namespace).Get(t.Context(), key, metav1.GetOptions{})
		must(t, err)
		return secret
	}
	same := func(what string) {
		t.Helper()
		want, got := read("theirs"), read("ours")
		stamps := func(labels map[string]string) map[string]string {
			left := maps.Clone(labels)
			if left["modifiedAt"] != "" {
				left["modifiedAt"] = "now"
			}
			return left
		}
		if !reflect.DeepEqual(stamps(want.Labels), stamps(got.Labels)) || want.Type != got.Type || len(got.Data) != 1 {
			t.Errorf("%s: %v %s, want %v %s", what, got.Labels, got.Type, want.Labels, want.Type)
		}
		if len(got.Data["release"]) > len(want.Data["release"])*5/4 {
			t.Errorf("%s: %d bytes, Helm's are %d", what, len(got.Data["release"]), len(want.Data["release"]))
		}
		release := func(d *driver.Secrets) releasei.Releaser {
			found, err := d.Get(key)
			must(t, err)
			return found
		}
		if w, g := release(theirs), release(ours.Secrets); !reflect.DeepEqual(w, g) {
			t.Errorf("%s: %v, want %v", what, g, w)
		}
	}
	must(t, theirs.Create(key, one))
	must(t, ours.Create(key, one))
	same("created")
	if err := ours.Create(key, one); err != driver.ErrReleaseExists {
		t.Errorf("created twice: %v", err)
	}
	one.Info.Status = common.StatusDeployed
	must(t, theirs.Update(key, one))
	must(t, ours.Update(key, one))
	same("updated")
	if rel, ok := any(one).(*release.Release); !ok || rel.Version != 7 {
		t.Error("the release was changed")
	}
}

// Helm's builder makes the same of JSON as of YAML, and has its own words for what is neither.
func TestWhatIsReadOnceIsTheSame(t *testing.T) {
	w := newWorld(t)
	o := &operation{request: w.request(actionUpgrade, 2, chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys}))}
	c := o.newClient(w.cluster.getter(guard{permit: readOnly()}))
	manifest := `---
# Source: odoo/templates/a.yaml
apiVersion: v1
kind: ConfigMap
metadata: {name: a, annotations: {y: "yes", n: "007"}}
data:
  text: |
    two
    ---x
    lines
---

---
null
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec: {replicas: 2, minReadySeconds: 9007199254740993, paused: on, progressDeadlineSeconds: 1e2, x: 1.0, d: 2001-01-01, e: ~}
---
# nothing but a comment
---
{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "b"}}]}
`
	want, err := c.Client.Build(strings.NewReader(manifest), false)
	must(t, err)
	for range 2 {
		got, err := c.Build(strings.NewReader(manifest), false)
		must(t, err)
		if len(got) != 3 || len(want) != 3 {
			t.Fatalf("%d objects, want %d", len(got), len(want))
		}
		for i := range want {
			if !reflect.DeepEqual(want[i].Object, got[i].Object) {
				t.Errorf("%v, want %v", got[i].Object, want[i].Object)
			}
		}
	}
	broken := "kind: ConfigMap\n\tmetadata: {}\n"
	_, theirs := c.Client.Build(strings.NewReader(broken), false)
	_, ours := c.Build(strings.NewReader(broken), false)
	if theirs == nil || ours == nil || theirs.Error() != ours.Error() {
		t.Errorf("%v, want %v", ours, theirs)
	}
}
