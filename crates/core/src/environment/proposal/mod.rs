//! The environment under which a release that somebody else installed goes on as it is: proposed, for a person to read.
//!
//! It says only what differs from the template: fields of the spec where the template binds them, `spec.values` for the rest, and a
//! Secret for what only Secrets may feed. What cannot be said is a note. Whether the release then equals what is rendered, the operator
//! compares; see [`super::adoption`].

mod check;
mod fields;
mod note;
mod own;

use std::collections::BTreeMap;

use odoofleet_api::environment::{Adoption, Stage};
use odoofleet_api::names::{CustomerName, NameError, ReleaseName};
use odoofleet_api::{Object, OdooEnvironment, labels};
use serde::Serialize;
use serde_json::{Value, json};

use super::adoption::other_customer;
use super::references::{CustomerView, VersionView};
use crate::finding::Finding;
use crate::record::Record;
use crate::values::{ValuePath, leaks, merge};
pub use note::{Note, Why};

/// A release, and what it is to become.
pub struct Subject<'a> {
    /// What the release was given.
    pub record: &'a Record,
    /// The template's version.
    pub version: &'a VersionView,
    /// The customer.
    pub customer: &'a CustomerView,
    /// Its name.
    pub customer_name: &'a str,
    /// The namespace of the release.
    pub namespace: &'a str,
    /// What it is for; else the release's name says it, or the stage.
    pub service: Option<&'a str>,
    /// Its stage; else the release's values say it where the template binds them, or it is Production, which is guarded best.
    pub stage: Option<Stage>,
    /// What is done about the release.
    pub mode: Adoption,
    /// Pods that the workload has which `spec.replicas` counts; none if nobody can tell.
    pub pods: Option<i32>,
}

/// An environment, and what belongs to it.
pub struct Proposal {
    /// The environment.
    pub environment: OdooEnvironment,
    /// What only Secrets may feed, if there is any.
    pub secret: Option<ProposedSecret>,
    /// What a person should know: paths, never values.
    pub notes: Vec<Note>,
    /// Why the operator would refuse it, if it would.
    pub refusal: Option<Finding>,
}

/// A Secret as it is written. It has no `Debug`: it holds passwords.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProposedSecret {
    api_version: &'static str,
    kind: &'static str,
    /// Name, namespace and labels.
    pub metadata: SecretMetadata,
    #[serde(rename = "type")]
    type_: &'static str,
    /// Its content.
    pub string_data: BTreeMap<String, String>,
}

/// Metadata of a Secret as it is written.
#[derive(Debug, Clone, Serialize)]
pub struct SecretMetadata {
    /// Name.
    pub name: String,
    /// Namespace.
    pub namespace: String,
    /// Labels.
    pub labels: BTreeMap<&'static str, String>,
}

impl ProposedSecret {
    /// The same with a word in place of each value.
    #[must_use]
    pub fn redacted(&self) -> Self {
        let hidden = self.string_data.keys().map(|key| (key.clone(), "<redacted>".to_owned())).collect();
        Self { string_data: hidden, ..self.clone() }
    }
}

/// Why nothing is proposed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposalError {
    /// The release is another customer's. Whose is not told.
    #[error(
        "the values of release \"{release}\" name at \"{path}\" another customer's id than \"{id}\", which is that of OdooCustomer \"{customer}\": choose the customer to whom it belongs"
    )]
    AnotherCustomer {
        /// The release.
        release: String,
        /// Where it says so.
        path: String,
        /// The id of the customer that was named.
        id: String,
        /// The customer that was named.
        customer: String,
    },
    /// A name that cannot be.
    #[error(transparent)]
    Name(#[from] NameError),
    /// What was put together is no environment.
    #[error("the environment cannot be put together: {0}")]
    Form(String),
}

/// Proposes an environment for a release.
///
/// # Errors
/// A release of another customer, and names that cannot be.
pub fn propose(subject: &Subject<'_>) -> Result<Proposal, ProposalError> {
    let (record, content) = (subject.record, &subject.version.content);
    if let Some((path, _)) = other_customer(&record.config, &content.bindings, &subject.customer.id) {
        let (id, customer) = (subject.customer.id.clone(), subject.customer_name.to_owned());
        return Err(ProposalError::AnotherCustomer { release: record.name.clone(), path, id, customer });
    }
    let (customer, release) = (CustomerName::parse(subject.customer_name)?, ReleaseName::parse(&record.name)?);
    let mut draft = Draft::new(subject, &release);
    let stage = subject.stage.or_else(|| draft.bound_stage()).unwrap_or(Stage::Production);
    let service = subject.service.map_or_else(|| service_of(&release, &customer, stage), str::to_owned);
    let derived = ReleaseName::derive(&customer, &service);
    draft.spec = Object::new();
    draft.put("customerRef", json!({ "name": subject.customer_name }));
    draft.put("serviceName", json!(service));
    match derived {
        Ok(name) if name == release => {}
        Ok(_) | Err(NameError::TooLong { .. }) => draft.put("releaseName", json!(release.as_str())),
        Err(error) => return Err(error.into()),
    }
    draft.put("templateRef", json!({ "name": subject.version.template }));
    draft.put("stage", json!(stage));
    draft.put("adoption", json!(subject.mode));
    draft.environment = format!("{customer}-{service}");
    draft.split();
    draft.bind();
    draft.count();
    draft.finish()
}

/// What a release is for: what its name says after the customer's, else what its stage is mostly called.
pub fn service_of(release: &ReleaseName, customer: &CustomerName, stage: Stage) -> String {
    let rest = release.as_str().strip_prefix(customer.as_str()).and_then(|rest| rest.strip_prefix('-'));
    let usual = match stage {
        Stage::Production => "prod",
        Stage::Staging => "staging",
        Stage::Test => "test",
    };
    let is_name = |name: &&str| name.starts_with(|first: char| first.is_ascii_lowercase());
    rest.filter(is_name).unwrap_or(usual).to_owned()
}

/// A proposal that is being made.
struct Draft<'a> {
    subject: &'a Subject<'a>,
    release: String,
    environment: String,
    /// Places to which the template brings something, with the input; none for expressions.
    bound: Vec<(ValuePath, Option<&'a str>)>,
    secret_paths: Vec<ValuePath>,
    locked_paths: Vec<ValuePath>,
    /// The values with which the release was made.
    desired: Object,
    /// What an environment without a word of its own would have, before the bindings.
    base: Object,
    /// What it says of its own.
    own: Object,
    spec: Object,
    values_from: Vec<Value>,
    secrets: BTreeMap<String, String>,
    /// Paths that come from Secrets.
    fed: Vec<ValuePath>,
    notes: Vec<Note>,
}

impl<'a> Draft<'a> {
    fn new(subject: &'a Subject<'a>, release: &ReleaseName) -> Self {
        let (record, version) = (subject.record, subject.version);
        let mut base = version.chart.values.clone();
        merge(&mut base, &version.content.values);
        let bindings = version.content.bindings.iter();
        let bound = bindings.filter_map(|binding| Some((ValuePath::parse(&binding.to).ok()?, binding.from.as_deref())));
        let mut notes = Vec::new();
        let defaults = own::known(&record.chart.values, &base, &record.config, |path| {
            // Helm merges other charts' defaults into the record; here they are not known.
            if !version.chart.has_dependencies {
                notes.push(Note::new(path, Why::UnknownDefault));
            }
        });
        let mut desired = defaults;
        merge(&mut desired, &record.config);
        Self {
            subject,
            release: release.to_string(),
            environment: String::new(),
            bound: bound.collect(),
            secret_paths: version.content.secret_value_paths(&version.chart),
            locked_paths: version.content.locked_value_paths(&version.chart),
            desired,
            base,
            own: Object::new(),
            spec: Object::new(),
            values_from: Vec::new(),
            secrets: BTreeMap::new(),
            fed: Vec::new(),
            notes,
        }
    }

    fn put(&mut self, field: &str, value: Value) {
        self.spec.insert(field.to_owned(), value);
    }

    fn note(&mut self, path: &ValuePath, why: Why) {
        self.notes.push(Note::new(path, why));
    }

    fn bound_stage(&self) -> Option<Stage> {
        let mut bound = self.bound.iter().filter(|(_, from)| *from == Some("stage"));
        bound.find_map(|(path, _)| serde_json::from_value(path.get(&self.desired)?.clone()).ok())
    }

    /// What no field of the spec owns: values of its own, and what Secrets feed.
    fn split(&mut self) {
        let (mut desired, mut base) = (self.desired.clone(), self.base.clone());
        for (path, _) in &self.bound {
            // An entry of a list cannot be left out: those behind it would move.
            let path = if path.to_string().ends_with(']') { path.outermost_list() } else { Some(path.clone()) };
            let Some(path) = path else { continue };
            path.remove(&mut desired);
            path.remove(&mut base);
        }
        let mut own = own::over(&base, &desired);
        self.take_locked(&mut own);
        for (path, value) in self.take_secrets(&mut own) {
            self.feed(&path, &value);
        }
        self.take_leaks(&mut own);
        self.own = own;
    }

    /// What the template locks is its own.
    fn take_locked(&mut self, values: &mut Object) {
        for path in self.locked_paths.clone() {
            if path.get(values).is_some() {
                path.remove(values);
                self.note(&path, Why::Locked);
            }
        }
    }

    /// What only Secrets may feed, single value by single value.
    fn take_secrets(&self, values: &mut Object) -> Vec<(ValuePath, Value)> {
        let mut taken = Vec::new();
        for path in &self.secret_paths {
            let all = own::leaves_in(values, path);
            let plain = all.into_iter().filter(|(_, value)| own::is_plain(value));
            let plain: Vec<(ValuePath, Value)> = plain.map(|(path, value)| (path, value.clone())).collect();
            if !plain.is_empty() {
                path.remove(values);
                taken.extend(plain);
            }
        }
        own::prune(values);
        taken
    }

    /// What looks like a password and may not come from a Secret is written nowhere.
    fn take_leaks(&mut self, values: &mut Object) {
        for path in leaks(values) {
            path.remove(values);
            self.note(&path, Why::OpenSecret);
        }
        own::prune(values);
    }

    /// Has a Secret bring a value.
    fn feed(&mut self, path: &ValuePath, value: &Value) {
        let Some(text) = own::text(value) else { return };
        if !value.is_string() {
            self.note(path, Why::Text);
        }
        let key = self.key_for(path);
        let name = self.secret_name();
        self.values_from.push(json!({
            "secretKeyRef": { "name": name, "key": key }, "targetPath": path.to_string(),
        }));
        self.secrets.insert(key, text);
        self.fed.push(path.clone());
    }

    fn secret_name(&self) -> String {
        format!("{}-values", self.environment)
    }

    /// A key of a Secret that is free, and says which path it is for.
    fn key_for(&self, path: &ValuePath) -> String {
        let letter = |letter: char| match letter {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '-' => Some(letter),
            '[' => Some('.'),
            ']' | '\\' => None,
            _ => Some('-'),
        };
        let key: String = path.to_string().chars().filter_map(letter).take(240).collect();
        let others = (2..).map(|number| format!("{key}-{number}"));
        let mut keys = std::iter::once(key.clone()).chain(others);
        keys.find(|key| !self.secrets.contains_key(key)).unwrap_or(key)
    }

    /// How many pods there are.
    fn count(&mut self) {
        let mut bound = self.bound.iter().filter(|(_, from)| *from == Some("replicas"));
        let given = bound.find_map(|(path, _)| {
            let number = path.get(&self.desired)?.as_i64()?;
            Some((path.clone(), i32::try_from(number).ok().filter(|number| (0..=100).contains(number))?))
        });
        let scales_itself = self.subject.record.manifest.contains("kind: HorizontalPodAutoscaler");
        let pods = self.subject.pods.filter(|pods| *pods == 0 || !scales_itself);
        let replicas = match (pods, given) {
            // With another number it would be rendered otherwise, and never be equal. What is at zero stays there.
            (Some(0), Some((path, given))) if given > 0 => {
                self.note(&path, Why::Asleep);
                given
            }
            (Some(pods), _) => pods.min(100),
            (None, given) => given.map_or(1, |(_, given)| given),
        };
        self.put("replicas", json!(replicas));
    }

    fn finish(mut self) -> Result<Proposal, ProposalError> {
        if !self.own.is_empty() {
            let own = Value::Object(std::mem::take(&mut self.own));
            self.put("values", own);
        }
        if !self.values_from.is_empty() {
            let values_from = json!(std::mem::take(&mut self.values_from));
            self.put("valuesFrom", values_from);
        }
        let environment: OdooEnvironment = serde_json::from_value(json!({
            "apiVersion": "odoofleet.dev/v1alpha1",
            "kind": "OdooEnvironment",
            "metadata": { "name": self.environment, "namespace": self.subject.namespace },
            "spec": self.spec,
        }))
        // Not the error itself: it may quote a value.
        .map_err(|error| ProposalError::Form(format!("{:?}", error.classify())))?;
        let refusal = self.check(&environment);
        let secret = (!self.secrets.is_empty()).then(|| ProposedSecret {
            api_version: "v1",
            kind: "Secret",
            metadata: SecretMetadata {
                name: self.secret_name(),
                namespace: self.subject.namespace.to_owned(),
                labels: BTreeMap::from([
                    (labels::CUSTOMER, self.subject.customer_name.to_owned()),
                    (labels::ENVIRONMENT, self.environment.clone()),
                ]),
            },
            type_: "Opaque",
            string_data: std::mem::take(&mut self.secrets),
        });
        self.notes.sort();
        self.notes.dedup();
        Ok(Proposal { environment, secret, notes: self.notes, refusal })
    }
}

#[cfg(test)]
mod tests;
