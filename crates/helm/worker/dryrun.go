package main

import (
	"reflect"
	"slices"
	"strings"

	"k8s.io/cli-runtime/pkg/resource"

	"helm.sh/helm/v4/pkg/kube"
	release "helm.sh/helm/v4/pkg/release/v1"
)

// tryUpgrade lets Helm's own update run with an API server that keeps nothing of it: what is refused in the middle of an
// upgrade would leave half of it applied. It comes after all other checks and before the record of the new revision.
func (o *operation) tryUpgrade(last, base, next *release.Release, serverSide bool) error {
	trial := o.newClient(o.trying)
	present, err := trial.Build(strings.NewReader(base.Manifest), false)
	if err != nil {
		return err
	}
	target, err := trial.Build(strings.NewReader(next.Manifest), false)
	if err != nil {
		return err
	}
	before := []kube.ResourceList{present}
	if last.Version != base.Version {
		// The revision that failed has left its mark on some objects, and it is not known on which.
		failed, err := trial.Build(strings.NewReader(last.Manifest), false)
		if err != nil {
			return err
		}
		before = append(before, failed)
	}
	changed := target.Filter(func(info *resource.Info) bool {
		if differs(info, before) {
			return !needsNewAccount(info, present, target)
		}
		o.client.untouched.rendersAsBefore(info)
		// A volume claim that somebody has enlarged in the cluster is refused although it is rendered as before.
		return isClaim(info) && !o.client.untouched.mayLeaveOut(info)
	})
	gone := present.Difference(target)
	if len(changed)+len(gone) > 0 {
		for _, info := range changed {
			o.own(info)
		}
		options := kube.ClientUpdateOptionServerSideApply(serverSide, serverSide)
		if _, err := trial.Update(append(present.Intersect(changed), gone...), changed, options); err != nil {
			return err
		}
	}
	o.progress(stageAccepted, nil)
	return nil
}

func isClaim(info *resource.Info) bool {
	return info.Mapping.GroupVersionKind.Kind == "PersistentVolumeClaim"
}

// differs says whether an object is rendered otherwise than in one of the manifests.
func differs(info *resource.Info, manifests []kube.ResourceList) bool {
	return slices.ContainsFunc(manifests, func(manifest kube.ResourceList) bool {
		was := manifest.Get(info)
		return was == nil || !reflect.DeepEqual(was.Object, info.Object)
	})
}

// needsNewAccount tells of a new pod whose ServiceAccount is new as well: without that, the API server refuses the pod.
func needsNewAccount(info *resource.Info, present, target kube.ResourceList) bool {
	pod := liveObject(info)
	if info.Mapping.GroupVersionKind.Kind != "Pod" || present.Contains(info) {
		return false
	}
	return slices.ContainsFunc(target, func(other *resource.Info) bool {
		return other.Mapping.GroupVersionKind.Kind == "ServiceAccount" && !present.Contains(other) && other.Name == pod.at("spec", "serviceAccountName")
	})
}
