//! Orders: immutable values with no choice left in them. The closed set of things Ananke can do to a cluster.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bootstrap::Manifest;
use crate::lease::Lease;
use crate::name::{
    ArchiveName, LeaseId, MacAddress, Moment, NodeName, ObjectRef, ResourceVersion, RunId, SnapshotName, Subject, Uid, UnitName,
};
use crate::port::without_password;
use crate::proof::DeathProof;

/// Namespace and name of the Lease by which several Anankes of one cluster know of each other.
pub const COORDINATION: (&str, &str) = ("kube-system", "ananke");
/// Without a renewal for this long, the holder of the coordination Lease counts as gone.
pub const COORDINATION_LASTS: Duration = Duration::from_secs(30);
/// Who set `spec.suspend`, so that start-up resumes only what shutdown suspended. The value is `<run id> <RFC 3339 time>`.
pub const SUSPENDED_ANNOTATION: &str = "ananke.dev/suspended";
/// Where a source was fetched from before it was pointed at its mirror; whoever points it back takes the annotation away.
pub const URL_ANNOTATION: &str = "ananke.dev/url-from";
/// How many replicas a workload had before it was scaled to zero; whoever scales it back takes the annotation away.
pub const SCALED_ANNOTATION: &str = "ananke.dev/scaled-from";
/// Flux's own annotation that asks for a reconciliation.
pub const REQUESTED_ANNOTATION: &str = "reconcile.fluxcd.io/requestedAt";
/// helm-controller's own: with a request of the same token, one install or upgrade whether or not anything changed.
pub const FORCED_ANNOTATION: &str = "reconcile.fluxcd.io/forceAt";
/// helm-controller's own: with a request of the same token, the failures that it counted are forgotten.
pub const RESET_ANNOTATION: &str = "reconcile.fluxcd.io/resetAt";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    Cluster(ClusterOrder),
    Host {
        node: NodeName,
        order: HostOrder,
    },
    /// Unseals Vault; the keys are the adapter's.
    Unseal,
    /// Wake-on-LAN: switches on a host that is off, and changes nothing on one that runs.
    Wake {
        node: NodeName,
        mac: MacAddress,
    },
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
        /// The lease whose window or repair ended so.
        lease: LeaseId,
        sentence: String,
        at: Moment,
    },
    /// Takes the mark for manual action away: a person says that it is done.
    ClearMark {
        node: NodeName,
        seen: ResourceVersion,
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
    /// Delete with grace 0: only where the machine is proved to be dead.
    ForceDelete {
        pod: ObjectRef,
        uid: Uid,
        proof: DeathProof,
    },
    /// A finished Job whose template cannot be changed; Flux makes it anew.
    DeleteJob {
        job: ObjectRef,
        uid: Uid,
    },
    /// Sets `spec.replicas` and takes [`SCALED_ANNOTATION`] away.
    Scale {
        workload: ObjectRef,
        seen: ResourceVersion,
        replicas: u32,
    },
    /// Creates or takes the Lease `kube-system/ananke`, or renews it; `seen` is none where there was none.
    Coordinate {
        seen: Option<ResourceVersion>,
        holder: String,
        at: Moment,
    },
    /// Gives the Lease back.
    Uncoordinate {
        seen: ResourceVersion,
    },
    SetBranch {
        source: ObjectRef,
        seen: ResourceVersion,
        branch: Arc<str>,
    },
    /// Sets `spec.url`.
    SetUrl {
        source: ObjectRef,
        seen: ResourceVersion,
        url: Arc<str>,
        /// What [`URL_ANNOTATION`] becomes; none: it goes.
        from: Option<Arc<str>>,
    },
    /// Makes an object that is absent, in Flux's name: it takes the fields over when it next applies. One that is there is
    /// left as it is.
    Create(Box<Manifest>),
    /// `reconcile.fluxcd.io/requestedAt`.
    Reconcile {
        object: ObjectRef,
        token: Moment,
        #[serde(default, skip_serializing_if = "Push::is_none")]
        push: Push,
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

/// What goes with a request to reconcile a HelmRelease; other objects take none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Push {
    #[default]
    None,
    /// [`RESET_ANNOTATION`]: what gave up tries again.
    Reset,
    /// [`FORCED_ANNOTATION`].
    Force,
}

impl Push {
    fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// As [`Order::verb`] names it.
    pub(crate) fn verb(self) -> &'static str {
        match self {
            Self::None => "request-reconcile",
            Self::Reset => "reset-release",
            Self::Force => "force-release",
        }
    }

    /// The annotation that carries it.
    pub fn annotation(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Reset => Some(RESET_ANNOTATION),
            Self::Force => Some(FORCED_ANNOTATION),
        }
    }
}

/// One command on one host; the adapter has a fixed argv for each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostOrder {
    /// `systemctl start --no-block`: k3s servers are `Type=notify` and wait for each other.
    Start(UnitName),
    /// `systemctl stop`, waiting for it.
    Stop(UnitName),
    /// `systemctl restart --no-block`.
    Restart(UnitName),
    /// Ends the containers that a stopped unit left running, and unmounts their volumes. Refused while it runs.
    KillPods(UnitName),
    /// Takes a snapshot of etcd under this name.
    SaveSnapshot(SnapshotName),
    /// Loads the images of an archive of this machine into the container runtime.
    LoadImages(ArchiveName),
    Reboot,
    PowerOff,
    /// The same without waiting for what does not stop: programs are ended, file systems unmounted, and that is all.
    PowerOffNow,
}

impl Order {
    /// What is changed.
    pub fn subject(&self) -> Subject {
        match self {
            Self::Host { node, .. } | Self::Wake { node, .. } => Subject::Node(node.clone()),
            Self::Unseal => Subject::Cluster,
            Self::Cluster(order) => match order {
                ClusterOrder::Cordon { node, .. }
                | ClusterOrder::Uncordon { node, .. }
                | ClusterOrder::MarkManual { node, .. }
                | ClusterOrder::ClearMark { node, .. } => Subject::Node(node.clone()),
                ClusterOrder::Evict { pod, .. } | ClusterOrder::Delete { pod, .. } | ClusterOrder::ForceDelete { pod, .. } => {
                    Subject::Object(pod.clone())
                }
                ClusterOrder::Coordinate { .. } | ClusterOrder::Uncoordinate { .. } => Subject::Cluster,
                ClusterOrder::DeleteJob { job: object, .. }
                | ClusterOrder::Scale { workload: object, .. }
                | ClusterOrder::SetBranch { source: object, .. }
                | ClusterOrder::SetUrl { source: object, .. }
                | ClusterOrder::Reconcile { object, .. }
                | ClusterOrder::Suspend { object, .. }
                | ClusterOrder::Resume { object, .. } => Subject::Object(object.clone()),
                ClusterOrder::Create(manifest) => Subject::Object(manifest.object.clone()),
            },
        }
    }

    /// Whether it ends a lease or asks a person to: it only gives back, so it goes on where nothing new may begin.
    pub fn ends_a_lease(&self) -> bool {
        match self {
            Self::Cluster(order) => {
                matches!(order, ClusterOrder::Uncordon { .. } | ClusterOrder::MarkManual { .. } | ClusterOrder::ClearMark { .. })
            }
            Self::Host { .. } | Self::Unseal | Self::Wake { .. } => false,
        }
    }

    /// The kind of action, as journals, reports and budgets name it: one of [`VERBS`].
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Host { order: HostOrder::Start(_), .. } => "start-unit",
            Self::Host { order: HostOrder::Stop(_), .. } => "stop-unit",
            Self::Host { order: HostOrder::Restart(_), .. } => "restart-unit",
            Self::Host { order: HostOrder::KillPods(_), .. } => "kill-pods",
            Self::Host { order: HostOrder::SaveSnapshot(_), .. } => "save-snapshot",
            Self::Host { order: HostOrder::LoadImages(_), .. } => "load-images",
            Self::Host { order: HostOrder::Reboot, .. } => "reboot",
            Self::Host { order: HostOrder::PowerOff, .. } => "power-off",
            Self::Host { order: HostOrder::PowerOffNow, .. } => "power-off-now",
            Self::Unseal => "unseal",
            Self::Wake { .. } => "wake",
            Self::Cluster(order) => match order {
                ClusterOrder::Cordon { .. } => "cordon",
                ClusterOrder::Uncordon { .. } => "uncordon",
                ClusterOrder::MarkManual { .. } => "mark-manual",
                ClusterOrder::ClearMark { .. } => "clear-mark",
                ClusterOrder::ForceDelete { .. } => "force-delete-pod",
                ClusterOrder::DeleteJob { .. } => "delete-job",
                ClusterOrder::Scale { .. } => "scale",
                ClusterOrder::Coordinate { .. } => "coordinate",
                ClusterOrder::Uncoordinate { .. } => "uncoordinate",
                ClusterOrder::Evict { .. } => "evict",
                ClusterOrder::Delete { .. } => "delete-pod",
                ClusterOrder::SetBranch { .. } => "set-branch",
                ClusterOrder::SetUrl { .. } => "set-url",
                ClusterOrder::Create(_) => "create",
                ClusterOrder::Reconcile { push, .. } => push.verb(),
                ClusterOrder::Suspend { .. } => "suspend",
                ClusterOrder::Resume { .. } => "resume",
            },
        }
    }
}

/// Every kind of action.
pub const VERBS: &[&str] = &[
    "start-unit",
    "stop-unit",
    "restart-unit",
    "kill-pods",
    "save-snapshot",
    "load-images",
    "reboot",
    "power-off",
    "power-off-now",
    "unseal",
    "wake",
    "cordon",
    "uncordon",
    "mark-manual",
    "clear-mark",
    "force-delete-pod",
    "delete-job",
    "scale",
    "coordinate",
    "uncoordinate",
    "evict",
    "delete-pod",
    "set-branch",
    "set-url",
    "create",
    "request-reconcile",
    "reset-release",
    "force-release",
    "suspend",
    "resume",
];

/// What a dry run prints, and a report.
impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host { node, order: HostOrder::Start(unit) } => write!(f, "start unit {unit} on {node}"),
            Self::Host { node, order: HostOrder::Stop(unit) } => write!(f, "stop unit {unit} on {node}"),
            Self::Host { node, order: HostOrder::Restart(unit) } => write!(f, "restart unit {unit} on {node}"),
            Self::Host { node, order: HostOrder::KillPods(unit) } => {
                write!(f, "end the containers that {unit} left running on {node}")
            }
            Self::Host { node, order: HostOrder::SaveSnapshot(name) } => write!(f, "save etcd snapshot {name} on {node}"),
            Self::Host { node, order: HostOrder::LoadImages(archive) } => write!(f, "load the images of {archive} on {node}"),
            Self::Host { node, order: HostOrder::Reboot } => write!(f, "reboot {node}"),
            Self::Host { node, order: HostOrder::PowerOff } => write!(f, "power off {node}"),
            Self::Host { node, order: HostOrder::PowerOffNow } => write!(f, "power off {node}, whatever does not stop there"),
            Self::Unseal => write!(f, "unseal Vault"),
            Self::Wake { node, mac } => write!(f, "wake {node} by its network card {mac}"),
            Self::Cluster(order) => match order {
                ClusterOrder::Cordon { node, lease, .. } => {
                    write!(f, "cordon {node} under lease {} until {}", lease.id, lease.expires)
                }
                ClusterOrder::Uncordon { node, lease, .. } => write!(f, "give back the cordon of {node} (lease {lease})"),
                ClusterOrder::MarkManual { node, sentence, .. } => write!(f, "mark {node} for manual action: {sentence}"),
                ClusterOrder::ClearMark { node, .. } => write!(f, "take the mark for manual action from {node}"),
                ClusterOrder::ForceDelete { pod, proof, .. } => write!(f, "delete {pod} at once: {proof}"),
                ClusterOrder::DeleteJob { job, .. } => write!(f, "delete {job}, which has finished"),
                ClusterOrder::Scale { workload, replicas, .. } => write!(f, "scale {workload} to {replicas}"),
                ClusterOrder::Coordinate { holder, .. } => write!(f, "hold the coordination Lease as {holder}"),
                ClusterOrder::Uncoordinate { .. } => write!(f, "give the coordination Lease back"),
                ClusterOrder::Evict { pod, .. } => write!(f, "evict {pod}"),
                ClusterOrder::Delete { pod, .. } => write!(f, "delete {pod} with its grace period"),
                ClusterOrder::SetBranch { source, branch, .. } => write!(f, "set branch {branch} on {source}"),
                ClusterOrder::SetUrl { source, url, .. } => write!(f, "have {source} fetched from {}", without_password(url)),
                ClusterOrder::Create(manifest) => write!(f, "make {}, which is absent", manifest.object),
                ClusterOrder::Reconcile { object, push: Push::None, .. } => write!(f, "ask Flux to reconcile {object}"),
                ClusterOrder::Reconcile { object, push: Push::Reset, .. } => {
                    write!(f, "ask Flux to reconcile {object} and to forget its failures")
                }
                ClusterOrder::Reconcile { object, push: Push::Force, .. } => {
                    write!(f, "ask Flux to reconcile {object}, whether or not anything changed")
                }
                ClusterOrder::Suspend { object, .. } => write!(f, "suspend {object}"),
                ClusterOrder::Resume { object, .. } => write!(f, "resume {object}"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_is_listed() {
        let (_, code) = include_str!("order.rs").split_once("fn verb(self)").unwrap();
        let (code, _) = code.split_once("pub const VERBS").unwrap();
        let said = code.lines().filter_map(|line| Some(line.split_once("=> \"")?.1.split_once('"')?.0));
        let said: std::collections::BTreeSet<&str> = said.collect();
        assert_eq!(said, VERBS.iter().copied().collect());
        assert!(VERBS.len() == said.len() && said.contains("cordon"), "{said:?}");
    }
}
