//! Trying a change before it replaces what runs.
//!
//! Odoo's pods are replaced all at once: a tag that does not exist, an image that cannot be pulled or a module without code
//! would end an Odoo that people work with. So what its pods begin with is tried first, in a pod of its own that the chart
//! describes, and only then the release is upgraded.

use std::time::Duration;

use jiff::Timestamp;
use odoofleet_api::conditions::Reason;

use super::diagnosis::{self, Diagnosis};
use super::validate::Validated;
use crate::finding::Finding;
use crate::observed::{Check, Running};
use crate::release::History;
use crate::task::Evidence;

/// How late a watch may tell of a pod. One that is not seen by then has gone again.
const UNSEEN: Duration = Duration::from_secs(30);

/// What has to happen before an upgrade.
#[derive(Debug, PartialEq, Eq)]
pub enum First {
    /// Nothing.
    Nothing,
    /// The pod is to be started.
    Start,
    /// It has not succeeded yet. The flag says that somebody must mend something before it can.
    Wait(Finding, bool),
    /// It was started and is not seen yet; from that moment on it is missing.
    Expect(Finding, Timestamp),
    /// It has ended for good without success: that counts as a failure, and the pod is of no more use.
    Failed(Finding),
}

/// What has to happen before an upgrade. Where nothing serves, there is nothing to protect. `failed` is when these inputs failed
/// last: a pod that was started before is over.
pub fn first(
    wanted: &Validated,
    history: &History,
    running: &Running,
    evidence: Option<&Evidence>,
    failed: Option<Timestamp>,
    now: Timestamp,
) -> First {
    let known = history.newest().and_then(|newest| newest.ownership.check.as_deref());
    let success = evidence.filter(|evidence| evidence.inputs == wanted.inputs).and_then(|one| one.result.as_ref().ok());
    let nothing_to_check = success.is_some_and(|success| success.nothing_to_check);
    if nothing_to_check || wanted.replicas == 0 || known == Some(&wanted.check) || !running.serves() {
        return First::Nothing;
    }
    match running.check.as_ref().filter(|check| check.digest == wanted.check) {
        Some(check) if check.succeeded => First::Nothing,
        Some(check) if check.inputs != wanted.inputs || check.pod.deleting => First::Start,
        Some(check) if check.pod.finished => First::Failed(describe(check, running).0),
        Some(check) => {
            let (finding, in_vain) = describe(check, running);
            First::Wait(finding, in_vain)
        }
        None => {
            let started = success.and_then(|success| success.check_started);
            let open = started.filter(|started| failed.is_none_or(|failed| failed < *started));
            match open.map(|started| started + UNSEEN) {
                Some(until) if now < until => {
                    let message = "the pod in which the change is tried is not seen yet";
                    First::Expect(Finding::new(Reason::Checking, message), until)
                }
                _ => First::Start,
            }
        }
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
fn describe(check: &Check, running: &Running) -> (Finding, bool) {
    let name = &check.pod.name;
    match diagnosis::of_pod(&check.pod, running) {
        Some(Diagnosis::Broken(found)) => {
            let message =
                format!("the change was tried in pod \"{name}\" and is not made, what ran goes on: {}", found.message);
            (Finding::new(found.reason, message), true)
        }
        Some(Diagnosis::Waiting(found)) => {
            let message = format!("the change waits for pod \"{name}\", in which it is tried first: {}", found.message);
            (Finding::new(found.reason, message), false)
        }
        _ if check.pod.finished => {
            let message = format!("the change was tried in pod \"{name}\", which ended without success");
            (Finding::new(Reason::ContainerFailed, message), true)
        }
        _ => {
            let message = format!("the change is tried in pod \"{name}\" before it replaces what runs");
            (Finding::new(Reason::Checking, message), false)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_label_of_a_check_fits_and_is_read_again() {
        let (digest, inputs) = ("a".repeat(52), "b".repeat(8));
        let label = format!("{digest}-{inputs}");
        assert!(label.len() <= 63, "a label holds no more");
        assert_eq!(read_label(&label), Some((digest, inputs)));
    }
}
