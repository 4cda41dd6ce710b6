//! Watches that note when each event came.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::exec;
use crate::layout::Kube;

/// Longer than any measurement.
const LIMIT: Duration = Duration::from_mins(30);

/// Something that a watch told.
pub struct Event<T> {
    /// When it came.
    pub at: Instant,
    /// What it was.
    pub object: T,
}

/// A running watch.
pub struct Watch<T> {
    child: Child,
    events: Receiver<Event<T>>,
}

impl<T> Drop for Watch<T> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Deserialize)]
struct RawEvent<T> {
    #[serde(rename = "type")]
    kind: String,
    object: T,
}

impl<T: DeserializeOwned + Send + 'static> Watch<T> {
    /// The objects below an API path, first those that are there. What is deleted is told, too: as it last was.
    pub fn raw(kube: &Kube, path: &str) -> Result<Self> {
        let mut command = kube.kubectl();
        command.args(["get", "--raw", &format!("{path}?watch=true&timeoutSeconds=7200")]);
        Self::open(command, |line| {
            let event: RawEvent<T> = serde_json::from_str(line).ok()?;
            (event.kind != "ERROR").then_some(event.object)
        })
    }
}

impl<T: Send + 'static> Watch<T> {
    /// What a command prints, line by line; lines without a meaning are left out.
    pub fn open(mut command: Command, read: impl Fn(&str) -> Option<T> + Send + 'static) -> Result<Self> {
        let mut child = exec::spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()))?;
        let stdout = child.stdout.take().ok_or_else(|| anyhow!("kubectl has no output"))?;
        let (send, events) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let at = Instant::now();
                if let Some(object) = read(&line)
                    && send.send(Event { at, object }).is_err()
                {
                    return;
                }
            }
        });
        Ok(Self { child, events })
    }

    /// The next event.
    pub fn next(&self) -> Result<Event<T>> {
        match self.events.recv_timeout(LIMIT) {
            Ok(event) => Ok(event),
            Err(RecvTimeoutError::Timeout) => bail!("nothing happened for {} minutes", LIMIT.as_secs() / 60),
            Err(RecvTimeoutError::Disconnected) => bail!("a watch ended"),
        }
    }

    /// The first event for which `found` holds.
    pub fn find(&self, mut found: impl FnMut(&T) -> bool) -> Result<Event<T>> {
        loop {
            let event = self.next()?;
            if found(&event.object) {
                return Ok(event);
            }
        }
    }
}

/// What the watches read of an environment.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Environment {
    /// Name and generation.
    pub metadata: Metadata,
    /// How it is.
    pub status: Status,
}

/// Of any object.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Metadata {
    /// Name.
    pub name: String,
    /// Grows with each change of spec.
    pub generation: i64,
}

/// Of an environment.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Status {
    /// The generation that was looked at.
    pub observed_generation: i64,
    /// Phase.
    pub phase: String,
    /// Reason.
    pub reason: String,
    /// Release.
    pub release: Release,
}

/// Of an environment's release.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Release {
    /// Helm's revision.
    pub revision: i64,
    /// Helm's word for its state.
    pub status: String,
}

impl Environment {
    /// Whether it is in a phase with nothing left to do. Phase and reason are the same word then.
    pub fn rests_in(&self, phase: &str) -> bool {
        self.status.observed_generation >= self.metadata.generation
            && self.status.phase == phase
            && self.status.reason == phase
    }

    /// Whether its status names a deployed revision of at least this number.
    pub fn has_deployed(&self, revision: i64) -> bool {
        self.status.release.revision >= revision && self.status.release.status == "deployed"
    }
}

/// A deployed revision, from the name of Helm's Secret.
#[derive(Debug, PartialEq, Eq)]
pub struct Deployed {
    /// Release.
    pub release: String,
    /// Revision.
    pub revision: i64,
}

impl Deployed {
    /// From a line of `kubectl get secrets --watch --output-watch-events`.
    fn read(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let event = words.next()?;
        let (release, revision) = words.next()?.strip_prefix("sh.helm.release.v1.")?.rsplit_once(".v")?;
        (event != "DELETED").then_some(Self { release: release.to_owned(), revision: revision.parse().ok()? })
    }
}

/// Follows the revisions that become `deployed`. Only names are read: the releases themselves are large.
pub fn deployed(kube: &Kube, namespace: &str) -> Result<Watch<Deployed>> {
    let mut command = kube.kubectl();
    command.args(["get", "secrets", "--namespace", namespace, "--selector", "owner=helm,status=deployed"]);
    command.args(["--watch", "--output-watch-events", "--no-headers"]);
    Watch::open(command, Deployed::read)
}

/// Follows the environments.
pub fn environments(kube: &Kube, namespace: &str) -> Result<Watch<Environment>> {
    Watch::raw(kube, &format!("/apis/odoofleet.dev/v1alpha1/namespaces/{namespace}/odooenvironments"))
}

/// A workload, as far as its rollout goes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Workload {
    /// Name and generation.
    pub metadata: Metadata,
    spec: WorkloadSpec,
    status: WorkloadStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct WorkloadSpec {
    replicas: i64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WorkloadStatus {
    observed_generation: i64,
    replicas: i64,
    ready_replicas: i64,
    updated_replicas: i64,
}

impl Workload {
    /// Whether every pod is there, ready and up to date.
    pub fn is_complete(&self) -> bool {
        let (wanted, status) = (self.spec.replicas, &self.status);
        status.observed_generation >= self.metadata.generation
            && [status.replicas, status.ready_replicas, status.updated_replicas].iter().all(|count| *count == wanted)
    }
}

/// Follows the Deployments (or StatefulSets) of a namespace.
pub fn workloads(kube: &Kube, namespace: &str, resource: &str) -> Result<Watch<Workload>> {
    Watch::raw(kube, &format!("/apis/apps/v1/namespaces/{namespace}/{resource}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deployed_revision_is_read_from_the_name() {
        let line = "ADDED      sh.helm.release.v1.c0001-e3.v2   helm.sh/release.v1   1   0s";
        assert_eq!(Deployed::read(line), Some(Deployed { release: "c0001-e3".to_owned(), revision: 2 }));
        assert_eq!(Deployed::read(&line.replace("ADDED", "DELETED")), None, "it is superseded now");
        assert_eq!(Deployed::read("ADDED web-token Opaque 1 0s"), None);
    }

    #[test]
    fn a_status_of_an_earlier_spec_is_no_rest() {
        let environment = |generation: i64, reason: &str| -> Environment {
            serde_json::from_value(serde_json::json!({
                "metadata": {"name": "a", "generation": generation},
                "status": {"observedGeneration": 2, "phase": "Running", "reason": reason},
            }))
            .unwrap()
        };
        assert!(environment(2, "Running").rests_in("Running"));
        assert!(!environment(3, "Running").rests_in("Running"));
        assert!(!environment(2, "Upgrading").rests_in("Running"));
        assert!(!environment(2, "Running").rests_in("Stopped"));
    }

    #[test]
    fn a_watch_notes_when_events_came() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo 1; sleep 0.2; echo two; echo 3; exec sleep 600"]);
        let watch = Watch::open(command, |line| line.parse::<u8>().ok()).unwrap();
        let first = watch.next().unwrap();
        let second = watch.find(|number| *number == 3).unwrap();
        assert_eq!((first.object, second.object), (1, 3));
        assert!(second.at - first.at >= Duration::from_millis(150));
    }
}
