package main

import (
	"context"
	"fmt"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	typed "k8s.io/client-go/kubernetes/typed/core/v1"

	releasei "helm.sh/helm/v4/pkg/release"
	"helm.sh/helm/v4/pkg/release/common"
	release "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage"
	"helm.sh/helm/v4/pkg/storage/driver"
)

// releaseSecrets stands between Helm's storage driver and the API server. It answers a LIST by GETs of the revisions that
// the request names, so that no operation reads a shared namespace, and it creates no revision but the expected one, so
// that no operation starts from a stale idea of what is stored. Nothing is read twice: what is written here is known.
type releaseSecrets struct {
	typed.SecretInterface
	release   string
	expected  int
	revisions []int
	mayCreate bool
	created   func()
	// annotate, if there is one, adds to the record that this operation makes.
	annotate func(*corev1.Secret)
	// mayDelete returns why a revision's record may not be removed, or nil.
	mayDelete func() *workerError

	mu    sync.Mutex
	known map[string]*corev1.Secret // nil for one that is not there
	// older are revisions that nobody has to read: one that is newer is deployed.
	older []int
}

func secretName(release string, revision int) string {
	return fmt.Sprintf("%s.%s.v%d", storage.HelmStorageType, release, revision)
}

// makes tells whether the Secret is the record that this operation makes.
func (s *releaseSecrets) makes(name string) bool {
	return s.mayCreate && name == secretName(s.release, s.expected)
}

func (s *releaseSecrets) Get(ctx context.Context, name string, options metav1.GetOptions) (*corev1.Secret, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	secret, seen := s.known[name]
	if !seen {
		found, err := s.SecretInterface.Get(ctx, name, options)
		if err != nil && !apierrors.IsNotFound(err) {
			return nil, err
		}
		if err == nil {
			secret = found
		}
		s.remember(name, secret)
	}
	if secret == nil {
		return nil, apierrors.NewNotFound(corev1.Resource("secrets"), name)
	}
	return secret.DeepCopy(), nil
}

// remember keeps what is known to be stored now; nil for nothing.
func (s *releaseSecrets) remember(name string, secret *corev1.Secret) {
	if s.known == nil {
		s.known = map[string]*corev1.Secret{}
	}
	s.known[name] = secret
}

// stored is a record as it was read or written last; nil if it was neither.
func (s *releaseSecrets) stored(name string) *corev1.Secret {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known[name]
}

// written keeps the answer to a write; after an error it is not known what is stored.
func (s *releaseSecrets) written(name string, answer *corev1.Secret, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		delete(s.known, name)
		return
	}
	s.remember(name, answer)
}

// newestFirst are the revisions to look for. Whether the one that this operation makes is there already, its creation tells.
func (s *releaseSecrets) newestFirst() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Clone(s.revisions)
	if _, seen := s.known[secretName(s.release, s.expected)]; seen || !s.mayCreate {
		all = append(all, s.expected)
	}
	slices.Sort(all)
	slices.Reverse(all)
	return slices.Compact(all)
}

// List stops at the newest deployed revision where one is to be made upon it: no older one matters to Helm then.
func (s *releaseSecrets) List(ctx context.Context, options metav1.ListOptions) (*corev1.SecretList, error) {
	selector, err := labels.Parse(options.LabelSelector)
	if err != nil {
		return nil, err
	}
	list := &corev1.SecretList{}
	all := s.newestFirst()
	for i, revision := range all {
		secret, err := s.Get(ctx, secretName(s.release, revision), metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if selector.Matches(labels.Set(secret.Labels)) {
			list.Items = append(list.Items, *secret)
		}
		if s.mayCreate && secret.Labels["status"] == string(common.StatusDeployed) {
			s.setOlder(all[i+1:])
			break
		}
	}
	return list, nil
}

func (s *releaseSecrets) setOlder(revisions []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.older = revisions
}

// removeOlder removes the revisions that nobody had to read.
func (s *releaseSecrets) removeOlder(ctx context.Context) error {
	s.mu.Lock()
	older := s.older
	s.mu.Unlock()
	for _, revision := range older {
		err := s.Delete(ctx, secretName(s.release, revision), metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return nil
}

// isOvertaken says whether the revision that this operation would make is there, made by somebody else.
func (s *releaseSecrets) isOvertaken(ctx context.Context) bool {
	if !s.mayCreate {
		return false
	}
	_, err := s.Get(ctx, secretName(s.release, s.expected), metav1.GetOptions{})
	return err == nil
}

func (s *releaseSecrets) Create(ctx context.Context, secret *corev1.Secret, options metav1.CreateOptions) (*corev1.Secret, error) {
	if !s.makes(secret.Name) {
		return nil, fail(classStaleRevision, "%q would be created, but revision %d was expected", secret.Name, s.expected)
	}
	created, err := s.SecretInterface.Create(ctx, secret, options)
	s.written(secret.Name, created, err)
	if err == nil {
		s.created()
	}
	return created, err
}

func (s *releaseSecrets) Update(ctx context.Context, secret *corev1.Secret, options metav1.UpdateOptions) (*corev1.Secret, error) {
	if s.annotate != nil && s.makes(secret.Name) {
		s.annotate(secret)
	}
	// Helm writes the deployed record again when the revision upon it fails.
	if was := s.stored(secret.Name); was != nil && secret.Labels["status"] == string(common.StatusDeployed) {
		secret.Annotations = merged(was.Annotations, secret.Annotations)
	}
	updated, err := s.SecretInterface.Update(ctx, secret, options)
	s.written(secret.Name, updated, err)
	return updated, err
}

func (s *releaseSecrets) Delete(ctx context.Context, name string, options metav1.DeleteOptions) error {
	if s.mayDelete != nil {
		if refused := s.mayDelete(); refused != nil {
			return refused
		}
	}
	err := s.SecretInterface.Delete(ctx, name, options)
	s.written(name, nil, err)
	return err
}

// records is Helm's storage driver, which here leaves the chart's sources out of the record that an install or upgrade makes.
// They would be most of what a release costs in etcd, the same again in each revision of each environment, in base64 that
// gzip shrinks badly. Helm reads them in no record: "rollback" applies the stored manifest, "upgrade" renders the chart that
// it is given, "get" and "list" show metadata, values, manifest, hooks and notes. The archive of the chart has them, and a
// template's version keeps that. Records of other Helms are stored as they are.
type records struct {
	*quickSecrets
	own *releaseSecrets
	// pruning removes old revisions as it creates one. Helm's own storage does so too, but before it asks its driver, and an
	// install of Helm's never.
	pruning *storage.Storage
	// before, if there is one, may refuse the revision that is about to be made: nothing has been written yet.
	before func(*release.Release) error
}

func newRecords(secrets *releaseSecrets) *records {
	quick := &quickSecrets{Secrets: driver.NewSecrets(secrets), secrets: secrets}
	pruning := storage.Init(quick)
	pruning.MaxHistory = maxHistory
	return &records{quickSecrets: quick, own: secrets, pruning: pruning}
}

func (r *records) Create(key string, rel releasei.Releaser) error {
	next, ok := rel.(*release.Release)
	if !ok || !r.own.makes(key) {
		return r.quickSecrets.Create(key, rel)
	}
	if r.before != nil {
		if err := r.before(next); err != nil {
			return err
		}
	}
	if err := r.own.removeOlder(context.Background()); err != nil {
		return err
	}
	return r.pruning.Create(r.lean(key, rel))
}

func (r *records) Update(key string, rel releasei.Releaser) error {
	return r.quickSecrets.Update(key, r.lean(key, rel))
}

// lean copies what it changes: Helm goes on with the release and its chart.
func (r *records) lean(key string, rel releasei.Releaser) releasei.Releaser {
	full, ok := rel.(*release.Release)
	if !ok || full.Chart == nil || !r.own.makes(key) {
		return rel
	}
	// The metadata names the chart in every listing, the values are the base of "get values --all" and "--reuse-values".
	record, chart := *full, *full.Chart
	chart.Raw, chart.Templates, chart.Files, chart.Schema = nil, nil, nil, nil
	record.Chart = &chart
	return &record
}
