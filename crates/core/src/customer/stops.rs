//! When a stop that a customer's state asks for may come into force.
//!
//! A person's word counts at once. Time alone never stops everybody: it needs its window, its turn and a sane clock.

use jiff::Timestamp;
use jiff::civil::{Time, Weekday as JiffWeekday};
use jiff::tz::TimeZone;
use odoofleet_api::conditions::Reason;
use odoofleet_api::customer::{CustomerStop, StopScope, StopWindow, Weekday};
use odoofleet_api::environment::Stage;

use super::phase::{CustomerState, Due};

/// What is known when the decision is taken.
pub struct StopInputs<'a> {
    /// What lifecycle and dates come to.
    pub state: &'a CustomerState,
    /// The stop that is in force already.
    pub current: Option<&'a CustomerStop>,
    /// The customer's own window.
    pub window: Option<&'a StopWindow>,
    /// Stops for time's sake that may still begin in this hour, over all customers.
    pub budget: u32,
    /// Whether the operator's clock and the API server's differ by more than a minute.
    pub clock_skewed: bool,
    /// The present time.
    pub now: Timestamp,
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopDecision {
    /// Nothing is stopped.
    None,
    /// This stop is in force; `begins` when it came into force by this decision.
    InForce {
        /// The stop.
        stop: CustomerStop,
        /// Whether it is new and was time's doing: it uses up the budget.
        uses_budget: bool,
    },
    /// A stop is due and waits.
    Waiting {
        /// Why.
        reason: Reason,
        /// What for, for people.
        message: String,
    },
}

/// Decides whether a stop is in force.
pub fn decide(inputs: &StopInputs<'_>) -> StopDecision {
    let Some(due) = inputs.state.due else { return StopDecision::None };
    let reason = due.reason.as_str();
    if let Some(current) = inputs.current.filter(|current| current.scope == due.scope && current.reason == reason) {
        return StopDecision::InForce { stop: current.clone(), uses_budget: false };
    }
    if due.by_time
        && let Some(waiting) = hold(inputs)
    {
        return waiting;
    }
    StopDecision::InForce { stop: begin(due, inputs.now), uses_budget: due.by_time }
}

fn begin(due: Due, now: Timestamp) -> CustomerStop {
    CustomerStop { scope: due.scope, reason: due.reason.as_str(), since: now.strftime("%FT%TZ").to_string() }
}

fn hold(inputs: &StopInputs<'_>) -> Option<StopDecision> {
    let waiting = |reason, message: &str| Some(StopDecision::Waiting { reason, message: message.to_owned() });
    if inputs.clock_skewed {
        return waiting(
            Reason::ClockSkew,
            "the contract has expired, but the operator's clock and the API server's differ by more than a minute: set the clocks; nothing is stopped before",
        );
    }
    if !within_window(inputs.window, &inputs.state.time_zone, inputs.now) {
        return waiting(
            Reason::StopScheduled,
            "the contract has expired; environments are stopped in the next stop window",
        );
    }
    if inputs.budget == 0 {
        return waiting(
            Reason::StopScheduled,
            "the contract has expired; the stop waits its turn, because only a few customers are stopped in an hour for a date's sake",
        );
    }
    None
}

/// Whether a stop may begin now. Without a window: Monday to Friday, 10:00 to 16:00.
pub fn within_window(window: Option<&StopWindow>, zone: &TimeZone, now: Timestamp) -> bool {
    let local = now.to_zoned(zone.clone());
    let day = weekday(local.weekday());
    let (days, from, to) = match window {
        Some(window) => (window.days.as_slice(), clock(&window.from), clock(&window.to)),
        None => (WORKING_DAYS.as_slice(), clock("10:00"), clock("16:00")),
    };
    let (Some(from), Some(to)) = (from, to) else { return false };
    days.contains(&day) && (from..to).contains(&local.time())
}

const WORKING_DAYS: [Weekday; 5] =
    [Weekday::Monday, Weekday::Tuesday, Weekday::Wednesday, Weekday::Thursday, Weekday::Friday];

fn clock(text: &str) -> Option<Time> {
    Time::strptime("%H:%M", text).ok()
}

const fn weekday(day: JiffWeekday) -> Weekday {
    match day {
        JiffWeekday::Monday => Weekday::Monday,
        JiffWeekday::Tuesday => Weekday::Tuesday,
        JiffWeekday::Wednesday => Weekday::Wednesday,
        JiffWeekday::Thursday => Weekday::Thursday,
        JiffWeekday::Friday => Weekday::Friday,
        JiffWeekday::Saturday => Weekday::Saturday,
        JiffWeekday::Sunday => Weekday::Sunday,
    }
}

/// Whether a stop takes down an environment of this stage.
pub fn applies_to(stop: &CustomerStop, stage: Stage) -> bool {
    match stop.scope {
        StopScope::All => true,
        StopScope::NonProduction => stage != Stage::Production,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use odoofleet_api::customer::CustomerPhase;

    fn expired(by_time: bool) -> CustomerState {
        let reason = if by_time { Reason::CustomerExpired } else { Reason::CustomerSuspended };
        CustomerState {
            phase: CustomerPhase::Expired,
            due: Some(Due { scope: StopScope::All, reason, by_time }),
            next_change: None,
            time_zone: TimeZone::get("Asia/Shanghai").unwrap(),
        }
    }

    // 2026-11-24 is a Tuesday; 03:00 UTC is 11:00 in Shanghai.
    const IN_WINDOW: &str = "2026-11-24T03:00:00Z";

    fn decision(by_time: bool, now: &str, budget: u32, clock_skewed: bool) -> StopDecision {
        let state = expired(by_time);
        decide(&StopInputs {
            state: &state,
            current: None,
            window: None,
            budget,
            clock_skewed,
            now: now.parse().unwrap(),
        })
    }

    #[test]
    fn time_needs_its_window_its_turn_and_a_sane_clock() {
        assert!(matches!(decision(true, IN_WINDOW, 1, false), StopDecision::InForce { uses_budget: true, .. }));
        let waits = |decision, reason| matches!(decision, StopDecision::Waiting { reason: r, .. } if r == reason);
        assert!(waits(decision(true, "2026-11-24T09:00:00Z", 1, false), Reason::StopScheduled), "17:00 in Shanghai");
        assert!(waits(decision(true, "2026-11-22T03:00:00Z", 1, false), Reason::StopScheduled), "a Sunday");
        assert!(waits(decision(true, IN_WINDOW, 0, false), Reason::StopScheduled), "no budget");
        assert!(waits(decision(true, IN_WINDOW, 1, true), Reason::ClockSkew), "clock");
    }

    #[test]
    fn a_person_needs_nothing_of_that() {
        let at_night = decision(false, "2026-11-22T20:00:00Z", 0, true);
        assert!(matches!(at_night, StopDecision::InForce { uses_budget: false, .. }));
    }

    #[test]
    fn a_stop_in_force_stays_without_using_the_budget_again() {
        let state = expired(true);
        let current = CustomerStop {
            scope: StopScope::All,
            reason: "CustomerExpired".into(),
            since: "2026-01-01T00:00:00Z".into(),
        };
        let inputs = StopInputs {
            state: &state,
            current: Some(&current),
            window: None,
            budget: 0,
            clock_skewed: true,
            now: Timestamp::UNIX_EPOCH,
        };
        assert_eq!(decide(&inputs), StopDecision::InForce { stop: current.clone(), uses_budget: false });
    }

    #[test]
    fn a_stop_of_the_rest_leaves_production_alone() {
        let stop = CustomerStop { scope: StopScope::NonProduction, reason: String::new(), since: String::new() };
        assert!(
            !applies_to(&stop, Stage::Production)
                && applies_to(&stop, Stage::Staging)
                && applies_to(&stop, Stage::Test)
        );
    }
}
