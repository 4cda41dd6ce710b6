//! Waiting until an environment is as it was wished, with what the operator says meanwhile.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use indicatif::{ProgressBar, ProgressStyle};
use kube::runtime::{WatchStreamExt, watcher};
use odoofleet_api::OdooEnvironment;

use crate::failure::{Exit, Failure};
use crate::output;
use crate::reasons;
use crate::say;
use crate::session::{Asked, Session};

/// How far something is that is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// It is there.
    Done,
    /// It is on the way; what the operator says of it, or nothing.
    Going(String),
    /// It will not come before somebody changes something; why.
    Failed(String),
}

/// What a command that waits takes.
#[derive(Debug, Clone, clap::Args)]
pub struct WaitArgs {
    /// Wait until it is done
    #[arg(long)]
    pub wait: bool,
    /// How long to wait at most, such as 90s, 15m or 1h
    #[arg(long, default_value = "15m", value_parser = duration)]
    pub timeout: Duration,
}

/// A time as people write it: digits with `s`, `m` or `h`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("\"{text}\" is no time: write such as 90s, 15m or 1h");
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let unit = match &text[digits.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(wrong()),
    };
    number.checked_mul(unit).map(Duration::from_secs).ok_or_else(wrong)
}

/// Waits until `progress` says that the environment is there, or cannot be. Ctrl-C ends the waiting and nothing else.
pub async fn until(
    session: &Session,
    name: &str,
    timeout: Duration,
    progress: impl Fn(&OdooEnvironment) -> Progress,
) -> Result<(), Failure> {
    let language = session.language;
    let told = Told::new(say!(language, "the operator has not taken it up yet", "Operator 尚未处理"));
    tokio::select! {
        outcome = watch(session, name, &told, progress) => outcome,
        () = tokio::time::sleep(timeout) => {
            let seconds = timeout.as_secs();
            let last = told.last();
            Err(Failure::new(
                Exit::TimedOut,
                say!(
                    language,
                    "environment \"{name}\" is not there after {seconds} s: {last}",
                    "环境 \"{name}\" 在 {seconds} 秒内没有完成：{last}"
                ),
            )
            .hint(say!(
                language,
                "the operator goes on; `kubectl odoo status {name} --watch` shows it",
                "Operator 会继续执行；用 `kubectl odoo status {name} --watch` 查看"
            )))
        }
        _ = tokio::signal::ctrl_c() => Err(Failure::new(
            Exit::Interrupted,
            say!(
                language,
                "no longer waiting for environment \"{name}\"; what was asked for stands, and the operator goes on",
                "已停止等待环境 \"{name}\"；请求仍然有效，Operator 会继续执行"
            ),
        )),
    }
}

async fn watch(
    session: &Session,
    name: &str,
    told: &Told,
    progress: impl Fn(&OdooEnvironment) -> Progress,
) -> Result<(), Failure> {
    let language = session.language;
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut changes = watcher(session.api::<OdooEnvironment>(), config).default_backoff().boxed();
    let (mut failures, mut is_listed) = (0, false);
    let gone = || {
        Failure::new(Exit::NotFound, say!(language, "environment \"{name}\" was deleted", "环境 \"{name}\" 已被删除"))
    };
    loop {
        match changes.try_next().await {
            Ok(Some(watcher::Event::Apply(environment) | watcher::Event::InitApply(environment))) => {
                (failures, is_listed) = (0, true);
                match progress(&environment) {
                    Progress::Done => return Ok(()),
                    Progress::Failed(why) => {
                        let reason = environment.status.and_then(|status| status.reason);
                        let explained = reason.and_then(|reason| reasons::explain(reason.as_str(), language));
                        let hint = explained.map(|explanation| explanation.remedy.clone());
                        return Err(Failure { hint, ..Failure::new(Exit::Unhealthy, why) });
                    }
                    Progress::Going(what) => told.tell(&what),
                }
            }
            Ok(Some(watcher::Event::Delete(_)) | None) => return Err(gone()),
            // The list with which a watch begins, each time: it may have gone while nobody looked.
            Ok(Some(watcher::Event::Init)) => is_listed = false,
            Ok(Some(watcher::Event::InitDone)) if !is_listed => return Err(gone()),
            Err(watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error)) => {
                failures += 1;
                if is_over(failures, &error) {
                    return Err(session.explain(&Asked::of::<OdooEnvironment>("watch", Some(name)), error).await);
                }
            }
            Ok(Some(_)) | Err(_) => {}
        }
    }
}

/// Whether a watch does not begin again, after so many failures in a row: the API server may be restarted meanwhile; what it refuses stays
/// refused.
pub fn is_over(failures: u32, error: &kube::Error) -> bool {
    let is_refused = matches!(error, kube::Error::Api(status) if (400..410).contains(&status.code));
    is_refused || failures > 5
}

/// What was told last: a line that changes on a terminal, a line for each change elsewhere.
struct Told {
    bar: Option<ProgressBar>,
    nothing: String,
    last: std::cell::RefCell<String>,
}

impl Told {
    /// Nothing was told yet; `nothing` says so in the operator's place.
    fn new(nothing: String) -> Self {
        let live = console::Term::stderr().is_term();
        let bar = live.then(|| {
            let style = ProgressStyle::with_template("{spinner} {elapsed:.dim} {wide_msg}");
            let bar = ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self { bar, nothing, last: std::cell::RefCell::default() }
    }

    fn tell(&self, what: &str) {
        let what = if what.is_empty() { self.nothing.as_str() } else { what };
        if self.last.borrow().as_str() == what {
            return;
        }
        what.clone_into(&mut self.last.borrow_mut());
        match &self.bar {
            Some(bar) => bar.set_message(output::cell_of(what)),
            None => output::remark(what),
        }
    }

    fn last(&self) -> String {
        Some(self.last.borrow().clone()).filter(|last| !last.is_empty()).unwrap_or_else(|| self.nothing.clone())
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("15m"), Ok(Duration::from_mins(15)));
        assert_eq!(duration("1h"), Ok(Duration::from_hours(1)));
        for wrong in ["", "15", "m", "1d", "-1s", "99999999999999999999h", "18446744073709551615h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
