//! Harbor, Gitea and Flux waiting for each other on the built binary: what a healthy day kept, and archives of images, get a
//! served cluster out of it after a power loss.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use ananke_tests::{Cluster, until};
use serde_json::{Value, json};

const PARTS: &[&str] = &["core", "portal", "registry", "jobservice", "trivy"];
/// Batteries carry the hosts for ten minutes and more of the cluster's time.
const EMPTY: Duration = Duration::from_secs(60);

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

fn subjects(report: &Value, verb: &str) -> Vec<String> {
    let actions = report["actions"].as_array().unwrap().iter().filter(|action| action["verb"] == verb);
    actions.map(|action| action["text"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_was_kept_on_a_healthy_day_breaks_the_circle_after_a_power_loss() {
    let cluster = Cluster::up(&["--nodes", "4", "--speed", "30", "--scenario", "healthy"]);
    let archives = cluster.path("archives");
    fs::create_dir(&archives).unwrap();
    for architecture in ["amd64", "arm64"] {
        put_aside(&archives.join(format!("harbor-{architecture}.tar")), architecture);
    }
    let layers = "[flux-system/registry, flux-system/git]";
    cluster
        .edit_config(|text| format!("bootstrap: {{wait: 5s, layers: {layers}, image_archives: {}}}\n{text}", archives.display()));
    cluster.ananke(&["startup", "--execute"]).ok();
    let kept = cluster.state("bootstrap-cache/flux-system_git.json");
    assert!(kept["objects"].to_string().contains("\"kind\":\"Deployment\""), "{kept}");

    cluster.inject("git-pruned", None);
    cluster.inject("images-lost", None);
    cluster.power("cut");
    until("the batteries are empty", EMPTY, || (cluster.truth()["hosts_up"] == 0).then_some(()));
    cluster.power("restore");
    let report = cluster.ananke(&["startup", "--execute", "-o", "json"]).exits(0).json();

    assert_eq!(report["outcome"], "done", "{report:#}");
    let made = subjects(&report, "create");
    for object in ["Deployment harbor/harbor-core", "Ingress harbor/harbor-core", "Deployment gitea/gitea", "Service gitea/gitea"]
    {
        assert!(made.contains(&format!("make {object}, which is absent")), "no {object} in {made:#?}");
    }
    assert!(subjects(&report, "load-images").iter().any(|text| text.contains("harbor-amd64.tar")), "{report:#}");
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
