//! What a chart's init containers leave in their termination message: the only way in which a pod without rights tells us
//! what happened inside. Charts that say nothing are served all the same.

use jiff::Timestamp;
use odoofleet_api::conditions::Reason;
use odoofleet_api::environment::{AddonStatus, DatabaseStatus};
use serde::Deserialize;

use crate::finding::Finding;

/// Longest text that is taken over from a pod.
const TEXT: usize = 600;
/// Most modules that are named.
const MODULES: usize = 30;

/// A termination message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TerminationMessage {
    /// What went wrong.
    pub error: Option<Finding>,
    /// What is about to be done to the database.
    pub plan: Option<Plan>,
    /// How the database is.
    pub database: Option<DatabaseStatus>,
    /// What was fetched.
    pub addon: Option<AddonStatus>,
}

/// What is about to be done to the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What.
    pub action: PlanAction,
    /// Modules, as far as they are named.
    pub modules: Vec<String>,
    /// How many there are.
    pub total: usize,
}

/// What is done to a database before Odoo starts.
#[derive(Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanAction {
    /// It is made.
    Initialise,
    /// Modules are installed or updated.
    Update,
    /// It is as it should be.
    Nothing,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Raw {
    error: Option<Error>,
    plan: Option<RawPlan>,
    database: Option<Database>,
    addon: Option<AddonStatus>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Error {
    reason: String,
    message: String,
}

#[derive(Deserialize)]
struct RawPlan {
    action: PlanAction,
    #[serde(default)]
    modules: Vec<String>,
    #[serde(default)]
    total: usize,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Database {
    initialised: bool,
    fingerprint: Option<String>,
    updated_at: Option<Timestamp>,
    uuid: Option<String>,
    modules_failed: Vec<String>,
}

/// Reads a termination message. None if it is not one of ours. Texts come from a customer's pod: they are cut, and lose
/// what is not printable.
pub fn parse(text: &str) -> Option<TerminationMessage> {
    let raw: Raw = serde_json::from_str(text.trim()).ok()?;
    let message = TerminationMessage {
        error: raw.error.map(|error| Finding::new(reason(&error.reason), clean(&error.message))),
        plan: raw.plan.map(|plan| Plan {
            action: plan.action,
            total: plan.total.max(plan.modules.len()),
            modules: names(plan.modules),
        }),
        database: raw.database.map(|database| DatabaseStatus {
            initialised: database.initialised,
            fingerprint: database.fingerprint.map(|text| clean(&text)),
            updated_at: database.updated_at.map(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time),
            uuid: database.uuid.map(|text| clean(&text)),
            modules_failed: names(database.modules_failed),
        }),
        addon: raw.addon.map(|addon| AddonStatus {
            url: clean(&addon.url),
            reference: clean(&addon.reference),
            commit: clean(&addon.commit),
        }),
    };
    (message != TerminationMessage::default()).then_some(message)
}

fn names(mut modules: Vec<String>) -> Vec<String> {
    modules.truncate(MODULES);
    modules.iter().map(|name| clean(name)).collect()
}

fn clean(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(TEXT).collect()
}

/// Only what a pod can know: it must not be able to say that its customer is suspended.
fn reason(word: &str) -> Reason {
    const KNOWN: [Reason; 23] = [
        Reason::DatabaseUnreachable,
        Reason::DatabaseRefused,
        Reason::DatabaseConnectionsExhausted,
        Reason::DatabaseFull,
        Reason::DatabaseForeign,
        Reason::DatabaseMajorMismatch,
        Reason::OdooVersionMismatch,
        Reason::InitialisationFailed,
        Reason::ModuleNotFound,
        Reason::ModuleDependencyMissing,
        Reason::ModuleUpdateFailed,
        Reason::AddonRefNotFound,
        Reason::AddonUnreachable,
        Reason::AddonRefused,
        Reason::AddonTooLarge,
        Reason::AddonFolderMissing,
        Reason::AddonManifestMissing,
        Reason::AddonSubmoduleFailed,
        Reason::VolumeReadOnly,
        Reason::VolumeFull,
        Reason::VolumeNotOwned,
        Reason::ConfigurationInvalid,
        Reason::PrepareFailed,
    ];
    let reason = Reason::from(word);
    if KNOWN.contains(&reason) { reason } else { Reason::PrepareFailed }
}

impl Plan {
    /// What goes on, for people. None if nothing does.
    pub fn describe(&self) -> Option<String> {
        let names = self.modules.join(", ");
        let more = self.total.saturating_sub(self.modules.len());
        let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
        match self.action {
            PlanAction::Nothing => None,
            PlanAction::Initialise if self.modules.is_empty() => Some("the database is being initialised".to_owned()),
            PlanAction::Initialise => Some(format!("the database is being initialised with {names}{rest}")),
            PlanAction::Update if self.modules.is_empty() => Some("the database is being prepared".to_owned()),
            PlanAction::Update => Some(format!("modules are being updated: {names}{rest}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_keeps_its_reason_only_if_a_pod_can_know_it() {
        let reason = |word: &str| {
            let text = format!(r#"{{"error": {{"reason": "{word}", "message": "why"}}}}"#);
            parse(&text).unwrap().error.unwrap().reason
        };
        assert_eq!(reason("ModuleUpdateFailed"), Reason::ModuleUpdateFailed);
        assert_eq!(reason("CustomerSuspended"), Reason::PrepareFailed);
        assert_eq!(reason("Whatever"), Reason::PrepareFailed);
    }

    #[test]
    fn what_is_not_ours_is_no_message() {
        for text in ["", "Killed", "{}", "[1]", r#"{"other": 1}"#, r#"{"plan": {"action": "Explode"}}"#] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn texts_from_pods_are_cut_and_printable() {
        let text = serde_json::json!({
            "error": { "reason": "ModuleUpdateFailed", "message": format!("a\u{1b}[31mb\n{}", "x".repeat(5000)) },
            "database": { "initialised": true, "modulesFailed": vec!["m"; 100] },
        });
        let told = parse(&text.to_string()).unwrap();
        let message = told.error.unwrap().message;
        assert!(message.starts_with("a[31mb") && message.chars().count() == TEXT, "{message}");
        assert_eq!(told.database.unwrap().modules_failed.len(), MODULES);
    }

    #[test]
    fn a_plan_is_told_in_words() {
        let plan = |text: &str| parse(text).unwrap().plan.unwrap().describe();
        assert_eq!(plan(r#"{"plan": {"action": "Nothing"}}"#), None);
        assert_eq!(
            plan(r#"{"plan": {"action": "Update", "modules": ["sale", "stock"], "total": 9}}"#).as_deref(),
            Some("modules are being updated: sale, stock and 7 more")
        );
        assert_eq!(plan(r#"{"plan": {"action": "Initialise"}}"#).as_deref(), Some("the database is being initialised"));
    }
}
