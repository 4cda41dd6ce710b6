package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const (
	envKubeconfig = "ODOOFLEET_TEST_KUBECONFIG"
	envHelm       = "ODOOFLEET_TEST_HELM"
	envHelm3      = "ODOOFLEET_TEST_HELM3"
	envChild      = "ODOOFLEET_TEST_CHILD"
	envMemory     = "ODOOFLEET_TEST_MEMORY" // MiB
)

// TestMain lets the test binary be the worker too, so that tests can start it as a child process.
func TestMain(m *testing.M) {
	if namespace := os.Getenv(envChild); namespace != "" {
		memory, _ := strconv.ParseUint(os.Getenv(envMemory), 10, 64)
		os.Exit(start(namespace, os.Getenv(envKubeconfig), 0, memory))
	}
	silenceLibraries(io.Discard)
	os.Exit(m.Run())
}

// world is a namespace of its own in a real cluster.
type world struct {
	t         testing.TB
	namespace string
	clients   *kubernetes.Clientset
	cluster   *cluster
	requests  *recorder
}

// recorder sees every request that the worker's library sends.
type recorder struct {
	mu   sync.Mutex
	seen []*http.Request
	// before may refuse a request in the API server's place.
	before func(*http.Request) error
}

type recording struct {
	*recorder
	next http.RoundTripper
}

func (r recording) RoundTrip(request *http.Request) (*http.Response, error) {
	r.mu.Lock()
	r.seen = append(r.seen, request)
	before := r.before
	r.mu.Unlock()
	if before != nil {
		if err := before(request); err != nil {
			return nil, err
		}
	}
	return r.next.RoundTrip(request)
}

func (r *recorder) take() []*http.Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := r.seen
	r.seen = nil
	return seen
}

func newWorld(t *testing.T) *world {
	t.Helper()
	kubeconfig := os.Getenv(envKubeconfig)
	if kubeconfig == "" {
		t.Skipf("%s is not set: this test needs a real API server", envKubeconfig)
	}
	config, err := loadConfig(kubeconfig)
	must(t, err)
	clients, err := kubernetes.NewForConfig(config)
	must(t, err)
	ns, err := clients.CoreV1().Namespaces().Create(t.Context(),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "worker-test-"}}, metav1.CreateOptions{})
	must(t, err)
	t.Cleanup(func() {
		_ = clients.CoreV1().Namespaces().Delete(context.Background(), ns.Name, metav1.DeleteOptions{})
	})
	requests := &recorder{}
	recorded := rest.CopyConfig(config)
	recorded.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return recording{requests, next}
	})
	c, err := newCluster(ns.Name, recorded)
	must(t, err)
	return &world{t: t, namespace: ns.Name, clients: clients, cluster: c, requests: requests}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var defaultKinds = []string{"v1/ConfigMap", "v1/Secret", "v1/Service", "v1/ServiceAccount", "v1/PersistentVolumeClaim", "v1/Pod",
	"apps/v1/Deployment", "apps/v1/StatefulSet", "batch/v1/Job", "batch/v1/CronJob"}

// request for release "acme-prod"; the chart is for those that render one.
func (w *world) request(action string, revision int, chart string) *request {
	r := &request{ID: "op-" + action, Type: "operation", Action: action, Release: "acme-prod", Namespace: w.namespace,
		ExpectedRevision: revision, TimeoutSeconds: 60}
	r.ValidForMillis, r.SentAtMillis = 60_000, now().Milliseconds()
	for i := max(1, revision-2); i < revision; i++ {
		r.Revisions = append(r.Revisions, i)
	}
	if r.Action == actionDrift {
		r.Drift = &driftRequest{}
	}
	if !r.rendersChart() {
		r.Revisions = append(r.Revisions, revision)
		return r
	}
	r.Inputs = &Inputs{AllowedKinds: defaultKinds}
	r.Chart.Path, r.Chart.SHA256 = chart, digestOf(w.t, chart)
	return r
}

// do runs the request in this process and fails the test if it fails.
func (w *world) do(r *request) *success {
	w.t.Helper()
	result, _, failure := w.try(r)
	if failure != nil {
		w.t.Fatalf("%s: %s: %s %v", r.Action, failure.Class, failure.Message, failure.Details)
	}
	return result
}

func (w *world) try(r *request) (*success, []string, *workerError) {
	w.t.Helper()
	p := readOnly()
	if r.writes() {
		p = newPermit(r.validity)
	}
	var mu sync.Mutex
	var stages []string
	result, failure := w.cluster.run(r, p, func(stage string, _ *hooks) {
		mu.Lock()
		defer mu.Unlock()
		stages = append(stages, stage)
	})
	return result, stages, failure
}

// refused runs the request and wants it to fail with the class.
func (w *world) refused(r *request, class string) *workerError {
	w.t.Helper()
	_, _, failure := w.try(r)
	if failure == nil {
		w.t.Fatalf("%s succeeded, want %s", r.Action, class)
	}
	if failure.Class != class {
		w.t.Fatalf("class %q, want %q: %s", failure.Class, class, failure.Message)
	}
	return failure
}

// helm runs Helm's own command line.
func (w *world) helm(args ...string) string {
	w.t.Helper()
	return w.commandLine(envHelm, args...)
}

// commandLine runs one of the Helms.
func (w *world) commandLine(variable string, args ...string) string {
	w.t.Helper()
	program := os.Getenv(variable)
	if program == "" {
		w.t.Skipf("%s is not set: this test needs Helm's command line", variable)
	}
	home := w.t.TempDir()
	command := exec.Command(program, append(args, "--namespace", w.namespace, "--kubeconfig", os.Getenv(envKubeconfig))...)
	command.Env = []string{"HOME=" + home, "HELM_NO_PLUGINS=1"}
	output, err := command.CombinedOutput()
	if err != nil {
		w.t.Fatalf("helm %v: %s\n%s", args, err, output)
	}
	return string(output)
}

func (w *world) secretNames() []string {
	w.t.Helper()
	list, err := w.clients.CoreV1().Secrets(w.namespace).List(context.Background(), metav1.ListOptions{LabelSelector: "owner=helm"})
	must(w.t, err)
	var names []string
	for _, s := range list.Items {
		names = append(names, s.Name+" "+s.Labels["status"])
	}
	slices.Sort(names)
	return names
}

func (w *world) configMap(name string) map[string]string {
	w.t.Helper()
	cm, err := w.clients.CoreV1().ConfigMaps(w.namespace).Get(context.Background(), name, metav1.GetOptions{})
	must(w.t, err)
	return cm.Data
}

// chartArchive packs a chart of the templates.
func chartArchive(t testing.TB, name string, files map[string]string) string {
	t.Helper()
	all := map[string]string{"Chart.yaml": "apiVersion: v2\nname: " + name + "\nversion: 1.2.3\nappVersion: \"18.0\"\n"}
	for path, content := range files {
		if !strings.Contains(path, "/") && strings.HasSuffix(path, ".yaml") && path != "values.yaml" && path != "Chart.yaml" {
			path = "templates/" + path
		}
		all[path] = content
	}
	var buffer bytes.Buffer
	zip := gzip.NewWriter(&buffer)
	pack := tar.NewWriter(zip)
	for _, path := range slices.Sorted(maps.Keys(all)) {
		must(t, pack.WriteHeader(&tar.Header{Name: name + "/" + path, Mode: 0o644, Size: int64(len(all[path]))}))
		_, err := pack.Write([]byte(all[path]))
		must(t, err)
	}
	must(t, pack.Close())
	must(t, zip.Close())
	path := filepath.Join(t.TempDir(), name+".tgz")
	must(t, os.WriteFile(path, buffer.Bytes(), 0o600))
	return path
}

func digestOf(t testing.TB, path string) string {
	t.Helper()
	if path == "" {
		return ""
	}
	content, err := os.ReadFile(path)
	must(t, err)
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// child is a worker in a process of its own.
type child struct {
	t        testing.TB
	command  *exec.Cmd
	stdin    io.WriteCloser
	messages chan map[string]any
	stderr   *bytes.Buffer
}

func (w *world) child(environment ...string) *child {
	w.t.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(append(os.Environ(), envChild+"="+w.namespace), environment...)
	c := &child{t: w.t, command: command, messages: make(chan map[string]any, 64), stderr: &bytes.Buffer{}}
	command.Stderr = c.stderr
	var err error
	c.stdin, err = command.StdinPipe()
	must(w.t, err)
	stdout, err := command.StdoutPipe()
	must(w.t, err)
	must(w.t, command.Start())
	w.t.Cleanup(func() { _ = command.Process.Kill(); _ = command.Wait() })
	go func() {
		defer close(c.messages)
		scanner := bufio.NewScanner(stdout)
		scanner.Buffer(nil, maxLine)
		for scanner.Scan() {
			var message map[string]any
			if json.Unmarshal(scanner.Bytes(), &message) == nil {
				c.messages <- message
			}
		}
	}()
	if ready := c.next(); ready["type"] != "ready" || ready["helmVersion"] != "v4.3.1" {
		w.t.Fatalf("first message is %v", ready)
	}
	return c
}

func (c *child) send(message any) {
	c.t.Helper()
	line, err := json.Marshal(message)
	must(c.t, err)
	_, err = c.stdin.Write(append(line, '\n'))
	must(c.t, err)
}

// next returns nil at the end of the worker's output.
func (c *child) next() map[string]any {
	c.t.Helper()
	select {
	case message := <-c.messages:
		return message
	case <-time.After(60 * time.Second):
		c.t.Fatalf("the worker says nothing; its log:\n%s", c.stderr)
		return nil
	}
}

// until returns the first message for which the test holds.
func (c *child) until(holds func(map[string]any) bool) map[string]any {
	c.t.Helper()
	for {
		message := c.next()
		if message == nil {
			c.t.Fatalf("the worker ended; its log:\n%s", c.stderr)
		}
		if holds(message) {
			return message
		}
	}
}

func isStage(stage string) func(map[string]any) bool {
	return func(m map[string]any) bool { return m["type"] == "progress" && m["stage"] == stage }
}

func isResult(m map[string]any) bool { return m["type"] == "success" || m["type"] == "failure" }

func (c *child) exitCode() int {
	c.t.Helper()
	for c.next() != nil {
	}
	_ = c.command.Wait()
	return c.command.ProcessState.ExitCode()
}

var discard = slog.New(slog.DiscardHandler)
