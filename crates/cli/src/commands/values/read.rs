//! What decides over an environment's values, read with the caller's rights: its template version, the chart that is kept for it, and its
//! customer. Secrets are never read.

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use odoofleet_api::{Object, OdooCustomer, OdooEnvironment, OdooTemplate};
use odoofleet_core::chart::{self, ARCHIVE_KEY, archive_name};
use odoofleet_core::digest;
use odoofleet_core::environment::FedValue;
use odoofleet_core::environment::preview::{Preview, preview};
use odoofleet_core::environment::references::{CustomerView, ObjectKind, VersionView};
use odoofleet_core::finding::Finding;
use odoofleet_core::template::{VersionContent, revision_name};
use serde_json::Value;

use super::leaves::{Change, changes};
use crate::failure::{Exit, Failure};
use crate::output;
use crate::say;
use crate::session::Session;

/// An environment with a version of its template, and the values that come of both.
pub struct Known {
    /// The environment.
    pub environment: OdooEnvironment,
    /// Its template.
    pub template: OdooTemplate,
    /// Its customer.
    pub customer: CustomerView,
    /// The version.
    pub version: VersionView,
    /// The values.
    pub preview: Preview,
}

impl Known {
    /// With the version that the environment is on.
    pub async fn of(session: &Session, environment: OdooEnvironment) -> Result<Self, Failure> {
        let template: OdooTemplate = session.get(&environment.spec.template_ref.name).await?;
        let own = current(&environment, &template);
        let version = version(session, &template, &own).await?;
        let customer: OdooCustomer = session.get(&environment.spec.customer_ref.name).await?;
        Self::new(session, environment, template, CustomerView::of(&customer), version)
    }

    /// The same with another version of the template.
    pub async fn at(&self, session: &Session, wanted: &str) -> Result<Self, Failure> {
        let version = version(session, &self.template, wanted).await?;
        Self::new(session, self.environment.clone(), self.template.clone(), self.customer.clone(), version)
    }

    /// The same with other values of the environment's own. The schema has the last word, too.
    pub fn with_values(&self, session: &Session, values: Object) -> Result<Self, Failure> {
        let mut environment = self.environment.clone();
        environment.spec.values = values;
        let version = self.version.clone();
        let known = Self::new(session, environment, self.template.clone(), self.customer.clone(), version)?;
        match &known.preview.violation {
            Some(violation) => Err(refused(session, &known.environment, violation)),
            None => Ok(known),
        }
    }

    fn new(
        session: &Session,
        environment: OdooEnvironment,
        template: OdooTemplate,
        customer: CustomerView,
        version: VersionView,
    ) -> Result<Self, Failure> {
        let preview =
            preview(&environment, &customer, &version).map_err(|finding| refused(session, &environment, &finding))?;
        Ok(Self { environment, template, customer, version, preview })
    }

    /// The final values for people: what Secrets feed is named in its place. A ConfigMap is read where the caller may.
    pub async fn shown(&self, session: &Session) -> Object {
        let mut values = self.preview.layers.composed();
        for fed in &self.preview.fed {
            // What was set there once can be set again.
            let _ = fed.to.set(&mut values, content(session, fed).await);
        }
        values
    }

    /// What changes of the final values with another version.
    pub async fn changes_to(&self, session: &Session, other: &Self) -> Vec<Change> {
        changes(&self.shown(session).await, &other.shown(session).await)
    }

    /// Says beside the answer that the values break the schema.
    pub fn remark_on_violation(&self, session: &Session) {
        let (language, Some(finding)) = (session.language, &self.preview.violation) else { return };
        let (reason, message) = (finding.reason.as_str(), &finding.message);
        output::remark(&say!(
            language,
            "the operator refuses these values: {reason}: {message}",
            "Operator 会拒绝这些值：{reason}：{message}"
        ));
    }

    /// Says beside the answer what only the operator knows.
    pub fn remark_on_settings(&self, session: &Session) {
        let language = session.language;
        for path in &self.preview.of_settings {
            output::remark(&say!(
                language,
                "left out: \"{path}\", which the operator fills from its setting allowedGitHosts",
                "未显示：\"{path}\"，由 Operator 按其设置 allowedGitHosts 填写"
            ));
        }
    }
}

/// The operator's refusal, before it is asked.
pub fn refused(session: &Session, environment: &OdooEnvironment, finding: &Finding) -> Failure {
    let (language, name) = (session.language, environment.name_any());
    let (reason, message) = (finding.reason.as_str(), &finding.message);
    let message = say!(
        language,
        "the operator refuses the values of environment \"{name}\": {reason}: {message}",
        "Operator 会拒绝环境 \"{name}\" 的值：{reason}：{message}"
    );
    let remedy = crate::reasons::explain(reason, language).map(|explanation| explanation.remedy.clone());
    Failure { hint: remedy, ..Failure::new(Exit::Refused, message) }
}

/// The version that an environment is on: the one that it names, else the one that its release holds, else the newest.
pub fn current(environment: &OdooEnvironment, template: &OdooTemplate) -> String {
    let wanted = &environment.spec.template_ref;
    let held = environment.status.as_ref().and_then(|status| status.template.as_ref());
    let held = held.filter(|held| held.name == wanted.name).map(|held| held.version.clone());
    wanted.version.clone().or(held).unwrap_or_else(|| template.spec.version.clone())
}

/// Names of the versions that exist, newest first.
pub fn known_versions(template: &OdooTemplate) -> Vec<&str> {
    let versions = template.status.iter().flat_map(|status| &status.versions);
    versions.map(|version| version.version.as_str()).collect()
}

/// Refuses a version that the template does not have. Its newest is there before status tells of it.
pub fn check_version(session: &Session, template: &OdooTemplate, wanted: &str) -> Result<(), Failure> {
    if template.spec.version == wanted || known_versions(template).contains(&wanted) {
        return Ok(());
    }
    Err(unknown_version(session, template, wanted))
}

fn unknown_version(session: &Session, template: &OdooTemplate, wanted: &str) -> Failure {
    let (language, name, known) = (session.language, template.name_any(), known_versions(template));
    let known = if known.is_empty() { language.pick("none yet", "尚无").to_owned() } else { known.join(", ") };
    let message = say!(
        language,
        "template \"{name}\" has no version \"{wanted}\"; there is: {known}",
        "模板 \"{name}\" 没有版本 \"{wanted}\"；现有：{known}"
    );
    Failure::new(Exit::NotFound, message)
}

/// The content of a version, as it was frozen. What is frozen decides, not the list in status, which is written after environments
/// have begun to use it.
pub async fn content_of(session: &Session, template: &OdooTemplate, wanted: &str) -> Result<VersionContent, Failure> {
    let (language, name) = (session.language, revision_name(&template.name_any(), wanted));
    let revision = session.get::<ControllerRevision>(&name).await.map_err(|failure| match failure.exit {
        Exit::NotFound => unknown_version(session, template, wanted),
        _ => failure,
    })?;
    let data = revision.data.map(|data| data.0).unwrap_or_default();
    serde_json::from_value(data).map_err(|error| {
        let message = say!(
            language,
            "controllerrevision \"{name}\" cannot be read: {error}",
            "无法读取 controllerrevision \"{name}\"：{error}"
        );
        Failure::new(Exit::Failed, message)
    })
}

/// A version with its chart.
pub async fn version(session: &Session, template: &OdooTemplate, wanted: &str) -> Result<VersionView, Failure> {
    let content = content_of(session, template, wanted).await?;
    let (language, name) = (session.language, archive_name(&content.chart_digest));
    let map: ConfigMap = session.get(&name).await?;
    let archive = map.binary_data.and_then(|mut data| data.remove(ARCHIVE_KEY)).map(|bytes| bytes.0);
    let archive = archive.filter(|archive| digest::hex(archive) == content.chart_digest).ok_or_else(|| {
        let message = say!(
            language,
            "configmap \"{name}\" does not hold the chart that it should",
            "configmap \"{name}\" 中的 Chart 与应有内容不符"
        );
        Failure::new(Exit::Failed, message)
    })?;
    let chart = chart::read(&archive).map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    Ok(VersionView::new(template.name_any(), content, chart))
}

/// `Secret acme-mail/password`.
pub fn source(fed: &FedValue) -> String {
    format!("{:?} {}/{}", fed.object.kind, fed.object.name, fed.key)
}

/// What is fed, for people: never a Secret's content.
async fn content(session: &Session, fed: &FedValue) -> Value {
    let placeholder = Value::String(format!("<from {}>", source(fed)));
    if fed.object.kind == ObjectKind::Secret {
        return placeholder;
    }
    let map = session.api::<ConfigMap>().get_opt(&fed.object.name).await.ok().flatten();
    let text = map.and_then(|map| map.data?.remove(&fed.key));
    text.map_or(placeholder, Value::String)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_environment_is_on_the_version_that_it_names_or_holds_or_on_the_newest() {
        let template: OdooTemplate = serde_json::from_value(json!({
            "apiVersion": "odoofleet.dev/v1alpha1", "kind": "OdooTemplate", "metadata": {"name": "odoo-18"},
            "spec": {"version": "3", "odooVersion": "18.0", "chart": {"path": "odoo"}},
        }))
        .unwrap();
        let of = |pin: Option<&str>, held: Option<(&str, &str)>| {
            let environment: OdooEnvironment = serde_json::from_value(json!({
                "apiVersion": "odoofleet.dev/v1alpha1", "kind": "OdooEnvironment", "metadata": {"name": "a"},
                "spec": {"customerRef": {"name": "acme"}, "serviceName": "a", "stage": "Test",
                    "templateRef": {"name": "odoo-18", "version": pin}},
                "status": {"template": held.map(|(name, version)| json!({"name": name, "version": version}))},
            }))
            .unwrap();
            current(&environment, &template)
        };
        assert_eq!(of(Some("1"), Some(("odoo-18", "2"))), "1");
        assert_eq!(of(None, Some(("odoo-18", "2"))), "2");
        assert_eq!(of(None, Some(("odoo-17", "2"))), "3", "it comes from another template");
        assert_eq!(of(None, None), "3");
    }
}
