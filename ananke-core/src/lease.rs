//! A cordon that Ananke places is a short lease: a pure state machine over durable records.
//!
//! The cordon itself is Ananke's own taint with the lease in an annotation. `spec.unschedulable` is never written: it
//! is one bit that people share. Who sweeps, and when a lease ends, is in [`expiry`]; what may be cordoned at all is in
//! [`brakes`].

pub mod brakes;
pub mod expiry;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::name::{LeaseId, Moment, NodeName, RunId, Uid};
use crate::observation::NodeState;
use crate::port::clock::Uptime;

/// Key of Ananke's taint; its value is the lease ID, its effect [`TAINT_EFFECT`].
pub const TAINT_KEY: &str = "ananke.dev/cordon";
pub const TAINT_EFFECT: &str = "NoSchedule";
/// The lease as JSON.
pub const ANNOTATION: &str = "ananke.dev/cordon-lease";
/// One sentence: what a person must do about this node.
pub const MANUAL_ANNOTATION: &str = "ananke.dev/manual-action";
/// Set to `required` with the annotation, so that `kubectl get nodes -l` finds it.
pub const MANUAL_LABEL: &str = "ananke.dev/manual-action";
/// Version of the record on disk and in the annotation.
pub const SCHEMA: u32 = 1;
/// How long a cordon is lent unless the config says otherwise.
pub const DEFAULT_WINDOW: Duration = Duration::from_secs(3600);
/// The longest window that the config allows: a record that claims more is not believed.
pub const MAX_WINDOW: Duration = Duration::from_secs(24 * 3600);
/// Clocks of two hosts that are in step differ by less: an age that is negative by more cannot be.
pub(crate) const CLOCK_TOLERANCE: Duration = Duration::from_secs(30);

/// What a cordon is for: brakes and budgets count repairs only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// A shutdown drains the node.
    #[default]
    Drain,
    /// The node's agent is restarted under it.
    Repair,
    /// The lease is lost: only its taint was found.
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    pub schema: u32,
    pub id: LeaseId,
    /// Host name of the Ananke that placed it.
    pub holder: String,
    pub node: NodeName,
    pub node_uid: Uid,
    pub cluster_uid: Uid,
    #[serde(default)]
    pub purpose: Purpose,
    pub reason: String,
    pub acquired: Moment,
    pub expires: Moment,
    /// The same moment as `acquired` on the clock of the holder's boot, which nobody can set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<Uptime>,
    /// The exact command with which a person removes it without Ananke.
    pub remove_with: String,
}

/// Whose a new lease is, what for, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    pub holder: &'a str,
    pub purpose: Purpose,
    pub reason: &'a str,
    pub now: Moment,
    pub uptime: Option<&'a Uptime>,
    pub window: Duration,
}

/// The lease on disk: the annotation on the node carries no state, for what stands there is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRecord {
    #[serde(flatten)]
    pub lease: Lease,
    pub state: LeaseState,
    /// When it reached that state.
    pub since: Moment,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeaseState {
    /// On disk; the cordon may or may not have been placed.
    Intended,
    Held,
    Released,
    /// A person removed the taint, or the node was recreated: never placed again.
    TakenAway,
    /// The window passed and the node is not proved, or its repair was given up: the taint stays until a person acts.
    Manual,
}

/// What happens to a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseEvent {
    /// The API took the cordon.
    Placed,
    /// The API took it back.
    GivenBack,
    /// The node carries neither taint nor annotation of this lease, or is another node by UID.
    FoundGone,
    /// The cordon was never placed: the patch was refused.
    NeverPlaced,
    /// The node was marked for manual action.
    Marked,
    /// The taint is there although the lease was settled (a restored etcd, a late patch).
    FoundAgain,
}

/// An event that makes no sense in that state: a defect, reported and not acted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a lease that is {state:?} cannot take {event:?}")]
pub struct BadTransition {
    state: LeaseState,
    event: LeaseEvent,
}

/// How old a lease is, by the clock that counts for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    Known(Duration),
    /// It was acquired in the future, or its boot's clock ran backwards: it counts as expired.
    Impossible,
}

impl LeaseState {
    /// The next state. Only `Intended` and `Held` are outstanding; nothing leads from a settled state to a new cordon.
    pub fn after(self, event: LeaseEvent) -> Result<Self, BadTransition> {
        use LeaseEvent::{FoundAgain, FoundGone, GivenBack, Marked, NeverPlaced, Placed};
        match (self, event) {
            (Self::Intended | Self::Held, Placed) => Ok(Self::Held),
            (Self::Intended | Self::Held | Self::Manual, GivenBack) | (Self::Intended, NeverPlaced) => Ok(Self::Released),
            (Self::Intended | Self::Held | Self::Manual, FoundGone) => Ok(Self::TakenAway),
            (Self::Intended | Self::Held | Self::Manual, Marked) => Ok(Self::Manual),
            (Self::Released | Self::TakenAway, FoundAgain) => Ok(Self::Held),
            (Self::Released, GivenBack | FoundGone | NeverPlaced) => Ok(Self::Released),
            (Self::TakenAway, GivenBack | FoundGone | NeverPlaced) => Ok(Self::TakenAway),
            (state, event) => Err(BadTransition { state, event }),
        }
    }

    pub fn outstanding(self) -> bool {
        matches!(self, Self::Intended | Self::Held)
    }
}

impl Lease {
    /// A new lease for `node`, from now for the window.
    pub fn new(id: LeaseId, node: &NodeState, cluster_uid: &Uid, terms: &Terms<'_>) -> Self {
        Self {
            schema: SCHEMA,
            id,
            holder: terms.holder.to_owned(),
            node: node.name.clone(),
            node_uid: node.uid.clone(),
            cluster_uid: cluster_uid.clone(),
            purpose: terms.purpose,
            reason: terms.reason.to_owned(),
            acquired: terms.now,
            expires: terms.now.plus(terms.window),
            clock: terms.uptime.cloned(),
            remove_with: remove_with(&node.name),
        }
    }

    /// A second try of a cordon that may not have been placed is the same lease: it ends when the first would have ended.
    pub(crate) fn of_first_try(self, records: &[LeaseRecord], now: Moment, uptime: Option<&Uptime>) -> Self {
        let intended = records.iter().filter(|record| record.state == LeaseState::Intended).map(|record| &record.lease);
        let mut same = intended.filter(|lease| lease.id == self.id && lease.node_uid == self.node_uid);
        same.find(|lease| !lease.expired(now, uptime)).cloned().unwrap_or(self)
    }

    /// Whether `node` carries this very lease: the same node by UID, and our taint with our ID.
    pub fn stands_on(&self, node: &NodeState) -> bool {
        node.name == self.node && node.uid == self.node_uid && taint_lease(node) == Some(self.id.as_str())
    }

    /// Under the boot in which it was acquired by that boot's clock, else by wall time.
    pub fn age(&self, now: Moment, uptime: Option<&Uptime>) -> Age {
        if let (Some(then), Some(up)) = (&self.clock, uptime)
            && then.boot == up.boot
        {
            return up.since_boot.checked_sub(then.since_boot).map_or(Age::Impossible, Age::Known);
        }
        if self.acquired > now.plus(CLOCK_TOLERANCE) { Age::Impossible } else { Age::Known(now.since(self.acquired)) }
    }

    /// How long its window has been over; none while it is not.
    pub fn past(&self, now: Moment, uptime: Option<&Uptime>) -> Option<Duration> {
        match self.age(now, uptime) {
            Age::Known(age) => age.checked_sub(self.window()),
            Age::Impossible => Some(Duration::MAX),
        }
    }

    pub fn expired(&self, now: Moment, uptime: Option<&Uptime>) -> bool {
        self.past(now, uptime).is_some()
    }

    pub fn window(&self) -> Duration {
        self.expires.since(self.acquired).min(MAX_WINDOW)
    }

    /// Whether `run` placed it: the ID of a lease begins with that of its run.
    pub fn is_of(&self, run: &RunId) -> bool {
        self.id.as_str().strip_prefix(run.as_str()).is_some_and(|rest| rest.starts_with('-'))
    }

    /// The one sentence that annotation, Event, report and exit say alike.
    pub fn sentence(&self) -> String {
        let node = &self.node;
        format!(
            "{node} needs a person: {}, and it did not come back; look at the journal of its kubelet, repair it, then run \
             `ananke lease release {node}`",
            self.reason
        )
    }
}

/// The ID of a lease: one a node, purpose and run, so that a second try is the same lease. The node's place in the config
/// is shorter than its name, and a taint's value has 63 characters.
pub(crate) fn id_for(run: &RunId, purpose: Purpose, place: usize) -> Option<LeaseId> {
    let kind = match purpose {
        Purpose::Drain => "",
        Purpose::Repair => "r",
        Purpose::Unknown => return None,
    };
    LeaseId::parse(&format!("{run}-{kind}{place}")).ok()
}

/// The commands with which a person removes Ananke's cordon from `node`: taint, annotations and label.
pub fn remove_with(node: &NodeName) -> String {
    format!(
        "kubectl taint node {node} {TAINT_KEY}:{TAINT_EFFECT}- ; kubectl annotate node {node} {ANNOTATION}- \
         {MANUAL_ANNOTATION}- ; kubectl label node {node} {MANUAL_LABEL}-"
    )
}

/// The lease ID in Ananke's taint, if the node has one.
pub fn taint_lease(node: &NodeState) -> Option<&str> {
    node.taints.iter().find(|taint| taint.key.as_ref() == TAINT_KEY).map(|taint| taint.value.as_ref())
}

/// Reads the annotation; `None` if it is not one of ours, or torn.
pub fn read_note(note: &str) -> Option<Lease> {
    serde_json::from_str::<Lease>(note).ok().filter(|lease| lease.schema == SCHEMA)
}

/// What is known and what is on disk as one list: a daemon and a run write the same file, and neither may lose what the
/// other wrote. Of a lease that both know, `known` counts: its writer is the one that moves it.
pub fn merged(mut known: Vec<LeaseRecord>, disk: Vec<LeaseRecord>) -> Vec<LeaseRecord> {
    for record in disk {
        if !known.iter().any(|other| other.lease.id == record.lease.id) {
            known.push(record);
        }
    }
    known
}

#[cfg(test)]
mod tests;
