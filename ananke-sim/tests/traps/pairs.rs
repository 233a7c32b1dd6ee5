//! Two traps in one world. It ends recovered where each alone does, and else stopped with every instruction that each alone
//! stops with, unless what it is about waits for another of them. The world's own checkers see what makes things worse.

use std::collections::{BTreeMap, BTreeSet};

use ananke_core::name::NodeName;
use ananke_core::report::{Outcome, Report};
use ananke_core::trap::{self, Often};
use ananke_core::verdict::{Reason, Trap};
use ananke_sim::drill::{self, Drill, PowerStory};
use ananke_sim::scenario::Exercise;
use ananke_sim::{Fault, Scenario};

const SEED: u64 = 1;
/// Those of every test run: one in so many, which comes to some of all kinds.
const SAMPLE: usize = 29;

/// How a world has a trap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// From the outage on.
    Fault(Fault),
    /// Two of three servers boot slowly, and the first waits for one of them.
    SlowServers,
    /// Mains come for seconds while the cluster is drained, and go for seconds while it is started.
    Flaps,
    /// Nothing is heard of any UPS on battery, and again while the cluster is started.
    Silence,
    /// An outage in which the budgets of the lab refuse evictions.
    Drain,
}

fn part(trap: Trap) -> Part {
    const OTHERS: &[(Trap, Part)] = &[
        (Trap::ControlPlaneWaits, Part::SlowServers),
        (Trap::UpsFlapOrSelftest, Part::Flaps),
        (Trap::UpsCommsLostDataStale, Part::Silence),
        (Trap::DrainBlockedByPdb, Part::Drain),
    ];
    let other = OTHERS.iter().find(|(of, _)| *of == trap).map(|(_, part)| *part);
    other.or_else(|| ananke_sim::trap::fault(trap).map(Part::Fault)).expect("something stands for each frequent trap")
}

/// What a healthy cluster can have too is there when the drain begins.
const BEFORE_A_DRAIN: &[Trap] = &[
    Trap::ClockSkewNoRtc,
    Trap::StaleVolumeattachmentMultiAttach,
    Trap::PodTerminatingOnDeadNode,
    Trap::LonghornVolumeFaulted,
    Trap::WebhookFailClosedDeadlock,
    Trap::FluxImmutableField,
    Trap::HelmRetriesExhausted,
    Trap::HelmOperationInProgress,
    Trap::NodeLeftCordoned,
    Trap::CorednsDown,
    Trap::NfsStaleOrHung,
    Trap::CrashloopBackoffLag,
];

fn frequent() -> Vec<Trap> {
    trap::ALL.iter().filter(|entry| entry.often == Often::High).map(|entry| entry.trap).collect()
}

/// Two that need a node have one each.
fn node_of(fault: Fault, place: usize) -> Option<NodeName> {
    let name = ["titan-08", "titan-07"].get(place).copied().filter(|_| fault.needs_node() && !fault.needs_server())?;
    NodeName::parse(name).ok()
}

/// The story of power that has them; none where they are met by a start-up alone.
fn story(parts: &[Part]) -> Option<PowerStory> {
    let has = |part| parts.contains(&part);
    match (has(Part::Flaps), has(Part::Silence), has(Part::Drain)) {
        (true, true, _) => Some(PowerStory::FlapsBesideSilence),
        (true, false, _) => Some(PowerStory::OutlastsAndFlaps),
        (false, true, _) => Some(PowerStory::OutlastsInSilence),
        (false, false, true) => Some(PowerStory::Outlasts),
        (false, false, false) => None,
    }
}

fn run(traps: &[(Trap, usize)]) -> Drill {
    let parts: Vec<Part> = traps.iter().map(|(trap, _)| part(*trap)).collect();
    let story = story(&parts);
    let mut scenario = match story {
        Some(story) => Scenario::named("healthy").unwrap().with_exercise(Exercise::Power(story)),
        None => Scenario::default(),
    }
    .with_nodes(8);
    for (trap, place) in traps {
        let faults = match part(*trap) {
            Part::Fault(fault) => vec![(fault, node_of(fault, *place))],
            Part::SlowServers => ["titan-01", "titan-02"].map(|name| (Fault::SlowBoot, NodeName::parse(name).ok())).to_vec(),
            Part::Flaps | Part::Silence | Part::Drain => Vec::new(),
        };
        let at_once = story.is_none() || parts.contains(&Part::Drain) && BEFORE_A_DRAIN.contains(trap);
        for (fault, node) in faults {
            scenario = if at_once { scenario.with_fault(fault, node) } else { scenario.with_later_fault(fault, node) };
        }
    }
    drill::run(&scenario, SEED).unwrap()
}

/// What the drill must have had of each, to be one of both.
fn missing(traps: &[(Trap, usize)], drill: &Drill) -> Option<String> {
    let drained = traps.iter().any(|(trap, _)| part(*trap) == Part::Drain);
    let refused = drill.story.iter().any(|line| line.contains("budgets did not let them go"));
    (drained && !refused).then(|| "no budget refused anything".to_owned())
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
        let found = found.into_iter().chain(missing(&[(*one, 0), (*other, 1)], &both));
        wrong.extend(found.map(|why| format!("{one} with {other}: {why}")));
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
#[ignore = "some minutes: every two of the frequent traps"]
fn all_pairs_end_no_worse_than_each_alone() {
    check(&every_two());
}
