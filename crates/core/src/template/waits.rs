//! Whether one environment may move now; else why it waits, and until when.

use jiff::Timestamp;

use super::follower::Standing;
use super::followers::{Entry, Followers};
use super::rollout::{Gate, Turn, failures_of};
use crate::windows::Opening;

/// Why an environment waits, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    /// For people.
    pub text: String,
    /// When that may be otherwise without anybody's doing.
    pub until: Option<Timestamp>,
}

impl Followers {
    /// Whether an environment may move now. Who has begun is not asked.
    pub fn admits(&self, name: &str, turn: &Turn<'_>) -> bool {
        let Some((entry, before)) = self.entry(name).zip(turn.before) else { return false };
        let failures = failures_of(before);
        if turn.rules.paused || turn.rules.is_held_by(failures) {
            return false;
        }
        let has_turn = before.moving.iter().any(|one| one.environment == name);
        let reached_before = entry.place.as_ref().zip(before.place.as_ref()).is_some_and(|(own, last)| own <= last);
        (has_turn && self.opening(entry, turn).is_open()) || (entry.standing == Standing::Parked && reached_before)
    }

    /// Why an environment that may not move waits.
    pub fn why(&self, name: &str, turn: &Turn<'_>) -> Option<Why> {
        let entry = self.entry(name)?;
        let wave = entry.place.as_ref()?.stage;
        let rules = turn.rules.stage(wave);
        let say = |text: String, until| Some(Why { text, until });
        let failures = turn.before.map_or(0, failures_of);
        if turn.rules.paused {
            return say("the rollout is paused".to_owned(), None);
        }
        if turn.rules.is_held_by(failures) {
            return say(format!("the rollout is paused after {failures} failure(s)"), None);
        }
        if self.opening(entry, turn) == Opening::Never {
            return say(self.never_opens(name), None);
        }
        let place = turn.before.and_then(|before| before.place.as_ref());
        let moving = turn.before.map_or(&[][..], |before| &before.moving);
        match self.gate(wave, place, moving, turn) {
            Some(Gate::Before(earlier)) => return say(format!("stage {} comes first", earlier.as_str()), None),
            Some(Gate::Soak(earlier, until)) => {
                let text =
                    format!("stage {} has to be well until {}", earlier.as_str(), self.local(entry, turn, until));
                return say(text, Some(until));
            }
            Some(Gate::Approval) => return say(format!("stage {} waits for an approval", wave.as_str()), None),
            None => {}
        }
        if let Opening::From(until) = self.opening(entry, turn) {
            return say(format!("its window opens at {}", self.local(entry, turn, until)), Some(until));
        }
        if let Some((staging, until)) = self.own_staging(entry, turn) {
            let text = match until {
                Some(until) => format!("\"{staging}\" has to be well until {}", self.local(entry, turn, until)),
                None => format!("\"{staging}\" comes first, its customer's Staging"),
            };
            return say(text, until);
        }
        let text = format!("at most {} of stage {} are on the way at once", rules.concurrent, wave.as_str());
        say(text, self.opening(entry, turn).changes_at())
    }

    fn local(&self, entry: &Entry, turn: &Turn<'_>, moment: Timestamp) -> String {
        let group = entry.place.as_ref().and_then(|place| {
            self.waiting.get(&place.stage).and_then(|groups| groups.get(&entry.follower.needed_windows()))
        });
        match (group.and_then(|group| group.windows.as_ref()), &entry.place) {
            (Some(Ok(windows)), _) => windows.local(moment),
            (_, Some(place)) => turn.rules.stage(place.stage).local(moment),
            (_, None) => moment.to_string(),
        }
    }

    pub(super) fn never_opens(&self, name: &str) -> String {
        let error = self.entry(name).and_then(|entry| {
            let groups = self.waiting.get(&entry.place.as_ref()?.stage)?;
            groups.get(&entry.follower.needed_windows())?.windows.as_ref()?.as_ref().err()
        });
        error.map_or_else(|| "the window of its stage never opens".to_owned(), ToString::to_string)
    }
}
