//! Creations, updates, patches, deletions, evictions and scaling.

use std::sync::Arc;

use bytes::Bytes;
use hyper::Method;
use serde_json::{Map, Value, json};

use super::handle::Reply;
use super::kinds::Kind;
use super::managed::{self, Writer};
use super::request::ApiRequest;
use super::select::Selector;
use super::status::{self, Failure, bad_request};
use super::store::{DeleteOptions, Key, ObjectStore, StoreError};
use super::{apply, decode, defaults, patch, render, validate};

type Store = Arc<dyn ObjectStore>;

pub fn create(store: &Store, kind: &'static Kind, namespace: &str, request: &ApiRequest, body: &Bytes) -> Result<Reply, Failure> {
    if !kind.is_stored() {
        return Err(status::method_not_allowed());
    }
    let object = decode::object(kind, request, body)?;
    create_from(store, kind, namespace, request, object)
}

fn create_from(
    store: &Store,
    kind: &'static Kind,
    namespace: &str,
    request: &ApiRequest,
    mut object: Value,
) -> Result<Reply, Failure> {
    let metadata = section(&mut object, "metadata");
    let text =
        |metadata: &Map<String, Value>, field: &str| metadata.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut name = text(metadata, "name");
    let prefix = text(metadata, "generateName");
    if name.is_empty() && !prefix.is_empty() {
        name = format!("{prefix}{}", suffix(store.ticks().borrow().version));
    }
    let given = text(metadata, "namespace");
    if kind.namespaced && !given.is_empty() && given != namespace {
        return Err(bad_request("the namespace of the provided object does not match the namespace sent on the request"));
    }
    let key = Key { kind, namespace: namespace.to_owned(), name };
    if key.name.is_empty() {
        let cause = status::Cause {
            field: "metadata.name".to_owned(),
            reason: "FieldValueRequired",
            message: "Required value: name or generateName is required".to_owned(),
        };
        return Err(status::invalid(kind, "", &[cause]));
    }
    for field in SERVERS {
        metadata.remove(*field);
    }
    metadata.insert("name".to_owned(), json!(key.name));
    if kind.namespaced {
        metadata.insert("namespace".to_owned(), json!(namespace));
    }
    tidy(metadata);
    defaults::fill(kind, &mut object);
    let now = seconds(store.now_millis());
    note_writer(&managed::nothing(kind), &mut object, &key, request, "", &now);
    let uid = store.new_uid(&key);
    defaults::complete(kind, &mut object, &uid);
    let metadata = section(&mut object, "metadata");
    metadata.insert("uid".to_owned(), json!(uid));
    metadata.insert("creationTimestamp".to_owned(), json!(now));
    if kind.has_generation() {
        metadata.insert("generation".to_owned(), json!(1));
    }
    fit(kind, &key, &object, None)?;
    let made = store.create(&key, object, request.dry_run()).map_err(|error| status::of_store(error, &key, ""))?;
    Ok(Reply::Json(201, render::one(kind, &made, request.form, store.now_millis())))
}

/// Fields of `metadata` that only the server writes.
const SERVERS: &[&str] = &[
    "uid",
    "creationTimestamp",
    "generation",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "resourceVersion",
    "managedFields",
    "selfLink",
];

/// An emptied map is stored as no map, or a patch that removes the last label would never compare equal.
fn tidy(metadata: &mut Map<String, Value>) {
    metadata.retain(|_, value| {
        let empty = value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty);
        !value.is_null() && !empty
    });
}

/// `metav1.Time` of a time in milliseconds.
fn seconds(millis: i64) -> String {
    jiff::Timestamp::from_second(millis.div_euclid(1000)).map_or_else(|_| String::new(), |stamp| stamp.to_string())
}

fn note_writer(before: &Value, after: &mut Value, key: &Key, request: &ApiRequest, sub: &str, now: &str) {
    let writer = Writer { manager: &request.manager, subresource: sub, now };
    managed::update(key.kind, before, after, &writer);
}

fn fit(kind: &Kind, key: &Key, object: &Value, before: Option<&Value>) -> Result<(), Failure> {
    let causes = validate::check(kind, object, before);
    if causes.is_empty() { Ok(()) } else { Err(status::invalid(kind, &key.name, &causes)) }
}

/// Times an update that names no version is made again on a newer object, as the real server does.
const UPDATE_TRIES: usize = 5;

/// PUT and PATCH, of the object or of its status.
pub fn update(store: &Store, key: &Key, sub: &str, request: &ApiRequest, body: &Bytes) -> Result<Reply, Failure> {
    let applies = request.method == Method::PATCH && request.media() == patch::APPLY;
    let mut left = UPDATE_TRIES;
    loop {
        left = left.saturating_sub(1);
        let current = match store.get(key) {
            Some(current) => current,
            None if applies && sub.is_empty() => return apply_new(store, key, request, body),
            None => return Err(status::not_found(key)),
        };
        let object = updated(store, key, sub, request, body, &current)?;
        let made = if object == *current { Ok(current) } else { store.replace(key, object, request.dry_run()) };
        match made {
            Ok(made) => return Ok(Reply::Json(200, render::one(key.kind, &made, request.form, store.now_millis()))),
            Err(StoreError::Conflict) if left > 0 => {}
            Err(error) => return Err(status::of_store(error, key, "")),
        }
    }
}

/// What the request makes of the current object.
fn updated(store: &Store, key: &Key, sub: &str, request: &ApiRequest, body: &Bytes, current: &Value) -> Result<Value, Failure> {
    let now = seconds(store.now_millis());
    let applies = request.method == Method::PATCH && request.media() == patch::APPLY;
    let wanted = if request.method == Method::PUT {
        decode::object(key.kind, request, body)?
    } else if applies {
        let writer = Writer { manager: applier(request)?, subresource: sub, now: &now };
        let wanted = decode::object(key.kind, request, body)?;
        apply::apply(key.kind, current, &wanted, &writer, request.flag("force"))?
    } else {
        let mut patched = patch::apply(key.kind, current, &request.content_type, body)?;
        decode::known_fields(key.kind, request, &mut patched)?;
        patched
    };
    let mut object = reconciled(key, current, wanted, sub == "status")?;
    fit(key.kind, key, &object, Some(current))?;
    if key.kind.has_generation() && sub.is_empty() && is_respecified(current, &object) {
        let generation = current.pointer("/metadata/generation").and_then(Value::as_u64).unwrap_or(0);
        section(&mut object, "metadata").insert("generation".to_owned(), json!(generation + 1));
    }
    if !applies {
        note_writer(current, &mut object, key, request, sub, &now);
    }
    Ok(object)
}

/// Something other than metadata and status differs.
fn is_respecified(one: &Value, other: &Value) -> bool {
    let spec = |object: &Value| {
        let mut map = object.as_object().cloned().unwrap_or_default();
        map.retain(|field, _| !matches!(field.as_str(), "metadata" | "status"));
        map
    };
    spec(one) != spec(other)
}

/// Whoever applies must say who it is.
fn applier(request: &ApiRequest) -> Result<&str, Failure> {
    if !request.query("fieldManager").is_empty() {
        return Ok(&request.manager);
    }
    Err(status::no_field_manager())
}

fn apply_new(store: &Store, key: &Key, request: &ApiRequest, body: &Bytes) -> Result<Reply, Failure> {
    let manager = applier(request)?;
    let mut wanted = decode::object(key.kind, request, body)?;
    section(&mut wanted, "metadata").insert("name".to_owned(), json!(key.name));
    let now = seconds(store.now_millis());
    let writer = Writer { manager, subresource: "", now: &now };
    let applied = apply::apply(key.kind, &managed::nothing(key.kind), &wanted, &writer, true)?;
    create_from(store, key.kind, &key.namespace, request, applied)
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
    if key.kind.has_status() {
        let taken_from = if status_only { &wanted } else { current };
        put(&mut object, "status", taken_from.get("status").cloned());
    }
    for field in ["apiVersion", "kind"] {
        put(&mut object, field, current.get(field).cloned());
    }
    let metadata = section(&mut object, "metadata");
    let before = current.get("metadata").and_then(Value::as_object);
    // What the server writes stays as it is; who manages what is worked out anew, or was just applied.
    for field in SERVERS.iter().filter(|field| **field != "managedFields").chain(&["name", "namespace"]) {
        match before.and_then(|before| before.get(*field)) {
            Some(value) => metadata.insert((*field).to_owned(), value.clone()),
            None => metadata.remove(*field),
        };
    }
    tidy(metadata);
    Ok(object)
}

pub fn scale(store: &Store, key: &Key, request: &ApiRequest, body: &Bytes) -> Result<Reply, Failure> {
    let current = store.get(key).ok_or_else(|| status::not_found(key))?;
    let shown = scale_of(&current);
    if request.method == Method::GET {
        return Ok(Reply::Json(200, shown));
    }
    let wanted = if request.method == Method::PUT {
        decode::json(key.kind, body)?
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
        note_writer(&current, &mut object, key, request, "scale", &seconds(store.now_millis()));
        let generation = current.pointer("/metadata/generation").and_then(Value::as_u64).unwrap_or(0);
        section(&mut object, "metadata").insert("generation".to_owned(), json!(generation + 1));
        store.replace(key, object, request.dry_run()).map_err(|error| status::of_store(error, key, ""))?
    };
    Ok(Reply::Json(200, scale_of(&left)))
}

fn scale_of(object: &Value) -> Value {
    let at = |path: &str| object.pointer(path).cloned().unwrap_or_default();
    let wanted = object.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(1);
    let labels = object.pointer("/spec/selector/matchLabels").and_then(Value::as_object);
    let selector: Vec<String> =
        labels.into_iter().flatten().map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default())).collect();
    json!({"kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {"name": at("/metadata/name"), "namespace": at("/metadata/namespace"), "uid": at("/metadata/uid"),
            "resourceVersion": at("/metadata/resourceVersion"), "creationTimestamp": at("/metadata/creationTimestamp")},
        // None is written as no number at all.
        "spec": if wanted == 0 { json!({}) } else { json!({"replicas": wanted}) },
        "status": {"replicas": object.pointer("/status/replicas").cloned().unwrap_or(json!(0)), "selector": selector.join(",")}})
}

/// Kinds of which the last state is answered, rather than that they are gone.
const SHOWN_AT_THE_END: &[&str] =
    &["pods", "namespaces", "persistentvolumes", "persistentvolumeclaims", "serviceaccounts", "services", "podtemplates"];

pub fn delete(store: &Store, key: &Key, request: &ApiRequest, body: &Bytes) -> Result<Reply, Failure> {
    let left = delete_one(store, key, request, body)?;
    let stays = left.pointer("/metadata/deletionTimestamp").is_some();
    if stays || SHOWN_AT_THE_END.contains(&key.kind.plural) && !key.kind.is_custom() {
        return Ok(Reply::Json(200, render::one(key.kind, &left, request.form, store.now_millis())));
    }
    let mut details = json!({"name": key.name, "kind": key.kind.plural, "uid": left.pointer("/metadata/uid")});
    if !key.kind.group.is_empty() {
        put(&mut details, "group", Some(json!(key.kind.group)));
    }
    Ok(Reply::Json(200, json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})))
}

fn delete_one(store: &Store, key: &Key, request: &ApiRequest, body: &Bytes) -> Result<Arc<Value>, Failure> {
    let given = if body.is_empty() { json!({}) } else { decode::json(key.kind, body)? };
    let options = delete_options(&given, request);
    let asked = options.uid.clone().unwrap_or_default();
    store.delete(key, &options).map_err(|error| status::of_store(error, key, &asked))
}

/// Deletes what a selection takes, one by one, and answers what it was.
pub fn delete_collection(
    store: &Store,
    kind: &'static Kind,
    namespace: &str,
    request: &ApiRequest,
    body: &Bytes,
) -> Result<Reply, Failure> {
    let selector = Selector::parse(kind, request.query("labelSelector"), request.query("fieldSelector"))?;
    let (mut objects, version) = store.list(kind, namespace);
    objects.retain(|object| selector.takes(object));
    for object in &objects {
        let text = |at: &str| object.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
        let key = Key { kind, namespace: text("/metadata/namespace"), name: text("/metadata/name") };
        match delete_one(store, &key, request, body) {
            Err(failure) if failure.code != 404 => return Err(failure),
            Ok(_) | Err(_) => {}
        }
    }
    let page = render::Page { kind, objects: &objects, version, rest: None };
    Ok(Reply::Json(200, render::list(&page, request.form, store.now_millis())))
}

pub fn evict(store: &Store, key: &Key, request: &ApiRequest, body: &Bytes) -> Result<Reply, Failure> {
    let eviction = decode::json(key.kind, body)?;
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
