//! One connection to one host: reached, verified, authenticated, then used for one command per channel.
//!
//! Every step has a deadline, and an error says which step did not end.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use ananke_core::name::NodeName;
use ananke_core::port::{Clock, ErrorKind, PortError};
use ananke_core::spec::SshTarget;
use ananke_core::verdict::Reason;
use russh::client::{self, Handle};
use russh::{ChannelMsg, ChannelReadHalf, ChannelStream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::command::{Command, MAX_STDERR, Output};
use crate::feed::Feed;
use crate::identity::Identities;
use crate::leash::leash;
use crate::login::log_in;
use crate::settings::{Login, SshSettings};
use crate::tcp::{self, Addresses};
use crate::verify::{Belief, Fault, Verifier};

const CONNECT: &str = "connect";

/// What every connection is opened with.
pub(crate) struct Access {
    pub(crate) settings: SshSettings,
    pub(crate) identities: Identities,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) addresses: Addresses,
}

/// The host that a step is about, as messages name it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Host<'a> {
    /// The node's name, or what else it is.
    pub(crate) node: &'a str,
    pub(crate) login: &'a Login,
}

impl Host<'_> {
    pub(crate) fn error(&self, kind: ErrorKind, tried: &str, found: impl ToString) -> PortError {
        PortError::new(kind, tried, self.place(), found)
    }

    /// How messages name it.
    pub(crate) fn place(&self) -> String {
        let SshTarget { host, port, user } = &self.login.target;
        format!("{} ({user}@{host}:{port})", self.node)
    }

    pub(crate) async fn within<T>(
        &self,
        limit: Duration,
        tried: &str,
        late: &str,
        step: impl Future<Output = T>,
    ) -> Result<T, PortError> {
        timeout(limit, step)
            .await
            .map_err(|_| self.error(ErrorKind::Transient, tried, format!("{late} within {:.1} s", limit.as_secs_f64())))
    }
}

/// A command, and what goes with it.
pub(crate) struct Request<'a> {
    pub(crate) command: &'a Command,
    /// What it reads on its standard input.
    pub(crate) feed: Option<&'a Feed>,
    /// Called right before it is sent, so that a clock can be read there; a second time if it is sent again.
    pub(crate) started: &'a (dyn Fn() + Sync),
}

impl<'a> Request<'a> {
    pub(crate) fn of(command: &'a Command) -> Self {
        Self { command, feed: None, started: &|| {} }
    }
}

/// Why a command that was sent gave no output.
pub(crate) type Unanswered = (ErrorKind, String);

/// Why a command gave no output, and how far it can have come.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) error: PortError,
    pub(crate) stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The host gives this connection no more sessions: those that it has go on.
    Full,
    /// No byte of the command was sent: it may go over another connection.
    Unsent,
    Sent,
}

/// Why a jump host did not forward, and whether the connection to it is of use any more.
pub(crate) struct Unforwarded {
    pub(crate) error: PortError,
    pub(crate) broken: bool,
}

/// A way to a host through a jump host.
pub(crate) struct Link {
    pub(crate) stream: ChannelStream<client::Msg>,
    /// What carries it.
    pub(crate) through: Arc<Connection>,
}

pub(crate) struct Connection {
    handle: Handle<Verifier>,
    /// The connection that carries this one lives as long.
    _through: Option<Arc<Connection>>,
}

impl Connection {
    /// Reaches the host, believes it or not, and logs in.
    pub(crate) async fn direct(host: Host<'_>, access: &Access) -> Result<Self, PortError> {
        let stream = reach(host, &access.addresses, access.settings.connect_timeout).await?;
        Self::over(stream, host, access, None).await
    }

    /// The same over a way that a jump host has opened.
    pub(crate) async fn through(link: Link, host: Host<'_>, access: &Access) -> Result<Self, PortError> {
        let Link { stream, through } = link;
        Self::over(stream, host, access, Some(through)).await
    }

    async fn over(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        host: Host<'_>,
        access: &Access,
        through: Option<Arc<Self>>,
    ) -> Result<Self, PortError> {
        let settings = &access.settings;
        let pin = NodeName::parse(host.node).ok().and_then(|node| settings.pins.get(&node).copied());
        let belief = match pin {
            Some(pin) => Belief::Pinned(pin),
            None => Belief::read(host).await?,
        };
        let config = Arc::new(belief.config());
        let verifier = Verifier::new(belief, host, access.clock.now());
        let mut handle =
            shake_hands(host, settings.connect_timeout, config, stream, verifier).await?.map_err(|fault| match fault {
                Fault::Untrusted(error) => *error,
                // Whatever it was, something spoke or hung up.
                Fault::Ssh(error) => host.error(ErrorKind::Transient, CONNECT, explain(&error)).with_reason(Reason::SshRefused),
                Fault::Seen(_) => host.error(ErrorKind::Untrusted, CONNECT, "its key was not judged"),
            })?;
        let late = "the host did not decide on our key";
        let Some(identity) = access.identities.get(&host.login.identity_file) else {
            return Err(host.error(ErrorKind::Invalid, "log in", "its key was not read"));
        };
        let logged_in = host.within(settings.auth_timeout, "log in", late, log_in(&mut handle, host, identity)).await;
        logged_in.and_then(|inner| inner).map_err(broke_off)?;
        Ok(Self { handle, _through: through })
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.handle.is_closed()
    }

    /// A way to `host` through the host of this connection.
    pub(crate) async fn forward(self: &Arc<Self>, host: Host<'_>, access: &Access) -> Result<Link, Unforwarded> {
        let SshTarget { host: address, port, .. } = &host.login.target;
        // Where the connection is said to come from: nothing real, it is for the log of the host.
        let opening = self.handle.channel_open_direct_tcpip(address.as_str(), u32::from(*port), "127.0.0.1", 0);
        let late = "no way was opened";
        let answer = host
            .within(access.settings.connect_timeout, CONNECT, late, opening)
            .await
            // The host may be dark, and the jump host wait for it.
            .map_err(|error| Unforwarded { error, broken: self.is_closed() })?;
        match answer {
            Ok(channel) => Ok(Link { stream: channel.into_stream(), through: Arc::clone(self) }),
            Err(russh::Error::ChannelOpenFailure(why)) => {
                let error = host.error(ErrorKind::Transient, CONNECT, format!("it does not forward: {why:?}"));
                Err(Unforwarded { error, broken: false })
            }
            Err(error) => Err(Unforwarded { error: host.error(ErrorKind::Transient, CONNECT, explain(&error)), broken: true }),
        }
    }

    /// Runs one command.
    pub(crate) async fn run(&self, host: Host<'_>, settings: &SshSettings, request: &Request<'_>) -> Result<Output, Broken> {
        let Request { command, feed, started } = request;
        let tried = command.title();
        let unsent = |error| Broken { error: broke_off(error), stage: Stage::Unsent };
        let sent = |error| Broken { error: broke_off(error), stage: Stage::Sent };
        let late = "the connection gave no channel";
        let channel = host
            .within(settings.connect_timeout, &tried, late, self.handle.channel_open_session())
            .await
            .map_err(unsent)?
            .map_err(|error| Broken {
                error: broke_off(host.error(ErrorKind::Transient, &tried, explain(&error))),
                stage: if matches!(error, russh::Error::ChannelOpenFailure(_)) { Stage::Full } else { Stage::Unsent },
            })?;
        started();
        let exchange = async {
            let (mut answer, input) = channel.split();
            input.exec(true, command.line()).await.map_err(|error| (ErrorKind::Transient, explain(&error)))?;
            let answer = collect(&mut answer, command.max_stdout());
            match feed {
                Some(feed) => feed.beside(answer, input).await,
                None => answer.await,
            }
        };
        let patience = command.patience(settings.run_timeout).saturating_add(feed.map_or(Duration::ZERO, Feed::lasts));
        host.within(patience, &tried, "the command did not end", exchange)
            .await
            .map_err(sent)?
            .map_err(|(kind, found)| sent(host.error(kind, &tried, found)))
    }
}

/// A connection of TCP.
pub(crate) async fn reach(host: Host<'_>, addresses: &Addresses, limit: Duration) -> Result<TcpStream, PortError> {
    let SshTarget { host: name, port, .. } = &host.login.target;
    let unknown = |error: io::Error| {
        let remedy = format!("let this machine's resolver know {name} (/etc/hosts), or write its address into ssh_node_hosts");
        host.error(ErrorKind::Transient, "look its address up", error).with_reason(Reason::HostNotAsked).with_remedy(remedy)
    };
    let addresses = addresses.of(name, *port, limit).await.map_err(unknown)?;
    let failed = |error: io::Error| unreached(&error, host.error(ErrorKind::Transient, CONNECT, &error));
    let stream = host.within(limit, CONNECT, "no answer", tcp::first_of(addresses.into_iter())).await?.map_err(failed)?;
    // Commands are short, and their first packet must not wait for a second one.
    stream.set_nodelay(true).map_err(failed)?;
    Ok(stream)
}

/// What is not the host's silence is told apart: a port that refuses, and what keeps this machine from asking.
#[expect(clippy::wildcard_enum_match_arm, reason = "what else a socket can say comes from this machine: no route, no descriptor")]
fn unreached(error: &io::Error, failed: PortError) -> PortError {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => failed.with_reason(Reason::SshRefused),
        io::ErrorKind::TimedOut | io::ErrorKind::HostUnreachable => failed,
        _ => failed.with_reason(Reason::HostNotAsked),
    }
}

/// Whom somebody answered at first is no dark machine, whatever went wrong then.
pub(crate) fn broke_off(error: PortError) -> PortError {
    if error.kind == ErrorKind::Transient { error.with_reason(Reason::SshBroken) } else { error }
}

/// The key exchange, within its time. A port that accepts and says nothing may be that of something before the machine, which
/// may be dark.
pub(crate) async fn shake_hands(
    host: Host<'_>,
    limit: Duration,
    config: Arc<client::Config>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    verifier: Verifier,
) -> Result<Result<Handle<Verifier>, Fault>, PortError> {
    let late = "the port accepted, but the key exchange did not end";
    let (stream, leash) = leash(stream);
    let handle = host.within(limit, CONNECT, late, client::connect_stream(config, stream, verifier)).await?;
    if handle.is_ok() {
        leash.free();
    }
    Ok(handle)
}

/// Reads a channel to its end, within the bounds of any answer we ask for.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "russh's messages are many and may grow; only these say something of a command"
)]
async fn collect(channel: &mut ChannelReadHalf, most: usize) -> Result<Output, Unanswered> {
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

/// What a broken exchange means to a person. russh says "Disconnected" of a port that closed at once.
#[expect(clippy::wildcard_enum_match_arm, reason = "russh's own words are good enough for the rest")]
pub(crate) fn explain(error: &russh::Error) -> String {
    match error {
        russh::Error::Disconnect | russh::Error::HUP => "the host closed the connection".to_owned(),
        // The same, seen while something was on its way.
        russh::Error::IO(error) if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {
            "the host closed the connection".to_owned()
        }
        russh::Error::SendError | russh::Error::RecvError => "the connection is broken".to_owned(),
        russh::Error::ChannelOpenFailure(_) => "the host allows no session on this connection".to_owned(),
        russh::Error::NoCommonAlgo { kind, theirs, .. } => {
            format!("no common {kind:?} algorithm: the host offers {}", theirs.join(", "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use ananke_core::name::Moment;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_name_that_nobody_knows_says_nothing_of_the_host() {
        let target = SshTarget { host: "titan-01.invalid".to_owned(), port: 22, user: "ops".to_owned() };
        let login = Login { target, identity_file: None, known_hosts: "known_hosts".into() };
        let error =
            reach(Host { node: "titan-01", login: &login }, &Addresses::default(), Duration::from_secs(5)).await.unwrap_err();
        assert_eq!((error.kind, error.reason), (ErrorKind::Transient, Some(Reason::HostNotAsked)));
        assert!(error.remedy.unwrap().contains("/etc/hosts"));
    }

    #[test]
    fn what_keeps_this_machine_from_asking_is_no_silence_of_the_host() {
        let reason = |kind: io::ErrorKind| {
            let failed = PortError::new(ErrorKind::Transient, CONNECT, "titan-01", kind);
            unreached(&io::Error::from(kind), failed).reason
        };
        for kind in [io::ErrorKind::TimedOut, io::ErrorKind::HostUnreachable] {
            assert_eq!(reason(kind), None);
        }
        for kind in [io::ErrorKind::ConnectionRefused, io::ErrorKind::ConnectionReset] {
            assert_eq!(reason(kind), Some(Reason::SshRefused));
        }
        for kind in [io::ErrorKind::NetworkUnreachable, io::ErrorKind::InvalidInput, io::ErrorKind::Other] {
            assert_eq!(reason(kind), Some(Reason::HostNotAsked));
        }
    }

    #[tokio::test]
    async fn a_peer_that_says_its_name_and_nothing_more_is_left_when_its_time_is_over() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let peer = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"SSH-2.0-x\r\n").await.unwrap();
            stream.read_to_end(&mut Vec::new()).await
        });
        let target = SshTarget { host: "127.0.0.1".to_owned(), port: address.port(), user: "ops".to_owned() };
        let login = Login { target, identity_file: None, known_hosts: "known_hosts".into() };
        let host = Host { node: "titan-01", login: &login };
        let stream = reach(host, &Addresses::default(), Duration::from_secs(5)).await.unwrap();
        let verifier = Verifier::new(Belief::Nothing, host, Moment::from_millis(0));
        let config = Arc::new(Belief::Nothing.config());
        let error = shake_hands(host, Duration::from_millis(200), config, stream, verifier).await.map(drop).unwrap_err();
        assert_eq!(error.found, "the port accepted, but the key exchange did not end within 0.2 s");
        // It may end with a reset where something was not read.
        timeout(Duration::from_secs(5), peer).await.expect("the socket is closed").unwrap().ok();
    }
}
