package main

import (
	"errors"
	"reflect"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/kustomize/kyaml/yaml"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/kube"
	"helm.sh/helm/v4/pkg/release/common"
	release "helm.sh/helm/v4/pkg/release/v1"
)

// An installation that failed is tried again as an installation as long as no revision was ever deployed: an upgrade would leave
// out the hooks that install, and be green without them. Helm can do it, by "Replace": the next revision takes over what
// the failed one has made. Three things it would do otherwise are seen to here.
//   - A hook that ran and failed is made anew whatever its deletion policy says, or its old failure would be taken for a new one.
//   - A hook that holds data stays: a volume, a database, and a Secret with content that is made up, since what was made up
//     the first time may be in a database by now.
//   - What a failed try has made and the chart no longer renders goes, as it does in an upgrade.

// installAgain prepares Helm's install for a release with failed tries alone.
func (o *operation) installAgain(i *action.Install, last *release.Release) error {
	tries, err := o.failedTries()
	if err != nil {
		return err
	}
	var before []object
	var made kube.ResourceList
	for _, try := range tries {
		objects, failure := manifestOf(try)
		if failure != nil {
			return failure
		}
		before = append(before, objects...)
		built, err := o.client.Build(strings.NewReader(try.Manifest), false)
		if err != nil {
			return err
		}
		made = append(made, built...)
	}
	i.Replace = true
	o.gate.judge = func(objects []object) *workerError { return o.judgeChange(last.Chart.Name(), before, objects) }
	o.gate.amend = o.hooksAgain
	applied := o.client.applied
	o.client.applied = func(target kube.ResourceList) error {
		if err := o.removeLeftovers(made.Difference(target)); err != nil {
			return err
		}
		return applied(target)
	}
	return nil
}

// failedTries are all revisions of the release, from the oldest on; it refuses if one of them was ever more than that.
func (o *operation) failedTries() ([]*release.Release, error) {
	history, err := o.store.History(o.request.Release)
	if err != nil {
		return nil, err
	}
	var tries []*release.Release
	for _, one := range history {
		try, ok := one.(*release.Release)
		if !ok {
			continue
		}
		if try.Info.Status.IsPending() {
			return nil, fail(classLocked, "release %q is %q at revision %d", try.Name, try.Info.Status, try.Version)
		}
		if try.Info.Status != common.StatusFailed {
			return nil, fail(classStaleRevision, "release %q is %q at revision %d, and is installed again only while all its revisions failed",
				try.Name, try.Info.Status, try.Version)
		}
		tries = append(tries, try)
	}
	slices.SortFunc(tries, func(a, b *release.Release) int { return a.Version - b.Version })
	return tries, nil
}

// hooksAgain sees to what the hooks of the failed try have left.
func (o *operation) hooksAgain(nodes []*yaml.RNode) ([]*yaml.RNode, error) {
	var kept []*yaml.RNode
	for _, node := range nodes {
		hook, err := toObject(node)
		if err != nil {
			return nil, err
		}
		stays := false
		if hook.runsAt("install") {
			switch hook.GetKind() {
			case "Job", "Pod":
				err = deletedBefore(node, hook)
			case "PersistentVolumeClaim", "StatefulSet":
				stays, err = o.exists(hook)
			case "Secret":
				if stays, err = o.exists(hook); stays {
					stays, err = o.isMadeUp(hook)
				}
			}
		}
		if err != nil {
			return nil, err
		}
		if !stays {
			kept = append(kept, node)
		}
	}
	return kept, nil
}

func deletedBefore(node *yaml.RNode, hook object) error {
	_, policies := hook.hookEvents()
	policy := string(release.HookBeforeHookCreation)
	if slices.Contains(policies, policy) {
		return nil
	}
	all := strings.Join(append(policies, policy), ",")
	return node.PipeE(yaml.SetAnnotation(release.HookDeleteAnnotation, all))
}

func (o *operation) exists(one object) (bool, error) {
	text, err := one.MarshalJSON()
	if err != nil {
		return false, err
	}
	built, err := o.client.Build(strings.NewReader(string(text)), false)
	if err != nil {
		return false, err
	}
	for _, info := range built {
		if there, err := isThere(info); err != nil || !there {
			return false, err
		}
	}
	return len(built) > 0, nil
}

// isMadeUp says whether the Secret has other content each time that the chart is rendered.
func (o *operation) isMadeUp(secret object) (bool, error) {
	chart, failure := loadChart(o.request.Chart.Path, o.request.Chart.SHA256)
	if failure != nil {
		return false, failure
	}
	var second object
	g := &gate{request: o.request, passed: func(hooks) {}}
	g.judge = func(objects []object) *workerError {
		for _, one := range objects {
			if one.key() == secret.key() {
				second = one
			}
		}
		return nil
	}
	if err := o.renderOnly(chart, g); err != nil || second.Unstructured == nil {
		return false, err
	}
	same := reflect.DeepEqual(secret.at("data"), second.at("data")) && reflect.DeepEqual(secret.at("stringData"), second.at("stringData"))
	return !same, nil
}

// removeLeftovers removes what belongs to the release and is not rendered any more.
func (o *operation) removeLeftovers(made kube.ResourceList) error {
	var leftovers kube.ResourceList
	for _, info := range made {
		there, err := isThere(info)
		if err != nil {
			return err
		}
		if there && o.owns(info) && !liveObject(info).kept() {
			leftovers.Append(info)
		}
	}
	if len(leftovers) == 0 {
		return nil
	}
	_, errs := o.client.Delete(leftovers, metav1.DeletePropagationBackground)
	return errors.Join(errs...)
}
