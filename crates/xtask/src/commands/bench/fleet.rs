//! The objects that are measured: one template, one customer for ten environments.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use serde_json::{Value, json};

/// The namespace of the operator's environments.
pub const NAMESPACE: &str = "odoo";
const PER_CUSTOMER: u32 = 10;
/// The template that all follow.
pub const TEMPLATE: &str = "bench";

/// So many environments.
pub struct Fleet {
    environments: Vec<Environment>,
}

/// One environment.
#[derive(Clone)]
pub struct Environment {
    customer: String,
    service: String,
}

impl Environment {
    /// Its name, and that of its release.
    pub fn name(&self) -> String {
        format!("{}-{}", self.customer, self.service)
    }

    /// Its customer.
    pub fn customer(&self) -> &str {
        &self.customer
    }

    /// The object. `change` is a value that differs after each change; zero leaves it out.
    pub fn manifest(&self, change: u32) -> Value {
        let mut spec = json!({
            "customerRef": {"name": self.customer},
            "serviceName": self.service,
            "stage": "Test",
            "templateRef": {"name": TEMPLATE},
            "size": "S",
            "ingress": {"host": format!("{}.bench.example", self.name())},
        });
        if change > 0 {
            spec["values"] = values(change);
        }
        json!({
            "apiVersion": "odoofleet.dev/v1alpha1",
            "kind": "OdooEnvironment",
            "metadata": {"name": self.name(), "namespace": NAMESPACE},
            "spec": spec,
        })
    }
}

/// Values of the chart in which only `change` ever differs.
pub fn values(change: u32) -> Value {
    json!({"odoo": {"config": {"limit_time_real": change}}})
}

/// How `change` reads in the chart's ConfigMap, as a line of a watch carries it.
pub fn marker(change: u32) -> String {
    format!(r#"\"limit_time_real\":{change},"#)
}

impl Fleet {
    /// So many, ten for each customer.
    pub fn new(environments: u32) -> Self {
        Self::shared_by(environments, PER_CUSTOMER)
    }

    /// So many, all of one customer.
    pub fn of_one_customer(environments: u32) -> Self {
        Self::shared_by(environments, environments)
    }

    fn shared_by(environments: u32, each: u32) -> Self {
        let environment = |number: u32| Environment {
            customer: format!("c{:04}", number / each),
            service: format!("e{}", number % each),
        };
        Self { environments: (0..environments).map(environment).collect() }
    }

    /// How many.
    pub fn size(&self) -> usize {
        self.environments.len()
    }

    /// All of them.
    pub fn all(&self) -> &[Environment] {
        &self.environments
    }

    /// What must be there before the environments.
    pub fn base(&self) -> String {
        let customers: BTreeSet<&str> = self.environments.iter().map(Environment::customer).collect();
        let customers = customers.into_iter().map(|name| {
            json!({
                "apiVersion": "odoofleet.dev/v1alpha1",
                "kind": "OdooCustomer",
                "metadata": {"name": name, "namespace": NAMESPACE},
                "spec": {"lifecycle": "Active"},
            })
        });
        list(std::iter::once(template()).chain(customers))
    }

    /// All environments as one file.
    pub fn manifest(&self, change: u32) -> String {
        list(self.environments.iter().map(|environment| environment.manifest(change)))
    }

    /// The values of each release, derived from those that Helm stored for the first environment's.
    pub fn stored_values(&self, first: &Value) -> Result<Vec<Value>> {
        let Some(model) = self.environments.first() else { bail!("there are no environments") };
        let text = first.to_string();
        let derive = |environment: &Environment| {
            let own = text.replace(&model.name(), &environment.name()).replace(&model.customer, &environment.customer);
            Ok(serde_json::from_str(&own)?)
        };
        self.environments.iter().map(derive).collect()
    }
}

fn template() -> Value {
    json!({
        "apiVersion": "odoofleet.dev/v1alpha1",
        "kind": "OdooTemplate",
        "metadata": {"name": TEMPLATE, "namespace": NAMESPACE},
        "spec": {
            "version": "1",
            "odooVersion": "18.0",
            "postgresMajor": 16,
            "chart": {"path": "odoo"},
            "stop": {"workloads": [
                {"kind": "Deployment", "name": "{release}-web", "role": "Application", "replicasPath": "replicaCount"},
                {"kind": "StatefulSet", "name": "{release}-postgresql", "role": "Database"},
            ]},
        },
    })
}

fn list(items: impl Iterator<Item = Value>) -> String {
    json!({"apiVersion": "v1", "kind": "List", "items": items.collect::<Vec<_>>()}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_environments_share_a_customer() {
        let fleet = Fleet::new(25);
        let names: Vec<String> = fleet.all().iter().map(Environment::name).collect();
        assert_eq!((names[0].as_str(), names[9].as_str(), names[24].as_str()), ("c0000-e0", "c0000-e9", "c0002-e4"));
        let base: Value = serde_json::from_str(&fleet.base()).unwrap();
        let kinds: Vec<&str> =
            base["items"].as_array().unwrap().iter().filter_map(|item| item["kind"].as_str()).collect();
        assert_eq!(kinds, ["OdooTemplate", "OdooCustomer", "OdooCustomer", "OdooCustomer"]);
    }

    #[test]
    fn values_are_those_of_each_environment() {
        let fleet = Fleet::new(12);
        let stored = json!({"customer": {"id": "c0000"}, "releaseNameOverride": "c0000-e0", "size": "S"});
        let all = fleet.stored_values(&stored).unwrap();
        assert_eq!(all[0], stored);
        assert_eq!(all[11], json!({"customer": {"id": "c0001"}, "releaseNameOverride": "c0001-e1", "size": "S"}));
    }

    #[test]
    fn a_change_is_in_the_manifest_only_when_there_is_one() {
        let environment = &Fleet::new(10).all()[0].clone();
        assert_eq!(environment.manifest(0)["spec"].get("values"), None);
        assert_eq!(environment.manifest(7)["spec"]["values"]["odoo"]["config"]["limit_time_real"], 7);
    }
}
