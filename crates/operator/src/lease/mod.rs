//! Leadership: one operator at a time, and the permit under which it and its workers write.

mod client;
mod permit;
mod record;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use client::{gated, ungated};
pub use permit::Permit;
use permit::Try;
use record::Seen;

/// How often the Lease is renewed.
const RENEW: Duration = Duration::from_secs(5);
/// How soon it is looked at again by those who stand by, and after a failure.
const RETRY: Duration = Duration::from_secs(1);

/// Where this operator stands among several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The Lease cannot be read or written.
    Unknown,
    /// Another one leads.
    StandsBy {
        /// Its identity.
        leader: String,
    },
    /// This one does.
    Leads {
        /// From then on no earlier leader, nor a worker of one, can write any more.
        fence: Timestamp,
    },
    /// Another one leads in its place.
    Lost,
}

/// Waits for and keeps leadership. When every receiver is dropped, the Lease is given back and the task ends.
pub async fn compete(permit: &Arc<Permit>) -> anyhow::Result<(watch::Receiver<Standing>, JoinHandle<()>)> {
    let mut seen = None;
    let first = permit.try_to_lead(&mut seen).await.context("the lease cannot be read or written")?;
    let (sender, receiver) = watch::channel(standing(first));
    let permit = Arc::clone(permit);
    let task = tokio::spawn(async move {
        if stand_by(&permit, &sender, seen).await {
            lead(&permit, &sender).await;
        }
    });
    Ok((receiver, task))
}

fn standing(tried: Try) -> Standing {
    match tried {
        Try::Leads(fence) => Standing::Leads { fence },
        Try::StandsBy(Some(leader)) => Standing::StandsBy { leader },
        Try::StandsBy(None) => Standing::Unknown,
    }
}

/// Returns when this operator leads, or when nobody listens any more (false).
async fn stand_by(permit: &Permit, sender: &watch::Sender<Standing>, mut seen: Option<Seen>) -> bool {
    while !matches!(*sender.borrow(), Standing::Leads { .. }) {
        tokio::select! {
            () = sender.closed() => return false,
            () = tokio::time::sleep(RETRY.mul_f64(rand::random_range(0.8..1.2))) => {}
        }
        let now = match permit.try_to_lead(&mut seen).await {
            Ok(tried) => standing(tried),
            Err(error) => {
                tracing::warn!(error = %odoofleet_core::error::chain(&error), "the lease cannot be read or written");
                Standing::Unknown
            }
        };
        sender.send_if_modified(|standing| std::mem::replace(standing, now.clone()) != now);
    }
    true
}

/// Renews the Lease until another operator has it. While the API server cannot be reached, the permit ends by itself; leadership
/// does not, for nobody else can have taken it in a way that this one will not see at its next renewal.
async fn lead(permit: &Permit, sender: &watch::Sender<Standing>) {
    let mut pause = RENEW;
    loop {
        tokio::select! {
            () = sender.closed() => {
                if let Err(error) = permit.release().await {
                    tracing::warn!(error = %odoofleet_core::error::chain(&error), "the lease is not given back; it ends by itself");
                }
                return;
            }
            () = tokio::time::sleep(pause) => {}
        }
        match permit.renew().await {
            Ok(Some(_)) => pause = RENEW,
            Ok(None) => {
                sender.send_replace(Standing::Lost);
                return;
            }
            Err(error) => {
                tracing::warn!(error = %odoofleet_core::error::chain(&error), "the lease cannot be renewed");
                pause = RETRY;
            }
        }
    }
}
