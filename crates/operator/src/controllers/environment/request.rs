//! The request to a Helm worker: the one place where secret values are read, for as long as it takes to hand them over.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Resource;
use kube::api::PostParams;
use kube::core::ObjectMeta;
use odoofleet_api::conditions::Reason;
use odoofleet_api::{OdooEnvironment, labels};
use odoofleet_core::environment::references::{ObjectKind, Referrer, hosts, names};
use odoofleet_core::environment::validate::Validated;
use odoofleet_core::environment::{Facts, FedValue, HelmStep, adoption, check};
use odoofleet_core::finding::Finding;
use odoofleet_core::fleet::{Change, Delta, ObjectWatch};
use odoofleet_core::observed::Running;
use odoofleet_core::task::HelmAction;
use odoofleet_core::values::{told_violations, workload_key};
use odoofleet_helm::{Chart, Check, Command, Inputs, Owner, Request};
use rand::distr::{Alphanumeric, SampleString};
use serde_json::Value;

use super::{Error, drift, with_uid};
use crate::context::Context;
use crate::controllers::records;
use crate::watches::references;

/// Length of generated passwords: 62^32 possibilities.
const PASSWORD_LENGTH: usize = 32;
/// Odoo's master password, the database's, and the administrator's first.
const GENERATED_KEYS: [&str; 3] = ["admin_passwd", "password", "administrator_password"];
/// Superseded revisions that Helm is let look for, so that it removes what is beyond those that it keeps.
const SUPERSEDED: i64 = 4;
/// The same for an uninstall, which must leave none: a release that was adopted may have Helm's default of ten.
const SUPERSEDED_AT_UNINSTALL: i64 = 30;
/// Most bytes that Secrets and ConfigMaps feed to one release: each is held several times, by operator and worker.
const MOST_FED: usize = 256 * 1024;
/// Seconds for an operation that renders no chart.
const PLAIN_TIMEOUT: i64 = 300;

/// Builds the request for a step. The inner error is what a person must mend first.
pub async fn build(
    ctx: &Context,
    facts: &Facts,
    wanted: Option<&Validated>,
    id: String,
    step: &HelmStep,
) -> Result<Result<Request, Finding>, Error> {
    let release = match names(&facts.environment.spec) {
        Ok((_, release)) => release.as_str().to_owned(),
        Err(error) => return Ok(Err(Finding::new(Reason::InvalidSpec, error.to_string()))),
    };
    if step.action == HelmAction::Correct {
        return Ok(Ok(Request { id, ..drift::request(ctx, facts, &release, step.revision, drift::What::Correct) }));
    }
    let inputs = match (step.action, wanted) {
        (HelmAction::Unlock | HelmAction::Uninstall, _) => None,
        (action, Some(wanted)) => {
            if action == HelmAction::Compare
                && let Err(finding) = check_record(ctx, wanted, step.revision - 1).await?
            {
                return Ok(Err(finding));
            }
            match inputs(ctx, facts, wanted, step).await? {
                Ok(inputs) => Some((wanted, Box::new(inputs))),
                Err(finding) => return Ok(Err(finding)),
            }
        }
        (_, None) => {
            return Ok(Err(Finding::new(Reason::InvalidSpec, "nothing valid is wanted any more")));
        }
    };
    let timeout_seconds = inputs.as_ref().map_or(PLAIN_TIMEOUT, |(wanted, _)| i64::from(wanted.helm_timeout));
    let command = match (step.action, inputs) {
        (HelmAction::Install, Some((_, inputs))) => Command::Install { inputs },
        (HelmAction::Check, Some((wanted, inputs))) => Command::Check { inputs, check: check_request(wanted) },
        (HelmAction::Compare, Some((_, inputs))) => Command::Compare { inputs },
        (HelmAction::Upgrade, Some((_, inputs))) => Command::Upgrade { inputs, seen: None },
        (HelmAction::Uninstall, _) => Command::Uninstall,
        (HelmAction::Unlock | HelmAction::Correct, _) | (_, None) => Command::Unlock,
    };
    let superseded = if step.action == HelmAction::Uninstall { SUPERSEDED_AT_UNINSTALL } else { SUPERSEDED };
    Ok(Ok(Request {
        id,
        release,
        namespace: ctx.settings.namespace.clone(),
        expected_revision: step.revision,
        revisions: facts.history.numbers(superseded),
        timeout_seconds,
        command,
    }))
}

/// Refuses a release whose record cannot be read, or says that it is another customer's.
async fn check_record(ctx: &Context, wanted: &Validated, revision: i64) -> Result<Result<(), Finding>, Error> {
    let release = wanted.release.as_str();
    let record = records::read(ctx, release, revision).await;
    let record = match record.map_err(|error| Error::Record(release.to_owned(), error))? {
        Some(Ok(record)) => record,
        Some(Err(error)) => {
            let message = format!(
                "revision {revision} of release \"{release}\" cannot be compared: {error}; restore Secret \"{}\" from a backup, or have the tool that installed it upgrade it once more",
                records::object_name(release, revision)
            );
            return Ok(Err(Finding::new(Reason::AdoptionPending, message)));
        }
        // Its watch tells that it is gone.
        None => return Ok(Ok(())),
    };
    Ok(adoption::check_customer(&record.config, wanted))
}

/// What the chart is rendered with.
async fn inputs(
    ctx: &Context,
    facts: &Facts,
    wanted: &Validated,
    step: &HelmStep,
) -> Result<Result<Inputs, Finding>, Error> {
    let mut values = wanted.values.clone();
    let mut room = MOST_FED;
    for fed in &wanted.fed {
        match read(ctx, fed).await? {
            Ok(text) if text.len() > room => return Ok(Err(too_much())),
            Ok(text) => {
                room -= text.len();
                if let Err(error) = fed.to.set(&mut values, Value::String(text)) {
                    return Ok(Err(Finding::new(Reason::ValueNotAllowed, error.to_string())));
                }
            }
            Err(finding) => return Ok(Err(finding)),
        }
    }
    if let Some(schema) = wanted.version.schema.as_ref().filter(|_| !wanted.fed.is_empty()) {
        let places: Vec<_> = wanted.fed.iter().map(|fed| fed.to.clone()).collect();
        let violations = schema.check_fed(&wanted.version.chart.values, &values, &places);
        if let Some(told) = told_violations(&violations) {
            return Ok(Err(Finding::new(Reason::SchemaViolation, told)));
        }
    }
    let path = match ctx.charts.provide(&ctx.api::<ConfigMap>(), &wanted.version.content.chart_digest).await {
        Ok(path) => path,
        Err(error) => return error.finding().map(Err).map_err(Error::Chart),
    };
    let (mut allowed_secrets, allowed_config_maps) = ctx.fleet.with(|fleet| {
        let referrer = Referrer::of(&facts.environment);
        (fleet.objects_for(ObjectKind::Secret, referrer), fleet.objects_for(ObjectKind::ConfigMap, referrer))
    });
    allowed_secrets.push(wanted.generated_secret.clone());
    let secrets = wanted.fed.iter().filter(|fed| fed.object.kind == ObjectKind::Secret);
    let volumes = facts.running.volumes.iter().filter_map(|volume| Some((volume.name.clone(), volume.size.clone()?)));
    Ok(Ok(Inputs {
        chart: Chart { path: path.to_string_lossy().into_owned(), sha256: wanted.version.content.chart_digest.clone() },
        values,
        labels: labels_of(wanted, step),
        replicas: live_replicas(wanted, &facts.running),
        other_replicas: (wanted.replicas == 0).then_some(0),
        suspend_cron_jobs: wanted.replicas == 0,
        volumes: volumes.collect(),
        allowed_kinds: ctx.settings.allowed_kinds.clone(),
        allowed_secrets,
        allowed_config_maps,
        secret_paths: secrets.map(|fed| fed.to.pointer()).collect(),
        hosts: Some(hosts(&facts.environment.spec)),
        allow_data_loss: wanted.allows_data_loss(step.revision),
    }))
}

fn too_much() -> Finding {
    let message = format!(
        "what spec.valuesFrom feeds has more than {} KiB together: a release must fit into one Secret; have the chart mount large contents instead",
        MOST_FED / 1024
    );
    Finding::new(Reason::ReleaseTooLarge, message)
}

/// Labels of a release, or of the pod of a check: there the digest of all that goes in would let its readers test guesses of a
/// password.
fn labels_of(wanted: &Validated, step: &HelmStep) -> BTreeMap<String, String> {
    let mut all = wanted.release_labels(step.revision);
    if step.action == HelmAction::Check {
        all.retain(|(key, _)| [labels::CUSTOMER, labels::ENVIRONMENT, labels::ENVIRONMENT_UID].contains(key));
    }
    all.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
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
            let live = wanted.replicas > 0
                && workload.replicas > 0
                && !workload.autoscaled
                && wanted.stop_plan.is_live(workload, running);
            (workload_key(workload.kind, &workload.name), if live { wanted.replicas } else { workload.replicas })
        })
        .collect()
}

async fn read(ctx: &Context, fed: &FedValue) -> Result<Result<String, Finding>, Error> {
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
        Finding::new(
            Reason::ReferenceNotFound,
            format!("{:?} \"{name}\" or its key \"{}\" is gone", fed.object.kind, fed.key),
        )
    };
    let binary = |_| {
        Finding::new(
            Reason::ValueNotAllowed,
            format!("key \"{}\" of {:?} \"{name}\" is not text: values are text", fed.key, fed.object.kind),
        )
    };
    Ok(bytes.ok_or_else(missing).and_then(|bytes| String::from_utf8(bytes).map_err(binary)))
}

/// Name and UID of a Secret that was made just now.
pub struct Generated(String, String);

/// Generates the passwords of a release once, before anything of it is there. They are never changed and never read by the
/// operator. The inner error is what is in the way.
pub async fn generate(
    ctx: &Context,
    facts: &Facts,
    wanted: &Validated,
) -> Result<Result<Option<Generated>, Finding>, Error> {
    if facts.generated_secret.is_some() {
        return Ok(Ok(None));
    }
    let customer = wanted.customer.as_str();
    let password = || ByteString(Alphanumeric.sample_string(&mut rand::rng(), PASSWORD_LENGTH).into_bytes());
    let all = [
        (labels::CUSTOMER, customer),
        (labels::ENVIRONMENT, &wanted.environment),
        (labels::ENVIRONMENT_UID, &wanted.uid),
        (labels::GENERATED, "true"),
    ];
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
        Ok(created) => {
            // Known before the release is: else the next look would miss it beside a release.
            let found = references::secret(&created);
            ctx.fleet.apply(Change::Objects(ObjectWatch::CustomersSecrets, Delta::Applied(found)));
            let uid = created.metadata.uid.unwrap_or_default();
            Ok(Ok(Some(Generated(wanted.generated_secret.clone(), uid))))
        }
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            Ok(is_own_secret(ctx, wanted).await?.map(|()| None))
        }
        Err(kube::Error::Api(status)) if status.is_forbidden() || status.is_invalid() => {
            let message = format!(
                "the API server refuses Secret \"{}\" for the generated passwords: {}",
                wanted.generated_secret, status.message
            );
            Ok(Err(Finding::new(Reason::Forbidden, message)))
        }
        Err(error) => Err(Error::Prepare(error)),
    }
}

/// Takes back passwords that nothing has used: their environment was deleted while they were made. An API server can let an
/// object go although a finalizer was added to it in the same moment.
pub async fn take_back(ctx: &Context, Generated(name, uid): Generated) -> Result<(), Error> {
    match ctx.api::<Secret>().delete(&name, &with_uid(&uid)).await {
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        result => result.map(drop).map_err(Error::Prepare),
    }
}

async fn is_own_secret(ctx: &Context, wanted: &Validated) -> Result<Result<(), Finding>, Error> {
    let found = ctx.api::<Secret>().get_metadata_opt(&wanted.generated_secret).await.map_err(Error::Prepare)?;
    let all = found.and_then(|found| found.metadata.labels).unwrap_or_default();
    // Admission lets the operator alone set these two: passwords that somebody else has chosen are not taken.
    let wanted_labels = [
        (labels::CUSTOMER, wanted.customer.as_str()),
        (labels::ENVIRONMENT, wanted.environment.as_str()),
        (labels::GENERATED, "true"),
    ];
    if wanted_labels.iter().all(|(key, value)| all.get(*key).is_some_and(|own| own == value)) {
        return Ok(Ok(()));
    }
    let message = format!(
        "Secret \"{}\" exists, and the operator did not make it for this environment: it is in the way of the generated passwords; rename or remove it",
        wanted.generated_secret
    );
    Ok(Err(Finding::new(Reason::ReferenceNotAllowed, message)))
}
