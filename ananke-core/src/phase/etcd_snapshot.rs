//! Phase `etcd-snapshot`: etcd was saved before anything is stopped, and the snapshot is there, not empty, and passes its check.
//!
//! The order's own "done" is not believed: the server must list the snapshot. With Flux suspended first, a cluster that is
//! restored from it stays as quiet as it was left, and the next start-up knows by the stamps what to resume.

use std::time::Duration;

use super::{STOPPED, api_is_stopped, at_work};
use crate::engine::view::View;
use crate::name::{Moment, NodeName, RunId, SnapshotName, Subject};
use crate::observation::{SnapshotCheck, SnapshotState, UnitState};
use crate::order::{HostOrder, Order};
use crate::port::ErrorKind;
use crate::remedy::Action;
use crate::verdict::{GateId, Judgement, Reason, Verdict};

/// Tries on one server.
const BUDGET: u32 = 2;
/// A save that failed is not tried on the same server at once.
const PAUSE: Duration = Duration::from_secs(30);
/// A save that was answered is listed within this time, or it went wrong.
const LISTED: Duration = Duration::from_secs(10);
/// A snapshot of a run that died counts if that run was alive this short a time ago: older, it misses too much.
const STILL_GOOD: Duration = Duration::from_secs(3600);

pub(super) fn evaluate(view: &View<'_>) -> Judgement {
    if !view.spec.shutdown.etcd_snapshot {
        return Judgement::not_applicable("--skip-etcd-snapshot");
    }
    if api_is_stopped(view) {
        return Judgement::not_applicable(STOPPED);
    }
    if view.spec.servers().all(|(_, node)| !node.is_managed()) {
        return Judgement::not_applicable("no server has SSH, as configured");
    }
    if datastore_is_not_etcd(view) {
        return Judgement::not_applicable("the datastore is not etcd");
    }
    let verdict = found(view).unwrap_or_else(|| missing(view));
    Judgement::of(Subject::Cluster, verdict)
}

/// The servers that answer say that there is no etcd; one that is away cannot say otherwise, for they are all alike.
fn datastore_is_not_etcd(view: &View<'_>) -> bool {
    let mut answers = view.spec.servers().filter_map(|(name, _)| view.snapshots_fact(name));
    let listed = view.spec.servers().any(|(name, _)| view.snapshots(name).is_ok());
    !listed && answers.any(|fact| fact.newest_failure().is_some_and(|error| error.kind == ErrorKind::Missing))
}

fn found(view: &View<'_>) -> Option<Verdict> {
    let taken = |run: &RunId| {
        let wanted = name_of(run)?;
        let lists = view.spec.servers().filter_map(|(name, _)| Some((name, view.snapshots(name).ok()?)));
        lists.flat_map(|(node, list)| list.iter().map(move |snapshot| (node, snapshot))).find_map(|(node, snapshot)| {
            (is(snapshot, &wanted) && flaw(snapshot).is_none()).then(|| Verdict::pass(told(snapshot, node)))
        })
    };
    let recent = view.earlier.iter().filter(|earlier| view.now.since(earlier.last_seen) <= STILL_GOOD);
    let proved = recent.clone().find(|earlier| earlier.gates_passed.contains(&GateId::EtcdSnapshot));
    taken(view.run)
        .or_else(|| recent.clone().find_map(|earlier| taken(&earlier.run)))
        .or_else(|| proved.map(|earlier| Verdict::pass(format!("taken and checked by {}", earlier.run))))
}

/// Why nothing can be restored from it.
fn flaw(snapshot: &SnapshotState) -> Option<String> {
    match &snapshot.check {
        SnapshotCheck::Failed(why) => Some(format!("does not pass its check: {why}")),
        SnapshotCheck::None | SnapshotCheck::Passed { .. } => (snapshot.bytes == 0).then(|| "is empty".to_owned()),
    }
}

fn told(snapshot: &SnapshotState, node: &NodeName) -> String {
    let size = format!("{} on {node}, {} MiB", snapshot.name, snapshot.bytes.div_ceil(1 << 20));
    match snapshot.check {
        SnapshotCheck::Passed { hash, revision, keys } => {
            format!("{size}, {keys} keys at revision {revision}, hash {hash:08x}")
        }
        SnapshotCheck::None | SnapshotCheck::Failed(_) => size,
    }
}

fn missing(view: &View<'_>) -> Verdict {
    let name = name_of(view.run).map_or_else(String::new, |name| name.to_string());
    let command = format!("on a server: {}, before it is stopped", view.spec.distribution.save_snapshot(&name));
    let mut gap = None;
    let (mut listed, mut flawed) = (false, None);
    for (server, _) in view.spec.servers().filter(|(_, node)| node.is_managed()) {
        match view.snapshots(server) {
            Ok(list) => {
                listed = true;
                let own = |snapshot: &&SnapshotState| name_of(view.run).is_some_and(|wanted| is(snapshot, &wanted));
                flawed = flawed.or_else(|| Some((server, list.iter().filter(own).find_map(flaw)?)));
            }
            Err(found) => gap = gap.or(Some(found)),
        }
    }
    if !listed {
        let gap = gap.unwrap_or_else(crate::fact::Gap::not_asked);
        return Verdict::unknown(gap, command);
    }
    let failed = view.spec.servers().filter_map(|(name, _)| Some((name, tries(view, name).error.as_ref()?))).last();
    let text = match (failed, flawed) {
        (Some((node, error)), _) => format!("{node} could not save etcd: {}", error.found),
        (None, Some((node, flaw))) => format!("the etcd snapshot {name} on {node} {flaw}"),
        (None, None) => format!("no server lists the etcd snapshot {name} yet"),
    };
    Verdict::waiting(Reason::SnapshotMissing, text, command)
}

pub(super) fn plan(view: &View<'_>) -> Vec<Action> {
    if !at_work(view, GateId::EtcdSnapshot) || evaluate(view).not_applicable.is_some() || found(view).is_some() {
        return Vec::new();
    }
    let Some(name) = name_of(view.run) else { return Vec::new() };
    // One at a time: a save reads the whole store, and one is enough.
    if view.spec.servers().any(|(server, _)| tries(view, server).in_flight || may_be_listed(view, server)) {
        return Vec::new();
    }
    let runs = |server: &NodeName| view.host(server).is_ok_and(|host| host.unit == UnitState::Active);
    let allowed = |server: &NodeName| view.history().allows("save-snapshot", &subject(server), view.now, BUDGET, PAUSE);
    let servers = view.spec.servers().map(|(server, _)| server).filter(|server| runs(server) && allowed(server));
    // Who has not failed yet goes first.
    let next = servers.min_by_key(|server| tries(view, server).count);
    let order = |node: &NodeName| Order::Host { node: node.clone(), order: HostOrder::SaveSnapshot(name.clone()) };
    next.map(|node| Action { order: order(node), why: "so that the cluster's state survives its disks".to_owned() })
        .into_iter()
        .collect()
}

/// Saved without an error, so recently that the list may not show it yet.
fn may_be_listed(view: &View<'_>, server: &NodeName) -> bool {
    let tries = tries(view, server);
    tries.error.is_none() && tries.last.is_some_and(|last: Moment| view.now.since(last) < LISTED)
}

fn tries<'a>(view: &View<'a>, server: &NodeName) -> &'a crate::engine::history::Tries {
    view.history().tries("save-snapshot", &subject(server))
}

fn subject(server: &NodeName) -> Subject {
    Subject::Node(server.clone())
}

/// k3s adds the node and the time to the name that it is given; etcdctl does not.
fn is(snapshot: &SnapshotState, wanted: &SnapshotName) -> bool {
    snapshot.name.strip_prefix(wanted.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

fn name_of(run: &RunId) -> Option<SnapshotName> {
    SnapshotName::parse(&format!("ananke-{run}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::Fact;
    use crate::gate::testing::{Bench, node};
    use crate::port::PortError;

    fn bench() -> Bench {
        let mut bench = Bench::new(4);
        bench.servers(3);
        bench.all_up();
        bench.open(GateId::EtcdSnapshot);
        (1..=3).for_each(|n| lists(&mut bench, n, &[("on-schedule-1", 4096)]));
        bench
    }

    fn lists(bench: &mut Bench, n: usize, list: &[(&str, u64)]) {
        let of = |(name, bytes): &(&str, u64)| SnapshotState { name: (*name).into(), bytes: *bytes, check: SnapshotCheck::None };
        bench.obs.snapshots.insert(node(n), Fact::known(list.iter().map(of).collect(), bench.now));
    }

    fn fails(bench: &mut Bench, n: usize, kind: ErrorKind) {
        let mut fact = Fact::default();
        fact.fold(Err(PortError::new(kind, "list etcd snapshots", node(n), "no")), bench.now);
        bench.obs.snapshots.insert(node(n), fact);
    }

    fn texts(bench: &Bench) -> Vec<String> {
        plan(&bench.view()).iter().map(|action| action.order.to_string()).collect()
    }

    #[test]
    fn a_snapshot_counts_when_it_is_listed_and_not_empty() {
        let mut bench = bench();
        let told = |bench: &Bench| evaluate(&bench.view()).subjects[&Subject::Cluster].text().to_owned();
        bench.check(evaluate, "the cluster: hold snapshot-missing waiting");
        assert_eq!(told(&bench), "no server lists the etcd snapshot ananke-startup-test yet");
        lists(&mut bench, 3, &[("ananke-startup-test-n3-1773453971", 0)]);
        bench.check(evaluate, "the cluster: hold snapshot-missing waiting");
        assert_eq!(told(&bench), "the etcd snapshot ananke-startup-test on n3 is empty");
        assert_eq!(texts(&bench).len(), 1);
        lists(&mut bench, 2, &[("ananke-startup-test-n2-1773453971", 9_000_000)]);
        bench.check(evaluate, "the cluster: pass");
        assert!(texts(&bench).is_empty());
        lists(&mut bench, 2, &[("ananke-startup-testament", 9_000_000)]);
        bench.check(evaluate, "the cluster: hold snapshot-missing waiting");
    }

    #[test]
    fn a_snapshot_that_fails_its_check_is_none_and_one_that_passes_says_what_it_holds() {
        let mut bench = bench();
        bench.spec.distribution = crate::spec::Distribution::Kubeadm;
        let mut saved = |check| {
            let one = SnapshotState { name: "ananke-startup-test".into(), bytes: 20_512, check };
            bench.obs.snapshots.insert(node(2), Fact::known(vec![one], bench.now));
            match &evaluate(&bench.view()).subjects[&Subject::Cluster] {
                Verdict::Hold(blocker) => format!("{} -> {}", blocker.text, blocker.if_it_lasts),
                verdict @ (Verdict::Pass(_) | Verdict::Unknown(_)) => verdict.text().to_owned(),
            }
        };
        assert_eq!(
            saved(SnapshotCheck::Failed("invalid database".into())),
            "the etcd snapshot ananke-startup-test on n2 does not pass its check: invalid database -> on a server: `etcdctl \
             snapshot save /var/lib/etcd-snapshots/ananke-startup-test.db`, before it is stopped"
        );
        assert_eq!(
            saved(SnapshotCheck::Passed { hash: 0x0f00, revision: 88, keys: 1_234 }),
            "ananke-startup-test on n2, 1 MiB, 1234 keys at revision 88, hash 00000f00"
        );
    }

    #[test]
    fn another_server_is_asked_when_the_first_fails_and_each_only_twice() {
        let mut bench = bench();
        bench.host(1, |host| host.unit = UnitState::Failed);
        assert_eq!(texts(&bench), ["save etcd snapshot ananke-startup-test on n2"]);
        let mut asked = Vec::new();
        for _ in 0..10 {
            for action in plan(&bench.view()) {
                asked.push(action.order.subject().to_string());
                bench.refuse(&action.order, ErrorKind::Transient);
            }
            bench.now = bench.now.plus(PAUSE / 2);
            bench.fresh();
            bench.host(1, |host| host.unit = UnitState::Failed);
            (1..=3).for_each(|n| lists(&mut bench, n, &[]));
        }
        assert_eq!(asked, ["n2", "n3", "n2", "n3"]);
        bench.check(evaluate, "the cluster: hold snapshot-missing waiting");
    }

    #[test]
    fn it_does_not_apply_where_there_is_no_etcd_or_nothing_runs() {
        let mut bench = bench();
        (1..=3).for_each(|n| fails(&mut bench, n, if n == 1 { ErrorKind::Missing } else { ErrorKind::Transient }));
        bench.check(evaluate, "not applicable: the datastore is not etcd");
        assert!(texts(&bench).is_empty());
        (1..=3).for_each(|n| bench.unmanage(n));
        bench.check(evaluate, "not applicable: no server has SSH, as configured");
        bench.spec.shutdown.etcd_snapshot = false;
        bench.check(evaluate, "not applicable: --skip-etcd-snapshot");
    }

    #[test]
    fn servers_that_do_not_answer_leave_it_unknown() {
        let mut bench = bench();
        (1..=3).for_each(|n| fails(&mut bench, n, ErrorKind::Transient));
        bench.check(evaluate, "the cluster: unknown");
    }

    #[test]
    fn one_server_saves_at_a_time_and_its_list_has_a_moment_to_show_it() {
        let mut bench = bench();
        let order = plan(&bench.view()).remove(0).order;
        bench.history.sent(&order, bench.now);
        assert!(texts(&bench).is_empty(), "it saves");
        bench.history.answered(&order, None);
        let answered = bench.now;
        let mut asked_after = |millis| {
            bench.now = answered.plus(Duration::from_millis(millis));
            bench.fresh();
            (1..=3).for_each(|n| lists(&mut bench, n, &[]));
            texts(&bench).len()
        };
        assert_eq!([asked_after(0), asked_after(9_999), asked_after(10_000)], [0, 0, 1]);
    }

    #[test]
    fn a_snapshot_of_a_run_that_died_counts_for_an_hour() {
        let mut bench = bench();
        let last_seen = bench.now.minus(STILL_GOOD);
        bench.earlier.push(crate::report::EarlierRun {
            run: RunId::parse("shutdown-1").unwrap(),
            started: last_seen,
            last_seen,
            gates_passed: vec![GateId::EtcdSnapshot],
            actions: Vec::new(),
        });
        bench.check(evaluate, "the cluster: pass");
        bench.earlier[0].last_seen = last_seen.minus(Duration::from_millis(1));
        bench.check(evaluate, "the cluster: hold snapshot-missing waiting");
    }
}
