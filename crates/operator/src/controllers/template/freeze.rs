//! Freezing a template's content into an immutable version: its chart is fetched, checked by a worker, and kept.

use odoofleet_core::error::chain;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use kube::api::{ListParams, PostParams};
use kube::core::ObjectMeta;
use kube::{Resource, ResourceExt};
use odoofleet_api::conditions::Reason;
use odoofleet_api::names::{MAX_OBJECT_NAME, NameError, ReleaseName};
use odoofleet_api::{OdooTemplate, labels};
use odoofleet_core::chart::Chart as OdooChart;
use odoofleet_core::finding::Finding;
use odoofleet_core::fleet::{Change, Delta};
use odoofleet_core::template::{
    StoredVersion, VersionContent, VersionError, lacks_inputs, probe_values, revision_name,
};
use odoofleet_core::values::ValuePath;
use odoofleet_helm::{Chart, Command, ErrorClass, Inputs, Lane, Request, Turn};
use tokio::sync::RwLock;

use crate::charts::{self, FetchError};
use crate::context::Context;
use crate::controllers::environment::{probe, reason_of};
use crate::watches::versions;

/// Seconds for rendering a chart.
const RENDER_TIMEOUT: i64 = 60;
/// Longest that fetching, checking and keeping a chart may take.
const LIMIT: Duration = Duration::from_mins(5);
/// Name of the release for which a chart is rendered that is only checked.
const PLACEHOLDER: &str = "check-of-a-template";

/// Keeps an archive from being taken for unused between its own creation and that of the version that names it.
#[derive(Default)]
pub struct Freezing(RwLock<()>);

impl Freezing {
    /// Removes archives that no version names, at a moment at which no version is being made.
    pub async fn remove_unused(&self, ctx: &Context) -> kube::Result<()> {
        let _alone = self.0.write().await;
        // Read anew and by this one field: a version that only a newer operator understands needs its archive as well.
        let versions = ctx.api::<ControllerRevision>().list(&ListParams::default().labels(labels::TEMPLATE)).await?;
        let digest =
            |version: &ControllerRevision| Some(version.data.as_ref()?.0.get("chartDigest")?.as_str()?.to_owned());
        let used: BTreeSet<String> = versions.items.iter().filter_map(digest).collect();
        if let Err(error) = ctx.charts.retain(&used).await {
            tracing::warn!(error = chain(&error), "charts that are of no more use cannot be removed from the disk");
        }
        charts::remove_unused(&ctx.api::<ConfigMap>(), &used).await
    }
}

/// What keeps a version from being made, and whether another try may end otherwise although no input has changed.
type Problem = (Finding, bool);

/// Makes the version of a template's spec, and keeps what came of it.
pub async fn freeze(ctx: Arc<Context>, template: Arc<OdooTemplate>) {
    let (name, version) = (template.name_any(), template.spec.version.clone());
    let (shared, own) = (Arc::clone(&ctx), Arc::clone(&template));
    let made = within_limit(async move { make(&shared, &own).await }).await;
    match &made {
        Ok(()) => tracing::info!(template = name, version, "template version kept"),
        Err((finding, _)) => {
            tracing::warn!(
                template = name,
                version,
                reason = finding.reason.as_str(),
                finding.message,
                "no version is made"
            );
        }
    }
    ctx.fleet.affect(|fleet| fleet.end_freeze(&name, made, Timestamp::now()));
}

/// In a task of its own and for a limited time: what panics or never ends is a problem like any other.
async fn within_limit(making: impl Future<Output = Result<(), Problem>> + Send + 'static) -> Result<(), Problem> {
    let making = tokio::spawn(making);
    let stop = making.abort_handle();
    let problem = match tokio::time::timeout(LIMIT, making).await {
        Ok(Ok(made)) => return made,
        Ok(Err(error)) => format!("making the version ended by itself: {error}"),
        Err(_) => {
            stop.abort();
            format!("fetching and checking the chart took longer than {} s", LIMIT.as_secs())
        }
    };
    Err((Finding::new(Reason::ChartUnavailable, problem), true))
}

async fn make(ctx: &Context, template: &OdooTemplate) -> Result<(), Problem> {
    check_name(&template.name_any())?;
    let archive = charts::fetch(ctx, &template.spec.chart).await.map_err(|error| unfetched(&error))?;
    let digest = odoofleet_core::digest::hex(&archive);
    let invalid = |error: charts::LoadError| (Finding::new(Reason::ChartInvalid, chain(&error)), false);
    let loaded = ctx.charts.take_in(&digest, &archive).await.map_err(invalid)?;
    if let Some(wanted) = template.spec.chart.version.as_ref().filter(|wanted| **wanted != loaded.chart.version) {
        return Err(unfetched(&FetchError::Version { wanted: wanted.clone(), actual: loaded.chart.version.clone() }));
    }
    let content = VersionContent::new(&template.spec, &loaded.chart, digest.clone())
        .map_err(|error| (unusable(&error), false))?;
    let has_upgrade_hooks = check(ctx, template, &content, &loaded.chart).await?;
    let _kept = ctx.freezing.0.read().await;
    charts::keep(&ctx.api::<ConfigMap>(), &digest, &archive).await.map_err(|error| unkept(&error))?;
    create(ctx, template, &content, has_upgrade_hooks).await
}

/// Admission refuses longer names. An object can be older than the rule.
fn check_name(name: &str) -> Result<(), Problem> {
    if name.len() <= MAX_OBJECT_NAME {
        return Ok(());
    }
    let message = format!(
        "the template's name has {} characters, and a label holds {MAX_OBJECT_NAME}: make it anew under a shorter name",
        name.len()
    );
    Err((Finding::new(Reason::InvalidSpec, message), false))
}

fn unfetched(error: &FetchError) -> Problem {
    let reason = error.reason();
    let transient = reason == Reason::ChartUnavailable;
    (Finding::new(reason, chain(error)), transient)
}

fn unusable(error: &VersionError) -> Finding {
    let reason = match error {
        VersionError::SecretValue(_) | VersionError::OpenPassword(_) => Reason::ValueNotAllowed,
        _ => Reason::InvalidSpec,
    };
    Finding::new(reason, error.to_string())
}

fn unkept(error: &kube::Error) -> Problem {
    (Finding::new(Reason::ChartUnavailable, format!("the version cannot be kept: {}", chain(error))), true)
}

/// Has a worker render the chart with the template's values: what it lacks or may not make is told here, and not at the first
/// environment. The answer is whether it has hooks that run at an upgrade.
async fn check(
    ctx: &Context,
    template: &OdooTemplate,
    content: &VersionContent,
    chart: &OdooChart,
) -> Result<bool, Problem> {
    let release =
        placeholder(template).map_err(|error| (Finding::new(Reason::InvalidSpec, error.to_string()), false))?;
    let path = ctx.charts.path(&content.chart_digest).to_string_lossy().into_owned();
    let inputs = Inputs {
        chart: Chart { path, sha256: content.chart_digest.clone() },
        values: probe_values(content, chart, &release),
        secret_paths: content.secret_value_paths(chart).iter().map(ValuePath::pointer).collect(),
        allowed_kinds: ctx.settings.allowed_kinds.clone(),
        ..Inputs::default()
    };
    let request = Request {
        id: format!("{:016x}", rand::random::<u64>()),
        // A name of its own for each template: the pool takes one operation of a release at a time.
        release: release.as_str().to_owned(),
        namespace: ctx.settings.namespace.clone(),
        expected_revision: 1,
        revisions: Vec::new(),
        timeout_seconds: RENDER_TIMEOUT,
        command: Command::Render { inputs: Box::new(inputs) },
    };
    let turn = Turn { lane: Lane::Probe, tenant: template.name_any(), hooks: false };
    let Some(answer) = probe(ctx, request, turn).await else {
        return Err((Finding::new(Reason::ChartUnavailable, "no Helm worker takes the check of the chart now"), true));
    };
    match answer {
        Ok(success) => Ok(success.hooks.upgrade > 0),
        // Hooks that are not known are assumed.
        Err(error) if error.class == ErrorClass::ValueRequired && lacks_inputs(content, &release) => Ok(true),
        Err(error) => {
            let (reason, message) = reason_of(&error);
            let remedy = match error.class {
                ErrorClass::ValueRequired => {
                    "; give it the value in spec.values of the template, bind it to an input, or name it in secretPaths"
                }
                _ => "",
            };
            let finding = Finding::new(reason, format!("the chart cannot be used: {message}{remedy}"));
            Err((finding, !error.class.is_terminal()))
        }
    }
}

fn placeholder(template: &OdooTemplate) -> Result<ReleaseName, NameError> {
    let digest = odoofleet_core::digest::base32(template.uid().unwrap_or_default().as_bytes());
    ReleaseName::parse(&format!("{PLACEHOLDER}-{}", &digest[..8]))
}

async fn create(
    ctx: &Context,
    template: &OdooTemplate,
    content: &VersionContent,
    has_upgrade_hooks: bool,
) -> Result<(), Problem> {
    let name = template.name_any();
    let too_odd = |error: serde_json::Error| (Finding::new(Reason::InvalidSpec, error.to_string()), false);
    let data = serde_json::to_value(content).map_err(too_odd)?;
    let kept = ctx.fleet.with(|fleet| fleet.versions_of(&name).len());
    let revision = ControllerRevision {
        metadata: ObjectMeta {
            name: Some(revision_name(&name, &content.version)),
            labels: Some(BTreeMap::from([(labels::TEMPLATE.to_owned(), name.clone())])),
            annotations: Some(BTreeMap::from([(labels::UPGRADE_HOOKS.to_owned(), has_upgrade_hooks.to_string())])),
            owner_references: template.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        data: Some(RawExtension(data)),
        revision: i64::try_from(kept).unwrap_or(i64::MAX - 1) + 1,
    };
    let params = PostParams { field_manager: Some(labels::FIELD_MANAGER.to_owned()), ..PostParams::default() };
    let api = ctx.api::<ControllerRevision>();
    let created = match api.create(&params, &revision).await {
        // Made by an earlier look whose event is still on its way.
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            api.get(&revision.name_any()).await.map_err(|error| unkept(&error))?
        }
        result => result.map_err(|error| unkept(&error))?,
    };
    let own =
        |(template, stored): &(String, StoredVersion)| *template == name && stored.content.version == content.version;
    let Some(version) = versions::read(&created).filter(own) else {
        let message = format!(
            "ControllerRevision \"{}\" is in the way and is not a version of this template: rename or remove it",
            created.name_any()
        );
        // No watch tells that it is gone.
        return Err((Finding::new(Reason::ReferenceNotAllowed, message), true));
    };
    ctx.fleet.apply(Change::TemplateVersions(Delta::Applied(version)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is held is let go of when the work ends, however it does.
    async fn ended(making: impl Future<Output = ()> + Send + 'static) -> (Result<(), Problem>, bool) {
        let held = Arc::new(());
        let kept = Arc::clone(&held);
        let made = within_limit(async move {
            making.await;
            drop(kept);
            Ok(())
        });
        let made = made.await;
        tokio::task::yield_now().await;
        (made, Arc::strong_count(&held) == 1)
    }

    #[tokio::test(start_paused = true)]
    async fn a_version_that_is_never_done_is_given_up_and_tried_again() {
        let (made, is_over) = ended(std::future::pending()).await;
        let (finding, again) = made.unwrap_err();
        assert_eq!((finding.reason, again, is_over), (Reason::ChartUnavailable, true, true));
        assert_eq!(finding.message, "fetching and checking the chart took longer than 300 s");
    }

    #[tokio::test(start_paused = true)]
    async fn a_version_whose_making_panics_is_tried_again() {
        let (made, is_over) = ended(async { panic!("a fault of ours") }).await;
        let (finding, again) = made.unwrap_err();
        assert_eq!((finding.reason, again, is_over), (Reason::ChartUnavailable, true, true));
        assert!(finding.message.starts_with("making the version ended by itself"), "{}", finding.message);
    }

    #[tokio::test(start_paused = true)]
    async fn a_version_that_takes_its_time_is_made() {
        let (made, _) = ended(tokio::time::sleep(LIMIT / 2)).await;
        assert_eq!(made, Ok(()));
    }
}
