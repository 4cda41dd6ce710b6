//! Many requests to the API server at once: a process of kubectl for each would cost more than the request.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

use super::proxy::Proxy;
use crate::layout::Kube;

/// Connections that are kept.
const CONNECTIONS: usize = 32;
const ANSWERED_WITHIN: Duration = Duration::from_mins(1);

/// The API server, by a proxy that knows the administrator's certificate.
pub struct Api {
    proxy: Proxy,
    agent: ureq::Agent,
}

impl Api {
    /// Starts the proxy.
    pub fn open(kube: &Kube) -> Result<Self> {
        Self::open_as(kube, None)
    }

    /// The same as another user, whom the administrator impersonates.
    pub fn open_as(kube: &Kube, user: Option<&str>) -> Result<Self> {
        let proxy = Proxy::open(kube, user.map(|user| format!("--as={user}")))?;
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(ANSWERED_WITHIN))
            .http_status_as_error(false)
            .max_idle_connections(CONNECTIONS)
            .max_idle_connections_per_host(CONNECTIONS)
            .proxy(None)
            .build()
            .new_agent();
        Ok(Self { proxy, agent })
    }

    /// Reads what lies at a path.
    pub fn get(&self, path: &str) -> Result<Value> {
        answer(path, self.agent.get(self.at(path)).call())
    }

    /// Creates an object in the collection at a path. Returns it as it is kept.
    pub fn create(&self, path: &str, object: &Value) -> Result<Value> {
        let request = self.agent.post(self.at(path)).content_type("application/json");
        answer(path, request.send(object.to_string()))
    }

    /// Merges a change into the object at a path. Returns it as it is kept.
    pub fn patch(&self, path: &str, change: &Value) -> Result<Value> {
        let request = self.agent.patch(self.at(path)).content_type("application/merge-patch+json");
        answer(path, request.send(change.to_string()))
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.proxy.url)
    }
}

fn answer(path: &str, answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Value> {
    let mut answer = answer.with_context(|| format!("{path}: no answer"))?;
    let status = answer.status();
    let body = answer.body_mut().with_config().limit(u64::MAX).read_to_vec()?;
    if !status.is_success() {
        bail!("{path}: {status}: {}", String::from_utf8_lossy(&body));
    }
    serde_json::from_slice(&body).with_context(|| format!("{path}: the answer is no JSON"))
}

/// Does something for each of so many, several at a time.
pub fn each(count: usize, work: impl Fn(usize) -> Result<()> + Sync) -> Result<()> {
    let next = AtomicUsize::new(0);
    let hand = || -> Result<()> {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return Ok(());
            }
            work(index).inspect_err(|_| next.store(count, Ordering::Relaxed))?;
        }
    };
    thread::scope(|scope| {
        let hands: Vec<_> = (0..CONNECTIONS / 2).map(|_| scope.spawn(hand)).collect();
        hands.into_iter().try_for_each(|hand| hand.join().map_err(|_| anyhow!("a thread ended"))?)
    })
}
