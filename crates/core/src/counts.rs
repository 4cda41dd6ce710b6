//! How often customers and templates are told anew how many environments they have in which state. An upgrade makes one environment
//! Pending for a moment, and what lasted a moment is worth no write.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use odoofleet_api::customer::OdooCustomerStatus;
use odoofleet_api::template::OdooTemplateStatus;

/// A status that differs only in counts is written once it has differed for so long.
pub const SETTLE: Duration = Duration::from_secs(1);

/// A status in which environments are counted.
pub trait Counting: PartialEq + Clone {
    /// The same without the counts, and without the words that repeat them.
    #[must_use]
    fn without_counts(&self) -> Self;
}

/// Whether a status differs from another in its counts alone.
pub fn differ_alone<S: Counting>(written: &S, next: &S) -> bool {
    written != next && written.without_counts() == next.without_counts()
}

impl Counting for OdooCustomerStatus {
    fn without_counts(&self) -> Self {
        Self { environments: None, conditions: self.conditions.iter().map(without_words).collect(), ..self.clone() }
    }
}

impl Counting for OdooTemplateStatus {
    fn without_counts(&self) -> Self {
        let mut status = self.clone();
        status.in_use = None;
        for version in &mut status.versions {
            version.in_use = 0;
        }
        if let Some(rollout) = &mut status.rollout {
            // Who has its turn decides who moves, and the failed are names.
            (rollout.total, rollout.done, rollout.pinned) = (0, 0, 0);
            rollout.progress.clear();
            rollout.waiting.clear();
            rollout.next_moment = None;
        }
        status.conditions = self.conditions.iter().map(without_words).collect();
        status
    }
}

fn without_words(condition: &Condition) -> Condition {
    Condition { message: String::new(), ..condition.clone() }
}

#[cfg(test)]
mod tests {
    use odoofleet_api::customer::{CustomerPhase, EnvironmentCounts};
    use odoofleet_api::rollout::RolloutStatus;

    use super::*;

    #[test]
    fn counts_of_a_customer_may_wait_and_its_phase_may_not() {
        let written = OdooCustomerStatus::default();
        let counted = OdooCustomerStatus {
            environments: Some(EnvironmentCounts { total: 2, pending: 1, ..EnvironmentCounts::default() }),
            ..written.clone()
        };
        assert!(differ_alone(&written, &counted));
        assert!(!differ_alone(&counted, &counted), "nothing is to be written");
        let suspended = OdooCustomerStatus { phase: Some(CustomerPhase::Suspended), ..counted };
        assert!(!differ_alone(&written, &suspended));
    }

    #[test]
    fn counts_of_a_template_may_wait_and_what_a_rollout_goes_by_may_not() {
        let of = |done, failed: &[&str]| OdooTemplateStatus {
            in_use: Some(done),
            rollout: Some(RolloutStatus {
                done,
                failed: failed.iter().map(|name| (*name).to_owned()).collect(),
                ..RolloutStatus::default()
            }),
            ..OdooTemplateStatus::default()
        };
        assert!(differ_alone(&of(1, &[]), &of(2, &[])));
        assert!(!differ_alone(&of(1, &[]), &of(1, &["acme-prod"])));
    }
}
