//! Objects as a client writes them, for a cluster without kubelets and without anything that would act on them.

use ananke_core::name::Kind;
use serde_json::{Value, json};

/// No node has it: what asks for it runs nowhere.
const NOWHERE: &str = "contract.ananke.dev/nowhere";

pub(super) fn node(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}, "spec": {}})
}

pub(super) fn node_status(boot: &str, now: &str) -> Value {
    json!({"status": {
        "nodeInfo": {"bootID": boot},
        "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status",
            "lastHeartbeatTime": now, "lastTransitionTime": now}],
    }})
}

pub(super) fn kubelet_lease(node: &str, now: &str) -> Value {
    json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": node, "namespace": "kube-node-lease"},
        "spec": {"holderIdentity": node, "leaseDurationSeconds": 40, "renewTime": now}})
}

pub(super) fn pod(name: &str, node: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": {
        "nodeName": node,
        "containers": [{"name": "app", "image": "registry.example/app:1"}],
        "tolerations": [{"operator": "Exists"}],
        "terminationGracePeriodSeconds": 30,
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
    }})
}

pub(super) fn pod_status(phase: &str) -> Value {
    let ready = if phase == "Running" { "True" } else { "False" };
    json!({"status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]}})
}

pub(super) fn budget(name: &str, app: &str) -> Value {
    json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": app}}}})
}

/// What the disruption controller comes to, where none runs.
pub(super) fn budget_status() -> Value {
    json!({"status": {"observedGeneration": 1, "expectedPods": 1, "desiredHealthy": 1, "currentHealthy": 1, "disruptionsAllowed": 0}})
}

pub(super) fn workload(kind: &str, name: &str, replicas: u32) -> Value {
    let template = json!({"metadata": {"labels": {"app": name}}, "spec": {"nodeSelector": {NOWHERE: "yes"},
        "containers": [{"name": "app", "image": "registry.example/app:1"}]}});
    let mut spec = json!({"selector": {"matchLabels": {"app": name}}, "template": template});
    if let (Some(spec), true) = (spec.as_object_mut(), kind != "DaemonSet") {
        spec.insert("replicas".to_owned(), json!(replicas));
    }
    if let (Some(spec), true) = (spec.as_object_mut(), kind == "StatefulSet") {
        spec.insert("serviceName".to_owned(), json!(name));
    }
    json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

/// It is suspended, so that it makes no pods.
pub(super) fn job(name: &str, owner: (&str, &str)) -> Value {
    let labels = json!({"kustomize.toolkit.fluxcd.io/namespace": owner.0, "kustomize.toolkit.fluxcd.io/name": owner.1});
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "labels": labels}, "spec": {"suspend": true,
        "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "app", "image": "registry.example/app:1"}]}}}})
}

pub(super) fn claim(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": {"accessModes": ["ReadWriteOnce"],
        "storageClassName": "contract-nowhere", "resources": {"requests": {"storage": "1Gi"}}}})
}

pub(super) fn attachment(name: &str, node: &str) -> Value {
    json!({"apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttachment", "metadata": {"name": name}, "spec": {
        "attacher": "contract.example.org", "nodeName": node, "source": {"persistentVolumeName": name}}})
}

pub(super) fn csi_node(node: &str) -> Value {
    json!({"apiVersion": "storage.k8s.io/v1", "kind": "CSINode", "metadata": {"name": node},
        "spec": {"drivers": [{"name": "contract.example.org", "nodeID": node, "topologyKeys": null}]}})
}

pub(super) fn ingress(name: &str, host: &str) -> Value {
    let backend = json!({"service": {"name": name, "port": {"number": 80}}});
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": name}, "spec": {
        "ingressClassName": "contract-nowhere",
        "tls": [{"hosts": [host]}],
        "rules": [{"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]}})
}

pub(super) fn bare(kind: &str, name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}})
}

pub(super) fn config(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"app": name}}, "data": {"settings": "a: b\n"}})
}

/// The status of a Kustomization that applied one object of each kind that is kept, a Secret and a claim.
pub(super) fn applied(namespace: &str, name: &str, now: &str) -> Value {
    let kinds = [
        "_ServiceAccount",
        "_ConfigMap",
        "_Service",
        "_Secret",
        "_PersistentVolumeClaim",
        "apps_Deployment",
        "apps_StatefulSet",
        "apps_DaemonSet",
        "networking.k8s.io_Ingress",
    ];
    let inside = kinds.iter().map(|kind| json!({"id": format!("{namespace}_{name}_{kind}"), "v": "v1"}));
    let around = json!({"id": format!("_{namespace}__Namespace"), "v": "v1"});
    let entries: Vec<Value> = inside.chain([around]).collect();
    let ready = json!({"type": "Ready", "status": "True", "reason": "ReconciliationSucceeded", "message": "applied",
        "lastTransitionTime": now});
    json!({"status": {"observedGeneration": 1, "lastAppliedRevision": "main@sha1:0", "conditions": [ready],
        "inventory": {"entries": entries}}})
}

/// Without a selector, so that no controller looks for its pods.
pub(super) fn service(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}})
}

pub(super) fn slice(service: &str, namespace: &str, pod: &str) -> Value {
    let target = json!({"kind": "Pod", "namespace": namespace, "name": pod});
    json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": format!("{service}-1"), "labels": {"kubernetes.io/service-name": service}},
        "endpoints": [{"addresses": ["10.1.2.3"], "conditions": {"ready": true}, "targetRef": target}],
        "ports": [{"port": 80}]})
}

/// The spec of an object of Flux; of a HelmRelease, if it is nothing else.
pub(super) fn flux_spec(kind: Kind) -> Value {
    if kind == Kind::GitRepository {
        json!({"interval": "1h", "url": "ssh://git@scm.example.dev/ops/contract.git", "ref": {"branch": "main"}})
    } else if kind == Kind::Kustomization {
        json!({"interval": "1h", "prune": false, "path": "./", "sourceRef": {"kind": "GitRepository", "name": "contract"}})
    } else {
        let source = json!({"kind": "HelmRepository", "name": "contract"});
        json!({"interval": "1h", "chart": {"spec": {"chart": "contract", "sourceRef": source}}})
    }
}
