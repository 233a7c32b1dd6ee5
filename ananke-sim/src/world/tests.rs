mod hosts;

use std::sync::Arc;

use ananke_core::name::{Kind, Moment, NodeName, ObjectRef};
use ananke_core::observation::Tri;
use ananke_core::order::REQUESTED_ANNOTATION;

use super::{Cure, EPOCH, Ms, Quirk, Refusal, Way, World};
use crate::fault::Fault;
use crate::scenario::Scenario;

const MINUTE: Ms = 60_000;

fn world(scenario: &str, seed: u64) -> World {
    World::new(&Scenario::named(scenario).unwrap(), seed)
}

fn node(name: &str) -> NodeName {
    NodeName::parse(name).unwrap()
}

fn ready(world: &World, name: &str) -> Tri {
    world.nodes()[world.node_row(&node(name)).unwrap()].ready
}

fn trace(seed: u64) -> Vec<String> {
    let mut world = world("power-loss", seed);
    world.keep_trace();
    world.advance_to(40 * MINUTE);
    world.trace().to_vec()
}

/// A pod of `workload` and the node it is on; never one of a server.
fn placed(world: &World, namespace: &str, workload: &str) -> (Arc<str>, NodeName) {
    let of = |pod: &&super::Pod| &*world.workloads()[pod.workload].object.name == workload && &*pod.object.namespace == namespace;
    let on = |pod: &super::Pod| pod.node.map(|row| &world.nodes()[row]).filter(|node| !node.server);
    world.pods().filter(of).find_map(|pod| Some((pod.object.name.clone(), on(pod)?.name.clone()))).unwrap()
}

fn kust(name: &str) -> ObjectRef {
    ObjectRef::new(Kind::Kustomization, "flux-system", name)
}

fn request(world: &mut World, object: &ObjectRef, token: &str) {
    world.annotate_flux(object, None, vec![(REQUESTED_ANNOTATION.into(), Some(token.into()))]).unwrap();
}

#[test]
fn the_epoch_is_the_night_of_the_outage() {
    assert_eq!(EPOCH, Moment::parse("2026-03-14T02:06:00Z").unwrap());
}

#[test]
fn a_healthy_world_is_truly_healthy_and_stays_so() {
    let mut world = world("healthy", 1);
    assert_eq!((world.workloads().len(), world.pods().count(), world.ingresses().len()), (61, 163, 15));
    assert_eq!(world.truly_healthy(), Ok(()));
    let before = world.revision();
    world.advance_to(10 * MINUTE);
    assert_eq!(world.revision(), before);
    assert_eq!(world.truly_healthy(), Ok(()));
}

#[test]
fn a_cluster_left_alone_after_a_power_loss_comes_back() {
    for seed in 1..20 {
        let mut world = world("power-loss", seed);
        assert!(!world.api_up());
        assert!(world.truly_healthy().is_err());
        world.advance_to(5 * MINUTE);
        assert!(world.api_up(), "seed {seed}");
        assert!(world.nodes().iter().all(|node| node.ready == Tri::True && node.alive_since.is_some()), "seed {seed}");
        world.advance_to(60 * MINUTE);
        assert_eq!(world.truly_healthy(), Ok(()), "seed {seed}");
    }
}

#[test]
fn a_seed_tells_one_story_and_another_seed_another() {
    assert_eq!(trace(7), trace(7));
    assert!(trace(7).len() > 100);
    assert_ne!(trace(7), trace(8));
}

#[test]
fn a_dead_node_is_ready_for_about_fifty_seconds_more() {
    let mut world = world("healthy", 1);
    world.inject(Fault::NeverBoots, Some(&node("titan-20"))).unwrap();
    world.advance_to(39_000);
    assert_eq!(ready(&world, "titan-20"), Tri::True);
    world.advance_to(56_000);
    assert_eq!(ready(&world, "titan-20"), Tri::Unknown);
    let taints: Vec<_> = world.nodes()[19].taints.iter().map(|taint| format!("{}:{}", taint.key, taint.effect)).collect();
    assert_eq!(taints, ["node.kubernetes.io/unreachable:NoSchedule", "node.kubernetes.io/unreachable:NoExecute"]);
}

#[test]
fn a_stateful_pod_on_a_dead_node_stays_terminating_until_forced() {
    let mut world = world("healthy", 1);
    let (pod, dead) = placed(&world, "media", "sonarr");
    world.inject(Fault::NeverBoots, Some(&dead)).unwrap();
    world.advance_to(20 * MINUTE);
    let row = world.find_pod("media", &pod).unwrap();
    assert!(world.pod_row(row).unwrap().deleting.is_some());
    world.force_delete_pod("media", &pod, None).unwrap();
    // Its volume is taken from the dead kubelet six minutes later.
    world.advance_to(30 * MINUTE);
    let row = world.find_pod("media", &pod).unwrap();
    assert!(world.pod_row(row).unwrap().ready);
}

#[test]
fn a_deployment_replaces_its_pod_on_a_dead_node() {
    let mut world = world("healthy", 1);
    let (pod, dead) = placed(&world, "gitea", "gitea");
    world.inject(Fault::NeverBoots, Some(&dead)).unwrap();
    world.advance_to(10 * MINUTE);
    let old = world.find_pod("gitea", &pod).unwrap();
    assert!(world.pod_row(old).unwrap().deleting.is_some());
    let workload = world.workloads().iter().find(|it| &*it.object.name == "gitea").unwrap();
    assert_eq!((workload.status.ready, workload.pods.len()), (1, 2));
}

#[test]
fn a_full_disruption_evicts_nobody() {
    let mut world = world("healthy", 1);
    for row in 3..30 {
        let name = world.nodes()[row].name.clone();
        world.inject(Fault::NeverBoots, Some(&name)).unwrap();
    }
    world.advance_to(30 * MINUTE);
    assert_eq!(ready(&world, "titan-20"), Tri::Unknown);
    assert_eq!(world.pods().filter(|pod| pod.deleting.is_some()).count(), 0);
}

#[test]
fn the_tainter_takes_one_lost_node_in_ten_seconds() {
    let mut world = world("healthy", 1);
    for name in ["titan-20", "titan-21", "titan-22"] {
        world.inject(Fault::NeverBoots, Some(&node(name))).unwrap();
    }
    let condemned = |world: &World| {
        let all = world.nodes().iter().flat_map(|node| &node.taints);
        all.filter(|taint| &*taint.effect == "NoExecute").count()
    };
    let mut times = Vec::new();
    for second in 0..120 {
        world.advance_to(second * 1_000);
        if condemned(&world) > times.len() {
            times.push(second);
        }
    }
    assert!(matches!(times.as_slice(), [a, b, c] if b - a >= 10 && c - b >= 10), "{times:?}");
}

#[test]
fn an_unready_node_is_tainted_at_the_next_look_and_evicted_five_minutes_later() {
    let mut world = world("healthy", 1);
    world.inject(Fault::NodeNeverReady, Some(&node("titan-20"))).unwrap();
    let others = |world: &World| {
        let pods = world.nodes()[19].pods.iter().filter_map(|pod| world.pod_row(*pod));
        pods.filter(|pod| !world.workloads()[pod.workload].is_daemon()).count()
    };
    let taints = |world: &World| world.nodes()[19].taints.len();
    assert_eq!((taints(&world), others(&world) > 0), (1, true));
    world.advance_to(6_000);
    assert_eq!(taints(&world), 2);
    world.advance_to(299_000);
    assert!(others(&world) > 0);
    world.advance_to(307_000);
    assert_eq!(others(&world), 0);
}

#[test]
fn a_pod_is_bound_where_none_of_its_siblings_is() {
    let mut world = World::new(&Scenario::named("healthy").unwrap().with_nodes(3), 1);
    for _ in 0..4 {
        world.delete_pod("vault", "vault-1", None).unwrap();
        let later = world.now() + 3 * MINUTE;
        world.advance_to(later);
        let nodes: std::collections::BTreeSet<_> =
            world.pods().filter(|pod| &*pod.object.namespace == "vault").map(|pod| pod.node).collect();
        assert_eq!(nodes.len(), 3);
    }
}

#[test]
fn a_budget_blocks_the_eviction_that_would_break_it() {
    let mut world = world("healthy", 1);
    world.evict("vault", "vault-0", None).unwrap();
    assert_eq!(world.evict("vault", "vault-1", None), Err(Refusal::Blocked { budget: "vault".into() }));
    world.advance_to(3 * MINUTE);
    assert_eq!(world.evict("vault", "vault-1", None), Ok(()));
}

#[test]
fn a_suspended_kustomization_ignores_requests() {
    let mut world = world("healthy", 1);
    let media = kust("media");
    world.suspend_flux(&media, None, true).unwrap();
    request(&mut world, &media, "one");
    world.advance_to(5 * MINUTE);
    let row = world.find_kustomization("flux-system", "media").unwrap();
    let meta = |world: &World| world.kustomizations()[row].meta.clone();
    assert_eq!((meta(&world).ready, meta(&world).handled_at), (Tri::True, None));
    world.suspend_flux(&media, None, false).unwrap();
    world.advance_to(6 * MINUTE);
    assert_eq!(meta(&world).handled_at.as_deref(), Some("one"));
    assert_eq!(meta(&world).observed_generation, meta(&world).generation);
}

#[test]
fn the_branch_is_fetched_when_it_is_set_and_must_exist() {
    let scenario = Scenario::default().with_fault(Fault::WrongBranch, None);
    let mut world = World::new(&scenario, 1);
    world.advance_to(30 * MINUTE);
    assert!(world.source().revision.as_deref().unwrap().starts_with("incident@sha1:"));
    let source = world.source().meta.object.clone();
    world.set_branch(&source, None, "nonsense").unwrap();
    world.advance_to(31 * MINUTE);
    assert_eq!(world.source().meta.reason, "GitOperationFailed");
    world.set_branch(&source, None, "main").unwrap();
    world.advance_to(34 * MINUTE);
    assert!(world.source().revision.as_deref().unwrap().starts_with("main@sha1:"));
    assert!(world.kustomizations()[0].applied_revision == world.source().revision);
}

#[test]
fn a_stopped_unit_leaves_its_containers_running_and_its_lease_standing() {
    let mut world = world("healthy", 1);
    let row = world.node_row(&node("titan-09")).unwrap();
    world.unit_stop(&node("titan-09")).unwrap();
    world.advance_to(2 * MINUTE);
    let standing = world.renewed(&world.nodes()[row]);
    assert!(standing <= 0);
    assert_eq!(ready(&world, "titan-09"), Tri::Unknown);
    assert!(world.nodes()[row].pods.iter().all(|pod| world.pod_row(*pod).unwrap().running));
    world.unit_start(&node("titan-09")).unwrap();
    world.advance_to(3 * MINUTE);
    assert_eq!(ready(&world, "titan-09"), Tri::True);
    assert!(world.nodes()[row].taints.is_empty());
    assert_eq!(world.truly_healthy(), Ok(()));
}

#[test]
fn a_taint_shrinks_the_daemon_sets_and_a_persons_cordon_does_not() {
    let mut world = world("healthy", 1);
    let desired = |world: &World| world.workloads().iter().find(|it| it.is_daemon()).unwrap().status;
    world.person_cordon(&node("titan-09")).unwrap();
    assert_eq!((desired(&world).desired, desired(&world).ready), (30, 30));
    let taint = ananke_core::observation::Taint { key: "x".into(), value: "".into(), effect: "NoSchedule".into() };
    let patch = super::NodePatch { taints: Some(vec![taint]), ..Default::default() };
    world.patch_node(&node("titan-09"), None, patch).unwrap();
    assert_eq!((desired(&world).desired, desired(&world).ready), (29, 29));
    let stale = world.patch_node(&node("titan-09"), Some(1), super::NodePatch::default());
    assert!(matches!(stale, Err(Refusal::Conflict { .. })));
    world.person_uncordon(&node("titan-09")).unwrap();
    assert_eq!(world.nodes()[8].taints.len(), 1);
}

#[test]
fn the_change_log_holds_what_a_watch_must_tell() {
    let mut world = world("healthy", 1);
    world.keep_changes(1000);
    let from = world.revision();
    world.delete_pod("vault", "vault-2", None).unwrap();
    world.advance_to(2 * MINUTE);
    let told: Vec<_> = (world.changes_since(from).unwrap())
        .filter(|change| &*change.object.name == "vault-2" && change.what != super::What::Modified)
        .map(|change| change.what)
        .collect();
    assert_eq!(told, [super::What::Deleted, super::What::Added]);
    world.keep_changes(2);
    world.person_cordon(&node("titan-09")).unwrap();
    world.person_uncordon(&node("titan-09")).unwrap();
    assert!(world.changes_since(from).is_none());
}

#[test]
fn worlds_of_one_node_and_of_many_come_back_too() {
    for nodes in [1, 2, 5, 400] {
        let mut world = World::new(&Scenario::default().with_nodes(nodes), 3);
        world.advance_to(60 * MINUTE);
        assert_eq!(world.truly_healthy(), Ok(()), "{nodes} nodes");
    }
}

#[test]
fn a_battery_carries_its_hosts_and_a_long_cut_does_not() {
    let mut world = world("healthy", 1);
    world.power_cut();
    world.advance_to(11 * MINUTE);
    assert!(world.api_up());
    assert_eq!(world.ups_status(&world.upses()[0]), ["OB", "DISCHRG", "LB"]);
    world.advance_to(13 * MINUTE);
    assert!(!world.api_up());
    world.power_restore();
    world.advance_to(80 * MINUTE);
    assert_eq!(world.truly_healthy(), Ok(()));
}

#[test]
fn a_calibration_runs_a_battery_down_to_a_quarter_and_ends_when_mains_fail() {
    let mut world = world("healthy", 1);
    world.set_quirk(0, Quirk::Calibrates, true);
    world.advance_to(20 * MINUTE);
    let told = |world: &World| {
        let ups = &world.upses()[0];
        (world.charge(ups), world.ups_status(ups).join(" "))
    };
    assert_eq!(told(&world), (250, "OB CAL DISCHRG".to_owned()));
    world.power_cut();
    world.advance_to(21 * MINUTE);
    assert_eq!(told(&world), (167, "OB DISCHRG LB".to_owned()));
    assert_eq!(world.cuts(), []);
    world.advance_to(24 * MINUTE);
    assert!(world.cuts().iter().all(|cut| cut.at == 23 * MINUTE) && world.cuts().len() > 1, "{:?}", world.cuts());
    world.power_restore();
    world.set_quirk(0, Quirk::Calibrates, true);
    assert_eq!(told(&world), (0, "OL CHRG LB".to_owned()), "there is nothing to run down");
}

#[test]
fn what_no_fault_forbids_comes_back_under_each_fault() {
    for fault in Fault::ALL {
        let scenario = Scenario::default().with_fault(*fault, None);
        let mut world = World::new(&scenario, 3);
        world.advance_to(60 * MINUTE);
        let needs_ananke = matches!(
            fault,
            Fault::StaysOff
                | Fault::UnitDisabled
                | Fault::KubeletWedged
                | Fault::RootReadOnlyOnce
                | Fault::VaultSealed
                | Fault::ImmutableJob
                | Fault::ScaledToZero
                | Fault::GitPruned
                | Fault::ImagesLost
        ) || matches!(fault, Fault::Pod(trouble) if matches!(trouble.kind().cure, Cure::Remade | Cure::By(_)))
            || matches!(fault, Fault::Cluster(trouble) if trouble.entry().3 == Way::Ananke)
            || matches!(fault, Fault::Site(trouble) if trouble.entry().3 == Way::Ananke);
        // A driver that is not registered counts as a person's, whoever makes its pod anew.
        if *fault == Fault::Cluster(super::ClusterTrouble::NodePlugin) {
            continue;
        }
        assert_eq!(world.truly_healthy().is_ok(), !needs_ananke, "{fault}: {:?}", world.truly_healthy());
        let at_node = fault.needs_person() && fault.needs_node();
        // All servers but one are dark with it.
        let servers = if *fault == Fault::Site(super::SiteTrouble::LostServers) { 2 } else { 0 };
        assert_eq!(world.person_needed().len(), usize::from(at_node) + servers, "{fault}");
    }
}
