//! Every trap that the world has, drilled: A recovers, B recovers or asks for one thing, H asks for one thing, and what a
//! person is asked for names the trap. Two of the frequent ones at once end no worse than each alone (`traps/pairs.rs`).
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says how much it tried"
)]

#[path = "traps/named.rs"]
mod named;
#[path = "traps/pairs.rs"]
mod pairs;

use ananke_core::name::Subject;
use ananke_core::report::{ActionReport, Outcome};
use ananke_core::trap::{self, Ending};
use ananke_core::verdict::Trap;
use ananke_sim::drill::{self, Drill};
use ananke_sim::{Fault, Scenario};

/// By default; `cargo test -p ananke-sim --test traps -- --ignored` drills twenty.
const SEEDS: std::ops::Range<u64> = 1..2;

/// What is sent about a trap, each kind of order once. Nothing is sent about the others.
const SENT: &[(Trap, &[&str])] = &[
    (Trap::NodeLeftCordoned, &["uncordon"]),
    (Trap::HelmRetriesExhausted, &["reset-release"]),
    (Trap::CniNotReady, &["delete-pod"]),
    (Trap::CsiDriverNotRegistered, &["delete-pod"]),
    (Trap::CiliumAgentTaintGap, &["delete-pod"]),
    (Trap::CertManagerWebhookNotServing, &["delete-pod"]),
    (Trap::NfsStaleOrHung, &["delete-pod"]),
    (Trap::FluxSuspendedLooksReady, &["resume"]),
    (Trap::StaleVolumeattachmentMultiAttach, &[]),
    (Trap::VolumeattachmentBeingDeleted, &[]),
    (Trap::WebhookFailClosedDeadlock, &[]),
    (Trap::HelmOperationInProgress, &[]),
    (Trap::HelmRemediationDestructive, &[]),
    (Trap::PodTerminatingOnDeadNode, &[]),
    (Trap::ForeignCordon, &[]),
    (Trap::FluxSourceDenied, &[]),
    (Trap::PodShutdownLeftovers, &["delete-pod"]),
    (Trap::LonghornRwxShareManagerStale, &["delete-pod"]),
    (Trap::ExternalSecretsBackoff, &["delete-pod"]),
    (Trap::FluxControllerWedged, &["delete-pod"]),
    (Trap::LbVipNotAnnounced, &["delete-pod"]),
    (Trap::PodUnexpectedAdmissionError, &[]),
    (Trap::KuredLockStuck, &[]),
    (Trap::OutOfServiceTaintLeft, &[]),
    (Trap::CephPgsUnavailable, &[]),
    (Trap::ThunderingHerd, &[]),
    (Trap::LonghornRebuildStorm, &[]),
    (Trap::OtherAutomationFightsRecovery, &[]),
    (Trap::LbFailbackTooEarly, &[]),
    (Trap::EtcdQuorumLost, &[]),
    (Trap::CephFlagsLeftSet, &[]),
    (Trap::TwoShutdownBrains, &[]),
    (Trap::CronjobMissedStarts, &[]),
    (Trap::PostgresOperatorNoRecovery, &["delete-pod"]),
    (Trap::UpsLoadoffOnMains, &[]),
    (Trap::StaleLeaderLease, &["delete-pod"]),
];

/// Where nobody proves that their node is off, the node is what a person is asked about.
const BEHIND_A_HOST: [Trap; 2] = [Trap::StaleVolumeattachmentMultiAttach, Trap::PodTerminatingOnDeadNode];

fn drill(trap: Trap, seed: u64) -> Option<Drill> {
    let scenario = ananke_sim::trap::scenario(trap)?;
    let nodes = scenario.nodes.min(8);
    let scenario = scenario.with_nodes(nodes);
    Some(drill::run(&scenario, seed).unwrap())
}

/// What is wrong with how it ended.
fn judge(trap: Trap, drill: &Drill) -> Vec<String> {
    let mut wrong = drill.violations.clone();
    let report = &drill.report;
    let asked = report.manual.iter().any(|action| action.trap == Some(trap));
    match (trap::entry(trap).unwrap().class.ending(), report.outcome) {
        (Ending::Recovered | Ending::RecoveredOrInstruction, Outcome::Done) => {}
        (Ending::RecoveredOrInstruction | Ending::Instruction, Outcome::Manual) => {
            if !BEHIND_A_HOST.contains(&trap) && !asked {
                wrong.push(format!("nobody is asked about {trap}: {:?}", report.manual));
            }
        }
        (ending, outcome) => wrong.push(format!("{} was expected, it ended as {outcome:?}: {:?}", ending.id(), report.manual)),
    }
    let mut sent: Vec<&str> = report.actions.iter().filter(|it| it.trap == Some(trap)).map(|it| it.verb.as_str()).collect();
    sent.dedup();
    // Where a reset was enough, nothing is forced.
    sent.retain(|verb| *verb != "force-release");
    if let Some((_, expected)) = SENT.iter().find(|(of, _)| *of == trap).filter(|(_, expected)| sent != *expected) {
        wrong.push(format!("{sent:?} was sent about it, and not {expected:?}"));
    }
    wrong
}

fn all(seeds: std::ops::Range<u64>) {
    let mut wrong = Vec::new();
    let mut drilled = 0;
    for entry in trap::ALL {
        for seed in seeds.clone() {
            let Some(drill) = drill(entry.trap, seed) else { continue };
            drilled += 1;
            wrong.extend(judge(entry.trap, &drill).into_iter().map(|why| format!("{} seed {seed}: {why}", entry.trap)));
        }
    }
    println!("{drilled} drills");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_trap_ends_as_its_class_says() {
    all(SEEDS);
}

#[test]
#[ignore = "some minutes: twenty seeds of each"]
fn each_trap_ends_as_its_class_says_in_twenty_worlds() {
    all(0..20);
}

/// More managers than are made anew before patience ends: the first that serve the webhook serve it to the others.
#[test]
fn a_large_cluster_comes_out_of_the_loop_of_its_storage_too() {
    let scenario = ananke_sim::trap::scenario(Trap::LonghornWebhookLoop).unwrap().with_nodes(30);
    for seed in [1, 4] {
        let drill = drill::run(&scenario, seed).unwrap();
        assert_eq!((drill.report.outcome, &drill.violations), (Outcome::Done, &Vec::new()), "seed {seed}");
    }
}

#[test]
fn a_member_of_a_database_that_no_workload_owns_is_named_and_left_alone() {
    let drill = drill::run(&Scenario::named("cloudnative-pg").unwrap().with_nodes(8), 1).unwrap();
    assert_eq!((drill.report.outcome, &drill.violations), (Outcome::Done, &Vec::new()));
    let told = drill.report.notes.iter().any(|note| note.contains("Pod office/paperless-db-2 is called replica"));
    assert!(told, "{:?}", drill.report.notes);
    let touched = drill.report.actions.iter().any(|action| action.subject.to_string().contains("paperless-db"));
    assert!(!touched, "{:?}", drill.report.actions);
}

#[test]
fn a_host_that_hangs_is_forced_off_and_one_that_boots_again_is_told_again() {
    let (mut forced, mut again) = (0, 0);
    for seed in 0..6 {
        let drill = drill(Trap::ShutdownHangs, seed).unwrap();
        assert_eq!(judge(Trap::ShutdownHangs, &drill), Vec::<String>::new(), "seed {seed}");
        let last = |subject: &Subject| matches!(subject, Subject::Node(node) if node.as_str() == "titan-08");
        let sent = |verb: &str| drill.report.actions.iter().filter(|it| it.verb == verb && last(&it.subject)).count();
        match (sent("power-off"), sent("power-off-now")) {
            (_, 1) => forced += 1,
            (2, 0) => again += 1,
            orders => panic!("seed {seed}: {orders:?}"),
        }
    }
    assert!(forced > 0 && again > 0, "{forced} hung and {again} booted again");
}

/// What any start-up does: it asks Flux to fetch, and sends dark hosts what wakes them, which is nothing to one that boots.
const ANY: [Trap; 2] = [Trap::FluxArtifactReadyLie, Trap::HostDark];

/// Nothing else is done in a world that merely boots slowly.
fn false_alarms(seeds: std::ops::Range<u64>) -> Vec<String> {
    let mut found = Vec::new();
    for seed in seeds {
        let mut scenario = Scenario::default().with_nodes(12);
        for n in [2, 4, 7 + seed % 5] {
            let node = ananke_core::name::NodeName::parse(&format!("titan-{n:02}")).unwrap();
            scenario = scenario.with_fault(Fault::SlowBoot, Some(node));
        }
        let drill = drill::run(&scenario, seed).unwrap();
        let more = |action: &&ActionReport| action.trap.is_none_or(|trap| !ANY.contains(&trap));
        found.extend(drill.report.actions.iter().filter(more).map(|action| format!("seed {seed}: {}", action.text)));
        found.extend(drill.violations.iter().map(|why| format!("seed {seed}: {why}")));
    }
    found
}

#[test]
fn a_slow_boot_is_no_trap() {
    assert_eq!(false_alarms(0..5), Vec::<String>::new());
}

#[test]
#[ignore = "some minutes: a thousand worlds"]
fn a_thousand_slow_boots_are_no_trap() {
    assert_eq!(false_alarms(0..1000), Vec::<String>::new());
}

#[test]
fn what_holds_nothing_is_told_in_a_note() {
    let drill = drill(Trap::CronjobMissedStarts, 1).unwrap();
    let told = drill.report.notes.iter().any(|note| note.contains("cronjob/probe-targets -n monitoring` runs it once"));
    assert!(told, "{:?}", drill.report.notes);
}

#[test]
fn a_shutdown_that_budgets_block_names_them_and_deletes_with_grace() {
    let drill = drill(Trap::DrainBlockedByPdb, 1).unwrap();
    let refused = drill.story.iter().any(|line| line.contains("disruption budget postgres"));
    let deleted = drill.report.actions.iter().filter(|it| it.verb == "delete-pod").count();
    assert!(refused && deleted > 0, "{}", drill.story.join("\n"));
    assert_eq!(drill.report.outcome, Outcome::Done);
}
