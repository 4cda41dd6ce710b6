package main

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/common"
	chartv2 "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/kube"
	kubefake "helm.sh/helm/v4/pkg/kube/fake"
	rcommon "helm.sh/helm/v4/pkg/release/common"
	release "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage"
	"helm.sh/helm/v4/pkg/storage/driver"
)

// These tests need no cluster: Helm's own code runs on Helm's own stand-ins, and says what it says.

type inMemory struct {
	t     *testing.T
	op    *operation
	store *storage.Storage
	kube  *kubefake.FailingKubeClient
}

func newInMemory(t *testing.T, action string) *inMemory {
	memory := driver.NewMemory()
	memory.SetNamespace("odoo")
	r := &request{Action: action, Release: "acme-prod", Namespace: "odoo", ExpectedRevision: 1, Inputs: &Inputs{AllowedKinds: defaultKinds}}
	o := &operation{request: r, progress: func(string, *hooks) {}}
	o.gate = &gate{request: r, judge: o.judgeInstall, passed: func(hooks) {}}
	return &inMemory{t: t, op: o, store: storage.Init(memory),
		kube: &kubefake.FailingKubeClient{PrintingKubeClient: kubefake.PrintingKubeClient{Out: io.Discard}}}
}

func (m *inMemory) configuration() *action.Configuration {
	c := action.NewConfiguration()
	c.Releases, c.KubeClient, c.Capabilities = m.store, m.kube, common.DefaultCapabilities
	return c
}

func (m *inMemory) load(files map[string]string) *chartv2.Chart {
	m.t.Helper()
	path := chartArchive(m.t, "odoo", files)
	c, failure := loadChart(path, digestOf(m.t, path))
	if failure != nil {
		m.t.Fatal(failure)
	}
	return c
}

func (m *inMemory) install(files map[string]string, values map[string]any) error {
	m.t.Helper()
	m.op.scrub = newScrubber(values)
	i := action.NewInstall(m.configuration())
	i.ReleaseName, i.Namespace, i.PostRenderer, i.WaitStrategy = "acme-prod", "odoo", m.op.gate, kube.HookOnlyStrategy
	if values == nil {
		values = map[string]any{}
	}
	_, err := i.Run(m.load(files), values)
	return err
}

func (m *inMemory) upgrade(files map[string]string) error {
	m.t.Helper()
	u := action.NewUpgrade(m.configuration())
	u.Namespace, u.PostRenderer, u.WaitStrategy = "odoo", m.op.gate, kube.HookOnlyStrategy
	_, err := u.Run("acme-prod", m.load(files), map[string]any{})
	return err
}

func (m *inMemory) stored() int {
	all, err := m.store.ListReleases()
	must(m.t, err)
	return len(all)
}

func (m *inMemory) wants(err error, class string, message ...string) {
	m.t.Helper()
	if err == nil {
		m.t.Fatalf("no error, want %s", class)
	}
	failure := m.op.classify(err)
	if failure.Class != class {
		m.t.Errorf("class %q, want %q, of: %s", failure.Class, class, err)
	}
	for _, part := range message {
		if !strings.Contains(failure.Message, part) {
			m.t.Errorf("message %q lacks %q; Helm said: %s", failure.Message, part, err)
		}
	}
	if strings.Contains(failure.Message, "hunter2") || strings.Contains(strings.Join(failure.Details, " "), "hunter2") {
		m.t.Errorf("a value leaks: %q %q", failure.Message, failure.Details)
	}
}

func TestGateIsBeforeStorage(t *testing.T) {
	role := map[string]string{"a.yaml": "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: r}\n"}
	m := newInMemory(t, actionInstall)
	m.wants(m.install(role, nil), classKindNotAllowed, `Role "r"`)
	if n := m.stored(); n != 0 {
		t.Errorf("%d revisions are stored after a refused install", n)
	}
	must(t, m.install(map[string]string{"a.yaml": twoKeys}, nil))
	m.wants(m.upgrade(role), classKindNotAllowed)
	if n := m.stored(); n != 1 {
		t.Errorf("%d revisions are stored after a refused upgrade", n)
	}
}

func TestGateSeesHooks(t *testing.T) {
	m := newInMemory(t, actionInstall)
	hook := "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: hooked, annotations: {helm.sh/hook: pre-install}}\n"
	m.wants(m.install(map[string]string{"hook.yaml": hook}, nil), classKindNotAllowed, `Role "hooked"`)
}

func TestHelmSaysPending(t *testing.T) {
	m := newInMemory(t, actionUpgrade)
	must(t, m.store.Create(&release.Release{Name: "acme-prod", Namespace: "odoo", Version: 1, Chart: &chartv2.Chart{Metadata: &chartv2.Metadata{Name: "odoo"}},
		Info: &release.Info{Status: rcommon.StatusPendingInstall, FirstDeployed: time.Now()}}))
	m.wants(m.upgrade(map[string]string{"a.yaml": twoKeys}), classLocked, `"acme-prod"`)
}

func TestHelmSaysNameInUse(t *testing.T) {
	m := newInMemory(t, actionInstall)
	must(t, m.install(map[string]string{"a.yaml": twoKeys}, nil))
	m.wants(m.install(map[string]string{"a.yaml": twoKeys}, nil), classStaleRevision)
}

func TestHelmSaysNoRelease(t *testing.T) {
	m := newInMemory(t, actionUpgrade)
	m.wants(m.upgrade(map[string]string{"a.yaml": twoKeys}), classNotFound, `"acme-prod"`)
}

func TestHelmSaysHooksFailed(t *testing.T) {
	hook := func(event string) map[string]string {
		return map[string]string{"a.yaml": "apiVersion: batch/v1\nkind: Job\nmetadata: {name: h, annotations: {helm.sh/hook: " + event + "}}\n"}
	}
	for _, event := range []string{"pre-install", "post-install", "pre-upgrade", "post-upgrade"} {
		m := newInMemory(t, actionInstall)
		if strings.HasSuffix(event, "upgrade") {
			must(t, m.install(map[string]string{"a.yaml": twoKeys}, nil))
		}
		m.kube.WatchUntilReadyError = errors.New("job h failed: BackoffLimitExceeded")
		err := m.install(hook(event), nil)
		if strings.HasSuffix(event, "upgrade") {
			err = m.upgrade(hook(event))
		}
		m.wants(err, classHook, event+` hook "h" failed: BackoffLimitExceeded`)
	}
	m := newInMemory(t, actionInstall)
	m.kube.WatchUntilReadyError = errors.New("timed out waiting for the condition")
	m.wants(m.install(hook("pre-install"), nil), classHook, "pre-install hook did not finish in time")
	for _, event := range []string{"pre-delete", "post-delete"} {
		m = newInMemory(t, actionUninstall)
		must(t, m.install(hook(event), nil))
		m.kube.CreateError = errors.New("no")
		_, err := action.NewUninstall(m.configuration()).Run("acme-prod")
		m.wants(err, classHook, event)
	}
}

func TestHelmSaysUnreachable(t *testing.T) {
	m := newInMemory(t, actionInstall)
	m.kube.ConnectionError = errors.New("kubernetes cluster unreachable: Get \"https://10.0.0.1/version\"")
	m.wants(m.install(map[string]string{"a.yaml": twoKeys}, nil), classUnreachable)
}

func TestHelmSaysSchema(t *testing.T) {
	schema := `{"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "required": ["host"], "additionalProperties": false, "properties": {
		"host": {"type": "string", "pattern": "^[a-z.]+$"}, "mail": {"type": "string", "format": "email"}, "size": {"enum": ["S", "M"]},
		"password": {"type": "string", "minLength": 20}, "workers": {"type": "integer", "minimum": 1},
		"db": {"type": "object", "properties": {"port": {"type": "integer"}}}, "either": {"oneOf": [{"type": "string"}, {"type": "null"}]}}}`
	for _, c := range []struct {
		values map[string]any
		want   string
	}{
		{map[string]any{}, `at "": missing property 'host'`},
		{map[string]any{"host": "hunter2 does not match pattern"}, `at "/host": does not match pattern '^[a-z.]+$'`},
		{map[string]any{"host": "a", "mail": "hunter2 is not valid email: x"}, `at "/mail": is not valid email`},
		{map[string]any{"host": "a", "size": "hunter2"}, `at "/size": value must be one of 'S', 'M'`},
		{map[string]any{"host": "a", "password": "hunter2"}, `at "/password": minLength: want 20`},
		{map[string]any{"host": "a", "workers": 0}, `at "/workers": minimum: want 1`},
		{map[string]any{"host": "a", "db": map[string]any{"port": "hunter2"}}, `at "/db/port": got string, want integer`},
		{map[string]any{"host": "a", "extra": "hunter2"}, `at "": additional properties 'extra' not allowed`},
		{map[string]any{"host": "a", "either": 3}, `at "/either": 'oneOf' failed, none matched`},
	} {
		m := newInMemory(t, actionInstall)
		err := m.install(map[string]string{"a.yaml": twoKeys, "values.schema.json": schema}, c.values)
		m.wants(err, classSchema, c.want)
		if n := m.stored(); n != 0 {
			t.Errorf("%d revisions are stored", n)
		}
	}
}

func TestHelmSaysRender(t *testing.T) {
	values := map[string]any{"password": "hunter2", "text": "hunter2", "list": []any{"hunter2"},
		"tpl": "{{ fail \"hunter2\" }}", "tplBroken": "{{ hunter2 }}", "yaml": "a: b: hunter2", "alias": "*hunter2"}
	for template, want := range map[string]string{
		"\n\n{{ .Values.missing.key }}":                      "template odoo/templates/a.yaml:3:10: executing \"odoo/templates/a.yaml\" at <.Values.missing.key>: nil pointer evaluating interface {}.key",
		"{{ required \"set odoo.host\" .Values.host }}":      "template odoo/templates/a.yaml:1:3: set odoo.host",
		"{{ fail (printf \"bad %s.\" .Values.password) }}":   "template odoo/templates/a.yaml:1:3: bad ….",
		"{{ .Values.text | atoi | fromJson | include }}":     "template odoo/templates/a.yaml:1",
		"{{ index .Values.list .Values.text }}":              "template odoo/templates/a.yaml:1:3: executing \"odoo/templates/a.yaml\" at <index .Values.list .Values.text>: error calling index",
		"{{ range .Values.text }}{{ end }}":                  "range cannot iterate over the value",
		"{{ tpl .Values.tpl . }}":                            "template odoo/templates/a.yaml:1:3: …",
		"{{ tpl .Values.tplBroken . }}":                      "template odoo/templates/a.yaml:1:3: executing \"odoo/templates/a.yaml\" at <tpl .Values.tplBroken .>: error calling tpl",
		"{{ nope }}":                                         "template odoo/templates/a.yaml:1 cannot be parsed: function \"nope\" not defined",
		"{{ include \"nope\" . }}":                           "error calling include",
		"a: b\n{{ .Values.yaml }}\n":                         "template odoo/templates/a.yaml renders invalid YAML: ",
		"a: {{ .Values.alias }}\nkind: ConfigMap\n":          "template odoo/templates/a.yaml renders invalid YAML: ",
		"kind: ConfigMap\nmetadata: {{ .Values.text }}\n":    "odoo/templates/a.yaml",
		"apiVersion: v1\nkind: [{{ .Values.text }}]\n":       "",
		"{{ .Values.password }}":                             "",
		"kind: ConfigMap\nmetadata: {annotations: {a: 3}}\n": "",
	} {
		m := newInMemory(t, actionInstall)
		err := m.install(map[string]string{"a.yaml": template}, values)
		if err == nil {
			t.Errorf("%q renders", template)
			continue
		}
		class := classRender
		if m.op.gate.done {
			class = m.op.classify(err).Class // the gate judged it, or what comes after did
		}
		m.wants(err, class, want)
		if n := m.stored(); n != 0 {
			t.Errorf("%d revisions are stored", n)
		}
	}
}

func TestHelmSaysKubeVersion(t *testing.T) {
	m := newInMemory(t, actionInstall)
	chart := "apiVersion: v2\nname: odoo\nversion: 1.0.0\nkubeVersion: \">=9.0.0\"\n"
	m.wants(m.install(map[string]string{"Chart.yaml": chart, "a.yaml": twoKeys}, nil), classChart, "kubeVersion")
}

func TestHelmSaysDependencies(t *testing.T) {
	m := newInMemory(t, actionInstall)
	chart := "apiVersion: v2\nname: odoo\nversion: 1.0.0\ndependencies: [{name: sub, version: 1.0.0, repository: \"\", import-values: [{child: 7}]}]\n"
	sub := map[string]string{"Chart.yaml": chart, "charts/sub/Chart.yaml": "apiVersion: v2\nname: sub\nversion: 1.0.0\n"}
	err := m.install(sub, nil)
	if err != nil {
		m.wants(err, classChart)
	}
}
