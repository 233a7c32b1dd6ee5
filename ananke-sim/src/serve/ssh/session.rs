//! One SSH session: a key that is checked, channels, and lines that go to the backend.

use std::sync::Arc;
use std::time::Duration;

use russh::keys::{PrivateKey, PublicKey};
use russh::server::{self, Auth, ChannelOpenHandle, Config, Msg, PublicKeyOffer, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, Error, MethodKind, MethodSet};
use tokio::net::TcpStream;

use super::Server;

/// A line longer than this is none of ours, and is not kept.
const MAX_LINE: usize = 4096;

struct Handler {
    server: Arc<Server>,
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
    server::run_stream(Arc::new(config), stream, Handler { server }).await?.await
}

impl Handler {
    fn judge(&self, key: &PublicKey) -> Auth {
        if key.key_data() == self.server.authorized.key_data() { Auth::Accept } else { Auth::reject() }
    }
}

impl server::Handler for Handler {
    type Error = Error;

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
        let (server, handle) = (Arc::clone(&self.server), session.handle());
        // Other channels of the session go on meanwhile; if the session ends, the sends fail and so does this.
        tokio::spawn(async move {
            server.requests.note(&server.node, &line);
            let reply = server.backend.exec(&server.node, &line).await;
            if !reply.stderr.is_empty() {
                let _gone = handle.extended_data(channel, 1, reply.stderr).await;
            }
            if !reply.stdout.is_empty() {
                let _gone = handle.data(channel, reply.stdout).await;
            }
            let _gone = handle.exit_status_request(channel, reply.exit).await;
            let _gone = handle.eof(channel).await;
            let _gone = handle.close(channel).await;
        });
        Ok(())
    }
}
