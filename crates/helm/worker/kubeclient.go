package main

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/cli-runtime/pkg/resource"

	"helm.sh/helm/v4/pkg/kube"
	release "helm.sh/helm/v4/pkg/release/v1"
)

// client is Helm's Kubernetes client with a last look at each object that is about to be written, as it will be sent.
type client struct {
	*kube.Client
	request *request
	// read are the documents that were read already.
	read *documents
	// applied is told when the release's own objects, those given, are written.
	applied func(kube.ResourceList) error
	// untouched, if there is one, is what need not be sent.
	untouched *untouched

	mu sync.Mutex
	// deleteErrors are those that Helm's uninstall replaces by a sentence of its own.
	deleteErrors []error
}

// IsReachable is not asked beforehand: whoever cannot reach the API server finds out with the release's records.
func (*client) IsReachable() error { return nil }

// Build leaves validation to the API server, also for hooks, where Helm would fetch the whole OpenAPI description.
func (c *client) Build(reader io.Reader, _ bool) (kube.ResourceList, error) {
	documents, err := c.read.asJSON(reader)
	if err != nil {
		return nil, err
	}
	return c.Client.Build(documents, false)
}

func (c *client) Create(resources kube.ResourceList, options ...kube.ClientCreateOption) (*kube.Result, error) {
	if err := c.lookAt(resources); err != nil {
		return nil, err
	}
	if err := c.checkHooks(resources); err != nil {
		return nil, err
	}
	result, err := c.Client.Create(resources, options...)
	if err == nil && !slices.ContainsFunc(resources, isHookInfo) {
		if c.untouched != nil {
			c.untouched.note(resources)
		}
		err = c.applied(resources)
	}
	return result, err
}

func (c *client) Update(original, target kube.ResourceList, options ...kube.ClientUpdateOption) (*kube.Result, error) {
	if err := c.lookAt(target); err != nil {
		return &kube.Result{}, err
	}
	send := target
	if c.untouched != nil {
		original, send = c.untouched.leaveOut(original, target)
	}
	result, err := c.Client.Update(original, send, options...)
	if err == nil {
		if c.untouched != nil {
			c.untouched.note(send)
		}
		err = c.applied(target)
	}
	return result, err
}

func (c *client) Delete(resources kube.ResourceList, policy metav1.DeletionPropagation) (*kube.Result, []error) {
	if err := c.checkHooks(resources); err != nil {
		return &kube.Result{}, []error{err}
	}
	result, errs := c.Client.Delete(resources, policy)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deleteErrors = append(c.deleteErrors, errs...)
	return result, errs
}

// GetPodList finds nothing: Helm asks for the pods of hooks only to print their logs, which belong to nobody here.
func (c *client) GetPodList(string, metav1.ListOptions) (*corev1.PodList, error) {
	return &corev1.PodList{}, nil
}

// lookAt repeats the check of kinds on what Helm made of the manifest; only here is it known what is namespaced. What an
// uninstall's hooks are was checked when they were rendered.
func (c *client) lookAt(resources kube.ResourceList) error {
	if c.request.Action == actionUninstall {
		return nil
	}
	for _, info := range resources {
		content, ok := info.Object.(*unstructured.Unstructured)
		if !ok {
			return fmt.Errorf("%q is not an object", info.Name)
		}
		o := object{content}
		reason := kindRefused(o, c.request)
		if reason == "" && info.Mapping.Scope.Name() != meta.RESTScopeNameNamespace {
			reason = notNamespaced(o)
		}
		if reason != "" {
			return fail(classKindNotAllowed, "%s %s", o.quoted(), reason)
		}
	}
	return nil
}

func notNamespaced(o object) string {
	return fmt.Sprintf("is of kind %q, which is not allowed: it belongs to no namespace", o.apiKind())
}

// isThere reads an object as it is in the cluster.
func isThere(info *resource.Info) (bool, error) {
	err := info.Get()
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

func liveObject(info *resource.Info) object {
	content, ok := info.Object.(*unstructured.Unstructured)
	if !ok {
		return newObject(map[string]any{})
	}
	return object{content}
}

const (
	labelManagedBy             = "app.kubernetes.io/managed-by"
	managedByHelm              = "Helm"
	annotationRelease          = "meta.helm.sh/release-name"
	annotationReleaseNamespace = "meta.helm.sh/release-namespace"
)

// owns says whether a live object is the release's, by the marks that Helm leaves.
func (o *operation) owns(info *resource.Info) bool {
	live := liveObject(info)
	annotations := live.GetAnnotations()
	return live.GetLabels()[labelManagedBy] == managedByHelm && annotations[annotationRelease] == o.request.Release &&
		annotations[annotationReleaseNamespace] == o.request.Namespace
}

// own leaves on an object the marks that Helm leaves on it.
func (o *operation) own(info *resource.Info) {
	one := liveObject(info)
	one.SetLabels(merged(one.GetLabels(), map[string]string{labelManagedBy: managedByHelm}))
	one.SetAnnotations(merged(one.GetAnnotations(),
		map[string]string{annotationRelease: o.request.Release, annotationReleaseNamespace: o.request.Namespace}))
}

func isHookInfo(info *resource.Info) bool {
	annotations, err := meta.NewAccessor().Annotations(info.Object)
	return err == nil && annotations[release.HookAnnotation] != ""
}

func (c *client) GetWaiter(strategy kube.WaitStrategy) (kube.Waiter, error) {
	return c.GetWaiterWithOptions(strategy)
}

// GetWaiterWithOptions waits for hooks only, as HookOnlyStrategy does, but each by a watch of its own: that strategy lists
// all objects of a hook's kind in the namespace, which is everybody's, and for a Secret all Secrets.
func (c *client) GetWaiterWithOptions(kube.WaitStrategy, ...kube.WaitOption) (kube.Waiter, error) {
	watcher, err := c.Client.GetWaiter(kube.LegacyStrategy)
	if err != nil {
		return nil, err
	}
	return &hookWaiter{watcher: watcher}, nil
}

type hookWaiter struct{ watcher kube.Waiter }

func (*hookWaiter) Wait(kube.ResourceList, time.Duration) error         { return nil }
func (*hookWaiter) WaitWithJobs(kube.ResourceList, time.Duration) error { return nil }

// WaitForDelete waits for hooks, since the next ones have their names. What an uninstall deletes, nobody waits for.
func (w *hookWaiter) WaitForDelete(resources kube.ResourceList, timeout time.Duration) error {
	if !slices.ContainsFunc(resources, isHookInfo) {
		return nil
	}
	return w.watcher.WaitForDelete(resources, timeout)
}

func (w *hookWaiter) WatchUntilReady(resources kube.ResourceList, timeout time.Duration) error {
	return w.watcher.WatchUntilReady(resources, timeout)
}
