package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"k8s.io/cli-runtime/pkg/resource"

	"helm.sh/helm/v4/pkg/kube"
	release "helm.sh/helm/v4/pkg/release/v1"
)

// compareRecord says whether the chart, before anything of ours is done to it, renders what the newest revision's record holds.
// Whoever made that revision, then nothing is to be done to the objects, and a label says whose the release is. If it renders
// something else, the API server is asked what an upgrade would do.
func (o *operation) compareRecord(ctx context.Context) (*success, error) {
	last, err := o.newestRecord(ctx, o.request.ExpectedRevision-1)
	if err != nil {
		return nil, err
	}
	base, err := o.baseOf(ctx, last)
	if err != nil {
		return nil, err
	}
	was, err := normalRecord(last.Release)
	if err != nil {
		return nil, unreadable(last.secret.Name, last.Version, err)
	}
	var plain []object
	o.gate.see = func(objects []object) { plain = objects }
	o.gate.judge = func(objects []object) *workerError { return o.judgeUpgrade(base.Release, objects) }
	next, err := o.dryRun()
	if err != nil {
		return nil, err
	}
	again, err := o.renderAgain()
	if err != nil {
		return nil, err
	}
	result := o.rendered()
	result.Compared = &compared{
		Revision: last.Version, ResourceVersion: last.secret.ResourceVersion, Status: last.Info.Status.String(),
		Chart: last.Chart.Name(), ChartVersion: last.Chart.Metadata.Version,
	}
	is := o.normalised(plain)
	result.Compared.Unstable = compareObjects(is, o.normalised(again))
	result.Compared.Differences = withoutUnstable(compareObjects(was, is), result.Compared.Unstable)
	if len(result.Compared.Differences) == 0 {
		return result, nil
	}
	changes, err := o.wouldChange(last.Release, base.Release, next)
	if err != nil {
		return nil, err
	}
	result.Compared.Changes, result.Compared.Restarts = changes, restarts(changes)
	return result, nil
}

func (o *operation) normalised(objects []object) []object {
	all := make([]object, 0, len(objects))
	for _, one := range objects {
		all = append(all, normal(one, o.request.Namespace))
	}
	return all
}

// renderAgain returns what the chart renders another time: what is made up is made up anew.
func (o *operation) renderAgain() ([]object, error) {
	// Rendering leaves its marks on a chart.
	chart, failure := loadChart(o.request.Chart.Path, o.request.Chart.SHA256)
	if failure != nil {
		return nil, failure
	}
	var plain []object
	g := &gate{request: o.request, passed: func(hooks) {}, judge: func([]object) *workerError { return nil }}
	g.see = func(objects []object) { plain = objects }
	configuration := o.configuration()
	configuration.KubeClient = renderer{o.client}
	i := o.dryInstall(configuration, g)
	i.IsUpgrade = true
	if _, err := i.Run(chart, o.request.values()); err != nil {
		return nil, err
	}
	return plain, nil
}

// compareObjects says what has become of objects, by what they are: their order does not matter.
func compareObjects(was, is []object) []objectDiff {
	before, after := byIdentity(was), byIdentity(is)
	var diffs []objectDiff
	for name, one := range merged(before, after) {
		old, wasThere := before[name]
		now, isThere := after[name]
		diff := objectDiff{Kind: one.GetKind(), Name: one.GetName(), Change: changeChanged}
		switch {
		case !wasThere:
			diff.Change = changeCreated
		case !isThere:
			diff.Change = changeRemoved
		default:
			if diff.Paths = changedPaths(old.Object, now.Object); len(diff.Paths) == 0 {
				continue
			}
		}
		diffs = append(diffs, diff)
	}
	slices.SortFunc(diffs, func(a, b objectDiff) int {
		return strings.Compare(a.Kind+"/"+a.Name+"/"+a.Change, b.Kind+"/"+b.Name+"/"+b.Change)
	})
	return diffs
}

// byIdentity names objects by group, kind, namespace and name; an object that is there twice gets a number.
func byIdentity(objects []object) map[string]object {
	all := map[string]object{}
	for _, one := range objects {
		group, _, hasGroup := strings.Cut(one.GetAPIVersion(), "/")
		if !hasGroup {
			group = ""
		}
		name := strings.Join([]string{group, one.GetKind(), one.GetNamespace(), one.GetName()}, "/")
		unique := name
		for i := 2; all[unique].Unstructured != nil; i++ {
			unique = fmt.Sprintf("%s#%d", name, i)
		}
		all[unique] = one
	}
	return all
}

// withoutUnstable leaves out of differences what is rendered differently each time: paths, and objects that only one rendering has.
func withoutUnstable(diffs, unstable []objectDiff) []objectDiff {
	var left []objectDiff
	for _, diff := range diffs {
		i := slices.IndexFunc(unstable, func(other objectDiff) bool { return other.Kind == diff.Kind && other.Name == diff.Name })
		if i >= 0 {
			other := unstable[i]
			if diff.Change != changeChanged && other.Change != changeChanged {
				continue
			}
			diff.Paths = slices.DeleteFunc(diff.Paths, func(path string) bool {
				return slices.ContainsFunc(other.Paths, func(above string) bool { return isBelow(path, above) })
			})
		}
		if diff.Change != changeChanged || len(diff.Paths) > 0 {
			left = append(left, diff)
		}
	}
	return left
}

// isBelow says whether a path is another one or leads on from it.
func isBelow(path, above string) bool {
	rest, found := strings.CutPrefix(path, above)
	return found && (above == "" || rest == "" || rest[0] == '.' || rest[0] == '[')
}

// wouldChange lets Helm's own update run with an API server that keeps nothing of it, for each object by itself, by the method of
// the release: what one of them leaves alone, the other may remove.
func (o *operation) wouldChange(last, base, next *release.Release) ([]objectDiff, error) {
	trial, present, target, err := o.buildTrial(base, next)
	if err != nil {
		return nil, err
	}
	serverSide := last.ApplyMethod == string(release.ApplyMethodServerSideApply)
	var diffs []objectDiff
	for _, info := range target {
		found, err := o.tryOne(trial, info, present, target, serverSide)
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

func (o *operation) tryOne(trial *client, info *resource.Info, present, target kube.ResourceList, serverSide bool) (*objectDiff, error) {
	live := *info
	there, err := isThere(&live)
	if err != nil {
		return nil, err
	}
	if !there && needsNewAccount(info, present, target) {
		return diffOf(info, changeCreated, nil), nil
	}
	o.own(info)
	one := kube.ResourceList{info}
	if _, err := trial.Client.Update(present.Intersect(one), one, kube.ClientUpdateOptionServerSideApply(serverSide, serverSide)); err != nil {
		return nil, err
	}
	if !there {
		return diffOf(info, changeCreated, nil), nil
	}
	paths := changedPaths(comparable(liveObject(&live).Object), comparable(liveObject(info).Object))
	if len(paths) == 0 {
		return nil, nil
	}
	return diffOf(info, changeChanged, paths), nil
}

// restarts are the workloads whose pods would be replaced, by "Kind/name".
func restarts(changes []objectDiff) []string {
	var names []string
	for _, change := range changes {
		switch change.Kind {
		case "Deployment", "StatefulSet", "DaemonSet":
			if slices.ContainsFunc(change.Paths, func(path string) bool { return isBelow(path, "spec.template") || path == "spec" }) {
				names = append(names, change.Kind+"/"+change.Name)
			}
		}
	}
	return names
}
