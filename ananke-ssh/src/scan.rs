//! The key that a host shows, before anybody believes it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use ananke_core::name::{Moment, NodeName};
use ananke_core::port::{Clock, ErrorKind, PortError};
use ananke_core::spec::SshTarget;
use russh::keys::PublicKey;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::connection::{Access, Host, explain, reach, shake_hands};
use crate::identity::Identity;
use crate::jump::{Jump, neither};
use crate::known_hosts::{self, KnownKeys, Trust, fingerprint};
use crate::settings::{Route, SshSettings};
use crate::tcp::Addresses;
use crate::verify::{Belief, Fault, Verifier, read_known_hosts};

/// A key that a host showed, and what `known_hosts` says of it.
#[derive(Debug)]
pub struct Shown {
    pub fingerprint: String,
    /// `ssh-ed25519`
    pub kind: String,
    pub trust: Trust,
    /// The line of `known_hosts` that would believe it.
    pub line: String,
}

/// Asks the host of a route for its key, and looks it up in its known hosts. Only the jump host is logged in to.
pub async fn shown_key(node: &NodeName, route: &Route, agent: Option<&Path>, clock: Arc<dyn Clock>) -> Result<Shown, PortError> {
    let host = Host { node: node.as_str(), login: &route.login };
    let known = read_known_hosts(host).await?;
    let settings = SshSettings { agent: agent.map(Path::to_owned), ..SshSettings::new(BTreeMap::new()) };
    let access = Access { identities: Identity::of_all(&route.jump, agent)?, settings, clock, addresses: Addresses::default() };
    let key = match &route.jump {
        Some(jump) => over(&Jump::new(jump.clone()), host, &access).await?,
        None => direct(host, &access).await?,
    };
    let tried = "read the host key";
    let text = PublicKey::from(key.key_data().clone()).to_openssh();
    let text = text.map_err(|error| host.error(ErrorKind::Invalid, tried, error))?;
    Ok(told(&known, &key, &text, &route.login.target))
}

fn told(known: &KnownKeys, key: &PublicKey, text: &str, target: &SshTarget) -> Shown {
    Shown {
        fingerprint: fingerprint(key),
        kind: key.algorithm().to_string(),
        trust: known.judge(key),
        line: format!("{} {}", known_hosts::host_entry(&target.host, target.port), text.trim()),
    }
}

/// Through the jump host, and directly where that opens no way.
async fn over(jump: &Jump, host: Host<'_>, access: &Access) -> Result<PublicKey, PortError> {
    match jump.link(host, access).await {
        Ok(link) => ask(link.stream, host, access).await,
        Err(over) => direct(host, access).await.map_err(|direct| neither(host, over, direct)),
    }
}

async fn direct(host: Host<'_>, access: &Access) -> Result<PublicKey, PortError> {
    ask(reach(host, &access.addresses, access.settings.connect_timeout).await?, host, access).await
}

async fn ask(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    host: Host<'_>,
    access: &Access,
) -> Result<PublicKey, PortError> {
    let config = Arc::new(Belief::Nothing.config());
    let verifier = Verifier::new(Belief::Nothing, host, Moment::from_millis(0));
    let tried = "read the host key";
    match shake_hands(host, access.settings.connect_timeout, config, stream, verifier).await? {
        Err(Fault::Seen(key)) => Ok(*key),
        Err(Fault::Untrusted(error)) => Err(*error),
        Err(Fault::Ssh(error)) => Err(host.error(ErrorKind::Transient, tried, explain(&error))),
        Ok(_) => Err(host.error(ErrorKind::Invalid, tried, "the host showed none")),
    }
}
