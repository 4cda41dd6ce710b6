package main

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	chartv2 "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/chart/v2/util"
	release "helm.sh/helm/v4/pkg/release/v1"
)

// What a record of ours is without, nobody's Helm misses. Tried with the chart that most environments have.

const (
	odooChart  = "../../../charts/odoo"
	odooRecord = 46 << 10
)

// odoo asks for charts/odoo with most of its parts switched on.
func (w *world) odoo(action string, revision int, tag string) *request {
	w.t.Helper()
	loaded, err := loader.LoadDir(odooChart)
	must(w.t, err)
	archive, err := util.Save(loaded, w.t.TempDir())
	must(w.t, err)
	r := w.request(action, revision, archive)
	r.AllowedKinds = append(slices.Clone(defaultKinds), "networking.k8s.io/v1/NetworkPolicy", "networking.k8s.io/v1/Ingress",
		"policy/v1/PodDisruptionBudget")
	r.AllowedSecrets = []string{"database", "master", "git", "licence", "mail"}
	r.Labels = map[string]string{"odoofleet.dev/customer": "acme"}
	r.Values = map[string]any{
		"customer":     map[string]any{"id": "acme"},
		"image":        map[string]any{"tag": tag},
		"size":         "L",
		"replicaCount": 2,
		"cron":         map[string]any{"enabled": true},
		"persistence":  map[string]any{"accessMode": "ReadWriteMany"},
		"postgresql":   map[string]any{"auth": map[string]any{"existingSecret": "database"}},
		"odoo":         map[string]any{"existingSecret": "master"},
		"license":      map[string]any{"existingSecret": "licence"},
		"mail":         map[string]any{"host": "smtp.example.com", "existingSecret": "mail", "user": "odoo"},
		"git": map[string]any{"customerAddons": []any{
			map[string]any{"url": "https://git.example.com/acme/addons.git", "ref": "v1.4.2", "credentialsSecret": "git"}}},
		"ingress": map[string]any{"enabled": true, "host": "erp.example.com", "aliases": []any{"www.example.com"}},
	}
	return r
}

func (w *world) record(revision int) (*corev1.Secret, *release.Release) {
	w.t.Helper()
	secret, err := w.clients.CoreV1().Secrets(w.namespace).Get(context.Background(), secretName("acme-prod", revision), metav1.GetOptions{})
	must(w.t, err)
	plain, err := unpackRelease(secret.Data[releaseKey])
	must(w.t, err)
	rel := &release.Release{}
	must(w.t, json.Unmarshal(plain, rel))
	return secret, rel
}

func hasSources(c *chartv2.Chart) bool {
	return len(c.Templates) > 0 || len(c.Files) > 0 || len(c.Schema) > 0
}

func (w *world) isLean(revision int) {
	w.t.Helper()
	secret, rel := w.record(revision)
	if hasSources(rel.Chart) {
		w.t.Errorf("revision %d has %d templates, %d files, a schema of %d bytes", revision, len(rel.Chart.Templates), len(rel.Chart.Files), len(rel.Chart.Schema))
	}
	if size := secret.Size(); size >= odooRecord {
		w.t.Errorf("revision %d takes %d bytes", revision, size)
	}
	if rel.Chart.Name() != "odoo" || rel.Chart.Values["odooVersion"] == nil || rel.Info.Notes == "" || rel.Manifest == "" {
		w.t.Errorf("revision %d lacks what Helm shows: %+v", revision, rel.Chart.Metadata)
	}
}

func (w *world) runs(image string) {
	w.t.Helper()
	web, err := w.clients.AppsV1().Deployments(w.namespace).Get(context.Background(), "acme-prod-web", metav1.GetOptions{})
	must(w.t, err)
	runs := func(c corev1.Container) bool { return c.Name == "odoo" && c.Image == image }
	if containers := web.Spec.Template.Spec.Containers; !slices.ContainsFunc(containers, runs) {
		w.t.Errorf("no container odoo with image %q in %v", image, containers)
	}
}

// One record, first as we made it and then with the chart as Helm would have stored it: all that is shown is the same.
func TestTheCommandLineShowsALeanRecordAsAFullOne(t *testing.T) {
	w := newWorld(t)
	w.do(w.odoo(actionInstall, 1, "18.0"))
	w.isLean(1)
	commands := [][]string{{"list"}, {"list", "-o", "json"}, {"history", "acme-prod"},
		{"get", "all", "acme-prod"}, {"get", "manifest", "acme-prod"}, {"get", "values", "acme-prod"},
		{"get", "values", "acme-prod", "--all"}, {"get", "notes", "acme-prod"}, {"get", "hooks", "acme-prod"}, {"get", "metadata", "acme-prod"}}
	var shown []string
	for _, command := range commands {
		shown = append(shown, w.helm(command...))
	}
	secret, rel := w.record(1)
	lean := secret.Size()
	var err error
	rel.Chart, err = loader.LoadDir(odooChart)
	must(t, err)
	plain, err := json.Marshal(rel)
	must(t, err)
	secret.Data[releaseKey], err = packRelease(plain)
	must(t, err)
	_, err = w.clients.CoreV1().Secrets(w.namespace).Update(t.Context(), secret, metav1.UpdateOptions{})
	must(t, err)
	if secret, rel = w.record(1); !hasSources(rel.Chart) || secret.Size() <= odooRecord {
		t.Fatalf("the record that is compared with is not full: %d bytes", secret.Size())
	}
	t.Logf("%d bytes lean, %d in full", lean, secret.Size())
	for i, command := range commands {
		if full := w.helm(command...); full != shown[i] {
			t.Errorf("helm %v:\n%s\nof the lean record:\n%s", command, full, shown[i])
		}
	}
	if all := shown[3]; !strings.Contains(all, "odooVersion: \"18.0\"") || !strings.Contains(all, "kind: StatefulSet") || !strings.Contains(all, "first login") {
		t.Errorf("little is shown at all:\n%s", all)
	}
}

func TestTheCommandLineGoesOnFromALeanRecord(t *testing.T) {
	w := newWorld(t)
	w.do(w.odoo(actionInstall, 1, "18.0-1"))
	w.do(w.odoo(actionUpgrade, 2, "18.0-2"))
	w.runs("odoo:18.0-2")
	w.isLean(1)
	w.isLean(2)
	w.helm("rollback", "acme-prod", "1")
	w.runs("odoo:18.0-1")
	w.do(w.odoo(actionUpgrade, 4, "18.0-4"))
	w.runs("odoo:18.0-4")
	w.isLean(4)
	w.helm("upgrade", "acme-prod", odooChart, "--reuse-values", "--set", "image.tag=18.0-5")
	w.runs("odoo:18.0-5")
	if _, rel := w.record(5); rel.Config["size"] != "L" {
		t.Errorf("values %v, reused from a lean record", rel.Config)
	}
	w.do(w.odoo(actionUpgrade, 6, "18.0-6"))
	w.runs("odoo:18.0-6")
	w.isLean(6)
	if _, rel := w.record(5); !hasSources(rel.Chart) || rel.Info.Status != "superseded" {
		t.Errorf("what the command line recorded was changed, status %s", rel.Info.Status)
	}
	end := w.request(actionUninstall, 6, "")
	end.Revisions = []int{1, 2, 3, 4, 5, 6}
	w.do(end)
	if got := w.secretNames(); len(got) != 0 {
		t.Errorf("left: %v", got)
	}
}

// --reuse-values takes the chart's defaults from the record, not from the chart: a newer chart's defaults stay out.
func TestReusedValuesComeFromALeanRecord(t *testing.T) {
	w := newWorld(t)
	w.do(w.request(actionInstall, 1, chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys, "values.yaml": "keys: {a: old}\n"})))
	newer := chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys, "values.yaml": "keys: {a: new}\n"})
	w.helm("upgrade", "acme-prod", newer, "--reuse-values", "--set", "keys.b=more")
	if got := w.configMap("settings"); got["a"] != "old" || got["b"] != "more" {
		t.Errorf("settings %v", got)
	}
}
