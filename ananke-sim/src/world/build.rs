//! A world from a scenario: everything as it was while all was well, then what the scenario says has happened.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::sync::Arc;

use ananke_core::name::{BootId, Kind, MacAddress, NodeName, ObjectRef, UnitName};
use ananke_core::observation::{HostHealth, PodPhase, Tri, UnitState};
use ananke_core::order::SUSPENDED_ANNOTATION;

use super::catalogue::{self, Entry};
use super::{
    Budget, BudgetStatus, Counts, EPOCH, FluxObject, Host, Ingress, Known, KustStage, Kustomization, Ms, Namespace, Node,
    Obedience, Power, RECONCILED, Revisions, Source, Ups, WallClock, Words, Workload, WorkloadStatus, World, parsed,
};
use crate::rng::Rng;
use crate::scenario::{Foundation, ImageCaches, Registry, Scenario, Start};
use crate::table::Table;

pub(super) const DAY: Ms = 86_400_000;
pub(super) const CREATED: Ms = -90 * DAY;
/// Power was away this long before mains came back.
const OUTAGE: Ms = 20 * 60_000;
pub(super) const DOMAIN: &str = "titan.example";
/// Worlds of more nodes run more: a Deployment of ten for every so many nodes above thirty.
const NODES_PER_EXTRA: usize = 5;
const EXTRA_PODS: u32 = 10;
/// Kubelets take 110.
const PODS_PER_NODE: usize = 100;

pub(super) fn build(scenario: &Scenario, seed: u64) -> World {
    let mut world = empty(Rng::new(seed));
    world.lifecycle.since = -world.draw("lifecycle", 0, 0, DAY, DAY + super::lifecycle::PERIOD);
    match &scenario.map {
        Some(map) => super::recorded::fill(&mut world, map),
        None => {
            add_hosts(&mut world, scenario.nodes.clamp(1, crate::scenario::MAX_NODES), scenario.servers);
            add_workloads(&mut world, scenario);
            if scenario.foundation == Foundation::Outside {
                move_outside(&mut world);
            }
            add_flux(&mut world, scenario.registry);
        }
    }
    add_pods(&mut world);
    if scenario.instances {
        super::instances::add(&mut world);
    }
    world.all_attached(-30 * DAY);
    if let Foundation::Pruned(caches) = scenario.foundation {
        match caches {
            ImageCaches::Warm => world.spread_images(),
            ImageCaches::Empty => world.lose_images(),
        }
        world.prune_foundation();
    }
    match scenario.start {
        Start::Healthy => {}
        Start::PowerLoss => lose_power(&mut world),
        Start::AfterShutdown => shut_down(&mut world),
    }
    for (fault, node) in &scenario.faults {
        world.strike(*fault, node.as_ref());
    }
    if scenario.start == Start::PowerLoss {
        world.power_restore();
    }
    world
}

/// A control plane that runs, and nothing else: what a new API server has.
pub(super) fn bare(seed: u64) -> World {
    let mut world = empty(Rng::new(seed));
    add_namespaces(&mut world, ["default", "kube-node-lease", "kube-public", "kube-system"].map(Arc::from));
    world
}

pub(super) fn empty(rng: Rng) -> World {
    let source = ObjectRef::new(Kind::GitRepository, "flux-system", "flux-system");
    let branch = |name: &str, nth| (Arc::from(name), Arc::from(rng.uuid("commit", 0, nth).replace('-', "") + "5eed0000"));
    let branches = BTreeMap::from([branch("main", 0), branch("incident", 1), branch("staging", 2)]);
    let revision = branches.get("main").map(|commit: &Arc<str>| Arc::from(format!("main@sha1:{commit}")));
    World {
        rng,
        now: 0,
        seq: 0,
        queue: BinaryHeap::new(),
        wall: WallClock { epoch: EPOCH, speed: 1 },
        revision: 100_000,
        revisions: Revisions::default(),
        log: None,
        trace: None,
        frames: None,
        paces: BTreeMap::new(),
        rhythm: None,
        mains: true,
        upses: racks(),
        cuts: Vec::new(),
        hosts: Table::default(),
        nodes: Table::default(),
        pods: Table::default(),
        workloads: Table::default(),
        volumes: Table::default(),
        kustomizations: Table::default(),
        jobs: Table::default(),
        releases: Table::default(),
        source: Source {
            meta: flux_object(rng, source, 0, "stored artifact"),
            url: catalogue::GIT_URL.into(),
            branch: "main".into(),
            revision,
            artifact_updated: Some(-3 * DAY),
            stored: true,
            fresh: true,
            failures: 0,
            epoch: 0,
        },
        ingresses: Vec::new(),
        namespaces: Vec::new(),
        pruned: BTreeSet::new(),
        unmarked: BTreeSet::new(),
        archives: Vec::new(),
        instances: Vec::new(),
        branches,
        known: Known::default(),
        vault: super::vault::Vault::default(),
        control: super::control::Control {
            quorum: true,
            formed: true,
            api: true,
            api_since: CREATED,
            controllers: true,
            ..Default::default()
        },
        lifecycle: super::lifecycle::Lifecycle::default(),
        shared: super::coordination::Shared::default(),
        node_names: BTreeMap::new(),
        pod_names: BTreeMap::new(),
        workload_names: BTreeMap::new(),
        pending: BTreeSet::new(),
        unschedulable: BTreeMap::new(),
        troubles: super::cluster_trouble::Troubles::default(),
        site: super::site_trouble::Site::default(),
        schedule_queued: false,
        schedule_cursor: 0,
        dirty: VecDeque::new(),
        daemon_nodes: 0,
        daemons: Vec::new(),
        ready_nodes: 0,
        made_pods: 0,
    }
}

fn racks() -> Table<Ups> {
    let mut upses = Table::default();
    for name in ["rack-a", "rack-b"] {
        upses.add(Ups::new(name));
    }
    upses
}

fn add_hosts(world: &mut World, count: usize, servers: Option<usize>) {
    let servers = servers.unwrap_or(if count >= 3 { 3 } else { 1 }).clamp(1, count);
    let digits = count.to_string().len().max(2);
    for row in 0..count {
        add_host(world, parsed(NodeName::parse, &format!("titan-{:0digits$}", row + 1)), row < servers);
    }
}

/// In the range that is nobody's.
fn mac(row: usize) -> MacAddress {
    let [.., a, b, c] = u32::try_from(row).unwrap_or(u32::MAX).to_be_bytes();
    parsed(MacAddress::parse, &format!("52:54:00:{a:02x}:{b:02x}:{c:02x}"))
}

pub(super) fn add_host(world: &mut World, name: NodeName, server: bool) {
    let row = world.hosts.len();
    let boot_id = world.boot_id(row, 0);
    world.node_names.insert(name.clone(), row);
    world.nodes.add(node(world, &name, row, server, boot_id.clone()));
    world.hosts.add(Host {
        name,
        server,
        power: Power::Up,
        never_boots: false,
        unplugged: false,
        told: Obedience::GoesOff,
        slow_boot: false,
        stays_off: false,
        mac: mac(row),
        boot_id,
        machine_id: world.rng.uuid("machine", row as u64, 0).replace('-', "").into(),
        booted_at: -world.draw("booted", row, 0, 2 * DAY, 40 * DAY),
        sshd: true,
        sshd_broken: false,
        key_changed: false,
        manner: super::Manner::Usual,
        skew: world.draw("skew", row, 0, -40, 40),
        ups: row % 2,
        unit: parsed(UnitName::parse, if server { "k3s" } else { "k3s-agent" }),
        unit_state: UnitState::Active,
        unit_enabled: true,
        health: HostHealth { clock_synced: Some(true), space: vec![super::power::disk(70)], ..HostHealth::default() },
        snapshots: Vec::new(),
        read_only_in: None,
        words: None,
        told_off: false,
        restarting: false,
        prepared: true,
        boots: 0,
        epoch: 0,
        unit_epoch: 0,
        fell_at: None,
    });
    world.daemon_nodes += 1;
    world.ready_nodes += 1;
}

fn node(world: &World, name: &NodeName, row: usize, server: bool, boot_id: BootId) -> Node {
    let mut labels = Words::new();
    labels.insert("kubernetes.io/hostname".into(), name.as_str().into());
    labels.insert("kubernetes.io/os".into(), "linux".into());
    labels.insert("kubernetes.io/arch".into(), if server { "amd64".into() } else { "arm64".into() });
    if server {
        for role in ["control-plane", "etcd"] {
            labels.insert(format!("node-role.kubernetes.io/{role}").into(), "true".into());
        }
    }
    Node {
        name: name.clone(),
        object: ObjectRef::new(Kind::Node, "", name.as_str()),
        uid: world.uid("node", row),
        rv: world.revision,
        server,
        created: CREATED,
        ready: Tri::True,
        reason: "KubeletReady",
        message: super::nodes::READY,
        ready_since: -2 * DAY,
        boot_id: Some(boot_id),
        unschedulable: false,
        taints: Vec::new(),
        labels,
        annotations: Words::new(),
        alive_since: Some(-world.draw("beat", row, 0, DAY, DAY + super::HEARTBEAT)),
        last_renewed: 0,
        pods: Vec::new(),
        never_ready: false,
        wedged: false,
        takes_daemons: true,
        storage: super::NodeStorage::default(),
        images: BTreeSet::new(),
        epoch: 0,
        watch_epoch: 0,
        look_epoch: 0,
        evict_epoch: 0,
    }
}

/// How long a pod takes to run.
pub(super) fn pace(kind: Kind, volumes: bool) -> (Ms, Ms) {
    match (kind, volumes) {
        (Kind::DaemonSet, _) => (3_000, 12_000),
        (_, true) => (6_000, 30_000),
        (_, false) => (4_000, 20_000),
    }
}

fn add_workloads(world: &mut World, scenario: &Scenario) {
    for entry in catalogue::WORKLOADS {
        let row = add_workload(world, entry.kind, entry.namespace, entry.name);
        let found = |path: &str| find(world, path);
        let mut needs: Vec<usize> = entry.needs.iter().filter_map(|path| found(path)).collect();
        if !catalogue::NO_DNS.contains(&entry.namespace) {
            needs.extend(found(catalogue::DNS));
        }
        let budget = entry.budget.map(|min_available| budget(world, row, min_available));
        let workload = &mut world.workloads[row];
        (workload.replicas, workload.volumes, workload.budget, workload.needs) = (entry.replicas, entry.volumes, budget, needs);
        workload.start = pace(entry.kind, entry.volumes);
        if workload.is_daemon() {
            world.daemons.push(row);
        }
        add_ingress(world, entry, row);
    }
    let at = |path| find(world, path).unwrap_or(0);
    world.known = Known {
        dns: at(catalogue::DNS),
        storage: at(catalogue::STORAGE),
        ingress: at(catalogue::INGRESS),
        git: at(catalogue::GIT),
        registry: at(catalogue::REGISTRY),
        source_controller: at(catalogue::SOURCE_CONTROLLER),
        kustomize_controller: at(catalogue::KUSTOMIZE_CONTROLLER),
        helm_controller: at(catalogue::HELM_CONTROLLER),
        crasher: at(catalogue::CRASHER),
        faulty: at(catalogue::FAULTY),
    };
    world.vault.workload = find(world, catalogue::VAULT).unwrap_or(0);
    let own: usize = world.workloads.iter().map(|it| if it.is_daemon() { scenario.nodes } else { it.replicas as usize }).sum();
    let wanted = scenario.pods.min(scenario.nodes * PODS_PER_NODE).saturating_sub(own).div_ceil(EXTRA_PODS as usize);
    for nth in 0..wanted.max(scenario.nodes.saturating_sub(30) / NODES_PER_EXTRA) {
        let row = add_workload(world, Kind::Deployment, "farm", &format!("render-{nth:04}"));
        world.workloads[row].replicas = EXTRA_PODS;
        world.workloads[row].needs = vec![world.known.dns];
    }
    let mut names: BTreeSet<Arc<str>> = world.workloads.iter().map(|workload| workload.object.namespace.clone()).collect();
    names.extend(["default", "kube-public", "kube-node-lease"].map(Arc::from));
    add_namespaces(world, names);
}

pub(super) fn add_namespaces(world: &mut World, names: impl IntoIterator<Item = Arc<str>>) {
    for (row, name) in names.into_iter().enumerate() {
        let uid = world.uid("namespace", row);
        world.namespaces.push(Namespace { name, uid, rv: world.revision, created: CREATED });
    }
}

/// Neither what Flux fetches nor what Harbor would serve comes from the cluster.
fn move_outside(world: &mut World) {
    (world.source.url, world.known.git) = (catalogue::OUTSIDE_GIT.into(), super::ELSEWHERE);
    for row in 0..world.workloads.len() {
        if &*world.workloads[row].registry == catalogue::HARBOR {
            world.workloads[row].registry = catalogue::OUTSIDE_REGISTRY.into();
        }
    }
}

/// Of the workload's name.
pub(super) fn budget(world: &World, row: usize, min_available: u32) -> Budget {
    let (name, uid) = (world.workloads[row].object.name.clone(), world.uid("budget", row));
    Budget { name, uid, rv: world.revision, min_available, status: BudgetStatus::default() }
}

pub(super) fn add_workload(world: &mut World, kind: Kind, namespace: &str, name: &str) -> usize {
    let object = ObjectRef::new(kind, namespace, name);
    let row = world.workloads.len();
    let uid = world.uid("workload", row);
    world.workload_names.insert(object.clone(), row);
    world.workloads.add(Workload {
        object,
        uid,
        rv: world.revision,
        created: CREATED,
        replicas: 0,
        forgotten: 0,
        generation: 1,
        observed_generation: 1,
        status: WorkloadStatus::default(),
        volumes: false,
        claims: Vec::new(),
        service: kind != Kind::DaemonSet,
        serves_as: None,
        registry: catalogue::registry(namespace).into(),
        secret: catalogue::SECRETS.contains(&(namespace, name)),
        budget: None,
        kustomization: None,
        hash: world.rng.hex("replica-set", row as u64, 0, 10).into(),
        needs: Vec::new(),
        pods: Vec::new(),
        endpoints: 0,
        crashing: false,
        trouble: None,
        counts: Counts::default(),
        waiters: Vec::new(),
        start: (4_000, 20_000),
        dirty: false,
    })
}

fn find(world: &World, path: &str) -> Option<usize> {
    let (namespace, name) = path.split_once('/')?;
    world.workloads.iter().position(|it| &*it.object.namespace == namespace && &*it.object.name == name)
}

fn add_ingress(world: &mut World, entry: &Entry, backend: usize) {
    if let Some(host) = entry.host {
        world.ingresses.push(Ingress {
            object: ObjectRef::new(Kind::Ingress, entry.namespace, entry.name),
            uid: world.uid("ingress", backend),
            rv: world.revision,
            created: CREATED,
            host: format!("{host}.{DOMAIN}").into(),
            backend,
        });
    }
}

pub(super) fn flux_object(rng: Rng, object: ObjectRef, row: u64, message: &str) -> FluxObject {
    FluxObject {
        uid: parsed(ananke_core::name::Uid::parse, &rng.uuid("flux", row, 0)),
        object,
        rv: 100_000,
        created: CREATED,
        annotations: Words::new(),
        suspended: false,
        generation: 1,
        observed_generation: 1,
        ready: Tri::True,
        reason: "ReconciliationSucceeded",
        message: message.into(),
        ready_since: -3 * DAY,
        handled_at: None,
    }
}

fn add_flux(world: &mut World, registry: Registry) {
    let index = |name: &str| catalogue::KUSTOMIZATIONS.iter().position(|(other, _)| *other == name);
    for (row, (name, depends_on)) in catalogue::KUSTOMIZATIONS.iter().enumerate() {
        let object = ObjectRef::new(Kind::Kustomization, "flux-system", name);
        let revision = world.source.revision.clone();
        let message = format!("Applied revision: {}", revision.as_deref().unwrap_or_default());
        world.kustomizations.add(Kustomization {
            meta: flux_object(world.rng, object, row as u64 + 1, &message),
            path: format!("./clusters/titan/{name}").into(),
            depends_on: depends_on.iter().filter_map(|parent| index(parent)).collect(),
            workloads: Vec::new(),
            applied_revision: revision,
            ended: RECONCILED,
            reconciled_at: Some(-DAY / 100),
            stage: KustStage::Idle,
            again: false,
            token: None,
            runs: 0,
            epoch: 0,
        });
    }
    for (workload, entry) in catalogue::WORKLOADS.iter().enumerate() {
        if let Some(owner) = entry.kustomization.and_then(index) {
            world.workloads[workload].kustomization = Some(owner);
            world.kustomizations[owner].workloads.push(workload);
        }
    }
    super::jobs::add(world);
    super::helm::add(world);
    if registry == Registry::Chart {
        super::helm::add_chart(world);
    }
}

/// Every pod runs and is ready; in a recorded cluster on nodes that tell of its image.
fn add_pods(world: &mut World) {
    let nodes = world.nodes.len();
    let tell = world.nodes.iter().enumerate().filter(|(_, node)| !node.images.is_empty());
    let told: Vec<(usize, BTreeSet<usize>)> = tell.map(|(row, node)| (row, node.images.clone())).collect();
    let mut cursor = 0;
    for row in 0..world.workloads.len() {
        let workload = &world.workloads[row];
        let (name, hash, kind) = (workload.object.name.clone(), workload.hash.clone(), workload.object.kind);
        let recorded: Vec<usize> = told.iter().filter(|(_, images)| images.contains(&row)).map(|(node, _)| *node).collect();
        let count = if workload.is_daemon() { nodes } else { usize::try_from(workload.replicas).unwrap_or(0) };
        for nth in 0..count {
            world.made_pods += 1;
            let suffix = world.rng.suffix("pod-name", row as u64, world.made_pods);
            let name = if kind == Kind::StatefulSet {
                format!("{name}-{nth}")
            } else if kind == Kind::DaemonSet {
                format!("{name}-{suffix}")
            } else {
                format!("{name}-{hash}-{suffix}")
            };
            let place = recorded.get(cursor % recorded.len().max(1)).copied().unwrap_or(cursor % nodes);
            let node = if kind == Kind::DaemonSet { nth } else { place };
            cursor += usize::from(kind != Kind::DaemonSet);
            add_running(world, (row, &name), u32::try_from(nth).unwrap_or(0), node);
        }
    }
}

/// A pod that has run and been ready for days, and a status that says so.
pub(super) fn add_running(world: &mut World, (workload, name): (usize, &str), ordinal: u32, node: usize) {
    let row = world.make_pod(workload, name, ordinal, None);
    let before = world.standing(row);
    let pod = &mut world.pods[row];
    (pod.phase, pod.ready, pod.reason, pod.running, pod.serving) = (PodPhase::Running, true, "", true, true);
    (pod.node, pod.created, pod.ready_since) = (Some(node), -30 * DAY, -2 * DAY);
    world.nodes[node].pods.push(row);
    world.nodes[node].images.insert(workload);
    let after = world.standing(row);
    let nodes = world.daemon_nodes;
    let of = &mut world.workloads[workload];
    of.counts = of.counts.moved(before, after);
    of.endpoints = of.counts.serving;
    of.status = of.counted(nodes);
    world.sync_budget(workload);
}

/// Twenty minutes ago everything went dark at once, so the API still has it all as it was.
fn lose_power(world: &mut World) {
    for row in 0..world.upses.len() {
        let charge = world.draw("charge", row, 0, 550, 680);
        world.upses[row].charge = charge;
    }
    let control = &mut world.control;
    (control.quorum, control.formed, control.api, control.controllers) = (false, false, false, false);
    control.epoch += 1;
    for row in 0..world.hosts.len() {
        let renewed = -OUTAGE - world.draw("last-beat", row, 0, 0, super::HEARTBEAT);
        let node = &mut world.nodes[row];
        (node.alive_since, node.last_renewed) = (None, renewed);
        let host = &mut world.hosts[row];
        (host.power, host.sshd, host.unit_state, host.prepared) = (Power::Off, false, UnitState::Inactive, false);
        world.containers_die(row);
    }
}

/// Flux suspended with Ananke's stamp, every unit stopped; containers run on, as k3s leaves them.
fn shut_down(world: &mut World) {
    let stamp: Arc<str> = format!("shutdown-20260314T015000Z {}", world.wall(-OUTAGE)).into();
    for kust in world.kustomizations.iter_mut() {
        (kust.meta.suspended, kust.meta.generation) = (true, 2);
        kust.meta.annotations.insert(SUSPENDED_ANNOTATION.into(), stamp.clone());
    }
    let control = &mut world.control;
    (control.quorum, control.formed, control.api, control.controllers) = (false, false, false, false);
    for row in 0..world.hosts.len() {
        let renewed = -OUTAGE - world.draw("last-beat", row, 0, 0, super::HEARTBEAT);
        (world.nodes[row].alive_since, world.nodes[row].last_renewed) = (None, renewed);
        (world.hosts[row].unit_state, world.hosts[row].prepared) = (UnitState::Inactive, false);
    }
}
