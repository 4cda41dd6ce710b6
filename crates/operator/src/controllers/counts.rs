//! Counts that change for a moment only are not written.

use std::collections::HashMap;
use std::time::Instant;

use jiff::Timestamp;
use odoofleet_core::counts::{Counting, SETTLE, differ_alone};
use parking_lot::Mutex;

/// Since when the counts of each object differ from what is written.
#[derive(Default)]
pub struct Settling(Mutex<HashMap<String, Instant>>);

impl Settling {
    /// When to look again, if a status has to wait until then before it is written; `wake_at` is when a look is due anyway.
    pub fn later<S: Counting>(
        &self,
        name: &str,
        written: Option<&S>,
        next: &S,
        wake_at: Option<Timestamp>,
    ) -> Option<Timestamp> {
        let mut all = self.0.lock();
        if !written.is_some_and(|written| differ_alone(written, next)) {
            all.remove(name);
            return None;
        }
        let since = *all.entry(name.to_owned()).or_insert_with(Instant::now);
        let rest = SETTLE.checked_sub(since.elapsed()).filter(|rest| !rest.is_zero());
        let Some(rest) = rest else {
            all.remove(name);
            return None;
        };
        let later = Timestamp::now() + rest;
        Some(wake_at.map_or(later, |wake_at| wake_at.min(later)))
    }

    /// Forgets an object that is gone.
    pub fn forget(&self, name: &str) {
        self.0.lock().remove(name);
    }
}
