//! Whether today's kinds still take what the last release stored: `crds/` beside `e2e/kinds/released/`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

mod fields;
mod kind;
mod schema;

/// Today's kinds.
const TODAY: &str = "crds";
/// Objects with every field of them.
const OBJECTS: &str = "e2e/kinds/objects";
/// Both of the last release, in one folder named after its version.
const RELEASED: &str = "e2e/kinds/released";
/// Changes that break and are meant to, each with its reason.
const ACCEPTED: &str = "e2e/kinds/accepted.toml";

/// A change that breaks and is meant to.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Accepted {
    change: String,
    reason: String,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct List {
    accepted: Vec<Accepted>,
}

/// Kinds, and objects that set every field of them.
struct Kinds {
    kinds: BTreeMap<String, Value>,
    objects: Vec<Value>,
}

impl Kinds {
    fn read(kinds: &Path, objects: &Path) -> Result<Self> {
        let kinds = documents(kinds)?.into_iter().map(|(file, kind)| match kind["metadata"]["name"].as_str() {
            Some(name) => Ok((name.to_owned(), kind)),
            None => bail!("{file:?} holds an object without a name"),
        });
        let objects = documents(objects)?.into_iter().map(|(_, object)| object).collect();
        Ok(Self { kinds: kinds.collect::<Result<_>>()?, objects })
    }

    fn today(root: &Path) -> Result<Self> {
        Self::read(&root.join(TODAY), &root.join(OBJECTS))
    }

    fn released(folder: &Path) -> Result<Self> {
        Self::read(folder, &folder.join("objects"))
    }

    /// Fields that no object sets, so that no test would miss them.
    fn unset(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for (name, kind) in &self.kinds {
            let of_kind = |object: &&Value| object["kind"] == kind["spec"]["names"]["kind"];
            let objects: Vec<&Value> = self.objects.iter().filter(of_kind).collect();
            let schema = &kind["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
            missing.extend(fields::unset(schema, &objects).into_iter().map(|field| format!("{name}: {field}")));
        }
        missing
    }
}

/// Fails with every change since the last release that breaks what is stored, and with fields that no object sets.
pub fn check(root: &Path) -> Result<()> {
    let (version, folder) = released(root)?;
    let (former, today) = (Kinds::released(&folder)?, Kinds::today(root)?);
    for (kinds, place) in [(&former, folder.join("objects")), (&today, PathBuf::from(OBJECTS))] {
        let missing = kinds.unset();
        if !missing.is_empty() {
            bail!("no object in {:?} sets these fields; add them there:\n  {}", place.display(), missing.join("\n  "));
        }
    }
    let accepted = fs::read_to_string(root.join(ACCEPTED)).with_context(|| format!("cannot read {ACCEPTED}"))?;
    let accepted: List = toml::from_str(&accepted).with_context(|| format!("{ACCEPTED} cannot be read"))?;
    let problems = judge(&changes(&former.kinds, &today.kinds), &accepted.accepted);
    if !problems.is_empty() {
        bail!("the kinds break what {version} stored; see e2e/kinds/README.md:\n  {}", problems.join("\n  "));
    }
    println!("{} kinds take what {version} stored", today.kinds.len());
    Ok(())
}

/// Keeps today's kinds and objects as those of `version`, in the place of the release before.
pub fn keep(root: &Path, version: &str) -> Result<()> {
    let (_, old) = released(root)?;
    let new = root.join(RELEASED).join(version);
    fs::remove_dir_all(&old).with_context(|| format!("cannot remove {:?}", old.display()))?;
    for (from, to) in [(root.join(TODAY), new.clone()), (root.join(OBJECTS), new.join("objects"))] {
        fs::create_dir_all(&to).with_context(|| format!("cannot create {:?}", to.display()))?;
        for file in files(&from)? {
            let name = file.file_name().unwrap_or_default();
            fs::copy(&file, to.join(name)).with_context(|| format!("cannot copy {:?}", file.display()))?;
        }
    }
    fs::write(root.join(ACCEPTED), "").with_context(|| format!("cannot write {ACCEPTED}"))
}

/// The version of the last release and its folder.
fn released(root: &Path) -> Result<(String, PathBuf)> {
    let entries = fs::read_dir(root.join(RELEASED)).with_context(|| format!("cannot read {RELEASED}"))?;
    let mut folders: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    let Some(folder) = folders.pop().filter(|_| folders.is_empty()) else {
        bail!("{RELEASED:?} must hold one folder, that of the last release");
    };
    Ok((folder.file_name().unwrap_or_default().to_string_lossy().into_owned(), folder))
}

fn changes(former: &BTreeMap<String, Value>, today: &BTreeMap<String, Value>) -> Vec<String> {
    let of = |(name, before): (&String, &Value)| match today.get(name) {
        Some(now) => kind::breaking(before, now).into_iter().map(|change| format!("{name}: {change}")).collect(),
        None => vec![format!("{name}: the kind is gone")],
    };
    former.iter().flat_map(of).collect()
}

/// Changes that nobody accepted, and entries of the list that are of no use.
fn judge(changes: &[String], accepted: &[Accepted]) -> Vec<String> {
    let unknown = changes.iter().filter(|change| accepted.iter().all(|entry| entry.change != **change)).cloned();
    let useless = accepted.iter().filter_map(|entry| {
        if !changes.contains(&entry.change) {
            return Some(format!("{ACCEPTED} accepts what has not changed; remove it: {}", entry.change));
        }
        entry.reason.trim().is_empty().then(|| format!("{ACCEPTED} gives no reason for: {}", entry.change))
    });
    unknown.chain(useless).collect()
}

/// Every document of the YAML files in a folder, with the file's name.
fn documents(folder: &Path) -> Result<Vec<(String, Value)>> {
    let mut all = Vec::new();
    for file in files(folder)? {
        let name = file.display().to_string();
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {name:?}"))?;
        let objects: Vec<Value> =
            serde_saphyr::from_multiple(&text).with_context(|| format!("cannot read {name:?}"))?;
        all.extend(objects.into_iter().map(|object| (name.clone(), object)));
    }
    Ok(all)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {:?}", folder.display()))?;
    let paths = entries.flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|end| end == "yaml")).collect();
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use odoofleet_api::{OdooCustomer, OdooEnvironment, OdooTemplate};
    use serde_json::json;

    use super::*;
    use crate::repo;

    #[test]
    fn changes_that_break_are_accepted_by_their_words_and_with_a_reason() {
        let entry = |change: &str, reason: &str| Accepted { change: change.to_owned(), reason: reason.to_owned() };
        let changes = ["a: b is gone".to_owned()];
        assert_eq!(judge(&changes, &[]), ["a: b is gone"]);
        assert_eq!(judge(&changes, &[entry("a: b is gone", "nobody used it")]), [""; 0]);
        assert!(judge(&changes, &[entry("a: b is gone", " ")])[0].contains("gives no reason"));
        assert!(judge(&[], &[entry("a: b is gone", "x")])[0].contains("what has not changed"));
    }

    #[test]
    fn a_kind_that_is_gone_is_named() {
        let kinds = BTreeMap::from([("things.example.org".to_owned(), json!({}))]);
        assert_eq!(changes(&kinds, &BTreeMap::new()), ["things.example.org: the kind is gone"]);
        assert_eq!(changes(&BTreeMap::new(), &kinds), [""; 0]);
    }

    #[test]
    fn a_release_takes_the_place_of_the_one_before() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        for folder in [TODAY, OBJECTS, "e2e/kinds/released/0.1.0/objects"] {
            fs::create_dir_all(path(folder)).unwrap();
        }
        for (file, text) in [
            ("crds/a.yaml", "a: new"),
            ("e2e/kinds/objects/o.yaml", "o: new"),
            ("e2e/kinds/released/0.1.0/a.yaml", "a: old"),
            ("e2e/kinds/released/0.1.0/gone.yaml", "a: old"),
            (ACCEPTED, "[[accepted]]\nchange = \"x\"\nreason = \"y\"\n"),
        ] {
            fs::write(path(file), text).unwrap();
        }
        keep(root.path(), "0.2.0").unwrap();
        assert_eq!(released(root.path()).unwrap().0, "0.2.0");
        assert_eq!(files(&path("e2e/kinds/released/0.2.0")).unwrap(), [path("e2e/kinds/released/0.2.0/a.yaml")]);
        assert_eq!(fs::read_to_string(path("e2e/kinds/released/0.2.0/objects/o.yaml")).unwrap(), "o: new");
        assert_eq!(fs::read_to_string(path(ACCEPTED)).unwrap(), "");
    }

    /// The operator's own types are a second reader beside the API server.
    #[test]
    fn the_operator_reads_what_the_last_release_stored_and_loses_nothing() {
        fn again<K: serde::de::DeserializeOwned + serde::Serialize>(object: &Value) -> Value {
            let typed: K = serde_json::from_value(object.clone()).unwrap_or_else(|error| panic!("{error}: {object}"));
            serde_json::to_value(typed).unwrap()
        }
        let (_, folder) = released(&repo::root()).unwrap();
        for object in
            [Kinds::released(&folder), Kinds::today(&repo::root())].into_iter().flat_map(|kinds| kinds.unwrap().objects)
        {
            let read = match object["kind"].as_str().unwrap() {
                "OdooCustomer" => again::<OdooCustomer>(&object),
                "OdooEnvironment" => again::<OdooEnvironment>(&object),
                "OdooTemplate" => again::<OdooTemplate>(&object),
                other => panic!("{other}"),
            };
            assert_eq!(lost("", &object, &read), [""; 0], "{}", object["metadata"]["name"]);
        }
    }

    /// Fields of `before` that `after` lacks or has otherwise.
    fn lost(path: &str, before: &Value, after: &Value) -> Vec<String> {
        match (before, after) {
            (Value::Object(before), Value::Object(after)) => before
                .iter()
                .flat_map(|(key, value)| lost(&format!("{path}.{key}"), value, after.get(key).unwrap_or(&Value::Null)))
                .collect(),
            (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
                before.iter().zip(after).flat_map(|(before, after)| lost(&format!("{path}[]"), before, after)).collect()
            }
            _ if before == after => Vec::new(),
            _ => vec![format!("{path}: {before} {after}")],
        }
    }
}
