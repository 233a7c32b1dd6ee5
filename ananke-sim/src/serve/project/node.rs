//! Nodes, and their Leases in `kube-node-lease`.

use ananke_core::observation::Tri;
use serde_json::{Value, json};

use super::super::api::discovery::VERSION;
use super::super::api::store::Key;
use super::{Projected, implied_uid, key, metadata, micro_time, node_ip, object, time, words};
use crate::world::{Node, World};

pub(super) fn project<'a>(world: &'a World, out: &mut Vec<Projected<'a>>) {
    for (row, node) in world.nodes().iter().enumerate() {
        if let Some(key) = key("Node", "", node.name.as_str()) {
            let at = key.clone();
            out.push(Projected { key, stamp: node.rv, make: Box::new(move || make(world, row, node, &at)) });
        }
    }
    leases(world, out);
}

pub(super) fn leases<'a>(world: &'a World, out: &mut Vec<Projected<'a>>) {
    for node in world.nodes().iter() {
        let Some(key) = key("Lease", "kube-node-lease", node.name.as_str()) else { continue };
        let (at, renewed) = (key.clone(), world.renewed(node));
        let make = move || {
            let mut metadata = metadata(world, &at, &implied_uid(&at), node.created);
            let name = node.name.as_str();
            metadata.insert(
                "ownerReferences".to_owned(),
                json!([{"apiVersion": "v1", "kind": "Node", "name": name, "uid": node.uid}]),
            );
            let spec = json!({"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": micro_time(world, renewed)});
            object(&at, metadata, spec, None)
        };
        out.push(Projected { key, stamp: renewed.unsigned_abs(), make: Box::new(make) });
    }
    let Some(leader) = world.leader() else { return };
    let Some(key) = key("Lease", &leader.namespace, leader.name) else { return };
    let (at, stamp) = (key.clone(), leader.renewed.unsigned_abs());
    let make = move || {
        let renewed = micro_time(world, leader.renewed);
        let spec = json!({"holderIdentity": leader.holder, "leaseDurationSeconds": leader.lasts_secs, "renewTime": renewed});
        object(&at, metadata(world, &at, &implied_uid(&at), 0), spec, None)
    };
    out.push(Projected { key, stamp, make: Box::new(make) });
}

fn make(world: &World, row: usize, node: &Node, key: &Key) -> Value {
    let mut metadata = metadata(world, key, node.uid.as_str(), node.created);
    words(&mut metadata, "labels", &node.labels);
    words(&mut metadata, "annotations", &node.annotations);
    let mut spec = json!({"podCIDR": format!("10.42.{row}.0/24"), "providerID": format!("k3s://{}", node.name)});
    if let Some(map) = spec.as_object_mut() {
        if node.unschedulable {
            map.insert("unschedulable".to_owned(), json!(true));
        }
        if !node.taints.is_empty() {
            map.insert("taints".to_owned(), node.taints.iter().map(taint).collect());
        }
    }
    let host = world.hosts().get(row);
    let machine = host.map_or("", |host| &host.machine_id);
    let arch = if node.server { "amd64" } else { "arm64" };
    let resources = json!({"cpu": if node.server { "8" } else { "4" }, "ephemeral-storage": "61255492Ki", "hugepages-2Mi": "0",
        "memory": if node.server { "16384000Ki" } else { "7998416Ki" }, "pods": "110"});
    let status = json!({
        "capacity": resources, "allocatable": resources, "conditions": conditions(world, node),
        "addresses": [{"type": "InternalIP", "address": node_ip(row)}, {"type": "Hostname", "address": node.name}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        "nodeInfo": {"machineID": machine, "systemUUID": machine, "bootID": node.boot_id.as_ref().map_or("", |boot| boot.as_str()),
            "kernelVersion": "6.12.43+deb13-amd64", "osImage": "Debian GNU/Linux 13 (trixie)", "operatingSystem": "linux",
            "containerRuntimeVersion": "containerd://2.1.5-k3s1", "kubeletVersion": VERSION, "kubeProxyVersion": "", "architecture": arch},
        "images": images(world, node),
    });
    object(key, metadata, spec, Some(status))
}

/// A kubelet tells of its fifty largest.
fn images(world: &World, node: &Node) -> Value {
    let images = node.images.iter().filter_map(|row| world.workloads().get(*row)).take(50);
    images.map(|workload| json!({"names": [workload.image()], "sizeBytes": 48_213_504})).collect()
}

fn taint(taint: &ananke_core::observation::Taint) -> Value {
    let mut shown = json!({"key": &taint.key, "effect": &taint.effect});
    if let (Some(map), false) = (shown.as_object_mut(), taint.value.is_empty()) {
        map.insert("value".to_owned(), json!(&taint.value));
    }
    shown
}

fn conditions(world: &World, node: &Node) -> Value {
    let lost = node.ready == Tri::Unknown;
    let beat = time(world, world.renewed(node));
    let since = time(world, node.ready_since);
    let each = [
        ("MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ];
    let stopped = "Kubelet stopped posting node status.";
    let pressures = each.iter().map(|(kind, reason, message)| {
        let pressed = *kind == "DiskPressure" && world.has_disk_pressure();
        let (status, reason, message) = match (lost, pressed) {
            (true, _) => ("Unknown", "NodeStatusUnknown", stopped),
            (false, true) => ("True", "KubeletHasDiskPressure", "kubelet has disk pressure"),
            (false, false) => ("False", *reason, *message),
        };
        json!({"type": kind, "status": status, "reason": reason, "message": message, "lastHeartbeatTime": beat, "lastTransitionTime": since})
    });
    let status = match node.ready {
        Tri::True => "True",
        Tri::False => "False",
        Tri::Unknown => "Unknown",
    };
    let ready = json!({"type": "Ready", "status": status, "reason": node.reason, "message": node.message,
        "lastHeartbeatTime": beat, "lastTransitionTime": since});
    pressures.chain([ready]).collect()
}
