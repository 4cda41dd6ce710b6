//! Requests that write, as the API server counted them.

use std::collections::BTreeMap;

use anyhow::Result;

use super::lab::{Lab, Metrics};
use crate::exec;

const WRITES: [&str; 6] = ["POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"];
/// Written all the time in any cluster: leases, the nodes that kwok plays, tokens of the controller manager, and
/// questions that are asked by POST.
const CONSTANT: [&str; 7] = [
    "leases",
    "nodes",
    "serviceaccounts",
    "tokenreviews",
    "subjectaccessreviews",
    "selfsubjectaccessreviews",
    "selfsubjectreviews",
];

/// Writes so far, by verb and resource.
pub struct Writes(BTreeMap<String, u64>);

impl Writes {
    /// Asks the API server.
    pub fn count(lab: &Lab) -> Result<Self> {
        let text = exec::output(lab.kube().kubectl().args(["get", "--raw", "/metrics"]))?;
        Ok(Self::read(&Metrics::new(text)))
    }

    fn read(metrics: &Metrics) -> Self {
        let mut writes = BTreeMap::new();
        for (labels, count) in metrics.series("apiserver_request_total") {
            let (verb, resource) = (label(labels, "verb"), label(labels, "resource"));
            if WRITES.contains(&verb) && !CONSTANT.contains(&resource) {
                let subresource = label(labels, "subresource");
                let slash = if subresource.is_empty() { "" } else { "/" };
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is a count")]
                let count = count as u64;
                *writes.entry(format!("{verb} {resource}{slash}{subresource}")).or_default() += count;
            }
        }
        Self(writes)
    }

    /// What came since `before`, as text; "0" if nothing.
    pub fn since(&self, before: &Self) -> String {
        let new = self.0.iter().filter_map(|(what, count)| {
            let more = count - before.0.get(what).copied().unwrap_or_default();
            (more > 0).then(|| format!("{more} × {what}"))
        });
        let new: Vec<String> = new.collect();
        if new.is_empty() { "0".to_owned() } else { new.join(", ") }
    }
}

/// The value of a label in a series' labels.
pub fn label<'a>(labels: &'a str, name: &str) -> &'a str {
    let begin = |text: &'a str, sign: &str| text.split_once(&format!("{sign}{name}=\"")).map(|(_, rest)| rest);
    let value = begin(labels, "{").or_else(|| begin(labels, ","));
    value.and_then(|rest| rest.split_once('"')).map_or("", |(value, _)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_new_writes_are_told() {
        let series = |verb: &str, resource: &str, subresource: &str, count: u32| {
            format!(
                "apiserver_request_total{{code=\"200\",group=\"g\",resource=\"{resource}\",subresource=\"{subresource}\",verb=\"{verb}\"}} {count}\n"
            )
        };
        let read = |text: String| Writes::read(&Metrics::new(text));
        let before = read(series("PATCH", "odooenvironments", "status", 5) + &series("POST", "leases", "", 1));
        let same = read(series("PATCH", "odooenvironments", "status", 5) + &series("PUT", "leases", "", 9));
        assert_eq!(same.since(&before), "0");
        let more = read(
            series("PATCH", "odooenvironments", "status", 8)
                + &series("GET", "secrets", "", 9)
                + &series("POST", "secrets", "", 1),
        );
        assert_eq!(more.since(&before), "3 × PATCH odooenvironments/status, 1 × POST secrets");
    }
}
