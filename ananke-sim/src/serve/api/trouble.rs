//! An API server that is half alive: what becomes of connections and requests in each [`State`], word for word as the real
//! one answers, as far as it was recorded.

use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::authorize::{Client, attributes};
use super::request::{ApiRequest, Target};
use super::status::{self, Failure};
use super::store::{ObjectStore, State};

/// How long a write waits for a store that hangs before the server gives up on it.
const WRITE_HANG: Duration = Duration::from_secs(2);

/// How long a read waits before the connection is closed without an answer.
const READ_HANG: Duration = Duration::from_secs(10);

/// How long a busy server asks its clients to wait, in seconds.
const RETRY_AFTER: u64 = 2;

/// A TLS record: a fatal alert, internal error.
const ALERT: [u8; 7] = [21, 3, 3, 0, 2, 2, 80];

/// Ways to be there and of no use, beside those that [`State`] names itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The handshake ends with an alert.
    TlsFails,
    /// The certificate is another authority's.
    WrongCertificate,
    /// 401 to whoever shows credentials.
    Unauthorized,
    /// 403 to this verb on this resource.
    Forbids { verb: &'static str, resource: &'static str },
    /// 429 with Retry-After.
    Throttles,
    /// 500 for a reason of its own.
    InternalError,
    /// 503.
    Unavailable,
    /// 504; a write is carried out all the same.
    TimesOut,
    /// Accepts connections, and says nothing.
    Hangs,
    /// Closes the connection instead of an answer; a write is carried out all the same.
    Closes,
    /// Lists and watches show what was; what needs the store fails.
    StaleCache,
}

/// What becomes of a request before it is looked at.
#[derive(Debug)]
pub enum Held {
    Refused(Failure),
    /// The connection closes.
    NoAnswer,
}

/// What becomes of a request that is carried out.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    Told,
    /// Something else is told.
    Instead(Failure),
    /// Nothing is.
    Lost,
}

impl State {
    /// Connections that stand are cut when this begins, and those that came meanwhile when it ends.
    pub fn cuts_connections(self) -> bool {
        match self {
            Self::Refused | Self::Half(Trouble::TlsFails | Trouble::WrongCertificate | Trouble::Hangs) => true,
            Self::Answering | Self::Error500 | Self::StoreHang | Self::Half(_) => false,
        }
    }

    /// Watches end, as when the server restarts. What is wrong with new requests does not touch those that stand.
    pub fn ends_watches(self) -> bool {
        match self {
            Self::Refused | Self::Error500 | Self::Half(Trouble::Unavailable | Trouble::Closes) => true,
            Self::Answering | Self::StoreHang | Self::Half(_) => false,
        }
    }

    /// The cache that watches are fed from stands still.
    pub fn starves_watches(self) -> bool {
        matches!(self, Self::StoreHang | Self::Half(Trouble::StaleCache))
    }
}

/// Whether a new connection meets something else than a handshake.
pub async fn greets_badly(store: &Arc<dyn ObjectStore>, stream: &mut TcpStream) -> bool {
    let mut ticks = store.ticks();
    let state = ticks.borrow().state;
    match state {
        State::Half(Trouble::TlsFails) => {
            // Whoever went away does not hear it.
            stream.write_all(&ALERT).await.ok();
            stream.shutdown().await.ok();
            true
        }
        State::Half(Trouble::Hangs) => {
            ticks.wait_for(|tick| tick.state != State::Half(Trouble::Hangs)).await.ok();
            true
        }
        State::Answering | State::Error500 | State::StoreHang | State::Refused | State::Half(_) => false,
    }
}

/// Whether a request is looked at, and what is told of it.
pub async fn admit(store: &Arc<dyn ObjectStore>, request: &ApiRequest) -> Result<Answer, Held> {
    let state = store.ticks().borrow().state;
    let resource = match &request.target {
        Target::Collection { .. } | Target::Object { .. } => true,
        Target::Other(path) => path.starts_with("/readyz") && state == State::Error500,
        Target::NoResource => false,
    };
    match state {
        State::Answering => Ok(Answer::Told),
        State::Half(trouble) => meet(trouble, request, resource),
        _ if !resource => Ok(Answer::Told),
        State::Refused => Err(Held::NoAnswer),
        State::Error500 => Err(Held::Refused(status::no_leader())),
        State::StoreHang if request.method != Method::GET => {
            tokio::time::sleep(WRITE_HANG).await;
            Err(Held::Refused(status::store_unavailable()))
        }
        State::StoreHang if request.is_watch() || request.query("resourceVersion") == "0" => Ok(Answer::Told),
        State::StoreHang => {
            tokio::time::sleep(READ_HANG).await;
            Err(Held::NoAnswer)
        }
    }
}

fn meet(trouble: Trouble, request: &ApiRequest, resource: bool) -> Result<Answer, Held> {
    let refuse = |failure| Err(Held::Refused(failure));
    let list = matches!(request.target, Target::Collection { .. }) && request.method == Method::GET;
    match trouble {
        // Connections that stood were cut; one that slipped through is none.
        Trouble::TlsFails | Trouble::WrongCertificate | Trouble::Hangs => Err(Held::NoAnswer),
        Trouble::Unauthorized => refuse(status::unauthorized()),
        Trouble::Forbids { verb, resource } => match forbidden(verb, resource, request) {
            Some(failure) => refuse(failure),
            None => Ok(Answer::Told),
        },
        Trouble::Throttles => refuse(busy()),
        Trouble::Unavailable => refuse(status(503, "ServiceUnavailable", "apiserver is shutting down")),
        Trouble::Closes => Ok(Answer::Lost),
        Trouble::InternalError | Trouble::TimesOut | Trouble::StaleCache if !resource => Ok(Answer::Told),
        Trouble::InternalError => refuse(status(500, "InternalError", "Internal error occurred: the simulator says so")),
        Trouble::TimesOut => Ok(Answer::Instead(timeout())),
        Trouble::StaleCache if list => Ok(Answer::Told),
        Trouble::StaleCache => refuse(status(500, "", "etcdserver: request timed out")),
    }
}

fn busy() -> Failure {
    let mut failure = status(429, "TooManyRequests", "Too many requests, please try again later.");
    if let Some(body) = failure.body.as_object_mut() {
        body.insert("details".to_owned(), json!({"retryAfterSeconds": RETRY_AFTER}));
    }
    failure
}

fn timeout() -> Failure {
    status(504, "Timeout", "Timeout: request did not complete within the requested timeout - context deadline exceeded")
}

fn forbidden(verb: &str, resource: &str, request: &ApiRequest) -> Option<Failure> {
    let asked = attributes(request).filter(|asked| asked.verb == verb && asked.qualified() == resource)?;
    Some(status::forbidden(Client::Ananke.name(), Some(&asked), verb, ""))
}

fn status(code: u16, reason: &str, message: &str) -> Failure {
    let mut body =
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "code": code});
    if let Some(map) = body.as_object_mut().filter(|_| !reason.is_empty()) {
        map.insert("reason".to_owned(), json!(reason));
    }
    Failure { code, body }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, path: &str) -> ApiRequest {
        let (parts, _) = hyper::Request::builder().method(method).uri(path).body(()).unwrap().into_parts();
        ApiRequest::parse(&parts).unwrap()
    }

    #[track_caller]
    fn check(trouble: Trouble, asked: &str, expected: &str) {
        let (method, path) = asked.split_once(' ').unwrap();
        let request = request(method, path);
        let resource = matches!(request.target, Target::Collection { .. } | Target::Object { .. });
        let met = match meet(trouble, &request, resource) {
            Ok(Answer::Told) => "answered".to_owned(),
            Ok(Answer::Lost) => "done and lost".to_owned(),
            Ok(Answer::Instead(failure)) => format!("done and {}", failure.code),
            Err(Held::Refused(failure)) => failure.code.to_string(),
            Err(Held::NoAnswer) => "nothing".to_owned(),
        };
        assert_eq!(met, expected, "{trouble:?}: {asked}");
    }

    #[test]
    fn each_trouble_meets_the_requests_that_it_is_about() {
        let forbids = Trouble::Forbids { verb: "create", resource: "leases.coordination.k8s.io" };
        let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";
        check(forbids, &format!("POST {leases}?dryRun=All"), "403");
        check(forbids, &format!("GET {leases}"), "answered");
        check(forbids, "GET /api/v1/nodes", "answered");
        check(Trouble::StaleCache, "GET /api/v1/nodes", "answered");
        check(Trouble::StaleCache, "GET /api/v1/nodes/titan-01", "500");
        check(Trouble::StaleCache, "PATCH /api/v1/nodes/titan-01", "500");
        check(Trouble::StaleCache, "GET /readyz", "answered");
        check(Trouble::InternalError, "GET /version", "answered");
        check(Trouble::Unavailable, "GET /readyz", "503");
        check(Trouble::TimesOut, "PATCH /api/v1/nodes/titan-01", "done and 504");
        check(Trouble::Closes, "PATCH /api/v1/nodes/titan-01", "done and lost");
        check(Trouble::Throttles, "GET /api/v1/pods", "429");
    }
}
