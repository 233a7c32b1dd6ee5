//! The built binary against a served cluster whose API server is half alive: each way is `unknown` with a reason of its own,
//! and a start-up under all of them, one after the other, recovers and never acts twice: the request log says so.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test fails by panicking, reads JSON, and measures real time"
)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ananke_tests::{Cluster, Going, until};
use serde_json::Value;

/// Simulated seconds in a second.
const SPEED: u64 = 20;
/// Lost requests are repeated after a minute of real time, whatever the speed.
const LIMIT: Duration = Duration::from_secs(420);

/// Faults of the API, with the reason that gate `control-plane` gives.
const FAULTS: &[(&str, &str)] = &[
    ("api-refused", "api-refused"),
    ("api-tls", "api-tls-failed"),
    ("api-certificate", "certificate-invalid"),
    ("api-unauthorized", "api-unauthorized"),
    ("api-forbids-leases", "api-forbidden"),
    ("api-throttles", "api-throttled"),
    ("api-internal-error", "api-server-error"),
    ("api-500", "etcd-unhealthy"),
    ("api-unavailable", "api-unavailable"),
    ("api-times-out", "api-timeout"),
    ("api-hangs", "api-not-answering"),
    ("api-closes", "api-closed"),
    ("store-hang", "etcd-unhealthy"),
    ("stale-cache", "etcd-unhealthy"),
];

#[track_caller]
fn gate<'a>(report: &'a Value, id: &str) -> &'a Value {
    report["gates"].as_array().expect("a report has gates").iter().find(|gate| gate["id"] == id).expect("the gate is there")
}

#[test]
fn each_way_of_being_half_alive_is_unknown_with_its_own_reason() {
    let cluster = Cluster::up(&["--nodes", "4", "--speed", "10", "--scenario", "healthy"]);
    for (fault, reason) in FAULTS {
        cluster.inject_for(fault, 600);
        let run = cluster.ananke(&["status", "-o", "json"]);
        let report = run.json();
        let gate = gate(&report, "control-plane");
        assert_eq!(gate["blockers"][0]["reason"], *reason, "{fault}: {gate}");
        // A certificate that is refused is a person's job at once. Where k3s is active on the servers, it may be the address alone
        // that does not lead there. All else is not known, and may pass by itself.
        let status = match *fault {
            "api-certificate" => "manual",
            "api-refused" | "api-hangs" => "holding",
            _ => "unknown",
        };
        assert_eq!(gate["status"], status, "{fault}: {gate}");
    }
    // A right that only one list needs is told where that list is.
    cluster.inject_for("api-forbids-nodes", 600);
    let report = cluster.ananke(&["status", "-o", "json"]).json();
    assert_eq!(gate(&report, "control-plane")["status"], "passed", "{report}");
    let nodes = gate(&report, "nodes-ready");
    assert_eq!((&nodes["status"], &nodes["blockers"][0]["reason"]), (&"unknown".into(), &"api-forbidden".into()), "{nodes}");
    assert!(nodes["text"].to_string().contains("cannot list resource"), "{nodes}");
}

/// The `nth` number below `below` that follows from the seed.
fn draw(seed: u64, nth: u64, below: u64) -> u64 {
    let mut bits = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(nth.wrapping_mul(0xBF58_476D_1CE4_E5B9));
    bits = (bits ^ (bits >> 30)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (bits ^ (bits >> 31)) % below
}

/// Injects one fault after the other, each `rounds` times, for 5 to 60 simulated seconds, with some between them, until the
/// run is over. Says how many there were.
fn trouble(cluster: &Cluster, run: &mut Going, seed: u64, rounds: u64) -> u64 {
    let mut order: Vec<(u64, &str)> = Vec::new();
    for (nth, (fault, _)) in (0..).zip(FAULTS) {
        order.extend((0..rounds).map(|round| (draw(seed, nth * 100 + round, 1_000_000), *fault)));
    }
    order.sort_unstable();
    let mut injected = 0;
    for (nth, (_, fault)) in (0..).zip(order) {
        if !run.runs() {
            break;
        }
        let (lasts, pause) = (5 + draw(seed, 5000 + nth, 56), 2 + draw(seed, 7000 + nth, 15));
        cluster.inject_for(fault, lasts);
        injected += 1;
        let until = Instant::now() + Duration::from_millis((lasts + pause) * 1000 / SPEED);
        while Instant::now() < until && run.runs() {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    injected
}

/// A mutating request as `VERB OBJECT`: its object as collection and name, below its namespace.
fn mutation(line: &str) -> Option<String> {
    let mut words = line.split(' ');
    let (verb, path) = (words.next()?, words.next()?);
    if verb == "SSH" {
        let order = ["start", "stop", "restart"].into_iter().find(|verb| line.contains(&format!("systemctl {verb}")))?;
        return Some(format!("{order} {path}"));
    }
    // Vault has its own way to say that it was told already.
    let elsewhere = path.starts_with("http://") || path.contains("dryRun=All");
    if !matches!(verb, "POST" | "PUT" | "PATCH" | "DELETE") || elsewhere {
        return None;
    }
    let path = path.split('?').next()?;
    let place = path.split_once("/namespaces/").map_or_else(|| path.trim_start_matches("/api/v1/"), |(_, place)| place);
    // A Lease that is not there yet is made.
    Some(if place == "kube-system/leases" { format!("PATCH {place}/ananke") } else { format!("{verb} {place}") })
}

/// The requests that an order in the journal may lead to, in the same words.
fn expected(order: &Value) -> String {
    if let Some(host) = order.get("host") {
        let (verb, _) = host["order"].as_object().and_then(|order| order.iter().next()).expect("an order has a verb");
        return format!("{verb} {}", host["node"].as_str().expect("a host order has a node"));
    }
    let (verb, of) = order["cluster"].as_object().and_then(|order| order.iter().next()).expect("an order of the cluster");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match verb.as_str() {
        "cordon" | "uncordon" | "mark-manual" | "clear-mark" => format!("PATCH nodes/{}", text(&of["node"])),
        "coordinate" | "uncoordinate" => "PATCH kube-system/leases/ananke".to_owned(),
        "delete-job" => format!("DELETE {}/jobs/{}", text(&of["job"]["namespace"]), text(&of["job"]["name"])),
        _ => {
            let object =
                [&of["object"], &of["source"], &of["workload"]].into_iter().find(|it| it.is_object()).expect("an object");
            let kind = text(&object["kind"]).to_lowercase();
            let plural = kind.strip_suffix('y').map_or_else(|| format!("{kind}s"), |stem| format!("{stem}ies"));
            format!("PATCH {}/{plural}/{}", text(&object["namespace"]), text(&object["name"]))
        }
    }
}

/// Orders in the journals of the cluster's runs, as the requests that they may lead to, with how often each was given.
fn journaled(cluster: &Cluster) -> BTreeMap<String, usize> {
    let mut orders = BTreeMap::new();
    for (path, bytes) in cluster.state_files() {
        if path.extension().is_some_and(|extension| extension == "jsonl") && path.to_string_lossy().contains("journal") {
            for line in String::from_utf8_lossy(&bytes).lines() {
                let entry: Value = serde_json::from_str(line).expect("the journal holds JSON");
                if entry["what"] == "acting" && entry["order"] != "unseal" {
                    *orders.entry(expected(&entry["order"])).or_default() += 1;
                }
            }
        }
    }
    orders
}

/// The list that shows what a request did.
fn list_of(mutation: &str) -> Option<String> {
    let place = mutation.split_once(' ')?.1;
    let plural = place.split('/').rev().nth(1)?;
    Some(format!("/{plural}?"))
}

/// Every request that changes something has an order in the journal, and no order led to two; what was sent again was read
/// again before. Says how many there were, and how many of them were sent again after an answer that was none.
fn check_log(cluster: &Cluster) -> (usize, usize) {
    let orders = journaled(cluster);
    let log = cluster.requests();
    let mut sent: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (place, line) in log.iter().enumerate() {
        if let Some(mutation) = mutation(line) {
            sent.entry(mutation).or_default().push(place);
        }
    }
    let mut again = 0;
    for (mutation, places) in &sent {
        let given = orders.get(mutation).copied().unwrap_or_default();
        assert!(places.len() <= given, "{mutation} was sent {} times for {given} orders in the journal", places.len());
        for pair in places.windows(2) {
            let failed = !log[pair[0]].ends_with(" 200") && !log[pair[0]].ends_with(" 201");
            let Some(list) = list_of(mutation).filter(|_| failed && !mutation.starts_with('s')) else { continue };
            let read = |line: &String| line.starts_with("GET ") && line.contains(&list) && line.ends_with(" 200");
            assert!(log[pair[0]..pair[1]].iter().any(read), "{mutation} was sent again before {list} was read again");
            again += 1;
        }
    }
    (sent.values().map(Vec::len).sum(), again)
}

/// A start-up under all faults, `rounds` times each.
#[track_caller]
fn recovers(scenario: &str, seed: u64, rounds: u64) {
    println!("start-up from {scenario}, seed {seed}");
    let cluster =
        Cluster::up(&["--nodes", "6", "--speed", &SPEED.to_string(), "--scenario", scenario, "--seed", &seed.to_string()]);
    cluster.edit_config(|text| {
        // Trouble is not what the gates' patience is tested by; the run shall see much of it.
        let (head, _) = text.split_once("\ndeadlines:\n").expect("the config has deadlines");
        let gates = ["node-ssh", "host-health", "control-plane", "nodes-ready", "dns-cni", "storage", "secrets", "foundation"];
        let more = ["flux-source", "kustomizations", "workloads", "ingress", "services", "endpoints", "soak"];
        let deadlines: String = gates.iter().chain(&more).map(|gate| format!("  {gate}: 20m\n")).collect();
        head.replacen("  soak: 3000ms", "  soak: 25s", 1) + "\ndeadlines:\n" + &deadlines
    });
    let mut run = cluster.start(&["startup", "--execute"]);
    until("the API answers for the first time", LIMIT, || (cluster.truth()["api"] == true || !run.runs()).then_some(()));
    let injected = trouble(&cluster, &mut run, seed, rounds);
    let run = run.end(LIMIT).exits(0);
    let truth = cluster.truth();
    assert_eq!(truth["workloads_converged"], truth["workloads"], "{truth} after {run}");
    assert_eq!(truth["cordons"].as_array().map(Vec::len), Some(0), "{truth}");
    let (sent, again) = check_log(&cluster);
    println!("{injected} faults, {sent} requests that change something, {again} of them sent again");
    assert!(injected >= 10 && sent > 10, "seed {seed}: {injected} faults, {sent} requests; {run}");
}

#[test]
fn a_start_up_from_a_power_loss_recovers_and_never_acts_twice() {
    recovers("power-loss", 1, 1);
}

#[test]
fn a_start_up_after_a_shutdown_recovers_and_never_acts_twice() {
    recovers("after-shutdown", 2, 2);
}
