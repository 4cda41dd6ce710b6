//! What an environment claims for itself: its release's name, and its hosts.

use odoofleet_api::OdooEnvironment;
use odoofleet_api::conditions::Reason;
use odoofleet_api::environment::OdooEnvironmentSpec;
use odoofleet_api::names::{CustomerName, ReleaseName};

use super::references::{References, hosts};
use crate::finding::Finding;

/// Refuses a name or a host that is somebody else's, or not this customer's to take.
pub(super) fn check(
    environment: &OdooEnvironment,
    customer: &CustomerName,
    release: &ReleaseName,
    references: &References,
) -> Result<(), Finding> {
    let hosts = hosts(&environment.spec);
    check_rivals(environment, customer, release, &hosts, references)?;
    check_release_name(environment, customer, release, references)?;
    check_domains(customer, &hosts, references)
}

/// A name that begins otherwise is there for a release that is there already, and is to be taken over: nobody takes the name that another
/// customer's environment will have.
fn check_release_name(
    environment: &OdooEnvironment,
    customer: &CustomerName,
    release: &ReleaseName,
    references: &References,
) -> Result<(), Finding> {
    if is_own_name(&environment.spec, release) || references.release.is_some() {
        return Ok(());
    }
    Err(Finding::new(
        Reason::InvalidSpec,
        format!(
            "releaseName \"{release}\" does not begin with \"{customer}-\", and there is no release of that name to take over: make the environment anew with such a name, or without releaseName"
        ),
    ))
}

/// Whether a release's name is this customer's to take.
pub(crate) fn is_own_name(spec: &OdooEnvironmentSpec, release: &ReleaseName) -> bool {
    let rest = release.as_str().strip_prefix(spec.customer_ref.name.as_str());
    spec.release_name.is_none() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

fn check_rivals(
    environment: &OdooEnvironment,
    customer: &CustomerName,
    release: &ReleaseName,
    hosts: &[String],
    references: &References,
) -> Result<(), Finding> {
    let name = environment.metadata.name.as_deref().unwrap_or_default();
    for rival in &references.rivals {
        // Whoever comes back to what was retained for it.
        if rival.retained && rival.environment == name && rival.customer == customer.as_str() {
            continue;
        }
        let holder = if rival.retained { "the retained release" } else { "environment" };
        if rival.has_release && rival.release == release.as_str() {
            let message = format!(
                "release name \"{release}\" is taken by {holder} \"{}\" of customer \"{}\": choose another serviceName",
                rival.environment, rival.customer
            );
            let reason = if rival.retained { Reason::ReleaseOwnedByAnother } else { Reason::ReleaseNameTaken };
            return Err(Finding::new(reason, message));
        }
        if let Some(host) = hosts.iter().find(|host| rival.has_hosts && rival.hosts.contains(host)) {
            let message = format!(
                "host \"{host}\" belongs to {holder} \"{}\": choose another host, or take it away there first",
                rival.environment
            );
            return Err(Finding::new(Reason::HostTaken, message));
        }
    }
    // Who reads this status need not know who is in another fleet.
    let elsewhere = references.hosts_elsewhere.iter().next();
    elsewhere.map_or(Ok(()), |(host, namespace)| {
        let message = format!(
            "host \"{host}\" belongs to an environment in namespace \"{namespace}\" of this cluster: choose another host, or take it away there first"
        );
        Err(Finding::new(Reason::HostTaken, message))
    })
}

/// The customer's own domains count, or else those of the fleet; without both, every host is allowed.
fn check_domains(customer: &CustomerName, hosts: &[String], references: &References) -> Result<(), Finding> {
    let own = references.customer.as_ref().map_or(&[][..], |customer| &customer.domains);
    let (domains, whose) = if own.is_empty() {
        (&references.allowed_domains[..], "the operator's setting allowedDomains".to_owned())
    } else {
        (own, format!("spec.domains of OdooCustomer \"{customer}\""))
    };
    let Some(host) = hosts.iter().find(|host| !may_use(host, domains)) else { return Ok(()) };
    let message = format!(
        "host \"{host}\" is in none of the domains that {whose} allows, {}: choose a host in one of them; who has the verb assign-domains can add one to the customer",
        domains.join(", ")
    );
    Err(Finding::new(Reason::HostNotAllowed, message))
}

/// Whether a host lies in one of these domains; none of them are all.
pub(crate) fn may_use(host: &str, domains: &[String]) -> bool {
    domains.is_empty() || domains.iter().any(|domain| is_in(host, domain))
}

fn is_in(host: &str, domain: &str) -> bool {
    let domain = domain.to_ascii_lowercase();
    host.strip_suffix(domain.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use odoofleet_api::environment::Ingress;

    use super::super::fixtures;
    use super::*;
    use crate::release::ReleaseStatus;

    /// What is said of an environment of customer "acme" with this release name and these hosts.
    fn refused(release: Option<&str>, own: &[&str], change: impl FnOnce(&mut References)) -> Option<(Reason, String)> {
        let mut environment = fixtures::environment(1, |_| ());
        environment.spec.release_name = release.map(str::to_owned);
        let aliases = own.iter().map(|host| (*host).to_owned()).collect();
        environment.spec.ingress = Some(Ingress { aliases, ..Ingress::default() });
        let mut references = fixtures::facts(environment.clone()).references;
        change(&mut references);
        let (customer, release) = super::super::references::names(&environment.spec).unwrap();
        check(&environment, &customer, &release, &references).err().map(|finding| (finding.reason, finding.message))
    }

    #[test]
    fn a_release_name_begins_with_the_customers_but_for_a_release_that_is_there() {
        for name in [None, Some("acme"), Some("acme-old")] {
            assert_eq!(refused(name, &[], |_| ()), None, "{name:?}");
        }
        for name in ["globex-prod", "acmeprod", "prod"] {
            let (reason, told) = refused(Some(name), &[], |_| ()).unwrap();
            assert!(reason == Reason::InvalidSpec && told.contains("\"acme-\""), "{told}");
        }
        let history = fixtures::history(1, ReleaseStatus::Deployed, |_| ());
        let there = history.newest().map(|newest| newest.ownership.clone());
        assert_eq!(
            refused(Some("old-erp"), &[], |references| references.release = there),
            None,
            "it can be taken over"
        );
    }

    #[test]
    fn hosts_lie_in_the_customers_domains_or_else_in_the_fleets() {
        type Row = (&'static [&'static str], &'static [&'static str], &'static [&'static str], Option<&'static str>);
        let table: [Row; 7] = [
            (&["any.example.com"], &[], &[], None),
            (&["erp.acme.cn"], &["acme.cn"], &[], None),
            (&["erp.acme.cn", "erp.globex.cn"], &["acme.cn"], &[], Some("spec.domains of OdooCustomer \"acme\"")),
            (&["acme.apps.example.com"], &[], &["apps.example.com"], None),
            (&["erp.acme.cn"], &[], &["apps.example.com"], Some("allowedDomains")),
            (&["acme.apps.example.com"], &["acme.cn"], &["apps.example.com"], Some("spec.domains")),
            (&[], &["acme.cn"], &["apps.example.com"], None),
        ];
        for (hosts, own, fleet, expected) in table {
            let told = refused(None, hosts, |references| {
                let list = |domains: &[&str]| domains.iter().map(|domain| (*domain).to_owned()).collect();
                references.customer.as_mut().unwrap().domains = list(own);
                references.allowed_domains = list(fleet);
            });
            assert_eq!(told.is_some(), expected.is_some(), "{hosts:?} {own:?} {fleet:?}: {told:?}");
            if let (Some((reason, told)), Some(words)) = (told, expected) {
                assert!(reason == Reason::HostNotAllowed && told.contains(words), "{told}");
            }
        }
    }

    #[test]
    fn a_host_of_another_fleet_is_taken_and_its_environment_is_not_named() {
        let (reason, told) = refused(None, &["erp.acme.cn"], |references| {
            references.hosts_elsewhere.insert("erp.acme.cn".into(), "odoo-two".into());
        })
        .unwrap();
        assert!(reason == Reason::HostTaken && told.contains("\"odoo-two\""), "{told}");
    }

    #[test]
    fn a_domain_holds_itself_and_what_lies_beneath() {
        for (host, domain, expected) in [
            ("acme.cn", "acme.cn", true),
            ("erp.acme.cn", "acme.cn", true),
            ("a.b.acme.cn", "ACME.cn", true),
            ("evilacme.cn", "acme.cn", false),
            ("acme.cn.evil.com", "acme.cn", false),
            ("acme.cn", "erp.acme.cn", false),
        ] {
            assert_eq!(is_in(host, domain), expected, "{host} in {domain}");
        }
    }
}
