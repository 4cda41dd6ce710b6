package main

import (
	"errors"
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	chartcommon "helm.sh/helm/v4/pkg/chart/common"
	chartv2 "helm.sh/helm/v4/pkg/chart/v2"
	releasei "helm.sh/helm/v4/pkg/release"
	"helm.sh/helm/v4/pkg/release/common"
	release "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage"
	"helm.sh/helm/v4/pkg/storage/driver"
)

func storedRevision(revision int, status common.Status) *release.Release {
	return &release.Release{Name: "acme-prod", Namespace: "odoo", Version: revision,
		Chart: &chartv2.Chart{Metadata: &chartv2.Metadata{Name: "odoo"}}, Info: &release.Info{Status: status}}
}

// guarded is Helm's storage over the wrapper, and the clients that saw what was sent.
func guarded(t *testing.T, expected int, revisions ...int) (*storage.Storage, *releaseSecrets, *fake.Clientset) {
	t.Helper()
	clients := fake.NewClientset()
	plain := storage.Init(driver.NewSecrets(clients.CoreV1().Secrets("odoo")))
	for revision, status := range map[int]common.Status{1: common.StatusSuperseded, 2: common.StatusDeployed, 3: common.StatusFailed} {
		must(t, plain.Create(storedRevision(revision, status)))
	}
	clients.ClearActions()
	s := &releaseSecrets{SecretInterface: clients.CoreV1().Secrets("odoo"), release: "acme-prod", expected: expected,
		revisions: revisions, mayCreate: true, created: func() {}}
	return storage.Init(newRecords(s)), s, clients
}

func versions(t *testing.T, store *storage.Storage) []int {
	t.Helper()
	history, err := store.History("acme-prod")
	if errors.Is(err, driver.ErrReleaseNotFound) {
		return nil
	}
	must(t, err)
	var found []int
	for _, r := range history {
		found = append(found, r.(*release.Release).Version)
	}
	slices.Sort(found)
	return found
}

func TestStorageAsksForNamedRevisionsOnly(t *testing.T) {
	store, _, clients := guarded(t, 4, 2, 3, 9)
	if got := versions(t, store); !slices.Equal(got, []int{2, 3}) {
		t.Errorf("history %v", got)
	}
	deployed, err := store.Deployed("acme-prod")
	must(t, err)
	if v := deployed.(*release.Release).Version; v != 2 {
		t.Errorf("deployed %d", v)
	}
	if got := versions(t, store); len(got) != 2 {
		t.Errorf("history %v", got)
	}
	for _, action := range clients.Actions() {
		if action.GetVerb() != "get" {
			t.Errorf("%s %s", action.GetVerb(), action.GetResource().Resource)
		}
	}
	if n := len(clients.Actions()); n != 3 {
		t.Errorf("%d requests, want one for each named revision: whether the expected one is there, its creation tells", n)
	}
}

func TestStorageReadsNothingBelowTheDeployedRevision(t *testing.T) {
	store, _, clients := guarded(t, 3, 1, 2)
	must(t, clients.CoreV1().Secrets("odoo").Delete(t.Context(), secretName("acme-prod", 3), metav1.DeleteOptions{}))
	clients.ClearActions()
	last, err := store.Last("acme-prod")
	must(t, err)
	must(t, store.Create(storedRevision(3, common.StatusPendingUpgrade)))
	must(t, store.Update(storedRevision(2, common.StatusSuperseded)))
	must(t, store.Update(storedRevision(3, common.StatusDeployed)))
	if got := versions(t, store); last.(*release.Release).Version != 2 || !slices.Equal(got, []int{3}) {
		t.Errorf("history %v upon %v", got, last)
	}
	var verbs []string
	for _, action := range clients.Actions() {
		verbs = append(verbs, action.GetVerb())
	}
	if want := []string{"get", "delete", "create", "update", "update"}; !slices.Equal(verbs, want) {
		t.Errorf("%v, want %v: nothing is read twice", verbs, want)
	}
}

func TestStorageWithNothing(t *testing.T) {
	store, _, _ := guarded(t, 9)
	if _, err := store.Last("acme-prod"); !errors.Is(err, driver.ErrReleaseNotFound) {
		t.Errorf("%v", err)
	}
	if _, err := store.Deployed("acme-prod"); !errors.Is(err, driver.ErrNoDeployedReleases) {
		t.Errorf("%v", err)
	}
}

func TestStorageCreatesTheExpectedRevisionOnly(t *testing.T) {
	store, secrets, clients := guarded(t, 4, 2, 3)
	var failure *workerError
	for _, revision := range []int{3, 5} {
		if err := store.Create(storedRevision(revision, common.StatusPendingUpgrade)); !errors.As(err, &failure) || failure.Class != classStaleRevision {
			t.Errorf("revision %d: %v", revision, err)
		}
	}
	if got := versions(t, store); !slices.Equal(got, []int{2, 3}) {
		t.Errorf("history %v after a refusal", got)
	}
	other := storedRevision(4, common.StatusPendingUpgrade)
	other.Name = "other"
	if err := store.Create(other); !errors.As(err, &failure) {
		t.Errorf("another release: %v", err)
	}
	recorded := 0
	secrets.created = func() { recorded++ }
	must(t, store.Create(storedRevision(4, common.StatusPendingUpgrade)))
	if recorded != 1 {
		t.Errorf("recorded %d times", recorded)
	}
	// The deployed revision stays, whatever its age.
	if got := versions(t, store); !slices.Equal(got, []int{2, 4}) {
		t.Errorf("history %v", got)
	}
	secrets.mayCreate = false
	clients.ClearActions()
	if err := store.Create(storedRevision(4, common.StatusPendingUpgrade)); !errors.As(err, &failure) || len(clients.Actions()) != 0 {
		t.Errorf("%v %v", err, clients.Actions())
	}
}

func TestStorageSeesItsOwnWrites(t *testing.T) {
	store, secrets, _ := guarded(t, 4, 2, 3)
	versions(t, store)
	must(t, store.Update(storedRevision(3, common.StatusSuperseded)))
	rel, err := store.Get("acme-prod", 3)
	must(t, err)
	if status := rel.(*release.Release).Info.Status; status != common.StatusSuperseded {
		t.Errorf("status %s", status)
	}
	_, err = store.Delete("acme-prod", 2)
	must(t, err)
	if got := versions(t, store); !slices.Equal(got, []int{3}) {
		t.Errorf("history %v", got)
	}
	secrets.mayDelete = func() *workerError { return fail(classUnreachable, "no") }
	if _, err = store.Delete("acme-prod", 3); err == nil {
		t.Error("the record was deleted")
	}
}

func TestStorageLeavesTheSourcesOutOfItsOwnRecordOnly(t *testing.T) {
	store, secrets, _ := guarded(t, 4, 2, 3)
	full := func(revision int) *release.Release {
		rel := storedRevision(revision, common.StatusPendingUpgrade)
		file := []*chartcommon.File{{Name: "file", Data: []byte("data")}}
		rel.Chart.Raw, rel.Chart.Templates, rel.Chart.Files, rel.Chart.Schema = file, file, file, []byte("{}")
		rel.Chart.Values = map[string]any{"size": "S"}
		return rel
	}
	stored := func(revision int) *release.Release {
		rel, err := store.Get("acme-prod", revision)
		must(t, err)
		return rel.(*release.Release)
	}
	for _, write := range []func(releasei.Releaser) error{store.Create, store.Update} {
		own := full(4)
		must(t, write(own))
		if got := stored(4).Chart; hasSources(got) || got.Name() != "odoo" || got.Values["size"] != "S" {
			t.Errorf("%+v", got)
		}
		if !hasSources(own.Chart) || own.Chart.Raw == nil {
			t.Errorf("Helm's own chart has changed: %+v", own.Chart)
		}
	}
	must(t, store.Update(full(2)))
	if !hasSources(stored(2).Chart) {
		t.Error("another revision lost its sources")
	}
	secrets.mayCreate = false
	must(t, store.Update(full(4)))
	if !hasSources(stored(4).Chart) {
		t.Error("an operation that makes no record changed one")
	}
}
