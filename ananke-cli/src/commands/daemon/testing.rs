//! A daemon with everything on its board, for the tests of what is shown. Texts from outside mean harm.

use std::time::Duration;

use ananke_core::engine::keeper::Tick;
use ananke_core::intent::{Intent, IntentState};
use ananke_core::lease::{Lease, LeaseRecord, LeaseState, Purpose};
use ananke_core::name::{LeaseId, Moment, NodeName, RunId, Subject, Uid};
use ananke_core::observation::UpsReading;
use ananke_core::power::{Pause, UpsState};
use ananke_core::report::{BlockerReport, Command, GateReport, GateStatus, ManualAction, Outcome, PastRun, Progress, Report};
use ananke_core::verdict::GateId;

use super::board::{Known, Power, Ups};
use super::news::Rank;
use super::seen::Seen;

pub(super) const NOW: Moment = Moment::from_millis(1_773_453_971_250);
pub(super) const HARM: &str = "\"><script>alert('x')</script>\n\u{1b}[2J";

pub(super) fn ago(seconds: u64) -> Moment {
    NOW.minus(Duration::from_secs(seconds))
}

pub(super) fn gate(id: GateId, status: GateStatus, took: u64, passed: Option<u64>) -> GateReport {
    GateReport {
        id,
        status,
        took: Duration::from_secs(took),
        normal: None,
        passed_after: passed.map(Duration::from_secs),
        subjects_passed: 2,
        subjects: 3,
        text: format!("all {HARM}"),
        blockers: vec![BlockerReport { subject: Subject::Ananke, reason: None, trap: None, text: HARM.to_owned() }; 8],
        regressions: 0,
    }
}

pub(super) fn ups(name: &str, state: UpsState, is_lost: bool) -> Ups {
    let reading =
        UpsReading { status: vec!["OB".into(), HARM.into()], charge_percent: Some(43), runtime: Some(Duration::from_secs(720)) };
    Ups { name: name.into(), state, reading: Some(reading), heard: Some(ago(12)), is_lost, is_refused: false, told: Rank::Fine }
}

/// All is well and nothing was ever done.
pub(super) fn idle() -> Seen {
    let tick = Tick { at: NOW, done: vec![], overdue: vec![], failed: vec![], notes: vec![], manual: vec![], next: NOW };
    Seen {
        now: NOW,
        wall: NOW,
        began: ago(7200),
        known: Known { swept: Some((ago(5), tick)), ..Known::default() },
        ages: vec![("leases", Duration::from_secs(5), Duration::from_secs(360))],
        stuck: vec![],
        intent: None,
        leases: vec![],
        running: vec![],
        died: vec![],
        reports: vec![],
        past: vec![],
        well: None,
        unread: vec![],
    }
}

pub(super) fn full() -> Seen {
    let mut seen = idle();
    let texts = |text: &str| vec![format!("{text} {HARM}")];
    if let Some((_, tick)) = &mut seen.known.swept {
        (tick.overdue, tick.manual, tick.failed) = (texts("titan-07 is overdue"), texts("titan-08 waits"), texts("the API"));
    }
    let why = format!("its charge is 20 % {HARM}");
    seen.known.power = Some(Power {
        at: ago(1),
        upses: vec![
            ups("rack-a@titan-db", UpsState::Critical { why, left: Duration::ZERO }, true),
            ups("rack-b@titan-db", UpsState::Latched, false),
        ],
        reserve: Duration::from_secs(600),
        outages: 2,
        holding: Some(format!("3 outages {HARM}")),
        paused: Some(Pause { at: ago(60), until: NOW, reason: HARM.to_owned() }),
    });
    seen.known.sent.insert("ntfy at ntfy.example.org".to_owned(), (3, 1));
    seen.intent = Some(intent());
    seen.leases = vec![lease(LeaseState::Held), lease(LeaseState::Released)];
    seen.running = vec![progress()];
    seen.reports = vec![report(Command::Startup), report(Command::Shutdown)];
    seen.past = vec![past()];
    seen.unread = texts("intent.json");
    seen.stuck = texts("the keeper");
    seen
}

fn run() -> RunId {
    RunId::parse("startup-1").unwrap()
}

fn intent() -> Intent {
    Intent { state: IntentState::ShutdownComplete, run: run(), at: ago(600), reason: HARM.to_owned(), by_power: true, of: None }
}

fn lease(state: LeaseState) -> LeaseRecord {
    let node = NodeName::parse("titan-07").unwrap();
    let (node_uid, cluster_uid) = (Uid::parse("n").unwrap(), Uid::parse("c").unwrap());
    let lease = Lease {
        schema: 1,
        id: LeaseId::parse("startup-1-a").unwrap(),
        holder: "titan-db".to_owned(),
        node,
        node_uid,
        cluster_uid,
        purpose: Purpose::Repair,
        reason: HARM.to_owned(),
        acquired: ago(600),
        expires: ago(1),
        clock: None,
        remove_with: String::new(),
    };
    LeaseRecord { lease, state, since: ago(600) }
}

pub(super) fn progress() -> Progress {
    Progress {
        schema: 1,
        run: run(),
        command: Command::Startup,
        dry_run: false,
        started: ago(90),
        updated: ago(10),
        outcome: None,
        remaining: Some(Duration::from_secs(100)),
        gates: vec![
            gate(GateId::Guards, GateStatus::Passed, 10, Some(10)),
            gate(GateId::NodesReady, GateStatus::Holding, 60, None),
        ],
        actions: vec![],
        earlier: vec![],
        reboots: vec![],
        proofs_from: None,
    }
}

pub(super) fn report(command: Command) -> Report {
    Report {
        schema: 1,
        run: run(),
        command,
        dry_run: false,
        reason: HARM.to_owned(),
        started: ago(4000),
        ended: ago(3600),
        took: Duration::from_secs(400),
        normal: None,
        outcome: Outcome::Manual,
        summary: format!("all but one {HARM}"),
        gates: vec![gate(GateId::Guards, GateStatus::Passed, 10, Some(10)), gate(GateId::Soak, GateStatus::Pending, 0, None)],
        actions: vec![],
        manual: vec![ManualAction {
            trap: None,
            subject: Subject::Node(NodeName::parse("titan-09").unwrap()),
            gate: GateId::NodeSsh,
            reason: None,
            found: format!("it is dark {HARM}"),
            instruction: format!("press its power button {HARM}"),
            holds_back: vec![],
        }],
        notes: vec![],
        earlier: vec![],
        cordons: vec![],
    }
}

fn past() -> PastRun {
    let gates = std::collections::BTreeMap::new();
    PastRun { schema: 1, run: run(), command: Command::Startup, started: ago(4000), outcome: Outcome::Done, seconds: 242, gates }
}
