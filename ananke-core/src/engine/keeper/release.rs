//! A person's wish: a cordon goes, whatever the state of its lease.

use super::sweep::Sweeper;
use super::{Keeper, Released, Wish};
use crate::engine::driver::{Hands, Reads};
use crate::engine::schedule::Part;
use crate::lease::{LeaseEvent, read_note, taint_lease};
use crate::name::{LeaseId, NodeName};
use crate::observation::NodeState;
use crate::order::{ClusterOrder, Order};
use crate::port::{ErrorKind, PortError};
use crate::remedy::Action;

const TRIED: &str = "release the lease";
/// Taint and annotation, the mark, and conflicts with others who write the node.
const TRIES: usize = 6;

impl Keeper {
    /// Takes away Ananke's taint, annotation and mark, whatever the state of the lease, and closes its record: a person
    /// wants it so. What people put on the node stays.
    ///
    /// # Errors
    /// What could not be read or written, in the port's words; [`ErrorKind::Missing`] where there is no such lease or node,
    /// [`ErrorKind::Denied`] where the cordon is another cluster's.
    pub async fn release(&mut self, reads: Reads<'_>, hands: Hands<'_>, wish: &Wish) -> Result<Released, PortError> {
        let mut sweep = self.begin(reads, hands).await;
        sweep.release(wish).await
    }
}

impl Sweeper<'_> {
    async fn release(&mut self, wish: &Wish) -> Result<Released, PortError> {
        let mut name = None;
        for _ in 0..TRIES {
            self.take(&[Part::Api, Part::Nodes]).await;
            let failure = self.walk.obs.nodes.newest_failure().or(self.walk.obs.api.newest_failure());
            if let Some(error) = failure {
                return Err(error.clone());
            }
            let found = name.get_or_insert(self.node_of(wish)?).clone();
            let Some(order) = self.next_order(&found, wish)? else { break };
            match self.send(Action { order: Order::Cluster(order), why: "a person wants it".to_owned() }).await {
                Err(error) if error.kind != ErrorKind::Conflict => return Err(error),
                Err(_) | Ok(()) => {}
            }
        }
        let node = match name {
            Some(node) => node,
            None => self.node_of(wish)?,
        };
        self.close(&node, wish).await;
        Ok(Released { node, done: std::mem::take(&mut self.tick.done) })
    }

    fn nodes(&self) -> &[NodeState] {
        self.walk.obs.nodes.last().map(|nodes| nodes.as_slice()).unwrap_or_default()
    }

    fn node_of(&self, wish: &Wish) -> Result<NodeName, PortError> {
        let missing = |what: &dyn std::fmt::Display, found: &str| Err(PortError::new(ErrorKind::Missing, TRIED, what, found));
        match wish {
            Wish::Node(name) => {
                let known = self.nodes().iter().any(|node| node.name == *name)
                    || self.walk.leases.iter().any(|record| record.lease.node == *name);
                if known { Ok(name.clone()) } else { missing(name, "there is no such node, and no lease of it") }
            }
            Wish::Lease(id) => {
                let record =
                    self.walk.leases.iter().find(|record| record.lease.id == *id).map(|record| record.lease.node.clone());
                let carries = |node: &&NodeState| taint_lease(node) == Some(id.as_str()) || noted(node).as_ref() == Some(id);
                let found = record.or_else(|| self.nodes().iter().find(carries).map(|node| node.name.clone()));
                found.map_or_else(|| missing(id, "there is no such lease on the disk or on a node"), Ok)
            }
        }
    }

    /// What is still to be taken from the node.
    fn next_order(&self, name: &NodeName, wish: &Wish) -> Result<Option<ClusterOrder>, PortError> {
        let Some(node) = self.nodes().iter().find(|node| node.name == *name) else { return Ok(None) };
        let here = self.walk.obs.api.last().map(|api| &api.cluster_uid);
        let foreign = |lease: crate::lease::Lease| Some(&lease.cluster_uid) != here;
        if node.lease_note.as_deref().and_then(read_note).is_some_and(foreign) {
            return Err(PortError::new(
                ErrorKind::Denied,
                TRIED,
                name,
                "the cordon is of another cluster: its own Ananke releases it",
            ));
        }
        let wanted = |id: &LeaseId| match wish {
            Wish::Node(_) => true,
            Wish::Lease(wish) => wish == id,
        };
        if let Some(value) = taint_lease(node) {
            let Ok(lease) = LeaseId::parse(value) else {
                let remedy = format!("run `{}`", crate::lease::remove_with(name));
                return Err(PortError::new(ErrorKind::Invalid, TRIED, name, "its taint names no lease").with_remedy(remedy));
            };
            let order = || ClusterOrder::Uncordon { node: name.clone(), seen: node.version.clone(), lease: lease.clone() };
            return Ok(wanted(&lease).then(order));
        }
        if let Some(lease) = noted(node).filter(wanted) {
            return Ok(Some(ClusterOrder::Uncordon { node: name.clone(), seen: node.version.clone(), lease }));
        }
        let marked = node.manual_note.is_some();
        Ok(marked.then(|| ClusterOrder::ClearMark { node: name.clone(), seen: node.version.clone() }))
    }

    /// Closes what is still open on the disk: its node carries nothing any more, or is gone.
    async fn close(&mut self, name: &NodeName, wish: &Wish) {
        let now = self.reads.clock.now();
        let wanted = |id: &LeaseId| matches!(wish, Wish::Node(_)) || matches!(wish, Wish::Lease(wish) if wish == id);
        let settled = |state| matches!(state, crate::lease::LeaseState::Released | crate::lease::LeaseState::TakenAway);
        let open = self.walk.leases.iter().filter(|record| record.lease.node == *name && !settled(record.state));
        let open: Vec<LeaseId> = open.map(|record| record.lease.id.clone()).filter(wanted).collect();
        for lease in &open {
            if self.walk.move_lease(lease, LeaseEvent::GivenBack, now) {
                self.tick.done.push(format!("lease {lease} is closed"));
            }
        }
        if !open.is_empty() {
            self.save().await;
        }
    }
}

fn noted(node: &NodeState) -> Option<LeaseId> {
    node.lease_note.as_deref().and_then(read_note).map(|lease| lease.id)
}
