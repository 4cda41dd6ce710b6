//! Who decides over which value of a chart. An input owns the place to which it is bound. A Secret reaches the places that are for
//! Secrets, and nothing else reaches those. What the template locks is the template's.

use odoofleet_api::Object;
use odoofleet_api::conditions::Reason;
use odoofleet_api::environment::{OdooEnvironmentSpec, ValueFrom};
use serde_json::Value;

use super::references::VersionView;
use crate::finding::Finding;
use crate::values::{BoundValue, PathError, ValuePath};

/// The rules of one template version.
pub(super) struct ValueRules<'a> {
    bound: &'a [BoundValue],
    secret: Vec<ValuePath>,
    locked: Vec<ValuePath>,
}

impl<'a> ValueRules<'a> {
    /// Those of a version and its chart, with what bindings produced.
    pub fn new(version: &VersionView, bound: &'a [BoundValue]) -> Self {
        let (content, chart) = (&version.content, &version.chart);
        Self { bound, secret: content.secret_value_paths(chart), locked: content.locked_value_paths(chart) }
    }

    /// Refuses what a spec sets and may not.
    pub fn check(&self, spec: &OdooEnvironmentSpec) -> Result<(), Finding> {
        self.check_values(&spec.values)?;
        self.check_inputs()?;
        spec.values_from.iter().try_for_each(|from| self.check_fed(from))
    }

    fn check_values(&self, values: &Object) -> Result<(), Finding> {
        if let Some(item) = self.bound.iter().find(|item| sets(values, &item.to)) {
            return refuse(item.collision("spec.values", &item.to));
        }
        if let Some(path) = self.locked.iter().find(|path| sets(values, path)) {
            return refuse(format!(
                "\"spec.values.{path}\" is locked by the template: remove it, or have the template set it in its spec.values"
            ));
        }
        match self.secret.iter().find(|path| is_plain(path.get(values))) {
            Some(path) => refuse(format!(
                "\"spec.values.{path}\" may only come from a Secret: use spec.valuesFrom with secretKeyRef"
            )),
            None => Ok(()),
        }
    }

    /// An input such as `spec.postgresql` is a map of anything: a password in it would stand where every viewer reads it, and what is
    /// locked would not be.
    fn check_inputs(&self) -> Result<(), Finding> {
        for item in self.bound {
            let Some(value) = &item.value else { continue };
            let mut values = Object::new();
            if item.to.set(&mut values, value.clone()).is_err() {
                continue;
            }
            let inside = |path: &&ValuePath| path.lies_in(&item.to) && **path != item.to && is_plain(path.get(&values));
            if let Some(path) = self.secret.iter().find(inside) {
                return refuse(format!(
                    "\"spec.{}\" sets \"{path}\", which may only come from a Secret: use spec.valuesFrom with secretKeyRef, or name a Secret in its place",
                    item.input
                ));
            }
            if let Some(path) = self.locked.iter().find(inside) {
                return refuse(format!(
                    "\"spec.{}\" sets \"{path}\", which is locked by the template: remove it, or have the template set it in its spec.values",
                    item.input
                ));
            }
        }
        Ok(())
    }

    fn check_fed(&self, from: &ValueFrom) -> Result<(), Finding> {
        let target = ValuePath::parse(&from.target_path)
            .map_err(|error| Finding::new(Reason::InvalidSpec, format!("spec.valuesFrom: {error}")))?;
        let is_secret = from.secret_key_ref.is_some();
        let reaches = is_secret && self.secret.iter().any(|path| target.lies_in(path));
        if !is_secret && self.secret.iter().any(|path| path.overlaps(&target)) {
            return refuse(format!("\"{target}\" may only come from a Secret: use secretKeyRef"));
        }
        // A place for Secrets inside what an input owns is free while the input is not set.
        let is_owned = |item: &&BoundValue| {
            item.to.overlaps(&target) && (item.value.is_some() || !(reaches && target.lies_in(&item.to)))
        };
        if let Some(item) = self.bound.iter().find(is_owned) {
            return refuse(item.collision("spec.valuesFrom", &target));
        }
        if self.locked.iter().any(|path| path.overlaps(&target)) {
            return refuse(format!(
                "\"{target}\" of spec.valuesFrom is locked by the template: remove it, or have the template set it in its spec.values"
            ));
        }
        if is_secret && !reaches { refuse(self.not_for_secrets(&target)) } else { Ok(()) }
    }

    /// Elsewhere a chart writes values into ConfigMaps, annotations and arguments, which viewers read.
    fn not_for_secrets(&self, target: &ValuePath) -> String {
        let open: Vec<String> = self.secret.iter().map(|path| format!("\"{path}\"")).collect();
        let open = if open.is_empty() { "none".to_owned() } else { open.join(", ") };
        format!(
            "\"{target}\" of spec.valuesFrom takes no Secret; the template lets Secrets reach: {open}. Use one of these, or have the template name it in spec.secretPaths if its chart renders it into a Secret"
        )
    }
}

fn refuse(message: String) -> Result<(), Finding> {
    Err(Finding::new(Reason::ValueNotAllowed, message))
}

fn is_plain(value: Option<&Value>) -> bool {
    value.is_some_and(|value| !value.is_null() && value.as_str() != Some(""))
}

/// Whether values decide what stands at a path: they set it, or put something that is not a map on the way to it. A list that does not
/// reach so far decides nothing: the entries before it come from another layer.
fn sets(values: &Object, path: &ValuePath) -> bool {
    path.get(values).is_some() || matches!(path.set(&mut values.clone(), Value::Null), Err(PathError::Blocked(_)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixtures;
    use super::*;

    /// `null` stands for an input that is not set.
    fn check(spec: &Value) -> Result<(), String> {
        let version = fixtures::version(|content| {
            content.secret_paths = vec!["odoo.config.admin_passwd".into(), "postgresql.auth.password".into()];
            content.locked_paths =
                ["networkPolicy", "odoo.securityContext", "postgresql.image"].map(str::to_owned).to_vec();
        });
        let bound = |to: &str, input: &str, value: &Value| BoundValue {
            to: ValuePath::parse(to).unwrap(),
            input: input.into(),
            value: (!value.is_null()).then(|| value.clone()),
        };
        let bound = [
            bound("ingress.host", "ingress.host", &json!("erp.acme.cn")),
            bound("ingress.aliases", "ingress.aliases", &Value::Null),
            bound("env[1].value", "stage", &json!("Test")),
            bound("postgresql", "postgresql", &spec["postgresql"]),
        ];
        let environment = fixtures::environment(1, |object| {
            for key in ["values", "valuesFrom"] {
                if let Some(value) = spec.get(key) {
                    object["spec"][key] = value.clone();
                }
            }
        });
        ValueRules::new(&version, &bound).check(&environment.spec).map_err(|finding| finding.message)
    }

    fn fed(kind: &str, to: &str) -> Result<(), String> {
        check(&json!({ "valuesFrom": [{ kind: { "name": "a", "key": "k" }, "targetPath": to }] }))
    }

    #[test]
    fn a_secret_reaches_what_is_for_secrets_and_nothing_else() {
        for to in ["odoo.config.admin_passwd", "postgresql.auth.password"] {
            assert_eq!(fed("secretKeyRef", to), Ok(()));
            assert!(fed("configMapKeyRef", to).unwrap_err().contains("secretKeyRef"), "{to}");
        }
        for to in ["podAnnotations.leak", "odoo.config.aws_secret", "odoo.config", "image.tag", "git.refresh"] {
            let told = fed("secretKeyRef", to).unwrap_err();
            assert!(told.contains("takes no Secret") && told.contains("\"odoo.config.admin_passwd\""), "{told}");
        }
        assert_eq!(fed("configMapKeyRef", "podAnnotations.note"), Ok(()));
    }

    #[test]
    fn what_an_input_owns_is_fed_by_nobody_else_whether_it_is_set_or_not() {
        for to in ["ingress.host", "ingress.aliases[0]", "ingress", "postgresql.parameters.x"] {
            for kind in ["secretKeyRef", "configMapKeyRef"] {
                let told = fed(kind, to).unwrap_err();
                assert!(told.contains("instead"), "{kind} {to}: {told}");
            }
        }
        let set = json!({
            "postgresql": { "size": "1Gi" },
            "valuesFrom": [{ "secretKeyRef": { "name": "a", "key": "k" }, "targetPath": "postgresql.auth.password" }],
        });
        assert!(check(&set).unwrap_err().contains("spec.postgresql"), "the input would replace it");
        assert!(check(&json!({ "values": { "ingress": { "aliases": ["x.cn"] } } })).is_err());
    }

    #[test]
    fn a_later_entry_of_a_list_is_bound_without_being_set() {
        assert_eq!(check(&json!({ "values": { "image": { "pullPolicy": "Always" } } })), Ok(()));
        for values in [json!({ "env": [{}, { "value": "x" }] }), json!({ "env": "x" })] {
            assert!(check(&json!({ "values": values })).unwrap_err().contains("spec.stage"), "{values}");
        }
    }

    #[test]
    fn a_plain_password_is_refused_wherever_it_stands() {
        let plain = json!({ "odoo": { "config": { "admin_passwd": "x" } } });
        assert!(check(&json!({ "values": plain })).unwrap_err().contains("secretKeyRef"));
        let told = check(&json!({ "postgresql": { "auth": { "password": "x" } } })).unwrap_err();
        assert!(told.contains("spec.postgresql") && told.contains("postgresql.auth.password"), "{told}");
        assert_eq!(check(&json!({ "postgresql": { "auth": { "password": "" } } })), Ok(()), "not set");
    }

    #[test]
    fn what_the_template_locks_no_environment_sets() {
        for values in
            [json!({ "networkPolicy": { "enabled": false } }), json!({ "networkPolicy": null }), json!({ "odoo": "x" })]
        {
            assert!(check(&json!({ "values": values })).unwrap_err().contains("locked"), "{values}");
        }
        for to in ["networkPolicy.extraEgress[0]", "networkPolicy", "odoo.securityContext.runAsUser"] {
            assert!(fed("configMapKeyRef", to).unwrap_err().contains("locked"), "{to}");
        }
        let input = check(&json!({ "postgresql": { "image": { "repository": "x" } } })).unwrap_err();
        assert!(input.contains("spec.postgresql") && input.contains("locked"), "{input}");
        assert_eq!(check(&json!({ "values": { "odoo": { "config": { "limit_time_cpu": 60 } } } })), Ok(()));
    }
}
