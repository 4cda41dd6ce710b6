//! The labels of the watched namespace. Admission policies and pod security hold where they stand; without them the operator would do
//! for everybody what only its own account may, so it does nothing.

use odoofleet_core::error::chain;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use odoofleet_api::labels;
use tokio::task::JoinSet;

use crate::context::Context;

/// The operator may read its namespace, and not watch any.
const PAUSE: Duration = Duration::from_secs(2);
/// Labels, and what does not hold without them.
const WANTED: [(&str, &str, &str); 2] =
    [(labels::MANAGED, "true", "no admission policy"), (labels::POD_SECURITY, "restricted", "no pod security")];

/// Has everything wait until the labels are there.
pub fn expect(ctx: &Arc<Context>, tasks: &mut JoinSet<()>) {
    let ctx = Arc::clone(ctx);
    let name = ctx.settings.namespace.clone();
    let mut told = format!("namespace \"{name}\"");
    ctx.awaited.expect(&told);
    tasks.spawn(async move {
        let api: Api<Namespace> = Api::all(ctx.client.clone());
        loop {
            let missing = match api.get_metadata_opt(&name).await {
                Ok(Some(found)) => missing(&name, found.metadata.labels.as_ref()),
                Ok(None) => Some(format!("namespace \"{name}\", which does not exist")),
                Err(error) => Some(format!("namespace \"{name}\", which cannot be read: {}", chain(&error))),
            };
            let Some(missing) = missing else { break };
            if missing != told {
                tracing::error!(missing, "nothing is done before the namespace is as it must be");
                ctx.awaited.expect(&missing);
                ctx.awaited.arrived(&told);
                told = missing;
            }
            tokio::time::sleep(PAUSE).await;
        }
        ctx.awaited.arrived(&told);
        std::future::pending::<()>().await;
    });
}

/// The label that is wanted and not there, and how to set it.
fn missing(namespace: &str, own: Option<&BTreeMap<String, String>>) -> Option<String> {
    let value = |label: &str| own.and_then(|own| own.get(label)).map(String::as_str);
    let (label, value, without) = WANTED.iter().find(|(label, wanted, _)| value(label) != Some(wanted))?;
    Some(format!(
        "label {label}={value} on namespace \"{namespace}\", in which {without} holds without it: kubectl label namespace {namespace} --overwrite {label}={value}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_without_its_walls_is_named_with_the_way_to_them() {
        let of = |pairs: &[(&str, &str)]| {
            let labels = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            missing("odoo", Some(&labels))
        };
        let managed = ("odoofleet.dev/managed", "true");
        let restricted = ("pod-security.kubernetes.io/enforce", "restricted");
        assert_eq!(of(&[managed, restricted]), None);
        for (labels, wanted) in [
            (&[restricted][..], "odoofleet.dev/managed=true"),
            (&[restricted, ("odoofleet.dev/managed", "yes")], "odoofleet.dev/managed=true"),
            (&[managed], "pod-security.kubernetes.io/enforce=restricted"),
            (
                &[managed, ("pod-security.kubernetes.io/enforce", "privileged")],
                "pod-security.kubernetes.io/enforce=restricted",
            ),
        ] {
            let told = of(labels).unwrap();
            assert!(told.contains(&format!("kubectl label namespace odoo --overwrite {wanted}")), "{told}");
        }
        assert!(missing("odoo", None).is_some());
    }
}
