//! Who depends on what changed, and is to be looked at.

use kube::ResourceExt;
use odoofleet_api::OdooEnvironment;
use odoofleet_core::environment::references::{ObjectName, hosts, named_objects, names};

use crate::context::Context;

/// Whoever claims a release.
pub fn trigger_release(ctx: &Context, release: &str) {
    ctx.index.claims.of(release).iter().for_each(|environment| ctx.triggers.environment(environment));
}

/// A retained release that is gone frees its hosts; whoever waits for one of them does not know its name.
pub fn trigger_rivals_of_release(ctx: &Context, release: &str) {
    for environment in ctx.stores.environments.state() {
        let status = environment.status.as_ref();
        let waits = status
            .and_then(|status| status.reason.as_deref())
            .is_some_and(|reason| matches!(reason, "HostTaken" | "ReleaseOwnedByAnother"));
        if waits && environment.name_any() != release {
            ctx.triggers.environment(&environment.name_any());
        }
    }
}

/// Whoever names a Secret or ConfigMap.
pub fn trigger_referrers(ctx: &Context, object: &ObjectName) {
    for environment in ctx.stores.environments.state() {
        if named_objects(&environment.spec).contains(object) {
            ctx.triggers.environment(&environment.name_any());
        }
    }
    for template in ctx.stores.templates.state() {
        let chart = &template.spec.chart;
        let named = chart.config_map_ref.as_ref().map(|map| &map.name).into_iter();
        let mut named = named
            .chain(chart.pull_secret_ref.as_ref().map(|secret| &secret.name))
            .chain(chart.ca_ref.as_ref().map(|map| &map.name));
        if named.any(|name| *name == object.name) {
            ctx.triggers.template(&template.name_any());
        }
    }
}

/// A template and its environments.
pub fn trigger_template(ctx: &Context, template: &str) {
    ctx.triggers.template(template);
    for environment in ctx.stores.environments.state() {
        if environment.spec.template_ref.name == template {
            ctx.triggers.environment(&environment.name_any());
        }
    }
}

/// Whoever wants the release name of an environment or one of `claims`, or waits for its customer's limit.
pub fn trigger_rivals(ctx: &Context, changed: &OdooEnvironment, claims: &[String]) {
    let release = names(&changed.spec).ok().map(|(_, release)| release);
    for other in ctx.stores.environments.state() {
        if other.name_any() == changed.name_any() {
            continue;
        }
        let same_release = release.is_some() && names(&other.spec).ok().map(|(_, release)| release) == release;
        let same_host = !claims.is_empty() && hosts(&other.spec).iter().any(|host| claims.contains(host));
        let same_customer = other.spec.customer_ref.name == changed.spec.customer_ref.name;
        let waits_for_limit =
            same_customer && other.status.as_ref().and_then(|status| status.reason.as_deref()) == Some("LimitExceeded");
        if same_release || same_host || waits_for_limit {
            ctx.triggers.environment(&other.name_any());
        }
    }
}
