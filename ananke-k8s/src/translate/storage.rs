//! Volumes: CSI drivers on the nodes, attachments, claims, and Longhorn's own objects.

use std::collections::BTreeMap;
use std::sync::Arc;

use ananke_core::name::{Kind, Moment, NodeName, ObjectRef};
use ananke_core::observation::{AttachmentState, CephState, ClaimState, CsiNodeState, LonghornNode, LonghornVolume, Tri};
use serde::Deserialize;

use super::meta::{Condition, Meta, condition, named, null_is_default, set};

named!(CsiNode, VolumeAttachment, Claim, LhNode, LhVolume, Ceph);

/// `storage.k8s.io/v1` CSINode; its name is the node's.
#[derive(Debug, Deserialize)]
pub(crate) struct CsiNode {
    metadata: Meta,
    #[serde(default)]
    spec: CsiNodeSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CsiNodeSpec {
    #[serde(deserialize_with = "null_is_default")]
    drivers: Vec<CsiDriver>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CsiDriver {
    name: Arc<str>,
}

/// `storage.k8s.io/v1` VolumeAttachment.
#[derive(Debug, Deserialize)]
pub(crate) struct VolumeAttachment {
    metadata: Meta,
    #[serde(default)]
    spec: AttachmentSpec,
    #[serde(default)]
    status: AttachmentStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct AttachmentSpec {
    attacher: Arc<str>,
    node_name: String,
    source: AttachmentSource,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct AttachmentSource {
    persistent_volume_name: Arc<str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct AttachmentStatus {
    attached: bool,
    attach_error: Option<VolumeError>,
    detach_error: Option<VolumeError>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct VolumeError {
    message: Option<Arc<str>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Claim {
    metadata: Meta,
    #[serde(default)]
    spec: ClaimSpec,
    #[serde(default)]
    status: Phase,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ClaimSpec {
    volume_name: Option<Arc<str>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Phase {
    phase: String,
}

/// `longhorn.io/v1beta2` Node; its name is the node's.
#[derive(Debug, Deserialize)]
pub(crate) struct LhNode {
    metadata: Meta,
    #[serde(default)]
    status: LhNodeStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LhNodeStatus {
    #[serde(deserialize_with = "null_is_default")]
    conditions: Vec<Condition>,
}

/// `longhorn.io/v1beta2` Volume.
#[derive(Debug, Deserialize)]
pub(crate) struct LhVolume {
    metadata: Meta,
    #[serde(default)]
    status: LhVolumeStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct LhVolumeStatus {
    state: Arc<str>,
    robustness: Arc<str>,
    #[serde(deserialize_with = "null_is_default")]
    kubernetes_status: LhKubernetes,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct LhKubernetes {
    namespace: String,
    pvc_name: String,
}

/// `ceph.rook.io/v1` CephCluster.
#[derive(Debug, Deserialize)]
pub(crate) struct Ceph {
    metadata: Meta,
    #[serde(default, deserialize_with = "null_is_default")]
    status: CephStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CephStatus {
    #[serde(deserialize_with = "null_is_default")]
    ceph: CephHealth,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct CephHealth {
    last_checked: String,
    #[serde(deserialize_with = "null_is_default")]
    details: BTreeMap<Arc<str>, CephCheck>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CephCheck {
    message: Arc<str>,
}

pub(crate) fn csi_node(of: CsiNode) -> Result<Option<CsiNodeState>, String> {
    let drivers = of.spec.drivers.into_iter().map(|driver| driver.name).collect();
    Ok(Some(CsiNodeState { node: node_name(&of.metadata.name)?, drivers }))
}

pub(crate) fn attachment(of: VolumeAttachment) -> Result<Option<AttachmentState>, String> {
    let VolumeAttachment { metadata, spec, status } = of;
    let error = status.detach_error.or(status.attach_error).and_then(|error| set(error.message));
    Ok(Some(AttachmentState {
        object: metadata.object(Kind::VolumeAttachment),
        uid: metadata.uid()?,
        node: node_name(&spec.node_name)?,
        driver: spec.attacher,
        volume: spec.source.persistent_volume_name,
        attached: status.attached,
        deleting: metadata.deletion_timestamp.is_some(),
        error,
    }))
}

pub(crate) fn claim(of: Claim) -> Result<Option<ClaimState>, String> {
    Ok(Some(ClaimState {
        object: of.metadata.object(Kind::PersistentVolumeClaim),
        bound: of.status.phase == "Bound",
        lost: of.status.phase == "Lost",
        volume: set(of.spec.volume_name),
    }))
}

pub(crate) fn longhorn_node(of: LhNode) -> Result<Option<LonghornNode>, String> {
    let of_kind = |kind: &str| condition(&of.status.conditions, kind);
    let (ready, schedulable) = (of_kind("Ready"), of_kind("Schedulable"));
    let bad = [ready, schedulable].into_iter().flatten().find(|condition| condition.tri() != Tri::True);
    Ok(Some(LonghornNode {
        node: node_name(&of.metadata.name)?,
        ready: ready.map_or(Tri::Unknown, Condition::tri),
        schedulable: schedulable.map_or(Tri::Unknown, Condition::tri),
        message: bad.map_or("", |condition| &condition.message).into(),
    }))
}

pub(crate) fn longhorn_volume(of: LhVolume) -> Result<Option<LonghornVolume>, String> {
    let LhKubernetes { namespace, pvc_name } = of.status.kubernetes_status;
    let claim = (!pvc_name.is_empty()).then(|| ObjectRef::new(Kind::PersistentVolumeClaim, &namespace, &pvc_name));
    Ok(Some(LonghornVolume { name: of.metadata.name.into(), claim, state: of.status.state, robustness: of.status.robustness }))
}

pub(crate) fn ceph(of: Ceph) -> Result<Option<CephState>, String> {
    let CephHealth { last_checked, details } = of.status.ceph;
    let checks = details.into_iter().map(|(check, found)| (check, found.message)).collect();
    Ok(Some(CephState { object: of.metadata.object(Kind::CephCluster), checked: Moment::parse(&last_checked).ok(), checks }))
}

fn node_name(text: &str) -> Result<NodeName, String> {
    NodeName::parse(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_lists_the_drivers_that_have_registered() {
        let with = |spec: &str| {
            let text = format!(
                r#"{{"apiVersion":"storage.k8s.io/v1","kind":"CSINode","metadata":{{"name":"titan-11","ownerReferences":[{{"apiVersion":"v1","kind":"Node","name":"titan-11","uid":"u"}}],"resourceVersion":"9","uid":"c"}},"spec":{spec}}}"#
            );
            csi_node(serde_json::from_str(&text).unwrap()).unwrap().unwrap()
        };
        let registered = with(
            r#"{"drivers":[{"name":"driver.longhorn.io","nodeID":"titan-11","topologyKeys":null,"allocatable":{"count":9}}]}"#,
        );
        assert_eq!((registered.node.as_str(), registered.drivers), ("titan-11", vec!["driver.longhorn.io".into()]));
        assert!(with(r#"{"drivers":null}"#).drivers.is_empty());
    }

    #[test]
    fn a_ceph_cluster_has_the_time_at_which_rook_looked_and_what_it_found() {
        let of = |status: &str| {
            let text = format!(r#"{{"metadata":{{"name":"rook-ceph","namespace":"rook-ceph","uid":"u"}},"status":{status}}}"#);
            ceph(serde_json::from_str(&text).unwrap()).unwrap().unwrap()
        };
        let told = of(
            r#"{"phase":"Ready","ceph":{"health":"HEALTH_WARN","lastChecked":"2026-03-14T02:05:31Z","details":{"OSDMAP_FLAGS":{"message":"noout flag(s) set","severity":"HEALTH_WARN"}}}}"#,
        );
        assert_eq!(told.checked, Moment::parse("2026-03-14T02:05:31Z").ok());
        assert_eq!(told.checks.get("OSDMAP_FLAGS").map(AsRef::as_ref), Some("noout flag(s) set"));
        let new = of("null");
        assert_eq!((new.checked, new.checks.len()), (None, 0), "its operator has not looked yet");
    }

    #[test]
    fn an_attachment_waits_for_its_finalizer_while_it_is_deleted() {
        let text = r#"{"apiVersion":"storage.k8s.io/v1","kind":"VolumeAttachment","metadata":{"creationTimestamp":"2026-11-22T17:15:43Z","deletionGracePeriodSeconds":0,"deletionTimestamp":"2026-11-22T17:15:43Z","finalizers":["external-attacher/driver-longhorn-io"],"name":"csi-1","resourceVersion":"275","uid":"868375e1"},"spec":{"attacher":"driver.longhorn.io","nodeName":"titan-00","source":{"persistentVolumeName":"pvc-1"}},"status":{"attached":false,"detachError":{"message":"rpc error: code = Aborted","time":"2026-11-22T17:16:43Z"}}}"#;
        let state = attachment(serde_json::from_str(text).unwrap()).unwrap().unwrap();
        assert_eq!(state.object.to_string(), "VolumeAttachment csi-1");
        assert_eq!(
            (state.node.as_str(), state.driver.as_ref(), state.volume.as_ref()),
            ("titan-00", "driver.longhorn.io", "pvc-1")
        );
        assert_eq!((state.attached, state.deleting, state.error.as_deref()), (false, true, Some("rpc error: code = Aborted")));
    }

    #[test]
    fn a_claim_is_bound_pending_or_lost() {
        let with = |spec: &str, phase: &str| {
            let text =
                format!(r#"{{"metadata":{{"name":"data","namespace":"apps"}},"spec":{spec},"status":{{"phase":"{phase}"}}}}"#);
            claim(serde_json::from_str(&text).unwrap()).unwrap().unwrap()
        };
        let bound = with(r#"{"accessModes":["ReadWriteOnce"],"storageClassName":"longhorn","volumeName":"pvc-1"}"#, "Bound");
        assert_eq!((bound.object.to_string().as_str(), bound.bound), ("PersistentVolumeClaim apps/data", true));
        assert_eq!((bound.lost, bound.volume.as_deref()), (false, Some("pvc-1")));
        assert_eq!(with("{}", "Pending").volume, None);
        assert!(with("{}", "Lost").lost);
    }

    #[test]
    fn longhorn_says_why_a_node_takes_no_replicas() {
        let text = r#"{"apiVersion":"longhorn.io/v1beta2","kind":"Node","metadata":{"name":"titan-11","namespace":"longhorn-system"},"spec":{"allowScheduling":true,"disks":{}},"status":{"autoEvicting":false,"conditions":[{"lastProbeTime":"","lastTransitionTime":"2026-11-20T10:00:00Z","message":"Node titan-11 is ready","reason":"","status":"True","type":"Ready"},{"lastProbeTime":"","lastTransitionTime":"2026-11-20T10:00:00Z","message":"Node titan-11 is cordoned","reason":"KubernetesNodeCordoned","status":"False","type":"Schedulable"}],"diskStatus":{}}}"#;
        let state = longhorn_node(serde_json::from_str(text).unwrap()).unwrap().unwrap();
        assert_eq!(
            (state.ready, state.schedulable, state.message.as_ref()),
            (Tri::True, Tri::False, "Node titan-11 is cordoned")
        );
        let fresh = r#"{"metadata":{"name":"titan-11"},"status":{"conditions":null}}"#;
        assert_eq!(longhorn_node(serde_json::from_str(fresh).unwrap()).unwrap().unwrap().ready, Tri::Unknown);
    }

    #[test]
    fn a_longhorn_volume_knows_its_claim_if_it_has_one() {
        let text = r#"{"apiVersion":"longhorn.io/v1beta2","kind":"Volume","metadata":{"name":"pvc-1","namespace":"longhorn-system"},"spec":{"size":"1073741824"},"status":{"currentNodeID":"titan-11","kubernetesStatus":{"lastPVCRefAt":"","namespace":"apps","pvName":"pvc-1","pvStatus":"Bound","pvcName":"data","workloadsStatus":[{"podName":"db-0"}]},"robustness":"faulted","state":"detached"}}"#;
        let state = longhorn_volume(serde_json::from_str(text).unwrap()).unwrap().unwrap();
        assert_eq!((state.name.as_ref(), state.state.as_ref(), state.robustness.as_ref()), ("pvc-1", "detached", "faulted"));
        assert_eq!(state.claim.unwrap().to_string(), "PersistentVolumeClaim apps/data");
        let bare = r#"{"metadata":{"name":"restored"},"status":{"kubernetesStatus":null,"state":"","robustness":""}}"#;
        assert_eq!(longhorn_volume(serde_json::from_str(bare).unwrap()).unwrap().unwrap().claim, None);
    }
}
