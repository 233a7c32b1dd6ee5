//! How often each value came, so that parts of a campaign can be put together and still be asked for their median.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Told", from = "Told")]
pub struct Counts(BTreeMap<u64, u64>);

/// What is written: what a reader asks first, then all there is.
#[derive(Serialize, Deserialize)]
struct Told {
    min: u64,
    median: u64,
    p90: u64,
    max: u64,
    counts: BTreeMap<u64, u64>,
}

impl Counts {
    pub fn add(&mut self, value: u64) {
        self.add_many(value, 1);
    }

    pub fn merge(&mut self, other: &Self) {
        for (value, count) in &other.0 {
            self.add_many(*value, *count);
        }
    }

    fn add_many(&mut self, value: u64, count: u64) {
        let of = self.0.entry(value).or_default();
        *of = of.saturating_add(count);
    }

    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.iter().map(|(value, count)| (*value, *count))
    }

    pub fn min(&self) -> u64 {
        self.0.keys().next().copied().unwrap_or(0)
    }

    pub fn max(&self) -> u64 {
        self.0.keys().next_back().copied().unwrap_or(0)
    }

    /// The least value that so many per cent of all do not exceed; 0 where there is none.
    pub fn percentile(&self, percent: u64) -> u64 {
        let wanted = self.total().saturating_mul(percent).div_ceil(100).max(1);
        let mut seen: u64 = 0;
        for (value, count) in &self.0 {
            seen = seen.saturating_add(*count);
            if seen >= wanted {
                return *value;
            }
        }
        self.max()
    }
}

impl Extend<u64> for Counts {
    fn extend<I: IntoIterator<Item = u64>>(&mut self, values: I) {
        values.into_iter().for_each(|value| self.add(value));
    }
}

impl FromIterator<u64> for Counts {
    fn from_iter<I: IntoIterator<Item = u64>>(values: I) -> Self {
        let mut counts = Self::default();
        counts.extend(values);
        counts
    }
}

impl From<Counts> for Told {
    fn from(counts: Counts) -> Self {
        let (median, p90) = (counts.percentile(50), counts.percentile(90));
        Self { min: counts.min(), median, p90, max: counts.max(), counts: counts.0 }
    }
}

impl From<Told> for Counts {
    fn from(told: Told) -> Self {
        Self(told.counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_is_there() {
        let of = |values: std::ops::RangeInclusive<u64>| -> Counts { values.collect() };
        let asked = |counts: &Counts| [0, 50, 90, 100].map(|percent| counts.percentile(percent));
        assert_eq!(asked(&Counts::default()), [0; 4]);
        assert_eq!(asked(&of(5..=5)), [5; 4]);
        assert_eq!(asked(&of(1..=100)), [1, 50, 90, 100]);
    }

    #[test]
    fn parts_put_together_are_the_whole() {
        let mut parts: Counts = (0..50).collect();
        parts.merge(&(25..100).collect());
        let whole: Counts = (0..50).chain(25..100).collect();
        assert_eq!((parts.total(), &parts), (125, &whole));
        let read: Counts = serde_json::from_str(&serde_json::to_string(&whole).unwrap()).unwrap();
        assert_eq!(read, whole);
    }
}
