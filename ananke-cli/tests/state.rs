//! The state directory against torn files, a second process and a reader that may change nothing.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::fs;
use std::future::Future;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ananke_cli::state::StateDir;
use ananke_cli::state::lock::{LockError, RunLock, Work, holder};
use ananke_core::baseline::{Baseline, BaselineWorkload};
use ananke_core::engine::journal::{Entry, What};
use ananke_core::intent::{Intent, IntentState};
use ananke_core::lease::{LeaseRecord, LeaseState, SCHEMA};
use ananke_core::name::{BootId, Kind, LeaseId, Moment, NodeName, ObjectRef, RunId};
use ananke_core::notice::{Notice, Throttle, Told, Urgency};
use ananke_core::observation::Confirmation;
use ananke_core::port::{ErrorKind, PortError, StateReads, StateWrites};
use ananke_core::power::Pause;
use ananke_core::report::{Command, Outcome, PastRun, Progress, Report};

const NOW: Moment = Moment::from_millis(1_773_453_971_250);

/// File calls are made directly, so every future is ready at once.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a state call waited"),
    }
}

fn run() -> RunId {
    RunId::parse("startup-20260314T020611Z").unwrap()
}

fn intent() -> Intent {
    Intent {
        state: IntentState::ShuttingDown,
        run: run(),
        at: NOW,
        reason: "graceful-maintenance".to_owned(),
        by_power: false,
        of: None,
    }
}

fn lease() -> LeaseRecord {
    let json = serde_json::json!({
        "schema": SCHEMA,
        "id": "l-1",
        "holder": "titan-db",
        "node": "titan-11",
        "node_uid": "u",
        "cluster_uid": "c",
        "reason": "repair",
        "acquired": NOW,
        "expires": NOW.plus(Duration::from_secs(3600)),
        "remove_with": "kubectl taint",
        "state": "held",
        "since": NOW,
    });
    serde_json::from_value(json).unwrap()
}

fn progress(command: Command) -> Progress {
    Progress {
        schema: 1,
        run: run(),
        command,
        dry_run: false,
        started: NOW,
        updated: NOW,
        outcome: None,
        remaining: None,
        gates: vec![],
        actions: vec![],
        earlier: vec![],
        reboots: vec![],
        proofs_from: None,
    }
}

fn report(command: Command) -> Report {
    Report {
        schema: 1,
        run: run(),
        command,
        dry_run: false,
        reason: String::new(),
        started: NOW,
        ended: NOW,
        took: Duration::from_secs(9),
        normal: None,
        outcome: Outcome::Done,
        summary: "recovered".to_owned(),
        gates: vec![],
        actions: vec![],
        manual: vec![],
        notes: vec![],
        earlier: vec![],
        cordons: vec![],
    }
}

fn entry(seq: u64) -> Entry {
    Entry { run: run(), seq, at: NOW, what: What::RunEnded { outcome: Outcome::Done } }
}

fn baseline() -> Baseline {
    let object = ObjectRef::new(Kind::Deployment, "core", "gitea");
    Baseline {
        at: NOW,
        workloads: vec![BaselineWorkload { object, desired: 2, healthy: true }],
        flux_failing: [ObjectRef::new(Kind::Kustomization, "flux-system", "old")].into(),
        urls_failing: ["https://old.example.org/".into()].into(),
    }
}

fn confirmation(node: &str) -> Confirmation {
    Confirmation { node: NodeName::parse(node).unwrap(), at: NOW, boot_id: BootId::parse("b-1").ok() }
}

fn past(number: u64) -> PastRun {
    let gates = [(ananke_core::verdict::GateId::NodeSsh, number)].into();
    PastRun { schema: 1, run: run(), command: Command::Startup, started: NOW, outcome: Outcome::Done, seconds: number, gates }
}

/// A directory with one of everything.
fn pause() -> Pause {
    Pause { at: NOW, until: NOW.plus(Duration::from_secs(7200)), reason: "a new battery".to_owned() }
}

fn filled(root: &Path) -> StateDir {
    let state = StateDir::open(root).unwrap();
    now(state.save_intent(&intent())).unwrap();
    now(state.save_leases(&[lease()])).unwrap();
    for command in [Command::Startup, Command::Shutdown] {
        now(state.save_progress(&progress(command))).unwrap();
        now(state.save_report(&report(command))).unwrap();
    }
    for seq in 1..=3 {
        now(state.append(&entry(seq))).unwrap();
    }
    now(state.save_baseline(&baseline())).unwrap();
    state.confirm(confirmation("titan-11")).unwrap();
    state.set_pause(Some(pause())).unwrap();
    state.save_outages(&[NOW], Some(NOW)).unwrap();
    state.save_told(&heard()).unwrap();
    for number in 1..=3 {
        now(state.save_run(&past(number))).unwrap();
    }
    state
}

fn heard() -> Told {
    let mut throttle = Throttle::new(12, Told::default());
    throttle.take(Notice::new("UPS rack", Urgency::Warning, "UPS rack is on battery"), NOW);
    throttle.told().clone()
}

/// Files whose loss costs comfort only.
const COMFORT: [&str; 9] = [
    "startup-progress.json",
    "shutdown-progress.json",
    "last-startup-report.json",
    "last-shutdown-report.json",
    "baseline.json",
    "confirmations.json",
    "pause.json",
    "outages.json",
    "notices.json",
];

/// Whether the file has something to say, read as what it is.
fn found(state: &StateDir, name: &str) -> Result<bool, PortError> {
    Ok(match name {
        "leases.json" => !now(state.leases())?.is_empty(),
        "intent.json" => now(state.intent())?.is_some(),
        "startup-progress.json" => now(state.progress())?.is_some(),
        "shutdown-progress.json" => state.shutdown_progress()?.is_some(),
        "last-startup-report.json" => state.last_report(Command::Startup)?.is_some(),
        "last-shutdown-report.json" => state.last_report(Command::Shutdown)?.is_some(),
        "baseline.json" => now(state.baseline())?.is_some(),
        "confirmations.json" => !now(state.confirmations())?.is_empty(),
        "pause.json" => state.pause()?.is_some(),
        "outages.json" => !state.outages()?.0.is_empty(),
        "notices.json" => state.told()?.last("UPS rack").is_some(),
        "runs.jsonl" => !now(state.runs())?.is_empty(),
        _ => panic!("no such file: {name}"),
    })
}

/// What is said of a file that cannot be used: an error, or a notice while it counts as absent.
fn told(state: &StateDir, name: &str) -> String {
    match found(state, name) {
        Err(error) => {
            let way_out = if name == "leases.json" { "rebuilt" } else { "then run `ananke intent clear`" };
            assert_eq!(error.kind, ErrorKind::Invalid, "{name}");
            assert!(error.remedy.as_ref().unwrap().contains(way_out), "{error:?}");
            assert!(matches!(name, "leases.json" | "intent.json"), "{name}: {error}");
            error.to_string()
        }
        Ok(found) => {
            assert!(!found, "{name} was read as something");
            assert!(!matches!(name, "leases.json" | "intent.json"), "{name} was lost in silence");
            state.take_notices().join("")
        }
    }
}

/// Every file with its bytes.
fn listing(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut out = BTreeMap::new();
    for dir in [root.to_owned(), root.join("journal")] {
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
            out.insert(entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
        }
    }
    out
}

#[test]
fn what_was_saved_is_there_for_the_next_process() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("lib/ananke");
    drop(filled(&root));
    for state in [StateDir::open(&root).unwrap(), StateDir::open_read_only(&root).unwrap()] {
        assert_eq!(now(state.intent()).unwrap(), Some(intent()));
        assert_eq!(now(state.leases()).unwrap(), [lease()]);
        assert_eq!(now(state.progress()).unwrap(), Some(progress(Command::Startup)));
        assert_eq!(state.shutdown_progress().unwrap(), Some(progress(Command::Shutdown)));
        assert_eq!(state.last_report(Command::Shutdown).unwrap(), Some(report(Command::Shutdown)));
        let journal = state.read_journal(&run()).unwrap();
        assert_eq!((journal.entries, journal.warnings), (vec![entry(1), entry(2), entry(3)], vec![]));
        assert_eq!(now(state.baseline()).unwrap(), Some(baseline()));
        assert_eq!(now(state.confirmations()).unwrap(), [confirmation("titan-11")]);
        assert_eq!(now(state.runs()).unwrap(), [past(1), past(2), past(3)]);
        assert_eq!((state.pause().unwrap(), state.outages().unwrap()), (Some(pause()), (vec![NOW], Some(NOW))));
        assert_eq!(state.take_notices(), Vec::<String>::new());
    }
    for (name, bytes) in listing(&root) {
        assert!(!name.contains("tmp"), "{name}");
        assert!(
            bytes.is_empty() || name == "reserve" || String::from_utf8(bytes).unwrap().contains("\"schema\":"),
            "{name} has a schema"
        );
    }
    assert_eq!(fs::metadata(&root).unwrap().permissions().mode() & 0o7777, 0o700);
}

#[test]
fn a_new_directory_has_nothing_in_it_and_nothing_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    for state in [StateDir::open_read_only(&dir.path().join("absent")).unwrap(), StateDir::open(&dir.path().join("new")).unwrap()]
    {
        assert_eq!(now(state.intent()).unwrap(), None);
        assert_eq!(now(state.leases()).unwrap(), []);
        assert_eq!(now(state.progress()).unwrap(), None);
        assert_eq!(now(state.baseline()).unwrap(), None);
        assert_eq!(now(state.confirmations()).unwrap(), []);
        assert_eq!(now(state.runs()).unwrap(), []);
        assert_eq!(state.read_journal(&run()).unwrap(), Default::default());
    }
    assert!(!dir.path().join("absent").exists());
}

#[test]
fn a_file_torn_at_any_byte_is_told_and_kept_and_never_read_as_something_else() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path()));
    let whole = listing(dir.path());
    for name in ["leases.json", "intent.json"].iter().chain(&COMFORT) {
        let aside = dir.path().join(format!("{name}.torn-1"));
        // The last byte is the line's end: without it, nothing is lost.
        for end in 0..whole[*name].len() - 1 {
            let torn = &whole[*name][..end];
            fs::write(dir.path().join(name), torn).unwrap();
            let state = StateDir::open(dir.path()).unwrap();
            let mut said = told(&state, name);
            if *name == "intent.json" {
                assert!(now(state.intent()).is_err(), "it holds for as long as it is not cleared");
                said += &state.clear_intent().unwrap().unwrap().display().to_string();
                fs::write(dir.path().join("intent.expected"), "").unwrap();
            }
            assert!(said.contains(&format!("{name}.torn-1")), "cut at {end}: {said}");
            assert_eq!(fs::read(&aside).unwrap(), torn);
            fs::remove_file(&aside).unwrap();
        }
        fs::write(dir.path().join(name), &whole[*name]).unwrap();
    }
}

#[test]
fn another_schema_or_a_directory_in_its_place_is_told_and_kept_for_every_file() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["leases.json", "intent.json", "runs.jsonl"].iter().chain(&COMFORT) {
        for directory in [false, true] {
            let root = dir.path().join(format!("{name}-{directory}"));
            drop(filled(&root));
            let (path, aside) = (root.join(name), root.join(format!("{name}.torn-1")));
            if directory {
                fs::remove_file(&path).unwrap();
                fs::create_dir(&path).unwrap();
                fs::write(path.join("precious"), "x").unwrap();
            } else {
                let whole = fs::read_to_string(&path).unwrap();
                let other = whole.replace("\"schema\": 1", "\"schema\": 7").replace("\"schema\":1", "\"schema\":7");
                assert_ne!(whole, other);
                fs::write(&path, other).unwrap();
            }
            let state = StateDir::open_read_only(&root).unwrap();
            let before = listing(&root);
            assert!(told(&state, name).contains(&path.display().to_string()), "{name}");
            assert_eq!(listing(&root), before, "who only looks changes nothing");

            let state = StateDir::open(&root).unwrap();
            let said = told(&state, name);
            assert!(
                said.contains(if directory {
                    "directory"
                } else if *name == "runs.jsonl" {
                    "version"
                } else {
                    "schema is 7"
                }),
                "{said}"
            );
            // Lines of another version may be of use to that version: they stay until the file is written anew.
            assert!(said.contains("torn-1") || !aside.exists(), "{name}: {said}");
            assert!(!directory || *name == "intent.json" || aside.join("precious").exists(), "{name}: {said}");

            // It is written anew in any case, and then all is well.
            now(state.save_leases(&[lease()])).unwrap();
            now(state.save_intent(&intent())).unwrap();
            for command in [Command::Startup, Command::Shutdown] {
                now(state.save_progress(&progress(command))).unwrap();
                now(state.save_report(&report(command))).unwrap();
            }
            now(state.save_baseline(&baseline())).unwrap();
            state.set_pause(Some(pause())).unwrap();
            state.save_outages(&[NOW], Some(NOW)).unwrap();
            state.save_told(&heard()).unwrap();
            state.confirm(confirmation("titan-12")).unwrap();
            now(state.save_run(&past(4))).unwrap();
            let next = StateDir::open(&root).unwrap();
            assert!(found(&next, name).unwrap(), "{name}");
        }
    }
}

#[test]
fn a_journal_that_is_a_directory_is_an_error_that_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let state = filled(dir.path());
    let path = dir.path().join(format!("journal/{}.jsonl", run()));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let errors = [
        state.read_journal(&run()).unwrap_err(),
        now(state.append(&entry(1))).unwrap_err(),
        now(state.record(&entry(1))).unwrap_err(),
    ];
    for error in errors {
        assert!(error.on.contains("journal/") && error.found.contains("directory"), "{error}");
        assert!(error.remedy.unwrap().contains("move "));
    }
}

#[test]
fn the_history_torn_at_any_byte_keeps_its_whole_lines_and_takes_new_ones() {
    let dir = tempfile::tempdir().unwrap();
    let state = filled(dir.path());
    let path = dir.path().join("runs.jsonl");
    let whole = fs::read(&path).unwrap();
    for end in 0..=whole.len() {
        fs::write(&path, &whole[..end]).unwrap();
        let lines = whole[..end].iter().filter(|byte| **byte == b'\n').count();
        let complete = lines + usize::from(whole.get(end) == Some(&b'\n'));
        let torn = end > 0 && whole[end - 1] != b'\n' && whole.get(end) != Some(&b'\n');
        assert_eq!(now(state.runs()).unwrap().len(), complete, "cut at {end}");
        assert_eq!(state.take_notices().len(), usize::from(torn), "cut at {end}");
        now(state.save_run(&past(9))).unwrap();
        assert_eq!(now(state.runs()).unwrap().last(), Some(&past(9)), "cut at {end}");
        assert_eq!(now(state.runs()).unwrap().len(), complete + 1, "cut at {end}");
        state.take_notices();
    }
}

#[test]
fn the_history_keeps_the_newest_runs_and_does_not_grow_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::open(dir.path()).unwrap();
    let path = dir.path().join("runs.jsonl");
    now(state.save_run(&past(0))).unwrap();
    let line = fs::read(&path).unwrap();
    fs::write(&path, line.repeat(999)).unwrap();
    now(state.save_run(&past(1000))).unwrap();
    assert_eq!(fs::read(&path).unwrap().iter().filter(|byte| **byte == b'\n').count(), 1000);
    assert_eq!(now(state.runs()).unwrap().len(), 200);
    now(state.save_run(&past(1001))).unwrap();
    assert_eq!(fs::read(&path).unwrap().iter().filter(|byte| **byte == b'\n').count(), 200, "it is written anew");
    let seconds: Vec<u64> = now(state.runs()).unwrap().iter().map(|run| run.seconds).collect();
    assert_eq!((seconds[0], seconds[198], seconds[199]), (0, 1000, 1001));
    assert_eq!(state.take_notices(), Vec::<String>::new());
}

#[test]
fn what_was_seen_is_in_the_journal_with_what_was_decided() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::open(dir.path()).unwrap();
    now(state.record(&entry(1))).unwrap();
    now(state.append(&entry(2))).unwrap();
    let journal = state.read_journal(&run()).unwrap();
    assert_eq!((journal.entries, journal.warnings), (vec![entry(1), entry(2)], vec![]));
}

#[test]
fn a_machine_is_confirmed_once_and_can_be_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::open(dir.path()).unwrap();
    let later = Confirmation { at: NOW.plus(Duration::from_secs(1)), boot_id: None, ..confirmation("titan-11") };
    for one in [confirmation("titan-11"), confirmation("titan-12"), later.clone()] {
        state.confirm(one).unwrap();
    }
    assert_eq!(now(state.confirmations()).unwrap(), [confirmation("titan-12"), later.clone()]);
    let node = NodeName::parse("titan-12").unwrap();
    assert_eq!((state.unconfirm(&node).unwrap(), state.unconfirm(&node).unwrap()), (true, false));
    assert_eq!(now(state.confirmations()).unwrap(), [later]);
}

/// The lease under another ID, in a state since some seconds after [`NOW`].
fn lease_as(id: &str, state: LeaseState, secs: u64) -> LeaseRecord {
    let mut record = lease();
    (record.lease.id, record.state, record.since) = (LeaseId::parse(id).unwrap(), state, NOW.plus(Duration::from_secs(secs)));
    record
}

#[test]
fn two_processes_that_save_leases_lose_none_of_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let (run, daemon) = (StateDir::open(dir.path()).unwrap(), StateDir::open(dir.path()).unwrap());
    let on_disk = || {
        let leases = now(StateDir::open_read_only(dir.path()).unwrap().leases()).unwrap();
        leases.iter().map(|record| format!("{} {:?}", record.lease.id, record.state)).collect::<Vec<_>>().join(", ")
    };
    assert_eq!((now(run.leases()).unwrap(), now(daemon.leases()).unwrap()), (vec![], vec![]));
    // The run places a cordon between the daemon's read and its write.
    now(run.save_leases(&[lease_as("a", LeaseState::Held, 1)])).unwrap();
    now(daemon.save_leases(&[lease_as("b", LeaseState::Held, 2)])).unwrap();
    assert_eq!(on_disk(), "b Held, a Held");
    // The daemon settles what the run believes to be held.
    now(daemon.leases()).unwrap();
    now(daemon.save_leases(&[lease_as("a", LeaseState::Released, 3), lease_as("b", LeaseState::Held, 2)])).unwrap();
    now(run.save_leases(&[lease_as("a", LeaseState::Held, 1)])).unwrap();
    assert_eq!(on_disk(), "a Released, b Held");
    // Who moves a lease later has the last word, and what one process leaves out on purpose is gone.
    now(run.save_leases(&[lease_as("a", LeaseState::Held, 4)])).unwrap();
    assert_eq!(on_disk(), "a Held, b Held");
    now(daemon.leases()).unwrap();
    now(daemon.save_leases(&[lease_as("a", LeaseState::Held, 4)])).unwrap();
    assert_eq!(on_disk(), "a Held");
}

#[test]
fn lost_leases_are_told_in_every_process_until_they_are_saved_again() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path()));
    fs::write(dir.path().join("leases.json"), vec![0; 300]).unwrap();
    let state = StateDir::open(dir.path()).unwrap();
    assert!(now(state.leases()).is_err());
    assert_eq!(now(state.leases()).unwrap(), [], "told once, then there is nothing to read");
    let next = StateDir::open(dir.path()).unwrap();
    assert!(now(next.leases()).unwrap_err().found.contains("was not rebuilt since"));
    now(next.save_leases(&[])).unwrap();
    assert_eq!(now(StateDir::open(dir.path()).unwrap().leases()).unwrap(), []);
}

#[test]
fn a_lost_intent_holds_and_a_shutdown_can_still_write_its_own() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path()));
    fs::remove_file(dir.path().join("intent.json")).unwrap();
    let state = StateDir::open(dir.path()).unwrap();
    assert_eq!(now(state.intent()).unwrap_err().found, "the file is lost");
    fs::write(dir.path().join("intent.json"), "{\"sch").unwrap();
    now(state.save_intent(&intent())).unwrap();
    assert_eq!(now(state.intent()).unwrap(), Some(intent()));
    assert_eq!(fs::read(dir.path().join("intent.json.torn-1")).unwrap(), b"{\"sch");
    assert_eq!(state.clear_intent().unwrap(), None);
    assert_eq!(now(state.intent()).unwrap(), None);
}

#[test]
fn an_intent_that_cannot_be_read_keeps_no_shutdown_from_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let state = filled(dir.path());
    let unreadable = || {
        fs::remove_file(dir.path().join("intent.json")).unwrap();
        std::os::unix::fs::symlink("intent.json", dir.path().join("intent.json")).unwrap();
        assert!(now(state.intent()).is_err());
    };
    unreadable();
    now(state.save_intent(&intent())).unwrap();
    assert_eq!(now(state.intent()).unwrap(), Some(intent()));
    unreadable();
    assert!(state.clear_intent().unwrap().is_some(), "it is kept aside");
    assert_eq!(now(state.intent()).unwrap(), None);
}

#[test]
fn a_shutdown_for_power_takes_nothing_along_that_others_may_have_written_and_begins() {
    let dir = tempfile::tempdir().unwrap();
    let (root, aside) = (dir.path().join("state"), dir.path().join("aside"));
    fs::create_dir(&root).unwrap();
    drop(filled(&root));
    fs::set_permissions(&root, fs::Permissions::from_mode(0o777)).unwrap();
    let state = StateDir::open_for_power(&root, &aside).unwrap();
    assert_eq!((state.root(), now(state.intent()).unwrap()), (aside.as_path(), None));
    assert!(state.take_notices()[0].contains("other users can write it"));
}

#[test]
fn a_foreign_schema_is_set_aside_beside_what_was_set_aside_before() {
    let dir = tempfile::tempdir().unwrap();
    let state = filled(dir.path());
    for copy in 1..=2 {
        fs::write(dir.path().join("last-startup-report.json"), format!("{{\"schema\": 9{copy}}}")).unwrap();
        assert_eq!(state.last_report(Command::Startup).unwrap(), None);
        let notice = state.take_notices().join("");
        assert!(notice.contains(&format!("schema is 9{copy}")) && notice.contains(&format!("torn-{copy}")), "{notice}");
    }
}

#[test]
fn a_journal_torn_at_any_byte_keeps_its_whole_lines_and_takes_new_ones() {
    let dir = tempfile::tempdir().unwrap();
    let state = filled(dir.path());
    let path = dir.path().join(format!("journal/{}.jsonl", run()));
    let whole = fs::read(&path).unwrap();
    for end in 0..=whole.len() {
        fs::write(&path, &whole[..end]).unwrap();
        let lines = whole[..end].iter().filter(|byte| **byte == b'\n').count();
        // A line is whole from its last brace on, its end or not.
        let complete = lines + usize::from(whole.get(end) == Some(&b'\n'));
        let torn = end > 0 && whole[end - 1] != b'\n' && whole.get(end) != Some(&b'\n');
        let journal = state.read_journal(&run()).unwrap();
        assert_eq!((journal.entries.len(), journal.warnings.len()), (complete, usize::from(torn)), "cut at {end}");
        now(state.append(&entry(complete as u64 + 1))).unwrap();
        let journal = state.read_journal(&run()).unwrap();
        assert_eq!((journal.entries.len(), journal.warnings.len()), (complete + 1, usize::from(torn)), "appended after {end}");
    }
}

#[test]
fn a_missing_journal_entry_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::open(dir.path()).unwrap();
    now(state.append(&entry(1))).unwrap();
    now(state.append(&entry(3))).unwrap();
    let journal = state.read_journal(&run()).unwrap();
    assert!(journal.warnings[0].ends_with("line 2: entry 2 was expected, entry 3 found"), "{:?}", journal.warnings);
}

#[test]
fn a_read_only_view_changes_nothing_at_all() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path()));
    fs::write(dir.path().join("leases.json"), "{").unwrap();
    fs::write(dir.path().join("startup-progress.json"), "{").unwrap();
    let before = listing(dir.path());
    let state = StateDir::open_read_only(dir.path()).unwrap();
    assert!(now(state.leases()).is_err());
    assert_eq!(now(state.progress()).unwrap(), None);
    assert_eq!(state.take_notices().len(), 1);
    assert_eq!(holder(&state).unwrap(), None);
    assert!(now(state.save_intent(&intent())).is_err());
    assert!(now(state.save_leases(&[])).is_err());
    assert!(now(state.append(&entry(4))).is_err());
    assert!(now(state.record(&entry(4))).is_err());
    assert!(now(state.save_baseline(&baseline())).is_err());
    assert!(now(state.save_run(&past(4))).is_err());
    assert!(state.confirm(confirmation("titan-12")).is_err());
    assert!(state.unconfirm(&confirmation("titan-11").node).is_err());
    state.keep_reserve();
    assert!(state.clear_intent().is_err());
    assert!(RunLock::acquire(&state, Command::Startup, NOW).is_err());
    assert_eq!(listing(dir.path()), before);
}

#[test]
fn a_directory_that_others_can_write_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o770)).unwrap();
    for result in [StateDir::open(dir.path()), StateDir::open_read_only(dir.path())] {
        let error = result.unwrap_err();
        assert_eq!((error.kind, error.found.as_str()), (ErrorKind::Denied, "other users can write it (mode 0770)"));
    }
}

#[test]
fn the_second_run_is_told_who_the_first_is() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::open(dir.path()).unwrap();
    let first = RunLock::acquire(&state, Command::Startup, NOW).unwrap();
    let error = RunLock::acquire(&state, Command::Shutdown, NOW).unwrap_err();
    let expected = format!(
        "another run holds {}/run.lock: startup, process {}, since {NOW}; wait for it, or end it",
        dir.path().display(),
        std::process::id()
    );
    assert_eq!(error.to_string(), expected);
    assert!(matches!(error, LockError::Held { holder: Some(_), .. }));
    assert_eq!(holder(&state).unwrap().map(|holder| holder.command), Some(Work::Startup));
    drop(first);
    assert_eq!(holder(&state).unwrap(), None);
    // A holder that was killed leaves its name, but not its lock.
    fs::write(dir.path().join("run.lock"), "{\"pid\":1,\"command\":\"startup\",\"since\":\"2026-03-14T02:06:11Z\"}").unwrap();
    assert_eq!(holder(&state).unwrap(), None);
    RunLock::acquire(&state, Command::Shutdown, NOW).unwrap();
}
