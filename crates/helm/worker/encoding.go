package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typed "k8s.io/client-go/kubernetes/typed/core/v1"

	releasei "helm.sh/helm/v4/pkg/release"
	release "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage/driver"
)

// compression is weaker than Helm's, which is the strongest and took a seventh of an upgrade's time: each writes three records.
const compression = 4

// quickSecrets is Helm's storage driver with another compression. Everything else of a record is as Helm has it
// (pkg/storage/driver/secrets.go and util.go); a test has both write the same one.
type quickSecrets struct {
	*driver.Secrets
	secrets typed.SecretInterface
}

func (q *quickSecrets) Create(key string, rel releasei.Releaser) error {
	record, err := recordOf(key, rel, "createdAt")
	if err != nil {
		return fmt.Errorf("create: failed to encode release: %w", err)
	}
	if _, err := q.secrets.Create(context.Background(), record, metav1.CreateOptions{}); err != nil {
		if apierrors.IsAlreadyExists(err) {
			return driver.ErrReleaseExists
		}
		return fmt.Errorf("create: failed to create: %w", err)
	}
	return nil
}

func (q *quickSecrets) Update(key string, rel releasei.Releaser) error {
	record, err := recordOf(key, rel, "modifiedAt")
	if err != nil {
		return fmt.Errorf("update: failed to encode release: %w", err)
	}
	if _, err := q.secrets.Update(context.Background(), record, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("update: failed to update: %w", err)
	}
	return nil
}

func recordOf(key string, rel releasei.Releaser, stamp string) (*corev1.Secret, error) {
	one, ok := rel.(*release.Release)
	if !ok {
		return nil, errors.New("Helm stores another sort of release")
	}
	text, err := json.Marshal(one)
	if err != nil {
		return nil, err
	}
	var packed bytes.Buffer
	zip, err := gzip.NewWriterLevel(&packed, compression)
	if err != nil {
		return nil, err
	}
	if _, err := zip.Write(text); err != nil {
		return nil, err
	}
	if err := zip.Close(); err != nil {
		return nil, err
	}
	labels := map[string]string{stamp: strconv.FormatInt(time.Now().Unix(), 10)}
	maps.Copy(labels, one.Labels)
	labels["name"], labels["owner"] = one.Name, "helm"
	labels["status"], labels["version"] = one.Info.Status.String(), strconv.Itoa(one.Version)
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: key, Labels: labels},
		Type:       "helm.sh/release.v1",
		Data:       map[string][]byte{"release": []byte(base64.StdEncoding.EncodeToString(packed.Bytes()))},
	}, nil
}
