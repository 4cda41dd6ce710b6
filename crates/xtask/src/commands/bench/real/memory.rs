//! The memory of an environment's containers, as kubelet tells it.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use crate::commands::bench::fleet::NAMESPACE;
use crate::commands::bench::lab::{Lab, label};
use crate::{exec, node};

const WORKING_SET: &str = "container_memory_working_set_bytes{";

/// Bytes by part of the release and container, such as `web: odoo`.
pub fn of(lab: &Lab, release: &str) -> Result<BTreeMap<String, u64>> {
    let path = format!("/api/v1/nodes/{}/proxy/metrics/resource", node::NAME);
    let found = read(&exec::output(lab.kube().kubectl().args(["get", "--raw", &path]))?, release);
    if found.is_empty() {
        bail!("kubelet tells nothing of the memory of {release}");
    }
    Ok(found)
}

fn read(metrics: &str, release: &str) -> BTreeMap<String, u64> {
    let prefix = format!("{release}-");
    let lines = metrics.lines().filter_map(|line| {
        // Behind the value stands the time at which it was taken.
        let (labels, rest) = line.strip_prefix(WORKING_SET)?.split_once("} ")?;
        let labels = format!("{{{labels}}}");
        let part = label(&labels, "pod").strip_prefix(&prefix)?.split('-').next()?;
        let value: f64 = rest.split(' ').next()?.parse().ok()?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is a count of bytes")]
        let bytes = value as u64;
        let ours = label(&labels, "namespace") == NAMESPACE;
        ours.then(|| (format!("{part}: {}", label(&labels, "container")), bytes))
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_releases_own_containers_count() {
        let line = |namespace: &str, pod: &str, container: &str, bytes: &str| {
            format!(
                "{WORKING_SET}container=\"{container}\",namespace=\"{namespace}\",pod=\"{pod}\"}} {bytes} 1764017000123\n"
            )
        };
        let text = "# TYPE container_memory_working_set_bytes gauge\n".to_owned()
            + &line("odoo", "bench-r1-web-5d-x", "odoo", "1.5e+08")
            + &line("odoo", "bench-r1-postgresql-0", "postgresql", "42")
            + &line("odoo", "bench-r11-web-5d-x", "odoo", "7")
            + &line("other", "bench-r1-web-5d-x", "odoo", "7");
        let expected = [("postgresql: postgresql".to_owned(), 42), ("web: odoo".to_owned(), 150_000_000)];
        assert_eq!(read(&text, "bench-r1"), BTreeMap::from(expected));
    }
}
