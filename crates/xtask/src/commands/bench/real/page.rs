//! The login page, asked for as a browser would: through the Service.

use std::net::SocketAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::commands::bench::fleet::NAMESPACE;
use crate::commands::bench::lab::Lab;
use crate::{exec, http};

/// Nothing but asking tells that a page is there.
const POLL: Duration = Duration::from_millis(20);
const CONNECTED_WITHIN: Duration = Duration::from_millis(250);
/// The first page of a process may take long.
const ANSWERED_WITHIN: Duration = Duration::from_mins(1);
/// A database is made, and the machine may be slow.
const THERE_WITHIN: Duration = Duration::from_mins(20);

/// The Service of a release, which has to be there.
pub fn address(lab: &Lab, release: &str) -> Result<SocketAddr> {
    let path = "jsonpath={.spec.clusterIP}:{.spec.ports[?(@.name=='http')].port}";
    let mut kubectl = lab.kube().kubectl();
    kubectl.args(["get", "service", release, "--namespace", NAMESPACE, "--output", path]);
    let text = exec::output(&mut kubectl)?;
    text.parse().with_context(|| format!("the Service of {release} has the address {text:?}"))
}

/// When the first page came. People who come while an environment is stopped are answered 503, which does not count.
pub fn first(address: SocketAddr) -> Result<Instant> {
    let since = Instant::now();
    while status(address) != Some(200) {
        if since.elapsed() > THERE_WITHIN {
            bail!("http://{address}/web/login was not there after {} minutes", THERE_WITHIN.as_secs() / 60);
        }
        sleep(POLL);
    }
    Ok(Instant::now())
}

fn status(address: SocketAddr) -> Option<u16> {
    let url = format!("http://{address}/web/login");
    http::get(&url, CONNECTED_WITHIN, ANSWERED_WITHIN).ok().map(|answer| answer.status)
}
