//! Volumes, and the storage systems that serve them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Tri;
use crate::name::{Moment, NodeName, ObjectRef, Uid};

/// Volumes, and the drivers that serve them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StorageState {
    /// `CSINode`: which drivers have registered with the node's kubelet.
    pub csi_nodes: Vec<CsiNodeState>,
    pub attachments: Vec<AttachmentState>,
    pub claims: Vec<ClaimState>,
    /// `None` where the cluster serves no Longhorn API.
    pub longhorn: Option<LonghornState>,
    /// Rook's CephClusters; empty where it is not served.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ceph: Vec<CephState>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CsiNodeState {
    pub node: NodeName,
    pub drivers: Vec<Arc<str>>,
}

/// A VolumeAttachment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachmentState {
    pub object: ObjectRef,
    pub uid: Uid,
    pub node: NodeName,
    /// `spec.attacher`.
    pub driver: Arc<str>,
    /// Name of the PersistentVolume.
    pub volume: Arc<str>,
    pub attached: bool,
    pub deleting: bool,
    /// `status.attachError` or `detachError`.
    pub error: Option<Arc<str>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimState {
    pub object: ObjectRef,
    /// `status.phase` is `Bound`.
    pub bound: bool,
    /// `status.phase` is `Lost`.
    pub lost: bool,
    /// Name of the PersistentVolume.
    pub volume: Option<Arc<str>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LonghornState {
    pub nodes: Vec<LonghornNode>,
    pub volumes: Vec<LonghornVolume>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LonghornNode {
    pub node: NodeName,
    pub ready: Tri,
    pub schedulable: Tri,
    pub message: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LonghornVolume {
    /// It is also the name of the PersistentVolume.
    pub name: Arc<str>,
    pub claim: Option<ObjectRef>,
    /// `status.state`: `attached`, `detached`, `attaching`, …
    pub state: Arc<str>,
    /// `status.robustness`: `healthy`, `degraded`, `faulted`, `unknown`.
    pub robustness: Arc<str>,
}

/// A CephCluster, as Rook's operator last looked at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CephState {
    pub object: ObjectRef,
    /// `status.ceph.lastChecked`; it may be from before the outage.
    pub checked: Option<Moment>,
    /// `status.ceph.details`: messages by check, such as `OSDMAP_FLAGS` and `OSD_DOWN`.
    pub checks: BTreeMap<Arc<str>, Arc<str>>,
}
