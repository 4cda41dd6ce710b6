//! `values --helm-command`: what a person would type to get the same release by helm, without any secret.

use kube::ResourceExt;
use odoofleet_api::Object;
use odoofleet_core::chart::archive_name;
use odoofleet_core::environment::FedValue;
use odoofleet_core::environment::references::{ObjectKind, names};
use odoofleet_core::environment::validate::generated_secret;

use super::read::{Known, source};
use crate::failure::{Exit, Failure};
use crate::language::Language;
use crate::output;
use crate::say;
use crate::session::Session;

/// What the script is made of.
struct Script<'a> {
    release: String,
    namespace: &'a str,
    chart: String,
    archive: String,
    values: String,
    fed: &'a [FedValue],
    missing: Vec<String>,
}

/// Prints it.
pub fn print(session: &Session, known: &Known) -> Result<(), Failure> {
    let (language, name) = (session.language, known.environment.name_any());
    let script = script(language, known, &session.namespace)?;
    output::line(&text(language, &script))?;
    output::remark(&say!(
        language,
        "the operator looks after environment \"{name}\": what is installed beside it, it puts back",
        "环境 \"{name}\" 由 Operator 管理：绕过它的安装会被还原"
    ));
    Ok(())
}

fn script<'a>(language: Language, known: &'a Known, namespace: &'a str) -> Result<Script<'a>, Failure> {
    let content = &known.version.content;
    let (_, release) =
        names(&known.environment.spec).map_err(|error| Failure::new(Exit::Refused, error.to_string()))?;
    let mut values: Object = known.preview.layers.over_chart();
    for fed in &known.preview.fed {
        fed.to.remove(&mut values);
    }
    let mut missing: Vec<String> = known
        .preview
        .of_settings
        .iter()
        .map(|path| {
            say!(
                language,
                "\"{path}\": the operator's setting allowedGitHosts",
                "\"{path}\"：Operator 的设置 allowedGitHosts"
            )
        })
        .collect();
    let secret = generated_secret(&release);
    missing.push(say!(
        language,
        "Secret \"{secret}\": the operator generates it with the first installation",
        "Secret \"{secret}\"：由 Operator 在首次安装时生成"
    ));
    Ok(Script {
        release: release.to_string(),
        namespace,
        chart: format!("{}-{}.tgz", content.chart_name, content.chart_version),
        archive: archive_name(&content.chart_digest),
        values: serde_saphyr::to_string(&values).map_err(|error| Failure::new(Exit::Failed, error.to_string()))?,
        fed: &known.preview.fed,
        missing,
    })
}

fn text(language: Language, script: &Script<'_>) -> String {
    let Script { release, namespace, chart, archive, values, fed, missing } = script;
    let mut lines = vec![
        language.pick("# The chart, as it is kept in the cluster.", "# 集群中保存的 Chart。").to_owned(),
        format!(
            "kubectl get configmap {archive} -n {namespace} -o jsonpath='{{.binaryData.chart\\.tgz}}' | base64 -d > {chart}"
        ),
        String::new(),
        language.pick("# The values, without what Secrets feed.", "# 值，不含来自 Secret 的内容。").to_owned(),
        format!("cat > {release}-values.yaml <<'END_OF_VALUES'"),
        values.trim_end().to_owned(),
        "END_OF_VALUES".to_owned(),
        String::new(),
    ];
    if !fed.is_empty() || !missing.is_empty() {
        lines.push(language.pick("# What is missing in it:", "# 其中缺少：").to_owned());
        lines.extend(fed.iter().map(|fed| format!("#   \"{}\": {}", fed.to, source(fed))));
        lines.extend(missing.iter().map(|missing| format!("#   {missing}")));
        lines.push(String::new());
    }
    let mut command = vec![
        format!("helm upgrade --install {release} ./{chart} --namespace {namespace}"),
        format!("--values {release}-values.yaml"),
    ];
    // As files, since arguments are read by everybody on the machine.
    command.extend(fed.iter().map(|fed| {
        let FedValue { to, object, key } = fed;
        let (resource, name, key) = (resource(object.kind), &object.name, key.replace('.', "\\."));
        let decode = if object.kind == ObjectKind::Secret { " | base64 -d" } else { "" };
        format!(
            "--set-file '{to}'=<(kubectl get {resource} {name} -n {namespace} -o jsonpath='{{.data.{key}}}'{decode})"
        )
    }));
    lines.push(command.join(" \\\n  "));
    lines.join("\n")
}

const fn resource(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Secret => "secret",
        ObjectKind::ConfigMap => "configmap",
    }
}

#[cfg(test)]
mod tests {
    use odoofleet_core::environment::references::ObjectName;
    use odoofleet_core::values::ValuePath;

    use super::*;

    #[test]
    fn the_script_names_secrets_and_holds_none() {
        let fed = [FedValue {
            to: ValuePath::parse("mail.password").unwrap(),
            object: ObjectName { kind: ObjectKind::Secret, name: "acme-mail".into() },
            key: "smtp.password".into(),
        }];
        let script = Script {
            release: "acme-prod".into(),
            namespace: "odoo",
            chart: "odoo-1.0.0.tgz".into(),
            archive: "odoofleet-chart-ab".into(),
            values: "a: 1\n".into(),
            fed: &fed,
            missing: vec!["Secret \"acme-prod-odoofleet\"".into()],
        };
        let text = text(Language::English, &script);
        for part in [
            "cat > acme-prod-values.yaml <<'END_OF_VALUES'\na: 1\nEND_OF_VALUES\n",
            "#   \"mail.password\": Secret acme-mail/smtp.password\n",
            "helm upgrade --install acme-prod ./odoo-1.0.0.tgz --namespace odoo \\\n  --values acme-prod-values.yaml",
            "--set-file 'mail.password'=<(kubectl get secret acme-mail -n odoo -o jsonpath='{.data.smtp\\.password}' | base64 -d)",
        ] {
            assert!(text.contains(part), "{part}\nin {text}");
        }
    }
}
