//! Who may go on with a release that was made for an environment of the same name: data of Production stays Production's, and what was
//! made for one customer is not handed to another who gets the name.

use odoofleet_api::conditions::Reason;
use odoofleet_api::environment::Stage;
use odoofleet_api::{OdooEnvironment, labels};

use crate::finding::Finding;
use crate::release::Ownership;

/// Why an environment may not go on with what is there of it, if it may not.
pub(super) fn refusal(
    environment: &OdooEnvironment,
    release: &str,
    customer_id: Option<&str>,
    made_for: &Ownership,
) -> Option<Finding> {
    if !made_for.belongs_to_environment(environment) {
        return None;
    }
    let refuse = |message| Some(Finding::new(Reason::ReleaseOwnedByAnother, message));
    if let (Some(id), Some(former)) = (customer_id, made_for.customer_id.as_deref())
        && id != former
    {
        let customer = &environment.spec.customer_ref.name;
        return refuse(format!(
            "release \"{release}\" was made for customer id \"{former}\", and OdooCustomer \"{customer}\" has id \"{id}\" now: give the customer its former id, or choose another serviceName"
        ));
    }
    // The same object changes its stage with the right that admission asks for.
    let same_object = made_for.environment_uid.as_deref() == environment.metadata.uid.as_deref();
    if same_object || environment.spec.stage == Stage::Production {
        return None;
    }
    match made_for.stage.as_deref() {
        Some(stage) if stage == Stage::Production.as_str() => refuse(format!(
            "release \"{release}\" holds the data of a Production environment that was deleted: only an environment with stage Production goes on with it; set the stage, or choose another serviceName"
        )),
        Some(_) => None,
        None => refuse(format!(
            "release \"{release}\" does not say for which stage it was made, so only an environment with stage Production goes on with it; set label {} on its newest Secret of type helm.sh/release.v1, or choose another serviceName",
            labels::STAGE
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;

    fn refused(stage: &str, uid: &str, id: &str, change: impl FnOnce(&mut Ownership)) -> Option<String> {
        let mut environment = fixtures::environment(1, |_| ());
        environment.spec.stage = serde_json::from_value(stage.into()).unwrap();
        environment.metadata.uid = Some(uid.into());
        let history = fixtures::history(1, crate::release::ReleaseStatus::Deployed, change);
        let made_for = &history.newest().unwrap().ownership;
        refusal(&environment, "acme-prod", Some(id), made_for).map(|finding| finding.message)
    }

    #[test]
    fn data_of_production_is_continued_by_production_alone() {
        let production = |made_for: &mut Ownership| made_for.stage = Some("Production".into());
        let unknown = |made_for: &mut Ownership| made_for.stage = None;
        assert!(refused("Test", "u2", "acme", production).is_some_and(|told| told.contains("stage Production")));
        assert!(refused("Staging", "u2", "acme", production).is_some());
        assert!(refused("Test", "u2", "acme", unknown).is_some_and(|told| told.contains(labels::STAGE)));
        assert_eq!(refused("Production", "u2", "acme", production), None);
        assert_eq!(refused("Production", "u2", "acme", unknown), None);
        assert_eq!(
            refused("Test", "u1", "acme", production),
            None,
            "the same object, whose stage somebody entitled changed"
        );
        assert_eq!(refused("Test", "u2", "acme", |_| ()), None, "made anew as what it was");
        assert_eq!(refused("Production", "u2", "acme", |_| ()), None);
    }

    #[test]
    fn a_customer_made_again_with_another_id_does_not_take_releases_along() {
        let told = refused("Production", "u1", "other", |_| ()).unwrap();
        assert!(told.contains("\"acme\"") && told.contains("\"other\""), "{told}");
        assert_eq!(refused("Production", "u1", "other", |made_for| made_for.customer_id = None), None);
    }

    #[test]
    fn a_release_of_another_environment_is_no_matter_of_this_one() {
        let another = |made_for: &mut Ownership| made_for.environment = Some("acme-test".into());
        assert_eq!(refused("Test", "u2", "other", another), None);
    }
}
