//! The batteries are watched by a clock that nobody sets, for spans are all that counts of them. What stands in files and in
//! the log is of the wall clock, and is brought over here.

use ananke_core::intent::Intent;
use ananke_core::name::Moment;
use ananke_core::port::Clock as _;

use crate::clock::{SteadyClock, moved};

pub(super) struct OwnTime {
    pub(super) clock: SteadyClock,
    /// The newest intent as it stands on disk, and by how much the wall clock had been set when it was first seen there.
    dated: Option<(Intent, i64)>,
}

impl OwnTime {
    pub(super) fn new(clock: SteadyClock) -> Self {
        Self { clock, dated: None }
    }

    pub(super) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// A time of ours as the wall clock has it.
    pub(super) fn on_the_wall(&self, at: Moment) -> Moment {
        moved(at, self.clock.set_by())
    }

    /// An intent with a time of ours.
    pub(super) fn of(&mut self, intent: Intent) -> Intent {
        dated(&mut self.dated, intent, self.clock.set_by())
    }
}

/// An intent is looked for every second: what is new was written by the wall clock as it is set now, and what was there
/// before, by the wall clock as it was then.
fn dated(known: &mut Option<(Intent, i64)>, intent: Intent, set: i64) -> Intent {
    let set = known.as_ref().filter(|(same, _)| *same == intent).map_or(set, |(_, set)| *set);
    let at = moved(intent.at, set.saturating_neg());
    *known = Some((intent.clone(), set));
    Intent { at, ..intent }
}

#[cfg(test)]
mod tests {
    use ananke_core::intent::IntentState;
    use ananke_core::name::RunId;

    use super::*;

    #[test]
    fn an_intent_keeps_its_place_among_what_was_watched_however_the_clock_is_set() {
        const HOUR: i64 = 3_600_000;
        let intent = |at: i64| Intent {
            state: IntentState::StartupInProgress,
            run: RunId::parse("startup-1").unwrap(),
            at: Moment::from_millis(at),
            reason: "why".to_owned(),
            by_power: true,
            of: None,
        };
        for set in [6 * HOUR, -6 * HOUR] {
            let mut known = None;
            let mut at = |written: i64, set| dated(&mut known, intent(written), set).at.as_millis();
            assert_eq!(at(100 * HOUR, 0), 100 * HOUR, "nobody set the clock");
            assert_eq!(at(100 * HOUR, set), 100 * HOUR, "it was written before the clock was set");
            assert_eq!(at(101 * HOUR + set, set), 101 * HOUR, "it was written by the clock as it is set now");
            assert_eq!(at(101 * HOUR + set, 0), 101 * HOUR, "and the clock was set back to what it was");
        }
    }
}
