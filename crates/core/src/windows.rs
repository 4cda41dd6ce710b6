//! Maintenance windows: when one is open, and when the next one opens.

use std::str::FromStr;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use odoofleet_api::conditions::Reason;
use odoofleet_api::maintenance::{Maintenance, MaintenanceWindow};

use crate::finding::Finding;

/// Windows that were understood. Without any it is always open.
#[derive(Debug, Clone, Default)]
pub struct Windows(Vec<Window>);

#[derive(Debug, Clone)]
struct Window {
    cron: Cron,
    duration: SignedDuration,
    zone: TimeZone,
}

/// Why a window is none.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum WindowError {
    /// The cron expression.
    #[error("the window \"{cron}\" is no cron expression of five fields: {why}")]
    Cron {
        /// The expression.
        cron: String,
        /// What is wrong.
        why: String,
    },
    /// It names a day that no year has.
    #[error("the window \"{0}\" never opens: no year has such a day")]
    Never(String),
    /// The duration.
    #[error("the window \"{cron}\" has the duration \"{duration}\": write one above zero such as 4h or 1h30m")]
    Duration {
        /// The expression.
        cron: String,
        /// The duration.
        duration: String,
    },
    /// The zone.
    #[error("the window \"{cron}\" names the time zone \"{zone}\", which is unknown: take one such as Asia/Shanghai")]
    Zone {
        /// The expression.
        cron: String,
        /// The zone.
        zone: String,
    },
}

/// Whether windows are open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// At any time.
    Always,
    /// Open, and this window ends then.
    Until(Timestamp),
    /// Closed; the next opens then.
    From(Timestamp),
    /// Closed for ever.
    Never,
}

impl Opening {
    /// Whether something may begin.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Always | Self::Until(_))
    }

    /// When it will be otherwise.
    pub const fn changes_at(self) -> Option<Timestamp> {
        match self {
            Self::Until(at) | Self::From(at) => Some(at),
            Self::Always | Self::Never => None,
        }
    }
}

impl Windows {
    /// Reads windows. `zone` is that of those that name none.
    pub fn parse(windows: &[MaintenanceWindow], zone: &TimeZone) -> Result<Self, WindowError> {
        windows.iter().map(|window| Window::parse(window, zone)).collect::<Result<_, _>>().map(Self)
    }

    /// How they stand at a moment.
    pub fn at(&self, now: Timestamp) -> Opening {
        if self.0.is_empty() {
            return Opening::Always;
        }
        // The window that stays open longest counts.
        if let Some(end) = self.0.iter().filter_map(|window| window.open_until(now)).max() {
            return Opening::Until(end);
        }
        self.0.iter().filter_map(|window| window.next(now)).min().map_or(Opening::Never, Opening::From)
    }

    /// A moment as people at the place of these windows write it.
    pub fn local(&self, moment: Timestamp) -> String {
        let zone = self.0.first().map_or(TimeZone::UTC, |window| window.zone.clone());
        local(moment, &zone)
    }
}

/// What is wrong with somebody's windows, if there is something. It is said as long as they are so, whether there is a rollout or not.
pub fn finding(maintenance: Option<&Maintenance>) -> Option<Finding> {
    let error = Windows::parse(&maintenance?.windows, &TimeZone::UTC).err()?;
    let message =
        format!("spec.maintenance.windows: {error}; no rollout moves what it holds for, and everything else goes on");
    Some(Finding::new(Reason::WindowNeverOpens, message))
}

/// A moment as people in a time zone write it.
pub fn local(moment: Timestamp, zone: &TimeZone) -> String {
    moment.to_zoned(zone.clone()).strftime("%F %H:%M %Z").to_string()
}

/// A duration such as `24h` or `1h30m`.
pub fn duration(text: &str) -> Option<SignedDuration> {
    SignedDuration::from_str(text).ok().filter(SignedDuration::is_positive)
}

/// A moment in which every day that there can be lies ahead within a few years.
const LONG_AGO: i64 = 946_684_800;

impl Window {
    fn parse(window: &MaintenanceWindow, zone: &TimeZone) -> Result<Self, WindowError> {
        let text = || window.cron.clone();
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron =
            parser.parse(&window.cron).map_err(|error| WindowError::Cron { cron: text(), why: error.to_string() })?;
        let duration = duration(&window.duration)
            .ok_or_else(|| WindowError::Duration { cron: text(), duration: window.duration.clone() })?;
        let zone = match &window.time_zone {
            Some(name) => TimeZone::get(name).map_err(|_| WindowError::Zone { cron: text(), zone: name.clone() })?,
            None => zone.clone(),
        };
        let window = Self { cron, duration, zone };
        let long_ago = Timestamp::from_second(LONG_AGO).unwrap_or(Timestamp::UNIX_EPOCH);
        if window.next(long_ago).is_none() {
            return Err(WindowError::Never(text()));
        }
        Ok(window)
    }

    /// When it opens after a moment.
    fn next(&self, moment: Timestamp) -> Option<Timestamp> {
        let moment = moment.to_zoned(self.zone.clone());
        self.cron.find_next_occurrence(&moment, false).ok().map(|found| found.timestamp())
    }

    /// When the last one that opened up to a moment ends, if that lies ahead.
    fn open_until(&self, now: Timestamp) -> Option<Timestamp> {
        let opened = self.cron.find_previous_occurrence(&now.to_zoned(self.zone.clone()), true).ok()?.timestamp();
        opened.checked_add(self.duration).ok().filter(|end| *end > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(cron: &str, duration: &str, zone: &str) -> MaintenanceWindow {
        MaintenanceWindow { cron: cron.into(), duration: duration.into(), time_zone: Some(zone.into()) }
    }

    fn at(windows: &[MaintenanceWindow], now: &str) -> String {
        match Windows::parse(windows, &TimeZone::UTC).unwrap().at(now.parse().unwrap()) {
            Opening::Always => "always".to_owned(),
            Opening::Until(end) => format!("until {end}"),
            Opening::From(begin) => format!("from {begin}"),
            Opening::Never => "never".to_owned(),
        }
    }

    #[test]
    fn a_window_is_open_from_its_begin_to_its_end_in_its_own_time_zone() {
        let night = [window("0 22 * * *", "4h", "Asia/Shanghai")];
        for (now, expected) in [
            ("2026-11-28T13:59:59Z", "from 2026-11-28T14:00:00Z"),
            ("2026-11-28T14:00:00Z", "until 2026-11-28T18:00:00Z"),
            ("2026-11-28T17:59:59Z", "until 2026-11-28T18:00:00Z"),
            ("2026-11-28T18:00:00Z", "from 2026-11-29T14:00:00Z"),
        ] {
            assert_eq!(at(&night, now), expected, "{now}");
        }
        assert_eq!(at(&[], "2026-11-28T13:00:00Z"), "always");
        let two = [window("0 22 * * SAT", "4h", "UTC"), window("0 2 1 * *", "1h", "UTC")];
        assert_eq!(at(&two, "2026-11-29T03:00:00Z"), "from 2026-12-01T02:00:00Z", "the next of both");
        let overlapping = [window("0 22 * * *", "4h", "UTC"), window("0 23 * * *", "8h", "UTC")];
        assert_eq!(at(&overlapping, "2026-11-28T23:30:00Z"), "until 2026-11-29T07:00:00Z");
        let always = [window("0 0 * * *", "30h", "UTC")];
        assert_eq!(at(&always, "2026-11-28T12:00:00Z"), "until 2026-11-29T06:00:00Z", "it opens before it ends");
    }

    #[test]
    fn a_window_follows_the_clock_on_the_wall_through_daylight_saving_time() {
        let berlin = [window("30 2 * * *", "1h", "Europe/Berlin")];
        for (now, expected, why) in [
            ("2026-03-28T00:00:00Z", "from 2026-03-28T01:30:00Z", "winter: one hour before UTC"),
            (
                "2026-03-29T00:00:00Z",
                "from 2026-03-29T01:00:00Z",
                "02:30 does not exist: it opens at 03:00 of summer time",
            ),
            ("2026-03-30T00:00:00Z", "from 2026-03-30T00:30:00Z", "summer: two hours before UTC"),
            ("2026-10-25T00:00:00Z", "from 2026-10-25T00:30:00Z", "02:30 comes twice: the first"),
            ("2026-10-25T01:31:00Z", "from 2026-10-26T01:30:00Z", "and not the second"),
        ] {
            assert_eq!(at(&berlin, now), expected, "{why}");
        }
        let long = [window("0 1 * * *", "4h", "Europe/Berlin")];
        assert_eq!(at(&long, "2026-10-25T02:59:00Z"), "until 2026-10-25T03:00:00Z", "four hours are four hours");
    }

    #[test]
    fn a_window_that_never_opens_is_refused_when_it_is_read() {
        let error = |cron: &str, duration: &str, zone: &str| {
            Windows::parse(&[window(cron, duration, zone)], &TimeZone::UTC).unwrap_err().to_string()
        };
        assert_eq!(error("0 0 31 2 *", "1h", "UTC"), "the window \"0 0 31 2 *\" never opens: no year has such a day");
        assert!(Windows::parse(&[window("0 0 29 2 *", "1h", "UTC")], &TimeZone::UTC).is_ok(), "in leap years");
        assert!(error("61 0 * * *", "1h", "UTC").contains("is no cron expression"));
        assert!(error("0 0 * * * *", "1h", "UTC").contains("is no cron expression"), "seconds");
        assert!(error("0 0 * * *", "0h", "UTC").contains("above zero"));
        assert!(error("0 0 * * *", "1h", "Mars/Olympus").contains("Mars/Olympus"));
    }
}
