//! kubectl against the served API: what each command says and how it ends, in `kubectl.sh`.

#![expect(clippy::disallowed_methods, reason = "it starts the script")]

use std::path::Path;
use std::process::Command;

use ananke_tests::{Cluster, Going, LIMIT, require};

#[test]
fn kubectl_finds_a_server_that_behaves_like_the_real_one() {
    if !require("kubectl", "kubernetes-client") || !require("curl", "curl") {
        return;
    }
    let cluster = Cluster::up(&["--scenario", "healthy", "--nodes", "4", "--speed", "10"]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("kubectl.sh");
    let mut command = Command::new("bash");
    command.arg(script).env("KUBECONFIG", cluster.path("kubeconfig")).env("HOME", cluster.dir());
    let said = Going::spawn(&mut command).end(LIMIT).ok();
    println!("{said}");
}

#[test]
fn the_job_of_a_campaign_is_one_down_to_its_fields() {
    if !require("kubectl", "kubernetes-client") {
        return;
    }
    let cluster = Cluster::up(&["--scenario", "healthy", "--nodes", "1"]);
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/drill-campaign.yaml");
    let read = ["create", "--dry-run=client", "--validate=false", "-o", "json", "-f", manifest.to_str().unwrap()];
    let job = cluster.kubectl(&read).exits(0).stdout;
    let file = cluster.path("job.json");
    let made = |job: &str| {
        std::fs::write(&file, job).unwrap();
        let jobs = "/apis/batch/v1/namespaces/default/jobs?fieldValidation=Strict";
        cluster.kubectl(&["create", "--raw", jobs, "-f", file.to_str().unwrap()])
    };
    let misspelt = made(&job.replace("completionMode", "completionsMode"));
    assert!(misspelt.code != Some(0) && misspelt.said().contains("completionsMode"), "{misspelt}");
    let made = made(&job).exits(0).json();
    let spec = &made["spec"];
    assert_eq!((&spec["completionMode"], &spec["completions"]), (&"Indexed".into(), &8.into()), "{made}");
}
