//! Who asks, and what they may: the administrator by certificate, Ananke by the token of its ServiceAccount and under
//! the manifests of `deploy/`, strangers as on a real cluster. Every request leaves a line in the audit log.

use std::fs::File;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::Method;
use hyper::header::AUTHORIZATION;
use hyper::http::request::Parts;
use serde_json::json;

use super::handle::Reply;
use super::rbac::{Attributes, Right, rights};
use super::request::{ApiRequest, Target};
use super::review::Review;
use super::status::{self, Failure};

/// What is granted to Ananke, as it is shipped.
pub const MANIFEST: &str = include_str!("../../../../deploy/rbac.yaml");

/// What is granted besides for layers.
pub const BOOTSTRAP_MANIFEST: &str = include_str!("../../../../deploy/rbac-bootstrap.yaml");

/// Namespace and name of Ananke's ServiceAccount.
pub const ACCOUNT: (&str, &str) = ("kube-system", "ananke");

/// A client that is known by its credentials, or by its lack of any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    Admin,
    Ananke,
    Anonymous,
}

impl Client {
    pub fn name(self) -> &'static str {
        match self {
            Self::Admin => "system:admin",
            Self::Ananke => "system:serviceaccount:kube-system:ananke",
            Self::Anonymous => "system:anonymous",
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    #[error("make a token: the system gives no randomness")]
    Token,
    #[error("read the RBAC manifest: {0}")]
    Manifest(String),
}

/// The server's authenticator, authoriser and audit log.
#[derive(Debug)]
pub struct Access {
    token: String,
    rights: Vec<Right>,
    audit: Mutex<File>,
}

impl Access {
    /// `manifest` grants Ananke its rights; requests are appended to `audit`.
    ///
    /// # Errors
    /// If the manifest makes no sense, or the system has no randomness.
    pub fn new(manifest: &str, audit: File) -> Result<Self, AccessError> {
        let mut secret = [0; 32];
        rustls::crypto::ring::default_provider().secure_random.fill(&mut secret).map_err(|_| AccessError::Token)?;
        let rights = rights(manifest, ACCOUNT).map_err(AccessError::Manifest)?;
        Ok(Self { token: URL_SAFE_NO_PAD.encode(secret), rights, audit: Mutex::new(audit) })
    }

    /// The bearer token of Ananke's ServiceAccount.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Who sent this request, on a connection that `certificate` tells of.
    ///
    /// # Errors
    /// 401 for credentials that nobody has.
    pub fn authenticate(&self, certificate: Client, parts: &Parts) -> Result<Client, Failure> {
        match (certificate, parts.headers.get(AUTHORIZATION)) {
            (Client::Anonymous, Some(header)) => {
                let token = header.to_str().ok().and_then(|text| text.strip_prefix("Bearer "));
                if token == Some(self.token.as_str()) { Ok(Client::Ananke) } else { Err(status::unauthorized()) }
            }
            (known, _) => Ok(known),
        }
    }

    /// # Errors
    /// 403, in the words of the real server.
    pub fn authorize(&self, client: Client, request: &ApiRequest) -> Result<(), Failure> {
        let refused = match (client, &request.target) {
            (Client::Admin, _) => return Ok(()),
            (Client::Ananke, Target::Other(path)) if is_open_to_all_users(&request.method, path) => return Ok(()),
            (Client::Ananke, _) if request.path == REVIEWS => return Ok(()),
            (_, Target::Other(path)) if is_open(path) => return Ok(()),
            (_, Target::Other(path)) => status::forbidden(client.name(), None, request.verb(), path),
            (_, Target::NoResource) => status::forbidden(client.name(), None, request.verb(), &request.path),
            (_, Target::Collection { .. } | Target::Object { .. }) => {
                let Some(asked) = attributes(request) else { return Ok(()) };
                if client == Client::Ananke && self.allows(&asked) {
                    return Ok(());
                }
                status::forbidden(client.name(), Some(&asked), request.verb(), "")
            }
        };
        Err(refused)
    }

    /// Whether Ananke may.
    fn allows(&self, asked: &Attributes) -> bool {
        self.rights.iter().any(|right| right.covers(asked))
    }

    /// The answer to a SelfSubjectAccessReview, as `kubectl auth can-i` asks for it; none for any other request.
    pub fn review(&self, client: Client, request: &ApiRequest, body: &[u8]) -> Option<Reply> {
        if request.method != Method::POST || request.path != REVIEWS {
            return None;
        }
        let Some(review) = Review::parse(body) else {
            return Some(status::bad_request("the object provided is no SelfSubjectAccessReview").into());
        };
        let path = review.path();
        let allowed = match client {
            Client::Admin => true,
            Client::Ananke if path.is_empty() => self.allows(&review.attributes()),
            Client::Ananke => is_open_to_all_users(&Method::GET, &path),
            Client::Anonymous => false,
        };
        Some(Reply::Json(201, review.answer(allowed)))
    }

    /// One event of the audit log, in the shape of `audit.k8s.io/v1`. A full disk must not stop the server.
    pub fn record(&self, client: Client, request: &ApiRequest, code: u16) {
        let object = attributes(request).map(|asked| {
            let (resource, sub) = asked.resource.split_once('/').unwrap_or((&asked.resource, ""));
            json!({"apiGroup": asked.group, "resource": resource, "subresource": sub, "namespace": asked.namespace, "name": asked.name})
        });
        let event = json!({"kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "stage": "ResponseComplete",
            "verb": request.verb(), "user": {"username": client.name()}, "requestURI": request.path, "objectRef": object,
            "responseStatus": {"code": code}});
        let mut audit = self.audit.lock().unwrap_or_else(PoisonError::into_inner);
        audit.write_all(format!("{event}\n").as_bytes()).ok();
    }
}

const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";

/// `system:public-info-viewer`, which every cluster has.
fn is_open(path: &str) -> bool {
    ["/version", "/livez", "/readyz", "/healthz"].contains(&path)
}

/// `system:discovery` and `system:basic-user`: what every cluster grants to whoever has valid credentials.
fn is_open_to_all_users(method: &Method, path: &str) -> bool {
    let below = |root: &str| path == root || path.strip_prefix(root).is_some_and(|rest| rest.starts_with('/'));
    let looks = [Method::GET, Method::HEAD].contains(method);
    looks && (is_open(path) || ["/api", "/apis", "/openapi"].into_iter().any(below))
}

/// What RBAC checks of a request; none for paths that are no resource.
pub fn attributes(request: &ApiRequest) -> Option<Attributes> {
    let (kind, namespace, name, sub) = match &request.target {
        Target::Collection { kind, namespace } => (*kind, namespace.as_str(), "", ""),
        Target::Object { key, subresource } => (key.kind, key.namespace.as_str(), key.name.as_str(), subresource.as_str()),
        Target::Other(_) | Target::NoResource => return None,
    };
    let resource = if sub.is_empty() { kind.plural.to_owned() } else { format!("{}/{sub}", kind.plural) };
    let verb = request.verb().to_owned();
    Some(Attributes { verb, group: kind.group.to_owned(), resource, namespace: namespace.to_owned(), name: name.to_owned() })
}
