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
use crate::connection::{Connection, Host};
use crate::identity::Identity;
use crate::settings::SshSettings;

pub(crate) struct Pool {
    settings: SshSettings,
    identity: Identity,
    slots: BTreeMap<NodeName, Slot>,
    turns: Semaphore,
}

/// The lock is held while a connection is opened, so that two commands open one and not two; never while one runs.
#[derive(Default)]
struct Slot {
    kept: Mutex<Option<Arc<Connection>>>,
}

impl Pool {
    pub(crate) fn new(settings: SshSettings, identity: Identity) -> Self {
        let slots = settings.targets.keys().map(|node| (node.clone(), Slot::default())).collect();
        let turns = Semaphore::new(settings.concurrency.max(1));
        Self { settings, identity, slots, turns }
    }

    /// The host of a node, with the command for the message.
    pub(crate) fn target(&self, node: &NodeName, command: &Command) -> Result<&SshTarget, PortError> {
        self.settings.targets.get(node).ok_or_else(|| {
            PortError::new(ErrorKind::Missing, &command.title(), node, "no SSH host is configured for it")
                .with_remedy(format!("add {node} to ssh_node_hosts"))
        })
    }

    /// Runs a command on a node. `started` is called right before the request is sent; a second time if it is sent again.
    pub(crate) async fn run(&self, node: &NodeName, command: &Command, started: &(dyn Fn() + Sync)) -> Result<Output, PortError> {
        let target = self.target(node, command)?;
        let host = Host { node, target };
        let Some(slot) = self.slots.get(node) else {
            return Err(host.error(ErrorKind::Missing, &command.title(), "no SSH host is configured for it"));
        };
        // Every holder's steps have deadlines, so a turn comes.
        let Ok(_turn) = self.turns.acquire().await else {
            return Err(host.error(ErrorKind::Transient, &command.title(), "ananke is ending"));
        };
        let (connection, fresh) = self.connection(slot, host).await?;
        let broken = match connection.run(host, &self.settings, command, started).await {
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
        match connection.run(host, &self.settings, command, started).await {
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
        let connection = Arc::new(Connection::open(host, &self.settings, &self.identity).await?);
        *kept = Some(Arc::clone(&connection));
        Ok((connection, true))
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
