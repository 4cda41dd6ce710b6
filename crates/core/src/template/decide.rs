//! From facts to a decision about a template.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use odoofleet_api::conditions::{ConditionStatus, ConditionType, Reason, Wanted, merge};
use odoofleet_api::rollout::RolloutStatus;
use odoofleet_api::template::{OdooTemplateStatus, TemplateVersion, UnmanagedReleases};
use odoofleet_api::{OdooTemplate, labels};

use super::rollout::RolloutPlan;
use super::rules::Rules;
use super::{StoredVersion, tell};
use crate::finding::Finding;

/// Versions that nobody uses are kept up to this many, to go back to.
const KEPT_UNUSED: usize = 10;
/// First pause after a chart could not be fetched; it doubles up to [`LAST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// Longest pause after a chart could not be fetched.
const LAST_PAUSE: Duration = Duration::from_mins(10);

/// Everything that a decision about one template is made from.
pub struct TemplateFacts {
    /// The object.
    pub template: Arc<OdooTemplate>,
    /// Its versions, newest first, and how many environments hold each.
    pub versions: Vec<(StoredVersion, usize, bool)>,
    /// Changes with everything from which a version is made.
    pub inputs: String,
    /// What came of the last try to make a version.
    pub evidence: Option<FreezeEvidence>,
    /// Inputs of the try that goes on.
    pub freezing: Option<String>,
    /// The rules of its rollout.
    pub rules: Arc<Rules>,
    /// How its rollout goes on.
    pub rollout: RolloutPlan,
    /// Counts of the environments.
    pub counts: FollowerCounts,
    /// Live releases of its chart that nobody claims.
    pub unmanaged: Option<UnmanagedReleases>,
    /// Environments that keep it from going while it is being deleted.
    pub holders: usize,
}

/// Counts of a template's environments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FollowerCounts {
    /// All that refer to it.
    pub in_use: usize,
    /// Those that follow it.
    pub following: usize,
    /// Followers on the newest version that are well.
    pub done: usize,
    /// Those that name a version of their own.
    pub pinned: usize,
    /// The first of those.
    pub pinned_names: Vec<String>,
    /// Followers whose own values stand before some of the template's: the first of them.
    pub overridden: Vec<String>,
    /// Whether somebody is to move first, and nobody is it.
    pub lacks_canary: bool,
}

/// Why no version could be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FreezeEvidence {
    /// The inputs for which it was tried.
    pub inputs: String,
    /// What a person, or the registry, must mend.
    pub finding: Finding,
    /// Whether another try may end otherwise although no input has changed.
    pub transient: bool,
    /// Tries in a row.
    pub count: u32,
    /// When the last one ended.
    pub at: Timestamp,
}

/// The one thing that is done to a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateStep {
    /// Nothing but to tell how it is.
    Nothing,
    /// Put our finalizer on it.
    Protect,
    /// Fetch the chart, check it, and keep the content as a version.
    Freeze {
        /// What it is made from.
        inputs: String,
    },
    /// Remove versions that nobody needs: the names of their objects.
    Prune(Vec<String>),
    /// Take our finalizer away.
    LetGo,
}

impl TemplateFacts {
    /// The version that the spec names, once it is made.
    fn newest(&self) -> Option<&StoredVersion> {
        let mut versions = self.versions.iter().map(|(stored, ..)| stored);
        versions.find(|stored| stored.content.version == self.template.spec.version)
    }
}

/// What a look at a template decides.
#[derive(Debug, Clone, PartialEq)]
pub struct TemplateDecision {
    /// What is done.
    pub step: TemplateStep,
    /// What is told.
    pub status: OdooTemplateStatus,
    /// When to look again although nothing has told so.
    pub wake_at: Option<Timestamp>,
}

/// Decides about a template.
pub fn decide(facts: &TemplateFacts, now: Timestamp) -> TemplateDecision {
    let (step, content, wake_at) = plan(facts, now);
    let rolls = matches!(content, Content::Kept | Content::Refused(..));
    let next = facts.rollout.next.filter(|_| rolls && facts.newest().is_some());
    let wake_at = wake_at.into_iter().chain(next).min();
    TemplateDecision { step, status: status(facts, &content, now), wake_at }
}

/// How the version of the spec stands.
enum Content {
    /// It is kept.
    Kept,
    /// It is being made.
    Coming,
    /// It cannot be made; the flag says whether it is tried again by itself.
    Refused(Finding, bool),
    /// It is not looked at: the template is paused or goes.
    LeftAlone,
}

fn plan(facts: &TemplateFacts, now: Timestamp) -> (TemplateStep, Content, Option<Timestamp>) {
    let meta = &facts.template.metadata;
    let protected = meta.finalizers.iter().flatten().any(|finalizer| finalizer == labels::FINALIZER);
    if meta.deletion_timestamp.is_some() {
        let goes = protected && facts.holders == 0;
        return (if goes { TemplateStep::LetGo } else { TemplateStep::Nothing }, Content::LeftAlone, None);
    }
    if !protected {
        return (TemplateStep::Protect, Content::Coming, None);
    }
    if is_paused(facts) {
        return (TemplateStep::Nothing, Content::LeftAlone, None);
    }
    let spec = &facts.template.spec;
    if let Some((stored, ..)) = facts.versions.iter().find(|(stored, ..)| stored.content.version == spec.version) {
        let content = if stored.content.describes(spec) {
            Content::Kept
        } else {
            Content::Refused(content_changed(spec.version.as_str()), false)
        };
        return (prune(facts), content, None);
    }
    if facts.freezing.is_some() {
        return (TemplateStep::Nothing, Content::Coming, None);
    }
    let freeze = || TemplateStep::Freeze { inputs: facts.inputs.clone() };
    let Some(evidence) = facts.evidence.as_ref().filter(|evidence| evidence.inputs == facts.inputs) else {
        return (freeze(), Content::Coming, None);
    };
    let refused = Content::Refused(evidence.finding.clone(), evidence.transient);
    if !evidence.transient {
        return (TemplateStep::Nothing, refused, None);
    }
    let pause = (FIRST_PAUSE * 2_u32.pow(evidence.count.saturating_sub(1).min(10))).min(LAST_PAUSE);
    let until = evidence.at + pause;
    if now >= until { (freeze(), refused, None) } else { (TemplateStep::Nothing, refused, Some(until)) }
}

fn content_changed(version: &str) -> Finding {
    let message = format!(
        "the content changed under version \"{version}\", which stays what it was: give the new content another version, or take the change back"
    );
    Finding::new(Reason::VersionContentChanged, message)
}

/// The oldest versions that nobody needs.
fn prune(facts: &TemplateFacts) -> TemplateStep {
    let unused = facts
        .versions
        .iter()
        .filter(|(stored, _, needed)| !needed && stored.content.version != facts.template.spec.version);
    let names: Vec<String> = unused.skip(KEPT_UNUSED).map(|(stored, ..)| stored.object.clone()).collect();
    if names.is_empty() { TemplateStep::Nothing } else { TemplateStep::Prune(names) }
}

fn is_paused(facts: &TemplateFacts) -> bool {
    facts.template.spec.paused.unwrap_or_default()
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn status(facts: &TemplateFacts, content: &Content, now: Timestamp) -> OdooTemplateStatus {
    let template = &facts.template;
    let old = template.status.clone().unwrap_or_default();
    let generation = template.metadata.generation.unwrap_or_default();
    let versions = facts.versions.iter().map(|(stored, holding, _)| TemplateVersion {
        version: stored.content.version.clone(),
        digest: stored.digest.clone(),
        chart_digest: format!("sha256:{}", stored.content.chart_digest),
        chart_version: stored.content.chart_version.clone(),
        created_at: Time(stored.created_at),
        in_use: count(*holding),
    });
    let newest = facts.newest();
    let requested = template.metadata.annotations.as_ref().and_then(|all| all.get(labels::REQUESTED_AT)).cloned();
    OdooTemplateStatus {
        observed_generation: Some(generation),
        chart: newest
            .map(|newest| format!("{}-{}", newest.content.chart_name, newest.content.chart_version))
            .or(old.chart),
        in_use: Some(count(facts.counts.in_use)),
        versions: versions.collect(),
        rollout: newest.map(|_| tell::status(template, &facts.rules, &facts.rollout, &facts.counts)),
        unmanaged_releases: facts.unmanaged.clone(),
        last_handled_reconcile_at: requested.or(old.last_handled_reconcile_at),
        conditions: merge(&old.conditions, conditions(facts, content), generation, &Time(now)),
    }
}

/// The rollout of the spec's version, as it was written down last.
pub fn rollout_before(template: &OdooTemplate) -> Option<&RolloutStatus> {
    let rollout = template.status.as_ref()?.rollout.as_ref()?;
    (rollout.version == template.spec.version).then_some(rollout)
}

fn conditions(facts: &TemplateFacts, content: &Content) -> Vec<Wanted> {
    let mut all = conditions_of_content(facts, content);
    if facts.template.metadata.deletion_timestamp.is_some() {
        return all;
    }
    all.extend(facts.newest().map(|_| tell::condition(&facts.template, &facts.rollout)));
    let stalled = all.iter().any(|condition| condition.type_ == ConditionType::Stalled);
    if let (false, Some(problem)) = (stalled, facts.rules.problems.first()) {
        all.push(Wanted {
            type_: ConditionType::Stalled,
            status: ConditionStatus::True,
            reason: Reason::WindowNeverOpens,
            message: problem.clone(),
        });
    }
    all
}

fn conditions_of_content(facts: &TemplateFacts, content: &Content) -> Vec<Wanted> {
    let condition = |type_, status: ConditionStatus, reason, message: String| Wanted { type_, status, reason, message };
    let ready = |status, reason, message| condition(ConditionType::Ready, status, reason, message);
    if facts.template.metadata.deletion_timestamp.is_some() {
        let message = format!(
            "deleting: in use by {} environment(s); delete them or move them to another template first",
            facts.holders
        );
        return vec![ready(ConditionStatus::False, Reason::InUse, message)];
    }
    let version = &facts.template.spec.version;
    match content {
        Content::LeftAlone => {
            vec![ready(ConditionStatus::True, Reason::Paused, "paused: no version is made, nobody moves".to_owned())]
        }
        Content::Kept => {
            vec![ready(
                ConditionStatus::True,
                Reason::Accepted,
                format!("version \"{version}\" is kept with its chart"),
            )]
        }
        Content::Coming => {
            let message = format!("the chart of version \"{version}\" is being fetched and checked");
            vec![
                ready(ConditionStatus::False, Reason::Progressing, message.clone()),
                condition(ConditionType::Reconciling, ConditionStatus::True, Reason::Progressing, message),
            ]
        }
        Content::Refused(finding, again) => {
            let type_ = if *again { ConditionType::Reconciling } else { ConditionType::Stalled };
            vec![
                ready(ConditionStatus::False, finding.reason.clone(), finding.message.clone()),
                condition(type_, ConditionStatus::True, finding.reason.clone(), finding.message.clone()),
            ]
        }
    }
}
