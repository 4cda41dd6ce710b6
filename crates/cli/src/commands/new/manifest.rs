//! The YAML of a new object, with what a person may want to know beside it.

use std::fmt::Write as _;

use odoofleet_api::names::{CustomerName, HOST_PATTERN, MAX_OBJECT_NAME, NameError, ReleaseName};

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
        move |name| CustomerName::parse(name).map(drop).map_err(|error| refused(language, &error)),
    )?;
    let display =
        Question { flag: "--display-name", text: language.pick("The company's name", "公司名称"), optional: true };
    let display = asker.text(&display, args.display_name.as_deref(), |_| Ok(()))?;
    let lifecycle = asker.choice(
        &Question { flag: "--lifecycle", text: language.pick("Lifecycle", "生命周期"), optional: true },
        args.lifecycle.as_deref(),
        &words(["Active", "Trial", "Prospect"]),
        true,
        |_| Ok(()),
    )?;
    let expires = Question {
        flag: "--expires-on",
        text: language.pick(
            "Last day of the contract, such as 2027-12-31; none: Enter",
            "合同到期日，例如 2027-12-31；没有则直接回车",
        ),
        optional: true,
    };
    let expires = asker.text(&expires, args.expires_on.as_deref(), move |day| is_day(language, day))?;
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
        move |name| CustomerName::parse(name).map(drop).map_err(|error| refused(language, &error)),
    )?;
    let customer = required(customer);
    let of_customer = customer.clone();
    let service = asker.text(
        &question("--service", language.pick("What it is for, such as prod", "用途，例如 prod")),
        args.service.as_deref(),
        move |service| {
            let release = CustomerName::parse(&of_customer).and_then(|name| ReleaseName::derive(&name, service));
            release.map(drop).map_err(|error| refused(language, &error))
        },
    )?;
    let stage = asker.choice(
        &question("--stage", language.pick("Stage", "阶段")),
        args.stage.as_deref(),
        &words(["Test", "Staging", "Production"]),
        true,
        |_| Ok(()),
    )?;
    let template = asker.choice(
        &question("--template", language.pick("Template", "模板")),
        args.template.as_deref(),
        &known.templates,
        false,
        move |name| is_object_name(language, name),
    )?;
    let size = asker.choice(
        &Question { flag: "--size", text: language.pick("Size", "规格"), optional: true },
        args.size.as_deref(),
        &words(["S", "M", "L"]),
        true,
        |_| Ok(()),
    )?;
    let host = Question {
        flag: "--host",
        text: language
            .pick("Host, such as erp.acme.example; none: Enter", "域名，例如 erp.acme.example；没有则直接回车"),
        optional: true,
    };
    let host = asker.text(&host, args.host.as_deref(), move |host| is_host(language, host))?;
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
    is_object_name(language, &name).map_err(|why| Failure::new(Exit::Usage, format!("NAME: {why}")))?;
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

/// Why a name is refused.
fn refused(language: Language, error: &NameError) -> String {
    match (language, error) {
        (Language::English, error) => error.to_string(),
        (Language::Chinese, NameError::Shape { value, .. }) => {
            format!("\"{value}\" 必须以小写字母开头，以字母或数字结尾，且只含小写字母、数字和 \"-\"")
        }
        (Language::Chinese, NameError::TooLong { value, length, limit, .. }) => {
            format!("\"{value}\" 有 {length} 个字符，最多 {limit} 个：请缩短客户名称或用途")
        }
    }
}

/// What the API server takes as the name of a template.
fn is_object_name(language: Language, name: &str) -> Result<(), String> {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    let is_end = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let bytes = name.as_bytes();
    let is_name = is_end(bytes.first()) && is_end(bytes.last()) && bytes.iter().copied().all(is_inner);
    let wrong = || {
        say!(
            language,
            "\"{name}\" must begin and end with a lowercase letter or digit, and hold only those, \"-\" and \".\"",
            "\"{name}\" 必须以小写字母或数字开头和结尾，且只含小写字母、数字、\"-\" 和 \".\""
        )
    };
    if !is_name {
        return Err(wrong());
    }
    let length = name.len();
    if length <= MAX_OBJECT_NAME {
        return Ok(());
    }
    Err(say!(
        language,
        "\"{name}\" has {length} characters; at most {MAX_OBJECT_NAME} are allowed",
        "\"{name}\" 有 {length} 个字符，最多 {MAX_OBJECT_NAME} 个"
    ))
}

fn is_host(language: Language, host: &str) -> Result<(), String> {
    let is_host = regex::Regex::new(HOST_PATTERN).is_ok_and(|pattern| pattern.is_match(host));
    let wrong = || {
        say!(language, "\"{host}\" is no host such as erp.acme.example", "\"{host}\" 不是 erp.acme.example 这样的域名")
    };
    is_host.then_some(()).ok_or_else(wrong)
}

/// A day as the API server takes it; dates have other forms beside.
fn is_day(language: Language, text: &str) -> Result<(), String> {
    let day = text.parse::<jiff::civil::Date>().ok().filter(|day| day.to_string() == text);
    let wrong = || say!(language, "\"{text}\" is no day such as 2027-12-31", "\"{text}\" 不是 2027-12-31 这样的日期");
    day.map(drop).ok_or_else(wrong)
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
    fn a_wrong_name_is_refused_in_the_readers_language() {
        let long = format!("environment --customer acme --service {} --stage Test --template t", "p".repeat(40));
        for (line, word) in [
            ("customer Acme", "小写字母"),
            ("environment --customer acme --service P --stage Test --template t", "小写字母"),
            ("environment --customer acme --service p --stage Test --template T", "小写字母"),
            (long.as_str(), "最多 40 个"),
            ("environment --customer acme --service p --stage Test --template t --host x", "域名"),
        ] {
            let message = made(line, Language::Chinese).unwrap_err().message;
            assert!(
                message.contains(word) && !message.contains("must") && !message.contains("has"),
                "{line}: {message}"
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
            ("customer acme --expires-on 20271231", "--expires-on: \"20271231\" is no day"),
            ("environment --customer Acme --service p --stage Test --template t", "--customer: "),
            ("environment --customer acme --service p --stage Test --template T", "--template: "),
            ("environment --customer acme --service p --stage Test --template t --host https://a.example", "--host: "),
            ("template Odoo --odoo 18.0", "NAME: "),
            ("template", "--odoo is missing"),
            ("template --odoo 18", "--odoo: \"18\" is no series"),
        ] {
            let failure = made(line, Language::English).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage);
            assert!(failure.message.starts_with(said), "{line}: {}", failure.message);
        }
    }
}
