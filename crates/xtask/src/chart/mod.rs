//! Packs a chart so that the same content gives the same bytes: an archive's digest is what a template pins.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use flate2::{Compression, GzBuilder};
use serde::Deserialize;

mod ignore;

#[derive(Deserialize)]
struct ChartYaml {
    name: String,
    version: String,
}

/// Packs the chart in `dir` as `<into>/<name>-<version>.tgz`. An archive with equal bytes is left alone.
pub fn package(dir: &Path, into: &Path) -> Result<PathBuf> {
    let file = dir.join("Chart.yaml");
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let chart: ChartYaml = serde_saphyr::from_str(&text).with_context(|| format!("cannot read {}", file.display()))?;
    let bytes = archive(dir, &chart.name).with_context(|| format!("cannot pack {}", dir.display()))?;
    fs::create_dir_all(into).with_context(|| format!("cannot create {}", into.display()))?;
    let target = into.join(format!("{}-{}.tgz", chart.name, chart.version));
    if fs::read(&target).is_ok_and(|old| old == bytes) {
        return Ok(target);
    }
    let new = target.with_extension("new");
    fs::write(&new, bytes)?;
    fs::rename(&new, &target).with_context(|| format!("cannot write {}", target.display()))?;
    Ok(target)
}

/// The archive: names in order, nothing of this machine in the headers.
fn archive(dir: &Path, name: &str) -> Result<Vec<u8>> {
    let rules = ignore::Rules::of(dir)?;
    let mut files = Vec::new();
    collect(dir, "", &rules, &mut files)?;
    files.sort();
    // Helm looks at Chart.yaml first.
    files.sort_by_key(|file| file != "Chart.yaml");
    let gzip = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::best());
    let mut tar = tar::Builder::new(gzip);
    for file in files {
        let content = fs::read(dir.join(&file))?;
        let mut header = tar::Header::new_gnu();
        header.set_size(u64::try_from(content.len())?);
        header.set_mode(0o644);
        header.set_mtime(0);
        tar.append_data(&mut header, format!("{name}/{file}"), content.as_slice())?;
    }
    Ok(tar.into_inner()?.finish()?)
}

fn collect(dir: &Path, below: &str, rules: &ignore::Rules, files: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(dir.join(below))? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_str().ok_or_else(|| anyhow!("{} is not UTF-8", entry.path().display()))?;
        let path = if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
        let folder = entry.path().is_dir();
        if rules.ignores(&path, folder) {
            continue;
        }
        if folder {
            collect(dir, &path, rules, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read;

    use super::*;

    fn chart(dir: &Path, order: &[&str]) {
        for name in order {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let content = match *name {
                "Chart.yaml" => "apiVersion: v2\nname: shop\nversion: 1.2.3\n".to_owned(),
                ".helmignore" => "# comment\ntests/\n*.bak\n".to_owned(),
                other => other.to_owned(),
            };
            fs::write(path, content).unwrap();
        }
    }

    fn content(archive: &Path) -> BTreeMap<String, u64> {
        let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(fs::File::open(archive).unwrap()));
        let entries = tar.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            (entry.path().unwrap().to_str().unwrap().to_owned(), entry.header().mtime().unwrap())
        });
        entries.collect()
    }

    #[test]
    fn equal_content_gives_equal_bytes() {
        let names = ["Chart.yaml", ".helmignore", "values.yaml", "templates/a.yaml", "tests/run.py", "x.bak"];
        let mut backwards = names;
        backwards.reverse();
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        chart(&one.path().join("c"), &names);
        chart(&two.path().join("c"), &backwards);
        let first = package(&one.path().join("c"), one.path()).unwrap();
        let second = package(&two.path().join("c"), two.path()).unwrap();
        assert_eq!(first.file_name().unwrap(), "shop-1.2.3.tgz");
        assert_eq!(fs::read(&first).unwrap(), fs::read(&second).unwrap());
        let packed = content(&first);
        assert_eq!(
            packed.keys().collect::<Vec<_>>(),
            ["shop/.helmignore", "shop/Chart.yaml", "shop/templates/a.yaml", "shop/values.yaml"]
        );
        assert!(packed.values().all(|time| *time == 0));
    }

    #[test]
    fn other_content_gives_other_bytes() {
        let dir = tempfile::tempdir().unwrap();
        chart(&dir.path().join("c"), &["Chart.yaml", "values.yaml"]);
        let before = fs::read(package(&dir.path().join("c"), dir.path()).unwrap()).unwrap();
        fs::write(dir.path().join("c/values.yaml"), "changed").unwrap();
        assert_ne!(before, fs::read(package(&dir.path().join("c"), dir.path()).unwrap()).unwrap());
    }
}
