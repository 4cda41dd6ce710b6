//! `template`: a template for a chart that has none, from a release or from the chart itself. A proposal to be read, not a decision.

use std::fs;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use odoofleet_api::{Object, OdooTemplate};
use odoofleet_core::chart::{self, Inside};
use odoofleet_core::template::guess::{Guess, guess};
use odoofleet_core::values::{ValuePath, leaks};
use serde_json::{Value, json};

use super::adopt::found::Known;
use crate::args::Global;
use crate::failure::{Exit, Failure};
use crate::language::Language;
use crate::output::{self, Format};
use crate::say;
use crate::session::{NAMESPACE, Session};

/// The commands below `template`.
#[derive(Debug, clap::Subcommand)]
pub enum TemplateCommand {
    /// Propose a template of the chart and the values from which a release was made
    FromRelease(FromReleaseArgs),
    /// Propose a template for a packaged chart, or for a chart's folder
    Propose(ProposeArgs),
}

/// What `template from-release` takes.
#[derive(Debug, clap::Args)]
pub struct FromReleaseArgs {
    /// Name of the Helm release
    #[arg(value_name = "RELEASE")]
    pub release: String,
    /// Odoo's series, such as 18.0; else what the chart says
    #[arg(long, value_name = "SERIES")]
    pub odoo: Option<String>,
}

/// What `template propose` takes.
#[derive(Debug, clap::Args)]
pub struct ProposeArgs {
    /// A packaged chart (.tgz), or a chart's folder
    #[arg(value_name = "CHART")]
    pub chart: PathBuf,
    /// Odoo's series, such as 18.0; else what the chart says
    #[arg(long, value_name = "SERIES")]
    pub odoo: Option<String>,
}

/// A chart, as far as a template speaks of it.
struct Described<'a> {
    chart: &'a str,
    version: &'a str,
    odoo: String,
    namespace: &'a str,
    values: Object,
}

/// `kubectl odoo template from-release`
pub async fn from_release(session: &Session, args: &FromReleaseArgs) -> Result<(), Failure> {
    let record = Known::read(session).await?.record(session, &args.release).await?;
    let mut values = record.chart.values.clone();
    odoofleet_core::values::merge(&mut values, &record.config);
    let guess = guess(&values, None);
    let metadata = &record.chart.metadata;
    let described = Described {
        chart: &metadata.name,
        version: &metadata.version,
        odoo: series(session.language, args.odoo.as_deref(), &[&metadata.app_version, tag(&values)])?,
        namespace: &session.namespace,
        values: common(record.config.clone(), &guess),
    };
    print(session.language, session.format, &described, &guess)
}

/// `kubectl odoo template propose`. It asks no cluster.
pub fn propose(global: &Global, args: &ProposeArgs, language: Language) -> Result<(), Failure> {
    let shown = args.chart.display();
    let failed = |error: &dyn std::fmt::Display| {
        let message =
            say!(language, "chart \"{shown}\" cannot be used: {error}", "无法使用 Chart \"{shown}\"：{error}");
        Failure::new(Exit::Usage, message)
    };
    let archive = archive(&args.chart).map_err(|error| failed(&error))?;
    let chart = chart::read(&archive).map_err(|error| failed(&error))?;
    let Inside { app_version, templates } = chart::inside(&archive).map_err(|error| failed(&error))?;
    let guess = guess(&chart.values, Some(&templates));
    let described = Described {
        chart: &chart.name,
        version: &chart.version,
        odoo: series(language, args.odoo.as_deref(), &[&app_version, tag(&chart.values)])?,
        namespace: global.namespace.as_deref().unwrap_or(NAMESPACE),
        values: Object::new(),
    };
    print(language, global.output, &described, &guess)
}

/// The archive of a chart; of a folder what counts is packed.
fn archive(chart: &Path) -> std::io::Result<Vec<u8>> {
    if !chart.is_dir() {
        return fs::read(chart);
    }
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for file in ["Chart.yaml", "values.yaml", "values.schema.json"] {
        if chart.join(file).is_file() {
            tar.append_path_with_name(chart.join(file), format!("chart/{file}"))?;
        }
    }
    if chart.join("templates").is_dir() {
        tar.append_dir_all("chart/templates", chart.join("templates"))?;
    }
    tar.into_inner()?.finish()
}

fn tag(values: &Object) -> &str {
    let tag = values.get("image").and_then(|image| image.get("tag"));
    tag.and_then(Value::as_str).unwrap_or_default()
}

/// Odoo's series: what was said, or what a version begins with.
fn series(language: Language, said: Option<&str>, versions: &[&str]) -> Result<String, Failure> {
    let of = |version: &str| {
        let (major, rest) = version.split_once('.')?;
        let minor: String = rest.chars().take_while(char::is_ascii_digit).collect();
        let is_number = !major.is_empty() && major.bytes().all(|digit| digit.is_ascii_digit()) && !minor.is_empty();
        is_number.then(|| format!("{major}.{minor}"))
    };
    // Odoo's series end in .0; another version is the chart's own.
    let found = versions.iter().find_map(|version| of(version).filter(|series| series.ends_with(".0")));
    match said {
        Some(said) => of(said).filter(|series| series == said).ok_or_else(|| {
            let message = say!(
                language,
                "--odoo: \"{said}\" is no series such as 18.0",
                "--odoo：\"{said}\" 不是 18.0 这样的版本系列"
            );
            Failure::new(Exit::Usage, message)
        }),
        None => found.ok_or_else(|| {
            let message =
                language.pick("the chart does not say which Odoo it runs", "Chart 没有写明所运行的 Odoo 版本");
            Failure::new(Exit::Usage, message).hint("--odoo 18.0")
        }),
    }
}

/// What all environments can have in common of one's values: not what inputs bring, and no password.
fn common(mut values: Object, guess: &Guess) -> Object {
    let bound = guess.bindings.iter().map(|binding| &binding.to).chain(&guess.secret_paths);
    for path in bound.filter_map(|path| ValuePath::parse(path).ok()) {
        // A list with such a place is the environment's whole.
        path.outermost_list().unwrap_or(path).remove(&mut values);
    }
    for path in leaks(&values) {
        path.outermost_list().unwrap_or(path).remove(&mut values);
    }
    prune(&mut values);
    values
}

fn prune(values: &mut Object) {
    values.retain(|_, value| match value {
        Value::Object(map) => {
            prune(map);
            !map.is_empty()
        }
        _ => true,
    });
}

/// A name that a version of a template may have.
fn version_name(version: &str) -> String {
    let letter =
        |letter: char| if letter.is_ascii_alphanumeric() || letter == '.' { letter.to_ascii_lowercase() } else { '-' };
    let name: String = version.chars().map(letter).take(63).collect();
    name.trim_matches(['-', '.']).to_owned()
}

fn template(described: &Described<'_>, guess: &Guess) -> Result<OdooTemplate, Failure> {
    let Described { chart, version, odoo, namespace, values } = described;
    let object = json!({
        "apiVersion": "odoofleet.dev/v1alpha1",
        "kind": "OdooTemplate",
        "metadata": { "name": chart, "namespace": namespace },
        "spec": {
            "version": version_name(version),
            "chart": { "configMapRef": { "name": format!("{chart}-chart") }, "version": version },
            "odooVersion": odoo,
            "values": values,
            "bindings": guess.bindings,
            "secretPaths": guess.secret_paths,
        },
    });
    serde_json::from_value(object).map_err(|error| Failure::new(Exit::Failed, error.to_string()))
}

fn print(language: Language, format: Format, described: &Described<'_>, guess: &Guess) -> Result<(), Failure> {
    let template = template(described, guess)?;
    // YAML is the form in which people write it.
    output::data(if format == Format::Json { Format::Json } else { Format::Yaml }, &template)?;
    let (chart, namespace) = (described.chart, described.namespace);
    output::remark(&say!(
        language,
        "the chart goes into a ConfigMap: kubectl create configmap {chart}-chart -n {namespace} --from-file=chart.tgz=PACKAGED.tgz",
        "Chart 需放进 ConfigMap：kubectl create configmap {chart}-chart -n {namespace} --from-file=chart.tgz=PACKAGED.tgz"
    ));
    if !guess.unknown.is_empty() {
        let unknown = guess.unknown.join(", ");
        output::remark(&say!(
            language,
            "no place of a known name for: {unknown}; where the chart has one, bind it",
            "没有找到常见名称的位置：{unknown}；如果 Chart 中有，请自行绑定"
        ));
    }
    if !guess.secret_paths.is_empty() {
        output::remark(language.pick(
            "look at secretPaths: the chart must render each of them into a Secret",
            "请检查 secretPaths：Chart 必须把其中每一项渲染进 Secret",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: &Value) -> Object {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn what_environments_have_in_common_holds_neither_inputs_nor_passwords() {
        let given = object(&json!({
            "customer": {"id": "acme"}, "image": {"tag": "18.0-3", "pullPolicy": "Always"}, "api": {"token": "s"},
            "env": [{"name": "A_TOKEN", "value": "s"}], "odoo": {"workers": 4},
            "ingress": {"hosts": [{"host": "x.cn"}]},
        }));
        let guess = guess(&given, None);
        let expected = json!({"image": {"pullPolicy": "Always"}, "odoo": {"workers": 4}});
        assert_eq!(Value::Object(common(given, &guess)), expected);
    }

    #[test]
    fn the_series_is_said_or_read_from_a_version() {
        let of = |said, versions: &[&str]| series(Language::English, said, versions).ok();
        assert_eq!(of(Some("17.0"), &["18.0"]).as_deref(), Some("17.0"));
        assert_eq!(of(None, &["1.2.3", "18.0-20261101"]).as_deref(), Some("18.0"));
        assert_eq!(of(None, &["", "latest"]), None);
        assert_eq!(of(Some("18"), &[]), None);
    }

    #[test]
    fn a_folder_is_as_good_as_an_archive() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../e2e/charts/odooapp");
        let archive = archive(&folder).unwrap();
        let chart = chart::read(&archive).unwrap();
        let inside = chart::inside(&archive).unwrap();
        assert!(inside.templates.contains(".Values"));
        let guess = guess(&chart.values, Some(&inside.templates));
        let described = Described {
            chart: &chart.name,
            version: &chart.version,
            odoo: "18.0".into(),
            namespace: "odoo",
            values: Object::new(),
        };
        let template = template(&described, &guess).unwrap();
        assert_eq!(template.spec.version, version_name(&chart.version));
        assert_eq!(version_name("1.2.3+Build_7"), "1.2.3-build-7");
    }
}
