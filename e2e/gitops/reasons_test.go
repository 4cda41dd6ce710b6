package gitops

import (
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
)

// What both tools make of an object whose Ready has a reason, whatever its other conditions are.
func TestWhatAReasonIsInFluxAndInArgoCD(t *testing.T) {
	rows := []struct {
		kind, reason string
		flux         status.Status
		argo         string
	}{
		{"OdooEnvironment", "Stopped", status.CurrentStatus, "Suspended"},
		{"OdooEnvironment", "CustomerSuspended", status.CurrentStatus, "Suspended"},
		{"OdooEnvironment", "UpgradeAtStart", status.CurrentStatus, "Suspended"},
		{"OdooEnvironment", "Offline", status.CurrentStatus, "Healthy"},
		{"OdooEnvironment", "WaitingForRollout", status.CurrentStatus, "Healthy"},
		{"OdooEnvironment", "Paused", status.InProgressStatus, "Suspended"},
		{"OdooEnvironment", "Installing", status.InProgressStatus, "Progressing"},
		{"OdooEnvironment", "Upgrading", status.InProgressStatus, "Progressing"},
		{"OdooEnvironment", "Checking", status.InProgressStatus, "Progressing"},
		{"OdooEnvironment", "Unlocking", status.InProgressStatus, "Progressing"},
		{"OdooEnvironment", "ForeignOperation", status.InProgressStatus, "Progressing"},
		{"OdooEnvironment", "HeldByBrake", status.InProgressStatus, "Progressing"},
		{"OdooEnvironment", "Starting", status.InProgressStatus, "Progressing"},
		{"OdooEnvironment", "Stopping", status.InProgressStatus, "Progressing"},
		{"OdooEnvironment", "Restarting", status.InProgressStatus, "Progressing"},
		{"OdooEnvironment", "WaitingForDatabase", status.InProgressStatus, "Progressing"},
		{"OdooEnvironment", "WaitingForPods", status.InProgressStatus, "Progressing"},
		{"OdooEnvironment", "WaitingForCertificate", status.InProgressStatus, "Progressing"},
		{"OdooEnvironment", "Unschedulable", status.InProgressStatus, "Progressing"},
		// Kubernetes tries again by itself; a person should look all the same.
		{"OdooEnvironment", "CrashLoop", status.InProgressStatus, "Degraded"},
		{"OdooEnvironment", "OutOfMemory", status.InProgressStatus, "Degraded"},
		{"OdooEnvironment", "PodsRefused", status.InProgressStatus, "Degraded"},
		{"OdooEnvironment", "CertificateExpired", status.InProgressStatus, "Degraded"},
		{"OdooEnvironment", "VersionNotFound", status.FailedStatus, "Degraded"},
		{"OdooEnvironment", "CustomerNotFound", status.FailedStatus, "Degraded"},
		{"OdooEnvironment", "SecretMissing", status.FailedStatus, "Degraded"},
		{"OdooEnvironment", "WorkloadMissing", status.FailedStatus, "Degraded"},
		{"OdooEnvironment", "AdoptionPending", status.FailedStatus, "Degraded"},
		{"OdooEnvironment", "ReleaseOwnedByAnother", status.FailedStatus, "Degraded"},
		{"OdooEnvironment", "InvalidObject", status.FailedStatus, "Degraded"},
		{"OdooCustomer", "Accepted", status.CurrentStatus, "Healthy"},
		{"OdooCustomer", "CustomerSuspended", status.CurrentStatus, "Healthy"},
		{"OdooCustomer", "Paused", status.CurrentStatus, "Suspended"},
		{"OdooCustomer", "InvalidSpec", status.FailedStatus, "Degraded"},
		{"OdooTemplate", "Accepted", status.CurrentStatus, "Healthy"},
		{"OdooTemplate", "Paused", status.CurrentStatus, "Suspended"},
		{"OdooTemplate", "Progressing", status.InProgressStatus, "Progressing"},
		{"OdooTemplate", "ChartUnavailable", status.InProgressStatus, "Progressing"},
		{"OdooTemplate", "ChartInvalid", status.FailedStatus, "Degraded"},
		{"OdooTemplate", "VersionContentChanged", status.FailedStatus, "Degraded"},
	}
	all := told(t)
	for _, row := range rows {
		found := 0
		for _, one := range all {
			if one.Object["kind"] != row.kind || deleted(one.Object) || readyReason(one.Object) != row.reason {
				continue
			}
			found++
			if is := kstatus(t, one.Object); is != row.flux {
				t.Errorf("%s %s (%q) is %s in Flux, not %s", row.kind, row.reason, one.Name, is, row.flux)
			}
			if is := healthOf(t, healthScript(t, one.Object), one.Object).Status; is != row.argo {
				t.Errorf("%s %s (%q) is %s in Argo CD, not %s", row.kind, row.reason, one.Name, is, row.argo)
			}
		}
		if found == 0 {
			t.Errorf("no %s is %s", row.kind, row.reason)
		}
	}
}

func TestWhatIsBeingDeletedIsOnItsWay(t *testing.T) {
	found := map[string]int{}
	for _, one := range told(t) {
		if !deleted(one.Object) {
			continue
		}
		found[one.Object["kind"].(string)]++
		flux, argo := kstatus(t, one.Object), healthOf(t, healthScript(t, one.Object), one.Object).Status
		if flux != status.TerminatingStatus || argo != "Progressing" {
			t.Errorf("%q is %s in Flux and %s in Argo CD", one.Name, flux, argo)
		}
	}
	if len(found) != 3 {
		t.Errorf("only of %v something is being deleted", found)
	}
}
