//! The manifests of `deploy/` against what Ananke asks of a cluster: every request is granted, and every right is used. What
//! only layers need is granted apart.
//!
//! The served simulator enforces the manifest in every end-to-end test, so a call without a right fails where it is made.
//! Here the requests are collected as well, from the audit logs of the contract's cases and of the built binary.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use ananke_sim::serve::api::authorize::{ACCOUNT, Access, BOOTSTRAP_MANIFEST, MANIFEST};
use ananke_sim::serve::api::rbac::{Attributes, Right, rights};
use ananke_sim::serve::api::{self, store::ObjectStore, tls};
use ananke_sim::serve::site::{ANANKES, anankes_kubeconfig};
use ananke_tests::contract::cases::{coordination, flux, layers, nodes, pods, reads, workloads};
use ananke_tests::contract::served::{on_runtime, on_the_served_world, served};
use ananke_tests::{Cluster, ananke, require};
use serde_json::{Value, json};

const USER: &str = "system:serviceaccount:kube-system:ananke";

/// What Ananke asked for, as the server's audit log in `dir` has it; none of it may have been refused.
fn asked(dir: &Path) -> BTreeSet<Attributes> {
    let log = fs::read_to_string(dir.join("audit.log")).unwrap();
    let events = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let ours = events.filter(|event| event.pointer("/user/username") == Some(&USER.into()));
    let asked = ours.filter_map(|event| {
        assert_ne!(event.pointer("/responseStatus/code"), Some(&403.into()), "no right for {event}");
        let text = |at: &str| event.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
        let of = |field: &str| text(&format!("/objectRef/{field}"));
        let sub = of("subresource");
        let resource = if sub.is_empty() { of("resource") } else { format!("{}/{sub}", of("resource")) };
        // Discovery, version and health are open to every user of a cluster.
        (!resource.is_empty()).then(|| Attributes {
            verb: text("/verb"),
            group: of("apiGroup"),
            resource,
            namespace: of("namespace"),
            name: of("name"),
        })
    });
    asked.collect()
}

/// All cases of the contract, each on a cluster of its own, and apart from them those of layers.
fn asked_by_the_contract() -> (BTreeSet<Attributes>, BTreeSet<Attributes>) {
    let (mut all, mut layers) = (BTreeSet::new(), BTreeSet::new());
    macro_rules! collect {
        ($($group:ident::$case:ident),+ $(,)?) => {
            $(
                let dir = tempfile::tempdir().unwrap();
                // What a case lacks, the contract's own suite says.
                on_the_served_world(dir.path(), $group::$case).ok();
                if stringify!($group) == "layers" { &mut layers } else { &mut all }.extend(asked(dir.path()));
            )+
        };
    }
    ananke_tests::k8s_contract!(collect);
    (all, layers)
}

/// A start-up with repairs, looks, and a shutdown.
fn asked_by_the_binary() -> BTreeSet<Attributes> {
    let cluster = Cluster::up(&["--speed", "20", "--nodes", "4"]);
    cluster.edit_config(|text| format!("{text}required_namespaces: [monitoring]\n"));
    for fault in ["immutable-job", "wrong-branch"] {
        cluster.inject(fault, None);
    }
    cluster.ananke(&["startup", "--execute", "--force-flux-branch", "main"]).ok();
    cluster.ananke(&["status"]).ok();
    cluster.ananke(&["lease", "list"]).ok();
    // An environment that is taken from a ConfigMap.
    let template = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "web:1",
        "envFrom": [{"configMapRef": {"name": "web"}}]}]}});
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template}});
    fs::write(cluster.path("web.json"), deployment.to_string()).unwrap();
    cluster.kubectl(&["create", "--validate=false", "-f", cluster.path("web.json").to_str().unwrap()]).ok();
    cluster.ananke(&["doctor"]).exits(3);
    cluster.kubectl(&["delete", "deployment/web", "-n", "default"]).ok();
    cluster.ananke(&["shutdown", "--execute"]).ok();
    asked(cluster.dir())
}

#[test]
fn every_request_is_granted_and_every_right_is_used() {
    if !require("kubectl", "kubernetes-client") {
        return;
    }
    let binary = asked_by_the_binary();
    let (mut all, mut layers) = asked_by_the_contract();
    assert!(binary.len() > 20 && all.len() > 30, "{} and {} kinds of requests are too few", binary.len(), all.len());
    all.extend(binary);
    check("deploy/rbac.yaml", &rights(MANIFEST, ACCOUNT).unwrap(), &all);
    let plain = rights(MANIFEST, ACCOUNT).unwrap();
    layers.retain(|asked| !plain.iter().any(|right| right.covers(asked)));
    check("deploy/rbac-bootstrap.yaml", &rights(BOOTSTRAP_MANIFEST, ACCOUNT).unwrap(), &layers);
}

fn check(manifest: &str, granted: &[Right], all: &BTreeSet<Attributes>) {
    let mut unused: BTreeSet<&Right> = granted.iter().collect();
    for asked in all {
        assert!(granted.iter().any(|right| right.covers(asked)), "{manifest} does not grant {asked:?}");
        unused.retain(|right| !right.covers(asked));
    }
    let unused: Vec<String> = unused.iter().map(ToString::to_string).collect();
    assert!(unused.is_empty(), "{manifest} grants what nobody asks for: {unused:#?}");
}

#[test]
fn the_manifest_has_no_wildcard_and_no_right_twice() {
    let (granted, bootstrap) = (rights(MANIFEST, ACCOUNT).unwrap(), rights(BOOTSTRAP_MANIFEST, ACCOUNT).unwrap());
    let all: Vec<&Right> = granted.iter().chain(&bootstrap).collect();
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    let words = all.iter().flat_map(|right| [&right.verb, &right.group, &right.resource]);
    assert!(words.into_iter().all(|word| word != "*"));
    assert!(all.iter().all(|right| !["secrets", "pods/exec"].contains(&right.resource.as_str())));
    assert!(granted.iter().all(|right| right.resource != "configmaps" || right.verb == "get"), "by name alone");
    assert!(bootstrap.iter().all(|right| ["get", "create"].contains(&right.verb.as_str())), "what is there stays as it is");
}

#[test]
fn config_check_names_the_rights_that_layers_lack() {
    let dir = tempfile::tempdir().unwrap();
    let run = on_runtime(async {
        let served = served(dir.path()).await;
        // Another door to the same cluster, with the first manifest alone.
        let (identity, door) = (tls::identity().unwrap(), api::bind(0).unwrap());
        let access = Arc::new(Access::new(MANIFEST, File::create(dir.path().join("door.log")).unwrap()).unwrap());
        fs::write(dir.path().join(ANANKES), anankes_kubeconfig(&identity, access.token(), door.address)).unwrap();
        let store: Arc<dyn ObjectStore> = served.cluster().clone();
        let _door = tokio::spawn(api::run(door, identity.server.clone(), access, store));
        let config = dir.path().join("ananke.yaml");
        let text = fs::read_to_string(&config).unwrap();
        fs::write(&config, format!("bootstrap: {{layers: [flux-system/git]}}\n{text}")).unwrap();
        let check = move || ananke(&["config", "check", "--config", config.to_str().unwrap()]);
        tokio::task::spawn_blocking(check).await.unwrap()
    });
    let run = run.exits(3);
    let lines: Vec<&str> = run.stdout.lines().filter_map(|line| line.strip_prefix("cannot work: ")).collect();
    let layers = "deploy/rbac-bootstrap.yaml grants it";
    assert!(lines.len() > 5 && lines.iter().all(|line| line.ends_with(layers)), "{run}");
    assert!(lines.contains(&format!("this kubeconfig may not create configmaps; {layers}").as_str()), "{run}");
    assert!(run.stdout.contains("answered: rights: all that deploy/rbac.yaml grants"), "{run}");
}

#[test]
fn kubectl_is_told_what_ananke_may_do() {
    if !require("kubectl", "kubernetes-client") {
        return;
    }
    let cluster = Cluster::up(&["--scenario", "healthy", "--nodes", "4"]);
    let kubeconfig = cluster.path(ANANKES);
    let can = |words: &[&str]| {
        let args = [&["--kubeconfig", kubeconfig.to_str().unwrap(), "auth", "can-i"], words].concat();
        let run = cluster.kubectl(&args);
        (run.code, run.stdout.trim().to_owned())
    };
    let (yes, no) = ((Some(0), "yes".to_owned()), (Some(1), "no".to_owned()));
    assert_eq!(can(&["patch", "nodes"]), yes);
    assert_eq!(can(&["create", "pods", "--subresource=eviction", "-n", "apps"]), yes);
    assert_eq!(can(&["patch", "leases/ananke", "-n", "kube-system"]), yes);
    assert_eq!(can(&["patch", "leases/other", "-n", "kube-system"]), no);
    assert_eq!(can(&["delete", "nodes"]), no);
    assert_eq!(can(&["list", "secrets"]), no);
    let admin = cluster.kubectl(&["auth", "can-i", "delete", "nodes"]);
    assert_eq!(admin.stdout.trim(), "yes", "{admin}");
    let refused = cluster.kubectl(&["--kubeconfig", kubeconfig.to_str().unwrap(), "get", "secrets", "-A"]);
    assert!(refused.said().contains("secrets is forbidden: User \"system:serviceaccount:kube-system:ananke\""), "{refused}");
}
