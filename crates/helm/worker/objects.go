package main

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"helm.sh/helm/v4/pkg/kube"
	release "helm.sh/helm/v4/pkg/release/v1"
	releaseutil "helm.sh/helm/v4/pkg/release/v1/util"
)

// object is one rendered object, read as the API server's clients read it.
type object struct {
	*unstructured.Unstructured
}

// key names an object within a release.
func (o object) key() string { return o.GetKind() + "/" + o.GetName() }

// quoted names an object in a message.
func (o object) quoted() string { return fmt.Sprintf("%s %q", o.GetKind(), o.GetName()) }

func (o object) apiKind() string { return o.GetAPIVersion() + "/" + o.GetKind() }

func (o object) isHook() bool { return o.GetAnnotations()[release.HookAnnotation] != "" }

// isTest says whether the object is a hook that only `helm test` runs.
func (o object) isTest() bool {
	events, _ := o.hookEvents()
	return len(events) > 0 && !slices.ContainsFunc(events, func(event string) bool { return !strings.HasPrefix(event, "test") })
}

// runsAt says whether the object is a hook of Helm's verb, such as "upgrade".
func (o object) runsAt(verb string) bool {
	events, _ := o.hookEvents()
	return slices.Contains(events, "pre-"+verb) || slices.Contains(events, "post-"+verb)
}

// kept says whether Helm leaves the object alone when it is no longer rendered.
func (o object) kept() bool { return o.GetAnnotations()[kube.ResourcePolicyAnno] == kube.KeepPolicy }

// at returns what lies below the fields, or nil.
func (o object) at(fields ...string) any {
	value, _, err := unstructured.NestedFieldNoCopy(o.Object, fields...)
	if err != nil {
		return nil
	}
	return value
}

// podSpec returns the specification of the object's pods, or nil. Kinds that are not Kubernetes' own are recognised by
// their shape.
func (o object) podSpec() map[string]any {
	path, known := podTemplates[o.GetKind()]
	if !known {
		path = []string{"spec", "template", "spec"}
	}
	spec, _ := o.at(path...).(map[string]any)
	if _, pods := spec["containers"]; !known && !pods {
		return nil
	}
	return spec
}

func newObject(content map[string]any) object {
	return object{&unstructured.Unstructured{Object: content}}
}

func parseObject(text string) (object, error) {
	content := map[string]any{}
	if err := yaml.Unmarshal([]byte(text), &content); err != nil {
		return object{}, err
	}
	return newObject(content), nil
}

// parseManifest reads a stored manifest. Lists are taken apart, as Helm does it before it applies.
func parseManifest(manifest string) ([]object, error) {
	documents := releaseutil.SplitManifests(manifest)
	keys := make([]string, 0, len(documents))
	for key := range documents {
		keys = append(keys, key)
	}
	sort.Sort(releaseutil.BySplitManifestsOrder(keys))
	var objects []object
	for _, key := range keys {
		o, err := parseObject(documents[key])
		if err != nil {
			return nil, err
		}
		if items, isList := o.at("items").([]any); isList {
			for _, item := range items {
				if content, ok := item.(map[string]any); ok {
					objects = append(objects, newObject(content))
				}
			}
		} else if len(o.Object) > 0 {
			objects = append(objects, o)
		}
	}
	return objects, nil
}

// index of the objects that Helm manages as the release's own, hooks left out.
func index(objects []object) map[string]object {
	byKey := map[string]object{}
	for _, o := range objects {
		if !o.isHook() {
			byKey[o.key()] = o
		}
	}
	return byKey
}

// hookEvents returns the events of a hook as Helm reads them, and its deletion policies.
func (o object) hookEvents() (events, policies []string) {
	split := func(s string) []string {
		var parts []string
		for part := range strings.SplitSeq(s, ",") {
			if part = strings.ToLower(strings.TrimSpace(part)); part != "" {
				parts = append(parts, part)
			}
		}
		return parts
	}
	annotations := o.GetAnnotations()
	policies = split(annotations[release.HookDeleteAnnotation])
	if len(policies) == 0 {
		policies = []string{string(release.HookBeforeHookCreation)}
	}
	return split(annotations[release.HookAnnotation]), policies
}
