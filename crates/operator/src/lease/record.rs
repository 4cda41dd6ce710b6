//! What a Lease says, and what follows from it.
//!
//! Clocks of different machines need not agree: a candidate never compares the Lease's times with its own. It waits until the
//! Lease has stood unchanged before its eyes for as long as it holds.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use odoofleet_core::release::is_older;
use tokio::time::Instant;

/// For so long a Lease holds without being renewed.
pub const LEASE: Duration = Duration::from_secs(15);
/// For so long a renewal lets write: less than the Lease, so that the last write is over before somebody else takes it.
pub const PERMIT: Duration = Duration::from_secs(13);
/// A request that was sent under a permit may still be on its way when the permit is over.
const ON_THE_WAY: Duration = Duration::from_secs(5);

/// A Lease, and when it was first seen as it is.
#[derive(Debug)]
pub struct Seen {
    lease: Lease,
    since: Instant,
}

impl Seen {
    /// What is seen now; the moment is an earlier one if nothing has changed since.
    pub fn now(before: Option<Self>, lease: Lease, now: Instant) -> Self {
        let since = before.filter(|before| before.lease.spec == lease.spec).map_or(now, |before| before.since);
        Self { lease, since }
    }

    /// The Lease.
    pub const fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Whether `identity` may take it: nobody holds it, its holder was silent for as long as it holds, or `identity` held it
    /// before its process was started anew.
    pub fn is_free(&self, identity: &str, now: Instant) -> bool {
        holder(&self.lease).is_none_or(|holder| holder == identity)
            || now.saturating_duration_since(self.since) >= duration(&self.lease)
    }
}

/// Who holds a Lease.
pub fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
}

fn duration(lease: &Lease) -> Duration {
    let seconds = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds);
    seconds.map_or(LEASE, |seconds| Duration::from_secs(u64::from(seconds.unsigned_abs())))
}

/// The content of a Lease that `identity` takes or renews.
pub fn held(before: Option<&Lease>, identity: &str, now: Timestamp) -> LeaseSpec {
    let spec = before.and_then(|lease| lease.spec.clone()).unwrap_or_default();
    let renews = before.and_then(holder) == Some(identity);
    let transitions = spec.lease_transitions.unwrap_or(0);
    LeaseSpec {
        holder_identity: Some(identity.to_owned()),
        lease_duration_seconds: i32::try_from(LEASE.as_secs()).ok(),
        acquire_time: if renews { spec.acquire_time } else { Some(MicroTime(now)) },
        renew_time: Some(MicroTime(now)),
        lease_transitions: Some(if renews { transitions } else { transitions.saturating_add(1) }),
        ..spec
    }
}

/// Whether a Lease is an earlier state of the one that was written: the API server's storage went back. Watches would wait for
/// versions that are long to come, and tell nothing until then; only a new start finds out how everything is.
pub fn went_back(written: &Lease, found: &Lease) -> bool {
    let version = |lease: &Lease| lease.metadata.resource_version.clone().unwrap_or_default();
    written.metadata.uid == found.metadata.uid && is_older(&version(found), &version(written))
}

/// The content of a Lease that its holder gives back.
pub fn released(lease: &Lease) -> LeaseSpec {
    let spec = lease.spec.clone().unwrap_or_default();
    LeaseSpec { holder_identity: None, acquire_time: None, renew_time: None, ..spec }
}

/// From then on nothing of an earlier leader can write any more, given the Lease as it was before it was taken at `now`.
///
/// Only a holder empties its Lease, when it has nothing more to write. Otherwise its last permit may have begun a moment ago as
/// far as this one knows (somebody deleted the Lease, or its holder's process was started anew), and lasts less than the Lease.
pub fn fence(before: Option<&Lease>, now: Timestamp) -> Timestamp {
    let permit = match before {
        Some(lease) if holder(lease).is_none() => Duration::ZERO,
        Some(lease) => duration(lease).max(LEASE),
        None => LEASE,
    };
    now + permit + ON_THE_WAY
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(holder: Option<&str>, renewed: i64, seconds: Option<i32>) -> Lease {
        let spec = LeaseSpec {
            holder_identity: holder.map(Into::into),
            renew_time: Some(MicroTime(Timestamp::from_second(renewed).unwrap())),
            lease_duration_seconds: seconds,
            ..LeaseSpec::default()
        };
        Lease { spec: Some(spec), ..Lease::default() }
    }

    #[test]
    fn a_new_leader_waits_out_the_permit_of_one_who_gave_nothing_back() {
        let now = Timestamp::from_second(1000).unwrap();
        let table = [
            ("given back", Some(lease(None, 0, None)), 5),
            ("given back as client-go does", Some(lease(Some(""), 0, Some(1))), 5),
            ("silent", Some(lease(Some("a"), 985, Some(15))), 20),
            ("silent, by a clock that is an hour behind", Some(lease(Some("a"), -2600, Some(15))), 20),
            ("silent, with a longer lease", Some(lease(Some("a"), 940, Some(60))), 65),
            ("silent, with a shorter lease", Some(lease(Some("a"), 999, Some(1))), 20),
            ("never made, or deleted", None, 20),
            ("made by hand", Some(Lease::default()), 5),
        ];
        for (what, before, seconds) in table {
            assert_eq!(fence(before.as_ref(), now), now + Duration::from_secs(seconds), "{what}");
        }
    }

    #[test]
    fn a_lease_is_free_when_it_stood_unchanged_for_as_long_as_it_holds() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let held = |renewed| lease(Some("a"), renewed, Some(15));
        let first = Seen::now(None, held(0), start);
        assert!(!first.is_free("b", start), "though its time lies years back: that is the other's clock");
        let second = Seen::now(Some(first), held(0), after(14));
        assert!(!second.is_free("b", after(14)));
        assert!(second.is_free("b", after(15)));
        let renewed = Seen::now(Some(second), held(10), after(14));
        assert!(!renewed.is_free("b", after(15)), "it was renewed");
        assert!(renewed.is_free("b", after(29)));
        assert!(renewed.is_free("a", after(15)), "the same pod's earlier container held it");
        assert!(
            Seen::now(Some(renewed), lease(None, 10, None), after(15)).is_free("b", after(15)),
            "it was given back"
        );
    }

    #[test]
    fn a_storage_went_back_if_the_same_lease_is_older_than_it_was_written() {
        let of = |uid: &str, version: &str| {
            let mut lease = lease(Some("a"), 0, None);
            (lease.metadata.uid, lease.metadata.resource_version) = (Some(uid.into()), Some(version.into()));
            lease
        };
        let written = of("1", "100");
        assert!(went_back(&written, &of("1", "99")));
        for found in [of("1", "100"), of("1", "101"), of("2", "5"), of("1", "")] {
            assert!(!went_back(&written, &found), "{found:?}");
        }
    }

    #[test]
    fn a_renewal_keeps_what_a_change_of_the_holder_sets_anew() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let with = |spec| Lease { spec: Some(spec), ..Lease::default() };
        let taken = with(held(None, "a", at(1)));
        let renewed = with(held(Some(&taken), "a", at(6)));
        let times = |lease: &Lease| {
            let spec = lease.spec.clone().unwrap();
            (spec.acquire_time.map(|time| time.0), spec.renew_time.map(|time| time.0), spec.lease_transitions)
        };
        assert_eq!(times(&taken), (Some(at(1)), Some(at(1)), Some(1)));
        assert_eq!(times(&renewed), (Some(at(1)), Some(at(6)), Some(1)));
        let given = with(released(&renewed));
        assert_eq!((holder(&given), times(&given)), (None, (None, None, Some(1))));
        assert_eq!(times(&with(held(Some(&given), "b", at(7)))), (Some(at(7)), Some(at(7)), Some(2)));
    }
}
