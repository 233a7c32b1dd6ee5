//! Pods with their containers' states.

use ananke_core::name::Kind;
use ananke_core::observation::PodPhase;
use serde_json::{Value, json};

use super::super::api::store::Key;
use super::workload::{replica_set_key, replica_set_name};
use super::{Projected, implied_uid, key, metadata, node_ip, object, owner, pod_ip, time};
use crate::ports::said;
use crate::world::{CLUSTER, Instance, Pod, Workload, World};

/// Kubernetes' default, which the world's pods have.
const GRACE_SECS: i64 = 30;

pub(super) fn project<'a>(world: &'a World, out: &mut Vec<Projected<'a>>) {
    for pod in world.pods() {
        let Some(workload) = world.workloads().get(pod.workload) else { continue };
        if let Some(key) = key("Pod", &pod.object.namespace, &pod.object.name) {
            let at = key.clone();
            out.push(Projected { key, stamp: pod.rv, make: Box::new(move || make(world, pod, workload, &at)) });
        }
    }
}

/// Pods whose controller is the Cluster itself.
pub(super) fn instances<'a>(world: &'a World, out: &mut Vec<Projected<'a>>) {
    for one in world.instances() {
        if let Some(key) = key("Pod", &one.object.namespace, &one.object.name) {
            let at = key.clone();
            out.push(Projected { key, stamp: 1, make: Box::new(move || instance(world, one, &at)) });
        }
    }
}

fn instance(world: &World, one: &Instance, key: &Key) -> Value {
    let (cluster, at) = (CLUSTER.1, time(world, one.created));
    let mut metadata = metadata(world, key, one.uid.as_str(), one.created);
    metadata.insert(
        "labels".to_owned(),
        json!({"cnpg.io/cluster": cluster, "cnpg.io/instanceName": key.name, "cnpg.io/podRole": "instance",
            "cnpg.io/instanceRole": one.role, "role": one.role}),
    );
    metadata.insert("ownerReferences".to_owned(), owner("Cluster", "postgresql.cnpg.io/v1", cluster, "c1d0e2f3-paperless-db"));
    metadata.insert("generation".to_owned(), json!(1));
    let container = json!({"name": "postgres", "image": "ghcr.io/cloudnative-pg/postgresql:17", "imagePullPolicy": "IfNotPresent",
        "resources": {}});
    let spec = json!({"containers": [container], "nodeName": world.nodes().get(one.node).map(|node| node.name.as_str()),
        "restartPolicy": "Always", "terminationGracePeriodSeconds": 1800, "dnsPolicy": "ClusterFirst", "serviceAccountName": cluster,
        "schedulerName": "default-scheduler"});
    let flag = |kind: &str, on: bool| json!({"type": kind, "status": if on { "True" } else { "False" }, "lastProbeTime": null, "lastTransitionTime": at});
    let status = json!({"phase": "Running", "startTime": at,
        "conditions": [flag("PodScheduled", true), flag("Initialized", true), flag("ContainersReady", one.ready), flag("Ready", one.ready)],
        "containerStatuses": [{"name": "postgres", "image": "ghcr.io/cloudnative-pg/postgresql:17", "imageID": "", "ready": one.ready,
            "started": true, "restartCount": 0, "lastState": {}, "state": {"running": {"startedAt": at}}}]});
    object(key, metadata, spec, Some(status))
}

fn make(world: &World, pod: &Pod, workload: &Workload, key: &Key) -> Value {
    let mut metadata = metadata(world, key, pod.uid.as_str(), pod.created);
    let app = &workload.object.name;
    metadata.insert("labels".to_owned(), labels(pod, workload, world.database_role(pod)));
    metadata.insert("generateName".to_owned(), json!(format!("{app}-")));
    metadata.insert("ownerReferences".to_owned(), owned_by(workload));
    metadata.insert("generation".to_owned(), json!(if pod.deleting.is_some() { 2 } else { 1 }));
    if let Some(deleted) = pod.deleting {
        metadata.insert("deletionTimestamp".to_owned(), json!(time(world, deleted + GRACE_SECS * 1000)));
        metadata.insert("deletionGracePeriodSeconds".to_owned(), json!(GRACE_SECS));
    }
    let container = container(workload);
    let mut spec = json!({"containers": [container], "restartPolicy": "Always", "terminationGracePeriodSeconds": GRACE_SECS,
        "dnsPolicy": dns_policy(workload), "schedulerName": "default-scheduler", "serviceAccountName": "default", "enableServiceLinks": true,
        "securityContext": {}, "priority": 0, "tolerations": tolerations(world, workload)});
    let node = pod.node.and_then(|row| world.nodes().get(row));
    if let (Some(map), Some(node)) = (spec.as_object_mut(), node) {
        map.insert("nodeName".to_owned(), json!(node.name));
    }
    if let (Some(map), Some(volume)) = (spec.as_object_mut(), world.volume_of(pod)) {
        let claim = json!({"name": "data", "persistentVolumeClaim": {"claimName": volume.claim.name}});
        map.insert("volumes".to_owned(), json!([claim]));
    }
    object(key, metadata, spec, Some(status(world, pod, workload)))
}

/// As the pod template has it, too.
pub(super) fn container(workload: &Workload) -> Value {
    let app = &workload.object.name;
    let mut container = json!({"name": app, "image": workload.image(), "imagePullPolicy": "IfNotPresent", "resources": {},
        "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"});
    if let (Some(map), true) = (container.as_object_mut(), workload.secret) {
        map.insert("envFrom".to_owned(), json!([{"secretRef": {"name": app}}]));
    }
    container
}

pub(super) fn dns_policy(workload: &Workload) -> &'static str {
    if workload.asks_cluster_dns() { "ClusterFirst" } else { "Default" }
}

fn of_database(role: Option<&str>, mut labels: Value) -> Value {
    if let (Some(role), Some(map)) = (role, labels.as_object_mut()) {
        map.insert("spilo-role".to_owned(), json!(role));
    }
    labels
}

fn labels(pod: &Pod, workload: &Workload, role: Option<&str>) -> Value {
    let app = &workload.object.name;
    match workload.object.kind {
        Kind::Deployment => json!({"app": app, "pod-template-hash": workload.hash}),
        Kind::StatefulSet => of_database(
            role,
            json!({"app": app, "apps.kubernetes.io/pod-index": pod.ordinal.to_string(),
            "statefulset.kubernetes.io/pod-name": pod.object.name, "controller-revision-hash": format!("{app}-{}", workload.hash)}),
        ),
        Kind::DaemonSet
        | Kind::Node
        | Kind::Namespace
        | Kind::Pod
        | Kind::Ingress
        | Kind::GitRepository
        | Kind::Kustomization
        | Kind::OCIRepository
        | Kind::Bucket
        | Kind::HelmRelease
        | Kind::Job
        | Kind::Service
        | Kind::PersistentVolumeClaim
        | Kind::VolumeAttachment
        | Kind::ConfigMap
        | Kind::ServiceAccount
        | Kind::CephCluster
        | Kind::CronJob => {
            json!({"app": app, "controller-revision-hash": workload.hash, "pod-template-generation": "1"})
        }
    }
}

fn owned_by(workload: &Workload) -> Value {
    let of = &workload.object;
    match (of.kind, replica_set_key(workload)) {
        (Kind::Deployment, Some(set)) => owner("ReplicaSet", "apps/v1", &replica_set_name(workload), &implied_uid(&set)),
        (kind, _) => owner(&kind.to_string(), "apps/v1", &of.name, workload.uid.as_str()),
    }
}

fn tolerations(world: &World, workload: &Workload) -> Value {
    if world.tolerates_everything(&workload.object) {
        return json!([{"operator": "Exists"}]);
    }
    let entry = |key: &str, effect: &str, seconds: Option<u32>| match seconds {
        Some(seconds) => json!({"key": key, "operator": "Exists", "effect": effect, "tolerationSeconds": seconds}),
        None => json!({"key": key, "operator": "Exists", "effect": effect}),
    };
    let (gone, lost) = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable");
    if workload.is_daemon() {
        json!([
            entry(gone, "NoExecute", None),
            entry(lost, "NoExecute", None),
            entry("node.kubernetes.io/disk-pressure", "NoSchedule", None),
            entry("node.kubernetes.io/memory-pressure", "NoSchedule", None),
            entry("node.kubernetes.io/pid-pressure", "NoSchedule", None),
            entry("node.kubernetes.io/unschedulable", "NoSchedule", None),
        ])
    } else {
        json!([entry(gone, "NoExecute", Some(300)), entry(lost, "NoExecute", Some(300))])
    }
}

fn status(world: &World, pod: &Pod, workload: &Workload) -> Value {
    let created = time(world, pod.created);
    let since = time(world, pod.ready_since);
    let flag = |kind: &str, on: bool, at: &str| json!({"type": kind, "status": if on { "True" } else { "False" }, "lastProbeTime": null, "lastTransitionTime": at});
    let phase = match pod.phase {
        PodPhase::Pending => "Pending",
        PodPhase::Running => "Running",
        PodPhase::Succeeded => "Succeeded",
        PodPhase::Failed => "Failed",
        PodPhase::Unknown => "Unknown",
    };
    let disrupted = pod.disruption_target.map(|by| {
        json!({"type": "DisruptionTarget", "status": "True", "reason": by.reason(), "message": by.message(), "lastProbeTime": null,
            "lastTransitionTime": time(world, pod.deleting.unwrap_or(world.now()))})
    });
    let Some(node) = pod.node else {
        let refused = (pod.reason == "Unschedulable").then(|| {
            json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "lastProbeTime": null,
                "lastTransitionTime": created, "message": said(world, pod).unwrap_or_default()})
        });
        let conditions: Vec<Value> = refused.into_iter().chain(disrupted).collect();
        return json!({"phase": phase, "qosClass": "BestEffort", "conditions": conditions});
    };
    if let Some(words) = pod.ended {
        let how = json!({"exitCode": 0, "reason": "Completed", "startedAt": created, "finishedAt": since});
        let container = json!({"name": workload.object.name, "image": workload.image(), "imageID": "", "ready": false,
            "started": false, "restartCount": pod.restarts, "state": {"terminated": how}, "lastState": {}});
        return json!({"phase": phase, "reason": pod.reason, "message": words, "qosClass": "BestEffort", "startTime": created,
            "hostIP": node_ip(node), "conditions": [flag("PodScheduled", true, &created)], "containerStatuses": [container]});
    }
    let started = pod.phase == PodPhase::Running;
    // All but the scheduler's own word is the kubelet's, which says nothing before it has begun.
    let mut conditions = Vec::new();
    if started {
        conditions.extend([
            flag("PodReadyToStartContainers", true, &created),
            flag("Initialized", true, &created),
            flag("Ready", pod.ready, &since),
            flag("ContainersReady", pod.ready, &since),
        ]);
    }
    conditions.push(flag("PodScheduled", true, &created));
    conditions.extend(disrupted);
    let said = said(world, pod);
    let said = said.as_deref().unwrap_or_else(|words| words);
    // How its container ended the last time, which is not what it waits for.
    let ended = said.split_once(": ").filter(|(reason, _)| ["ContainerStatusUnknown", "StartError", "Error"].contains(reason));
    let crashing = matches!(pod.reason, "CrashLoopBackOff" | "Error") || !said.is_empty();
    let state = if started && !crashing {
        json!({"running": {"startedAt": since}})
    } else {
        let reason = if pod.reason.is_empty() { "ContainerCreating" } else { pod.reason };
        let mut waiting = json!({"reason": reason});
        if let (Some(map), None, false) = (waiting.as_object_mut(), ended, said.is_empty()) {
            map.insert("message".to_owned(), json!(said));
        }
        json!({"waiting": waiting})
    };
    let last = ended.map_or_else(|| json!({}), |(reason, message)| {
        json!({"terminated": {"exitCode": 137, "reason": reason, "message": message, "startedAt": null, "finishedAt": null}})
    });
    let container = json!({"name": workload.object.name, "image": workload.image(), "imageID": "", "ready": pod.ready,
        "started": started, "restartCount": pod.restarts, "state": state, "lastState": last});
    let mut status = json!({"phase": phase, "qosClass": "BestEffort", "conditions": conditions, "startTime": created,
        "hostIP": node_ip(node), "containerStatuses": [container]});
    if let (Some(map), true) = (status.as_object_mut(), started) {
        let ip = pod_ip(world.find_pod(&pod.object.namespace, &pod.object.name).unwrap_or(0));
        map.insert("podIPs".to_owned(), json!([{"ip": ip}]));
        map.insert("podIP".to_owned(), json!(ip));
    }
    status
}
