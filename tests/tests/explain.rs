//! `explain` and `replay`: what a run recorded says why it held, while everything is down, and proves its verdicts again.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::PathBuf;

use ananke_tests::{Cluster, LIMIT, ananke, until};

fn journal(cluster: &Cluster) -> PathBuf {
    let folder = fs::read_dir(cluster.path("state/journal")).unwrap();
    folder.map(|entry| entry.unwrap().path()).max().unwrap()
}

#[test]
fn a_run_is_replayed_and_an_altered_journal_is_refused() {
    let cluster = Cluster::up(&["--nodes", "4", "--speed", "20"]);
    cluster.ananke(&["startup", "--execute"]).exits(0);
    let path = journal(&cluster);
    let replay = |path: &PathBuf| ananke(&["replay", path.to_str().unwrap()]);
    let said = replay(&path).ok();
    assert!(said.contains("came out the same") && said.contains("the run ended: done"), "{said}");
    let counts = ananke(&["replay", path.to_str().unwrap(), "-o", "json"]).exits(0).json();
    assert!(counts["judgements"].as_u64().unwrap() > 5 && counts["verdicts"].as_u64().unwrap() > 10, "{counts:#}");

    let whole = fs::read_to_string(&path).unwrap();
    let copy = cluster.path("copy.jsonl");
    fs::write(&copy, whole.replacen("\"status\":\"passed\"", "\"status\":\"manual\"", 1)).unwrap();
    let said = replay(&copy).exits(1).said();
    assert!(said.contains("the journal has") && said.contains("the replay came to"), "{said}");

    // A crash tears the last line: what stands before it is replayed, and the tear is told.
    fs::write(&copy, &whole[..whole.len() - 40]).unwrap();
    let said = replay(&copy).ok();
    assert!(said.contains("it died, or goes on") && said.contains("torn"), "{said}");

    // A line that is missing in the middle is not passed over.
    let lines: Vec<&str> = whole.lines().collect();
    let holed: Vec<&str> = lines.iter().enumerate().filter(|(place, _)| *place != 5).map(|(_, line)| *line).collect();
    fs::write(&copy, holed.join("\n")).unwrap();
    assert!(replay(&copy).exits(1).said().contains("entry 6"));

    // What is normal is known from then on.
    let status = cluster.ananke(&["status", "-o", "json"]).exits(0).json();
    assert!(status["normal_seconds"].is_u64(), "{status:#}");
}

#[test]
fn a_run_that_was_killed_says_why_it_held_while_everything_is_down() {
    let cluster = Cluster::up(&["--nodes", "4", "--speed", "20"]);
    cluster.inject("never-boots", Some("titan-04"));
    let said = cluster.ananke(&["explain"]).exits(2).said();
    assert!(said.contains("no run that acted is recorded"), "{said}");

    let going = cluster.start(&["startup", "--execute"]);
    let seen = || {
        let text = fs::read_to_string(fs::read_dir(cluster.path("state/journal")).ok()?.next()?.ok()?.path()).ok()?;
        text.contains(r#""of":{"host":"titan-04"}"#).then_some(())
    };
    until("a look at the dark host", LIMIT, seen);
    going.kill();
    cluster.power("cut");
    let told = cluster.ananke(&["explain", "-o", "json"]).exits(0).json();
    assert!(told["outcome"].is_null() && !told["gates"].as_array().unwrap().is_empty(), "{told:#}");
    let text = cluster.ananke(&["explain", "titan-04"]).ok();
    assert!(text.contains("titan-04") && text.contains("next: ") && text.contains("by its host, over SSH"), "{text}");
    let said = cluster.ananke(&["explain", "nobody"]).exits(2).said();
    assert!(said.contains("nothing is known of \"nobody\""), "{said}");
    let said = cluster.ananke(&["explain", "drained"]).exits(2).said();
    assert!(said.contains("did not walk the gate drained"), "{said}");
    ananke(&["replay", journal(&cluster).to_str().unwrap()]).exits(0);
}
