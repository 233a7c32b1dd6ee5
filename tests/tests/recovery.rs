//! One power loss from end to end, on the built binary: brought back, shut down, brought back again. One node of the
//! cluster is a real OpenSSH sshd, and kubectl looks on as a client that knows nothing of Ananke.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and this one starts real programs"
)]

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use ananke_tests::{Cluster, Going, LIMIT, ananke, require, until};
use serde_json::Value;

/// The node behind the real sshd. Its k3s does not start by itself, so that someone must say so over SSH.
const REAL: &str = "titan-07";

/// The node that a person has cordoned.
const PERSONS: &str = "titan-20";

#[test]
fn a_cluster_comes_back_from_a_power_loss_and_from_a_shutdown() {
    let cluster = Cluster::up(&["--speed", "20"]);
    cluster.inject("unit-disabled", Some(REAL));
    let sshd = Sshd::in_front_of(&cluster, REAL);

    what_is_down_is_shown(&cluster);
    let up = until("all hosts and the API are up", LIMIT, || {
        let truth = cluster.truth();
        (truth["hosts_up"] == 30 && truth["api"] == true).then(|| truth["seconds"].as_i64().unwrap())
    });
    // A unit that does not run is only early for as long.
    until("a minute more has passed there", LIMIT, || (cluster.truth()["seconds"].as_i64() > Some(up + 65)).then_some(()));
    let by_kubectl = require("kubectl", "kubernetes-client").then_some(&cluster);
    by_kubectl.map(kubectl_sees_the_cluster);
    a_dry_run_only_looks(&cluster);

    let told = cluster.ananke(&["startup", "--execute"]).ok();
    assert!(told.contains("startup: the cluster is up"), "{told}");
    assert!(told.contains(&format!("start unit k3s-agent on {REAL}")), "{told}");
    it_is_up(&cluster);
    if let Some(sshd) = &sshd {
        assert!(sshd.ran("env LC_ALL=C sudo -n systemctl start --no-block k3s-agent"), "{:?}", sshd.lines());
    }
    by_kubectl.map(the_persons_cordon_stands);

    it_is_shut_down_as_the_seed_says(&cluster);
    if let Some(sshd) = &sshd {
        assert!(sshd.ran("env LC_ALL=C sudo -n systemctl stop k3s-agent"), "{:?}", sshd.lines());
    }

    let config = fs::read_to_string(cluster.config()).unwrap();
    fs::write(cluster.config(), format!("{config}\nbootstrap: {{layers: [flux-system/registry, flux-system/git]}}\n")).unwrap();
    let report = cluster.ananke(&["startup", "--execute", "-o", "json"]).exits(0).json();
    assert_eq!((&report["outcome"], &report["dry_run"]), (&"done".into(), &false.into()), "{report:#}");
    it_is_up(&cluster);
    if let Some(cluster) = by_kubectl {
        the_persons_cordon_stands(cluster);
        let list: Value = serde_json::from_str(&cluster.kubectl(&["get", "kustomizations", "-A", "-o", "json"]).ok()).unwrap();
        let items = list["items"].as_array().unwrap();
        let suspended: Vec<_> = items.iter().filter(|item| item["spec"]["suspend"] == true).collect();
        assert!(items.len() > 10 && suspended.is_empty(), "still suspended: {suspended:#?}");
    }
    layers_are_kept(&cluster);
    the_state_is_readable(&cluster);
}

fn layers_are_kept(cluster: &Cluster) {
    let layer = cluster.state("bootstrap-cache/flux-system_registry.json");
    let kinds: Vec<_> = layer["objects"].as_array().unwrap().iter().map(|one| one["body"]["kind"].as_str().unwrap()).collect();
    assert!(kinds.contains(&"Deployment") && !kinds.contains(&"Secret"), "{kinds:?}");
    let told = cluster.ananke(&["config", "check", "--offline"]).ok();
    let line = told.lines().find(|line| line.starts_with("layers: ")).unwrap();
    assert!(line.matches(" old").count() == 2, "{line}");
}

fn what_is_down_is_shown(cluster: &Cluster) {
    let told = cluster.ananke(&["status"]).exits(3).stdout;
    for expected in ["status: not everything passes", "titan-01", "node-ssh", "connect on "] {
        assert!(told.contains(expected), "no {expected:?} in {told}");
    }
    let report = cluster.ananke(&["status", "-o", "json"]).exits(3).json();
    assert_eq!((&report["command"], &report["outcome"]), (&"status".into(), &"failed".into()), "{report:#}");
    assert!(cluster.state_files().is_empty(), "status wrote {:?}", cluster.state_files().keys());
}

fn kubectl_sees_the_cluster(cluster: &Cluster) {
    let kubectl = |args: &[&str]| cluster.kubectl(args).ok();
    let listed = kubectl(&["get", "nodes,pods", "-A"]);
    assert_eq!(listed.lines().filter(|line| line.starts_with("node/titan-")).count(), 30, "{listed}");
    assert!(listed.lines().any(|line| line.contains("pod/") && line.starts_with("flux-system ")), "{listed}");

    let flux = kubectl(&["get", "kustomizations,gitrepositories", "-A"]);
    assert!(flux.contains("kustomization.kustomize.toolkit.fluxcd.io/monitoring"), "{flux}");
    assert!(flux.contains("gitrepository.source.toolkit.fluxcd.io/flux-system"), "{flux}");

    let described = kubectl(&["describe", "node", "titan-01"]);
    for expected in ["Boot ID:", "KubeletReady", "Non-terminated Pods:", "HolderIdentity:  titan-01"] {
        assert!(described.contains(expected), "no {expected:?} in {described}");
    }

    kubectl(&["cordon", "titan-21", PERSONS]);
    assert!(kubectl(&["get", "node", "titan-21"]).contains("Ready,SchedulingDisabled"));
    kubectl(&["uncordon", "titan-21"]);
    assert!(!kubectl(&["get", "node", "titan-21"]).contains("SchedulingDisabled"));
}

fn the_persons_cordon_stands(cluster: &Cluster) {
    assert!(cluster.kubectl(&["get", "node", PERSONS]).ok().contains("SchedulingDisabled"), "a person's cordon was undone");
    let noted = cluster.state("last-startup-report.json")["notes"].to_string();
    assert!(noted.contains(PERSONS), "the report does not mention the person's cordon: {noted}");
}

fn a_dry_run_only_looks(cluster: &Cluster) {
    let (asked, truth) = (cluster.requests().len(), cluster.truth());
    let told = cluster.ananke(&["startup"]).ok();
    for expected in ["dry run: nothing was changed", "it would:", &format!("start unit k3s-agent on {REAL}")] {
        assert!(told.contains(expected), "no {expected:?} in {told}");
    }
    let requests = cluster.requests();
    let changing = |line: &&String| {
        let looks = line.starts_with("GET ") || line.starts_with("HEAD ") || line.contains(" sh -c '");
        let asks = line.starts_with("POST /apis/coordination.k8s.io/v1/namespaces/kube-system/leases?dryRun=All");
        !looks && !asks
    };
    let changing: Vec<_> = requests[asked..].iter().filter(changing).collect();
    assert!(requests.len() > asked + 30 && changing.is_empty(), "{} requests, {changing:?}", requests.len() - asked);
    assert!(cluster.state_files().is_empty(), "a dry run wrote {:?}", cluster.state_files().keys());
    assert!(truth["units_running"].as_u64() < Some(30), "{truth}");
    assert!(cluster.truth()["units_running"].as_u64() < Some(30), "a dry run started a unit");
}

fn it_is_up(cluster: &Cluster) {
    let truth = cluster.truth();
    assert_eq!(truth["workloads_converged"], truth["workloads"], "{truth}");
    assert_eq!((&truth["units_running"], &truth["cordons"]), (&30.into(), &Value::Array(vec![])), "{truth}");
    let status = cluster.ananke(&["status", "-o", "json"]).exits(0).json();
    assert_eq!(status["outcome"], "done", "{status:#}");
    assert_eq!(cluster.state("intent.json")["state"], "normal");
}

fn it_is_shut_down_as_the_seed_says(cluster: &Cluster) {
    let config = cluster.config();
    let config = config.to_str().unwrap();
    let reason = ["--reason", "graceful-maintenance", "--mode", "cluster-only"];
    let told = ananke(&[&["shutdown", "--config", config, "--execute"], &reason[..]].concat()).ok();
    for expected in ["servers-stopped   passed", "drained           passed", "cordons-released  passed"] {
        assert!(told.contains(expected), "no {expected:?} in {told}");
    }
    let truth = cluster.truth();
    assert_eq!((&truth["hosts_up"], &truth["units_running"], &truth["api"]), (&30.into(), &0.into(), &false.into()), "{truth}");
    assert_eq!(truth["cordons"], Value::Array(vec![]), "a cordon outlived the shutdown: {truth}");
    let intent = cluster.state("intent.json");
    assert_eq!((&intent["state"], &intent["reason"]), (&"shutdown_complete".into(), &"graceful-maintenance".into()));
    cluster.ananke(&["status"]).exits(3);
}

fn the_state_is_readable(cluster: &Cluster) {
    let all = ["startup-progress.json", "last-startup-report.json", "last-shutdown-report.json", "leases.json", "intent.json"];
    for name in all {
        assert!(cluster.state(name)["schema"].is_u64(), "no schema in {name}");
    }
    let leases = cluster.state("leases.json");
    let leases = leases["leases"].as_array().unwrap();
    assert!(leases.iter().all(|lease| lease["state"] == "released"), "{leases:#?}");
    let files = cluster.state_files();
    let lines: Vec<_> = files.iter().filter(|(path, _)| path.extension().is_some_and(|end| end == "jsonl")).collect();
    let journals = lines.iter().filter(|(path, _)| path.parent().is_some_and(|dir| dir.ends_with("journal")));
    assert_eq!(journals.count(), 3, "one for each run that acted");
    for (path, text) in lines {
        for line in String::from_utf8_lossy(text).lines() {
            let entry: Value = serde_json::from_str(line).unwrap();
            assert!(entry["schema"].is_u64(), "{}: {line}", path.display());
        }
    }
}

/// A real sshd as the user of the test, which hands every line on to the simulated host.
struct Sshd {
    _serves: Going,
    lines: std::path::PathBuf,
}

impl Sshd {
    /// Puts it between Ananke and `node`; none where OpenSSH is not installed.
    fn in_front_of(cluster: &Cluster, node: &str) -> Option<Self> {
        let there = [("sshd", "openssh-server"), ("ssh", "openssh-client"), ("ssh-keygen", "openssh-client")];
        if !there.iter().all(|(tool, package)| require(tool, package)) {
            return None;
        }
        let dir = cluster.path("sshd");
        fs::create_dir(&dir).unwrap();
        let file = |name: &str| dir.join(name);
        let host_key = file("host_key");
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]).arg(&host_key);
        Going::spawn(&mut keygen).end(LIMIT).ok();

        let config = fs::read_to_string(cluster.config()).unwrap();
        let entry = config.lines().find(|line| line.trim_start().starts_with(&format!("{node}:"))).unwrap().to_owned();
        let behind = entry.trim_end_matches('"').rsplit(':').next().unwrap().to_owned();
        relay(&file("relay"), cluster.dir(), &behind);
        let key = fs::read_to_string(cluster.path("id_ed25519.pub")).unwrap();
        fs::write(file("authorized_keys"), format!("restrict,command=\"{}\" {key}", file("relay").display())).unwrap();

        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        serve(&file("sshd_config"), port);
        let user = Going::spawn(Command::new("id").arg("-un")).end(LIMIT).ok();
        if user.trim() == "root" {
            // Where sshd goes when it is root; packages make it at boot, which a container never does.
            fs::create_dir_all("/run/sshd").unwrap();
        }
        let sshd = Going::spawn(Command::new("/usr/sbin/sshd").args(["-D", "-e", "-f"]).arg(file("sshd_config")));

        let known = cluster.path("known_hosts");
        let public = fs::read_to_string(file("host_key.pub")).unwrap();
        fs::write(&known, format!("{}[127.0.0.1]:{port} {public}", fs::read_to_string(&known).unwrap())).unwrap();
        cluster.edit_config(|text| {
            let there = format!("  {node}: \"127.0.0.1:{port}\"");
            format!("{}ssh_node_users: {{{node}: {}}}\n", text.replace(&entry, &there), user.trim())
        });
        until("sshd listens", LIMIT, || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        Some(Self { _serves: sshd, lines: file("lines") })
    }

    /// Every line that it was asked to run.
    fn lines(&self) -> Vec<String> {
        fs::read_to_string(&self.lines).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    fn ran(&self, line: &str) -> bool {
        self.lines().iter().any(|ran| ran == line)
    }
}

/// What stands behind the sshd: the same line, asked of the simulated host, with its output and exit code.
fn relay(at: &Path, cluster: &Path, port: &str) {
    let (dir, cluster) = (at.parent().unwrap().display(), cluster.display());
    let script = format!(
        "#!/bin/sh\nprintf '%s\\n' \"$SSH_ORIGINAL_COMMAND\" >> {dir}/lines\n\
         exec ssh -F none -T -n -i {cluster}/id_ed25519 -o IdentitiesOnly=yes -o BatchMode=yes -o ConnectTimeout=5 \
         -o StrictHostKeyChecking=yes -o UserKnownHostsFile={cluster}/known_hosts -o GlobalKnownHostsFile=none \
         -p {port} ananke@127.0.0.1 \"$SSH_ORIGINAL_COMMAND\"\n"
    );
    fs::write(at, script).unwrap();
    fs::set_permissions(at, PermissionsExt::from_mode(0o755)).unwrap();
}

fn serve(config: &Path, port: u16) {
    let dir = config.parent().unwrap().display();
    let text = format!(
        "ListenAddress 127.0.0.1\nPort {port}\nHostKey {dir}/host_key\nAuthorizedKeysFile {dir}/authorized_keys\nPidFile none\n\
         StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
    );
    fs::write(config, text).unwrap();
}
