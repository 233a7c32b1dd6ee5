//! Who is told at the end of a run that a person began. What the daemon tells is in `power.rs`.

#![expect(clippy::disallowed_methods, reason = "a test starts real programs")]

use std::fs;
use std::process::Command;

use ananke_tests::Cluster;

#[test]
fn a_run_tells_that_a_person_is_needed_and_a_dry_run_tells_nobody() {
    let cluster = Cluster::up(&["--nodes", "5", "--speed", "40", "--scenario", "power-loss"]);
    cluster.inject("never-boots", Some("titan-05"));
    let (tell, notices) = (cluster.path("tell"), cluster.path("notices"));
    fs::write(&tell, format!("#!/bin/sh\n{{ echo \"$1\"; echo \"$2\"; cat; echo; }} >> {}\n", notices.display())).unwrap();
    assert!(Command::new("chmod").arg("755").arg(&tell).status().unwrap().success());
    // Nobody answers at port 9 of this machine: who is out of reach keeps nobody from being told.
    let channels = format!("notify: [{{webhook: \"http://127.0.0.1:9/hook-4711\"}}, {{command: [{}, --from]}}]", tell.display());
    cluster.edit_config(|text| format!("{channels}\n{text}"));
    cluster.ananke(&["startup"]);
    assert!(!notices.exists(), "a dry run told somebody");
    let run = cluster.ananke(&["startup", "--execute"]).exits(4);
    let report = cluster.state("last-startup-report.json");
    let instruction = report["manual"][0]["instruction"].as_str().expect("an instruction");
    let told = fs::read_to_string(&notices).unwrap_or_default();
    assert!(told.starts_with("--from\n"), "the arguments come before the title: {told}");
    assert!(told.contains(instruction), "{instruction:?} in {told}");
    assert!(run.stderr.contains("tell the webhook at 127.0.0.1:9: cannot connect") && !run.stderr.contains("hook-4711"), "{run}");
}
