//! One kept connection per host, and a bound on how many hosts are worked on at once.
//!
//! A connection that fails in any way is dropped, and the next command opens another.

use std::collections::BTreeMap;
use std::sync::Arc;

use ananke_core::name::NodeName;
use ananke_core::port::{ErrorKind, PortError};
use ananke_core::spec::SshTarget;
use tokio::sync::{Mutex, Semaphore};

use crate::command::{Command, Output};
use crate::connection::{Access, Connection, Host};
use crate::jump::{self, Jump};

pub(crate) struct Pool {
    access: Access,
    jump: Option<Jump>,
    slots: BTreeMap<NodeName, Slot>,
    turns: Semaphore,
}

/// The lock is held while a connection is opened, so that two commands open one and not two; never while one runs.
#[derive(Default)]
struct Slot {
    kept: Mutex<Option<Arc<Connection>>>,
}

impl Pool {
    pub(crate) fn new(access: Access) -> Self {
        let settings = &access.settings;
        let jump = settings.jump.clone().map(Jump::new);
        let slots = settings.targets.keys().map(|node| (node.clone(), Slot::default())).collect();
        let turns = Semaphore::new(settings.concurrency.max(1));
        Self { access, jump, slots, turns }
    }

    /// The host of a node, with the command for the message.
    pub(crate) fn target(&self, node: &NodeName, command: &Command) -> Result<&SshTarget, PortError> {
        self.access.settings.targets.get(node).ok_or_else(|| {
            PortError::new(ErrorKind::Missing, &command.title(), node, "no SSH host is configured for it")
                .with_remedy(format!("add {node} to ssh_node_hosts"))
        })
    }

    /// Runs a command on a node. `started` is called right before the request is sent; a second time if it is sent again.
    pub(crate) async fn run(&self, node: &NodeName, command: &Command, started: &(dyn Fn() + Sync)) -> Result<Output, PortError> {
        let target = self.target(node, command)?;
        let host = Host { node: node.as_str(), target };
        let Some(slot) = self.slots.get(node) else {
            return Err(host.error(ErrorKind::Missing, &command.title(), "no SSH host is configured for it"));
        };
        // Every holder's steps have deadlines, so a turn comes.
        let Ok(_turn) = self.turns.acquire().await else {
            return Err(host.error(ErrorKind::Transient, &command.title(), "ananke is ending"));
        };
        let (connection, fresh) = self.connection(slot, host).await?;
        let broken = match connection.run(host, &self.access.settings, command, started).await {
            Ok(output) => return Ok(output),
            Err(broken) => broken,
        };
        slot.forget(&connection).await;
        // A kept connection may have died with its host's last boot. What changes something is never sent twice.
        if fresh || (broken.sent && !command.only_reads()) {
            return Err(broken.error);
        }
        tracing::debug!(%node, error = %broken.error, "connection was stale, opening another");
        let (connection, _) = self.connection(slot, host).await?;
        match connection.run(host, &self.access.settings, command, started).await {
            Ok(output) => Ok(output),
            Err(broken) => {
                slot.forget(&connection).await;
                Err(broken.error)
            }
        }
    }

    /// The kept connection, or a fresh one.
    async fn connection(&self, slot: &Slot, host: Host<'_>) -> Result<(Arc<Connection>, bool), PortError> {
        let mut kept = slot.kept.lock().await;
        if let Some(connection) = kept.as_ref().filter(|connection| !connection.is_closed()) {
            return Ok((Arc::clone(connection), false));
        }
        *kept = None;
        let connection = Arc::new(self.open(host).await?);
        *kept = Some(Arc::clone(&connection));
        Ok((connection, true))
    }

    /// Through the jump host, and directly where that opens no way. Whom it then meets is judged once.
    async fn open(&self, host: Host<'_>) -> Result<Connection, PortError> {
        let Some(jump) = &self.jump else { return Connection::direct(host, &self.access).await };
        match jump.link(host, &self.access).await {
            Ok(link) => Connection::through(link, host, &self.access).await,
            Err(over) => Connection::direct(host, &self.access).await.map_err(|direct| jump::neither(host, over, direct)),
        }
    }
}

impl Slot {
    /// Drops this connection, unless another has taken its place.
    async fn forget(&self, connection: &Arc<Connection>) {
        let mut kept = self.kept.lock().await;
        if kept.as_ref().is_some_and(|other| Arc::ptr_eq(other, connection)) {
            *kept = None;
        }
    }
}
