//! Where what is known against others' code is looked up: databases on the network, or copies of them in a folder.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use jiff::civil::Date;
use url::Url;

use crate::exec;

/// The variable that names a folder with copies of the databases.
const VARIABLE: &str = "ODOOFLEET_ADVISORIES";
/// The database of crates.
const RUSTSEC: &str = "https://github.com/RustSec/advisory-db";
/// The database of Go modules.
const GO: &str = "https://vuln.go.dev";
/// The first fetch of a database is some megabytes.
const FETCHED_WITHIN: Duration = Duration::from_secs(30);
/// One small file.
const ANSWERED_WITHIN: Duration = Duration::from_secs(20);
/// A database that knows nothing of the last three months leaves a gap. It is cargo-deny's limit, too.
const FRESH_DAYS: i64 = 90;

/// What became of the search for a database.
pub enum Database {
    /// It can be asked.
    Here {
        /// Where it lies.
        url: String,
        /// When it was last changed.
        changed: Date,
    },
    /// It cannot, and why.
    Away(String),
}

impl Database {
    fn away(what: &str, why: &str) -> Self {
        Self::Away(format!("{what}: {why}. {VARIABLE} may name a folder with a copy (DEVELOPMENT.md)"))
    }

    /// What a database that has not been renewed for long cannot know of.
    pub fn gap(&self, today: Date) -> Option<String> {
        let Self::Here { changed, .. } = self else { return None };
        let days = today.since(*changed).map(|span| i64::from(span.get_days())).unwrap_or_default();
        (days > FRESH_DAYS).then(|| format!("the database is of {changed}, {days} days old; renew it"))
    }
}

/// The database of crates, brought to where cargo-deny looks for it.
pub fn rustsec(cargo_deny: &Path, run_in: &Path) -> Result<Database> {
    let copy = copy_of("rustsec")?;
    let mut fetch = Command::new(cargo_deny);
    fetch.args(["fetch", "db"]).current_dir(run_in).env("GIT_TERMINAL_PROMPT", "0");
    if let Some(copy) = &copy {
        // cargo-deny takes no URL of a folder; git, which it calls, is told to go there instead.
        let number: u32 = std::env::var("GIT_CONFIG_COUNT").ok().and_then(|set| set.parse().ok()).unwrap_or(0);
        fetch.env("GIT_CONFIG_COUNT", (number + 1).to_string());
        fetch.env(format!("GIT_CONFIG_KEY_{number}"), format!("url.{}.insteadOf", url_of(copy)?));
        fetch.env(format!("GIT_CONFIG_VALUE_{number}"), RUSTSEC);
    }
    let said = match exec::within(&mut fetch, FETCHED_WITHIN)? {
        Some(output) if output.status.success() => None,
        Some(output) => Some(reason(&String::from_utf8_lossy(&output.stderr))),
        None => Some(format!("no answer within {} s", FETCHED_WITHIN.as_secs())),
    };
    match (said, copy) {
        (Some(why), Some(copy)) => bail!("{:?} is no git repository of advisories: {why}", copy.display()),
        (Some(why), None) => Ok(Database::away(&format!("{RUSTSEC} cannot be fetched"), &why)),
        (None, Some(copy)) => {
            let mut ask = Command::new("git");
            ask.arg("-C").arg(&copy).args(["log", "-1", "--format=%cs", "main"]);
            let changed = exec::output(&mut ask)?;
            let changed = changed.trim().parse().with_context(|| format!("git printed {changed:?} for a date"))?;
            Ok(Database::Here { url: url_of(&copy)?, changed })
        }
        (None, None) => Ok(Database::Here { url: RUSTSEC.to_owned(), changed: today() }),
    }
}

/// The database of Go modules.
pub fn go(govulncheck: &Path) -> Result<Database> {
    let copy = copy_of("go")?;
    let url = copy.as_deref().map_or_else(|| Ok(GO.to_owned()), url_of)?;
    let mut ask = Command::new(govulncheck);
    ask.args(["-version", "-db", &url]);
    // It looks for a database and does not say if there is none; but then it tells no date.
    let said = exec::within(&mut ask, ANSWERED_WITHIN)?;
    let changed = said.as_ref().and_then(|output| changed(&String::from_utf8_lossy(&output.stdout)));
    match (changed, copy) {
        (Some(changed), _) => Ok(Database::Here { url, changed }),
        (None, Some(copy)) => {
            bail!(
                "{:?} is no copy of {GO}; it must have index/db.json, index/modules.json and ID/*.json",
                copy.display()
            )
        }
        (None, None) => Ok(Database::away(GO, "no answer")),
    }
}

/// The date that `govulncheck -version` tells.
fn changed(said: &str) -> Option<Date> {
    let told = said.lines().find_map(|line| line.strip_prefix("DB updated: "))?;
    // A database that was never filled has the first day of all.
    told.split_whitespace().next()?.parse().ok().filter(|date: &Date| date.year() > 1)
}

/// The copy of a database, if copies are given.
fn copy_of(name: &str) -> Result<Option<PathBuf>> {
    let given = std::env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
    given.map(|folder| below(&folder, name)).transpose()
}

fn below(folder: &Path, name: &str) -> Result<PathBuf> {
    let copy = folder.join(name);
    copy.canonicalize().map_err(|error| {
        anyhow!("{VARIABLE} names {:?}, where {name:?} cannot be read ({error}); see DEVELOPMENT.md", folder.display())
    })
}

fn url_of(folder: &Path) -> Result<String> {
    Url::from_file_path(folder).map(String::from).map_err(|()| anyhow!("{:?} is no whole path", folder.display()))
}

/// Today, where this machine is.
pub fn today() -> Date {
    jiff::Zoned::now().date()
}

/// Why git failed: its first fatal line, before what it advises; else the last thing that was said.
fn reason(said: &str) -> String {
    let mut lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
    let fatal = lines.clone().find(|line| line.starts_with("fatal: "));
    fatal.or_else(|| lines.next_back()).unwrap_or("it said nothing").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_answers_tells_its_date() {
        let said = "Go: go1.26.8\nScanner: govulncheck@v1.9.0\nDB: https://vuln.go.dev\n";
        assert_eq!(changed(said), None);
        assert_eq!(
            changed(&format!("{said}DB updated: 2026-08-21 20:38:00 +0000 UTC\n")),
            Some(Date::constant(2026, 8, 21))
        );
        assert_eq!(changed(&format!("{said}DB updated: 0001-01-01 00:00:00 +0000 UTC\n")), None);
    }

    #[test]
    fn an_old_database_says_what_it_cannot_know() {
        let database = |changed| Database::Here { url: GO.to_owned(), changed };
        let today = Date::constant(2026, 11, 28);
        let old = database(Date::constant(2026, 8, 21)).gap(today).unwrap();
        assert!(old.contains("of 2026-08-21, 99 days old"), "{old}");
        assert_eq!(database(Date::constant(2026, 8, 30)).gap(today), None);
        assert_eq!(database(Date::constant(2026, 11, 29)).gap(today), None, "clocks differ");
    }

    #[test]
    fn a_folder_that_is_not_there_is_named_with_the_variable() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("rustsec")).unwrap();
        assert!(below(folder.path(), "rustsec").is_ok());
        let error = below(folder.path(), "go").unwrap_err().to_string();
        assert!(error.starts_with("ODOOFLEET_ADVISORIES names ") && error.contains("\"go\""), "{error}");
    }

    #[test]
    fn the_reason_is_what_git_calls_fatal() {
        let said = "Cloning\nfatal: it is no repository\nfatal: cannot read\n\nMake sure that you may.\n";
        assert_eq!(reason(said), "fatal: it is no repository");
        assert_eq!(reason("Fetching\nfailed to spawn git\n"), "failed to spawn git");
        assert_eq!(reason(" \n"), "it said nothing");
    }
}
