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

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/common"
	chartv2 "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/kube"
	release "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage"
	"helm.sh/helm/v4/pkg/storage/driver"
)

const (
	helmModule = "helm.sh/helm/v4"
	// maxHistory is how many revisions stay: with one, Helm would remove the deployed one's record before it knows how the next
	// one ends.
	maxHistory      = 2
	labelRetainedAt = "odoofleet.dev/retained-at"
	labelRemoved    = "null" // how Helm is told that an inherited label goes
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
	progress func(stage string, counted *hooks)

	getter *getter
	// trying is a getter whose writes the API server only tries.
	trying  *getter
	secrets *releaseSecrets
	records *records
	store   *storage.Storage
	client  *client
	clients kubernetes.Interface
	gate    *gate
	read    documents
	chart   *chartv2.Chart

	// before and after are the objects of the base revision and those that are rendered, where there are both.
	before, after map[string]object

	scrub         scrubber
	lookupRefused atomic.Bool
	// recorded is set once the record of the new revision is stored.
	recorded   atomic.Bool
	mu         sync.Mutex
	failedRead *workerError
}

// run does one operation from beginning to end.
func (c *cluster) run(r *request, p *permit, progress func(string, *hooks)) (*success, *workerError) {
	if err := r.validate(c.namespace); err != nil {
		return nil, fail(classInvalidRequest, "%s", err)
	}
	o := &operation{request: r, permit: p, progress: progress}
	if r.Inputs != nil {
		o.scrub = newScrubber(r.Values)
	}
	if err := o.prepare(c); err != nil {
		return nil, o.classify(err)
	}
	done, err := o.act(context.Background())
	if err == nil {
		return done, nil
	}
	c.kinds.forget()
	if !o.recorded.Load() && o.secrets.isOvertaken(context.Background()) {
		// Whatever was found on the way was found of a revision that is not the newest.
		err = driver.ErrReleaseExists
	}
	return nil, o.classify(err)
}

func (o *operation) act(ctx context.Context) (*success, error) {
	switch o.request.Action {
	case actionInstall:
		return o.install()
	case actionUpgrade:
		return o.upgrade()
	case actionCheck:
		return o.check(ctx)
	case actionRender:
		return o.render()
	case actionDiff:
		return o.diff()
	case actionCompare:
		return o.compareRecord(ctx)
	case actionDrift:
		return o.drift(ctx)
	case actionUnlock:
		return o.unlock(ctx)
	case actionUninstall:
		return o.uninstall()
	}
	return nil, fail(classInvalidRequest, "action %q is unknown", o.request.Action)
}

func (o *operation) prepare(c *cluster) error {
	r := o.request
	c.kinds.begin()
	rules := guard{
		permit:     o.permit,
		userAgent:  c.setOperation(r.ID),
		keepData:   r.makesRevision() && !r.AllowDataLoss,
		failedRead: o.noteFailedRead,
	}
	o.getter = c.getter(rules)
	rules.dryRun = true
	o.trying = c.getter(rules)
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
		mayCreate:       r.makesRevision(),
		created: func() {
			o.recorded.Store(true)
			o.progress(stageRecorded, nil)
		},
	}
	o.records = newRecords(o.secrets)
	o.store = storage.Init(o.records)
	o.client = o.newClient(o.getter)
	o.client.applied = func(kube.ResourceList) error {
		o.progress(stageApplied, nil)
		return nil
	}
	o.gate = &gate{
		request: r,
		judge:   o.judgeInstall,
		passed:  func(counted hooks) { o.progress(stageRendered, &counted) },
	}
	if !r.rendersChart() {
		return nil
	}
	loaded, failure := loadChart(r.Chart.Path, r.Chart.SHA256)
	if failure != nil {
		return failure
	}
	o.chart = loaded
	o.progress(stageLoaded, nil)
	return nil
}

func (o *operation) newClient(g *getter) *client {
	c := &client{Client: kube.New(g), request: o.request, read: &o.read, applied: func(kube.ResourceList) error { return nil }}
	c.Namespace = o.request.Namespace
	c.SetLogger(slog.DiscardHandler)
	return c
}

// configuration is fresh for each operation: Helm keeps capabilities and more in it.
func (o *operation) configuration() *action.Configuration {
	c := action.NewConfiguration(action.ConfigurationSetLogger(slog.DiscardHandler))
	c.RESTClientGetter = &renderGetter{getter: o.getter, release: o.request.Release, refused: &o.lookupRefused}
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
	if found == newest {
		return rel, nil
	}
	// Helm passes over a record that it cannot read, as if it were not there.
	name := secretName(o.request.Release, newest)
	if _, err := o.secrets.Get(context.Background(), name, metav1.GetOptions{}); err == nil && found < newest {
		return nil, unreadable(name, newest, errors.New("Helm does not understand it"))
	}
	if found == 0 {
		return nil, fail(classNotFound, "release %q has no revision %d", o.request.Release, newest)
	}
	return nil, fail(classStaleRevision, "release %q is at revision %d, not %d", o.request.Release, found, newest)
}

func (o *operation) install() (*success, error) {
	last, err := o.expect(o.request.ExpectedRevision - 1)
	if err != nil {
		return nil, err
	}
	o.client.untouched = newUntouched(nil, nil, nil)
	o.secrets.annotate = o.client.untouched.annotate
	i := action.NewInstall(o.configuration())
	if last != nil {
		if err := o.installAgain(i, last); err != nil {
			return nil, err
		}
	}
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
	if _, err := i.Run(o.chart, o.request.values()); err != nil {
		return nil, err
	}
	return o.rendered(), nil
}

func (o *operation) upgrade() (*success, error) {
	last, base, err := o.lastAndBase()
	if err != nil {
		return nil, err
	}
	o.gate.judge = func(objects []object) *workerError { return o.judgeUpgrade(base, objects) }
	o.client.untouched = newUntouched(o.request.Seen, base, o.secrets.stored(secretName(base.Name, base.Version)))
	o.secrets.annotate = o.client.untouched.annotate
	serverSide := last.ApplyMethod == string(release.ApplyMethodServerSideApply)
	o.records.before = func(next *release.Release) error { return o.tryUpgrade(last, base, next, serverSide) }
	u := action.NewUpgrade(o.configuration())
	u.Namespace = o.request.Namespace
	u.ServerSideApply = "auto"
	u.ForceConflicts = serverSide
	u.SkipCRDs = true
	u.DisableOpenAPIValidation = true
	u.WaitStrategy = kube.HookOnlyStrategy
	u.Timeout = o.helmTimeout()
	u.ResetValues = true
	u.Labels = o.request.upgradeLabels()
	u.PostRenderer = o.gate
	if _, err := u.Run(o.request.Release, o.chart, o.request.values()); err != nil {
		return nil, err
	}
	return o.rendered(), nil
}

// lastAndBase are the newest revision, which the request expects, and the one whose objects Helm takes as the present ones: the
// deployed one, or else the newest. Before the first revision there is neither.
func (o *operation) lastAndBase() (last, base *release.Release, err error) {
	last, err = o.expect(o.request.ExpectedRevision - 1)
	if err != nil || last == nil {
		return nil, nil, err
	}
	deployed, err := o.store.Deployed(o.request.Release)
	if errors.Is(err, driver.ErrNoDeployedReleases) {
		return last, last, nil
	}
	if err != nil {
		return nil, nil, err
	}
	base, _ = deployed.(*release.Release)
	return last, base, nil
}

func (o *operation) uninstall() (*success, error) {
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
	o.progress(stageApplied, nil)
	return &success{}, nil
}

func (o *operation) judgeInstall(objects []object) *workerError {
	o.scrub.addSecrets(objects)
	if failure := checkRendered(objects, o.request); failure != nil {
		return failure
	}
	return o.judged(inherentLoss(objects, false))
}

func (o *operation) judgeUpgrade(base *release.Release, objects []object) *workerError {
	before, failure := manifestOf(base)
	if failure != nil {
		return failure
	}
	return o.judgeChange(base.Chart.Name(), before, objects)
}

// judgeChange judges what would take the place of other objects.
func (o *operation) judgeChange(oldChart string, before, after []object) *workerError {
	o.scrub.addSecrets(after)
	if failure := checkRendered(after, o.request); failure != nil {
		return failure
	}
	o.before, o.after = index(before), index(after)
	return o.judged(dataLoss(oldChart, o.chart.Name(), before, after, o.request.Action != actionInstall))
}

func manifestOf(rel *release.Release) ([]object, *workerError) {
	objects, err := parseManifest(rel.Manifest)
	if err != nil {
		return nil, unreadable(secretName(rel.Name, rel.Version), rel.Version, errors.New("its manifest is not valid YAML"))
	}
	return objects, nil
}

func (o *operation) judged(losses []string) *workerError {
	if len(losses) > 0 && !o.request.AllowDataLoss {
		failure := fail(classWouldDeleteData, "%s", losses[0])
		failure.Details = losses
		return failure
	}
	o.progress(stageChecked, nil)
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

// rendered is the success of whatever rendered the chart.
func (o *operation) rendered() *success { return &success{Hooks: o.gate.hooks} }

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
