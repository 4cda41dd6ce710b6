package main

import (
	"context"
	"encoding/base64"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
)

// Errors that only a real API server words as it does.

func (w *world) refusedWithout(secret string, r *request, class string, message ...string) *workerError {
	w.t.Helper()
	failure := w.refused(r, class)
	all := failure.Message + " " + strings.Join(failure.Details, " ")
	for _, part := range message {
		if !strings.Contains(all, part) {
			w.t.Errorf("%q lacks %q", all, part)
		}
	}
	if strings.Contains(all, secret) {
		w.t.Errorf("a value leaks: %q", all)
	}
	return failure
}

func TestForeignObjectIsInTheWay(t *testing.T) {
	w := newWorld(t)
	_, err := w.clients.CoreV1().ConfigMaps(w.namespace).Create(t.Context(),
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "settings"}}, metav1.CreateOptions{})
	must(t, err)
	chart := chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys})
	w.refusedWithout("hunter2", w.request(actionInstall, 1, chart), classConflict, `ConfigMap "settings"`, "does not belong to this release")
	if got := w.secretNames(); len(got) != 0 {
		t.Errorf("stored: %v", got)
	}
	empty := chartArchive(t, "odoo", map[string]string{"other.yaml": strings.Replace(twoKeys, "settings", "other", 1)})
	w.do(w.request(actionInstall, 1, empty))
	w.refusedWithout("hunter2", w.request(actionUpgrade, 2, chart), classConflict, `ConfigMap "settings"`)
}

func TestImmutableFields(t *testing.T) {
	w := newWorld(t)
	job := "apiVersion: batch/v1\nkind: Job\nmetadata: {name: init}\nspec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: \"{{ .Values.image }}\", env: [{name: P, value: hunter2}]}]}}}\n"
	chart := chartArchive(t, "odoo", map[string]string{"job.yaml": job})
	r := w.request(actionInstall, 1, chart)
	r.Values = map[string]any{"image": "odoo:17"}
	w.do(r)
	r = w.request(actionUpgrade, 2, chart)
	r.Values = map[string]any{"image": "odoo:18"}
	failure := w.refusedWithout("hunter2", r, classImmutable)
	if want := `Job "init": spec.template.spec.containers[0].image cannot change in an object that exists`; failure.Message != want {
		t.Errorf("message %q", failure.Message)
	}
	if got := w.secretNames(); len(got) != 1 {
		t.Errorf("stored: %v", got)
	}
	r = w.request(actionUpgrade, 2, chart)
	r.Values = map[string]any{"image": "odoo:17"}
	w.do(r)
}

func TestObjectsThatTheServerRefuses(t *testing.T) {
	for template, part := range map[string]string{
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: [hunter2]}\n":                                        "data.a",
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\nunknown: hunter2\n":                                            "unknown",
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"hunter2_\"}\n":                                                   "metadata.name",
		"apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {type: hunter2, ports: [{port: 80}]}\n":                    "spec.type",
		"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {replicas: \"hunter2\", template: {spec: {}}}\n":   ".spec.replicas",
		"apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: a}\nspec: {resources: {requests: {storage: hunter2}}}": "",
	} {
		w := newWorld(t)
		chart := chartArchive(t, "odoo", map[string]string{"a.yaml": template})
		secret := "hunter2"
		if part == "metadata.name" {
			secret = "not looked for: it is the object's name"
		}
		failure := w.refusedWithout(secret, w.request(actionInstall, 1, chart), classInvalid, part)
		t.Log(failure.Message)
	}
}

// The API server tells a client-side release of an unknown field only when it is asked to.
func TestUnknownFieldsOfAClientSideRelease(t *testing.T) {
	w := newWorld(t)
	good := chartArchive(t, "odoo", map[string]string{"all.yaml": webAndDatabase})
	w.helm("install", "acme-prod", good, "--server-side=false")
	typo := chartArchive(t, "odoo", map[string]string{"all.yaml": strings.Replace(webAndDatabase, "  replicas: {{", "  replikas: 3\n  replicas: {{", 1)})
	w.refusedWithout("hunter2", w.request(actionUpgrade, 2, typo), classInvalid, `unknown field "spec.replikas"`, `Deployment "web"`)
	if got := w.secretNames(); len(got) != 1 {
		t.Errorf("stored: %v", got)
	}
	up := w.request(actionUpgrade, 2, good)
	up.Values = map[string]any{"tag": "18.1"}
	w.do(up)
	web, err := w.clients.AppsV1().Deployments(w.namespace).Get(t.Context(), "web", metav1.GetOptions{})
	must(t, err)
	if image := web.Spec.Template.Spec.Containers[0].Image; image != "odoo:18.1" {
		t.Errorf("image %q", image)
	}
}

func TestReleaseThatIsTooLarge(t *testing.T) {
	w := newWorld(t)
	noise := make([]byte, 1<<20)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	large := base64.StdEncoding.EncodeToString(noise)
	rendered := chartArchive(t, "odoo", map[string]string{"cm.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: large}\ndata: {large: " + large + "}\n"})
	w.refusedWithout("hunter2", w.request(actionInstall, 1, rendered), classTooLarge)
	if got := w.secretNames(); len(got) != 0 {
		t.Errorf("stored: %v", got)
	}
	// What a chart only carries does not count.
	w.do(w.request(actionInstall, 1, chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys, "files/large": large})))
}

func TestKindThatTheClusterDoesNotServe(t *testing.T) {
	w := newWorld(t)
	chart := chartArchive(t, "odoo", map[string]string{"a.yaml": "apiVersion: cert-manager.io/v1\nkind: Certificate\nmetadata: {name: a}\n"})
	r := w.request(actionInstall, 1, chart)
	r.AllowedKinds = append(r.AllowedKinds[:0:0], "cert-manager.io/v1/Certificate")
	w.refusedWithout("hunter2", r, classInvalid, "Certificate")
}

// An allow-list that lets a cluster-scoped kind through by mistake does not get it into the cluster.
func TestClusterScopedKind(t *testing.T) {
	w := newWorld(t)
	chart := chartArchive(t, "odoo", map[string]string{"a.yaml": "apiVersion: v1\nkind: Namespace\nmetadata: {name: " + w.namespace + "-x}\n"})
	r := w.request(actionInstall, 1, chart)
	r.AllowedKinds = append(r.AllowedKinds[:0:0], "v1/Namespace")
	w.refusedWithout("hunter2", r, classKindNotAllowed, "belongs to no namespace")
	if _, err := w.clients.CoreV1().Namespaces().Get(t.Context(), w.namespace+"-x", metav1.GetOptions{}); err == nil {
		t.Error("the namespace was created")
	}
}

func TestServerThatIsNotThere(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	address := listener.Addr().String()
	must(t, listener.Close())
	c, err := newCluster("odoo", &rest.Config{Host: "http://" + address})
	must(t, err)
	w := &world{t: t, namespace: "odoo", cluster: c}
	chart := chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys})
	for _, action := range []string{actionInstall, actionUpgrade, actionUninstall, actionUnlock, actionRender} {
		revision := 1
		if action == actionUpgrade {
			revision = 2
		}
		w.refusedWithout("hunter2", w.request(action, revision, chart), classUnreachable, "connection refused")
	}
}

// waitForRights waits until the API server has heard of a new binding.
func (w *world) waitForRights(user string) {
	w.t.Helper()
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: user,
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: w.namespace, Verb: "delete", Group: "batch", Resource: "cronjobs"}}}
	must(w.t, wait.PollUntilContextTimeout(w.t.Context(), 50*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
		answer, err := w.clients.AuthorizationV1().SubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		return err == nil && answer.Status.Allowed, err
	}))
}

// The rights that the operator's Role gives for these kinds are enough, and what it does not give is told as such.
func TestWithNarrowRights(t *testing.T) {
	w := newWorld(t)
	write := []string{"get", "create", "update", "patch", "delete"}
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "worker"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"secrets", "configmaps"}, Verbs: write},
		{APIGroups: []string{"apps"}, Resources: []string{"deployments", "statefulsets"}, Verbs: write},
		{APIGroups: []string{"batch"}, Resources: []string{"cronjobs"}, Verbs: write},
	}}
	_, err := w.clients.RbacV1().Roles(w.namespace).Create(t.Context(), role, metav1.CreateOptions{})
	must(t, err)
	user := "system:serviceaccount:" + w.namespace + ":worker"
	_, err = w.clients.RbacV1().RoleBindings(w.namespace).Create(t.Context(), &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "worker"},
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "worker"}, Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Name: "worker", Namespace: w.namespace}}}, metav1.CreateOptions{})
	must(t, err)
	w.waitForRights(user)
	config, err := loadConfig(os.Getenv(envKubeconfig))
	must(t, err)
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: []string{"system:serviceaccounts", "system:authenticated"}}
	w.cluster, err = newCluster(w.namespace, config)
	must(t, err)
	chart := chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys, "all.yaml": webAndDatabase})
	w.do(w.request(actionInstall, 1, chart))
	w.do(w.request(actionUpgrade, 2, chart))
	service := chartArchive(t, "odoo", map[string]string{"cm.yaml": twoKeys, "all.yaml": webAndDatabase, "svc.yaml": "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 80}]}\n"})
	w.refusedWithout("hunter2", w.request(actionUpgrade, 3, service), classForbidden, "services")
	if got := w.secretNames(); len(got) != 2 {
		t.Errorf("stored: %v", got)
	}
	w.do(w.request(actionUninstall, 2, ""))
	if left, err := w.clients.CoreV1().ConfigMaps(w.namespace).Get(context.Background(), "settings", metav1.GetOptions{}); err == nil {
		t.Errorf("%s is left", left.Name)
	}
}
