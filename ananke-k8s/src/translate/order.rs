//! Orders as requests: immutable values in, one write out. Nothing is asked and nothing decided here.

use std::fmt::Display;
use std::time::Duration;

use ananke_core::lease::{ANNOTATION, Lease, MANUAL_ANNOTATION, MANUAL_LABEL, TAINT_EFFECT, TAINT_KEY};
use ananke_core::name::{Kind, LeaseId, Moment, NodeName, ObjectRef, ResourceVersion, RunId, Uid};
use ananke_core::order::{Push, REQUESTED_ANNOTATION, SCALED_ANNOTATION, SUSPENDED_ANNOTATION, URL_ANNOTATION};
use ananke_core::port::{ErrorKind, PortError};
use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Under which name the server books Ananke's fields.
pub(crate) const MANAGER: &str = "fieldManager=ananke";
pub(crate) const MERGE: &str = "application/merge-patch+json";
pub(crate) const JSON: &str = "application/json";

/// One request that changes something.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Write {
    pub(crate) tried: &'static str,
    pub(crate) on: String,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) content_type: &'static str,
    pub(crate) body: Value,
}

/// A node as it is before a cordon is placed or lifted. Taints stay as they came, with fields that nobody here knows:
/// the list is atomic, so whoever writes one taint writes all.
#[derive(Debug, Deserialize)]
pub(crate) struct TaintedNode {
    metadata: NodeMeta,
    #[serde(default)]
    spec: NodeSpec,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct NodeMeta {
    uid: String,
    resource_version: String,
    #[serde(default)]
    annotations: Map<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
struct NodeSpec {
    #[serde(default)]
    taints: Vec<Map<String, Value>>,
}

pub(crate) fn node_path(node: &NodeName) -> String {
    format!("/api/v1/nodes/{node}")
}

pub(crate) fn cordon(seen: &ResourceVersion, lease: &Lease, node: &TaintedNode) -> Result<Write, PortError> {
    let conflict = |found: String| PortError::new(ErrorKind::Conflict, "cordon", &lease.node, found);
    node.unchanged_since(seen).map_err(conflict)?;
    if node.metadata.uid != lease.node_uid.as_str() {
        return Err(conflict(format!("the node was recreated: its UID is {} and not {}", node.metadata.uid, lease.node_uid)));
    }
    if let Some(other) = node.spec.taints.iter().find(|taint| text(taint, "key") == TAINT_KEY) {
        return Err(conflict(format!("the node is cordoned under lease {:?} already", text(other, "value"))));
    }
    let note = serde_json::to_string(lease).map_err(|error| crate::error::nonsense("cordon", lease.node.as_str(), error))?;
    let ours = json!({"key": TAINT_KEY, "value": lease.id.as_str(), "effect": TAINT_EFFECT});
    let taints: Vec<Value> = node.spec.taints.iter().cloned().map(Value::Object).chain([ours]).collect();
    let body =
        json!({"metadata": {"resourceVersion": seen.as_str(), "annotations": {ANNOTATION: note}}, "spec": {"taints": taints}});
    Ok(patch("cordon", &lease.node, &node_path(&lease.node), body))
}

/// `None` where neither the taint nor the annotation of that lease stands: there is nothing to give back.
pub(crate) fn uncordon(
    name: &NodeName,
    seen: &ResourceVersion,
    lease: &LeaseId,
    node: &TaintedNode,
) -> Result<Option<Write>, PortError> {
    node.unchanged_since(seen).map_err(|found| PortError::new(ErrorKind::Conflict, "uncordon", name, found))?;
    let is_ours = |taint: &&Map<String, Value>| text(taint, "key") == TAINT_KEY && text(taint, "value") == lease.as_str();
    let others: Vec<&Map<String, Value>> = node.spec.taints.iter().filter(|taint| !is_ours(taint)).collect();
    let tainted = others.len() < node.spec.taints.len();
    let noted = node.metadata.annotations.get(ANNOTATION).and_then(Value::as_str).and_then(noted_lease);
    let noted = noted.as_deref() == Some(lease.as_str());
    let mut body = json!({"metadata": {"resourceVersion": seen.as_str()}});
    if tainted {
        let taints = if others.is_empty() { Value::Null } else { json!(others) };
        body = merged(body, json!({"spec": {"taints": taints}}));
    }
    if noted {
        body = merged(body, json!({"metadata": {"resourceVersion": seen.as_str(), "annotations": {ANNOTATION: null}}}));
    }
    Ok((tainted || noted).then(|| patch("uncordon", name, &node_path(name), body)))
}

/// Only under the lease that it speaks of: a cordon that a person lifted meanwhile asks for nobody.
pub(crate) fn mark_manual(
    name: &NodeName,
    seen: &ResourceVersion,
    lease: &LeaseId,
    sentence: &str,
    node: &TaintedNode,
) -> Result<Write, PortError> {
    let conflict = |found: String| PortError::new(ErrorKind::Conflict, "mark for manual action", name, found);
    node.unchanged_since(seen).map_err(conflict)?;
    let stands = |taint: &Map<String, Value>| text(taint, "key") == TAINT_KEY && text(taint, "value") == lease.as_str();
    if !node.spec.taints.iter().any(stands) {
        return Err(conflict(format!("the node does not carry the cordon of lease {lease}")));
    }
    let metadata = json!({
        "resourceVersion": seen.as_str(),
        "annotations": {MANUAL_ANNOTATION: sentence},
        "labels": {MANUAL_LABEL: "required"},
    });
    Ok(patch("mark for manual action", name, &node_path(name), json!({ "metadata": metadata })))
}

pub(crate) fn clear_mark(node: &NodeName, seen: &ResourceVersion) -> Write {
    let metadata = json!({
        "resourceVersion": seen.as_str(),
        "annotations": {MANUAL_ANNOTATION: null},
        "labels": {MANUAL_LABEL: null},
    });
    patch("clear the mark", node, &node_path(node), json!({ "metadata": metadata }))
}

pub(crate) fn evict(pod: &ObjectRef, uid: &Uid) -> Result<Write, PortError> {
    let body = json!({
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod.name.as_ref(), "namespace": pod.namespace.as_ref()},
        "deleteOptions": {"preconditions": {"uid": uid.as_str()}},
    });
    let path = format!("{}/eviction?{MANAGER}", pod_path("evict", pod)?);
    Ok(Write { tried: "evict", on: pod.to_string(), method: Method::POST, path, content_type: JSON, body })
}

pub(crate) fn delete(pod: &ObjectRef, uid: &Uid, grace: Option<Duration>) -> Result<Write, PortError> {
    let mut body = json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid.as_str()}});
    if let Some(grace) = grace {
        // Zero makes the server forget a pod whose processes may still run and write.
        if grace.as_secs() == 0 {
            return Err(PortError::new(ErrorKind::Invalid, "delete", pod, "a grace period under one second is a force deletion"));
        }
        body = merged(body, json!({"gracePeriodSeconds": grace.as_secs()}));
    }
    let path = pod_path("delete", pod)?;
    Ok(Write { tried: "delete", on: pod.to_string(), method: Method::DELETE, path, content_type: JSON, body })
}

/// The object goes at once, whether or not its containers run: the order carries the proof that they do not.
pub(crate) fn force_delete(pod: &ObjectRef, uid: &Uid) -> Result<Write, PortError> {
    let body =
        json!({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0, "preconditions": {"uid": uid.as_str()}});
    let path = pod_path("force-delete", pod)?;
    Ok(Write { tried: "force-delete", on: pod.to_string(), method: Method::DELETE, path, content_type: JSON, body })
}

/// Its pods go with it, as they would with `kubectl delete job`.
pub(crate) fn delete_job(job: &ObjectRef, uid: &Uid) -> Result<Write, PortError> {
    check_segments("delete", job)?;
    let body = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background",
        "preconditions": {"uid": uid.as_str()}});
    let path = format!("/apis/batch/v1/namespaces/{}/jobs/{}", job.namespace, job.name);
    Ok(Write { tried: "delete", on: job.to_string(), method: Method::DELETE, path, content_type: JSON, body })
}

pub(crate) fn scale(workload: &ObjectRef, seen: &ResourceVersion, replicas: u32) -> Result<Write, PortError> {
    check_segments("scale", workload)?;
    let plural = if workload.kind == Kind::Deployment {
        "deployments"
    } else if workload.kind == Kind::StatefulSet {
        "statefulsets"
    } else {
        return Err(PortError::new(ErrorKind::Invalid, "scale", workload, "this kind has no number of replicas"));
    };
    let path = format!("/apis/apps/v1/namespaces/{}/{plural}/{}", workload.namespace, workload.name);
    let metadata = json!({"resourceVersion": seen.as_str(), "annotations": {SCALED_ANNOTATION: null}});
    Ok(patch("scale", workload, &path, json!({"metadata": metadata, "spec": {"replicas": replicas}})))
}

pub(crate) fn set_branch(path: &str, source: &ObjectRef, seen: &ResourceVersion, branch: &str) -> Write {
    let body = json!({"metadata": {"resourceVersion": seen.as_str()}, "spec": {"ref": {"branch": branch}}});
    patch("set branch", source, path, body)
}

pub(crate) fn set_url(path: &str, source: &ObjectRef, seen: &ResourceVersion, url: &str, from: Option<&str>) -> Write {
    let metadata = json!({"resourceVersion": seen.as_str(), "annotations": {URL_ANNOTATION: from}});
    patch("set URL", source, path, json!({"metadata": metadata, "spec": {"url": url}}))
}

/// Both annotations carry one token: helm-controller does what is more than a request only where they are equal.
pub(crate) fn reconcile(path: &str, object: &ObjectRef, token: Moment, push: Push) -> Result<Write, PortError> {
    const TRIED: &str = "request reconciliation";
    let mut annotations = Map::from_iter([(REQUESTED_ANNOTATION.to_owned(), json!(token.to_string()))]);
    if let Some(more) = push.annotation() {
        if object.kind != Kind::HelmRelease {
            return Err(PortError::new(ErrorKind::Invalid, TRIED, object, "only a HelmRelease can be reset or forced"));
        }
        annotations.insert(more.to_owned(), json!(token.to_string()));
    }
    Ok(patch(TRIED, object, path, json!({"metadata": {"annotations": annotations}})))
}

pub(crate) fn suspend(path: &str, object: &ObjectRef, seen: &ResourceVersion, run: &RunId, at: Moment) -> Write {
    let metadata = json!({"resourceVersion": seen.as_str(), "annotations": {SUSPENDED_ANNOTATION: format!("{run} {at}")}});
    patch("suspend", object, path, json!({"metadata": metadata, "spec": {"suspend": true}}))
}

pub(crate) fn resume(path: &str, object: &ObjectRef, seen: &ResourceVersion) -> Write {
    let metadata = json!({"resourceVersion": seen.as_str(), "annotations": {SUSPENDED_ANNOTATION: null}});
    patch("resume", object, path, json!({"metadata": metadata, "spec": {"suspend": false}}))
}

/// A write that changes nothing: the whole way through admission to the store's answer. It asks for no right that
/// holding the coordination Lease does not need anyway.
pub(crate) fn dry_run(server: &str) -> Write {
    Write {
        tried: "dry-run a write",
        on: server.to_owned(),
        method: Method::POST,
        path: format!("/apis/coordination.k8s.io/v1/namespaces/kube-system/leases?dryRun=All&{MANAGER}"),
        content_type: JSON,
        body: json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": "ananke-health-check", "namespace": "kube-system"},
            "spec": {"holderIdentity": "ananke"},
        }),
    }
}

/// The path of a Flux object, under the group and version that discovery found.
pub(crate) fn flux_path(tried: &'static str, object: &ObjectRef, collection: (&str, &str)) -> Result<String, PortError> {
    check_segments(tried, object)?;
    let (version, plural) = collection;
    Ok(format!("/apis/{version}/namespaces/{}/{plural}/{}", object.namespace, object.name))
}

fn pod_path(tried: &'static str, pod: &ObjectRef) -> Result<String, PortError> {
    check_segments(tried, pod)?;
    Ok(format!("/api/v1/namespaces/{}/pods/{}", pod.namespace, pod.name))
}

/// Names become parts of a path: one that is no name must not lead to another object.
fn check_segments(tried: &'static str, object: &ObjectRef) -> Result<(), PortError> {
    if is_name(&object.namespace) && is_name(&object.name) {
        Ok(())
    } else {
        Err(PortError::new(ErrorKind::Invalid, tried, object, "this is not the namespace and name of an object"))
    }
}

pub(crate) fn is_name(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
}

fn patch(tried: &'static str, on: impl Display, path: &str, body: Value) -> Write {
    Write { tried, on: on.to_string(), method: Method::PATCH, path: format!("{path}?{MANAGER}"), content_type: MERGE, body }
}

/// `more`'s keys over `base`'s.
fn merged(mut base: Value, more: Value) -> Value {
    if let (Value::Object(base), Value::Object(more)) = (&mut base, more) {
        base.extend(more);
    }
    base
}

fn text<'a>(taint: &'a Map<String, Value>, key: &str) -> &'a str {
    taint.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The lease ID of an annotation of any schema version: it is enough to know whose it is.
fn noted_lease(note: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Note {
        id: String,
    }
    serde_json::from_str::<Note>(note).ok().map(|note| note.id)
}

impl TaintedNode {
    pub(crate) fn uid(&self) -> &str {
        &self.metadata.uid
    }

    fn unchanged_since(&self, seen: &ResourceVersion) -> Result<(), String> {
        let now = &self.metadata.resource_version;
        if now == seen.as_str() { Ok(()) } else { Err(format!("the node changed: it is at version {now} and not {seen}")) }
    }
}

#[cfg(test)]
mod tests;
