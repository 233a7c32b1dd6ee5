//! Two traps in one world. It ends recovered where each alone does, and else stopped with every instruction that each alone
//! stops with, unless what it is about waits for another of them. The world's own checkers see what makes things worse.

use std::collections::{BTreeMap, BTreeSet};

use ananke_core::name::NodeName;
use ananke_core::report::{Outcome, Report};
use ananke_core::trap::{self, Often};
use ananke_core::verdict::{Reason, Trap};
use ananke_sim::drill::{self, Drill};
use ananke_sim::{Fault, Scenario};

const SEED: u64 = 1;
/// Those of every test run: one in so many, which comes to about a dozen of all kinds.
const SAMPLE: usize = 13;

/// Those that turn up often and that a start-up can meet. Where no fault stands for one, every power loss has it.
fn frequent() -> Vec<Trap> {
    let often = trap::ALL.iter().filter(|entry| entry.often == Often::High).map(|entry| entry.trap);
    often.filter(|trap| ananke_sim::trap::fault(*trap).is_some()).collect()
}

/// Two that need a node have one each.
fn node_of(fault: Fault, place: usize) -> Option<NodeName> {
    let name = ["titan-08", "titan-07"].get(place).copied().filter(|_| fault.needs_node() && !fault.needs_server())?;
    NodeName::parse(name).ok()
}

fn run(traps: &[(Trap, usize)]) -> Drill {
    let mut scenario = Scenario::default().with_nodes(8);
    for (trap, place) in traps {
        let fault = ananke_sim::trap::fault(*trap).unwrap();
        scenario = scenario.with_fault(fault, node_of(fault, *place));
    }
    drill::run(&scenario, SEED).unwrap()
}

/// What a person is asked to touch, and what waits for that.
fn told(report: &Report) -> (BTreeSet<String>, BTreeSet<String>) {
    let asked = report.manual.iter().map(|action| action.subject.to_string()).collect();
    let held = report.manual.iter().flat_map(|action| &action.holds_back).map(ToString::to_string).collect();
    (asked, held)
}

/// What is wrong with how the two ended, by how each ends alone.
fn worse(both: &Drill, alone: [&Drill; 2]) -> Vec<String> {
    let mut wrong = both.violations.clone();
    let expected = if alone.iter().all(|drill| drill.report.outcome == Outcome::Done) { Outcome::Done } else { Outcome::Manual };
    if both.report.outcome != expected {
        wrong.push(format!("{expected:?} was expected, it ended as {:?}: {:?}", both.report.outcome, both.report.manual));
    }
    let (asked, held) = told(&both.report);
    for subject in alone.iter().flat_map(|drill| told(&drill.report).0) {
        if !asked.contains(&subject) && !held.contains(&subject) {
            wrong.push(format!("nobody is asked about {subject}, only about {asked:?}"));
        }
    }
    // A webhook that lets no pod be made leaves to a person what a new pod cures.
    let barred = both.report.manual.iter().any(|action| action.reason == Some(Reason::WebhookNotServing));
    let known: BTreeSet<String> = alone.iter().flat_map(|drill| told(&drill.report).0).collect();
    wrong.extend(
        asked
            .difference(&known)
            .filter(|_| !barred)
            .map(|subject| format!("a person is asked about {subject}, and is not for either alone")),
    );
    wrong
}

fn check(pairs: &[(Trap, Trap)]) {
    let mut alone: BTreeMap<(Trap, usize), Drill> = BTreeMap::new();
    let (mut wrong, mut recovered) = (Vec::new(), 0);
    for (one, other) in pairs {
        for of in [(*one, 0), (*other, 1)] {
            alone.entry(of).or_insert_with(|| run(&[of]));
        }
        let both = run(&[(*one, 0), (*other, 1)]);
        recovered += usize::from(both.report.outcome == Outcome::Done);
        let found = worse(&both, [(*one, 0), (*other, 1)].map(|of| alone.get(&of).unwrap()));
        wrong.extend(found.into_iter().map(|why| format!("{one} with {other}: {why}")));
    }
    println!("{} pairs, {recovered} recovered", pairs.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn every_two() -> Vec<(Trap, Trap)> {
    let traps = frequent();
    let with_later = |(place, one): (usize, &Trap)| traps.iter().skip(place + 1).map(|other| (*one, *other)).collect::<Vec<_>>();
    traps.iter().enumerate().flat_map(with_later).collect()
}

#[test]
fn some_pairs_end_no_worse_than_each_alone() {
    let sample: Vec<(Trap, Trap)> = every_two().into_iter().step_by(SAMPLE).collect();
    check(&sample);
}

#[test]
#[ignore = "a minute: every two of the frequent traps"]
fn all_pairs_end_no_worse_than_each_alone() {
    check(&every_two());
}
