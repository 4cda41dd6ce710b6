//! The manifest by which krew, kubectl's plugin manager, installs `kubectl odoo`.

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::archive::{PLATFORMS, PROGRAM, Platform};

/// The plugin's name: what follows `kubectl`.
pub const NAME: &str = "odoo";

/// The manifest of a version, for archives that lie in the repository's releases. Every platform must be there.
pub fn manifest(repository: &str, version: &str, archives: &[(Platform, String)]) -> Result<Value> {
    let mut platforms = Vec::new();
    for (_, platform) in PLATFORMS {
        let Some((_, sha256)) = archives.iter().find(|(of, _)| *of == platform) else {
            bail!("there is no {:?}; a release has archives of every platform", platform.archive(version));
        };
        platforms.push(json!({
            "selector": { "matchLabels": { "os": platform.os, "arch": platform.arch } },
            "uri": format!("{repository}/releases/download/v{version}/{}", platform.archive(version)),
            "sha256": sha256,
            "bin": PROGRAM,
            "files": [{ "from": PROGRAM, "to": "." }, { "from": "LICENSE", "to": "." }],
        }));
    }
    Ok(json!({
        "apiVersion": "krew.googlecontainertools.github.com/v1alpha2",
        "kind": "Plugin",
        "metadata": { "name": NAME },
        "spec": {
            "version": format!("v{version}"),
            "homepage": repository,
            "shortDescription": "See and run customers' Odoo environments",
            "description": "Shows customers, environments, releases and pods of an OdooFleet, with the next step\n\
                where something is wrong; starts, stops, upgrades and suspends them. It has the rights\n\
                of your kubeconfig and no others, and needs the OdooFleet operator in the cluster.\n",
            "platforms": platforms,
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archives() -> Vec<(Platform, String)> {
        PLATFORMS.iter().map(|(target, platform)| (*platform, format!("sum of {target}"))).collect()
    }

    #[test]
    fn every_platform_leads_to_its_archive() {
        let manifest = manifest("https://example.org/fleet", "0.2.0", &archives()).unwrap();
        assert_eq!(manifest["spec"]["version"], "v0.2.0");
        let platforms = manifest["spec"]["platforms"].as_array().unwrap();
        let told: Vec<_> =
            platforms.iter().map(|one| (one["uri"].as_str().unwrap(), one["sha256"].as_str().unwrap())).collect();
        let folder = "https://example.org/fleet/releases/download/v0.2.0/kubectl-odoo_0.2.0_";
        let expected = [
            ("linux_amd64", "x86_64-unknown-linux-gnu"),
            ("linux_arm64", "aarch64-unknown-linux-gnu"),
            ("darwin_amd64", "x86_64-apple-darwin"),
            ("darwin_arm64", "aarch64-apple-darwin"),
        ]
        .map(|(name, target)| (format!("{folder}{name}.tar.gz"), format!("sum of {target}")));
        let expected: Vec<_> = expected.iter().map(|(uri, sum)| (uri.as_str(), sum.as_str())).collect();
        assert_eq!(told, expected);
        assert_eq!(platforms[3]["selector"]["matchLabels"], json!({ "os": "darwin", "arch": "arm64" }));
    }

    #[test]
    fn a_missing_archive_is_named() {
        let mut archives = archives();
        archives.remove(1);
        let error = manifest("https://example.org/fleet", "0.2.0", &archives).unwrap_err().to_string();
        assert!(error.contains("kubectl-odoo_0.2.0_linux_arm64.tar.gz"), "{error}");
    }
}
