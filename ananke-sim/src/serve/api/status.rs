//! `Status` objects, word for word as the real API server writes them.

use serde_json::{Value, json};

use super::kinds::Kind;
use super::rbac::Attributes;
use super::store::{Key, StoreError};

/// A refusal: its HTTP status and the body that explains it.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    pub code: u16,
    pub body: Value,
}

/// One thing that is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    pub field: String,
    /// Such as `FieldValueInvalid`.
    pub reason: &'static str,
    pub message: String,
}

impl Cause {
    pub fn invalid(field: &str, message: &str) -> Self {
        Self { field: field.to_owned(), reason: "FieldValueInvalid", message: message.to_owned() }
    }
}

fn failure(code: u16, reason: &str, message: String, details: Option<Value>) -> Failure {
    let mut body =
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "code": code});
    if let Some(map) = body.as_object_mut() {
        if !reason.is_empty() {
            map.insert("reason".to_owned(), json!(reason));
        }
        if let Some(details) = details {
            map.insert("details".to_owned(), details);
        }
    }
    Failure { code, body }
}

fn details(kind: &Kind, name: &str) -> Value {
    let mut details = json!({"kind": kind.plural});
    if let Some(map) = details.as_object_mut() {
        if !name.is_empty() {
            map.insert("name".to_owned(), json!(name));
        }
        if !kind.group.is_empty() {
            map.insert("group".to_owned(), json!(kind.group));
        }
    }
    details
}

pub fn not_found(key: &Key) -> Failure {
    let message = format!("{} {:?} not found", key.kind.qualified(), key.name);
    failure(404, "NotFound", message, Some(details(key.kind, &key.name)))
}

pub fn no_resource() -> Failure {
    failure(404, "NotFound", "the server could not find the requested resource".to_owned(), Some(json!({})))
}

pub fn bad_request(message: impl Into<String>) -> Failure {
    failure(400, "BadRequest", message.into(), None)
}

pub fn unauthorized() -> Failure {
    failure(401, "Unauthorized", "Unauthorized".to_owned(), None)
}

/// `asked`: the resource that was asked for; none for a path that is none.
pub fn forbidden(user: &str, asked: Option<&Attributes>, verb: &str, path: &str) -> Failure {
    let who = format!("User {user:?} cannot");
    match asked {
        Some(asked @ Attributes { group, resource, namespace, name, .. }) => {
            let scope =
                if namespace.is_empty() { "at the cluster scope".to_owned() } else { format!("in the namespace {namespace:?}") };
            let plural = resource.split('/').next().unwrap_or_default();
            let qualified = asked.qualified();
            let what = if name.is_empty() { qualified } else { format!("{qualified} {name:?}") };
            let message = format!("{what} is forbidden: {who} {verb} resource {resource:?} in API group {group:?} {scope}");
            let mut details = json!({"kind": plural});
            if let Some(map) = details.as_object_mut() {
                for (field, value) in [("name", name), ("group", group)].into_iter().filter(|(_, value)| !value.is_empty()) {
                    map.insert(field.to_owned(), json!(value));
                }
            }
            failure(403, "Forbidden", message, Some(details))
        }
        None => failure(403, "Forbidden", format!("forbidden: {who} {verb} path {path:?}"), Some(json!({}))),
    }
}

pub fn method_not_allowed() -> Failure {
    let message = "the server does not allow this method on the requested resource".to_owned();
    failure(405, "MethodNotAllowed", message, Some(json!({})))
}

pub fn not_acceptable() -> Failure {
    let message = "only the following media types are accepted: application/json".to_owned();
    failure(406, "NotAcceptable", message, Some(json!({})))
}

pub fn unsupported_media(custom: bool) -> Failure {
    let message = if custom {
        "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml, application/apply-patch+cbor"
    } else {
        "415: Unsupported Media Type"
    };
    failure(415, "UnsupportedMediaType", message.to_owned(), Some(json!({})))
}

/// An apply that does not say who applies.
pub fn no_field_manager() -> Failure {
    let message = "Required value: is required for apply patch";
    let causes = json!([{"field": "fieldManager", "message": message, "reason": "FieldValueRequired"}]);
    let details = json!({"group": "meta.k8s.io", "kind": "PatchOptions", "causes": causes});
    let message = format!("PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: {message}");
    failure(422, "Invalid", message, Some(details))
}

pub fn too_large() -> Failure {
    failure(413, "RequestEntityTooLarge", "Request entity too large: limit is 3145728".to_owned(), None)
}

pub fn unprocessable() -> Failure {
    failure(422, "Invalid", "the server rejected our request due to an error in our request".to_owned(), Some(json!({})))
}

/// An object that breaks the rules of its kind.
pub fn invalid(kind: &Kind, name: &str, causes: &[Cause]) -> Failure {
    let each: Vec<String> = causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
    let all = if let [one] = each.as_slice() { one.clone() } else { format!("[{}]", each.join(", ")) };
    let mut details = details(kind, name);
    let listed = causes.iter().map(|cause| json!({"field": cause.field, "message": cause.message, "reason": cause.reason}));
    let listed: Vec<Value> = listed.collect();
    if let Some(map) = details.as_object_mut() {
        map.insert("kind".to_owned(), json!(kind.kind));
        map.insert("causes".to_owned(), json!(listed));
    }
    failure(422, "Invalid", format!("{} {name:?} is invalid: {all}", kind.qualified_kind()), Some(details))
}

/// A server-side apply of fields that others own: `causes` are who and what.
pub fn apply_conflict(message: String, causes: &[(String, String)]) -> Failure {
    let causes = causes
        .iter()
        .map(|(who, path)| json!({"field": path, "message": format!("conflict with {who}"), "reason": "FieldManagerConflict"}));
    failure(409, "Conflict", message, Some(json!({"causes": causes.collect::<Vec<_>>()})))
}

pub fn conflict(key: &Key) -> Failure {
    let message = format!(
        "Operation cannot be fulfilled on {} {:?}: the object has been modified; please apply your changes to the latest version and try again",
        key.kind.qualified(),
        key.name
    );
    failure(409, "Conflict", message, Some(details(key.kind, &key.name)))
}

pub fn gone(message: String) -> Failure {
    failure(410, "Expired", message, None)
}

pub fn no_leader() -> Failure {
    failure(500, "", "etcdserver: no leader".to_owned(), None)
}

pub fn store_unavailable() -> Failure {
    let message = "rpc error: code = Unavailable desc = keepalive ping failed to receive ACK within timeout".to_owned();
    failure(500, "", message, None)
}

/// What the store said, in the API's words. `asked_uid` is the precondition, if there was one.
pub fn of_store(error: StoreError, key: &Key, asked_uid: &str) -> Failure {
    match error {
        StoreError::NotFound => not_found(key),
        StoreError::Exists => {
            let message = format!("{} {:?} already exists", key.kind.qualified(), key.name);
            failure(409, "AlreadyExists", message, Some(details(key.kind, &key.name)))
        }
        StoreError::NoNamespace(name) => {
            failure(404, "NotFound", format!("namespaces {name:?} not found"), Some(json!({"name": name, "kind": "namespaces"})))
        }
        StoreError::Terminating(name) => {
            let why = format!("unable to create new content in namespace {name} because it is being terminated");
            let mut details = details(key.kind, &key.name);
            if let Some(map) = details.as_object_mut() {
                let cause = format!("namespace {name} is being terminated");
                let cause = json!({"field": "metadata.namespace", "message": cause, "reason": "NamespaceTerminating"});
                map.insert("causes".to_owned(), json!([cause]));
            }
            failure(403, "Forbidden", format!("{} {:?} is forbidden: {why}", key.kind.qualified(), key.name), Some(details))
        }
        StoreError::Conflict => conflict(key),
        StoreError::OtherUid { found } => {
            let message = format!(
                "Operation cannot be fulfilled on {} {:?}: the UID in the precondition ({asked_uid}) does not match the UID in record ({found}). The object might have been deleted and then recreated",
                key.kind.kind, key.name
            );
            failure(409, "Conflict", message, Some(json!({"kind": key.kind.kind, "name": key.name})))
        }
        StoreError::Blocked { budget, needs, has } => {
            let cause = format!("The disruption budget {budget} needs {needs} healthy pods and has {has} currently");
            let message = "Cannot evict pod as it would violate the pod's disruption budget.".to_owned();
            let details = json!({"causes": [{"reason": "DisruptionBudget", "message": cause}]});
            failure(429, "TooManyRequests", message, Some(details))
        }
        StoreError::Invalid { field, found } => invalid(key.kind, &key.name, &[Cause::invalid(&field, &found)]),
        StoreError::MethodNotAllowed(_) => method_not_allowed(),
    }
}
