package main

import (
	"context"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	quantity "k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/cli-runtime/pkg/resource"
	"k8s.io/client-go/util/retry"

	"helm.sh/helm/v4/pkg/kube"
	"helm.sh/helm/v4/pkg/release/common"
	release "helm.sh/helm/v4/pkg/release/v1"
)

// What somebody has changed of a release is found by having Helm's own update of each object to what the deployed revision says
// tried by the API server: defaults, admission and whatever else belongs to the server are then on both sides, and are no drift.
//
// Each object is updated by the method of its release, as the next upgrade will do it.
//   - A release that is applied on the server's side is applied so, with conflicts forced: a field that Helm owns and that was
//     changed or removed is drift, one that a person has added is left alone.
//   - A release that is applied on the client's side, as Helm 3 does it, is patched with what differs between manifest and live
//     object. Applying it on the server's side instead would make Helm the owner of the same fields twice over, by "Update" and by
//     "Apply", and moving the first to the second, as upgrades that change the method do, would remove what older revisions have
//     written and no manifest names any more. So owners stay as they are, and nothing is lost or gained.
//
// No record is written, and the annotation about how a revision left its objects stays. An object that was put right has another
// generation or version than is noted there, so the next upgrade takes it for touched and sends it: once too often, never too
// rarely.

// drift compares what is live with the deployed revision, and puts it right if that is asked for.
func (o *operation) drift(ctx context.Context) (*success, error) {
	base, err := o.deployed(ctx)
	if err != nil {
		return nil, err
	}
	build := func(g *getter) (*client, kube.ResourceList, error) {
		c := o.newClient(g)
		objects, err := c.Build(strings.NewReader(base.Manifest), false)
		return c, objects, err
	}
	trial, tried, err := build(o.trying)
	if err != nil {
		return nil, err
	}
	writing, written, err := build(o.getter)
	if err != nil {
		return nil, err
	}
	for _, info := range tried {
		o.scrub.addSecrets([]object{liveObject(info)})
	}
	d := &drifting{operation: o, serverSide: base.ApplyMethod == string(release.ApplyMethodServerSideApply), autoscaled: autoscaled(tried)}
	result := &success{}
	for i, info := range tried {
		name := objectName(info)
		if o.request.Drift.Objects != nil && !slices.Contains(*o.request.Drift.Objects, name) {
			continue
		}
		found, corrected, err := d.one(trial, info, writing, written[i])
		if found != nil {
			result.Drift = append(result.Drift, *found)
		}
		if corrected {
			result.Corrected = append(result.Corrected, name)
		}
		if err != nil {
			if isNetwork(err) || o.request.writes() && o.permit.check() != nil {
				// The others would fare no better.
				return nil, err
			}
			failure := o.classify(err)
			result.Refused = append(result.Refused, objectRefused{Object: name, Class: failure.Class, Message: failure.Message})
		}
	}
	return result, nil
}

// deployed is the revision that the request names, if it is the newest that is deployed.
func (o *operation) deployed(ctx context.Context) (*stored, error) {
	r := o.request
	later := slices.DeleteFunc(append(slices.Clone(r.Revisions), r.ExpectedRevision+1), func(one int) bool { return one <= r.ExpectedRevision })
	for _, revision := range later {
		found, err := o.secrets.Get(ctx, secretName(r.Release, revision), metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if status := found.Labels["status"]; status != string(common.StatusFailed) {
			return nil, fail(classStaleRevision, "release %q has revision %d, which is %q", r.Release, revision, status)
		}
	}
	found, err := o.readRecord(ctx, r.ExpectedRevision)
	switch {
	case err != nil:
		return nil, err
	case found == nil:
		return nil, fail(classNotFound, "release %q has no revision %d", r.Release, r.ExpectedRevision)
	case found.Info.Status != common.StatusDeployed:
		return nil, fail(classStaleRevision, "release %q is %q at revision %d", r.Release, found.Info.Status, r.ExpectedRevision)
	}
	return found, nil
}

// drifting looks at one object after the other.
type drifting struct {
	*operation
	serverSide bool
	autoscaled map[string]bool
}

// one tries what would change in an object and, if that is asked for, has it changed.
func (d *drifting) one(trial *client, tried *resource.Info, writing *client, written *resource.Info) (*objectDiff, bool, error) {
	wanted := wantedOf(tried)
	var found *objectDiff
	correct := d.request.Drift.Correct
	// Somebody may change the object in between: then all is looked at again.
	err := retry.OnError(retry.DefaultRetry, apierrors.IsConflict, func() error {
		var err error
		if found, err = d.apply(trial, tried, wanted); err != nil || found == nil || !correct {
			return err
		}
		if found.Change == changeRemoved && tried.Mapping.GroupVersionKind.Kind == "PersistentVolumeClaim" {
			return fail(classWouldDeleteData, "%s is gone, and an empty one in its place would let the release start without its data: "+
				"put the volume back, or upgrade the release", wanted.quoted())
		}
		_, err = d.apply(writing, written, wanted)
		return err
	})
	return found, err == nil && found != nil && correct, err
}

// wantedOf keeps an object as it is recorded: each try overwrites it with what is live.
func wantedOf(info *resource.Info) object { return object{liveObject(info).DeepCopy()} }

// apply has Helm update one object, and says what that changed.
func (d *drifting) apply(c *client, info *resource.Info, recorded object) (*objectDiff, error) {
	if info.Namespace != d.request.Namespace {
		return nil, fail(classKindNotAllowed, "%s is not in namespace %q", recorded.quoted(), d.request.Namespace)
	}
	current := *info
	there, err := isThere(&current)
	if err != nil {
		return nil, err
	}
	live := object{liveObject(&current).DeepCopy()}
	if of := live.GetAnnotations()[annotationRelease]; there && of != "" && of != d.request.Release {
		return nil, fail(classConflict, "%s belongs to release %q by now", recorded.quoted(), shortened(of))
	}
	if !there && goesByItself(recorded) {
		return nil, nil
	}
	info.Object = recorded.DeepCopy()
	d.own(info)
	if there {
		if err := d.concede(info, live); err != nil {
			return nil, err
		}
	}
	// Between manifest and manifest nothing goes: only what is live differs from it.
	original := *info
	original.Object = liveObject(info).DeepCopy()
	options := []kube.ClientUpdateOption{kube.ClientUpdateOptionServerSideApply(d.serverSide, d.serverSide)}
	if !d.serverSide {
		options = append(options, kube.ClientUpdateOptionThreeWayMergeForUnstructured(true))
	}
	if _, err := c.Client.Update(kube.ResourceList{&original}, kube.ResourceList{info}, options...); err != nil {
		return nil, err
	}
	if !there {
		return diffOf(info, changeRemoved, nil), nil
	}
	paths := changedPaths(comparable(live.Object), comparable(liveObject(info).Object))
	paths = slices.DeleteFunc(paths, func(path string) bool { return d.ignores(objectName(info), path) })
	if len(paths) == 0 {
		return nil, nil
	}
	return diffOf(info, changeChanged, paths), nil
}

// goesByItself tells of what Kubernetes removes when it has done its work.
func goesByItself(recorded object) bool {
	return recorded.GetKind() == "Job" && recorded.at("spec", "ttlSecondsAfterFinished") != nil
}

// concede takes over from the live object what is nobody's mistake. The object is then only written if it still is as it was read.
func (d *drifting) concede(info *resource.Info, live object) error {
	wanted := liveObject(info)
	key := wanted.key()
	scaled := slices.Contains(d.request.Drift.Scaled, key)
	switch wanted.GetKind() {
	case "Deployment", "StatefulSet":
		if scaled || d.autoscaled[key] || scaledByController(live) {
			takeOver(wanted, live, "spec", "replicas")
		}
	case "CronJob":
		if scaled {
			takeOver(wanted, live, "spec", "suspend")
		}
	case "PersistentVolumeClaim":
		path := []string{"spec", "resources", "requests", "storage"}
		if isLarger(live.at(path...), wanted.at(path...)) {
			takeOver(wanted, live, path...)
		}
	}
	for _, ignore := range d.request.Drift.Ignore {
		if !ignore.isAbout(objectName(info)) {
			continue
		}
		for _, path := range ignore.Paths {
			steps, err := parsePath(path)
			if err != nil {
				return err
			}
			overlay(wanted.Object, live.Object, steps)
		}
	}
	if d.serverSide {
		wanted.SetResourceVersion(live.GetResourceVersion())
	}
	return nil
}

// takeOver sets a field as it is live.
func takeOver(wanted, live object, path ...string) {
	value := live.at(path...)
	if value == nil {
		unstructured.RemoveNestedField(wanted.Object, path...)
		return
	}
	_ = unstructured.SetNestedField(wanted.Object, value, path...)
}

// autoscaled are the workloads that an autoscaler of the release scales, by "Kind/name".
func autoscaled(objects kube.ResourceList) map[string]bool {
	targets := map[string]bool{}
	for _, info := range objects {
		one := liveObject(info)
		if one.GetKind() != "HorizontalPodAutoscaler" && one.GetKind() != "ScaledObject" {
			continue
		}
		kind, _ := one.at("spec", "scaleTargetRef", "kind").(string)
		name, _ := one.at("spec", "scaleTargetRef", "name").(string)
		if kind == "" {
			kind = "Deployment"
		}
		targets[kind+"/"+name] = true
	}
	return targets
}

// scaledByController says whether Kubernetes' own autoscaler was the last to scale it: one that is no part of the release.
func scaledByController(live object) bool {
	for _, entry := range live.GetManagedFields() {
		if entry.Manager == "kube-controller-manager" && entry.Subresource == "scale" {
			return entry.FieldsV1 != nil && strings.Contains(entry.FieldsV1.GetRawString(), `"f:replicas"`)
		}
	}
	return false
}

// isAbout takes an object's name with and without the group of its kind: people write "Deployment/web".
func (i ignored) isAbout(name string) bool {
	if i.Object == nil || *i.Object == name {
		return true
	}
	kind, rest, _ := strings.Cut(name, "/")
	kind, _, _ = strings.Cut(kind, ".")
	return *i.Object == kind+"/"+rest
}

func (d *drifting) ignores(name, path string) bool {
	return slices.ContainsFunc(d.request.Drift.Ignore, func(ignore ignored) bool {
		if !ignore.isAbout(name) {
			return false
		}
		return slices.ContainsFunc(ignore.Paths, func(above string) bool {
			steps, err := parsePath(above)
			return err == nil && covers(steps, path)
		})
	})
}

// isLarger says whether a live quantity is larger than a recorded one.
func isLarger(live, recorded any) bool {
	one, isText := live.(string)
	other, isTextToo := recorded.(string)
	if !isText || !isTextToo {
		return false
	}
	has, err := quantity.ParseQuantity(one)
	if err != nil {
		return false
	}
	asked, err := quantity.ParseQuantity(other)
	return err == nil && has.Cmp(asked) > 0
}
