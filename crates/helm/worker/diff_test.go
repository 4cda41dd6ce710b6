package main

import (
	"slices"
	"testing"
)

func TestChangedPaths(t *testing.T) {
	base := func() map[string]any {
		o, err := parseObject("metadata: {annotations: {a.b/c: x}}\nspec: {list: [{a: 1}, {a: 2}], text: x, none: null}\n")
		must(t, err)
		return o.Object
	}
	spec := func(o map[string]any) map[string]any { return o["spec"].(map[string]any) }
	for name, c := range map[string]struct {
		change func(map[string]any)
		want   []string
	}{
		"nothing":     {func(map[string]any) {}, nil},
		"value":       {func(o map[string]any) { spec(o)["text"] = "y" }, []string{"spec.text"}},
		"added":       {func(o map[string]any) { spec(o)["more"] = "y" }, []string{"spec.more"}},
		"removed":     {func(o map[string]any) { delete(o, "spec") }, []string{"spec"}},
		"null gone":   {func(o map[string]any) { delete(spec(o), "none") }, nil},
		"in a list":   {func(o map[string]any) { spec(o)["list"].([]any)[1].(map[string]any)["a"] = 3 }, []string{"spec.list[1].a"}},
		"longer list": {func(o map[string]any) { spec(o)["list"] = []any{} }, []string{"spec.list"}},
		"other type":  {func(o map[string]any) { spec(o)["list"] = "x" }, []string{"spec.list"}},
		"odd name": {func(o map[string]any) {
			o["metadata"].(map[string]any)["annotations"] = map[string]any{"a.b/c": "y", "d": "z"}
		},
			[]string{"metadata.annotations.d", `metadata.annotations["a.b/c"]`}},
	} {
		other := base()
		c.change(other)
		if got := changedPaths(base(), other); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
