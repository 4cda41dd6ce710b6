//! What the newest pods tell of the database and of the addons.

use odoofleet_api::environment::{AddonStatus, DatabaseStatus, OdooEnvironmentStatus};

use super::termination::TerminationMessage;
use crate::observed::{Pod, Running};

/// Takes what pods tell into the status. What no pod tells stays as it was: a stopped environment keeps its database.
pub fn take_over(status: &mut OdooEnvironmentStatus, running: &Running) {
    let mut pods: Vec<&Pod> = running.pods.iter().filter(|pod| !pod.deleting).collect();
    pods.sort_by_key(|pod| std::cmp::Reverse((pod.created_at, pod.uid.clone())));
    if let Some(database) = pods.iter().find_map(|pod| database(pod)) {
        status.database = Some(merged(status.database.as_ref(), database));
    }
    // A pod that has got as far as its database without addons has none.
    let newest =
        pods.iter().map(|pod| (addons(pod), database(pod))).find(|told| !told.0.is_empty() || told.1.is_some());
    if let Some((addons, _)) = newest {
        status.addons = addons;
    }
}

fn database(pod: &Pod) -> Option<DatabaseStatus> {
    messages(pod).find_map(|message| message.database.clone())
}

fn addons(pod: &Pod) -> Vec<AddonStatus> {
    messages(pod).filter_map(|message| message.addon.clone()).collect()
}

fn messages(pod: &Pod) -> impl Iterator<Item = &TerminationMessage> {
    pod.containers
        .iter()
        .filter(|container| container.init)
        .filter_map(|container| container.terminated.as_ref()?.message.as_ref())
}

/// A failed preparation knows less than the one before it: a database that was there does not lose its name.
fn merged(before: Option<&DatabaseStatus>, mut now: DatabaseStatus) -> DatabaseStatus {
    if let Some(before) = before.filter(|_| now.initialised) {
        now.uuid = now.uuid.or_else(|| before.uuid.clone());
        now.updated_at = now.updated_at.or_else(|| before.updated_at.clone());
        now.fingerprint = now.fingerprint.or_else(|| before.fingerprint.clone());
    }
    now
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use odoofleet_api::template::WorkloadKind;

    use super::super::fixtures;
    use super::*;
    use crate::environment::termination::parse;
    use crate::observed::{Container, Termination};

    fn pod(name: &str, created: i64, messages: &[&str]) -> Pod {
        let container = |message: &&str| Container {
            init: true,
            ready: true,
            running: false,
            terminated: Some(Termination {
                reason: "Completed".into(),
                exit_code: 0,
                at: None,
                current: true,
                message: parse(message),
            }),
            ..fixtures::container("prepare")
        };
        Pod {
            created_at: Timestamp::from_second(created).unwrap(),
            containers: messages.iter().map(container).collect(),
            ..fixtures::pod(WorkloadKind::Deployment, "r-web", name)
        }
    }

    fn after(status: &OdooEnvironmentStatus, pods: Vec<Pod>) -> OdooEnvironmentStatus {
        let mut status = status.clone();
        take_over(&mut status, &Running { pods, ..Running::default() });
        status
    }

    const ADDON: &str = r#"{"addon": {"url": "https://git.example.cn/a.git", "ref": "main", "commit": "c1"}}"#;
    const DATABASE: &str = r#"{"database": {"initialised": true, "fingerprint": "f1", "uuid": "u1", "updatedAt": "2026-11-24T08:00:00Z"}}"#;

    #[test]
    fn the_newest_pod_that_says_anything_counts_and_silence_changes_nothing() {
        let told = after(&OdooEnvironmentStatus::default(), vec![pod("a", 1, &[ADDON, DATABASE]), pod("b", 2, &[])]);
        let database = told.database.clone().unwrap();
        assert_eq!((database.fingerprint.as_deref(), database.uuid.as_deref()), (Some("f1"), Some("u1")));
        assert_eq!(told.addons[0].commit, "c1");
        let newer = r#"{"database": {"initialised": true, "fingerprint": "f2"}}"#;
        let newest = after(&told, vec![pod("a", 1, &[ADDON, DATABASE]), pod("c", 3, &[newer])]);
        assert_eq!(newest.database.as_ref().unwrap().fingerprint.as_deref(), Some("f2"));
        assert_eq!(after(&newest, vec![]), newest, "stopped");
    }

    #[test]
    fn addons_go_when_a_pod_gets_as_far_as_its_database_without_them() {
        let told = after(&OdooEnvironmentStatus::default(), vec![pod("a", 1, &[ADDON, DATABASE])]);
        let plan = r#"{"plan": {"action": "Nothing"}}"#;
        assert_eq!(after(&told, vec![pod("b", 2, &[plan])]).addons, told.addons, "it may still be fetching");
        assert_eq!(after(&told, vec![pod("b", 2, &[plan, DATABASE])]).addons, vec![]);
    }

    #[test]
    fn a_failed_update_names_its_modules_and_keeps_what_was_known() {
        let told = after(&OdooEnvironmentStatus::default(), vec![pod("a", 1, &[DATABASE])]);
        let failed = r#"{"error": {"reason": "ModuleUpdateFailed", "message": "m"}, "database": {"initialised": true, "modulesFailed": ["sale"]}}"#;
        let database = after(&told, vec![pod("b", 2, &[failed])]).database.unwrap();
        assert_eq!(database.modules_failed, ["sale"]);
        assert_eq!((database.fingerprint.as_deref(), database.uuid.as_deref()), (Some("f1"), Some("u1")));
    }
}
