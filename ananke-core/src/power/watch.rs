//! One UPS over time: what its readings come to.

use std::time::Duration;

use super::{PowerSpec, Supply, Word};
use crate::name::{Moment, human};
use crate::observation::UpsReading;

/// `LB` alone is believed after this long: some say it in the second in which mains fail, with a full battery (trap
/// `ups-low-battery-flag-lies`).
const LOW_CONFIRMED: Duration = Duration::from_secs(30);
/// A calibration that lasts longer is no excuse any more, and the other words count: this one has been seen to stick (trap
/// `ups-flap-or-selftest`).
const CALIBRATION_LASTS: Duration = Duration::from_secs(45 * 60);
/// On battery for this long without a word of charge or runtime, nothing can be known to be left.
const BLIND: Duration = Duration::from_secs(120);
/// Unheard for so long after its battery ran out by its own word, what it fed has gone down or has mains.
const SPENT: Duration = Duration::from_secs(600);

/// On line by its own word beside `DISCHRG`, or beside `CAL` for too long, it is on battery when the charge has fallen by so many
/// points, or, where none is told, the runtime by half: a runtime also falls with more load.
const FALLEN_POINTS: u8 = 10;
/// What takes longer to fall is a battery that rests, as many do for weeks at `OL DISCHRG`.
const FALLS_WITHIN: Duration = Duration::from_secs(3600);

/// What was heard of one UPS.
#[derive(Debug, Clone, Default)]
pub struct UpsWatch {
    newest: Option<Heard>,
    /// Since when it has been on battery, by our own clock; on line for less than the debounce does not end it.
    on_battery: Option<Moment>,
    /// A calibration is no part of an outage: a blip at its end is as short as any other.
    calibrating: Option<Moment>,
    on_line: Option<Moment>,
    doubt: Option<Doubt>,
    /// What does not tell where its power comes from leaves it as it was until then.
    vague_until: Option<Moment>,
    low: Option<Moment>,
    /// Since when nothing is heard of it.
    lost: Option<Moment>,
    /// Nobody waits for it any more, until it is heard again.
    given_up: bool,
    forced: Forced,
}

#[derive(Debug, Clone)]
struct Heard {
    /// When these values were new: numbers that stand still on battery are counted down by our own clock.
    at: Moment,
    reading: UpsReading,
}

/// It says that mains are there, and beside it what may say that they are not: what its battery does tells which.
#[derive(Debug, Clone)]
struct Doubt {
    said: Supply,
    since: Moment,
    /// What it said then, or a while ago, or when it was last on battery by its own word.
    from: Heard,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Forced {
    #[default]
    No,
    /// It appeared while we watched.
    Seen,
    /// Of an outage that is over (trap `ups-fsd-latched`): it was there at the first look with mains, or stands after what it asked
    /// for is done.
    Latched,
}

/// What one UPS comes to at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpsState {
    /// Mains carry the load, without a break since then.
    Line { since: Moment },
    /// Too short to be an outage, or to have ended one.
    Wavers { since: Moment },
    /// It runs its battery down by itself, and mains are there.
    Calibrates { since: Moment },
    /// What is left by its own word, counted down since; none: it does not tell.
    Battery { since: Moment, left: Option<Duration> },
    /// What it feeds must go down now, and has no longer than this: a shutdown that it asks for always has an end.
    Critical { why: String, left: Duration },
    /// Nothing is heard of it, or nothing that tells of its power for long, and it was not on battery: an alarm and no more.
    Lost { since: Moment },
    /// Mains are there, and `FSD` still stands from an outage before.
    Latched,
    /// Nothing was heard yet.
    Unknown,
}

impl UpsWatch {
    /// Takes one look at `now`: none where nothing was heard, or upsd itself says that its data are stale.
    pub fn take(&mut self, reading: Option<UpsReading>, debounce: Duration, now: Moment) {
        let Some(reading) = reading else {
            self.misses(now);
            return;
        };
        let (supply, first) = (self.supply(&reading, debounce, now), self.newest.is_none());
        if self.is_vague(supply, &reading, now) {
            self.newest = Some(Heard { at: now, reading });
            self.forget_outage();
            self.misses(now);
            return;
        }
        (self.lost, self.given_up) = (None, false);
        match supply {
            Supply::Line => {
                let since = *self.on_line.get_or_insert(now);
                self.calibrating = None;
                if now.since(since) >= debounce {
                    self.on_battery = None;
                }
            }
            Supply::Battery => {
                self.on_line = None;
                // A calibration that is no excuse any more was an outage from its begin.
                let excused = self.calibrating.take().filter(|_| reading.has(Word::Calibrating));
                self.on_battery.get_or_insert(excused.unwrap_or(now));
            }
            Supply::Calibration => {
                self.on_line = None;
                let calibrates = now.since(*self.calibrating.get_or_insert(now));
                // Some are on battery for a moment before they say why. What was an outage before stays one, until it is plain
                // that mains are back: without them nothing calibrates for long.
                self.on_battery = self.on_battery.filter(|since| now.since(*since) >= debounce && calibrates < debounce);
            }
            // It goes on as it was.
            Supply::Unclear => {}
        }
        let (low, forced) = (reading.has(Word::LowBattery), reading.has(Word::ForcedShutdown));
        self.low = if low { Some(self.low.unwrap_or(now)) } else { None };
        self.forced = match (forced, self.forced) {
            (false, _) => Forced::No,
            (true, Forced::No) if first && supply == Supply::Line => Forced::Latched,
            (true, Forced::No) => Forced::Seen,
            (true, known) => known,
        };
        // One that only says on line that it calibrates runs nothing down.
        let counts = !reading.has(Word::Calibrating) || reading.has(Word::OnBattery) || reading.has(Word::Discharging);
        let drains = counts && self.on_battery.or(self.calibrating).is_some();
        let still = self.newest.take().filter(|old| old.reading == reading && drains);
        self.newest = Some(still.unwrap_or(Heard { at: now, reading }));
    }

    fn misses(&mut self, now: Moment) {
        self.lost.get_or_insert(now);
        // Mains may have been away meanwhile.
        self.on_line = None;
        if self.is_spent(now) {
            self.forget_outage();
        }
    }

    /// Whether it has not told where its power comes from for so long that a battery would have run out by its own word: that is as
    /// good as silence.
    fn is_vague(&mut self, supply: Supply, reading: &UpsReading, now: Moment) -> bool {
        if supply != Supply::Unclear {
            self.vague_until = None;
            return false;
        }
        let runtime = self.newest().and_then(|newest| newest.runtime).or(reading.runtime).unwrap_or(BLIND);
        now >= *self.vague_until.get_or_insert(now.plus(runtime).plus(SPENT))
    }

    /// Where the power comes from. Some say `OL DISCHRG` when mains fail (NUT has `onlinedischarge_onbattery` for them), some in
    /// every self-test, and some for ever; and `CAL` may stick.
    fn supply(&mut self, reading: &UpsReading, debounce: Duration, now: Moment) -> Supply {
        let said = reading.supply();
        let patience = match said {
            Supply::Unclear => return said,
            Supply::Line if reading.has(Word::Discharging) => debounce,
            Supply::Calibration => CALIBRATION_LASTS,
            Supply::Line | Supply::Battery => {
                self.doubt = None;
                return said;
            }
        };
        let heard = || Heard { at: now, reading: reading.clone() };
        let same = self.doubt.take().filter(|doubt| doubt.said == said);
        let mut doubt = same.unwrap_or_else(|| Doubt { said, since: now, from: heard() });
        let (lasts, falls) = (now.since(doubt.since), has_fallen(&doubt.from.reading, reading));
        let words = reading.supply_beside_calibration();
        if words == Supply::Battery || !falls && now.since(doubt.from.at) >= FALLS_WITHIN {
            doubt.from = heard();
        }
        self.doubt = Some(doubt);
        if lasts < patience {
            said
        } else if falls && words == Supply::Line {
            Supply::Battery
        } else {
            words
        }
    }

    /// `LB` that nothing else it says contradicts counts at once: whoever asks has waited himself.
    pub(super) fn believes_low(&mut self) {
        let tells_more = self.newest().is_some_and(|newest| newest.runtime.is_some() || newest.charge_percent.is_some());
        if !tells_more {
            self.low = self.low.map(|since| since.minus(LOW_CONFIRMED));
        }
    }

    /// The cluster has been down since `down`: a word that still stands after the hold-off on line is of the outage that is
    /// over, and a person's. It would stop whatever boots on mains, again and again.
    pub(super) fn obeyed(&mut self, down: Moment, hold_off: Duration, now: Moment) {
        let settled = self.on_line.is_some_and(|since| now.since(since.max(down)) >= hold_off);
        if settled && self.lost.is_none() && self.forced == Forced::Seen {
            self.forced = Forced::Latched;
        }
    }

    /// Its last word of an outage says nothing any more, and would keep the cluster down for ever.
    fn is_spent(&self, now: Moment) -> bool {
        let (Some(newest), Some(lost)) = (&self.newest, self.lost) else { return false };
        let empty = newest.reading.runtime.map_or(lost.plus(BLIND), |runtime| newest.at.plus(runtime));
        now >= empty.max(lost).plus(SPENT)
    }

    fn forget_outage(&mut self) {
        (self.on_battery, self.calibrating, self.low) = (None, None, None);
        if self.forced == Forced::Seen {
            self.forced = Forced::Latched;
        }
    }

    /// Since when nothing is heard of it, where its last word was of no outage.
    fn silent(&self) -> Option<Moment> {
        let in_outage = self.on_battery.is_some() || self.calibrating.is_some() || self.forced == Forced::Seen;
        self.lost.filter(|_| !in_outage)
    }

    /// Silent for `patience` since it fell silent, or since mains are known to be back elsewhere: nobody waits for it any more.
    pub(super) fn give_up(&mut self, back: Moment, patience: Duration, now: Moment) {
        self.given_up |= self.silent().is_some_and(|lost| now.since(lost.max(back)) >= patience);
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.given_up
    }

    /// What it comes to, where a shutdown needs `reserve`.
    pub fn state(&self, spec: &PowerSpec, reserve: Duration, now: Moment) -> UpsState {
        let Some(newest) = &self.newest else {
            return self.lost.map_or(UpsState::Unknown, |since| UpsState::Lost { since });
        };
        let left = newest.reading.runtime.map(|runtime| runtime.saturating_sub(now.since(newest.at)));
        if self.forced == Forced::Seen {
            // Its primary cuts it off within seconds, whatever the battery would still give.
            return UpsState::Critical { why: "it was told to switch off (FSD)".to_owned(), left: Duration::ZERO };
        }
        let Some(since) = self.on_battery.or(self.calibrating) else {
            return match (self.lost, self.forced, self.on_line) {
                (Some(since), ..) => UpsState::Lost { since },
                (None, Forced::Latched, _) => UpsState::Latched,
                (None, _, Some(since)) => UpsState::Line { since },
                (None, _, None) => UpsState::Unknown,
            };
        };
        let lasted = now.since(since);
        // What was on line for a moment is still an outage, and has no need of a shutdown.
        if self.on_line.is_some() && self.lost.is_none() {
            return UpsState::Wavers { since };
        }
        if self.on_battery.is_some() && lasted < spec.debounce {
            return UpsState::Wavers { since };
        }
        match self.emergency(spec, newest, left, reserve, lasted, now) {
            Some((why, left)) => UpsState::Critical { why, left },
            None if self.is_excused(spec, now) => UpsState::Calibrates { since },
            None => UpsState::Battery { since, left },
        }
    }

    /// Calibration is no outage, while it can be heard and for as long as one lasts.
    fn is_excused(&self, spec: &PowerSpec, now: Moment) -> bool {
        let heard = self.lost.is_none_or(|since| now.since(since) < spec.debounce);
        heard && self.calibrating.is_some_and(|since| now.since(since) < CALIBRATION_LASTS)
    }

    /// Why what is on battery cannot wait any longer, and how long it lasts at most. Where nothing tells, it is what a shutdown
    /// needs; no more either where `LB` contradicts a runtime that says that there is plenty.
    fn emergency(
        &self,
        spec: &PowerSpec,
        newest: &Heard,
        left: Option<Duration>,
        reserve: Duration,
        lasted: Duration,
        now: Moment,
    ) -> Option<(String, Duration)> {
        let known = left.unwrap_or(reserve);
        let charge = newest.reading.charge_percent;
        if let Some(low) = self.low {
            let confirmed = if left.is_some_and(|left| left <= reserve * 2) {
                Some("and its runtime agrees".to_owned())
            } else if charge.is_some_and(|charge| charge <= spec.charge_floor.saturating_mul(2)) {
                Some("and its charge agrees".to_owned())
            } else {
                let lasted = now.since(low);
                (lasted >= LOW_CONFIRMED).then(|| format!("for {}", human(lasted)))
            };
            if let Some(how) = confirmed {
                return Some((format!("its battery is low (LB), {how}"), known.min(reserve)));
            }
        }
        if self.is_excused(spec, now) {
            return None;
        }
        if let Some(left) = left.filter(|left| *left <= reserve) {
            return Some((format!("its runtime is {} and a shutdown needs {}", human(left), human(reserve)), left));
        }
        if let Some(charge) = charge.filter(|charge| *charge <= spec.charge_floor) {
            return Some((format!("its charge is {charge} %, and {} % is the floor", spec.charge_floor), known));
        }
        // Without a runtime nothing says for how long a last charge is good.
        let blind = left.is_none() && (charge.is_none() || self.lost.is_some());
        let unheard = self.lost.map_or(lasted, |lost| now.since(lost));
        (blind && unheard >= BLIND)
            .then(|| (format!("it is on battery, and for {} nothing tells how much is left", human(unheard)), known))
    }

    /// Mains were there at the newest look.
    pub fn has_mains(&self) -> bool {
        self.on_line.is_some()
    }

    /// Since when mains have been there, without a break.
    pub(super) fn on_line(&self) -> Option<Moment> {
        self.on_line
    }

    /// The newest reading, and for how long nothing else has been heard.
    pub fn newest(&self) -> Option<&UpsReading> {
        self.newest.as_ref().map(|heard| &heard.reading)
    }

    pub fn lost_since(&self) -> Option<Moment> {
        self.lost
    }
}

/// The battery has given power since, by values that neither rounding nor load explains. Where `LB` stands beside it, any
/// fall will do, and where nothing else is told that word alone. What is charged is on mains.
fn has_fallen(from: &UpsReading, to: &UpsReading) -> bool {
    let discharges = to.has(Word::Discharging);
    if to.has(Word::Charging) && !discharges {
        return false;
    }
    let low = discharges && to.has(Word::LowBattery);
    if let Some((from, to)) = from.charge_percent.zip(to.charge_percent) {
        return from.saturating_sub(to) >= if low { 1 } else { FALLEN_POINTS };
    }
    from.runtime.zip(to.runtime).map_or(low, |(from, to)| to < from && (low || to <= from / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Moment = Moment::from_millis(1_773_453_971_000);
    const RESERVE: Duration = Duration::from_secs(600);

    fn at(seconds: u64) -> Moment {
        START.plus(Duration::from_secs(seconds))
    }

    /// `OB DISCHRG 80% 1200s`; `-`: nothing is heard.
    fn reading(text: &str) -> Option<UpsReading> {
        let words = || text.split(' ').filter(|word| *word != "-");
        let number = |suffix: char| words().find_map(|word| word.strip_suffix(suffix)?.parse::<u64>().ok());
        (text != "-").then(|| UpsReading {
            status: words().filter(|word| word.chars().all(char::is_alphabetic)).map(Into::into).collect(),
            charge_percent: number('%').map(|charge| u8::try_from(charge).unwrap()),
            runtime: number('s').map(Duration::from_secs),
        })
    }

    /// A reading counts until the next one: it is heard every second.
    fn told(story: &[(u64, &str)], end: u64) -> String {
        let (spec, mut watch, mut told) = (PowerSpec::default(), UpsWatch::default(), Vec::<String>::new());
        for second in 0..=end {
            let (_, text) = story.iter().rev().find(|(from, _)| *from <= second).unwrap();
            watch.take(reading(text), spec.debounce, at(second));
            let word = match watch.state(&spec, RESERVE, at(second)) {
                UpsState::Line { .. } => "line".to_owned(),
                UpsState::Wavers { .. } => "wavers".to_owned(),
                UpsState::Battery { .. } => "battery".to_owned(),
                UpsState::Calibrates { .. } => "calibrates".to_owned(),
                UpsState::Critical { why, .. } => format!("critical: {why}"),
                UpsState::Lost { .. } => "lost".to_owned(),
                UpsState::Latched => "latched".to_owned(),
                UpsState::Unknown => "unknown".to_owned(),
            };
            if told.last().and_then(|last| last.split_once(' ')).is_none_or(|(_, last)| last != word) {
                told.push(format!("{second} {word}"));
            }
            if word.starts_with("critical") {
                break;
            }
        }
        told.join("; ")
    }

    #[test]
    fn sequences_come_to_what_they_should() {
        for (story, end, expected) in [
            // Trap `ups-flap-or-selftest`: blips, self-tests, calibration.
            (&[(0, "OL 100%"), (5, "OB 99% 3000s"), (12, "OL 99%")][..], 60, "0 line; 5 wavers; 27 line"),
            (&[(0, "OL 100%"), (5, "OL DISCHRG 99%"), (20, "OL 99%")], 60, "0 line"),
            (&[(0, "OL 100%"), (5, "OFF 99%"), (15, "OL 99%")], 60, "0 line"),
            (&[(0, "OL 100%"), (5, "OB CAL DISCHRG 25% 300s"), (900, "OL CHRG 20%")], 960, "0 line; 5 calibrates; 900 line"),
            (
                &[(0, "OL 100%"), (5, "OB CAL 25% 300s"), (300, "OB 25% 290s"), (310, "OL 25% 300s")],
                340,
                "0 line; 5 calibrates; 300 wavers; 325 line",
            ),
            (
                &[(0, "OL 100%"), (5, "OB 90%"), (6, "OB CAL 25% 300s"), (300, "OB 25% 290s"), (310, "OL 25% 300s")],
                340,
                "0 line; 5 wavers; 6 calibrates; 300 wavers; 325 line",
            ),
            (
                &[(0, "OL 100%"), (5, "OB 90% 3000s"), (60, "OL CAL 90% 3000s"), (100, "OB 90% 3000s"), (104, "OL 90%")],
                150,
                "0 line; 5 wavers; 20 battery; 60 calibrates; 100 wavers; 119 line",
            ),
            (&[(0, "OL 100%"), (5, "OB CAL 25% 300s"), (300, "-"), (302, "OB CAL 25% 300s")], 320, "0 line; 5 calibrates"),
            (
                &[(0, "OL 100%"), (5, "OB CAL 25% 300s"), (300, "-")],
                320,
                "0 line; 5 calibrates; 315 critical: its runtime is 0s and a shutdown needs 10m00s",
            ),
            (
                &[(0, "OL 100%"), (5, "OB CAL 15% 100s")],
                4000,
                "0 line; 5 calibrates; 2705 critical: its runtime is 0s and a shutdown needs 10m00s",
            ),
            (
                &[(0, "OL 100%"), (5, "CAL 30% 3000s"), (100, "CAL LB 30% 3000s")],
                900,
                "0 line; 5 calibrates; 100 critical: its battery is low (LB), and its charge agrees",
            ),
            // An outage, by runtime, by charge, by both silent.
            (
                &[(0, "OL 100% 3000s"), (10, "OB 99% 2000s"), (60, "OB 60% 900s"), (90, "OB 40% 590s")],
                200,
                "0 line; 10 wavers; 25 battery; 90 critical: its runtime is 9m50s and a shutdown needs 10m00s",
            ),
            (
                &[(0, "OL 100%"), (10, "OB 99%"), (60, "OB 20%")],
                200,
                "0 line; 10 wavers; 25 battery; 60 critical: its charge is 20 %, and 20 % is the floor",
            ),
            (
                &[(0, "OL"), (10, "OB")],
                200,
                "0 line; 10 wavers; 25 battery; 130 critical: it is on battery, and for 2m00s nothing tells how much is left",
            ),
            // Trap `ups-low-battery-flag-lies`: the flag lies in both directions.
            (
                &[(0, "OL 100% 3000s"), (10, "OB LB 95% 3000s"), (25, "OB 95% 2950s"), (50, "OL 90% 2900s")],
                80,
                "0 line; 10 wavers; 25 battery; 50 wavers; 65 line",
            ),
            (
                &[(0, "OL 100% 3000s"), (10, "OB LB 95% 3000s")],
                80,
                "0 line; 10 wavers; 25 battery; 40 critical: its battery is low (LB), for 30s",
            ),
            (
                &[(0, "OL 100% 3000s"), (10, "OB 90% 2900s"), (60, "OB LB 60% 1100s")],
                80,
                "0 line; 10 wavers; 25 battery; 60 critical: its battery is low (LB), and its runtime agrees",
            ),
            // Trap `ups-comms-lost-data-stale`: lost while on line, lost on battery, numbers that stand still.
            (&[(0, "OL 100% 3000s"), (10, "-"), (900, "OL 100% 3000s")], 930, "0 line; 10 lost; 900 line"),
            (
                &[(0, "OL 100% 3000s"), (10, "OB 99% 1000s"), (40, "-")],
                900,
                "0 line; 10 wavers; 25 battery; 410 critical: its runtime is 10m00s and a shutdown needs 10m00s",
            ),
            (
                &[(0, "OL 100% 3000s"), (10, "OB 99% 1000s"), (14, "-")],
                900,
                "0 line; 10 wavers; 25 battery; 410 critical: its runtime is 10m00s and a shutdown needs 10m00s",
            ),
            (
                &[(0, "OL 100%"), (10, "OB 99%"), (40, "-")],
                900,
                "0 line; 10 wavers; 25 battery; 160 critical: it is on battery, and for 2m00s nothing tells how much is left",
            ),
            (
                &[(0, "OL 100% 3000s"), (10, "OB 99% 1000s")],
                900,
                "0 line; 10 wavers; 25 battery; 410 critical: its runtime is 10m00s and a shutdown needs 10m00s",
            ),
            (&[(0, "-"), (10, "OL 100%")], 60, "0 lost; 10 line"),
            // Trap `ups-fsd-latched`: told to go, and told so long ago.
            (&[(0, "OL 100%"), (10, "FSD OB 60%")], 60, "0 line; 10 critical: it was told to switch off (FSD)"),
            (&[(0, "OL 100%"), (10, "FSD OL 60%")], 60, "0 line; 10 critical: it was told to switch off (FSD)"),
            (&[(0, "FSD OL 100%"), (30, "OL 100%")], 60, "0 latched; 30 line"),
            (&[(0, "FSD OB LB 10%")], 60, "0 critical: it was told to switch off (FSD)"),
            // Mains that flap are one outage, and its clock runs on.
            (
                &[(0, "OL 100% 3000s"), (10, "OB 95% 2000s"), (30, "OL 94%"), (40, "OB 93% 590s")],
                80,
                "0 line; 10 wavers; 25 battery; 30 wavers; 40 critical: its runtime is 9m50s and a shutdown needs 10m00s",
            ),
        ] {
            assert_eq!(told(story, end), expected, "{story:?}");
        }
    }

    #[test]
    fn on_line_is_believed_beside_discharging_until_the_battery_falls() {
        let drift: Vec<(u64, String)> = (0..80).map(|n| (n * 400, format!("OL DISCHRG {}%", 100 - n))).collect();
        let drift: Vec<(u64, &str)> = drift.iter().map(|(from, text)| (*from, text.as_str())).collect();
        for (story, end, expected) in [
            // A self-test, a word that stands for ever, more load, a battery that rests.
            (&[(0, "OL 100%"), (5, "OL DISCHRG 100%"), (10, "OL DISCHRG 80%"), (15, "OL 80%")][..], 60, "0 line"),
            (&[(0, "OL DISCHRG 100% 3000s")], 7200, "0 line"),
            (&[(0, "OL DISCHRG 100% 3000s"), (60, "OL DISCHRG 99% 500s")], 3600, "0 line"),
            (&drift, 32_000, "0 line"),
            // `LB` that the charge contradicts.
            (&[(0, "OL 100%"), (5, "OL DISCHRG 15%"), (10, "OL DISCHRG LB 15%"), (90, "OL DISCHRG LB 16%")], 200, "0 line"),
            // Mains that are away.
            (
                &[(0, "OL 100% 3000s"), (5, "OL DISCHRG 100% 3000s"), (60, "OL DISCHRG 90% 2700s"), (600, "OL CHRG 70%")],
                640,
                "0 line; 60 wavers; 75 battery; 600 wavers; 615 line",
            ),
            (
                &[(0, "OL DISCHRG 100% 3000s"), (9000, "OL DISCHRG 85% 2500s"), (9100, "OL DISCHRG 40% 590s")],
                9200,
                "0 line; 9000 wavers; 9015 battery; 9100 critical: its runtime is 9m50s and a shutdown needs 10m00s",
            ),
            (&[(0, "OL DISCHRG 3000s"), (300, "OL DISCHRG 1500s")], 330, "0 line; 300 wavers; 315 battery"),
            (
                &[(0, "OL DISCHRG 100%"), (60, "OL DISCHRG LB 98%")],
                200,
                "0 line; 60 wavers; 75 battery; 90 critical: its battery is low (LB), for 30s",
            ),
            (
                &[(0, "OL DISCHRG"), (60, "OL DISCHRG LB")],
                200,
                "0 line; 60 wavers; 75 battery; 90 critical: its battery is low (LB), for 30s",
            ),
        ] {
            assert_eq!(told(story, end), expected, "{story:?}");
        }
    }

    #[test]
    fn a_calibration_that_sticks_is_judged_by_the_other_words() {
        for (story, end, expected) in [
            (&[(0, "OL CAL 100% 3000s")][..], 9000, "0 calibrates; 2700 line"),
            (&[(0, "OL CAL 100% 3000s"), (3000, "-")], 9000, "0 calibrates; 2700 line; 3000 lost"),
            (
                &[(0, "OL CAL 100% 3000s"), (3000, "OB CAL 99% 2900s"), (3100, "OB CAL 20% 900s")],
                3200,
                "0 calibrates; 2700 line; 3000 wavers; 3015 battery; 3100 critical: its charge is 20 %, and 20 % is the floor",
            ),
            (
                &[(0, "OL CAL 100% 3000s"), (3000, "OB CAL 80% 2400s"), (3300, "OL CAL 79% 2390s")],
                3400,
                "0 calibrates; 2700 line; 3000 wavers; 3015 battery; 3300 wavers; 3315 line",
            ),
            // It has run its battery down, and is not run down by our clock beside.
            (
                &[(0, "OL CAL 100% 3000s"), (600, "OL CAL 60% 1800s"), (6000, "OL CAL CHRG 61% 1830s")],
                6100,
                "0 calibrates; 2700 battery; 6000 wavers; 6015 line",
            ),
            (
                &[(0, "OL CAL 100% 3000s"), (2600, "OL CAL DISCHRG 60% 1800s")],
                6000,
                "0 calibrates; 2700 battery; 3800 critical: its runtime is 10m00s and a shutdown needs 10m00s",
            ),
            // One that begins beside a word that stands for ever is as good as any other.
            (
                &[(0, "OL DISCHRG 100% 3000s"), (9000, "OB CAL DISCHRG 60% 1800s"), (9900, "OL DISCHRG 50% 1500s")],
                10_000,
                "0 line; 9000 calibrates; 9900 line",
            ),
        ] {
            assert_eq!(told(story, end), expected, "{story:?}");
        }
    }

    #[test]
    fn what_does_not_tell_where_its_power_comes_from_for_too_long_is_as_good_as_silent() {
        for (before, vague, seconds) in [
            ("OB 99% 700s", "OFF", 1300),
            ("OB 99% 700s", "OFF 99% 5000s", 1300),
            ("OB 99%", "ALARM 99%", 720),
            ("OL 99% 700s", "OFF 99%", 1300),
            ("FSD OB 99%", "FSD OFF", 720),
            ("-", "OFF", 720),
        ] {
            let (spec, mut watch) = (PowerSpec::default(), UpsWatch::default());
            watch.take(reading(before), spec.debounce, at(0));
            for second in 0..seconds {
                watch.take(reading(vague), spec.debounce, at(1 + second));
                let state = watch.state(&spec, RESERVE, at(1 + second));
                assert!(!matches!(state, UpsState::Lost { .. }), "{before}, then {vague} for {second} s: {state:?}");
            }
            let since = at(1 + seconds);
            for second in 0..5 {
                watch.take(reading(vague), spec.debounce, since.plus(Duration::from_secs(second)));
            }
            let now = since.plus(Duration::from_secs(5));
            assert_eq!(watch.state(&spec, RESERVE, now), UpsState::Lost { since }, "{before}, then {vague}");
            watch.take(reading("OL 99%"), spec.debounce, now);
            assert_eq!(watch.state(&spec, RESERVE, now), UpsState::Line { since: now }, "{before}, then {vague}");
        }
    }

    /// How long what it feeds has, in seconds, when it has said this for a minute.
    fn lasts(text: &str) -> Option<u64> {
        let (spec, mut watch) = (PowerSpec::default(), UpsWatch::default());
        watch.take(reading("OL 100%"), spec.debounce, at(0));
        for second in 1..=60 {
            watch.take(reading(text), spec.debounce, at(second));
        }
        match watch.state(&spec, RESERVE, at(60)) {
            UpsState::Critical { left, .. } => Some(left.as_secs()),
            UpsState::Line { .. }
            | UpsState::Wavers { .. }
            | UpsState::Calibrates { .. }
            | UpsState::Battery { .. }
            | UpsState::Lost { .. }
            | UpsState::Latched
            | UpsState::Unknown => None,
        }
    }

    #[test]
    fn an_emergency_always_has_an_end() {
        for (text, left) in [
            ("OB 90% 300s", Some(241)),
            ("OB 15% 900s", Some(841)),
            ("OB 15%", Some(600)),
            ("OB LB 10% 200s", Some(141)),
            ("OB LB 10%", Some(600)),
            // Its runtime was not believed; it is no measure of the time either.
            ("OB LB 95% 3000s", Some(600)),
            ("FSD OL 95% 3000s", Some(0)),
            ("FSD OB 95%", Some(0)),
            ("OB 95% 3000s", None),
        ] {
            assert_eq!(lasts(text), left, "{text}");
        }
    }

    #[test]
    fn what_ran_out_unheard_long_ago_asks_for_nothing_any_more() {
        for (before, silent, critical) in [
            ("OB 99% 700s", 1299, true),
            ("OB 99% 700s", 1300, false),
            ("OB 99%", 720, true),
            ("OB 99%", 721, false),
            ("FSD OB 99%", 720, true),
            ("FSD OB 99%", 721, false),
        ] {
            let (spec, mut watch) = (PowerSpec::default(), UpsWatch::default());
            watch.take(reading("OL 100%"), spec.debounce, at(0));
            watch.take(reading(before), spec.debounce, at(1));
            for second in 1..=silent {
                watch.take(None, spec.debounce, at(1 + second));
            }
            let state = watch.state(&spec, RESERVE, at(1 + silent));
            let expected =
                if critical { matches!(state, UpsState::Critical { .. }) } else { matches!(state, UpsState::Lost { .. }) };
            assert!(expected, "{before}, then silent for {silent} s: {state:?}");
            watch.take(reading("FSD OL 99%"), spec.debounce, at(2 + silent));
            let latched = watch.state(&spec, RESERVE, at(2 + silent)) == UpsState::Latched;
            assert_eq!(latched, !critical && before.starts_with("FSD"), "{before}");
        }
    }
}
