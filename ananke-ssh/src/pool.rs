//! One kept connection per host, and a bound on how many hosts are worked on at once.
//!
//! A connection that fails in any way is dropped, and the next command opens another.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use ananke_core::name::NodeName;
use ananke_core::port::{ErrorKind, PortError};
use tokio::sync::{Mutex, Semaphore};
use tokio::task::AbortHandle;

use crate::command::{Command, Output};
use crate::connection::{Access, Broken, Connection, Host, Request, Stage};
use crate::jump::{self, Jump};
use crate::settings::{Login, Route};

pub(crate) struct Pool {
    access: Access,
    places: BTreeMap<NodeName, Place>,
    turns: Semaphore,
    /// Of what changes something: it does not wait behind looks at hosts that say nothing.
    turns_of_orders: Semaphore,
}

/// What is kept of one host.
struct Place {
    /// Shared by all hosts behind it.
    jump: Option<Arc<Jump>>,
    slot: Arc<Slot>,
}

impl Pool {
    pub(crate) fn new(access: Access) -> Self {
        let settings = &access.settings;
        let mut jumps: Vec<Arc<Jump>> = Vec::new();
        let mut jump = |login: &Login| match jumps.iter().find(|jump| jump.is_at(login)) {
            Some(jump) => Arc::clone(jump),
            None => {
                let jump = Arc::new(Jump::new(login.clone()));
                jumps.push(Arc::clone(&jump));
                jump
            }
        };
        let mut place = |route: &Route| Place { jump: route.jump.as_ref().map(&mut jump), slot: Arc::default() };
        let places = settings.routes.iter().map(|(node, route)| (node.clone(), place(route))).collect();
        let turns = || Semaphore::new(settings.concurrency.max(1));
        let (turns, turns_of_orders) = (turns(), turns());
        Self { access, places, turns, turns_of_orders }
    }

    pub(crate) fn archives(&self) -> Option<&Path> {
        self.access.settings.archives.as_deref()
    }

    /// How a node's host is reached, with the command for the message.
    pub(crate) fn route(&self, node: &NodeName, command: &Command) -> Result<&Route, PortError> {
        self.access.settings.routes.get(node).ok_or_else(|| unknown(node, command))
    }

    /// Runs a command on a node.
    pub(crate) async fn run(&self, node: &NodeName, request: &Request<'_>) -> Result<Output, PortError> {
        let command = request.command;
        let host = Host { node: node.as_str(), login: &self.route(node, command)?.login };
        let place = self.places.get(node).ok_or_else(|| unknown(node, command))?;
        // Every holder's steps have deadlines, so a turn comes.
        let turns = if command.only_reads() { &self.turns } else { &self.turns_of_orders };
        let Ok(_turn) = turns.acquire().await else {
            return Err(host.error(ErrorKind::Transient, &command.title(), "ananke is ending"));
        };
        let (connection, fresh) = self.connection(place, host).await?;
        let broken = match self.run_on(&connection, place, host, request).await {
            Ok(output) => return Ok(output),
            Err(broken) => broken,
        };
        place.slot.forget(&connection).await;
        // A kept connection may have died with its host's last boot. What changes something is never sent twice.
        if fresh || (broken.stage == Stage::Sent && !command.only_reads()) {
            return Err(broken.error);
        }
        tracing::debug!(%node, error = %broken.error, "connection was stale, opening another");
        let (connection, _) = self.connection(place, host).await?;
        match self.run_on(&connection, place, host, request).await {
            Ok(output) => Ok(output),
            Err(broken) => {
                place.slot.forget(&connection).await;
                Err(broken.error)
            }
        }
    }

    /// Where the connection has no session left, as with MaxSessions 1, what runs on it goes on, and this command gets a
    /// connection that nobody shares.
    async fn run_on(
        &self,
        connection: &Connection,
        place: &Place,
        host: Host<'_>,
        request: &Request<'_>,
    ) -> Result<Output, Broken> {
        let settings = &self.access.settings;
        match connection.run(host, settings, request).await {
            Err(Broken { stage: Stage::Full, .. }) => {
                let own = self.open(place, host).await.map_err(|error| Broken { error, stage: Stage::Unsent })?;
                own.run(host, settings, request).await
            }
            other => other,
        }
    }

    /// The kept connection, or a fresh one.
    async fn connection(&self, place: &Place, host: Host<'_>) -> Result<(Arc<Connection>, bool), PortError> {
        let mut kept = place.slot.kept.lock().await;
        place.slot.uses.fetch_add(1, Ordering::Relaxed);
        if let Some(Kept { connection, .. }) = kept.as_ref().filter(|kept| !kept.connection.is_closed()) {
            return Ok((Arc::clone(connection), false));
        }
        *kept = None;
        let connection = Arc::new(self.open(place, host).await?);
        let idle = close_idle(Arc::downgrade(&place.slot), Arc::downgrade(&connection), self.access.settings.idle);
        *kept = Some(Kept { connection: Arc::clone(&connection), watch: tokio::spawn(idle).abort_handle() });
        Ok((connection, true))
    }

    /// Through the jump host, and directly where that opens no way. Whom it then meets is judged once.
    async fn open(&self, place: &Place, host: Host<'_>) -> Result<Connection, PortError> {
        let Some(jump) = &place.jump else { return Connection::direct(host, &self.access).await };
        match jump.link(host, &self.access).await {
            Ok(link) => Connection::through(link, host, &self.access).await,
            Err(over) => Connection::direct(host, &self.access).await.map_err(|direct| jump::neither(host, over, direct)),
        }
    }
}

fn unknown(node: &NodeName, command: &Command) -> PortError {
    PortError::new(ErrorKind::Missing, &command.title(), node, "no SSH host is configured for it")
        .with_remedy(format!("add {node} to ssh_node_hosts"))
}

/// The lock is held while a connection is opened, so that two commands open one and not two; never while one runs.
#[derive(Default)]
struct Slot {
    kept: Mutex<Option<Kept>>,
    uses: AtomicU64,
}

struct Kept {
    connection: Arc<Connection>,
    watch: AbortHandle,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

/// Lets go of a connection that nobody used for `idle`; it looks every `idle`, so at the latest after twice that.
async fn close_idle(slot: Weak<Slot>, connection: Weak<Connection>, idle: Duration) {
    let uses = |slot: &Slot| slot.uses.load(Ordering::Relaxed);
    let Some(mut before) = slot.upgrade().map(|slot| uses(&slot)) else { return };
    loop {
        tokio::time::sleep(idle).await;
        let (Some(slot), Some(connection)) = (slot.upgrade(), connection.upgrade()) else { return };
        if uses(&slot) == before {
            return slot.forget(&connection).await;
        }
        before = uses(&slot);
    }
}

impl Slot {
    /// Drops this connection, unless another has taken its place.
    async fn forget(&self, connection: &Arc<Connection>) {
        let mut kept = self.kept.lock().await;
        if kept.as_ref().is_some_and(|kept| Arc::ptr_eq(&kept.connection, connection)) {
            *kept = None;
        }
    }
}
