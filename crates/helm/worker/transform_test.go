package main

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	releaseutil "helm.sh/helm/v4/pkg/release/v1/util"
)

// pass sends a manifest through a gate that lets everything go, and returns what comes out.
func pass(t *testing.T, r *request, manifest string) string {
	t.Helper()
	g := &gate{request: r, judge: func([]object) *workerError { return nil }, passed: func(hooks) {}}
	out, err := g.Run(bytes.NewBufferString(manifest))
	must(t, err)
	return out.String()
}

func read(t *testing.T, manifest string) []map[string]any {
	t.Helper()
	objects, err := parseManifest(manifest)
	must(t, err)
	var contents []map[string]any
	for _, o := range objects {
		contents = append(contents, o.Object)
	}
	return contents
}

const everyKind = `
apiVersion: v1
kind: Pod
metadata: {name: a}
spec: {containers: []}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: a}
spec: {template: {spec: {containers: []}}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: a}
spec: {replicas: 1, template: {spec: {enableServiceLinks: true, containers: []}}}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: a}
spec: {template: {spec: {containers: []}}}
---
apiVersion: batch/v1
kind: Job
metadata: {name: a, annotations: {helm.sh/hook: pre-install}}
spec: {template: {spec: {containers: []}}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: a}
spec: {jobTemplate: {spec: {template: {spec: {automountServiceAccountToken: true, containers: []}}}}}
`

func TestTransformOfEveryKind(t *testing.T) {
	two := int64(2)
	out := read(t, pass(t, &request{Inputs: &Inputs{Replicas: map[string]int64{"StatefulSet/a": 0}, OtherReplicas: &two, SuspendCronJobs: true}}, everyKind))
	if len(out) != 6 {
		t.Fatalf("%d objects", len(out))
	}
	for _, content := range out {
		o := newObject(content)
		spec := o.podSpec()
		if spec["enableServiceLinks"] != false || spec["automountServiceAccountToken"] != false {
			t.Errorf("%s: %v", o.key(), spec)
		}
		var want any
		switch o.GetKind() {
		case "Deployment":
			want = 2.0
		case "StatefulSet":
			want = 0.0
		}
		if got := o.at("spec", "replicas"); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: replicas %v, want %v", o.key(), got, want)
		}
		if o.GetKind() == "CronJob" && o.at("spec", "suspend") != true {
			t.Error("the CronJob is not suspended")
		}
	}
}

// What is not transformed means the same after as before, however it was written.
func TestTransformLeavesTheRestAlone(t *testing.T) {
	manifest := "# Source: odoo/templates/a.yaml\n# a comment alone\n---\n---\n# Source: odoo/templates/cm.yaml\n" + `apiVersion: v1
kind: ConfigMap # what it is
metadata:
  name: text
  annotations: {a: "true", b: '1', helm.sh/hook-weight: "-5"}
data:
  quoted: "yes"
  single: 'it''s "so"'
  escapes: "a\r\nb\t\u00e9\u2028\x07"
  empty: ""
  tilde: "~"
  octal: "0644"
  url: http://x/?a=b&c=d#e
  colon: "a: b"
  long: ` + strings.Repeat("word ", 80) + `end
  literal: |
    line one
      indented   
    	tab

    last
  keep: |+
    text


  strip: >-
    folded
    text

    more
  certificate: |
    -----BEGIN CERTIFICATE-----
    MIIB
    -----END CERTIFICATE-----
  template: "{{ not a template }}"
---
apiVersion: v1
kind: Secret
metadata: {name: big, generation: 12345678901234567}
data: {a: YWJj}
numbers: [0, -1, 1.5, 1e3, 0x1F, 9007199254740993, 0o17, 017, 1_000, .5, 12:30:45]
truths: [true, false, yes, no, on, off, null, ~]
dates: [2001-01-01, "2001-01-01"]
---
{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "json"}, "spec": {"ports": [{"port": 80}]}}
`
	out := pass(t, &request{Inputs: &Inputs{}}, manifest)
	if got, want := read(t, out), read(t, manifest); !reflect.DeepEqual(got, want) {
		for i := range want {
			if i >= len(got) || !reflect.DeepEqual(got[i], want[i]) {
				t.Errorf("object %d:\n got %v\nwant %v", i, got[i], want[i])
			}
		}
	}
	for _, kept := range []string{"# what it is", "9007199254740993", "12345678901234567"} {
		if !strings.Contains(out, kept) {
			t.Errorf("%q is gone", kept)
		}
	}
}

func TestTransformOfAliasesAndMergeKeys(t *testing.T) {
	manifest := `apiVersion: apps/v1
kind: Deployment
metadata: {name: a}
pattern: &template
  metadata: {labels: {a: b}}
  spec: {containers: [{name: x}]}
base: &base
  replicas: 5
  minReadySeconds: 3
spec:
  <<: *base
  template: *template
`
	out := read(t, pass(t, &request{Inputs: &Inputs{Replicas: map[string]int64{"Deployment/a": 0}}}, manifest))
	o := newObject(out[0])
	if o.at("spec", "replicas") != 0.0 || o.at("spec", "minReadySeconds") != 3.0 {
		t.Errorf("spec %v", o.at("spec"))
	}
	if len(o.podSpec()["containers"].([]any)) != 1 || o.podSpec()["enableServiceLinks"] != false {
		t.Errorf("pods %v", o.podSpec())
	}
}

func TestVolumesKeepTheSizeThatTheyHave(t *testing.T) {
	for name, c := range map[string]struct{ rendered, has, want string }{
		"smaller":      {"10Gi", "20Gi", "20Gi"},
		"larger":       {"30Gi", "20Gi", "30Gi"},
		"same":         {"20Gi", "20Gi", "20Gi"},
		"same, other":  {"20480Mi", "20Gi", "20480Mi"},
		"not told":     {"10Gi", "", "10Gi"},
		"quoted":       {`"10Gi"`, "20Gi", "20Gi"},
		"a number":     {"1073741824", "20Gi", "20Gi"},
		"no quantity":  {"large", "20Gi", "large"},
		"sub-Gi sizes": {"500M", "600M", "600M"},
	} {
		manifest := "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: files}\nspec: {resources: {requests: {storage: " + c.rendered + "}}}\n"
		volumes := map[string]string{"other": "90Gi"}
		if c.has != "" {
			volumes["files"] = c.has
		}
		out := read(t, pass(t, &request{Inputs: &Inputs{Volumes: volumes}}, manifest))
		if got := newObject(out[0]).at("spec", "resources", "requests", "storage"); got != c.want {
			t.Errorf("%s: %v, want %s", name, got, c.want)
		}
	}
	without := "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: files}\nspec: {accessModes: [ReadWriteOnce]}\n"
	out := read(t, pass(t, &request{Inputs: &Inputs{Volumes: map[string]string{"files": "20Gi"}}}, without))
	if got := newObject(out[0]).at("spec", "resources"); got != nil {
		t.Errorf("a claim that asks for no size asks for %v", got)
	}
	stateful := "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: files}\nspec: {volumeClaimTemplates: [{metadata: {name: files}, spec: {resources: {requests: {storage: 1Gi}}}}]}\n"
	out = read(t, pass(t, &request{Inputs: &Inputs{Volumes: map[string]string{"files": "20Gi"}}}, stateful))
	if got := claimTemplates(newObject(out[0])); !reflect.DeepEqual(got, claimTemplates(newObject(read(t, stateful)[0]))) {
		t.Errorf("%v", got)
	}
}

func TestListsAreTakenApart(t *testing.T) {
	for _, more := range []string{"", "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\n"} {
		list := "apiVersion: v1\nkind: List\nmetadata: {annotations: {" + filenameAnnotation + ": f.yaml}}\n" +
			"items:\n- {apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: []}}\n- {apiVersion: v1, kind: Pod, metadata: {name: b}, spec: {containers: []}}\n"
		out := pass(t, &request{Inputs: &Inputs{}}, list+more)
		if count := strings.Count(out, "enableServiceLinks: false"); count != 2 {
			t.Errorf("%d pods were seen in\n%s", count, out)
		}
	}
}

func TestEmptyManifest(t *testing.T) {
	if out := pass(t, &request{Inputs: &Inputs{}}, "\n---\n# nothing\n---\n"); strings.TrimSpace(out) != "" {
		t.Errorf("%q", out)
	}
}

// Helm puts hooks and files together again by what passes here.
func TestHelmFindsFilesAndHooksAgain(t *testing.T) {
	out := pass(t, &request{Action: actionInstall, Inputs: &Inputs{}}, everyKind)
	documents := releaseutil.SplitManifests(out)
	hooks, manifests, err := releaseutil.SortManifests(documents, nil, releaseutil.InstallOrder)
	must(t, err)
	if len(hooks) != 1 || len(manifests) != 5 || hooks[0].Name != "a" {
		t.Errorf("%d hooks, %d manifests", len(hooks), len(manifests))
	}
	var job map[string]any
	must(t, yaml.Unmarshal([]byte(hooks[0].Manifest), &job))
	if newObject(job).podSpec()["enableServiceLinks"] != false {
		t.Error("the hook was not transformed")
	}
}
