//! Background processes that outlive us, found again by process id and start time.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::exec;

/// How long a process may take to end by itself.
const GRACE: Duration = Duration::from_secs(10);
/// The system has no event for the end of a process that is not our child.
const POLL: Duration = Duration::from_millis(50);

/// The background processes of one folder.
#[derive(Clone)]
pub struct Daemons {
    run: PathBuf,
    logs: PathBuf,
    detached: bool,
}

/// One process, told apart from a later one with the same id by its start time.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    pid: i32,
    started: String,
}

impl Daemons {
    /// Processes that go on when we end. Their ids lie in `run`, their output in `logs`.
    pub fn detached(run: &Path, logs: &Path) -> Self {
        Self { run: run.to_path_buf(), logs: logs.to_path_buf(), detached: true }
    }

    /// Processes of this run alone: a Ctrl-C of the terminal reaches them too.
    pub fn attached(run: &Path, logs: &Path) -> Self {
        Self { detached: false, ..Self::detached(run, logs) }
    }

    /// Starts it unless it runs. Says whether it was started.
    pub fn ensure(&self, name: &str, command: &Command) -> Result<bool> {
        if self.alive(name) {
            return Ok(false);
        }
        for dir in [&self.run, &self.logs] {
            fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        }
        let log = File::create(self.log(name)).with_context(|| format!("cannot write {}", self.log(name).display()))?;
        let mut command = without_inherited_files(command);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        if self.detached {
            use std::os::unix::process::CommandExt as _;
            command.process_group(0);
        }
        let pid = i32::try_from(exec::spawn(&mut command)?.id()).context("a process id is out of range")?;
        let started = start_time(pid).ok_or_else(|| self.ended(name))?;
        fs::write(self.pid_file(name), format!("{pid} {started}\n"))?;
        Ok(true)
    }

    /// Whether it runs: this very process, not another that got its id.
    pub fn alive(&self, name: &str) -> bool {
        self.identity(name).is_some_and(|identity| identity.runs())
    }

    /// Its process id, if it runs.
    pub fn pid(&self, name: &str) -> Option<i32> {
        self.identity(name).filter(Identity::runs).map(|identity| identity.pid)
    }

    /// Waits until it has ended by itself, but not longer than a stop would.
    pub fn wait_for_end(&self, name: &str) -> Result<()> {
        match self.identity(name) {
            Some(identity) if !identity.ends_within(GRACE) => bail!("{name} (process {}) does not end", identity.pid),
            _ => Ok(()),
        }
    }

    /// A file of what belongs to these processes.
    pub fn file(&self, name: &str) -> PathBuf {
        self.run.join(name)
    }

    /// A folder of output beside these processes' own.
    pub fn log_folder(&self, name: &str) -> PathBuf {
        self.logs.join(name)
    }

    /// The names of all that run.
    pub fn running(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(&self.run) else { return Vec::new() };
        let names = entries.flatten().filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.strip_suffix(".pid").map(str::to_owned)
        });
        let mut names: Vec<String> = names.filter(|name| self.alive(name)).collect();
        names.sort();
        names
    }

    /// Asks it to end, and ends it if it does not in ten seconds. Says whether it ran.
    pub fn stop(&self, name: &str) -> Result<bool> {
        let Some(identity) = self.identity(name) else { return Ok(false) };
        let ran = identity.runs();
        if ran {
            identity.signal(Signal::TERM)?;
            if !identity.ends_within(GRACE) {
                identity.signal(Signal::KILL)?;
                if !identity.ends_within(GRACE) {
                    bail!("{name} (process {}) does not end", identity.pid);
                }
            }
        }
        fs::remove_file(self.pid_file(name))?;
        Ok(ran)
    }

    /// Waits until `ready` says yes.
    pub fn wait(&self, name: &str, limit: Duration, ready: impl Fn() -> bool) -> Result<()> {
        let since = Instant::now();
        while !ready() {
            if !self.alive(name) {
                return Err(self.ended(name));
            }
            if since.elapsed() > limit {
                let log = self.log(name);
                bail!(
                    "{name} is not ready after {} s. The end of {}:\n{}",
                    limit.as_secs(),
                    log.display(),
                    exec::tail_of(&log, 8)
                );
            }
            sleep(POLL);
        }
        Ok(())
    }

    fn ended(&self, name: &str) -> anyhow::Error {
        let log = self.log(name);
        anyhow!("{name} ended at once. The end of {}:\n{}", log.display(), exec::tail_of(&log, 8))
    }

    fn identity(&self, name: &str) -> Option<Identity> {
        Identity::parse(&fs::read_to_string(self.pid_file(name)).ok()?)
    }

    fn pid_file(&self, name: &str) -> PathBuf {
        self.run.join(format!("{name}.pid"))
    }

    /// Where its output goes.
    pub fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }
}

impl Identity {
    fn parse(text: &str) -> Option<Self> {
        let (pid, started) = text.trim().split_once(' ')?;
        Some(Self { pid: pid.parse().ok()?, started: started.to_owned() })
    }

    fn runs(&self) -> bool {
        start_time(self.pid).is_some_and(|started| started == self.started)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.pid).ok_or_else(|| anyhow!("{} is no process id", self.pid))?;
        match kill_process(pid, signal) {
            Err(error) if self.runs() => Err(error).context(format!("cannot signal process {}", self.pid)),
            _ => Ok(()),
        }
    }

    fn ends_within(&self, limit: Duration) -> bool {
        let since = Instant::now();
        while self.runs() {
            if since.elapsed() > limit {
                return false;
            }
            sleep(POLL);
        }
        true
    }
}

/// The same command, started by a shell that first closes what our caller left open, such as a lock or a pipe: whoever
/// waits for us must not wait for a background process. The shell becomes the command, so the process id stays.
fn without_inherited_files(command: &Command) -> Command {
    const CLOSE: &str = r#"exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-; exec "$0" "$@""#;
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(CLOSE).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        shell.current_dir(dir);
    }
    shell
}

/// When a running process began, as text that no other process with its id has. None if none runs.
fn start_time(pid: i32) -> Option<String> {
    if Path::new("/proc/self/stat").exists() {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // Ticks since boot, hence the boot's own id.
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        return Some(format!("{} {}", from_stat(&stat)?, boot.trim()));
    }
    let said = exec::output(Command::new("ps").args(["-o", "stat=", "-o", "lstart=", "-p", &pid.to_string()])).ok()?;
    let (state, started) = said.trim().split_once(' ')?;
    (!state.starts_with('Z')).then(|| started.trim().to_owned())
}

/// The start time in `/proc/<pid>/stat`. A name may hold spaces and brackets; a zombie does not run.
fn from_stat(stat: &str) -> Option<&str> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn daemons(dir: &Path) -> Daemons {
        Daemons::detached(&dir.join("run"), &dir.join("logs"))
    }

    #[test]
    fn the_start_time_is_read_behind_the_name() {
        let stat = "42 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 777 20";
        assert_eq!(from_stat(stat), Some("777"));
        assert_eq!(from_stat(&stat.replace(") S ", ") Z ")), None);
        assert_eq!(from_stat("nonsense"), None);
    }

    #[test]
    fn a_process_is_started_once_and_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let daemons = daemons(dir.path());
        assert!(daemons.ensure("sleeper", Command::new("sleep").arg("600")).unwrap());
        assert!(!daemons.ensure("sleeper", Command::new("sleep").arg("600")).unwrap());
        assert_eq!(daemons.running(), ["sleeper"]);
        assert!(daemons.stop("sleeper").unwrap());
        assert!(!daemons.alive("sleeper"));
        assert!(!daemons.stop("sleeper").unwrap());
    }

    #[test]
    fn files_of_the_caller_are_not_held() {
        let dir = tempfile::tempdir().unwrap();
        let ended = Command::new("sh")
            .args(["-c", r#"exec 3>&1; exec "$0" "$@""#])
            .arg(without_inherited_files(Command::new("sh").args(["-c", "echo x >&3"])).get_program())
            .args(without_inherited_files(Command::new("sh").args(["-c", "echo x >&3"])).get_args())
            .current_dir(dir.path())
            .output()
            .unwrap();
        assert!(!ended.status.success() && ended.stdout.is_empty(), "file 3 was still open");
    }

    #[test]
    fn a_stranger_with_the_same_id_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let daemons = daemons(dir.path());
        let mut stranger = Command::new("sleep").arg("600").spawn().unwrap();
        fs::create_dir_all(dir.path().join("run")).unwrap();
        fs::write(dir.path().join("run/etcd.pid"), format!("{} 1 another-boot\n", stranger.id())).unwrap();
        assert!(!daemons.alive("etcd"));
        assert!(!daemons.stop("etcd").unwrap());
        assert!(stranger.try_wait().unwrap().is_none(), "the stranger was ended");
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }

    #[test]
    fn a_process_that_ends_is_reported_with_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let daemons = daemons(dir.path());
        let started = daemons.ensure("brief", Command::new("sh").args(["-c", "echo bad flag; exit 1"]));
        let error = started.and_then(|_| daemons.wait("brief", Duration::from_secs(20), || false)).unwrap_err();
        assert!(error.to_string().starts_with("brief ended at once."), "{error}");
    }
}
