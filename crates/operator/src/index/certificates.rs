//! Certificates in Secrets of type `kubernetes.io/tls`: names and end, never a key.

use std::collections::HashMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use odoofleet_core::observed::FoundCertificate;
use parking_lot::RwLock;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;

/// Certificates by the name of their Secret.
#[derive(Default)]
pub struct CertificateIndex(RwLock<HashMap<String, FoundCertificate>>);

impl CertificateIndex {
    /// Takes in what lies in a Secret. Returns whose certificate may have changed, as the other two do.
    pub fn apply(&self, name: String, found: FoundCertificate) -> Vec<String> {
        self.0.write().insert(name.clone(), found);
        vec![name]
    }

    /// Forgets a Secret.
    pub fn remove(&self, name: String) -> Vec<String> {
        self.0.write().remove(&name);
        vec![name]
    }

    /// Replaces everything. What vanished while nobody watched has changed, too.
    pub fn replace(&self, all: HashMap<String, FoundCertificate>) -> Vec<String> {
        let old = std::mem::replace(&mut *self.0.write(), all);
        let mut names: Vec<String> = old.into_keys().chain(self.0.read().keys().cloned()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// What lies in a Secret.
    pub fn get(&self, name: &str) -> Option<FoundCertificate> {
        self.0.read().get(name).cloned()
    }
}

/// Reads the first certificate of `tls.crt`: the server's own.
pub fn read(secret: &Secret) -> FoundCertificate {
    let pem = secret.data.as_ref().and_then(|data| data.get("tls.crt"));
    pem.and_then(|pem| parse(&pem.0)).unwrap_or(FoundCertificate::Unreadable)
}

fn parse(pem: &[u8]) -> Option<FoundCertificate> {
    let pem = Pem::iter_from_buffer(pem).next()?.ok()?;
    let certificate = pem.parse_x509().ok()?;
    let not_after = Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()?;
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    });
    Some(FoundCertificate::Certificate { names: names.collect(), not_after })
}
