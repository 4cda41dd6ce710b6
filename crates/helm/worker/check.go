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
	annotationRole    = "odoofleet.dev/role"
	annotationRelease = "meta.helm.sh/release-name"
	labelCheck        = "odoofleet.dev/check"
	// With labelCheck alone it finds the copies; that of the customer would let environments refer to them.
	labelEnvironmentUID = "odoofleet.dev/environment-uid"
	roleCheck           = "Check"
)

// checkRequest says what the pod of a check carries.
type checkRequest struct {
	// Digest of what is checked: a pod with the same one is left alone.
	Digest string `json:"digest"`
	// Owner is the object with which the pod goes.
	Owner struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Name       string `json:"name"`
		UID        string `json:"uid"`
	} `json:"owner"`
}

func (c *checkRequest) valid() bool {
	return c.Digest != "" && c.Owner.APIVersion != "" && c.Owner.Kind != "" && c.Owner.Name != "" && c.Owner.UID != ""
}

// check renders the chart as the next revision would be, and starts the pod in which the chart tries its new inputs: a hook of
// `helm test` with the role Check. Whether it succeeds is for others to watch. A chart without one has nothing to try.
func (o *operation) check(ctx context.Context) (*resultMessage, error) {
	var rendered []object
	o.gate.judge = func(objects []object) *workerError {
		rendered = objects
		return o.judgeCheck(objects)
	}
	done, err := o.dryRun()
	if err != nil {
		return nil, err
	}
	result := o.result(done)
	pods := checkPods(rendered)
	result.Checks = len(pods)
	if len(pods) == 0 {
		return result, nil
	}
	return result, o.startCheck(ctx, pods[0], index(rendered))
}

// judgeCheck judges what an upgrade would be judged by, and the check pod as well.
func (o *operation) judgeCheck(objects []object) *workerError {
	o.scrub.addSecrets(objects)
	if failure := checkRendered(objects, o.request); failure != nil {
		return failure
	}
	pods := checkPods(objects)
	if len(pods) > 1 {
		return fail(classRender, "the chart has %d pods with role %q, and may have one", len(pods), roleCheck)
	}
	for _, pod := range pods {
		if ns := pod.GetNamespace(); ns != "" && ns != o.request.Namespace {
			return fail(classKindNotAllowed, "%s is for namespace %q, but the release is in %q", pod.quoted(), ns, o.request.Namespace)
		}
	}
	// The Secrets that the chart renders are not there before the upgrade, or not as they will be; the pod may name them all the same.
	secrets := pods
	for _, one := range objects {
		if one.GetKind() == "Secret" {
			secrets = append(secrets, one)
		}
	}
	return checkSecrets(secrets, o.request)
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
	maps.DeleteFunc(pod.Annotations, func(key, _ string) bool { return strings.HasPrefix(key, "helm.sh/") || key == filenameAnnotation })
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

func into(o object, typed any) error {
	content := (&unstructured.Unstructured{Object: o.Object}).DeepCopy().Object
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(content, typed, true); err != nil {
		return fail(classInvalid, "%s cannot be read", o.quoted())
	}
	return nil
}

func merged(one, more map[string]string) map[string]string {
	all := map[string]string{}
	maps.Copy(all, one)
	maps.Copy(all, more)
	return all
}
