//! `OdooCustomer`: a company that has a contract.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::conditions::Reason;
use crate::maintenance::Maintenance;
use crate::names::HOST_PATTERN;

/// A company that has a contract. Its environments and licences refer to it by name.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Debug, Clone, Default, PartialEq)]
#[kube(
    group = "odoofleet.dev",
    version = "v1alpha1",
    kind = "OdooCustomer",
    plural = "odoocustomers",
    shortname = "ocust",
    category = "odoo",
    namespaced,
    status = "OdooCustomerStatus",
    derive = "PartialEq",
    doc = "A company that has a contract. Its environments refer to it by name; what its lifecycle or its dates stop, they stop as an overlay that ends with them.",
    validation = ("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$') && size(self.metadata.name) <= 38", "a customer's name must start with a lowercase letter, hold only lowercase letters, digits and \"-\", end with a letter or digit, and have at most 38 characters: release names start with it"),
    printcolumn(name = "Envs", type_ = "integer", json_path = ".status.environments.total"),
    printcolumn(name = "Running", type_ = "integer", json_path = ".status.environments.running"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Expires", type_ = "string", json_path = ".spec.contract.expiresOn"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "DisplayName", type_ = "string", json_path = ".spec.displayName", priority = 1),
    printcolumn(name = "Deployment", type_ = "string", json_path = ".status.deploymentType", priority = 1),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message", priority = 1),
    selectable = ".status.phase"
)]
#[x_kube(validation = ("has(self.id) == has(oldSelf.id) && (!has(self.id) || self.id == oldSelf.id)", "id is immutable: releases and licences carry it; create another customer instead"))]
#[serde(rename_all = "camelCase")]
pub struct OdooCustomerSpec {
    /// The customer id that charts get as `customer.id`, if it differs from the object's name (for example `C0123`). Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"))]
    pub id: Option<String>,
    /// The company's name, in its own language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 200))]
    pub display_name: Option<String>,
    /// Whom to call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<Contact>,
    /// The contract and its dates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<Contract>,
    /// Where the customer stands. Default: Active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifecycle: Option<Lifecycle>,
    /// What follows when the contract has expired. Default: Warn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_expiry: Option<OnExpiry>,
    /// The most that the customer's environments may take together. Lowering a limit never stops what runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// Domains in which the hosts of the customer's environments lie: `acme.cn` allows `acme.cn` and whatever ends with `.acme.cn`.
    /// Default: those of the operator's setting `allowedDomains`; without both, any host. Writing it needs the verb `assign-domains`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 50),
        inner(
            length(min = 1, max = 253),
            regex(pattern = HOST_PATTERN)
        )
    )]
    pub domains: Vec<String>,
    /// When rollouts may change the customer's environments. An environment's own windows stand before these, and these before the
    /// template's. Default: the template's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<Maintenance>,
    /// Free notes for people and scripts, such as a tax id or the sales owner.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// True: the operator looks away from this object. Nothing is stopped or started because of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
}

/// Whom to call.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Contact {
    /// Name of the person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// E-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Telephone number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// Postal address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// The contract. Dates are inclusive: the contract holds from the first moment of `startsOn` to the last of `expiresOn`.
#[derive(Serialize, Deserialize, KubeSchema, Debug, Clone, Default, PartialEq)]
#[x_kube(validation = ("!has(self.startsOn) || !has(self.expiresOn) || self.startsOn <= self.expiresOn", "expiresOn must not lie before startsOn"))]
#[serde(rename_all = "camelCase")]
pub struct Contract {
    /// Number of the contract.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// Day of the signature, `YYYY-MM-DD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$"))]
    pub signed_on: Option<String>,
    /// First day, `YYYY-MM-DD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$"))]
    pub starts_on: Option<String>,
    /// Last day, `YYYY-MM-DD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$"))]
    pub expires_on: Option<String>,
    /// IANA time zone in which the days begin and end, such as `Asia/Shanghai`. Default: the operator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
}

/// Where a customer stands.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Lifecycle {
    /// Not a customer yet: nothing is installed, nothing that runs is stopped.
    Prospect,
    /// Tries the product: environments are installed and run.
    Trial,
    /// Pays: environments are installed and run.
    #[default]
    Active,
    /// May not work for now: every environment is stopped until the lifecycle changes again.
    Suspended,
    /// The contract is over: every environment is stopped; data stays until somebody deletes it.
    Terminated,
}

/// What follows when the contract has expired.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct OnExpiry {
    /// What is stopped when the days of grace have passed. Default: Warn, which stops nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<ExpiryAction>,
    /// Days after `expiresOn` in which everything goes on. Default: 15.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3650))]
    pub grace_days: Option<i32>,
    /// When a stop may begin. Default: Monday to Friday, 10:00 to 16:00, in the contract's time zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_window: Option<StopWindow>,
}

/// What an expired contract stops.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ExpiryAction {
    /// Nothing; the phase says `Expired`.
    #[default]
    Warn,
    /// Environments whose stage is not Production.
    StopNonProduction,
    /// Every environment.
    Stop,
}

/// When a stop may begin that only time asks for.
#[derive(Serialize, Deserialize, KubeSchema, Debug, Clone, PartialEq)]
#[x_kube(validation = ("self.from < self.to", "a stop window must end after it begins, on the same day"))]
#[serde(rename_all = "camelCase")]
pub struct StopWindow {
    /// Days of the week.
    #[schemars(length(min = 1, max = 7))]
    pub days: Vec<Weekday>,
    /// Begin, `HH:MM`.
    #[schemars(regex(pattern = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"))]
    pub from: String,
    /// End, `HH:MM`, on the same day.
    #[schemars(regex(pattern = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"))]
    pub to: String,
}

/// A day of the week.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Weekday {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

/// The most that a customer's environments may take together.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Number of environments. One more is refused with `LimitExceeded`; those that exist go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub environments: Option<i32>,
}

/// What the operator knows of a customer.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct OdooCustomerStatus {
    /// The generation of the spec that this status describes; -1 before the first look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What lifecycle and dates come to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<CustomerPhase>,
    /// Where the customer's environments are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment_type: Option<DeploymentType>,
    /// The customer's environments, counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environments: Option<EnvironmentCounts>,
    /// Stop that the customer's state has put on environments, and since when it is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<CustomerStop>,
    /// Value of annotation `odoofleet.dev/requestedAt` that was handled last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
    /// Conditions: Ready; Reconciling and Stalled while they are true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// What lifecycle and dates come to.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum CustomerPhase {
    /// Not a customer yet.
    Prospect,
    /// Tries the product.
    Trial,
    /// In contract.
    Active,
    /// In contract for at most 30 more days.
    ExpiringSoon,
    /// The contract has expired; the days of grace run.
    Grace,
    /// The contract and its grace have expired.
    Expired,
    /// May not work for now.
    Suspended,
    /// The contract is over.
    Terminated,
}

/// Where a customer's environments are.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeploymentType {
    /// All in our cluster.
    Online,
    /// All at the customer's.
    Offline,
    /// Some here, some there.
    Mixed,
}

/// Environments, counted.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentCounts {
    /// All.
    pub total: i32,
    /// Phase Running.
    pub running: i32,
    /// Phase Stopped.
    pub stopped: i32,
    /// Phase Pending.
    pub pending: i32,
    /// Phase Error.
    pub error: i32,
}

/// A stop in force.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct CustomerStop {
    /// Which environments are stopped.
    pub scope: StopScope,
    /// Why: `CustomerSuspended`, `CustomerTerminated` or `CustomerExpired`.
    pub reason: Reason,
    /// Since when, RFC 3339.
    pub since: String,
}

/// Which environments a stop takes down.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopScope {
    /// Those whose stage is not Production.
    NonProduction,
    /// Every one.
    All,
}
