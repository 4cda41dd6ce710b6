//! What an environment refers to, and who else claims the same.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use odoofleet_api::conditions::{ConditionType, Reason, find};
use odoofleet_api::environment::{OdooEnvironmentStatus, Placement};
use odoofleet_api::{OdooEnvironment, OdooTemplate};

use super::{EnvironmentFact, Fleet, Kind};
use crate::environment::claims::{is_own_name, may_use};
use crate::environment::references::{CustomerView, ObjectName, ReferencedObject, Rival, hosts, is_older, names};
use crate::finding::Finding;
use crate::template::{StopPlan, StoredVersion, Why, tried};

impl Fleet {
    /// What counts of a customer.
    pub(super) fn customer_view(&self, name: &str) -> Option<CustomerView> {
        self.customers.get(name).map(|customer| CustomerView::of(customer))
    }

    /// The version that an environment should hold now, and why a newer one has not come yet.
    pub(super) fn choose_version(
        &self,
        environment: &OdooEnvironment,
        status: &OdooEnvironmentStatus,
        now: Timestamp,
    ) -> Result<(StoredVersion, Option<Why>), Finding> {
        let name = &environment.spec.template_ref.name;
        let Some(template) = self.template(name) else { return Err(self.no_template(name)) };
        let held = status.template.as_ref().filter(|held| held.name == *name).map(|held| held.version.as_str());
        let deleting = template.metadata.deletion_timestamp.is_some();
        if deleting && held.is_none() {
            let message = format!(
                "template \"{name}\" is being deleted: environments made meanwhile are not installed; apply the template again when it is gone"
            );
            return Err(Finding::new(Reason::TemplateNotReady, message));
        }
        if let Some(pinned) = &environment.spec.template_ref.version {
            return self
                .version(name, pinned)
                .cloned()
                .map(|stored| (stored, None))
                .ok_or_else(|| self.no_version(name, pinned));
        }
        let newest = &template.spec.version;
        if let Some(held) = held.filter(|held| held != newest).and_then(|held| self.version(name, held)) {
            let there = self.version(name, newest).is_some();
            let waits = if there { self.may_have(template, environment, status, now).err() } else { Some(None) };
            if let Some(why) = waits {
                let until = why.as_ref().and_then(|why| why.until);
                let text = if deleting && !there {
                    format!(
                        "version \"{newest}\" is not made, because template \"{name}\" is being deleted: apply it again when it is gone"
                    )
                } else if let Some(problem) = self.problem_of(name).filter(|_| !there) {
                    format!("version \"{newest}\" is not made: {problem}")
                } else {
                    let why = why.map(|why| format!(": {}", why.text)).unwrap_or_default();
                    format!("version \"{newest}\" comes when the rollout reaches it{why}")
                };
                return Ok((held.clone(), Some(Why { text, until })));
            }
        }
        self.version(name, newest).cloned().map(|stored| (stored, None)).ok_or_else(|| self.not_ready(name))
    }

    /// Whether an environment that follows a template may move to its newest version; else why it waits. What has begun goes on.
    fn may_have(
        &self,
        template: &OdooTemplate,
        environment: &OdooEnvironment,
        status: &OdooEnvironmentStatus,
        now: Timestamp,
    ) -> Result<(), Option<Why>> {
        let name = template.metadata.name.as_deref().unwrap_or_default();
        let has_begun = tried(status).is_some_and(|tried| tried.name == name && tried.version == template.spec.version);
        let own = environment.metadata.name.as_deref().unwrap_or_default();
        if has_begun { Ok(()) } else { self.may_move(name, own, now) }
    }

    fn no_template(&self, name: &str) -> Finding {
        if self.is_unreadable(Kind::Template, name) {
            let message =
                format!("template \"{name}\" cannot be read by this operator; what runs goes on until it is mended");
            return Finding::new(Reason::TemplateNotReady, message);
        }
        let message = format!(
            "template \"{name}\" does not exist: create the OdooTemplate, or name another; what runs goes on until then"
        );
        Finding::new(Reason::TemplateNotFound, message)
    }

    fn no_version(&self, template: &str, version: &str) -> Finding {
        let known: Vec<&str> =
            self.versions_of(template).iter().map(|stored| stored.content.version.as_str()).collect();
        let known = if known.is_empty() { "none yet".to_owned() } else { known.join(", ") };
        Finding::new(
            Reason::VersionNotFound,
            format!("template \"{template}\" has no version \"{version}\"; there is: {known}"),
        )
    }

    /// What a template says that keeps it from being ready.
    fn problem_of(&self, name: &str) -> Option<&str> {
        let status = self.template(name)?.status.as_ref()?;
        let ready = find(&status.conditions, ConditionType::Ready)?;
        let wrong = ready.status == "False" && ready.reason != Reason::Progressing.as_str();
        wrong.then_some(ready.message.as_str())
    }

    fn not_ready(&self, name: &str) -> Finding {
        match self.problem_of(name) {
            Some(problem) => {
                Finding::new(Reason::TemplateNotReady, format!("template \"{name}\" is not ready: {problem}"))
            }
            None => Finding::new(Reason::Progressing, format!("template \"{name}\" has not been looked at yet")),
        }
    }

    /// How what a release holds is stopped and started. The template may be gone or broken: then the charts' own words and the
    /// rules for unlisted workloads hold.
    pub(super) fn held_plan(&self, environment: &OdooEnvironment, status: &OdooEnvironmentStatus) -> StopPlan {
        let held = status.template.as_ref().and_then(|held| self.version(&held.name, &held.version));
        match (held, names(&environment.spec)) {
            (Some(held), Ok((_, release))) => held.content.stop_plan(&release),
            _ => StopPlan::default(),
        }
    }

    /// Objects that an environment names, as far as a watch sees them.
    pub(super) fn named(&self, objects: &[ObjectName]) -> BTreeMap<ObjectName, ReferencedObject> {
        objects.iter().filter_map(|name| Some((name.clone(), self.object(name)?.clone()))).collect()
    }

    /// Other claims on the same release name or hosts.
    pub(super) fn rivals(&self, fact: &EnvironmentFact) -> Vec<Rival> {
        let environment = &fact.object;
        let own_name = environment.metadata.name.as_deref().unwrap_or_default();
        let own_hosts = hosts(&environment.spec);
        let release = names(&environment.spec).map(|(_, release)| release.to_string()).unwrap_or_default();
        let by_host = own_hosts.iter().flat_map(|host| self.by_host.of(host));
        let others: BTreeSet<&String> =
            by_host.chain(self.by_release.of(&release)).filter(|name| *name != own_name).collect();
        let kept_for_us = self.releases.get(&release).is_some_and(|known| {
            known.is_retained()
                && known.history.newest().is_some_and(|newest| newest.ownership.belongs_to_environment(environment))
        });
        let history = self.history(&release);
        let owner = history.newest().map(|newest| &newest.ownership).filter(|ownership| ownership.is_ours());
        let owns_release = |candidate: &OdooEnvironment| owner.is_some_and(|owner| owner.may_belong_to(candidate));
        let others = others.into_iter().filter_map(|name| self.environments.get(name)).filter_map(|other| {
            let object = &other.object;
            if object.spec.placement.unwrap_or_default() != Placement::Cluster {
                return None;
            }
            let older = is_older(object, environment);
            // What is refused holds no host and no name, however old the wish is.
            let mut other_hosts = hosts(&object.spec);
            other_hosts.retain(|host| {
                self.may_use(&object.spec.customer_ref.name, host) || other.status().hosts.contains(host)
            });
            let is_own_name = names(&object.spec).is_ok_and(|(_, release)| is_own_name(&object.spec, &release));
            Some(Rival {
                environment: object.metadata.name.clone().unwrap_or_default(),
                customer: object.spec.customer_ref.name.clone(),
                release: names(&object.spec).map(|(_, release)| release.to_string()).unwrap_or_default(),
                has_release: owns_release(object) || (older && is_own_name && !owns_release(environment)),
                // Who was given a host keeps it, whoever else is older.
                has_hosts: match (
                    shares(&other.status().hosts, &own_hosts),
                    kept_for_us || shares(&fact.status().hosts, &other_hosts),
                ) {
                    (true, false) => true,
                    (false, true) => false,
                    _ => older,
                },
                hosts: other_hosts,
                retained: false,
            })
        });
        let mut rivals: Vec<Rival> = others.collect();
        rivals.extend(self.retained_rivals(&own_hosts, &release));
        rivals
    }

    fn may_use(&self, customer: &str, host: &str) -> bool {
        let own = self.customers.get(customer).map_or(&[][..], |customer| &customer.spec.domains);
        may_use(host, if own.is_empty() { &self.settings.allowed_domains } else { own })
    }

    /// Retained releases that hold the name or one of the hosts.
    fn retained_rivals(&self, own_hosts: &[String], release: &str) -> Vec<Rival> {
        let by_host = own_hosts.iter().flat_map(|host| self.retained_by_host.of(host).map(String::as_str));
        let names: BTreeSet<&str> = by_host.chain([release]).collect();
        let retained = names.into_iter().filter_map(|name| {
            let known = self.releases.get(name).filter(|known| known.is_retained())?;
            let ownership = &known.history.newest()?.ownership;
            Some(Rival {
                environment: ownership.environment.clone().unwrap_or_default(),
                customer: ownership.customer.clone().unwrap_or_default(),
                release: name.to_owned(),
                hosts: known.retained_hosts.clone(),
                has_release: true,
                has_hosts: true,
                retained: true,
            })
        });
        retained.collect()
    }

    /// How many of the customer's environments come before: they are there already, or are older. Creation times have
    /// seconds: of two in one second, the one that was installed counts as the first.
    pub(super) fn rank_in_customer(&self, fact: &EnvironmentFact) -> usize {
        let is_there = |other: &EnvironmentFact| {
            let status = other.status();
            status.release.is_some() || status.operation.is_some()
        };
        let before = |other: &&EnvironmentFact| {
            other.object.metadata.uid != fact.object.metadata.uid
                && (is_older(&other.object, &fact.object) || is_there(other))
        };
        let own = self.environments_of(&fact.object.spec.customer_ref.name);
        own.filter_map(|name| self.environments.get(name)).filter(before).count()
    }
}

fn shares(some: &[String], others: &[String]) -> bool {
    some.iter().any(|host| others.contains(host))
}
