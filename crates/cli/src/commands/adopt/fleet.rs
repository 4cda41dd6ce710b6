//! `adopt --all`: files for all releases that a CSV file names.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use kube::ResourceExt;
use odoofleet_api::OdooCustomer;
use odoofleet_api::template::UnmanagedReleases;
use odoofleet_core::environment::proposal::{Note, Proposal};
use serde::Serialize;

use super::files::{self, File};
use super::found::{Known, Live};
use super::one::try_environment;
use super::rows::{self, Row, Wrong};
use super::{AdoptArgs, Target, Wish, mode, notes, proposal};
use crate::failure::{Exit, Failure};
use crate::output;
use crate::say;
use crate::session::Session;

/// What is said to programs.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    written: Vec<Written>,
    wrong: Vec<WrongRow>,
    /// Live releases of the template's chart that the file does not name.
    unnamed: Vec<String>,
    /// Others of the chart, which the template's status counts and does not name.
    more: usize,
}

/// A release whose files are there.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    line: u64,
    release: String,
    environment: String,
    file: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_file: Option<PathBuf>,
    /// A Secret that is named and was not written.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing_secret: Option<String>,
    notes: Vec<Note>,
}

#[derive(Serialize)]
struct WrongRow {
    line: u64,
    why: String,
}

/// What decides over a row, read once.
struct Read<'a> {
    session: &'a Session,
    args: &'a AdoptArgs,
    target: Target,
    known: Known,
    live: Live,
    customers: BTreeMap<String, OdooCustomer>,
    /// Environments of earlier rows, by their lines.
    environments: BTreeMap<String, u64>,
}

/// `kubectl odoo adopt --all`
pub async fn run(session: &Session, args: &AdoptArgs) -> Result<(), Failure> {
    let (file, out) = (args.customers.clone().unwrap_or_default(), args.out.clone().unwrap_or_default());
    let rows = read_file(session, &file)?;
    let customers: Vec<OdooCustomer> = session.list_beside().await?;
    let mut read = Read {
        session,
        args,
        target: Target::read(session, &args.template).await?,
        known: Known::read(session).await?,
        live: Live::read(session).await?,
        customers: customers.into_iter().map(|customer| (customer.name_any(), customer)).collect(),
        environments: BTreeMap::new(),
    };
    let mut answer = Answer::default();
    let named: Vec<String> = rows.iter().flatten().map(|row| row.release.clone()).collect();
    for row in rows {
        let done = match row {
            Ok(row) => {
                let line = row.line;
                read.take(row, &out).await.map_err(|why| Wrong { line, why })
            }
            Err(wrong) => Err(wrong),
        };
        match done {
            Ok(written) => {
                tell_written(session, &written)?;
                answer.written.push(written);
            }
            Err(Wrong { line, why }) => {
                let language = session.language;
                output::remark(&say!(language, "line {line}: {why}", "第 {line} 行：{why}"));
                answer.wrong.push(WrongRow { line, why });
            }
        }
    }
    let unmanaged = read.target.template.status.as_ref().and_then(|status| status.unmanaged_releases.clone());
    answer.unnamed = unnamed(unmanaged.as_ref(), &named);
    // The template's status names the first hundred.
    let total = unmanaged.as_ref().map_or(0, |all| usize::try_from(all.total).unwrap_or_default());
    answer.more = total.saturating_sub(unmanaged.as_ref().map_or(0, |all| all.items.len()));
    tell_unnamed(session, &answer);
    finish(session, &answer)
}

fn read_file(session: &Session, file: &Path) -> Result<Vec<Result<Row, Wrong>>, Failure> {
    let (language, shown) = (session.language, file.display());
    let content = fs::read(file).map_err(|error| {
        let message = say!(language, "cannot read \"{shown}\": {error}", "无法读取 \"{shown}\"：{error}");
        Failure::new(Exit::Usage, message)
    })?;
    let wrong =
        |why: String| say!(language, "file \"{shown}\" cannot be used: {why}", "无法使用文件 \"{shown}\"：{why}");
    rows::read(&content, language).map_err(|why| Failure::new(Exit::Usage, wrong(why)))
}

impl Read<'_> {
    /// Proposes what a row asks for, has the API server try it, and writes it.
    async fn take(&mut self, row: Row, out: &Path) -> Result<Written, String> {
        let language = self.session.language;
        let Some(customer) = self.customers.get(&row.customer) else {
            let name = &row.customer;
            return Err(say!(language, "there is no OdooCustomer \"{name}\"", "没有 OdooCustomer \"{name}\""));
        };
        let found = self.known.open(self.session, &row.release).await.map_err(|failure| told(&failure))?;
        let wish = Wish { customer, service: row.service.as_deref(), stage: row.stage, mode: mode(self.args) };
        let proposal =
            proposal(self.session, &self.target, &found, &self.live, &wish).map_err(|failure| told(&failure))?;
        let name = proposal.environment.name_any();
        if let Some(line) = self.environments.get(&name) {
            return Err(say!(
                language,
                "environment \"{name}\" is that of line {line} already: give it another service",
                "环境 \"{name}\" 已用于第 {line} 行：请填写其他 service"
            ));
        }
        try_environment(self.session, &proposal).await.map_err(|failure| told(&failure))?;
        let written = self.write(&row, proposal, out)?;
        self.environments.insert(name, row.line);
        Ok(written)
    }

    fn write(&self, row: &Row, proposal: Proposal, out: &Path) -> Result<Written, String> {
        let name = proposal.environment.name_any();
        let mut all = vec![File::yaml(files::place(out, &row.customer, "environment", &name), &proposal.environment)?];
        let secret = proposal.secret.as_ref().map(|secret| (secret.metadata.name.clone(), secret));
        let (mut secret_file, mut missing_secret) = (None, None);
        match (secret, &self.args.secrets_out) {
            (Some((name, secret)), Some(folder)) => {
                let file = File::yaml(files::place(folder, &row.customer, "secret", &name), secret)?.secret();
                secret_file = Some(file.path.clone());
                // First: an environment that names it comes after it.
                all.insert(0, file);
            }
            (Some((name, _)), None) => missing_secret = Some(name),
            (None, _) => {}
        }
        files::write(&all, self.session.language)?;
        let file = files::place(out, &row.customer, "environment", &name);
        Ok(Written {
            line: row.line,
            release: row.release.clone(),
            environment: name,
            file,
            secret_file,
            missing_secret,
            notes: proposal.notes,
        })
    }
}

fn told(failure: &Failure) -> String {
    match &failure.hint {
        Some(hint) => format!("{}; {hint}", failure.message),
        None => failure.message.clone(),
    }
}

fn tell_written(session: &Session, written: &Written) -> Result<(), Failure> {
    let (language, release) = (session.language, &written.release);
    if !session.for_people() {
        return Ok(());
    }
    output::line(&written.file.display().to_string())?;
    if let Some(file) = &written.secret_file {
        output::line(&file.display().to_string())?;
    }
    if let Some(secret) = &written.missing_secret {
        output::remark(&say!(
            language,
            "{release}: Secret \"{secret}\" was not written; name a folder for Secrets with --secrets-out",
            "{release}：未写出 Secret \"{secret}\"；请用 --secrets-out 指定 Secret 的目录"
        ));
    }
    notes::tell(language, &format!("{release}: "), &written.notes);
    Ok(())
}

/// Releases of the template's chart that are live, that nobody claims, and that the file does not name.
fn unnamed(unmanaged: Option<&UnmanagedReleases>, named: &[String]) -> Vec<String> {
    let all = unmanaged.iter().flat_map(|unmanaged| &unmanaged.items).map(|item| item.name.clone());
    all.filter(|name| !named.contains(name)).collect()
}

fn tell_unnamed(session: &Session, answer: &Answer) {
    if !session.for_people() {
        return;
    }
    let (language, more) = (session.language, answer.more);
    if !answer.unnamed.is_empty() {
        let names = answer.unnamed.join(", ");
        output::remark(&say!(
            language,
            "the file does not name these releases of the chart: {names}",
            "文件中没有该 Chart 的这些 Release：{names}"
        ));
    }
    if more > 0 {
        output::remark(&say!(
            language,
            "the template counts {more} more live releases of the chart without their names: run it again when these are taken over",
            "模板还统计到该 Chart 的另外 {more} 个 Release，未列出名称：纳管这些之后请再次执行"
        ));
    }
}

fn finish(session: &Session, answer: &Answer) -> Result<(), Failure> {
    if !session.for_people() {
        output::data(session.format, answer)?;
    }
    let (language, wrong, written) = (session.language, answer.wrong.len(), answer.written.len());
    if wrong > 0 {
        let message = say!(
            language,
            "{wrong} row(s) are wrong, and nothing was written for them; {written} release(s) are done",
            "有 {wrong} 行有误，未为其写入任何内容；已完成 {written} 个 Release"
        );
        return Err(Failure::new(Exit::Failed, message));
    }
    if session.for_people() {
        output::remark(&say!(language, "{written} release(s) are done", "已完成 {written} 个 Release"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn releases_that_the_file_lacks_are_told() {
        let item = |name: &str| json!({"name": name, "revision": 1, "status": "deployed", "chartVersion": "1"});
        let unmanaged = json!({"total": 2, "items": [item("a"), item("b")]});
        let unmanaged: UnmanagedReleases = serde_json::from_value(unmanaged).unwrap();
        assert_eq!(unnamed(Some(&unmanaged), &["b".to_owned()]), ["a"]);
        assert!(unnamed(None, &[]).is_empty());
    }
}
