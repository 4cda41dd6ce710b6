package main

import (
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Workers that are killed, stopped or simply busy.

func TestPermitEndsWrites(t *testing.T) {
	w := newWorld(t)
	hook := "apiVersion: batch/v1\nkind: Job\nmetadata: {name: slow, annotations: {helm.sh/hook: post-install}}\nspec: {template: {spec: {nodeSelector: {no: node}, restartPolicy: Never, containers: [{name: a, image: busybox}]}}}\n"
	chart := chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys, "hook.yaml": hook})
	c := w.child()
	r := w.request(actionInstall, 1, chart)
	r.ValidForMillis = 3000
	c.send(r)
	if rendered := c.until(isStage("rendered")); rendered["hooks"].(map[string]any)["total"] != 1.0 {
		t.Errorf("%v", rendered)
	}
	c.until(isStage("applied"))
	// The hook never ends here, as no kubelet runs it: the permit does.
	result := c.until(isResult)
	if class := result["error"].(map[string]any)["class"]; class != classPermitExpired {
		t.Errorf("%v", result)
	}
	if code := c.exitCode(); code != 1 {
		t.Errorf("exit code %d", code)
	}
	if got := w.secretNames(); !slices.Equal(got, []string{"sh.helm.release.v1.acme-prod.v1 pending-install"}) {
		t.Errorf("stored: %v", got)
	}
}

func TestPermitEndsInTheMiddle(t *testing.T) {
	w := newWorld(t)
	chart := chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys, "all.yaml": webAndDatabase})
	r := w.request(actionInstall, 1, chart)
	p := newPermit(r.validity)
	w.requests.before = func(request *http.Request) error {
		if strings.Contains(request.URL.Path, "/configmaps/") && request.Method == http.MethodPatch {
			p.end(fail(classPermitExpired, "the permit to write ran out"))
		}
		return nil
	}
	_, failure := w.cluster.run(r, p, func(string, *hooks) {})
	if failure == nil || failure.Class != classPermitExpired {
		t.Fatalf("%v", failure)
	}
	writes := 0
	for _, request := range w.requests.take() {
		if mutates(request) {
			writes++
		}
	}
	if writes != 2 {
		t.Errorf("%d writes, want the release Secret and the ConfigMap alone", writes)
	}
}

func TestKilledThenUnlockedThenUpgraded(t *testing.T) {
	w := newWorld(t)
	hook := "apiVersion: batch/v1\nkind: Job\nmetadata: {name: slow, annotations: {helm.sh/hook: pre-install}}\nspec: {template: {spec: {nodeSelector: {no: node}, restartPolicy: Never, containers: [{name: a, image: busybox}]}}}\n"
	chart := chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys, "hook.yaml": hook})
	c := w.child()
	r := w.request(actionInstall, 1, chart)
	r.Labels = map[string]string{"odoofleet.dev/customer": "acme"}
	c.send(r)
	c.until(isStage("recorded"))
	must(t, c.command.Process.Kill())
	c.exitCode()
	w.refused(w.request(actionUpgrade, 2, chart), classLocked)
	w.refused(w.request(actionInstall, 2, chart), classLocked)
	w.do(w.request(actionUnlock, 1, ""))
	w.refused(w.request(actionUnlock, 1, ""), classNotFound)
	secret, err := w.clients.CoreV1().Secrets(w.namespace).Get(t.Context(), secretName("acme-prod", 1), metav1.GetOptions{})
	must(t, err)
	if secret.Labels["odoofleet.dev/customer"] != "acme" || secret.Labels["modifiedAt"] == "" {
		t.Errorf("labels %v", secret.Labels)
	}
	if status := w.helm("status", "acme-prod", "-o", "json"); !strings.Contains(status, `"status":"failed"`) || !strings.Contains(status, "recovered: ") {
		t.Errorf("status %s", status)
	}
	up := w.request(actionUpgrade, 2, chart)
	up.Values = keys("after")
	w.do(up)
	if got := w.configMap("settings")["after"]; got != "v-after" {
		t.Errorf("settings %q", got)
	}
}

func TestDeadlineAndEndOfInput(t *testing.T) {
	hook := "apiVersion: batch/v1\nkind: Job\nmetadata: {name: slow, annotations: {helm.sh/hook: pre-install}}\nspec: {template: {spec: {nodeSelector: {no: node}, restartPolicy: Never, containers: [{name: a, image: busybox}]}}}\n"
	begin := func(t *testing.T, change func(*request)) (*world, *child) {
		w := newWorld(t)
		r := w.request(actionInstall, 1, chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys, "hook.yaml": hook}))
		if change != nil {
			change(r)
		}
		c := w.child()
		c.send(r)
		c.until(isStage("recorded"))
		return w, c
	}
	t.Run("deadline", func(t *testing.T) {
		// A hook that Helm gives up in time is Helm's to record; here the operation's end comes while it renders.
		w := newWorld(t)
		loop := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {a: \"{{ range until 200000000 }}{{ end }}\"}\n"
		r := w.request(actionInstall, 1, chartArchive(t, "odoo", map[string]string{"cm.yaml": loop}))
		r.TimeoutSeconds = 2
		c := w.child()
		c.send(r)
		if class := c.until(isResult)["error"].(map[string]any)["class"]; class != classDeadline {
			t.Errorf("class %v", class)
		}
		if code := c.exitCode(); code != 1 {
			t.Errorf("exit code %d", code)
		}
	})
	t.Run("hook", func(t *testing.T) {
		w, c := begin(t, func(r *request) { r.TimeoutSeconds = 5 })
		result := c.until(isResult)
		if failure := result["error"].(map[string]any); failure["class"] != classHook {
			t.Errorf("%v", failure)
		}
		if got := w.secretNames(); !slices.Equal(got, []string{"sh.helm.release.v1.acme-prod.v1 failed"}) {
			t.Errorf("stored: %v", got)
		}
	})
	t.Run("end of input", func(t *testing.T) {
		w, c := begin(t, nil)
		must(t, c.stdin.Close())
		if code := c.exitCode(); code != 1 {
			t.Errorf("exit code %d", code)
		}
		if got := w.secretNames(); !slices.Equal(got, []string{"sh.helm.release.v1.acme-prod.v1 pending-install"}) {
			t.Errorf("stored: %v", got)
		}
	})
	t.Run("busy", func(t *testing.T) {
		_, c := begin(t, nil)
		c.send(&request{Type: "operation", ID: "second", Action: actionRender})
		second := c.until(isResult)
		if second["id"] != "second" || second["error"].(map[string]any)["class"] != classInvalidRequest {
			t.Errorf("%v", second)
		}
	})
}

// A chart that takes all the memory that it can get is the end of its worker, and of nobody else: nothing was written yet.
func TestWorkerEndsAtItsMemoryLimit(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux ends a process at its limit of data")
	}
	w := newWorld(t)
	grows := "{{ $all := list }}{{ range until (int .Values.parts) }}{{ $all = append $all (repeat 16777216 \"x\") }}{{ end }}{{ len $all }}"
	chart := chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys, "grows.yaml": "{{ if .Values.parts }}" + grows + "{{ end }}"})
	c := w.child(envMemory + "=256")
	c.send(w.request(actionInstall, 1, chart))
	if result := c.until(isResult); result["type"] != "success" {
		t.Fatalf("within the limit: %v", result)
	}
	bomb := w.request(actionUpgrade, 2, chart)
	bomb.Values = map[string]any{"parts": 64}
	c.send(bomb)
	if code := c.exitCode(); code == 0 || !strings.Contains(c.stderr.String(), "out of memory") {
		t.Errorf("exit code %d, log:\n%.500s", code, c.stderr)
	}
	if got := w.secretNames(); !slices.Equal(got, []string{"sh.helm.release.v1.acme-prod.v1 deployed"}) {
		t.Errorf("stored: %v", got)
	}
}

func TestWarmWorkerDoesManyOperations(t *testing.T) {
	w := newWorld(t)
	chart := chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys})
	c := w.child()
	c.send(w.request(actionInstall, 1, chart))
	if result := c.until(isResult); result["type"] != "success" {
		t.Fatalf("%v", result)
	}
	began := time.Now()
	for revision := 2; revision < 12; revision++ {
		c.send(w.request(actionUpgrade, revision, chart))
		if result := c.until(isResult); result["type"] != "success" {
			t.Fatalf("%v", result)
		}
	}
	t.Logf("%s an upgrade", time.Since(began)/10)
	must(t, c.stdin.Close())
	if code := c.exitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if strings.Contains(c.stderr.String(), "v-") {
		t.Error("a value is in the log")
	}
}
