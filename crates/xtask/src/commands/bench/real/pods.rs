//! The pods of one environment, and when each was how.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Result, anyhow};
use serde::Deserialize;

use crate::commands::bench::fleet::NAMESPACE;
use crate::commands::bench::lab::Lab;
use crate::commands::bench::watch::{Event, Watch};

/// A watch of the pods, which keeps what it told.
pub struct Pods {
    watch: Watch<Pod>,
    told: Vec<Event<Pod>>,
}

/// A pod.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Pod {
    metadata: Metadata,
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    name: String,
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    conditions: Vec<Condition>,
    init_container_statuses: Vec<Container>,
    container_statuses: Vec<Container>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Container {
    name: String,
    #[serde(rename = "containerID")]
    id: String,
}

impl Pod {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.metadata.name
    }

    /// Whether it is this part (`web`, `postgresql`, …) of a release.
    pub fn is(&self, release: &str, component: &str) -> bool {
        let has = |label: &str, value: &str| self.metadata.labels.get(label).is_some_and(|own| own == value);
        has("app.kubernetes.io/instance", release) && has("app.kubernetes.io/component", component)
    }

    /// Whether one of its conditions is true.
    pub fn has(&self, condition: &str) -> bool {
        self.status.conditions.iter().any(|own| own.kind == condition && own.status == "True")
    }

    /// What containerd calls a container of it.
    pub fn container(&self, name: &str) -> Result<&str> {
        let mut all = self.status.init_container_statuses.iter().chain(&self.status.container_statuses);
        let id = all.find(|container| container.name == name).and_then(|own| own.id.strip_prefix("containerd://"));
        id.ok_or_else(|| anyhow!("pod {} has no container {name} yet", self.name()))
    }
}

impl Pods {
    /// Begins to watch. What is there already is told first.
    pub fn follow(lab: &Lab) -> Result<Self> {
        let watch = Watch::raw(&lab.kube(), &format!("/api/v1/namespaces/{NAMESPACE}/pods"))?;
        Ok(Self { watch, told: Vec::new() })
    }

    /// The first time that `found` held, in whatever order it is asked for.
    pub fn first(&mut self, found: impl Fn(&Pod) -> bool) -> Result<&Event<Pod>> {
        let known = self.told.iter().position(|event| found(&event.object));
        let index = if let Some(index) = known {
            index
        } else {
            loop {
                let event = self.watch.next()?;
                let holds = found(&event.object);
                self.told.push(event);
                if holds {
                    break self.told.len() - 1;
                }
            }
        };
        Ok(&self.told[index])
    }

    /// The moment of that.
    pub fn at(&mut self, found: impl Fn(&Pod) -> bool) -> Result<Instant> {
        self.first(found).map(|event| event.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_tells_its_part_and_its_containers() {
        let pod: Pod = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "a-web-1", "labels": {
                "app.kubernetes.io/instance": "a", "app.kubernetes.io/component": "web",
            }},
            "status": {
                "conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "False"}],
                "initContainerStatuses": [{"name": "prepare", "containerID": "containerd://12ab"}],
                "containerStatuses": [{"name": "odoo"}],
            },
        }))
        .unwrap();
        assert!(pod.is("a", "web") && !pod.is("a", "cron") && !pod.is("b", "web"));
        assert!(pod.has("PodScheduled") && !pod.has("Ready"));
        assert_eq!(pod.container("prepare").unwrap(), "12ab");
        assert!(pod.container("odoo").is_err());
    }
}
