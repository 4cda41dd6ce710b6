//! Bills of materials: what a program is made of, as CycloneDX JSON.

use std::collections::BTreeSet;

use anyhow::{Context, Result, anyhow, bail};
use cyclonedx_bom::models::component::Classification;
use cyclonedx_bom::models::dependency::{Dependencies, Dependency};
use cyclonedx_bom::models::hash::{Hash, HashAlgorithm, HashValue, Hashes};
use cyclonedx_bom::models::license::{License, LicenseChoice, Licenses};
use cyclonedx_bom::prelude::*;

use super::{Part, Program};

const VERSION: SpecVersion = SpecVersion::V1_5;

/// The bill of a program. It has neither a number nor a time: of the same commit it is the same, byte by byte.
pub fn write(program: &Program) -> Result<String> {
    let metadata =
        Metadata { component: Some(component(&program.root, Classification::Application)), ..Metadata::default() };
    let parts = program.parts.iter().map(|part| component(part, Classification::Library));
    let dependencies = std::iter::once(&program.root).chain(&program.parts).map(|part| {
        let purl = part.purl();
        let used = program.uses.get(&purl).into_iter().flatten().cloned().collect();
        Dependency { dependency_ref: purl, dependencies: used }
    });
    let bom = Bom {
        serial_number: None,
        metadata: Some(metadata),
        components: Some(Components(parts.collect())),
        dependencies: Some(Dependencies(dependencies.collect())),
        spec_version: VERSION,
        ..Bom::default()
    };
    let mut json = Vec::new();
    bom.output_as_json(&mut json, VERSION).context("the bill of materials cannot be written")?;
    json.push(b'\n');
    String::from_utf8(json).context("the bill of materials is no text")
}

fn component(part: &Part, kind: Classification) -> Component {
    let purl = part.purl();
    let mut component = Component::new(kind, &part.name, &part.version, Some(purl.clone()));
    component.purl = purl.parse().ok();
    component.licenses = part.license.as_deref().map(|license| Licenses(vec![choice(license)]));
    component.hashes = part
        .sha256
        .as_ref()
        .map(|sum| Hashes(vec![Hash { alg: HashAlgorithm::SHA_256, content: HashValue(sum.clone()) }]));
    component
}

/// One licence by its identifier, several as an expression.
fn choice(license: &str) -> LicenseChoice {
    match spdx::license_id(license) {
        Some(id) => LicenseChoice::License(License::license_id(id.name)),
        None => LicenseChoice::expression(license),
    }
}

/// Fails unless a bill is one, has exactly the parts that are `listed`, and says version, licence and package URL of each.
/// Returns how many there are.
pub fn verify(text: &str, listed: &BTreeSet<(String, String)>) -> Result<usize> {
    let bom = Bom::parse_from_json(text.as_bytes()).context("the bill of materials cannot be read")?;
    let valid = bom.validate_version(VERSION);
    if valid.has_errors() {
        bail!("the bill of materials is no CycloneDX {VERSION}: {:?}", valid.errors().collect::<Vec<_>>());
    }
    let components = bom.components.map(|components| components.0).unwrap_or_default();
    let pair = |component: &Component| {
        let version = component.version.as_ref().map(ToString::to_string);
        (component.name.to_string(), version.unwrap_or_default())
    };
    let root = bom.metadata.and_then(|metadata| metadata.component);
    let root = root.ok_or_else(|| anyhow!("the bill of materials does not say whose it is"))?;
    let told: BTreeSet<(String, String)> = components.iter().chain([&root]).map(pair).collect();
    let name = |(name, version): &(String, String)| format!("{name} {version}");
    let mut problems: Vec<String> =
        listed.difference(&told).map(|part| format!("{:?} is not in it", name(part))).collect();
    let root = pair(&root);
    let foreign = told.difference(listed).filter(|part| **part != root);
    problems.extend(foreign.map(|part| format!("{:?} is in it, and not in the program", name(part))));
    for component in &components {
        let whole = component.version.is_some() && component.licenses.is_some() && component.purl.is_some();
        if !whole {
            problems.push(format!("{:?} lacks version, licence or package URL", name(&pair(component))));
        }
    }
    if problems.is_empty() {
        Ok(components.len())
    } else {
        bail!("the bill of materials is wrong:\n{}", problems.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::Ecosystem::Cargo;
    use super::super::tests::part;
    use super::*;

    fn program() -> Program {
        let root = Part { ours: true, ..part(Cargo, "odoofleet", "0.1.0", Some("Apache-2.0")) };
        let mut bytes = part(Cargo, "bytes", "1.12.2", Some("MIT"));
        bytes.sha256 = Some("ab".repeat(32));
        let toml = part(Cargo, "toml", "1.2.2+spec-1.1.0", Some("MIT OR Apache-2.0"));
        let uses = [(root.purl(), [bytes.purl(), toml.purl()].into())].into();
        Program { root, parts: vec![bytes, toml], uses }
    }

    fn listed(parts: &[(&str, &str)]) -> BTreeSet<(String, String)> {
        parts.iter().map(|(name, version)| ((*name).to_owned(), (*version).to_owned())).collect()
    }

    const ALL: [(&str, &str); 3] = [("odoofleet", "0.1.0"), ("bytes", "1.12.2"), ("toml", "1.2.2+spec-1.1.0")];

    #[test]
    fn a_bill_says_what_there_is_under_which_licence_and_who_uses_it() {
        let bill: Value = serde_json::from_str(&write(&program()).unwrap()).unwrap();
        assert_eq!((&bill["bomFormat"], &bill["specVersion"]), (&"CycloneDX".into(), &"1.5".into()));
        assert_eq!(bill["metadata"]["component"]["name"], "odoofleet");
        let bytes = &bill["components"][0];
        assert_eq!(bytes["purl"], "pkg:cargo/bytes@1.12.2");
        assert_eq!(bytes["licenses"][0]["license"]["id"], "MIT");
        assert_eq!(bytes["hashes"][0]["content"], "ab".repeat(32));
        assert_eq!(bill["components"][1]["licenses"][0]["expression"], "MIT OR Apache-2.0");
        let uses = serde_json::json!(["pkg:cargo/bytes@1.12.2", "pkg:cargo/toml@1.2.2%2Bspec-1.1.0"]);
        assert_eq!(bill["dependencies"][0]["dependsOn"], uses);
    }

    #[test]
    fn a_bill_is_the_same_each_time() {
        let bill = write(&program()).unwrap();
        assert_eq!(bill, write(&program()).unwrap());
        assert!(!bill.contains("timestamp") && !bill.contains("serialNumber"), "{bill}");
    }

    #[test]
    fn a_bill_with_all_parts_stands() {
        assert_eq!(verify(&write(&program()).unwrap(), &listed(&ALL)).unwrap(), 2);
    }

    #[test]
    fn a_part_that_is_missing_or_foreign_is_named() {
        let bill = write(&program()).unwrap();
        let more = listed(&[&ALL[..], &[("bytes", "0.9.0")]].concat());
        let error = verify(&bill, &more).unwrap_err().to_string();
        assert!(error.ends_with("wrong:\n\"bytes 0.9.0\" is not in it"), "{error}");
        let error = verify(&bill, &listed(&ALL[..2])).unwrap_err().to_string();
        assert!(error.ends_with("\"toml 1.2.2+spec-1.1.0\" is in it, and not in the program"), "{error}");
    }

    #[test]
    fn a_part_without_a_licence_is_named() {
        let mut program = program();
        program.parts[0].license = None;
        let error = verify(&write(&program).unwrap(), &listed(&ALL)).unwrap_err().to_string();
        assert!(error.contains("\"bytes 1.12.2\" lacks version, licence"), "{error}");
    }

    #[test]
    fn what_is_no_bill_is_refused() {
        assert!(verify("{}", &listed(&ALL)).is_err());
        let mut program = program();
        program.parts[0].license = Some("whatever".to_owned());
        assert!(verify(&write(&program).unwrap(), &listed(&ALL)).unwrap_err().to_string().contains("no CycloneDX 1.5"));
        program.parts.remove(0);
        assert!(verify(&write(&program).unwrap(), &listed(&ALL)).is_err(), "it refers to a part that is not in it");
    }
}
