//! The end-to-end scenarios. Each function's name is the fact that it holds.
#![allow(missing_docs, reason = "the names say it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a scenario fails by panicking, in its helpers too"
)]

mod adoption;
mod budgets;
mod certificates;
mod checks;
mod cli;
mod crds;
mod customers;
mod deletion;
mod deletion_races;
mod drift;
mod engine;
mod environments;
mod handbook;
mod leadership;
mod moments;
mod power;
mod power_refused;
mod quickstart;
mod quiet;
mod refusals;
mod releases_truth;
mod requests;
mod rollouts;
mod shapes;
mod status;
mod template_truth;
mod templates;
mod walls;
mod walls_around;
mod watches;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::ResourceExt;
use kube::api::ListParams;
use kube::core::PartialObjectMeta;

use engine::wait_status;

type Result = anyhow::Result<()>;

/// Revision numbers of a release, oldest first.
async fn revisions(world: &e2e::World, release: &str) -> anyhow::Result<Vec<i64>> {
    let selector = format!("owner=helm,name={release}");
    let secrets = world.api::<PartialObjectMeta<Secret>>().list(&ListParams::default().labels(&selector)).await?;
    let mut numbers: Vec<i64> =
        secrets.items.iter().filter_map(|secret| secret.labels().get("version")?.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Labels of the newest revision of a release.
async fn release_labels(world: &e2e::World, release: &str) -> anyhow::Result<BTreeMap<String, String>> {
    let newest = revisions(world, release).await?.pop().unwrap_or_default();
    let secret =
        world.api::<PartialObjectMeta<Secret>>().get(&format!("sh.helm.release.v1.{release}.v{newest}")).await?;
    Ok(secret.labels().clone())
}

/// What the small chart's ConfigMap of a release says.
async fn rendered(world: &e2e::World, release: &str, key: &str) -> anyhow::Result<String> {
    let map = world.api::<ConfigMap>().get(&format!("{release}-config")).await?;
    Ok(map.data.and_then(|mut data| data.remove(key)).unwrap_or_default())
}
