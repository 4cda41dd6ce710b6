//! `update`: other addons from git, and the modules that are updated with them.

use kube::ResourceExt;
use odoofleet_api::OdooEnvironment;
use odoofleet_api::environment::{AddonStatus, GitRepository};
use serde_json::{Value, json};

use super::power::REASON;
use super::settle::{self, Before};
use crate::failure::{Exit, Failure};
use crate::git_owner;
use crate::language::Language;
use crate::output;
use crate::say;
use crate::session::Session;
use crate::wait::{self, WaitArgs};

/// What `update` takes.
#[derive(Debug, clap::Args)]
pub struct UpdateArgs {
    /// Name of the environment
    #[arg(value_name = "ENVIRONMENT")]
    pub environment: String,
    /// Branch, tag or commit of the addons
    #[arg(long, value_name = "REF", required_unless_present_any = ["modules", "again"])]
    pub addons: Option<String>,
    /// Which repository, if there are several; a part of its URL is enough
    #[arg(long, value_name = "URL", requires = "addons")]
    pub url: Option<String>,
    /// Modules that are updated whatever their version says, joined by commas
    #[arg(long, value_name = "MODULES", value_delimiter = ',')]
    pub modules: Vec<String>,
    /// Resolve branches and tags to commits once more
    #[arg(long)]
    pub again: bool,
    /// Why; kept on the environment
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Whether to wait.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// `kubectl odoo update`
pub async fn run(session: &Session, args: &UpdateArgs) -> Result<(), Failure> {
    let (language, name) = (session.language, &args.environment);
    let environment: OdooEnvironment = session.get(name).await?;
    let at = session.now().strftime("%FT%TZ").to_string();
    let mut patch = patch(language, &environment, args, &at)?;
    if patch == json!({}) {
        output::line(&say!(
            language,
            "environment \"{name}\" has these addons already; --again resolves a branch or tag anew",
            "环境 \"{name}\" 已使用这些插件；用 --again 可重新解析分支或标签"
        ))?;
    } else {
        if let Some(reason) = &args.reason {
            patch["metadata"] = json!({"annotations": {REASON: reason}});
        }
        git_owner::guard(session, "OdooEnvironment", &environment.metadata, &patch)?;
        // The list is written whole: whoever has changed it meanwhile is not overwritten.
        patch["metadata"]["resourceVersion"] = json!(environment.resource_version());
        session.patch::<OdooEnvironment>(name, &patch).await?;
        output::line(&say!(
            language,
            "environment \"{name}\" will be updated: its addons are fetched, and its modules updated",
            "环境 \"{name}\" 正在更新：获取插件并更新模块"
        ))?;
    }
    if args.wait.wait {
        let before = Before::of(&environment);
        wait::until(session, name, args.wait.timeout, |now| settle::progress(now, &before, |_| true)).await?;
        let environment: OdooEnvironment = session.get(name).await?;
        let addons = environment.status.map(|status| held(&status.addons)).unwrap_or_default();
        output::line(&say!(language, "environment \"{name}\" is updated{addons}", "环境 \"{name}\" 已更新{addons}"))?;
    }
    Ok(())
}

/// The commits that the pods hold.
fn held(addons: &[AddonStatus]) -> String {
    let all = addons.iter().map(|addon| format!("\n  {} {} {}", addon.url, addon.reference, addon.commit));
    all.collect()
}

/// What changes of the object; empty if nothing does.
fn patch(language: Language, environment: &OdooEnvironment, args: &UpdateArgs, at: &str) -> Result<Value, Failure> {
    let name = environment.name_any();
    let repositories = environment.spec.git.as_ref().map_or(&[][..], |git| &git.customer_addons);
    let mut patch = json!({});
    if repositories.is_empty() && (args.addons.is_some() || args.again) {
        let message =
            say!(language, "environment \"{name}\" has no addons from git", "环境 \"{name}\" 没有来自 git 的插件");
        return Err(Failure::new(Exit::Refused, message).hint(say!(
            language,
            "spec.git.customerAddons names repositories: kubectl edit oenv {name}",
            "在 spec.git.customerAddons 中填写仓库：kubectl edit oenv {name}"
        )));
    }
    if let Some(reference) = &args.addons {
        let chosen = choose(language, repositories, args.url.as_deref())?;
        let mut moved = repositories.to_vec();
        if moved[chosen].reference != *reference {
            moved[chosen].reference.clone_from(reference);
            patch["spec"]["git"]["customerAddons"] = json!(moved);
        }
    }
    if args.again {
        patch["spec"]["git"]["refresh"] = json!(at);
    }
    let named = environment.spec.modules.as_ref().map_or(&[][..], |modules| &modules.named);
    if !args.modules.is_empty() && named != args.modules {
        patch["spec"]["modules"]["named"] = json!(args.modules);
    }
    Ok(patch)
}

/// The only repository, or the only one that is meant.
fn choose(language: Language, repositories: &[GitRepository], url: Option<&str>) -> Result<usize, Failure> {
    let meant = |repository: &GitRepository, url: &str| repository.url == url || repository.url.contains(url);
    let exact = repositories.iter().position(|repository| Some(repository.url.as_str()) == url);
    let found: Vec<usize> = match url {
        Some(url) => (0..repositories.len()).filter(|index| meant(&repositories[*index], url)).collect(),
        None => (0..repositories.len()).collect(),
    };
    let only = (found.len() == 1).then(|| found[0]);
    if let Some(chosen) = exact.or(only) {
        return Ok(chosen);
    }
    let all: Vec<&str> = repositories.iter().map(|repository| repository.url.as_str()).collect();
    let all = all.join(", ");
    let message = match (url, found.is_empty()) {
        (Some(url), true) => say!(
            language,
            "no repository of the environment has the URL \"{url}\"; there is: {all}",
            "环境中没有 URL 为 \"{url}\" 的仓库；现有：{all}"
        ),
        _ => say!(language, "several repositories can be meant: {all}", "无法确定是哪个仓库：{all}"),
    };
    Err(Failure::new(Exit::Usage, message).hint(language.pick("name one with --url", "用 --url 指定其中一个")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(urls: &[&str]) -> OdooEnvironment {
        let addons: Vec<Value> = urls.iter().map(|url| json!({"url": url, "ref": "main", "path": "addons"})).collect();
        serde_json::from_value(json!({
            "apiVersion": "odoofleet.dev/v1alpha1", "kind": "OdooEnvironment", "metadata": {"name": "a"},
            "spec": {"customerRef": {"name": "acme"}, "serviceName": "a", "stage": "Test",
                "templateRef": {"name": "odoo-18"}, "git": {"customerAddons": addons}},
        }))
        .unwrap()
    }

    fn args(addons: Option<&str>, url: Option<&str>, modules: &[&str], again: bool) -> UpdateArgs {
        UpdateArgs {
            environment: "a".into(),
            addons: addons.map(str::to_owned),
            url: url.map(str::to_owned),
            modules: modules.iter().map(|module| (*module).to_owned()).collect(),
            again,
            reason: None,
            wait: WaitArgs { wait: false, timeout: std::time::Duration::ZERO },
        }
    }

    fn made(urls: &[&str], args: &UpdateArgs) -> Result<Value, Exit> {
        patch(Language::English, &environment(urls), args, "now").map_err(|failure| failure.exit)
    }

    const ONE: &str = "https://git.example/acme/addons";
    const TWO: &str = "https://git.example/acme/addons-extra";

    #[test]
    fn the_only_repository_moves_and_keeps_what_else_it_says() {
        let expected = json!({"spec": {"git": {"customerAddons": [{"url": ONE, "ref": "v2", "path": "addons"}]}}});
        assert_eq!(made(&[ONE], &args(Some("v2"), None, &[], false)), Ok(expected));
        assert_eq!(made(&[ONE], &args(Some("main"), None, &[], false)), Ok(json!({})), "it is there already");
    }

    #[test]
    fn of_several_repositories_one_must_be_named() {
        assert_eq!(made(&[ONE, TWO], &args(Some("v2"), None, &[], false)), Err(Exit::Usage));
        assert_eq!(made(&[ONE, TWO], &args(Some("v2"), Some("other"), &[], false)), Err(Exit::Usage));
        assert_eq!(made(&[], &args(Some("v2"), None, &[], false)), Err(Exit::Refused));
        for (url, moved) in [(ONE, 0), ("addons-extra", 1)] {
            let made = made(&[ONE, TWO], &args(Some("v2"), Some(url), &[], false)).unwrap();
            assert_eq!(made["spec"]["git"]["customerAddons"][moved]["ref"], "v2", "{url}");
            assert_eq!(made["spec"]["git"]["customerAddons"][1 - moved]["ref"], "main", "{url}");
        }
    }

    #[test]
    fn modules_and_a_refresh_can_be_asked_for_alone() {
        assert_eq!(made(&[ONE], &args(None, None, &[], true)), Ok(json!({"spec": {"git": {"refresh": "now"}}})));
        let named = json!({"spec": {"modules": {"named": ["sale", "stock"]}}});
        assert_eq!(made(&[], &args(None, None, &["sale", "stock"], false)), Ok(named));
    }
}
