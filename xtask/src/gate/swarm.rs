//! Stories of the swarm: a fixed range of seeds, and one that follows from the commit, so that each commit tries others and
//! says which.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Outcome;
use crate::cargo::{cargo, program};

/// A story plays an hour or more of virtual time: these take half a minute.
const FIXED: u64 = 12;
const FRESH: u64 = 8;
/// Seeds that follow from commits begin here.
const FROM: u64 = 1_000;

#[derive(Deserialize)]
struct Campaign {
    runs: u64,
    failed: u64,
    endings: BTreeMap<String, u64>,
}

pub(super) fn check() -> Outcome {
    let mut told = Vec::new();
    for (from, count) in ranges() {
        let seeds = format!("{from}..{}", from.saturating_add(count));
        println!("swarm: seeds {seeds}");
        let args = ["run", "--quiet", "-p", "ananke-cli", "--", "drill", "--swarm", "--seeds", &seeds, "-o", "json"];
        match cargo(&args).output().and_then(|text| judge(&text, &seeds, count)) {
            Ok(text) => told.push(text),
            Err(why) => return Outcome::Failed(format!("{why}: ananke drill --swarm --seeds {seeds} names them")),
        }
    }
    Outcome::Passed(told.join("; "))
}

/// Without git there is no commit, and the fixed range must do.
fn ranges() -> Vec<(u64, u64)> {
    let commit = program("git", &["rev-parse", "HEAD"]).output().ok();
    let fresh = commit.and_then(|commit| first_seed(&commit)).map(|from| (from, FRESH));
    std::iter::once((0, FIXED)).chain(fresh).collect()
}

/// The first digits of the commit as a number.
fn first_seed(commit: &str) -> Option<u64> {
    u64::from_str_radix(commit.get(..8)?, 16).ok().map(|number| number.saturating_add(FROM))
}

fn judge(text: &str, seeds: &str, wanted: u64) -> Result<String, String> {
    let campaign: Campaign = serde_json::from_str(text).map_err(|error| format!("drill -o json printed no result: {error}"))?;
    match campaign {
        Campaign { runs, failed: 0, .. } if runs == wanted => Ok(format!("{runs} stories from {seeds}")),
        Campaign { runs, failed, endings } if runs == wanted => Err(format!("{failed} of {runs} stories failed ({endings:?})")),
        Campaign { runs, .. } => Err(format!("{runs} stories were played instead of {wanted}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_has_seeds_of_its_own() {
        assert_eq!(first_seed("0000000a9c"), Some(1_010));
        assert_ne!(first_seed("763a82a1"), first_seed("763a82a2"));
        assert_eq!(first_seed("no commit"), None);
    }

    #[test]
    fn only_a_full_range_without_a_failure_passes() {
        let with = |runs: u64, failed: u64| judge(&format!(r#"{{"runs":{runs},"failed":{failed},"endings":{{}}}}"#), "0..12", 12);
        assert_eq!(with(12, 0).unwrap(), "12 stories from 0..12");
        assert!(with(12, 1).unwrap_err().starts_with("1 of 12 stories failed"));
        assert!(with(0, 0).is_err());
        assert!(judge("", "0..12", 12).is_err());
    }
}
