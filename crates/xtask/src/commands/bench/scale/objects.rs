//! A restart with very many environments in sync, of which only the objects are there.
//!
//! One is installed by the operator. The others are copies of what Helm made for it, with the labels that the operator would
//! have written: nobody waits hours for Helm, and the operator cannot tell them from releases of its own.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use odoofleet_api::{OdooCustomer, OdooTemplate, labels};
use odoofleet_core::fleet::{Change, Delta};
use odoofleet_core::template::{StoredVersion, VersionContent};
use serde_json::{Value, json};

use super::chart::Chart;
use super::model::Model;
use crate::commands::bench::api::{Api, each};
use crate::commands::bench::fleet::{Environment, Fleet, NAMESPACE};
use crate::commands::bench::lab::Lab;
use crate::commands::bench::rates::all_environments;
use crate::commands::bench::report::Report;
use crate::commands::bench::restart::{self, Goals};
use crate::commands::bench::stats::{median_and_most, seconds};
use crate::commands::bench::watch;
use crate::{exec, ui};

const GOALS: Goals = Goals { looked: "< 15 s at 10,000, < 2 s at 1,000", memory: "< 250 MiB at 10,000" };
/// Whoever brings Deployments and StatefulSets about; here their statuses are copies, too.
const CONTROLLERS: &str = "kube-controller-manager";

/// Measures it.
pub fn measure(lab: &mut Lab, size: u32) -> Result<Report> {
    let fleet = Fleet::new(size);
    let mut report = Report::new(["measured", "OdooFleet", "", "goal"]);
    let api = Api::open(&lab.kube())?;
    ui::heading("Objects");
    let copies = Copies::begin(lab, &api, &fleet)?;
    lab.stop_operator()?;
    lab.stop_part(CONTROLLERS)?;
    let task = ui::Task::start(format!("Objects of {size} environments"));
    let others = &fleet.all()[1..];
    each(others.len(), |index| copies.write(&api, &others[index]))?;
    task.done(format!("Objects of {size} environments are there"));
    let task = ui::Task::start("The operator finds them");
    let environments = watch::environments(&lab.kube(), NAMESPACE)?;
    let since = Instant::now();
    lab.start_operator()?;
    let told = all_environments(&environments, &fleet, |seen| seen.rests_in("Running"))? - since;
    task.done("The operator has told how they are");
    report.add(format!("{size} found for the first time: each status written after"), seconds(told), "", "");
    command_line(lab, size, &mut report)?;
    ui::heading("Restart");
    restart::measure(lab, &fleet, &GOALS, &mut report)?;
    Ok(report)
}

/// How long people wait for the table of all environments.
fn command_line(lab: &Lab, size: u32, report: &mut Report) -> Result<()> {
    let kube = lab.kube();
    let mut took = Vec::new();
    for _ in 0..5 {
        let mut command = kube.odoo();
        let since = Instant::now();
        let table = exec::output(command.args(["status", "--all-namespaces"]))?;
        took.push(since.elapsed());
        let rows = table.lines().count();
        if rows <= size as usize {
            bail!("kubectl odoo status shows {rows} lines, and there are {size} environments");
        }
    }
    let goal = if size <= 1_000 { "< 1 s at 1,000" } else { "" };
    report.add(format!("`kubectl odoo status -A` with {size}"), median_and_most(&took), "", goal);
    Ok(())
}

/// What is copied.
struct Copies {
    first: Environment,
    /// Decides what each should hold.
    model: Mutex<Model>,
    /// The release, the passwords, and the workloads, as they are for the first: collection and object.
    objects: Vec<(String, Value)>,
}

impl Copies {
    /// Writes template and customers, and has the operator install the first environment.
    fn begin(lab: &Lab, api: &Api, fleet: &Fleet) -> Result<Self> {
        let task = ui::Task::start("The operator installs one environment");
        let base: Value = serde_json::from_str(&fleet.base())?;
        let base = base["items"].as_array().cloned().unwrap_or_default();
        each(base.len(), |index| {
            let kind = base[index]["kind"].as_str().unwrap_or_default().to_lowercase();
            api.create(&ours(&format!("{kind}s")), &base[index]).map(drop)
        })?;
        let first = fleet.all().first().context("there are no environments")?.clone();
        let environments = watch::environments(&lab.kube(), NAMESPACE)?;
        api.create(&ours("odooenvironments"), &first.manifest(0))?;
        environments.find(|seen| seen.metadata.name == first.name() && seen.rests_in("Running"))?;
        let mut wait = lab.kube().kubectl();
        wait.args(["wait", "odoocustomers", "--all", "--namespace", NAMESPACE, "--for=condition=Ready"]);
        exec::output(wait.arg("--timeout=300s"))?;
        let name = first.name();
        let objects = [
            ("/api/v1", "secrets", format!("sh.helm.release.v1.{name}.v1")),
            ("/api/v1", "secrets", format!("{name}-odoofleet")),
            ("/apis/apps/v1", "deployments", format!("{name}-web")),
            ("/apis/apps/v1", "statefulsets", format!("{name}-postgresql")),
        ];
        let mut model = picture(lab, api)?;
        let environment = serde_json::from_value(api.get(&ours(&format!("odooenvironments/{name}")))?)?;
        let wanted = model.wanted(environment)?;
        let mut read = Vec::new();
        for (group, resource, object) in objects {
            read.push((collection(group, resource), api.get(&format!("{}/{object}", collection(group, resource)))?));
        }
        let kept = &read[0].1["metadata"]["labels"][labels::SPEC_HASH];
        if *kept != json!(wanted.spec_hash) {
            bail!("the operator wrote spec hash {kept}, not {}: the copies would not be in sync", wanted.spec_hash);
        }
        task.done("The operator installed one environment");
        let objects = read.into_iter().map(|(path, object)| (path, cleaned(object))).collect();
        Ok(Self { first, model: Mutex::new(model), objects })
    }

    /// Writes one more environment, with all that its installation would have made.
    fn write(&self, api: &Api, to: &Environment) -> Result<()> {
        let mut manifest = to.manifest(0);
        manifest["metadata"]["finalizers"] = json!([labels::FINALIZER]);
        let kept = api.create(&ours("odooenvironments"), &manifest)?;
        let environment = serde_json::from_value(kept)?;
        let wanted = self.model.lock().unwrap_or_else(PoisonError::into_inner).wanted(environment)?;
        for (path, object) in &self.objects {
            let mut copy: Value = serde_json::from_str(&self.renamed(object, to))?;
            let own = copy["metadata"]["labels"].as_object_mut().context("an object has no labels")?;
            for (key, value) in wanted.release_labels(1) {
                if let Some(label) = own.get_mut(key) {
                    *label = json!(value);
                }
            }
            let status = copy.as_object_mut().and_then(|copy| copy.remove("status"));
            let kept = api.create(path, &copy)?;
            if let (Some(status), Some(name)) = (status, kept["metadata"]["name"].as_str()) {
                api.patch(&format!("{path}/{name}/status"), &json!({ "status": status }))?;
            }
        }
        Ok(())
    }

    fn renamed(&self, object: &Value, to: &Environment) -> String {
        let text = object.to_string().replace(&self.first.name(), &to.name());
        text.replace(self.first.customer(), to.customer())
    }
}

/// An object without what the API server gave it, and a release without its payload: the operator never reads that.
fn cleaned(mut object: Value) -> Value {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for own in ["uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "ownerReferences"] {
            metadata.remove(own);
        }
    }
    if object["type"] == "helm.sh/release.v1" {
        object["data"] = json!({});
    }
    if !object["status"]["observedGeneration"].is_null() {
        object["status"]["observedGeneration"] = json!(1);
    }
    object
}

/// What decides over an environment: customers, template, and its version.
fn picture(lab: &Lab, api: &Api) -> Result<Model> {
    let mut model = Model::empty(&Chart::read(lab.chart())?)?;
    for customer in items(api.get(&ours("odoocustomers"))?)? {
        let customer: OdooCustomer = serde_json::from_value(customer)?;
        model.fleet().apply(Change::Customers(Delta::Applied(Arc::new(customer))));
    }
    for template in items(api.get(&ours("odootemplates"))?)? {
        let template: OdooTemplate = serde_json::from_value(template)?;
        model.fleet().apply(Change::Templates(Delta::Applied(Arc::new(template))));
    }
    let revisions =
        format!("{}?labelSelector={}", collection("/apis/apps/v1", "controllerrevisions"), labels::TEMPLATE);
    for revision in items(api.get(&revisions)?)? {
        let content: VersionContent = serde_json::from_value(revision["data"].clone())?;
        let text = |path: &str| revision.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let template = text(&format!("/metadata/labels/{}", labels::TEMPLATE.replace('/', "~1")));
        let stored = StoredVersion {
            object: text("/metadata/name"),
            digest: content.digest(),
            content: Arc::new(content),
            created_at: text("/metadata/creationTimestamp").parse()?,
            has_upgrade_hooks: Some(false),
        };
        model.fleet().apply(Change::TemplateVersions(Delta::Applied((template, stored))));
    }
    Ok(model)
}

fn items(mut list: Value) -> Result<Vec<Value>> {
    match list["items"].take() {
        Value::Array(items) => Ok(items),
        _ => bail!("the API server answered without items"),
    }
}

/// Path of a collection of ours.
pub fn ours(resource: &str) -> String {
    collection("/apis/odoofleet.dev/v1alpha1", resource)
}

fn collection(group: &str, resource: &str) -> String {
    format!("{group}/namespaces/{NAMESPACE}/{resource}")
}
