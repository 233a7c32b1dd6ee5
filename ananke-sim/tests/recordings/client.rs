//! A bare API server, and requests to it as they come.

use std::fs::File;
use std::sync::Arc;

use ananke_sim::fault::Fault;
use ananke_sim::serve::Cluster;
use ananke_sim::serve::api;
use ananke_sim::serve::api::authorize::{Access, MANIFEST};
use ananke_sim::serve::api::store::{Face, ObjectStore};
use ananke_sim::serve::api::tls::identity;
use ananke_sim::world::World;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) kind: String,
    pub(crate) retry_after: Option<String>,
    /// A text is a string, a watch the list of its events.
    pub(crate) body: Value,
    /// The connection was closed without an answer.
    pub(crate) closed: bool,
}

fn events(lines: &[u8]) -> Value {
    let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice::<Value>(line).unwrap()).collect()
}

#[derive(Debug)]
pub(crate) struct Server {
    cluster: Arc<Cluster>,
    address: String,
    admin: Connector,
    anonymous: Connector,
}

struct Connector(TlsConnector);

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connector")
    }
}

impl Server {
    /// A control plane without nodes, as the recorded one was.
    pub(crate) async fn start() -> Self {
        let log = File::create("/dev/null").unwrap();
        let cluster = Cluster::new(World::bare(1), 1, log, Face { version: "v1.36.2", extras: false, compacted: false });
        let identity = identity().unwrap();
        let bound = api::bind(0).unwrap();
        let address = bound.address.to_string();
        let store: Arc<dyn ObjectStore> = cluster.clone();
        let access = Access::new(MANIFEST, File::create("/dev/null").unwrap()).unwrap();
        tokio::spawn(api::run(bound, identity.server.clone(), Arc::new(access), store));
        while TcpStream::connect(&address).await.is_err() {
            tokio::task::yield_now().await;
        }
        let pair = (identity.client_pem.as_bytes(), identity.client_key_pem.as_bytes());
        let connector = |pair| Connector(crate::tls::connector(identity.ca_pem.as_bytes(), pair));
        Self { cluster, address, admin: connector(Some(pair)), anonymous: connector(None) }
    }

    pub(crate) async fn ask(&self, request: &Request, anonymous: bool) -> Answer {
        let tls = if anonymous { &self.anonymous } else { &self.admin };
        let stream = TcpStream::connect(&self.address).await.unwrap();
        let stream = tls.0.connect(ServerName::try_from("127.0.0.1").unwrap(), stream).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut built =
            hyper::Request::builder().method(request.method.as_str()).uri(&request.path).header("host", &self.address);
        for (name, value) in &request.headers {
            built = built.header(name, value);
        }
        let built = built.body(Full::new(Bytes::from(request.body.clone()))).unwrap();
        let Ok(response) = sender.send_request(built).await else {
            return Answer { closed: true, ..Answer::default() };
        };
        let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let (kind, retry_after) = (header("content-type").unwrap_or_default(), header("retry-after"));
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let body = if request.path.contains("watch=true") {
            events(&bytes)
        } else if kind.starts_with("application/json") {
            serde_json::from_slice(&bytes).unwrap()
        } else {
            json!(String::from_utf8_lossy(&bytes))
        };
        Answer { status, kind, retry_after, body, closed: false }
    }

    async fn done(&self, method: &str, path: &str, kind: &str, body: Value) {
        let headers = vec![("Content-Type".to_owned(), kind.to_owned())];
        let request = Request { method: method.to_owned(), path: path.to_owned(), headers, body: body.to_string() };
        let answer = self.ask(&request, false).await;
        assert!((200..300).contains(&answer.status), "{method} {path}: {answer:?}");
    }

    pub(crate) async fn make(&self, path: &str, object: Value) {
        self.done("POST", path, "application/json", object).await;
    }

    pub(crate) async fn patch(&self, path: &str, patch: Value) {
        self.done("PATCH", path, "application/merge-patch+json", patch).await;
    }

    /// The store stops answering.
    pub(crate) fn hang(&self) {
        self.cluster.act(|world| world.inject(Fault::StoreHang, None).unwrap());
    }
}
