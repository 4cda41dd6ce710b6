//! What is looked at in the cluster. What the caller may not see is kept with the reason why.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Service};
use k8s_openapi::api::networking::v1::IngressClass;
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::ListParams;
use kube::core::NamespaceResourceScope;
use kube::{Api, Error, Resource, ResourceExt};
use odoofleet_api::{GROUP, OdooEnvironment, labels};
use serde::de::DeserializeOwned;

use crate::say;
use crate::session::{Asked, Session};

/// What was seen, or why it was not.
pub type Look<T> = Result<T, String>;

/// What charts/odoofleet writes on all that it installs.
const OURS: &str = "app.kubernetes.io/name=odoofleet";
/// Where the README has the operator installed.
const SYSTEM: &str = "odoofleet-system";

/// What was seen.
pub struct Facts {
    /// Version of the API server.
    pub kubernetes: Look<String>,
    /// API groups that it serves.
    pub groups: Look<BTreeSet<String>>,
    /// Our CRDs.
    pub crds: Look<Vec<CustomResourceDefinition>>,
    /// The operators.
    pub operators: Look<Vec<Operator>>,
    /// How many admission policies of ours there are.
    pub policies: Look<usize>,
    /// How many roles of ours there are.
    pub roles: Look<usize>,
    /// Namespaces in which the policies hold.
    pub namespaces: Look<Vec<Namespace>>,
    /// Storage classes.
    pub storage: Look<Vec<StorageClass>>,
    /// Ingress classes.
    pub ingress: Look<Vec<IngressClass>>,
    /// Whether metrics are served: an error says why those that are offered do not come.
    pub metrics: Look<bool>,
    /// Services of the namespace, and its pods that get variables of them.
    pub links: Look<(usize, usize)>,
    /// Argo CD, if it is there.
    pub argo: Look<Option<Argo>>,
    /// What the caller may do; none where the API server did not say.
    pub rights: BTreeMap<Right, Option<bool>>,
    /// The session's namespace.
    pub namespace: String,
    /// When it was looked.
    pub now: Timestamp,
}

/// A Deployment of the operator.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Operator {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Pods that are wanted. None are where the operator runs outside the cluster.
    pub replicas: i32,
    /// Pods that are ready.
    pub ready: i32,
    /// The namespace of its environments.
    pub watches: Option<String>,
    /// The version that the chart wrote.
    pub version: Option<String>,
    /// Until when its Lease is held; none where nobody holds it, or it cannot be seen.
    pub held_until: Option<Timestamp>,
}

/// How Argo CD knows what is its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Argo {
    /// What its settings say.
    pub method: Option<String>,
    /// Its version, where that is seen.
    pub version: Option<String>,
    /// One of our objects that bears its label and no annotation.
    pub labelled: Option<String>,
    /// Why its settings were not seen.
    pub hidden: Option<String>,
}

/// A right of the caller that matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Right {
    Crds,
    ClusterRoles,
    Policies,
    Namespaces,
    ListEnvironments,
}

impl Right {
    /// What an installation needs.
    pub const INSTALL: [Self; 4] = [Self::Crds, Self::ClusterRoles, Self::Policies, Self::Namespaces];

    /// What is asked of the API server.
    pub fn asked(self) -> Asked {
        match self {
            Self::Crds => Asked::of::<CustomResourceDefinition>("create", None),
            Self::ClusterRoles => Asked::of::<ClusterRole>("create", None),
            Self::Policies => Asked::of::<ValidatingAdmissionPolicy>("create", None),
            Self::Namespaces => Asked::of::<Namespace>("create", None),
            Self::ListEnvironments => Asked::of::<OdooEnvironment>("list", None),
        }
    }
}

/// Looks at everything.
pub async fn look(session: &Session) -> Facts {
    let groups = groups(session).await;
    let has = |group: &str| groups.as_ref().is_ok_and(|groups| groups.contains(group));
    let ours = ListParams::default().labels(OURS);
    let managed = ListParams::default().labels(&format!("{}=true", labels::MANAGED));
    let any = ListParams::default();
    let mut rights = BTreeMap::new();
    for right in Right::INSTALL.into_iter().chain([Right::ListEnvironments]) {
        rights.insert(right, session.may(&right.asked()).await);
    }
    let (crds, policies, roles, namespaces) = tokio::join!(
        all::<CustomResourceDefinition>(session, &any),
        all::<ValidatingAdmissionPolicy>(session, &ours),
        all::<ClusterRole>(session, &any),
        all::<Namespace>(session, &managed),
    );
    let (storage, ingress, operators, links) = tokio::join!(
        all::<StorageClass>(session, &any),
        all::<IngressClass>(session, &any),
        operators(session),
        links(session),
    );
    let version = match session.client.apiserver_version().await {
        Ok(version) => Ok(version.git_version),
        Err(error) => Err(why(session, &Asked::of::<Namespace>("get", None), error).await),
    };
    let is_ours = |role: &&ClusterRole| {
        let names = ["odoofleet-viewer", "odoofleet-operator", "odoofleet-support", "odoofleet-admin"];
        names.contains(&role.name_any().as_str())
    };
    Facts {
        kubernetes: version,
        crds: crds.map(|crds| crds.into_iter().filter(|crd| crd.spec.group == GROUP).collect()),
        operators,
        policies: policies.map(|policies| policies.len()),
        roles: roles.map(|roles| roles.iter().filter(is_ours).count()),
        namespaces,
        storage,
        ingress,
        metrics: if has("metrics.k8s.io") { metrics(session).await } else { groups.clone().map(|_| false) },
        links,
        argo: if has("argoproj.io") { Ok(Some(argo(session).await)) } else { groups.clone().map(|_| None) },
        groups,
        rights,
        namespace: session.namespace.clone(),
        now: session.now(),
    }
}

/// Why something was not seen, in a sentence. What is forbidden here is mostly the cluster's, of which no role of ours says anything.
pub async fn why(session: &Session, asked: &Asked, error: Error) -> String {
    if matches!(&error, Error::Api(status) if status.code == 403) {
        let (verb, subject) = (asked.verb, asked.subject());
        return say!(session.language, "you may not {verb} {subject}", "您没有 {verb} {subject} 的权限");
    }
    session.explain(asked, error).await.message
}

async fn groups(session: &Session) -> Look<BTreeSet<String>> {
    match session.client.list_api_groups().await {
        Ok(list) => Ok(list.groups.into_iter().map(|group| group.name).collect()),
        Err(error) => Err(why(session, &Asked::of::<Namespace>("list", None), error).await),
    }
}

async fn all<K>(session: &Session, params: &ListParams) -> Look<Vec<K>>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    match Api::<K>::all(session.client.clone()).list(params).await {
        Ok(list) => Ok(list.items),
        Err(error) => Err(why(session, &Asked::of::<K>("list", None), error).await),
    }
}

async fn within<K>(session: &Session, namespace: &str, params: &ListParams) -> Look<Vec<K>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    match Api::<K>::namespaced(session.client.clone(), namespace).list(params).await {
        Ok(list) => Ok(list.items),
        Err(error) => Err(why(session, &Asked::of::<K>("list", None), error).await),
    }
}

/// The operators of all namespaces; of the usual one for a caller who sees no other.
async fn operators(session: &Session) -> Look<Vec<Operator>> {
    let params = ListParams::default().labels(OURS);
    let deployments = match all::<Deployment>(session, &params).await {
        Ok(all) => all,
        Err(hidden) => within::<Deployment>(session, SYSTEM, &params).await.map_err(|_| hidden)?,
    };
    let mut operators = Vec::new();
    for deployment in deployments {
        let (operator, lease) = operator(&deployment);
        let leases: Api<Lease> = Api::namespaced(session.client.clone(), &operator.namespace);
        let lease = leases.get(&lease).await.ok();
        operators.push(Operator { held_until: lease.as_ref().and_then(held_until), ..operator });
    }
    Ok(operators)
}

/// The namespace whose environments an operator looks after.
pub fn watches(deployment: &Deployment) -> Option<String> {
    operator(deployment).0.watches
}

/// An operator as its Deployment tells, and the name of its Lease.
fn operator(deployment: &Deployment) -> (Operator, String) {
    let spec = deployment.spec.as_ref();
    let pod = spec.and_then(|spec| spec.template.spec.as_ref());
    let variables =
        pod.into_iter().flat_map(|pod| &pod.containers).flat_map(|container| container.env.iter().flatten());
    let variables: BTreeMap<&str, &String> =
        variables.filter_map(|variable| Some((variable.name.as_str(), variable.value.as_ref()?))).collect();
    let operator = Operator {
        namespace: deployment.namespace().unwrap_or_default(),
        name: deployment.name_any(),
        replicas: spec.and_then(|spec| spec.replicas).unwrap_or(1),
        ready: deployment.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0),
        watches: variables.get("ODOOFLEET_NAMESPACE").map(ToString::to_string),
        version: deployment.labels().get("app.kubernetes.io/version").cloned(),
        held_until: None,
    };
    let lease = variables.get("ODOOFLEET_LEASE_NAME").map_or("odoofleet-operator", |name| name.as_str());
    (operator, lease.to_owned())
}

fn held_until(lease: &Lease) -> Option<Timestamp> {
    let spec = lease.spec.as_ref()?;
    spec.holder_identity.as_ref().filter(|holder| !holder.is_empty())?;
    let seconds = i64::from(spec.lease_duration_seconds?);
    spec.renew_time.as_ref()?.0.checked_add(jiff::SignedDuration::from_secs(seconds)).ok()
}

/// Whether the metrics that are offered come.
async fn metrics(session: &Session) -> Look<bool> {
    let request = http::Request::get("/apis/metrics.k8s.io/v1beta1").body(Vec::new());
    let request = request.map_err(|error| error.to_string())?;
    match session.client.request_text(request).await {
        Ok(_) => Ok(true),
        Err(error) => {
            let asked = Asked { group: "metrics.k8s.io".into(), ..Asked::of::<Pod>("list", None) };
            Err(why(session, &asked, error).await)
        }
    }
}

async fn links(session: &Session) -> Look<(usize, usize)> {
    let params = ListParams::default();
    let services = within::<Service>(session, &session.namespace, &params).await?;
    let pods = within::<Pod>(session, &session.namespace, &params).await?;
    let linked = pods.iter().filter(|pod| {
        let links = pod.spec.as_ref().and_then(|spec| spec.enable_service_links);
        links.unwrap_or(true)
    });
    Ok((services.len(), linked.count()))
}

async fn argo(session: &Session) -> Argo {
    let named = ListParams::default().fields("metadata.name=argocd-cm");
    let settings = match all::<ConfigMap>(session, &named).await {
        Ok(found) => Ok(found),
        Err(_) => within::<ConfigMap>(session, "argocd", &named).await,
    };
    let servers = ListParams::default().labels("app.kubernetes.io/name=argocd-server");
    let servers = all::<Deployment>(session, &servers).await.unwrap_or_default();
    let image = servers.first().and_then(|server| {
        let pod = server.spec.as_ref()?.template.spec.as_ref()?;
        pod.containers
            .first()?
            .image
            .as_deref()?
            .rsplit_once(':')
            .map(|(_, tag)| tag.trim_start_matches('v').to_owned())
    });
    let environments = within::<OdooEnvironment>(session, &session.namespace, &ListParams::default()).await;
    let labelled = environments.unwrap_or_default().into_iter().find(|environment| {
        environment.labels().contains_key("app.kubernetes.io/instance")
            && !environment.annotations().contains_key("argocd.argoproj.io/tracking-id")
    });
    let method = settings.as_ref().ok().and_then(|settings| {
        let data = settings.first()?.data.as_ref()?;
        data.get("application.resourceTrackingMethod").cloned()
    });
    let hidden = settings.err();
    Argo { method, version: image, labelled: labelled.map(|environment| environment.name_any()), hidden }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_deployment_tells_whose_environments_it_looks_after() {
        let deployment: Deployment = serde_json::from_value(json!({
            "metadata": {"name": "odoofleet", "namespace": "s", "labels": {"app.kubernetes.io/version": "0.1.0"}},
            "spec": {"replicas": 0, "selector": {}, "template": {"spec": {"containers": [{"name": "operator", "env": [
                {"name": "ODOOFLEET_NAMESPACE", "value": "odoo"}, {"name": "ODOOFLEET_LEASE_NAME", "value": "lease"},
                {"name": "ODOOFLEET_IDENTITY", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}]}}},
        }))
        .unwrap();
        let (operator, lease) = operator(&deployment);
        assert_eq!((operator.watches.as_deref(), operator.replicas, lease.as_str()), (Some("odoo"), 0, "lease"));
    }
}
