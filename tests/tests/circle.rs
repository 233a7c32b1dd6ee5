//! Harbor, Gitea and Flux waiting for each other on the built binary: what the daemon keeps on a healthy day, and archives of
//! images, get served clusters out of it after a power loss, one whose nodes have their images and one whose nodes have none.
//! Helm installed Harbor where it was kept and in the first of the two.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use ananke_tests::{Cluster, LIMIT, require, until};
use serde_json::{Value, json};

const PARTS: &[&str] = &["core", "portal", "registry", "jobservice", "trivy"];
const GIT: &str = "bootstrap-cache/flux-system_git.json";

fn cluster(scenario: &str) -> Cluster {
    let cluster = Cluster::up(&["--nodes", "4", "--speed", "30", "--scenario", scenario]);
    let archives = cluster.path("archives");
    fs::create_dir(&archives).unwrap();
    for architecture in ["amd64", "arm64"] {
        put_aside(&archives.join(format!("harbor-{architecture}.tar")), architecture);
    }
    let layers = "[flux-system/registry, flux-system/git]";
    cluster
        .edit_config(|text| format!("bootstrap: {{wait: 5s, layers: {layers}, image_archives: {}}}\n{text}", archives.display()));
    cluster
}

/// As `docker save` writes it.
fn put_aside(path: &Path, architecture: &str) {
    let tags: Vec<String> = PARTS.iter().map(|part| format!("harbor.titan.example/harbor/harbor-{part}:1")).collect();
    let files = [
        ("config.json", json!({"architecture": architecture, "os": "linux"})),
        ("manifest.json", json!([{"Config": "config.json", "RepoTags": tags, "Layers": []}])),
    ];
    let mut archive = tar::Builder::new(File::create(path).unwrap());
    for (name, body) in files {
        let body = body.to_string();
        let mut header = tar::Header::new_gnu();
        header.set_size(body.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, body.as_bytes()).unwrap();
    }
    archive.finish().unwrap();
}

/// Git had it on the day that the layers were kept, and lost it before the outage.
const LOST: &str = "titan.example/lost-in-git";

/// Files of the state directory, by their names in it.
fn kept_by_the_daemon() -> BTreeMap<PathBuf, Vec<u8>> {
    let cluster = cluster("helm");
    let daemon = cluster.start(&["daemon"]);
    until("the daemon has kept the last layer", LIMIT, || cluster.path("state").join(GIT).exists().then_some(()));
    daemon.signal("TERM");
    let told = daemon.end(LIMIT).exits(0).stderr;
    for layer in ["registry", "git"] {
        let line = format!("objects of Kustomization flux-system/{layer} are kept");
        assert!(told.contains(&line), "no {line:?} in {told}");
    }
    assert!(cluster.state(GIT)["objects"].to_string().contains("\"kind\":\"Deployment\""), "{}", cluster.state(GIT));
    let files = cluster.state_files().into_iter().filter(|(path, _)| path.parent().unwrap().ends_with("bootstrap-cache"));
    files.map(|(path, bytes)| (path.strip_prefix(cluster.path("state")).unwrap().to_owned(), bytes)).collect()
}

fn with_a_label_more(layer: &[u8]) -> Vec<u8> {
    let mut layer: Value = serde_json::from_slice(layer).unwrap();
    for object in layer["objects"].as_array_mut().unwrap() {
        object["body"]["metadata"]["labels"][LOST] = json!("yes");
    }
    serde_json::to_vec(&layer).unwrap()
}

fn told(report: &Value, verb: &str) -> Vec<String> {
    let actions = report["actions"].as_array().unwrap().iter().filter(|action| action["verb"] == verb);
    actions.map(|action| action["text"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_the_daemon_kept_breaks_the_circle_after_a_power_loss_with_images_and_without() {
    let layers = kept_by_the_daemon();
    let circles = ["circle-helm", "circle-cold"].map(|scenario| {
        let cluster = cluster(scenario);
        for (name, bytes) in &layers {
            let file = cluster.path("state").join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, with_a_label_more(bytes)).unwrap();
        }
        let startup = cluster.start(&["startup", "--execute", "-o", "json"]);
        (cluster, startup)
    });
    let [(warm, warm_report), (cold, cold_report)] = circles.map(|(cluster, startup)| {
        let report = startup.end(LIMIT).exits(0).json();
        it_is_up(&cluster, &report);
        no_password_is_told(&cluster, &report);
        (cluster, report)
    });
    assert_eq!(told(&warm_report, "load-images"), Vec::<String>::new());
    let loaded = told(&cold_report, "load-images");
    assert!(loaded.iter().any(|text| text.contains("harbor-amd64.tar")), "{loaded:#?}");
    drop(cold);
    flux_takes_over(&warm);
}

fn it_is_up(cluster: &Cluster, report: &Value) {
    assert_eq!(report["outcome"], "done", "{report:#}");
    let made = told(report, "create");
    for object in ["Deployment harbor/harbor-core", "Ingress harbor/harbor-core", "Deployment gitea/gitea", "Service gitea/gitea"]
    {
        assert!(made.contains(&format!("make {object}, which is absent")), "no {object} in {made:#?}");
    }
    let gitea = report["actions"]
        .as_array()
        .unwrap()
        .iter()
        .find(|action| action["text"] == "make Deployment gitea/gitea, which is absent");
    let effect = &gitea.unwrap()["effect"];
    assert!(effect["before"].as_str().unwrap().contains("does not exist"), "{effect}");
    assert!(effect["after"].as_str().unwrap().starts_with("1 of 1 ready"), "{effect}");
    let truth = cluster.truth();
    assert_eq!(truth["workloads_converged"], truth["workloads"], "{truth:#}");
}

/// Flux fetches with one that stands in the URL, and says where it could not be fetched from.
fn no_password_is_told(cluster: &Cluster, report: &Value) {
    let password = "swordfish";
    let source = "gitrepositories/flux-system";
    if require("kubectl", "kubernetes-client") {
        assert!(cluster.kubectl(&["get", source, "-n", "flux-system", "-o", "yaml"]).ok().contains(password));
    }
    assert!(!report.to_string().contains(password), "{report:#}");
    let kept = cluster.state_files();
    let journal = |path: &Path| path.extension().is_some_and(|it| it == "jsonl");
    let told = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains("https://scm.titan.example/ops");
    assert!(kept.iter().any(|(path, bytes)| journal(path) && told(bytes)), "the source stands in the journal");
    let leaks: Vec<_> = kept.iter().filter(|(_, bytes)| String::from_utf8_lossy(bytes).contains(password)).collect();
    assert!(leaks.is_empty(), "{:?}", leaks.iter().map(|(path, _)| path).collect::<Vec<_>>());
}

/// kubectl does what Flux's controllers do with an object of a layer: they make the fields that were written in their names
/// their applied ones, and apply it as Git or the chart has it.
fn flux_takes_over(cluster: &Cluster) {
    if !require("kubectl", "kubernetes-client") {
        return;
    }
    taken_over(cluster, "gitea", "gitea", "kustomize-controller");
    taken_over(cluster, "harbor", "harbor-core", "helm-controller");
    let run = cluster.kubectl(&["get", "helmrelease/harbor", "-n", "harbor", "-o", "json"]);
    let release: Value = serde_json::from_str(&run.ok()).unwrap();
    // What does not carry its marks it refuses.
    assert_eq!(release["status"]["conditions"][0]["status"], "True", "{release:#}");
    let installed = release["status"]["inventory"].to_string();
    assert!(installed.contains("harbor_harbor-core_apps_Deployment"), "{installed}");
}

fn taken_over(cluster: &Cluster, namespace: &str, name: &str, manager: &str) {
    let object = format!("deployment/{name}");
    let found = || -> Value {
        let run = cluster.kubectl(&["get", &object, "-n", namespace, "-o", "json", "--show-managed-fields"]);
        serde_json::from_str(&run.ok()).unwrap()
    };
    let books = |found: &Value| -> Vec<String> {
        let entries = found["metadata"]["managedFields"].as_array().unwrap().iter();
        entries.map(|entry| format!("{} of {}", entry["operation"], entry["manager"]).replace('"', "")).collect()
    };
    assert_eq!(books(&found()), [format!("Update of {manager}")], "{:#}", found());

    let made_its_own = r#"[{"op": "replace", "path": "/metadata/managedFields/0/operation", "value": "Apply"}]"#;
    cluster.kubectl(&["patch", &object, "-n", namespace, "--type=json", "-p", made_its_own]).ok();
    let applied = found();
    assert_eq!(books(&applied), [format!("Apply of {manager}")], "{applied:#}");
    assert_eq!(applied["metadata"]["labels"][LOST], "yes", "{applied:#}");

    let mut in_git = json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": applied["spec"],
        "metadata": {"name": name, "namespace": namespace, "labels": applied["metadata"]["labels"]}});
    if !applied["metadata"]["annotations"].is_null() {
        in_git["metadata"]["annotations"] = applied["metadata"]["annotations"].clone();
    }
    in_git["metadata"]["labels"].as_object_mut().unwrap().remove(LOST);
    let file = cluster.path("in-git.json");
    fs::write(&file, in_git.to_string()).unwrap();
    let as_manager = format!("--field-manager={manager}");
    cluster.kubectl(&["apply", "--server-side", &as_manager, "--validate=false", "-f", file.to_str().unwrap()]).ok();
    let pruned = found();
    assert_eq!((&pruned["metadata"]["labels"], &pruned["spec"]), (&in_git["metadata"]["labels"], &in_git["spec"]), "{pruned:#}");
    assert_eq!(books(&pruned), [format!("Apply of {manager}")], "{pruned:#}");
}
