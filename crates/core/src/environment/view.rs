//! How an environment is, in the words of its status: phase, reason, and whether it is on the way.

use odoofleet_api::conditions::Reason;
use odoofleet_api::environment::{Phase, Placement};

use super::certificate;
use super::diagnosis::Diagnosis;
use super::life::words;
use super::missing;
use super::references::hosts;
use super::status::StatusInputs;
use super::step::{Hold, HoldKind, PodPurpose, Step};
use super::validate::Validated;
use crate::finding::Finding;
use crate::task::HelmAction;

/// How an environment is.
pub(super) struct View {
    pub phase: Phase,
    pub finding: Finding,
    pub available: bool,
    pub standing: Standing,
}

/// Where an environment stands between its spec and what is there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is as its spec wants it.
    Ready,
    /// It is not, and nothing will happen by itself, though no input is wrong.
    NotReady,
    /// It is on the way.
    Progressing,
    /// It waits for somebody to change an input.
    Stalled,
    /// It has failed so often that somebody should look, and goes on trying.
    FailingOn,
}

/// Reads the view from what was decided and what the pods say.
pub(super) fn view(inputs: &StatusInputs<'_>, diagnosis: &Diagnosis) -> View {
    let spec = &inputs.facts.environment.spec;
    if inputs.facts.is_deleting() {
        return deleting(inputs, diagnosis);
    }
    if spec.placement == Some(Placement::Offline) {
        let finding = Finding::new(Reason::Offline, "runs at the customer's, out of reach");
        return View { phase: Phase::Offline, finding, available: false, standing: Standing::Ready };
    }
    if spec.paused.unwrap_or_default() {
        let (phase, finding, available) = by_pods(inputs, diagnosis);
        let finding = Finding::new(Reason::Paused, format!("paused: the operator looks away; {}", finding.message));
        return View { phase, finding, available, standing: Standing::NotReady };
    }
    match (&inputs.plan.hold, inputs.wanted) {
        (Some(hold), _) => held(inputs, diagnosis, hold),
        (None, wanted) => working(inputs, diagnosis, wanted.ok()),
    }
}

fn deleting(inputs: &StatusInputs<'_>, diagnosis: &Diagnosis) -> View {
    let (_, _, available) = by_pods(inputs, diagnosis);
    let view = |finding, standing| View { phase: Phase::Deleting, finding, available, standing };
    if let Some(hold) = &inputs.plan.hold {
        let standing = match hold.kind {
            HoldKind::NeedsPerson => Standing::Stalled,
            HoldKind::FailingOn => Standing::FailingOn,
            HoldKind::Waiting | HoldKind::Braked | HoldKind::Deferred => Standing::Progressing,
        };
        return view(hold.finding.clone(), standing);
    }
    let what = match &inputs.plan.step {
        Step::Cancel { .. } => "taking back a Helm operation that has not begun",
        Step::Scale(_) => "scaling to zero; the release and its data are kept",
        Step::Mark(_) => "noting which volume claims and passwords are the release's own",
        Step::Helm(helm) if helm.action == HelmAction::Unlock => "recovering a release that a killed Helm left pending",
        Step::Helm(_) => "Helm uninstalls the release",
        Step::Remove(_) => "removing volume claims and generated Secrets",
        Step::Retain { .. } => "the release and its data are kept; creating the environment again starts it",
        Step::Nothing
        | Step::Protect
        | Step::Reserve(_)
        | Step::Adopt { .. }
        | Step::LookForDrift { .. }
        | Step::DeletePod { .. }
        | Step::LetGo => "the object goes",
    };
    view(Finding::new(Reason::Deleting, what), Standing::Progressing)
}

/// What runs goes on; the hold is the reason why it is not what the spec wants.
fn held(inputs: &StatusInputs<'_>, diagnosis: &Diagnosis, hold: &Hold) -> View {
    let (phase, of_pods, available) = by_pods(inputs, diagnosis);
    let nothing_there = matches!(diagnosis, Diagnosis::Nothing);
    let broken = matches!(diagnosis, Diagnosis::Broken(_));
    let never_ran = nothing_there || !inputs.facts.was_ever_deployed();
    let looking = hold.finding.reason == Reason::Progressing;
    if hold.finding.reason == Reason::WorkloadMissing
        && missing::takes_down(&inputs.facts.before, &inputs.facts.running)
    {
        let finding = hold.finding.clone();
        return View { phase: Phase::Error, finding, available: false, standing: Standing::Stalled };
    }
    match hold.kind {
        HoldKind::NeedsPerson => View {
            phase: if never_ran && !looking && phase != Phase::Stopped { Phase::Error } else { phase },
            finding: if broken && !never_ran { of_pods } else { hold.finding.clone() },
            available,
            standing: if looking { Standing::Progressing } else { Standing::Stalled },
        },
        HoldKind::FailingOn => View {
            phase: if never_ran && phase != Phase::Stopped { Phase::Error } else { phase },
            finding: hold.finding.clone(),
            available,
            standing: Standing::FailingOn,
        },
        HoldKind::Waiting | HoldKind::Braked => View {
            phase: if nothing_there || (never_ran && phase == Phase::Running) { Phase::Pending } else { phase },
            finding: hold.finding.clone(),
            available,
            standing: Standing::Progressing,
        },
        HoldKind::Deferred => View {
            phase,
            finding: hold.finding.clone(),
            available,
            standing: if phase == Phase::Stopped { Standing::Ready } else { Standing::Progressing },
        },
    }
}

fn working(inputs: &StatusInputs<'_>, diagnosis: &Diagnosis, wanted: Option<&Validated>) -> View {
    let (phase, of_pods, available) = by_pods(inputs, diagnosis);
    let step = &inputs.plan.step;
    // A look for drift reads, and says nothing of where it stands.
    let settled = matches!(step, Step::Nothing | Step::LookForDrift { .. });
    let well = matches!(phase, Phase::Running | Phase::Stopped);
    let finding = under_way(step, wanted).unwrap_or(of_pods);
    let finding = match wanted.map(|wanted| (&wanted.overlay, &wanted.version.waits_for)) {
        Some((Some(overlay), _)) if phase == Phase::Stopped => overlay.clone(),
        Some((None, Some(why))) if settled && phase == Phase::Running => {
            Finding::new(Reason::WaitingForRollout, format!("runs; {}", why.text))
        }
        _ => finding,
    };
    let standing = match (settled, well) {
        (true, true) => Standing::Ready,
        (true, false) if phase == Phase::Error => Standing::NotReady,
        _ => Standing::Progressing,
    };
    // Whatever the pods say, a release that was never deployed does not run: its hooks have not done their work.
    let unfinished = phase == Phase::Running && !inputs.facts.was_ever_deployed();
    View { phase: if unfinished { Phase::Pending } else { phase }, finding, available, standing }
}

/// What a step that has just been decided does.
fn under_way(step: &Step, wanted: Option<&Validated>) -> Option<Finding> {
    match step {
        Step::Helm(helm) => {
            let (reason, what) = words(helm.action.into());
            let message = match helm.action {
                HelmAction::Check => "the change is tried in a pod of its own before it replaces what runs".to_owned(),
                HelmAction::Compare => {
                    "the release, which somebody else installed, is compared with what is wanted".to_owned()
                }
                HelmAction::Correct => "what somebody changed by hand is put right".to_owned(),
                HelmAction::Unlock => {
                    format!("recovering revision {}, which a killed Helm left pending", helm.revision)
                }
                HelmAction::Install | HelmAction::Upgrade | HelmAction::Uninstall => {
                    format!("Helm {what} revision {}", helm.revision)
                }
            };
            Some(Finding::new(reason, message))
        }
        Step::Scale(_) if wanted.is_some_and(|wanted| wanted.replicas == 0) => {
            Some(Finding::new(Reason::Stopping, "workloads are being stopped"))
        }
        Step::Scale(_) => Some(Finding::new(Reason::Starting, "workloads are being started or scaled")),
        Step::DeletePod { name, purpose: PodPurpose::Restart, .. } => {
            Some(Finding::new(Reason::Restarting, format!("pod \"{name}\" is being replaced")))
        }
        Step::Adopt { revision, .. } => Some(Finding::new(
            Reason::Comparing,
            format!("revision {revision} equals what is wanted, and is taken over"),
        )),
        Step::Nothing
        | Step::Protect
        | Step::Reserve(_)
        | Step::LookForDrift { .. }
        | Step::Cancel { .. }
        | Step::DeletePod { purpose: PodPurpose::EndCheck, .. }
        | Step::Mark(_)
        | Step::Retain { .. }
        | Step::Remove(_)
        | Step::LetGo => None,
    }
}

fn by_pods(inputs: &StatusInputs<'_>, diagnosis: &Diagnosis) -> (Phase, Finding, bool) {
    match diagnosis {
        Diagnosis::Ready => match certificates(inputs).and_then(|judged| judged.main) {
            None => (Phase::Running, Finding::new(Reason::Running, "every pod is ready"), true),
            Some(missing) if missing.reason == Reason::WaitingForCertificate => (Phase::Pending, missing, false),
            Some(wrong) => (Phase::Error, wrong, false),
        },
        Diagnosis::Stopped => {
            (Phase::Stopped, Finding::new(Reason::Stopped, "scaled to zero; set replicas to start it"), false)
        }
        Diagnosis::Waiting(finding) => (Phase::Pending, finding.clone(), false),
        Diagnosis::Broken(finding) => (Phase::Error, finding.clone(), inputs.facts.running.serves()),
        Diagnosis::Nothing if inputs.facts.history.is_empty() => {
            (Phase::Pending, Finding::new(Reason::Progressing, "nothing is installed yet"), false)
        }
        Diagnosis::Nothing => {
            (Phase::Pending, Finding::new(Reason::WaitingForPods, "the release's workloads are not there yet"), false)
        }
    }
}

/// The certificates of the hosts. The main one is the spec's; charts may name others in an Ingress.
pub(super) fn certificates(inputs: &StatusInputs<'_>) -> Option<certificate::Judgement> {
    let main = hosts(&inputs.facts.environment.spec).into_iter().next();
    certificate::judge(&inputs.facts.running.certificates, main.as_deref(), inputs.now)
}
