package gitops

import (
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// What Flux, and every other tool that reads kstatus, takes an object for.
func kstatus(t *testing.T, object map[string]any) status.Status {
	t.Helper()
	result, err := status.Compute(&unstructured.Unstructured{Object: object})
	if err != nil {
		t.Fatal(err)
	}
	return result.Status
}

// What it should be taken for, by its conditions alone.
func expected(object map[string]any) status.Status {
	switch {
	case deleted(object):
		return status.TerminatingStatus
	case condition(object, "Reconciling") == "True":
		return status.InProgressStatus
	case condition(object, "Stalled") == "True":
		return status.FailedStatus
	case condition(object, "Ready") == "True":
		return status.CurrentStatus
	default:
		return status.InProgressStatus
	}
}

func TestKstatusUnderstandsEveryState(t *testing.T) {
	for _, one := range told(t) {
		if found := kstatus(t, one.Object); found != expected(one.Object) {
			t.Errorf("%s %q is %s, not %s", one.Object["kind"], one.Name, found, expected(one.Object))
		}
	}
}

func TestAStoppedEnvironmentIsCurrentAndOneThatRunsWellToo(t *testing.T) {
	found := map[string]int{}
	for _, one := range told(t) {
		phase := text(one.Object, "status", "phase")
		if one.Object["kind"] != "OdooEnvironment" || deleted(one.Object) || phase != text(one.Object, "status", "reason") {
			continue
		}
		// The reason is the phase's own name: nothing is wrong, and nothing on the way but what nobody notices.
		if condition(one.Object, "Reconciling") == "True" {
			continue
		}
		found[phase]++
		if is := kstatus(t, one.Object); is != status.CurrentStatus {
			t.Errorf("%q is %s", one.Name, is)
		}
	}
	for _, phase := range []string{"Running", "Stopped", "Offline"} {
		if found[phase] == 0 {
			t.Errorf("no environment is %s", phase)
		}
	}
}

func TestNothingIsCurrentBeforeTheOperatorHasLookedAtIt(t *testing.T) {
	for _, one := range told(t) {
		if deleted(one.Object) {
			continue
		}
		// The CRDs' default, which the API server writes into each new object.
		fresh := object(t, []byte(plain(t, one.Object)))
		fresh["status"] = map[string]any{"observedGeneration": int64(-1)}
		if is := kstatus(t, fresh); is != status.InProgressStatus {
			t.Errorf("a new %s is %s", fresh["kind"], is)
		}
		// An edit that the operator has not seen.
		edited := object(t, []byte(plain(t, one.Object)))
		edited["metadata"].(map[string]any)["generation"] = int64(4)
		if is := kstatus(t, edited); is != status.InProgressStatus {
			t.Errorf("%q is %s after an edit that nobody has seen", one.Name, is)
		}
	}
}

func TestTheCRDsSayThatNobodyHasLooked(t *testing.T) {
	for _, plural := range []string{"odoocustomers", "odootemplates", "odooenvironments"} {
		crd := manifest(t, config, "crd", plural+".odoofleet.dev.yaml")
		versions, _, _ := unstructured.NestedSlice(crd, "spec", "versions")
		for _, version := range versions {
			found, _, _ := unstructured.NestedInt64(version.(map[string]any),
				"schema", "openAPIV3Schema", "properties", "status", "default", "observedGeneration")
			if found != -1 {
				t.Errorf("%s: the default of status.observedGeneration is %d", plural, found)
			}
		}
	}
}
