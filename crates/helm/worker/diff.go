package main

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/resource"

	"helm.sh/helm/v4/pkg/kube"
	release "helm.sh/helm/v4/pkg/release/v1"
)

// diff renders the chart as an upgrade would, and asks the API server what applying it would change. Objects that are rendered as
// the stored manifest has them are asked about only if the request names them.
func (o *operation) diff() (*success, error) {
	last, base, err := o.lastAndBase()
	if err != nil {
		return nil, err
	}
	if last == nil {
		return nil, fail(classNotFound, "release %q has no revision to compare with", o.request.Release)
	}
	o.gate.judge = func(objects []object) *workerError {
		o.scrub.addSecrets(objects)
		return checkRendered(objects, o.request)
	}
	next, err := o.dryRun()
	if err != nil {
		return nil, err
	}
	_, present, target, err := o.buildTrial(base, next)
	if err != nil {
		return nil, err
	}
	result := o.rendered()
	result.Diff, err = o.compare(present, target)
	return result, err
}

// buildTrial builds what a revision has and what the next would have, with a client whose writes the API server only tries.
func (o *operation) buildTrial(base, next *release.Release) (trial *client, present, target kube.ResourceList, err error) {
	trial = o.newClient(o.trying)
	if present, err = trial.Build(strings.NewReader(base.Manifest), false); err != nil {
		return nil, nil, nil, err
	}
	if target, err = trial.Build(strings.NewReader(next.Manifest), false); err != nil {
		return nil, nil, nil, err
	}
	return trial, present, target, trial.lookAt(target)
}

func (o *operation) compare(present, target kube.ResourceList) ([]objectDiff, error) {
	var diffs []objectDiff
	for _, info := range target {
		named := slices.Contains(o.request.Objects, liveObject(info).key())
		if !named && !differs(info, []kube.ResourceList{present}) {
			continue
		}
		o.own(info)
		found, err := compareOne(info)
		if err != nil {
			return nil, err
		}
		if found != nil {
			diffs = append(diffs, *found)
		}
	}
	gone, err := wouldRemove(present.Difference(target))
	return append(diffs, gone...), err
}

// wouldRemove are those of the objects that are there and that Helm does not leave.
func wouldRemove(gone kube.ResourceList) ([]objectDiff, error) {
	var diffs []objectDiff
	for _, info := range gone {
		there, err := isThere(info)
		if err != nil {
			return nil, err
		}
		if there && !liveObject(info).kept() {
			diffs = append(diffs, *diffOf(info, changeRemoved, nil))
		}
	}
	return diffs, nil
}

func diffOf(info *resource.Info, change string, paths []string) *objectDiff {
	return &objectDiff{Kind: info.Mapping.GroupVersionKind.Kind, Name: info.Name, Change: change, Paths: paths}
}

// compareOne applies the object, as far as a dry run goes, and returns nil if that changes nothing.
func compareOne(info *resource.Info) (*objectDiff, error) {
	wanted, err := runtime.Encode(unstructured.UnstructuredJSONScheme, info.Object)
	if err != nil {
		return nil, err
	}
	there, err := isThere(info)
	if err != nil {
		return nil, err
	}
	live := liveObject(info)
	helper := resource.NewHelper(info.Client, info.Mapping).DryRun(true).WithFieldManager(kube.ManagedFieldsManager).WithFieldValidation("Strict")
	after, err := helper.Patch(info.Namespace, info.Name, types.ApplyPatchType, wanted, &metav1.PatchOptions{Force: new(true)})
	if err != nil {
		return nil, err
	}
	if !there {
		return diffOf(info, changeCreated, nil), nil
	}
	applied, ok := after.(*unstructured.Unstructured)
	if !ok {
		return nil, fmt.Errorf("%s is not an object", live.quoted())
	}
	paths := changedPaths(comparable(live.Object), comparable(applied.Object))
	if len(paths) == 0 {
		return nil, nil
	}
	return diffOf(info, changeChanged, paths), nil
}

// comparable leaves out what the API server keeps by itself.
func comparable(content map[string]any) map[string]any {
	content = maps.Clone(content)
	delete(content, "status")
	if metadata, ok := content["metadata"].(map[string]any); ok {
		metadata = maps.Clone(metadata)
		for _, field := range []string{"managedFields", "resourceVersion", "generation"} {
			delete(metadata, field)
		}
		content["metadata"] = metadata
	}
	return content
}

// changedPaths returns the paths of the fields in which two objects differ, sorted. Lists of different lengths differ as a whole.
func changedPaths(one, other any) []string {
	var paths []string
	collectChanged("", one, other, &paths)
	slices.Sort(paths)
	return paths
}

var plainField = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

func collectChanged(path string, one, other any, paths *[]string) {
	if reflect.DeepEqual(one, other) {
		return
	}
	a, aMap := one.(map[string]any)
	b, bMap := other.(map[string]any)
	if aMap && bMap {
		for field := range maps.Keys(merged(a, b)) {
			collectChanged(joinPath(path, field), a[field], b[field], paths)
		}
		return
	}
	c, cList := one.([]any)
	d, dList := other.([]any)
	if cList && dList && len(c) == len(d) {
		for i := range c {
			collectChanged(fmt.Sprintf("%s[%d]", path, i), c[i], d[i], paths)
		}
		return
	}
	*paths = append(*paths, path)
}

func joinPath(path, field string) string {
	switch {
	case !plainField.MatchString(field):
		return fmt.Sprintf("%s[%q]", path, field)
	case path == "":
		return field
	}
	return path + "." + field
}
