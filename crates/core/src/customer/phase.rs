//! Lifecycle and dates to phase. `docs/lifecycle.md` prints the same table.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use odoofleet_api::OdooCustomerSpec;
use odoofleet_api::conditions::Reason;
use odoofleet_api::customer::{CustomerPhase, ExpiryAction, Lifecycle, StopScope};

/// Days before the end of a contract from which the phase says so.
const EXPIRING_SOON_DAYS: i64 = 30;
/// Days of grace when the spec names none.
const DEFAULT_GRACE_DAYS: i32 = 15;

/// What a customer's lifecycle and dates come to at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomerState {
    /// The phase.
    pub phase: CustomerPhase,
    /// What should be stopped, and whether a person or only time asks for it.
    pub due: Option<Due>,
    /// The next moment at which time alone changes the phase.
    pub next_change: Option<Timestamp>,
    /// Time zone in which dates and windows are read.
    pub time_zone: TimeZone,
}

/// A stop that the state asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Which environments.
    pub scope: StopScope,
    /// Why.
    pub reason: Reason,
    /// True when nobody but the calendar asks for it: windows, caps and the clock check then apply.
    pub by_time: bool,
}

/// A spec that contradicts itself. Nothing is stopped or started because of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Not a day of the calendar.
    #[error("spec.contract.{field} \"{value}\" is not a date: write it as YYYY-MM-DD")]
    Date {
        /// Name of the field.
        field: &'static str,
        /// Its value.
        value: String,
    },
    /// The wrong way round.
    #[error("spec.contract.expiresOn {expires} lies before startsOn {starts}")]
    Order {
        /// First day.
        starts: Date,
        /// Last day.
        expires: Date,
    },
    /// Not a time zone.
    #[error("spec.contract.timeZone \"{0}\" is not an IANA time zone: write it as \"Asia/Shanghai\"")]
    TimeZone(String),
}

/// Lifecycle and dates to phase. `default_zone` counts where the contract names none.
pub fn state(spec: &OdooCustomerSpec, default_zone: &TimeZone, now: Timestamp) -> Result<CustomerState, Invalid> {
    let contract = spec.contract.clone().unwrap_or_default();
    let time_zone = match &contract.time_zone {
        Some(name) => TimeZone::get(name).map_err(|_| Invalid::TimeZone(name.clone()))?,
        None => default_zone.clone(),
    };
    date("signedOn", contract.signed_on.as_deref())?;
    let starts = date("startsOn", contract.starts_on.as_deref())?;
    let expires = date("expiresOn", contract.expires_on.as_deref())?;
    if let (Some(starts), Some(expires)) = (starts, expires)
        && expires < starts
    {
        return Err(Invalid::Order { starts, expires });
    }
    let fixed = |phase, due| Ok(CustomerState { phase, due, next_change: None, time_zone: time_zone.clone() });
    let by_person = |reason| Some(Due { scope: StopScope::All, reason, by_time: false });
    match spec.lifecycle.unwrap_or_default() {
        Lifecycle::Prospect => fixed(CustomerPhase::Prospect, None),
        Lifecycle::Suspended => fixed(CustomerPhase::Suspended, by_person(Reason::CustomerSuspended)),
        Lifecycle::Terminated => fixed(CustomerPhase::Terminated, by_person(Reason::CustomerTerminated)),
        Lifecycle::Trial => Ok(dated(spec, CustomerPhase::Trial, expires, time_zone, now)),
        Lifecycle::Active => Ok(dated(spec, CustomerPhase::Active, expires, time_zone, now)),
    }
}

fn dated(
    spec: &OdooCustomerSpec,
    well: CustomerPhase,
    expires: Option<Date>,
    zone: TimeZone,
    now: Timestamp,
) -> CustomerState {
    let Some(expires) = expires else {
        return CustomerState { phase: well, due: None, next_change: None, time_zone: zone };
    };
    let on_expiry = spec.on_expiry.clone().unwrap_or_default();
    let grace = i64::from(on_expiry.grace_days.unwrap_or(DEFAULT_GRACE_DAYS));
    // The day after the last one begins where the contract ends; with grace, so many days later.
    let end_of = |day: Date, days: i64| start_of_day(day, days + 1, &zone);
    let (soon, end, over) = (end_of(expires, -EXPIRING_SOON_DAYS - 1), end_of(expires, 0), end_of(expires, grace));
    let (phase, next_change) = match now {
        now if soon.is_none_or(|soon| now < soon) => (well, soon),
        now if end.is_none_or(|end| now < end) => (CustomerPhase::ExpiringSoon, end),
        now if over.is_none_or(|over| now < over) => (CustomerPhase::Grace, over),
        _ => (CustomerPhase::Expired, None),
    };
    let scope = match on_expiry.action.unwrap_or_default() {
        ExpiryAction::Warn => None,
        ExpiryAction::StopNonProduction => Some(StopScope::NonProduction),
        ExpiryAction::Stop => Some(StopScope::All),
    };
    let due = scope.filter(|_| phase == CustomerPhase::Expired).map(|scope| Due {
        scope,
        reason: Reason::CustomerExpired,
        by_time: true,
    });
    CustomerState { phase, due, next_change, time_zone: zone }
}

/// `None` where the calendar ends.
fn start_of_day(day: Date, days_later: i64, zone: &TimeZone) -> Option<Timestamp> {
    let day = day.checked_add(days_later.days()).ok()?;
    day.to_zoned(zone.clone()).ok().map(|zoned| zoned.timestamp())
}

fn date(field: &'static str, text: Option<&str>) -> Result<Option<Date>, Invalid> {
    text.map(|text| text.parse().map_err(|_| Invalid::Date { field, value: text.to_owned() })).transpose()
}

/// Whether an environment that was never installed may be installed for a customer in this phase.
pub const fn may_install(phase: CustomerPhase) -> bool {
    matches!(phase, CustomerPhase::Trial | CustomerPhase::Active | CustomerPhase::ExpiringSoon | CustomerPhase::Grace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use odoofleet_api::customer::{Contract, OnExpiry};

    fn spec(lifecycle: Lifecycle, expires: Option<&str>, action: ExpiryAction) -> OdooCustomerSpec {
        OdooCustomerSpec {
            lifecycle: Some(lifecycle),
            contract: Some(Contract {
                expires_on: expires.map(str::to_owned),
                time_zone: Some("Asia/Shanghai".into()),
                ..Contract::default()
            }),
            on_expiry: Some(OnExpiry { action: Some(action), grace_days: Some(10), stop_window: None }),
            ..OdooCustomerSpec::default()
        }
    }

    fn at(spec: &OdooCustomerSpec, moment: &str) -> CustomerState {
        state(spec, &TimeZone::UTC, moment.parse().unwrap()).unwrap()
    }

    #[test]
    fn lifecycle_and_dates_to_phase() {
        use CustomerPhase as P;
        use Lifecycle as L;
        // expiresOn 2027-11-30 in Shanghai ends at 2027-11-30T16:00Z; ten days of grace end at 2027-12-10T16:00Z.
        let table = [
            (L::Prospect, "2030-01-01T00:00:00Z", P::Prospect),
            (L::Trial, "2027-01-01T00:00:00Z", P::Trial),
            (L::Active, "2027-10-30T15:59:59Z", P::Active),
            (L::Active, "2027-10-30T16:00:00Z", P::ExpiringSoon),
            (L::Active, "2027-11-30T15:59:59Z", P::ExpiringSoon),
            (L::Active, "2027-11-30T16:00:00Z", P::Grace),
            (L::Trial, "2027-12-10T15:59:59Z", P::Grace),
            (L::Active, "2027-12-10T16:00:00Z", P::Expired),
            (L::Suspended, "2027-01-01T00:00:00Z", P::Suspended),
            (L::Terminated, "2027-01-01T00:00:00Z", P::Terminated),
        ];
        for (lifecycle, moment, phase) in table {
            let spec = spec(lifecycle, Some("2027-11-30"), ExpiryAction::Warn);
            assert_eq!(at(&spec, moment).phase, phase, "{lifecycle:?} at {moment}");
        }
    }

    #[test]
    fn what_is_stopped_and_by_whom() {
        let expired = "2028-01-01T00:00:00Z";
        let due = |lifecycle, action| at(&spec(lifecycle, Some("2027-11-30"), action), expired).due;
        assert_eq!(due(Lifecycle::Active, ExpiryAction::Warn), None);
        let by_time = |scope| Some(Due { scope, reason: Reason::CustomerExpired, by_time: true });
        assert_eq!(due(Lifecycle::Active, ExpiryAction::StopNonProduction), by_time(StopScope::NonProduction));
        assert_eq!(due(Lifecycle::Trial, ExpiryAction::Stop), by_time(StopScope::All));
        let by_person = |reason| Some(Due { scope: StopScope::All, reason, by_time: false });
        assert_eq!(due(Lifecycle::Suspended, ExpiryAction::Warn), by_person(Reason::CustomerSuspended));
        assert_eq!(due(Lifecycle::Terminated, ExpiryAction::Warn), by_person(Reason::CustomerTerminated));
        assert_eq!(due(Lifecycle::Prospect, ExpiryAction::Stop), None);
    }

    #[test]
    fn the_next_change_is_the_moment_at_which_the_phase_changes() {
        let spec = spec(Lifecycle::Active, Some("2027-11-30"), ExpiryAction::Warn);
        let now = at(&spec, "2027-06-01T00:00:00Z");
        let next = now.next_change.unwrap();
        assert_eq!(state(&spec, &TimeZone::UTC, next).unwrap().phase, CustomerPhase::ExpiringSoon);
        assert_eq!(at(&spec, "2030-01-01T00:00:00Z").next_change, None);
    }

    #[test]
    fn contradictions_are_named() {
        let mut wrong = spec(Lifecycle::Active, Some("2027-02-30"), ExpiryAction::Warn);
        let error =
            |spec: &OdooCustomerSpec| state(spec, &TimeZone::UTC, Timestamp::UNIX_EPOCH).unwrap_err().to_string();
        assert!(error(&wrong).contains("2027-02-30"));
        wrong.contract = Some(Contract {
            starts_on: Some("2027-01-02".into()),
            expires_on: Some("2027-01-01".into()),
            ..Contract::default()
        });
        assert!(error(&wrong).contains("before startsOn"));
        wrong.contract = Some(Contract { time_zone: Some("Mars/Olympus".into()), ..Contract::default() });
        assert!(error(&wrong).contains("Mars/Olympus"));
    }
}
