//! `adopt RELEASE`: one release, tried or made.

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{DeleteParams, PostParams, Preconditions};
use odoofleet_api::{OdooCustomer, OdooEnvironment};
use odoofleet_core::environment::proposal::{Note, Proposal, ProposedSecret};
use serde::Serialize;

use super::found::{Known, Live};
use super::{AdoptArgs, Target, Wish, ending, mode, notes, proposal, stage};
use crate::commands::values::read::refused;
use crate::failure::{Exit, Failure};
use crate::output::{self, Format};
use crate::say;
use crate::session::{Asked, FIELD_MANAGER, Session};
use crate::wait;

/// What is said to programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    created: bool,
    environment: &'a OdooEnvironment,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<ProposedSecret>,
    notes: &'a [Note],
}

/// `kubectl odoo adopt RELEASE`
pub async fn run(session: &Session, args: &AdoptArgs, release: &str) -> Result<(), Failure> {
    let found = Known::read(session).await?.open(session, release).await?;
    let target = Target::read(session, &args.template).await?;
    let customer: OdooCustomer = session.get(args.customer.as_deref().unwrap_or_default()).await?;
    let live = Live::read(session).await?;
    let wish = Wish {
        customer: &customer,
        service: args.service.as_deref(),
        stage: args.stage.as_deref().and_then(stage),
        mode: mode(args),
    };
    let proposal = proposal(session, &target, &found, &live, &wish)?;
    if args.dry_run {
        show(session, &proposal)?;
        notes::tell(session.language, "", &proposal.notes);
    }
    accept(session, &proposal).await?;
    if args.dry_run {
        let language = session.language;
        output::remark(
            language.pick("the API server accepts it; nothing was written", "API server 接受；没有写入任何内容"),
        );
        return Ok(());
    }
    write(session, &proposal).await?;
    notes::tell(session.language, "", &proposal.notes);
    if args.wait.wait {
        let name = proposal.environment.name_any();
        wait::until(session, &name, args.wait.timeout, ending::progress).await?;
        let environment: OdooEnvironment = session.get(&name).await?;
        answer(session, &Proposal { environment: environment.clone(), ..proposal }, true)?;
        return ending::tell(session, &environment);
    }
    answer(session, &proposal, true)
}

fn answer(session: &Session, proposal: &Proposal, created: bool) -> Result<(), Failure> {
    let language = session.language;
    if session.for_people() {
        let name = proposal.environment.name_any();
        if let Some(secret) = &proposal.secret {
            let secret = &secret.metadata.name;
            output::line(&say!(language, "Secret \"{secret}\" is created", "Secret \"{secret}\" 已创建"))?;
        }
        return output::line(&say!(
            language,
            "OdooEnvironment \"{name}\" is created",
            "OdooEnvironment \"{name}\" 已创建"
        ));
    }
    let secret = proposal.secret.as_ref().map(ProposedSecret::redacted);
    let answer = Answer { created, environment: &proposal.environment, secret, notes: &proposal.notes };
    output::data(session.format, &answer)
}

/// What would be created, without what lies in the Secret.
fn show(session: &Session, proposal: &Proposal) -> Result<(), Failure> {
    if !session.for_people() {
        return answer(session, proposal, false);
    }
    if let Some(secret) = &proposal.secret {
        output::data(Format::Yaml, &secret.redacted())?;
        output::line("---")?;
    }
    output::data(Format::Yaml, &proposal.environment)
}

/// Refuses what the operator or the API server would refuse, before anything is written.
async fn accept(session: &Session, proposal: &Proposal) -> Result<(), Failure> {
    try_environment(session, proposal).await?;
    match &proposal.secret {
        Some(secret) => create_secret(session, secret, true).await.map(drop),
        None => Ok(()),
    }
}

/// The same of the environment alone.
pub async fn try_environment(session: &Session, proposal: &Proposal) -> Result<(), Failure> {
    match &proposal.refusal {
        Some(finding) => Err(refused(session, &proposal.environment, finding)),
        None => create_environment(session, &proposal.environment, true).await,
    }
}

/// Creates the Secret and the environment. If the second is refused, the first goes, too.
async fn write(session: &Session, proposal: &Proposal) -> Result<(), Failure> {
    let Some(secret) = &proposal.secret else {
        return create_environment(session, &proposal.environment, false).await;
    };
    let made = create_secret(session, secret, false).await?;
    let Err(failure) = create_environment(session, &proposal.environment, false).await else { return Ok(()) };
    // Only the one that was made here.
    let own = Preconditions { uid: made.uid(), resource_version: None };
    let params = DeleteParams { preconditions: Some(own), ..DeleteParams::default() };
    if session.api::<Secret>().delete(&secret.metadata.name, &params).await.is_err() {
        let (language, name) = (session.language, &secret.metadata.name);
        output::remark(&say!(language, "Secret \"{name}\" was made and stays", "Secret \"{name}\" 已创建并保留"));
    }
    Err(failure)
}

fn params(dry_run: bool) -> PostParams {
    PostParams { dry_run, field_manager: Some(FIELD_MANAGER.to_owned()) }
}

async fn create_environment(session: &Session, environment: &OdooEnvironment, dry_run: bool) -> Result<(), Failure> {
    match session.api::<OdooEnvironment>().create(&params(dry_run), environment).await {
        Ok(_) => Ok(()),
        Err(error) => {
            let name = environment.name_any();
            Err(session.explain(&Asked::of::<OdooEnvironment>("create", Some(&name)), error).await)
        }
    }
}

async fn create_secret(session: &Session, secret: &ProposedSecret, dry_run: bool) -> Result<Secret, Failure> {
    let object = serde_json::to_value(secret).and_then(serde_json::from_value::<Secret>);
    // Not the error itself: it may quote a value.
    let object = object.map_err(|_| Failure::new(Exit::Failed, format!("secret \"{}\"", secret.metadata.name)))?;
    match session.api::<Secret>().create(&params(dry_run), &object).await {
        Ok(made) => Ok(made),
        Err(error) => Err(session.explain(&Asked::of::<Secret>("create", Some(&secret.metadata.name)), error).await),
    }
}
