//! The picture of one environment for people.

use console::Style;
use unicode_width::UnicodeWidthStr;

use super::report::{PodLine, Report, Seen, Template};
use crate::failure::Failure;
use crate::language::Language;
use crate::output::{coloured, line};
use crate::{reasons, say};

/// Prints it.
pub fn print(language: Language, report: &Report) -> Result<(), Failure> {
    for text in lines(language, report) {
        line(&text)?;
    }
    Ok(())
}

/// The lines: what it is, what belongs to it, what is wrong and what to do.
fn lines(language: Language, report: &Report) -> Vec<String> {
    let bold = Style::new().bold();
    let phase = if report.phase.is_empty() { language.pick("not looked at yet", "尚未处理") } else { report.phase };
    let mut lines = vec![format!("{}   {}   {}", bold.apply_to(&report.name), coloured(phase), report.stage.as_str())];
    let rows = parts(language, report);
    let width = rows.iter().map(|(label, _)| label.width()).max().unwrap_or(0);
    for (label, text) in rows {
        lines.push(format!("  {label}{}  {text}", " ".repeat(width - label.width())));
    }
    lines.extend(verdict(language, report));
    lines
}

/// Each part with its label. A label that is empty continues the one above.
fn parts(language: Language, report: &Report) -> Vec<(&'static str, String)> {
    let mut rows = vec![
        (language.pick("customer", "客户"), customer(language, report)),
        (language.pick("template", "模板"), hidden(&report.template, |template| template_line(language, template))),
    ];
    if let Some(release) = &report.release {
        let (name, revision) = (&release.name, release.revision);
        let status = coloured(&release.status);
        let chart =
            [release.chart.as_deref(), release.chart_version.as_deref()].map(Option::unwrap_or_default).join(" ");
        let text = say!(
            language,
            "{name}, revision {revision} {status}, chart {chart}",
            "{name}，修订 {revision} {status}，Chart {chart}"
        );
        rows.push((language.pick("release", "Release"), text));
    }
    let workloads = report.workloads.iter().map(|workload| {
        format!("{:?} {} {}/{}", workload.kind, workload.name, workload.ready_replicas, workload.replicas)
    });
    rows.extend(labelled(language.pick("workloads", "工作负载"), workloads));
    let pods_label = language.pick("pods", "Pod");
    match &report.pods {
        Seen::Found(pods) => rows.extend(labelled(pods_label, pods.iter().map(|pod| pod_line(language, pod)))),
        Seen::Hidden(why) => rows.push((pods_label, why.clone())),
    }
    rows.extend(database(language, report));
    let addons = report.addons.iter().map(|addon| {
        let commit = addon.commit.get(..12).unwrap_or(&addon.commit);
        format!("{} {} ({commit})", addon.url, addon.reference)
    });
    rows.extend(labelled(language.pick("addons", "插件"), addons));
    rows.extend(report.url.clone().map(|url| ("URL", url)));
    rows.extend(report.certificate.clone().map(|why| (language.pick("certificate", "证书"), why)));
    rows.extend(report.git_owner.clone().map(|owner| ("Git", owner)));
    rows.extend(report.change_reason.clone().map(|why| (language.pick("changed for", "变更原因"), why)));
    rows
}

fn labelled(label: &'static str, texts: impl Iterator<Item = String>) -> Vec<(&'static str, String)> {
    texts.enumerate().map(|(index, text)| (if index == 0 { label } else { "" }, text)).collect()
}

fn hidden<T>(seen: &Seen<T>, told: impl FnOnce(&T) -> String) -> String {
    match seen {
        Seen::Found(found) => told(found),
        Seen::Hidden(why) => why.clone(),
    }
}

fn customer(language: Language, report: &Report) -> String {
    hidden(&report.customer, |customer| {
        let display = customer.display_name.as_ref().map_or_else(String::new, |display| format!(" {display}"));
        let (name, phase) = (&customer.name, coloured(&customer.phase));
        match &customer.expires_on {
            Some(day) => {
                say!(language, "{name}{display}, {phase}, until {day}", "{name}{display}，{phase}，到期日 {day}")
            }
            None => say!(language, "{name}{display}, {phase}", "{name}{display}，{phase}"),
        }
    })
}

fn template_line(language: Language, template: &Template) -> String {
    let Template { name, version, newest, pinned } = template;
    match (version == newest, pinned) {
        (_, true) => {
            say!(language, "{name} {version}, pinned (newest: {newest})", "{name} {version}，已固定（最新：{newest}）")
        }
        (true, false) => format!("{name} {version}"),
        (false, false) if version.is_empty() => {
            say!(language, "{name}, on the way to {newest}", "{name}，将使用 {newest}")
        }
        (false, false) => {
            say!(language, "{name} {version}, on the way to {newest}", "{name} {version}，将升级到 {newest}")
        }
    }
}

fn pod_line(language: Language, pod: &PodLine) -> String {
    let PodLine { name, status, ready, restarts, node, age } = pod;
    let ready = if *ready { language.pick("ready", "就绪") } else { language.pick("not ready", "未就绪") };
    let node = node.as_deref().unwrap_or("-");
    let status = coloured(status);
    say!(
        language,
        "{name} {status}, {ready}, {restarts} restarts, {age}, node {node}",
        "{name} {status}，{ready}，重启 {restarts} 次，{age}，节点 {node}"
    )
}

fn database(language: Language, report: &Report) -> Option<(&'static str, String)> {
    let database = report.database.as_ref()?;
    let mut text = if database.initialised {
        language.pick("initialised", "已初始化").to_owned()
    } else {
        language.pick("not initialised yet", "尚未初始化").to_owned()
    };
    if let Some(at) = &database.updated_at {
        let at = at.0;
        text.push_str(&say!(language, ", modules updated {at}", "，模块更新于 {at}"));
    }
    if !database.modules_failed.is_empty() {
        let failed = database.modules_failed.join(", ");
        text.push_str(&say!(language, ", failed: {failed}", "，失败：{failed}"));
    }
    Some((language.pick("database", "数据库"), text))
}

/// What the operator says, and what to do: of all that is not simply well.
fn verdict(language: Language, report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(failure) = &report.last_failure {
        let (reason, container, pod) = (&failure.reason, &failure.container, &failure.pod);
        let at = failure.at.as_ref().map(|at| at.0.to_string()).unwrap_or_default();
        lines.push(say!(
            language,
            "last failure: {reason}, container {container} of {pod}, {at}",
            "最近一次故障：{reason}，{pod} 的容器 {container}，{at}"
        ));
    }
    if report.paused {
        lines.push(language.pick("paused: the operator looks away", "已暂停管理：Operator 不作任何处理").to_owned());
    }
    if report.reason.is_empty() {
        let next = "is the operator running? kubectl odoo preflight";
        lines.push(language.pick(next, "Operator 是否在运行？请执行 kubectl odoo preflight").to_owned());
        return lines;
    }
    lines.push(format!("{}: {}", report.reason, report.message));
    let explanation = reasons::explain(&report.reason, language);
    if language == Language::Chinese
        && let Some(explanation) = explanation
    {
        lines.push(format!("含义：{}", explanation.meaning));
    }
    let is_well = report.ready && report.observed;
    if let Some(explanation) = explanation.filter(|_| !is_well) {
        let remedy = &explanation.remedy;
        lines.push(say!(language, "next: {remedy}", "建议：{remedy}"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::super::report::Around;
    use super::*;

    fn report(reason: &str, ready: &str) -> Report {
        let environment = serde_json::from_value(json!({
            "apiVersion": "odoofleet.dev/v1alpha1", "kind": "OdooEnvironment",
            "metadata": {"name": "acme-prod", "namespace": "odoo", "generation": 2},
            "spec": {"customerRef": {"name": "acme"}, "serviceName": "prod", "stage": "Production",
                "templateRef": {"name": "odoo-18"}},
            "status": {"observedGeneration": 2, "phase": "Error", "reason": reason, "message": "the message",
                "conditions": [{"type": "Ready", "status": ready, "reason": reason, "message": "",
                    "lastTransitionTime": "2026-11-28T00:00:00Z"}]},
        }));
        let hidden = || "hidden".to_owned();
        let around = Around { customer: Err(hidden()), template: Err(hidden()), pods: Err(hidden()) };
        Report::new(&environment.unwrap(), &around, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn what_is_wrong_is_told_with_what_to_do_in_both_languages() {
        let english = lines(Language::English, &report("OutOfMemory", "False")).join("\n");
        assert!(english.contains("OutOfMemory: the message\nnext: "), "{english}");
        let chinese = lines(Language::Chinese, &report("OutOfMemory", "False")).join("\n");
        assert!(chinese.contains("OutOfMemory: the message\n含义：") && chinese.contains("\n建议："), "{chinese}");
    }

    #[test]
    fn what_is_well_needs_no_advice() {
        let text = lines(Language::English, &report("Running", "True")).join("\n");
        assert!(!text.contains("next:"), "{text}");
    }
}
