//! Watches environments until they are what their users asked for.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use indicatif::{MultiProgress, ProgressBar};
use serde::Deserialize;

use crate::{exec, ui};

/// What we read of an environment.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Environment {
    metadata: Metadata,
    spec: Spec,
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    name: String,
    generation: i64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Spec {
    replicas: Option<i64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    observed_generation: i64,
    phase: Option<String>,
    reason: Option<String>,
    message: Option<String>,
}

impl Environment {
    /// Whether it is what its user asked for.
    fn settled(&self) -> bool {
        let wanted = match self.status.phase.as_deref() {
            Some("Running" | "Offline") => true,
            Some("Stopped") => self.spec.replicas == Some(0),
            _ => false,
        };
        wanted && self.status.observed_generation >= self.metadata.generation
    }

    fn text(&self) -> String {
        let phase = self.status.phase.as_deref().unwrap_or("not seen yet");
        let why = self.status.message.as_deref().or(self.status.reason.as_deref()).filter(|why| !why.is_empty());
        match why {
            Some(why) if !self.settled() => format!("{phase}: {why}"),
            _ => phase.to_owned(),
        }
    }
}

/// Ends the watch whatever happens.
struct Watch(Child);

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until all of `names` are settled; `kubectl` lists and watches them as JSON.
pub fn wait(kubectl: &mut Command, names: &[String], limit: Duration) -> Result<()> {
    let mut child = exec::spawn(kubectl.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()))?;
    let stdout = child.stdout.take().ok_or_else(|| anyhow!("kubectl has no output"))?;
    let _watch = Watch(child);
    let seen = read(stdout);
    let mut board = Board::new(names);
    let since = Instant::now();
    while !board.settled() {
        let Some(left) = limit.checked_sub(since.elapsed()) else { return board.late(limit) };
        match seen.recv_timeout(left) {
            Ok(environment) => board.update(environment),
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => return board.late(limit),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => bail!("the watch of the environments ended"),
        }
    }
    Ok(())
}

/// The objects that come, one after the other.
fn read(stdout: ChildStdout) -> Receiver<Environment> {
    let (send, receive) = channel();
    thread::spawn(move || {
        let objects = serde_json::Deserializer::from_reader(BufReader::new(stdout)).into_iter::<Environment>();
        for environment in objects.map_while(Result::ok) {
            if send.send(environment).is_err() {
                return;
            }
        }
    });
    receive
}

/// The environments that we wait for, as far as they were seen.
struct Board {
    rows: BTreeMap<String, Row>,
    /// Draws the rows; kept alive as long as they are.
    _progress: MultiProgress,
}

struct Row {
    environment: Environment,
    bar: Option<ProgressBar>,
}

impl Board {
    fn new(names: &[String]) -> Self {
        let progress = MultiProgress::new();
        let width = names.iter().map(String::len).max().unwrap_or(0);
        let row = |name: &String| {
            let bar = ui::live().then(|| {
                let bar = progress.add(ProgressBar::new_spinner()).with_prefix(format!("{name:width$}"));
                bar.set_style(ui::spinner("  {spinner} {prefix}  {wide_msg}"));
                bar.enable_steady_tick(Duration::from_millis(120));
                bar
            });
            (name.clone(), Row { environment: Environment::default(), bar })
        };
        Self { rows: names.iter().map(row).collect(), _progress: progress }
    }

    fn update(&mut self, environment: Environment) {
        let Some(row) = self.rows.get_mut(&environment.metadata.name) else { return };
        let changed = row.environment.text() != environment.text();
        match &row.bar {
            Some(bar) => {
                bar.set_message(environment.text());
                if environment.settled() {
                    bar.finish();
                }
            }
            None if changed => println!("  {}  {}", environment.metadata.name, environment.text()),
            None => {}
        }
        row.environment = environment;
    }

    fn settled(&self) -> bool {
        self.rows.values().all(|row| row.environment.settled())
    }

    fn late(&self, limit: Duration) -> Result<()> {
        let waiting = self.rows.iter().filter(|(_, row)| !row.environment.settled());
        let lines: Vec<String> = waiting.map(|(name, row)| format!("  {name}  {}", row.environment.text())).collect();
        bail!("not all environments run after {}:\n{}", ui::elapsed(limit), lines.join("\n"))
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        for bar in self.rows.values().filter_map(|row| row.bar.as_ref()) {
            bar.abandon();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(replicas: i64, generation: i64, phase: &str) -> Environment {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": "acme", "generation": generation, "uid": "ignored"},
            "spec": {"replicas": replicas},
            "status": {"observedGeneration": 2, "phase": phase, "message": "because"},
        }))
        .unwrap()
    }

    #[test]
    fn settled_is_what_was_asked_for() {
        assert!(environment(1, 2, "Running").settled());
        assert!(environment(0, 2, "Stopped").settled());
        assert!(environment(1, 2, "Offline").settled());
        assert!(!environment(1, 2, "Stopped").settled(), "somebody else stopped it");
        assert!(!environment(1, 3, "Running").settled(), "the change was not seen yet");
        assert!(!environment(1, 2, "Error").settled());
        assert!(!Environment::default().settled());
    }

    #[test]
    fn an_error_shows_its_message() {
        assert_eq!(environment(1, 2, "Error").text(), "Error: because");
        assert_eq!(environment(1, 2, "Running").text(), "Running");
        assert_eq!(Environment::default().text(), "not seen yet");
    }

    #[test]
    fn the_watch_ends_when_all_are_settled() {
        let objects = r#"{"metadata":{"name":"a"},"status":{"phase":"Pending"}}
            {"metadata":{"name":"a"},"status":{"phase":"Running"}} {"metadata":{"name":"other"}}"#;
        let mut source = Command::new("sh");
        source.args(["-c", "printf '%s' \"$0\"; exec sleep 600", objects]);
        wait(&mut source, &["a".to_owned()], Duration::from_mins(1)).unwrap();
    }

    #[test]
    fn the_limit_names_who_is_missing() {
        let mut source = Command::new("sh");
        source.args([
            "-c",
            r#"printf '{"metadata":{"name":"a"},"status":{"phase":"Error","message":"no chart"}} '; exec sleep 600"#,
        ]);
        let error = wait(&mut source, &["a".to_owned()], Duration::from_millis(1500)).unwrap_err().to_string();
        assert!(error.contains("a  Error: no chart"), "{error}");
    }
}
