package main

import (
	"context"
	"fmt"
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

const (
	annotationRole = "odoofleet.dev/role"
	labelCheck     = "odoofleet.dev/check"
	// With labelCheck alone it finds the copies; that of the customer would let environments refer to them.
	labelEnvironmentUID = "odoofleet.dev/environment-uid"
	roleCheck           = "Check"
)

// check renders the chart as the next revision would be, and starts the pod in which the chart tries its new inputs: a hook of
// `helm test` with the role Check. Whether it succeeds is for others to watch. A chart without one has nothing to try.
func (o *operation) check(ctx context.Context) (*success, error) {
	judge, err := o.judgeNext()
	if err != nil {
		return nil, err
	}
	var rendered []object
	o.gate.judge = func(objects []object) *workerError {
		rendered = objects
		if failure := judge(objects); failure != nil {
			return failure
		}
		return judgeCheckPods(objects, o.request)
	}
	if _, err := o.dryRun(); err != nil {
		return nil, err
	}
	result := o.rendered()
	pods := checkPods(rendered)
	result.Checks = len(pods)
	if len(pods) == 0 {
		return result, nil
	}
	return result, o.startCheck(ctx, pods[0], index(rendered))
}

// judgeNext returns by what the next revision will be judged: what may not be upgraded to need not be tried.
func (o *operation) judgeNext() (func([]object) *workerError, error) {
	if o.request.ExpectedRevision == 1 {
		return o.judgeInstall, nil
	}
	_, base, err := o.lastAndBase()
	if err != nil {
		return nil, err
	}
	return func(objects []object) *workerError { return o.judgeUpgrade(base, objects) }, nil
}

func judgeCheckPods(objects []object, r *request) *workerError {
	pods := checkPods(objects)
	if len(pods) > 1 {
		return fail(classRender, "the chart has %d pods with role %q, and may have one", len(pods), roleCheck)
	}
	for _, pod := range pods {
		if ns := pod.GetNamespace(); ns != "" && ns != r.Namespace {
			return fail(classKindNotAllowed, "%s is for namespace %q, but the release is in %q", pod.quoted(), ns, r.Namespace)
		}
	}
	// The Secrets that the chart renders are not there before the upgrade, or not as they will be; the pod may name them all the same.
	secrets := pods
	for _, one := range objects {
		if one.GetKind() == "Secret" {
			secrets = append(secrets, one)
		}
	}
	if failure := checkSecrets(secrets, r); failure != nil {
		return failure
	}
	return checkReach(pods, released(objects), r)
}

func checkPods(objects []object) []object {
	var pods []object
	for _, o := range objects {
		if o.isTest() && o.apiKind() == "v1/Pod" && o.GetAnnotations()[annotationRole] == roleCheck {
			pods = append(pods, o)
		}
	}
	return pods
}

// startCheck creates the pod unless it is there. One that tries something else, or that was given up, is replaced.
func (o *operation) startCheck(ctx context.Context, rendered object, release map[string]object) error {
	pod, copies, err := o.checkPod(rendered, release)
	if err != nil {
		return err
	}
	if err := o.settleAccount(ctx, pod, release); err != nil {
		return err
	}
	api := o.clients.CoreV1().Pods(o.request.Namespace)
	there, err := api.Get(ctx, pod.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
	case err != nil:
		return err
	case there.Labels[labelCheck] == "":
		return fail(classInvalid, "Pod %q exists and is no check of ours: it is in the way; remove or rename it", pod.Name)
	case there.Labels[labelCheck] == o.request.Check.Digest && there.DeletionTimestamp == nil && there.Status.Phase != corev1.PodFailed:
		return nil
	default:
		now := int64(0)
		options := metav1.DeleteOptions{GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &there.UID}}
		if err := api.Delete(ctx, there.Name, options); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return o.createCheck(ctx, pod, copies)
}

// createCheck creates the ConfigMaps before the pod, which would wait for them for ever, and then gives them to it. What an earlier
// check has left, because its worker was killed in between, goes first.
func (o *operation) createCheck(ctx context.Context, pod *corev1.Pod, copies []*corev1.ConfigMap) error {
	configs := o.clients.CoreV1().ConfigMaps(o.request.Namespace)
	own := fmt.Sprintf("%s,%s=%s", labelCheck, labelEnvironmentUID, o.request.Check.Owner.UID)
	left, err := configs.List(ctx, metav1.ListOptions{LabelSelector: own})
	if err != nil {
		return err
	}
	for _, config := range left.Items {
		if err := configs.Delete(ctx, config.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	for _, config := range copies {
		if _, err := configs.Create(ctx, config, metav1.CreateOptions{FieldManager: "helm"}); err != nil {
			return err
		}
	}
	created, err := o.clients.CoreV1().Pods(o.request.Namespace).Create(ctx, pod, metav1.CreateOptions{FieldManager: "helm"})
	if err != nil {
		return err
	}
	owner := fmt.Sprintf(`{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Pod","name":%q,"uid":%q}]}}`, created.Name, created.UID)
	for _, config := range copies {
		if _, err := configs.Patch(ctx, config.Name, types.MergePatchType, []byte(owner), metav1.PatchOptions{FieldManager: "helm"}); err != nil {
			return err
		}
	}
	return nil
}

// checkPod makes the pod out of the rendered one, with copies of the ConfigMaps that it mounts and that the same revision
// brings: those in the cluster are still the revision's before.
func (o *operation) checkPod(rendered object, release map[string]object) (*corev1.Pod, []*corev1.ConfigMap, error) {
	pod := &corev1.Pod{}
	if err := into(rendered, pod); err != nil {
		return nil, nil, err
	}
	pod.Namespace = o.request.Namespace
	pod.Labels = merged(pod.Labels, o.request.installLabels())
	pod.Labels[labelCheck] = o.request.Check.Digest
	pod.Annotations = merged(pod.Annotations, map[string]string{annotationRelease: o.request.Release})
	// Whoever lists hooks should not take it for one that Helm has run.
	maps.DeleteFunc(pod.Annotations, func(key, _ string) bool { return strings.HasPrefix(key, "helm.sh/") || isRenderersOwn(key) })
	environment := o.request.Check.Owner
	owner := []metav1.OwnerReference{{
		APIVersion: environment.APIVersion, Kind: environment.Kind, Name: environment.Name, UID: types.UID(environment.UID),
	}}
	pod.OwnerReferences = owner
	var copies []*corev1.ConfigMap
	for i := range pod.Spec.Volumes {
		source := pod.Spec.Volumes[i].ConfigMap
		if source == nil {
			continue
		}
		found, brought := release["ConfigMap/"+source.Name]
		if !brought {
			continue
		}
		config := &corev1.ConfigMap{}
		if err := into(found, config); err != nil {
			return nil, nil, err
		}
		name := fmt.Sprintf("%s-check-%s", source.Name, strings.ToLower(o.request.ID))
		labels := map[string]string{labelCheck: o.request.Check.Digest, labelEnvironmentUID: environment.UID}
		config.ObjectMeta = metav1.ObjectMeta{Name: name, Namespace: o.request.Namespace, Labels: labels, OwnerReferences: owner}
		source.Name = name
		copies = append(copies, config)
	}
	return pod, copies, nil
}

// settleAccount leaves out the name of a ServiceAccount that only the revision brings: without it the API server refuses the pod,
// which gets no token anyway. What the account would give to it is taken over.
func (o *operation) settleAccount(ctx context.Context, pod *corev1.Pod, release map[string]object) error {
	name := pod.Spec.ServiceAccountName
	if name == "" {
		return nil
	}
	_, err := o.clients.CoreV1().ServiceAccounts(o.request.Namespace).Get(ctx, name, metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		return err
	}
	brought, isBrought := release["ServiceAccount/"+name]
	if !isBrought {
		return fail(classNotFound, "Pod %q names ServiceAccount %q, which does not exist and is not rendered", pod.Name, name)
	}
	account := &corev1.ServiceAccount{}
	if err := into(brought, account); err != nil {
		return err
	}
	pod.Spec.ServiceAccountName, pod.Spec.DeprecatedServiceAccount = "", ""
	if len(pod.Spec.ImagePullSecrets) == 0 {
		pod.Spec.ImagePullSecrets = account.ImagePullSecrets
	}
	return nil
}

func into(o object, typed any) error {
	content := (&unstructured.Unstructured{Object: o.Object}).DeepCopy().Object
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(content, typed, true); err != nil {
		return fail(classInvalid, "%s cannot be read", o.quoted())
	}
	return nil
}

func merged[T any](one, more map[string]T) map[string]T {
	all := map[string]T{}
	maps.Copy(all, one)
	maps.Copy(all, more)
	return all
}
