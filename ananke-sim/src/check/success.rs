//! A run has succeeded only if the world is truly healthy, and nobody is needed.

use super::{Outcome, Record};

pub(super) fn check(record: &Record) -> Vec<String> {
    let mut found = Vec::new();
    for ended in record.ends().filter(|ended| ended.quiet && ended.report.outcome == Outcome::Done) {
        found.extend(ended.truth.wrong.iter().map(|wrong| format!("reported done, but {wrong}")));
        found.extend(ended.truth.needed.iter().map(|node| format!("reported done, but {node} needs a person")));
        if ended.truth.choice {
            found.push("reported done, but something waits for a person's decision".to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::Truth;
    use super::super::testing::{ended, node, record};
    use super::*;

    #[test]
    fn a_success_is_held_against_the_world() {
        let mut end = ended(Outcome::Done);
        assert_eq!(check(&record(end.clone())), Vec::<String>::new());
        end.truth.wrong = vec!["web: 0 of 1 pods serve".to_owned()];
        end.truth.needed = vec![node(3)];
        assert_eq!(
            check(&record(end.clone())),
            ["reported done, but web: 0 of 1 pods serve", "reported done, but titan-03 needs a person"]
        );
        end.truth = Truth { choice: true, ..Truth::default() };
        assert_eq!(check(&record(end.clone())), ["reported done, but something waits for a person's decision"]);
        end.quiet = false;
        assert_eq!(check(&record(end)), Vec::<String>::new(), "the world may have changed after it looked");
    }
}
