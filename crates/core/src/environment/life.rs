//! The plan for an environment that lives: from what is wanted and what is observed to the one next step.

use std::time::Duration;

use jiff::Timestamp;
use odoofleet_api::conditions::Reason;
use odoofleet_api::environment::{Action, Failures, Operation};
use odoofleet_api::labels;
use odoofleet_api::template::WorkloadRole;

use super::adoption;
use super::check::{self, First};
use super::decide::Look;
use super::diagnosis::{Diagnosis, diagnose};
use super::drift;
use super::missing::{self, Missing};
use super::operation::OperationState;
use super::restart::{self, RestartStep};
use super::scaling;
use super::step::{HelmStep, HoldKind, Plan, PodPurpose, Step};
use super::validate::{Validated, effective_replicas};
use crate::digest;
use crate::finding::Finding;
use crate::release::{ReleaseState, Revision};
use crate::task::{Failure, HelmAction};
use crate::template::StopPlan;

/// First pause after a failure; it doubles up to [`LAST_BACKOFF`].
const FIRST_BACKOFF: Duration = Duration::from_secs(10);
/// Longest pause after a failure.
const LAST_BACKOFF: Duration = Duration::from_mins(15);
/// From so many failures in a row on, the condition `Stalled` says so.
pub const STALLED_FAILURES: i32 = 3;
/// What no other try could pass is tried again so seldom: what was mended is not always something that is watched.
pub(super) const TERMINAL_PAUSE: Duration = Duration::from_hours(1);
/// Stands for the inputs of an unlock, which has none: what made an upgrade fail does not keep its release locked.
pub(super) const UNLOCK: &str = "unlock";
/// How soon what is in the way is looked for again, where no watch tells that it is gone.
pub(super) const OBSTACLE_PAUSE: Duration = Duration::from_mins(1);
/// So many edits during one operation are no person's.
const STORM: i64 = 10;
/// After such an operation the next one waits for so long.
const STORM_PAUSE: Duration = Duration::from_secs(10);
/// How long another Helm may hold a release, from the creation of its pending revision.
pub const FOREIGN_LOCK_GRACE: Duration = Duration::from_mins(15);

/// Plans the next step.
pub(super) fn plan(look: &Look<'_>, wanted: Result<&Validated, &Finding>) -> Plan {
    match wanted {
        Ok(wanted) => wanted_plan(&Life { look, wanted }),
        Err(finding) => refused(look, finding),
    }
}

pub(super) struct Life<'a> {
    pub(super) look: &'a Look<'a>,
    pub(super) wanted: &'a Validated,
}

/// What is wanted is not known. What runs can be stopped all the same, and what was stopped can be started again: that needs
/// names and the plan of what the release holds, and nothing of what is wrong.
fn refused(look: &Look<'_>, finding: &Finding) -> Plan {
    let facts = look.facts;
    let environment = &facts.environment;
    // No watch tells that a chart can be loaded again.
    let again = (finding.reason == Reason::ChartUnavailable).then(|| look.now + OBSTACLE_PAUSE);
    let hold = Plan::hold(HoldKind::NeedsPerson, finding.clone(), again);
    let ours = facts.history.newest().is_some_and(|newest| newest.ownership.belongs_to_environment(environment));
    if !ours {
        return hold;
    }
    let replicas = match &facts.references.customer {
        Some(customer) => effective_replicas(&environment.spec, customer).0,
        None if environment.spec.replicas == 0 => 0,
        // It may be the customer that has stopped it.
        None => return hold,
    };
    let open = look.operation.is_some_and(OperationState::is_open);
    if replicas > 0 && open {
        return hold;
    }
    power(look, replicas, &facts.held_plan, hold)
}

/// Stops, or wakes what ran, whatever else is in the way.
fn power(look: &Look<'_>, replicas: i32, plan: &StopPlan, otherwise: Plan) -> Plan {
    let running = &look.facts.running;
    if replicas > 0 && adoption::stays_asleep(look.status) {
        return otherwise;
    }
    let Some(scaling) = scaling::next(replicas, running, plan) else { return otherwise };
    match &look.facts.brake {
        Some(brake) if replicas == 0 => Plan::hold(HoldKind::Braked, brake.finding.clone(), Some(brake.until)),
        _ => otherwise.with(Some(Step::Scale(scaling))),
    }
}

fn wanted_plan(life: &Life<'_>) -> Plan {
    if let Some(plan) = life.unfinished() {
        return plan;
    }
    let Life { look, wanted } = life;
    let history = &look.facts.history;
    let next = history.newest().map_or(1, |newest| newest.number + 1);
    match ReleaseState::of(history, &wanted.claim()) {
        ReleaseState::Absent => life.install(),
        ReleaseState::Foreign => adoption::plan(life, next),
        ReleaseState::OwnedByAnother { customer, environment } => Plan::refuse(Finding::new(
            Reason::ReleaseOwnedByAnother,
            format!(
                "release \"{}\" belongs to environment \"{environment}\" of customer \"{customer}\": choose another serviceName",
                wanted.release
            ),
        )),
        ReleaseState::Uninstalling => life.stop_first().unwrap_or_else(|| {
            let message = format!(
                "somebody is uninstalling release \"{0}\": finish it with helm uninstall {0}, then it is installed again",
                wanted.release
            );
            Plan::refuse(Finding::new(Reason::HelmFailed, message))
        }),
        ReleaseState::Locked => life.stop_first().unwrap_or_else(|| life.locked()),
        ReleaseState::Current | ReleaseState::ChangedByHand { spec_changed: false } => {
            life.problem().unwrap_or_else(|| life.settled(next))
        }
        ReleaseState::Outdated | ReleaseState::Failed | ReleaseState::ChangedByHand { spec_changed: true } => {
            life.problem().or_else(|| life.stop_first()).unwrap_or_else(|| life.upgrade(next))
        }
    }
}

impl Life<'_> {
    /// The plan of what the release holds: of what is wanted once it is deployed, or where nobody has told yet what it holds, as of a
    /// retained one whose environment is created again.
    fn stop_plan(&self) -> &StopPlan {
        let facts = self.look.facts;
        match ReleaseState::of(&facts.history, &self.wanted.claim()) {
            // Nobody here knows by which version a release was made that somebody else installed.
            ReleaseState::Current | ReleaseState::Foreign => &self.wanted.stop_plan,
            _ if facts.before.template.is_none() => &self.wanted.stop_plan,
            _ => &facts.held_plan,
        }
    }

    /// An operation that is not over keeps everything but a stop waiting.
    fn unfinished(&self) -> Option<Plan> {
        let operation = self.look.facts.before.operation.as_ref()?;
        let state = self.look.operation.filter(|state| state.is_open())?;
        // It was built with the number of pods that ran then, and would start them again; or a rollout brought it, and since then
        // a person has asked for something, who does not wait behind all others of the rollout.
        let takes_back = self.wanted.replicas == 0 || (self.is_edited_since(operation) && !self.is_by_person());
        if *state == OperationState::Queued && takes_back {
            return Some(Plan::step(Step::Cancel { operation: operation.id.clone() }));
        }
        if let Some(stop) = self.stop_first() {
            return Some(stop);
        }
        let (reason, what) = words(operation.action);
        let revision = operation.expected_revision;
        let (message, until) = match state {
            OperationState::Queued => (format!("waits for a free Helm worker, which {what} revision {revision}"), None),
            OperationState::MayWriteUntil(until) => (
                format!("another operator's Helm worker {what} revision {revision}; it is waited for until {until:.0}"),
                Some(*until),
            ),
            _ => (format!("Helm {what} revision {revision} since {:.0}", operation.started_at.0), None),
        };
        Some(Plan::wait(Finding::new(reason, message), until))
    }

    fn is_edited_since(&self, operation: &Operation) -> bool {
        operation.generation != self.look.facts.generation()
    }

    fn is_by_person(&self) -> bool {
        self.look.facts.task.as_ref().is_none_or(|task| task.by_person)
    }

    /// Stops, or wakes what ran.
    pub(super) fn power(&self, replicas: i32, otherwise: Plan) -> Plan {
        let facts = self.look.facts;
        let foreign = ReleaseState::of(&facts.history, &self.wanted.claim()) == ReleaseState::Foreign;
        if foreign && !adoption::may_power(self.look, replicas, self.stop_plan()) {
            return otherwise;
        }
        power(self.look, replicas, self.stop_plan(), otherwise)
    }

    /// A stop does not wait for Helm.
    pub(super) fn stop_first(&self) -> Option<Plan> {
        if self.wanted.replicas > 0 {
            return None;
        }
        let plan = self.power(0, Plan::nothing());
        (plan != Plan::nothing()).then_some(plan)
    }

    /// What is in the way although the spec is valid. Stopping, and waking what ran, goes on.
    pub(super) fn problem(&self) -> Option<Plan> {
        let facts = self.look.facts;
        let unshared = self.unshared_volume();
        let finding = facts.obstacle.clone().or_else(|| self.lost_secret()).or_else(|| unshared.clone())?;
        let replicas = if unshared.is_some() { self.wanted.replicas.min(1) } else { self.wanted.replicas };
        let again = facts.obstacle.as_ref().map(|_| self.look.now + OBSTACLE_PAUSE);
        let hold = Plan::hold(HoldKind::NeedsPerson, finding, again);
        if unshared.is_some() && replicas > 0 && !scaling::is_asleep(&facts.running, self.stop_plan()) {
            return Some(hold);
        }
        Some(self.power(replicas, hold))
    }

    /// Passwords are generated once. Beside a release that exists, new ones would lock Odoo out of its database.
    fn lost_secret(&self) -> Option<Finding> {
        let needed = self.wanted.needs_generated_secret();
        if !needed || self.look.facts.generated_secret.is_some() || self.look.facts.history.is_empty() {
            return None;
        }
        let name = &self.wanted.generated_secret;
        let message = format!(
            "Secret \"{name}\" with the generated passwords is gone or lacks its labels, and the database knows the old ones: restore it from a backup; or, if there is none, create it with keys admin_passwd, password and administrator_password and labels {}={}, {}={} and {}=true, and set the database role's password to the new one",
            labels::CUSTOMER,
            self.wanted.customer,
            labels::ENVIRONMENT,
            self.wanted.environment,
            labels::GENERATED,
        );
        Some(Finding::new(Reason::SecretMissing, message))
    }

    /// Two pods on one volume that is for one of them alone: on two nodes the second never starts, on one both write.
    fn unshared_volume(&self) -> Option<Finding> {
        let (running, wanted) = (&self.look.facts.running, self.wanted);
        if wanted.replicas < 2 {
            return None;
        }
        let plan = self.stop_plan();
        let live = running.workloads.iter().filter(|workload| plan.is_live(workload, running));
        let mut claims = live.flat_map(|workload| &workload.claims);
        let claim =
            claims.find(|claim| running.volumes.iter().any(|volume| volume.name == **claim && !volume.shared))?;
        let message = format!(
            "{} replicas would share volume \"{claim}\", which only one node may use: set replicas to 1, or use storage with accessMode ReadWriteMany; what runs goes on",
            wanted.replicas
        );
        Some(Finding::new(Reason::VolumeNotShared, message))
    }

    fn install(&self) -> Plan {
        if let Some(obstacle) = &self.look.facts.obstacle {
            return Plan::hold(HoldKind::NeedsPerson, obstacle.clone(), Some(self.look.now + OBSTACLE_PAUSE));
        }
        match &self.wanted.install_hold {
            Some(finding) if finding.reason == Reason::Progressing => Plan::wait(finding.clone(), None),
            Some(finding) => Plan::refuse(finding.clone()),
            None => self.try_helm(HelmAction::Install, 1),
        }
    }

    fn helm(&self, action: HelmAction, revision: i64) -> Plan {
        if let Some(wait) = drift::in_the_way(self.look.facts) {
            return wait;
        }
        let status = self.look.status;
        // An edit that came while an operation was under way was seen, and is acted on only now.
        let edited_meanwhile = self.look.facts.before.operation.as_ref().is_some_and(|it| self.is_edited_since(it));
        let unseen = status.observed_generation != Some(self.look.facts.generation());
        let by_person = unseen || edited_meanwhile || status.release.is_none();
        Plan::step(Step::Helm(HelmStep { action, revision, by_person }))
    }

    /// Helm, unless it failed with the same inputs and its pause is not over. What was stopped is started all the same.
    pub(super) fn try_helm(&self, action: HelmAction, revision: i64) -> Plan {
        let inputs = if action == HelmAction::Unlock { UNLOCK } else { &self.wanted.inputs };
        let failures = self.look.status.failures.as_ref().filter(|failures| failures.inputs == inputs);
        let Some(failures) = failures else { return self.helm(action, revision) };
        let pause = if failures.terminal { TERMINAL_PAUSE } else { backoff(failures.count, &self.wanted.uid) };
        let until = failures.at.0 + pause;
        if self.look.now >= until {
            return self.helm(action, revision);
        }
        let hold = if failures.terminal {
            let finding = Finding::new(failures.reason.clone(), failures.message.clone());
            Plan::hold(HoldKind::NeedsPerson, finding, Some(until))
        } else {
            retry(failures, until)
        };
        if self.look.facts.history.is_empty() {
            return hold;
        }
        self.power(self.wanted.replicas, hold)
    }

    pub(super) fn locked(&self) -> Plan {
        let Some(newest) = self.look.facts.history.newest() else { return Plan::nothing() };
        match lock_ends(newest, &self.wanted.uid, self.look.facts.fence) {
            until if self.look.now < until => Plan::wait(held_by_helm(newest, until), Some(until)),
            _ => self.try_helm(HelmAction::Unlock, newest.number),
        }
    }

    /// What runs is not given up for inputs that were never tried.
    pub(super) fn upgrade(&self, next: i64) -> Plan {
        let facts = self.look.facts;
        if !facts.was_ever_deployed() {
            // Install hooks have not done their work yet, and an upgrade would never run them.
            return self.try_helm(HelmAction::Install, next);
        }
        if facts.has_upgrade_hooks
            && let Some(plan) = self.asleep_with_hooks()
        {
            return plan;
        }
        if let Some(plan) = self.edited_without_end() {
            return plan;
        }
        let own = self.look.status.failures.as_ref().filter(|failures| failures.inputs == self.wanted.inputs);
        let failed = own.map(|failures| failures.at.0);
        let evidence = facts.evidence.as_ref();
        match check::first(self.wanted, &facts.history, &facts.running, evidence, failed, self.look.now) {
            First::Nothing => self.try_helm(HelmAction::Upgrade, next),
            First::Start => self.try_helm(HelmAction::Check, next),
            First::Wait(finding, in_vain) => {
                Plan::hold(if in_vain { HoldKind::FailingOn } else { HoldKind::Waiting }, finding, None)
            }
            First::Expect(finding, until) => Plan::wait(finding, Some(until)),
            First::Failed(finding) => self.failed_check(finding),
        }
    }

    /// A program edits it, no person: each upgrade brings a new pod, and the next would begin when one is over.
    fn edited_without_end(&self) -> Option<Plan> {
        let last = self.look.status.history.first()?;
        let edits = self.look.facts.generation() - last.generation;
        let until = last.ended_at.0 + STORM_PAUSE;
        if edits < STORM || self.look.now >= until {
            return None;
        }
        let message = format!(
            "the spec was edited {edits} times since the last operation began: the next one waits until {until:.0}; find out what edits it without end"
        );
        Some(Plan::wait(Finding::new(Reason::Progressing, message), Some(until)))
    }

    /// A hook of an upgrade may need the database: while everything rests, the upgrade waits for the start; and at the start
    /// the database is woken first.
    fn asleep_with_hooks(&self) -> Option<Plan> {
        let (running, plan) = (&self.look.facts.running, self.stop_plan());
        if self.wanted.replicas == 0 {
            let message =
                "stopped; the change is applied when it is started, because the chart's hooks may need the database";
            return Some(Plan::hold(HoldKind::Deferred, Finding::new(Reason::UpgradeAtStart, message), None));
        }
        if !scaling::is_asleep(running, plan) || plan.with_role(running, WorkloadRole::Database).is_empty() {
            return None;
        }
        if let Some(step) = scaling::wake_databases(running, plan) {
            return Some(Plan::step(Step::Scale(step)));
        }
        // It may be the database that the upgrade mends.
        if matches!(diagnose(self.wanted.replicas, running, plan), Diagnosis::Broken(_)) {
            return None;
        }
        let waiting = "the database is started before the upgrade, whose hooks may need it";
        (!scaling::databases_are_ready(running, plan))
            .then(|| Plan::wait(Finding::new(Reason::WaitingForDatabase, waiting), None))
    }

    fn failed_check(&self, finding: Finding) -> Plan {
        let Some(check) = &self.look.facts.running.check else { return Plan::nothing() };
        let step =
            Step::DeletePod { name: check.pod.name.clone(), uid: check.pod.uid.clone(), purpose: PodPurpose::EndCheck };
        let failure = Failure { reason: finding.reason.clone(), message: finding.message.clone(), terminal: false };
        Plan { failure: Some(failure), ..Plan::hold(HoldKind::FailingOn, finding, None).with(Some(step)) }
    }

    fn settled(&self, next: i64) -> Plan {
        let (running, plan) = (&self.look.facts.running, self.stop_plan());
        if let Some(check) = running.check.as_ref().filter(|check| !check.pod.deleting) {
            let (name, uid) = (check.pod.name.clone(), check.pod.uid.clone());
            return Plan::step(Step::DeletePod { name, uid, purpose: PodPurpose::EndCheck });
        }
        if let Some(stop) = self.stop_first() {
            return stop;
        }
        let missing = missing::find(self.look.facts.name(), &self.look.facts.before, running, plan, self.look.now);
        let rest = match missing {
            Some(Missing::Gone(_)) if self.look.facts.is_requested() => return self.helm(HelmAction::Upgrade, next),
            Some(Missing::Gone(finding)) => Plan::refuse(finding),
            Some(Missing::Awaited { finding, until }) => Plan::wait(finding, Some(until)),
            None => Plan::nothing(),
        };
        let power = power(self.look, self.wanted.replicas, plan, rest.clone());
        if power != rest || rest != Plan::nothing() {
            return power;
        }
        if adoption::stays_asleep(self.look.status) {
            return adoption::asleep(self.look.facts.name());
        }
        match restart::next(self.look.status.restart.as_ref(), running, plan) {
            RestartStep::Nothing => drift::plan(self),
            RestartStep::Wait(finding) => Plan::wait(finding, None),
            RestartStep::Replace { name, uid } => {
                Plan::step(Step::DeletePod { name, uid, purpose: PodPurpose::Restart })
            }
        }
    }
}

/// An operation's reason, and what Helm does in it.
pub(super) const fn words(action: Action) -> (Reason, &'static str) {
    match action {
        Action::Install => (Reason::Installing, "installs"),
        Action::Unlock => (Reason::Unlocking, "recovers"),
        Action::Compare => (Reason::Comparing, "compares"),
        Action::Correct => (Reason::Correcting, "puts right"),
        Action::Check => (Reason::Checking, "starts the pod that tries"),
        Action::Uninstall => (Reason::Deleting, "uninstalls"),
        Action::Upgrade
        | Action::Adopt
        | Action::Start
        | Action::Stop
        | Action::Restart
        | Action::Retain
        | Action::RemoveData => (Reason::Upgrading, "upgrades"),
    }
}

/// A failure whose pause is not over.
pub(super) fn retry(failures: &Failures, until: Timestamp) -> Plan {
    let message = format!("{}; tried {} times, next try at {until:.0}", failures.message, failures.count);
    let kind = if failures.count >= STALLED_FAILURES { HoldKind::FailingOn } else { HoldKind::Waiting };
    Plan::hold(kind, Finding::new(failures.reason.clone(), message), Some(until))
}

/// Doubles with each failure; the UID moves it by up to a fifth, so that a fleet does not try again in one beat.
pub(super) fn backoff(failures: i32, uid: &str) -> Duration {
    let doublings = u32::try_from(failures - 1).unwrap_or(0).min(10);
    let pause = (FIRST_BACKOFF * 2_u32.pow(doublings)).min(LAST_BACKOFF);
    let spread = digest::base32(uid.as_bytes()).bytes().next().map_or(0, |byte| u32::from(byte % 20));
    pause + pause * spread / 100
}

/// From when on nobody can be working on a pending revision any more. Whoever made one of ours is over (else it had been
/// waited for), and so is every earlier leader from the fence on; another's Helm gets its time.
pub(super) fn lock_ends(newest: &Revision, uid: &str, fence: Timestamp) -> Timestamp {
    let ours =
        newest.ownership.environment_uid.as_deref() == Some(uid) && newest.ownership.revision == Some(newest.number);
    if ours { fence } else { newest.created_at + FOREIGN_LOCK_GRACE }
}

pub(super) fn held_by_helm(newest: &Revision, until: Timestamp) -> Finding {
    let message = format!(
        "revision {} is \"{}\": a Helm holds the release; it is recovered at {until:.0} if it still is then",
        newest.number,
        newest.status.as_str()
    );
    Finding::new(Reason::ForeignOperation, message)
}

#[cfg(test)]
#[path = "life_tests/mod.rs"]
mod tests;
