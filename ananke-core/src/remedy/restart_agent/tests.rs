use super::*;
use crate::gate::testing::{Bench, node};
use crate::lease::TAINT_KEY;
use crate::name::{LeaseId, ResourceVersion, Uid};
use crate::observation::{CoordinationState, Taint, UnitState};
use crate::port::{ErrorKind, PortError};
use crate::remedy::leftover_cordon;

/// Ten nodes of which the first three are servers; all are well and have been for long.
fn bench() -> Bench {
    let mut bench = Bench::new(10);
    bench.servers(3);
    bench.all_up();
    bench.settles(GateId::ControlPlane);
    bench.open(GateId::NodesReady);
    bench
}

/// Time passes; kubelets renew but those of `silent`, and the coordination Lease is ours.
fn pass(bench: &mut Bench, secs: u64, silent: &[usize]) {
    bench.now = bench.now.plus(Duration::from_secs(secs));
    let beats: Vec<_> =
        silent.iter().filter_map(|n| bench.obs.heartbeats.get(&node(*n)).cloned().map(|beat| (*n, beat))).collect();
    bench.fresh();
    for (n, beat) in beats {
        bench.obs.heartbeats.insert(node(n), beat);
    }
    bench.refresh_api();
    for n in 1..=bench.spec.nodes.len() {
        bench.host(n, |host| host.uptime = Duration::from_secs(3600));
    }
    coordinate(bench, "titan-db");
}

fn coordinate(bench: &mut Bench, holder: &str) {
    let state = CoordinationState {
        version: ResourceVersion::parse("5").unwrap(),
        holder: Some(holder.to_owned()),
        renewed: Some(bench.now),
        lasts: Duration::from_secs(30),
    };
    bench.obs.fold_coordination(Ok(Some(state)), bench.now);
}

fn texts(actions: &[Action]) -> String {
    actions.iter().map(|action| action.order.to_string()).collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn check(bench: &Bench, expected: &str) {
    let found = texts(&plan(&bench.view()));
    let short: Vec<&str> = found.lines().map(|line| line.split(" under lease").next().unwrap()).collect();
    assert_eq!(short.join("\n"), expected);
}

/// The planned cordon is placed.
fn cordoned(bench: &mut Bench, n: usize) -> LeaseRecord {
    let Order::Cluster(ClusterOrder::Cordon { lease, .. }) = plan(&bench.view()).remove(0).order else { panic!("no cordon") };
    let record = LeaseRecord { lease: *lease, state: LeaseState::Held, since: bench.now.minus(Duration::from_secs(1)) };
    bench.leases.push(record.clone());
    bench.change_node(n, |node| {
        node.taints.push(Taint { key: TAINT_KEY.into(), value: record.lease.id.as_str().into(), effect: "NoSchedule".into() });
        node.lease_note = Some(serde_json::to_string(&record.lease).unwrap().into());
    });
    record
}

fn restarted(bench: &mut Bench) {
    let action = plan(&bench.view()).remove(0);
    assert_eq!(action.order.verb(), "restart-unit");
    bench.carried_out(&action.order, Trap::KubeletWedged);
}

fn swept(bench: &Bench) -> String {
    texts(&leftover_cordon::plan(&bench.view()))
}

#[test]
fn a_silent_kubelet_is_waited_for_then_cordoned_and_then_restarted_once() {
    let mut bench = bench();
    pass(&mut bench, 179, &[5]);
    check(&bench, "");
    pass(&mut bench, 1, &[5]);
    check(&bench, "cordon n5");
    assert!(wants(&bench.view()));
    cordoned(&mut bench, 5);
    check(&bench, "restart unit k3s-agent on n5");
    restarted(&mut bench);
    pass(&mut bench, 60, &[5]);
    check(&bench, "");
}

#[test]
fn what_can_come_by_itself_is_left_alone() {
    let mut base = bench();
    pass(&mut base, 180, &[5]);
    check(&base, "cordon n5");
    let mount = crate::name::HostPath::parse("/var/lib/longhorn").unwrap();
    base.host(5, |host| host.health.missing_mounts.push(mount));
    check(&base, "");
    base.host(5, |host| (host.health.missing_mounts, host.uptime) = (Vec::new(), Duration::from_secs(100)));
    check(&base, "");
    base.host(5, |host| (host.uptime, host.unit) = (Duration::from_secs(3600), UnitState::Activating));
    check(&base, "");
    base.obs.hosts.remove(&node(5));
    check(&base, "");
    let mut fresh_api = bench();
    pass(&mut fresh_api, 180, &[5]);
    fresh_api.settles(GateId::ControlPlane);
    check(&fresh_api, "");
}

#[test]
fn a_node_that_is_not_ready_for_long_is_repaired_too_and_its_reason_is_told() {
    let mut bench = bench();
    bench.change_node(5, |node| (node.ready, node.reason) = (Tri::False, "KubeletNotReady".into()));
    pass(&mut bench, 180, &[]);
    check(&bench, "cordon n5");
    let why = &plan(&bench.view())[0].why;
    assert_eq!(why, "it is not Ready (KubeletNotReady) although its host and k3s-agent run");
}

#[test]
fn the_lease_is_given_back_when_the_node_is_proved_and_not_before() {
    let mut bench = bench();
    pass(&mut bench, 180, &[5]);
    cordoned(&mut bench, 5);
    assert_eq!(swept(&bench), "", "in use");
    restarted(&mut bench);
    pass(&mut bench, 20, &[5]);
    assert_eq!(swept(&bench), "", "nothing was heard since the restart");
    pass(&mut bench, 10, &[]);
    bench.change_node(5, |node| {
        node.ready = Tri::False;
        node.message = "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady".into();
    });
    assert_eq!(swept(&bench), "give back the cordon of n5 (lease startup-test-r5)", "its network comes as a DaemonSet");
    bench.change_node(5, |node| node.message = "PLEG is not healthy".into());
    assert_eq!(swept(&bench), "");
    bench.change_node(5, |node| node.ready = Tri::True);
    assert_eq!(swept(&bench), "give back the cordon of n5 (lease startup-test-r5)");
}

#[test]
fn what_did_not_come_back_is_marked_at_the_deadline_with_one_sentence() {
    let mut bench = bench();
    pass(&mut bench, 180, &[5]);
    cordoned(&mut bench, 5);
    restarted(&mut bench);
    bench.overdue(GateId::NodesReady, 5);
    pass(&mut bench, 179, &[5]);
    assert_eq!(swept(&bench), "", "the restart has its time");
    pass(&mut bench, 1, &[5]);
    let told = "mark n5 for manual action: n5 needs a person: its kubelet is silent although its host and k3s-agent run, and it \
                did not come back; look at the journal of its kubelet, repair it, then run `ananke lease release n5`";
    assert_eq!(swept(&bench), told);
}

#[test]
fn one_lease_a_node_and_hour_whoever_placed_it() {
    let mut bench = bench();
    pass(&mut bench, 180, &[5]);
    let mut record = cordoned(&mut bench, 5);
    bench.change_node(5, |node| (node.taints, node.lease_note) = (Vec::new(), None));
    record.state = LeaseState::Released;
    record.lease.id = LeaseId::parse("another-run-r4").unwrap();
    record.lease.holder = "tethys".to_owned();
    bench.leases = vec![record];
    check(&bench, "");
    pass(&mut bench, 3600, &[5]);
    check(&bench, "cordon n5");
}

#[test]
fn brakes_hold_servers_without_quorum_and_storms() {
    let mut base = bench();
    pass(&mut base, 180, &[2]);
    check(&base, "cordon n2");
    base.host(3, |host| host.unit = UnitState::Failed);
    check(&base, "");
    let mut storm = bench();
    pass(&mut storm, 180, &[5, 6, 7, 8]);
    check(&storm, "");
    assert!(!wants(&storm.view()));
    storm.spec.max_cordons = 4;
    check(&storm, "");
    storm.spec.nodes.retain(|name, _| *name != node(10));
    let mut three = bench();
    pass(&mut three, 180, &[5, 6, 7]);
    check(&three, "cordon n5\ncordon n6\ncordon n7");
    three.spec.max_cordons = 3;
    cordoned(&mut three, 5);
    check(&three, "restart unit k3s-agent on n5\ncordon n6\ncordon n7");
}

#[test]
fn nothing_is_cordoned_without_the_coordination_lease_and_it_is_taken_first() {
    let mut bench = bench();
    pass(&mut bench, 180, &[5]);
    bench.obs.fold_coordination(Ok(None), bench.now);
    check(&bench, "");
    assert_eq!(texts(&coordination::plan(&bench.view())), "hold the coordination Lease as titan-db");
    coordinate(&mut bench, "tethys");
    check(&bench, "");
    assert_eq!(texts(&coordination::plan(&bench.view())), "");
    let judged = bench.view();
    let nodes = judged.nodes().unwrap();
    let sick = nodes.iter().find(|found| found.name == node(5)).unwrap();
    assert_eq!(Ward::default().stance(&judged, sick), Stance::CoordinationHeld("tethys"));
}

#[test]
fn a_marked_node_is_not_repaired_again_and_is_not_counted_as_sick() {
    let mut bench = bench();
    pass(&mut bench, 180, &[5, 6, 7, 8]);
    bench.change_node(5, |node| node.manual_note = Some("replace its disk".into()));
    check(&bench, "cordon n6\ncordon n7\ncordon n8");
    let uid = Uid::parse("cluster-1").unwrap();
    assert_eq!(bench.obs.api.last().unwrap().cluster_uid, uid);
}

/// n5 is silent, and a repair lease of this run stands on it.
fn under_repair() -> Bench {
    let mut bench = bench();
    pass(&mut bench, 180, &[5]);
    cordoned(&mut bench, 5);
    bench
}

fn uncordoned(bench: &mut Bench, n: usize) {
    bench.change_node(n, |node| (node.taints, node.lease_note) = (Vec::new(), None));
}

#[test]
fn patience_counts_from_when_the_node_was_last_well() {
    let mut silent = bench();
    pass(&mut silent, 300, &[]);
    pass(&mut silent, 179, &[5]);
    check(&silent, "");
    pass(&mut silent, 1, &[5]);
    check(&silent, "cordon n5");
    silent.host(5, |host| host.uptime = Duration::from_secs(180));
    check(&silent, "cordon n5");
    let mut unready = bench();
    pass(&mut unready, 300, &[]);
    unready.change_node(5, |node| node.ready = Tri::False);
    check(&unready, "");
    pass(&mut unready, 180, &[]);
    check(&unready, "cordon n5");
}

#[test]
fn the_agent_is_restarted_only_under_an_own_lease_that_stands_and_runs() {
    let mut bench = under_repair();
    check(&bench, "restart unit k3s-agent on n5");
    bench.leases[0].state = LeaseState::Intended;
    check(&bench, "");
    let mut taken_away = under_repair();
    uncordoned(&mut taken_away, 5);
    check(&taken_away, "");
    let mut over = under_repair();
    pass(&mut over, 3600, &[5]);
    check(&over, "");
    let mut foreign = under_repair();
    let lease = &mut foreign.leases[0].lease;
    lease.id = LeaseId::parse("another-run-r4").unwrap();
    let note = serde_json::to_string(lease).unwrap();
    foreign.change_node(5, |node| {
        node.taints[0].value = "another-run-r4".into();
        node.lease_note = Some(note.into());
    });
    check(&foreign, "");
}

#[test]
fn the_newest_lease_of_a_node_counts() {
    let mut bench = under_repair();
    let mut old = bench.leases[0].clone();
    (old.lease.id, old.state) = (LeaseId::parse("startup-test-r4").unwrap(), LeaseState::Released);
    old.lease.acquired = old.lease.acquired.minus(Duration::from_secs(7200));
    bench.leases.push(old);
    check(&bench, "restart unit k3s-agent on n5");
    bench.leases.reverse();
    check(&bench, "restart unit k3s-agent on n5");
}

#[test]
fn a_cordon_that_may_never_have_been_sent_is_tried_again() {
    let mut bench = under_repair();
    uncordoned(&mut bench, 5);
    bench.leases[0].state = LeaseState::Intended;
    check(&bench, "cordon n5");
    bench.leases[0].lease.id = LeaseId::parse("another-run-r4").unwrap();
    check(&bench, "");
}

#[test]
fn a_lease_under_which_nothing_was_done_is_given_back_when_nothing_will_be() {
    let give_back = "give back the cordon of n5 (lease startup-test-r5)";
    let mut storm = under_repair();
    pass(&mut storm, 30, &[5, 6, 7, 8]);
    assert_eq!(swept(&storm), give_back, "the brakes hold its restart");
    let mut back = under_repair();
    pass(&mut back, 5, &[]);
    assert_eq!(swept(&back), give_back, "it came back by itself");
    let mut starts = under_repair();
    starts.host(5, |host| host.unit = UnitState::Activating);
    assert_eq!(swept(&starts), "", "it may come by itself");
    starts.overdue(GateId::NodesReady, 5);
    assert!(swept(&starts).starts_with("mark n5 for manual action"), "{}", swept(&starts));
    starts.host(5, |host| (host.unit, host.uptime) = (UnitState::Active, Duration::from_secs(60)));
    assert_eq!(swept(&starts), "", "somebody rebooted it: its kubelet has its time, and then its restart");
}

#[test]
fn only_what_is_heard_after_the_restart_proves_it() {
    let mut bench = under_repair();
    restarted(&mut bench);
    let now = bench.now;
    bench.obs.heartbeats.get_mut(&node(5)).unwrap().advanced_at = Some(now);
    assert_eq!(swept(&bench), "");
}

#[test]
fn a_server_that_only_says_ready_is_none_of_the_quorum() {
    let mut bench = bench();
    pass(&mut bench, 180, &[2, 3]);
    check(&bench, "");
}

#[test]
fn no_server_is_restarted_while_another_was_not_heard_just_now() {
    let mut bench = bench();
    pass(&mut bench, 180, &[2]);
    cordoned(&mut bench, 2);
    pass(&mut bench, 2, &[2]);
    check(&bench, "restart unit k3s-agent on n2");
    let fails = |bench: &mut Bench| {
        let error = PortError::new(ErrorKind::Transient, "ssh", "n3", "no answer within 5 s");
        let now = bench.now;
        bench.obs.hosts.entry(node(3)).or_default().fold(Err(error), now);
    };
    fails(&mut bench);
    check(&bench, "");
    bench.host(3, |_| ());
    check(&bench, "restart unit k3s-agent on n2");
    bench.now = bench.now.plus(Duration::from_secs(11));
    bench.refresh_api();
    coordinate(&mut bench, "titan-db");
    check(&bench, "");
}

#[test]
fn repairs_under_way_are_counted_whoever_holds_them_and_drains_are_not() {
    let mut bench = bench();
    pass(&mut bench, 180, &[5]);
    bench.spec.max_cordons = 1;
    bench.cordon(7);
    check(&bench, "cordon n5");
    let well = bench.obs.nodes.last().unwrap().iter().find(|found| found.name == node(7)).unwrap();
    assert_eq!(Ward::default().stance(&bench.view(), well), Stance::Waits, "a cordon of another run is none of ours");
    let mut foreign = bench.cordon(6);
    bench.leases.pop();
    foreign.lease.purpose = Purpose::Repair;
    let note = serde_json::to_string(&foreign.lease).unwrap();
    bench.change_node(6, |node| node.lease_note = Some(note.into()));
    check(&bench, "");
    uncordoned(&mut bench, 6);
    bench.leases.push(LeaseRecord { state: LeaseState::Released, ..foreign });
    check(&bench, "cordon n5");
}
