package main

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Releases that nobody here has made, compared with what a chart renders.

const comparedChart = `apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {a: {{ .Values.a | default "1" | quote }}, upgrade: "{{ .Values.seen | default false }}"}
---
apiVersion: v1
kind: Secret
metadata: {name: passwords}
stringData: {fixed: {{ .Values.password | default "hunter1" }}{{ if .Values.random }}, random: {{ randAlphaNum 16 }}{{ end }}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}, annotations: {}}
    spec: {containers: [{name: a, image: {{ .Values.image | default "a" }}, env: [{name: X, value: null}]}]}
---
apiVersion: v1
kind: List
items: [{apiVersion: v1, kind: ConfigMap, metadata: {name: listed, namespace: {{ .Release.Namespace }}}, data: {n: "0123"}}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: hooked, annotations: {helm.sh/hook: "pre-install,pre-upgrade"}}
data: {h: {{ .Values.hook | default "1" | quote }}}
{{- with (lookup "v1" "ConfigMap" .Release.Namespace "settings").data }}{{ if $.Values.looks }}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: looked}
data: {a: {{ .a | quote }}}
{{- end }}{{ end }}
`

func (w *world) compare(revision int, chart string, values map[string]any) *compared {
	w.t.Helper()
	r := w.request(actionCompare, revision+1, chart)
	r.Values = values
	w.requests.take()
	result := w.do(r)
	for _, request := range w.requests.take() {
		if mutates(request) {
			w.t.Errorf("%s %s is no read", request.Method, request.URL)
		}
	}
	if result.Compared == nil {
		w.t.Fatal("nothing is compared")
	}
	return result.Compared
}

func (w *world) isEqual(c *compared) {
	w.t.Helper()
	if len(c.Differences)+len(c.Unstable)+len(c.Changes)+len(c.Restarts) > 0 {
		w.t.Errorf("not equal: %+v", c)
	}
}

// maker is a way in which a release that is not ours comes to be.
type maker struct {
	helm  string
	flags []string
}

var makers = map[string]maker{
	"Helm 4 server-side": {envHelm, []string{"--server-side=true"}},
	"Helm 4 client-side": {envHelm, []string{"--server-side=false"}},
	"Helm 3":             {envHelm3, nil},
}

// makes runs a Helm's command line.
func (w *world) makes(by maker, args ...string) {
	w.t.Helper()
	w.commandLine(by.helm, append(args, by.flags...)...)
}

func TestReleaseOfTheSameChartAndValuesIsEqual(t *testing.T) {
	for name, by := range makers {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			chart := chartArchive(t, "odoo", map[string]string{"all.yaml": comparedChart})
			w.makes(by, "install", "acme-prod", chart)
			c := w.compare(1, chart, nil)
			w.isEqual(c)
			secret, _ := w.record(1)
			if c.Revision != 1 || c.ResourceVersion != secret.ResourceVersion || c.Status != "deployed" || c.Chart != "odoo" || c.ChartVersion != "1.2.3" {
				t.Errorf("%+v", c)
			}
			w.isEqual(w.compare(1, chart, nil))
			w.touches("web", `{"spec":{"replicas":0}}`)
			w.isEqual(w.compare(1, chart, nil))
		})
	}
}

func TestReleaseWithOtherValuesTellsWhatDiffersAndWhatAnUpgradeWouldDo(t *testing.T) {
	for name, by := range makers {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			more := map[string]string{"all.yaml": comparedChart, "more.yaml": strings.ReplaceAll(twoKeys, "settings", "more")}
			w.makes(by, "install", "acme-prod", chartArchive(t, "odoo", more), "--set", "a=2,hook=2,password=hunter2,keys.b=x")
			c := w.compare(1, chartArchive(t, "odoo", map[string]string{"all.yaml": comparedChart}), map[string]any{"image": "b"})
			want := []string{"changed ConfigMap/hooked [data.h]", "removed ConfigMap/more []", "changed ConfigMap/settings [data.a]",
				"changed Deployment/web [spec.template.spec.containers[0].image]", "changed Secret/passwords [stringData.fixed]"}
			if got := said(c.Differences); !slices.Equal(got, want) {
				t.Errorf("differences %q", got)
			}
			got := said(c.Changes)
			slices.Sort(got)
			want = []string{"changed ConfigMap/settings [data.a]", "changed Deployment/web [spec.template.spec.automountServiceAccountToken " +
				"spec.template.spec.containers[0].image spec.template.spec.enableServiceLinks]", "changed Secret/passwords [data.fixed]", "removed ConfigMap/more []"}
			if !slices.Equal(got, want) {
				t.Errorf("changes %q", got)
			}
			if !slices.Equal(c.Restarts, []string{"Deployment/web"}) {
				t.Errorf("restarts %v", c.Restarts)
			}
		})
	}
}

// A field that is rendered no more goes by either method, and what a person has added stays.
func TestWhatAnUpgradeWouldTakeAwayIsTold(t *testing.T) {
	for name, by := range makers {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			chart := chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys})
			w.makes(by, "install", "acme-prod", chart, "--set", "keys.a=x,keys.b=y")
			w.touches("settings", `{"data":{"mine":"z"}}`)
			c := w.compare(1, chart, map[string]any{"keys": map[string]any{"a": "x"}})
			if got := said(c.Changes); !slices.Equal(got, []string{"changed ConfigMap/settings [data.b]"}) {
				t.Errorf("changes %q", got)
			}
		})
	}
}

func TestRandomPasswordIsUnstableAndNoDifference(t *testing.T) {
	w := newWorld(t)
	chart := chartArchive(t, "odoo", map[string]string{"all.yaml": comparedChart})
	w.helm("install", "acme-prod", chart, "--set", "random=true")
	c := w.compare(1, chart, map[string]any{"random": true})
	if got := said(c.Unstable); len(c.Differences) > 0 || !slices.Equal(got, []string{"changed Secret/passwords [stringData.random]"}) {
		t.Errorf("%+v", c)
	}
}

// What a template looks up of a release that another Helm made is what it would see in an upgrade.
func TestComparisonLooksUpTheReleasesOwnObjects(t *testing.T) {
	w := newWorld(t)
	chart := chartArchive(t, "odoo", map[string]string{"all.yaml": comparedChart})
	w.helm("install", "acme-prod", chart)
	w.helm("upgrade", "acme-prod", chart, "--set", "looks=true")
	w.touches("settings", `{"metadata":{"labels":{"app.kubernetes.io/managed-by":null}}}`)
	w.isEqual(w.compare(2, chart, map[string]any{"looks": true}))
}

func TestFailedAndPendingReleasesAreCompared(t *testing.T) {
	w := newWorld(t)
	chart := chartArchive(t, "odoo", map[string]string{"all.yaml": comparedChart})
	w.helm("install", "acme-prod", chart)
	for _, status := range []string{"failed", "pending-upgrade"} {
		w.rewrite(1, func(text string) string {
			return strings.Replace(text, `"status":"deployed"`, `"status":"`+status+`"`, 1)
		}, status)
		c := w.compare(1, chart, nil)
		w.isEqual(c)
		if c.Status != status {
			t.Errorf("status %q, want %q", c.Status, status)
		}
		w.rewrite(1, func(text string) string {
			return strings.Replace(text, `"status":"`+status+`"`, `"status":"deployed"`, 1)
		}, "deployed")
	}
}

// rewrite changes what a record holds.
func (w *world) rewrite(revision int, change func(string) string, status string) {
	w.t.Helper()
	secret, _ := w.record(revision)
	plain, err := unpackRelease(secret.Data[releaseKey])
	must(w.t, err)
	secret.Data[releaseKey], err = packRelease([]byte(change(string(plain))))
	must(w.t, err)
	secret.Labels["status"] = status
	_, err = w.clients.CoreV1().Secrets(w.namespace).Update(w.t.Context(), secret, metav1.UpdateOptions{})
	must(w.t, err)
}

func TestComparisonIsJudgedLikeAnUpgrade(t *testing.T) {
	w := newWorld(t)
	chart := chartArchive(t, "odoo", map[string]string{"all.yaml": comparedChart, "claim.yaml": claimOfSize})
	w.helm("install", "acme-prod", chart)
	w.refused(w.request(actionCompare, 2, chartArchive(t, "odoo", map[string]string{"all.yaml": comparedChart})), classWouldDeleteData)
	other := chartArchive(t, "other", map[string]string{"all.yaml": comparedChart, "claim.yaml": claimOfSize})
	if failure := w.refused(w.request(actionCompare, 2, other), classWouldDeleteData); !strings.Contains(failure.Message, `chart "odoo" would be replaced by chart "other"`) {
		t.Error(failure.Message)
	}
	r := w.request(actionCompare, 2, chart)
	r.AllowedKinds = slices.DeleteFunc(slices.Clone(defaultKinds), func(kind string) bool { return kind == "apps/v1/Deployment" })
	w.refused(r, classKindNotAllowed)
	reads := "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: a, image: b, envFrom: [{secretRef: {name: foreign}}]}]}\n"
	w.refused(w.request(actionCompare, 2, chartArchive(t, "odoo", map[string]string{"claim.yaml": claimOfSize, "p.yaml": reads})), classSecretNotAllowed)
	fails := chartArchive(t, "odoo", map[string]string{"claim.yaml": claimOfSize, "f.yaml": `{{ fail "no" }}`})
	w.refused(w.request(actionCompare, 2, fails), classRender)
}

func TestComparisonOfAnotherRevisionOrNone(t *testing.T) {
	w := newWorld(t)
	chart := chartArchive(t, "odoo", map[string]string{"all.yaml": comparedChart})
	w.refused(w.request(actionCompare, 2, chart), classNotFound)
	w.helm("install", "acme-prod", chart)
	w.helm("upgrade", "acme-prod", chart)
	w.refused(w.request(actionCompare, 2, chart), classStaleRevision)
	w.isEqual(w.compare(2, chart, nil))
}

func TestRecordThatCannotBeReadIsSaidSo(t *testing.T) {
	w := newWorld(t)
	chart := chartArchive(t, "odoo", map[string]string{"all.yaml": comparedChart})
	w.helm("install", "acme-prod", chart)
	good, _ := w.record(1)
	whole := good.Data[releaseKey]
	bomb := must1(packRelease([]byte(`{"name":"` + strings.Repeat("a", maxRelease) + `"}`)))
	future := must1(packRelease([]byte(`{"parts":1}`)))
	for says, data := range map[string][]byte{
		"for it is not base64":                   whole[:len(whole)-2],
		"for it is cut off":                      []byte(base64.StdEncoding.EncodeToString(must1(base64.StdEncoding.DecodeString(string(whole)))[:300])),
		"for it is not valid JSON":               []byte(base64.StdEncoding.EncodeToString([]byte("hunter2"))),
		"for it unpacks to more than 64 MiB":     bomb,
		`has the field "parts", which Helm v4`:   future,
		"for it is that of another release or r": must1(packRelease([]byte(strings.Replace(byHelm3, `"version":2`, `"version":7`, 1)))),
	} {
		secret, err := w.clients.CoreV1().Secrets(w.namespace).Get(t.Context(), good.Name, metav1.GetOptions{})
		must(t, err)
		secret.Data[releaseKey] = data
		_, err = w.clients.CoreV1().Secrets(w.namespace).Update(t.Context(), secret, metav1.UpdateOptions{})
		must(t, err)
		failure := w.refused(w.request(actionCompare, 2, chart), classRecordUnreadable)
		if !strings.Contains(failure.Message, says) || strings.Contains(failure.Message, "hunter2") {
			t.Errorf("%q: %s", says, failure.Message)
		}
	}
}

// What would be refused in an upgrade is told, and nothing of it is written.
func TestComparisonThatTheAPIServerRefuses(t *testing.T) {
	w := newWorld(t)
	chart := chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys, "fixed.yaml": fixedOfImage})
	w.helm("install", "acme-prod", chart)
	r := w.request(actionCompare, 2, chart)
	r.Values = map[string]any{"image": "odoo:18"}
	w.refused(r, classImmutable)
	w.requests.before = func(r *http.Request) error {
		if r.Method == http.MethodPatch {
			return http.ErrHandlerTimeout
		}
		return nil
	}
	r = w.request(actionCompare, 2, chart)
	r.Values = keys("b")
	w.refused(r, classUnreachable)
}
