//! `ananke doctor` and `ananke snapshot` against a served cluster, and the picture that the README shows.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use ananke_tests::{Cluster, ananke, require, without_ups};
use expect_test::{expect, expect_file};
use serde_json::{Value, json};

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
    let text = fs::read_to_string(&path).unwrap();
    let snapshot: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(snapshot["schema"], 1);
    fs::write(&path, &text[..text.len() / 2]).unwrap();
    let torn = ananke(&["doctor", "--snapshot", &path]).exits(2);
    assert!(torn.stderr.contains("it is torn or not ours") && torn.stderr.contains("ananke snapshot -o FILE"), "{torn}");
}

/// One of each kind that is read, each with a secret somewhere.
fn planted() -> Value {
    let object = |version: &str, kind: &str, rest: Value| {
        let mut object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": "web", "namespace": "default",
            "annotations": {"example.org/key": format!("hunter2-{kind}")}}});
        if ["PersistentVolume", "StorageClass", "ValidatingWebhookConfiguration"].contains(&kind) {
            object["metadata"].as_object_mut().unwrap().remove("namespace");
        }
        object.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        object
    };
    let container = json!({"name": "web", "image": "web:1", "args": ["--password=hunter2-args"],
        "env": [{"name": "KEY", "value": "hunter2-env"}], "envFrom": [{"configMapRef": {"name": "web"}}]});
    let pods = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}});
    let workload = json!({"spec": {"selector": {"matchLabels": {"app": "web"}}, "serviceName": "web", "template": pods}});
    let (mut job, mut daemon) = (workload.clone(), workload.clone());
    job["spec"] = json!({"template": pods});
    job["spec"]["template"]["spec"]["restartPolicy"] = "Never".into();
    daemon["spec"].as_object_mut().unwrap().remove("serviceName");
    let deployment = daemon.clone();
    let ports = json!([{"port": 80}]);
    let url = "https://bot:hunter2-url@git.example/iac";
    let backend = json!({"service": {"name": "web", "port": {"number": 80}}});
    let path = json!({"path": "/", "pathType": "Prefix", "backend": backend});
    let webhook = json!({"name": "web.example", "sideEffects": "None", "admissionReviewVersions": ["v1"],
        "clientConfig": {"url": "https://bot:hunter2-hook@hook.example/"}, "failurePolicy": "Ignore"});
    let about = json!({"kind": "Pod", "namespace": "default", "name": "web"});
    let source = json!({"kind": "GitRepository", "name": "web"});
    let chart = json!({"spec": {"chart": "web", "sourceRef": {"kind": "HelmRepository", "name": "web"}}});
    let csi = json!({"driver": "csi.example", "volumeHandle": "web", "volumeAttributes": {"key": "hunter2-volume"}});
    let size = json!({"storage": "1Gi"});
    let items = [
        object("v1", "Secret", json!({"stringData": {"key": "hunter2-secret"}})),
        object("v1", "ConfigMap", json!({"data": {"DB": "postgres://app:hunter2-config@miniflux.office.svc:5432/app"}})),
        object("v1", "Service", json!({"spec": {"selector": {"app": "web"}, "ports": ports}})),
        object("v1", "Pod", json!({"spec": pods["spec"]})),
        object("apps/v1", "Deployment", deployment),
        object("apps/v1", "StatefulSet", workload),
        object("apps/v1", "DaemonSet", daemon),
        object("batch/v1", "Job", job),
        object("networking.k8s.io/v1", "Ingress", json!({"spec": {"rules": [{"host": "w.example", "http": {"paths": [path]}}]}})),
        object(
            "policy/v1",
            "PodDisruptionBudget",
            json!({"spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}}),
        ),
        object(
            "v1",
            "PersistentVolumeClaim",
            json!({"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": size}}}),
        ),
        object("v1", "PersistentVolume", json!({"spec": {"capacity": size, "accessModes": ["ReadWriteOnce"], "csi": csi}})),
        object(
            "storage.k8s.io/v1",
            "StorageClass",
            json!({"provisioner": "csi.example", "parameters": {"key": "hunter2-class"}}),
        ),
        object("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", json!({"webhooks": [webhook]})),
        object(
            "v1",
            "Event",
            json!({"involvedObject": about, "type": "Warning", "reason": "Failed", "message": format!("fetch {url}: no")}),
        ),
        object(
            "source.toolkit.fluxcd.io/v1",
            "GitRepository",
            json!({"spec": {"url": url, "interval": "1m", "ref": {"branch": "main"}}}),
        ),
        object("source.toolkit.fluxcd.io/v1", "HelmRepository", json!({"spec": {"url": url, "interval": "1m"}})),
        object(
            "kustomize.toolkit.fluxcd.io/v1",
            "Kustomization",
            json!({"spec": {"interval": "1m", "prune": true, "sourceRef": source,
            "postBuild": {"substitute": {"key": "hunter2-substitute"}}}}),
        ),
        object(
            "helm.toolkit.fluxcd.io/v2",
            "HelmRelease",
            json!({"spec": {"interval": "1m", "chart": chart, "values": {"key": "hunter2-values"}}}),
        ),
    ];
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

#[test]
fn a_snapshot_has_what_gates_rest_on_and_no_secret() {
    if !require("kubectl", "kubernetes-client") {
        return;
    }
    let cluster = healthy();
    let (path, plants) = (file(&cluster, "snapshot.json"), file(&cluster, "planted.json"));
    fs::write(&plants, planted().to_string()).unwrap();
    cluster.kubectl(&["create", "--validate=false", "-f", &plants]).ok();
    cluster.ananke(&["snapshot", "-o", &path]).ok();
    let text = fs::read_to_string(&path).unwrap();
    let around = text.find("hunter2").map(|at| text.get(at.saturating_sub(300)..at + 40));
    assert_eq!(around, None);
    let snapshot: Value = serde_json::from_str(&text).unwrap();
    let workloads = snapshot["map"]["workloads"].as_array().unwrap().iter();
    let named: Vec<_> = workloads.filter(|of| of["object"]["name"] == "web").map(|of| of["names"][0]["name"].clone()).collect();
    assert_eq!(named, ["miniflux"; 3], "by the ConfigMap");
    let asked = cluster.requests().len();
    let told = ananke(&["explain", "--snapshot", &path]).ok();
    assert!(told.contains("; it was one look\n") && told.contains("Deployment default/web"), "{told}");
    let told = ananke(&["explain", "nodes-ready", "--snapshot", &path]).ok();
    assert!(told.contains("\nnodes-ready: passed"), "{told}");
    assert_eq!(cluster.requests().len(), asked, "no cluster is asked");
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
    let job = ananke(&["drill", "--from", &path, "--seed", "3", "--inject", "immutable-job"]).ok();
    assert!(job.contains("delete Job"), "its Jobs are drilled: {job}");
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
