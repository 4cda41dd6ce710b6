//! The npm packages of a lock file.

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{Ecosystem, Part};

/// The packages that a `package-lock.json` locks, the one whose lock it is left out.
pub fn locked(text: &str) -> Result<Vec<Part>> {
    let lock: Value = serde_json::from_str(text).context("the lock file is no JSON")?;
    // Older forms do not repeat the licences.
    let Some(packages) = lock["packages"].as_object().filter(|packages| packages.len() > 1) else {
        bail!("the lock file lists no packages; write it with npm 7 or newer");
    };
    let foreign = packages.iter().filter(|(path, package)| !path.is_empty() && package["link"] != true);
    let part = |(path, package): (&String, &Value)| {
        // An alias has its own name inside.
        let folder = path.rsplit("node_modules/").next().unwrap_or(path);
        let text = |field: &str| package[field].as_str().map(str::to_owned);
        Part {
            ecosystem: Ecosystem::Npm,
            name: text("name").unwrap_or_else(|| folder.to_owned()),
            version: text("version").unwrap_or_default(),
            license: text("license"),
            sha256: None,
            ours: false,
        }
    };
    Ok(foreign.map(part).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = r#"{"lockfileVersion": 3, "packages": {
        "": {"dependencies": {"vue": "3.5.45"}},
        "node_modules/@vue/shared": {"version": "3.5.45", "license": "MIT"},
        "node_modules/a/node_modules/b": {"version": "2.0.0", "license": "(MPL-2.0 OR Apache-2.0)"},
        "node_modules/alias": {"name": "sass", "version": "1.0.0", "license": "ISC"},
        "node_modules/mute": {"version": "0.1.0"},
        "node_modules/here": {"resolved": "here", "link": true}
    }}"#;

    #[test]
    fn every_locked_package_is_told_with_its_licence() {
        let parts = locked(LOCK).unwrap();
        let told: Vec<_> = parts.iter().map(|part| (part.title(), part.license.as_deref())).collect();
        let expected = [
            ("@vue/shared 3.5.45", Some("MIT")),
            ("b 2.0.0", Some("(MPL-2.0 OR Apache-2.0)")),
            ("sass 1.0.0", Some("ISC")),
            ("mute 0.1.0", None),
        ];
        assert_eq!(told, expected.map(|(title, license)| (title.to_owned(), license)));
    }

    #[test]
    fn a_lock_file_that_tells_no_licences_is_refused() {
        assert!(locked(r#"{"lockfileVersion": 1, "dependencies": {"vue": {"version": "3.5.45"}}}"#).is_err());
        assert!(locked(r#"{"packages": {"": {}}}"#).is_err());
    }
}
