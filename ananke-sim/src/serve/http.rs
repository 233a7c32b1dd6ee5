//! The ingress hosts, all on one loopback port, told apart by the Host header as a real ingress controller does.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, header};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use super::cluster::Cluster;
use crate::world::HttpAnswer;

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
    let service = service_fn(|request: Request<Incoming>| {
        let answer = answer(&cluster, &request);
        async move { answer }
    });
    // No keep-alive: a client must notice when the ingress controller is gone.
    http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service).await.ok();
}

fn answer(cluster: &Cluster, request: &Request<Incoming>) -> Result<Response<Full<Bytes>>, Nobody> {
    let named = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let host = named.rsplit_once(':').map_or(named, |(host, _)| host);
    let path = request.uri().path();
    match cluster.act(|world| world.http(host, path)) {
        HttpAnswer::Refused | HttpAnswer::NoAnswer => Err(Nobody),
        HttpAnswer::Status(code) => {
            let mut response = Response::builder().status(code).header(header::CONTENT_TYPE, "text/plain; charset=utf-8");
            if code == 401 {
                response = response.header(header::WWW_AUTHENTICATE, format!("Bearer realm=\"http://{host}/service/token\""));
            }
            response.body(Full::new(Bytes::from(format!("{code}\n")))).map_err(|_| Nobody)
        }
    }
}
