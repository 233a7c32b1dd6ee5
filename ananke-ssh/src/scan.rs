//! The key that a host shows, before anybody believes it. Nothing is logged in to.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ananke_core::name::{Moment, NodeName};
use ananke_core::port::{ErrorKind, PortError};
use ananke_core::spec::SshTarget;
use russh::client;
use russh::keys::PublicKey;

use crate::connection::{Host, explain, reach, shake_hands};
use crate::known_hosts::{self, KnownKeys, Trust, fingerprint};
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

/// Asks a host for its key, and looks it up in `file`.
pub async fn shown_key(node: &NodeName, target: &SshTarget, file: &Path, limit: Duration) -> Result<Shown, PortError> {
    let host = Host { node: node.as_str(), target };
    let known = read_known_hosts(host, file).await?;
    let key = ask(host, limit).await?;
    let tried = "read the host key";
    let text = PublicKey::from(key.key_data().clone()).to_openssh();
    let text = text.map_err(|error| host.error(ErrorKind::Invalid, tried, error))?;
    Ok(told(&known, &key, &text, target))
}

fn told(known: &KnownKeys, key: &PublicKey, text: &str, target: &SshTarget) -> Shown {
    Shown {
        fingerprint: fingerprint(key),
        kind: key.algorithm().to_string(),
        trust: known.judge(key),
        line: format!("{} {}", known_hosts::host_entry(&target.host, target.port), text.trim()),
    }
}

async fn ask(host: Host<'_>, limit: Duration) -> Result<PublicKey, PortError> {
    let stream = reach(host, limit).await?;
    let config = Arc::new(Belief::Nothing.config());
    let verifier = Verifier::new(Belief::Nothing, host, Moment::from_millis(0));
    let tried = "read the host key";
    match shake_hands(host, limit, client::connect_stream(config, stream, verifier)).await? {
        Err(Fault::Seen(key)) => Ok(*key),
        Err(Fault::Untrusted(error)) => Err(*error),
        Err(Fault::Ssh(error)) => Err(host.error(ErrorKind::Transient, tried, explain(&error))),
        Ok(_) => Err(host.error(ErrorKind::Invalid, tried, "the host showed none")),
    }
}
