//! The served API against recordings of a real one: every recorded request is sent, and its answer compared.
//!
//! What differs from run to run (UIDs, versions, times, tokens, addresses) is compared as a kind of value only, and the
//! requests carry what was answered here where they carried what was answered there.
#![cfg(feature = "serve")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "recordings/client.rs"]
mod client;
#[path = "recordings/normal.rs"]
mod normal;

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use client::Server;
use normal::Names;

/// Fails the test rather than the CI job when a server hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// Recorded answers that differ here, and why.
const EXCEPTIONS: &[(&str, &str)] = &[
    (
        "watch with initial events",
        "the recorded server's etcd could not report watch progress, so it refused a streaming list; here they are served",
    ),
    ("create lease", "the recording shows the holder of the next request in this answer"),
];

/// In the order in which they were recorded: objects of one theme stand in the answers of the next.
const THEMES: &[&str] =
    &["discovery", "auth", "nodes", "watch", "pods-and-eviction", "workloads", "flux", "leases-storage-network", "store-down"];

#[test]
fn every_recorded_exchange_is_answered_alike() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, replay()).await.expect("the test took too long") });
}

async fn replay() {
    let server = Server::start().await;
    let mut names = Names::default();
    let (mut compared, mut wrong) = (0, Vec::new());
    for theme in THEMES {
        for exchange in &recorded(theme) {
            let name = exchange["name"].as_str().unwrap();
            arrange(&server, theme, name).await;
            let answer = server.ask(&names.request(&exchange["request"]), *theme == "auth").await;
            let found = names.compare(exchange, &answer);
            if let Some((_, why)) = EXCEPTIONS.iter().find(|(known, _)| *known == name) {
                assert!(found.is_some(), "{theme}: {name} is answered alike, so the exception goes ({why})");
            } else {
                compared += 1;
                wrong.extend(found.map(|difference| format!("{theme}: {name}\n{difference}")));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {compared} differ:\n\n{}", wrong.len(), wrong.join("\n\n"));
}

/// What the recording did right before an exchange, without recording it.
async fn arrange(server: &Server, theme: &str, name: &str) {
    let pod = |name: &str, node: &str, app: &str| {
        json!({"metadata": {"name": name, "labels": {"app": app}}, "spec": {"nodeName": node, "terminationGracePeriodSeconds": 30,
            "containers": [{"name": "c", "image": "registry.example/app:1"}]}})
    };
    let at = "2026-01-01T00:00:00Z";
    let ready = json!({"status": {"phase": "Running",
        "conditions": [{"type": "Ready", "status": "True", "lastProbeTime": null, "lastTransitionTime": at}],
        "containerStatuses": [{"image": "registry.example/app:1", "imageID": "i", "lastState": {}, "name": "c", "ready": true,
            "restartCount": 0, "state": {"running": {"startedAt": at}}}]}});
    let pods = "/api/v1/namespaces/apps/pods";
    match (theme, name) {
        ("watch", "watch from a list") => {
            server.patch("/api/v1/nodes/titan-02", json!({"metadata": {"labels": {"w": "1"}}})).await;
        }
        ("pods-and-eviction", "create pod") => {
            server.make("/api/v1/namespaces", json!({"metadata": {"name": "apps"}})).await;
        }
        ("pods-and-eviction", "pods of a node") => {
            for (name, app) in [("web-1", "web"), ("free-0", "free")] {
                server.make(pods, pod(name, "titan-01", app)).await;
            }
            for name in ["web-0", "web-1", "free-0"] {
                server.patch(&format!("{pods}/{name}/status"), ready.clone()).await;
            }
        }
        ("pods-and-eviction", "force delete leaves a pod with a finalizer") => {
            let held = json!({"metadata": {"name": "held-0", "labels": {"app": "held-0"}, "finalizers": ["example.com/hold"]},
                "spec": pod("held-0", "titan-01", "held-0").get("spec")});
            server.make(pods, held).await;
        }
        ("store-down", "readyz while the store hangs") => server.hang(),
        _ => {}
    }
}

fn recorded(theme: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/recordings/kube-apiserver-1.36.2/{theme}.json"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}
