//! What goes wrong while a cluster comes back: another branch, hosts that stay away, an API server that answers 500, runs
//! that are killed, doubled, interrupted or overtaken. The built binary against a served cluster, from outside.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, reads JSON, and measures real time"
)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ananke_tests::{Cluster, Going, LIMIT, Run, require, until};
use serde_json::Value;

/// Simulated seconds in a second: a power loss is over in some.
const SPEED: &str = "40";

/// What `Cluster::up` is given for a cluster of `nodes` in `scenario`.
fn cluster(nodes: &str, scenario: &str) -> Cluster {
    Cluster::up(&["--nodes", nodes, "--speed", SPEED, "--scenario", scenario])
}

fn power_loss() -> Cluster {
    cluster("6", "power-loss")
}

fn running() -> Cluster {
    cluster("6", "healthy")
}

/// Replaces the value of a key that stands in the config once.
fn set(cluster: &Cluster, key: &str, value: &str) {
    cluster.edit_config(|text| {
        let lines: Vec<String> = text
            .lines()
            .map(|line| match line.split_once(':') {
                Some((found, _)) if found.trim_start() == key => format!("{found}: {value}"),
                Some(_) | None => line.to_owned(),
            })
            .collect();
        lines.join("\n") + "\n"
    });
}

const STARTUP: [&str; 2] = ["startup", "--execute"];
const SHUTDOWN: [&str; 6] = ["shutdown", "--execute", "--reason", "graceful-maintenance", "--mode", "cluster-only"];

fn texts<'a>(values: &'a Value, key: &str) -> Vec<&'a str> {
    values.as_array().into_iter().flatten().filter_map(|value| value[key].as_str()).collect()
}

#[track_caller]
fn gate<'a>(report: &'a Value, id: &str) -> &'a Value {
    let gates = report["gates"].as_array().expect("a report has gates");
    gates.iter().find(|gate| gate["id"] == id).unwrap_or_else(|| panic!("no gate {id} in {report}"))
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

/// The progress file of a run that goes on, when it is there and whole.
fn progress(cluster: &Cluster, file: &str) -> Option<Value> {
    let text = std::fs::read_to_string(cluster.path("state").join(file)).ok()?;
    serde_json::from_str(&text).ok()
}

/// Waits until the run has sent `count` orders of `verb`, and is not over.
#[track_caller]
fn until_sent(cluster: &Cluster, file: &str, verb: &str, count: usize) -> Value {
    let progress = until(&format!("{count} orders {verb:?} stand in {file}"), LIMIT, || {
        let progress = progress(cluster, file)?;
        let sent = texts(&progress["actions"], "verb").into_iter().filter(|found| *found == verb).count();
        (sent >= count).then_some(progress)
    });
    assert!(progress["outcome"].is_null(), "too late, the run is over: {progress}");
    progress
}

/// Kills a run as a power cut would; the progress it left behind.
#[track_caller]
fn kill(cluster: &Cluster, file: &str, run: Going) -> Value {
    let died = run.kill();
    assert!(died.code.is_none(), "it ended before it was killed: {died}");
    let left = cluster.state(file);
    assert!(left["outcome"].is_null(), "it ended before it was killed: {left}");
    left
}

fn kubectl_is_there() -> bool {
    require("kubectl", "kubectl")
}

/// Node and what of Ananke stands in its taints; nodes without any are left out.
#[track_caller]
fn cordons(cluster: &Cluster) -> BTreeMap<String, Vec<String>> {
    let nodes: Value = serde_json::from_str(&cluster.kubectl(&["get", "nodes", "-o", "json"]).ok()).expect("kubectl speaks JSON");
    let items = nodes["items"].as_array().expect("a list has items");
    assert!(!items.is_empty(), "kubectl sees no node");
    let own = |node: &Value| -> Vec<String> {
        texts(&node["spec"]["taints"], "key").into_iter().filter(|key| key.contains("ananke")).map(str::to_owned).collect()
    };
    let found = items.iter().map(|node| (node["metadata"]["name"].to_string(), own(node)));
    found.filter(|(_, taints)| !taints.is_empty()).collect()
}

#[track_caller]
fn suspended(cluster: &Cluster) -> usize {
    let list = cluster.kubectl(&["get", "kustomizations", "-A", "-o", "json"]).ok();
    let list: Value = serde_json::from_str(&list).expect("kubectl speaks JSON");
    let items = list["items"].as_array().expect("a list has items");
    assert!(!items.is_empty(), "kubectl sees no Kustomization");
    items.iter().filter(|item| item["spec"]["suspend"] == true).count()
}

#[test]
fn another_branch_holds_until_it_is_forced() {
    let cluster = power_loss();
    cluster.inject("wrong-branch", None);
    let held = calm(cluster.ananke(&STARTUP)).exits(4);
    assert!(held.stdout.contains("is on branch incident, expected is main"), "{held}");
    let report = cluster.state("last-startup-report.json");
    let text = gate(&report, "flux-source")["text"].to_string();
    assert!(text.contains("incident") && text.contains("main"), "the gate names both branches: {text}");
    assert_eq!(gate(&report, "flux-source")["status"], "manual", "{report}");
    assert_eq!(texts(&report["manual"], "instruction").len(), 1, "{report}");

    let forced = calm(cluster.ananke(&["startup", "--execute", "--force-flux-branch", "main", "-o", "json"])).exits(0);
    let report = forced.json();
    let set: Vec<&str> = texts(&report["actions"], "text").into_iter().filter(|text| text.contains("set branch main")).collect();
    assert_eq!(set.len(), 1, "{forced}");
    assert!(texts(&report["actions"], "why").iter().any(|why| why.contains("incident")), "{forced}");
    assert_eq!(gate(&report, "flux-source")["status"], "passed", "{forced}");
    if kubectl_is_there() {
        let branch = cluster.kubectl(&["get", "gitrepositories", "-A", "-o", "jsonpath={.items[*].spec.ref.branch}"]).ok();
        assert_eq!(branch, "main");
    }
}

/// All but `node` recover; the run ends with exactly one instruction, for that node, in text and in JSON.
#[track_caller]
fn one_instruction_names(cluster: &Cluster, node: &str) -> Value {
    // The others have booted long before.
    set(cluster, "node-ssh", "8s");
    set(cluster, "nodes-ready", "8s");
    let run = calm(cluster.ananke(&STARTUP)).exits(4);
    let head: Vec<&str> = run.stdout.lines().skip_while(|line| *line != "A PERSON IS NEEDED:").take(3).collect();
    assert!(head.len() == 3 && head[1].starts_with(&format!("  1. {node}")), "{run}");
    assert!(!run.stdout.contains("\n  2. "), "one instruction, not more: {run}");

    let again = calm(cluster.ananke(&["startup", "--execute", "-o", "json"])).exits(4);
    let report = again.json();
    assert_eq!(report["outcome"], "manual", "{again}");
    let manual = report["manual"].as_array().expect("a report has manual");
    assert_eq!(manual.len(), 1, "{again}");
    assert!(manual[0]["instruction"].to_string().contains(node), "{again}");
    let hosts = ["subjects_passed", "subjects"].map(|key| gate(&report, "node-ssh")[key].as_u64().expect("a count"));
    assert_eq!(hosts[0] + 1, hosts[1], "{again}");
    assert_eq!(gate(&report, "soak")["status"], "passed", "what can be had holds: {again}");
    report
}

#[test]
fn a_host_with_another_ssh_key_is_left_to_a_person_and_the_rest_recovers() {
    let cluster = power_loss();
    cluster.inject("ssh-key-changed", Some("titan-05"));
    let report = one_instruction_names(&cluster, "titan-05");
    let found = report["manual"][0]["found"].to_string();
    assert!(found.contains("host key changed") && found.contains("known_hosts"), "{found}");
    let truth = cluster.truth();
    assert_eq!(truth["workloads_converged"], truth["workloads"], "{truth}");
}

#[test]
fn a_host_that_never_boots_is_left_to_a_person_and_the_rest_recovers() {
    let cluster = cluster("30", "power-loss");
    // Nothing is bound to this one's disk.
    cluster.inject("never-boots", Some("titan-20"));
    let report = one_instruction_names(&cluster, "titan-20");
    for whole in ["workloads", "kustomizations", "ingress", "services"] {
        assert_eq!(gate(&report, whole)["status"], "passed", "{report}");
    }
    let truth = cluster.truth();
    assert_eq!((&truth["hosts_up"], &truth["workloads_converged"]), (&Value::from(29), &truth["workloads"]), "{truth}");
}

#[test]
fn what_waits_for_the_disk_of_a_dead_host_is_told_with_that_host_and_not_apart() {
    let cluster = power_loss();
    // postgres, home-assistant, jellyfin and pihole have volumes there; Kustomizations and ingress hosts wait for them.
    cluster.inject("never-boots", Some("titan-06"));
    let report = one_instruction_names(&cluster, "titan-06");
    let waiting = report["manual"][0]["holds_back"].to_string();
    assert!(waiting.contains("postgres") && waiting.contains("home-assistant"), "{waiting}");
}

#[test]
fn an_api_server_that_answers_500_is_waited_for_aloud() {
    let cluster = power_loss();
    // Long enough to be still there when the trouble begins.
    cluster.edit_config(|text| text.replacen("  soak: 1500ms", "  soak: 6s", 1));
    let run = cluster.start(&STARTUP);
    until("the API has been proved", LIMIT, || {
        let progress = progress(&cluster, "startup-progress.json")?;
        (gate(&progress, "control-plane")["status"] == "passed").then_some(())
    });
    let said = until("the run says that the API answers 500", LIMIT, || {
        cluster.inject("api-500", None);
        let progress = progress(&cluster, "startup-progress.json")?;
        let gate = gate(&progress, "control-plane").clone();
        (gate["status"] == "unknown").then(|| gate["text"].to_string())
    });
    assert!(said.contains("500"), "{said}");
    let run = calm(run.end(LIMIT)).exits(0);
    let aloud = run.stderr.lines().any(|line| line.contains("control-plane") && line.contains("unknown") && line.contains("500"));
    assert!(aloud, "stderr does not say what it waits for: {run}");
    assert_eq!(gate(&cluster.state("last-startup-report.json"), "control-plane")["status"], "passed");
}

#[test]
fn a_killed_startup_is_gone_on_with_and_tells_both_halves() {
    let cluster = power_loss();
    let run = cluster.start(&STARTUP);
    until_sent(&cluster, "startup-progress.json", "request-reconcile", 3);
    let left = kill(&cluster, "startup-progress.json", run);

    let resumed = calm(cluster.ananke(&STARTUP)).exits(0);
    let dead = left["run"].as_str().expect("a run has a name");
    let line = resumed.stdout.lines().find(|line| line.contains("before it, ") && line.contains("died"));
    assert!(line.is_some_and(|line| line.contains(dead)), "{resumed}");
    let report = cluster.state("last-startup-report.json");
    let earlier = report["earlier"].as_array().unwrap_or_else(|| panic!("no earlier run in {report}"));
    assert_eq!(texts(&report["earlier"], "run"), [dead], "{report}");
    // What was written last before it died, and perhaps an order more from the journal.
    assert!(texts(&earlier[0]["actions"], "text").len() >= texts(&left["actions"], "text").len(), "{report}");
    assert!(earlier[0]["gates_passed"].as_array().is_some_and(|gates| gates.contains(&"control-plane".into())), "{report}");
    // It goes on from facts: what the first half had proved of Flux is not asked for again.
    let done = |actions: &Value| -> Vec<String> {
        let actions = actions.as_array().into_iter().flatten().filter(|action| action["outcome"] == "done");
        actions.map(|action| action["text"].to_string()).collect()
    };
    let again: Vec<String> =
        done(&report["actions"]).into_iter().filter(|text| done(&earlier[0]["actions"]).contains(text)).collect();
    assert!(again.is_empty(), "done twice: {again:?}");
    if kubectl_is_there() {
        assert_eq!(cordons(&cluster), BTreeMap::new());
    }
    // The next run is a new one and has nothing to tell of the dead.
    assert!(cluster.ananke(&["startup", "--execute", "-o", "json"]).exits(0).json()["earlier"].is_null());
}

/// A cluster whose shutdown was killed when the first pods were evicted.
#[track_caller]
fn killed_in_the_drain() -> (Cluster, Value) {
    let cluster = running();
    let run = cluster.start(&SHUTDOWN);
    until_sent(&cluster, "shutdown-progress.json", "evict", 1);
    let left = kill(&cluster, "shutdown-progress.json", run);
    if kubectl_is_there() {
        assert_eq!(cordons(&cluster).len(), 6, "a killed drain leaves its cordons");
    }
    (cluster, left)
}

#[test]
fn a_startup_after_a_killed_shutdown_is_refused_until_the_intent_is_cleared() {
    let (cluster, left) = killed_in_the_drain();
    let before = cluster.requests().len();
    let refused = calm(cluster.ananke(&STARTUP)).exits(5);
    let dead = left["run"].as_str().expect("a run has a name");
    for word in ["ananke intent clear", "graceful-maintenance", dead] {
        assert!(refused.stdout.contains(word), "{word:?} is missing: {refused}");
    }
    let wrote: Vec<String> = cluster.requests().split_off(before).into_iter().filter(|line| !only_looks(line)).collect();
    assert!(wrote.is_empty(), "a refused run acts on nothing: {wrote:?}");

    calm(cluster.ananke(&["intent", "clear"])).exits(0);
    let back = calm(cluster.ananke(&STARTUP)).exits(0);
    let truth = cluster.truth();
    assert_eq!(truth["workloads_converged"], truth["workloads"], "{truth} after {back}");
    if kubectl_is_there() {
        assert_eq!(suspended(&cluster), 0, "{back}");
        assert_eq!(cordons(&cluster), BTreeMap::new(), "{back}");
    }
    let report = cluster.state("last-startup-report.json");
    assert_eq!(report["cordons"].as_array().map(Vec::len), Some(0), "{report}");
}

#[test]
fn an_intent_is_not_cleared_under_a_shutdown() {
    let cluster = running();
    let shutdown = cluster.start(&SHUTDOWN);
    until_sent(&cluster, "shutdown-progress.json", "suspend", 1);
    let before = cluster.state("intent.json");
    let refused = calm(cluster.ananke(&["intent", "clear"])).exits(5);
    let holder = format!("shutdown.lock: shutdown, process {}, since ", shutdown.pid());
    assert!(refused.stderr.contains(&holder) && refused.stderr.contains("wait for it, or end it"), "{refused}");
    assert_eq!(cluster.state("intent.json"), before, "{refused}");
    calm(shutdown.end(LIMIT)).exits(0);
    calm(cluster.ananke(&["intent", "clear"])).exits(0);
}

/// A cordon that is given back in the drain lets what was evicted start again.
#[track_caller]
fn cordons_outlast_the_drain(report: &Value) {
    let verbs = texts(&report["actions"], "verb");
    let back = verbs.iter().position(|verb| *verb == "uncordon");
    let last = verbs.iter().rposition(|verb| *verb == "evict" || *verb == "delete-pod");
    assert!(back.is_some(), "the cordons were not given back: {verbs:?}");
    assert!(back > last, "cordons were given back before the drain was over: {verbs:?}");
}

#[test]
fn a_killed_shutdown_is_finished_by_the_same_command() {
    let (cluster, left) = killed_in_the_drain();
    let again = calm(cluster.ananke(&SHUTDOWN)).exits(0);
    let report = cluster.state("last-shutdown-report.json");
    assert_eq!(texts(&report["earlier"], "run"), [left["run"].as_str().expect("a run has a name")], "{again}");
    cordons_outlast_the_drain(&report);
    assert_eq!(cluster.truth()["api"], false, "{again}");
    assert_eq!(cluster.state("intent.json")["state"], "shutdown_complete");

    let back = calm(cluster.ananke(&STARTUP)).exits(0);
    if kubectl_is_there() {
        assert_eq!((suspended(&cluster), cordons(&cluster)), (0, BTreeMap::new()), "{back}");
    }
}

#[test]
fn a_second_startup_is_refused_and_names_the_first() {
    let cluster = power_loss();
    let first = cluster.start(&STARTUP);
    until("the first run has the lock", LIMIT, || {
        let lock = std::fs::read_to_string(cluster.path("state/run.lock")).ok()?;
        lock.contains(&first.pid().to_string()).then_some(())
    });
    let second = calm(cluster.ananke(&STARTUP)).exits(5);
    assert!(second.said().contains(&format!("startup, process {}", first.pid())), "{second}");
    let first = calm(first.end(LIMIT)).exits(0);
    assert!(first.stdout.contains("the cluster is up"), "{first}");
}

#[test]
fn a_shutdown_takes_over_from_a_running_startup() {
    let cluster = power_loss();
    cluster.edit_config(|text| text.replacen("  soak: 1500ms", "  soak: 20s", 1));
    let startup = cluster.start(&STARTUP);
    until_sent(&cluster, "startup-progress.json", "request-reconcile", 3);
    let began = Instant::now();
    let shutdown = cluster.start(&SHUTDOWN);
    let startup = calm(startup.end(LIMIT)).exits(5);
    assert!(began.elapsed() <= Duration::from_secs(10), "it took {:?} to yield: {startup}", began.elapsed());
    assert!(startup.stdout.contains("shutdown"), "{startup}");
    let shutdown = calm(shutdown.end(LIMIT)).exits(0);
    cordons_outlast_the_drain(&cluster.state("last-shutdown-report.json"));
    assert_eq!(cluster.truth()["api"], false, "{shutdown}");
    assert_eq!(cluster.state("intent.json")["state"], "shutdown_complete", "{shutdown}");
}

#[test]
fn an_interrupted_startup_says_so_and_leaves_a_report() {
    let cluster = power_loss();
    for (signal, moment) in [("INT", "inventory"), ("TERM", "control-plane")] {
        let run = cluster.start(&STARTUP);
        let own = run.pid().to_string();
        until(&format!("{moment} has passed"), LIMIT, || {
            let lock = std::fs::read_to_string(cluster.path("state/run.lock")).ok()?;
            let progress = progress(&cluster, "startup-progress.json").filter(|progress| progress["outcome"].is_null())?;
            (lock.contains(&own) && gate(&progress, moment)["status"] == "passed").then_some(())
        });
        run.signal(signal);
        let sent = Instant::now();
        let run = calm(run.end(LIMIT)).exits(130);
        assert!(sent.elapsed() < Duration::from_secs(15), "{run}");
        assert!(run.stdout.contains("interrupted"), "{run}");
        let report = cluster.state("last-startup-report.json");
        assert_eq!((&report["outcome"], &report["command"]), (&"interrupted".into(), &"startup".into()), "{run}");
        assert_eq!(cluster.state("startup-progress.json")["run"], report["run"], "{run}");
    }
    calm(cluster.ananke(&STARTUP)).exits(0);
}

/// Whether a line of the request log changes nothing.
fn only_looks(line: &str) -> bool {
    let lease = "POST /apis/coordination.k8s.io/v1/namespaces/kube-system/leases?dryRun=All";
    let ssh = line.starts_with("SSH ")
        && ["start", "stop", "restart", "enable"].iter().all(|verb| !line.contains(&format!("systemctl {verb}")));
    line.starts_with("GET ") || line.starts_with(lease) || ssh
}

/// Runs `ananke COMMAND` without `--execute`; neither the state directory nor the cluster may notice.
#[track_caller]
fn dry(cluster: &Cluster, command: &str) -> Run {
    let (state, asked) = (cluster.state_files(), cluster.requests().len());
    let run = calm(cluster.ananke(&[command])).exits(0);
    assert_eq!(cluster.state_files(), state, "the state directory changed: {run}");
    let asked = cluster.requests().split_off(asked);
    assert!(asked.iter().any(|line| line.starts_with("GET ")) || asked.iter().any(|line| line.starts_with("SSH ")), "{run}");
    let wrote: Vec<String> = asked.into_iter().filter(|line| !only_looks(line)).collect();
    assert!(wrote.is_empty(), "a dry run acted: {wrote:?}");
    assert!(run.stdout.contains("dry run: nothing was changed"), "{run}");
    assert!(run.stdout.contains("it would:"), "it does not say what it would do: {run}");
    run
}

#[test]
fn a_dry_run_changes_neither_the_state_directory_nor_the_cluster() {
    let stopped = cluster("6", "after-shutdown");
    let run = dry(&stopped, "startup");
    assert!(run.stdout.contains("start unit k3s on titan-01"), "{run}");
    assert!(stopped.state_files().is_empty(), "a dry run leaves no state behind");

    let cluster = power_loss();
    calm(cluster.ananke(&STARTUP)).exits(0);
    let run = dry(&cluster, "shutdown");
    assert!(run.stdout.contains("suspend Kustomization"), "{run}");
    let (state, asked) = (cluster.state_files(), cluster.requests().len());
    let looked = calm(cluster.ananke(&["startup", "-o", "json"])).exits(0).json();
    assert_eq!(looked["dry_run"], true);
    assert_eq!(cluster.state_files(), state);
    assert!(cluster.requests().split_off(asked).iter().all(|line| only_looks(line)));
}

#[test]
fn a_host_that_stays_off_is_woken_and_a_look_wakes_nothing() {
    let cluster = power_loss();
    cluster.inject("stays-off", Some("titan-05"));
    let packets = || cluster.requests().iter().filter(|line| line.contains("WAKE")).count();
    let look = cluster.ananke(&["startup"]);
    assert!(look.stdout.contains("wake titan-05 by its network card 52:54:00:00:00:04"), "{look}");
    assert_eq!(packets(), 0, "a look wakes nothing");
    let run = calm(cluster.ananke(&STARTUP)).exits(0);
    assert_eq!(packets(), 3, "{run}");
    let report = cluster.state("last-startup-report.json");
    let actions = report["actions"].as_array().expect("a report has actions");
    assert!(actions.iter().any(|action| action["verb"] == "wake" && action["outcome"] == "done"), "{report}");
    assert_eq!(cluster.truth()["hosts_up"], 6);
}
