package gitops

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// The folder config/ of the repository.
const config = "../../config"

// One object of each state that the operator tells, and a name for people.
type named struct {
	Name   string
	Object map[string]any
}

// The objects that odoofleet-core makes with its own decisions; `UPDATE_GOLDEN=1 cargo test -p odoofleet-core` writes them.
func told(t *testing.T) []named {
	t.Helper()
	file, err := os.Open("testdata/objects.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var all []named
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line struct {
			Name   string          `json:"name"`
			Object json.RawMessage `json:"object"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		all = append(all, named{line.Name, object(t, line.Object)})
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func read(t *testing.T, path ...string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// A manifest, as a client reads it: whole numbers are int64.
func manifest(t *testing.T, path ...string) map[string]any {
	t.Helper()
	return object(t, read(t, path...))
}

func object(t *testing.T, text []byte) map[string]any {
	t.Helper()
	converted, err := yaml.YAMLToJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	var read unstructured.Unstructured
	if err := read.UnmarshalJSON(converted); err != nil {
		t.Fatal(err)
	}
	return read.Object
}

func text(object map[string]any, path ...string) string {
	found, _, _ := unstructured.NestedString(object, path...)
	return found
}

// Status of a condition; empty if it is not there.
func condition(object map[string]any, name string) string {
	return ofCondition(object, name, "status")
}

func readyReason(object map[string]any) string {
	return ofCondition(object, "Ready", "reason")
}

func ofCondition(object map[string]any, name, field string) string {
	all, _, _ := unstructured.NestedSlice(object, "status", "conditions")
	for _, one := range all {
		if one, ok := one.(map[string]any); ok && one["type"] == name {
			return one[field].(string)
		}
	}
	return ""
}

func deleted(object map[string]any) bool {
	return text(object, "metadata", "deletionTimestamp") != ""
}
