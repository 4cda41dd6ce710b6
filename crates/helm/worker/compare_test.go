package main

import (
	"fmt"
	"slices"
	"testing"
)

// said writes differences in one line each.
func said(diffs []objectDiff) []string {
	var all []string
	for _, d := range diffs {
		all = append(all, fmt.Sprint(d.Change, " ", d.Kind, "/", d.Name, " ", d.Paths))
	}
	return all
}

func normalOf(t *testing.T, manifest string) []object {
	t.Helper()
	objects, err := normalManifest(manifest, "odoo")
	must(t, err)
	return objects
}

func TestEqualityIsOfWhatIsMeant(t *testing.T) {
	const base = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 1, list: [{a: 1}], dir: {}}\n"
	for name, c := range map[string]struct {
		other string
		want  []string
	}{
		"order, comments, source, empty documents": {
			"---\n# nothing\n---\n# Source: odoo/templates/web.yaml\nkind: Deployment\nspec:\n  list:\n  - a: 1 # one\n  dir: {}\n  replicas: 1\n" +
				"metadata:\n  name: web\napiVersion: apps/v1\n---\n\n", nil},
		"null is nothing":       {"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, labels: null, creationTimestamp: null}\nspec: {replicas: 1, list: [{a: 1, b: }], dir: {}}\n", nil},
		"no labels are nothing": {"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, labels: {}, annotations: {}}\nspec: {replicas: 1, list: [{a: 1}], dir: {}}\n", nil},
		"forms of numbers":      {"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 1.0, list: [{a: 1e0}], dir: {}}\n", nil},
		"the namespace":         {"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: odoo}\nspec: {replicas: 1, list: [{a: 1}], dir: {}}\n", nil},
		"a list of objects":     {"apiVersion: v1\nkind: List\nitems: [{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {replicas: 1, list: [{a: 1}], dir: {}}}]\n", nil},
		"another namespace": {"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: other}\nspec: {replicas: 1, list: [{a: 1}], dir: {}}\n",
			[]string{"created Deployment/web []", "removed Deployment/web []"}},
		"another group": {"apiVersion: v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 1, list: [{a: 1}], dir: {}}\n",
			[]string{"created Deployment/web []", "removed Deployment/web []"}},
		"another version": {"apiVersion: apps/v2\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 1, list: [{a: 1}], dir: {}}\n",
			[]string{"changed Deployment/web [apiVersion]"}},
		"text is no number": {"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: '1', list: [{a: 1}], dir: {}}\n",
			[]string{"changed Deployment/web [spec.replicas]"}},
		"an empty field is one": {"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 1, list: [{a: 1}]}\n",
			[]string{"changed Deployment/web [spec.dir]"}},
		"a hook is none of the release's own": {
			"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, annotations: {helm.sh/hook: pre-upgrade}}\nspec: {replicas: 1, list: [{a: 1}], dir: {}}\n",
			[]string{"changed Deployment/web [metadata.annotations]"}},
		"twice": {base + "---\n" + base, []string{"created Deployment/web []"}},
	} {
		if got := said(compareObjects(normalOf(t, base), normalOf(t, c.other))); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestWhatIsMadeUpIsNoDifference(t *testing.T) {
	changed := func(name string, paths ...string) objectDiff { return objectDiff{"Secret", name, changeChanged, paths} }
	unstable := []objectDiff{changed("a", "data.password", "spec.list"), {"Job", "init-x7", changeCreated, nil}, {"Job", "init-k2", changeRemoved, nil}}
	for name, c := range map[string]struct {
		diff objectDiff
		want []string
	}{
		"made up":             {changed("a", "data.password"), nil},
		"below it":            {changed("a", "spec.list[0].a"), nil},
		"one of two":          {changed("a", "data.password", "data.user"), []string{"changed Secret/a [data.user]"}},
		"only begins like it": {changed("a", "data.passwords"), []string{"changed Secret/a [data.passwords]"}},
		"above it":            {changed("a", "data"), []string{"changed Secret/a [data]"}},
		"of another object":   {changed("b", "data.password"), []string{"changed Secret/b [data.password]"}},
		"a name that changes": {objectDiff{"Job", "init-x7", changeCreated, nil}, nil},
		"a name of before":    {objectDiff{"Job", "init-a1", changeRemoved, nil}, []string{"removed Job/init-a1 []"}},
		"an object is gone":   {objectDiff{"Secret", "a", changeRemoved, nil}, []string{"removed Secret/a []"}},
	} {
		if got := said(withoutUnstable([]objectDiff{c.diff}, unstable)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestRestartsAreOfPods(t *testing.T) {
	got := restarts([]objectDiff{
		{"Deployment", "web", changeChanged, []string{"metadata.labels.a", "spec.template.spec.containers"}},
		{"Deployment", "cron", changeChanged, []string{"spec.replicas", "spec.templates"}},
		{"StatefulSet", "db", changeCreated, nil},
		{"StatefulSet", "old", changeChanged, []string{"spec.template"}},
		{"CronJob", "backup", changeChanged, []string{"spec.template.spec"}},
	})
	if want := []string{"Deployment/web", "StatefulSet/old"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
