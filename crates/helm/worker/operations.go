package main

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/client-go/kubernetes"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/common"
	chartv2 "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/kube"
	releasei "helm.sh/helm/v4/pkg/release"
	release "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage"
	"helm.sh/helm/v4/pkg/storage/driver"
)

const (
	helmModule        = "helm.sh/helm/v4"
	defaultMaxHistory = 2
	labelRetainedAt   = "odoofleet.dev/retained-at"
	labelRemoved      = "null" // how Helm is told that an inherited label goes
)

func init() {
	// The field manager has to be the one of Helm's command line. With another, what a later upgrade by hand no longer
	// renders would stay for ever, and the other way round.
	kube.ManagedFieldsManager = "helm"
	// Templates see the version that a command line of this version shows them.
	common.DefaultCapabilities.HelmVersion.Version = helmVersion()
}

// helmVersion is that of the library in this program.
func helmVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Path == helmModule {
				return module.Version
			}
		}
	}
	return "unknown"
}

// operation is one run of one Helm action.
type operation struct {
	request  *request
	permit   *permit
	progress func(stage string, hooks *int)

	getter  *getter
	secrets *releaseSecrets
	store   *storage.Storage
	client  *client
	clients kubernetes.Interface
	gate    *gate
	chart   *chartv2.Chart

	scrub         scrubber
	lookupRefused atomic.Bool
	mu            sync.Mutex
	failedRead    *workerError
}

// run does one operation from beginning to end.
func (c *cluster) run(r *request, p *permit, progress func(string, *int)) (*resultMessage, *workerError) {
	if err := r.validate(c.namespace); err != nil {
		return nil, fail(classInvalidRequest, "%s", err)
	}
	o := &operation{request: r, permit: p, progress: progress, scrub: newScrubber(r.Values)}
	if err := o.prepare(c); err != nil {
		return nil, o.classify(err)
	}
	var result *resultMessage
	var err error
	switch r.Action {
	case actionInstall:
		result, err = o.install()
	case actionUpgrade:
		result, err = o.upgrade()
	case actionUninstall:
		result, err = o.uninstall()
	case actionUnlock:
		result, err = o.unlock(context.Background())
	case actionRender:
		result, err = o.render()
	case actionCheck:
		result, err = o.check(context.Background())
	}
	if err != nil {
		return nil, o.classify(err)
	}
	return result, nil
}

func (o *operation) prepare(c *cluster) error {
	r := o.request
	// Helm reads discovery anew for each action, but a mapper that lives longer would go on without kinds that are new.
	c.mapper.Reset()
	o.getter = c.getter(guard{
		permit:     o.permit,
		userAgent:  c.setOperation(r.ID),
		keepData:   (r.Action == actionInstall || r.Action == actionUpgrade) && !r.AllowDataLoss,
		failedRead: o.noteFailedRead,
	})
	config, err := o.getter.ToRESTConfig()
	if err != nil {
		return err
	}
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	o.clients = clients
	o.secrets = &releaseSecrets{
		SecretInterface: clients.CoreV1().Secrets(r.Namespace),
		release:         r.Release,
		expected:        r.ExpectedRevision,
		revisions:       r.Revisions,
		mayCreate:       r.Action == actionInstall || r.Action == actionUpgrade,
		created:         func() { o.progress("recorded", nil) },
	}
	o.store = newStore(o.secrets)
	o.client = &client{Client: kube.New(o.getter), request: r, applied: func() { o.progress("applied", nil) }}
	o.client.Namespace = r.Namespace
	o.client.SetLogger(slog.DiscardHandler)
	o.gate = &gate{
		request: r,
		judge:   o.judgeInstall,
		passed:  func(hooks int) { o.progress("rendered", &hooks) },
	}
	if !r.rendersChart() {
		return nil
	}
	loaded, failure := loadChart(r.Chart.Path, r.Chart.SHA256)
	if failure != nil {
		return failure
	}
	o.chart = loaded
	o.progress("loaded", nil)
	return nil
}

// configuration is fresh for each operation: Helm keeps capabilities and more in it.
func (o *operation) configuration() *action.Configuration {
	c := action.NewConfiguration(action.ConfigurationSetLogger(slog.DiscardHandler))
	c.RESTClientGetter = &renderGetter{getter: o.getter, refused: &o.lookupRefused}
	c.KubeClient = o.client
	c.Releases = o.store
	return c
}

// helmTimeout bounds each hook. It ends before the operation's own deadline, so that Helm can still record the failure.
func (o *operation) helmTimeout() time.Duration {
	whole := o.request.timeout()
	return whole - min(10*time.Second, whole/5)
}

// expect refuses to go on unless the newest revision in storage is the given one; 0 stands for none.
func (o *operation) expect(newest int) (*release.Release, error) {
	last, err := o.store.Last(o.request.Release)
	if err != nil && !errors.Is(err, driver.ErrReleaseNotFound) {
		return nil, err
	}
	found := 0
	rel, _ := last.(*release.Release)
	if rel != nil {
		found = rel.Version
	}
	switch {
	case found == newest:
		return rel, nil
	case found == 0:
		return nil, fail(classNotFound, "release %q has no revision %d", o.request.Release, newest)
	}
	return nil, fail(classStaleRevision, "release %q is at revision %d, not %d", o.request.Release, found, newest)
}

func (o *operation) install() (*resultMessage, error) {
	if _, err := o.expect(0); err != nil {
		return nil, err
	}
	i := action.NewInstall(o.configuration())
	i.ReleaseName = o.request.Release
	i.Namespace = o.request.Namespace
	i.ServerSideApply = true
	i.ForceConflicts = true
	i.SkipCRDs = true
	i.DisableOpenAPIValidation = true
	i.WaitStrategy = kube.HookOnlyStrategy
	i.Timeout = o.helmTimeout()
	i.Labels = o.request.installLabels()
	i.PostRenderer = o.gate
	done, err := i.Run(o.chart, o.request.values())
	return o.result(done), err
}

func (o *operation) upgrade() (*resultMessage, error) {
	last, err := o.expect(o.request.ExpectedRevision - 1)
	if err != nil {
		return nil, err
	}
	base, err := o.base(last)
	if err != nil {
		return nil, err
	}
	o.gate.judge = func(objects []object) *workerError { return o.judgeUpgrade(base, objects) }
	u := action.NewUpgrade(o.configuration())
	u.Namespace = o.request.Namespace
	u.ServerSideApply = "auto"
	u.ForceConflicts = last.ApplyMethod == string(release.ApplyMethodServerSideApply)
	u.SkipCRDs = true
	u.DisableOpenAPIValidation = true
	u.WaitStrategy = kube.HookOnlyStrategy
	u.Timeout = o.helmTimeout()
	u.ResetValues = true
	u.MaxHistory = o.request.MaxHistory
	if u.MaxHistory == 0 {
		u.MaxHistory = defaultMaxHistory
	}
	u.Labels = o.request.upgradeLabels()
	u.PostRenderer = o.gate
	done, err := u.Run(o.request.Release, o.chart, o.request.values())
	return o.result(done), err
}

// base is the revision whose objects Helm takes as the present ones: the deployed one, or else the last.
func (o *operation) base(last *release.Release) (*release.Release, error) {
	deployed, err := o.store.Deployed(o.request.Release)
	if errors.Is(err, driver.ErrNoDeployedReleases) {
		return last, nil
	}
	if err != nil {
		return nil, err
	}
	rel, _ := deployed.(*release.Release)
	return rel, nil
}

func (o *operation) uninstall() (*resultMessage, error) {
	// A later revision, if there is one, shows that the request is out of date.
	o.secrets.revisions = append(slices.Clone(o.secrets.revisions), o.request.ExpectedRevision+1)
	last, err := o.expect(o.request.ExpectedRevision)
	if err != nil {
		return nil, err
	}
	if last.Info.Status.IsPending() {
		return nil, fail(classLocked, "release %q is %q at revision %d", last.Name, last.Info.Status, last.Version)
	}
	// Helm leaves what it cannot read, and forgets the release: then nobody would know what is left.
	o.secrets.mayDelete = func() *workerError {
		o.mu.Lock()
		defer o.mu.Unlock()
		return o.failedRead
	}
	u := action.NewUninstall(o.configuration())
	u.WaitStrategy = kube.HookOnlyStrategy
	u.Timeout = o.helmTimeout()
	if _, err = u.Run(o.request.Release); err != nil {
		return nil, errors.Join(append([]error{err}, o.client.deleteErrors...)...)
	}
	o.progress("applied", nil)
	return &resultMessage{Revision: last.Version, Status: "uninstalled", Chart: describe(last.Chart)}, nil
}

// render returns what an install or upgrade would apply. Templates see ".Release.IsUpgrade" as it would be, but always
// the revision 1.
func (o *operation) render() (*resultMessage, error) {
	if o.request.Verbatim {
		o.gate.judge = func([]object) *workerError { return nil }
	}
	done, err := o.dryRun()
	if err != nil {
		return nil, err
	}
	result := o.result(done)
	if rel, ok := done.(*release.Release); ok {
		result.Manifest = rel.Manifest
		for _, hook := range rel.Hooks {
			result.HookManifests = append(result.HookManifests, hook.Manifest)
		}
	}
	return result, nil
}

// dryRun renders the chart as the next revision, and writes nothing.
func (o *operation) dryRun() (releasei.Releaser, error) {
	i := action.NewInstall(o.configuration())
	i.ReleaseName = o.request.Release
	i.Namespace = o.request.Namespace
	i.DryRunStrategy = action.DryRunServer
	i.IsUpgrade = o.request.ExpectedRevision > 1
	i.SkipCRDs = true
	i.DisableOpenAPIValidation = true
	i.WaitStrategy = kube.HookOnlyStrategy
	i.PostRenderer = o.gate
	return i.Run(o.chart, o.request.values())
}

func (o *operation) judgeInstall(objects []object) *workerError {
	o.scrub.addSecrets(objects)
	if failure := checkRendered(objects, o.request); failure != nil {
		return failure
	}
	return o.judged(inherentLoss(objects, false))
}

func (o *operation) judgeUpgrade(base *release.Release, objects []object) *workerError {
	o.scrub.addSecrets(objects)
	if failure := checkRendered(objects, o.request); failure != nil {
		return failure
	}
	before, err := parseManifest(base.Manifest)
	if err != nil {
		return fail(classUnknown, "the stored manifest of revision %d is not readable", base.Version)
	}
	return o.judged(dataLoss(base.Chart.Name(), o.chart.Name(), before, objects))
}

func (o *operation) judged(losses []string) *workerError {
	if len(losses) > 0 && !o.request.AllowDataLoss {
		failure := fail(classWouldDeleteData, "%s", losses[0])
		failure.Details = losses
		return failure
	}
	o.progress("checked", nil)
	return nil
}

// noteFailedRead remembers that something could not be read; a status of 0 stands for no answer at all.
func (o *operation) noteFailedRead(status int) {
	class := classUnreachable
	if status == http.StatusForbidden || status == http.StatusUnauthorized {
		class = classForbidden
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.failedRead = fail(class, "an object of release %q could not be read, so its record stays", o.request.Release)
}

func (o *operation) result(done releasei.Releaser) *resultMessage {
	rel, ok := done.(*release.Release)
	if !ok || rel == nil {
		return nil
	}
	return &resultMessage{
		Revision: rel.Version,
		Status:   rel.Info.Status.String(),
		Chart:    describe(rel.Chart),
		Hooks:    o.gate.hooks,
	}
}

func describe(c *chartv2.Chart) *chartInfo {
	if c == nil || c.Metadata == nil {
		return nil
	}
	return &chartInfo{Name: c.Metadata.Name, Version: c.Metadata.Version, AppVersion: c.Metadata.AppVersion}
}

// values are never nil: Helm would take that for "as before".
func (r *request) values() map[string]any {
	if r.Values == nil {
		return map[string]any{}
	}
	return r.Values
}

// installLabels are those of a first revision, which inherits none.
func (r *request) installLabels() map[string]string {
	labels := maps.Clone(r.Labels)
	maps.DeleteFunc(labels, func(_, value string) bool { return value == labelRemoved })
	return labels
}

// upgradeLabels are added to those that Helm inherits from the revision before. That a release was retained ends with the
// next upgrade, unless it is said again.
func (r *request) upgradeLabels() map[string]string {
	labels := map[string]string{labelRetainedAt: labelRemoved}
	maps.Copy(labels, r.Labels)
	return labels
}
