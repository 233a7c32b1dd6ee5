//! What a person is told beside the log: each sentence once, and never too many within an hour.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::name::{Moment, human};
use crate::port::clean;

/// What is still true after this long is told once more, if somebody tells it.
const AGAIN: Duration = Duration::from_secs(24 * 3600);
const HOUR: Duration = Duration::from_secs(3600);
/// A phone shows no more than this of a notice.
const LINES: usize = 20;
const LINE: usize = 300;
/// A notice that no channel took is tried again after this long, and after twice as long each time that it fails.
const RETRY: Duration = Duration::from_secs(60);
const RETRY_MOST: Duration = Duration::from_secs(900);
/// So many wait for a channel that takes them; the least pressing gives way.
const UNSENT: usize = 16;
/// Sentences that were held back and are named; the rest is counted.
const NAMED: usize = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Urgency {
    Information,
    Warning,
    /// The cluster goes down, or a person must act.
    Alarm,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What it is about: a sentence is told anew after another one about the same.
    pub about: String,
    pub urgency: Urgency,
    /// One line, without values that change from second to second.
    pub sentence: String,
    /// Values and instructions, one a line.
    pub details: Vec<String>,
}

impl Notice {
    pub fn new(about: impl Into<String>, urgency: Urgency, sentence: &str) -> Self {
        Self { about: about.into(), urgency, sentence: clean(sentence, LINE), details: Vec::new() }
    }

    #[must_use]
    pub fn with(mut self, details: impl IntoIterator<Item = String>) -> Self {
        let mut details = details.into_iter();
        self.details.extend(details.by_ref().take(LINES).map(|line| clean(&line, LINE)));
        let more = details.count();
        if more > 0 {
            self.details.push(format!("and {more} more"));
        }
        self
    }

    /// The details as one text; the sentence where there are none.
    pub fn text(&self) -> String {
        if self.details.is_empty() { self.sentence.clone() } else { self.details.join("\n") }
    }
}

/// What was told and sent of late, and what was held back. It is kept on disk: a daemon that starts anew is not heard twice.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Told {
    about: BTreeMap<String, Said>,
    sent: Vec<Moment>,
    /// The first sentences that were held back, and how many there were.
    held: Vec<String>,
    held_count: usize,
    /// What no channel took for up to a day, in the order in which it is tried again; one about each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unsent: Vec<Unsent>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Unsent {
    notice: Notice,
    since: Moment,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Said {
    sentence: String,
    at: Moment,
}

impl Told {
    /// The last sentence about it, of the last day.
    pub fn last(&self, about: &str) -> Option<&str> {
        self.about.get(about).map(|said| said.sentence.as_str())
    }

    /// As a new daemon takes it over: `lasts` says how long a sentence about something stands. What lies ahead was written by
    /// a clock that was wrong.
    #[must_use]
    pub fn taken_over(mut self, now: Moment, lasts: impl Fn(&str) -> Duration) -> Self {
        self.about.retain(|about, said| said.at <= now && now.since(said.at) < lasts(about).min(AGAIN));
        self.sent.retain(|at| *at <= now && now.since(*at) < HOUR);
        // Nobody has heard of these, whatever the clock says.
        self.unsent.iter_mut().for_each(|unsent| unsent.since = unsent.since.min(now));
        self
    }
}

/// Decides which notices are sent. Time is our own clock.
#[derive(Debug)]
pub struct Throttle {
    per_hour: usize,
    told: Told,
    /// When what no channel took is tried again.
    again: Moment,
    pause: Duration,
}

impl Throttle {
    pub fn new(per_hour: usize, told: Told) -> Self {
        Self { per_hour: per_hour.max(1), told, again: Moment::from_millis(0), pause: Duration::ZERO }
    }

    pub fn told(&self) -> &Told {
        &self.told
    }

    /// The notice as it is to be sent, with what was held back before it; none: it was told, or there were too many.
    pub fn take(&mut self, notice: Notice, now: Moment) -> Option<Notice> {
        let told = &mut self.told;
        told.about.retain(|_, said| now.since(said.at) < AGAIN);
        if told.last(&notice.about) == Some(&notice.sentence) {
            return None;
        }
        told.unsent.retain(|unsent| unsent.notice.about != notice.about);
        told.about.insert(notice.about.clone(), Said { sentence: notice.sentence.clone(), at: now });
        told.sent.retain(|at| now.since(*at) < HOUR);
        if told.sent.len() >= room(self.per_hour, notice.urgency) {
            told.held_count = told.held_count.saturating_add(1);
            if told.held.len() < NAMED {
                told.held.push(notice.sentence);
            }
            return None;
        }
        told.sent.push(now);
        let held = told.take_held();
        Some(Notice { details: notice.details.into_iter().chain(held).collect(), ..notice })
    }

    /// No channel took it: after an outage the network is the last to come.
    pub fn failed(&mut self, notice: Notice, now: Moment) {
        self.pause = self.pause.saturating_mul(2).clamp(RETRY, RETRY_MOST);
        self.again = now.plus(self.pause);
        let unsent = &mut self.told.unsent;
        unsent.retain(|unsent| now.since(unsent.since) < AGAIN);
        // The others come before it: it may be this one that no channel takes.
        let before = unsent.iter().position(|before| before.notice.about == notice.about).map(|place| unsent.remove(place));
        unsent.push(before.unwrap_or(Unsent { notice, since: now }));
        if unsent.len() > UNSENT
            && let Some((least, _)) = unsent.iter().enumerate().min_by_key(|(_, unsent)| unsent.notice.urgency)
        {
            unsent.remove(least);
        }
    }

    /// A channel took it: the others that wait are tried at once.
    pub fn went_out(&mut self, notice: &Notice, now: Moment) {
        self.told.unsent.retain(|unsent| unsent.notice.about != notice.about);
        (self.again, self.pause) = (now, Duration::ZERO);
    }

    /// When something is to be told that was to be told before; none: nothing is.
    pub fn due(&self) -> Option<Moment> {
        let again = (!self.told.unsent.is_empty()).then_some(self.again);
        self.has_room().into_iter().chain(again).min()
    }

    /// When there is room for what was held back; none: nothing was.
    fn has_room(&self) -> Option<Moment> {
        let room = room(self.per_hour, Urgency::Warning);
        let sent = &self.told.sent;
        let oldest = sent.len().checked_sub(room).and_then(|index| sent.get(index));
        (self.told.held_count > 0).then(|| oldest.map_or(Moment::from_millis(0), |at| at.plus(HOUR)))
    }

    /// What no channel took, once it is to be tried again; then what was held back, once there is room for it.
    pub fn rest(&mut self, now: Moment) -> Option<Notice> {
        if let Some(unsent) = self.told.unsent.first().filter(|_| now >= self.again) {
            let late = format!("this could not be told when it was so, {} ago", human(now.since(unsent.since)));
            return Some(Notice {
                details: unsent.notice.details.iter().cloned().chain([late]).collect(),
                ..unsent.notice.clone()
            });
        }
        self.has_room().filter(|room| now >= *room)?;
        self.told.sent.retain(|at| now.since(*at) < HOUR);
        self.told.sent.push(now);
        let held = self.told.take_held();
        Some(Notice::new("held-back", Urgency::Warning, "there was more to tell than is sent within an hour").with(held))
    }
}

impl Told {
    fn take_held(&mut self) -> Option<String> {
        let (named, count) = (std::mem::take(&mut self.held), std::mem::take(&mut self.held_count));
        let more = count.saturating_sub(named.len());
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        (count > 0).then(|| format!("held back before this: {}{more}", named.join("; ")))
    }
}

/// A flood of warnings leaves a quarter of the hour's notices to alarms.
fn room(per_hour: usize, urgency: Urgency) -> usize {
    match urgency {
        Urgency::Alarm => per_hour,
        Urgency::Information | Urgency::Warning => per_hour.saturating_sub(per_hour / 4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::from_millis(1_773_453_971_000).plus(Duration::from_secs(seconds))
    }

    #[test]
    fn a_sentence_is_told_once_until_another_one_came_between_or_a_day_passed() {
        let mut throttle = Throttle::new(100, Told::default());
        let mut told = |about: &str, sentence: &str, seconds| {
            throttle.take(Notice::new(about, Urgency::Warning, sentence), at(seconds)).is_some()
        };
        for (about, sentence, seconds, is_told) in [
            ("ups a", "on battery", 0, true),
            ("ups a", "on battery", 10, false),
            ("ups b", "on battery", 11, true),
            ("ups a", "on line", 20, true),
            ("ups a", "on battery", 30, true),
            ("ups a", "on battery", 30 + 86_399, false),
            ("ups a", "on battery", 30 + 86_400, true),
        ] {
            assert_eq!(told(about, sentence, seconds), is_told, "{about} {sentence} at {seconds}");
        }
    }

    #[test]
    fn a_flood_is_held_back_and_summed_in_the_next_one_and_alarms_have_room_left() {
        let mut throttle = Throttle::new(4, Told::default());
        let mut sent = 0;
        for node in 0..20 {
            let warning = Notice::new(format!("titan-{node}"), Urgency::Warning, &format!("titan-{node} waits"));
            sent += usize::from(throttle.take(warning, at(node)).is_some());
        }
        assert_eq!((sent, throttle.due()), (3, Some(at(3600))));
        let alarm = throttle.take(Notice::new("shutdown", Urgency::Alarm, "shutdown begins"), at(30)).unwrap();
        let names: Vec<String> = (3..13).map(|node| format!("titan-{node} waits")).collect();
        assert_eq!(alarm.details, [format!("held back before this: {}; and 7 more", names.join("; "))]);
        assert_eq!(throttle.take(Notice::new("b", Urgency::Alarm, "one too many"), at(40)), None);
        assert_eq!(throttle.rest(at(50)), None);
        let rest = throttle.rest(at(3601)).unwrap();
        assert_eq!(rest.details, ["held back before this: one too many"]);
        assert_eq!((throttle.due(), throttle.rest(at(9000))), (None, None));
    }

    #[test]
    fn a_daemon_that_starts_anew_repeats_nothing_and_keeps_to_the_hour() {
        let notice = |about: &str| Notice::new(about, Urgency::Warning, &format!("{about} waits"));
        let mut throttle = Throttle::new(4, Told::default());
        for (second, about) in ["run", "ups", "lease", "one too many"].into_iter().enumerate() {
            throttle.take(notice(about), at(second as u64));
        }
        let kept = serde_json::to_string(throttle.told()).unwrap();
        let taken_over = |now| {
            let told: Told = serde_json::from_str(&kept).unwrap();
            let lasts = |about: &str| if about == "run" { Duration::from_secs(600) } else { Duration::MAX };
            Throttle::new(4, told.taken_over(now, lasts))
        };
        let mut soon = taken_over(at(10));
        assert_eq!((soon.told().last("ups"), soon.due()), (Some("ups waits"), Some(at(3600))));
        assert!(["run", "ups", "lease"].into_iter().all(|about| soon.take(notice(about), at(11)).is_none()));
        assert_eq!(soon.rest(at(3600)).unwrap().details, ["held back before this: one too many waits"]);
        let mut later = taken_over(at(4000));
        assert!(later.take(notice("ups"), at(4000)).is_none());
        assert!(later.take(notice("run"), at(4000)).is_some(), "that is another run");
        assert_eq!(taken_over(at(100_000)).told().last("ups"), None);
        assert_eq!(taken_over(at(1)).told().last("lease"), None, "its clock was ahead");
    }

    #[test]
    fn what_no_channel_took_is_told_once_one_does_even_by_the_next_daemon() {
        let notice = |about: &str, sentence: &str| Notice::new(about, Urgency::Alarm, sentence);
        let mut throttle = Throttle::new(100, Told::default());
        let mut fail = |about: &str, sentence: &str, seconds| {
            let taken = throttle.take(notice(about, sentence), at(seconds)).unwrap();
            throttle.failed(taken, at(seconds));
            throttle.due()
        };
        assert_eq!(fail("ups", "on battery", 0), Some(at(60)));
        assert_eq!(fail("shutdown", "shutdown begins", 10), Some(at(130)), "twice as long");
        assert_eq!(fail("ups", "on line", 20), Some(at(260)), "what is newer takes the place of what was");
        let kept = serde_json::to_string(throttle.told()).unwrap();
        assert_eq!(throttle.rest(at(259)), None);
        let late = throttle.rest(at(260)).unwrap();
        assert_eq!((late.sentence.as_str(), late.details.len()), ("shutdown begins", 1));
        throttle.failed(late, at(260));
        assert_eq!((throttle.rest(at(261)), throttle.due()), (None, Some(at(740))));
        assert_eq!(throttle.rest(at(740)).unwrap().sentence, "on line", "it may be one of them that nobody takes");
        throttle.failed(notice("shutdown", "shutdown begins"), at(90_000));
        assert_eq!(throttle.told().unsent.len(), 1, "not for ever");
        let told = serde_json::from_str::<Told>(&kept).unwrap().taken_over(at(15), |_| Duration::MAX);
        let mut next = Throttle::new(100, told);
        let mut out = Vec::new();
        while let Some(late) = next.rest(at(300)) {
            next.went_out(&late, at(300));
            out.push(format!("{}: {}", late.sentence, late.text()));
        }
        let late = |seconds| format!("this could not be told when it was so, {seconds} ago");
        assert_eq!(
            out,
            [format!("shutdown begins: {}", late("4m50s")), format!("on line: {}", late("4m45s"))],
            "a clock was set"
        );
        assert_eq!(next.due(), None);
    }

    #[test]
    fn of_many_that_no_channel_takes_alarms_stay() {
        let mut throttle = Throttle::new(100, Told::default());
        throttle.failed(Notice::new("down", Urgency::Alarm, "the cluster stays down"), at(0));
        for ups in 0..40 {
            throttle.failed(Notice::new(format!("ups {ups}"), Urgency::Warning, "on battery"), at(ups));
        }
        assert_eq!((throttle.told().unsent.len(), throttle.due()), (UNSENT, Some(at(39 + 900))));
        assert_eq!(throttle.rest(at(9_000)).unwrap().sentence, "the cluster stays down");
    }

    #[test]
    fn a_notice_is_bounded_and_clean() {
        let long =
            Notice::new("a", Urgency::Warning, "x\ny").with((0..30).map(|line| format!("{line}\u{1b}{}", "z".repeat(1000))));
        assert_eq!((long.sentence.as_str(), long.details.len()), ("x y", 21));
        assert_eq!(long.details.last().map(String::as_str), Some("and 10 more"));
        assert!(long.text().chars().count() < 7_000 && !long.text().contains('\u{1b}'));
    }
}
