//! Names, banners and answers that mean harm: no command outside the closed set reaches a host, and nothing that a terminal
//! would obey reaches a message.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ananke_core::name::{HostPath, NodeName, PackageName, SnapshotName, UnitName};
use ananke_core::order::HostOrder;
use ananke_core::port::{HostReads, PortError};
use ananke_core::spec::{HostNeeds, SshTarget};
use ananke_sim::serve::host_shell::{self, HostCommand};
use ananke_sim::serve::ssh::{ExecReply, HostBackend, Reach, SshServers, keys};
use ananke_ssh::{SshHosts, SshSettings};
use ananke_tests::WallClock;
use async_trait::async_trait;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use tempfile::TempDir;

const CASES: u32 = 200;

/// A host that answers whatever it was told to.
#[derive(Default)]
struct Liar(Mutex<ExecReply>);

#[async_trait]
impl HostBackend for Liar {
    fn reach(&self, _: &NodeName) -> Reach {
        Reach::Answer
    }

    fn host_key_generation(&self, _: &NodeName) -> u32 {
        0
    }

    async fn exec(&self, _: &NodeName, _: &str, _: &[u8]) -> ExecReply {
        self.0.lock().unwrap().clone()
    }
}

/// Text that somebody wrote with intent, or by accident.
fn hostile() -> impl Strategy<Value = String> {
    let shell =
        ["; reboot", "$(id)", "`id`", "| sh", "&& true", "\n", "' '", "\"", "--now", "../..", "*", ">x", "\0", "k3s\u{1b}[2J"];
    prop_oneof![
        2 => proptest::sample::select(shell.to_vec()).prop_map(|bad| format!("k3s{bad}")),
        1 => proptest::sample::select(shell.to_vec()).prop_map(str::to_owned),
        2 => "[a-z0-9@._:/-]{1,20}",
        1 => any::<String>(),
    ]
}

/// What a host may say: noise, half answers, escapes, whole answers with something in them.
fn answer() -> impl Strategy<Value = ExecReply> {
    let fields = [
        "time",
        "boot_id",
        "machine_id",
        "uptime",
        "synced",
        "shims",
        "units",
        "log",
        "mounts",
        "space",
        "packages",
        "ended",
        "end",
    ];
    let line =
        (proptest::sample::select(fields.to_vec()), ".{0,40}").prop_map(|(name, value)| format!("\nananke:{name}={value}\n"));
    let lines = proptest::collection::vec(
        prop_oneof![3 => line, 1 => ".{0,60}", 1 => Just("\u{1b}]0;owned\u{7}\u{1b}[2J".to_owned())],
        0..16,
    );
    (lines, ".{0,60}", 0u32..3).prop_map(|(lines, stderr, exit)| ExecReply {
        stdout: lines.concat(),
        stderr: format!("\u{1b}[31m{stderr}"),
        exit,
    })
}

/// Characters that a terminal may obey.
fn obeyed(text: &str) -> bool {
    text.chars().any(|c| c.is_control())
}

fn harmless(result: Result<(), PortError>) -> Result<(), TestCaseError> {
    if let Err(error) = result {
        let text = format!("{error} {} {}", error.found, error.remedy.clone().unwrap_or_default());
        prop_assert!(!obeyed(&text), "{text:?}");
        prop_assert!(text.len() < 4000, "{} bytes of an answer reach the screen", text.len());
    }
    Ok(())
}

/// A path reaches a host as its mount table has it: without slashes at its end.
fn as_mounted(needs: &HostNeeds) -> HostNeeds {
    let bare = |path: &HostPath| match path.as_str().trim_end_matches('/') {
        "" => HostPath::parse("/").unwrap(),
        bare => HostPath::parse(bare).unwrap(),
    };
    HostNeeds { mounts: needs.mounts.iter().map(bare).collect(), ..needs.clone() }
}

#[test]
fn nothing_but_the_closed_set_reaches_a_host_and_no_escape_reaches_a_message() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let dir = TempDir::new().unwrap();
    let (key, node) = (keys::generate().unwrap(), NodeName::parse("titan-01").unwrap());
    keys::write(&dir.path().join("id"), &key).unwrap();
    let liar = Arc::new(Liar::default());
    let backend: Arc<dyn HostBackend> = liar.clone();
    let servers = runtime.block_on(SshServers::start(std::slice::from_ref(&node), backend, key.public_key())).unwrap();
    std::fs::write(dir.path().join("known_hosts"), servers.known_hosts.join("\n") + "\n").unwrap();
    let target = SshTarget { host: "127.0.0.1".to_owned(), port: *servers.ports.get(&node).unwrap(), user: "ops".to_owned() };
    let targets = BTreeMap::from([(node.clone(), target)]);
    let mut settings = SshSettings::direct(targets, dir.path().join("id"), dir.path().join("known_hosts"));
    settings.run_timeout = Duration::from_secs(5);
    let hosts = SshHosts::new(settings, Arc::new(WallClock)).unwrap();

    let mut runner = TestRunner::new(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() });
    let told = runner.run(&(hostile(), hostile(), hostile(), answer()), |(unit, path, other, reply)| {
        *liar.0.lock().unwrap() = reply;
        let before = servers.requests().len();
        let name = UnitName::parse(&unit);
        let needs = HostNeeds {
            mounts: HostPath::parse(&path).into_iter().collect(),
            packages: PackageName::parse(&other).into_iter().collect(),
            units: UnitName::parse(&other).into_iter().collect(),
        };
        let mut expected = Vec::new();
        runtime.block_on(async {
            let k3s = name.clone().unwrap_or_else(|_| UnitName::parse("k3s").unwrap());
            harmless(hosts.inspect(&node, &k3s, &needs).await.map(drop))?;
            expected.push(HostCommand::Inspect { unit: k3s, needs: as_mounted(&needs) });
            harmless(hosts.snapshots(&node).await.map(drop))?;
            expected.push(HostCommand::ListSnapshots);
            if let Ok(unit) = name {
                harmless(hosts.perform_without_permit(&node, &HostOrder::Restart(unit.clone())).await)?;
                expected.push(HostCommand::Restart(unit));
            }
            if let Ok(snapshot) = SnapshotName::parse(&other) {
                harmless(hosts.perform_without_permit(&node, &HostOrder::SaveSnapshot(snapshot.clone())).await)?;
                expected.push(HostCommand::SaveSnapshot(snapshot));
            }
            Ok::<(), TestCaseError>(())
        })?;
        // What the server was asked is the evidence: each line is one of the set, and exactly the one that was meant.
        let reached: Vec<_> =
            servers.requests().split_off(before).into_iter().map(|(_, line)| host_shell::parse(&line)).collect();
        prop_assert_eq!(reached, expected.into_iter().map(Some).collect::<Vec<_>>());
        Ok(())
    });
    told.unwrap();
}
