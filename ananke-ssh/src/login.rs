//! How Ananke proves to a host who it is: with one key of a file, or with few of an agent.

use std::path::Path;
use std::sync::Arc;

use ananke_core::port::{ErrorKind, PortError};
use russh::client::{AuthResult, Handle};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey};

use crate::connection::{Host, explain};
use crate::identity::{Identity, Locked};
use crate::known_hosts::fingerprint;
use crate::verify::Verifier;

const TRIED: &str = "log in";

/// Keys of the agent that are offered: sshd hangs up after six tries (MaxAuthTries).
const MOST_OFFERED: usize = 5;

pub(crate) async fn log_in(handle: &mut Handle<Verifier>, host: Host<'_>, identity: &Identity) -> Result<(), PortError> {
    match identity {
        Identity::File { key, file } => with_file(handle, host, key, file).await,
        Identity::Agent { socket, only } => with_agent(handle, host, socket, only.as_deref()).await,
    }
}

async fn with_file(handle: &mut Handle<Verifier>, host: Host<'_>, key: &Arc<PrivateKey>, file: &str) -> Result<(), PortError> {
    let hash = signing_hash(handle, host, key.public_key()).await?;
    let offered = PrivateKeyWithHashAlg::new(Arc::clone(key), hash);
    let answer = handle.authenticate_publickey(&host.login.target.user, offered).await.map_err(|error| lost(host, &error))?;
    match Answer::of(&answer) {
        Answer::Accepted => Ok(()),
        Answer::MoreWanted => Err(more_wanted(host)),
        // As a host does that still boots: PAM lets nobody in yet.
        Answer::Refused if handle.is_closed() => Err(lost(host, &russh::Error::Disconnect)),
        Answer::Refused => {
            let found = format!("the host does not accept {file} ({})", fingerprint(key.public_key()));
            Err(refused(host, found, file))
        }
    }
}

async fn with_agent(
    handle: &mut Handle<Verifier>,
    host: Host<'_>,
    socket: &Path,
    only: Option<&Locked>,
) -> Result<(), PortError> {
    let unusable = |error: &dyn std::fmt::Display| {
        let found = format!("the SSH agent at {} does not help: {error}", socket.display());
        host.error(ErrorKind::Denied, TRIED, found).with_remedy(add(only))
    };
    let mut agent = AgentClient::connect_uds(socket).await.map_err(|error| unusable(&error))?;
    let held = agent.request_identities().await.map_err(|error| unusable(&error))?;
    let keys: Vec<PublicKey> = held.into_iter().filter_map(plain).filter(|key| is_wanted(key, only)).collect();
    if keys.is_empty() {
        let found = match only {
            Some(locked) => format!("{} is encrypted, and the SSH agent does not hold its key", locked.file),
            None => "the SSH agent holds no keys".to_owned(),
        };
        return Err(host.error(ErrorKind::Denied, TRIED, found).with_remedy(add(only)));
    }
    let (mut tried, mut silent) = (Vec::new(), None);
    for key in keys.iter().take(MOST_OFFERED) {
        let hash = signing_hash(handle, host, key).await?;
        match handle.authenticate_publickey_with(&host.login.target.user, key.clone(), hash, &mut agent).await {
            Ok(answer) => match Answer::of(&answer) {
                Answer::Accepted => return Ok(()),
                Answer::MoreWanted => return Err(more_wanted(host)),
                Answer::Refused => tried.push(fingerprint(key)),
            },
            // An agent may ask a person, who may say no to this key.
            Err(error) => silent = Some(error),
        }
        if handle.is_closed() {
            return Err(lost(host, &russh::Error::Disconnect));
        }
    }
    if let (true, Some(error)) = (tried.is_empty(), silent) {
        return Err(unusable(&error));
    }
    let more = keys.len().saturating_sub(MOST_OFFERED);
    let more = if more > 0 { format!("; {more} more were not offered") } else { String::new() };
    let which = match tried.as_slice() {
        [only] => format!("{only} of the SSH agent"),
        several => format!("any of {} keys of the SSH agent", several.len()),
    };
    let found = format!("the host does not accept {which}{more}");
    Err(refused(host, found, only.map_or("KEY", |locked| &locked.file)))
}

/// Certificates of users are not offered.
fn plain(identity: AgentIdentity) -> Option<PublicKey> {
    match identity {
        AgentIdentity::PublicKey { key, .. } => Some(key),
        AgentIdentity::Certificate { .. } => None,
    }
}

fn is_wanted(key: &PublicKey, only: Option<&Locked>) -> bool {
    only.is_none_or(|locked| locked.key.key_data() == key.key_data())
}

fn add(only: Option<&Locked>) -> String {
    match only {
        Some(locked) => format!("ssh-add {}", locked.file),
        None => "add a key that the nodes accept: ssh-add FILE".to_owned(),
    }
}

/// Asked for RSA alone: the host's answer may take a second.
async fn signing_hash(handle: &Handle<Verifier>, host: Host<'_>, key: &PublicKey) -> Result<Option<HashAlg>, PortError> {
    if !key.algorithm().is_rsa() {
        return Ok(None);
    }
    Ok(handle.best_supported_rsa_hash().await.map_err(|error| lost(host, &error))?.flatten())
}

enum Answer {
    Accepted,
    MoreWanted,
    Refused,
}

impl Answer {
    fn of(answer: &AuthResult) -> Self {
        match answer {
            AuthResult::Success => Self::Accepted,
            AuthResult::Failure { partial_success: true, .. } => Self::MoreWanted,
            AuthResult::Failure { partial_success: false, .. } => Self::Refused,
        }
    }
}

fn lost(host: Host<'_>, error: &russh::Error) -> PortError {
    host.error(ErrorKind::Transient, TRIED, explain(error))
}

fn more_wanted(host: Host<'_>) -> PortError {
    host.error(ErrorKind::Denied, TRIED, "the host takes our key, but asks for more than a key")
}

fn refused(host: Host<'_>, found: String, file: &str) -> PortError {
    let (user, port, address) = (&host.login.target.user, host.login.target.port, &host.login.target.host);
    let remedy = format!(
        "add the public key of {file} to the authorized_keys of {user} on {}: ssh-copy-id -i {file}.pub -p {port} {user}@{address}",
        host.node
    );
    host.error(ErrorKind::Denied, TRIED, found).with_remedy(remedy)
}
