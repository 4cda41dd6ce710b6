//! A namespace in memory, as the operator's watches would have told of it, with the operator's own decisions as its statuses.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use jiff::{Timestamp, ToSpan};
use odoofleet_api::conditions::Reason;
use odoofleet_api::template::{WorkloadKind, WorkloadRole};
use odoofleet_api::{OdooCustomer, OdooEnvironment, OdooTemplate, labels};
use odoofleet_core::environment::references::{ObjectKind, ObjectName, ReferencedObject};
use odoofleet_core::environment::validate::{Validated, validate};
use odoofleet_core::environment::{Decision, Facts, Step, decide};
use odoofleet_core::fleet::{
    Affected, Change, Delta, Fleet, Item, ItemKind, Look, ObjectWatch, PodItem, Settings, StoredRevision,
};
use odoofleet_core::observed::{Certificate, Container, FoundCertificate, Pod, ServicePort, Volume, Workload};
use odoofleet_core::release::Revision;
use odoofleet_core::template::{StoredVersion, TemplateStep, VersionContent, revision_name};
use serde_json::{Value, json};

use super::chart::Chart;
use crate::commands::bench::fleet::{self, Environment};

/// So many looks settle anything that is in sync.
const LOOKS: usize = 5;
/// When the objects were made, and how long ago that is.
const CREATED: &str = "2026-01-01T00:00:00Z";
const DAYS_SINCE: i64 = 100;

/// A namespace with so many environments, all in sync.
pub struct Model {
    fleet: Fleet,
    chart: Chart,
    names: Vec<String>,
    customers: Vec<String>,
    /// Grows with each write, as the API server's does.
    version: u64,
    /// The template's newest version.
    offered: i64,
    now: Timestamp,
}

impl Model {
    /// An empty namespace.
    pub fn empty(chart: &Chart) -> Result<Self> {
        let created: Timestamp = CREATED.parse()?;
        let settings = Settings {
            namespace: fleet::NAMESPACE.to_owned(),
            allowed_git_hosts: Vec::new(),
            allowed_domains: Vec::new(),
            node_address: None,
            max_stops: 20,
            max_automatic_stops: 5,
            fence: created,
            time_zone: jiff::tz::TimeZone::UTC,
        };
        Ok(Self {
            fleet: Fleet::new(settings),
            chart: chart.clone(),
            names: Vec::new(),
            customers: Vec::new(),
            version: 1,
            offered: 1,
            now: created + (DAYS_SINCE * 24).hours(),
        })
    }

    /// Fills a fleet with what is described, and lets every object settle.
    pub fn new(described: &fleet::Fleet, chart: &Chart) -> Result<Self> {
        let mut model = Self::empty(chart)?;
        let base: Value = serde_json::from_str(&described.base())?;
        for object in base["items"].as_array().into_iter().flatten() {
            match object["kind"].as_str() {
                Some("OdooTemplate") => model.offer(object.clone())?,
                _ => model.add_customer(object.clone())?,
            }
        }
        for environment in described.all() {
            model.add_environment(environment)?;
        }
        model.settle()?;
        Ok(model)
    }

    /// Names of so many environments, spread over the fleet.
    pub fn spread(&self, count: usize) -> Vec<String> {
        spread(&self.names, count)
    }

    /// Names of so many customers, spread over the fleet.
    pub fn spread_customers(&self, count: usize) -> Vec<String> {
        spread(&self.customers, count)
    }

    /// The web pods of so many environments, spread over the fleet, as they come and go.
    pub fn spread_pods(&self, count: usize) -> Vec<Pod> {
        let names = self.spread(count);
        names.iter().map(|name| pod(WorkloadKind::Deployment, &format!("{name}-web"))).collect()
    }

    /// The fleet itself.
    pub fn fleet(&mut self) -> &mut Fleet {
        &mut self.fleet
    }

    /// The present time of this model.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// One look at an environment, as the operator takes it.
    pub fn look(&mut self, name: &str) -> Result<Decision> {
        Ok(decide(&self.facts(name)?, self.now))
    }

    /// What an environment should be, once everything that it refers to was taken in.
    pub fn wanted(&mut self, environment: OdooEnvironment) -> Result<Validated> {
        let name = environment.metadata.name.clone().unwrap_or_default();
        self.fleet.apply(Change::Environments(Delta::Applied(Arc::new(environment))));
        let facts = self.facts(&name)?;
        let wanted = validate(&facts.environment, &facts.references);
        wanted.map_err(|finding| anyhow!("{name} is refused: {}", finding.message))
    }

    fn facts(&mut self, name: &str) -> Result<Facts> {
        let gone = || anyhow!("environment {name} is not there");
        let Look { version, .. } = self.fleet.look(name, self.now).ok_or_else(gone)?;
        let version = version.map(|choice| self.chart.view(&choice));
        let facts = self.fleet.facts(name, version, BTreeMap::new(), None, false, self.now);
        facts.ok_or_else(gone)
    }

    /// Metadata of an object that was written just now.
    fn written(&mut self, object: &mut Value, generation: i64) -> Result<()> {
        self.version += 1;
        let name = object["metadata"]["name"].as_str().context("an object has no name")?.to_owned();
        let metadata = &mut object["metadata"];
        metadata["uid"] = json!(format!("uid-of-{name}"));
        metadata["generation"] = json!(generation);
        metadata["resourceVersion"] = json!(self.version.to_string());
        metadata["creationTimestamp"] = json!(CREATED);
        metadata["finalizers"] = json!([labels::FINALIZER]);
        Ok(())
    }

    fn add_customer(&mut self, mut object: Value) -> Result<()> {
        self.written(&mut object, 1)?;
        let customer: OdooCustomer = serde_json::from_value(object)?;
        self.customers.extend(customer.metadata.name.clone());
        self.fleet.apply(Change::Customers(Delta::Applied(Arc::new(customer))));
        Ok(())
    }

    fn add_environment(&mut self, described: &Environment) -> Result<()> {
        let mut object = described.manifest(0);
        self.written(&mut object, 1)?;
        let environment: OdooEnvironment = serde_json::from_value(object)?;
        let wanted = self.wanted(environment)?;
        self.names.push(described.name());
        self.decide_customer(described.customer())?;
        self.install(&wanted)
    }

    /// What Helm and the cluster make of an environment.
    fn install(&mut self, wanted: &Validated) -> Result<()> {
        let release = wanted.release.to_string();
        self.version += 1;
        let version = self.version.to_string();
        let mut labels: BTreeMap<String, String> =
            wanted.release_labels(1).into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let helm = [("name", release.as_str()), ("version", "1"), ("status", "deployed"), ("owner", "helm")];
        labels.extend(helm.map(|(key, value)| (key.to_owned(), value.to_owned())));
        let revision = Revision::from_labels(&labels, CREATED.parse()?, &version).context("labels of no revision")?;
        let mut changes = vec![
            Change::Releases(Delta::Applied(StoredRevision {
                revision,
                retained_hosts: Vec::new(),
                left_out: BTreeMap::new(),
            })),
            Change::Objects(ObjectWatch::CustomersSecrets, Delta::Applied(passwords(wanted, &version))),
        ];
        for (kind, workload_kind, part) in [
            (ItemKind::Deployment, WorkloadKind::Deployment, "web"),
            (ItemKind::StatefulSet, WorkloadKind::StatefulSet, "postgresql"),
        ] {
            let name = format!("{release}-{part}");
            let workload = workload(workload_kind, &name, &release, &version);
            changes.push(Change::Items(kind, Delta::Applied(((kind, name.clone()), Item::Workload(workload)))));
            changes.push(Change::Pods(Delta::Applied(PodItem::Workload(pod(workload_kind, &name)))));
        }
        let service = ServicePort { service: format!("{release}-web"), port: 8069, node_port: None };
        let host = format!("{release}.bench.example");
        let secret = format!("{release}-tls");
        let found = FoundCertificate::Certificate {
            names: vec![host.clone()],
            not_after: self.now + (DAYS_SINCE * 24).hours(),
        };
        changes.push(Change::Certificates(Delta::Applied((secret.clone(), found))));
        let certificate = Certificate { hosts: vec![host], secret, found: None };
        let items = [
            (ItemKind::Service, "web", Item::Service { release: release.clone(), ports: vec![service] }),
            (ItemKind::Ingress, "web", Item::Ingress { release: release.clone(), certificates: vec![certificate] }),
            (ItemKind::Volume, "filestore", volume(&release, "filestore", Some(release.clone()))),
            (ItemKind::Volume, "postgresql-0", volume(&format!("data-{release}"), "postgresql-0", None)),
        ];
        for (kind, part, item) in items {
            let name = match &item {
                Item::Volume { volume, .. } => volume.name.clone(),
                _ => format!("{release}-{part}"),
            };
            changes.push(Change::Items(kind, Delta::Applied(((kind, name), item))));
        }
        for change in changes {
            self.fleet.apply(change);
        }
        Ok(())
    }

    /// Decides about everything, and takes the statuses in, until nothing changes. Fails where something is left to do.
    fn settle(&mut self) -> Result<()> {
        for name in self.names.clone() {
            self.settle_environment(&name)?;
        }
        for customer in self.customers.clone() {
            self.decide_customer(&customer)?;
        }
        self.decide_template()?;
        Ok(())
    }

    fn settle_environment(&mut self, name: &str) -> Result<()> {
        for _ in 0..LOOKS {
            let decision = self.look(name)?;
            let object = self.fleet.environment(name).context("an environment is gone")?.object.as_ref().clone();
            if decision.step != Step::Nothing {
                bail!("{name} is not in sync: {:?}, {:?}", decision.step, decision.status.message);
            }
            if object.status.as_ref() == Some(&decision.status) {
                let runs = decision.status.reason == Some(Reason::Running);
                return if runs { Ok(()) } else { Err(anyhow!("{name} does not run: {:?}", decision.status)) };
            }
            self.version += 1;
            let mut written = OdooEnvironment { status: Some(decision.status), ..object };
            written.metadata.resource_version = Some(self.version.to_string());
            self.fleet.note_told(Arc::new(written));
        }
        bail!("the status of {name} does not come to rest")
    }

    fn decide_customer(&mut self, name: &str) -> Result<()> {
        let decision = self.fleet.decide_customer(name, false, self.now).context("a customer is gone")?;
        let customer = self.fleet.customer(name).context("a customer is gone")?.as_ref().clone();
        let written = OdooCustomer { status: Some(decision.status), ..customer };
        self.fleet.apply(Change::Customers(Delta::Applied(Arc::new(written))));
        Ok(())
    }

    /// A look at the template, and its status taken in. Says who must be looked at because of it.
    pub fn decide_template(&mut self) -> Result<Affected> {
        let decision = self.fleet.decide_template(fleet::TEMPLATE, self.now).context("the template is gone")?;
        let template = self.fleet.template(fleet::TEMPLATE).context("the template is gone")?.as_ref().clone();
        let written = OdooTemplate { status: Some(decision.status), ..template };
        Ok(self.fleet.apply(Change::Templates(Delta::Applied(Arc::new(written)))))
    }

    /// A new version, as if its chart had been fetched. Returns whom its rollout admits first.
    pub fn release_version(&mut self) -> Result<VecDeque<String>> {
        self.offered += 1;
        let template = self.fleet.template(fleet::TEMPLATE).context("the template is gone")?.as_ref().clone();
        let mut object = serde_json::to_value(&template)?;
        object["spec"]["version"] = json!(self.offered.to_string());
        self.offer(object)?;
        self.decide_template()?;
        self.prune();
        let newest = self.offered.to_string();
        let chosen = |name: &&String| {
            let look = self.fleet.look(name, self.now);
            look.and_then(|look| look.version.ok()).is_some_and(|choice| choice.stored.content.version == newest)
        };
        Ok(self.names.iter().filter(chosen).cloned().collect())
    }

    /// Removes versions that nobody needs, as the operator does.
    fn prune(&mut self) {
        let Some(decision) = self.fleet.decide_template(fleet::TEMPLATE, self.now) else { return };
        let TemplateStep::Prune(objects) = decision.step else { return };
        let gone =
            self.fleet.versions_of(fleet::TEMPLATE).into_iter().filter(|stored| objects.contains(&stored.object));
        for stored in gone.cloned().collect::<Vec<_>>() {
            self.fleet.apply(Change::TemplateVersions(Delta::Deleted((fleet::TEMPLATE.to_owned(), stored))));
        }
    }

    fn offer(&mut self, mut object: Value) -> Result<()> {
        self.written(&mut object, self.offered)?;
        let template: OdooTemplate = serde_json::from_value(object)?;
        let content = VersionContent::new(&template.spec, self.chart.content(), self.chart.digest().to_owned())?;
        let stored = StoredVersion {
            object: revision_name(fleet::TEMPLATE, &content.version),
            digest: content.digest(),
            content: Arc::new(content),
            created_at: self.now,
            has_upgrade_hooks: Some(false),
        };
        self.fleet.apply(Change::Templates(Delta::Applied(Arc::new(template))));
        self.fleet.apply(Change::TemplateVersions(Delta::Applied((fleet::TEMPLATE.to_owned(), stored))));
        Ok(())
    }

    /// An environment as it stands when it has come to the newest version.
    pub fn arrived(&mut self, name: &str) -> Result<Arc<OdooEnvironment>> {
        self.version += 1;
        let mut object = self.fleet.environment(name).context("an environment is gone")?.object.as_ref().clone();
        object.metadata.resource_version = Some(self.version.to_string());
        let status = object.status.get_or_insert_default();
        if let Some(template) = &mut status.template {
            template.version = self.offered.to_string();
        }
        if let Some(release) = &mut status.release {
            release.revision += 1;
        }
        Ok(Arc::new(object))
    }
}

fn spread(names: &[String], count: usize) -> Vec<String> {
    names.iter().step_by((names.len() / count).max(1)).take(count).cloned().collect()
}

fn passwords(wanted: &Validated, version: &str) -> (ObjectName, ReferencedObject) {
    let keys = ["admin_passwd", "administrator_password", "password"];
    let found = ReferencedObject::Found {
        customer: Some(wanted.customer.to_string()),
        shared: false,
        type_: "Opaque".to_owned(),
        environment: Some(wanted.environment.clone()),
        stage: None,
        named_by_production: false,
        generated_for: Some(wanted.environment.clone()),
        generated_uid: Some(wanted.uid.clone()),
        keys: keys.map(|key| (key.to_owned(), "0".repeat(52))).into(),
        resource_version: version.to_owned(),
    };
    (ObjectName { kind: ObjectKind::Secret, name: wanted.generated_secret.clone() }, found)
}

fn workload(kind: WorkloadKind, name: &str, release: &str, version: &str) -> Workload {
    let database = kind == WorkloadKind::StatefulSet;
    Workload {
        kind,
        name: name.to_owned(),
        release: release.to_owned(),
        role: if database { WorkloadRole::Database } else { WorkloadRole::Application },
        live: !database,
        replicas: 1,
        current_replicas: 1,
        ready_replicas: 1,
        observed: true,
        updated: true,
        replicas_before_stop: None,
        selector: BTreeMap::from([("app.kubernetes.io/instance".to_owned(), release.to_owned())]),
        claims: if database { Vec::new() } else { vec![format!("{release}-filestore")] },
        claim_templates: if database { vec!["data".to_owned()] } else { Vec::new() },
        pods_refused: None,
        autoscaled: false,
        resource_version: version.to_owned(),
    }
}

fn pod(kind: WorkloadKind, owner: &str) -> Pod {
    let container = |name: &str, init: bool| Container {
        name: name.to_owned(),
        init,
        ready: true,
        restarts: 0,
        running: !init,
        waiting: None,
        terminated: None,
    };
    Pod {
        name: format!("{owner}-0"),
        uid: format!("uid-of-{owner}-0"),
        owner: (kind, owner.to_owned()),
        created_at: Timestamp::UNIX_EPOCH,
        deleting: false,
        finished: false,
        ready: true,
        unschedulable: None,
        node_lost: false,
        node: Some("node-1".to_owned()),
        containers: match kind {
            WorkloadKind::Deployment => {
                vec![container("configure", true), container("prepare", true), container("odoo", false)]
            }
            WorkloadKind::StatefulSet => vec![container("postgresql", false)],
        },
    }
}

fn volume(owner: &str, part: &str, release: Option<String>) -> Item {
    let volume = Volume {
        name: format!("{owner}-{part}"),
        bound: true,
        shared: false,
        size: Some("10Gi".to_owned()),
        deleting: false,
        marked: release.is_some(),
    };
    Item::Volume { release, marked_for: None, volume }
}
