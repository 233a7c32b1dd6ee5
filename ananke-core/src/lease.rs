//! A cordon that Ananke places is a short lease: a pure state machine over durable records.
//!
//! The cordon itself is Ananke's own taint with the lease in an annotation. `spec.unschedulable` is never written: it
//! is one bit that people share. Who sweeps, and when a lease ends, is in [`expiry`].

pub mod expiry;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::name::{LeaseId, Moment, NodeName, Uid};
use crate::observation::NodeState;

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
/// The default window (seed.md: one hour).
pub const DEFAULT_WINDOW: Duration = Duration::from_secs(3600);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    pub schema: u32,
    pub id: LeaseId,
    /// Host name of the Ananke that placed it.
    pub holder: String,
    pub node: NodeName,
    pub node_uid: Uid,
    pub cluster_uid: Uid,
    pub reason: String,
    pub acquired: Moment,
    pub expires: Moment,
    /// The exact command with which a person removes it without Ananke.
    pub remove_with: String,
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
    /// The window passed and the node is not proved: the taint stays until a person acts.
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
    /// A new lease for `node`, from `now` for `window`.
    pub fn new(
        id: LeaseId,
        holder: &str,
        node: &NodeState,
        cluster_uid: &Uid,
        reason: &str,
        now: Moment,
        window: Duration,
    ) -> Self {
        Self {
            schema: SCHEMA,
            id,
            holder: holder.to_owned(),
            node: node.name.clone(),
            node_uid: node.uid.clone(),
            cluster_uid: cluster_uid.clone(),
            reason: reason.to_owned(),
            acquired: now,
            expires: now.plus(window),
            remove_with: remove_with(&node.name),
        }
    }

    /// Whether `node` carries this very lease: the same node by UID, and our taint with our ID.
    pub fn stands_on(&self, node: &NodeState) -> bool {
        node.name == self.node && node.uid == self.node_uid && taint_lease(node) == Some(self.id.as_str())
    }

    /// By wall time; an age that cannot be (acquired in the future) counts as expired.
    pub fn expired(&self, now: Moment) -> bool {
        now >= self.expires || now < self.acquired
    }
}

/// The command with which a person removes Ananke's cordon from `node`, taint and annotation.
pub fn remove_with(node: &NodeName) -> String {
    format!("kubectl taint node {node} {TAINT_KEY}:{TAINT_EFFECT}- ; kubectl annotate node {node} {ANNOTATION}-")
}

/// The lease ID in Ananke's taint, if the node has one.
pub fn taint_lease(node: &NodeState) -> Option<&str> {
    node.taints.iter().find(|taint| taint.key.as_ref() == TAINT_KEY).map(|taint| taint.value.as_ref())
}

/// Reads the annotation; `None` if it is not one of ours, or torn.
pub fn read_note(note: &str) -> Option<Lease> {
    serde_json::from_str::<Lease>(note).ok().filter(|lease| lease.schema == SCHEMA)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leads_from_a_settled_lease_to_a_new_cordon() {
        use LeaseEvent::*;
        for settled in [LeaseState::Released, LeaseState::TakenAway] {
            assert!(settled.after(Placed).is_err());
            assert!(settled.after(Marked).is_err());
        }
        assert_eq!(LeaseState::Intended.after(Placed), Ok(LeaseState::Held));
        assert_eq!(LeaseState::Held.after(FoundGone), Ok(LeaseState::TakenAway));
        assert_eq!(LeaseState::Released.after(FoundAgain), Ok(LeaseState::Held));
    }

    proptest::proptest! {
        #[test]
        fn whatever_happens_a_settled_lease_is_outstanding_again_only_if_it_was_found_on_the_node(events: Vec<u8>) {
            use LeaseEvent::*;
            let all = [Placed, GivenBack, FoundGone, NeverPlaced, Marked, FoundAgain];
            let mut state = LeaseState::Intended;
            for event in events.iter().filter_map(|index| all.get(usize::from(*index) % all.len())) {
                let Ok(next) = state.after(*event) else { continue };
                proptest::prop_assert!(state.outstanding() || !next.outstanding() || *event == FoundAgain);
                state = next;
            }
        }
    }
}
