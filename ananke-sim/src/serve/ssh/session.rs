//! One SSH session: a key that is checked, channels, and lines that go to the backend.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use russh::keys::{PrivateKey, PublicKey};
use russh::server::{self, Auth, ChannelOpenHandle, Config, Msg, PublicKeyOffer, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, Disconnect, Error, MethodKind, MethodSet};
use tokio::net::TcpStream;

use super::{ExecReply, Server};
use crate::serve::host_shell::reads_input;
use crate::world::Manner;

/// What a host with much to say prints before anything else, escapes of a terminal among it.
const BANNER: &str = "\x1b[31mAuthorised access only\x1b[0m\r\n";
const GREETING: &str = "Last login: Sat Mar 14 02:05:11 2026\r\n\x1b]0;titan\x07\x1b[1mWelcome!\x1b[0m\nananke: 3 updates=pending\n*** System restart required ***";
const FAREWELL: &str = "\nlogout\n";

/// A line longer than this is none of ours, and is not kept.
const MAX_LINE: usize = 4096;

/// What comes in is kept whole until its end: an archive of a test.
const MAX_INPUT: usize = 64 * 1024 * 1024;

struct Handler {
    server: Arc<Server>,
    /// Lines that wait for what comes in, and what has come.
    waiting: BTreeMap<ChannelId, (String, Vec<u8>)>,
}

/// Serves a connection to its end.
pub(super) async fn serve(server: Arc<Server>, key: PrivateKey, stream: TcpStream) -> Result<(), Error> {
    let config = Config {
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        // There is no secret here to guess at.
        auth_rejection_time: Duration::from_millis(1),
        keys: vec![key],
        nodelay: true,
        ..Config::default()
    };
    server::run_stream(Arc::new(config), stream, Handler { server, waiting: BTreeMap::new() }).await?.await
}

impl Handler {
    fn judge(&self, key: &PublicKey) -> Auth {
        if key.key_data() == self.server.authorized.key_data() { Auth::Accept } else { Auth::reject() }
    }

    /// Other channels of the session go on meanwhile; if the session ends, the sends fail and so does this.
    fn run(&self, channel: ChannelId, line: String, input: Vec<u8>, session: &Session) {
        let (server, handle) = (Arc::clone(&self.server), session.handle());
        tokio::spawn(async move {
            server.requests.note(&server.node, &line);
            let manner = server.backend.manner(&server.node);
            let reply = match manner {
                Manner::AsksPassword if line.contains("sudo -n ") => password(),
                Manner::Usual | Manner::Noisy | Manner::Stalls | Manner::Cuts | Manner::AsksPassword => {
                    shown(manner, server.backend.exec(&server.node, &line, &input).await)
                }
            };
            if !reply.stderr.is_empty() {
                let _gone = handle.extended_data(channel, 1, reply.stderr).await;
            }
            if !reply.stdout.is_empty() {
                let _gone = handle.data(channel, reply.stdout).await;
            }
            match manner {
                Manner::Usual | Manner::Noisy | Manner::AsksPassword => {}
                Manner::Stalls => return,
                Manner::Cuts => {
                    let _gone = handle.disconnect(Disconnect::ByApplication, String::new(), String::new()).await;
                    return;
                }
            }
            let _gone = handle.exit_status_request(channel, reply.exit).await;
            let _gone = handle.eof(channel).await;
            let _gone = handle.close(channel).await;
        });
    }
}

impl server::Handler for Handler {
    type Error = Error;

    async fn authentication_banner(&mut self) -> Result<Option<String>, Error> {
        let noisy = self.server.backend.manner(&self.server.node) == Manner::Noisy;
        Ok(noisy.then(|| BANNER.to_owned()))
    }

    async fn auth_publickey_offered(&mut self, _user: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, Error> {
        Ok(self.judge(offer.public_key))
    }

    async fn auth_publickey(&mut self, _user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Error> {
        Ok(self.judge(key.public_key))
    }

    async fn channel_open_session(&mut self, _: Channel<Msg>, reply: ChannelOpenHandle, _: &mut Session) -> Result<(), Error> {
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(&mut self, channel: ChannelId, data: &[u8], session: &mut Session) -> Result<(), Error> {
        let line = match std::str::from_utf8(data) {
            Ok(line) if line.len() <= MAX_LINE => line.to_owned(),
            Ok(_) | Err(_) => return session.channel_failure(channel),
        };
        session.channel_success(channel)?;
        if reads_input(&line) {
            self.waiting.insert(channel, (line, Vec::new()));
        } else {
            self.run(channel, line, Vec::new(), session);
        }
        Ok(())
    }

    async fn data(&mut self, channel: ChannelId, data: &[u8], session: &mut Session) -> Result<(), Error> {
        let Some((_, input)) = self.waiting.get_mut(&channel) else { return Ok(()) };
        if input.len().saturating_add(data.len()) > MAX_INPUT {
            self.waiting.remove(&channel);
            return session.close(channel);
        }
        input.extend_from_slice(data);
        Ok(())
    }

    async fn channel_eof(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Error> {
        if let Some((line, input)) = self.waiting.remove(&channel) {
            self.run(channel, line, input, session);
        }
        Ok(())
    }
}

/// As sudo itself says it, once for each that a line runs.
fn password() -> ExecReply {
    ExecReply { stdout: String::new(), stderr: "sudo: a password is required\n".to_owned(), exit: 1 }
}

/// What of a reply is printed, and around it.
fn shown(manner: Manner, mut reply: ExecReply) -> ExecReply {
    match manner {
        Manner::Usual | Manner::AsksPassword => {}
        Manner::Noisy => reply.stdout = format!("{GREETING}{}{FAREWELL}", reply.stdout),
        Manner::Stalls | Manner::Cuts => reply.stdout.truncate(reply.stdout.len() / 2),
    }
    reply
}
