//! A loud stop comes only where a person is truly needed, names whoever needs one, and leaves nothing that could be had.

use ananke_core::name::Subject;
use ananke_core::report::ManualAction;
use ananke_core::verdict::Reason;

use super::{Ended, Outcome, Record};

/// As many cordons as the worlds' spec allows at once.
const MANY: usize = 3;

pub(super) fn check(record: &Record) -> Vec<String> {
    let stops = record.ends().filter(|ended| ended.quiet && ended.last && ended.report.outcome == Outcome::Manual);
    stops.flat_map(of).collect()
}

fn of(ended: &Ended) -> Vec<String> {
    let Ended { report, truth, .. } = ended;
    let mut found = Vec::new();
    // Where many nodes are sick at once Ananke restarts none of them, and says so of each.
    let many = |action: &&ManualAction| {
        action.reason == Some(Reason::TooManySick) || action.found.contains("hosts have such a root, which is no chance")
    };
    let sick = truth.sick.len();
    let many_sick = sick > MANY || sick > 1 && sick * 3 > truth.nodes;
    let braked: Vec<String> =
        report.manual.iter().filter(many).filter(|_| many_sick).map(|action| format!("{}:", action.subject)).collect();
    let is_braked = |wrong: &str| braked.iter().any(|of| wrong.starts_with(of));
    let of_nodes = report.manual.iter().filter_map(|action| match &action.subject {
        Subject::Node(node) => Some((node, action)),
        _ => None,
    });
    let false_alarms =
        of_nodes.filter(|(node, _)| ![&truth.sick, &truth.needed, &truth.marked].iter().any(|of| of.contains(node)));
    found.extend(false_alarms.map(|(node, it)| format!("asked for a person at {node}, which is well: {}", it.found)));
    if truth.needed.is_empty() && !truth.choice && braked.is_empty() {
        found.push("asked for a person, and nobody is needed".to_owned());
    }
    let lost = truth.wrong.iter().filter(|wrong| !(is_braked(wrong) || truth.other_branch && waits_for_branch(wrong)));
    found.extend(lost.map(|wrong| format!("gave up what could be had: {wrong}")));
    for node in &truth.needed {
        // What waits for another thing that a person must do is told with that.
        let waits = |subject: &Subject| matches!(subject, Subject::Node(name) if name == node);
        let named = report.manual.iter().any(|action| {
            let said = action.found.contains(node.as_str()) || action.instruction.contains(node.as_str());
            said || action.holds_back.iter().any(waits)
        });
        if !named {
            found.push(format!("{node} needs a person, and the report does not say so"));
        }
    }
    found
}

/// What comes from a source on another branch is not taken until a person has chosen.
fn waits_for_branch(wrong: &str) -> bool {
    ["Kustomization ", "Job "].iter().any(|kind| wrong.starts_with(kind)) || wrong.contains("Flux source")
}

#[cfg(test)]
mod tests {
    use super::super::testing::{asks, ended, node, record};
    use super::*;

    #[test]
    fn a_stop_is_held_against_the_world() {
        let mut end = ended(Outcome::Manual);
        assert_eq!(check(&record(end.clone())), ["asked for a person, and nobody is needed"]);
        end.truth.needed = vec![node(3)];
        asks(&mut end, 4);
        let well = "asked for a person at titan-04, which is well: titan-04 stays dark";
        assert_eq!(check(&record(end.clone())), [well, "titan-03 needs a person, and the report does not say so"]);
        end.truth.sick = vec![node(4)];
        assert_eq!(check(&record(end.clone())), ["titan-03 needs a person, and the report does not say so"]);
        let mut told = end.clone();
        told.report.manual[0].holds_back.push(Subject::Node(node(3)));
        assert_eq!(check(&record(told)), Vec::<String>::new(), "it is told beside what it waits for");
        asks(&mut end, 3);
        assert_eq!(check(&record(end.clone())), Vec::<String>::new());
        end.truth.wrong = vec!["Kustomization media: not reconciled".to_owned()];
        assert_eq!(check(&record(end.clone())), ["gave up what could be had: Kustomization media: not reconciled"]);
        end.truth.other_branch = true;
        end.truth.wrong.push("Job keycloak/realm-import: made from another template than Git has".to_owned());
        assert_eq!(check(&record(end)), Vec::<String>::new(), "a person chooses the branch first");
    }

    #[test]
    fn a_person_is_needed_where_many_nodes_are_sick_at_once_and_not_where_one_is() {
        let asked = |sick: &[usize]| {
            let mut end = ended(Outcome::Manual);
            let action = |n: &usize| {
                asks(&mut end, *n);
                end.report.manual.pop().map(|action| ManualAction { reason: Some(Reason::TooManySick), ..action })
            };
            end.report.manual = sick.iter().filter_map(action).collect();
            end.truth.nodes = 5;
            end.truth.sick = sick.iter().map(|n| node(*n)).collect();
            end.truth.wrong = sick.iter().map(|n| format!("{}: not Ready in this boot", node(*n))).collect();
            check(&record(end))
        };
        assert_eq!(asked(&[1, 4]), Vec::<String>::new());
        let alone = ["asked for a person, and nobody is needed", "gave up what could be had: titan-01: not Ready in this boot"];
        assert_eq!(asked(&[1]), alone);
    }
}
