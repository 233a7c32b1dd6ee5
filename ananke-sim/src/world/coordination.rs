//! What Anankes leave in the API for each other and for people, beside the marks on nodes: the coordination Lease, and
//! Events.

use std::time::Duration;

use ananke_core::name::{Moment, NodeName, ObjectRef, Uid};

use super::{Refusal, World};

/// The Lease `kube-system/ananke`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coordination {
    pub rv: u64,
    pub holder: Option<String>,
    pub renewed: Moment,
    pub lasts: Duration,
}

/// An Event about a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeEvent {
    pub name: String,
    pub node: NodeName,
    pub node_uid: Uid,
    pub message: String,
    pub at: Moment,
}

/// What is there of both.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shared {
    coordination: Option<Coordination>,
    events: Vec<NodeEvent>,
}

impl World {
    pub fn coordination(&self) -> Option<&Coordination> {
        self.shared.coordination.as_ref()
    }

    pub fn node_events(&self) -> &[NodeEvent] {
        &self.shared.events
    }

    /// Creates the Lease where there is none and none was seen, else takes or renews the one that was seen.
    pub fn coordinate(&mut self, seen: Option<u64>, holder: Option<&str>, at: Moment, lasts: Duration) -> Result<(), Refusal> {
        let found = self.shared.coordination.as_ref().map(|lease| lease.rv);
        match (found, seen) {
            (None, Some(_)) => return Err(Refusal::Missing("leases \"ananke\"".to_owned())),
            (Some(found), seen) if seen != Some(found) => return Err(Refusal::Conflict { found }),
            (None, None) | (Some(_), _) => {}
        }
        self.revision += 1;
        let rv = self.revision;
        self.note(|_| format!("coordination Lease: {}", holder.unwrap_or("given back")));
        self.shared.coordination = Some(Coordination { rv, holder: holder.map(str::to_owned), renewed: at, lasts });
        Ok(())
    }

    /// Gives the Lease back: it stays, without a holder.
    pub fn uncoordinate(&mut self, seen: u64) -> Result<(), Refusal> {
        let Some(lease) = self.shared.coordination.clone() else {
            return Err(Refusal::Missing("leases \"ananke\"".to_owned()));
        };
        self.coordinate(Some(seen), None, lease.renewed, lease.lasts)
    }

    /// Writes an Event; one of that name is there already where it was written before.
    pub fn write_event(&mut self, event: NodeEvent) {
        if !self.shared.events.iter().any(|known| known.name == event.name) {
            let object = ObjectRef::new(ananke_core::name::Kind::Node, "", event.node.as_str());
            self.note(|_| format!("{object}: {}", event.message));
            self.shared.events.push(event);
        }
    }
}
