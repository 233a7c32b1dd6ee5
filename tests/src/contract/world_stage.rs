//! The stage of a simulated world: what it has is found in it, and what came of an order is looked up in it, whether the port
//! under test is in memory or on a socket.

use std::sync::Arc;
use std::time::Duration;

use ananke_core::name::{BootId, Kind, NodeName, ObjectRef};
use ananke_core::observation::{
    AttachmentState, ClaimState, CsiNodeState, EndpointsState, EventState, IngressState, JobState, PodPhase, PodState, Taint, Tri,
};
use ananke_core::port::Clock as _;
use ananke_sim::serve::Cluster;
use ananke_sim::serve::api::kinds;
use ananke_sim::serve::api::store::ObjectStore as _;
use ananke_sim::world::{DRIVER, FluxObject, NodePatch, Pod, PodTrouble, Refusal, Warning};
use ananke_sim::{Fault, Sim, World};
use async_trait::async_trait;

use super::{Given, Layers, Look, Stage, absent};

/// Where the world is.
pub trait HasWorld {
    fn act<T>(&self, act: impl FnOnce(&mut World) -> T) -> T;

    /// Messages of the Events about a node.
    fn events(&self, node: &NodeName) -> Vec<String>;

    /// About a second of its time.
    fn second(&self) -> impl Future<Output = ()>;
}

impl HasWorld for Sim {
    fn act<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        act(&mut self.world())
    }

    fn events(&self, node: &NodeName) -> Vec<String> {
        self.world().node_events().iter().filter(|event| event.node == *node).map(|event| event.message.clone()).collect()
    }

    async fn second(&self) {
        let clock = self.clock();
        clock.sleep_until(clock.now().plus(Duration::from_secs(1))).await;
    }
}

/// Simulated seconds in a second of a served world under test.
pub const SPEED: u32 = 20;

impl HasWorld for Arc<Cluster> {
    fn act<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        Cluster::act(self, act)
    }

    /// A client's Events are the server's own objects, not the world's.
    fn events(&self, node: &NodeName) -> Vec<String> {
        let kind = kinds::named("Event").expect("the kind is served");
        let text = |event: &serde_json::Value, at: &str| event.pointer(at).and_then(|text| text.as_str()).map(str::to_owned);
        let (events, _) = self.list(kind, "default");
        let about = events.iter().filter(|event| text(event, "/involvedObject/name").as_deref() == Some(node.as_str()));
        about.filter_map(|event| text(event, "/message")).collect()
    }

    async fn second(&self) {
        tokio::time::sleep(Duration::from_secs(1) / SPEED).await;
    }
}

#[derive(Debug)]
pub struct WorldStage<W>(pub W);

fn done(outcome: Result<(), Refusal>) -> Given<()> {
    outcome.unwrap_or_else(|refusal| panic!("the world refuses: {refusal}"));
    Ok(())
}

fn pod_state(world: &World, pod: &Pod) -> PodState {
    PodState {
        object: pod.object.clone(),
        uid: pod.uid.clone(),
        owner: world.workloads().get(pod.workload).map(|of| of.object.clone()),
        node: pod.node.and_then(|row| world.nodes().get(row)).map(|node| node.name.clone()),
        phase: PodPhase::Running,
        ready: true,
        reason: "".into(),
        message: "".into(),
        created: Some(world.stamped(pod.created)),
        deleting: false,
        claims: world.volume_of(pod).map(|volume| volume.claim.name.clone()).into_iter().collect(),
        mirror: false,
        bare: false,
        role: world.database_role(pod).map(Into::into),
    }
}

fn flux_object<'a>(world: &'a World, object: &ObjectRef) -> Option<&'a FluxObject> {
    let kustomizations = world.kustomizations().iter().map(|row| &row.meta);
    let all = [&world.source().meta].into_iter().chain(kustomizations).chain(world.releases().iter().map(|row| &row.meta));
    all.into_iter().find(|meta| meta.object == *object)
}

fn look(world: &World, object: &ObjectRef) -> Option<Look> {
    let words =
        |words: &ananke_sim::world::Words| words.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    let bare = |uid: &str| Look { uid: uid.to_owned(), ..Look::default() };
    if !world.has(object) {
        return None;
    }
    match object.kind {
        Kind::Node => world.nodes().iter().find(|node| node.object == *object).map(|node| Look {
            labels: words(&node.labels),
            annotations: words(&node.annotations),
            taints: node.taints.clone(),
            unschedulable: node.unschedulable,
            ..bare(node.uid.as_str())
        }),
        Kind::Namespace => world.namespaces().iter().find(|it| it.name == object.name).map(|it| bare(it.uid.as_str())),
        Kind::Pod => {
            let pod = world.pod_row(world.find_pod(&object.namespace, &object.name)?)?;
            (!pod.gone).then(|| Look { deleting: pod.deleting.is_some(), ..bare(pod.uid.as_str()) })
        }
        Kind::Deployment | Kind::StatefulSet | Kind::DaemonSet => {
            let workload = world.workloads().get(world.find_workload(object)?)?;
            Some(Look { replicas: Some(u64::from(workload.replicas)), ..bare(workload.uid.as_str()) })
        }
        Kind::Job => world.jobs().find(|job| job.object == *object).map(|job| bare(job.uid.as_str())),
        Kind::GitRepository | Kind::Kustomization | Kind::HelmRelease => flux_object(world, object).map(|meta| Look {
            annotations: words(&meta.annotations),
            suspended: meta.suspended,
            branch: (object.kind == Kind::GitRepository).then(|| world.source().branch.to_string()),
            url: (object.kind == Kind::GitRepository).then(|| world.source().url.to_string()),
            ..bare(meta.uid.as_str())
        }),
        Kind::Ingress | Kind::Service | Kind::ConfigMap | Kind::ServiceAccount => Some(Look::default()),
        Kind::OCIRepository
        | Kind::Bucket
        | Kind::PersistentVolumeClaim
        | Kind::VolumeAttachment
        | Kind::CephCluster
        | Kind::CronJob => {
            panic!("no case looks at {object}")
        }
    }
}

#[async_trait(?Send)]
impl<W: HasWorld> Stage for WorldStage<W> {
    async fn node(&self) -> Given<(NodeName, BootId)> {
        self.0.act(|world| {
            let mut workers = world.nodes().iter().filter(|node| !node.server && node.ready == Tri::True);
            let node = workers.next_back().expect("a worker is Ready");
            Ok((node.name.clone(), node.boot_id.clone().expect("it has booted")))
        })
    }

    async fn pod(&self) -> Given<PodState> {
        self.0.act(|world| {
            let is_free = |pod: &&Pod| world.workloads().get(pod.workload).is_some_and(|of| of.budget.is_none());
            let mut mounts = world.pods().filter(|pod| pod.ready && world.volume_of(pod).is_some()).filter(is_free);
            Ok(pod_state(world, mounts.next().expect("a StatefulSet without a budget runs")))
        })
    }

    async fn guarded_pod(&self) -> Given<(PodState, String)> {
        self.0.act(|world| {
            let guarded = world.workloads().iter().find(|of| of.budget.is_some() && of.volumes).expect("a budget");
            let rows = guarded.pods.clone();
            for row in rows {
                let pod = world.pod_row(row).cloned().expect("its pods are there");
                // Evictions use the budget up, until it blocks.
                if let Err(Refusal::Blocked { budget }) = world.evict(&pod.object.namespace, &pod.object.name, None) {
                    return Ok((pod_state(world, &pod), budget.to_string()));
                }
            }
            panic!("the budget allows everything")
        })
    }

    async fn ended_pod(&self) -> Given<(ObjectRef, bool)> {
        self.0.act(|world| {
            world.inject(Fault::Pod(PodTrouble::ShutdownLeftover), None).expect("a pod to have it");
            let ended = world.pods().find(|pod| pod.ended.is_some()).expect("its kubelet has ended it");
            Ok((ended.object.clone(), true))
        })
    }

    async fn leader(&self) -> Given<(String, String)> {
        self.0.act(|world| {
            let leader = world.leader().expect("an attacher leads");
            Ok((leader.namespace.to_string(), leader.name.to_owned()))
        })
    }

    async fn workload(&self, kind: Kind) -> Given<(ObjectRef, u32)> {
        self.0.act(|world| {
            let found = world.workloads().iter().find(|of| of.object.kind == kind).expect("every kind runs");
            Ok((found.object.clone(), if found.is_daemon() { found.status.desired } else { found.replicas }))
        })
    }

    async fn job(&self) -> Given<JobState> {
        self.0.act(|world| {
            let job = world.jobs().next().expect("a Job");
            Ok(JobState {
                object: job.object.clone(),
                uid: job.uid.clone(),
                ended: job.ended,
                applied_by: world.kustomizations().get(job.kustomization).map(|by| by.meta.object.clone()),
                keep: false,
                idempotent: true,
            })
        })
    }

    async fn warning(&self) -> Given<EventState> {
        self.0.act(|world| {
            world.inject(Fault::Pod(PodTrouble::LeakedAddresses), None).expect("a pod to have it");
            let Warning { about, reason, message } = world.warnings().pop().expect("its kubelet says so");
            Ok(EventState { about, reason: reason.into(), message: message.into(), last: None })
        })
    }

    async fn flux(&self, kind: Kind) -> Given<ObjectRef> {
        self.0.act(|world| {
            let source = [&world.source().meta];
            let kustomizations = world.kustomizations().iter().rev().map(|row| &row.meta);
            let mut all = source.into_iter().chain(kustomizations).chain(world.releases().iter().map(|row| &row.meta));
            let found = all.find(|meta| meta.object.kind == kind);
            found.map_or_else(|| absent(&format!("the simulated world has no {kind}")), |meta| Ok(meta.object.clone()))
        })
    }

    async fn layers(&self) -> Given<Layers> {
        let ours = self.0.act(|world| {
            let all = world.kustomizations().iter().filter(|row| !row.workloads.is_empty());
            all.map(|row| row.meta.object.clone()).collect::<Vec<_>>()
        });
        // The first ones are Flux's own and the cluster's.
        let kustomizations = ours.into_iter().rev().collect();
        let of_helm = &[
            "ConfigMap logging/loki",
            "ConfigMap monitoring/kube-prometheus-stack",
            "ServiceAccount logging/loki",
            "ServiceAccount monitoring/kube-prometheus-stack",
        ];
        Ok(Layers { kustomizations, of_helm, others: &["ExternalSecret", "GitRepository"] })
    }

    async fn controllers(&self) -> Given<()> {
        if self.0.act(|world| world.controllers_work()) { Ok(()) } else { absent("no controller works") }
    }

    async fn namespace(&self) -> Given<Arc<str>> {
        self.0.act(|world| Ok(world.namespaces().last().expect("one").name.clone()))
    }

    async fn claim(&self) -> Given<ClaimState> {
        self.0.act(|world| {
            let volume = world.volumes().first().expect("one");
            Ok(ClaimState { object: volume.claim.clone(), bound: true, lost: false, volume: Some(volume.name.clone()) })
        })
    }

    async fn attachment(&self) -> Given<AttachmentState> {
        self.0.act(|world| {
            let attached = world.volumes().iter().find_map(|volume| Some((volume, volume.attachment.as_ref()?)));
            let (volume, at) = attached.expect("a volume is attached");
            Ok(AttachmentState {
                object: at.object.clone(),
                uid: at.uid.clone(),
                node: world.nodes().get(at.node).expect("its node").name.clone(),
                driver: DRIVER.into(),
                volume: volume.name.clone(),
                attached: at.attached,
                deleting: at.deleting,
                error: None,
            })
        })
    }

    async fn csi_node(&self) -> Given<CsiNodeState> {
        self.0.act(|world| {
            let node = world.nodes().iter().next().expect("one");
            Ok(CsiNodeState { node: node.name.clone(), drivers: vec![DRIVER.into()] })
        })
    }

    async fn ingress(&self) -> Given<IngressState> {
        self.0.act(|world| {
            let ingress = world.ingresses().first().expect("one");
            let backend = world.workloads().get(ingress.backend).expect("its backend");
            Ok(IngressState {
                object: ingress.object.clone(),
                hosts: vec![ingress.host.clone()],
                tls_hosts: vec![ingress.host.clone()],
                services: vec![backend.object.name.clone()],
            })
        })
    }

    async fn endpoints(&self) -> Given<EndpointsState> {
        self.0.act(|world| {
            let one = world.workloads().iter().find(|of| !of.is_daemon() && of.pods.len() == 1 && of.status.ready == 1);
            let one = one.expect("a workload of one pod is ready");
            let pod = one.pods.first().and_then(|row| world.pod_row(*row)).expect("its pod");
            let service = ObjectRef::new(Kind::Service, &one.object.namespace, &one.object.name);
            Ok(EndpointsState { service, ready: 1, pods: vec![pod.object.clone()] })
        })
    }

    async fn coordination(&self) -> Given<()> {
        Ok(())
    }

    async fn annotate(&self, object: &ObjectRef, key: &str, value: Option<&str>) -> Given<()> {
        let change = vec![(key.into(), value.map(Into::into))];
        if object.kind == Kind::Node {
            let name = NodeName::parse(&object.name).expect("a node name");
            let patch = NodePatch { annotations: change, ..NodePatch::default() };
            return done(self.0.act(|world| world.patch_node(&name, None, patch)));
        }
        if !matches!(object.kind, Kind::GitRepository | Kind::Kustomization | Kind::HelmRelease) {
            return absent(&format!("the simulated world keeps no annotations of a {}", object.kind));
        }
        done(self.0.act(|world| world.annotate_flux(object, None, change)))
    }

    async fn touch(&self, object: &ObjectRef) -> Given<()> {
        if !matches!(object.kind, Kind::Deployment | Kind::StatefulSet) {
            return self.annotate(object, "example.org/touched", Some("yes")).await;
        }
        done(self.0.act(|world| {
            let row = world.find_workload(object).expect("it is there");
            let replicas = world.workloads().get(row).map_or(0, |of| of.replicas);
            world.scale(object, None, replicas + 1)
        }))
    }

    async fn taint(&self, node: &NodeName, taint: &Taint) -> Given<()> {
        done(self.0.act(|world| {
            let row = world.node_row(node).and_then(|row| world.nodes().get(row)).expect("the node");
            let taints = row.taints.iter().chain([taint]).cloned().collect();
            world.patch_node(node, None, NodePatch { taints: Some(taints), ..NodePatch::default() })
        }))
    }

    async fn cordon_as_person(&self, node: &NodeName) -> Given<()> {
        done(self.0.act(|world| world.person_cordon(node)))
    }

    async fn delete(&self, object: &ObjectRef) -> Given<()> {
        done(self.0.act(|world| world.delete(object)))
    }

    async fn recreate(&self, node: &NodeName) -> Given<()> {
        self.0.act(|world| world.recreate_node(node));
        Ok(())
    }

    async fn look(&self, object: &ObjectRef) -> Option<Look> {
        self.0.act(|world| look(world, object))
    }

    async fn events_about(&self, node: &NodeName) -> Vec<String> {
        self.0.events(node)
    }

    async fn pause(&self) {
        self.0.second().await;
    }
}
