//! `values validate`: what the operator would say of values, without writing any.

use std::io::Read;
use std::path::{Path, PathBuf};

use kube::ResourceExt;
use odoofleet_api::{Object, OdooEnvironment};
use serde_json::Value;

use super::read::{Known, refused};
use super::write;
use crate::failure::{Exit, Failure};
use crate::output;
use crate::say;
use crate::session::Session;

/// What `values validate` takes.
#[derive(Debug, clap::Args)]
pub struct ValidateArgs {
    /// Name of the environment; without a file its own values are checked
    #[arg(value_name = "ENVIRONMENT", required_unless_present = "file")]
    pub environment: Option<String>,
    /// A file with environments, or with values for the environment named; - is standard input
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// `kubectl odoo values validate`
pub async fn run(session: &Session, args: &ValidateArgs) -> Result<(), Failure> {
    let language = session.language;
    let documents = match &args.file {
        Some(file) => documents(session, file)?,
        None => Vec::new(),
    };
    let environments = match (&args.environment, args.file.is_some()) {
        (Some(name), false) => vec![session.get(name).await?],
        (Some(name), true) => {
            let values = plain_values(session, documents)?;
            let known = Known::of(session, session.get(name).await?).await;
            Box::pin(write::mended(session, known, name)).await?.with_values(session, values)?;
            return valid(session, name);
        }
        (None, _) => environments(session, documents).await?,
    };
    if environments.is_empty() {
        let message = language.pick("the file holds no OdooEnvironment", "文件中没有 OdooEnvironment");
        return Err(Failure::new(Exit::Usage, message)
            .hint(language.pick("for a file of values name the environment, too", "如果文件中是值，请同时指定环境")));
    }
    let mut failure = None;
    for environment in environments {
        let name = environment.name_any();
        let judged = Known::of(session, environment).await.and_then(|known| match &known.preview.violation {
            Some(violation) => Err(refused(session, &known.environment, violation)),
            None => Ok(()),
        });
        match judged {
            Ok(()) => valid(session, &name)?,
            Err(wrong) => {
                // All are told; the last one ends the command.
                if let Some(Failure { message, .. }) = failure.replace(wrong) {
                    output::remark(&message);
                }
            }
        }
    }
    failure.map_or(Ok(()), Err)
}

fn valid(session: &Session, name: &str) -> Result<(), Failure> {
    let language = session.language;
    output::line(&say!(language, "the values of environment \"{name}\" are valid", "环境 \"{name}\" 的值有效"))
}

fn documents(session: &Session, file: &Path) -> Result<Vec<Value>, Failure> {
    let (language, shown) = (session.language, file.display());
    let text = if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().lock().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    let unread = |error: String| {
        Failure::new(
            Exit::Usage,
            say!(language, "file \"{shown}\" cannot be read: {error}", "无法读取文件 \"{shown}\"：{error}"),
        )
    };
    let text = text.map_err(|error| unread(error.to_string()))?;
    serde_saphyr::from_multiple(&text).map_err(|error| unread(error.to_string()))
}

fn plain_values(session: &Session, documents: Vec<Value>) -> Result<Object, Failure> {
    let language = session.language;
    let one = match documents.len() {
        0 => Some(Value::Null),
        1 => documents.into_iter().next(),
        _ => None,
    };
    match one {
        Some(Value::Object(map)) if map.get("kind").and_then(Value::as_str) == Some("OdooEnvironment") => {
            let values = map.get("spec").and_then(|spec| spec.get("values"));
            Ok(values.and_then(Value::as_object).cloned().unwrap_or_default())
        }
        Some(Value::Object(map)) => Ok(map),
        Some(Value::Null) => Ok(Object::new()),
        _ => Err(Failure::new(
            Exit::Usage,
            language.pick("the file is not one map of values", "文件不是一个由值组成的映射"),
        )),
    }
}

/// The environments among the documents, each with what the cluster knows of one of its name.
async fn environments(session: &Session, documents: Vec<Value>) -> Result<Vec<OdooEnvironment>, Failure> {
    let mut all = Vec::new();
    for document in documents {
        if document.get("kind").and_then(Value::as_str) != Some("OdooEnvironment") {
            continue;
        }
        let mut environment: OdooEnvironment =
            serde_json::from_value(document).map_err(|error| Failure::new(Exit::Refused, error.to_string()))?;
        let live = session.api::<OdooEnvironment>().get_opt(&environment.name_any()).await.ok().flatten();
        environment.status = live.and_then(|live| live.status);
        all.push(environment);
    }
    Ok(all)
}
