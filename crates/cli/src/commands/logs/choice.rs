//! Which containers' logs are read, and what can be said of one that has none yet.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod};
use kube::ResourceExt;

use super::LogsArgs;
use crate::commands::pods::Part;

/// The container of Odoo in charts/odoo.
const ODOO: &str = "odoo";
/// Annotation: the container that kubectl takes.
const DEFAULT: &str = "kubectl.kubernetes.io/default-container";

/// A container whose log is read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    /// The pod.
    pub pod: String,
    /// The container.
    pub container: String,
    /// Its present run: another id after a restart; none before the first.
    pub run: Option<String>,
    /// Why there is no log of it yet.
    pub waits: Option<String>,
    /// Whether it runs now.
    pub runs: bool,
    /// How often it was started again.
    pub restarts: i32,
}

/// The containers that are meant: of Odoo's web part, or of all pods.
pub fn sources(pods: &[(Part, Pod)], args: &LogsArgs) -> Vec<Source> {
    let meant = pods.iter().filter(|(part, _)| args.all_pods || *part == Part::Web);
    meant.filter_map(|(_, pod)| Some(source(pod, container(pod, args.container.as_deref())?))).collect()
}

/// The container asked for, if the pod has it; Odoo's, or the pod's main one, where none was asked for.
fn container<'a>(pod: &'a Pod, asked: Option<&'a str>) -> Option<&'a str> {
    let spec = pod.spec.as_ref()?;
    let names =
        || spec.init_containers.iter().flatten().chain(&spec.containers).map(|container| container.name.as_str());
    if let Some(asked) = asked {
        return names().find(|name| *name == asked);
    }
    let marked = pod.annotations().get(DEFAULT).map(String::as_str);
    names().find(|name| *name == ODOO).or(marked).or_else(|| spec.containers.first().map(|first| first.name.as_str()))
}

fn source(pod: &Pod, container: &str) -> Source {
    let status = pod.status.as_ref();
    let statuses = |own: fn(&k8s_openapi::api::core::v1::PodStatus) -> &Option<Vec<ContainerStatus>>| {
        status.into_iter().flat_map(move |status| own(status).iter().flatten())
    };
    let known = statuses(|status| &status.init_container_statuses)
        .chain(statuses(|status| &status.container_statuses))
        .find(|known| known.name == container);
    let state = known.and_then(|known| known.state.clone()).unwrap_or_default();
    let has_begun = known.is_some_and(|known| known.container_id.is_some())
        || state.running.is_some()
        || state.terminated.is_some()
        || known.is_some_and(|known| known.last_state.as_ref().is_some_and(|last| last.terminated.is_some()));
    Source {
        pod: pod.name_any(),
        container: container.to_owned(),
        run: known.and_then(|known| known.container_id.clone()).filter(|id| !id.is_empty()),
        waits: (!has_begun).then(|| waits(pod, &state)),
        runs: state.running.is_some(),
        restarts: known.map_or(0, |known| known.restart_count),
    }
}

/// What it waits for: its own reason, or the init container whose turn it is.
fn waits(pod: &Pod, state: &ContainerState) -> String {
    let init = pod.status.iter().flat_map(|status| status.init_container_statuses.iter().flatten());
    let turn = init.into_iter().find(|init| {
        let done =
            init.state.as_ref().and_then(|state| state.terminated.as_ref()).is_some_and(|end| end.exit_code == 0);
        !done
    });
    let own = state.waiting.as_ref().and_then(|waiting| waiting.reason.clone());
    match (own.filter(|reason| reason != "PodInitializing"), turn) {
        (Some(reason), _) => reason,
        (None, Some(turn)) => format!("--container {}", turn.name),
        (None, None) => pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_else(|| "Pending".into()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn args(container: Option<&str>, all_pods: bool) -> LogsArgs {
        LogsArgs { container: container.map(str::to_owned), all_pods, ..LogsArgs::of("acme-prod") }
    }

    fn pod(name: &str, containers: &[&str], status: &Value) -> Pod {
        let containers: Vec<Value> = containers.iter().map(|name| json!({"name": name})).collect();
        let spec = json!({"initContainers": [{"name": "prepare"}], "containers": containers});
        serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec, "status": status})).unwrap()
    }

    #[test]
    fn the_containers_that_are_meant_are_found() {
        let pods = [
            (Part::Web, pod("web-1", &["proxy", "odoo"], &json!({}))),
            (Part::Web, pod("web-2", &["proxy", "odoo"], &json!({}))),
            (Part::Other, pod("cron-1", &["odoo"], &json!({}))),
            (Part::Database, pod("db-0", &["postgresql", "exporter"], &json!({}))),
        ];
        for (asked, all, expected) in [
            (None, false, vec!["web-1/odoo", "web-2/odoo"]),
            (None, true, vec!["web-1/odoo", "web-2/odoo", "cron-1/odoo", "db-0/postgresql"]),
            (Some("prepare"), false, vec!["web-1/prepare", "web-2/prepare"]),
            (Some("exporter"), true, vec!["db-0/exporter"]),
            (Some("exporter"), false, vec![]),
        ] {
            let found = sources(&pods, &args(asked, all));
            let found: Vec<String> = found.iter().map(|own| format!("{}/{}", own.pod, own.container)).collect();
            assert_eq!(found, expected, "{asked:?} {all}");
        }
    }

    #[test]
    fn a_container_without_a_log_says_what_it_waits_for() {
        let waiting = |reason: &str| {
            json!({"name": "odoo", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": reason}}})
        };
        let init = |state: Value| {
            json!({"name": "prepare", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": state})
        };
        for (status, expected) in [
            (
                json!({"initContainerStatuses": [init(json!({"running": {}}))], "containerStatuses": [waiting("PodInitializing")]}),
                Some("--container prepare"),
            ),
            (
                json!({"initContainerStatuses": [init(json!({"terminated": {"exitCode": 0}}))],
                "containerStatuses": [waiting("ImagePullBackOff")]}),
                Some("ImagePullBackOff"),
            ),
            (json!({"phase": "Pending"}), Some("Pending")),
            (
                json!({"containerStatuses": [{"name": "odoo", "image": "", "imageID": "", "ready": false, "restartCount": 3,
                "containerID": "containerd://1", "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"exitCode": 1}}}]}),
                None,
            ),
        ] {
            let found = sources(&[(Part::Web, pod("web-1", &["odoo"], &status))], &args(None, false));
            assert_eq!(found[0].waits.as_deref(), expected, "{status}");
        }
    }
}
