//! Gets official archives, and lets nothing pass whose content is not the pinned one.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use data_encoding::HEXLOWER;
use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};
use ureq::Proxy;
use ureq::tls::{RootCerts, TlsConfig};

use super::archives::{Archive, MIRROR, Origin, Place};

/// A site without internet must not wait for long before it builds.
const REACHED_WITHIN: Duration = Duration::from_secs(5);
const ANSWERED_WITHIN: Duration = Duration::from_secs(15);
/// Slower than this, building is faster.
const HERE_WITHIN: Duration = Duration::from_mins(5);

/// Gets archives from one origin.
pub struct Fetcher {
    origin: Origin,
    agent: ureq::Agent,
    /// Hosts that did not answer, and why: they are not asked again.
    away: RefCell<BTreeMap<String, String>>,
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub enum Fetched {
    /// The program is there.
    Here,
    /// The archive cannot be had, for this reason.
    Away(String),
}

impl Fetcher {
    /// One that asks whom `ODOOFLEET_MIRROR` names, else the makers, through the proxy that the environment names.
    pub fn from_env() -> Result<Self> {
        Ok(Self::new(Origin::of(std::env::var(MIRROR).ok().as_deref())?, Proxy::try_from_env()))
    }

    fn new(origin: Origin, proxy: Option<Proxy>) -> Self {
        // What this machine trusts, as the certificates of a company's proxy are not in any list of ours.
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::PlatformVerifier)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let agent = ureq::Agent::config_builder()
            .timeout_resolve(Some(REACHED_WITHIN))
            .timeout_connect(Some(REACHED_WITHIN))
            .timeout_recv_response(Some(ANSWERED_WITHIN))
            .timeout_recv_body(Some(HERE_WITHIN))
            .http_status_as_error(false)
            .tls_config(tls)
            .proxy(proxy)
            .build()
            .new_agent();
        Self { origin, agent, away: RefCell::default() }
    }

    /// Whom it asks, in words.
    pub fn asks(&self, archive: &Archive) -> String {
        match self.origin.place(&archive.url) {
            Place::Url(url) => host(&url).to_owned(),
            Place::File(file) => file.display().to_string(),
        }
    }

    /// Puts the program of an archive at `target`, as something to be run. Fails if the archive is not the pinned one.
    pub fn get(&self, archive: &Archive, target: &Path) -> Result<Fetched> {
        let place = self.origin.place(&archive.url);
        let opened = match &place {
            Place::File(file) => open(file),
            Place::Url(url) => self.ask(url),
        };
        let (name, mut content) = match (&place, opened) {
            (_, Err(why)) => return Ok(Fetched::Away(why)),
            (Place::Url(url), Ok(content)) => (url.clone(), content),
            (Place::File(file), Ok(content)) => (file.display().to_string(), content),
        };
        let folder = target.parent().unwrap_or(Path::new("."));
        let mut kept = tempfile::NamedTempFile::new_in(folder)?;
        let found = match copy(&mut content, kept.as_file_mut())? {
            Ok(found) => found,
            Err(why) => return Ok(Fetched::Away(format!("{name:?} broke off ({why})"))),
        };
        if found != archive.sha256 {
            bail!(
                "{name:?} is not the archive that e2e/tools/archives.toml pins, and is not used:\n  \
                 expected sha256 {}\n  found    sha256 {found}\n\
                 Find out who changes it. To build from source instead: {MIRROR}=<an empty folder>",
                archive.sha256
            );
        }
        match &archive.member {
            None => drop(kept.persist(target)?),
            Some(member) => unpack(kept.path(), member, target).with_context(|| format!("cannot unpack {name:?}"))?,
        }
        fs::set_permissions(target, fs::Permissions::from_mode(0o755))?;
        Ok(Fetched::Here)
    }

    /// The content at a URL, or why there is none.
    fn ask(&self, url: &str) -> Result<Box<dyn Read>, String> {
        let host = host(url);
        if let Some(why) = self.away.borrow().get(host) {
            return Err(why.clone());
        }
        match self.agent.get(url).call() {
            Ok(answer) if answer.status().as_u16() == 200 => Ok(Box::new(answer.into_body().into_reader())),
            Ok(answer) => Err(format!("{host} answers {} to {url:?}", answer.status().as_u16())),
            Err(error) => {
                let why = format!("{host} cannot be reached ({error})");
                self.away.borrow_mut().insert(host.to_owned(), why.clone());
                Err(why)
            }
        }
    }
}

fn open(file: &Path) -> Result<Box<dyn Read>, String> {
    match File::open(file) {
        Ok(opened) => Ok(Box::new(opened)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(format!("{:?} is not there", file.display())),
        Err(error) => Err(format!("{:?} cannot be read ({error})", file.display())),
    }
}

/// Host and port of a URL.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

/// Copies all, and returns its sha256; or why the source gave out, which is nobody's fault here.
fn copy(from: &mut dyn Read, to: &mut File) -> Result<Result<String, io::Error>> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => return Ok(Ok(HEXLOWER.encode(&hash.finalize()))),
            Ok(read) => &buffer[..read],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Ok(Err(error)),
        };
        hash.update(read);
        to.write_all(read).context("cannot keep what is fetched")?;
    }
}

/// Takes one file out of a compressed archive.
fn unpack(archive: &Path, member: &str, target: &Path) -> Result<()> {
    let mut archive = tar::Archive::new(GzDecoder::new(File::open(archive)?));
    for entry in archive.entries()? {
        let mut entry = entry?;
        if entry.path()?.as_ref() == Path::new(member) {
            io::copy(&mut entry, &mut File::create(target)?)?;
            return Ok(());
        }
    }
    Err(anyhow!("there is no {member:?} in it"))
}

#[cfg(test)]
#[path = "fetch_tests.rs"]
mod tests;
