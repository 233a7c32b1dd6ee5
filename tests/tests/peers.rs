//! Two daemons of one cluster, joined by real sshds with forced commands: a peer with a UPS, and a coordinator without one.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test fails by panicking, and starts real programs")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use ananke_tests::sshd::{Desk, Sshd};
use ananke_tests::upsd::Nut;
use ananke_tests::{Cluster, Going, LIMIT, binary, without_ups};
use serde_json::Value;

/// An Ananke with a config, a state directory and an sshd of its own.
struct Host {
    config: PathBuf,
    state: PathBuf,
    log: PathBuf,
    sshd: Option<Sshd>,
    daemon: Option<Going>,
}

struct Site {
    cluster: Cluster,
    nut: Nut,
    coordinator: Host,
    peer: Host,
    _desk: Desk,
}

/// Answers as `ananke peer answer` does, where sudo runs Ananke with this host's config.
fn sshd(desk: &Desk, name: &str, config: &std::path::Path) -> Sshd {
    fs::create_dir_all(desk.path(&format!("{name}.bin"))).unwrap();
    let ananke = binary().display();
    desk.script(
        &format!("{name}.bin/sudo"),
        &format!("#!/bin/sh\nshift 2\nexec {ananke} \"$@\" --config {}\n", config.display()),
    );
    let path = desk.path(&format!("{name}.bin"));
    desk.script(&format!("{name}.answer"), &format!("#!/bin/sh\nPATH={}:$PATH exec {ananke} peer answer\n", path.display()));
    desk.sshd(name, &format!("ForceCommand {}", desk.path(&format!("{name}.answer")).display()))
}

impl Host {
    fn told(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    #[track_caller]
    fn waits(&self, what: &str, seen: impl Fn() -> bool) {
        let end = Instant::now() + LIMIT;
        while !seen() {
            assert!(Instant::now() < end, "waited in vain until {what}; {} is\n{}", self.log.display(), self.told());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    #[track_caller]
    fn tells(&self, words: &str) {
        self.waits(&format!("it says {words:?}"), || self.told().contains(words));
    }

    fn intent(&self) -> String {
        let text = fs::read_to_string(self.state.join("intent.json")).unwrap_or_default();
        let intent: Value = serde_json::from_str(&text).unwrap_or_default();
        intent.pointer("/state").or_else(|| intent.pointer("/body/state")).and_then(Value::as_str).unwrap_or("none").to_owned()
    }

    #[track_caller]
    fn comes_to(&self, state: &str) {
        self.waits(&format!("its intent is {state}"), || self.intent() == state);
    }

    fn start(&mut self) {
        let script = format!("exec \"$0\" daemon --config \"$1\" 2>> {}", self.log.display());
        self.daemon = Some(Going::spawn(Command::new("sh").args(["-c", &script]).arg(binary()).arg(&self.config)));
    }

    fn stop(&mut self) {
        let daemon = self.daemon.take().unwrap();
        daemon.signal("TERM");
        daemon.end(LIMIT).exits(0);
    }

    /// Neither Ananke nor the machine answers any more.
    fn die(&mut self) {
        drop(self.sshd.take());
        drop(self.daemon.take().unwrap().kill());
    }
}

impl Site {
    /// `None` where a program is missing.
    fn new(peers: &str) -> Option<Self> {
        let (desk, nut) = (Desk::new()?, Nut::up("OL 100 3000")?);
        let cluster = Cluster::up(&["--nodes", "4", "--speed", "40", "--scenario", "healthy"]);
        let host = |name: &str| Host {
            config: cluster.path(&format!("{name}.yaml")),
            state: cluster.path(name),
            log: cluster.path(&format!("{name}.log")),
            sshd: None,
            daemon: None,
        };
        let (mut coordinator, mut peer) = (host("coordinator"), host("tethys"));
        for host in [&coordinator, &peer] {
            // sshd answers from the beginning, and its config comes later.
            fs::write(&host.config, "").unwrap();
        }
        coordinator.sshd = Some(sshd(&desk, "coordinator", &coordinator.config));
        peer.sshd = Some(sshd(&desk, "tethys", &peer.config));
        let public = Command::new("ssh-keygen").arg("-y").arg("-f").arg(cluster.path("id_ed25519")).output().unwrap();
        fs::write(desk.path("authorized_keys"), public.stdout).unwrap();
        let lines = [&coordinator, &peer].map(|host| host.sshd.as_ref().unwrap().line() + "\n").concat();
        let known = fs::read_to_string(cluster.path("known_hosts")).unwrap();
        fs::write(cluster.path("known_hosts"), known + &lines).unwrap();

        let user = Command::new("id").arg("-un").output().unwrap().stdout;
        let user = String::from_utf8(user).unwrap();
        let at = |host: &Host| format!("\"{}@127.0.0.1:{}\"", user.trim(), host.sshd.as_ref().unwrap().port);
        let usual = without_ups(&fs::read_to_string(cluster.config()).unwrap());
        let (here, there) = (at(&coordinator), at(&peer));
        let text = |state: &str, coordination: String| {
            let text = usual.replace("state_dir: state", &format!("state_dir: {state}"));
            let power = "power:\n  debounce: 2s\n  hold_off: 3s";
            format!("coordination: {{{coordination}}}\n{}", text.replacen("power:", power, 1))
        };
        fs::write(&coordinator.config, text("coordinator", format!("peer_hosts: [{there}]"))).unwrap();
        let ups = format!(
            "ups: [rack@127.0.0.1:{}]\ndefault_budget_seconds: 10\nnut: {{user: ananke, password_file: nut-password}}\n",
            nut.port
        );
        let own = text("tethys", format!("role: peer, peer_hosts: [{here}]{peers}"));
        fs::write(&peer.config, ups + &own).unwrap();
        Some(Self { cluster, nut, coordinator, peer, _desk: desk })
    }

    fn start(&mut self) {
        self.coordinator.start();
        self.peer.start();
        self.peer.tells("on line (OL)");
        self.coordinator.tells("watches power");
    }

    fn is_up(&self) -> bool {
        self.cluster.truth().get("api") == Some(&Value::Bool(true))
    }
}

#[test]
fn the_coordinator_stops_and_starts_the_cluster_for_a_peer() {
    let Some(mut site) = Site::new("") else { return };
    site.start();
    site.nut.says("OB DISCHRG LB 10 5");
    site.coordinator.tells(" shuts down: another Ananke asks for it: its power ends");
    site.coordinator.comes_to("shutdown_complete");
    site.peer.tells("has shut the cluster down");
    assert_eq!(site.peer.intent(), "shutting_down", "it keeps the cluster down:\n{}", site.peer.told());
    site.coordinator.tells("keeps the cluster down, until its power is back");
    assert!(!site.peer.told().contains("shuts down from here"), "{}", site.peer.told());

    site.nut.says("OL CHRG 100 3000");
    site.peer.tells("starts the cluster");
    site.coordinator.comes_to("normal");
    site.peer.comes_to("normal");
    assert!(site.is_up(), "{}", site.coordinator.told());
    site.peer.stop();
    site.coordinator.stop();
    for host in [&site.coordinator, &site.peer] {
        assert!(!host.told().contains("panicked") && !host.told().contains("Z failed: "), "{}", host.told());
    }
}

#[test]
fn a_peer_stops_and_starts_the_cluster_by_itself_where_the_coordinator_is_dark() {
    let Some(mut site) = Site::new(", auto_peer_failover: true") else { return };
    site.start();
    site.coordinator.die();
    site.nut.says("OB DISCHRG LB 10 5");
    site.peer.tells("shuts down from here");
    site.peer.comes_to("shutdown_complete");
    site.nut.says("OL CHRG 100 3000");
    site.peer.tells("asks for a start-up");
    site.peer.stop();
    assert!(!site.peer.told().contains("starts up from here"), "it was told to stop: {}", site.peer.told());
    site.peer.start();
    site.peer.tells("starts up from here");
    site.peer.comes_to("normal");
    assert!(site.is_up(), "{}", site.peer.told());
    site.peer.stop();
}

#[test]
fn a_start_up_from_a_peer_is_handed_over_and_refused_by_one_that_lives() {
    let Some(mut site) = Site::new("") else { return };
    let config = site.peer.config.to_str().unwrap().to_owned();
    let startup = || ananke_tests::ananke(&["startup", "--execute", "--auto-peer-failover", "--config", &config, "-o", "json"]);
    let refused = startup().exits(5);
    assert!(refused.said().contains("it lives, and takes no request"), "no daemon runs there: {refused}");

    site.coordinator.start();
    site.coordinator.tells("watches power");
    let coordinator = site.coordinator.config.to_str().unwrap().to_owned();
    let ananke = |args: &[&str]| ananke_tests::ananke(&[args, &["--config", &coordinator]].concat()).exits(0);
    ananke(&["pause", "--for", "1h", "--reason", "a new battery"]);
    let refused = startup().exits(5);
    assert!(refused.said().contains("a person holds its daemon back") && refused.said().contains("a new battery"), "{refused}");
    ananke(&["resume"]);
    let handed = startup().exits(0);
    assert!(handed.json()["handed_to"].as_str().unwrap().contains("127.0.0.1"), "{handed}");
    site.coordinator.comes_to("normal");
    site.coordinator.tells("start-up ended");
    site.coordinator.die();
    let alone = startup().exits(0);
    assert!(alone.said().contains("since no other Ananke answers"), "{alone}");
}

#[test]
fn a_key_with_the_forced_command_can_do_nothing_else() {
    let Some(site) = Site::new("") else { return };
    let port = site.coordinator.sshd.as_ref().unwrap().port.to_string();
    let known = format!("UserKnownHostsFile={}", site.cluster.path("known_hosts").display());
    let key = site.cluster.path("id_ed25519");
    let ssh = |command: &str| {
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "none", "-o", "BatchMode=yes", "-o", &known, "-p", &port, "-i"]).arg(&key);
        ssh.args(["127.0.0.1", command]).output().unwrap()
    };
    for command in ["reboot", "sudo -n /usr/local/bin/ananke startup --execute", ""] {
        let out = ssh(command);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.code() == Some(5) && said.contains("a peer may ask for"), "{command:?}: {said}");
    }
}
