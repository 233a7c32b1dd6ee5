//! The ingress hosts, all on one loopback port, told apart by the Host header as a real ingress controller does.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, header};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use super::cluster::Cluster;
use crate::world::HttpAnswer;

/// What is put anywhere is small.
const MAX_BODY: usize = 4096;

/// The connection is closed: no ingress controller is there to answer.
#[derive(Debug, thiserror::Error)]
#[error("nobody answers")]
struct Nobody;

/// Serves until it is dropped.
pub async fn run(listener: TcpListener, cluster: Arc<Cluster>) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(connection(stream, cluster.clone()));
    }
}

async fn connection(stream: TcpStream, cluster: Arc<Cluster>) {
    let service = service_fn(|request: Request<Incoming>| answer(&cluster, request));
    // No keep-alive: a client must notice when the ingress controller is gone.
    http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service).await.ok();
}

async fn answer(cluster: &Cluster, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Nobody> {
    let named = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let host = named.rsplit_once(':').map_or(named, |(host, _)| host).to_owned();
    let path = request.uri().path().to_owned();
    let answer = if matches!(*request.method(), Method::PUT | Method::POST) {
        let body = Limited::new(request.into_body(), MAX_BODY).collect().await.map_err(|_| Nobody)?.to_bytes();
        cluster.note(&format!("PUT http://{host}{path}"));
        cluster.act(|world| world.http_put(&host, &path, &body))
    } else {
        cluster.look(|world| world.http(&host, &path))
    };
    let HttpAnswer::Page(page) = answer else { return Err(Nobody) };
    let start = Response::builder().status(page.status);
    let response = page.headers.iter().fold(start, |response, (name, value)| response.header(*name, value));
    response.body(Full::new(Bytes::from(page.body))).map_err(|_| Nobody)
}
