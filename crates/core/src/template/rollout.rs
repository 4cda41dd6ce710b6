//! Who may move to the newest version: one integer over a fixed order, whatever the fleet's size.

use odoofleet_api::environment::Stage;

use crate::digest;

/// An environment that follows the template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Follower {
    /// Name.
    pub name: String,
    /// UID: its hash is the order within a stage, so that no customer is always first.
    pub uid: String,
    /// Stage: Test before Staging before Production.
    pub stage: Stage,
    /// Whether its release holds the newest version.
    pub on_newest: bool,
    /// Whether it is as it should be (Running, Stopped, or Offline).
    pub well: bool,
    /// Whether the newest version failed there: the upgrade, or what runs after it.
    pub failed: bool,
}

/// How far the rollout has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutDecision {
    /// Followers whose rank lies below may move.
    pub admitted: usize,
    /// Followers on the version and well.
    pub done: usize,
    /// Followers where the version failed.
    pub failed: Vec<String>,
}

/// Sorts followers into the order in which they move.
pub fn order(followers: &mut [Follower]) {
    followers.sort_by_cached_key(|follower| (follower.stage, digest::base32(follower.uid.as_bytes())));
}

/// Decides how many of the sorted followers may move. `before` is what was admitted for the same version; it never shrinks.
pub fn decide(followers: &[Follower], before: usize, max_concurrent: usize, paused: bool) -> RolloutDecision {
    let done = followers.iter().filter(|follower| follower.on_newest && follower.well).count();
    let failed: Vec<String> =
        followers.iter().filter(|follower| follower.failed).map(|follower| follower.name.clone()).collect();
    let settled = |follower: &Follower| follower.on_newest && follower.well;
    let mut admitted = before.min(followers.len());
    if !paused {
        let mut moving = followers[..admitted].iter().filter(|follower| !settled(follower)).count();
        while admitted < followers.len() {
            if !settled(&followers[admitted]) {
                if moving >= max_concurrent {
                    break;
                }
                moving += 1;
            }
            admitted += 1;
        }
    }
    RolloutDecision { admitted, done, failed }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follower(name: &str, stage: Stage, on_newest: bool, well: bool) -> Follower {
        Follower { name: name.into(), uid: name.into(), stage, on_newest, well, failed: on_newest && !well }
    }

    #[test]
    fn at_most_so_many_are_on_the_way() {
        let mut fleet: Vec<_> = (0..10).map(|n| follower(&format!("e{n}"), Stage::Production, false, true)).collect();
        order(&mut fleet);
        assert_eq!(decide(&fleet, 0, 3, false).admitted, 3);
        fleet[0].on_newest = true;
        assert_eq!(decide(&fleet, 3, 3, false).admitted, 4);
        fleet[1].on_newest = true;
        fleet[1].well = false;
        fleet[1].failed = true;
        let decision = decide(&fleet, 4, 3, false);
        assert_eq!(
            (decision.admitted, decision.done, decision.failed.len()),
            (4, 1, 1),
            "one that is not well keeps its place"
        );
    }

    #[test]
    fn tests_move_before_production_and_nobody_while_paused() {
        let mut fleet = vec![follower("p", Stage::Production, false, true), follower("t", Stage::Test, false, true)];
        order(&mut fleet);
        assert_eq!(fleet[0].name, "t");
        assert_eq!(decide(&fleet, 0, 1, false).admitted, 1);
        assert_eq!(decide(&fleet, 0, 1, true).admitted, 0);
        assert_eq!(decide(&fleet, 1, 1, true).admitted, 1, "a pause takes nothing back");
    }
}
