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
use ananke_cli::state::lock::{LockError, RunLock, holder};
use ananke_core::engine::journal::{Entry, What};
use ananke_core::intent::{Intent, IntentState};
use ananke_core::lease::{Lease, LeaseRecord, LeaseState, SCHEMA};
use ananke_core::name::{LeaseId, Moment, NodeName, RunId, Uid};
use ananke_core::port::{ErrorKind, StateReads, StateWrites};
use ananke_core::report::{Command, Outcome, Progress, Report};

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
    Intent { state: IntentState::ShuttingDown, run: run(), at: NOW, reason: "graceful-maintenance".to_owned() }
}

fn lease() -> LeaseRecord {
    let lease = Lease {
        schema: SCHEMA,
        id: LeaseId::parse("l-1").unwrap(),
        holder: "titan-db".to_owned(),
        node: NodeName::parse("titan-11").unwrap(),
        node_uid: Uid::parse("u").unwrap(),
        cluster_uid: Uid::parse("c").unwrap(),
        reason: "repair".to_owned(),
        acquired: NOW,
        expires: NOW.plus(Duration::from_secs(3600)),
        remove_with: "kubectl taint".to_owned(),
    };
    LeaseRecord { lease, state: LeaseState::Held, since: NOW }
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
        gates: vec![],
        actions: vec![],
        earlier: vec![],
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

/// A directory with one of everything.
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
    state
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
        assert_eq!(state.take_notices(), Vec::<String>::new());
    }
    for (name, bytes) in listing(&root) {
        assert!(!name.contains("tmp"), "{name}");
        assert!(bytes.is_empty() || String::from_utf8(bytes).unwrap().contains("\"schema\":"), "{name} has a schema");
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
        assert_eq!(state.read_journal(&run()).unwrap(), Default::default());
    }
    assert!(!dir.path().join("absent").exists());
}

#[test]
fn a_file_torn_at_any_byte_is_told_and_kept_and_never_read_as_something_else() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path()));
    let whole = listing(dir.path());
    // The last byte is the line's end: without it, nothing is lost.
    for name in ["leases.json", "intent.json", "startup-progress.json"] {
        for end in 0..whole[name].len() - 1 {
            let torn = &whole[name][..end];
            fs::write(dir.path().join(name), torn).unwrap();
            let state = StateDir::open(dir.path()).unwrap();
            let told = match name {
                "leases.json" => {
                    let error = now(state.leases()).unwrap_err();
                    assert_eq!(error.kind, ErrorKind::Invalid);
                    assert!(error.remedy.unwrap().contains("rebuilt"));
                    error.found
                }
                "intent.json" => {
                    let error = now(state.intent()).unwrap_err();
                    assert_eq!((error.kind, now(state.intent()).is_err()), (ErrorKind::Invalid, true));
                    assert!(error.remedy.unwrap().contains("holds until `ananke intent clear`"));
                    state.clear_intent().unwrap().unwrap().display().to_string()
                }
                _ => {
                    assert_eq!(now(state.progress()).unwrap(), None);
                    state.take_notices().join("")
                }
            };
            assert!(told.contains(&format!("{name}.torn-1")), "cut at {end}: {told}");
            assert_eq!(fs::read(dir.path().join(format!("{name}.torn-1"))).unwrap(), torn);
            fs::remove_file(dir.path().join(format!("{name}.torn-1"))).unwrap();
            fs::write(dir.path().join("intent.expected"), "").unwrap();
        }
        fs::write(dir.path().join(name), &whole[name]).unwrap();
    }
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
    assert_eq!(holder(&state).unwrap().map(|holder| holder.command), Some(Command::Startup));
    drop(first);
    assert_eq!(holder(&state).unwrap(), None);
    // A holder that was killed leaves its name, but not its lock.
    fs::write(dir.path().join("run.lock"), "{\"pid\":1,\"command\":\"startup\",\"since\":\"2026-03-14T02:06:11Z\"}").unwrap();
    assert_eq!(holder(&state).unwrap(), None);
    RunLock::acquire(&state, Command::Shutdown, NOW).unwrap();
}
