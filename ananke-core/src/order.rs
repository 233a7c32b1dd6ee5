//! Orders: immutable values with no choice left in them. The closed set of things Ananke can do to a cluster.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::lease::Lease;
use crate::name::{LeaseId, Moment, NodeName, ObjectRef, ResourceVersion, RunId, Subject, Uid, UnitName};

/// Who set `spec.suspend`, so that start-up resumes only what shutdown suspended. The value is `<run id> <RFC 3339 time>`.
pub const SUSPENDED_ANNOTATION: &str = "ananke.dev/suspended";
/// Flux's own annotation that asks for a reconciliation.
pub const REQUESTED_ANNOTATION: &str = "reconcile.fluxcd.io/requestedAt";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    Cluster(ClusterOrder),
    Host { node: NodeName, order: HostOrder },
}

/// One write to the API. `seen` is the resourceVersion the decision was made on; a late order gets a conflict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClusterOrder {
    /// Taint and annotation in one conditional patch. The lease is on disk before this is sent.
    Cordon {
        node: NodeName,
        seen: ResourceVersion,
        lease: Box<Lease>,
    },
    /// Takes away that lease's taint and annotation, and nothing else.
    Uncordon {
        node: NodeName,
        seen: ResourceVersion,
        lease: LeaseId,
    },
    /// Annotation and label that ask for a person; the taint stays.
    MarkManual {
        node: NodeName,
        seen: ResourceVersion,
        sentence: String,
    },
    /// `policy/v1` Eviction with a UID precondition.
    Evict {
        pod: ObjectRef,
        uid: Uid,
    },
    /// Delete with a UID precondition and a real grace period (`None`: the pod's own).
    Delete {
        pod: ObjectRef,
        uid: Uid,
        grace: Option<Duration>,
    },
    SetBranch {
        source: ObjectRef,
        seen: ResourceVersion,
        branch: Arc<str>,
    },
    /// `reconcile.fluxcd.io/requestedAt`.
    Reconcile {
        object: ObjectRef,
        token: Moment,
    },
    Suspend {
        object: ObjectRef,
        seen: ResourceVersion,
        run: RunId,
        at: Moment,
    },
    /// Clears `spec.suspend` and the stamp.
    Resume {
        object: ObjectRef,
        seen: ResourceVersion,
    },
}

/// One command on one host; the adapter has a fixed argv for each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostOrder {
    /// `systemctl start --no-block`: k3s servers are `Type=notify` and wait for each other.
    Start(UnitName),
    /// `systemctl stop`, waiting for it.
    Stop(UnitName),
}

impl Order {
    /// What is changed.
    pub fn subject(&self) -> Subject {
        match self {
            Self::Host { node, .. } => Subject::Node(node.clone()),
            Self::Cluster(order) => match order {
                ClusterOrder::Cordon { node, .. }
                | ClusterOrder::Uncordon { node, .. }
                | ClusterOrder::MarkManual { node, .. } => Subject::Node(node.clone()),
                ClusterOrder::Evict { pod, .. } | ClusterOrder::Delete { pod, .. } => Subject::Object(pod.clone()),
                ClusterOrder::SetBranch { source: object, .. }
                | ClusterOrder::Reconcile { object, .. }
                | ClusterOrder::Suspend { object, .. }
                | ClusterOrder::Resume { object, .. } => Subject::Object(object.clone()),
            },
        }
    }

    /// The kind of action, as journals, reports and budgets name it.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Host { order: HostOrder::Start(_), .. } => "start-unit",
            Self::Host { order: HostOrder::Stop(_), .. } => "stop-unit",
            Self::Cluster(order) => match order {
                ClusterOrder::Cordon { .. } => "cordon",
                ClusterOrder::Uncordon { .. } => "uncordon",
                ClusterOrder::MarkManual { .. } => "mark-manual",
                ClusterOrder::Evict { .. } => "evict",
                ClusterOrder::Delete { .. } => "delete-pod",
                ClusterOrder::SetBranch { .. } => "set-branch",
                ClusterOrder::Reconcile { .. } => "request-reconcile",
                ClusterOrder::Suspend { .. } => "suspend",
                ClusterOrder::Resume { .. } => "resume",
            },
        }
    }
}

/// What a dry run prints, and a report.
impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host { node, order: HostOrder::Start(unit) } => write!(f, "start unit {unit} on {node}"),
            Self::Host { node, order: HostOrder::Stop(unit) } => write!(f, "stop unit {unit} on {node}"),
            Self::Cluster(order) => match order {
                ClusterOrder::Cordon { node, lease, .. } => {
                    write!(f, "cordon {node} under lease {} until {}", lease.id, lease.expires)
                }
                ClusterOrder::Uncordon { node, lease, .. } => write!(f, "give back the cordon of {node} (lease {lease})"),
                ClusterOrder::MarkManual { node, sentence, .. } => write!(f, "mark {node} for manual action: {sentence}"),
                ClusterOrder::Evict { pod, .. } => write!(f, "evict {pod}"),
                ClusterOrder::Delete { pod, .. } => write!(f, "delete {pod} with its grace period"),
                ClusterOrder::SetBranch { source, branch, .. } => write!(f, "set branch {branch} on {source}"),
                ClusterOrder::Reconcile { object, .. } => write!(f, "ask Flux to reconcile {object}"),
                ClusterOrder::Suspend { object, .. } => write!(f, "suspend {object}"),
                ClusterOrder::Resume { object, .. } => write!(f, "resume {object}"),
            },
        }
    }
}
