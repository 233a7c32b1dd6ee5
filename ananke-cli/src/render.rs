//! Reports as text, for tired eyes: what came of it first, then what a person must do, then the gates.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use ananke_core::name::{Subject, human};
use ananke_core::report::{ActionOutcome, ActionReport, Command, GateReport, GateStatus, ManualAction, Report};
use ananke_sim::drill::{Drill, Ending, status_word};

/// Kinds of actions that a report spells out; the journal has them all.
const ACTIONS_SHOWN: usize = 15;
/// Names in one line; the rest is counted.
const NAMES_SHOWN: usize = 6;
/// Blockers of one gate that a report spells out.
const BLOCKERS_SHOWN: usize = 5;

pub(crate) fn report(report: &Report) -> String {
    let mut out = String::new();
    let name = match report.command {
        Command::Startup => "startup",
        Command::Shutdown => "shutdown",
        Command::Status => "status",
    };
    let dry = report.dry_run && report.command != Command::Status;
    if dry {
        line(&mut out, format_args!("{name}, dry run: nothing was changed (--execute acts)"));
    } else {
        line(&mut out, format_args!("{name}: {}", report.summary));
    }
    manual(&mut out, &report.manual);
    gates(&mut out, &report.gates);
    for earlier in &report.earlier {
        let passed: Vec<&str> = earlier.gates_passed.iter().map(|gate| gate.id()).collect();
        line(
            &mut out,
            format_args!(
                "\nbefore it, {} died: from {} to {}, {} actions, passed: {}",
                earlier.run,
                earlier.started,
                earlier.last_seen,
                earlier.actions.len(),
                if passed.is_empty() { "nothing".to_owned() } else { passed.join(", ") }
            ),
        );
        actions(&mut out, "it did:", &earlier.actions);
    }
    actions(&mut out, if dry { "it would:" } else { "it did:" }, &report.actions);
    cordons(&mut out, report);
    if !report.notes.is_empty() {
        line(&mut out, format_args!("\nnoticed:"));
        for note in &report.notes {
            line(&mut out, format_args!("  {note}"));
        }
    }
    out
}

/// Cordons of Ananke that stand at the end, and how they go.
fn cordons(out: &mut String, report: &Report) {
    if report.cordons.is_empty() {
        return;
    }
    let names: Vec<&str> = report.cordons.iter().take(NAMES_SHOWN).map(|node| node.as_str()).collect();
    let more = report.cordons.len().saturating_sub(names.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    line(out, format_args!("\ncordoned by Ananke: {}{more}", names.join(", ")));
    let way = match report.command {
        Command::Shutdown if !report.dry_run => {
            "`ananke shutdown --execute` goes on; `ananke intent clear`, then `ananke startup --execute`, gives them back"
        }
        Command::Startup | Command::Shutdown | Command::Status => {
            "`ananke lease list` says why and until when; `ananke lease release NODE` gives one back at once"
        }
    };
    line(out, format_args!("  {way}"));
}

pub(crate) fn drill(drill: &Drill) -> String {
    let mut out = String::new();
    line(&mut out, format_args!("drill {} with seed {}: {} nodes", drill.scenario, drill.seed, drill.nodes));
    for told in &drill.story {
        line(&mut out, format_args!("{}", clip(told, 160)));
    }
    gates(&mut out, &drill.gates);
    manual(&mut out, &drill.report.manual);
    for violation in &drill.violations {
        line(&mut out, format_args!("VIOLATION: {violation}"));
    }
    let stuck = drill.gates.iter().any(|gate| gate.status == GateStatus::Failed);
    let word = match drill.outcome {
        Ending::Recovered => "RECOVERED",
        Ending::Manual if stuck => "A PERSON COMES FIRST",
        Ending::Manual => "RECOVERED BUT FOR A PERSON'S PART",
        Ending::Failed => "FAILED",
    };
    line(&mut out, format_args!("\n{word}: {}", drill.summary));
    out
}

fn gates(out: &mut String, gates: &[GateReport]) {
    line(out, format_args!("\n  {:<17} {:<8} {:>7}", "gate", "status", "took"));
    for gate in gates {
        let took = if gate.status == GateStatus::Pending { "-".to_owned() } else { human(gate.took) };
        let fell = match gate.regressions {
            0 => String::new(),
            1 => " (fell back once)".to_owned(),
            times => format!(" (fell back {times} times)"),
        };
        let text = format!("{}{}", normally(gate), clip(&gate.text, 150));
        line(out, format_args!("  {:<17} {:<8} {took:>7}  {text}{fell}", gate.id, status_word(gate.status)));
        let open = matches!(
            gate.status,
            GateStatus::Holding | GateStatus::Unknown | GateStatus::Failed | GateStatus::Manual | GateStatus::CutShort
        );
        if open && gate.blockers.len() > 1 {
            for blocker in gate.blockers.iter().take(BLOCKERS_SHOWN) {
                line(out, format_args!("  {:<35}- {}", "", clip(&blocker.text, 140)));
            }
            let more = gate.blockers.len().saturating_sub(BLOCKERS_SHOWN);
            if more > 0 {
                line(out, format_args!("  {:<35}- and {more} more", ""));
            }
        }
    }
}

fn manual(out: &mut String, manual: &[ManualAction]) {
    if manual.is_empty() {
        return;
    }
    line(out, format_args!("\nA PERSON IS NEEDED:"));
    for (index, action) in manual.iter().enumerate() {
        let subject = action.subject.to_string();
        let name = if action.instruction.starts_with(&subject) { String::new() } else { format!("{subject}: ") };
        line(out, format_args!("  {}. {name}{}", index.saturating_add(1), action.instruction));
        line(out, format_args!("     found: {}", clip(&action.found, 200)));
        if !action.holds_back.is_empty() {
            let names: Vec<String> = action.holds_back.iter().take(4).map(ToString::to_string).collect();
            let more = action.holds_back.len().saturating_sub(names.len());
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            line(out, format_args!("     waits for it: {}{more}", names.join(", ")));
        }
    }
}

fn actions(out: &mut String, title: &str, actions: &[ActionReport]) {
    if actions.is_empty() {
        return;
    }
    line(out, format_args!("\n{title}"));
    let groups = grouped(&lasting(actions));
    for (action, more) in groups.iter().take(ACTIONS_SHOWN) {
        let outcome = match &action.outcome {
            ActionOutcome::Planned | ActionOutcome::Done => String::new(),
            ActionOutcome::Sent => " [no answer]".to_owned(),
            ActionOutcome::Failed(error) => format!(" [failed: {}]", clip(error, 120)),
        };
        let more = if *more > 0 { format!(" and {more} more") } else { String::new() };
        line(out, format_args!("  {}{more} ({}){outcome}", action.text, action.why));
    }
    let more = groups.len().saturating_sub(ACTIONS_SHOWN);
    if more > 0 {
        line(out, format_args!("  and {more} other kinds; the journal has them all"));
    }
}

/// All but the failures that the next attempt made good: they are in the journal, and nobody has to do anything about them.
fn lasting(actions: &[ActionReport]) -> Vec<&ActionReport> {
    let done: BTreeSet<(&str, &Subject)> = actions
        .iter()
        .filter(|action| action.outcome == ActionOutcome::Done)
        .map(|action| (action.verb.as_str(), &action.subject))
        .collect();
    let made_good = |action: &ActionReport| done.contains(&(action.verb.as_str(), &action.subject));
    actions.iter().filter(|action| !(matches!(action.outcome, ActionOutcome::Failed(_)) && made_good(action))).collect()
}

/// The first action of each kind, with how many more there are like it: the same verb, in the same way, for the same end.
fn grouped<'a>(actions: &[&'a ActionReport]) -> Vec<(&'a ActionReport, usize)> {
    let alike = |a: &ActionReport, b: &ActionReport| {
        let failed = |action: &ActionReport| matches!(action.outcome, ActionOutcome::Failed(_));
        a.verb == b.verb && failed(a) == failed(b) && a.why.split_whitespace().next() == b.why.split_whitespace().next()
    };
    let mut groups: Vec<(&ActionReport, usize)> = Vec::new();
    for action in actions.iter().copied() {
        match groups.iter_mut().find(|(first, _)| alike(first, action)) {
            Some((_, more)) => *more = more.saturating_add(1),
            None => groups.push((action, 0)),
        }
    }
    groups
}

/// What a gate that is waited for normally takes, where that is known.
pub(crate) fn normally(gate: &GateReport) -> String {
    let normal = gate.normal.filter(|_| gate.is_waited_for());
    normal.map(|normal| format!("(normally {}) ", human(normal))).unwrap_or_default()
}

pub(crate) fn clip(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(limit.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    writeln!(out, "{text}").unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ananke_core::name::{Moment, NodeName};

    use super::*;

    #[test]
    fn what_is_normal_is_said_of_what_is_waited_for() {
        let gate = |status, normal| GateReport {
            id: ananke_core::verdict::GateId::Workloads,
            status,
            took: Duration::from_secs(130),
            normal,
            passed_after: None,
            subjects_passed: 0,
            subjects: 1,
            text: "0 of 1".to_owned(),
            blockers: Vec::new(),
            regressions: 0,
        };
        let told = |status, normal| {
            let mut out = String::new();
            gates(&mut out, &[gate(status, normal)]);
            out.lines().last().unwrap_or_default().trim().to_owned()
        };
        let normal = Some(Duration::from_secs(110));
        assert_eq!(told(GateStatus::Holding, normal), "workloads         waits      2m10s  (normally 1m50s) 0 of 1");
        assert_eq!(told(GateStatus::Holding, None), "workloads         waits      2m10s  0 of 1");
        assert_eq!(told(GateStatus::Passed, normal), "workloads         passed     2m10s  0 of 1");
    }

    #[test]
    fn actions_of_one_kind_are_one_line() {
        let action = |node: &str, verb: &str, outcome| ActionReport {
            at: Moment::from_millis(0),
            verb: verb.to_owned(),
            subject: Subject::Node(NodeName::parse(node).unwrap()),
            text: format!("{verb} {node}"),
            why: "shutdown".to_owned(),
            outcome,
            trap: None,
            effect: None,
        };
        let done = || ActionOutcome::Done;
        let all = [
            action("n1", "cordon", done()),
            action("n2", "cordon", done()),
            action("n3", "cordon", ActionOutcome::Failed("409".to_owned())),
            action("n1", "stop", done()),
            action("n4", "cordon", ActionOutcome::Failed("409".to_owned())),
            action("n4", "cordon", done()),
        ];
        let mut out = String::new();
        actions(&mut out, "it did:", &all);
        assert_eq!(
            out,
            "\nit did:\n  cordon n1 and 2 more (shutdown)\n  cordon n3 (shutdown) [failed: 409]\n  stop n1 (shutdown)\n"
        );
    }
}
