//! The permit to write. It follows from the Lease, and ends a little before it.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use odoofleet_helm::Pool;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::record::{self, LEASE, PERMIT, Seen};

/// A request for the Lease may take so long: a connection that is dead must not cost the Lease.
const REQUEST: Duration = Duration::from_secs(3);
/// A permit that holds for less is renewed before a Helm operation begins.
const ENOUGH: Duration = Duration::from_secs(7);
/// A permit that holds for less is renewed before any other write.
const BRIEF: Duration = Duration::from_secs(1);

/// A write that may not be made, or not be waited for any longer.
#[derive(Debug, thiserror::Error)]
pub enum PermitError {
    /// Another operator leads, or nothing was heard of the Lease for too long.
    #[error("the permit to write is over")]
    Over,
    /// The Lease cannot be renewed.
    #[error("the permit to write is over, and the lease cannot be renewed")]
    Unrenewed(#[source] kube::Error),
}

/// The API server did not answer in time.
#[derive(Debug, thiserror::Error)]
#[error("the API server did not answer within {} seconds", .0.as_secs())]
pub struct NoAnswer(pub Duration);

/// The operator's hold on the Lease, and the permit to write that follows from it.
///
/// The permit begins before the request that renews the Lease is sent and is measured by a clock that cannot be set. So it is over
/// before anybody else may take the Lease, however long this process or its network sleeps.
pub struct Permit {
    api: Api<Lease>,
    name: String,
    identity: String,
    pool: Pool,
    /// The Lease as this process wrote it last; nothing if it does not hold it.
    held: tokio::sync::Mutex<Option<Lease>>,
    until: Mutex<Option<(Instant, Timestamp)>>,
}

/// What became of a try to lead.
pub(super) enum Try {
    /// This operator leads. No earlier one writes from then on.
    Leads(Timestamp),
    /// Another one does; nothing if two reached for the Lease at once.
    StandsBy(Option<String>),
}

impl Permit {
    /// A permit that is not held yet. The client must not be gated by it.
    pub fn new(client: Client, namespace: &str, name: &str, identity: &str, pool: Pool) -> Self {
        let (api, name, identity) = (Api::namespaced(client, namespace), name.to_owned(), identity.to_owned());
        Self { api, name, identity, pool, held: tokio::sync::Mutex::default(), until: Mutex::new(None) }
    }

    /// The moment until which a Helm operation that begins now may write. None: the Lease is not ours.
    pub async fn obtain(&self) -> kube::Result<Option<Timestamp>> {
        self.renew_below(ENOUGH).await
    }

    /// Makes a write that is not Helm's. It is given up when the permit is over.
    pub async fn guard<T>(&self, write: impl Future<Output = T>) -> Result<T, PermitError> {
        self.renew_below(BRIEF).await.map_err(PermitError::Unrenewed)?;
        tokio::pin!(write);
        loop {
            let until = self.left(Duration::ZERO).ok_or(PermitError::Over)?.0;
            // It may have been renewed meanwhile: then the write goes on.
            tokio::select! {
                result = &mut write => return Ok(result),
                () = tokio::time::sleep_until(until) => {}
            }
        }
    }

    /// Renews the Lease. None: it is not ours any more.
    pub(super) async fn renew(&self) -> kube::Result<Option<Timestamp>> {
        self.renew_below(LEASE).await
    }

    /// The permit, if more than `least` of it is left.
    fn left(&self, least: Duration) -> Option<(Instant, Timestamp)> {
        self.until.lock().filter(|(until, _)| until.saturating_duration_since(Instant::now()) > least)
    }

    async fn renew_below(&self, least: Duration) -> kube::Result<Option<Timestamp>> {
        if let Some((_, time)) = self.left(least) {
            return Ok(Some(time));
        }
        let mut held = self.held.lock().await;
        // Whoever waited for the lock before may have renewed it.
        if let Some((_, time)) = self.left(least) {
            return Ok(Some(time));
        }
        let Some(mut before) = held.clone() else { return Ok(None) };
        loop {
            match self.write(Some(&before)).await {
                Ok((written, time)) => {
                    *held = Some(written);
                    return Ok(Some(time));
                }
                Err(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found() => {}
                Err(error) => return Err(error),
            }
            // Somebody wrote it: this operator, if an answer was lost; a person, to annotate it; or the next leader.
            match in_time(self.api.get_opt(&self.name)).await? {
                Some(found) if record::went_back(&before, &found) => {
                    tracing::error!(
                        "the API server's storage went back, as from a backup: nothing that is known holds"
                    );
                    *held = None;
                    self.grant(None);
                    return Ok(None);
                }
                Some(found) if record::holder(&found) == Some(&self.identity) => before = found,
                _ => {
                    *held = None;
                    self.grant(None);
                    return Ok(None);
                }
            }
        }
    }

    /// Takes the Lease if it is free.
    pub(super) async fn try_to_lead(&self, seen: &mut Option<Seen>) -> kube::Result<Try> {
        let found = in_time(self.api.get_opt(&self.name)).await?;
        let now = Instant::now();
        *seen = found.map(|lease| Seen::now(seen.take(), lease, now));
        if let Some(seen) = seen.as_ref().filter(|seen| !seen.is_free(&self.identity, now)) {
            return Ok(Try::StandsBy(record::holder(seen.lease()).map(str::to_owned)));
        }
        let mut held = self.held.lock().await;
        let before = seen.as_ref().map(Seen::lease);
        match self.write(before).await {
            Ok((written, _)) => {
                *held = Some(written);
                Ok(Try::Leads(record::fence(before, Timestamp::now())))
            }
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => {
                Ok(Try::StandsBy(None))
            }
            Err(error) => Err(error),
        }
    }

    /// Gives the Lease back, so that the next operator need not wait for its end.
    pub(super) async fn release(&self) -> kube::Result<()> {
        let mut held = self.held.lock().await;
        self.grant(None);
        let Some(lease) = held.take() else { return Ok(()) };
        let released = Lease { spec: Some(record::released(&lease)), ..lease };
        in_time(self.api.replace(&self.name, &PostParams::default(), &released)).await.map(drop)
    }

    /// Writes the Lease as ours, unless somebody wrote it since it was read, and begins a permit.
    async fn write(&self, before: Option<&Lease>) -> kube::Result<(Lease, Timestamp)> {
        let (instant, now) = (Instant::now(), Timestamp::now());
        let spec: Option<LeaseSpec> = Some(record::held(before, &self.identity, now));
        let params = PostParams::default();
        let written = if let Some(lease) = before {
            let lease = Lease { spec, ..lease.clone() };
            in_time(self.api.replace(&self.name, &params, &lease)).await?
        } else {
            let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
            in_time(self.api.create(&params, &Lease { metadata, spec })).await?
        };
        let until = (instant + PERMIT, now + PERMIT);
        self.grant(Some(until));
        Ok((written, until.1))
    }

    fn grant(&self, until: Option<(Instant, Timestamp)>) {
        *self.until.lock() = until;
        self.pool.permit(until.map(|(until, _)| until));
    }
}

async fn in_time<T>(request: impl Future<Output = kube::Result<T>>) -> kube::Result<T> {
    let answer = tokio::time::timeout(REQUEST, request).await;
    answer.unwrap_or_else(|_| Err(kube::Error::Service(Box::new(NoAnswer(REQUEST)))))
}
