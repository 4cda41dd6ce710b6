//! Counts that change for a moment only are not written.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use odoofleet_core::counts::{Counting, SETTLE, differ_alone};
use parking_lot::Mutex;

/// Since when the counts of each object differ from what is written.
#[derive(Default)]
pub struct Settling(Mutex<HashMap<String, Instant>>);

impl Settling {
    /// How long a status has still to wait before it is written, if it has to.
    pub fn wait<S: Counting>(&self, name: &str, written: Option<&S>, next: &S) -> Option<Duration> {
        let mut all = self.0.lock();
        if !written.is_some_and(|written| differ_alone(written, next)) {
            all.remove(name);
            return None;
        }
        let since = *all.entry(name.to_owned()).or_insert_with(Instant::now);
        let rest = SETTLE.checked_sub(since.elapsed()).filter(|rest| !rest.is_zero());
        if rest.is_none() {
            all.remove(name);
        }
        rest
    }

    /// Forgets an object that is gone.
    pub fn forget(&self, name: &str) {
        self.0.lock().remove(name);
    }
}
