//! `report`: a bundle for whoever helps, without secrets.

mod bundle;
#[cfg(test)]
mod canaries;
mod collect;
mod redact;
mod scrub;

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use serde_json::json;

use crate::commands::preflight;
use crate::failure::{Exit, Failure};
use crate::output;
use crate::say;
use crate::session::Session;

/// What `report` takes.
#[derive(Debug, clap::Args)]
pub struct ReportArgs {
    /// Name of the environment; all of them without, and logs of those that are not well
    #[arg(value_name = "ENVIRONMENT")]
    pub environment: Option<String>,
    /// The archive that is written; --force replaces one that is there
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// `kubectl odoo report`
pub async fn run(session: &Session, args: &ReportArgs) -> Result<(), Failure> {
    let language = session.language;
    let at = session.now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let about = args.environment.as_deref().unwrap_or("all");
    let file = args.file.clone().unwrap_or_else(|| PathBuf::from(format!("odoofleet-report-{about}-{at}.zip")));
    let collected = collect::collect(session, args.environment.as_deref()).await?;
    let checks = preflight::checks(session).await;
    let kubernetes = session.client.apiserver_version().await.map(|version| version.git_version).unwrap_or_default();
    let versions = json!({"client": env!("CARGO_PKG_VERSION"), "kubernetes": kubernetes, "at": at});
    let facts = [("versions.json", json!(versions)), ("preflight.json", json!(checks))];
    let facts = facts.map(|(name, fact)| (name.to_owned(), format!("{fact:#}\n"))).to_vec();
    let files = bundle::files(language, &collected, facts);
    let archive = bundle::archive(&files)?;
    write(session, &file, &archive)?;
    let path = file.display();
    if !session.for_people() {
        let not_read: Vec<_> = collected.not_read.iter().map(|(what, why)| json!({"what": what, "why": why})).collect();
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        return output::data(session.format, &json!({"file": path.to_string(), "files": names, "notRead": not_read}));
    }
    for (what, why) in &collected.not_read {
        output::remark(&say!(language, "not read: {what}: {why}", "未能读取：{what}：{why}"));
    }
    let count = files.len();
    output::line(&say!(
        language,
        "{path}: {count} files. Look through it before you send it: programs cannot know everything that is secret.",
        "{path}：{count} 个文件。发送之前请先检查：程序无法识别所有的机密信息。"
    ))
}

/// Writes it for the caller's eyes alone.
fn write(session: &Session, file: &PathBuf, archive: &[u8]) -> Result<(), Failure> {
    let (language, path) = (session.language, file.display());
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    if session.force {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    let written = options.open(file).and_then(|mut file| file.write_all(archive));
    written.map_err(|error| {
        if error.kind() == io::ErrorKind::AlreadyExists {
            let message = say!(language, "\"{path}\" is there already", "\"{path}\" 已存在");
            return Failure::new(Exit::Refused, message).hint(say!(
                language,
                "choose another name with --file, or replace it with --force",
                "请用 --file 指定其他名称，或用 --force 覆盖"
            ));
        }
        Failure::new(Exit::Failed, say!(language, "cannot write \"{path}\": {error}", "无法写入 \"{path}\"：{error}"))
    })
}
