//! Nodes, joined with the Leases that their kubelets renew.

use std::collections::BTreeMap;
use std::sync::Arc;

use ananke_core::name::{BootId, Moment, NodeName};
use ananke_core::observation::{NodeState, NodeTrouble, Taint, Tri};
use ananke_core::port::clean;
use serde::Deserialize;

use super::meta::{Condition, Meta, condition, named, null_is_default, set};

named!(Node, NodeLease);

#[derive(Debug, Deserialize)]
pub(crate) struct Node {
    metadata: Meta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Spec {
    unschedulable: bool,
    #[serde(deserialize_with = "null_is_default")]
    taints: Vec<RawTaint>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawTaint {
    key: Arc<str>,
    value: Arc<str>,
    effect: Arc<str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    #[serde(deserialize_with = "null_is_default")]
    conditions: Vec<Condition>,
    node_info: NodeInfo,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NodeInfo {
    #[serde(rename = "bootID")]
    boot_id: String,
    #[serde(rename = "machineID")]
    machine_id: String,
    architecture: String,
}

/// A Lease of `kube-node-lease`; its name is the node's.
#[derive(Debug, Deserialize)]
pub(crate) struct NodeLease {
    metadata: Meta,
    #[serde(default)]
    spec: LeaseSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct LeaseSpec {
    renew_time: Option<String>,
}

pub(crate) fn node(node: Node) -> Result<Option<NodeState>, String> {
    let Node { metadata, spec, status } = node;
    let (uid, version) = (metadata.uid()?, metadata.version()?);
    let ready = condition(&status.conditions, "Ready");
    Ok(Some(NodeState {
        name: NodeName::parse(&metadata.name).map_err(|error| error.to_string())?,
        uid,
        version,
        ready: ready.map_or(Tri::Unknown, Condition::tri),
        reason: ready.map_or("", |condition| &condition.reason).into(),
        message: ready.map_or("", |condition| &condition.message).into(),
        boot_id: boot_id(&status.node_info.boot_id)?,
        machine_id: Some(status.node_info.machine_id).filter(|id| !id.is_empty()).map(Into::into),
        architecture: Some(status.node_info.architecture).filter(|name| !name.is_empty()).map(Into::into),
        renewed: None,
        troubles: status.conditions.iter().filter_map(trouble).collect(),
        unschedulable: spec.unschedulable,
        taints: spec.taints.into_iter().map(|t| Taint { key: t.key, value: t.value, effect: t.effect }).collect(),
        lease_note: set(metadata.annotations.lease),
        manual_note: set(metadata.annotations.manual),
    }))
}

/// Of the kubelet's conditions only `Ready` is good to be true.
fn trouble(condition: &Condition) -> Option<NodeTrouble> {
    let bad = condition.tri() == Tri::True && condition.kind != "Ready";
    bad.then(|| NodeTrouble { kind: condition.kind.as_str().into(), message: clean(&condition.message, 200).into() })
}

/// A node that no kubelet has ever reported on has an empty boot ID.
fn boot_id(text: &str) -> Result<Option<BootId>, String> {
    if text.is_empty() { Ok(None) } else { BootId::parse(text).map(Some).map_err(|error| error.to_string()) }
}

pub(crate) fn lease(lease: NodeLease) -> Result<Option<(String, Moment)>, String> {
    let Some(text) = lease.spec.renew_time else { return Ok(None) };
    let renewed = Moment::parse(&text).map_err(|error| format!("lease {}: {error}", lease.metadata.name))?;
    Ok(Some((lease.metadata.name, renewed)))
}

pub(crate) fn join(mut nodes: Vec<NodeState>, leases: Vec<(String, Moment)>) -> Vec<NodeState> {
    let renewals: BTreeMap<String, Moment> = leases.into_iter().collect();
    for node in &mut nodes {
        node.renewed = renewals.get(node.name.as_str()).copied();
    }
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> NodeState {
        node(serde_json::from_str(text).unwrap()).unwrap().unwrap()
    }

    #[test]
    fn a_node_that_no_kubelet_spoke_for_is_unknown() {
        let state = check(
            r#"{"apiVersion":"v1","kind":"Node","metadata":{"creationTimestamp":"2026-11-22T17:15:37Z","labels":{"kubernetes.io/hostname":"titan-00"},"managedFields":[],"name":"titan-00","resourceVersion":"235","uid":"bc4cdbab-0f94-463f-b344-e20455b2ac20"},"spec":{"taints":[{"effect":"NoSchedule","key":"node.kubernetes.io/not-ready"}]},"status":{"daemonEndpoints":{"kubeletEndpoint":{"Port":0}},"nodeInfo":{"architecture":"","bootID":"","machineID":""}}}"#,
        );
        assert_eq!((state.ready, state.boot_id, state.machine_id, state.architecture), (Tri::Unknown, None, None, None));
        assert!(!state.unschedulable);
        assert_eq!(state.taints[0].key.as_ref(), "node.kubernetes.io/not-ready");
        assert_eq!((state.version.as_str(), state.taints[0].value.as_ref()), ("235", ""));
    }

    #[test]
    fn conditions_notes_and_renewals_reach_the_state() {
        let state = check(
            r#"{"metadata":{"name":"titan-01","resourceVersion":"9","uid":"u","annotations":{"ananke.dev/cordon-lease":"{}","ananke.dev/manual-action":"look at it","other":"x"}},
                "spec":{"unschedulable":true},
                "status":{"conditions":[{"type":"MemoryPressure","status":"False"},{"type":"Ready","status":"False","reason":"KubeletNotReady","message":"m"}],"nodeInfo":{"architecture":"arm64","bootID":"b-1"}}}"#,
        );
        let renewal = lease(
            serde_json::from_str(r#"{"metadata":{"name":"titan-01"},"spec":{"renewTime":"2026-03-14T02:06:11.250000Z"}}"#)
                .unwrap(),
        );
        let joined = join(vec![state], renewal.unwrap().into_iter().collect());
        assert_eq!((joined[0].ready, joined[0].reason.as_ref(), joined[0].unschedulable), (Tri::False, "KubeletNotReady", true));
        assert_eq!(joined[0].boot_id.as_ref().unwrap().as_str(), "b-1");
        assert_eq!(joined[0].architecture.as_deref(), Some("arm64"));
        assert_eq!(joined[0].renewed.unwrap().to_string(), "2026-03-14T02:06:11.250Z");
        assert_eq!((joined[0].lease_note.as_deref(), joined[0].manual_note.as_deref()), (Some("{}"), Some("look at it")));
    }

    #[test]
    fn a_lease_without_a_renewal_says_nothing() {
        assert_eq!(lease(serde_json::from_str(r#"{"metadata":{"name":"a"},"spec":{}}"#).unwrap()), Ok(None));
    }
}
