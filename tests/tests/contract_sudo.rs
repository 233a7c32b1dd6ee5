//! The commands that run as root against a real sudo: what the printed lines allow, and that nothing beside it is allowed.
//!
//! All happens in a mount namespace of its own: there sudo finds the lines under test as its only rules, and programs that
//! only note how they were called. The machine's own sudoers are never touched.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, says what it skips, and runs programs"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command as Process;

use ananke_core::name::{SnapshotName, UnitName};
use ananke_core::spec::{Distribution, NodeRole};
use ananke_ssh::command::{Command, sudoers};
use ananke_tests::{Cluster, Going, LIMIT, Run, require};
use tempfile::TempDir;

/// `$1` is the stage's directory, `$2` the line, which an account without rights runs.
const SCRIPT: &str = r#"
chown 0:0 "$1/sudoers" && chmod 0440 "$1/sudoers" && mount --bind "$1/sudoers" /etc/sudoers
mount -t tmpfs -o mode=0755 none /usr/local/bin
for name in k3s k3s-killall.sh ananke; do cp "$1/program" "/usr/local/bin/$name"; done
mount --bind "$1/program" /usr/bin/systemctl
exec setpriv --reuid=nobody --regid=nogroup --clear-groups sh -c "$2"
"#;

/// Notes who called it and how. It is asked whether a unit runs, too.
const PROGRAM: &str = "#!/bin/sh\nif [ \"$1\" = is-active ]; then echo inactive; else echo \"uid $(id -u): $0 $*\" >&2; fi\n";

struct Stage {
    dir: TempDir,
    /// What gives us root.
    root: Vec<&'static str>,
}

impl Stage {
    /// None where something is missing, which is told.
    fn new(lines: &str) -> Option<Self> {
        let there = require("sudo", "sudo") && require("systemctl", "systemd") && require("setpriv", "util-linux");
        let is_root = |line: &[&str]| {
            let id = Process::new(line[0]).args(&line[1..]).output();
            id.is_ok_and(|id| id.stdout == b"0\n")
        };
        let root = if is_root(&["id", "-u"]) { Vec::new() } else { vec!["sudo", "-n"] };
        if !there {
            return None;
        }
        if !root.is_empty() && !is_root(&["sudo", "-n", "id", "-u"]) {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "CI must not skip this: run it as root, or let sudo do so");
            println!("skipped: neither root nor a sudo that asks for no password");
            return None;
        }
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join("sudoers"), lines).unwrap();
        fs::write(dir.path().join("program"), PROGRAM).unwrap();
        fs::set_permissions(dir.path().join("program"), fs::Permissions::from_mode(0o755)).unwrap();
        Some(Self { dir, root })
    }

    fn run(&self, line: &str) -> Run {
        let mut words = self.root.clone();
        words.extend(["unshare", "--mount", "sh", "-e", "-c", SCRIPT, "stage"]);
        Going::spawn(Process::new(words[0]).args(&words[1..]).arg(self.dir.path()).arg(line)).end(LIMIT)
    }

    /// How a program was called as root, if it was.
    fn called(&self, line: &str) -> Option<String> {
        let run = self.run(line);
        let called = run.stderr.lines().find_map(|said| said.strip_prefix("uid 0: ")).map(str::to_owned);
        let refused = run.stderr.lines().any(|said| said.starts_with("sudo: ") || said.starts_with("Sorry, user"));
        assert!(called.is_some() != refused, "sudo lets it run or says no: {run}");
        called
    }
}

fn unit() -> UnitName {
    UnitName::parse("k3s@a:b.service").unwrap()
}

/// All that a server and a peer are sent.
fn commands() -> Vec<Command> {
    let mut commands = sudoers::of_node(NodeRole::Server, &unit());
    commands.push(Command::PeerIntent);
    commands
}

fn lines() -> String {
    commands().iter().filter_map(|command| command.sudoers("nobody")).map(|line| line + "\n").collect()
}

#[test]
fn sudo_runs_each_command_as_it_is_sent() {
    let Some(stage) = Stage::new(&lines()) else { return };
    for command in commands() {
        let called = stage.called(&command.line()).unwrap_or_else(|| panic!("sudo refused {:?}", command.line()));
        let arguments = called.split_once(' ').unwrap().1;
        assert!(command.line().contains(arguments.trim_end()), "{called}");
    }
    let later = Command::SaveSnapshot(SnapshotName::parse("ananke-shutdown-20991231T235959999").unwrap());
    assert!(stage.called(&later.line()).is_some(), "another time is only other digits");
}

#[test]
fn sudo_refuses_what_is_near_a_command() {
    let Some(stage) = Stage::new(&lines()) else { return };
    let sudo = |command: &Command| command.sudoers("nobody").unwrap().split_once("NOPASSWD: ").unwrap().1.replace("\"\"", "");
    for command in commands().iter().filter(|command| !matches!(command, Command::SaveSnapshot(_))) {
        let longer = format!("sudo -n {} more", sudo(command));
        assert_eq!(stage.called(&longer), None, "{longer}");
    }
    let save = "/usr/local/bin/k3s etcd-snapshot save --name";
    for near in [
        "systemctl start --no-block k3s",
        "systemctl start k3s@a:b.service",
        "systemctl stop k3s@a:b",
        "systemctl stop --force k3s@a:b.service",
        "systemctl poweroff --force",
        "systemctl reboot",
        "systemctl",
        "/usr/local/bin/k3s etcd-snapshot ls",
        "/usr/local/bin/k3s etcd-snapshot delete ananke-shutdown-20260314T020611000",
        "/usr/local/bin/k3s kubectl get secrets -A",
        "/usr/local/bin/ananke intent clear",
        "sh -c id",
        &format!("{save} ananke-shutdown-20260314T02061100"),
        &format!("{save} ananke-shutdown-20260314T0206110000"),
        &format!("{save} ananke-shutdown-20260314T02061100x"),
        &format!("{save} ananke-shutdown-20260314T020611000 --etcd-s3"),
        &format!("{save} 'ananke-shutdown-20260314T020611 00'"),
        &format!("{save} ../../../ananke-shutdown-20260314T020611000"),
    ] {
        assert_eq!(stage.called(&format!("sudo -n {near}")), None, "{near}");
    }
}

#[test]
fn what_config_sudoers_prints_is_a_valid_file() {
    if !require("visudo", "sudo") {
        return;
    }
    let cluster = Cluster::up(&["--scenario", "healthy", "--nodes", "4"]);
    let printed = cluster.ananke(&["config", "sudoers"]).ok();
    assert!(printed.contains("/etc/sudoers.d/ananke") && printed.contains("0440") && printed.contains("visudo -cf"), "{printed}");
    let file = cluster.path("sudoers");
    fs::write(&file, &printed).unwrap();
    Going::spawn(Process::new("/usr/sbin/visudo").arg("-cf").arg(&file)).end(LIMIT).ok();
}
