package main

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"slices"
	"testing"
)

// golden is written by the test of src/protocol.rs, which knows every line that goes either way.
const golden = "../testdata/protocol.jsonl"

// again decodes a line as its type and encodes it again.
func again[T any](t *testing.T, line []byte) []byte {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	var message T
	if err := d.Decode(&message); err != nil {
		t.Fatalf("%s: %s", line, err)
	}
	return must1(json.Marshal(message))
}

func TestBothSidesOfThePipeSayTheSame(t *testing.T) {
	content, err := os.ReadFile(golden)
	must(t, err)
	seen := map[string][]string{}
	for line := range bytes.Lines(content) {
		var head struct {
			Type, Action, Stage string
			Success             struct{ Diff []objectDiff }
			Error               struct{ Class string }
		}
		must(t, json.Unmarshal(line, &head))
		note := func(sort, word string) { seen[sort] = append(seen[sort], word) }
		note("types", head.Type)
		var encoded []byte
		switch head.Type {
		case "operation":
			r, err := parseRequest(line)
			must(t, err)
			if err := r.validate("odoo"); err != nil {
				t.Errorf("%s: %s", line, err)
			}
			encoded = must1(json.Marshal(r))
			note("actions", head.Action)
		case "permit":
			encoded = again[permitMessage](t, line)
		case "ready":
			encoded = again[readyMessage](t, line)
		case "progress":
			encoded = again[progressMessage](t, line)
			note("stages", head.Stage)
		case "success":
			encoded = again[successMessage](t, line)
			for _, one := range head.Success.Diff {
				note("changes", one.Change)
			}
		case "failure":
			encoded = again[failureMessage](t, line)
			note("classes", head.Error.Class)
		default:
			t.Fatalf("type %q is unknown", head.Type)
		}
		var one, other any
		must(t, json.Unmarshal(line, &one))
		must(t, json.Unmarshal(encoded, &other))
		if !reflect.DeepEqual(one, other) {
			t.Errorf("sent %s\nread %s", line, encoded)
		}
	}
	for sort, prefix := range map[string]string{"actions": "action", "stages": "stage", "changes": "change", "classes": "class"} {
		slices.Sort(seen[sort])
		if got, want := slices.Compact(seen[sort]), constants(t, prefix); !slices.Equal(got, want) {
			t.Errorf("%s are %v, want %v", sort, got, want)
		}
	}
	slices.Sort(seen["types"])
	if got := slices.Compact(seen["types"]); !slices.Equal(got, []string{"failure", "operation", "permit", "progress", "ready", "success"}) {
		t.Errorf("types are %v", got)
	}
}

// constants returns the values of the program's constants whose names begin so, sorted: none is forgotten.
func constants(t *testing.T, prefix string) []string {
	t.Helper()
	named := regexp.MustCompile(`(?m)^\s+` + prefix + `[A-Z]\w*\s+= "(.*)"$`)
	var values []string
	for _, file := range []string{"protocol.go", "errors.go"} {
		content, err := os.ReadFile(file)
		must(t, err)
		for _, match := range named.FindAllSubmatch(content, -1) {
			values = append(values, string(match[1]))
		}
	}
	slices.Sort(values)
	return values
}
