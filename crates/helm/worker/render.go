package main

import (
	"errors"
	"io"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"helm.sh/helm/v4/pkg/action"
	chartv2 "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/kube"
	release "helm.sh/helm/v4/pkg/release/v1"
)

// render tells whether a chart can be rendered at all, before any environment has it. What only an environment brings is not
// there yet, so neither the schema nor the rules about names are asked.
func (o *operation) render() (*success, error) {
	o.gate.judge = func(objects []object) *workerError {
		o.scrub.addSecrets(objects)
		objects = released(objects)
		if failure := checkKinds(objects, o.request); failure != nil {
			return failure
		}
		// Stand-ins of its own say where what Secrets feed goes.
		if failure := checkFed(objects, o.request); failure != nil {
			return failure
		}
		return o.checkScopes(objects)
	}
	if err := o.renderOnly(o.chart, o.gate); err != nil {
		return nil, err
	}
	return o.rendered(), nil
}

// checkScopes refuses what belongs to no namespace, as far as the cluster serves the kind already.
func (o *operation) checkScopes(objects []object) *workerError {
	mapper, err := o.getter.ToRESTMapper()
	if err != nil {
		return o.classify(err)
	}
	for _, one := range objects {
		kind := schema.FromAPIVersionAndKind(one.GetAPIVersion(), one.GetKind())
		mapping, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
		if meta.IsNoMatchError(err) {
			continue
		}
		if err != nil {
			return o.classify(err)
		}
		if mapping.Scope.Name() != meta.RESTScopeNameNamespace {
			return fail(classKindNotAllowed, "%s %s", one.quoted(), notNamespaced(one))
		}
	}
	return nil
}

// renderOnly renders a chart as a first revision, and asks the cluster for its capabilities alone.
func (o *operation) renderOnly(c *chartv2.Chart, g *gate) error {
	configuration := o.configuration()
	configuration.KubeClient = renderer{o.client}
	i := o.dryInstall(configuration, g)
	i.SkipSchemaValidation = true
	_, err := i.Run(c, o.request.values())
	return err
}

// renderer takes no interest in what was rendered: the gate has it.
type renderer struct{ *client }

func (renderer) Build(io.Reader, bool) (kube.ResourceList, error) { return nil, nil }

// dryRun renders the chart as the next revision, and writes nothing. Templates see ".Release.IsUpgrade" as it would be, but
// always the revision 1.
func (o *operation) dryRun() (*release.Release, error) {
	i := o.dryInstall(o.configuration(), o.gate)
	i.IsUpgrade = o.request.ExpectedRevision > 1
	done, err := i.Run(o.chart, o.request.values())
	if err != nil {
		return nil, err
	}
	rel, ok := done.(*release.Release)
	if !ok {
		return nil, errors.New("Helm renders another sort of release")
	}
	return rel, nil
}

func (o *operation) dryInstall(configuration *action.Configuration, g *gate) *action.Install {
	i := action.NewInstall(configuration)
	i.ReleaseName = o.request.Release
	i.Namespace = o.request.Namespace
	i.DryRunStrategy = action.DryRunServer
	i.SkipCRDs = true
	i.DisableOpenAPIValidation = true
	i.WaitStrategy = kube.HookOnlyStrategy
	i.PostRenderer = g
	return i
}
