//! What differs in a release's objects, as far as a status names it.

use odoofleet_api::environment::ObjectDifference;

/// Objects that a status names, and paths of each.
const NAMED: usize = 20;

/// The first objects, each with the first of its paths.
pub(super) fn named(all: &[ObjectDifference]) -> Vec<ObjectDifference> {
    let short = |one: &ObjectDifference| ObjectDifference {
        paths: one.paths.iter().take(NAMED).cloned().collect(),
        ..one.clone()
    };
    all.iter().take(NAMED).map(short).collect()
}
