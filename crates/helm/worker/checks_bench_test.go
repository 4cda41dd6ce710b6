package main

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
)

// BenchmarkChecks judges what charts/odoo renders with most of its parts switched on, as each operation does once.
func BenchmarkChecks(b *testing.B) {
	w := &world{t: b, namespace: "odoo"}
	r := w.odoo(actionInstall, 1, "18.0")
	r.Hosts = []string{"erp.example.com", "www.example.com"}
	r.SecretPaths = []string{"/odoo/config/admin_passwd"}
	r.Values["odoo"] = map[string]any{"config": map[string]any{"admin_passwd": "a password that Secrets alone may hold"}}
	chart, err := loader.LoadDir(odooChart)
	must(b, err)
	values, err := util.ToRenderValues(chart, r.Values, common.ReleaseOptions{Name: r.Release, Namespace: r.Namespace, Revision: 1, IsInstall: true},
		common.DefaultCapabilities)
	must(b, err)
	files, err := engine.Render(chart, values)
	must(b, err)
	var documents []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if strings.HasSuffix(name, ".yaml") {
			documents = append(documents, files[name])
		}
	}
	objects, err := parseManifest(strings.Join(documents, "\n---\n"))
	must(b, err)
	if len(objects) < 10 {
		b.Fatalf("charts/odoo renders %d objects", len(objects))
	}
	for b.Loop() {
		if failure := checkRendered(objects, r); failure != nil {
			b.Fatalf("%s %v", failure.Message, failure.Details)
		}
		if failure := checkFed(objects, r); failure != nil {
			b.Fatal(failure.Message)
		}
	}
}
