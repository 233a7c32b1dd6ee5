//! Deployments with their ReplicaSets, StatefulSets, DaemonSets and PodDisruptionBudgets.

use ananke_core::name::Kind;
use serde_json::{Value, json};

use super::super::api::store::Key;
use super::pod::{container, dns_policy};
use super::storage::claim_spec;
use super::{Projected, flux, implied_uid, key, metadata, object, owner, time};
use crate::world::{Budget, Workload, World};

pub(super) fn project<'a>(world: &'a World, out: &mut Vec<Projected<'a>>) {
    for workload in world.workloads().iter().filter(|workload| world.has(&workload.object)) {
        let of = &workload.object;
        if let Some(key) = key(&of.kind.to_string(), &of.namespace, &of.name) {
            let at = key.clone();
            out.push(Projected { key, stamp: workload.rv, make: Box::new(move || make(world, workload, &at)) });
        }
        if let Some(key) = replica_set_key(workload) {
            let at = key.clone();
            out.push(Projected { key, stamp: workload.rv, make: Box::new(move || replica_set(world, workload, &at)) });
        }
        if let Some(budget) = &workload.budget
            && let Some(key) = key("PodDisruptionBudget", &of.namespace, &budget.name)
        {
            let at = key.clone();
            let make = move || disruption_budget(world, workload, budget, &at);
            out.push(Projected { key, stamp: budget.rv, make: Box::new(make) });
        }
    }
}

pub(super) fn replica_set_name(workload: &Workload) -> String {
    format!("{}-{}", workload.object.name, workload.hash)
}

/// None for what has no ReplicaSet.
pub(super) fn replica_set_key(workload: &Workload) -> Option<Key> {
    let deployment = workload.object.kind == Kind::Deployment;
    deployment.then(|| key("ReplicaSet", &workload.object.namespace, &replica_set_name(workload))).flatten()
}

fn selector(workload: &Workload) -> Value {
    json!({"matchLabels": {"app": workload.object.name}})
}

fn template(workload: &Workload) -> Value {
    let app = &workload.object.name;
    json!({"metadata": {"labels": {"app": app}}, "spec": {"containers": [container(workload)],
        "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": dns_policy(workload),
        "securityContext": {}, "schedulerName": "default-scheduler"}})
}

fn make(world: &World, workload: &Workload, key: &Key) -> Value {
    let mut metadata = metadata(world, key, workload.uid.as_str(), workload.created);
    metadata.insert("generation".to_owned(), json!(workload.generation));
    let mut labels = json!({"app": workload.object.name});
    let managed_by = workload.kustomization.filter(|_| world.release_of(&workload.object).is_none());
    let managed_by = managed_by.and_then(|row| world.kustomizations().get(row));
    if let (Some(map), Some(kustomization)) = (labels.as_object_mut(), managed_by) {
        map.insert("kustomize.toolkit.fluxcd.io/name".to_owned(), json!(kustomization.meta.object.name));
        map.insert("kustomize.toolkit.fluxcd.io/namespace".to_owned(), json!(kustomization.meta.object.namespace));
    }
    metadata.insert("labels".to_owned(), labels);
    if let Some(holder) = world.reboot_lock(&workload.object) {
        let lock = json!({"nodeID": holder, "metadata": {"unschedulable": false}, "TTL": 0});
        metadata.insert("annotations".to_owned(), json!({"weave.works/kured-node-lock": lock.to_string()}));
    }
    flux::marked(world, &workload.object, &mut metadata);
    let kind = workload.object.kind;
    let (spec, status) = if kind == Kind::DaemonSet {
        daemon_set(workload)
    } else if kind == Kind::StatefulSet {
        stateful_set(workload)
    } else {
        deployment(world, workload)
    };
    object(key, metadata, spec, Some(status))
}

fn deployment(world: &World, workload: &Workload) -> (Value, Value) {
    let spec = json!({"replicas": workload.replicas, "selector": selector(workload), "template": template(workload),
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
        "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600});
    let now = workload.status;
    let available = now.ready >= now.desired;
    let at = time(world, workload.created);
    let (truth, reason) = if available { ("True", "MinimumReplicasAvailable") } else { ("False", "MinimumReplicasUnavailable") };
    let status = json!({"observedGeneration": workload.observed_generation, "replicas": now.current, "updatedReplicas": now.updated,
        "readyReplicas": now.ready, "availableReplicas": now.ready, "unavailableReplicas": now.desired.saturating_sub(now.ready),
        "conditions": [{"type": "Available", "status": truth, "reason": reason, "message": "", "lastUpdateTime": at, "lastTransitionTime": at},
            {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable", "message": "", "lastUpdateTime": at, "lastTransitionTime": at}]});
    (spec, status)
}

fn stateful_set(workload: &Workload) -> (Value, Value) {
    let app = &workload.object.name;
    let mut spec = json!({"replicas": workload.replicas, "serviceName": app, "selector": selector(workload), "template": template(workload),
        "podManagementPolicy": "OrderedReady", "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
        "revisionHistoryLimit": 10});
    if let (Some(map), true) = (spec.as_object_mut(), workload.volumes) {
        let template = json!({"kind": "PersistentVolumeClaim", "apiVersion": "v1", "metadata": {"name": "data"},
            "spec": claim_spec(), "status": {"phase": "Pending"}});
        map.insert("volumeClaimTemplates".to_owned(), json!([template]));
    }
    let (now, revision) = (workload.status, format!("{app}-{}", workload.hash));
    let status = json!({"observedGeneration": workload.observed_generation, "replicas": now.current, "readyReplicas": now.ready,
        "availableReplicas": now.ready, "currentReplicas": now.updated, "updatedReplicas": now.updated,
        "currentRevision": revision, "updateRevision": revision, "collisionCount": 0});
    (spec, status)
}

fn daemon_set(workload: &Workload) -> (Value, Value) {
    let spec = json!({"selector": selector(workload), "template": template(workload), "revisionHistoryLimit": 10,
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}}});
    let now = workload.status;
    let status = json!({"observedGeneration": workload.observed_generation, "desiredNumberScheduled": now.desired,
        "currentNumberScheduled": now.current, "updatedNumberScheduled": now.updated, "numberReady": now.ready,
        "numberAvailable": now.ready, "numberUnavailable": now.desired.saturating_sub(now.ready),
        "numberMisscheduled": now.misscheduled});
    (spec, status)
}

fn replica_set(world: &World, workload: &Workload, key: &Key) -> Value {
    let mut metadata = metadata(world, key, &implied_uid(key), workload.created);
    metadata.insert("generation".to_owned(), json!(workload.generation));
    let labels = json!({"app": workload.object.name, "pod-template-hash": workload.hash});
    metadata.insert("labels".to_owned(), labels.clone());
    metadata.insert("ownerReferences".to_owned(), owner("Deployment", "apps/v1", &workload.object.name, workload.uid.as_str()));
    let spec = json!({"replicas": workload.replicas, "selector": {"matchLabels": labels}, "template": template(workload)});
    let now = workload.status;
    let status = json!({"observedGeneration": workload.observed_generation, "replicas": now.current, "fullyLabeledReplicas": now.current,
        "readyReplicas": now.ready, "availableReplicas": now.ready});
    object(key, metadata, spec, Some(status))
}

fn disruption_budget(world: &World, workload: &Workload, budget: &Budget, key: &Key) -> Value {
    let mut metadata = metadata(world, key, budget.uid.as_str(), workload.created);
    metadata.insert("generation".to_owned(), json!(1));
    let now = budget.status;
    let spec = json!({"minAvailable": budget.min_available, "selector": selector(workload)});
    let status = json!({"observedGeneration": 1, "currentHealthy": now.healthy, "desiredHealthy": budget.min_available,
        "expectedPods": now.expected, "disruptionsAllowed": now.allowed});
    object(key, metadata, spec, Some(status))
}
