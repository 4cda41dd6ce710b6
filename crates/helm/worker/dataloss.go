package main

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// dataLoss compares what an upgrade, or an installation that is tried again, would replace with what it would put there, and returns every way in which data would
// be deleted, or left behind where nothing reads it any more.
//
// An object with "helm.sh/resource-policy: keep" that is no longer rendered is not deleted, so this alone is no loss. It
// is one if a workload that stays mounted the volume claim and does so no longer: that workload would start empty.
func dataLoss(oldChart, newChart string, before, after []object, upgrade bool) []string {
	old, rendered := index(before), index(after)
	var losses []string
	if oldChart != newChart {
		losses = append(losses, fmt.Sprintf("chart %q would be replaced by chart %q", oldChart, newChart))
	}
	for _, key := range slices.Sorted(maps.Keys(old)) {
		was := old[key]
		is, stays := rendered[key]
		switch {
		case !stays && was.GetKind() == "PersistentVolumeClaim":
			losses = append(losses, claimGone(was, old, rendered)...)
		case !stays && was.GetKind() == "StatefulSet":
			losses = append(losses, key+" would be removed")
		case stays && was.GetKind() == "PersistentVolumeClaim":
			losses = append(losses, claimChanged(was, is)...)
		case stays && was.GetKind() == "StatefulSet":
			if !reflect.DeepEqual(claimTemplates(was), claimTemplates(is)) {
				losses = append(losses, key+` would change its "volumeClaimTemplates"`)
			}
		}
		if stays {
			losses = append(losses, secretsGone(was, old, rendered)...)
		}
	}
	return append(losses, inherentLoss(after, upgrade)...)
}

// inherentLoss returns what would delete data however the release was before.
func inherentLoss(objects []object, upgrade bool) []string {
	var losses []string
	for _, o := range objects {
		if o.at("spec", "persistentVolumeClaimRetentionPolicy", "whenScaled") == "Delete" {
			losses = append(losses, o.key()+" would delete its volumes whenever it is stopped")
		}
		if holdsData(o) && upgrade && o.isHook() && recreatedByUpgrade(o) {
			losses = append(losses, o.key()+" is a hook that every upgrade deletes and creates again")
		}
	}
	return losses
}

func holdsData(o object) bool {
	return o.GetKind() == "PersistentVolumeClaim" || o.GetKind() == "StatefulSet"
}

func recreatedByUpgrade(o object) bool {
	_, policies := o.hookEvents()
	return o.runsAt("upgrade") &&
		(slices.Contains(policies, "before-hook-creation") || slices.Contains(policies, "hook-succeeded"))
}

func claimGone(claim object, old, rendered map[string]object) []string {
	if !claim.kept() {
		return []string{claim.key() + " would be removed"}
	}
	var losses []string
	for _, key := range slices.Sorted(maps.Keys(old)) {
		is, stays := rendered[key]
		if stays && old[key].claims()[claim.GetName()] && !is.claims()[claim.GetName()] {
			losses = append(losses, fmt.Sprintf("%s would no longer use %s", key, claim.key()))
		}
	}
	return losses
}

func claimChanged(was, is object) []string {
	var losses []string
	for _, field := range []string{"accessModes", "storageClassName", "volumeName"} {
		if !reflect.DeepEqual(was.at("spec", field), is.at("spec", field)) {
			losses = append(losses, fmt.Sprintf("%s would change %q", was.key(), field))
		}
	}
	return losses
}

// secretsGone returns the rendered Secrets that a workload with data read and that would be deleted under it.
func secretsGone(workload object, old, rendered map[string]object) []string {
	kind := workload.GetKind()
	if (kind != "StatefulSet" && kind != "Deployment") || (len(workload.claims()) == 0 && workload.at("spec", "volumeClaimTemplates") == nil) {
		return nil
	}
	var losses []string
	for _, name := range workload.secretNames() {
		secret, wasOurs := old["Secret/"+name]
		if _, stays := rendered["Secret/"+name]; wasOurs && !stays && !secret.kept() {
			losses = append(losses, fmt.Sprintf("%s would be removed, which %s reads", secret.key(), workload.key()))
		}
	}
	return losses
}

// claims returns the volume claims that a workload's pods mount by name.
func (o object) claims() map[string]bool {
	claims := map[string]bool{}
	volumes, _ := o.podSpec()["volumes"].([]any)
	for _, volume := range volumes {
		if v, ok := volume.(map[string]any); ok {
			if claim, ok := v["persistentVolumeClaim"].(map[string]any); ok {
				addName(claim["claimName"], claims)
			}
		}
	}
	return claims
}

// claimTemplates returns what is immutable about a StatefulSet's volumes. Labels and annotations are so too, but with
// them no data is at stake, and the API server has its own word for it.
func claimTemplates(o object) []any {
	templates, _ := o.at("spec", "volumeClaimTemplates").([]any)
	shapes := make([]any, 0, len(templates))
	for _, template := range templates {
		t, _ := template.(map[string]any)
		metadata, _ := t["metadata"].(map[string]any)
		shapes = append(shapes, []any{metadata["name"], t["spec"]})
	}
	return shapes
}
