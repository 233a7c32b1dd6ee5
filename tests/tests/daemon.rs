//! The lease keeper as a process: it starts at once, outlives an API that is away, settles what the dead left behind, and
//! stops when it is told to.

#![expect(clippy::disallowed_methods, reason = "a test measures real time")]

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use ananke_tests::{Cluster, Going, LIMIT, Run, require, until};
use serde_json::Value;

const SPEED: &str = "40";
const NODE: &str = "titan-05";

fn cluster(scenario: &str) -> Cluster {
    Cluster::up(&["--nodes", "6", "--speed", SPEED, "--scenario", scenario])
}

/// Stops it as an init system does.
#[track_caller]
fn stop(daemon: Going, signal: &str) -> Run {
    daemon.signal(signal);
    let told = Instant::now();
    let run = daemon.end(LIMIT).exits(0);
    assert!(told.elapsed() < Duration::from_secs(15), "{run}");
    assert!(!run.said().contains("panicked"), "{run}");
    assert!(run.stderr.contains(" stops: "), "{run}");
    run
}

fn asked(cluster: &Cluster) -> usize {
    cluster.requests().iter().filter(|line| line.starts_with("GET /api/v1/nodes")).count()
}

#[test]
fn it_looks_at_once_and_stops_cleanly_by_either_signal() {
    let cluster = cluster("healthy");
    for signal in ["TERM", "INT"] {
        let before = asked(&cluster);
        let daemon = cluster.start(&["daemon"]);
        until("it looks at the nodes", LIMIT, || (asked(&cluster) > before).then_some(()));
        let run = stop(daemon, signal);
        assert!(run.stderr.contains(" keeps leases: "), "{run}");
        assert!(!run.stderr.contains("failed: "), "{run}");
    }
}

#[test]
fn it_outlives_an_api_that_is_away() {
    // In real time, so that the trouble outlasts the look.
    let cluster = Cluster::up(&["--nodes", "3", "--scenario", "healthy"]);
    cluster.inject("api-500", None);
    let mut daemon = cluster.start(&["daemon"]);
    until("it was refused", LIMIT, || {
        cluster.requests().iter().any(|line| line.starts_with("GET ") && line.ends_with(" 500")).then_some(())
    });
    assert!(daemon.runs(), "{}", daemon.end(LIMIT));
    let run = stop(daemon, "TERM");
    assert!(run.stderr.contains(" failed: ") && run.stderr.contains("500"), "{run}");
}

#[test]
fn one_daemon_keeps_another_away() {
    let cluster = cluster("healthy");
    let daemon = cluster.start(&["daemon"]);
    until("it looks at the nodes", LIMIT, || (asked(&cluster) > 0).then_some(()));
    let run = cluster.ananke(&["daemon"]).exits(5);
    assert!(run.stderr.contains("daemon.lock: daemon, process "), "{run}");
    stop(daemon, "TERM");
    let daemon = cluster.start(&["daemon"]);
    let before = asked(&cluster);
    until("the next one looks at the nodes", LIMIT, || (asked(&cluster) > before).then_some(()));
    stop(daemon, "TERM");
}

#[test]
fn credentials_that_were_renewed_are_taken_at_the_next_sweep() {
    let cluster = cluster("healthy");
    let file = cluster.path("ananke.kubeconfig");
    let renewed = fs::read_to_string(&file).unwrap();
    fs::write(&file, renewed.replace("token: ", "token: old-")).unwrap();
    let answered = |status: &str| {
        let requests = cluster.requests();
        requests.iter().any(|line| line.starts_with("GET /") && line.ends_with(status)).then_some(())
    };
    let daemon = cluster.start(&["daemon"]);
    until("it was refused", LIMIT, || answered(" 401"));
    fs::write(&file, renewed).unwrap();
    until("it was let in", LIMIT, || answered(" 200"));
    stop(daemon, "TERM");
}

#[test]
fn it_settles_the_lease_of_a_start_up_that_was_killed() {
    if !require("kubectl", "kubectl") {
        return;
    }
    let cluster = cluster("power-loss");
    cluster.edit_config(|text| {
        let line = |line: &str| match line.split_once(':') {
            Some((key, _)) if key.trim_start() == "cordon_window" => format!("{key}: 10s"),
            Some((key, _)) if key.trim_start() == "restart_after" => format!("{key}: 2s"),
            Some(_) | None => line.to_owned(),
        };
        text.lines().map(line).collect::<Vec<_>>().join("\n") + "\n"
    });
    cluster.inject("node-never-ready", Some(NODE));
    let run = cluster.start(&["startup", "--execute"]);
    let states = || -> Vec<String> {
        let text = fs::read_to_string(cluster.path("state/leases.json")).unwrap_or_default();
        let list: Value = serde_json::from_str(&text).unwrap_or_default();
        let leases = list["leases"].as_array().cloned().unwrap_or_default();
        leases.iter().filter_map(|lease| lease["state"].as_str().map(str::to_owned)).collect()
    };
    until("a lease is held", LIMIT, || states().contains(&"held".to_owned()).then_some(()));
    let died = run.kill();
    assert!(died.code.is_none(), "{died}");

    let daemon = cluster.start(&["daemon"]);
    until("the lease is settled", LIMIT, || {
        let outstanding = states().iter().any(|state| state == "held" || state == "intended");
        (!outstanding).then_some(())
    });
    let run = stop(daemon, "TERM");
    assert!(run.stderr.contains(NODE), "it says what it did: {run}");
    let node: Value =
        serde_json::from_str(&cluster.kubectl(&["get", "node", NODE, "-o", "json"]).ok()).expect("kubectl speaks JSON");
    // It is not Ready, so it is a person's; had it come back, the taint would be gone.
    let marked = node["metadata"]["labels"]["ananke.dev/manual-action"] == "required";
    let tainted = node["spec"]["taints"].to_string().contains("ananke.dev/cordon");
    assert_eq!((marked, tainted), (true, true), "{node} after {run}");
}

/// What systemd hears of its services.
struct Manager(UnixDatagram);

impl Manager {
    /// Waits for a message with this line in it.
    #[track_caller]
    fn hears(&self, wanted: &str) -> String {
        until(wanted, LIMIT, || {
            let mut message = [0; 4096];
            let length = self.0.recv(&mut message).ok()?;
            let text = String::from_utf8_lossy(message.get(..length)?).into_owned();
            text.lines().any(|line| line == wanted).then_some(text)
        })
    }
}

#[test]
fn it_tells_systemd_that_it_is_ready_alive_and_reloading() {
    let cluster = cluster("healthy");
    let socket = cluster.path("notify");
    let manager = Manager(UnixDatagram::bind(&socket).unwrap());
    manager.0.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let socket = socket.to_str().unwrap();
    let daemon = cluster.start_with(&["daemon"], &[("NOTIFY_SOCKET", socket), ("WATCHDOG_USEC", "600000")]);
    manager.hears("READY=1");
    manager.hears("WATCHDOG=1");
    manager.hears("WATCHDOG=1");

    let good = fs::read_to_string(cluster.config()).unwrap();
    cluster.edit_config(|text| text.replace("workers:", "wrokers:"));
    daemon.signal("HUP");
    assert!(manager.hears("RELOADING=1").contains("MONOTONIC_USEC="));
    assert!(manager.hears("READY=1").contains("the old one stays"));

    let elsewhere = cluster.path("elsewhere");
    fs::write(cluster.config(), good.replace("state_dir: state", "state_dir: elsewhere")).unwrap();
    daemon.signal("HUP");
    manager.hears("RELOADING=1");
    manager.hears("READY=1");
    until("it uses the new state directory", LIMIT, || elsewhere.exists().then_some(()));
    manager.hears("WATCHDOG=1");

    daemon.signal("TERM");
    manager.hears("STOPPING=1");
    let run = stop(daemon, "TERM");
    assert!(run.stderr.contains(" failed: the config stays as it was: ") && run.stderr.contains("wrokers"), "{run}");
    assert!(run.stderr.contains(" reloaded: "), "{run}");
}
