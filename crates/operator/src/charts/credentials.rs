//! The login for a registry, from a `.dockerconfigjson`.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oci_client::secrets::RegistryAuth;
use serde::Deserialize;

/// Names of Docker Hub's registry. `kubectl create secret docker-registry` and `docker login` keep its login under the second,
/// images and charts name the first, and the last is the server.
const DOCKER_HUB: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];

/// Why a pull Secret gives no login.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// It cannot be read.
    #[error("the pull Secret holds no valid .dockerconfigjson")]
    Malformed,
    /// It is for other registries.
    #[error("the pull Secret has no login for \"{wanted}\"; it has {}", listed(.hosts))]
    NoLogin {
        /// Host and repository.
        wanted: String,
        /// Hosts for which it has one.
        hosts: Vec<String>,
    },
}

fn listed(hosts: &[String]) -> String {
    if hosts.is_empty() { "none at all".to_owned() } else { format!("one for \"{}\"", hosts.join("\", \"")) }
}

#[derive(Deserialize)]
struct DockerConfig {
    auths: BTreeMap<String, Login>,
}

#[derive(Deserialize)]
struct Login {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

/// The login for a repository. Of several keys that fit the one with the longest path counts, as it does for kubelet.
pub fn login(config: &[u8], registry: &str, repository: &str) -> Result<RegistryAuth, CredentialsError> {
    let config: DockerConfig = serde_json::from_slice(config).map_err(|_| CredentialsError::Malformed)?;
    // Where a helper keeps the logins, `docker login` leaves empty entries.
    let logins: Vec<(Key, Login)> = config
        .auths
        .into_iter()
        .filter(|(_, login)| login.auth.is_some() || login.username.is_some())
        .map(|(text, login)| (Key::read(&text), login))
        .collect();
    let mut hosts: Vec<String> = logins.iter().map(|(key, _)| key.host.clone()).collect();
    let registry = canonical(registry);
    let fitting = logins.into_iter().filter(|(key, _)| key.fits(&registry, repository));
    if let Some((_, login)) = fitting.max_by_key(|(key, _)| key.path.len()) {
        return login.read().ok_or(CredentialsError::Malformed);
    }
    hosts.dedup();
    Err(CredentialsError::NoLogin { wanted: format!("{registry}/{repository}"), hosts })
}

impl Login {
    fn read(self) -> Option<RegistryAuth> {
        if let (Some(username), Some(password)) = (self.username, self.password) {
            return Some(RegistryAuth::Basic(username, password));
        }
        let decoded = STANDARD.decode(self.auth?).ok().and_then(|bytes| String::from_utf8(bytes).ok())?;
        let (username, password) = decoded.split_once(':')?;
        Some(RegistryAuth::Basic(username.to_owned(), password.to_owned()))
    }
}

/// For which repositories a login is.
struct Key {
    host: String,
    path: String,
}

impl Key {
    /// Keys are hosts or addresses: `ghcr.io/acme`, `https://registry.example.cn/`, `https://index.docker.io/v1/`.
    fn read(text: &str) -> Self {
        let address = text.split_once("://").map_or(text, |(_, address)| address);
        let (host, path) = address.split_once('/').unwrap_or((address, ""));
        let path = path.trim_matches('/');
        // The versions of the registry's protocol, which no repository is named after.
        let path = ["v1", "v2"].into_iter().find_map(|version| strip_parent(path, version)).unwrap_or(path);
        // What stands before an at sign would be a login; hosts are told in messages.
        let host = host.rsplit('@').next().unwrap_or_default();
        Self { host: canonical(host), path: path.to_owned() }
    }

    fn fits(&self, registry: &str, repository: &str) -> bool {
        let (own, named): (Vec<&str>, Vec<&str>) = (self.host.split('.').collect(), registry.split('.').collect());
        let host_fits =
            own.len() == named.len() && own.into_iter().zip(named).all(|(own, named)| part_fits(own, named));
        host_fits && (self.path.is_empty() || strip_parent(repository, &self.path).is_some())
    }
}

/// The part of a host's name that a pattern with at most one asterisk fits.
fn part_fits(pattern: &str, part: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == part,
        Some((start, end)) => part.strip_prefix(start).is_some_and(|rest| rest.ends_with(end)),
    }
}

/// What lies below a path; empty for the path itself.
fn strip_parent<'a>(path: &'a str, parent: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(parent)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
}

fn canonical(host: &str) -> String {
    let host = host.to_ascii_lowercase();
    if DOCKER_HUB.contains(&host.as_str()) { DOCKER_HUB[0].to_owned() } else { host }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A config with one login a key, whose name is the key's number.
    fn config(keys: &[&str]) -> Vec<u8> {
        let login = |(number, key): (usize, &&str)| {
            ((*key).to_owned(), json!({ "auth": STANDARD.encode(format!("{number}:p:w")) }))
        };
        let auths: serde_json::Map<_, _> = keys.iter().enumerate().map(login).collect();
        json!({ "auths": auths }).to_string().into_bytes()
    }

    #[test]
    fn a_login_is_found_under_every_name_of_its_registry() {
        let hub = "https://index.docker.io/v1/";
        let table: [(&[&str], &str, &str, Option<usize>); 24] = [
            (&["one.example"], "one.example", "charts/odoo", Some(0)),
            (&["one.example", "two.example"], "two.example", "charts/odoo", Some(1)),
            (&[hub], "docker.io", "acme/odoo", Some(0)),
            (&["docker.io"], "docker.io", "acme/odoo", Some(0)),
            (&["index.docker.io"], "docker.io", "acme/odoo", Some(0)),
            (&["registry-1.docker.io"], "docker.io", "acme/odoo", Some(0)),
            (&["docker.io"], "registry-1.docker.io", "acme/odoo", Some(0)),
            (&[hub], "index.docker.io", "acme/odoo", Some(0)),
            (&["https://registry.example.cn/"], "registry.example.cn", "odoo", Some(0)),
            (&["http://registry.example.cn/v2/"], "registry.example.cn", "odoo", Some(0)),
            (&["Registry.Example.CN"], "registry.example.cn", "odoo", Some(0)),
            (&["registry.example.cn:5000"], "registry.example.cn:5000", "odoo", Some(0)),
            (&["registry.example.cn:5000"], "registry.example.cn", "odoo", None),
            (&["registry.example.cn"], "registry.example.cn:5000", "odoo", None),
            (&["ghcr.io/acme"], "ghcr.io", "acme/charts/odoo", Some(0)),
            (&["ghcr.io/acme/"], "ghcr.io", "acme", Some(0)),
            (&["ghcr.io/acme"], "ghcr.io", "acme-other/odoo", None),
            (&["ghcr.io/acme"], "ghcr.io", "globex/odoo", None),
            (&["ghcr.io", "ghcr.io/acme", "https://ghcr.io/acme/charts"], "ghcr.io", "acme/charts/odoo", Some(2)),
            (&["ghcr.io/acme/charts", "ghcr.io"], "ghcr.io", "acme/odoo", Some(1)),
            (&["*.azurecr.io"], "acme.azurecr.io", "odoo", Some(0)),
            (&["*.azurecr.io"], "a.b.azurecr.io", "odoo", None),
            (&["example"], "one.example", "odoo", None),
            (&["one.example.evil"], "one.example", "odoo", None),
        ];
        for (keys, registry, repository, expected) in table {
            let found = login(&config(keys), registry, repository);
            match (&found, expected) {
                (Ok(RegistryAuth::Basic(name, word)), Some(number)) => {
                    assert_eq!((name.as_str(), word.as_str()), (number.to_string().as_str(), "p:w"), "{keys:?}");
                }
                (Err(CredentialsError::NoLogin { .. }), None) => {}
                _ => panic!("{keys:?} for {registry}/{repository}: {found:?}"),
            }
        }
    }

    #[test]
    fn a_secret_for_other_registries_is_refused_and_tells_its_hosts_alone() {
        let config = json!({ "auths": {
            "https://user:s3cret@one.example/v1/": { "auth": "dTpw" },
            "two.example/team": { "username": "s3cret", "password": "s3cret" },
            "three.example": {},
        } });
        let error = login(config.to_string().as_bytes(), "docker.io", "acme/odoo").unwrap_err().to_string();
        assert_eq!(
            error,
            "the pull Secret has no login for \"docker.io/acme/odoo\"; it has one for \"one.example\", \"two.example\""
        );
        let none = login(br#"{"auths":{}}"#, "docker.io", "acme/odoo").unwrap_err().to_string();
        assert!(none.ends_with("it has none at all"), "{none}");
    }

    #[test]
    fn what_cannot_be_read_is_no_login() {
        let plain = br#"{"auths":{"one.example":{"username":"a","password":"b"},"bad.example":{"auth":"!"}}}"#;
        assert!(matches!(login(plain, "one.example", "x"), Ok(RegistryAuth::Basic(u, p)) if u == "a" && p == "b"));
        assert_eq!(login(plain, "bad.example", "x").unwrap_err(), CredentialsError::Malformed);
        assert_eq!(login(b"{", "one.example", "x").unwrap_err(), CredentialsError::Malformed);
    }
}
