//! What the daemon knows, over HTTP: the page, `/metrics` and `/healthz`. It only reads.
//!
//! Bounded in connections, time and heads. Where it listens on loopback, a web page of somebody else cannot read it through
//! a name that it points at us (DNS rebinding): the `Host` header must name this machine.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use ananke_core::port::Clock as _;
use futures::future::{Either, select};
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use super::board::Board;
use super::seen::Seen;
use super::{Until, metrics, page, say};

/// A Prometheus, a person's browser, and some room.
const CONNECTIONS: usize = 16;
/// An answer takes milliseconds; who is slower than this to ask is no client.
const PATIENCE: Duration = Duration::from_secs(10);
const MAX_HEAD: usize = 16 * 1024;
/// Between two tries at a port that somebody else has.
const AGAIN: Duration = Duration::from_secs(30);

const HTML: &str = "text/html; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
/// No script, from nowhere; the style is our own file.
const POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Until the end. A port that somebody else has is told, and tried again: leases matter more than a page.
pub(super) async fn serve(at: SocketAddr, board: &Board, state: &Path, mut until: Until<'_>) {
    let mut is_told = false;
    loop {
        match TcpListener::bind(at).await {
            Ok(listener) => {
                let at = listener.local_addr().unwrap_or(at);
                say(board.clock.now(), "serves", &format!("http://{at}/"));
                return accept(&listener, at, board, state, until).await;
            }
            Err(error) if !is_told => {
                is_told = true;
                let text = format!("no status page and no metrics, for nobody can listen on {at}: {error}; change daemon.listen");
                say(board.clock.now(), "NOT SERVED", &text);
            }
            Err(_) => {}
        }
        let pause = std::pin::pin!(tokio::time::sleep(AGAIN));
        if let Either::Right(_) = select(pause, &mut until).await {
            return;
        }
    }
}

async fn accept(listener: &TcpListener, at: SocketAddr, board: &Board, state: &Path, mut until: Until<'_>) {
    let mut open = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            () = &mut until => return,
            Some(()) = open.next(), if !open.is_empty() => {}
            accepted = listener.accept(), if open.len() < CONNECTIONS => match accepted {
                Ok((stream, _)) => open.push(connection(stream, at, board, state)),
                // No file descriptor is left: one ends with a connection.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
        }
    }
}

async fn connection(stream: TcpStream, at: SocketAddr, board: &Board, state: &Path) {
    let service = service_fn(|request: Request<Incoming>| answer(at, board, state, request).map(Ok::<_, Infallible>));
    let mut builder = http1::Builder::new();
    let served = builder.keep_alive(false).max_buf_size(MAX_HEAD).serve_connection(TokioIo::new(stream), service);
    // A client that goes away, or is too slow, is its own business.
    tokio::time::timeout(PATIENCE, served).await.map(drop).unwrap_or_default();
}

async fn answer(at: SocketAddr, board: &Board, state: &Path, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if at.ip().is_loopback() && !names_this_machine(host) {
        let text = "ask for http://localhost or http://127.0.0.1: this address is not to be read under another name\n";
        return response(StatusCode::MISDIRECTED_REQUEST, PLAIN, text.to_owned());
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = response(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "nothing can be changed here\n".to_owned());
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    match request.uri().path() {
        "/" => response(StatusCode::OK, HTML, page::html(&Seen::take(board, state).await)),
        "/page.css" => response(StatusCode::OK, CSS, crate::html::STYLE.to_owned()),
        "/metrics" => response(StatusCode::OK, METRICS, metrics::text(&Seen::take(board, state).await)),
        "/healthz" => health(&board.stuck()),
        _ => response(StatusCode::NOT_FOUND, PLAIN, "there are /, /metrics and /healthz\n".to_owned()),
    }
}

fn health(stuck: &[String]) -> Response<Full<Bytes>> {
    match stuck {
        [] => response(StatusCode::OK, PLAIN, "ok\n".to_owned()),
        stuck => response(StatusCode::SERVICE_UNAVAILABLE, PLAIN, stuck.join("\n") + "\n"),
    }
}

fn response(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    for (name, value) in [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// `localhost`, or an address of loopback, with or without a port.
fn names_this_machine(host: &str) -> bool {
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let name = match host.rsplit_once(':') {
        Some((name, port)) if is_port(port) && (!name.contains(':') || name.ends_with(']')) => name,
        Some(_) | None => host,
    };
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_answered_for() {
        for host in ["localhost", "localhost:10477", "LOCALHOST:80", "127.0.0.1:10477", "127.0.0.1", "[::1]:10477", "[::1]"] {
            assert!(names_this_machine(host), "{host}");
        }
        let foreign =
            ["", "evil.example", "evil.example:10477", "127.0.0.1.evil.example", "localhost.evil.example:1", "10.0.0.1:1"];
        for host in foreign.into_iter().chain(["localhost:x", "[::2]:10477", "::1x", "127.0.0.1:", "user@localhost"]) {
            assert!(!names_this_machine(host), "{host}");
        }
    }
}
