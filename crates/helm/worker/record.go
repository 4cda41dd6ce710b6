package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"helm.sh/helm/v4/pkg/release/common"
	release "helm.sh/helm/v4/pkg/release/v1"
)

// Records of releases that were made by whomever are read here with bounds that Helm's own storage does not have, and with words
// for what is wrong with one.

// stored is a revision's record and what it says.
type stored struct {
	*release.Release
	secret *corev1.Secret
}

// recordFields are those of a release that Helm 3 and Helm 4 know. With another one it could not be told what the release is.
var recordFields = []string{"name", "info", "chart", "config", "manifest", "hooks", "version", "namespace", "apply_method"}

// readRecord returns nil if there is no such revision.
func (o *operation) readRecord(ctx context.Context, revision int) (*stored, error) {
	name := secretName(o.request.Release, revision)
	secret, err := o.secrets.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	rel, err := parseRecord(secret.Data[releaseKey])
	if own, ok := errors.AsType[*unknownFieldError](err); ok {
		return nil, fail(classRecordUnreadable, "the record of revision %d in Secret %q has the field %q, which Helm %s does not know: what the "+
			"release is cannot be told from it; upgrade the release with a Helm that does not write it", revision, name, own.field, helmVersion())
	}
	if err == nil && (rel.Name != o.request.Release || rel.Version != revision) {
		err = errors.New("it is that of another release or revision")
	}
	if err != nil {
		return nil, unreadable(name, revision, err)
	}
	return &stored{Release: rel, secret: secret}, nil
}

type unknownFieldError struct{ field string }

func (e *unknownFieldError) Error() string { return fmt.Sprintf("unknown field %q", e.field) }

// parseRecord reads what a release Secret holds.
func parseRecord(packed []byte) (*release.Release, error) {
	plain, err := unpackRelease(packed)
	if err != nil {
		return nil, err
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(plain, &fields) != nil {
		return nil, errors.New("it is not valid JSON")
	}
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		if !slices.Contains(recordFields, field) {
			return nil, &unknownFieldError{field: shortened(field)}
		}
	}
	rel := &release.Release{}
	if json.Unmarshal(plain, rel) != nil {
		return nil, errors.New("its fields are not those of a release")
	}
	switch {
	case rel.Info == nil || rel.Info.Status == "":
		return nil, errors.New(`it has no "info" with a status`)
	case rel.Chart == nil || rel.Chart.Metadata == nil:
		return nil, errors.New(`it has no "chart" with metadata`)
	}
	return rel, nil
}

// shortened bounds what is quoted of something that nobody has checked.
func shortened(text string) string {
	if runes := []rune(text); len(runes) > 64 {
		return string(runes[:64]) + "…"
	}
	return text
}

// newestRecord reads the revision that the request starts from. It is out of date if there is a later one.
func (o *operation) newestRecord(ctx context.Context, revision int) (*stored, error) {
	later := slices.DeleteFunc(append(slices.Clone(o.request.Revisions), revision+1), func(one int) bool { return one <= revision })
	for _, one := range later {
		_, err := o.secrets.Get(ctx, secretName(o.request.Release, one), metav1.GetOptions{})
		if err == nil {
			return nil, fail(classStaleRevision, "release %q is at revision %d, not %d", o.request.Release, one, revision)
		}
		if !apierrors.IsNotFound(err) {
			return nil, err
		}
	}
	found, err := o.readRecord(ctx, revision)
	if err == nil && found == nil {
		err = fail(classNotFound, "release %q has no revision %d", o.request.Release, revision)
	}
	return found, err
}

// baseOf is the record of the revision whose objects Helm takes as the present ones: the newest that is deployed, or else the last.
func (o *operation) baseOf(ctx context.Context, last *stored) (*stored, error) {
	if last.Info.Status == common.StatusDeployed {
		return last, nil
	}
	older := slices.Clone(o.request.Revisions)
	slices.Sort(older)
	slices.Reverse(older)
	for _, revision := range older {
		secret, err := o.secrets.Get(ctx, secretName(o.request.Release, revision), metav1.GetOptions{})
		if apierrors.IsNotFound(err) || err == nil && secret.Labels["status"] != string(common.StatusDeployed) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return o.readRecord(ctx, revision)
	}
	return last, nil
}
