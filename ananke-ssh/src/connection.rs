//! One connection to one host: reached, verified, authenticated, then used for one command per channel.
//!
//! Every step has a deadline, and an error says which step did not end.

use std::borrow::Cow;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ananke_core::name::NodeName;
use ananke_core::port::{ErrorKind, PortError};
use ananke_core::spec::SshTarget;
use russh::client::{self, AuthResult, Handle};
use russh::keys::{Algorithm, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{ChannelMsg, ChannelOpenFailure, Preferred};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::command::{Command, MAX_STDERR, Output};
use crate::identity::Identity;
use crate::known_hosts::{self, KnownKeys};
use crate::settings::SshSettings;

/// A peer that lost power sends no goodbye: three of these unanswered end the connection.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// The host that a step is about, as messages name it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Host<'a> {
    pub(crate) node: &'a NodeName,
    pub(crate) target: &'a SshTarget,
}

impl Host<'_> {
    pub(crate) fn error(&self, kind: ErrorKind, tried: &str, found: impl ToString) -> PortError {
        let SshTarget { host, port, user } = self.target;
        PortError::new(kind, tried, format!("{} ({user}@{host}:{port})", self.node), found)
    }

    async fn within<T>(&self, limit: Duration, tried: &str, late: &str, step: impl Future<Output = T>) -> Result<T, PortError> {
        timeout(limit, step)
            .await
            .map_err(|_| self.error(ErrorKind::Transient, tried, format!("{late} within {:.1} s", limit.as_secs_f64())))
    }
}

/// Why a command gave no output, and whether it can have started.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) error: PortError,
    /// When false, no byte of the command was sent: it may go over another connection.
    pub(crate) sent: bool,
}

pub(crate) struct Connection {
    handle: Handle<Verifier>,
}

impl Connection {
    /// Reaches the host, believes it or not, and logs in.
    pub(crate) async fn open(host: Host<'_>, settings: &SshSettings, identity: &Identity) -> Result<Self, PortError> {
        let known = read_known_hosts(host, &settings.known_hosts).await?;
        let config = Arc::new(config(&known));
        let verifier =
            Verifier { known, node: host.node.clone(), target: host.target.clone(), file: settings.known_hosts.clone() };
        let SshTarget { host: address, port, .. } = host.target;
        let connect = "connect";
        let stream = host
            .within(settings.connect_timeout, connect, "no answer", TcpStream::connect((address.as_str(), *port)))
            .await?
            .map_err(|error| host.error(ErrorKind::Transient, connect, error))?;
        // Commands are short, and their first packet must not wait for a second one.
        stream.set_nodelay(true).map_err(|error| host.error(ErrorKind::Transient, connect, error))?;
        let late = "the port accepted, but the key exchange did not end";
        let handle = host
            .within(settings.connect_timeout, connect, late, client::connect_stream(config, stream, verifier))
            .await?
            .map_err(|fault| match fault {
                Fault::Untrusted(error) => *error,
                Fault::Ssh(error) => host.error(ErrorKind::Transient, connect, explain(&error)),
            })?;
        let mut connection = Self { handle };
        let late = "the host did not decide on our key";
        host.within(settings.auth_timeout, "log in", late, connection.log_in(host, identity)).await??;
        Ok(connection)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.handle.is_closed()
    }

    async fn log_in(&mut self, host: Host<'_>, identity: &Identity) -> Result<(), PortError> {
        let tried = "log in";
        let lost = |error: russh::Error| host.error(ErrorKind::Transient, tried, explain(&error));
        // Asked for RSA alone: the host's answer may take a second.
        let hash = if identity.key.algorithm().is_rsa() {
            self.handle.best_supported_rsa_hash().await.map_err(lost)?.flatten()
        } else {
            None
        };
        let key = PrivateKeyWithHashAlg::new(Arc::clone(&identity.key), hash);
        let user = &host.target.user;
        match self.handle.authenticate_publickey(user, key).await.map_err(lost)? {
            AuthResult::Success => Ok(()),
            AuthResult::Failure { partial_success: true, .. } => {
                Err(host.error(ErrorKind::Denied, tried, "the host takes our key, but asks for more than a key"))
            }
            AuthResult::Failure { partial_success: false, .. } => {
                let found = format!("the host does not accept {} ({})", identity.file, identity.fingerprint());
                let remedy = format!(
                    "add the public key of {} to the authorized_keys of {user} on {}: ssh-copy-id -i {0}.pub -p {} {user}@{}",
                    identity.file, host.node, host.target.port, host.target.host
                );
                Err(host.error(ErrorKind::Denied, tried, found).with_remedy(remedy))
            }
        }
    }

    /// Runs one command. `started` is called right before the request is sent, so that a clock can be read there.
    pub(crate) async fn run(
        &self,
        host: Host<'_>,
        settings: &SshSettings,
        command: &Command,
        started: impl FnOnce() + Send,
    ) -> Result<Output, Broken> {
        let tried = command.title();
        let unsent = |error| Broken { error, sent: false };
        let sent = |error| Broken { error, sent: true };
        let late = "the connection gave no channel";
        let mut channel = host
            .within(settings.connect_timeout, &tried, late, self.handle.channel_open_session())
            .await
            .map_err(unsent)?
            .map_err(|error| unsent(host.error(ErrorKind::Transient, &tried, explain(&error))))?;
        started();
        let exchange = async {
            channel.exec(true, command.line()).await.map_err(|error| (ErrorKind::Transient, explain(&error)))?;
            collect(&mut channel, command.max_stdout()).await
        };
        host.within(command.patience(settings.run_timeout), &tried, "the command did not end", exchange)
            .await
            .map_err(sent)?
            .map_err(|(kind, found)| sent(host.error(kind, &tried, found)))
    }
}

/// Reads a channel to its end, within the bounds of any answer we ask for.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "russh's messages are many and may grow; only these say something of a command"
)]
async fn collect(channel: &mut russh::Channel<client::Msg>, most: usize) -> Result<Output, (ErrorKind, String)> {
    let mut output = Output { stdout: Vec::new(), stderr: Vec::new(), exit: None };
    let mut ended = false;
    while let Some(message) = channel.wait().await {
        match message {
            ChannelMsg::Data { data } => {
                if output.stdout.len().saturating_add(data.len()) > most {
                    return Err((ErrorKind::Invalid, format!("the host answered with more than {} KiB", most / 1024)));
                }
                output.stdout.extend_from_slice(&data);
            }
            ChannelMsg::ExtendedData { data, ext: 1 } => {
                let room = MAX_STDERR.saturating_sub(output.stderr.len());
                output.stderr.extend(data.iter().take(room));
            }
            ChannelMsg::ExitStatus { exit_status } => (output.exit, ended) = (Some(exit_status), true),
            ChannelMsg::ExitSignal { .. } => ended = true,
            ChannelMsg::Failure => return Err((ErrorKind::Denied, "the host runs no commands for us".to_owned())),
            ChannelMsg::Close => break,
            _ => {}
        }
    }
    if ended { Ok(output) } else { Err((ErrorKind::Transient, "the connection broke before the command ended".to_owned())) }
}

async fn read_known_hosts(host: Host<'_>, path: &Path) -> Result<KnownKeys, PortError> {
    use std::os::unix::fs::MetadataExt;
    let tried = format!("read {}", path.display());
    let bad = |found: String, remedy: String| Err(host.error(ErrorKind::Untrusted, &tried, found).with_remedy(remedy));
    let metadata = match tokio::fs::metadata(path).await {
        Ok(metadata) => metadata,
        // No file knows no key: the refusal then says how to write the first line.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(KnownKeys::default()),
        Err(error) => return bad(error.to_string(), "let ananke read its known_hosts".to_owned()),
    };
    if metadata.mode() & 0o022 != 0 {
        let found = format!("its mode is {:04o}: others can change whom ananke believes", metadata.mode() & 0o7777);
        return bad(found, format!("chmod go-w {}", path.display()));
    }
    if metadata.len() > known_hosts::MAX_BYTES {
        return bad(format!("it has {} bytes", metadata.len()), "give ananke a known_hosts of its own".to_owned());
    }
    match tokio::fs::read(path).await {
        Ok(bytes) => Ok(KnownKeys::parse(&String::from_utf8_lossy(&bytes), &host.target.host, host.target.port)),
        Err(error) => bad(error.to_string(), "let ananke read its known_hosts".to_owned()),
    }
}

/// Kinds of keys that the file knows are asked for first; SHA-1 signatures never.
fn config(known: &KnownKeys) -> client::Config {
    let usual = Preferred::default();
    let mut kinds: Vec<Algorithm> = usual.key.iter().filter(|kind| **kind != Algorithm::Rsa { hash: None }).cloned().collect();
    kinds.sort_by_key(|kind| !known.has(kind));
    client::Config {
        preferred: Preferred { key: Cow::Owned(kinds), ..usual },
        keepalive_interval: Some(KEEPALIVE),
        nodelay: true,
        ..client::Config::default()
    }
}

/// What a broken exchange means to a person. russh says "Disconnected" of a port that closed at once.
#[expect(clippy::wildcard_enum_match_arm, reason = "russh's own words are good enough for the rest")]
fn explain(error: &russh::Error) -> String {
    match error {
        russh::Error::Disconnect | russh::Error::HUP => "the host closed the connection".to_owned(),
        russh::Error::SendError | russh::Error::RecvError => "the connection is broken".to_owned(),
        russh::Error::ChannelOpenFailure(ChannelOpenFailure::AdministrativelyProhibited) => {
            "the host allows no session on this connection".to_owned()
        }
        russh::Error::NoCommonAlgo { kind, theirs, .. } => {
            format!("no common {kind:?} algorithm: the host offers {}", theirs.join(", "))
        }
        other => other.to_string(),
    }
}

/// Believes the keys of `known` and no others.
struct Verifier {
    known: KnownKeys,
    node: NodeName,
    target: SshTarget,
    file: std::path::PathBuf,
}

#[derive(Debug)]
enum Fault {
    Ssh(russh::Error),
    Untrusted(Box<PortError>),
}

impl From<russh::Error> for Fault {
    fn from(error: russh::Error) -> Self {
        Self::Ssh(error)
    }
}

impl client::Handler for Verifier {
    type Error = Fault;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Fault> {
        match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } => {
                let trust = self.known.judge(key);
                match known_hosts::refusal(&trust, key, &self.node, &self.target, &self.file) {
                    None => Ok(true),
                    Some(error) => Err(Fault::Untrusted(Box::new(error))),
                }
            }
            // None was asked for.
            PublicKeyOrCertificate::Certificate(_) => Ok(false),
        }
    }
}
