//! The fleet as all parts of the operator share it: whatever changes it asks for the looks that follow.

use odoofleet_core::fleet::{Affected, Change, Fleet};
use parking_lot::Mutex;

use crate::looks::Asking;

/// The picture of the namespace, and the queues of those who must be looked at.
pub struct SharedFleet {
    fleet: Mutex<Fleet>,
    asking: Asking,
}

impl SharedFleet {
    /// A fleet whose changes ask for looks.
    pub const fn new(fleet: Fleet, asking: Asking) -> Self {
        Self { fleet: Mutex::new(fleet), asking }
    }

    /// Takes in a change, and asks for the looks that follow.
    pub fn apply(&self, change: Change) {
        self.affect(|fleet| fleet.apply(change));
    }

    /// Changes the fleet in another way, and asks for the looks that follow.
    pub fn affect(&self, change: impl FnOnce(&mut Fleet) -> Affected) {
        // Asked for after the lock is given back: a look begins by taking it.
        let affected = self.with(change);
        self.asking.affected(affected);
    }

    /// Asks the fleet, or tells it what concerns nobody else.
    pub fn with<T>(&self, act: impl FnOnce(&mut Fleet) -> T) -> T {
        act(&mut self.fleet.lock())
    }
}
