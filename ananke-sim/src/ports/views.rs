//! Lists as the API gives them, built again only when something in them changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use ananke_core::lease::{ANNOTATION, MANUAL_ANNOTATION};
use ananke_core::name::ResourceVersion;
use ananke_core::observation::{
    EndpointsState, ExtensionsState, FluxState, HelmReleaseState, IngressState, JobState, KustomizationState, NodeState,
    NodeTrouble, PodPhase, PodState, Reconcile, SourceState, StorageState, WorkloadState,
};
use ananke_core::order::{REQUESTED_ANNOTATION, SUSPENDED_ANNOTATION, URL_ANNOTATION};
use ananke_core::port::without_password;

use super::storage_views as storage;
use crate::world::{FluxObject, Kustomization, Ms, Node, RECONCILED, Release, Told, World, parsed};

/// Renewals show in the list of nodes at most this much later than they happen.
const STEP: Ms = 2_000;
/// The same for worlds so large that building the list costs something.
const LARGE_STEP: Ms = 5_000;

/// Revision of the nodes, and the step of time that their renewals belong to.
type NodesKey = (u64, Ms);

#[derive(Debug, Default)]
pub(super) struct Views {
    nodes: Option<(NodesKey, Arc<Vec<NodeState>>)>,
    pods: Option<(u64, Arc<Vec<PodState>>)>,
    ended: Option<(u64, Arc<Vec<PodState>>)>,
    workloads: Option<(u64, Arc<Vec<WorkloadState>>)>,
    flux: Option<(u64, Arc<Option<FluxState>>)>,
    jobs: Option<(u64, Arc<Vec<JobState>>)>,
    ingresses: Option<(u64, Arc<Vec<IngressState>>)>,
    storage: Option<(u64, Arc<StorageState>)>,
    endpoints: Option<(u64, Arc<Vec<EndpointsState>>)>,
    extensions: Option<(u64, Arc<ExtensionsState>)>,
    namespaces: Option<Arc<Vec<Arc<str>>>>,
    words: Words,
}

/// Each reason is one text, shared by all objects that have it.
#[derive(Debug, Default)]
pub(super) struct Words(BTreeMap<&'static str, Arc<str>>);

impl Words {
    pub(super) fn get(&mut self, word: &'static str) -> Arc<str> {
        self.0.entry(word).or_insert_with(|| word.into()).clone()
    }
}

impl Views {
    pub(super) fn nodes(&mut self, world: &World) -> Arc<Vec<NodeState>> {
        let step = if world.nodes().len() > 200 { LARGE_STEP } else { STEP };
        let key = (world.revisions().nodes, world.now() / step);
        match &self.nodes {
            Some((at, list)) if *at == key => list.clone(),
            Some(_) | None => {
                let words = &mut self.words;
                let list = Arc::new(world.nodes().iter().map(|node| node_state(world, node, words)).collect::<Vec<_>>());
                self.nodes = Some((key, list.clone()));
                list
            }
        }
    }

    pub(super) fn pods(&mut self, world: &World) -> Arc<Vec<PodState>> {
        let words = &mut self.words;
        kept(&mut self.pods, world.revisions().pods, || {
            let of_workloads = world.pods().filter(|pod| pod.ended.is_none()).map(|pod| pod_state(world, pod, words));
            let of_workloads: Vec<PodState> = of_workloads.collect();
            of_workloads.into_iter().chain(world.instances().iter().map(|one| instance_state(world, one))).collect()
        })
    }

    pub(super) fn ended(&mut self, world: &World) -> Arc<Vec<PodState>> {
        let words = &mut self.words;
        kept(&mut self.ended, world.revisions().pods, || {
            world.pods().filter(|pod| pod.ended.is_some()).map(|pod| pod_state(world, pod, words)).collect()
        })
    }

    pub(super) fn workloads(&mut self, world: &World) -> Arc<Vec<WorkloadState>> {
        kept(&mut self.workloads, world.revisions().workloads, || {
            let state = |workload: &crate::world::Workload| WorkloadState {
                object: workload.object.clone(),
                version: version(workload.rv),
                registries: vec![workload.registry.clone()],
                scaled_from: None,
                reboot_lock: world.reboot_lock(&workload.object).cloned(),
                release: None,
                desired: if workload.is_daemon() { workload.status.desired } else { workload.replicas },
                ready: workload.status.ready,
                updated: workload.status.updated,
                generation: workload.generation,
                observed_generation: workload.observed_generation,
            };
            world.workloads().iter().filter(|workload| world.has(&workload.object)).map(state).collect()
        })
    }

    pub(super) fn flux(&mut self, world: &World) -> Arc<Option<FluxState>> {
        let words = &mut self.words;
        kept(&mut self.flux, world.revisions().flux, || {
            let source = world.source();
            Some(FluxState {
                sources: vec![SourceState {
                    object: source.meta.object.clone(),
                    version: version(source.meta.rv),
                    url: source.url.clone(),
                    url_from: source.meta.annotations.get(URL_ANNOTATION).cloned(),
                    branch: Some(source.branch.clone()),
                    pinned: None,
                    reconcile: reconcile(&source.meta, words),
                    revision: source.revision.clone(),
                    artifact_updated: source.artifact_updated.map(|at| world.wall(at)),
                }],
                helm_releases: (world.releases().iter())
                    .filter(|it| world.has(&it.meta.object))
                    .map(|it| helm_release(world, it, words))
                    .collect(),
                kustomizations: world.kustomizations().iter().map(|it| kustomization(world, it, words)).collect(),
            })
        })
    }

    pub(super) fn jobs(&mut self, world: &World) -> Arc<Vec<JobState>> {
        kept(&mut self.jobs, world.revisions().jobs, || {
            let state = |job: &crate::world::Job| JobState {
                object: job.object.clone(),
                uid: job.uid.clone(),
                ended: job.ended,
                applied_by: world.kustomizations().get(job.kustomization).map(|by| by.meta.object.clone()),
                keep: false,
                idempotent: true,
            };
            world.jobs().map(state).collect()
        })
    }

    pub(super) fn ingresses(&mut self, world: &World) -> Arc<Vec<IngressState>> {
        kept(&mut self.ingresses, world.revisions().network, || {
            let state = |ingress: &crate::world::Ingress| IngressState {
                object: ingress.object.clone(),
                hosts: vec![ingress.host.clone()],
                tls_hosts: vec![ingress.host.clone()],
                services: world.workloads().get(ingress.backend).map(|of| of.object.name.clone()).into_iter().collect(),
            };
            world.ingresses().iter().filter(|ingress| world.has(&ingress.object)).map(state).collect()
        })
    }

    pub(super) fn storage(&mut self, world: &World) -> Arc<StorageState> {
        let words = &mut self.words;
        let looked = world.ceph().map_or(0, |ceph| ceph.checked.unsigned_abs());
        kept(&mut self.storage, world.revisions().storage.wrapping_add(looked), || storage::state(world, words))
    }

    pub(super) fn endpoints(&mut self, world: &World) -> Arc<Vec<EndpointsState>> {
        kept(&mut self.endpoints, world.revisions().pods.max(world.revisions().network), || {
            let workloads = world.workloads().iter().filter(|workload| workload.service && world.has(&workload.service_ref()));
            workloads.map(|workload| storage::endpoints(world, workload)).collect()
        })
    }

    pub(super) fn extensions(&mut self, world: &World) -> Arc<ExtensionsState> {
        let words = &mut self.words;
        kept(&mut self.extensions, world.revisions().pods, || storage::extensions(world, words))
    }

    pub(super) fn namespaces(&mut self, world: &World) -> Arc<Vec<Arc<str>>> {
        let list = || Arc::new(world.namespaces().iter().map(|namespace| namespace.name.clone()).collect());
        self.namespaces.get_or_insert_with(list).clone()
    }
}

fn pod_state(world: &World, pod: &crate::world::Pod, words: &mut Words) -> PodState {
    PodState {
        object: pod.object.clone(),
        uid: pod.uid.clone(),
        owner: Some(world.workloads()[pod.workload].object.clone()),
        node: pod.node.map(|node| world.nodes()[node].name.clone()),
        phase: pod.phase,
        ready: pod.ready,
        reason: words.get(pod.reason),
        message: said(world, pod).unwrap_or_else(|word| words.get(word)),
        created: Some(world.stamped(pod.created)),
        deleting: pod.deleting.is_some(),
        claims: world.volume_of(pod).map(|volume| volume.claim.name.clone()).into_iter().collect(),
        mirror: false,
        bare: false,
        role: world.database_role(pod).map(|role| words.get(role)),
    }
}

/// No workload owns it.
fn instance_state(world: &World, instance: &crate::world::Instance) -> PodState {
    PodState {
        object: instance.object.clone(),
        uid: instance.uid.clone(),
        owner: None,
        node: world.nodes().get(instance.node).map(|node| node.name.clone()),
        phase: PodPhase::Running,
        ready: instance.ready,
        reason: "".into(),
        message: "".into(),
        created: Some(world.stamped(instance.created)),
        deleting: false,
        claims: Vec::new(),
        mirror: false,
        bare: false,
        role: Some(instance.role.into()),
    }
}

/// What the pod's status says beside its reason: the scheduler's word, or else the kubelet's.
pub(crate) fn said(world: &World, pod: &crate::world::Pod) -> Result<Arc<str>, &'static str> {
    if pod.node.is_none()
        && let Some(why) = world.find_pod(&pod.object.namespace, &pod.object.name).and_then(|row| world.unschedulable(row))
    {
        return Ok(why.clone());
    }
    if let Some(words) = pod.ended {
        return Err(words);
    }
    if let Some(text) = world.pull_failure(pod) {
        return Ok(text.into());
    }
    let trouble = world.trouble_of(pod).filter(|trouble| !pod.ready && trouble.told == Told::Status);
    Err(trouble.filter(|trouble| trouble.reason == pod.reason).map_or("", |trouble| trouble.words))
}

fn kept<T>(slot: &mut Option<(u64, Arc<T>)>, revision: u64, build: impl FnOnce() -> T) -> Arc<T> {
    match slot {
        Some((at, list)) if *at == revision => list.clone(),
        Some(_) | None => {
            let list = Arc::new(build());
            *slot = Some((revision, list.clone()));
            list
        }
    }
}

fn node_state(world: &World, node: &Node, words: &mut Words) -> NodeState {
    NodeState {
        name: node.name.clone(),
        uid: node.uid.clone(),
        version: version(node.rv),
        ready: node.ready,
        reason: words.get(node.reason),
        message: words.get(node.message),
        boot_id: node.boot_id.clone(),
        machine_id: world.node_row(&node.name).map(|row| world.hosts()[row].machine_id.clone()),
        architecture: node.labels.get("kubernetes.io/arch").cloned(),
        renewed: Some(world.wall(world.renewed(node))),
        troubles: pressure(world),
        unschedulable: node.unschedulable,
        taints: node.taints.clone(),
        lease_note: node.annotations.get(ANNOTATION).cloned(),
        manual_note: node.annotations.get(MANUAL_ANNOTATION).cloned(),
    }
}

fn pressure(world: &World) -> Vec<NodeTrouble> {
    let trouble = || NodeTrouble { kind: "DiskPressure".into(), message: "kubelet has disk pressure".into() };
    world.has_disk_pressure().then(trouble).into_iter().collect()
}

fn kustomization(world: &World, kust: &Kustomization, words: &mut Words) -> KustomizationState {
    KustomizationState {
        object: kust.meta.object.clone(),
        version: version(kust.meta.rv),
        source: world.source().meta.object.clone(),
        depends_on: kust.depends_on.iter().map(|parent| world.kustomizations()[*parent].meta.object.clone()).collect(),
        reconcile: reconcile(&kust.meta, words),
        applied_revision: kust.applied_revision.clone(),
        succeeded_at: kust.reconciled_at.filter(|_| kust.ended == RECONCILED).map(|at| world.stamped(at)),
        suspend_stamp: kust.meta.annotations.get(SUSPENDED_ANNOTATION).cloned(),
        workloads: world.own_workloads(kust).map(|of| of.object.clone()).collect(),
        applies: world.applied(kust),
    }
}

fn helm_release(world: &World, release: &Release, words: &mut Words) -> HelmReleaseState {
    let stalled = world.stalled(release);
    let parents = release.depends_on.iter().filter_map(|parent| world.releases().get(*parent));
    HelmReleaseState {
        object: release.meta.object.clone(),
        version: version(release.meta.rv),
        depends_on: parents.map(|parent| parent.meta.object.clone()).collect(),
        reconcile: reconcile(&release.meta, words),
        suspend_stamp: release.meta.annotations.get(SUSPENDED_ANNOTATION).cloned(),
        stalled: stalled.map(|(reason, message)| format!("{reason}: {message}").into()),
        uninstalls: false,
    }
}

fn reconcile(meta: &FluxObject, words: &mut Words) -> Reconcile {
    Reconcile {
        suspended: meta.suspended,
        generation: meta.generation,
        observed_generation: meta.observed_generation,
        ready: meta.ready,
        reason: words.get(meta.reason),
        message: if meta.message.contains("://") { without_password(&meta.message).into() } else { meta.message.clone() },
        requested_at: meta.annotations.get(REQUESTED_ANNOTATION).cloned(),
        handled_at: meta.handled_at.clone(),
    }
}

fn version(rv: u64) -> ResourceVersion {
    parsed(ResourceVersion::parse, &rv.to_string())
}
