//! A power loss in the simulator alone: its upsd tells the daemon, which stops the served cluster in time and switches its
//! hosts off, is told that mains are back, and starts it. On the way the daemon dies once, and nobody hears the same notice
//! twice.

#![expect(clippy::disallowed_methods, reason = "a test starts real programs")]

use std::fs;
use std::path::Path;
use std::process::Command;

use ananke_tests::{Cluster, Going, LIMIT, until};

/// Its words go to a file, so that they can be read while it runs.
fn start_daemon(cluster: &Cluster, log: &Path) -> Going {
    let script = format!("exec \"$0\" daemon --config \"$1\" 2>> {}", log.display());
    Going::spawn(Command::new("sh").args(["-c", &script]).arg(ananke_tests::binary()).arg(cluster.config()))
}

#[test]
fn the_served_batteries_switch_the_cluster_off_and_mains_bring_it_back() {
    let cluster = Cluster::up(&["--nodes", "4", "--speed", "12", "--scenario", "healthy"]);
    let (tell, notices) = (cluster.path("tell"), cluster.path("notices"));
    fs::write(&tell, format!("#!/bin/sh\n{{ echo \"$1\"; cat; echo; }} >> {}\n", notices.display())).expect("a program");
    assert!(Command::new("chmod").arg("755").arg(&tell).status().expect("chmod exists").success());
    // Full batteries carry the hosts for 60 s of ours. A shutdown has 20 s, and so it begins when 40 are left.
    cluster.edit_config(|text| {
        let text = text.replace("default_budget_seconds: 25", "default_budget_seconds: 20");
        let text = text.replacen("power:\n", "power:\n  shutdown_mode: poweroff\n", 1);
        format!("minimum_charge_percent: 10\nnotify: [{{command: [{}]}}]\n{text}", tell.display())
    });
    let told = || fs::read_to_string(&notices).unwrap_or_default();
    let comes = |what: &str| until(&format!("people are told: {what}"), LIMIT, || told().contains(what).then_some(()));

    let checked = cluster.ananke(&["config", "check"]).ok();
    assert!(
        checked.contains("answered: UPS rack-a@127.0.0.1:") && checked.contains(": OL, charge 100 %, runtime 1m00s"),
        "{checked}"
    );
    let log = cluster.path("daemon.log");
    let daemon = start_daemon(&cluster, &log);
    until("the daemon reads both batteries", LIMIT, || {
        let said = fs::read_to_string(&log).unwrap_or_default();
        (said.matches("on line (OL)").count() == 2).then_some(())
    });
    cluster.power("cut");
    let notices_of = |cluster: &Cluster| fs::read_to_string(cluster.path("state/notices.json")).unwrap_or_default();
    until("both outages are told and noted", LIMIT, || {
        (notices_of(&cluster).matches(" is on battery\"").count() == 2).then_some(())
    });
    daemon.kill();
    let daemon = start_daemon(&cluster, &log);

    comes(": shutdown ended: done\n");
    let truth = cluster.truth();
    assert_eq!((&truth["hosts_up"], &truth["units_running"]), (&0.into(), &0.into()), "{truth:#}");
    let report = fs::read_to_string(cluster.path("state/last-shutdown-report.json")).unwrap_or_default();
    assert_eq!(report.matches("\"verb\": \"power-off\"").count(), 4, "each host was ordered off once: {report}");
    cluster.power("restore");
    comes(": start-up ended: done\n");
    let truth = cluster.truth();
    assert_eq!(truth["workloads_converged"], truth["workloads"], "{truth:#}");
    let told = told();
    for sentence in [" is on battery\n", " asks for a shutdown\n", " is on line again\n"] {
        assert_eq!(told.matches(sentence).count(), 2, "once for each battery: {sentence:?} in {told}");
    }
    for sentence in [": shutdown begins\n", ": start-up begins\n"] {
        assert_eq!(told.matches(sentence).count(), 1, "{sentence:?} in {told}");
    }
    daemon.signal("TERM");
    daemon.end(LIMIT).exits(0);
}
