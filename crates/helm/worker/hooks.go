package main

import (
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/cli-runtime/pkg/resource"
	"sigs.k8s.io/kustomize/kyaml/yaml"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"helm.sh/helm/v4/pkg/kube"
	release "helm.sh/helm/v4/pkg/release/v1"
)

// Helm leaves on hooks no mark of their release, and never asks whose the object is that it deletes before it creates a hook, or
// that it writes one over. So hooks get the mark here, and what is in their way without it is left alone.

// markHook leaves on a hook the mark that Helm leaves on a release's other objects.
func markHook(node *yaml.RNode, name string) error {
	if node.GetAnnotations()[release.HookAnnotation] == "" {
		return nil
	}
	if err := node.DeAnchor(); err != nil {
		return err
	}
	return node.PipeE(yaml.SetAnnotation(annotationRelease, name))
}

// checkHooks refuses hooks in whose place there is an object of somebody else.
func (c *client) checkHooks(resources kube.ResourceList) error {
	for _, info := range resources {
		if !isHookInfo(info) {
			continue
		}
		there, err := resource.NewHelper(info.Client, info.Mapping).Get(info.Namespace, info.Name)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return err
		}
		annotations, err := meta.NewAccessor().Annotations(there)
		if err != nil {
			return err
		}
		// A hook of an older worker has no mark.
		of, marked := annotations[annotationRelease]
		if annotations[release.HookAnnotation] == "" || marked && of != c.request.Release {
			return fail(classConflict, "hook %s %q is in the way of an object that is not this release's: rename one of them, or remove the object",
				info.Mapping.GroupVersionKind.Kind, info.Name)
		}
	}
	return nil
}
