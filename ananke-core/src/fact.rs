//! A fact has an age, and cannot be read without saying how old is too old.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::name::{Moment, human};
use crate::port::PortError;

/// What was seen so far ahead of now was seen before the clock was set back: how old it is, nobody knows.
const AHEAD: Duration = Duration::from_secs(2);

/// What was last seen of one part of the world, and what went wrong since.
///
/// A failed read does not erase the value before it: that one ages, and stops counting when it is too old.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact<T> {
    seen: Option<Seen<T>>,
    failed: Option<Gap>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Seen<T> {
    at: Moment,
    value: T,
}

/// Why something is not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The error of the newest attempt; none if nothing was tried yet.
    pub error: Option<PortError>,
    /// When the newest attempt ended.
    pub at: Option<Moment>,
    /// One line for a person.
    pub text: String,
}

impl Gap {
    pub fn not_asked() -> Self {
        Self { error: None, at: None, text: "not observed yet".to_owned() }
    }

    fn failed(error: PortError, at: Moment) -> Self {
        Self { text: error.to_string(), error: Some(error), at: Some(at) }
    }
}

impl<T> Default for Fact<T> {
    fn default() -> Self {
        Self { seen: None, failed: None }
    }
}

impl<T> Fact<T> {
    pub fn known(value: T, at: Moment) -> Self {
        Self { seen: Some(Seen { at, value }), failed: None }
    }

    /// Takes the outcome of one read.
    pub fn fold(&mut self, read: Result<T, PortError>, at: Moment) {
        match read {
            Ok(value) => *self = Self::known(value, at),
            Err(error) => self.failed = Some(Gap::failed(error, at)),
        }
    }

    /// The same facts by a clock that was set meanwhile.
    pub fn moves(&mut self, moved: impl Fn(Moment) -> Moment) {
        if let Some(seen) = &mut self.seen {
            seen.at = moved(seen.at);
        }
        if let Some(gap) = &mut self.failed {
            gap.at = gap.at.map(moved);
        }
    }

    /// The value, if it was seen within `limit` before `now`; else the reason why not.
    pub fn fresh(&self, now: Moment, limit: Duration) -> Result<&T, Gap> {
        self.if_fresh(now, limit).ok_or_else(|| {
            self.failed.clone().unwrap_or_else(|| match &self.seen {
                Some(Seen { at, .. }) if *at > now => {
                    let text = format!("seen {} ahead of now: the clock was set back since", human(at.since(now)));
                    Gap { error: None, at: Some(*at), text }
                }
                Some(Seen { at, .. }) => {
                    Gap { error: None, at: Some(*at), text: format!("last seen {} ago", human(now.since(*at))) }
                }
                None => Gap::not_asked(),
            })
        })
    }

    /// The same for whoever does not ask why.
    pub fn if_fresh(&self, now: Moment, limit: Duration) -> Option<&T> {
        let believed = |seen: &&Seen<T>| seen.at <= now.plus(AHEAD) && now.since(seen.at) <= limit;
        self.seen.as_ref().filter(believed).map(|seen| &seen.value)
    }

    /// The error of the newest attempt, if it failed: an older value may still count.
    pub fn newest_failure(&self) -> Option<&PortError> {
        self.failed.as_ref().and_then(|gap| gap.error.as_ref())
    }

    /// The same, where that attempt ended after `at`.
    pub fn failed_since(&self, at: Moment) -> Option<&PortError> {
        self.failed.as_ref().filter(|gap| gap.at.is_some_and(|failed| failed > at)).and_then(|gap| gap.error.as_ref())
    }

    /// Whether anything, good or bad, has come back yet.
    pub fn asked(&self) -> bool {
        self.seen.is_some() || self.failed.is_some()
    }

    pub fn seen_at(&self) -> Option<Moment> {
        self.seen.as_ref().map(|seen| seen.at)
    }

    /// The newest value whatever its age, for history and reports: never for a verdict.
    pub fn last(&self) -> Option<&T> {
        self.seen.as_ref().map(|seen| &seen.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::ErrorKind;

    #[test]
    fn what_lies_ahead_was_seen_before_the_clock_was_set_back() {
        let t0 = Moment::from_millis(0);
        let fact = Fact::known(7, t0.plus(AHEAD));
        assert_eq!(fact.fresh(t0, Duration::MAX), Ok(&7), "clocks are read one after the other");
        let fact = Fact::known(7, t0.plus(Duration::from_secs(3600)));
        assert_eq!(fact.fresh(t0, Duration::MAX).unwrap_err().text, "seen 1h00m ahead of now: the clock was set back since");
    }

    #[test]
    fn a_fact_ages_and_a_failure_does_not_make_it_younger() {
        let t0 = Moment::from_millis(0);
        let limit = Duration::from_secs(10);
        let mut fact = Fact::known(7, t0);
        assert_eq!(fact.fresh(t0.plus(limit), limit), Ok(&7));
        fact.fold(Err(PortError::new(ErrorKind::Transient, "list nodes", "api", "refused")), t0.plus(limit));
        assert_eq!(fact.fresh(t0.plus(limit), limit), Ok(&7));
        let late = t0.plus(Duration::from_secs(11));
        let gap = fact.fresh(late, limit).unwrap_err();
        assert_eq!(gap.text, "list nodes on api: refused");
        assert_eq!(Fact::<u8>::default().fresh(late, limit).unwrap_err(), Gap::not_asked());
    }
}
