//! What lies below our programs: a few packages of Debian, pinned, without a shell.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use super::platform::Platform;
use super::tree::Tree;
use super::{USER, USER_NAME};
use crate::images::oci::Blob;
use crate::supply::{Ecosystem, Part};
use crate::{exec, repo, tools};

/// The packages, and the licences of what is taken of them.
pub(super) const PACKAGES: [(&str, &str); 5] = [
    ("ca-certificates", "MPL-2.0"),
    ("gcc-14-base", "GPL-3.0-or-later WITH GCC-exception-3.1"),
    ("libc6", "LGPL-2.1-or-later"),
    ("libgcc-s1", "GPL-3.0-or-later WITH GCC-exception-3.1"),
    // Whoever gives a customer another time zone than UTC needs it.
    ("tzdata", "LicenseRef-public-domain"),
];
const SUITE: &str = "trixie";
const RELEASE: &str = "PRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\nNAME=\"Debian GNU/Linux\"\nID=debian\nVERSION_ID=\"13\"\n\
    VERSION=\"13 (trixie)\"\nVERSION_CODENAME=trixie\nHOME_URL=\"https://www.debian.org/\"\n";
/// Which files, in which version.
const LOCK: &str = "crates/xtask/src/image/base.lock";
/// Where packages are fetched, if not where this machine's own come from; what the lock names is checked by its digest.
const MIRROR_VARIABLE: &str = "ODOOFLEET_DEBIAN_MIRROR";
/// Keeps what has left the mirrors.
const SNAPSHOT: &str = "http://snapshot.debian.org/archive";
const FETCHED_WITHIN: Duration = Duration::from_mins(5);
const LARGEST: u64 = 64 << 20;

/// The lowest layer, and what it is made of.
pub struct Base {
    /// Its files.
    pub tree: Tree,
    /// Its packages.
    pub parts: Vec<Part>,
}

/// A package of the lock.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Locked {
    architecture: String,
    /// Below a mirror, such as `debian/pool/main/g/glibc/libc6_2.41-12_amd64.deb`.
    path: String,
    sha256: String,
}

/// The lock's content.
#[derive(Debug, PartialEq, Eq)]
struct Lock {
    /// When it was written, as Debian's archive of snapshots has it.
    taken: String,
    packages: Vec<Locked>,
}

impl Lock {
    fn read() -> Result<Self> {
        let text = fs::read_to_string(repo::path(LOCK)).with_context(|| format!("cannot read {LOCK}"))?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self> {
        let mut lock = Self { taken: String::new(), packages: Vec::new() };
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            match line.split_whitespace().collect::<Vec<_>>().as_slice() {
                ["taken", time] => (*time).clone_into(&mut lock.taken),
                [architecture, path, sha256] => {
                    let [architecture, path, sha256] = [architecture, path, sha256].map(|word| (*word).to_owned());
                    lock.packages.push(Locked { architecture, path, sha256 });
                }
                _ => bail!("{LOCK} cannot be read: {line:?}"),
            }
        }
        Ok(lock)
    }
}

impl std::fmt::Display for Lock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "# Debian's packages below our programs. Written by: cargo xtask image --renew-base")?;
        writeln!(f, "taken {}", self.taken)?;
        let mut packages = self.packages.iter();
        packages.try_for_each(|package| writeln!(f, "{} {} {}", package.architecture, package.path, package.sha256))
    }
}

/// Where a package may be, in the order in which is asked.
fn places(mirror: Option<&str>, taken: &str, path: &str) -> Vec<String> {
    let (archive, file) = path.split_once('/').unwrap_or(("debian", path));
    let mirror = mirror.map(|mirror| format!("{}/{path}", mirror.trim_end_matches('/')));
    mirror.into_iter().chain([format!("{SNAPSHOT}/{archive}/{taken}/{file}")]).collect()
}

/// A mirror of Debian: the one that is named, else that of this machine's apt, where the machine is Debian.
fn mirror() -> Option<String> {
    let named = std::env::var(MIRROR_VARIABLE).ok().filter(|mirror| !mirror.is_empty());
    named.or_else(|| {
        let mut apt = Command::new("apt-get");
        let sites = exec::output(apt.args(["indextargets", "--format", "$(SITE)", "Created-By: Packages"])).ok()?;
        debian(&sites).map(str::to_owned)
    })
}

/// The first of apt's sites that is an archive of Debian, without the archive's name.
fn debian(sites: &str) -> Option<&str> {
    sites
        .lines()
        .find_map(|site| site.trim_end_matches('/').strip_suffix("/debian").filter(|site| site.starts_with("http")))
}

/// The base of an image.
pub fn provide(platform: Platform) -> Result<Base> {
    let lock = Lock::read()?;
    let mut base = Base { tree: Tree::default(), parts: Vec::new() };
    for package in lock.packages.iter().filter(|package| package.architecture == platform.architecture()) {
        let file = fetched(&lock.taken, package)?;
        let control = exec::output(Command::new("dpkg-deb").arg("--field").arg(&file)).context(
            "packages of Debian cannot be read without dpkg-deb; on systems other than Debian and Ubuntu install dpkg",
        )?;
        let part = part(&control, &package.sha256)?;
        let content = exec::bytes(Command::new("dpkg-deb").arg("--fsys-tarfile").arg(&file))?;
        base.tree.unpack(content.as_slice(), is_wanted).with_context(|| format!("cannot unpack {}", part.name))?;
        // By this scanners know what is installed.
        base.tree.file(&format!("var/lib/dpkg/status.d/{}", part.name), 0o644, control);
        base.parts.push(part);
    }
    if base.parts.len() != PACKAGES.len() {
        bail!("{LOCK} does not name every package for {platform}; renew it: cargo xtask image --renew-base");
    }
    furnish(&mut base.tree, platform)?;
    Ok(base)
}

/// What no package brings as a file.
fn furnish(tree: &mut Tree, platform: Platform) -> Result<()> {
    let mut authorities = Vec::new();
    for path in tree.below("usr/share/ca-certificates/mozilla") {
        authorities.extend(tree.take(&path).unwrap_or_default());
    }
    if authorities.is_empty() {
        bail!("ca-certificates brought no authority");
    }
    tree.file("etc/ssl/certs/ca-certificates.crt", 0o644, authorities);
    tree.link("lib", "usr/lib");
    if platform == Platform::Amd64 {
        tree.link("lib64", "usr/lib64");
    }
    tree.file("usr/lib/os-release", 0o644, RELEASE);
    tree.link("etc/os-release", "../usr/lib/os-release");
    let user = format!("root:x:0:0:root:/:/sbin/nologin\n{USER_NAME}:x:{USER}:{USER}::/:/sbin/nologin\n");
    tree.file("etc/passwd", 0o644, user);
    tree.file("etc/group", 0o644, format!("root:x:0:\n{USER_NAME}:x:{USER}:\n"));
    tree.file("etc/nsswitch.conf", 0o644, "passwd: files\ngroup: files\nhosts: files dns\n");
    tree.folder("tmp", 0o1777, 0);
    Ok(())
}

/// Libraries, time zones, authorities and licences; no programs, and nothing for people who sit at a terminal.
fn is_wanted(path: &str) -> bool {
    let kept = ["usr/lib/", "usr/lib64/", "usr/share/zoneinfo/", "usr/share/ca-certificates/"];
    let dropped = ["usr/lib/locale/", "usr/share/zoneinfo/posix/", "usr/share/zoneinfo/right/"];
    let copyright = path
        .strip_prefix("usr/share/doc/")
        .is_some_and(|rest| rest.split_once('/').is_some_and(|(_, file)| file == "copyright"));
    let converter = path.contains("/gconv/") || path.contains("/audit/");
    let begins = |all: &[&str]| all.iter().any(|folder| path.starts_with(folder));
    copyright || begins(&kept) && !begins(&dropped) && !converter
}

fn part(control: &str, sha256: &str) -> Result<Part> {
    let field = |name: &str| {
        let value = control.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value.map(str::to_owned).ok_or_else(|| anyhow!("a package of Debian does not tell its {name}"))
    };
    let name = field("Package")?;
    let license = PACKAGES.iter().find(|(package, _)| *package == name).map(|(_, license)| (*license).to_owned());
    let license = Some(license.ok_or_else(|| anyhow!("{LOCK} names {name:?}, whose licence nothing tells"))?);
    let (version, sha256) = (field("Version")?, Some(sha256.to_owned()));
    Ok(Part { ecosystem: Ecosystem::Debian, name, version, license, sha256, ours: false })
}

/// A package from the cache, fetched now if need be.
fn fetched(taken: &str, package: &Locked) -> Result<PathBuf> {
    let folder = tools::cache()?.join("debian");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let file = folder.join(format!("{}.deb", package.sha256));
    if file.is_file() {
        return Ok(file);
    }
    let mut refused = Vec::new();
    for place in places(mirror().as_deref(), taken, &package.path) {
        match fetch(&place, &package.sha256, &file) {
            Ok(()) => return Ok(file),
            Err(error) => refused.push(format!("{place}: {error:#}")),
        }
    }
    bail!(
        "a package of Debian cannot be fetched. Name a mirror with {MIRROR_VARIABLE}; if it is gone everywhere, renew the list: \
         cargo xtask image --renew-base\n{}",
        refused.join("\n")
    )
}

fn fetch(url: &str, sha256: &str, into: &Path) -> Result<()> {
    let agent = ureq::Agent::config_builder().timeout_global(Some(FETCHED_WITHIN)).build().new_agent();
    let content = agent.get(url).call()?.body_mut().with_config().limit(LARGEST).read_to_vec()?;
    let found = Blob::of(&content).digest;
    if found != format!("sha256:{sha256}") {
        bail!("what came is not what {LOCK} names: its digest is {found}");
    }
    let new = into.with_extension(format!("{}.new", std::process::id()));
    fs::write(&new, content)?;
    fs::rename(&new, into).with_context(|| format!("cannot write {}", into.display()))
}

/// Asks apt for the newest packages and writes the lock.
pub fn renew() -> Result<()> {
    let dir = tempfile::tempdir().context("no temporary folder")?;
    let mirror =
        mirror().ok_or_else(|| anyhow!("this machine knows no mirror of Debian: name one with {MIRROR_VARIABLE}"))?;
    let keys = "/usr/share/keyrings/debian-archive-keyring.gpg";
    let source = |archive: &str, suites: &str| {
        format!("Types: deb\nURIs: {mirror}/{archive}\nSuites: {suites}\nComponents: main\nSigned-By: {keys}\n\n")
    };
    let sources = source("debian", &format!("{SUITE} {SUITE}-updates"))
        + &source("debian-security", &format!("{SUITE}-security"));
    fs::write(dir.path().join("debian.sources"), sources)?;
    let mut packages = Vec::new();
    for platform in [Platform::Amd64, Platform::Arm64] {
        let apt = |arguments: &[&str]| {
            let mut command = Command::new("apt-get");
            let at = |name: &str| dir.path().join(name).display().to_string();
            for option in [
                format!("Dir::Etc::sourcelist={}", at("debian.sources")),
                "Dir::Etc::sourceparts=/dev/null".to_owned(),
                "Dir::State::status=/dev/null".to_owned(),
                format!("Dir::State={}", at("state")),
                format!("Dir::Cache={}", at("cache")),
                format!("APT::Architecture={}", platform.architecture()),
                format!("APT::Architectures={}", platform.architecture()),
            ] {
                command.arg("-o").arg(option);
            }
            exec::output(command.args(arguments))
        };
        fs::create_dir_all(dir.path().join("state/lists/partial"))?;
        fs::create_dir_all(dir.path().join("cache/archives/partial"))?;
        apt(&["update", "-qq"]).context("apt cannot ask Debian; the list is renewed on Debian or Ubuntu")?;
        let names = PACKAGES.map(|(name, _)| name);
        let told = apt(&[&["download", "--print-uris"][..], &names[..]].concat())?;
        let found: BTreeMap<String, Locked> = told.lines().filter_map(|line| uri(line, &mirror, platform)).collect();
        for name in names {
            let package = found.get(name).ok_or_else(|| anyhow!("apt does not tell where {name} is:\n{told}"))?;
            packages.push(package.clone());
        }
    }
    let taken = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let old = Lock::read().ok();
    if old.is_some_and(|old| old.packages == packages) {
        println!("✓ {LOCK} names the newest packages");
        return Ok(());
    }
    fs::write(repo::path(LOCK), Lock { taken, packages }.to_string())
        .with_context(|| format!("cannot write {LOCK}"))?;
    println!("✓ Wrote {LOCK}");
    Ok(())
}

/// Reads a line of `apt-get download --print-uris`.
fn uri(line: &str, mirror: &str, platform: Platform) -> Option<(String, Locked)> {
    let mut words = line.split_whitespace();
    let url = words.next()?.trim_matches('\'');
    let sha256 = words.nth(2)?.strip_prefix("SHA256:")?.to_owned();
    let path = url.strip_prefix(mirror.trim_end_matches('/'))?.trim_start_matches('/').to_owned();
    let name = path.rsplit('/').next()?.split('_').next()?.replace("%2b", "+");
    Some((name, Locked { architecture: platform.architecture().to_owned(), path, sha256 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_names_every_package_for_every_platform_and_reads_as_it_is_written() {
        let lock = Lock::read().unwrap();
        for platform in [Platform::Amd64, Platform::Arm64] {
            for (name, _) in PACKAGES {
                let named = |package: &&Locked| {
                    package.architecture == platform.architecture() && package.path.contains(&format!("/{name}_"))
                };
                assert_eq!(lock.packages.iter().filter(named).count(), 1, "{name} for {platform}");
            }
        }
        assert_eq!(Lock::parse(&lock.to_string()).unwrap(), lock);
        assert!(Lock::parse("amd64 x").unwrap_err().to_string().contains("amd64 x"));
    }

    #[test]
    fn what_has_left_the_mirrors_is_looked_for_in_the_snapshots() {
        assert_eq!(
            places(Some("http://mirror.example/"), "20261128T000000Z", "debian-security/pool/x.deb"),
            [
                "http://mirror.example/debian-security/pool/x.deb",
                "http://snapshot.debian.org/archive/debian-security/20261128T000000Z/pool/x.deb"
            ]
        );
    }

    #[test]
    fn the_mirror_is_that_of_a_machine_which_is_debian() {
        let sites = "http://other.example/security\nhttp://mirror.example/debian/\nhttp://third.example/debian\n";
        assert_eq!(debian(sites), Some("http://mirror.example"));
        assert_eq!(debian("http://mirror.example/ubuntu\nfile:/srv/debian\n"), None);
        assert_eq!(places(None, "20261128T000000Z", "debian/x.deb").len(), 1);
    }

    #[test]
    fn only_what_programs_need_is_taken() {
        let table = [
            ("usr/lib/x86_64-linux-gnu/libc.so.6", true),
            ("usr/lib64/ld-linux-x86-64.so.2", true),
            ("usr/share/zoneinfo/Asia/Shanghai", true),
            ("usr/share/zoneinfo/right/Asia/Shanghai", false),
            ("usr/share/doc/libc6/copyright", true),
            ("usr/share/doc/libc6/changelog.Debian.gz", false),
            ("usr/share/doc/ca-certificates/examples/debian/copyright", false),
            ("usr/lib/x86_64-linux-gnu/gconv/BIG5.so", false),
            ("usr/bin/ldd", false),
            ("usr/sbin/update-ca-certificates", false),
            ("etc/ld.so.conf", false),
        ];
        for (path, wanted) in table {
            assert_eq!(is_wanted(path), wanted, "{path}");
        }
    }

    #[test]
    fn apt_tells_where_a_package_is() {
        let line = "'http://m.example/debian/pool/main/g/glibc/libc6_2.41-12%2bdeb13u5_amd64.deb' \
            libc6_2.41-12+deb13u5_amd64.deb 2850108 SHA256:b59b";
        let (name, package) = uri(line, "http://m.example", Platform::Amd64).unwrap();
        assert_eq!(name, "libc6");
        assert_eq!(package.path, "debian/pool/main/g/glibc/libc6_2.41-12%2bdeb13u5_amd64.deb");
        assert_eq!(package.sha256, "b59b");
        assert!(uri("Get:1 something", "http://m.example", Platform::Amd64).is_none());
    }

    #[test]
    fn a_package_tells_name_version_and_is_of_a_known_licence() {
        let part = part("Package: libc6\nVersion: 2.41-12\n", "b59b").unwrap();
        assert_eq!(part.purl(), "pkg:deb/debian/libc6@2.41-12");
        assert_eq!(part.license.as_deref(), Some("LGPL-2.1-or-later"));
        assert!(super::part("Package: bash\nVersion: 5\n", "").unwrap_err().to_string().contains("\"bash\""));
    }
}
