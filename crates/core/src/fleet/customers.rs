//! Customers, and their environments counted.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use odoofleet_api::OdooCustomer;
use odoofleet_api::conditions::Reason;
use odoofleet_api::environment::{Phase, Placement};

use super::{Affected, Delta, Fleet, absorb};
use crate::customer::{CustomerDecision, CustomerFacts, Rollup, decide};

/// The environments of one customer.
#[derive(Debug, Default)]
pub(super) struct Environments {
    pub names: BTreeSet<String>,
    groups: HashMap<(Option<Phase>, Placement), i32>,
}

impl Environments {
    pub fn count(&mut self, group: (Option<Phase>, Placement), add: bool) {
        let count = self.groups.entry(group).or_default();
        *count += if add { 1 } else { -1 };
    }

    pub fn rollup(&self) -> Rollup {
        Rollup::of(self.groups.iter().map(|(group, number)| (*group, *number)))
    }
}

impl Fleet {
    pub(super) fn apply_customers(&mut self, delta: Delta<Arc<OdooCustomer>>, affected: &mut Affected) {
        let before = match &delta {
            Delta::Applied(customer) => self.customers.get(&name(customer)).map(Arc::clone),
            Delta::All(_) | Delta::Deleted(_) | Delta::Forgotten(_) => None,
        };
        // What the API server answered to a write can be newer than what a watch still has to tell.
        let newest = |customer: Arc<OdooCustomer>| match self.customers.get(&name(&customer)) {
            Some(known) if super::is_outdated(&customer.metadata, &known.metadata) => Arc::clone(known),
            _ => customer,
        };
        let key = |customer: Arc<OdooCustomer>| (name(&customer), newest(customer));
        let delta = match delta {
            Delta::All(list) => Delta::All(self.keep_unreadable_customers(list).into_iter().map(key).collect()),
            Delta::Applied(customer) => Delta::Applied(key(customer)),
            Delta::Deleted(customer) => Delta::Deleted(key(customer)),
            Delta::Forgotten(name) => Delta::Forgotten(name),
        };
        for name in absorb(&mut self.customers, delta) {
            self.note_expiry_stop(&name);
            let governs_alike = match (&before, self.customers.get(&name)) {
                (Some(before), Some(after)) => governs(before) == governs(after),
                _ => false,
            };
            if !governs_alike && let Some(own) = self.by_customer.get(&name) {
                affected.environments.extend(own.names.iter().cloned());
            }
            self.renew_windows(&name, affected);
            affected.customers.insert(name);
        }
    }

    /// A list leaves out what cannot be read; that is not gone.
    fn keep_unreadable_customers(&self, mut list: Vec<Arc<OdooCustomer>>) -> Vec<Arc<OdooCustomer>> {
        let kept = self.customers.values().filter(|known| self.is_unreadable(super::Kind::Customer, &name(known)));
        list.extend(kept.cloned().collect::<Vec<_>>());
        list
    }

    /// What a customer's stop for a date's sake, as its status records it, means for the turns of others.
    fn note_expiry_stop(&mut self, name: &str) {
        let stop = self.customers.get(name).and_then(|customer| customer.status.as_ref()?.stop.as_ref());
        let since = stop.filter(|stop| stop.reason == Reason::CustomerExpired).and_then(|stop| stop.since.parse().ok());
        if let Some(since) = since {
            self.stops.note_automatic(name, since);
        }
    }

    /// A customer.
    pub fn customer(&self, name: &str) -> Option<&Arc<OdooCustomer>> {
        self.customers.get(name)
    }

    /// Names of a customer's environments.
    pub fn environments_of(&self, customer: &str) -> impl Iterator<Item = &String> {
        self.by_customer.get(customer).into_iter().flat_map(|own| &own.names)
    }

    /// Decides about a customer. A stop that begins for a date's sake takes its turn here, so that two never take the last.
    pub fn decide_customer(&mut self, name: &str, clock_skewed: bool, now: Timestamp) -> Option<CustomerDecision> {
        let customer = Arc::clone(self.customers.get(name)?);
        let own = self.by_customer.get(name);
        let facts = CustomerFacts {
            rollup: own.map(Environments::rollup).unwrap_or_default(),
            holders: match &customer.metadata.deletion_timestamp {
                Some(since) => self.holders(self.environments_of(name), since),
                None => own.map_or(0, |own| own.names.len()),
            },
            turn: self.stops.automatic_turn(name, now),
            clock_skewed,
            time_zone: self.settings.time_zone.clone(),
            customer,
        };
        let decision = decide(&facts, now);
        if decision.uses_turn {
            self.stops.note_automatic(name, now);
        }
        Some(decision)
    }
}

fn name(customer: &OdooCustomer) -> String {
    customer.metadata.name.clone().unwrap_or_default()
}

/// What environments read of their customer.
fn governs(customer: &OdooCustomer) -> impl PartialEq {
    let status = customer.status.as_ref();
    let read = status.map(|status| (status.phase, status.stop.clone()));
    (customer.metadata.uid.clone(), customer.metadata.generation, customer.metadata.deletion_timestamp.clone(), read)
}
