//! The host that forwards to the others, over one connection that they share. It is verified like any other host.

use std::sync::Arc;
use std::time::Duration;

use ananke_core::port::{ErrorKind, PortError};
use ananke_core::proof;
use ananke_core::verdict::Reason;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::connection::{Access, Connection, Host, Link, Unforwarded};
use crate::settings::Login;

/// A jump host that let nobody in is left alone for this long: the hosts are reached directly meanwhile, and a rack of them
/// does not wait for it one after the other.
const REST: Duration = Duration::from_secs(30);

pub(crate) struct Jump {
    login: Login,
    /// The lock is held while a connection is opened, so that two hosts open one and not two.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    kept: Option<Arc<Connection>>,
    failed: Option<(Instant, PortError)>,
}

impl Jump {
    pub(crate) fn new(login: Login) -> Self {
        Self { login, state: Mutex::default() }
    }

    /// A connection to `host` that goes through the jump host, or why there is none.
    pub(crate) async fn link(&self, host: Host<'_>, access: &Access) -> Result<Link, PortError> {
        let (connection, fresh) = self.connection(access).await?;
        let unforwarded = match connection.forward(host, access).await {
            Ok(link) => return Ok(link),
            Err(unforwarded) => unforwarded,
        };
        if !unforwarded.broken || fresh {
            return Err(self.named(unforwarded));
        }
        // It died unnoticed since it was used last.
        self.forget(&connection).await;
        let (connection, _) = self.connection(access).await?;
        connection.forward(host, access).await.map_err(|unforwarded| self.named(unforwarded))
    }

    pub(crate) fn is_at(&self, login: &Login) -> bool {
        self.login == *login
    }

    fn host(&self) -> Host<'_> {
        Host { node: "jump host", login: &self.login }
    }

    /// An error of forwarding, as one of the jump host.
    fn named(&self, Unforwarded { error, .. }: Unforwarded) -> PortError {
        PortError { on: self.host().place(), tried: "forward".to_owned(), ..error }
    }

    /// The kept connection, or a fresh one.
    async fn connection(&self, access: &Access) -> Result<(Arc<Connection>, bool), PortError> {
        let mut state = self.state.lock().await;
        if let Some(connection) = state.kept.as_ref().filter(|connection| !connection.is_closed()) {
            return Ok((Arc::clone(connection), false));
        }
        state.kept = None;
        if let Some((since, error)) = &state.failed
            && since.elapsed() < REST
        {
            return Err(error.clone());
        }
        match Connection::direct(self.host(), access).await {
            Ok(connection) => {
                let connection = Arc::new(connection);
                *state = State { kept: Some(Arc::clone(&connection)), failed: None };
                Ok((connection, true))
            }
            Err(error) => {
                tracing::warn!(%error, remedy = error.remedy.as_deref(), "the hosts are reached directly");
                state.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    async fn forget(&self, connection: &Arc<Connection>) {
        let mut state = self.state.lock().await;
        if state.kept.as_ref().is_some_and(|kept| Arc::ptr_eq(kept, connection)) {
            state.kept = None;
        }
    }
}

/// The error of a host that neither way reached. What it means is what the direct way found; where that found nothing, and the
/// jump host is there and refuses us, nothing is known of the host.
pub(crate) fn neither(host: Host<'_>, over: PortError, direct: PortError) -> PortError {
    let unasked = proof::is_silence(&direct) && over.kind != ErrorKind::Transient;
    let reason = if unasked { Some(Reason::HostNotAsked) } else { direct.reason };
    let found = format!("{}; through {}: {}: {}", direct.found, over.on, over.tried, over.found);
    let remedy = direct.remedy.or(over.remedy);
    PortError { remedy, reason, ..host.error(direct.kind, &direct.tried, found) }
}

#[cfg(test)]
mod tests {
    use ananke_core::spec::SshTarget;

    use super::*;

    #[test]
    fn a_jump_host_that_refuses_us_leaves_a_silent_host_unasked() {
        let target = SshTarget { host: "10.0.0.1".to_owned(), port: 22, user: "ops".to_owned() };
        let login = Login { target, identity_file: None, known_hosts: "known_hosts".into() };
        let host = Host { node: "titan-01", login: &login };
        let error = |kind, reason| PortError { reason, ..host.error(kind, "connect", "found") };
        let means = |over, direct| neither(host, over, direct).reason;
        let (dark, refused) = (error(ErrorKind::Transient, None), error(ErrorKind::Transient, Some(Reason::SshRefused)));
        assert_eq!(means(dark.clone(), dark.clone()), None);
        for kind in [ErrorKind::Untrusted, ErrorKind::Denied] {
            assert_eq!(means(error(kind, None), dark.clone()), Some(Reason::HostNotAsked));
            assert_eq!(means(error(kind, None), refused.clone()), Some(Reason::SshRefused));
        }
    }
}
