//! Leadership: one operator at a time, and the permit under which its workers write.

use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder};
use odoofleet_helm::Pool;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Seconds for which a lease holds without being renewed.
pub const LEASE_SECONDS: u64 = 15;
/// Seconds before its end at which it is renewed.
const RENEW_BEFORE_SECONDS: u64 = 10;
/// So much before the lease's end the last write of a worker may begin.
const MARGIN: Duration = Duration::from_secs(2);
/// A permit that holds for less is renewed before an operation begins.
const ENOUGH: Duration = Duration::from_secs(7);

/// Waits for and keeps leadership. The receiver turns true when it is gained and false when it is lost.
pub async fn compete(
    client: Client,
    namespace: &str,
    name: &str,
    identity: &str,
) -> anyhow::Result<(watch::Receiver<bool>, JoinHandle<kube_lease_manager::Result<LeaseManager>>)> {
    let manager = LeaseManagerBuilder::new(client, name)
        .with_namespace(namespace)
        .with_identity(identity)
        .with_field_manager(format!("odoofleet-{identity}"))
        .with_duration(LEASE_SECONDS)
        .with_grace(RENEW_BEFORE_SECONDS)
        .build()
        .await
        .with_context(|| format!("lease \"{name}\" in namespace \"{namespace}\" cannot be read or created"))?;
    Ok(manager.watch().await)
}

/// The permit to write, read from the lease itself.
pub struct Permit {
    api: Api<Lease>,
    name: String,
    identity: String,
    pool: Pool,
    until: Mutex<Option<(Instant, Timestamp)>>,
}

impl Permit {
    /// A permit that is not held yet.
    pub fn new(client: Client, namespace: &str, name: &str, identity: &str, pool: Pool) -> Self {
        let api = Api::namespaced(client, namespace);
        Self { api, name: name.to_owned(), identity: identity.to_owned(), pool, until: Mutex::new(None) }
    }

    /// The moment until which an operation that begins now may write. None: the lease is not ours.
    pub async fn obtain(&self) -> kube::Result<Option<Timestamp>> {
        let held = *self.until.lock();
        if let Some((until, time)) = held.filter(|(until, _)| until.saturating_duration_since(Instant::now()) > ENOUGH)
        {
            self.pool.permit(Some(until));
            return Ok(Some(time));
        }
        self.renew().await
    }

    /// Reads the lease and hands its end to the workers.
    pub async fn renew(&self) -> kube::Result<Option<Timestamp>> {
        let before = (Instant::now(), Timestamp::now());
        let lease = self.api.get_opt(&self.name).await?;
        let until = lease.and_then(|lease| self.end_of(&lease, before));
        *self.until.lock() = until;
        self.pool.permit(until.map(|(until, _)| until));
        Ok(until.map(|(_, time)| time))
    }

    fn end_of(&self, lease: &Lease, (instant, now): (Instant, Timestamp)) -> Option<(Instant, Timestamp)> {
        let spec = lease.spec.as_ref()?;
        if spec.holder_identity.as_deref() != Some(&self.identity) {
            return None;
        }
        let seconds = u64::try_from(spec.lease_duration_seconds?).ok()?;
        let end = spec.renew_time.as_ref()?.0 + Duration::from_secs(seconds) - MARGIN;
        // The lease's time was written by this machine's clock; a jump of that clock only shortens the permit.
        let left = Duration::try_from(end.duration_since(now)).ok()?.min(Duration::from_secs(seconds));
        Some((instant + left, end))
    }

    /// Renews the permit while there is work.
    pub async fn keep(&self) {
        let mut tick = tokio::time::interval(Duration::from_secs(3));
        loop {
            tick.tick().await;
            self.pool.retire_idle();
            if self.pool.has_work()
                && let Err(error) = self.renew().await
            {
                // The permit that is held ends by itself.
                tracing::warn!(%error, "the lease cannot be read");
            }
        }
    }
}
