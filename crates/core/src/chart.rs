//! Reading a packaged chart: what the operator must know of it, with bounds on what an archive can make us do.

use std::collections::BTreeMap;
use std::io::Read;

use flate2::read::GzDecoder;
use odoofleet_api::Object;
use serde::Deserialize;
use serde_json::Value;

use crate::values::{Schema, ValuePath};

/// Largest archive that is kept: a ConfigMap holds 1 MiB, base64 and metadata included.
pub const MAX_ARCHIVE: usize = 700 * 1024;
/// Most that an archive may expand to.
const MAX_EXPANDED: u64 = 16 * 1024 * 1024;

/// What the operator knows of a chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Default values.
    pub values: Object,
    /// `values.schema.json`, if there is one.
    pub schema: Option<Value>,
    /// Paths that Secrets may feed, by the chart's own word ([`SECRET_PATHS`]).
    pub secret_paths: Vec<ValuePath>,
    /// Paths that no environment may set, by the chart's own word ([`LOCKED_PATHS`]).
    pub locked_paths: Vec<ValuePath>,
    /// Paths with which the application's pods begin, beside those of inputs, by the chart's own word ([`CHECK_PATHS`]).
    pub check_paths: Vec<ValuePath>,
    /// Whether the chart brings other charts. Their defaults are merged by Helm alone.
    pub has_dependencies: bool,
}

/// Why an archive is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChartError {
    /// Too large to keep.
    #[error(
        "the chart's archive has {0} bytes; at most {MAX_ARCHIVE} are allowed: leave images, documents and tests out with .helmignore"
    )]
    TooLarge(usize),
    /// A bomb, or a chart that carries data.
    #[error("the chart expands to more than {MAX_EXPANDED} bytes")]
    ExpandsTooFar,
    /// Not a gzipped tar.
    #[error("the chart's archive cannot be read: {0}")]
    Unreadable(String),
    /// A file that must be there is not.
    #[error("the archive holds no Chart.yaml in its top folder")]
    NoMetadata,
    /// A file that is not what it should be.
    #[error("{file} of the chart is malformed: {problem}")]
    Malformed {
        /// The file.
        file: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// CRDs change the whole cluster.
    #[error(
        "the chart brings CRDs (folder crds/), which are never installed from a template: install them by hand and remove the folder"
    )]
    HasCrds,
}

/// Annotation in `Chart.yaml`: value paths, joined by commas, whose content the chart renders into Secrets alone.
pub const SECRET_PATHS: &str = "odoofleet.dev/secret-paths";
/// Annotation in `Chart.yaml`: value paths, joined by commas, that are the template's to set and no environment's.
pub const LOCKED_PATHS: &str = "odoofleet.dev/locked-paths";

/// Annotation in `Chart.yaml`: value paths, joined by commas, whose change the chart's check pod tries before it replaces what runs.
pub const CHECK_PATHS: &str = "odoofleet.dev/check-paths";

/// Key of the ConfigMap under which an archive is kept.
pub const ARCHIVE_KEY: &str = "chart.tgz";

/// Name of the ConfigMap that keeps an archive of this sha256.
pub fn archive_name(digest: &str) -> String {
    format!("odoofleet-chart-{}", digest.chars().take(32).collect::<String>())
}

impl Chart {
    /// The chart's own schema, compiled. Other charts' defaults and schemas are merged by Helm alone, so with them only Helm can judge.
    pub fn own_schema(&self) -> Option<Schema> {
        if self.has_dependencies {
            return None;
        }
        self.schema.as_ref().and_then(|schema| Schema::compile(schema).ok())
    }
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    version: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

impl Metadata {
    fn paths(&self, annotation: &'static str) -> Result<Vec<ValuePath>, ChartError> {
        let text = self.annotations.get(annotation).map_or("", String::as_str);
        let paths = text.split(',').map(str::trim).filter(|path| !path.is_empty()).map(ValuePath::parse);
        paths.collect::<Result<_, _>>().map_err(|error| ChartError::Malformed {
            file: "Chart.yaml",
            problem: format!("annotation {annotation}: {error}"),
        })
    }
}

/// Reads an archive.
pub fn read(archive: &[u8]) -> Result<Chart, ChartError> {
    if archive.len() > MAX_ARCHIVE {
        return Err(ChartError::TooLarge(archive.len()));
    }
    let files = Files::collect(archive)?;
    let metadata = files.metadata.ok_or(ChartError::NoMetadata)?;
    let malformed = |file| move |problem: String| ChartError::Malformed { file, problem };
    let metadata: Metadata = serde_saphyr::from_str(&metadata).map_err(|e| malformed("Chart.yaml")(e.to_string()))?;
    let values: Option<Object> = match files.values {
        Some(text) => serde_saphyr::from_str(&text).map_err(|e| malformed("values.yaml")(e.to_string()))?,
        None => None,
    };
    let schema = files.schema.map(|text| serde_json::from_str(&text)).transpose();
    Ok(Chart {
        secret_paths: metadata.paths(SECRET_PATHS)?,
        locked_paths: metadata.paths(LOCKED_PATHS)?,
        check_paths: metadata.paths(CHECK_PATHS)?,
        name: metadata.name,
        version: metadata.version,
        values: values.unwrap_or_default(),
        schema: schema.map_err(|e| malformed("values.schema.json")(e.to_string()))?,
        has_dependencies: files.has_dependencies,
    })
}

/// What a person who writes a template wants to know beside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inside {
    /// Version of the application.
    pub app_version: String,
    /// The templates' text.
    pub templates: String,
}

/// Reads what [`read`] leaves out. The archive is one that it has read.
pub fn inside(archive: &[u8]) -> Result<Inside, ChartError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Application {
        #[serde(default)]
        app_version: Option<String>,
    }
    let unreadable = |error: std::io::Error| ChartError::Unreadable(error.to_string());
    let mut inside = Inside::default();
    let mut tar = tar::Archive::new(GzDecoder::new(archive).take(MAX_EXPANDED));
    for entry in tar.entries().map_err(unreadable)? {
        let mut entry = entry.map_err(unreadable)?;
        let path = entry.path().map_err(unreadable)?.to_string_lossy().into_owned();
        let Some((_, inner)) = path.trim_start_matches("./").split_once('/') else { continue };
        let mut bytes = Vec::new();
        if inner == "Chart.yaml" {
            entry.read_to_end(&mut bytes).map_err(unreadable)?;
            let known: Option<Application> = serde_saphyr::from_str(&String::from_utf8_lossy(&bytes)).ok();
            inside.app_version = known.and_then(|known| known.app_version).unwrap_or_default();
        } else if inner.starts_with("templates/") {
            entry.read_to_end(&mut bytes).map_err(unreadable)?;
            inside.templates.push_str(&String::from_utf8_lossy(&bytes));
            inside.templates.push('\n');
        }
    }
    Ok(inside)
}

#[derive(Default)]
struct Files {
    metadata: Option<String>,
    values: Option<String>,
    schema: Option<String>,
    has_dependencies: bool,
}

impl Files {
    fn collect(archive: &[u8]) -> Result<Self, ChartError> {
        let unreadable = |error: std::io::Error| ChartError::Unreadable(error.to_string());
        // One byte more than allowed tells a chart of exactly the limit from one beyond it.
        let mut bounded = GzDecoder::new(archive).take(MAX_EXPANDED + 1);
        let mut expanded = Vec::new();
        bounded.read_to_end(&mut expanded).map_err(unreadable)?;
        if expanded.len() as u64 > MAX_EXPANDED {
            return Err(ChartError::ExpandsTooFar);
        }
        let mut files = Self::default();
        let mut tar = tar::Archive::new(expanded.as_slice());
        for entry in tar.entries().map_err(unreadable)? {
            let mut entry = entry.map_err(unreadable)?;
            let path = entry.path().map_err(unreadable)?.to_string_lossy().into_owned();
            let Some((_, inner)) = path.trim_start_matches("./").split_once('/') else { continue };
            let slot = match inner {
                "Chart.yaml" => &mut files.metadata,
                "values.yaml" => &mut files.values,
                "values.schema.json" => &mut files.schema,
                _ if inner.starts_with("charts/") => {
                    files.has_dependencies = true;
                    continue;
                }
                _ if inner.starts_with("crds/") && !inner.ends_with('/') => return Err(ChartError::HasCrds),
                _ => continue,
            };
            let mut text = String::new();
            entry.read_to_string(&mut text).map_err(unreadable)?;
            *slot = Some(text);
        }
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};

    fn archive(files: &[(&str, &str)]) -> Vec<u8> {
        let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::best()));
        for (path, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, path, content.as_bytes()).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap()
    }

    const METADATA: (&str, &str) = ("odoo/Chart.yaml", "apiVersion: v2\nname: odoo\nversion: 1.2.3\n");

    #[test]
    fn a_chart_is_read() {
        let chart = read(&archive(&[
            METADATA,
            ("odoo/values.yaml", "a: {b: 1}\n"),
            ("odoo/values.schema.json", "{\"type\":\"object\"}"),
        ]))
        .unwrap();
        assert_eq!((chart.name.as_str(), chart.version.as_str(), chart.has_dependencies), ("odoo", "1.2.3", false));
        assert_eq!(chart.values["a"]["b"], 1);
        assert_eq!(chart.schema.unwrap()["type"], "object");
    }

    #[test]
    fn templates_are_read_for_people() {
        let archive = archive(&[
            ("odoo/Chart.yaml", "apiVersion: v2\nname: odoo\nversion: 1.2.3\nappVersion: \"18.0\"\n"),
            ("odoo/templates/web.yaml", "{{ .Values.a }}"),
            ("odoo/values.yaml", "b: 1"),
        ]);
        let expected = Inside { app_version: "18.0".into(), templates: "{{ .Values.a }}\n".into() };
        assert_eq!(inside(&archive), Ok(expected));
    }

    #[test]
    fn a_bomb_is_refused_before_it_unfolds() {
        let zeros = "0".repeat(20 * 1024 * 1024);
        assert_eq!(read(&archive(&[METADATA, ("odoo/values.yaml", &zeros)])), Err(ChartError::ExpandsTooFar));
        let laughs = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: [*f,*f,*f,*f,*f,*f,*f,*f,*f]\n";
        assert!(matches!(
            read(&archive(&[METADATA, ("odoo/values.yaml", laughs)])),
            Err(ChartError::Malformed { file: "values.yaml", .. })
        ));
    }

    #[test]
    fn what_is_not_a_chart_is_refused() {
        assert!(matches!(read(b"not gzip"), Err(ChartError::Unreadable(_))));
        assert_eq!(read(&archive(&[("odoo/values.yaml", "{}")])), Err(ChartError::NoMetadata));
        assert_eq!(read(&archive(&[METADATA, ("odoo/crds/x.yaml", "{}")])), Err(ChartError::HasCrds));
        assert_eq!(read(&vec![0; MAX_ARCHIVE + 1]), Err(ChartError::TooLarge(MAX_ARCHIVE + 1)));
    }
}
