//! What `ananke-bootstrap.service` runs: a start-up where one is owed, and nothing where a person wanted the cluster down.

use std::fs;

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
