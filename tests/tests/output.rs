//! What scripts and people read: JSON of every command, the reference config, and what is said of a broken one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use ananke_tests::{Cluster, Run, ananke, without_ups};
use serde_json::Value;
use tempfile::TempDir;

/// The certificate of an authority whose key was thrown away.
const CA: &str = "\
-----BEGIN CERTIFICATE-----
MIIBgDCCASegAwIBAgIUN9NtTyMQe4qh+ae6Jd4gsFOnly8wCgYIKoZIzj0EAwIw
FTETMBEGA1UEAwwKY2EuZXhhbXBsZTAgFw0yNjExMjIyMzI0MDFaGA8yMTI2MTAy
OTIzMjQwMVowFTETMBEGA1UEAwwKY2EuZXhhbXBsZTBZMBMGByqGSM49AgEGCCqG
SM49AwEHA0IABJt4QHYJk5OAeD3Ri4YDs6FsC/xUbS+TIRB+GNEc8CMY1JS2Xqrd
pHMA3VGBhxICIqdRKQg3mU2+kvvYy83bkxGjUzBRMB0GA1UdDgQWBBSZqWv1C73g
S6Fx2fVU8DdkPNBwyDAfBgNVHSMEGDAWgBSZqWv1C73gS6Fx2fVU8DdkPNBwyDAP
BgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0cAMEQCIAar5h7n7klOoz1WMjLm
QmHw8Izdz9My178DtiEelYQ2AiAsVwHD6elpH8nYfIDnGcdW0bTjUgtrmX7CgW+v
wAbv0w==
-----END CERTIFICATE-----
";

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
fn the_sudoers_lines_allow_whatever_runs_send() {
    let cluster = Cluster::up(&["--scenario", "after-shutdown", "--nodes", "4", "--speed", "40"]);
    cluster.ananke(&["startup", "--execute"]).exits(0);
    cluster.ananke(&["shutdown", "--execute", "--mode", "poweroff"]).exits(0);
    let sudoers = cluster.ananke(&["config", "sudoers"]).ok();
    let allowed: Vec<&str> = sudoers.lines().filter_map(|line| Some(line.split_once("NOPASSWD: ")?.1)).collect();
    // As it stands in the log: the node, the command, how it ended.
    let sent = |line: String| {
        let command = line.strip_prefix("SSH ")?.split_once(" sudo -n ")?.1.rsplit_once(' ')?.0.to_owned();
        (!command.contains('\'')).then(|| command.replacen("systemctl ", "/usr/bin/systemctl ", 1))
    };
    let shape = |command: String| match command.split_once(" --name ") {
        Some((save, name)) => format!("{save} --name {}", name.replace(|c: char| c.is_ascii_digit(), "[0-9]")),
        None => command,
    };
    let sent: BTreeSet<String> = cluster.requests().into_iter().filter_map(sent).map(shape).collect();
    for verb in ["start", "stop", "poweroff", "etcd-snapshot save"] {
        assert!(sent.iter().any(|command| command.contains(verb)), "nothing was sent to {verb}: {sent:?}");
    }
    let refused: Vec<&String> = sent.iter().filter(|command| !allowed.contains(&command.as_str())).collect();
    assert!(refused.is_empty(), "sudo would refuse {refused:?} with:\n{sudoers}");
}

#[test]
fn the_reference_is_a_config_and_so_are_its_examples() {
    let dir = TempDir::new().unwrap();
    let reference = ananke(&["config", "reference"]).ok();
    for needed in ["kubeconfig:", "control_planes:", "state_dir:", "  soak:"] {
        assert!(reference.lines().any(|line| line.starts_with(needed)), "no {needed} in {reference}");
    }
    // The files that it names must be there.
    let files = [
        ("/etc/rancher/k3s/k3s.yaml", "kubeconfig", ""),
        ("~/.ssh/id_ed25519", "key", ""),
        ("~/.ssh/known_hosts", "known_hosts", ""),
        ("~/.ssh/config", "ssh_config", ""),
        ("/etc/ananke/nut-password", "nut-password", "secret"),
        ("/etc/ananke/nut-ca.pem", "nut-ca.pem", CA),
        ("/etc/ananke/ca.pem", "ca.pem", CA),
        ("/etc/ananke/vault-ca.pem", "vault-ca.pem", CA),
        ("/etc/ananke/vault-keys", "vault-keys", "share"),
    ];
    for (_, name, content) in files {
        write_private(&dir.path().join(name), content);
    }
    let reference = files.iter().fold(reference, |text, (place, name, _)| text.replace(place, name));
    // A program is named with its whole path; this one is never run.
    let reference = reference.replace("/usr/local/sbin/vault-keys", "/bin/false");
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
    ananke(&["config", "check", "--offline", "--config", file.to_str().unwrap()])
}

#[test]
fn what_the_config_names_and_cannot_be_had_is_told_in_a_line_each() {
    let cluster = Cluster::up(&["--scenario", "healthy", "--nodes", "4"]);
    let well = cluster.ananke(&["config", "check"]).exits(0);
    assert!(!well.stdout.contains("cannot work"), "{well}");
    let without_port = |line: &str| match line.split_once("@127.0.0.1:") {
        Some((ups, rest)) => format!("{ups}{}", rest.trim_start_matches(char::is_numeric)),
        None => line.to_owned(),
    };
    let answers: Vec<String> = well.stdout.lines().filter_map(|line| line.strip_prefix("answered: ")).map(without_port).collect();
    assert_eq!(
        answers,
        [
            "API server: v1.36.2+k3s1, with a quorum read and a dry-run write",
            "nodes: 4, as in the config",
            "rights: all that deploy/rbac.yaml grants",
            "hosts: 4 of 4 logged in to over SSH",
            "UPS rack-a: OL, charge 100 %, runtime 12m00s",
            "UPS rack-b: OL, charge 100 %, runtime 12m00s",
            "Vault: unsealed",
        ]
    );
    cluster.inject("sshd-down", Some("titan-04"));
    cluster.edit_config(|text| {
        let text = without_ups(text).replace("titan-03", "titan-33");
        format!("ups: [rack@127.0.0.1:1]\n{text}")
    });
    let run = cluster.ananke(&["config", "check"]).exits(3);
    let lines: Vec<&str> = run.stdout.lines().filter_map(|line| line.strip_prefix("cannot work: ")).collect();
    for words in ["rack@127.0.0.1:1", "on titan-04", "titan-33 is in the config", "the cluster has the node titan-03"] {
        assert!(lines.iter().any(|line| line.contains(words)), "{words} in {run}");
    }
    assert_eq!(lines.len(), 4, "{run}");
    assert_eq!(
        cluster.ananke(&["config", "check", "-o", "json"]).exits(3).json()["trouble"].as_array().unwrap().len(),
        lines.len()
    );
}

#[test]
fn a_first_config_comes_from_the_cluster_and_the_schema_knows_its_keys() {
    let cluster = Cluster::up(&["--scenario", "healthy", "--nodes", "4"]);
    let kubeconfig = cluster.path("ananke.kubeconfig");
    let (kubeconfig, out) = (kubeconfig.to_str().unwrap(), cluster.path("first.yaml"));
    let init = ["config", "init", "--kubeconfig", kubeconfig];
    let text = ananke(&init).exits(0).stdout;
    for line in ["control_planes: [titan-01, titan-02, titan-03]", "workers: [titan-04]", "expected_flux_branch: \"main\""] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
    let write = [&init[..], &["--out", out.to_str().unwrap()]].concat();
    ananke(&write).exits(0);
    assert_eq!(fs::read_to_string(&out).unwrap(), text);
    let again = ananke(&write).exits(2);
    assert!(again.stderr.contains("exists"), "a person's file is not written over: {again}");
    ananke(&["config", "check", "--offline", "--config", out.to_str().unwrap()]).exits(0);

    let schema = ananke(&["config", "schema"]).exits(0).json();
    for line in text.lines().filter(|line| !line.starts_with(['#', ' ']) && line.contains(':')) {
        let key = line.split(':').next().unwrap();
        assert!(schema["properties"][key].is_object(), "{key}");
    }
}

fn write_private(file: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(file, text).unwrap();
    fs::set_permissions(file, PermissionsExt::from_mode(0o600)).unwrap();
}
