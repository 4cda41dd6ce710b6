//! How many environments and customers may be stopped without anybody having asked for each by name.
//!
//! A turn is taken where it is read: two that ask at once cannot both get the last.

use std::collections::HashMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::environment::BrakeHold;
use crate::environment::brake::{Brake, Cause, WINDOW};

/// So long does a stop for a date's sake keep others waiting.
const AUTOMATIC_WINDOW: Duration = Duration::from_hours(1);

/// What was stopped lately.
#[derive(Debug)]
pub(super) struct Stops {
    brake_limit: usize,
    automatic_limit: usize,
    /// Environments that were taken down, by UID: when that began, and when it was last asked for. It outlives the object.
    taken_down: HashMap<String, (Timestamp, Timestamp)>,
    /// Customers that were stopped for a date's sake.
    automatic: HashMap<String, Timestamp>,
}

impl Stops {
    pub fn new(brake_limit: usize, automatic_limit: usize) -> Self {
        Self { brake_limit, automatic_limit, taken_down: HashMap::new(), automatic: HashMap::new() }
    }

    /// Notes that an environment was taken down.
    pub fn note_taken_down(&mut self, uid: &str, at: Timestamp) {
        let begins = (at, at);
        let known = self.taken_down.entry(uid.to_owned()).or_insert(begins);
        *known = if at.duration_since(known.1) < window() { (known.0, at.max(known.1)) } else { begins };
    }

    /// Notes that a customer was stopped for a date's sake.
    pub fn note_automatic(&mut self, customer: &str, at: Timestamp) {
        note(&mut self.automatic, customer, at);
    }

    /// Takes a turn for taking an environment down, or says why it must wait. One that was vouched for counts, and never
    /// waits; one that counts already goes on.
    pub fn take_down(
        &mut self,
        (uid, name): (&str, &str),
        cause: Cause,
        vouched: bool,
        fleet: usize,
        now: Timestamp,
    ) -> Option<BrakeHold> {
        self.taken_down.retain(|_, (_, asked)| now.duration_since(*asked) < window());
        let brake = Brake { limit: self.brake_limit, fleet };
        // What does not come to an end takes no turn for ever.
        let begun = self.taken_down.values().map(|(begun, _)| *begun);
        let counted: Vec<Timestamp> = begun.filter(|begun| now.duration_since(*begun) < window()).collect();
        if !vouched && !self.taken_down.contains_key(uid) && !brake.admits(counted.len()) {
            let oldest = counted.into_iter().min().unwrap_or(now);
            return Some(BrakeHold { finding: brake.finding(cause, name), until: oldest + WINDOW });
        }
        self.note_taken_down(uid, now);
        None
    }

    /// Whether a customer may be stopped for a date's sake now; else when the next one may.
    pub fn automatic_turn(&mut self, customer: &str, now: Timestamp) -> Result<(), Timestamp> {
        prune(&mut self.automatic, AUTOMATIC_WINDOW, now);
        let others = self.automatic.iter().filter(|(other, _)| *other != customer);
        let (count, oldest) = others.fold((0, None), |(count, oldest): (usize, Option<Timestamp>), (_, at)| {
            (count + 1, Some(oldest.map_or(*at, |oldest| oldest.min(*at))))
        });
        match oldest {
            _ if count < self.automatic_limit => Ok(()),
            Some(oldest) => Err(oldest + AUTOMATIC_WINDOW),
            None => Err(now + AUTOMATIC_WINDOW),
        }
    }
}

fn window() -> SignedDuration {
    SignedDuration::try_from(WINDOW).unwrap_or_default()
}

fn note(all: &mut HashMap<String, Timestamp>, key: &str, at: Timestamp) {
    match all.get_mut(key) {
        Some(known) => *known = at.max(*known),
        None => drop(all.insert(key.to_owned(), at)),
    }
}

fn prune(all: &mut HashMap<String, Timestamp>, window: Duration, now: Timestamp) {
    let window = SignedDuration::try_from(window).unwrap_or_default();
    all.retain(|_, at| now.duration_since(*at) < window);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_last_turn_is_taken_once() {
        let mut stops = Stops::new(1, 1);
        let mut down = |uid, vouched, second| {
            stops.take_down((uid, uid), Cause::Deletion, vouched, 2, at(second)).map(|hold| hold.until.as_second())
        };
        assert_eq!(down("a", false, 1000), None);
        assert_eq!(down("b", false, 1001), Some(1600), "when the first is ten minutes old");
        assert_eq!(down("a", false, 1002), None, "it goes on");
        assert_eq!(down("c", true, 1003), None, "somebody vouched for it");
        assert_eq!(down("b", false, 1700), None);
        assert_eq!(down("d", false, 1701), Some(2300));
        assert_eq!(down("b", false, 2200), None, "it goes on, and does not come to an end");
        assert_eq!(down("d", false, 2300), None, "so it keeps nobody waiting for ever");
        assert_eq!(stops.automatic_turn("x", at(0)), Ok(()));
        stops.note_automatic("x", at(0));
        assert_eq!(stops.automatic_turn("y", at(10)), Err(at(3600)));
        assert_eq!(stops.automatic_turn("x", at(10)), Ok(()), "to stop more of it takes no other's turn");
        assert_eq!(stops.automatic_turn("y", at(3600)), Ok(()));
    }
}
