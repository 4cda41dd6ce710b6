package main

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	typed "k8s.io/client-go/kubernetes/typed/core/v1"

	"helm.sh/helm/v4/pkg/storage"
)

// releaseSecrets stands between Helm's storage driver and the API server. It answers a LIST by GETs of the revisions that
// the request names, so that no operation reads a shared namespace, and it creates no revision but the expected one, so
// that no operation starts from a stale idea of what is stored.
type releaseSecrets struct {
	typed.SecretInterface
	release   string
	expected  int
	revisions []int
	mayCreate bool
	created   func()
	// mayDelete returns why a revision's record may not be removed, or nil.
	mayDelete func() *workerError

	mu    sync.Mutex
	known map[string]*corev1.Secret // nil for one that is not there
}

func secretName(release string, revision int) string {
	return fmt.Sprintf("%s.%s.v%d", storage.HelmStorageType, release, revision)
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

func (s *releaseSecrets) remember(name string, secret *corev1.Secret) {
	if s.known == nil {
		s.known = map[string]*corev1.Secret{}
	}
	s.known[name] = secret
}

func (s *releaseSecrets) forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, name)
}

func (s *releaseSecrets) List(ctx context.Context, options metav1.ListOptions) (*corev1.SecretList, error) {
	selector, err := labels.Parse(options.LabelSelector)
	if err != nil {
		return nil, err
	}
	list := &corev1.SecretList{}
	asked := map[int]bool{}
	for _, revision := range append([]int{s.expected}, s.revisions...) {
		if asked[revision] {
			continue
		}
		asked[revision] = true
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
	}
	return list, nil
}

func (s *releaseSecrets) Create(ctx context.Context, secret *corev1.Secret, options metav1.CreateOptions) (*corev1.Secret, error) {
	if !s.mayCreate || secret.Name != secretName(s.release, s.expected) {
		return nil, fail(classStaleRevision, "%q would be created, but revision %d was expected", secret.Name, s.expected)
	}
	created, err := s.SecretInterface.Create(ctx, secret, options)
	s.forget(secret.Name)
	if err == nil {
		s.created()
	}
	return created, err
}

func (s *releaseSecrets) Update(ctx context.Context, secret *corev1.Secret, options metav1.UpdateOptions) (*corev1.Secret, error) {
	defer s.forget(secret.Name)
	return s.SecretInterface.Update(ctx, secret, options)
}

func (s *releaseSecrets) Delete(ctx context.Context, name string, options metav1.DeleteOptions) error {
	if s.mayDelete != nil {
		if refused := s.mayDelete(); refused != nil {
			return refused
		}
	}
	defer s.forget(name)
	return s.SecretInterface.Delete(ctx, name, options)
}
