//! Cordon leases from outside: the built binary against a served cluster, with `kubectl` as the person who looks and cordons.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, reads JSON, and runs a command as another user"
)]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use ananke_tests::{Cluster, Going, LIMIT, Run, binary, require, until};
use serde_json::Value;

/// Simulated seconds in a second.
const SPEED: &str = "40";

const NODE: &str = "titan-05";

fn cluster(scenario: &str) -> Cluster {
    Cluster::up(&["--nodes", "6", "--speed", SPEED, "--scenario", scenario])
}

fn kubectl_is_there() -> bool {
    require("kubectl", "kubectl")
}

/// Nobody who is woken at night shall read a backtrace.
#[track_caller]
fn calm(run: Run) -> Run {
    let said = run.said();
    for word in ["panicked", "RUST_BACKTRACE", "internal error"] {
        assert!(!said.contains(word), "{run}");
    }
    run
}

/// Replaces the value of a key that stands in the config once.
fn set(cluster: &Cluster, key: &str, value: &str) {
    cluster.edit_config(|text| {
        let line = |line: &str| match line.split_once(':') {
            Some((found, _)) if found.trim_start() == key => format!("{found}: {value}"),
            Some(_) | None => line.to_owned(),
        };
        text.lines().map(line).collect::<Vec<_>>().join("\n") + "\n"
    });
}

#[track_caller]
fn node(cluster: &Cluster, name: &str) -> Value {
    serde_json::from_str(&cluster.kubectl(&["get", "node", name, "-o", "json"]).ok()).expect("kubectl speaks JSON")
}

/// Keys of the node's taints.
fn taints(node: &Value) -> Vec<&str> {
    node["spec"]["taints"].as_array().into_iter().flatten().filter_map(|taint| taint["key"].as_str()).collect()
}

/// What of Ananke stands on the node: taints, annotations and labels.
fn traces(node: &Value) -> Vec<String> {
    let keys = |at: &str| node["metadata"][at].as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect::<Vec<_>>();
    let all = taints(node).into_iter().map(str::to_owned).chain(keys("annotations")).chain(keys("labels"));
    all.filter(|key| key.starts_with("ananke.dev/")).collect()
}

/// `date`, so that a test needs no calendar.
fn date(when: &str) -> String {
    let run = Going::spawn(Command::new("date").args(["-u", "-d", when, "+%FT%TZ"])).end(LIMIT);
    run.ok().trim().to_owned()
}

/// Puts a lease on a node as an Ananke would have that died two hours ago, and whose disk is lost.
#[track_caller]
fn plant(cluster: &Cluster, name: &str) -> String {
    let id = format!("startup-20260314T020611Z-{name}");
    let uid = |of: &[&str]| {
        let found: Value =
            serde_json::from_str(&cluster.kubectl(&[of, &["-o", "json"]].concat()).ok()).expect("kubectl speaks JSON");
        found["metadata"]["uid"].clone()
    };
    let lease = serde_json::json!({
        "schema": 1,
        "id": id,
        "holder": "another-host",
        "node": name,
        "node_uid": uid(&["get", "node", name]),
        "cluster_uid": uid(&["get", "namespace", "kube-system"]),
        "reason": "a test",
        "acquired": date("2 hours ago"),
        "expires": date("1 hour ago"),
        "remove_with": "kubectl taint",
    });
    cluster.kubectl(&["annotate", "node", name, &format!("ananke.dev/cordon-lease={lease}")]).ok();
    cluster.kubectl(&["taint", "node", name, &format!("ananke.dev/cordon={id}:NoSchedule")]).ok();
    id
}

/// Whether a line of the request log changes nothing; the dry-run write of the control-plane gate changes nothing either.
fn only_looks(line: &str) -> bool {
    let lease = "POST /apis/coordination.k8s.io/v1/namespaces/kube-system/leases?dryRun=All";
    let acts =
        ["systemctl start", "systemctl stop", "systemctl restart", "systemctl enable", "systemctl poweroff", "killall", "save"];
    let ssh = line.starts_with("SSH ") && acts.iter().all(|act| !line.contains(act));
    line.starts_with("GET ") || line.starts_with("HEAD ") || line.starts_with(lease) || ssh
}

#[test]
fn dry_runs_only_read_and_sweep_no_lease() {
    if !kubectl_is_there() {
        return;
    }
    let cluster = cluster("healthy");
    let id = plant(&cluster, NODE);
    // Files that a dry run might want to set aside, or to write.
    let state = cluster.path("state");
    fs::write(state.join("leases.json"), "{\"schema\": 1, \"lea").expect("the state can be written");
    fs::write(state.join("startup-progress.json"), "{").expect("the state can be written");
    let before = (cluster.state_files(), traces(&node(&cluster, NODE)));
    for command in [&["startup"][..], &["shutdown"], &["status"], &["lease", "list"], &["report"], &["confirm-off", "--list"]] {
        let asked = cluster.requests().len();
        let run = calm(cluster.ananke(command));
        assert!(matches!(run.code, Some(0 | 3 | 4)), "{run}");
        let wrote: Vec<String> = cluster.requests().split_off(asked).into_iter().filter(|line| !only_looks(line)).collect();
        assert!(wrote.is_empty(), "{command:?} acted: {wrote:?}");
        assert_eq!((cluster.state_files(), traces(&node(&cluster, NODE))), before, "{command:?} changed something: {run}");
    }
    let taints = node(&cluster, NODE)["spec"]["taints"].to_string();
    assert!(taints.contains(&id), "{taints}");
}

#[test]
fn a_living_machine_is_not_confirmed_to_be_off_and_a_dead_one_is() {
    let cluster = cluster("power-loss");
    cluster.inject("never-boots", Some(NODE));
    until("the other hosts run", LIMIT, || (cluster.truth()["hosts_up"] == 5).then_some(()));

    let living = calm(cluster.ananke(&["confirm-off", "titan-04"])).exits(5);
    assert!(living.stderr.contains("titan-04 is not off: it answers over SSH"), "{living}");
    let unknown = calm(cluster.ananke(&["confirm-off", "titan-99"])).exits(2);
    assert!(unknown.stderr.contains("no node \"titan-99\"; it has titan-01"), "{unknown}");
    calm(cluster.ananke(&["confirm-off"])).exits(2);
    assert_eq!(calm(cluster.ananke(&["confirm-off", "--list", "-o", "json"])).exits(0).json(), Value::Array(vec![]));

    let dead = calm(cluster.ananke(&["confirm-off", NODE])).exits(0);
    assert!(dead.stdout.contains("titan-05 is noted as off"), "{dead}");
    let noted = calm(cluster.ananke(&["confirm-off", "--list", "-o", "json"])).exits(0).json();
    assert_eq!((noted[0]["node"].as_str(), noted.as_array().map(Vec::len)), (Some(NODE), Some(1)), "{noted}");
    assert!(noted[0]["boot_id"].is_string(), "the boot that is over, as the API has it: {noted}");
    assert!(calm(cluster.ananke(&["confirm-off", "--clear", NODE])).ok().contains("not noted as off any longer"));
    assert!(calm(cluster.ananke(&["confirm-off", "--list"])).ok().contains("no machine is noted as off"));
}

#[test]
fn a_port_that_is_refused_is_life_and_a_kubelet_that_renews_its_lease_where_nothing_is_asked_over_ssh() {
    let cluster = cluster("power-loss");
    cluster.inject("sshd-down", Some(NODE));
    until("all hosts run and the API answers", LIMIT, || {
        let truth = cluster.truth();
        (truth["hosts_up"] == 6 && truth["api"] == true).then_some(())
    });
    let refused = calm(cluster.ananke(&["confirm-off", NODE])).exits(5);
    assert!(refused.stderr.contains("titan-05 is not off: "), "{refused}");
    assert!(refused.stderr.contains("at its SSH address"), "{refused}");
    cluster.edit_config(|text| format!("{text}ssh_node_transport: {{{NODE}: none}}\n"));
    until("its kubelet is seen to live", LIMIT, || {
        let run = calm(cluster.ananke(&["confirm-off", NODE]));
        (run.code == Some(5) && run.stderr.contains("its kubelet has just renewed its Lease")).then_some(())
    });
}

#[test]
fn what_is_no_lease_is_told_with_what_there_is() {
    let cluster = cluster("healthy");
    for command in ["show", "release"] {
        let run = calm(cluster.ananke(&["lease", command, "titan-99"])).exits(2);
        assert!(run.stderr.contains("\"titan-99\" is no node with a lease and no lease; there are no leases"), "{run}");
    }
    let none = calm(cluster.ananke(&["lease", "list"])).ok();
    assert!(none.contains("no node is cordoned by Ananke"), "{none}");
    assert!(calm(cluster.ananke(&["report"])).ok().contains("there is no report in"));
}

/// Every command that only reads the state says what is wrong with it, and ends as it should.
#[test]
fn torn_state_is_told_by_the_binary_and_ends_in_no_panic() {
    let cluster = cluster("healthy");
    calm(cluster.ananke(&["startup", "--execute"])).exits(0);
    let state = cluster.path("state");
    let files = [
        ("intent.json", &["intent", "show"][..], 1),
        ("last-startup-report.json", &["report"], 0),
        ("leases.json", &["lease", "list"], 0),
    ];
    for (file, command, code) in files {
        let path = state.join(file);
        let whole = fs::read(&path).unwrap_or_else(|_| b"{\"schema\": 1, \"leases\": []}\n".to_vec());
        let cuts = [0, 1, whole.len() / 2, whole.len().saturating_sub(3)].map(|end| whole[..end].to_vec());
        for torn in cuts.into_iter().chain([b"{\"schema\": 99}".to_vec(), vec![0xff; 4096]]) {
            fs::write(&path, &torn).expect("the state can be written");
            let run = calm(cluster.ananke(command)).exits(code);
            assert!(run.said().contains(&path.display().to_string()) || run.said().contains(file), "{run}");
            assert_eq!(fs::read(&path).expect("it is still there"), torn, "who only looks sets nothing aside: {run}");
        }
        fs::write(&path, &whole).expect("the state can be written");
    }
    // A torn intent holds a start-up, and is cleared by a person; then all is well again.
    fs::write(state.join("intent.json"), "{\"schema\": 1, \"sta").expect("the state can be written");
    let held = calm(cluster.ananke(&["startup", "--execute"]));
    assert!(matches!(held.code, Some(3..=5)) && held.said().contains("intent clear"), "{held}");
    assert!(calm(cluster.ananke(&["intent", "clear"])).ok().contains("intent.json.torn-1"));
    calm(cluster.ananke(&["startup", "--execute"])).exits(0);
}

#[test]
fn a_torn_lease_file_is_kept_and_rebuilt_from_the_nodes_by_the_next_run() {
    if !kubectl_is_there() {
        return;
    }
    let cluster = cluster("healthy");
    let id = plant(&cluster, NODE);
    let leases = cluster.path("state/leases.json");
    fs::write(&leases, "{\"schema\": 1, \"leases\": [{\"id").expect("the state can be written");
    let run = calm(cluster.ananke(&["startup", "--execute"])).exits(0);
    assert!(run.stdout.contains("leases.json.torn-1"), "it says where the torn one is: {run}");
    let rebuilt = cluster.state("leases.json");
    assert_eq!(
        (rebuilt["leases"][0]["id"].as_str(), rebuilt["leases"][0]["state"].as_str()),
        (Some(id.as_str()), Some("released"))
    );
    assert_eq!(traces(&node(&cluster, NODE)), Vec::<String>::new(), "its hour is over and the node is well: {run}");
}

/// Runs a script in a mount namespace; `$ANANKE` is the binary, `$CONFIG` and `$STATE` are the cluster's.
fn in_a_namespace(cluster: &Cluster, flags: &str, script: &str) -> Run {
    let mut command = Command::new("unshare");
    command.args([flags, "sh", "-c", script]).env("ANANKE", binary()).env("HOME", cluster.dir());
    command.env("CONFIG", cluster.config()).env("STATE", cluster.path("state"));
    calm(Going::spawn(&mut command).end(LIMIT))
}

#[test]
fn a_lease_is_released_on_a_full_disk() {
    if !kubectl_is_there() || !require("unshare", "util-linux") {
        return;
    }
    let cluster = cluster("healthy");
    let mount = "mount -t tmpfs -o size=4m,mode=700 tmpfs \"$STATE\"";
    // As root a mount namespace is enough, others need a user namespace around it.
    let able = |flags: &&str| in_a_namespace(&cluster, flags, mount).code == Some(0);
    let Some(flags) = ["-m", "-Urm"].into_iter().find(able) else {
        panic!("no tmpfs can be mounted with unshare -m, nor with unshare -Urm");
    };
    plant(&cluster, NODE);
    let filled = "\"$ANANKE\" intent clear --config \"$CONFIG\" && { cat /dev/zero > \"$STATE/filler\" || true; } 2>/dev/null";
    let release = format!("\"$ANANKE\" lease release {NODE} --config \"$CONFIG\"");
    let run = in_a_namespace(&cluster, flags, &format!("{mount} && {filled} && {release}")).exits(0);
    assert!(run.stderr.contains("the disk is full: the reserve is used"), "it was full: {run}");
    assert_eq!(traces(&node(&cluster, NODE)), Vec::<String>::new(), "{run}");
}

/// Gives everything in the directory to another user.
fn give_away(dir: &Path, to: u32) {
    chown(dir, Some(to), Some(to)).expect("root may give away");
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            give_away(&path, to);
        } else {
            chown(&path, Some(to), Some(to)).expect("root may give away");
        }
    }
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_with_a_way_out_and_is_not_replaced() {
    const NOBODY: u32 = 65534;
    let cluster = cluster("healthy");
    let state = cluster.path("state");
    let leases = state.join("leases.json");
    fs::write(&leases, "{\"schema\": 1, \"leases\": []}\n").expect("the state can be written");
    fs::write(state.join("intent.json"), "{\"schema\": 1}\n").expect("the state can be written");
    // Root reads everything, so the command runs as somebody else.
    let root = fs::metadata("/proc/self").expect("proc").uid() == 0;
    if root {
        give_away(cluster.dir(), NOBODY);
    }
    for file in [&leases, &state.join("intent.json")] {
        fs::set_permissions(file, fs::Permissions::from_mode(0o000)).expect("the mode can be set");
    }
    let run = |args: &[&str]| {
        let mut command = Command::new(binary());
        command.args(args).arg("--config").arg(cluster.config()).env("HOME", cluster.dir());
        if root {
            command.uid(NOBODY).gid(NOBODY);
        }
        calm(Going::spawn(&mut command).end(LIMIT))
    };
    let intent = run(&["intent", "show"]).exits(1);
    assert!(intent.stderr.contains("intent.json: Permission denied") && intent.stderr.contains("sudo"), "{intent}");
    let listed = run(&["lease", "list"]).exits(0);
    assert!(listed.stdout.contains("leases.json: Permission denied"), "{listed}");
    let held = run(&["startup", "--execute"]);
    assert!(matches!(held.code, Some(3..=5)), "a lost intent holds: {held}");
    fs::set_permissions(&leases, fs::Permissions::from_mode(0o600)).expect("the mode can be set");
    assert_eq!(fs::read_to_string(&leases).expect("it is there"), "{\"schema\": 1, \"leases\": []}\n", "it was not replaced");
}

/// How long a node may be silent in the tests below before it is a person's: the others have come back long before.
fn hurry(cluster: &Cluster) {
    set(cluster, "nodes-ready", "25s");
    set(cluster, "restart_after", "2s");
    set(cluster, "cordon_window", "8s");
}

/// The node carries the mark, and the start-up said the same sentence as the mark.
#[track_caller]
fn is_marked(cluster: &Cluster, run: &Run) -> String {
    let marked = node(cluster, NODE);
    assert_eq!(marked["metadata"]["labels"]["ananke.dev/manual-action"], "required", "{marked} after {run}");
    let sentence = marked["metadata"]["annotations"]["ananke.dev/manual-action"].as_str().expect("an annotation").to_owned();
    assert!(sentence.contains(NODE), "{sentence}");
    assert!(taints(&marked).contains(&"ananke.dev/cordon"), "the taint stays until a person acts: {marked}");
    sentence
}

#[test]
fn a_node_that_never_gets_ready_is_marked_listed_and_released() {
    if !kubectl_is_there() {
        return;
    }
    let cluster = cluster("power-loss");
    hurry(&cluster);
    cluster.inject("node-never-ready", Some(NODE));
    let run = calm(cluster.ananke(&["startup", "--execute"])).exits(4);
    let report = cluster.state("last-startup-report.json");
    let instructions: Vec<&str> =
        report["manual"].as_array().into_iter().flatten().filter_map(|manual| manual["instruction"].as_str()).collect();
    assert_eq!(instructions.len(), 1, "one sentence: {run}");
    assert!(run.stdout.contains(&format!("1. {NODE} needs a person: ")), "{run}");
    let sentence = is_marked(&cluster, &run);

    let listed = calm(cluster.ananke(&["lease", "list"])).ok();
    assert!(listed.contains(&format!("{NODE}: needs a person")) && listed.contains(&sentence), "{listed}");
    let shown = calm(cluster.ananke(&["lease", "show", NODE, "-o", "json"])).exits(0).json();
    assert_eq!(shown["leases"][0]["manual"], sentence.as_str(), "{shown}");
    assert_eq!(shown["leases"][0]["on_node"], true, "{shown}");

    let released = calm(cluster.ananke(&["lease", "release", NODE])).ok();
    assert!(released.contains(NODE), "{released}");
    assert_eq!(traces(&node(&cluster, NODE)), Vec::<String>::new(), "{released}");
    assert!(calm(cluster.ananke(&["lease", "list"])).ok().contains("no node is cordoned by Ananke"));
    // Once more is no error: nothing is there.
    calm(cluster.ananke(&["lease", "release", NODE])).exits(0);
}

/// A person's cordon outlasts the lease; what else of the node's spec they set does too.
#[track_caller]
fn the_persons_cordon_is_kept(cluster: &Cluster, run: &Run) {
    let left = node(cluster, NODE);
    assert_eq!(left["spec"]["unschedulable"], true, "{left} after {run}");
    is_marked(cluster, run);
    calm(cluster.ananke(&["lease", "release", NODE])).exits(0);
    let left = node(cluster, NODE);
    assert_eq!((&left["spec"]["unschedulable"], traces(&left)), (&Value::Bool(true), vec![]), "{left}");
}

#[test]
fn a_persons_cordon_from_before_a_lease_is_still_there_after_it() {
    if !kubectl_is_there() {
        return;
    }
    let cluster = cluster("healthy");
    hurry(&cluster);
    cluster.kubectl(&["cordon", NODE]).ok();
    cluster.inject("node-never-ready", Some(NODE));
    cluster.power("cut");
    until("the lights are out", LIMIT, || (cluster.truth()["hosts_up"] == 0).then_some(()));
    cluster.power("restore");
    // The batteries are empty.
    let run = calm(cluster.ananke(&["startup", "--execute", "--allow-on-battery"])).exits(4);
    the_persons_cordon_is_kept(&cluster, &run);
}

#[test]
fn a_persons_cordon_during_a_lease_is_still_there_after_it() {
    if !kubectl_is_there() {
        return;
    }
    let cluster = cluster("power-loss");
    hurry(&cluster);
    cluster.inject("node-never-ready", Some(NODE));
    let run = cluster.start(&["startup", "--execute"]);
    until("the lease is held", LIMIT, || {
        let leases = fs::read_to_string(cluster.path("state/leases.json")).ok()?;
        leases.contains("\"held\"").then_some(())
    });
    cluster.kubectl(&["cordon", NODE]).ok();
    assert!(taints(&node(&cluster, NODE)).contains(&"ananke.dev/cordon"), "it was cordoned under the lease");
    let run = calm(run.end(LIMIT + Duration::from_secs(30))).exits(4);
    the_persons_cordon_is_kept(&cluster, &run);
}
