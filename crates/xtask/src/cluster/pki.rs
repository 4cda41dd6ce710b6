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

/// Writes a certificate authority, the API server's and the administrator's certificates and the key that signs
/// `ServiceAccount` tokens.
pub fn write(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let authority = authority()?;
    fs::write(dir.join("ca.crt"), authority.pem())?;
    let mut server = params("kube-apiserver", None);
    server.subject_alt_names = vec![
        SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        SanType::IpAddress(IpAddr::V4(Ipv4Addr::new(10, 96, 0, 1))),
        SanType::DnsName("localhost".try_into()?),
        SanType::DnsName("kubernetes".try_into()?),
        SanType::DnsName("kubernetes.default.svc".try_into()?),
    ];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    issue(dir, "apiserver", &server, &authority)?;
    let mut admin = params("admin", Some("system:masters"));
    admin.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    issue(dir, "admin", &admin, &authority)?;
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
        write(dir.path()).unwrap();
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
