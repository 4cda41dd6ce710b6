//! Objects as a user would write them, for scenarios to change.

use anyhow::Result;
use serde_json::{Value, json};

use crate::chart::Chart;
use crate::world::World;

/// A customer in contract.
pub fn customer(name: &str) -> Value {
    json!({
        "apiVersion": "odoofleet.dev/v1alpha1", "kind": "OdooCustomer", "metadata": { "name": name },
        "spec": { "displayName": name, "lifecycle": "Active" },
    })
}

/// A template of the small chart, kept in ConfigMap `small-chart`.
pub fn template(name: &str, version: &str) -> Value {
    json!({
        "apiVersion": "odoofleet.dev/v1alpha1", "kind": "OdooTemplate", "metadata": { "name": name },
        "spec": {
            "version": version,
            "odooVersion": "18.0",
            "chart": { "configMapRef": { "name": "small-chart" } },
            "bindings": [
                { "to": "replicaCount", "from": "replicas" },
                { "to": "customer.id", "from": "customer.id" },
                { "to": "host", "from": "ingress.host" },
                { "to": "aliases", "from": "ingress.aliases" },
                { "to": "image.tag", "from": "image.tag" },
            ],
            "secretPaths": ["password"],
            "stop": { "workloads": [
                { "kind": "Deployment", "name": "{release}-web", "role": "Application", "replicasPath": "replicaCount" },
                { "kind": "StatefulSet", "name": "{release}-db", "role": "Database" },
            ] },
        },
    })
}

/// A template `odoo` of charts/odoo.
pub fn odoo_template() -> Value {
    json!({
        "apiVersion": "odoofleet.dev/v1alpha1", "kind": "OdooTemplate", "metadata": { "name": "odoo" },
        "spec": { "version": "1", "odooVersion": "18.0", "chart": { "path": "odoo" } },
    })
}

/// An environment `{customer}-{service}` of template `odoo`.
pub fn odoo_environment(customer: &str, service: &str) -> Value {
    let mut environment = environment(customer, service);
    environment["spec"]["templateRef"]["name"] = json!("odoo");
    environment
}

/// An environment `{customer}-{service}` of template `small`.
pub fn environment(customer: &str, service: &str) -> Value {
    json!({
        "apiVersion": "odoofleet.dev/v1alpha1", "kind": "OdooEnvironment", "metadata": { "name": format!("{customer}-{service}") },
        "spec": {
            "customerRef": { "name": customer },
            "serviceName": service,
            "stage": "Test",
            "templateRef": { "name": "small" },
        },
    })
}

/// An environment `acme-{service}` of a template.
pub fn environment_of(service: &str, template: &str) -> Value {
    let mut environment = environment("acme", service);
    environment["spec"]["templateRef"]["name"] = json!(template);
    environment
}

/// A template whose chart lies in ConfigMap `map`.
pub fn template_of(name: &str, version: &str, map: &str) -> Value {
    let mut template = template(name, version);
    template["spec"]["chart"]["configMapRef"]["name"] = json!(map);
    template
}

impl World {
    /// Applies a template whose chart lies in a ConfigMap of its own.
    pub async fn put_template(
        &self,
        name: &str,
        version: &str,
        chart: &Chart,
        change: impl Fn(&mut Value),
    ) -> Result<()> {
        let map = format!("{name}-chart");
        self.put_chart_as(&map, chart).await?;
        let mut template = template_of(name, version, &map);
        change(&mut template);
        self.apply(&template).await
    }
}

/// A certificate for a host, valid to the first day of a year, in a Secret of customer `acme`.
pub fn certificate(secret: &str, host: &str, year: i32) -> Result<Value> {
    let mut params = rcgen::CertificateParams::new(vec![host.to_owned()])?;
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(year, 1, 1);
    let key = rcgen::KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok(json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": { "name": secret, "labels": { "odoofleet.dev/customer": "acme" } },
        "stringData": { "tls.crt": certificate.pem(), "tls.key": key.serialize_pem() },
    }))
}
