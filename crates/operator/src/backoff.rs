//! How long an object waits after a transient error. kube has no backoff for each object, so it is kept here.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

const FIRST: Duration = Duration::from_millis(500);
const LAST: Duration = Duration::from_mins(5);

/// Errors in a row of each object.
#[derive(Debug, Default)]
pub struct Backoff(Mutex<HashMap<String, u32>>);

impl Backoff {
    /// The pause after one more error.
    pub fn next(&self, object: &str) -> Duration {
        let mut counts = self.0.lock();
        let count = counts.entry(object.to_owned()).or_default();
        let pause = (FIRST * 2_u32.pow((*count).min(12))).min(LAST);
        *count += 1;
        // Up to a quarter more, so that objects that failed together do not return together.
        pause + pause.mul_f64(rand::random_range(0.0..0.25))
    }

    /// A success, or the end of the object.
    pub fn reset(&self, object: &str) {
        let mut counts = self.0.lock();
        if !counts.is_empty() {
            counts.remove(object);
        }
    }
}
