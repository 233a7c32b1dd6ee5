//! A request's line and headers, parsed once.

use hyper::http::request::Parts;
use hyper::{Method, header};

use super::accept::{Form, negotiate};
use super::kinds::{Kind, find};
use super::status::{self, Failure};
use super::store::Key;

/// What a path points at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Objects of a kind; an empty namespace means all of them.
    Collection {
        kind: &'static Kind,
        namespace: String,
    },
    Object {
        key: Key,
        subresource: String,
    },
    /// Everything that is no resource: version, health, discovery.
    Other(String),
    /// Below a group version that exists, but no resource of it.
    NoResource,
}

#[derive(Debug)]
pub struct ApiRequest {
    pub method: Method,
    pub path: String,
    pub target: Target,
    query: Vec<(String, String)>,
    pub form: Form,
    pub content_type: String,
    /// Who owns the fields that this request writes.
    pub manager: String,
}

impl ApiRequest {
    pub fn parse(parts: &Parts) -> Result<Self, Failure> {
        let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let path = parts.uri.path().to_owned();
        let query = parts.uri.query().unwrap_or_default();
        let query: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let named = query.iter().find(|(key, _)| key == "fieldManager").map(|(_, name)| name.as_str());
        let manager = match named.filter(|name| !name.is_empty()).or(text(header::USER_AGENT).split('/').next()) {
            Some(name) if !name.is_empty() => name.to_owned(),
            Some(_) | None => "unknown".to_owned(),
        };
        Ok(Self {
            manager,
            method: parts.method.clone(),
            target: target(&path),
            path,
            query,
            form: negotiate(text(header::ACCEPT)).ok_or_else(status::not_acceptable)?,
            content_type: text(header::CONTENT_TYPE).to_owned(),
        })
    }

    /// The value of a query parameter; empty where it is absent.
    pub fn query(&self, name: &str) -> &str {
        self.query.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// The content type without its parameters.
    pub fn media(&self) -> &str {
        self.content_type.split(';').next().unwrap_or_default().trim()
    }

    /// Whether the parameter is there at all, as in `?verbose`.
    pub fn has(&self, name: &str) -> bool {
        self.query.iter().any(|(key, _)| key == name)
    }

    pub fn flag(&self, name: &str) -> bool {
        matches!(self.query(name), "true" | "1")
    }

    pub fn number(&self, name: &str) -> Option<u64> {
        self.query(name).parse().ok()
    }

    pub fn dry_run(&self) -> bool {
        self.query("dryRun") == "All"
    }

    pub fn is_watch(&self) -> bool {
        self.flag("watch") && self.method == Method::GET
    }

    /// The verb that RBAC would check.
    pub fn verb(&self) -> &'static str {
        let one = matches!(self.target, Target::Object { .. } | Target::Other(_));
        match (self.method.as_str(), one) {
            ("GET" | "HEAD", true) => "get",
            ("GET" | "HEAD", false) if self.flag("watch") => "watch",
            ("GET" | "HEAD", false) => "list",
            ("POST", _) => "create",
            ("PUT", _) => "update",
            ("PATCH", _) => "patch",
            ("DELETE", true) => "delete",
            (_, _) => "deletecollection",
        }
    }
}

fn target(path: &str) -> Target {
    let decoded = |part: &str| percent_decode(part);
    let parts: Vec<String> = path.trim_matches('/').split('/').map(decoded).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let (group, version, rest) = match parts.as_slice() {
        ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
        ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
        _ => return Target::Other(path.to_owned()),
    };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, plural, rest @ ..] if find(group, version, plural).is_some_and(|kind| kind.namespaced) => {
            (*namespace, [&[*plural], rest].concat())
        }
        _ => ("", rest.to_vec()),
    };
    let Some(kind) = rest.first().and_then(|plural| find(group, version, plural)) else {
        let known = super::kinds::KINDS.iter().any(|kind| kind.group == group && kind.version == version);
        return if known { Target::NoResource } else { Target::Other(path.to_owned()) };
    };
    let key = |name: &str| Key { kind, namespace: namespace.to_owned(), name: name.to_owned() };
    match rest.as_slice() {
        [_] => Target::Collection { kind, namespace: namespace.to_owned() },
        [_, name] => Target::Object { key: key(name), subresource: String::new() },
        [_, name, sub] if kind.has_subresource(sub) => Target::Object { key: key(name), subresource: (*sub).to_owned() },
        _ => Target::NoResource,
    }
}

fn percent_decode(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    // A '+' is itself in a path; the form decoder would read it as a blank.
    let escaped = text.replace('+', "%2B");
    form_urlencoded::parse(escaped.as_bytes()).map(|(key, _)| key.into_owned()).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(path: &str) -> String {
        match target(path) {
            Target::Collection { kind, namespace } => format!("all {} in {namespace:?}", kind.plural),
            Target::Object { key, subresource } => {
                format!("{} {:?}/{:?} {subresource:?}", key.kind.plural, key.namespace, key.name)
            }
            Target::Other(path) => format!("other {path}"),
            Target::NoResource => "no resource".to_owned(),
        }
    }

    #[test]
    fn paths_point_at_collections_objects_and_subresources() {
        assert_eq!(told("/api/v1/nodes"), "all nodes in \"\"");
        assert_eq!(told("/api/v1/namespaces/apps"), "namespaces \"\"/\"apps\" \"\"");
        assert_eq!(told("/api/v1/namespaces/apps/pods"), "all pods in \"apps\"");
        assert_eq!(told("/api/v1/namespaces/apps/pods/web-0/eviction"), "pods \"apps\"/\"web-0\" \"eviction\"");
        assert_eq!(told("/api/v1/namespaces/apps/status"), "namespaces \"\"/\"apps\" \"status\"");
        assert_eq!(told("/apis/kustomize.toolkit.fluxcd.io/v1/kustomizations"), "all kustomizations in \"\"");
        assert_eq!(told("/api/v1/nothings"), "no resource");
        assert_eq!(told("/apis/nothing.example/v1"), "other /apis/nothing.example/v1");
        assert_eq!(told("/apis/apps/v1"), "other /apis/apps/v1");
        assert_eq!(told("/readyz"), "other /readyz");
    }
}
