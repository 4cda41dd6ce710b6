package gitops

import (
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// Argo CD's own layout: group, kind, health.lua, actions.
const customizations = config + "/argocd/resource_customizations"

type health struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

func healthOf(t *testing.T, script string, object map[string]any) health {
	t.Helper()
	answer, ok := run(t, script, object).(map[string]any)
	if !ok {
		t.Fatalf("the script answers %v", answer)
	}
	status, _ := answer["status"].(string)
	message, _ := answer["message"].(string)
	return health{status, message}
}

func healthScript(t *testing.T, object map[string]any) string {
	t.Helper()
	return string(read(t, customizations, "odoofleet.dev", object["kind"].(string), "health.lua"))
}

// What a person in front of Argo CD should be shown, by conditions and phase alone.
func shown(object map[string]any) string {
	environment := object["kind"] == "OdooEnvironment"
	paused, _, _ := unstructured.NestedBool(object, "spec", "paused")
	switch {
	case deleted(object):
		return "Progressing"
	case paused:
		return "Suspended"
	case condition(object, "Ready") == "True" && environment && text(object, "status", "phase") == "Stopped":
		return "Suspended"
	case condition(object, "Ready") == "True":
		return "Healthy"
	case condition(object, "Stalled") == "True" || text(object, "status", "phase") == "Error":
		return "Degraded"
	default:
		return "Progressing"
	}
}

func TestArgoShowsEveryStateAsWhatItIs(t *testing.T) {
	counts := map[string]int{}
	for _, one := range told(t) {
		found := healthOf(t, healthScript(t, one.Object), one.Object)
		if found.Status != shown(one.Object) {
			t.Errorf("%s %q is %s, not %s", one.Object["kind"], one.Name, found.Status, shown(one.Object))
		}
		if found.Message == "" {
			t.Errorf("%s %q is %s without a word", one.Object["kind"], one.Name, found.Status)
		}
		counts[found.Status]++
	}
	for _, status := range []string{"Healthy", "Suspended", "Progressing", "Degraded"} {
		if counts[status] == 0 {
			t.Errorf("nothing is %s", status)
		}
	}
}

// Somebody who is called at night for what is Degraded should find something to do.
func TestArgoShowsNothingAsDegradedThatIsWell(t *testing.T) {
	for _, one := range told(t) {
		found := healthOf(t, healthScript(t, one.Object), one.Object).Status
		well := condition(one.Object, "Ready") == "True"
		failing := condition(one.Object, "Stalled") == "True" || text(one.Object, "status", "phase") == "Error"
		if found == "Degraded" && (well || !failing) {
			t.Errorf("%q is Degraded", one.Name)
		}
		// Flux and Argo CD must not contradict each other.
		if flux := kstatus(t, one.Object); flux == "Failed" && found != "Degraded" && found != "Suspended" {
			t.Errorf("%q is %s in Argo CD and %s in Flux", one.Name, found, flux)
		} else if flux == "Current" && found != "Healthy" && found != "Suspended" {
			t.Errorf("%q is %s in Argo CD and %s in Flux", one.Name, found, flux)
		}
	}
}

func TestArgoWaitsForTheFirstLookAndForEachNextOne(t *testing.T) {
	for _, one := range told(t) {
		script := healthScript(t, one.Object)
		for _, status := range []any{nil, map[string]any{}, map[string]any{"observedGeneration": int64(-1)},
			map[string]any{"observedGeneration": int64(3), "conditions": []any{}}} {
			fresh := maps.Clone(one.Object)
			fresh["status"] = status
			if found := healthOf(t, script, fresh).Status; found != "Progressing" {
				t.Errorf("a %s with status %v is %s", one.Object["kind"], status, found)
			}
		}
		edited := object(t, []byte(plain(t, one.Object)))
		edited["metadata"].(map[string]any)["generation"] = int64(4)
		if found := healthOf(t, script, edited).Status; found != "Progressing" {
			t.Errorf("%q is %s after an edit that nobody has seen", one.Name, found)
		}
	}
}

// Argo CD's own form of tests: https://argo-cd.readthedocs.io/en/stable/operator-manual/health/#way-2-contribute-a-custom-health-check
func TestHealthFiles(t *testing.T) {
	ran := 0
	for _, file := range find(t, "health_test.yaml") {
		var tests struct {
			Tests []struct {
				InputPath    string `json:"inputPath"`
				HealthStatus health `json:"healthStatus"`
			} `json:"tests"`
		}
		strict(t, read(t, file), &tests)
		folder := filepath.Dir(file)
		script := string(read(t, folder, "health.lua"))
		used := []string{}
		for _, test := range tests.Tests {
			used = append(used, test.InputPath)
			if found := healthOf(t, script, manifest(t, folder, test.InputPath)); found != test.HealthStatus {
				t.Errorf("%s: %v, not %v", filepath.Join(folder, test.InputPath), found, test.HealthStatus)
			}
			ran++
		}
		unused(t, folder, used)
	}
	if ran == 0 {
		t.Fatal("no test was found")
	}
}

type action struct {
	Name        string `json:"name"`
	Disabled    bool   `json:"disabled,omitempty"`
	IconClass   string `json:"iconClass,omitempty"`
	DisplayName string `json:"displayName,omitempty"`
}

func TestActionFiles(t *testing.T) {
	ran := 0
	for _, file := range find(t, "action_test.yaml") {
		var tests struct {
			DiscoveryTests []struct {
				InputPath string   `json:"inputPath"`
				Result    []action `json:"result"`
			} `json:"discoveryTests"`
			ActionTests []struct {
				Action             string `json:"action"`
				InputPath          string `json:"inputPath"`
				ExpectedOutputPath string `json:"expectedOutputPath"`
			} `json:"actionTests"`
		}
		strict(t, read(t, file), &tests)
		folder := filepath.Dir(file)
		used := []string{}
		for _, test := range tests.DiscoveryTests {
			used = append(used, test.InputPath)
			found := discover(t, string(read(t, folder, "discovery.lua")), manifest(t, folder, test.InputPath))
			if plain(t, found) != plain(t, test.Result) {
				t.Errorf("%s offers %v, not %v", test.InputPath, found, test.Result)
			}
			ran++
		}
		for _, test := range tests.ActionTests {
			used = append(used, test.InputPath, test.ExpectedOutputPath)
			found := act(t, string(read(t, folder, test.Action, "action.lua")), manifest(t, folder, test.InputPath))
			wanted := manifest(t, folder, test.ExpectedOutputPath)
			if test.Action == "restart" {
				sameButTime(t, found, wanted, "odoofleet.dev/restartedAt")
			}
			if plain(t, found) != plain(t, wanted) {
				t.Errorf("%s of %s gives %s", test.Action, test.InputPath, plain(t, found))
			}
			ran++
		}
		unused(t, folder, used)
	}
	if ran == 0 {
		t.Fatal("no test was found")
	}
}

func discover(t *testing.T, script string, object map[string]any) []action {
	t.Helper()
	answer, ok := run(t, script, object).(map[string]any)
	if !ok {
		t.Fatal("discovery.lua answers no table")
	}
	actions := []action{}
	for _, name := range slices.Sorted(maps.Keys(answer)) {
		one := action{Name: name}
		strict(t, []byte(plain(t, answer[name])), &one)
		actions = append(actions, one)
	}
	return actions
}

// The object after an action. An empty map comes back from Lua as a list, and is put right as Argo CD does it.
func act(t *testing.T, script string, before map[string]any) map[string]any {
	t.Helper()
	after, ok := run(t, script, before).(map[string]any)
	if !ok {
		t.Fatal("the action answers no object")
	}
	return restored(after, before).(map[string]any)
}

func restored(after, before any) any {
	switch before := before.(type) {
	case map[string]any:
		if list, ok := after.([]any); ok && len(list) == 0 {
			return before
		}
		if table, ok := after.(map[string]any); ok {
			for key := range table {
				table[key] = restored(table[key], before[key])
			}
		}
	case []any:
		if list, ok := after.([]any); ok {
			for at := range min(len(list), len(before)) {
				list[at] = restored(list[at], before[at])
			}
		}
	}
	return after
}

// A time of now is checked for its form, and then taken for the one in the file.
func sameButTime(t *testing.T, found, wanted map[string]any, annotation string) {
	t.Helper()
	written := text(found, "metadata", "annotations", annotation)
	if len(written) != len("2026-11-27T08:00:00Z") || strings.Count(written, ":") != 2 || !strings.HasSuffix(written, "Z") {
		t.Errorf("%s is %q, which is no time", annotation, written)
	}
	if err := unstructured.SetNestedField(found, text(wanted, "metadata", "annotations", annotation), "metadata", "annotations", annotation); err != nil {
		t.Fatal(err)
	}
}

func TestWhatArgoStopsStartsWithAsManyPodsAsBefore(t *testing.T) {
	actions := filepath.Join(customizations, "odoofleet.dev/OdooEnvironment/actions")
	stop, start := string(read(t, actions, "stop/action.lua")), string(read(t, actions, "start/action.lua"))
	for _, test := range []struct {
		spec   map[string]any
		starts int64
	}{
		{map[string]any{"replicas": int64(3)}, 3},
		{map[string]any{"replicas": int64(1)}, 1},
		{map[string]any{}, 1},
		// Stopped by somebody else: how many there were stands on the Deployment, which Argo CD does not show to a script.
		{map[string]any{"replicas": int64(0)}, 1},
	} {
		environment := map[string]any{"kind": "OdooEnvironment", "metadata": map[string]any{"name": "a"}, "spec": test.spec}
		stopped := act(t, stop, environment)
		if replicas, _, _ := unstructured.NestedInt64(stopped, "spec", "replicas"); replicas != 0 {
			t.Errorf("after stop replicas is %d", replicas)
		}
		started := act(t, start, stopped)
		if replicas, _, _ := unstructured.NestedInt64(started, "spec", "replicas"); replicas != test.starts {
			t.Errorf("%v starts with %d", test.spec, replicas)
		}
	}
}

func TestTheConfigMapHoldsWhatTheFilesHold(t *testing.T) {
	data := manifest(t, config, "argocd", "argocd-cm.yaml")["data"].(map[string]any)
	for _, kind := range []string{"OdooCustomer", "OdooTemplate", "OdooEnvironment"} {
		key := "resource.customizations.health.odoofleet.dev_" + kind
		if data[key] != string(read(t, customizations, "odoofleet.dev", kind, "health.lua")) {
			t.Errorf("%s is not what the file is", key)
		}
	}
	var actions struct {
		Discovery   string `json:"discovery.lua"`
		Definitions []struct {
			Name   string `json:"name"`
			Action string `json:"action.lua"`
		} `json:"definitions"`
	}
	strict(t, []byte(data["resource.customizations.actions.odoofleet.dev_OdooEnvironment"].(string)), &actions)
	folder := filepath.Join(customizations, "odoofleet.dev/OdooEnvironment/actions")
	if actions.Discovery != string(read(t, folder, "discovery.lua")) {
		t.Error("discovery.lua is not what the file is")
	}
	offered := []string{}
	for _, one := range actions.Definitions {
		offered = append(offered, one.Name)
		if one.Action != string(read(t, folder, one.Name, "action.lua")) {
			t.Errorf("action %s is not what the file is", one.Name)
		}
	}
	names := []string{}
	for _, one := range discover(t, actions.Discovery, map[string]any{"metadata": map[string]any{}, "spec": map[string]any{}}) {
		names = append(names, one.Name)
	}
	if slices.Sort(offered); !slices.Equal(offered, names) {
		t.Errorf("defined are %v, discovered %v", offered, names)
	}
}

func TestAWaveOfApplicationsWaitsForTheirHealth(t *testing.T) {
	data := manifest(t, config, "argocd", "argocd-cm.yaml")["data"].(map[string]any)
	script := data["resource.customizations.health.argoproj.io_Application"].(string)
	for _, test := range []struct{ status, shown any }{
		{nil, "Progressing"},
		{map[string]any{}, "Progressing"},
		{map[string]any{"health": map[string]any{"status": "Degraded"}}, "Degraded"},
		{map[string]any{"health": map[string]any{"status": "Healthy"}}, "Healthy"},
	} {
		if found := healthOf(t, script, map[string]any{"kind": "Application", "status": test.status}).Status; found != test.shown {
			t.Errorf("an Application with status %v is %s", test.status, found)
		}
	}
}

// Argo CD applies wave after wave: the operator, templates, customers, environments.
func TestApplicationsComeInTheirOrder(t *testing.T) {
	order := []string{}
	waves := []string{}
	for _, name := range []string{"operator", "templates", "customers", "environments"} {
		application := manifest(t, config, "argocd", "applications", name+".yaml")
		order = append(order, text(application, "metadata", "name"))
		waves = append(waves, text(application, "metadata", "annotations", "argocd.argoproj.io/sync-wave"))
	}
	if !slices.Equal(waves, []string{"-1", "0", "1", "2"}) {
		t.Errorf("%v come in waves %v", order, waves)
	}
	environments := manifest(t, config, "argocd", "applications", "environments.yaml")
	options, _, _ := unstructured.NestedStringSlice(environments, "spec", "syncPolicy", "syncOptions")
	for _, option := range []string{"ServerSideApply=true", "RespectIgnoreDifferences=true"} {
		if !slices.Contains(options, option) {
			t.Errorf("environments lack the option %s", option)
		}
	}
}

func find(t *testing.T, name string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(customizations, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Name() == name {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func strict(t *testing.T, content []byte, into any) {
	t.Helper()
	if err := yaml.UnmarshalStrict(content, into); err != nil {
		t.Fatal(err)
	}
}

// A manifest that no test names tests nothing.
func unused(t *testing.T, folder string, used []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "testdata", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if name := filepath.Join("testdata", filepath.Base(file)); !slices.Contains(used, name) {
			t.Errorf("no test uses %s", file)
		}
	}
}
