//! Volumes, endpoints and what extends the API, as the API lists them.

use std::sync::Arc;

use ananke_core::name::{Kind, ObjectRef};
use ananke_core::observation::{
    ApiServiceState, AttachmentState, CephState, ClaimState, CsiNodeState, EndpointsState, EventState, ExtensionsState,
    LeaderState, LonghornNode, LonghornState, LonghornVolume, StorageState, Tri, WebhookState,
};

use super::views::Words;
use crate::world::{Ceph, DRIVER, METRICS_API, NOT_ASKED, Pod, Workload, World};

pub(super) fn state(world: &World, words: &mut Words) -> StorageState {
    let driver = words.get(DRIVER);
    let nothing = words.get("");
    let csi_nodes = world.nodes().iter().map(|node| CsiNodeState {
        node: node.name.clone(),
        drivers: node.storage.driver.then(|| driver.clone()).into_iter().collect(),
    });
    let attachments = world.volumes().iter().filter_map(|volume| {
        let at = volume.attachment.as_ref()?;
        Some(AttachmentState {
            object: at.object.clone(),
            uid: at.uid.clone(),
            node: world.nodes().get(at.node)?.name.clone(),
            driver: driver.clone(),
            volume: volume.name.clone(),
            attached: at.attached,
            deleting: at.deleting,
            error: None,
        })
    });
    let claims = world.volumes().iter().map(|volume| ClaimState {
        object: volume.claim.clone(),
        bound: true,
        lost: false,
        volume: Some(volume.name.clone()),
    });
    let nodes = world.nodes().iter().map(|node| LonghornNode {
        node: node.name.clone(),
        ready: if node.storage.longhorn { Tri::True } else { Tri::False },
        schedulable: Tri::True,
        message: nothing.clone(),
    });
    let volumes = world.volumes().iter().map(|volume| {
        let (state, robustness) = volume.longhorn_words();
        let (state, robustness) = (words.get(state), words.get(robustness));
        LonghornVolume { name: volume.name.clone(), claim: Some(volume.claim.clone()), state, robustness }
    });
    let longhorn = LonghornState { volumes: volumes.collect(), nodes: nodes.collect() };
    StorageState {
        csi_nodes: csi_nodes.collect(),
        attachments: attachments.collect(),
        claims: claims.collect(),
        longhorn: Some(longhorn),
        ceph: world.ceph().map(|found| ceph(world, &found)).into_iter().collect(),
    }
}

fn ceph(world: &World, found: &Ceph) -> CephState {
    let checks = found.checks.iter().map(|(check, message)| ((*check).into(), (*message).into())).collect();
    CephState { object: found.object.clone(), checked: Some(world.wall(found.checked)), checks }
}

/// The Service of a workload, which leads to all its pods that have a node.
pub(super) fn endpoints(world: &World, workload: &Workload) -> EndpointsState {
    let service = workload.service_ref();
    let there = |pod: &&Pod| !pod.gone && pod.ended.is_none() && pod.node.is_some();
    let pods = workload.pods.iter().filter_map(|row| world.pod_row(*row)).filter(there);
    let mut state = EndpointsState { service, ready: 0, pods: Vec::with_capacity(workload.pods.len()) };
    for pod in pods {
        state.ready = state.ready.saturating_add(u32::from(pod.ready && pod.deleting.is_none()));
        state.pods.push(pod.object.clone());
    }
    state
}

/// Kubelets repeat what lasts, so each was said just now.
pub(super) fn events(world: &World) -> Arc<Vec<EventState>> {
    let last = Some(world.wall(world.now()));
    let state =
        |it: crate::world::Warning| EventState { about: it.about, reason: it.reason.into(), message: it.message.into(), last };
    Arc::new(world.warnings().into_iter().map(state).collect())
}

pub(super) fn leaders(world: &World) -> Arc<Vec<LeaderState>> {
    let state = |it: crate::world::Leader| LeaderState {
        namespace: it.namespace,
        name: it.name.into(),
        holder: it.holder,
        renewed: Some(world.wall(it.renewed)),
        lasts: std::time::Duration::from_secs(it.lasts_secs),
    };
    Arc::new(world.leader().map(state).into_iter().collect())
}

/// The metrics API, which a Deployment of the cluster serves, and what trouble there is beside it: cert-manager's webhook is
/// not asked about pods.
pub(super) fn extensions(world: &World, words: &mut Words) -> ExtensionsState {
    let metrics = world.metrics_api().map(|(service, available)| ApiServiceState {
        name: METRICS_API.into(),
        service,
        available: if available { Tri::True } else { Tri::False },
        reason: words.get(if available { "Passed" } else { "MissingEndpoints" }),
    });
    let orphan = world.orphaned_api().map(|(name, service)| ApiServiceState {
        name: name.into(),
        service,
        available: Tri::False,
        reason: "ServiceNotFound".into(),
    });
    let webhook = world.webhook().map(|engine| WebhookState {
        configuration: "kyverno-resource-validating-webhook-cfg".into(),
        name: "validate.kyverno.svc-fail".into(),
        service: ObjectRef { kind: Kind::Service, ..engine.clone() },
        excludes: vec![NOT_ASKED.into()],
        only: Vec::new(),
    });
    ExtensionsState { webhooks: webhook.into_iter().collect(), api_services: metrics.into_iter().chain(orphan).collect() }
}
