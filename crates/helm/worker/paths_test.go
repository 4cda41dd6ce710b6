package main

import (
	"reflect"
	"testing"
)

func TestPathsAreReadAsTheyAreTold(t *testing.T) {
	for path, want := range map[string][]step{
		"spec":                            {{field: "spec"}},
		`metadata.annotations["a.b/c"].d`: {{field: "metadata"}, {field: "annotations"}, {field: "a.b/c"}, {field: "d"}},
		`data["say \"hi\""]`:              {{field: "data"}, {field: `say "hi"`}},
		"spec.list[10].x":                 {{field: "spec"}, {field: "list"}, {index: 10, inList: true}, {field: "x"}},
		"spec.list[*]":                    {{field: "spec"}, {field: "list"}, {index: every, inList: true}},
	} {
		if got, err := parsePath(path); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, %v", path, got, err)
		}
	}
	for _, path := range []string{"", ".spec", "spec.", "spec..a", "spec[", "spec[x]", "spec[-1]", `a["b`, "/spec/replicas", "spec[0]a"} {
		if got, err := parsePath(path); err == nil {
			t.Errorf("%q: %v", path, got)
		}
	}
}

func TestIgnoredPathsCoverWhatIsBelow(t *testing.T) {
	for _, c := range []struct {
		above, path string
		want        bool
	}{
		{"spec", "spec.replicas", true},
		{"spec.rep", "spec.replicas", false},
		{"spec.replicas", "spec", false},
		{"spec.list[*].image", "spec.list[3].image", true},
		{"spec.list[1]", "spec.list[10]", false},
		{`data["a.b"]`, `data["a.b"]`, true},
	} {
		if got := covers(must1(parsePath(c.above)), c.path); got != c.want {
			t.Errorf("%s over %s: %t", c.above, c.path, got)
		}
	}
}

func TestOverlayTakesWhatIsLive(t *testing.T) {
	read := func(text string) map[string]any { return must1(parseObject(text)).Object }
	for name, c := range map[string]struct{ path, wanted, live, want string }{
		"a value":        {"a.b", "{a: {b: 1, c: 1}}", "{a: {b: 2, c: 2}}", "{a: {b: 2, c: 1}}"},
		"taken away":     {"a.b", "{a: {b: 1, c: 1}}", "{a: {c: 2}}", "{a: {c: 1}}"},
		"added":          {"a.d", "{a: {b: 1}}", "{a: {d: 2}}", "{a: {b: 1}}"},
		"nothing there":  {"a.b", "{}", "{a: {b: 1}}", "{}"},
		"no map":         {"a.b", "{a: x}", "{a: {b: 1}}", "{a: x}"},
		"in a list":      {"l[1]", "{l: [1, 2]}", "{l: [3, 4]}", "{l: [1, 4]}"},
		"by name":        {"l[0].v", "{l: [{name: x, v: 1}]}", "{l: [{name: new, v: 9}, {name: x, v: 2}]}", "{l: [{name: x, v: 1}]}"},
		"by name, moved": {"l[1].v", "{l: [{name: x, v: 1}]}", "{l: [{name: new, v: 9}, {name: x, v: 2}]}", "{l: [{name: x, v: 2}]}"},
		"every":          {"l[*].v", "{l: [{name: x, v: 1}, {name: y, v: 1}]}", "{l: [{name: y, v: 3}, {name: x, v: 2}]}", "{l: [{name: x, v: 2}, {name: y, v: 3}]}"},
		"beyond the end": {"l[5]", "{l: [1]}", "{l: [2]}", "{l: [1]}"},
	} {
		wanted := read(c.wanted)
		overlay(wanted, any(read(c.live)), must1(parsePath(c.path)))
		if want := read(c.want); !reflect.DeepEqual(wanted, want) {
			t.Errorf("%s: %v, want %v", name, wanted, want)
		}
	}
}
