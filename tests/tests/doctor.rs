//! `ananke doctor` and `ananke snapshot` against a served cluster, and the picture that the README shows.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use ananke_tests::{Cluster, ananke, require, without_ups};
use expect_test::{expect, expect_file};
use serde_json::Value;

fn healthy() -> Cluster {
    Cluster::up(&["--scenario", "healthy", "--nodes", "4"])
}

/// A file of the cluster's directory, as an argument.
fn file(cluster: &Cluster, name: &str) -> String {
    cluster.path(name).to_str().unwrap().to_owned()
}

#[test]
fn the_circle_of_the_default_cluster_is_found_and_drawn() {
    let cluster = healthy();
    let told = cluster.ananke(&["doctor"]).exits(3);
    expect![[r#"
        2 circles and 0 findings in 4 nodes and 61 workloads

        low: a circle of 10 (only a rebuild meets it; 8 more wait in longer circles)
          GitRepository flux-system/flux-system needs scm.titan.example for what it fetches; by way of Ingress gitea/gitea, Service gitea/gitea, Deployment gitea/gitea
          Deployment gitea/gitea needs harbor.titan.example for its image harbor.titan.example/gitea/gitea:1 (the image is on titan-02); by way of Ingress harbor/harbor-core, Service harbor/harbor-core, Deployment harbor/harbor-core
          Deployment harbor/harbor-core needs Kustomization flux-system/registry for its object (when it is made anew)
          Kustomization flux-system/registry needs GitRepository flux-system/flux-system for what it applies
          closes when  Deployment gitea/gitea starts where image harbor.titan.example/gitea/gitea:1 is not: it is on titan-02 alone
          and          Deployment harbor/harbor-core is missing from etcd, or must change: after a rebuild, or a restored snapshot
          do           keep harbor.titan.example/gitea/gitea:1 where the cluster does not serve it: on the hosts, or at a mirror
          or           give GitRepository flux-system/flux-system a source that is not served by this cluster, or a mirror to switch to
          or           keep manifests of Deployment harbor/harbor-core outside of the cluster, to apply by hand

        low: a circle of 6 (only a rebuild meets it; 12 more wait in longer circles)
          GitRepository flux-system/flux-system needs scm.titan.example for what it fetches; by way of Ingress gitea/gitea, Service gitea/gitea, Deployment gitea/gitea
          Deployment gitea/gitea needs Kustomization flux-system/git for its object (when it is made anew)
          Kustomization flux-system/git needs GitRepository flux-system/flux-system for what it applies
          closes when  Deployment gitea/gitea is missing from etcd, or must change: after a rebuild, or a restored snapshot
          do           give GitRepository flux-system/flux-system a source that is not served by this cluster, or a mirror to switch to
          or           keep manifests of Deployment gitea/gitea outside of the cluster, to apply by hand
    "#]]
    .assert_eq(&told.stdout);
    let json = cluster.ananke(&["doctor", "-o", "json"]).exits(3).json();
    assert_eq!((&json["nodes"], &json["unseen"], &json["skipped"]), (&4.into(), &Value::Array(vec![]), &Value::Array(vec![])));
    assert_eq!(json["circles"][0]["severity"], "low");
    let dot = cluster.ananke(&["doctor", "-o", "dot"]).exits(3).stdout;
    assert!(dot.contains("\"GitRepository flux-system/flux-system\" -> \"scm.titan.example\""), "{dot}");
    expect_file!["../../docs/circles.svg"].assert_eq(&cluster.ananke(&["doctor", "-o", "svg"]).exits(3).stdout);
}

#[test]
fn a_cluster_whose_git_and_registry_are_outside_has_none() {
    let cluster = Cluster::up(&["--scenario", "git-outside", "--nodes", "4"]);
    let told = cluster.ananke(&["doctor"]).ok();
    assert_eq!(told, "0 circles and 0 findings in 4 nodes and 61 workloads\n");
    let svg = cluster.ananke(&["doctor", "-o", "svg"]).ok();
    assert!(svg.contains("no circle was found"), "{svg}");
}

#[test]
fn a_snapshot_is_judged_as_the_cluster_was() {
    let cluster = healthy();
    let path = file(&cluster, "snapshot.json");
    let said = cluster.ananke(&["snapshot", "-o", &path]).ok();
    assert_eq!(said, format!("4 nodes and 61 workloads are in {path}\n"));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let live = cluster.ananke(&["doctor", "-o", "json"]).exits(3).json();
    let asked = cluster.requests().len();
    let recorded = cluster.ananke(&["doctor", "--snapshot", &path, "-o", "json"]).exits(3).json();
    assert_eq!((recorded, cluster.requests().len()), (live, asked), "no cluster is asked");
    let without = ananke(&["doctor", "--snapshot", &path]).exits(3).stdout;
    assert!(without.contains("not looked for: unknown-node: no config was given"), "{without}");
    // Nothing of a Secret, of an environment or of an annotation stands in it.
    let text = fs::read_to_string(&path).unwrap();
    let snapshot: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(snapshot["schema"], 1);
    for word in ["\"data\"", "\"env\"", "\"value\"", "annotations"] {
        assert!(!text.contains(word), "{word} is in the snapshot");
    }
    fs::write(&path, &text[..text.len() / 2]).unwrap();
    let torn = ananke(&["doctor", "--snapshot", &path]).exits(2);
    assert!(torn.stderr.contains("it is torn or not ours") && torn.stderr.contains("ananke snapshot -o FILE"), "{torn}");
}

#[test]
fn a_power_loss_of_the_recorded_cluster_is_drilled() {
    let cluster = healthy();
    let path = file(&cluster, "snapshot.json");
    cluster.ananke(&["snapshot", "-o", &path]).ok();
    let told = ananke(&["drill", "--from", &path, "--seed", "3"]).ok();
    assert!(told.contains("3 servers, 1 workers, 61 workloads, 20 Kustomizations, 15 ingress hosts"), "{told}");
    assert!(told.contains("RECOVERED"), "{told}");
    assert_eq!(ananke(&["drill", "--from", &path, "--seed", "3"]).ok(), told, "the same seed is the same drill");
    let many = ananke(&["drill", "--from", &path, "--seeds", "0..20", "-o", "json"]).exits(0).json();
    assert_eq!((&many["recovered"], &many["failed"]), (&20.into(), &0.into()));
    fs::write(&path, r#"{"schema": 1, "taken": "2026-11-28T00:00:00Z", "map": {}}"#).unwrap();
    let refused = ananke(&["drill", "--from", &path]).exits(2);
    assert!(refused.stderr.contains("it has 0 nodes"), "{refused}");
}

#[test]
fn what_the_config_does_not_know_is_told() {
    let cluster = healthy();
    let of_it = |line: &&str| !line.trim_start().starts_with("titan-04:");
    cluster.edit_config(|text| {
        let text = without_ups(text).replace("[titan-04]", "[]");
        text.lines().filter(of_it).map(|line| format!("{line}\n")).collect()
    });
    let told = cluster.ananke(&["doctor"]).exits(3).stdout;
    assert!(told.contains("unknown-node: titan-04\n  the config does not know this worker"), "{told}");
}

#[test]
fn a_webhook_that_fails_closed_on_core_namespaces_is_told() {
    if !require("kubectl", "kubernetes-client") {
        return;
    }
    let cluster = Cluster::up(&["--scenario", "git-outside", "--nodes", "4"]);
    let manifest = r#"{"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "policy"}, "webhooks": [{"name": "policy.example", "failurePolicy": "Fail", "sideEffects": "None",
        "admissionReviewVersions": ["v1"], "clientConfig": {"service": {"namespace": "office", "name": "miniflux"}},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]}]}"#;
    fs::write(cluster.path("policy.json"), manifest).unwrap();
    cluster.kubectl(&["apply", "--validate=false", "-f", &file(&cluster, "policy.json")]).ok();
    let told = cluster.ananke(&["doctor"]).exits(3).stdout;
    assert!(told.contains("webhook-fail-closed: ValidatingWebhookConfiguration policy\n"), "{told}");
    assert!(told.contains("medium: a circle of 3 (only copies keep it open"), "{told}");
}

#[test]
fn hosts_that_cannot_be_asked_are_named() {
    let cluster = Cluster::up(&["--scenario", "git-outside", "--nodes", "4"]);
    cluster.inject("sshd-down", Some("titan-04"));
    let told = cluster.ananke(&["doctor"]).ok();
    assert!(told.contains("not seen: connect on titan-04"), "{told}");
}
