//! From facts to a decision, for life and for deletion.

use jiff::Timestamp;
use odoofleet_api::environment::{Action, OdooEnvironmentStatus};

use super::facts::Facts;
use super::operation::{Known, OperationState, state_of};
use super::references::unreserved;
use super::status::{StatusInputs, derive};
use super::step::{Decision, Plan, PodPurpose, Record, Step};
use super::validate::{Validated, validate};
use super::{adoption, certificate, deletion, history, life, restart};
use crate::finding::Finding;

/// Decides what is done about an environment now, what is told of it, and when it has to be looked at again.
pub fn decide(facts: &Facts, now: Timestamp) -> Decision {
    let wanted = validate(&facts.environment, &facts.references);
    let mut status = facts.before.clone();
    let operation = settle(facts, &mut status, wanted.as_ref().ok(), now);
    let look = Look { facts, status: &status, operation: operation.as_ref(), now };
    let mut notices = Vec::new();
    let plan = if facts.is_deleting() {
        deletion::plan(&look)
    } else if facts.is_left_alone() {
        Plan::nothing()
    } else if !facts.is_protected() {
        Plan::step(Step::Protect)
    } else if let Some(secrets) = unreserved(&facts.environment, &facts.references) {
        Plan::step(Step::Reserve(secrets))
    } else {
        let mut noted = status.clone();
        let stop_plan = wanted.as_ref().map_or(&facts.held_plan, |wanted| &wanted.stop_plan);
        notices.extend(restart::note(&facts.environment, &mut noted, &facts.running, stop_plan));
        adoption::note(&mut noted, facts, wanted.as_ref().ok(), now);
        let plan = life::plan(&Look { status: &noted, ..look }, wanted.as_ref());
        status = noted;
        plan
    };
    if let (Some(failure), Ok(wanted)) = (&plan.failure, &wanted) {
        history::count(&mut status, failure, &wanted.inputs, now);
    }
    let record = record(&plan.step, facts.generation());
    note(&mut status, record.as_ref(), now);
    let status = derive(&StatusInputs { facts, status: &status, wanted: wanted.as_ref(), plan: &plan, now });
    let turn = wanted.as_ref().ok().and_then(|wanted| wanted.version.waits_for.as_ref()?.until);
    let wake_at = earliest([plan.wake_at, certificate::next_change(&facts.running.certificates, now), turn]);
    Decision { step: plan.step, status, wake_at, record, notices }
}

/// What one look sees, with the recorded operation settled.
#[derive(Clone, Copy)]
pub(super) struct Look<'a> {
    pub facts: &'a Facts,
    /// The last status, after what is over was taken into its history.
    pub status: &'a OdooEnvironmentStatus,
    /// The operation that stood in the status.
    pub operation: Option<&'a OperationState>,
    pub now: Timestamp,
}

/// Judges the recorded operation, and takes it into the history when it is over.
fn settle(
    facts: &Facts,
    status: &mut OdooEnvironmentStatus,
    wanted: Option<&Validated>,
    now: Timestamp,
) -> Option<OperationState> {
    let operation = status.operation.clone()?;
    let known = Known {
        history: &facts.history,
        task: facts.task.as_ref(),
        evidence: facts.evidence.as_ref(),
        fence: facts.fence,
    };
    let state = state_of(&operation, known, now);
    // A failure counts for what was tried, not for what is wanted meanwhile.
    let tried = facts.evidence.as_ref().filter(|evidence| evidence.operation == operation.id);
    let inputs = match (operation.action, tried) {
        (Action::Uninstall, _) => deletion::INPUTS,
        (Action::Unlock, _) => life::UNLOCK,
        (_, Some(evidence)) => &evidence.inputs,
        (_, None) => wanted.map_or("", |wanted| &wanted.inputs),
    };
    if let Some(operation) = &mut status.operation {
        // What another process has begun stays begun.
        match state {
            OperationState::Queued => operation.queued = Some(true),
            OperationState::Running => operation.queued = None,
            _ => {}
        }
    }
    let shown = tried.and_then(|evidence| evidence.result.as_ref().ok()?.compared.as_deref());
    if let (Action::Compare, Some(compared)) = (operation.action, shown) {
        adoption::take(status, compared, inputs, now);
    }
    history::settle(status, &state, inputs, now);
    Some(state)
}

fn record(step: &Step, generation: i64) -> Option<Record> {
    let (action, revision) = match step {
        Step::Helm(helm) => (helm.action.into(), Some(helm.revision)),
        Step::Scale(scaling) => (history::action_of(scaling.direction)?, None),
        Step::Adopt { revision, .. } => (Action::Adopt, Some(*revision)),
        Step::DeletePod { purpose: PodPurpose::Restart, .. } => (Action::Restart, None),
        Step::Retain { .. } => (Action::Retain, None),
        Step::Remove(_) => (Action::RemoveData, None),
        Step::Nothing
        | Step::Protect
        | Step::Reserve(_)
        | Step::LookForDrift { .. }
        | Step::Cancel { .. }
        | Step::DeletePod { purpose: PodPurpose::EndCheck, .. }
        | Step::Mark(_)
        | Step::LetGo => return None,
    };
    Some(Record { action, generation, revision })
}

/// Stops, starts and restarts stand in the history from their first step on; Helm operations when they are over.
fn note(status: &mut OdooEnvironmentStatus, record: Option<&Record>, now: Timestamp) {
    if let Some(record) =
        record.filter(|record| matches!(record.action, Action::Stop | Action::Start | Action::Restart | Action::Adopt))
    {
        history::note(status, record.action, record.generation, now);
    }
}

fn earliest(moments: impl IntoIterator<Item = Option<Timestamp>>) -> Option<Timestamp> {
    moments.into_iter().flatten().min()
}

/// A finding in place of the step that was chosen: it could not be prepared.
impl Facts {
    /// The same facts with what kept the step from being carried out.
    #[must_use]
    pub fn with_obstacle(self, obstacle: Finding) -> Self {
        Self { obstacle: Some(obstacle), ..self }
    }
}
