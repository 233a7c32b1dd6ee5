//! The commands that run as root against a real sudo: what the printed lines allow, and that nothing beside it is allowed.
//!
//! All happens in a mount namespace of its own: there sudo finds the lines under test as its only rules, and programs that
//! only note how they were called. The machine's own sudoers are never touched.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and runs programs"
)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command as Process;

use ananke_core::name::{SnapshotName, UnitName};
use ananke_core::spec::{Distribution, NodeRole};
use ananke_ssh::command::{Command, of_peers, sudoers};
use ananke_tests::{Cluster, Going, LIMIT, Run, as_root, require};
use tempfile::TempDir;

/// `$1` is the stage's directory, `$2` the line, which an account without rights runs, `$3` a snapshot that is there.
/// `/usr/bin` is seen through a layer, for a program may be missing there.
const SCRIPT: &str = r#"
chown 0:0 "$1/sudoers" && chmod 0440 "$1/sudoers" && mount --bind "$1/sudoers" /etc/sudoers
mount -t tmpfs -o mode=0755 none /usr/local/bin
for name in k3s k3s-killall.sh ananke etcdctl etcdutl; do cp "$1/program" "/usr/local/bin/$name"; done
mount -t tmpfs -o mode=0755 none /var/lib
mkdir /var/lib/etcd-snapshots && touch "/var/lib/etcd-snapshots/$3.db"
mkdir "$1/bin" && for name in systemctl crictl ctr rm install mv; do cp "$1/program" "$1/bin/$name"; done
mount -t overlay -o "lowerdir=$1/bin:/usr/bin" none /usr/bin
exec setpriv --reuid=nobody --regid=nogroup --clear-groups sh -c "$2"
"#;

/// Notes who called it and how. It is asked whether a unit runs, too.
const PROGRAM: &str = "#!/bin/sh\nif [ \"$1\" = is-active ]; then echo inactive; else echo \"uid $(id -u): $0 $*\" >&2; fi\n";

const NAME: &str = "ananke-shutdown-20260314T020611000";
const SNAPSHOTS: &str = "/var/lib/etcd-snapshots";

struct Stage {
    dir: TempDir,
    /// What gives us root.
    root: Vec<&'static str>,
}

impl Stage {
    /// None where something is missing, which is told.
    fn new(lines: &str) -> Option<Self> {
        let there = require("sudo", "sudo") && require("systemctl", "systemd") && require("setpriv", "util-linux");
        let root = as_root()?;
        if !there {
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
        Going::spawn(Process::new(words[0]).args(&words[1..]).arg(self.dir.path()).args([line, NAME])).end(LIMIT)
    }

    /// How programs were called as root, each once.
    fn called(&self, line: &str) -> BTreeSet<String> {
        let run = self.run(line);
        let called =
            run.stderr.lines().filter_map(|said| said.strip_prefix("uid 0: ")).map(str::to_owned).collect::<BTreeSet<_>>();
        let refused = run.stderr.lines().any(|said| said.starts_with("sudo: ") || said.starts_with("Sorry, user"));
        assert!(called.is_empty() == refused, "sudo lets it run or says no: {run}");
        called
    }
}

fn unit() -> UnitName {
    UnitName::parse("k3s@a:b.service").unwrap()
}

/// All that a server and a peer are sent: no server is rebooted.
fn commands(distribution: Distribution) -> Vec<Command> {
    let mut commands = sudoers::of_node(NodeRole::Server, &unit(), distribution);
    commands.extend(sudoers::of_archives(distribution));
    commands.extend(of_peers());
    commands
}

fn stage(distribution: Distribution) -> Option<Stage> {
    let lines = commands(distribution).into_iter().flat_map(|command| command.sudoers("nobody")).map(|line| line + "\n");
    Stage::new(&lines.collect::<String>())
}

fn runs_each_command_as_it_is_sent(distribution: Distribution) {
    let Some(stage) = stage(distribution) else { return };
    for command in commands(distribution) {
        let line = command.line();
        let called = stage.called(&line);
        assert_eq!(called.len(), command.sudoers("nobody").len(), "sudo runs all of {line:?}: {called:?}");
        let sent = line.replace("\"$f\"", &format!("{SNAPSHOTS}/{NAME}.db")).replace('"', "");
        for one in called {
            let arguments = one.split_once(' ').unwrap().1;
            assert!(sent.contains(arguments.trim_end()), "{one}");
        }
    }
    let later = SnapshotName::parse("ananke-shutdown-20991231T235959999").unwrap();
    let later = Command::SaveSnapshot(later, distribution);
    assert_eq!(stage.called(&later.line()).len(), later.sudoers("nobody").len(), "another time is only other digits");
}

#[test]
fn sudo_runs_each_command_as_it_is_sent() {
    runs_each_command_as_it_is_sent(Distribution::K3s);
}

#[test]
fn sudo_runs_each_command_as_it_is_sent_to_a_host_of_kubeadm() {
    runs_each_command_as_it_is_sent(Distribution::Kubeadm);
}

fn refuses(distribution: Distribution, near: &[&str]) {
    let Some(stage) = stage(distribution) else { return };
    let lines: Vec<String> = commands(distribution).iter().flat_map(|command| command.sudoers("nobody")).collect();
    for line in lines.iter().filter(|line| !line.contains("[0-9]")) {
        // What quotes for sudoers quotes for the shell, too.
        let longer = format!("sudo -n {} more", line.split_once("NOPASSWD: ").unwrap().1.replace("\"\"", ""));
        assert_eq!(stage.called(&longer), BTreeSet::new(), "{longer}");
    }
    for near in near {
        assert_eq!(stage.called(&format!("sudo -n {near}")), BTreeSet::new(), "{near}");
    }
}

#[test]
fn sudo_reboots_a_worker() {
    let lines = sudoers::of_node(NodeRole::Worker, &unit(), Distribution::K3s).into_iter().flat_map(|it| it.sudoers("nobody"));
    let Some(stage) = Stage::new(&lines.map(|line| line + "\n").collect::<String>()) else { return };
    assert_eq!(stage.called(&Command::Reboot.line()), BTreeSet::from(["/usr/bin/systemctl reboot".to_owned()]));
    assert_eq!(stage.called("sudo -n systemctl reboot --force"), BTreeSet::new());
}

#[test]
fn sudo_refuses_what_is_near_a_command() {
    let save = "/usr/local/bin/k3s etcd-snapshot save --name";
    let near = [
        "systemctl start --no-block k3s",
        "systemctl start k3s@a:b.service",
        "systemctl stop k3s@a:b",
        "systemctl stop --force k3s@a:b.service",
        "systemctl poweroff --force --force",
        "systemctl reboot",
        "systemctl",
        "/usr/local/bin/k3s etcd-snapshot ls",
        "/usr/local/bin/k3s etcd-snapshot delete ananke-shutdown-20260314T020611000",
        "/usr/local/bin/k3s kubectl get secrets -A",
        "/usr/local/bin/k3s ctr images import --all-platforms -",
        "/usr/local/bin/k3s ctr images import /etc/shadow",
        "/usr/local/bin/k3s ctr run a b",
        "/usr/local/bin/ananke intent clear",
        "sh -c id",
        &format!("{save} ananke-shutdown-20260314T02061100"),
        &format!("{save} ananke-shutdown-20260314T0206110000"),
        &format!("{save} ananke-shutdown-20260314T02061100x"),
        &format!("{save} ananke-shutdown-20260314T020611000 --etcd-s3"),
        &format!("{save} 'ananke-shutdown-20260314T020611 00'"),
        &format!("{save} ../../../ananke-shutdown-20260314T020611000"),
    ];
    refuses(Distribution::K3s, &near);
}

#[test]
fn sudo_refuses_what_is_near_a_command_of_kubeadm() {
    let publish = "/usr/bin/mv /var/lib/etcd-snapshots/unchecked/db";
    let near = [
        "systemctl stop var-lib-kubelet-pods.mount",
        "systemctl stop 'var-lib-*.mount'",
        "systemctl stop 'var-lib-kubelet-*.mount sshd.service'",
        "/usr/bin/crictl rmp --all --force",
        "/usr/bin/crictl --timeout 50s exec --all sh",
        "/usr/bin/rm -rf /var/lib/etcd-snapshots",
        "/usr/bin/install -d -m 4755 /var/lib/etcd-snapshots /var/lib/etcd-snapshots/unchecked",
        "/usr/local/bin/etcdctl get / --prefix",
        "/usr/bin/ctr images import -",
        "/usr/bin/ctr -n k8s.io run a b",
        "/usr/local/bin/etcdutl snapshot status /etc/shadow -w json",
        &format!("{publish} /etc/shadow"),
        &format!("{publish} {SNAPSHOTS}/ananke-shutdown-20260314T02061100x.db"),
        &format!("{publish} {SNAPSHOTS}/../{NAME}.db"),
    ];
    refuses(Distribution::Kubeadm, &near);
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
