//! Creations, updates, patches, deletions, evictions and scaling.

use std::sync::Arc;

use bytes::Bytes;
use hyper::Method;
use serde_json::{Map, Value, json};

use super::handle::Reply;
use super::kinds::Kind;
use super::request::ApiRequest;
use super::status::{self, Failure, bad_request};
use super::store::{DeleteOptions, Key, ObjectStore, StoreError};
use super::{patch, render};

type Store = Arc<dyn ObjectStore>;

pub fn create(store: &Store, kind: &'static Kind, namespace: &str, request: &ApiRequest, body: &Bytes) -> Result<Reply, Failure> {
    let mut object = parse_object(kind, body)?;
    let metadata = section(&mut object, "metadata");
    let text =
        |metadata: &Map<String, Value>, field: &str| metadata.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut name = text(metadata, "name");
    let prefix = text(metadata, "generateName");
    if name.is_empty() && !prefix.is_empty() {
        name = format!("{prefix}{}", suffix(store.ticks().borrow().version));
    }
    if name.is_empty() {
        let error = super::store::StoreError::Invalid {
            field: "metadata.name".to_owned(),
            found: "Required value: name or generateName is required".to_owned(),
        };
        return Err(status::of_store(error, &Key { kind, namespace: namespace.to_owned(), name }, ""));
    }
    let given = text(metadata, "namespace");
    if kind.namespaced && !given.is_empty() && given != namespace {
        return Err(bad_request("the namespace of the provided object does not match the namespace sent on the request"));
    }
    metadata.insert("name".to_owned(), json!(name));
    if kind.namespaced {
        metadata.insert("namespace".to_owned(), json!(namespace));
    }
    let key = Key { kind, namespace: namespace.to_owned(), name };
    let made = store.create(&key, object, request.dry_run()).map_err(|error| status::of_store(error, &key, ""))?;
    Ok(Reply::Json(201, render::one(kind, &made, request.form, store.now_millis())))
}

/// Times an update that names no version is made again on a newer object, as the real server does.
const UPDATE_TRIES: usize = 5;

/// PUT and PATCH, of the object or of its status.
pub fn update(store: &Store, key: &Key, sub: &str, request: &ApiRequest, body: &Bytes) -> Result<Reply, Failure> {
    let mut left = UPDATE_TRIES;
    loop {
        left = left.saturating_sub(1);
        let current = store.get(key).ok_or_else(|| status::not_found(key))?;
        let wanted = if request.method == Method::PUT {
            parse_object(key.kind, body)?
        } else {
            patch::apply(key.kind, &current, &request.content_type, body)?
        };
        let object = reconciled(key, &current, wanted, sub == "status")?;
        let made = if object == *current { Ok(current) } else { store.replace(key, object, request.dry_run()) };
        match made {
            Ok(made) => return Ok(Reply::Json(200, render::one(key.kind, &made, request.form, store.now_millis()))),
            Err(StoreError::Conflict) if left > 0 => {}
            Err(error) => return Err(status::of_store(error, key, "")),
        }
    }
}

/// The current object with the changes of `wanted` that this endpoint may make, made on the version that `wanted` names.
fn reconciled(key: &Key, current: &Value, wanted: Value, status_only: bool) -> Result<Value, Failure> {
    let version = |object: &Value| object.pointer("/metadata/resourceVersion").cloned().filter(|version| *version != json!(""));
    if version(&wanted).is_some_and(|asked| Some(asked) != version(current)) {
        return Err(status::conflict(key));
    }
    let name = wanted.pointer("/metadata/name").and_then(Value::as_str);
    if name.is_some_and(|name| name != key.name) {
        return Err(bad_request(format!(
            "the name of the object ({}) does not match the name on the URL ({})",
            name.unwrap_or_default(),
            key.name
        )));
    }
    let mut object = if status_only { current.clone() } else { wanted.clone() };
    let fixed = if key.kind.has_status() { "status" } else { "" };
    let taken_from = if status_only { &wanted } else { current };
    if !fixed.is_empty() {
        put(&mut object, fixed, taken_from.get(fixed).cloned());
    }
    for field in ["apiVersion", "kind"] {
        put(&mut object, field, current.get(field).cloned());
    }
    let metadata = section(&mut object, "metadata");
    let before = current.get("metadata").and_then(Value::as_object);
    for field in [
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "generation",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "resourceVersion",
    ] {
        match before.and_then(|before| before.get(field)) {
            Some(value) => metadata.insert(field.to_owned(), value.clone()),
            None => metadata.remove(field),
        };
    }
    // An emptied map is stored as no map, or a patch that removes the last label would never compare equal.
    metadata.retain(|_, value| !value.is_null() && value.as_object().is_none_or(|map| !map.is_empty()));
    Ok(object)
}

pub fn scale(store: &Store, key: &Key, request: &ApiRequest, body: &Bytes) -> Result<Reply, Failure> {
    let current = store.get(key).ok_or_else(|| status::not_found(key))?;
    let shown = scale_of(&current);
    if request.method == Method::GET {
        return Ok(Reply::Json(200, shown));
    }
    let wanted = if request.method == Method::PUT {
        serde_json::from_slice(body).map_err(|error| bad_request(error.to_string()))?
    } else {
        patch::apply(key.kind, &shown, &request.content_type, body)?
    };
    let asked = wanted.pointer("/metadata/resourceVersion").filter(|version| **version != json!(""));
    if asked.is_some_and(|asked| Some(asked) != current.pointer("/metadata/resourceVersion")) {
        return Err(status::conflict(key));
    }
    let replicas = wanted.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(0);
    let mut object = current.as_ref().clone();
    section(&mut object, "spec").insert("replicas".to_owned(), json!(replicas));
    let left = if object == *current {
        current
    } else {
        store.replace(key, object, request.dry_run()).map_err(|error| status::of_store(error, key, ""))?
    };
    Ok(Reply::Json(200, scale_of(&left)))
}

fn scale_of(object: &Value) -> Value {
    let at = |path: &str| object.pointer(path).cloned().unwrap_or_default();
    json!({"kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {"name": at("/metadata/name"), "namespace": at("/metadata/namespace"), "uid": at("/metadata/uid"),
            "resourceVersion": at("/metadata/resourceVersion"), "creationTimestamp": at("/metadata/creationTimestamp")},
        "spec": {"replicas": object.pointer("/spec/replicas").cloned().unwrap_or(json!(1))},
        "status": {"replicas": object.pointer("/status/replicas").cloned().unwrap_or(json!(0))}})
}

pub fn delete(store: &Store, key: &Key, request: &ApiRequest, body: &Bytes) -> Result<Reply, Failure> {
    let given = if body.is_empty() { json!({}) } else { parse_json(key.kind, body)? };
    let options = delete_options(&given, request);
    let asked = options.uid.clone().unwrap_or_default();
    let left = store.delete(key, &options).map_err(|error| status::of_store(error, key, &asked))?;
    if matches!(key.kind.plural, "pods" | "namespaces") {
        return Ok(Reply::Json(200, render::one(key.kind, &left, request.form, store.now_millis())));
    }
    let mut details = json!({"name": key.name, "kind": key.kind.plural, "uid": left.pointer("/metadata/uid")});
    if !key.kind.group.is_empty() {
        put(&mut details, "group", Some(json!(key.kind.group)));
    }
    Ok(Reply::Json(200, json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})))
}

pub fn evict(store: &Store, key: &Key, request: &ApiRequest, body: &Bytes) -> Result<Reply, Failure> {
    let eviction = parse_json(key.kind, body)?;
    let given = eviction.get("deleteOptions").cloned().unwrap_or_else(|| json!({}));
    let options = delete_options(&given, request);
    let asked = options.uid.clone().unwrap_or_default();
    store.evict(key, &options).map_err(|error| status::of_store(error, key, &asked))?;
    Ok(Reply::Json(201, json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201})))
}

fn delete_options(given: &Value, request: &ApiRequest) -> DeleteOptions {
    let text = |at: &str| given.pointer(at).and_then(Value::as_str).map(str::to_owned);
    let dry = given.get("dryRun").and_then(Value::as_array).is_some_and(|values| values.contains(&json!("All")));
    DeleteOptions {
        uid: text("/preconditions/uid"),
        version: text("/preconditions/resourceVersion"),
        grace_secs: given.get("gracePeriodSeconds").and_then(Value::as_u64).or_else(|| request.number("gracePeriodSeconds")),
        dry_run: dry || request.dry_run(),
    }
}

fn parse_json(kind: &Kind, body: &Bytes) -> Result<Value, Failure> {
    serde_json::from_slice(body).map_err(|error| {
        let shown: String = String::from_utf8_lossy(body).chars().take(200).collect();
        bad_request(format!(
            "the object provided is unrecognized (must be of type {}): couldn't get version/kind; json parse error: {error} ({shown})",
            kind.kind
        ))
    })
}

/// An object of this kind; its type may be left out.
fn parse_object(kind: &Kind, body: &Bytes) -> Result<Value, Failure> {
    let mut object = parse_json(kind, body)?;
    let other = |field: &str, expected: &str| {
        object.get(field).and_then(Value::as_str).is_some_and(|found| !found.is_empty() && found != expected)
    };
    if !object.is_object() || other("kind", kind.kind) || other("apiVersion", &kind.api_version()) {
        return Err(bad_request(format!(
            "the object provided is unrecognized (must be of type {}): found kind {} of {}",
            kind.kind,
            object.get("kind").unwrap_or(&Value::Null),
            object.get("apiVersion").unwrap_or(&Value::Null)
        )));
    }
    put(&mut object, "kind", Some(json!(kind.kind)));
    put(&mut object, "apiVersion", Some(json!(kind.api_version())));
    Ok(object)
}

fn put(object: &mut Value, field: &str, value: Option<Value>) {
    if let Some(map) = object.as_object_mut() {
        match value {
            Some(value) => map.insert(field.to_owned(), value),
            None => map.remove(field),
        };
    }
}

/// A map inside the object, made if it is not there. `object` is a map.
pub fn section<'a>(object: &'a mut Value, field: &str) -> &'a mut Map<String, Value> {
    if !object.is_object() {
        *object = json!({});
    }
    let slot = &mut object[field];
    if !slot.is_object() {
        *slot = json!({});
    }
    match slot {
        Value::Object(map) => map,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            unreachable!("the slot was made a map above")
        }
    }
}

/// Five characters as `generateName` appends them.
fn suffix(mut number: u64) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut text = String::new();
    for _ in 0..5 {
        let at = usize::try_from(number % LETTERS.len() as u64).unwrap_or(0);
        text.push(LETTERS.get(at).copied().map_or('b', char::from));
        number /= LETTERS.len() as u64;
    }
    text
}
