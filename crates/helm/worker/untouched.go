package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/cli-runtime/pkg/resource"

	"helm.sh/helm/v4/pkg/kube"
	"helm.sh/helm/v4/pkg/release/common"
	release "helm.sh/helm/v4/pkg/release/v1"
)

// Most of an upgrade changes a few objects, and Helm sends all of them. An object is left out if
//   - it is rendered as in the deployed revision, and
//   - it is now as that revision's operation left it. How that was stands in an annotation on the revision's record; how it
//     is now the operator's watches tell, at the moment at which the operation begins.
// Whatever is not known for certain is sent: then Helm puts right what somebody has changed by hand, as it always does.

// annotationApplied, on the record of a revision, holds its objects as they were when they had been applied.
const annotationApplied = "odoofleet.dev/applied"

// appliedObject is an object as the answer to Helm's last request about it showed it.
type appliedObject struct {
	UID             string `json:"uid"`
	Generation      int64  `json:"generation,omitempty"`
	ResourceVersion string `json:"resourceVersion"`
	// LeftOut says that this revision's operation did not send it.
	LeftOut bool `json:"leftOut,omitempty"`
}

// seen is what the operator's watches know of the release.
type seen struct {
	// Revision and ResourceVersion are those of the newest deployed record: with another one in the storage, what is known is
	// known of another time.
	Revision        int    `json:"revision"`
	ResourceVersion string `json:"resourceVersion"`
	// Objects are named as "Deployment.apps/acme-prod-web", those of the core group as "ConfigMap/acme-prod".
	Objects map[string]seenObject `json:"objects"`
}

// seenObject is an object as its watch showed it last.
type seenObject struct {
	UID string `json:"uid"`
	// Generation is given where Kubernetes raises it with each change of what a chart can say, metadata apart.
	Generation      int64  `json:"generation,omitempty"`
	ResourceVersion string `json:"resourceVersion"`
	// Marks are the digests of its labels and annotations, given with the generation.
	Marks []uint64 `json:"marks,omitempty"`
}

func objectName(info *resource.Info) string {
	kind := info.Mapping.GroupVersionKind
	if kind.Group == "" {
		return kind.Kind + "/" + info.Name
	}
	return kind.Kind + "." + kind.Group + "/" + info.Name
}

// untouched knows what an upgrade may leave out, and remembers how everything was afterwards.
type untouched struct {
	seen map[string]seenObject
	// recorded is how the deployed revision left its objects.
	recorded map[string]appliedObject

	// same are the objects that are rendered as before.
	same map[string]bool
	// applied is what the record of the new revision will hold.
	applied map[string]appliedObject
}

// newUntouched knows nothing to leave out without a deployed revision whose record says how it left its objects.
func newUntouched(told *seen, base *release.Release, record *corev1.Secret) *untouched {
	u := &untouched{same: map[string]bool{}, applied: map[string]appliedObject{}}
	if told == nil || record == nil || base.Info.Status != common.StatusDeployed ||
		told.Revision != base.Version || told.ResourceVersion != record.ResourceVersion {
		return u
	}
	if json.Unmarshal([]byte(record.Annotations[annotationApplied]), &u.recorded) == nil {
		u.seen = told.Objects
	}
	return u
}

// rendersAsBefore is told of each object that no manifest since then rendered otherwise.
func (u *untouched) rendersAsBefore(info *resource.Info) {
	u.same[objectName(info)] = true
}

// mayLeaveOut says whether an object that is rendered as before is as it was left. It has the marks of Helm or none yet.
func (u *untouched) mayLeaveOut(info *resource.Info) bool {
	return u.isUntouched(objectName(info), info)
}

// leaveOut takes from both lists of an update what need not be sent.
func (u *untouched) leaveOut(original, target kube.ResourceList) (kube.ResourceList, kube.ResourceList) {
	send := target.Filter(func(info *resource.Info) bool {
		name := objectName(info)
		if !original.Contains(info) || !u.same[name] || !u.isUntouched(name, info) {
			return true
		}
		was := u.recorded[name]
		was.LeftOut = true
		u.applied[name] = was
		return false
	})
	left := target.Difference(send)
	return original.Difference(left), send
}

func (u *untouched) isUntouched(name string, info *resource.Info) bool {
	was, recorded := u.recorded[name]
	is, known := u.seen[name]
	if !recorded || !known || was.UID == "" || was.UID != is.UID {
		return false
	}
	if is.Generation == 0 {
		return was.ResourceVersion != "" && was.ResourceVersion == is.ResourceVersion
	}
	return was.Generation == is.Generation && carries(is.Marks, liveObject(info))
}

// carries says whether all of an object's own metadata are among the marks. The generation does not tell of them.
func carries(marks []uint64, rendered object) bool {
	metadata, _ := rendered.at("metadata").(map[string]any)
	for field := range metadata {
		switch field {
		case "name", "namespace", "labels", "annotations", "creationTimestamp":
		default:
			return false
		}
	}
	for key, value := range rendered.GetLabels() {
		if !slices.Contains(marks, markOf("label", key, value)) {
			return false
		}
	}
	for key, value := range rendered.GetAnnotations() {
		if !slices.Contains(marks, markOf("annotation", key, value)) {
			return false
		}
	}
	return true
}

// markOf is the digest of a label or an annotation: the first eight bytes of a SHA-256. The operator computes the same.
func markOf(sort, key, value string) uint64 {
	sum := sha256.Sum256([]byte(sort + "\x00" + key + "\x00" + value))
	return binary.BigEndian.Uint64(sum[:8])
}

// note remembers objects that were sent, as the API server answered.
func (u *untouched) note(sent kube.ResourceList) {
	for _, info := range sent {
		live := liveObject(info)
		u.applied[objectName(info)] = appliedObject{
			UID: string(live.GetUID()), Generation: live.GetGeneration(), ResourceVersion: live.GetResourceVersion()}
	}
}

// annotate writes it on the record of a revision that is deployed.
func (u *untouched) annotate(record *corev1.Secret) {
	if len(u.applied) == 0 || record.Labels["status"] != string(common.StatusDeployed) {
		return
	}
	text, err := json.Marshal(u.applied)
	if err != nil {
		return
	}
	record.Annotations = merged(record.Annotations, map[string]string{annotationApplied: string(text)})
}
