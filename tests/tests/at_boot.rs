//! What `ananke-bootstrap.service` runs: a start-up where one is owed, and nothing where a person wanted the cluster down.

#![expect(clippy::disallowed_methods, reason = "a test starts real programs")]

use std::fs;
use std::process::Command;

use ananke_tests::Cluster;

const AT_BOOT: [&str; 3] = ["startup", "--execute", "--if-owed"];

#[test]
fn a_boot_starts_what_mains_stopped_and_not_what_a_person_did() {
    let cluster = Cluster::up(&["--nodes", "3", "--speed", "60", "--scenario", "power-loss"]);
    cluster.ananke(&AT_BOOT).exits(0);
    assert_eq!(cluster.truth()["workloads_converged"], 61);
    // Harmless where all is well.
    cluster.ananke(&AT_BOOT).exits(0);

    let stopped = r#"{"schema":1,"state":"shutdown_complete","run":"r-1","at":"2026-03-14T02:06:11Z","reason":"maintenance"}"#;
    fs::write(cluster.path("state/intent.json"), stopped).unwrap();
    let before = cluster.requests().len();
    let run = cluster.ananke(&AT_BOOT).exits(0);
    let why = "no start-up is owed: a person shut the cluster down at 2026-03-14T02:06:11.000Z: maintenance\n";
    assert_eq!((run.stdout.as_str(), cluster.requests().len()), (why, before));

    cluster.ananke(&["intent", "clear"]).ok();
    cluster.ananke(&["pause", "--for", "1h", "--reason", "a new battery"]).ok();
    let run = cluster.ananke(&AT_BOOT).exits(0);
    assert!(run.stdout.starts_with("no start-up is owed: the daemon is held back until "), "{run}");
    assert_eq!(cluster.requests().len(), before);
}

#[test]
fn people_are_told_where_a_boot_starts_nothing_and_needs_them() {
    let cluster = Cluster::up(&["--nodes", "3", "--speed", "60", "--scenario", "healthy"]);
    let notices = cluster.path("notices");
    cluster.edit_config(|text| format!("notify: [{{command: [/bin/sh, -c, \"cat >> {}\"]}}]\n{text}", notices.display()));
    let told = || fs::read_to_string(&notices).unwrap_or_default();
    let now = Command::new("date").args(["-u", "+%FT%TZ"]).output().unwrap().stdout;
    let stopped = r#"{"schema":1,"state":"shutting_down","run":"r-1","at":"AT","reason":"maintenance"}"#;
    let stopped = stopped.replace("AT", String::from_utf8(now).unwrap().trim());
    fs::write(cluster.path("state/intent.json"), stopped).unwrap();
    cluster.ananke(&AT_BOOT).exits(4);
    assert!(told().contains("ananke intent clear"), "{}", told());

    fs::remove_file(&notices).unwrap();
    fs::remove_dir_all(cluster.path("state")).unwrap();
    fs::write(cluster.path("state"), "").unwrap();
    let run = cluster.ananke(&AT_BOOT);
    assert!(run.code != Some(0) && told().contains("Not a directory"), "{run}\n{}", told());
}
