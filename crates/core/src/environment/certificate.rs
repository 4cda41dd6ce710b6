//! Whether the hosts of an environment have certificates that browsers take.

use jiff::{SignedDuration, Timestamp};
use odoofleet_api::conditions::Reason;

use crate::finding::Finding;
use crate::observed::{Certificate, FoundCertificate};

/// So long before its end a certificate is mentioned. Issuers renew a month before.
const SOON: SignedDuration = SignedDuration::from_hours(14 * 24);

/// The certificates of an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// Whether every host has a valid one.
    pub ready: bool,
    /// What is to be said of all of them.
    pub words: Finding,
    /// What is wrong with the main host's. An alias whose DNS is not there yet does not hold up the environment.
    pub main: Option<Finding>,
}

/// Judges the certificates. None if no host is served by TLS here.
pub fn judge(certificates: &[Certificate], main_host: Option<&str>, now: Timestamp) -> Option<Judgement> {
    let hosts = || certificates.iter().flat_map(|one| one.hosts.iter().map(move |host| (host.as_str(), one)));
    hosts().next()?;
    let problems: Vec<(&str, Finding)> =
        hosts().filter_map(|(host, one)| problem(host, one, now).map(|finding| (host, finding))).collect();
    let main = problems.iter().find(|(host, _)| Some(*host) == main_host).map(|(_, finding)| finding.clone());
    let words = match (&main, problems.first()) {
        (Some(finding), _) | (None, Some((_, finding))) => finding.clone(),
        (None, None) => Finding::new(Reason::Accepted, valid(certificates, now)),
    };
    Some(Judgement { ready: problems.is_empty(), words, main })
}

/// When time alone changes what is to be said of certificates next: one is soon to end, or ends.
pub fn next_change(certificates: &[Certificate], now: Timestamp) -> Option<Timestamp> {
    let ends = certificates.iter().filter_map(|one| match &one.found {
        Some(FoundCertificate::Certificate { not_after, .. }) => Some(*not_after),
        _ => None,
    });
    ends.flat_map(|end| [end - SOON, end]).filter(|moment| *moment > now).min()
}

fn problem(host: &str, certificate: &Certificate, now: Timestamp) -> Option<Finding> {
    let secret = &certificate.secret;
    match &certificate.found {
        None => Some(Finding::new(
            Reason::WaitingForCertificate,
            format!(
                "there is no certificate for host \"{host}\" in Secret \"{secret}\" yet: an issuer makes one when the DNS of the host leads here"
            ),
        )),
        Some(FoundCertificate::Unreadable) => Some(Finding::new(
            Reason::CertificateMismatch,
            format!("Secret \"{secret}\" for host \"{host}\" holds no certificate that can be read in tls.crt"),
        )),
        Some(FoundCertificate::Certificate { not_after, .. }) if *not_after <= now => Some(Finding::new(
            Reason::CertificateExpired,
            format!(
                "the certificate of host \"{host}\" in Secret \"{secret}\" has expired at {not_after:.0}: renew it, or see why its issuer did not"
            ),
        )),
        Some(FoundCertificate::Certificate { names, .. }) if !names.iter().any(|name| covers(name, host)) => {
            let message = format!(
                "the certificate in Secret \"{secret}\" is for \"{}\", not for host \"{host}\"",
                names.join("\", \"")
            );
            Some(Finding::new(Reason::CertificateMismatch, message))
        }
        Some(FoundCertificate::Certificate { .. }) => None,
    }
}

/// The first end, and whether it is near. Days alone, so that the words change once a day at most.
fn valid(certificates: &[Certificate], now: Timestamp) -> String {
    let ends = certificates.iter().filter_map(|one| match &one.found {
        Some(FoundCertificate::Certificate { not_after, .. }) => Some((*not_after, &one.secret)),
        _ => None,
    });
    let Some((end, secret)) = ends.min_by_key(|(end, _)| *end) else { return String::new() };
    let day = end.strftime("%Y-%m-%d");
    let soon = if end.duration_since(now) < SOON { ", which is soon: see why it is not renewed" } else { "" };
    format!("every host has a certificate; the first to end is that of Secret \"{secret}\", on {day}{soon}")
}

/// RFC 6125: a `*` stands for the whole first label and nothing else.
fn covers(name: &str, host: &str) -> bool {
    let (name, host) = (name.to_ascii_lowercase(), host.to_ascii_lowercase());
    let rest_of = |text: &str| text.split_once('.').map(|(_, rest)| rest.to_owned());
    name == host || name.strip_prefix("*.").is_some_and(|rest| rest_of(&host).as_deref() == Some(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: i64) -> Timestamp {
        Timestamp::from_second(day * 86_400).unwrap()
    }

    fn certificate(host: &str, found: Option<(&str, i64)>) -> Certificate {
        let found =
            found.map(|(name, end)| FoundCertificate::Certificate { names: vec![name.into()], not_after: at(end) });
        Certificate { hosts: vec![host.into()], secret: format!("{host}-tls"), found }
    }

    #[test]
    fn what_is_wrong_with_the_main_host_counts_for_the_environment() {
        let table = [
            (None, Some(Reason::WaitingForCertificate)),
            (Some(("erp.acme.cn", 5)), Some(Reason::CertificateExpired)),
            (Some(("erp.acme.cn", 10)), Some(Reason::CertificateExpired)),
            (Some(("www.acme.cn", 99)), Some(Reason::CertificateMismatch)),
            (Some(("*.cn", 99)), Some(Reason::CertificateMismatch)),
            (Some(("*.acme.cn", 99)), None),
            (Some(("ERP.acme.cn", 99)), None),
        ];
        for (found, expected) in table {
            let judged = judge(&[certificate("erp.acme.cn", found)], Some("erp.acme.cn"), at(10)).unwrap();
            assert_eq!(
                (judged.main.map(|main| main.reason), judged.ready),
                (expected.clone(), expected.is_none()),
                "{found:?}"
            );
        }
        let unreadable = Certificate { found: Some(FoundCertificate::Unreadable), ..certificate("erp.acme.cn", None) };
        let judged = judge(&[unreadable], Some("erp.acme.cn"), at(10)).unwrap();
        assert_eq!(judged.main.unwrap().reason, Reason::CertificateMismatch);
    }

    #[test]
    fn an_alias_without_a_certificate_is_told_and_holds_up_nobody() {
        let all = [certificate("erp.acme.cn", Some(("erp.acme.cn", 99))), certificate("www.acme.cn", None)];
        let judged = judge(&all, Some("erp.acme.cn"), at(10)).unwrap();
        assert_eq!((judged.ready, judged.main), (false, None));
        assert!(judged.words.message.contains("www.acme.cn"));
    }

    #[test]
    fn the_first_end_is_told_and_whether_it_is_near() {
        let all = [certificate("a.cn", Some(("a.cn", 99))), certificate("b.cn", Some(("b.cn", 20)))];
        let words = |day| judge(&all, None, at(day)).unwrap().words.message;
        assert!(words(1).contains("b.cn-tls") && words(1).contains("1970-01-21") && !words(1).contains("soon"));
        assert!(words(10).contains("soon"));
        assert_eq!(judge(&[], Some("a.cn"), at(1)), None);
    }
}
