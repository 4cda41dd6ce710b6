package gitops

import (
	"slices"
	"strings"
	"testing"

	helm "github.com/fluxcd/helm-controller/api/v2"
	kustomize "github.com/fluxcd/kustomize-controller/api/v1"
	source "github.com/fluxcd/source-controller/api/v1"
)

// Everything in config/flux, read into Flux's own types: an unknown field is an error.
type flux struct {
	kustomizations map[string]kustomize.Kustomization
	sources        []string
	releases       []helm.HelmRelease
}

func readFlux(t *testing.T, files ...string) flux {
	t.Helper()
	all := flux{kustomizations: map[string]kustomize.Kustomization{}}
	for _, file := range files {
		for document := range strings.SplitSeq(string(read(t, config, "flux", file)), "\n---\n") {
			kind := text(object(t, []byte(document)), "kind")
			name := text(object(t, []byte(document)), "metadata", "name")
			switch kind {
			case "Kustomization":
				var one kustomize.Kustomization
				strict(t, []byte(document), &one)
				all.kustomizations[name] = one
			case "GitRepository":
				strict(t, []byte(document), &source.GitRepository{})
				all.sources = append(all.sources, kind+"/"+name)
			case "OCIRepository":
				strict(t, []byte(document), &source.OCIRepository{})
				all.sources = append(all.sources, kind+"/"+name)
			case "HelmRelease":
				var one helm.HelmRelease
				strict(t, []byte(document), &one)
				all.releases = append(all.releases, one)
			default:
				t.Errorf("%s holds a %q", file, kind)
			}
		}
	}
	return all
}

func TestFluxWaitsForEachStep(t *testing.T) {
	all := readFlux(t, "source.yaml", "operator.yaml", "fleet.yaml")
	order := []string{}
	for name := "environments"; ; {
		one, ok := all.kustomizations[name]
		if !ok {
			t.Fatalf("there is no Kustomization %q", name)
		}
		if !one.Spec.Wait || one.Spec.Timeout == nil {
			t.Errorf("%q does not wait for what it applies", name)
		}
		if from := one.Spec.SourceRef; !slices.Contains(all.sources, from.Kind+"/"+from.Name) {
			t.Errorf("%q is taken from %s, which is not there", name, from.Name)
		}
		order = append(order, name)
		if len(one.Spec.DependsOn) == 0 {
			break
		}
		name = one.Spec.DependsOn[0].Name
	}
	if !slices.Equal(order, []string{"environments", "customers", "templates", "odoofleet"}) {
		t.Errorf("the order is %v", order)
	}
	if all.kustomizations["odoofleet"].Spec.Prune {
		t.Error("the CRDs can be pruned, and with them every object")
	}
}

func TestTheHelmReleaseInstallsTheChartOfItsSource(t *testing.T) {
	all := readFlux(t, "operator-helm.yaml")
	for _, release := range all.releases {
		if ref := release.Spec.ChartRef; !slices.Contains(all.sources, ref.Kind+"/"+ref.Name) {
			t.Errorf("the chart comes from %s/%s, which is not there", ref.Kind, ref.Name)
		}
		if release.Spec.TargetNamespace != "odoofleet-system" || release.Spec.ReleaseName != "odoofleet" {
			t.Errorf("it installs %s into %s", release.Spec.ReleaseName, release.Spec.TargetNamespace)
		}
	}
	if len(all.releases) != 1 {
		t.Errorf("there are %d HelmReleases", len(all.releases))
	}
}
