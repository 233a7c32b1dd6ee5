//! One request, one answer: authorisation, the server's state, then reads. Writes are in `write.rs`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, header};
use serde_json::Value;

use super::accept::Form;
use super::authorize::{Access, Client};
use super::kinds::Kind;
use super::request::{ApiRequest, Target};
use super::select::Selector;
use super::status::{self, Failure};
use super::store::{Face, Key, ObjectStore};
use super::trouble::{self, Answer, Held};
use super::watch::{self, WatchRequest};
use super::{Body, discovery, render, write};

/// The real server's limit for a request.
const BODY_LIMIT: usize = 3 * 1024 * 1024;

/// The longest watch; clients begin anew after it.
const WATCH_LIMIT: Duration = Duration::from_secs(3600);

/// The connection is closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the store did not answer")]
pub struct NoAnswer;

/// What is sent back before it is HTTP.
#[derive(Debug)]
pub enum Reply {
    Json(u16, Value),
    Discovery(Value),
    Text(u16, String),
    Stream(Body),
}

impl From<Failure> for Reply {
    fn from(failure: Failure) -> Self {
        Self::Json(failure.code, failure.body)
    }
}

/// Answers `request`, which came on a connection with this certificate; `address` is the server's own, for discovery.
pub async fn answer(
    store: Arc<dyn ObjectStore>,
    (access, certificate): (&Access, Client),
    address: &str,
    request: Request<Incoming>,
) -> Result<Response<Body>, NoAnswer> {
    let (parts, body) = request.into_parts();
    let line = format!("{} {}", parts.method, parts.uri.path_and_query().map_or("/", |all| all.as_str()));
    let known = access.authenticate(certificate, &parts).and_then(|client| Ok((client, ApiRequest::parse(&parts)?)));
    let reply = match &known {
        Err(failure) => failure.clone().into(),
        Ok((client, request)) => match admitted(&store, (access, *client), request).await {
            Err(Held::Refused(failure)) => failure.into(),
            Err(Held::NoAnswer) => {
                store.log(&format!("{line} -"));
                return Err(NoAnswer);
            }
            Ok(told) => {
                let reply = match Limited::new(body, BODY_LIMIT).collect().await.map(|body| body.to_bytes()) {
                    Ok(body) => access
                        .review(*client, request, &body)
                        .map_or_else(|| serve(&store, address, request, &body), Ok)
                        .unwrap_or_else(Reply::from),
                    Err(_) => status::too_large().into(),
                };
                match told {
                    Answer::Told => reply,
                    Answer::Instead(failure) => failure.into(),
                    Answer::Lost => {
                        store.log(&format!("{line} -"));
                        return Err(NoAnswer);
                    }
                }
            }
        },
    };
    let retry_after = match &reply {
        Reply::Json(_, value) => value.pointer("/details/retryAfterSeconds").and_then(Value::as_u64),
        Reply::Discovery(_) | Reply::Text(..) | Reply::Stream(_) => None,
    };
    let (code, kind, body) = match reply {
        Reply::Json(code, value) => (code, "application/json", full(serde_json::to_vec(&value).unwrap_or_default())),
        Reply::Discovery(value) => (200, discovery::AGGREGATED, full(serde_json::to_vec(&value).unwrap_or_default())),
        Reply::Text(code, text) => (code, "text/plain; charset=utf-8", full(text.into_bytes())),
        Reply::Stream(body) => (200, "application/json", body),
    };
    store.log(&format!("{line} {code}"));
    if let Ok((client, request)) = &known {
        access.record(*client, request, code);
    }
    let mut response = Response::builder().status(code).header(header::CONTENT_TYPE, kind);
    if let Some(secs) = retry_after {
        response = response.header(header::RETRY_AFTER, secs);
    }
    response.body(body).map_err(|_| NoAnswer)
}

fn full(bytes: Vec<u8>) -> Body {
    Full::new(Bytes::from(bytes)).boxed_unsync()
}

async fn admitted(
    store: &Arc<dyn ObjectStore>,
    (access, client): (&Access, Client),
    request: &ApiRequest,
) -> Result<Answer, Held> {
    access.authorize(client, request).map_err(Held::Refused)?;
    trouble::admit(store, request).await
}

fn serve(store: &Arc<dyn ObjectStore>, address: &str, request: &ApiRequest, body: &Bytes) -> Result<Reply, Failure> {
    let absent = |kind: &Kind| kind.extra && !store.face().extras;
    match &request.target {
        Target::NoResource => Err(status::no_resource()),
        Target::Collection { kind, .. } | Target::Object { key: Key { kind, .. }, .. } if absent(kind) => {
            Ok(Reply::Text(404, "404 page not found\n".to_owned()))
        }
        Target::Other(path) => Ok(other(path, store.face(), address, request)),
        Target::Collection { kind, namespace } => match request.method {
            Method::GET if request.is_watch() => watch(store, kind, namespace, request),
            Method::GET => list(store, kind, namespace, request),
            Method::POST => write::create(store, kind, namespace, request, body),
            Method::DELETE => write::delete_collection(store, kind, namespace, request, body),
            _ => Err(status::method_not_allowed()),
        },
        Target::Object { key, subresource } => match (&request.method, subresource.as_str()) {
            (&Method::GET, "" | "status") => {
                let object = store.get(key).ok_or_else(|| status::not_found(key))?;
                Ok(Reply::Json(200, render::one(key.kind, &object, request.form, store.now_millis())))
            }
            (&Method::POST, "eviction") => write::evict(store, key, request, body),
            (&Method::GET | &Method::PUT | &Method::PATCH, "scale") => write::scale(store, key, request, body),
            (&Method::PUT | &Method::PATCH, "" | "status") => write::update(store, key, subresource, request, body),
            (&Method::DELETE, "") => write::delete(store, key, request, body),
            _ => Err(status::method_not_allowed()),
        },
    }
}

fn other(path: &str, face: Face, address: &str, request: &ApiRequest) -> Reply {
    let absent = || Reply::Text(404, "404 page not found\n".to_owned());
    if request.method != Method::GET && request.method != Method::HEAD {
        return absent();
    }
    let found = |document: Option<Value>| document.map_or_else(absent, |document| Reply::Json(200, document));
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match parts.as_slice() {
        ["version"] => Reply::Json(200, discovery::version(face)),
        [name @ ("livez" | "readyz" | "healthz")] => {
            Reply::Text(200, if request.has("verbose") { discovery::verbose(name) } else { "ok".to_owned() })
        }
        [root @ ("api" | "apis")] if request.form == Form::Discovery => {
            Reply::Discovery(discovery::aggregated(face, *root == "api"))
        }
        ["api"] => Reply::Json(200, discovery::core_versions(address)),
        ["apis"] => Reply::Json(200, discovery::groups(face)),
        ["api", version] => found(discovery::resources(face, "", version)),
        ["apis", group] => found(discovery::group(face, group)),
        ["apis", group, version] => found(discovery::resources(face, group, version)),
        _ => absent(),
    }
}

fn list(store: &Arc<dyn ObjectStore>, kind: &'static Kind, namespace: &str, request: &ApiRequest) -> Result<Reply, Failure> {
    let selector = Selector::parse(kind, request.query("labelSelector"), request.query("fieldSelector"))?;
    let (all, mut version) = store.list(kind, namespace);
    let mut from = 0;
    if !request.query("continue").is_empty() {
        let (of, last) = render::read_token(request.query("continue"))?;
        from = all.partition_point(|object| split(&render::place(object)) <= split(&last));
        version = of;
    }
    let limit = request.number("limit").and_then(|limit| usize::try_from(limit).ok()).filter(|limit| *limit > 0);
    let mut left = all.into_iter().skip(from).filter(|object| selector.takes(object));
    let objects: Vec<_> = left.by_ref().take(limit.unwrap_or(usize::MAX)).collect();
    let rest = left.next().and_then(|_| {
        // Of a selection nobody knows how many are left without looking at all of them.
        let remaining = selector.is_empty().then(|| left.count() + 1);
        Some((render::place(objects.last()?), remaining))
    });
    let page = render::Page { kind, objects: &objects, version, rest };
    Ok(Reply::Json(200, render::list(&page, request.form, store.now_millis())))
}

/// Namespace and name compare one after the other, as the store sorts them.
fn split(place: &str) -> (&str, &str) {
    place.split_once('/').unwrap_or(("", place))
}

fn watch(store: &Arc<dyn ObjectStore>, kind: &'static Kind, namespace: &str, request: &ApiRequest) -> Result<Reply, Failure> {
    let selector = Selector::parse(kind, request.query("labelSelector"), request.query("fieldSelector"))?;
    let since = match request.query("resourceVersion") {
        "" => None,
        text => Some(text.parse().map_err(|_| status::bad_request(format!("invalid resource version {text:?}")))?),
    };
    let initial = request.flag("sendInitialEvents");
    let timeout = request.number("timeoutSeconds").map_or(WATCH_LIMIT, Duration::from_secs).min(WATCH_LIMIT);

    let asked = WatchRequest {
        kind,
        namespace: namespace.to_owned(),
        selector,
        form: request.form,
        since: if initial { None } else { since },
        timeout,
        bookmarks: request.flag("allowWatchBookmarks"),
        initial_bookmark: initial && request.flag("allowWatchBookmarks"),
    };
    Ok(Reply::Stream(watch::body(store.clone(), asked)))
}
