//! When containers began and ended, as containerd tells it. A pod's status has whole seconds, and comes later.

use std::collections::HashMap;
use std::time::Instant;

use anyhow::Result;
use serde::Deserialize;

use crate::commands::bench::lab::Lab;
use crate::commands::bench::watch::{Event, Watch};

/// The containers that were seen so far.
pub struct Containers {
    events: Watch<Change>,
    began: HashMap<String, Instant>,
    ended: HashMap<String, Instant>,
}

#[derive(Debug, PartialEq, Eq)]
enum Change {
    Began(String),
    Ended(String),
}

#[derive(Deserialize)]
struct Body {
    container_id: String,
    /// At an end: which process of the container.
    #[serde(default)]
    id: String,
}

impl Change {
    /// From a line of `ctr events`: time, namespace, topic, JSON.
    fn read(line: &str) -> Option<Self> {
        let (_, event) = line.split_once(" /tasks/")?;
        let (topic, body) = event.split_once(' ')?;
        let body: Body = serde_json::from_str(body).ok()?;
        match topic {
            "start" => Some(Self::Began(body.container_id)),
            // A probe's process ends, too.
            "exit" if body.id == body.container_id => Some(Self::Ended(body.container_id)),
            _ => None,
        }
    }
}

impl Containers {
    /// Begins to follow the node's containers.
    pub fn follow(lab: &Lab) -> Result<Self> {
        let mut events = lab.ctr()?;
        events.arg("events");
        Ok(Self { events: Watch::open(events, Change::read)?, began: HashMap::new(), ended: HashMap::new() })
    }

    /// When a container began.
    pub fn began(&mut self, id: &str) -> Result<Instant> {
        loop {
            if let Some(at) = self.began.get(id) {
                return Ok(*at);
            }
            self.note()?;
        }
    }

    /// When a container ended.
    pub fn ended(&mut self, id: &str) -> Result<Instant> {
        loop {
            if let Some(at) = self.ended.get(id) {
                return Ok(*at);
            }
            self.note()?;
        }
    }

    fn note(&mut self) -> Result<()> {
        let Event { at, object } = self.events.next()?;
        match object {
            Change::Began(id) => self.began.insert(id, at),
            Change::Ended(id) => self.ended.insert(id, at),
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_containers_own_process_counts() {
        let line = |topic: &str, body: &str| {
            Change::read(&format!("2026-11-24 20:00:00.123456789 +0000 UTC k8s.io {topic} {body}"))
        };
        assert_eq!(line("/tasks/start", r#"{"container_id":"a","pid":7}"#), Some(Change::Began("a".into())));
        let exit = r#"{"container_id":"a","id":"a","pid":7,"exited_at":{"seconds":1}}"#;
        assert_eq!(line("/tasks/exit", exit), Some(Change::Ended("a".into())));
        assert_eq!(line("/tasks/exit", r#"{"container_id":"a","id":"probe","pid":9}"#), None);
        assert_eq!(line("/tasks/exec-started", r#"{"container_id":"a","exec_id":"probe"}"#), None);
        assert_eq!(line("/containers/create", r#"{"id":"a"}"#), None);
    }
}
