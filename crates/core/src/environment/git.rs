//! Which git URLs may be used.

use std::collections::BTreeSet;

use odoofleet_api::conditions::Reason;
use odoofleet_api::environment::GitRepository;
use url::{Host, Url};

use super::references::{ObjectKind, ObjectName, ReferencedObject, References};
use crate::finding::Finding;

/// Keys of a Secret that let whoever shows them in; `known_hosts` and `ca.crt` do not.
const CREDENTIALS: [&str; 3] = ["username", "password", "ssh-privatekey"];
/// Key that says below which address credentials may be shown.
const ADDRESS: &str = "url";

/// Refuses credentials that do not say where they may be shown: they would go wherever the author of an environment writes.
pub fn check_credentials(secret: &str, references: &References) -> Result<(), Finding> {
    let object = ObjectName { kind: ObjectKind::Secret, name: secret.to_owned() };
    let Some(ReferencedObject::Found { keys, .. }) = references.objects.get(&object) else { return Ok(()) };
    if keys.contains_key(ADDRESS) || !CREDENTIALS.iter().any(|key| keys.contains_key(*key)) {
        return Ok(());
    }
    Err(Finding::new(
        Reason::ReferenceNotAllowed,
        format!(
            "Secret \"{secret}\" holds credentials of git and has no key \"{ADDRESS}\": add it, with the address below which they may be shown, such as https://git.example.com/acme"
        ),
    ))
}

/// Refuses URLs that are not https or ssh, carry credentials, or lead to a host that is not allowed. Without a list every
/// public host is allowed; addresses and names that exist only inside a network are not.
pub fn check(repositories: &[GitRepository], allowed_hosts: &[String]) -> Result<(), Finding> {
    repositories.iter().try_for_each(|repository| check_one(&repository.url, allowed_hosts))
}

fn check_one(text: &str, allowed_hosts: &[String]) -> Result<(), Finding> {
    let refuse = |why: &str| Err(Finding::new(Reason::GitUrlNotAllowed, format!("git URL {why}")));
    let Ok(url) = Url::parse(text) else {
        return refuse("cannot be read: write it as https://host/path or ssh://git@host/path");
    };
    if !matches!(url.scheme(), "https" | "ssh") {
        return refuse(&format!(
            "of host \"{}\" must start with https:// or ssh://",
            url.host_str().unwrap_or_default()
        ));
    }
    if url.password().is_some() || (url.scheme() == "https" && !url.username().is_empty()) {
        return refuse("must not carry credentials: put them into a Secret and name it in credentialsSecretRef");
    }
    let Some(host) = url.host() else { return refuse("names no host") };
    let name = host.to_string();
    if name.starts_with('-') || url.username().starts_with('-') {
        return refuse("must not start host or user with \"-\"");
    }
    if !allowed_hosts.is_empty() {
        return if allowed_hosts.iter().any(|allowed| allows(allowed, &name, url.port_or_known_default())) {
            Ok(())
        } else {
            refuse(&format!("leads to \"{name}\"; allowed are: {}", allowed_hosts.join(", ")))
        };
    }
    if is_public(&host) {
        Ok(())
    } else {
        refuse(&format!(
            "leads to \"{name}\", which is not a public host: the operator's setting allowedGitHosts can allow it"
        ))
    }
}

/// Host and port of a list's entry; without a port it means any.
fn host_and_port(allowed: &str) -> (&str, Option<u16>) {
    match allowed.rsplit_once(':').map(|(host, port)| (host, port.parse())) {
        Some((host, Ok(port))) => (host, Some(port)),
        _ => (allowed, None),
    }
}

fn allows(allowed: &str, host: &str, port: Option<u16>) -> bool {
    let (allowed, only) = host_and_port(allowed);
    allowed.eq_ignore_ascii_case(host) && (only.is_none() || only == port)
}

/// The hosts of a list, for those who know no ports.
pub fn hosts(allowed: &[String]) -> Vec<String> {
    let hosts: BTreeSet<String> = allowed.iter().map(|entry| host_and_port(entry).0.to_ascii_lowercase()).collect();
    hosts.into_iter().collect()
}

fn is_public(host: &Host<&str>) -> bool {
    // URLs of scheme ssh keep an IPv4 address as a domain.
    let domain = |name: &str| {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let internal = [".svc", ".local", ".internal", ".localhost"].iter().any(|suffix| name.ends_with(suffix));
        name.contains('.')
            && !internal
            && name.parse::<std::net::Ipv4Addr>().is_err()
            && !name.ends_with(|c: char| c.is_ascii_digit())
    };
    match host {
        Host::Domain(name) => domain(name),
        Host::Ipv4(_) | Host::Ipv6(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;

    #[test]
    fn only_https_and_ssh_to_allowed_hosts() {
        let ok = [
            "https://github.com/oca/web.git",
            "ssh://git@gitlab.example.cn/a/b.git",
            "https://gitlab.example.cn:8443/a.git",
        ];
        for url in ok {
            assert_eq!(check_one(url, &[]), Ok(()), "{url}");
        }
        let bad = [
            "http://github.com/a",
            "git://github.com/a",
            "file:///etc/passwd",
            "ext::sh -c x",
            "https://127.0.0.1/a",
            "https://[::1]/a",
            "https://169.254.169.254/a",
            "https://localhost/a",
            "https://kubernetes.default.svc/a",
            "https://user:token@github.com/a",
            "https://token@github.com/a",
            "ssh://-oProxyCommand=x/a",
            "ssh://-x@github.com/a",
            "https://2130706433/a",
            "ssh://10.0.0.1/a",
            "--upload-pack=x",
        ];
        for url in bad {
            assert!(check_one(url, &[]).is_err(), "{url}");
        }
    }

    #[test]
    fn a_list_of_hosts_is_exact_and_may_name_internal_ones() {
        let allowed = ["gitlab.corp".to_owned()];
        assert_eq!(check_one("https://gitlab.corp/a.git", &allowed), Ok(()));
        assert!(check_one("https://gitlab.corp.evil.com/a.git", &allowed).is_err());
        assert!(check_one("https://github.com/a.git", &allowed).is_err());
        let with_port = ["GitLab.corp:8443".to_owned()];
        assert_eq!(check_one("https://gitlab.corp:8443/a.git", &with_port), Ok(()));
        assert!(check_one("https://gitlab.corp/a.git", &with_port).is_err());
        assert_eq!(hosts(&[&with_port[..], &allowed].concat()), ["gitlab.corp"]);
    }

    #[test]
    fn credentials_say_where_they_may_be_shown() {
        let refused = |keys: &[&str]| {
            let mut references = fixtures::facts(fixtures::environment(1, |_| ())).references;
            references.objects.extend([fixtures::secret("git", Some("acme"), keys)]);
            check_credentials("git", &references).err().map(|finding| finding.message)
        };
        for keys in [&["username", "password"][..], &["password"], &["ssh-privatekey", "known_hosts"]] {
            assert!(refused(keys).is_some_and(|told| told.contains("\"git\"") && told.contains("\"url\"")), "{keys:?}");
        }
        for keys in [&["username", "password", "url"][..], &["known_hosts"], &["ca.crt"]] {
            assert_eq!(refused(keys), None, "{keys:?}");
        }
    }

    #[test]
    fn the_finding_does_not_repeat_a_token() {
        assert!(!check_one("https://user:t0ken@github.com/a", &[]).unwrap_err().message.contains("t0ken"));
    }
}
