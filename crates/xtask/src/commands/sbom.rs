//! `sbom`: what our programs are made of, as CycloneDX files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::supply::policy::Policy;
use crate::supply::{bill, crates, modules};
use crate::{repo, tools};

/// Write the bills of materials of the operator, of its Helm worker and of `kubectl odoo`, in CycloneDX's JSON.
///
/// Of one commit, made with one version of Go, they are the same byte by byte.
#[derive(clap::Args)]
pub struct Args {
    /// The folder to write them to.
    #[arg(long, value_name = "DIR", default_value_os_t = repo::path("target/sbom"))]
    out: PathBuf,
}

/// A bill, and what must be in it.
struct Bill {
    file: &'static str,
    text: String,
    listed: BTreeSet<(String, String)>,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    fs::create_dir_all(&args.out).with_context(|| format!("cannot create {:?}", args.out.display()))?;
    for bill in bills()? {
        let count = bill::verify(&bill.text, &bill.listed).with_context(|| bill.file.to_owned())?;
        write(&args.out.join(bill.file), &bill.text)?;
        println!("✓ Wrote {} with {count} parts", args.out.join(bill.file).display());
    }
    Ok(())
}

/// Makes the bills twice, and fails if they are wrong or differ.
pub fn check() -> Result<()> {
    for (bill, again) in bills()?.into_iter().zip(bills()?) {
        let count = bill::verify(&bill.text, &bill.listed).with_context(|| bill.file.to_owned())?;
        if bill.text != again.text {
            bail!(
                "{:?} comes out in another way each time; nothing in it may depend on the time or on chance",
                bill.file
            );
        }
        println!("{}: {count} parts", bill.file);
    }
    Ok(())
}

/// The bills by their file names.
pub fn texts() -> Result<Vec<(String, String)>> {
    let all = bills()?.into_iter().map(|bill| {
        bill::verify(&bill.text, &bill.listed).with_context(|| bill.file.to_owned())?;
        Ok((bill.file.to_owned(), bill.text))
    });
    all.collect()
}

fn bills() -> Result<[Bill; 3]> {
    tools::require_go()?;
    let operator = crates::program_of(crates::OPERATOR)?;
    let cli = crates::program_of(crates::CLI)?;
    let mut worker = modules::worker(&operator.root.version)?;
    Policy::read("go")?.clarify(&mut worker.parts);
    Ok([
        Bill { file: "odoofleet.cdx.json", text: bill::write(&operator)?, listed: crates::listed(crates::OPERATOR)? },
        Bill { file: "kubectl-odoo.cdx.json", text: bill::write(&cli)?, listed: crates::listed(crates::CLI)? },
        Bill { file: "odoofleet-helm-worker.cdx.json", text: bill::write(&worker)?, listed: modules::listed()? },
    ])
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("cannot write {:?}", file.display()))
}
