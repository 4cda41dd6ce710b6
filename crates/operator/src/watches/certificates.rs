//! Certificates in Secrets of type `kubernetes.io/tls`: names and end, never a key.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use odoofleet_core::observed::FoundCertificate;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;

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
