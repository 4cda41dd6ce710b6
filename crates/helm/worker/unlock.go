package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"helm.sh/helm/v4/pkg/release/common"
)

const (
	releaseKey = "release"
	// maxRelease bounds what a release Secret of one MiB may unpack to.
	maxRelease = 64 << 20
)

// unlock rewrites the record of a revision whose Helm is gone from pending to failed, so that the next upgrade may start.
// All else in the record stays as it is, also what this version of Helm does not know.
func (o *operation) unlock(ctx context.Context) (*success, error) {
	r := o.request
	name := secretName(r.Release, r.ExpectedRevision)
	secret, err := o.secrets.SecretInterface.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, fail(classNotFound, "release %q has no revision %d", r.Release, r.ExpectedRevision)
	}
	if err != nil {
		return nil, err
	}
	status := common.Status(secret.Labels["status"])
	if !status.IsPending() {
		return nil, fail(classNotFound, "revision %d of release %q is not locked but %q", r.ExpectedRevision, r.Release, status)
	}
	description := fmt.Sprintf("recovered: %q was never finished", status)
	packed, err := rewriteRelease(secret.Data[releaseKey], common.StatusFailed, description)
	if err != nil {
		return nil, unreadable(name, r.ExpectedRevision, err)
	}
	secret.Data[releaseKey] = packed
	secret.Labels["status"] = common.StatusFailed.String()
	secret.Labels["modifiedAt"] = strconv.FormatInt(time.Now().Unix(), 10)
	if err = o.put(ctx, secret); err != nil {
		return nil, err
	}
	return &success{}, nil
}

// unreadable tells of a record that only a person can mend.
func unreadable(secret string, revision int, reason error) *workerError {
	return fail(classRecordUnreadable, "the record of revision %d in Secret %q cannot be read, for %s; put the Secret back from a "+
		"backup, or remove it, so that the release goes on from the revision before", revision, secret, reason)
}

// put relies on the resourceVersion that was read: a Helm that lives after all wins.
func (o *operation) put(ctx context.Context, secret *corev1.Secret) error {
	_, err := o.secrets.SecretInterface.Update(ctx, secret, metav1.UpdateOptions{FieldManager: "helm"})
	if apierrors.IsConflict(err) {
		return fail(classConflict, "%q has changed since it was looked at", secret.Name)
	}
	return err
}

// rewriteRelease changes status and description in a stored release.
func rewriteRelease(packed []byte, status common.Status, description string) ([]byte, error) {
	plain, err := unpackRelease(packed)
	if err != nil {
		return nil, err
	}
	var record, info map[string]json.RawMessage
	if err = json.Unmarshal(plain, &record); err != nil {
		return nil, errors.New("it is not valid JSON")
	}
	if err = json.Unmarshal(record["info"], &info); err != nil {
		return nil, errors.New(`its "info" is not valid JSON`)
	}
	for field, value := range map[string]string{"status": status.String(), "description": description} {
		if info[field], err = json.Marshal(value); err != nil {
			return nil, err
		}
	}
	if record["info"], err = marshalVerbatim(info); err != nil {
		return nil, err
	}
	if plain, err = marshalVerbatim(record); err != nil {
		return nil, err
	}
	return packRelease(plain)
}

// marshalVerbatim leaves the characters of HTML as they were stored.
func marshalVerbatim(value any) ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	err := e.Encode(value)
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), err
}

// unpackRelease undoes base64 and, where it was used, gzip.
func unpackRelease(packed []byte) ([]byte, error) {
	plain, err := base64.StdEncoding.DecodeString(string(packed))
	if err != nil {
		return nil, errors.New("it is not base64")
	}
	if !bytes.HasPrefix(plain, []byte{0x1f, 0x8b, 0x08}) {
		return plain, nil
	}
	reader, err := gzip.NewReader(bytes.NewReader(plain))
	if err != nil {
		return nil, errors.New("it is not gzip")
	}
	plain, err = io.ReadAll(io.LimitReader(reader, maxRelease+1))
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, errors.New("it is cut off")
	}
	if err != nil {
		return nil, errors.New("it is not gzip")
	}
	if len(plain) > maxRelease {
		return nil, fmt.Errorf("it unpacks to more than %d MiB", maxRelease>>20)
	}
	return plain, nil
}

func packRelease(plain []byte) ([]byte, error) {
	var out bytes.Buffer
	writer, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err = writer.Write(plain); err != nil {
		return nil, err
	}
	if err = writer.Close(); err != nil {
		return nil, err
	}
	return []byte(base64.StdEncoding.EncodeToString(out.Bytes())), nil
}
