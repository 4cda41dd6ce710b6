//! Writing an environment's own values: checked as the operator checks them, before they are written.

use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use odoofleet_api::{Object, OdooEnvironment};
use odoofleet_core::values::merge;
use serde_json::{Value, json};

use super::assign::{self, merge_patch};
use super::leaves::changes;
use super::read::Known;
use crate::commands::settle::{self, Before};
use crate::failure::{Exit, Failure};
use crate::git_owner;
use crate::output;
use crate::say;
use crate::session::{Asked, FIELD_MANAGER, Session};
use crate::wait::{self, WaitArgs};

/// What `values set` takes.
#[derive(Debug, clap::Args)]
pub struct SetArgs {
    /// Name of the environment
    #[arg(value_name = "ENVIRONMENT")]
    pub environment: String,
    /// Assignments such as odoo.workers=4; null takes a value away
    #[arg(value_name = "PATH=VALUE", required = true)]
    pub assignments: Vec<String>,
    /// Read the values as JSON
    #[arg(long)]
    pub json: bool,
    /// Whether to wait.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// `kubectl odoo values set`
pub async fn set(session: &Session, args: &SetArgs) -> Result<(), Failure> {
    let language = session.language;
    let usage = |text: String| Failure::new(Exit::Usage, text);
    let assignments: Result<Vec<_>, _> =
        args.assignments.iter().map(|text| assign::parse(language, text, args.json)).collect();
    let assignments = assignments.map_err(usage)?;
    if let Some(position) = assignments.iter().position(assign::removes_entry) {
        let text = &args.assignments[position];
        return Err(Failure::new(
            Exit::Usage,
            say!(
                language,
                "\"{text}\" would take an entry out of a list, and move those behind it",
                "\"{text}\" 会从列表中删除一项，其后的项会移位"
            ),
        )
        .hint(say!(language, "set the whole list with --json", "请用 --json 设置整个列表")));
    }
    let known = Known::of(session, session.get(&args.environment).await?).await;
    let known = Box::pin(mended(session, known, &args.environment)).await?;
    let below = below_inputs(&known);
    let mut values = known.environment.spec.values.clone();
    for assignment in &assignments {
        assign::apply(&mut values, &below, assignment).map_err(|error| usage(error.to_string()))?;
    }
    known.with_values(session, values.clone())?;
    write(session, &known.environment, &values).await?;
    if args.wait.wait {
        arrived(session, &known.environment, &args.wait).await?;
    }
    Ok(())
}

/// What is refused as it stands can still be mended: then the values are read as if the environment had none of its own.
pub async fn mended(session: &Session, known: Result<Known, Failure>, name: &str) -> Result<Known, Failure> {
    let refused = match known {
        Err(failure) if failure.exit == Exit::Refused => failure,
        known => return known,
    };
    let mut bare: OdooEnvironment = session.get(name).await?;
    let own = std::mem::take(&mut bare.spec.values);
    let Ok(mut known) = Known::of(session, bare).await else { return Err(refused) };
    known.environment.spec.values = own;
    Ok(known)
}

/// What stands below the inputs: the chart's, the template's and the environment's own values.
fn below_inputs(known: &Known) -> Object {
    let mut values = known.version.chart.values.clone();
    merge(&mut values, &known.version.content.values);
    merge(&mut values, &known.environment.spec.values);
    values
}

/// Writes values that were checked, unless they are what is there, or the environment belongs to Git.
pub async fn write(session: &Session, environment: &OdooEnvironment, values: &Object) -> Result<(), Failure> {
    let (language, name, before) = (session.language, environment.name_any(), &environment.spec.values);
    if before == values {
        return output::line(&say!(
            language,
            "environment \"{name}\" has these values already",
            "环境 \"{name}\" 已经是这些值"
        ));
    }
    let patch = json!({"spec": {"values": merge_patch(before, values)}});
    git_owner::guard(session, "OdooEnvironment", &environment.metadata, &patch)?;
    patch_values(session, environment, values).await?;
    for change in changes(before, values) {
        output::line(&change.line())?;
    }
    output::line(&say!(language, "the values of environment \"{name}\" are written", "环境 \"{name}\" 的值已写入"))
}

/// Replaces the values, unless somebody has changed the spec meanwhile. A JSON patch, since a merge patch cannot write null, with which
/// an environment takes a default away.
async fn patch_values(session: &Session, environment: &OdooEnvironment, values: &Object) -> Result<(), Failure> {
    let (language, name) = (session.language, environment.name_any());
    let operations = json!([
        {"op": "test", "path": "/metadata/generation", "value": environment.metadata.generation},
        {"op": "add", "path": "/spec/values", "value": Value::Object(values.clone())},
    ]);
    let patch = serde_json::from_value(operations).map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let api = session.api::<OdooEnvironment>();
    let Err(error) = api.patch(&name, &params, &Patch::<()>::Json(patch)).await else { return Ok(()) };
    let failure = session.explain(&Asked::of::<OdooEnvironment>("patch", Some(&name)), error).await;
    let now = api.get_metadata(&name).await.ok().and_then(|object| object.metadata.generation);
    if failure.exit == Exit::Refused && now.is_some_and(|now| Some(now) != environment.metadata.generation) {
        let message = say!(
            language,
            "somebody has changed environment \"{name}\" meanwhile: nothing was written",
            "环境 \"{name}\" 同时被他人修改：没有写入任何内容"
        );
        return Err(Failure::new(Exit::Refused, message).hint(language.pick("try it again", "请重试")));
    }
    Err(failure)
}

/// Waits until the operator has brought the change.
async fn arrived(session: &Session, environment: &OdooEnvironment, args: &WaitArgs) -> Result<(), Failure> {
    let (language, name, before) = (session.language, environment.name_any(), Before::of(environment));
    wait::until(session, &name, args.timeout, |now| settle::progress(now, &before, |_| true)).await?;
    output::line(&say!(language, "environment \"{name}\" has the new values", "环境 \"{name}\" 已使用新的值"))
}
