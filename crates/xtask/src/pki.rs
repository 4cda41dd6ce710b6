//! Certificates of a control plane that lives on one machine.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};

/// Somebody with a certificate.
#[derive(Clone, Copy)]
pub struct Client {
    /// The name of its files.
    pub name: &'static str,
    /// Who it is to the API server.
    pub user: &'static str,
    /// The group that gives it its rights, if it is not its name.
    pub group: Option<&'static str>,
}

/// The administrator.
pub const ADMIN: Client = Client { name: "admin", user: "admin", group: Some("system:masters") };

/// Writes a certificate authority, certificates of the API server, at its addresses, and of clients, and the key that signs
/// `ServiceAccount` tokens.
pub fn write(dir: &Path, addresses: &[Ipv4Addr], clients: &[Client]) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let authority = authority()?;
    fs::write(dir.join("ca.crt"), authority.pem())?;
    let mut server = params("kube-apiserver", None);
    let names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];
    server.subject_alt_names = addresses.iter().map(|address| SanType::IpAddress(IpAddr::V4(*address))).collect();
    for name in names {
        server.subject_alt_names.push(SanType::DnsName(name.try_into()?));
    }
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    issue(dir, "apiserver", &server, &authority)?;
    for client in clients {
        let mut certificate = params(client.user, client.group);
        certificate.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        issue(dir, client.name, &certificate, &authority)?;
    }
    let accounts = KeyPair::generate()?;
    secret(&dir.join("sa.key"), &accounts.serialize_pem())?;
    fs::write(dir.join("sa.pub"), accounts.public_key_pem())?;
    Ok(())
}

/// Writes a file that only its owner reads; replaces what was there at once.
pub fn secret(path: &Path, content: &str) -> Result<()> {
    use std::io::Write as _;
    let new = path.with_extension("new");
    let _ = fs::remove_file(&new);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)
        .with_context(|| format!("cannot write {}", new.display()))?;
    file.write_all(content.as_bytes())?;
    fs::rename(&new, path).with_context(|| format!("cannot write {}", path.display()))
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>> {
    let mut params = params("odoofleet development", None);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

fn params(name: &str, organisation: Option<&str>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    if let Some(organisation) = organisation {
        params.distinguished_name.push(DnType::OrganizationName, organisation);
    }
    params
}

fn issue(dir: &Path, name: &str, params: &CertificateParams, by: &CertifiedIssuer<'_, KeyPair>) -> Result<()> {
    let key = KeyPair::generate()?;
    fs::write(dir.join(format!("{name}.crt")), params.signed_by(&key, by)?.pem())?;
    secret(&dir.join(format!("{name}.key")), &key.serialize_pem())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn keys_are_for_their_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &[Ipv4Addr::LOCALHOST], &[ADMIN]).unwrap();
        for name in ["apiserver.key", "admin.key", "sa.key"] {
            let mode = fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        for name in ["ca.crt", "apiserver.crt", "admin.crt", "sa.pub"] {
            assert!(fs::read_to_string(dir.path().join(name)).unwrap().starts_with("-----BEGIN "), "{name}");
        }
        assert!(!dir.path().join("ca.key").exists(), "nobody needs the authority's key again");
    }
}
