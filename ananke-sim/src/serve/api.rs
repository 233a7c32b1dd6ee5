//! A Kubernetes API server on a real socket, over whatever [`store::ObjectStore`] holds the objects.
//!
//! It answers as a kube-apiserver of the recorded version does, and can be as ill: see [`store::State`]. It knows nothing of simulation.

pub mod accept;
pub mod apply;
pub mod authorize;
pub mod decode;
pub mod defaults;
pub mod discovery;
pub mod fields;
pub mod handle;
pub mod kinds;
pub mod managed;
pub mod patch;
pub mod protobuf;
pub mod prune;
pub mod rbac;
pub mod render;
pub mod request;
pub mod review;
pub mod schema;
pub mod select;
pub mod status;
pub mod store;
pub mod table;
pub mod tls;
pub mod trouble;
pub mod validate;
pub mod watch;
pub mod write;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch as ticking;
use tokio_rustls::TlsAcceptor;

use authorize::{Access, Client};
use store::{ObjectStore, State, Tick};
use trouble::Trouble;

/// Bodies of answers: whole, or a watch's stream.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// A port that is taken; connections to it are refused until the server runs.
#[derive(Debug)]
pub struct Bound {
    socket: TcpSocket,
    pub address: SocketAddr,
}

/// Takes a port on loopback; 0 means any.
pub fn bind(port: u16) -> io::Result<Bound> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], port)))?;
    let address = socket.local_addr()?;
    Ok(Bound { socket, address })
}

/// The server's certificate, and one of another authority for when it shall be refused.
#[derive(Debug, Clone)]
pub struct Certificates {
    pub own: Arc<ServerConfig>,
    pub foreign: Arc<ServerConfig>,
}

/// Serves until the store is gone. While the state is [`State::Refused`] nobody listens: connections are refused by the kernel.
pub async fn run(bound: Bound, tls: Certificates, access: Arc<Access>, store: Arc<dyn ObjectStore>) -> io::Result<()> {
    let mut ticks = store.ticks();
    let address = bound.address;
    let mut socket = bound.socket;
    loop {
        if ticks.wait_for(|tick| tick.state != State::Refused).await.is_err() {
            return Ok(());
        }
        let listener = socket.listen(BACKLOG)?;
        serve_while_up(&listener, (&tls, &access), &store, &mut ticks).await;
        drop(listener);
        socket = bind(address.port())?.socket;
    }
}

async fn serve_while_up(
    listener: &TcpListener,
    (tls, access): (&Certificates, &Arc<Access>),
    store: &Arc<dyn ObjectStore>,
    ticks: &mut ticking::Receiver<Tick>,
) {
    loop {
        tokio::select! {
            biased;
            _ = ticks.wait_for(|tick| tick.state == State::Refused) => return,
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                tokio::spawn(connection(stream, tls.clone(), access.clone(), store.clone()));
            },
        }
    }
}

/// One client's connection; it is cut when the server goes down.
async fn connection(mut stream: TcpStream, tls: Certificates, access: Arc<Access>, store: Arc<dyn ObjectStore>) {
    if trouble::greets_badly(&store, &mut stream).await {
        return;
    }
    let address = stream.local_addr().map(|address| address.to_string()).unwrap_or_default();
    let mut ticks = store.ticks();
    let begun = ticks.borrow().state;
    let tls = if begun == State::Half(Trouble::WrongCertificate) { tls.foreign } else { tls.own };
    let talk = async move {
        // Small answers must not wait for the client's acknowledgements.
        stream.set_nodelay(true).ok();
        let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await else { return };
        let client = if stream.get_ref().1.peer_certificates().is_some() { Client::Admin } else { Client::Anonymous };
        let service = service_fn(|request| {
            let (store, access, address) = (store.clone(), access.clone(), address.clone());
            async move { handle::answer(store, (&access, client), &address, request).await }
        });
        // A client that hangs up in the middle is its own business.
        http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await.ok();
    };
    tokio::select! {
        biased;
        _ = ticks.wait_for(|tick| tick.state != begun && (tick.state.cuts_connections() || begun.cuts_connections())) => {}
        () = talk => {}
    }
}
