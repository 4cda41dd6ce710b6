use std::path::PathBuf;

use super::*;

/// A folder with programs that are none, for a platform, and one chart.
fn inputs(dir: &Path, platform: Platform) -> (PathBuf, PathBuf) {
    let (programs, charts) = (dir.join("programs"), dir.join("charts"));
    fs::create_dir_all(&programs).unwrap();
    fs::create_dir_all(&charts).unwrap();
    for name in programs::all() {
        let mut content = b"\x7fELF".to_vec();
        content.resize(100_000, 7);
        content[18..20].copy_from_slice(if platform == Platform::Amd64 { &[0x3e, 0] } else { &[0xb7, 0] });
        content.extend(name.as_bytes());
        fs::write(programs.join(name), content).unwrap();
    }
    crate::chart::package(&repo::path("charts/odoo"), &charts).unwrap();
    (programs, charts)
}

fn small_base() -> Base {
    let mut tree = Tree::default();
    tree.file("usr/lib/libc.so.6", 0o755, "x");
    Base { tree, parts: Vec::new() }
}

fn origin() -> Origin {
    let created = created("1795000000").unwrap();
    Origin { version: "0.1.0".into(), revision: Some("0f".repeat(20)), created: Some(created) }
}

fn built(dir: &Path, platform: Platform) -> Result<(oci::Image, PathBuf)> {
    let (folder, charts) = inputs(dir, platform);
    let bills = [("odoofleet.cdx.json".to_owned(), "{}".to_owned())];
    let base = small_base();
    let contents = Contents {
        platform: Platform::Amd64,
        programs: &folder,
        names: &programs::all(),
        charts: &charts,
        bills: &bills,
        base: &base,
    };
    let image = assemble(&contents, &origin(), &dir.join("work"), true)?;
    let archive = dir.join("image.tar");
    oci::write(&archive, "docker.io/odoofleet/odoofleet:0.1.0", std::slice::from_ref(&image))?;
    Ok((image, archive))
}

/// All paths of an image, of whichever layer.
fn paths(image: &oci::Image) -> Vec<String> {
    let mut all = Vec::new();
    for layer in &image.layers {
        let file = fs::File::open(layer.file.as_ref().unwrap()).unwrap();
        let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(file));
        all.extend(tar.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            assert_eq!(entry.header().mtime().unwrap(), 0);
            entry.path().unwrap().display().to_string()
        }));
    }
    all
}

#[test]
fn two_builds_in_two_folders_give_the_same_bytes() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (first, archive) = built(one.path(), Platform::Amd64).unwrap();
    let (second, again) = built(two.path(), Platform::Amd64).unwrap();
    assert_eq!(first.blob(), second.blob());
    assert_eq!(fs::read(archive).unwrap(), fs::read(again).unwrap());
    let (other, _) = {
        fs::write(one.path().join("charts/more-1.0.0.tgz"), "x").unwrap();
        built(one.path(), Platform::Amd64).unwrap()
    };
    assert_ne!(first.blob(), other.blob());
    assert_eq!(first.layers[0].stored, other.layers[0].stored, "what did not change is not sent again");
}

#[test]
fn programs_of_another_machine_make_no_image() {
    let dir = tempfile::tempdir().unwrap();
    let error = built(dir.path(), Platform::Arm64).unwrap_err().to_string();
    assert!(error.ends_with("is a program for linux/arm64, and the image is to be for linux/amd64"), "{error}");
}

/// What the chart expects of the image is what the image has.
#[test]
fn the_chart_finds_in_the_image_what_its_values_name() {
    let dir = tempfile::tempdir().unwrap();
    let (image, _) = built(dir.path(), Platform::Amd64).unwrap();
    let values = fs::read_to_string(repo::path("charts/odoofleet/values.yaml")).unwrap();
    let values: Value = serde_saphyr::from_str(&values).unwrap();
    let paths = paths(&image);
    let has = |path: &Value| paths.contains(&path.as_str().unwrap().trim_start_matches('/').to_owned());
    assert!(has(&values["operator"]["helmWorker"]));
    assert!(has(&json!("charts/odoo-0.1.0.tgz")) && values["operator"]["chartsDir"] == "/charts");
    assert_eq!(values["operator"]["cacheDir"], json!(format!("/{CACHE}")));
    assert_eq!(values["securityContext"]["runAsUser"], json!(USER));
    assert_eq!(values["securityContext"]["runAsGroup"], json!(USER));
    assert_eq!(NAME, format!("docker.io/{}", values["image"]["repository"].as_str().unwrap()));
    let config: Value = serde_json::from_str(&image.config).unwrap();
    assert!(has(&config["config"]["Entrypoint"][0]));
    assert_eq!(config["config"]["User"], json!(format!("{USER}:{USER}")));
    assert_eq!(config["created"], json!("2026-11-18T11:06:40Z"));
    assert_eq!(config["config"]["Labels"].as_object().unwrap().len(), LABELS.len());
}

#[test]
fn a_time_that_is_none_is_refused() {
    assert_eq!(created("0").unwrap(), "1970-01-01T00:00:00Z");
    assert_eq!(created("soon").unwrap_err().to_string(), "SOURCE_DATE_EPOCH \"soon\" is no number of seconds");
}

/// The last stage of the Containerfile: the words after each instruction.
fn containerfile(instruction: &str) -> Vec<String> {
    let text = fs::read_to_string(repo::path("Containerfile")).unwrap();
    let (_, last) = text.rsplit_once("\nFROM scratch\n").unwrap();
    let words = last.lines().filter_map(|line| line.strip_prefix(instruction)?.strip_prefix(' '));
    words.map(str::to_owned).collect()
}

#[test]
fn the_containerfile_makes_what_is_made_here() {
    let plain = Origin { version: env!("CARGO_PKG_VERSION").to_owned(), revision: None, created: None };
    let config = config(&plain);
    assert_eq!(containerfile("USER"), [config["User"].as_str().unwrap()]);
    assert_eq!(containerfile("ENV"), [config["Env"][0].as_str().unwrap()]);
    assert_eq!(containerfile("WORKDIR"), [config["WorkingDir"].as_str().unwrap()]);
    assert_eq!(containerfile("ENTRYPOINT"), [config["Entrypoint"].to_string()]);
    let mut named: Vec<String> = labels(&plain).iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    let mut written = containerfile("LABEL");
    named.sort();
    written.sort();
    assert_eq!(written, named);
    let copied: Vec<String> =
        containerfile("COPY").iter().map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect();
    for path in programs::all().iter().map(|name| format!("/{BIN}/{name}")).chain([format!("/{CHARTS}/")]) {
        assert!(copied.contains(&path), "{path} is not in {copied:?}");
    }
    let text = fs::read_to_string(repo::path("Containerfile")).unwrap();
    for wanted in [format!("chown {USER}:{USER} /base/{CACHE}"), format!("{USER_NAME}:x:{USER}:{USER}::")] {
        assert!(text.contains(&wanted), "{wanted}");
    }
    for (package, _) in base::PACKAGES {
        assert!(text.contains(package), "{package}");
    }
}
