//! Drills over a fixed range of seeds: each is a power loss that the cluster must be brought back from. The build is that of
//! the tests, so that nothing is built twice and every assertion counts.

use serde::Deserialize;

use super::Outcome;
use crate::cargo::cargo;

const SEEDS: &str = "0..200";
const RUNS: u64 = 200;

#[derive(Deserialize)]
struct Drills {
    runs: u64,
    failed: u64,
    runs_per_second: f64,
}

pub(super) fn check() -> Outcome {
    let args = ["run", "--quiet", "-p", "ananke-cli", "--", "drill", "--seeds", SEEDS, "-o", "json"];
    match cargo(&args).output().and_then(|text| judge(&text)) {
        Ok(text) => Outcome::Passed(text),
        Err(why) => Outcome::Failed(why),
    }
}

fn judge(text: &str) -> Result<String, String> {
    let drills: Drills = serde_json::from_str(text).map_err(|error| format!("drill -o json printed no result: {error}"))?;
    match drills {
        Drills { runs: RUNS, failed: 0, runs_per_second } => Ok(format!("{RUNS} runs, {runs_per_second:.0} per second")),
        Drills { runs: RUNS, failed, .. } => {
            Err(format!("{failed} of {RUNS} drills failed: ananke drill --seeds {SEEDS} -o json names the seeds"))
        }
        Drills { runs, .. } => Err(format!("{runs} drills ran instead of {RUNS}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_full_range_without_a_failure_passes() {
        let with = |runs: u64, failed: u64| judge(&format!(r#"{{"runs":{runs},"failed":{failed},"runs_per_second":120.4}}"#));
        assert_eq!(with(200, 0).unwrap(), "200 runs, 120 per second");
        assert!(with(200, 1).unwrap_err().starts_with("1 of 200 drills failed"));
        assert!(with(0, 0).is_err());
        assert!(judge("").is_err());
    }
}
