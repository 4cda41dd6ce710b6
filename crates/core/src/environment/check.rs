//! Trying a change before it replaces what runs.
//!
//! Odoo's pods are replaced all at once: a tag that does not exist, an image that cannot be pulled or a module without code
//! would end an Odoo that people work with. So what its pods begin with is tried first, in a pod of its own that the chart
//! describes, and only then the release is upgraded.

use odoofleet_api::Object;
use odoofleet_api::conditions::Reason;
use serde_json::json;

use super::Refusal;
use super::diagnosis::{self, Diagnosis};
use super::plan::Situation;
use super::validate::Validated;
use crate::digest;
use crate::observed::{Check, Running};
use crate::values::BoundValue;

/// Inputs with which Odoo's pods begin.
const INPUTS: [&str; 5] = ["image", "addonsImage", "git", "modules", "odooVersion"];

/// What has to happen before an upgrade.
#[derive(Debug, PartialEq, Eq)]
pub enum First {
    /// Nothing.
    Nothing,
    /// The pod is to be started.
    Start,
    /// It has not succeeded yet.
    Wait(Refusal),
}

/// Digest of the final values with which Odoo's pods begin. It holds no secret: those inputs only name them.
pub fn digest(bound: &[BoundValue], composed: &Object, odoo_version: &str) -> String {
    let begins = |input: &str| INPUTS.iter().any(|name| input.split('.').next() == Some(name));
    let values: Vec<_> = bound
        .iter()
        .filter(|value| begins(&value.input))
        .map(|value| json!([value.to.to_string(), value.to.get(composed)]))
        .collect();
    digest::base32(digest::canonical(&json!([odoo_version, values])).as_bytes())
}

/// What has to happen before an upgrade. Where nothing serves, there is nothing to protect.
pub fn first(situation: &Situation<'_>) -> First {
    let Situation { wanted, running, .. } = situation;
    let known = situation.history.newest().and_then(|newest| newest.ownership.check.as_deref());
    if !situation.has_check || wanted.replicas == 0 || known == Some(&wanted.check) || !running.serves() {
        return First::Nothing;
    }
    match running.check.as_ref().filter(|check| check.digest == wanted.check) {
        Some(check) if check.succeeded => First::Nothing,
        Some(check) if check.inputs == wanted.inputs && !check.pod.finished && !check.pod.deleting => {
            First::Wait(tell(check, running).0)
        }
        _ => First::Start,
    }
}

/// What the pod carries as a label.
pub fn label(wanted: &Validated) -> String {
    format!("{}-{}", wanted.check, wanted.inputs)
}

/// Reads the label: digest and inputs.
pub fn read_label(text: &str) -> Option<(String, String)> {
    text.split_once('-').map(|(digest, inputs)| (digest.to_owned(), inputs.to_owned()))
}

/// How a check stands, and whether somebody must mend something before it can succeed.
pub fn tell(check: &Check, running: &Running) -> (Refusal, bool) {
    let name = &check.pod.name;
    match diagnosis::of_pod(&check.pod, running) {
        Some(Diagnosis::Broken(found)) => {
            let message =
                format!("the change was tried in pod \"{name}\" and is not made, what ran goes on: {}", found.message);
            (Refusal::new(found.reason, message), true)
        }
        Some(Diagnosis::Waiting(found)) => {
            let message = format!("the change waits for pod \"{name}\", in which it is tried first: {}", found.message);
            (Refusal::new(found.reason, message), false)
        }
        _ => {
            let message = format!("the change is tried in pod \"{name}\" before it replaces what runs");
            (Refusal::new(Reason::Checking, message), false)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::ValuePath;

    #[test]
    fn the_digest_follows_what_odoos_pods_begin_with_and_nothing_else() {
        let bound = |to: &str, input: &str| BoundValue {
            to: ValuePath::parse(to).unwrap(),
            input: input.to_owned(),
            value: None,
        };
        let bound = [bound("git.customerAddons", "git.customerAddons"), bound("image", "image"), bound("size", "size")];
        let of = |values: serde_json::Value| digest(&bound, values.as_object().unwrap(), "18.0");
        let before = of(json!({ "image": { "tag": "18.0-1" }, "size": "S" }));
        assert_eq!(before, of(json!({ "image": { "tag": "18.0-1" }, "size": "L", "other": 1 })));
        assert_ne!(before, of(json!({ "image": { "tag": "18.0-2" }, "size": "S" })));
        assert_ne!(before, of(json!({ "image": { "tag": "18.0-1" }, "git": { "customerAddons": [{ "ref": "v2" }] } })));
        assert_ne!(before, digest(&bound, json!({ "image": { "tag": "18.0-1" } }).as_object().unwrap(), "19.0"));
        let (digest, inputs) = (before, "a".repeat(8));
        let label = format!("{digest}-{inputs}");
        assert!(label.len() <= 63, "a label holds no more");
        assert_eq!(read_label(&label), Some((digest, inputs)));
    }
}
