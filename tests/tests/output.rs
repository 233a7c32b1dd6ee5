//! What scripts and people read: JSON of every command, the reference config, and what is said of a broken one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use ananke_tests::{Cluster, Run, ananke};
use serde_json::Value;
use tempfile::TempDir;

#[test]
fn every_command_speaks_json() {
    let faults = ananke(&["sim", "faults", "-o", "json"]).exits(0).json();
    let ids = |of: &Value| of.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert!(ids(&faults["faults"]).contains(&"never-boots".to_owned()), "{faults:#}");
    assert!(ids(&faults["scenarios"]).contains(&"power-loss".to_owned()), "{faults:#}");

    let cluster = Cluster::up(&["--scenario", "healthy", "--nodes", "4", "--speed", "20"]);
    let checked = cluster.ananke(&["config", "check", "-o", "json"]).exits(0).json();
    assert_eq!((&checked["servers"], &checked["workers"]), (&3.into(), &1.into()), "{checked:#}");
    let status = cluster.ananke(&["status", "-o", "json"]).exits(0).json();
    assert_eq!((&status["command"], &status["outcome"]), (&"status".into(), &"done".into()), "{status:#}");
    for (command, dry) in [("startup", true), ("shutdown", true)] {
        let report = cluster.ananke(&[command, "-o", "json"]).exits(0).json();
        assert_eq!((&report["command"], &report["dry_run"]), (&command.into(), &dry.into()), "{report:#}");
        assert!(report["gates"].as_array().unwrap().iter().all(|gate| gate["id"].is_string() && gate["status"].is_string()));
    }
    let drill = ananke(&["drill", "--nodes", "5", "-o", "json"]).exits(0).json();
    assert_eq!(drill["outcome"], "recovered", "{drill:#}");
}

#[test]
fn the_reference_is_a_config_and_so_are_its_examples() {
    let dir = TempDir::new().unwrap();
    let reference = ananke(&["config", "reference"]).ok();
    for needed in ["kubeconfig:", "control_planes:", "state_dir:", "  soak:"] {
        assert!(reference.lines().any(|line| line.starts_with(needed)), "no {needed} in {reference}");
    }
    // The files that it names must be there.
    for name in ["kubeconfig", "key", "known_hosts"] {
        write_private(&dir.path().join(name), "");
    }
    let places =
        [("/etc/rancher/k3s/k3s.yaml", "kubeconfig"), ("~/.ssh/id_ed25519", "key"), ("~/.ssh/known_hosts", "known_hosts")];
    let reference = places.iter().fold(reference, |text, (place, name)| text.replace(place, name));
    check(&dir, &reference).ok();
    // A comment is prose where a space follows the '#', and an example that can be switched on where none does.
    let switch = |line: &str| {
        let (indent, rest) = line.split_at(line.len() - line.trim_start().len());
        match rest.strip_prefix('#') {
            Some(example) if !example.starts_with(' ') => format!("{indent}{example}\n"),
            Some(_) | None => format!("{line}\n"),
        }
    };
    let examples: String = reference.lines().map(switch).collect();
    assert_ne!(examples, reference);
    check(&dir, &examples).ok();
}

#[test]
fn a_broken_config_is_shown_with_its_place_and_what_was_meant() {
    let dir = TempDir::new().unwrap();
    let broken = "kubeconfig: kubeconfig\ncontrol_planes: [a-1]\nstartup:\n  soka: 60s\npoll: soon\n";
    let run = check(&dir, broken).exits(2);
    let place = |line: u32| format!("{}:{line}", dir.path().join("ananke.yaml").display());
    for expected in [place(4).as_str(), "startup.soka", "soak", place(5).as_str(), "poll", "soon"] {
        assert!(run.stderr.contains(expected), "no {expected:?} in {run}");
    }
    assert_eq!(run.stdout, "");

    let missing = dir.path().join("nothing.yaml");
    let run = ananke(&["config", "check", "--config", missing.to_str().unwrap()]).exits(2);
    assert!(run.stderr.contains(missing.to_str().unwrap()), "{run}");
    let run = ananke(&["statsu"]).exits(2);
    assert!(run.stderr.contains("status"), "{run}");
}

fn check(dir: &TempDir, text: &str) -> Run {
    let file = dir.path().join("ananke.yaml");
    write_private(&file, text);
    ananke(&["config", "check", "--config", file.to_str().unwrap()])
}

fn write_private(file: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(file, text).unwrap();
    fs::set_permissions(file, PermissionsExt::from_mode(0o600)).unwrap();
}
