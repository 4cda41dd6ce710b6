package main

import (
	"errors"
	"fmt"

	release "helm.sh/helm/v4/pkg/release/v1"
)

// Two renderings of the same objects can be written in many ways: by Helm 3 or 4, with or without a post-renderer. What is left
// out here means nothing to the API server.

// normal is an object in the one form in which it is compared.
func normal(o object, namespace string) object {
	content, _ := normalValue(o.Object).(map[string]any)
	metadata, _ := content["metadata"].(map[string]any)
	if metadata["namespace"] == namespace {
		delete(metadata, "namespace")
	}
	annotations, _ := metadata["annotations"].(map[string]any)
	for key := range annotations {
		if isRenderersOwn(key) {
			delete(annotations, key)
		}
	}
	for _, field := range []string{"annotations", "labels"} {
		if marks, isMap := metadata[field].(map[string]any); isMap && len(marks) == 0 {
			delete(metadata, field)
		}
	}
	return newObject(content)
}

// normalValue copies a value without fields that are null. Numbers have one form since they were read.
func normalValue(value any) any {
	switch v := value.(type) {
	case map[string]any:
		all := make(map[string]any, len(v))
		for field, child := range v {
			if child != nil {
				all[field] = normalValue(child)
			}
		}
		return all
	case []any:
		all := make([]any, len(v))
		for i, child := range v {
			all[i] = normalValue(child)
		}
		return all
	}
	return value
}

// normalManifest reads the objects of a manifest, without the documents that are empty.
func normalManifest(manifest, namespace string) ([]object, error) {
	objects, err := parseManifest(manifest)
	if err != nil {
		return nil, err
	}
	all := make([]object, 0, len(objects))
	for _, one := range objects {
		all = append(all, normal(one, namespace))
	}
	return all, nil
}

// normalRecord are all objects that a record holds: the manifest's and the hooks.
func normalRecord(rel *release.Release) ([]object, error) {
	all, err := normalManifest(rel.Manifest, rel.Namespace)
	if err != nil {
		return nil, errors.New("its manifest is not valid YAML")
	}
	for _, hook := range rel.Hooks {
		if hook == nil {
			continue
		}
		objects, err := normalManifest(hook.Manifest, rel.Namespace)
		if err != nil {
			return nil, fmt.Errorf("hook %q is not valid YAML", shortened(hook.Name))
		}
		all = append(all, objects...)
	}
	return all, nil
}
