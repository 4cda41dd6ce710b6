//! Records of Helm revisions, where more is asked than their labels say: by whom a release was made, and from which chart.

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Secret;
use odoofleet_core::error::chain;
use odoofleet_core::fleet::RecordKey;
use odoofleet_core::record::{RECORD_KEY, RECORD_TYPE, Record, RecordError};

use crate::context::Context;

/// Records that are read at once.
const AT_ONCE: usize = 8;

/// Reads the record of a revision. None if it is gone. The inner error is what is wrong with it.
pub async fn read(ctx: &Context, release: &str, number: i64) -> kube::Result<Option<Result<Record, RecordError>>> {
    let secret = ctx.api::<Secret>().get_opt(&object_name(release, number)).await?;
    let data = secret.filter(|secret| secret.type_.as_deref() == Some(RECORD_TYPE)).and_then(|secret| secret.data);
    Ok(data.map(|mut data| Record::read(&data.remove(RECORD_KEY).unwrap_or_default().0)))
}

/// Name of the Secret in which Helm keeps a revision.
pub fn object_name(release: &str, number: i64) -> String {
    format!("sh.helm.release.v1.{release}.v{number}")
}

/// Reads the records of releases that nobody claims, as far as they are not known.
pub async fn learn(ctx: &Context) -> kube::Result<()> {
    let unread = ctx.fleet.with(|fleet| fleet.unread_records());
    let reads = futures::stream::iter(unread).map(|key| learn_one(ctx, key));
    reads.buffer_unordered(AT_ONCE).try_collect().await
}

async fn learn_one(ctx: &Context, key: RecordKey) -> kube::Result<()> {
    let Some(record) = read(ctx, &key.release, key.number).await? else { return Ok(()) };
    let summary = record.map(|record| record.summary());
    if let Err(error) = &summary {
        tracing::warn!(release = key.release, revision = key.number, error = chain(error), "a record cannot be read");
    }
    ctx.fleet.affect(|fleet| fleet.note_record(key, summary.ok()));
    Ok(())
}
