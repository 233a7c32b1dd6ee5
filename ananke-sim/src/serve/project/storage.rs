//! Claims, volumes and attachments, the CSI drivers of the nodes, and Longhorn's own Nodes and Volumes.

use serde_json::{Value, json};

use super::super::api::kinds::find;
use super::super::api::store::Key;
use super::{Projected, implied_uid, key, metadata, object, owner, time};
use crate::world::{Attachment, Ceph, DRIVER, LONGHORN_NAMESPACE, Node, REPLICAS, Volume, World};

const CLASS: &str = "longhorn";
const SIZE: &str = "10Gi";
const BYTES: &str = "10737418240";

pub(super) fn project<'a>(world: &'a World, out: &mut Vec<Projected<'a>>) {
    if let Some(ceph) = world.ceph() {
        let stamp = u64::try_from(ceph.checked).unwrap_or(0);
        let key = key("CephCluster", &ceph.object.namespace, &ceph.object.name);
        push(out, key, stamp, move |at| ceph_cluster(world, &ceph, at));
    }
    for node in world.nodes() {
        let rv = node.storage.rv;
        push(out, key("CSINode", "", node.name.as_str()), rv, move |at| csi_node(world, node, at));
        push(out, longhorn_key("nodes", node.name.as_str()), rv, move |at| longhorn_node(world, node, at));
    }
    for volume in world.volumes() {
        let claim = &volume.claim;
        // Claims are bound for good, and their volumes too.
        push(out, key("PersistentVolumeClaim", &claim.namespace, &claim.name), 1, move |at| make_claim(world, volume, at));
        push(out, key("PersistentVolume", "", &volume.name), 1, move |at| make_volume(world, volume, at));
        push(out, longhorn_key("volumes", &volume.name), volume.rv, move |at| longhorn_volume(world, volume, at));
        if let Some(found) = &volume.attachment {
            let key = key("VolumeAttachment", "", &found.object.name);
            push(out, key, volume.rv, move |at| attachment(world, volume, found, at));
        }
    }
}

/// As Rook's operator writes it.
fn ceph_cluster(world: &World, found: &Ceph, key: &Key) -> Value {
    let metadata = metadata(world, key, &implied_uid(key), 0);
    let details: serde_json::Map<String, Value> = (found.checks.iter())
        .map(|(check, message)| ((*check).to_owned(), json!({"severity": "HEALTH_WARN", "message": message})))
        .collect();
    let health = json!({"health": "HEALTH_WARN", "lastChecked": time(world, found.checked), "details": details});
    object(key, metadata, json!({"dataDirHostPath": "/var/lib/rook"}), Some(json!({"phase": "Ready", "ceph": health})))
}

fn push<'a>(out: &mut Vec<Projected<'a>>, key: Option<Key>, stamp: u64, make: impl Fn(&Key) -> Value + 'a) {
    if let Some(key) = key {
        let at = key.clone();
        out.push(Projected { key, stamp, make: Box::new(move || make(&at)) });
    }
}

/// Longhorn has a kind `Node` too, so it is found by its plural.
fn longhorn_key(plural: &str, name: &str) -> Option<Key> {
    let kind = find("longhorn.io", "v1beta2", plural)?;
    Some(Key { kind, namespace: LONGHORN_NAMESPACE.to_owned(), name: name.to_owned() })
}

fn csi_node(world: &World, node: &Node, key: &Key) -> Value {
    let mut metadata = metadata(world, key, &implied_uid(key), node.created);
    metadata.insert("ownerReferences".to_owned(), owner("Node", "v1", node.name.as_str(), node.uid.as_str()));
    let driver = json!({"name": DRIVER, "nodeID": node.name, "topologyKeys": null});
    let drivers = if node.storage.driver { json!([driver]) } else { json!(null) };
    object(key, metadata, json!({"drivers": drivers}), None)
}

/// As the template of a StatefulSet has it.
pub(super) fn claim_spec() -> Value {
    json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": SIZE}}, "storageClassName": CLASS,
        "volumeMode": "Filesystem"})
}

fn make_claim(world: &World, volume: &Volume, key: &Key) -> Value {
    let mut metadata = metadata(world, key, volume.uid.as_str(), volume.created);
    metadata.insert("finalizers".to_owned(), json!(["kubernetes.io/pvc-protection"]));
    let mut spec = claim_spec();
    if let Some(map) = spec.as_object_mut() {
        map.insert("volumeName".to_owned(), json!(volume.name));
    }
    let status = json!({"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": SIZE}});
    object(key, metadata, spec, Some(status))
}

fn make_volume(world: &World, volume: &Volume, key: &Key) -> Value {
    let mut metadata = metadata(world, key, &implied_uid(key), volume.created);
    metadata.insert("finalizers".to_owned(), json!(["kubernetes.io/pv-protection", "external-attacher/driver-longhorn-io"]));
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": volume.claim.namespace,
        "name": volume.claim.name, "uid": volume.uid});
    let spec = json!({"accessModes": ["ReadWriteOnce"], "capacity": {"storage": SIZE}, "claimRef": claim,
        "csi": {"driver": DRIVER, "fsType": "ext4", "volumeHandle": volume.name}, "persistentVolumeReclaimPolicy": "Delete",
        "storageClassName": CLASS, "volumeMode": "Filesystem"});
    object(key, metadata, spec, Some(json!({"phase": "Bound"})))
}

fn attachment(world: &World, volume: &Volume, found: &Attachment, key: &Key) -> Value {
    let mut metadata = metadata(world, key, found.uid.as_str(), found.since);
    metadata.insert("finalizers".to_owned(), json!(["external-attacher/driver-longhorn-io"]));
    if found.deleting {
        metadata.insert("deletionTimestamp".to_owned(), json!(time(world, world.now())));
        metadata.insert("deletionGracePeriodSeconds".to_owned(), json!(0));
    }
    let node = world.nodes().get(found.node).map(|node| node.name.as_str());
    let spec = json!({"attacher": DRIVER, "nodeName": node, "source": {"persistentVolumeName": volume.name}});
    object(key, metadata, spec, Some(json!({"attached": found.attached})))
}

fn longhorn_node(world: &World, node: &Node, key: &Key) -> Value {
    let metadata = metadata(world, key, &implied_uid(key), node.created);
    let condition = |kind: &str, truth: bool, message: &str| {
        json!({"type": kind, "status": if truth { "True" } else { "False" }, "reason": "", "message": message,
            "lastProbeTime": "", "lastTransitionTime": time(world, node.ready_since)})
    };
    // Longhorn leaves the message of what is well empty, or says the same in more words.
    let conditions = json!([condition("Ready", node.storage.longhorn, ""), condition("Schedulable", true, "")]);
    let spec = json!({"name": node.name, "allowScheduling": true, "evictionRequested": false, "disks": {}, "tags": []});
    object(key, metadata, spec, Some(json!({"conditions": conditions, "autoEvicting": false, "diskStatus": {}})))
}

fn longhorn_volume(world: &World, volume: &Volume, key: &Key) -> Value {
    let metadata = metadata(world, key, &implied_uid(key), volume.created);
    let (state, robustness) = volume.longhorn_words();
    let on = volume.attachment.as_ref().filter(|_| state == "attached").and_then(|at| world.nodes().get(at.node));
    let kubernetes = json!({"namespace": volume.claim.namespace, "pvcName": volume.claim.name, "pvName": volume.name, "pvStatus": "Bound",
        "workloadsStatus": null, "lastPVCRefAt": "", "lastPodRefAt": ""});
    let status = json!({"state": state, "robustness": robustness, "currentNodeID": on.map_or("", |node| node.name.as_str()),
        "kubernetesStatus": kubernetes, "conditions": []});
    let spec = json!({"size": BYTES, "numberOfReplicas": REPLICAS, "dataEngine": "v1", "frontend": "blockdev",
        "nodeID": on.map_or("", |node| node.name.as_str())});
    object(key, metadata, spec, Some(status))
}
