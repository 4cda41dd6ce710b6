//! Which git URLs may be used.

use odoofleet_api::conditions::Reason;
use odoofleet_api::environment::GitRepository;
use url::{Host, Url};

use crate::finding::Finding;

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
        let allowed = allowed_hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(&name));
        return if allowed {
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
    }

    #[test]
    fn the_finding_does_not_repeat_a_token() {
        assert!(!check_one("https://user:t0ken@github.com/a", &[]).unwrap_err().message.contains("t0ken"));
    }
}
