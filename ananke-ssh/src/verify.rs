//! Whether the host at the other end is who it should be: what is asked of it, and what is made of its answer.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use ananke_core::name::Moment;
use ananke_core::port::{ErrorKind, PortError};
use ananke_core::spec::SshTarget;
use ananke_core::verdict::Reason;
use russh::Preferred;
use russh::client;
use russh::keys::{Algorithm, PublicKey, PublicKeyOrCertificate};

use crate::connection::Host;
use crate::known_hosts::{self, KnownKeys};
use crate::pin::Pin;

/// A peer that lost power sends no goodbye: three of these unanswered end the connection.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// What is known of a host before it shows its key.
pub(crate) enum Belief {
    File {
        known: KnownKeys,
        file: PathBuf,
    },
    Pinned(Pin),
    /// No key is believed: it is only to be seen.
    Nothing,
}

impl Belief {
    /// Reads what its file says of the host.
    pub(crate) async fn read(host: Host<'_>) -> Result<Self, PortError> {
        Ok(Self::File { known: read_known_hosts(host).await?, file: host.login.known_hosts.clone() })
    }

    /// Kinds of keys that are known are asked for first, and certificates before them where an authority is; SHA-1
    /// signatures never.
    pub(crate) fn config(&self) -> client::Config {
        let usual = Preferred::default();
        let mut kinds: Vec<Algorithm> =
            usual.key.iter().filter(|kind| **kind != Algorithm::Rsa { hash: None }).cloned().collect();
        let mut certificates = Vec::new();
        match self {
            Self::File { known, .. } => {
                if known.authority().is_some() {
                    certificates.clone_from(&kinds);
                }
                kinds.sort_by_key(|kind| !known.has(kind));
            }
            Self::Pinned(_) | Self::Nothing => {}
        }
        client::Config {
            preferred: Preferred { key: Cow::Owned(kinds), host_key_certificates: Cow::Owned(certificates), ..usual },
            keepalive_interval: Some(KEEPALIVE),
            nodelay: true,
            ..client::Config::default()
        }
    }
}

pub(crate) async fn read_known_hosts(host: Host<'_>) -> Result<KnownKeys, PortError> {
    use std::os::unix::fs::MetadataExt;
    let path = host.login.known_hosts.as_path();
    let tried = format!("read {}", path.display());
    let bad = |found: String, remedy: String| Err(host.error(ErrorKind::Untrusted, &tried, found).with_remedy(remedy));
    // Nobody refused a key, and nobody asked the host.
    let unread = |error: &std::io::Error| {
        let error = host.error(ErrorKind::Transient, &tried, error).with_reason(Reason::HostNotAsked);
        error.with_remedy(format!("let ananke read {}", path.display()))
    };
    let metadata = match tokio::fs::metadata(path).await {
        Ok(metadata) => metadata,
        // No file knows no key: the refusal then says how to write the first line.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(KnownKeys::default()),
        Err(error) => return Err(unread(&error)),
    };
    if metadata.mode() & 0o022 != 0 {
        let found = format!("its mode is {:04o}: others can change whom ananke believes", metadata.mode() & 0o7777);
        return bad(found, format!("chmod go-w {}", path.display()));
    }
    if metadata.len() > known_hosts::MAX_BYTES {
        return bad(format!("it has {} bytes", metadata.len()), "give ananke a known_hosts of its own".to_owned());
    }
    match tokio::fs::read(path).await {
        Ok(bytes) => Ok(KnownKeys::parse(&String::from_utf8_lossy(&bytes), &host.login.target.host, host.login.target.port)),
        Err(error) => Err(unread(&error)),
    }
}

/// Believes what its belief allows and nothing else.
pub(crate) struct Verifier {
    belief: Belief,
    node: String,
    target: SshTarget,
    /// When the connection began, for certificates.
    now: Moment,
}

impl Verifier {
    pub(crate) fn new(belief: Belief, host: Host<'_>, now: Moment) -> Self {
        Self { belief, node: host.node.to_owned(), target: host.login.target.clone(), now }
    }

    fn judge(&self, shown: &PublicKeyOrCertificate) -> Result<(), Fault> {
        let (key, certificate) = match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } => (key.clone(), None),
            PublicKeyOrCertificate::Certificate(shown) => (PublicKey::from(shown.public_key().clone()), Some(shown)),
        };
        let refusal = match &self.belief {
            Belief::File { known, file } => {
                let trust = match certificate {
                    Some(shown) => known.judge_certificate(shown, &self.target.host, self.now),
                    None => known.judge(&key),
                };
                known_hosts::refusal(&trust, &key, &self.node, &self.target, file)
            }
            Belief::Pinned(pin) => pin.refusal(&key, &self.node, &self.target),
            Belief::Nothing => return Err(Fault::Seen(Box::new(key))),
        };
        refusal.map_or(Ok(()), |error| Err(Fault::Untrusted(Box::new(error))))
    }
}

/// Why a key exchange ended without a connection.
#[derive(Debug)]
pub(crate) enum Fault {
    Ssh(russh::Error),
    Untrusted(Box<PortError>),
    /// The key was to be seen, and this is it.
    Seen(Box<PublicKey>),
}

impl From<russh::Error> for Fault {
    fn from(error: russh::Error) -> Self {
        Self::Ssh(error)
    }
}

impl client::Handler for Verifier {
    type Error = Fault;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Fault> {
        self.judge(shown).map(|()| true)
    }
}
