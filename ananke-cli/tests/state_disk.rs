//! The state directory on a disk that really is full: a tmpfs of its own, in a mount namespace of its own.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, says what it skips, and starts itself anew in a namespace"
)]

use std::fs::{self, OpenOptions};
use std::future::Future;
use std::io::{ErrorKind as Io, Write};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::Command as Process;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ananke_cli::state::StateDir;
use ananke_cli::state::lock::ShutdownLock;
use ananke_core::engine::journal::{Entry, What};
use ananke_core::intent::{Intent, IntentState};
use ananke_core::lease::{LeaseRecord, LeaseState, SCHEMA};
use ananke_core::name::{LeaseId, Moment, NodeName, ResourceVersion, RunId, Uid};
use ananke_core::order::{ClusterOrder, Order};
use ananke_core::port::{ErrorKind, StateReads, StateWrites};
use ananke_core::report::{Command, Outcome, PastRun, Progress};

const NOW: Moment = Moment::from_millis(1_773_453_971_250);

/// Names the tmpfs to the test that runs inside.
const INSIDE: &str = "ANANKE_TEST_TMPFS";

/// Room for the reserve, and as much again.
const SIZE: &str = "8m";

/// Runs this test again where `DIR` is a tmpfs of its own. `Some(DIR)`: this is that run.
fn on_a_small_disk(test: &str) -> Option<PathBuf> {
    if let Some(dir) = std::env::var_os(INSIDE) {
        return Some(dir.into());
    }
    let dir = tempfile::tempdir().unwrap();
    let namespace = |flags: &str, script: &str| {
        let mut command = Process::new("unshare");
        command.args([flags, "sh", "-c", script, "sh"]).arg(dir.path()).arg(std::env::current_exe().unwrap()).arg(test);
        command.env(INSIDE, dir.path());
        command
    };
    let mount = format!("mount -t tmpfs -o size={SIZE},mode=700 tmpfs \"$1\"");
    let able = |flags: &&str| namespace(flags, &mount).output().is_ok_and(|output| output.status.success());
    // As root a mount namespace is enough, others need a user namespace around it.
    let Some(flags) = ["-m", "-Urm"].into_iter().find(able) else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "no tmpfs can be mounted, and CI must not skip this");
        // Past the harness, which keeps what a passing test prints.
        let mut err = std::io::stderr();
        writeln!(err, "skipped: no tmpfs can be mounted here (unshare -m, unshare -Urm)").unwrap();
        println!("skipped: no tmpfs can be mounted here");
        return None;
    };
    let output = namespace(flags, &format!("{mount} && exec \"$2\" --exact \"$3\" --nocapture")).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    None
}

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

fn node(number: u64) -> NodeName {
    NodeName::parse(&format!("titan-{number:04}")).unwrap()
}

fn leases(count: u64, state: LeaseState) -> Vec<LeaseRecord> {
    let one = |number: u64| {
        let json = serde_json::json!({
            "schema": SCHEMA,
            "id": format!("startup-20260314T020611Z-{number}"),
            "holder": "titan-db",
            "node": node(number),
            "node_uid": "0c2a7b54-9c1e-4ce5-8f0c-6f3f3a4d9b1e",
            "cluster_uid": "f2e4d9c0-1d2b-4b8e-9a51-0d9f5c7e6a3b",
            "reason": "its kubelet does not report Ready",
            "acquired": NOW,
            "expires": NOW.plus(Duration::from_secs(3600)),
            "remove_with": ananke_core::lease::remove_with(&node(number)),
            "state": state,
            "since": NOW,
        });
        serde_json::from_value(json).unwrap()
    };
    (1..=count).map(one).collect()
}

fn entry(seq: u64, order: ClusterOrder) -> Entry {
    let why = "the node is proved".to_owned();
    Entry { run: run(), seq, at: NOW, what: What::Acting { order: Order::Cluster(order), why } }
}

fn uncordon(seq: u64) -> Entry {
    let lease = LeaseId::parse(&format!("startup-20260314T020611Z-{seq}")).unwrap();
    entry(seq, ClusterOrder::Uncordon { node: node(seq), seen: ResourceVersion::parse("123456").unwrap(), lease })
}

fn evict(seq: u64) -> Entry {
    let pod = ananke_core::name::ObjectRef::new(ananke_core::name::Kind::Pod, "core", "gitea-0");
    entry(seq, ClusterOrder::Evict { pod, uid: Uid::parse("u").unwrap() })
}

fn intent(state: IntentState) -> Intent {
    Intent { state, run: run(), at: NOW, reason: "the battery is low".to_owned(), by_power: true, of: None }
}

fn progress(outcome: Option<Outcome>) -> Progress {
    let json = serde_json::json!({
        "schema": 1,
        "run": run(),
        "command": "startup",
        "dry_run": false,
        "started": NOW,
        "updated": NOW,
        "outcome": outcome,
        "gates": [],
        "actions": [],
    });
    serde_json::from_value(json).unwrap()
}

fn past() -> PastRun {
    let (run, command, gates) = (run(), Command::Startup, Default::default());
    PastRun { schema: 1, run, command, started: NOW, outcome: Outcome::Done, seconds: 1, gates }
}

/// Writes until nothing more fits, to the last byte.
fn fill(dir: &Path) -> PathBuf {
    let path = dir.join("filler");
    let mut file = OpenOptions::new().append(true).create(true).open(&path).unwrap();
    for size in [64 * 1024, 4096, 1] {
        loop {
            match file.write(&vec![7; size]) {
                Ok(written) if written > 0 => {}
                Ok(_) => break,
                Err(error) if error.kind() == Io::StorageFull => break,
                Err(error) => panic!("fill the disk: {error}"),
            }
        }
    }
    path
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

#[test]
fn a_full_disk_stops_new_actions_and_never_the_end_of_a_lease() {
    let Some(dir) = on_a_small_disk("a_full_disk_stops_new_actions_and_never_the_end_of_a_lease") else { return };
    let (root, reserve) = (dir.join("state"), dir.join("state/reserve"));
    let state = StateDir::open(&root).unwrap();
    let whole = length(&reserve);
    assert!(whole > 0, "the reserve is there from the beginning");
    now(state.save_leases(&leases(40, LeaseState::Held))).unwrap();
    now(state.save_intent(&intent(IntentState::StartupInProgress))).unwrap();
    now(state.save_progress(&progress(None))).unwrap();
    let filler = fill(&dir);
    assert_eq!(state.take_notices(), Vec::<String>::new());

    // Nothing new begins, and what stood there still does.
    let refused = [
        now(state.append(&evict(1))).unwrap_err(),
        now(state.record(&evict(1))).unwrap_err(),
        now(state.save_progress(&progress(Some(Outcome::Done)))).unwrap_err(),
        now(state.save_run(&past())).unwrap_err(),
    ];
    for error in refused {
        assert_eq!(error.kind, ErrorKind::Transient);
        assert!(error.found.contains("No space left on device"), "{error}");
        assert!(error.remedy.unwrap().contains(&format!("df -h {}", root.display())));
    }
    assert_eq!(now(state.progress()).unwrap(), Some(progress(None)));
    assert_eq!(length(&reserve), whole, "the reserve is for the end of leases");

    // Forty leases end all the same, one after the other, and the disk stays full for everything else.
    for seq in 1..=40 {
        now(state.append(&uncordon(seq))).unwrap();
        let mut records = leases(40, LeaseState::Held);
        let released = usize::try_from(seq).unwrap();
        records.iter_mut().take(released).for_each(|record| record.state = LeaseState::Released);
        now(state.save_leases(&records)).unwrap();
        assert_eq!(now(state.leases()).unwrap(), records);
        // A line of the journal may find room in its last block; a file does not.
        assert!(now(state.save_progress(&progress(None))).is_err(), "after {seq} releases");
    }
    let journal = state.read_journal(&run()).unwrap();
    assert_eq!((journal.entries.len(), journal.warnings), (40, vec![]), "what did not fit left no half line behind");
    assert_eq!(state.take_notices().len(), 1, "a full disk is told once");
    // A shutdown can say that it goes on.
    now(state.save_intent(&intent(IntentState::ShuttingDown))).unwrap();
    // The next process finds all of it.
    let next = StateDir::open(&root).unwrap();
    assert!(now(next.leases()).unwrap().iter().all(|record| record.state == LeaseState::Released));
    assert_eq!(now(next.intent()).unwrap(), Some(intent(IntentState::ShuttingDown)));
    assert!(next.take_notices().join("").contains("cannot be written (No space left on device"));
    assert!(length(&reserve) > whole / 2, "most of it was taken back each time");

    // Room comes back, and with it the reserve.
    fs::remove_file(filler).unwrap();
    now(state.save_progress(&progress(Some(Outcome::Done)))).unwrap();
    assert_eq!(length(&reserve), whole);
    now(state.append(&evict(41))).unwrap();
    let names = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.contains(".tmp-")).collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn a_disk_without_room_for_the_reserve_is_told_and_everything_else_works() {
    let Some(dir) = on_a_small_disk("a_disk_without_room_for_the_reserve_is_told_and_everything_else_works") else { return };
    fs::write(dir.join("others"), vec![7; 6 * 1024 * 1024]).unwrap();
    let state = StateDir::open(&dir.join("state")).unwrap();
    assert!(state.take_notices().join("").contains("cannot be written (No space left on device"));
    assert_eq!(length(&dir.join("state/reserve")), 0, "the last room is not taken away");
    now(state.save_leases(&leases(1, LeaseState::Held))).unwrap();
    fs::remove_file(dir.join("others")).unwrap();
    state.keep_reserve();
    assert!(length(&dir.join("state/reserve")) > 0);
    // Without a reserve the end of a lease fails like everything else, in the same words.
    fs::remove_file(dir.join("state/reserve")).unwrap();
    fill(&dir);
    let error = now(state.save_leases(&leases(1, LeaseState::Released))).unwrap_err();
    assert!(error.found.contains("No space left on device"), "{error}");
    assert_eq!(now(state.leases()).unwrap(), leases(1, LeaseState::Held), "the old list is whole");
}

#[test]
fn a_shutdown_is_journaled_on_a_full_disk_to_the_end_of_the_reserve() {
    let Some(dir) = on_a_small_disk("a_shutdown_is_journaled_on_a_full_disk_to_the_end_of_the_reserve") else { return };
    let (root, reserve) = (dir.join("state"), dir.join("state/reserve"));
    let state = StateDir::open(&root).unwrap();
    let run = RunId::parse("shutdown-20260314T020611Z").unwrap();
    fill(&dir);
    let of = |entry: Entry| Entry { run: run.clone(), ..entry };
    let opening = What::RunStarted { command: Command::Shutdown, resumes: None, start: None };
    now(state.append(&Entry { run: run.clone(), seq: 1, at: NOW, what: opening })).unwrap();
    for seq in 2..=3000 {
        now(state.append(&of(evict(seq)))).unwrap();
    }
    assert!(length(&reserve) > 0);
    assert_eq!(state.read_journal(&run).unwrap().entries.len(), 3000);
    assert_eq!(state.take_notices().len(), 1, "a full disk is told once");
    now(state.save_intent(&intent(IntentState::ShuttingDown))).unwrap();
    fill(&dir);
    let error = (3001..40_000).find_map(|seq| now(state.append(&of(evict(seq)))).err()).unwrap();
    assert!(error.found.contains("No space left on device"), "{error}");
}

fn remount(dir: &Path, how: &str) {
    assert!(Process::new("mount").args(["-o", &format!("remount,{how}")]).arg(dir).status().unwrap().success());
}

#[test]
fn a_shutdown_for_power_goes_on_where_nothing_can_be_written_and_its_state_comes_home() {
    let Some(dir) = on_a_small_disk("a_shutdown_for_power_goes_on_where_nothing_can_be_written_and_its_state_comes_home") else {
        return;
    };
    let memory = tempfile::tempdir().unwrap();
    let (root, aside) = (dir.join("state"), memory.path().join("state"));
    // By a clock that was two hours ahead.
    let before = Intent { at: NOW.plus(Duration::from_secs(7200)), ..intent(IntentState::Normal) };
    let home = StateDir::open(&root).unwrap();
    now(home.save_leases(&leases(1, LeaseState::Held))).unwrap();
    now(home.save_intent(&before)).unwrap();
    assert_eq!(StateDir::open_for_power(&root, &aside).unwrap().root(), root);
    let full = fill(&dir);
    assert_eq!(StateDir::open_for_power(&root, &aside).unwrap().root(), root, "a full disk has its reserve");
    fs::remove_file(full).unwrap();
    assert!(!aside.exists());

    // There is room, and no file can be made.
    remount(&dir, "nr_inodes=64");
    let names = (0..64).map(|number| dir.join(format!("empty-{number}")));
    let made: Vec<PathBuf> = names.take_while(|name| fs::File::create(name).is_ok()).collect();
    let state = StateDir::open_for_power(&root, &aside).unwrap();
    assert_eq!(state.root(), aside);
    assert!(state.take_notices()[0].contains("df -i"));
    drop(state);
    made.iter().for_each(|name| fs::remove_file(name).unwrap());
    fs::remove_dir_all(&aside).unwrap();

    remount(&dir, "ro");
    assert_eq!(home.take_request(NOW).unwrap(), None);
    assert!(ShutdownLock::acquire(&home, NOW).is_err());
    assert_eq!(now(home.adopt(&aside)), None);
    let state = StateDir::open_for_power(&root, &aside).unwrap();
    assert_eq!(state.root(), aside);
    assert!(state.take_notices()[0].contains("Read-only file system"));
    let lock = ShutdownLock::acquire(&state, NOW).unwrap();
    let down = Intent { at: NOW.plus(Duration::from_secs(9)), ..intent(IntentState::ShutdownComplete) };
    assert_eq!(now(state.leases()).unwrap(), leases(1, LeaseState::Held));
    assert_eq!(now(state.intent()).unwrap(), Some(before));
    let run = RunId::parse("shutdown-20260314T020611Z").unwrap();
    now(state.append(&Entry { run: run.clone(), ..evict(1) })).unwrap();
    now(state.save_intent(&down)).unwrap();
    drop((lock, state));
    // The next look, and the next shutdown, know of it.
    assert_eq!(now(home.adopt(&aside)), Some(down.clone()));
    assert_eq!(now(StateDir::open_for_power(&root, &aside).unwrap().intent()).unwrap(), Some(down.clone()));

    remount(&dir, "rw");
    let again = StateDir::open(&aside).unwrap();
    let lock = ShutdownLock::acquire(&again, NOW).unwrap();
    assert_eq!(now(home.adopt(&aside)), Some(down.clone()));
    assert!(aside.exists(), "the shutdown there is not over");
    drop(lock);
    assert_eq!(now(home.adopt(&aside)), Some(down.clone()));
    assert!(!aside.exists());
    assert_eq!(now(home.adopt(&aside)), None);
    assert_eq!(now(home.intent()).unwrap(), Some(down));
    assert_eq!(home.read_journal(&run).unwrap().entries.len(), 1);
}
