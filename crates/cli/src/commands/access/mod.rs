//! `access`: what the caller, or somebody else, may do.

mod capabilities;
mod subject;

use std::collections::{BTreeMap, BTreeSet};

use console::Style;
use futures::future::join_all;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::authorization::v1::{
    SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Error};
use serde::Serialize;

use crate::failure::{Exit, Failure};
use crate::output;
use crate::say;
use crate::session::{Asked, Session};
use capabilities::Capability;
use subject::Subject;

/// What `access` takes.
#[derive(Debug, clap::Args)]
pub struct AccessArgs {
    /// A user, or a ServiceAccount as sa:NAME or sa:NAMESPACE/NAME; yourself without
    #[arg(value_name = "USER")]
    pub user: Option<String>,
    /// A group, or one that the user is in; may be repeated
    #[arg(long = "group", value_name = "GROUP")]
    pub groups: Vec<String>,
}

/// The answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Access {
    subject: Subject,
    /// None means all.
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    /// The chart's roles that it amounts to.
    roles: Vec<&'static str>,
    /// What he may do beyond them.
    beyond: Vec<&'static str>,
    may: BTreeMap<&'static str, bool>,
}

/// `kubectl odoo access`
pub async fn run(session: &Session, args: &AccessArgs) -> Result<(), Failure> {
    let is_other = args.user.is_some() || !args.groups.is_empty();
    let subject = if is_other {
        Subject::new(args.user.as_deref(), &args.groups, &session.namespace)
    } else {
        caller(session).await?
    };
    let namespace = (!session.all_namespaces).then(|| session.namespace.clone());
    let asked = capabilities::ALL.iter().map(|capability| async {
        let allowed = if is_other {
            others(session, &subject, capability, namespace.as_deref()).await
        } else {
            own(session, capability, namespace.as_deref()).await
        };
        allowed.map(|allowed| (capability.name, allowed))
    });
    let may: BTreeMap<&'static str, bool> = join_all(asked).await.into_iter().collect::<Result<_, _>>()?;
    let granted: BTreeSet<&str> = may.iter().filter(|(_, allowed)| **allowed).map(|(name, _)| *name).collect();
    let (roles, beyond) = capabilities::roles(&granted);
    let access = Access { subject, namespace, roles, beyond, may };
    if session.for_people() { print(session, &access) } else { output::data(session.format, &access) }
}

/// Who the API server takes the caller for. One that does not say leaves the name empty.
async fn caller(session: &Session) -> Result<Subject, Failure> {
    let api: Api<SelfSubjectReview> = Api::all(session.client.clone());
    match api.create(&PostParams::default(), &SelfSubjectReview::default()).await {
        Ok(review) => {
            let user = review.status.and_then(|status| status.user_info).unwrap_or_default();
            Ok(Subject { user: user.username.unwrap_or_default(), groups: user.groups.unwrap_or_default() })
        }
        Err(Error::Api(status)) if status.code == 403 => Ok(Subject::default()),
        Err(error) => Err(session.explain(&Asked::of::<SelfSubjectReview>("create", None), error).await),
    }
}

async fn own(session: &Session, capability: &Capability, namespace: Option<&str>) -> Result<bool, Failure> {
    let api: Api<SelfSubjectAccessReview> = Api::all(session.client.clone());
    match api.create(&PostParams::default(), &self_review(capability, namespace)).await {
        Ok(review) => Ok(review.status.is_some_and(|status| status.allowed)),
        Err(error) => Err(session.explain(&Asked::of::<SelfSubjectAccessReview>("create", None), error).await),
    }
}

fn self_review(capability: &Capability, namespace: Option<&str>) -> SelfSubjectAccessReview {
    let resource_attributes = Some(capability.attributes(namespace));
    let spec = SelfSubjectAccessReviewSpec { resource_attributes, ..SelfSubjectAccessReviewSpec::default() };
    SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() }
}

/// Asks about somebody else; in his place, where only that is allowed.
async fn others(
    session: &Session,
    subject: &Subject,
    capability: &Capability,
    namespace: Option<&str>,
) -> Result<bool, Failure> {
    let spec = SubjectAccessReviewSpec {
        resource_attributes: Some(capability.attributes(namespace)),
        user: Some(subject.user.clone()).filter(|user| !user.is_empty()),
        groups: Some(subject.groups.clone()),
        ..SubjectAccessReviewSpec::default()
    };
    let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
    let api: Api<SubjectAccessReview> = Api::all(session.client.clone());
    let error = match api.create(&PostParams::default(), &review).await {
        Ok(review) => return Ok(review.status.is_some_and(|status| status.allowed)),
        Err(error) => error,
    };
    let is_forbidden = matches!(&error, Error::Api(status) if status.code == 403);
    if is_forbidden
        && !subject.user.is_empty()
        && let Ok(allowed) = in_place_of(session, subject, capability, namespace).await
    {
        return Ok(allowed);
    }
    if !is_forbidden {
        return Err(session.explain(&Asked::of::<SubjectAccessReview>("create", None), error).await);
    }
    let message = say!(
        session.language,
        "you may not ask about others: neither create subjectaccessreviews nor impersonate",
        "您无权查询他人的权限：既不能 create subjectaccessreviews，也不能 impersonate"
    );
    Err(Failure::new(Exit::Forbidden, message).hint(say!(
        session.language,
        "a cluster administrator may, and kubectl odoo access without a name shows what you may do yourself",
        "集群管理员可以查询；不带名称的 kubectl odoo access 可查看您自己的权限"
    )))
}

async fn in_place_of(
    session: &Session,
    subject: &Subject,
    capability: &Capability,
    namespace: Option<&str>,
) -> Result<bool, Error> {
    let body = serde_json::to_vec(&self_review(capability, namespace)).map_err(Error::SerdeError)?;
    let mut request = http::Request::post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")
        .header("Content-Type", "application/json")
        .header("Impersonate-User", &subject.user);
    // What Kubernetes gives to everybody need not be asked for.
    for group in subject.groups.iter().filter(|group| !group.starts_with("system:")) {
        request = request.header("Impersonate-Group", group);
    }
    let request = request.body(body).map_err(Error::HttpError)?;
    let review: SelfSubjectAccessReview = session.client.request(request).await?;
    Ok(review.status.is_some_and(|status| status.allowed))
}

fn print(session: &Session, access: &Access) -> Result<(), Failure> {
    let language = session.language;
    let place = match &access.namespace {
        Some(namespace) => say!(language, "in namespace \"{namespace}\"", "在命名空间 \"{namespace}\" 中"),
        None => say!(language, "in all namespaces", "在所有命名空间中"),
    };
    let who =
        if access.subject.user.is_empty() { access.subject.groups.join(", ") } else { access.subject.user.clone() };
    let who = Style::new().bold().apply_to(who);
    let roles = access.roles.join(" + ");
    let title = match (access.roles.is_empty(), access.beyond.is_empty()) {
        (true, true) => {
            say!(language, "{who}, {place}: nothing of OdooFleet", "{who}，{place}：没有 OdooFleet 的任何权限")
        }
        (true, false) => say!(
            language,
            "{who}, {place}: less than any role of OdooFleet",
            "{who}，{place}：不足 OdooFleet 的任何角色"
        ),
        (false, true) => say!(language, "{who}, {place}: as {roles}", "{who}，{place}：相当于 {roles}"),
        (false, false) => {
            say!(language, "{who}, {place}: as {roles}, and more", "{who}，{place}：相当于 {roles}，且有更多权限")
        }
    };
    output::line(&title)?;
    for capability in &capabilities::ALL {
        let is_allowed = access.may.get(capability.name).copied().unwrap_or_default();
        let mark = if is_allowed { Style::new().green().apply_to("✓") } else { Style::new().dim().apply_to("–") };
        let words = capability.words(language);
        let is_beyond = access.beyond.contains(&capability.name);
        let words = if is_beyond && !access.roles.is_empty() {
            Style::new().yellow().apply_to(words)
        } else if is_allowed {
            Style::new().apply_to(words)
        } else {
            Style::new().dim().apply_to(words)
        };
        output::line(&format!("  {mark} {words}"))?;
    }
    Ok(())
}
