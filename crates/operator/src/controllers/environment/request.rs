//! The request to a Helm worker: the one place where secret values are read, for as long as it takes to hand them over.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Resource;
use kube::api::PostParams;
use kube::core::ObjectMeta;
use odoofleet_api::conditions::Reason;
use odoofleet_api::{OdooEnvironment, labels};
use odoofleet_core::environment::compose::FedValue;
use odoofleet_core::environment::references::ObjectKind;
use odoofleet_core::environment::validate::Validated;
use odoofleet_core::environment::{Refusal, check};
use odoofleet_core::observed::Running;
use odoofleet_core::release::History;
use odoofleet_core::values::workload_key;
use odoofleet_helm::{Action, Chart, Check, Owner, Request};
use rand::distr::{Alphanumeric, SampleString};
use serde_json::Value;

use super::Error;
use crate::context::Context;

/// Length of generated passwords: 62^32 possibilities.
const PASSWORD_LENGTH: usize = 32;
/// Odoo's master password, the database's, and the administrator's first.
const GENERATED_KEYS: [&str; 3] = ["admin_passwd", "password", "administrator_password"];
/// Revisions that Helm keeps of a release.
const MAX_HISTORY: i32 = 2;
/// Superseded revisions that Helm is let look for, so that it removes what is beyond [`MAX_HISTORY`].
const SUPERSEDED: i64 = 4;
/// The same for an uninstall, which must leave none: a release that was adopted may have Helm's default of ten.
const SUPERSEDED_AT_UNINSTALL: i64 = 30;

/// Builds the request for an install or an upgrade.
pub async fn build(
    ctx: &Context,
    wanted: &Validated,
    history: &History,
    running: &Running,
    id: String,
    (action, revision): (Action, i64),
) -> Result<Result<Request, Refusal>, Error> {
    if let Err(refusal) = ensure_generated_secret(ctx, wanted).await? {
        return Ok(Err(refusal));
    }
    let mut values = wanted.values.clone();
    for fed in &wanted.fed {
        match read(ctx, fed).await? {
            Ok(text) => {
                if let Err(error) = fed.to.set(&mut values, Value::String(text)) {
                    return Ok(Err(Refusal::new(Reason::ValueNotAllowed, error.to_string())));
                }
            }
            Err(refusal) => return Ok(Err(refusal)),
        }
    }
    let path = ctx.charts.provide(&ctx.api::<ConfigMap>(), &wanted.version.content.chart_digest).await?;
    let mut allowed_secrets = ctx.index.references.secrets_for(wanted.customer.as_str());
    allowed_secrets.push(wanted.generated_secret.clone());
    Ok(Ok(Request {
        chart: Some(Chart {
            path: path.to_string_lossy().into_owned(),
            sha256: wanted.version.content.chart_digest.clone(),
        }),
        values,
        labels: labels_of(wanted, (action, revision)),
        replicas: live_replicas(wanted, running),
        other_replicas: (wanted.replicas == 0).then_some(0),
        suspend_cron_jobs: wanted.replicas == 0,
        allowed_kinds: ctx.settings.allowed_kinds.clone(),
        allowed_secrets,
        check: (action == Action::Check).then(|| check_request(wanted)),
        allow_data_loss: wanted.allows_data_loss(revision),
        timeout_seconds: i64::from(wanted.helm_timeout),
        ..bare(ctx, wanted.release.as_str(), history, id, (action, revision))
    }))
}

/// Labels of a release, or of the pod of a check: there the digest of all that goes in would let its readers test guesses of a
/// password.
fn labels_of(wanted: &Validated, (action, revision): (Action, i64)) -> BTreeMap<String, String> {
    let mut all = wanted.release_labels(revision);
    if action == Action::Check {
        all.retain(|(key, _)| [labels::CUSTOMER, labels::ENVIRONMENT, labels::ENVIRONMENT_UID].contains(key));
    }
    all.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// A request that renders no chart: unlock and uninstall.
pub fn bare(ctx: &Context, release: &str, history: &History, id: String, (action, revision): (Action, i64)) -> Request {
    Request {
        id,
        action,
        release: release.to_owned(),
        namespace: ctx.settings.namespace.clone(),
        expected_revision: revision,
        revisions: history.numbers(if action == Action::Uninstall { SUPERSEDED_AT_UNINSTALL } else { SUPERSEDED }),
        chart: None,
        values: serde_json::Map::new(),
        labels: BTreeMap::new(),
        replicas: BTreeMap::new(),
        other_replicas: None,
        suspend_cron_jobs: false,
        check: None,
        allowed_kinds: Vec::new(),
        allowed_secrets: Vec::new(),
        allow_data_loss: false,
        max_history: MAX_HISTORY,
        timeout_seconds: 300,
    }
}

/// The pod of a check goes with its environment.
fn check_request(wanted: &Validated) -> Check {
    let owner = Owner {
        api_version: OdooEnvironment::api_version(&()).into_owned(),
        kind: OdooEnvironment::kind(&()).into_owned(),
        name: wanted.environment.clone(),
        uid: wanted.uid.clone(),
    };
    Check { digest: check::label(wanted), owner }
}

/// An upgrade leaves every workload at the number of pods that it has.
fn live_replicas(wanted: &Validated, running: &Running) -> BTreeMap<String, i32> {
    running
        .workloads
        .iter()
        .map(|workload| {
            let live = wanted.replicas > 0 && workload.replicas > 0 && wanted.stop_plan.is_live(workload, running);
            (workload_key(workload.kind, &workload.name), if live { wanted.replicas } else { workload.replicas })
        })
        .collect()
}

async fn read(ctx: &Context, fed: &FedValue) -> Result<Result<String, Refusal>, Error> {
    let name = &fed.object.name;
    let bytes = match fed.object.kind {
        ObjectKind::Secret => {
            let secret = ctx.api::<Secret>().get_opt(name).await.map_err(Error::Prepare)?;
            secret.and_then(|secret| secret.data?.remove(&fed.key)).map(|bytes| bytes.0)
        }
        ObjectKind::ConfigMap => {
            let map = ctx.api::<ConfigMap>().get_opt(name).await.map_err(Error::Prepare)?;
            map.and_then(|map| {
                let text = map.data.and_then(|mut data| data.remove(&fed.key)).map(String::into_bytes);
                text.or_else(|| map.binary_data.and_then(|mut data| data.remove(&fed.key)).map(|bytes| bytes.0))
            })
        }
    };
    let missing = || {
        Refusal::new(
            Reason::ReferenceNotFound,
            format!("{:?} \"{name}\" or its key \"{}\" is gone", fed.object.kind, fed.key),
        )
    };
    let binary = |_| {
        Refusal::new(
            Reason::ValueNotAllowed,
            format!("key \"{}\" of {:?} \"{name}\" is not text: values are text", fed.key, fed.object.kind),
        )
    };
    Ok(bytes.ok_or_else(missing).and_then(|bytes| String::from_utf8(bytes).map_err(binary)))
}

/// Generates the passwords of a release once. They are never changed and never read by the operator.
async fn ensure_generated_secret(ctx: &Context, wanted: &Validated) -> Result<Result<(), Refusal>, Error> {
    let customer = wanted.customer.as_str();
    if ctx.index.references.secrets_for(customer).contains(&wanted.generated_secret) {
        return Ok(Ok(()));
    }
    let password = || ByteString(Alphanumeric.sample_string(&mut rand::rng(), PASSWORD_LENGTH).into_bytes());
    let all = [(labels::CUSTOMER, customer), (labels::ENVIRONMENT, &wanted.environment), (labels::GENERATED, "true")];
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(wanted.generated_secret.clone()),
            labels: Some(all.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()),
            ..ObjectMeta::default()
        },
        data: Some(GENERATED_KEYS.map(|key| (key.to_owned(), password())).into()),
        ..Secret::default()
    };
    let params = PostParams { field_manager: Some(labels::FIELD_MANAGER.to_owned()), ..PostParams::default() };
    match ctx.api::<Secret>().create(&params, &secret).await {
        Ok(_) => Ok(Ok(())),
        Err(kube::Error::Api(status)) if status.is_already_exists() => is_own_secret(ctx, wanted).await,
        Err(error) => Err(Error::Prepare(error)),
    }
}

async fn is_own_secret(ctx: &Context, wanted: &Validated) -> Result<Result<(), Refusal>, Error> {
    let found = ctx.api::<Secret>().get_metadata_opt(&wanted.generated_secret).await.map_err(Error::Prepare)?;
    let owner = found.and_then(|found| found.metadata.labels.and_then(|mut all| all.remove(labels::CUSTOMER)));
    if owner.as_deref() == Some(wanted.customer.as_str()) {
        return Ok(Ok(()));
    }
    let message = format!(
        "Secret \"{}\" exists and does not carry label odoofleet.dev/customer={}: it is in the way of the generated passwords; rename or remove it",
        wanted.generated_secret, wanted.customer
    );
    Ok(Err(Refusal::new(Reason::ReferenceNotAllowed, message)))
}
