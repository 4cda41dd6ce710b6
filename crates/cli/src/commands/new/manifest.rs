//! The YAML of a new object, with what a person may want to know beside it.

use std::fmt::Write as _;

use odoofleet_api::names::{CustomerName, ReleaseName};

use super::ask::{Asker, Question};
use super::{CustomerArgs, EnvironmentArgs, Known, TemplateArgs};
use crate::failure::{Exit, Failure};
use crate::language::Language;
use crate::say;

/// A new object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Its name.
    pub name: String,
    /// Its YAML.
    pub text: String,
}

fn question<'a>(flag: &'a str, text: &'a str) -> Question<'a> {
    Question { flag, text, optional: false }
}

/// A text in YAML: JSON's way of quoting is YAML's, too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn head(kind: &str, name: &str, namespace: &str) -> String {
    let (name, namespace) = (quoted(name), quoted(namespace));
    format!(
        "apiVersion: odoofleet.dev/v1alpha1\nkind: {kind}\nmetadata:\n  name: {name}\n  namespace: {namespace}\nspec:\n"
    )
}

/// Adds a line, and what is to be known of it.
fn line(text: &mut String, content: &str, remark: &str) {
    let _ = if remark.is_empty() { writeln!(text, "  {content}") } else { writeln!(text, "  {content} # {remark}") };
}

fn required(answer: Option<String>) -> String {
    answer.unwrap_or_default()
}

fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}

/// A customer.
pub fn customer(asker: Asker, args: &CustomerArgs, namespace: &str) -> Result<Manifest, Failure> {
    let language = asker.language;
    let name = asker.text(
        &question("NAME", language.pick("Name, such as acme", "名称，例如 acme")),
        args.name.as_deref(),
        |name| CustomerName::parse(name).map(drop).map_err(|error| error.to_string()),
    )?;
    let display =
        Question { flag: "--display-name", text: language.pick("The company's name", "公司名称"), optional: true };
    let display = asker.text(&display, args.display_name.as_deref(), |_| Ok(()))?;
    let lifecycle = asker.choice(
        &Question { flag: "--lifecycle", text: language.pick("Lifecycle", "生命周期"), optional: true },
        args.lifecycle.as_deref(),
        &words(["Active", "Trial", "Prospect"]),
        true,
    )?;
    let expires = Question {
        flag: "--expires-on",
        text: language.pick(
            "Last day of the contract, such as 2027-12-31; none: Enter",
            "合同到期日，例如 2027-12-31；没有则直接回车",
        ),
        optional: true,
    };
    let expires = asker.text(&expires, args.expires_on.as_deref(), move |day| {
        let wrong =
            |_| say!(language, "\"{day}\" is no day such as 2027-12-31", "\"{day}\" 不是 2027-12-31 这样的日期");
        day.parse::<jiff::civil::Date>().map(drop).map_err(wrong)
    })?;
    let name = required(name);
    let mut text = head("OdooCustomer", &name, namespace);
    if let Some(display) = display {
        line(&mut text, &format!("displayName: {}", quoted(&display)), "");
    }
    let remark = language.pick("Suspended stops everything, and data stays", "Suspended 会停止一切，数据保留");
    line(&mut text, &format!("lifecycle: {}", lifecycle.as_deref().unwrap_or("Active")), remark);
    if let Some(day) = expires {
        let remark = language
            .pick("onExpiry says what follows; by itself nothing stops", "之后如何由 onExpiry 决定；默认不会停止");
        line(&mut text, &format!("contract: {{expiresOn: {}}}", quoted(&day)), remark);
    }
    Ok(Manifest { name, text })
}

/// An environment.
pub fn environment(asker: Asker, args: &EnvironmentArgs, known: &Known, namespace: &str) -> Result<Manifest, Failure> {
    let language = asker.language;
    let customer = asker.choice(
        &question("--customer", language.pick("Customer", "客户")),
        args.customer.as_deref(),
        &known.customers,
        false,
    )?;
    let customer = required(customer);
    let parsed =
        CustomerName::parse(&customer).map_err(|error| Failure::new(Exit::Usage, format!("--customer: {error}")))?;
    let service = asker.text(
        &question("--service", language.pick("What it is for, such as prod", "用途，例如 prod")),
        args.service.as_deref(),
        move |service| ReleaseName::derive(&parsed, service).map(drop).map_err(|error| error.to_string()),
    )?;
    let stage = asker.choice(
        &question("--stage", language.pick("Stage", "阶段")),
        args.stage.as_deref(),
        &words(["Test", "Staging", "Production"]),
        true,
    )?;
    let template = asker.choice(
        &question("--template", language.pick("Template", "模板")),
        args.template.as_deref(),
        &known.templates,
        false,
    )?;
    let size = asker.choice(
        &Question { flag: "--size", text: language.pick("Size", "规格"), optional: true },
        args.size.as_deref(),
        &words(["S", "M", "L"]),
        true,
    )?;
    let host = Question {
        flag: "--host",
        text: language
            .pick("Host, such as erp.acme.example; none: Enter", "域名，例如 erp.acme.example；没有则直接回车"),
        optional: true,
    };
    let host = asker.text(&host, args.host.as_deref(), |_| Ok(()))?;
    let (service, stage) = (required(service), required(stage));
    let name = format!("{customer}-{service}");
    let mut text = head("OdooEnvironment", &name, namespace);
    line(&mut text, &format!("customerRef: {{name: {}}}", quoted(&customer)), "");
    let remark = say!(language, "the release is {name}, for ever", "Release 名称为 {name}，不可更改");
    line(&mut text, &format!("serviceName: {}", quoted(&service)), &remark);
    let remark = if stage == "Production" { language.pick("protected from deletion", "受删除保护") } else { "" };
    line(&mut text, &format!("stage: {stage}"), remark);
    let remark =
        language.pick("version: … stays on one; without it follows", "写 version 则固定在该版本，否则跟随模板");
    line(&mut text, &format!("templateRef: {{name: {}}}", quoted(&required(template))), remark);
    if let Some(size) = size {
        line(&mut text, &format!("size: {size}"), "");
    }
    let ingress = host.map_or_else(|| "{expose: None}".to_owned(), |host| format!("{{host: {}}}", quoted(&host)));
    line(&mut text, &format!("ingress: {ingress}"), "");
    Ok(Manifest { name, text })
}

/// A template of this project's own chart.
pub fn template(asker: Asker, args: &TemplateArgs, namespace: &str) -> Result<Manifest, Failure> {
    let language = asker.language;
    let odoo = asker.text(
        &question("--odoo", language.pick("Odoo's series, such as 18.0", "Odoo 版本系列，例如 18.0")),
        args.odoo.as_deref(),
        move |series| is_series(language, series),
    )?;
    let odoo = required(odoo);
    let usual = format!("odoo-{}", odoo.split('.').next().unwrap_or_default());
    let name = args.name.clone().unwrap_or(usual);
    let version = args.template_version.clone().unwrap_or_else(|| format!("{odoo}-1"));
    let mut text = head("OdooTemplate", &name, namespace);
    let remark = language
        .pick("changed content needs another one; environments follow it", "内容改变就要换版本号；环境会依次跟随");
    line(&mut text, &format!("version: {}", quoted(&version)), remark);
    line(&mut text, &format!("odooVersion: {}", quoted(&odoo)), "");
    let remark = language.pick("or oci: …, or configMapRef: …", "也可以是 oci: … 或 configMapRef: …");
    line(&mut text, "chart: {path: odoo}", remark);
    line(&mut text, "values: {}", language.pick("what all its environments have in common", "所有环境共用的 values"));
    Ok(Manifest { name, text })
}

fn is_series(language: Language, text: &str) -> Result<(), String> {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|digit| digit.is_ascii_digit());
    let is_series = text.split_once('.').is_some_and(|(major, minor)| is_number(major) && is_number(minor));
    let wrong = || say!(language, "\"{text}\" is no series such as 18.0", "\"{text}\" 不是 18.0 这样的版本系列");
    is_series.then_some(()).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use odoofleet_api::{OdooCustomer, OdooEnvironment, OdooTemplate};

    use super::super::NewCommand;
    use super::*;
    use crate::args::{Cli, Command};

    fn made(line: &str, language: Language) -> Result<Manifest, Failure> {
        let words = ["kubectl-odoo", "new"].into_iter().chain(line.split(' '));
        let Command::New(command) = Cli::try_parse_from(words).unwrap().command else { panic!("another command") };
        let asker = Asker::nobody(language);
        match &command {
            NewCommand::Customer(args) => customer(asker, args, "odoo"),
            NewCommand::Environment(args) => environment(asker, args, &Known::default(), "odoo"),
            NewCommand::Template(args) => template(asker, args, "odoo"),
        }
    }

    #[test]
    fn flags_become_objects_in_both_languages() {
        for language in [Language::English, Language::Chinese] {
            let text = made("customer acme --display-name 艾可米:# --expires-on 2027-12-31", language).unwrap().text;
            let customer: OdooCustomer = serde_saphyr::from_str(&text).unwrap();
            assert_eq!(customer.spec.display_name.as_deref(), Some("艾可米:#"));
            let line = "environment --customer acme --service prod --stage Production --template odoo-18 --size M --host e.acme.example";
            let manifest = made(line, language).unwrap();
            let environment: OdooEnvironment = serde_saphyr::from_str(&manifest.text).unwrap();
            assert_eq!((manifest.name.as_str(), environment.spec.service_name.as_str()), ("acme-prod", "prod"));
            let text = made("template --odoo 18.0", language).unwrap().text;
            let template: OdooTemplate = serde_saphyr::from_str(&text).unwrap();
            assert_eq!(
                (template.spec.version.as_str(), template.metadata.name.as_deref()),
                ("18.0-1", Some("odoo-18"))
            );
        }
    }

    #[test]
    fn what_is_missing_or_wrong_is_named_by_its_flag() {
        for (line, said) in [
            ("customer", "NAME is missing"),
            ("customer Acme", "NAME: "),
            ("customer acme --expires-on tomorrow", "--expires-on: \"tomorrow\" is no day"),
            ("customer acme --lifecycle Gone", "--lifecycle: \"Gone\" is none of"),
            ("environment --customer acme", "--service is missing"),
            ("environment --customer acme --service p_d --stage Test --template t", "--service: "),
            ("environment --customer acme --service prod --stage Live --template t", "--stage: \"Live\" is none of"),
            ("template", "--odoo is missing"),
            ("template --odoo 18", "--odoo: \"18\" is no series"),
        ] {
            let failure = made(line, Language::English).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage);
            assert!(failure.message.starts_with(said), "{line}: {}", failure.message);
        }
    }
}
