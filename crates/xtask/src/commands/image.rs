//! `image`: the image that a cluster runs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};

use super::sbom;
use crate::image::platform::Platform;
use crate::image::push::{self, Billed};
use crate::image::sign::Key;
use crate::image::{self, Contents, Origin, programs};
use crate::images::oci;
use crate::supply::{Ecosystem, Part, Program, bill};
use crate::{chart, repo, ui};

/// Build the image that a cluster runs, without a container engine.
///
/// Of one commit, with one version of Go, it is the same byte by byte.
#[derive(clap::Args)]
pub struct Args {
    /// For which machines; several make one image for all of them [default: this machine's].
    #[arg(long, value_enum, value_delimiter = ',')]
    platform: Vec<Platform>,
    /// Write an archive that containerd, Docker, Podman and skopeo import [default: target/odoofleet-VERSION.tar].
    #[arg(long, value_name = "FILE")]
    archive: Option<PathBuf>,
    /// Send it to a registry: `REGISTRY/REPOSITORY[:TAG]`. The login is Docker's, or `ODOOFLEET_REGISTRY_USER` and
    /// `ODOOFLEET_REGISTRY_PASSWORD`; on this machine no TLS is used.
    #[arg(long, value_name = "TARGET")]
    push: Option<String>,
    /// Sign what is sent as cosign does, with a key on P-256: a PEM file with PKCS#8.
    #[arg(long, value_name = "KEYFILE", requires = "push")]
    sign: Option<PathBuf>,
    /// Take programs that were built elsewhere: a folder of folders `amd64` and `arm64`.
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// Write the charts that the image holds into a folder, and build nothing.
    #[arg(long, value_name = "DIR", exclusive = true)]
    charts_to: Option<PathBuf>,
    /// Write the list of Debian's packages anew, with their newest versions, and build nothing.
    #[arg(long, exclusive = true)]
    renew_base: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    if args.renew_base {
        return image::renew_base();
    }
    if let Some(folder) = &args.charts_to {
        return charts(folder);
    }
    // Told now, not after minutes of building.
    let key = args.sign.as_deref().map(Key::read).transpose()?;
    let origin = Origin::of_checkout()?;
    if let Some(target) = &args.push {
        push::check(target, &origin.version)?;
    }
    let work = tempfile::tempdir().context("no temporary folder")?;
    let images: Vec<Billed> = platforms(&args.platform)?
        .into_iter()
        .map(|platform| build(platform, args.programs.as_deref(), &origin, work.path()))
        .collect::<Result<_>>()?;
    for Billed { image, .. } in &images {
        let size = format_size(image.stored_size());
        println!("✓ The image for linux/{} has {size} compressed: {}", image.architecture, image.blob().digest);
    }
    if args.archive.is_some() || args.push.is_none() {
        archive(args.archive.as_deref(), &images, &origin.version)?;
    }
    if let Some(target) = &args.push {
        let task = ui::Task::start(format!("Sending it to {target}"));
        let pushed = push::push(target, &origin.version, &images, key.as_ref())?;
        let signed = if key.is_some() { " and signed it" } else { "" };
        task.done(format!("Sent {} blobs that the registry lacked{signed}", pushed.sent));
        println!("{}", pushed.reference);
    }
    Ok(())
}

fn archive(file: Option<&Path>, images: &[Billed], version: &str) -> Result<()> {
    let file = file.map_or_else(|| repo::path(&format!("target/odoofleet-{version}.tar")), Path::to_owned);
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let name = format!("{}:{version}", image::NAME);
    let plain: Vec<oci::Image> = images.iter().map(|billed| billed.image.clone()).collect();
    let digest = oci::write(&file, &name, &plain)?;
    println!("✓ Wrote {} with {name}\n{digest}", file.display());
    Ok(())
}

/// Packs the charts that the operator brings.
fn charts(into: &Path) -> Result<()> {
    chart::package(&repo::path("charts/odoo"), into).map(drop)
}

fn platforms(wanted: &[Platform]) -> Result<Vec<Platform>> {
    if wanted.is_empty() {
        let here = Platform::here().ok_or_else(|| anyhow!("name a platform: no image is made for this machine's"))?;
        return Ok(vec![here]);
    }
    let mut all = wanted.to_vec();
    all.dedup();
    Ok(all)
}

fn build(platform: Platform, given: Option<&Path>, origin: &Origin, work: &Path) -> Result<Billed> {
    let programs = match given {
        Some(folder) => folder.join(platform.architecture()),
        None => programs::build(platform)?,
    };
    let base = image::base(platform)?;
    let task = ui::Task::start(format!("Putting the image for {platform} together"));
    let work = work.join(platform.architecture());
    let charts = work.join("charts");
    self::charts(&charts)?;
    let mut bills = sbom::texts()?;
    bills.push(("base.cdx.json".to_owned(), base_bill(&base.parts, &origin.version)?));
    let names = programs::all();
    let contents =
        Contents { platform, programs: &programs, names: &names, charts: &charts, bills: &bills, base: &base };
    let image = image::assemble(&contents, origin, &work, true)?;
    task.done(format!("Put the image for {platform} together"));
    Ok(Billed { image, bills })
}

/// What the image holds below our programs.
fn base_bill(parts: &[Part], version: &str) -> Result<String> {
    let root = Part {
        ecosystem: Ecosystem::Debian,
        name: "odoofleet-image-base".to_owned(),
        version: version.to_owned(),
        license: Some(env!("CARGO_PKG_LICENSE").to_owned()),
        sha256: None,
        ours: true,
    };
    let uses = [(root.purl(), parts.iter().map(Part::purl).collect())].into();
    let text = bill::write(&Program { root, parts: parts.to_vec(), uses })?;
    let listed = parts.iter().map(|part| (part.name.clone(), part.version.clone())).collect();
    bill::verify(&text, &listed)?;
    Ok(text)
}

fn format_size(bytes: u64) -> String {
    // Tenths of MiB, rounded.
    let tenths = (bytes * 10 + (1 << 19)) >> 20;
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        assert_eq!(format_size(0), "0.0 MiB");
        assert_eq!(format_size((60 << 20) + (1 << 19)), "60.5 MiB");
    }

    #[test]
    fn the_base_has_a_bill_with_every_package() {
        let part = Part {
            ecosystem: Ecosystem::Debian,
            name: "libc6".to_owned(),
            version: "2.41-12+deb13u5".to_owned(),
            license: Some("LGPL-2.1-or-later".to_owned()),
            sha256: None,
            ours: false,
        };
        let bill = base_bill(&[part], "0.1.0").unwrap();
        assert!(bill.contains("pkg:deb/debian/libc6@2.41-12%2Bdeb13u5"), "{bill}");
    }
}
