//! Everything ends in bounded time: recovered, or stopped with a person's work.

use super::{Outcome, Record, What};

pub(super) fn check(record: &Record) -> Vec<String> {
    let stuck = record.events.iter().filter_map(|event| match &event.what {
        What::Stuck(how) => Some(how.clone()),
        _ => None,
    });
    // People may have done what a run asked for that was to be the last.
    let ended = record.ends().filter(|ended| ended.last).last().and_then(|ended| match ended.report.outcome {
        Outcome::Done | Outcome::Manual => None,
        outcome @ (Outcome::Failed | Outcome::Refused | Outcome::Yielded | Outcome::Interrupted) => {
            Some(format!("ended as {outcome:?}: {}", ended.report.summary))
        }
    });
    stuck.chain(ended).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ended, record};
    use super::*;

    #[test]
    fn the_last_run_gets_through() {
        for (outcome, told) in [
            (Outcome::Done, None),
            (Outcome::Manual, None),
            (Outcome::Failed, Some("ended as Failed: summary")),
            (Outcome::Refused, Some("ended as Refused: summary")),
        ] {
            assert_eq!(check(&record(ended(outcome))).first().map(String::as_str), told);
        }
        let mut not_last = ended(Outcome::Failed);
        not_last.last = false;
        assert_eq!(check(&record(not_last)), Vec::<String>::new());
        let mut stuck = Record::default();
        stuck.note(0, What::Stuck("it waits for nothing".to_owned()));
        assert_eq!(check(&stuck), ["it waits for nothing"]);
    }
}
