//! `version`: of this program, of the operator, of Kubernetes.

use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::ListParams;
use serde::Serialize;

use crate::args::Global;
use crate::failure::Failure;
use crate::language::Language;
use crate::output;
use crate::session::Session;

/// What is known of the versions; what cannot be asked is left out.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Versions {
    client: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    operator: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kubernetes: Option<String>,
}

/// `kubectl odoo version`. Without a cluster it still tells its own.
pub async fn run(global: &Global, language: Language) -> Result<(), Failure> {
    let mut versions = Versions { client: env!("CARGO_PKG_VERSION"), operator: None, kubernetes: None };
    let session = Session::connect(global, language).await;
    let session = session.inspect_err(|failure| output::remark(&failure.message)).ok();
    if let Some(session) = &session {
        match session.client.apiserver_version().await {
            Ok(version) => versions.kubernetes = Some(version.git_version),
            Err(error) => output::remark(&odoofleet_core::error::chain(&error)),
        }
        versions.operator = operator(session).await;
    }
    if session.as_ref().is_some_and(|session| !session.for_people()) {
        return output::data(global.output, &versions);
    }
    output::line(&format!("kubectl-odoo: {}", versions.client))?;
    for (name, version) in [("operator", versions.operator), ("Kubernetes", versions.kubernetes)] {
        if let Some(version) = version {
            output::line(&format!("{name}: {version}"))?;
        }
    }
    Ok(())
}

/// The version that the chart wrote on the operator's Deployment, if the caller may see it.
async fn operator(session: &Session) -> Option<String> {
    let params = ListParams::default().labels("app.kubernetes.io/name=odoofleet").limit(1);
    let api: Api<Deployment> = Api::all(session.client.clone());
    let found = api.list_metadata(&params).await.ok()?;
    found.items.first()?.metadata.labels.as_ref()?.get("app.kubernetes.io/version").cloned()
}
