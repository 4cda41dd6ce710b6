//! Templates and those who follow them.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use odoofleet_api::conditions::ConditionType;
use odoofleet_api::{OdooTemplate, labels};
use serde_json::json;

use super::{Affected, Delta, Fleet, Kind};
use crate::digest;
use crate::environment::references::{ObjectKind, ObjectName};
use crate::finding::Finding;
use crate::template::{
    Follower, FollowerCounts, Followers, Frame, FreezeEvidence, NAMED, Rules, TemplateDecision, TemplateFacts, Turn,
    Why, decide, leaves, rollout_before,
};

/// What is known of a template. It can be followed before it exists.
#[derive(Debug, Default)]
pub struct TemplateKnown {
    pub(super) object: Option<Arc<OdooTemplate>>,
    pub(super) followers: Followers,
    pub(super) rules: Arc<Rules>,
    evidence: Option<FreezeEvidence>,
    freezing: Option<String>,
}

impl TemplateKnown {
    pub(super) fn is_empty(&self) -> bool {
        self.object.is_none() && self.followers.in_use() == 0
    }
}

impl Fleet {
    pub(super) fn apply_templates(&mut self, delta: Delta<Arc<OdooTemplate>>, affected: &mut Affected) {
        match delta {
            Delta::All(list) => {
                let listed: Vec<String> = list.iter().map(|template| name(template)).collect();
                let known = self.templates.iter().filter(|(_, known)| known.object.is_some()).map(|(name, _)| name);
                let gone: Vec<String> = known
                    .filter(|known| !listed.contains(known) && !self.is_unreadable(Kind::Template, known))
                    .cloned()
                    .collect();
                for name in &gone {
                    self.set_template(name, None, affected);
                }
                for template in list {
                    self.set_template(&name(&template), Some(&template), affected);
                }
            }
            Delta::Applied(template) => self.set_template(&name(&template), Some(&template), affected),
            Delta::Deleted(template) => self.set_template(&name(&template), None, affected),
            Delta::Forgotten(name) => self.set_template(&name, None, affected),
        }
    }

    fn set_template(&mut self, name: &str, object: Option<&Arc<OdooTemplate>>, affected: &mut Affected) {
        let owned = name.to_owned();
        let known = self.templates.entry(owned.clone()).or_default();
        // What the API server answered to a write can be newer than what a watch still has to tell.
        let newer = |object: &&Arc<OdooTemplate>| {
            known.object.as_ref().is_some_and(|known| super::is_outdated(&object.metadata, &known.metadata))
        };
        if object.as_ref().is_some_and(newer) {
            return;
        }
        let before = std::mem::replace(&mut known.object, object.cloned());
        if before.as_ref() == object {
            return;
        }
        if let Some(object) = object {
            known.rules = Arc::new(Rules::of(object, &self.settings.time_zone));
        }
        match (&before, object) {
            // A step of the rollout concerns those that it admits; a stage that begins or is held, those that wait.
            (Some(before), Some(after)) if offers(before) == offers(after) => {
                affected.environments.extend(turned(before, after, &known.followers));
                if stands(before) != stands(after) {
                    affected.environments.extend(known.followers.behind().cloned());
                }
            }
            _ => affected.environments.extend(known.followers.names().cloned()),
        }
        if known.is_empty() {
            self.templates.remove(name);
        }
        self.frame(name);
        for named in before.iter().flat_map(|before| named_by(before)) {
            self.templates_by_object.remove(&named, &owned);
        }
        for named in object.into_iter().flat_map(|after| named_by(after)) {
            self.templates_by_object.add(&named, &owned);
        }
        affected.templates.insert(owned);
    }

    /// Says to a template's followers what decides about all of them.
    pub(super) fn frame(&mut self, name: &str) {
        let Some(template) = self.template(name).map(Arc::clone) else { return };
        let newest = &template.spec.version;
        let made = self.version(name, newest).map(|stored| stored.created_at);
        let later =
            self.versions_of(name).into_iter().filter(|stored| made.is_some_and(|made| stored.created_at > made));
        let frame = Frame {
            later: later.map(|stored| stored.content.version.clone()).collect(),
            newest: newest.clone(),
            canary: template.spec.rollout.as_ref().and_then(|rollout| rollout.canary.clone()),
            sets: leaves(&template.spec.values),
        };
        if let Some(known) = self.templates.get_mut(name) {
            known.followers.set_frame(frame);
        }
    }

    /// A follower with the windows of its customer, where it has none of its own, and with their time zone.
    pub(super) fn with_windows(&self, follower: &Follower) -> Follower {
        let customer = self.customers.get(&follower.customer);
        let maintenance = customer.and_then(|customer| customer.spec.maintenance.as_ref());
        let mut follower = follower.clone();
        if follower.windows.is_none() {
            follower.windows = maintenance.map(|maintenance| maintenance.windows.clone());
        }
        let zone = customer
            .and_then(|customer| customer.spec.contract.as_ref()?.time_zone.clone())
            .or_else(|| self.settings.time_zone.iana_name().map(str::to_owned));
        for window in follower.windows.iter_mut().flatten() {
            window.time_zone = window.time_zone.take().or_else(|| zone.clone());
        }
        follower
    }

    /// Whether an environment may move to its template's newest version now; else why it waits.
    pub(super) fn may_move(&self, template: &str, environment: &str, now: Timestamp) -> Result<(), Option<Why>> {
        let Some((known, object)) =
            self.templates.get(template).and_then(|known| Some((known, known.object.as_ref()?)))
        else {
            return Err(None);
        };
        let turn = Turn { rules: &known.rules, before: rollout_before(object), now };
        if known.followers.admits(environment, &turn) { Ok(()) } else { Err(known.followers.why(environment, &turn)) }
    }

    /// A template.
    pub fn template(&self, name: &str) -> Option<&Arc<OdooTemplate>> {
        self.templates.get(name)?.object.as_ref()
    }

    /// Environments that wait for a version: they name it, or follow and hold none yet.
    pub(super) fn waiting_for(&self, template: &str, version: &str) -> Vec<String> {
        let Some(known) = self.templates.get(template) else { return Vec::new() };
        let newest = known.object.as_ref().is_some_and(|object| object.spec.version == version);
        let waits = |name: &&String| known.followers.waits_for(name, version, newest);
        known.followers.names().filter(waits).cloned().collect()
    }

    /// Decides about a template.
    pub fn decide_template(&self, name: &str, now: Timestamp) -> Option<TemplateDecision> {
        let known = self.templates.get(name)?;
        let template = Arc::clone(known.object.as_ref()?);
        let followers = &known.followers;
        let versions = self.versions_of(name).into_iter().map(|stored| {
            let version = &stored.content.version;
            (stored.clone(), followers.holding(version), followers.needs(version))
        });
        let counts = FollowerCounts {
            in_use: followers.in_use(),
            following: followers.following(),
            done: followers.done(),
            pinned: followers.pinned().len(),
            pinned_names: followers.pinned().iter().take(NAMED).cloned().collect(),
            overridden: followers.overridden().iter().take(NAMED).cloned().collect(),
            lacks_canary: followers.lacks_canary(),
        };
        let versions: Vec<_> = versions.collect();
        let newest = versions.iter().find(|(stored, ..)| stored.content.version == template.spec.version);
        let turn = Turn { rules: &known.rules, before: rollout_before(&template), now };
        let facts = TemplateFacts {
            unmanaged: newest.and_then(|(newest, ..)| self.unmanaged(&newest.content.chart_name)),
            versions,
            inputs: self.freeze_inputs(&template),
            evidence: known.evidence.clone(),
            freezing: known.freezing.clone(),
            rollout: followers.plan(&turn),
            rules: Arc::clone(&known.rules),
            counts,
            holders: match &template.metadata.deletion_timestamp {
                Some(since) => self.holders(followers.names(), since),
                None => followers.in_use(),
            },
            template,
        };
        Some(decide(&facts, now))
    }

    /// Changes with everything from which a version is made: the spec, and the objects that it names.
    fn freeze_inputs(&self, template: &OdooTemplate) -> String {
        let objects: Vec<Option<String>> = named_by(template).iter().map(|named| self.object_version(named)).collect();
        let requested =
            template.metadata.annotations.as_ref().and_then(|all| all.get(odoofleet_api::labels::REQUESTED_AT));
        let value = json!([template.metadata.uid, template.metadata.generation, objects, requested]);
        digest::base32(digest::canonical(&value).as_bytes()).chars().take(8).collect()
    }

    /// Notes that a version is being made. False if one is already.
    pub fn begin_freeze(&mut self, template: &str, inputs: &str) -> bool {
        let Some(known) = self.templates.get_mut(template).filter(|known| known.freezing.is_none()) else {
            return false;
        };
        known.freezing = Some(inputs.to_owned());
        true
    }

    /// Keeps what came of it. `transient` says that another try may end otherwise although no input has changed.
    pub fn end_freeze(&mut self, template: &str, result: Result<(), (Finding, bool)>, at: Timestamp) -> Affected {
        if let Some(known) = self.templates.get_mut(template) {
            let inputs = known.freezing.take().unwrap_or_default();
            let before =
                known.evidence.as_ref().filter(|evidence| evidence.inputs == inputs).map_or(0, |one| one.count);
            known.evidence = result.err().map(|(finding, transient)| FreezeEvidence {
                inputs,
                finding,
                transient,
                count: before + 1,
                at,
            });
        }
        Affected::template(template)
    }
}

fn name(template: &OdooTemplate) -> String {
    template.metadata.name.clone().unwrap_or_default()
}

/// Secrets and ConfigMaps that a template names.
fn named_by(template: &OdooTemplate) -> Vec<ObjectName> {
    let chart = &template.spec.chart;
    let object = |kind, name: &String| ObjectName { kind, name: name.clone() };
    let maps = chart.config_map_ref.iter().map(|map| &map.name).chain(chart.ca_ref.iter().map(|map| &map.name));
    let mut all: Vec<ObjectName> = maps.map(|name| object(ObjectKind::ConfigMap, name)).collect();
    all.extend(chart.pull_secret_ref.iter().map(|secret| object(ObjectKind::Secret, &secret.name)));
    all
}

/// What all environments read of their template. How far its rollout has come concerns only some.
fn offers(template: &OdooTemplate) -> impl PartialEq {
    let status = template.status.as_ref();
    let conditions = status.map(|status| {
        let of_content =
            status.conditions.iter().filter(|condition| condition.type_ != ConditionType::RolledOut.as_str());
        of_content.cloned().collect::<Vec<_>>()
    });
    let rollout = status.and_then(|status| status.rollout.as_ref()).map(|rollout| rollout.version.clone());
    let meta = &template.metadata;
    (meta.uid.clone(), meta.generation, meta.deletion_timestamp.clone(), conditions, rollout)
}

/// What those read of a rollout who wait for it.
fn stands(template: &OdooTemplate) -> impl PartialEq {
    let approvals =
        template.metadata.annotations.as_ref().map(|all| (all.get(labels::APPROVE), all.get(labels::RESUME)));
    let approvals = approvals.map(|(approve, resume)| (approve.cloned(), resume.cloned()));
    let rollout = rollout_before(template);
    let begun = rollout.and_then(|rollout| rollout.place.as_ref()).map(|place| place.stage);
    (approvals, begun, rollout.map(|rollout| (rollout.phase, rollout.stage, rollout.failures)))
}

/// Who has its turn now and had it not before; and who has lost it without having moved.
fn turned(before: &OdooTemplate, after: &OdooTemplate, followers: &Followers) -> BTreeSet<String> {
    let moving = |template| {
        let moves = rollout_before(template).into_iter().flat_map(|rollout| &rollout.moving);
        moves.map(|one| one.environment.clone()).collect::<BTreeSet<String>>()
    };
    let (before, after) = (moving(before), moving(after));
    let lost = before.difference(&after).filter(|name| followers.is_behind(name));
    after.difference(&before).chain(lost).cloned().collect()
}
