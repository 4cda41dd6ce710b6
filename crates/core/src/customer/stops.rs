//! When a stop that a customer's state asks for may come into force.
//!
//! A person's word counts at once. Time alone never stops everybody: it needs its window, its turn and a sane clock.

use std::time::Duration;

use jiff::civil::{Time, Weekday as JiffWeekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use odoofleet_api::conditions::Reason;
use odoofleet_api::customer::{CustomerStop, StopScope, StopWindow, Weekday};
use odoofleet_api::environment::Stage;

use super::phase::{CustomerState, Due};
use crate::finding::Finding;

/// What is known when the decision is taken.
pub struct StopInputs<'a> {
    /// What lifecycle and dates come to.
    pub state: &'a CustomerState,
    /// The stop that is in force already.
    pub current: Option<&'a CustomerStop>,
    /// The customer's own window.
    pub window: Option<&'a StopWindow>,
    /// Whether a stop for time's sake may begin now, over all customers; else when the next one may.
    pub turn: Result<(), Timestamp>,
    /// Whether the operator's clock and the API server's differ by more than a minute.
    pub clock_skewed: bool,
    /// The present time.
    pub now: Timestamp,
}

/// What follows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StopDecision {
    /// The stop that is in force.
    pub in_force: Option<CustomerStop>,
    /// Whether it is new and was time's doing: it uses up a turn.
    pub uses_turn: bool,
    /// A stop that is due and waits: why, and until when.
    pub waiting: Option<Waiting>,
}

/// A stop that is due and waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Why, and until when, for people.
    pub finding: Finding,
    /// When to look again.
    pub until: Timestamp,
}

/// The operator's clock is compared again this soon: nothing tells when it is set.
const CLOCK_AGAIN: Duration = Duration::from_mins(1);

/// Decides whether a stop is in force. One that is, and is part of what is due, stays until the rest may begin: to be stricter
/// never starts what was stopped.
pub fn decide(inputs: &StopInputs<'_>) -> StopDecision {
    let Some(due) = &inputs.state.due else { return StopDecision::default() };
    let current = inputs.current.filter(|current| current.reason == due.reason);
    let in_force = |stop: &CustomerStop| StopDecision { in_force: Some(stop.clone()), ..StopDecision::default() };
    match current {
        Some(current) if current.scope == due.scope => return in_force(current),
        // Less is stopped than before: that needs no turn.
        Some(current) if current.scope == StopScope::All => {
            return in_force(&CustomerStop { scope: due.scope, ..current.clone() });
        }
        Some(_) | None => {}
    }
    if due.by_time
        && let Some(waiting) = hold(inputs)
    {
        return StopDecision { in_force: current.cloned(), uses_turn: false, waiting: Some(waiting) };
    }
    StopDecision { in_force: Some(begin(due, inputs.now)), uses_turn: due.by_time, waiting: None }
}

fn begin(due: &Due, now: Timestamp) -> CustomerStop {
    CustomerStop { scope: due.scope, reason: due.reason.clone(), since: now.strftime("%FT%TZ").to_string() }
}

fn hold(inputs: &StopInputs<'_>) -> Option<Waiting> {
    let StopInputs { state, now, .. } = inputs;
    let waiting = |reason, message: String, until| Some(Waiting { finding: Finding::new(reason, message), until });
    if inputs.clock_skewed {
        let message = "the contract has expired, but the operator's clock and the API server's differ by more than a minute: set the clocks; nothing is stopped before";
        return waiting(Reason::ClockSkew, message.to_owned(), *now + CLOCK_AGAIN);
    }
    let local = |moment: Timestamp| moment.to_zoned(state.time_zone.clone()).strftime("%F %H:%M %Z").to_string();
    match next_window(inputs.window, &state.time_zone, *now) {
        Some(begin) if begin > *now => {
            let message = format!(
                "the contract has expired; environments are stopped in the stop window that begins at {}",
                local(begin)
            );
            return waiting(Reason::StopScheduled, message, begin);
        }
        None => {
            let message = "the contract has expired, but spec.onExpiry.stopWindow never opens: name days, and a time to that lies after from";
            return waiting(Reason::StopScheduled, message.to_owned(), *now + Duration::from_hours(24));
        }
        Some(_) => {}
    }
    let until = inputs.turn.err()?;
    let message = format!(
        "the contract has expired; the stop waits its turn until {}, because only a few customers are stopped in an hour for a date's sake",
        local(until)
    );
    waiting(Reason::StopScheduled, message, until)
}

/// When a stop may begin next: now, or at the begin of a window. Without a window: Monday to Friday, 10:00 to 16:00.
pub fn next_window(window: Option<&StopWindow>, zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
    let (days, from, to) = match window {
        Some(window) => (window.days.as_slice(), clock(&window.from)?, clock(&window.to)?),
        None => (WORKING_DAYS.as_slice(), clock("10:00")?, clock("16:00")?),
    };
    let today = now.to_zoned(zone.clone()).date();
    (0..=7).find_map(|later: i64| {
        let day = today.checked_add(later.days()).ok()?;
        let moment = |time: Time| Some(day.to_datetime(time).to_zoned(zone.clone()).ok()?.timestamp());
        let (begin, end) = (moment(from)?, moment(to)?);
        (days.contains(&weekday(day.weekday())) && now < end && begin < end).then(|| begin.max(now))
    })
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

    fn decision(by_time: bool, now: &str, turn: bool, clock_skewed: bool) -> StopDecision {
        let state = expired(by_time);
        decide(&StopInputs {
            state: &state,
            current: None,
            window: None,
            turn: if turn { Ok(()) } else { Err("2026-11-24T03:30:00Z".parse().unwrap()) },
            clock_skewed,
            now: now.parse().unwrap(),
        })
    }

    #[test]
    fn time_needs_its_window_its_turn_and_a_sane_clock() {
        let begun = decision(true, IN_WINDOW, true, false);
        assert!(begun.in_force.is_some() && begun.uses_turn && begun.waiting.is_none());
        let waits = |decision: StopDecision| {
            assert_eq!(decision.in_force, None);
            let waiting = decision.waiting.unwrap();
            (waiting.finding.reason, waiting.until.to_string())
        };
        let scheduled = |until: &str| (Reason::StopScheduled, until.to_owned());
        let (tuesday, sunday) = ("2026-11-24T09:00:00Z", "2026-11-22T03:00:00Z");
        assert_eq!(waits(decision(true, tuesday, true, false)), scheduled("2026-11-25T02:00:00Z"), "17:00 in Shanghai");
        assert_eq!(waits(decision(true, sunday, true, false)), scheduled("2026-11-23T02:00:00Z"), "the next Monday");
        assert_eq!(waits(decision(true, IN_WINDOW, false, false)), scheduled("2026-11-24T03:30:00Z"), "no turn");
        assert_eq!(
            waits(decision(true, IN_WINDOW, true, true)),
            (Reason::ClockSkew, "2026-11-24T03:01:00Z".to_owned())
        );
    }

    #[test]
    fn a_person_needs_nothing_of_that() {
        let at_night = decision(false, "2026-11-22T20:00:00Z", false, true);
        assert!(at_night.in_force.is_some() && !at_night.uses_turn);
    }

    fn against(current: StopScope, due: StopScope, turn: bool) -> StopDecision {
        let mut state = expired(true);
        state.due.as_mut().unwrap().scope = due;
        let current =
            CustomerStop { scope: current, reason: Reason::CustomerExpired, since: "2026-01-01T00:00:00Z".into() };
        let turn = if turn { Ok(()) } else { Err(Timestamp::MAX) };
        let now = IN_WINDOW.parse().unwrap();
        decide(&StopInputs { state: &state, current: Some(&current), window: None, turn, clock_skewed: false, now })
    }

    #[test]
    fn a_stop_in_force_stays_without_using_a_turn_again() {
        let stays = against(StopScope::All, StopScope::All, false);
        assert!(stays.in_force.is_some_and(|stop| stop.since.starts_with("2026-01-01")) && !stays.uses_turn);
    }

    #[test]
    fn a_stricter_action_never_starts_what_was_stopped() {
        let waits = against(StopScope::NonProduction, StopScope::All, false);
        assert_eq!(waits.in_force.map(|stop| stop.scope), Some(StopScope::NonProduction));
        assert!(waits.waiting.is_some());
        let begins = against(StopScope::NonProduction, StopScope::All, true);
        assert!(begins.in_force.is_some_and(|stop| stop.scope == StopScope::All) && begins.uses_turn);
        let milder = against(StopScope::All, StopScope::NonProduction, false);
        assert!(milder.in_force.is_some_and(|stop| stop.scope == StopScope::NonProduction) && !milder.uses_turn);
    }

    #[test]
    fn a_stop_of_the_rest_leaves_production_alone() {
        let stop =
            CustomerStop { scope: StopScope::NonProduction, reason: Reason::CustomerExpired, since: String::new() };
        assert!(
            !applies_to(&stop, Stage::Production)
                && applies_to(&stop, Stage::Staging)
                && applies_to(&stop, Stage::Test)
        );
    }
}
