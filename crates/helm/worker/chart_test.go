package main

import (
	"os"
	"strings"
	"testing"
)

func TestChartsThatAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		files   map[string]string
		class   string
		message string
	}{
		"crds":           {map[string]string{"crds/x.yaml": "kind: CustomResourceDefinition\n"}, classKindNotAllowed, "crds/x.yaml"},
		"sub crds":       {map[string]string{"charts/sub/Chart.yaml": "apiVersion: v2\nname: sub\nversion: 1.0.0\n", "charts/sub/crds/x.yaml": "kind: X\n"}, classKindNotAllowed, "x.yaml"},
		"library":        {map[string]string{"Chart.yaml": "apiVersion: v2\nname: odoo\nversion: 1.0.0\ntype: library\n"}, classChart, "library"},
		"no version":     {map[string]string{"Chart.yaml": "apiVersion: v2\nname: odoo\n"}, classChart, "version"},
		"incomplete":     {map[string]string{"Chart.yaml": "apiVersion: v2\nname: odoo\nversion: 1.0.0\ndependencies: [{name: db, version: 1.0.0, repository: \"\"}]\n"}, classChart, "db"},
		"schema by web":  {map[string]string{"values.schema.json": `{"properties": {"a": {"$ref": "https://example.org/s.json"}}}`}, classChart, "https://example.org/s.json"},
		"schema by file": {map[string]string{"values.schema.json": `{"allOf": [{"$ref": "file:///etc/passwd"}]}`}, classChart, "file:///etc/passwd"},
		"schema of sub":  {map[string]string{"charts/sub/Chart.yaml": "apiVersion: v2\nname: sub\nversion: 1.0.0\n", "charts/sub/values.schema.json": `{"$ref": "urn:x"}`}, classChart, "urn:x"},
		"schema broken":  {map[string]string{"values.schema.json": `{`}, classChart, "values.schema.json"},
	} {
		path := chartArchive(t, "odoo", c.files)
		_, failure := loadChart(path, digestOf(t, path))
		if failure == nil || failure.Class != c.class || !strings.Contains(failure.Message, c.message) {
			t.Errorf("%s: %+v", name, failure)
		}
	}
}

func TestChartsThatAreAccepted(t *testing.T) {
	path := chartArchive(t, "odoo", map[string]string{"values.schema.json": `{"$schema": "http://json-schema.org/draft-07/schema#", "$defs": {"a": {}}, "properties": {"a": {"$ref": "#/$defs/a"}}}`})
	for _, digest := range []string{digestOf(t, path), "sha256:" + digestOf(t, path), strings.ToUpper(digestOf(t, path))} {
		if _, failure := loadChart(path, digest); failure != nil {
			t.Errorf("%s: %v", digest, failure)
		}
	}
}

func TestArchivesThatAreRefused(t *testing.T) {
	good := chartArchive(t, "odoo", nil)
	if _, failure := loadChart(good, strings.Repeat("0", 64)); failure == nil || failure.Class != classChart {
		t.Errorf("a wrong digest: %v", failure)
	}
	if _, failure := loadChart(good+".missing", "x"); failure == nil || failure.Class != classChart {
		t.Errorf("a missing file: %v", failure)
	}
	large := t.TempDir() + "/large.tgz"
	must(t, os.WriteFile(large, make([]byte, maxArchive+1), 0o600))
	if _, failure := loadChart(large, digestOf(t, large)); failure == nil || !strings.Contains(failure.Message, "16 MiB") {
		t.Errorf("a large file: %v", failure)
	}
	text := t.TempDir() + "/text.tgz"
	must(t, os.WriteFile(text, []byte("no archive"), 0o600))
	if _, failure := loadChart(text, digestOf(t, text)); failure == nil || failure.Class != classChart {
		t.Errorf("no archive: %v", failure)
	}
	bomb := chartArchive(t, "odoo", map[string]string{"files/zeros": strings.Repeat("\x00", maxUnpacked)})
	if _, failure := loadChart(bomb, digestOf(t, bomb)); failure == nil || !strings.Contains(failure.Message, "larger") {
		t.Errorf("an archive that expands: %v", failure)
	}
}
