//! The pods of an environment, by the part that each plays.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use odoofleet_api::OdooEnvironment;
use odoofleet_api::template::WorkloadRole;

use super::exec::belongs_to;

/// What a pod is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Odoo's web part, of which `spec.replicas` is the number.
    Web,
    /// What else needs the database, such as cron.
    Other,
    /// The database.
    Database,
    /// The page of a stopped environment.
    Page,
}

/// The part that a pod plays in an environment; none if it is not the environment's.
pub fn part(environment: &OdooEnvironment, pod: &Pod) -> Option<Part> {
    let status = environment.status.as_ref()?;
    let workload = status.workloads.iter().find(|workload| belongs_to(pod, workload.kind, &workload.name))?;
    Some(match workload.role {
        WorkloadRole::Database => Part::Database,
        WorkloadRole::Page => Part::Page,
        WorkloadRole::Application if selects(status.selector.as_deref(), pod) => Part::Web,
        WorkloadRole::Application => Part::Other,
    })
}

/// Whether the environment's selector means this pod. One that does not only ask for equal labels is taken to mean each.
fn selects(selector: Option<&str>, pod: &Pod) -> bool {
    selector.unwrap_or_default().split(',').all(|term| match term.split_once('=') {
        Some((key, value)) if !key.contains(['!', ' ', '(']) => pod.labels().get(key).is_some_and(|own| own == value),
        _ => true,
    })
}

/// The environment's pods among these, in order: Odoo's web part first.
pub fn of(environment: &OdooEnvironment, pods: Vec<Pod>) -> Vec<(Part, Pod)> {
    let mut own: Vec<(Part, Pod)> = pods.into_iter().filter_map(|pod| Some((part(environment, &pod)?, pod))).collect();
    own.sort_by_key(|(part, pod)| (*part, pod.name_any()));
    own
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_selector_tells_web_pods_from_cron() {
        let environment: OdooEnvironment = serde_json::from_value(json!({
            "apiVersion": "odoofleet.dev/v1alpha1", "kind": "OdooEnvironment", "metadata": {"name": "acme-prod"},
            "spec": {"customerRef": {"name": "acme"}, "serviceName": "prod", "stage": "Production",
                "templateRef": {"name": "odoo-18"}},
            "status": {"selector": "app.kubernetes.io/component=web,app.kubernetes.io/instance=acme-prod", "workloads": [
                {"kind": "Deployment", "name": "acme-prod", "role": "Application", "replicas": 1, "readyReplicas": 1},
                {"kind": "Deployment", "name": "acme-prod-cron", "role": "Application", "replicas": 1, "readyReplicas": 1},
                {"kind": "StatefulSet", "name": "acme-prod-postgresql", "role": "Database", "replicas": 1, "readyReplicas": 1}]},
        }))
        .unwrap();
        let pod = |name: &str, component: &str, kind: &str, owner: &str| -> Pod {
            serde_json::from_value(json!({"metadata": {"name": name,
                "labels": {"app.kubernetes.io/component": component, "app.kubernetes.io/instance": "acme-prod"},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": kind, "name": owner, "uid": "u"}]}}))
            .unwrap()
        };
        let pods = vec![
            pod("acme-prod-cron-1-a", "cron", "ReplicaSet", "acme-prod-cron-1"),
            pod("acme-prod-postgresql-0", "postgresql", "StatefulSet", "acme-prod-postgresql"),
            pod("acme-prod-1-b", "web", "ReplicaSet", "acme-prod-1"),
            pod("acme-prod-2-1-c", "web", "ReplicaSet", "acme-prod-2-1"),
        ];
        let own = of(&environment, pods);
        let told: Vec<(Part, String)> = own.iter().map(|(part, pod)| (*part, pod.name_any())).collect();
        let expected = [
            (Part::Web, "acme-prod-1-b"),
            (Part::Other, "acme-prod-cron-1-a"),
            (Part::Database, "acme-prod-postgresql-0"),
        ];
        assert_eq!(told, expected.map(|(part, name)| (part, name.to_owned())));
    }
}
