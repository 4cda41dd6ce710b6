//! The Go modules that are linked into the Helm worker.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow};
use data_encoding::{BASE64, HEXLOWER};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Ecosystem, Part, Program};
use crate::{exec, repo};

/// The worker's module.
const WORKER: &str = "odoofleet.dev/helm-worker";
/// How much of a file must be a known licence, in hundredths. It is pkg.go.dev's measure.
const KNOWN: f64 = 75.0;

/// A package, as `go list` tells it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Package {
    import_path: String,
    dir: PathBuf,
    #[serde(default)]
    imports: Vec<String>,
    module: Option<Module>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Module {
    path: String,
    #[serde(default)]
    version: String,
    dir: PathBuf,
    sum: Option<String>,
    #[serde(default)]
    main: bool,
    replace: Option<Box<Module>>,
}

/// What our `e2e/tools/licenses` tells of a file.
#[derive(Deserialize)]
struct Found {
    file: PathBuf,
    licenses: Vec<String>,
    percent: f64,
}

/// The worker, as it is linked for the image. `version` is ours.
pub fn worker(version: &str) -> Result<Program> {
    let fields = "-json=ImportPath,Dir,Imports,Module";
    let packages: Vec<Package> = stream(&exec::output(go().args(["list", "-deps", fields, "."]))?)?;
    let folders: BTreeSet<&Path> = packages.iter().flat_map(folders).collect();
    let mut files = Vec::new();
    for folder in folders {
        let entries = fs::read_dir(folder).with_context(|| format!("cannot read {:?}", folder.display()))?;
        let named = entries.flatten().map(|entry| entry.path()).filter(|path| is_license(path) && path.is_file());
        files.extend(named.map(|path| path.display().to_string()));
    }
    let mut detect = Command::new("go");
    detect.args(["run", "."]).current_dir(repo::path("e2e/tools/licenses")).env("GOWORK", "off");
    let found = stream(&exec::feed(&mut detect, &files.join("\n"))?)?;
    Ok(program(&packages, &found, &go_version()?, version))
}

/// Path and version of each module, as Go lists them.
pub fn listed() -> Result<BTreeSet<(String, String)>> {
    let form = "{{with .Module}}{{if not .Main}}{{with .Replace}}{{.Path}} {{.Version}}{{else}}{{.Path}} {{.Version}}{{end}}{{end}}{{end}}";
    let list = exec::output(go().args(["list", "-deps", "-f", form, "."]))?;
    let pair = |line: &str| line.split_once(' ').map(|(path, version)| (path.to_owned(), version.to_owned()));
    let mut modules: BTreeSet<_> = list
        .lines()
        .map(|line| pair(line).ok_or_else(|| anyhow!("go list printed {line:?}")))
        .collect::<Result<_>>()?;
    let standard = standard_library(&go_version()?);
    modules.insert((standard.name, standard.version));
    Ok(modules)
}

fn go_version() -> Result<String> {
    let version = exec::output(go().args(["env", "GOVERSION"]))?;
    Ok(version.trim().trim_start_matches("go").to_owned())
}

fn go() -> Command {
    let mut command = Command::new("go");
    command.current_dir(repo::path("crates/helm/worker")).env("GOWORK", "off");
    command.envs([("GOOS", "linux"), ("GOARCH", "amd64"), ("CGO_ENABLED", "0")]);
    command
}

/// Where the licence of a package may lie: in its folder, and in those above it up to its module's.
fn folders(package: &Package) -> Vec<&Path> {
    let Some(module) = package.module.as_ref().filter(|module| !module.main).map(Module::real) else { return vec![] };
    package.dir.ancestors().take_while(|folder| folder.starts_with(&module.dir)).collect()
}

/// Whether a file is named like a licence. What Go compiles is none, even if it is about licences.
fn is_license(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let known = ["license", "licence", "licenses", "licences", "unlicense", "copying"];
    let mut rests = known.iter().filter_map(|known| name.strip_prefix(known));
    let named = rests.any(|rest| rest.is_empty() || rest.starts_with(['-', '.', '_']));
    named && file.extension().is_none_or(|end| end != "go")
}

impl Module {
    /// The one that is used.
    fn real(&self) -> &Self {
        self.replace.as_deref().unwrap_or(self)
    }

    fn part(&self, licenses: &[&Found]) -> Part {
        let sum = self.sum.as_ref().and_then(|sum| BASE64.decode(sum.strip_prefix("h1:")?.as_bytes()).ok());
        Part {
            ecosystem: Ecosystem::Go,
            name: self.path.clone(),
            version: self.version.clone(),
            license: expression(licenses),
            sha256: sum.map(|sum| HEXLOWER.encode(&sum)),
            ours: false,
        }
    }
}

fn program(packages: &[Package], found: &[Found], go_version: &str, version: &str) -> Program {
    let root = part_of_ours(version);
    let standard = standard_library(go_version);
    let mut licenses = BTreeMap::<&Path, Vec<&Found>>::new();
    for one in found {
        licenses.entry(one.file.parent().unwrap_or(&one.file)).or_default().push(one);
    }
    let mut modules = BTreeMap::<&Path, (&Module, BTreeSet<&Path>)>::new();
    let mut purls = BTreeMap::<&str, String>::new();
    for package in packages {
        let Some(module) = package.module.as_ref() else {
            purls.insert(&package.import_path, standard.purl());
            continue;
        };
        if module.main {
            purls.insert(&package.import_path, root.purl());
            continue;
        }
        let entry = modules.entry(&module.real().dir).or_insert_with(|| (module.real(), BTreeSet::new()));
        entry.1.extend(folders(package));
        purls.insert(&package.import_path, module.real().part(&[]).purl());
    }
    let of_module = |(module, folders): (&Module, BTreeSet<&Path>)| {
        let files = folders.iter().filter_map(|folder| licenses.get(folder)).flatten().copied();
        module.part(&files.collect::<Vec<_>>())
    };
    let mut parts: Vec<Part> = modules.into_values().map(of_module).collect();
    parts.push(standard);
    parts.sort_by_cached_key(Part::purl);
    let mut uses = BTreeMap::<String, BTreeSet<String>>::new();
    // The standard library brings copies of modules, under the names of these modules.
    for package in packages.iter().filter(|package| package.module.is_some()) {
        let importer = &purls[package.import_path.as_str()];
        let wanted = package.imports.iter().filter_map(|path| purls.get(path.as_str()));
        uses.entry(importer.clone()).or_default().extend(wanted.filter(|purl| *purl != importer).cloned());
    }
    Program { root, parts, uses }
}

fn part_of_ours(version: &str) -> Part {
    Part {
        ecosystem: Ecosystem::Go,
        name: WORKER.to_owned(),
        version: format!("v{version}"),
        license: Some(env!("CARGO_PKG_LICENSE").to_owned()),
        sha256: None,
        ours: true,
    }
}

/// Go's own packages, under the name by which databases of vulnerabilities know them.
fn standard_library(version: &str) -> Part {
    Part {
        ecosystem: Ecosystem::Go,
        name: "stdlib".to_owned(),
        version: version.to_owned(),
        license: Some("BSD-3-Clause".to_owned()),
        sha256: None,
        ours: false,
    }
}

/// All licences that stand in these files. None if one file is not understood: nobody knows what it asks for.
fn expression(files: &[&Found]) -> Option<String> {
    if files.iter().any(|file| file.percent < KNOWN || file.licenses.is_empty()) {
        return None;
    }
    let licenses: BTreeSet<&str> = files.iter().flat_map(|file| &file.licenses).map(String::as_str).collect();
    (!licenses.is_empty()).then(|| licenses.into_iter().collect::<Vec<_>>().join(" AND "))
}

/// Reads JSON values that follow each other.
fn stream<T: DeserializeOwned>(text: &str) -> Result<Vec<T>> {
    serde_json::Deserializer::from_str(text).into_iter().collect::<Result<_, _>>().context("go printed no JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = r#"{"ImportPath": "fmt", "Dir": "/go/src/fmt", "Imports": ["b.org/b"]}
        {"ImportPath": "a.org/a/deep/x", "Dir": "/mod/a@v1/deep/x", "Imports": ["fmt", "b.org/b"],
         "Module": {"Path": "a.org/a", "Version": "v1.0.0", "Dir": "/mod/a@v1", "Sum": "h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}}
        {"ImportPath": "b.org/b", "Dir": "/mod/fork@v3",
         "Module": {"Path": "b.org/b", "Version": "v2.0.0", "Dir": "/mod/fork@v3",
                    "Replace": {"Path": "c.org/fork", "Version": "v3.0.0", "Dir": "/mod/fork@v3"}}}
        {"ImportPath": "odoofleet.dev/helm-worker", "Dir": "/work/worker", "Imports": ["fmt", "a.org/a/deep/x"],
         "Module": {"Path": "odoofleet.dev/helm-worker", "Main": true, "Dir": "/work/worker"}}"#;

    fn packages() -> Vec<Package> {
        stream(LIST).unwrap()
    }

    fn found(folder: &str, licenses: &[&str], percent: f64) -> Found {
        let licenses = licenses.iter().map(|&id| id.to_owned()).collect();
        Found { file: Path::new(folder).join("LICENSE"), licenses, percent }
    }

    fn license_of_a(files: &[Found]) -> Option<String> {
        let program = program(&packages(), files, "1.26.8", "0.1.0");
        program.parts.into_iter().find(|part| part.name == "a.org/a").unwrap().license
    }

    #[test]
    fn the_worker_is_made_of_the_modules_of_its_packages_and_of_go() {
        let program = program(&packages(), &[], "1.26.8", "0.1.0");
        let titles: Vec<String> = program.parts.iter().map(Part::title).collect();
        assert_eq!(titles, ["a.org/a v1.0.0", "c.org/fork v3.0.0", "stdlib 1.26.8"]);
        assert_eq!(program.root.title(), "odoofleet.dev/helm-worker v0.1.0");
        assert_eq!(program.parts[0].sha256, Some("00".repeat(32)));
    }

    #[test]
    fn imports_say_which_module_uses_which() {
        let program = program(&packages(), &[], "1.26.8", "0.1.0");
        let used = |user: &str| program.uses.get(user).map(|used| used.iter().map(String::as_str).collect::<Vec<_>>());
        let (standard, fork) = ("pkg:golang/stdlib@1.26.8", "pkg:golang/c.org/fork@v3.0.0");
        assert_eq!(used("pkg:golang/a.org/a@v1.0.0"), Some(vec![fork, standard]));
        assert_eq!(used(&program.root.purl()), Some(vec!["pkg:golang/a.org/a@v1.0.0", standard]));
        assert_eq!(used(standard), None, "its copies of modules are not these modules");
    }

    #[test]
    fn licences_are_known_by_their_names() {
        let names =
            ["LICENSE", "LICENSE.MIT", "license-apache.txt", "COPYING.md", "UNLICENSE", "Licence", "LICENSE_BSD"];
        assert!(names.iter().all(|name| is_license(&Path::new("/mod/a@v1").join(name))));
        let others = ["license.go", "licensee", "PATENTS", "NOTICE", "README.md", "copyingrules"];
        assert!(!others.iter().any(|name| is_license(&Path::new("/mod/a@v1").join(name))));
    }

    #[test]
    fn licences_of_a_package_s_folder_and_of_those_above_count() {
        let packages = packages();
        let looked: Vec<&Path> = packages.iter().flat_map(folders).collect();
        assert_eq!(looked, ["/mod/a@v1/deep/x", "/mod/a@v1/deep", "/mod/a@v1", "/mod/fork@v3"].map(Path::new));
        let files = [
            found("/mod/a@v1", &["MIT"], 98.0),
            found("/mod/a@v1/deep/x", &["BSD-3-Clause", "MIT"], 100.0),
            found("/mod/a@v1/elsewhere", &["GPL-3.0"], 100.0),
        ];
        assert_eq!(license_of_a(&files).as_deref(), Some("BSD-3-Clause AND MIT"));
    }

    #[test]
    fn a_licence_that_is_not_understood_is_none() {
        assert_eq!(license_of_a(&[]), None);
        let known = || found("/mod/a@v1", &["MIT"], 98.0);
        assert_eq!(license_of_a(&[known(), found("/mod/a@v1/deep", &["Apache-2.0"], 60.0)]), None);
        assert_eq!(license_of_a(&[known(), found("/mod/a@v1/deep", &[], 0.0)]), None);
        assert_eq!(license_of_a(&[known()]).as_deref(), Some("MIT"));
    }
}
