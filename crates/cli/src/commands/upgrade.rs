//! `upgrade`: which version of its template an environment is on.

use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use odoofleet_api::{OdooEnvironment, OdooTemplate, labels};
use odoofleet_core::environment::references::HeldVersion;
use serde_json::{Value, json};

use super::power::REASON;
use super::settle::{self, Before};
use super::values::{self, read};
use crate::failure::{Exit, Failure};
use crate::git_owner;
use crate::language::Language;
use crate::output;
use crate::say;
use crate::session::{Asked, FIELD_MANAGER, Session};
use crate::wait::{self, WaitArgs};

/// What `upgrade` takes.
#[derive(Debug, clap::Args)]
pub struct UpgradeArgs {
    /// Name of the environment
    #[arg(value_name = "ENVIRONMENT")]
    pub environment: String,
    /// The version of its template on which it stays; "latest" follows the newest
    #[arg(long, value_name = "VERSION", required_unless_present = "follow")]
    pub to: Option<String>,
    /// Follow the template's newest version, as its rollout reaches the environment
    #[arg(long, conflicts_with = "to")]
    pub follow: bool,
    /// Have the API server try it, show what would change, and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Show the values that would change, and write nothing
    #[arg(long)]
    pub diff: bool,
    /// Confirm a change of Odoo's or PostgreSQL's major version, such as 17.0→18.0 or 17.0->18.0
    #[arg(long, value_name = "CHANGE")]
    pub confirm_major: Option<String>,
    /// Why; kept on the environment
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Whether to wait.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// Majors of Odoo and PostgreSQL.
type Majors = (String, Option<i32>);

/// `kubectl odoo upgrade`
pub async fn run(session: &Session, args: &UpgradeArgs) -> Result<(), Failure> {
    let environment: OdooEnvironment = session.get(&args.environment).await?;
    let template: OdooTemplate = session.get(&environment.spec.template_ref.name).await?;
    let pin = args.to.as_deref().filter(|to| *to != "latest");
    if let Some(version) = pin {
        read::check_version(session, &template, version)?;
    }
    let target = pin.unwrap_or(&template.spec.version).to_owned();
    let majors = majors(session, &template, &target).await?;
    let held = environment.status.as_ref().and_then(HeldVersion::of);
    let consent = consent(&environment, held.as_ref(), majors.as_ref(), args.confirm_major.as_deref());
    let patch = patch(pin, &consent, args.reason.as_deref());
    if args.diff {
        diff(session, &environment, &target).await?;
    }
    if args.dry_run {
        dry_run(session, &environment, &template, &target, &patch).await?;
    }
    if majors.is_none() && held.is_some() {
        remark_unknown(session.language, &target);
    }
    if let Consent::Missing(changes) = &consent {
        return Err(unconfirmed(session.language, &target, changes));
    }
    if args.diff || args.dry_run {
        return Ok(());
    }
    write(session, &environment, &template, pin, &patch).await?;
    if args.wait.wait {
        let (language, name, before) = (session.language, &args.environment, Before::of(&environment));
        let is_there = |now: &OdooEnvironment| {
            settle::progress(now, &before, |status| {
                status.template.as_ref().is_some_and(|held| held.version == target && held.name == template.name_any())
            })
        };
        wait::until(session, name, args.wait.timeout, is_there).await?;
        output::line(&say!(
            language,
            "environment \"{name}\" is on version \"{target}\"",
            "环境 \"{name}\" 已使用版本 \"{target}\""
        ))?;
    }
    Ok(())
}

async fn write(
    session: &Session,
    environment: &OdooEnvironment,
    template: &OdooTemplate,
    pin: Option<&str>,
    patch: &Value,
) -> Result<(), Failure> {
    let (language, name) = (session.language, environment.name_any());
    if environment.spec.template_ref.version.as_deref() == pin && patch.get("metadata").is_none() {
        return output::line(&match pin {
            Some(version) => say!(
                language,
                "environment \"{name}\" is to stay on version \"{version}\" already",
                "环境 \"{name}\" 已固定在版本 \"{version}\""
            ),
            None => {
                say!(language, "environment \"{name}\" follows its template already", "环境 \"{name}\" 已跟随其模板")
            }
        });
    }
    git_owner::guard(session, "OdooEnvironment", &environment.metadata, patch)?;
    session.patch::<OdooEnvironment>(&name, patch).await?;
    let (template, newest) = (template.name_any(), &template.spec.version);
    output::line(&match pin {
        Some(version) => say!(
            language,
            "environment \"{name}\" goes to version \"{version}\" of template \"{template}\", and stays there",
            "环境 \"{name}\" 将使用模板 \"{template}\" 的版本 \"{version}\"，并固定在该版本"
        ),
        None => say!(
            language,
            "environment \"{name}\" follows template \"{template}\": version \"{newest}\" comes with its rollout",
            "环境 \"{name}\" 跟随模板 \"{template}\"：版本 \"{newest}\" 随发布到来"
        ),
    })
}

/// Majors of a version. The newest one's stand in the template, those of others only where administrators read; unknown to others.
async fn majors(session: &Session, template: &OdooTemplate, target: &str) -> Result<Option<Majors>, Failure> {
    let spec = &template.spec;
    if spec.version == target {
        return Ok(Some((spec.odoo_version.clone(), spec.postgres_major)));
    }
    match read::content_of(session, template, target).await {
        Ok(content) => Ok(Some((content.odoo_version, content.postgres_major))),
        Err(failure) if failure.exit == Exit::Forbidden => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Whether somebody has agreed to a change of a major version.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Consent {
    /// None is needed, or it is there.
    Given,
    /// It is given now: the annotation that says so.
    Now(String),
    /// These changes lack it.
    Missing(Vec<(&'static str, String)>),
}

fn consent(
    environment: &OdooEnvironment,
    held: Option<&HeldVersion>,
    majors: Option<&Majors>,
    given: Option<&str>,
) -> Consent {
    let (Some(held), Some((odoo, postgres))) = (held, majors) else { return Consent::Given };
    let before = environment.annotations().get(labels::MAJOR_UPGRADE).map(String::as_str);
    let open = held.unconfirmed(odoo, *postgres, before);
    if open.is_empty() {
        return Consent::Given;
    }
    let missing = held.unconfirmed(odoo, *postgres, Some(&format!("{},{}", before.unwrap_or(""), given.unwrap_or(""))));
    if !missing.is_empty() {
        return Consent::Missing(missing);
    }
    // All that this version changes; what an older one needed is over.
    let all = held.unconfirmed(odoo, *postgres, None);
    Consent::Now(all.into_iter().map(|(_, change)| change).collect::<Vec<_>>().join(","))
}

fn patch(pin: Option<&str>, consent: &Consent, reason: Option<&str>) -> Value {
    let mut patch = json!({"spec": {"templateRef": {"version": pin}}});
    if let Consent::Now(confirmation) = consent {
        patch["metadata"]["annotations"][labels::MAJOR_UPGRADE] = json!(confirmation);
    }
    if let Some(reason) = reason {
        patch["metadata"]["annotations"][REASON] = json!(reason);
    }
    patch
}

fn unconfirmed(language: Language, target: &str, changes: &[(&'static str, String)]) -> Failure {
    let told: Vec<String> = changes.iter().map(|(what, change)| format!("{what} {change}")).collect();
    let confirmation: Vec<&str> = changes.iter().map(|(_, change)| change.as_str()).collect();
    let (told, confirmation, annotation) = (told.join(", "), confirmation.join(","), labels::MAJOR_UPGRADE);
    let message = say!(
        language,
        "version \"{target}\" changes {told}, which cannot be undone: nothing was written",
        "版本 \"{target}\" 会变更 {told}，且无法撤销：没有写入任何内容"
    );
    Failure::new(Exit::Refused, message).hint(say!(
        language,
        "make a backup, then repeat it with --confirm-major '{confirmation}', which sets annotation {annotation}",
        "先做备份，再加上 --confirm-major '{confirmation}' 重新执行，它会设置注解 {annotation}"
    ))
}

fn remark_unknown(language: Language, target: &str) {
    output::remark(&say!(
        language,
        "only an administrator can read which Odoo version \"{target}\" brings; if its major is another one, the operator waits for a confirmation",
        "只有管理员才能读取版本 \"{target}\" 对应的 Odoo 版本；如果大版本不同，Operator 会等待确认"
    ));
}

/// The values that change for this environment.
async fn diff(session: &Session, environment: &OdooEnvironment, target: &str) -> Result<(), Failure> {
    let one = read::Known::of(session, environment.clone()).await?;
    let other = one.at(session, target).await?;
    let changes = one.changes_to(session, &other).await;
    if !session.for_people() {
        return output::data(session.format, &changes);
    }
    other.remark_on_violation(session);
    values::print_changes(session, &one, &other, &changes)
}

/// Has the API server try the patch, admission included, and shows what would change.
async fn dry_run(
    session: &Session,
    environment: &OdooEnvironment,
    template: &OdooTemplate,
    target: &str,
    patch: &Value,
) -> Result<(), Failure> {
    let (language, name) = (session.language, environment.name_any());
    let params = PatchParams { dry_run: true, field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let tried = session.api::<OdooEnvironment>().patch(&name, &params, &Patch::Merge(patch)).await;
    let tried = match tried {
        Ok(object) => object,
        Err(error) => return Err(session.explain(&Asked::of::<OdooEnvironment>("patch", Some(&name)), error).await),
    };
    if !session.for_people() {
        return output::data(session.format, &tried);
    }
    output::remark(&say!(
        language,
        "the API server accepts this; nothing was written (dry run)",
        "API server 接受此修改；没有写入任何内容（dry run）"
    ));
    would_change(language, environment, template, target, &tried).iter().try_for_each(|line| output::line(line))
}

fn would_change(
    language: Language,
    environment: &OdooEnvironment,
    template: &OdooTemplate,
    target: &str,
    tried: &OdooEnvironment,
) -> Vec<String> {
    let name = environment.name_any();
    let pin = |environment: &OdooEnvironment| {
        let pinned = environment.spec.template_ref.version.clone();
        pinned.unwrap_or_else(|| language.pick("(newest)", "（最新）").to_owned())
    };
    let chart = |version: &str| {
        let versions = template.status.iter().flat_map(|status| &status.versions);
        versions.filter(|known| known.version == version).map(|known| known.chart_version.clone()).next()
    };
    let held = environment.status.as_ref().and_then(|status| status.template.as_ref());
    let held = held.map(|held| held.version.clone()).unwrap_or_default();
    let (before, after) = (pin(environment), pin(tried));
    let mut rows = vec![
        ("spec.templateRef.version", before, after),
        (language.pick("version", "版本"), held.clone(), target.to_owned()),
        ("Chart", chart(&held).unwrap_or_default(), chart(target).unwrap_or_default()),
    ];
    let annotation = |environment: &OdooEnvironment| {
        environment.annotations().get(labels::MAJOR_UPGRADE).cloned().unwrap_or_default()
    };
    rows.push((labels::MAJOR_UPGRADE, annotation(environment), annotation(tried)));
    rows.retain(|(_, before, after)| before != after);
    if rows.is_empty() {
        return vec![say!(language, "environment \"{name}\": nothing changes", "环境 \"{name}\"：没有变化")];
    }
    let told = rows.into_iter().map(|(what, before, after)| {
        let before = if before.is_empty() { "-".to_owned() } else { before };
        format!("  {what}: {before} → {after}")
    });
    std::iter::once(say!(language, "environment \"{name}\":", "环境 \"{name}\"：")).chain(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(annotation: Option<&str>) -> OdooEnvironment {
        serde_json::from_value(json!({
            "apiVersion": "odoofleet.dev/v1alpha1", "kind": "OdooEnvironment",
            "metadata": {"name": "a", "annotations": annotation.map(|text| json!({labels::MAJOR_UPGRADE: text}))},
            "spec": {"customerRef": {"name": "acme"}, "serviceName": "a", "stage": "Test",
                "templateRef": {"name": "odoo-18"}},
        }))
        .unwrap()
    }

    fn asked(annotation: Option<&str>, odoo: &str, postgres: i32, given: Option<&str>) -> Consent {
        let held = HeldVersion { odoo_version: Some("17.0".into()), postgres_major: Some(15) };
        consent(&environment(annotation), Some(&held), Some(&(odoo.to_owned(), Some(postgres))), given)
    }

    #[test]
    fn a_change_of_major_is_confirmed_word_for_word() {
        assert_eq!(asked(None, "17.0", 15, None), Consent::Given);
        assert_eq!(asked(None, "17.4", 15, None), Consent::Given, "the major stays");
        assert_eq!(asked(None, "18.0", 15, None), Consent::Missing(vec![("Odoo", "17.0→18.0".into())]));
        assert_eq!(asked(None, "18.0", 15, Some("16.0→18.0")), Consent::Missing(vec![("Odoo", "17.0→18.0".into())]));
        assert_eq!(asked(None, "18.0", 15, Some("17.0->18.0")), Consent::Now("17.0→18.0".into()));
        assert_eq!(asked(Some("17.0→18.0"), "18.0", 15, None), Consent::Given, "somebody said so before");
    }

    #[test]
    fn two_changes_need_two_confirmations() {
        let postgres = Consent::Missing(vec![("PostgreSQL", "15→16".into())]);
        assert_eq!(asked(None, "18.0", 16, Some("17.0→18.0")), postgres);
        let both = Consent::Now("17.0→18.0,15→16".into());
        assert_eq!(asked(None, "18.0", 16, Some("17.0->18.0, 15->16")), both);
        assert_eq!(asked(Some("17.0→18.0"), "18.0", 16, Some("15→16")), both, "what was said before is kept");
    }

    #[test]
    fn what_is_not_installed_or_not_known_needs_none() {
        let majors = ("18.0".to_owned(), None);
        assert_eq!(consent(&environment(None), None, Some(&majors), None), Consent::Given);
        assert_eq!(consent(&environment(None), Some(&HeldVersion::default()), None, None), Consent::Given);
    }

    #[test]
    fn the_pin_is_set_or_taken_away() {
        let made = |pin, consent| patch(pin, &consent, None);
        assert_eq!(made(Some("v2"), Consent::Given), json!({"spec": {"templateRef": {"version": "v2"}}}));
        assert_eq!(made(None, Consent::Given), json!({"spec": {"templateRef": {"version": null}}}));
        let confirmed = made(Some("v2"), Consent::Now("17.0→18.0".into()));
        assert_eq!(confirmed["metadata"]["annotations"][labels::MAJOR_UPGRADE], "17.0→18.0");
    }
}
