//! Objects that clients made and no part of the simulated world stands behind: they are kept, and they end, as a real server
//! without their controllers keeps and ends them.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::api::kinds::{KINDS, named};
use super::api::store::{DeleteOptions, Key, StoreError};
use super::mirror::Mirror;

/// Whether something may be created there.
pub fn admit(mirror: &Mirror, key: &Key) -> Result<(), StoreError> {
    if key.kind.namespaced {
        let kind = named("Namespace").ok_or(StoreError::NotFound)?;
        let namespace = Key { kind, namespace: String::new(), name: key.namespace.clone() };
        let namespace = mirror.get(&namespace).ok_or_else(|| StoreError::NoNamespace(key.namespace.clone()))?;
        if is_ending(&namespace) {
            return Err(StoreError::Terminating(key.namespace.clone()));
        }
    }
    if mirror.get(key).is_some() { Err(StoreError::Exists) } else { Ok(()) }
}

/// Puts a changed object; one that only waited for its last finalizer ends instead.
pub fn replace(mirror: &mut Mirror, key: &Key, object: Value) -> Arc<Value> {
    let waits = object.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_u64).unwrap_or(0) > 0;
    if is_ending(&object) && !is_held(&object) && !waits && key.kind.kind != "Namespace" {
        mirror.remove(key);
        let object = Arc::new(object);
        end_namespace(mirror, &key.namespace);
        return object;
    }
    mirror.put_own(key.clone(), object)
}

/// Ends an object, or marks that it is to end. `now` is written into it, in whole seconds of the cluster's wall clock.
pub fn delete(mirror: &mut Mirror, key: &Key, options: &DeleteOptions, now: jiff::Timestamp) -> Result<Arc<Value>, StoreError> {
    let current = mirror.get(key).ok_or(StoreError::NotFound)?;
    let grace = grace(key, &current, options);
    let mut last = current.as_ref().clone();
    let later = now.checked_add(jiff::SignedDuration::from_secs(i64::try_from(grace).unwrap_or(0))).unwrap_or(now);
    let bound = is_ending(&current) && grace > 0;
    if let (Some(metadata), false) = (last.get_mut("metadata").and_then(Value::as_object_mut), bound) {
        metadata.insert("deletionTimestamp".to_owned(), json!(later.to_string()));
        if key.kind.kind != "Namespace" {
            metadata.insert("deletionGracePeriodSeconds".to_owned(), json!(grace));
        }
        let generation = metadata.get("generation").and_then(Value::as_u64);
        if let Some(generation) = generation.filter(|_| !is_ending(&current)) {
            metadata.insert("generation".to_owned(), json!(generation + 1));
        }
    }
    if key.kind.kind == "Namespace" {
        if let Some(status) = last.get_mut("status").and_then(Value::as_object_mut) {
            status.insert("phase".to_owned(), json!("Terminating"));
        }
        let shown = mirror.put_own(key.clone(), last);
        empty(mirror, &key.name, now);
        return Ok(shown);
    }
    if grace > 0 || is_held(&current) {
        return Ok(mirror.put_own(key.clone(), last));
    }
    mirror.remove(key);
    end_namespace(mirror, &key.namespace);
    Ok(if key.kind.kind == "Pod" { Arc::new(last) } else { current })
}

/// Ends a pod as an eviction does, which leaves its reason in the pod. Budgets were asked before.
pub fn evict(mirror: &mut Mirror, key: &Key, options: &DeleteOptions, now: jiff::Timestamp) -> Result<(), StoreError> {
    let current = mirror.get(key).ok_or(StoreError::NotFound)?;
    if !is_ending(&current) {
        let mut marked = current.as_ref().clone();
        let why = json!({"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting", "lastProbeTime": null, "lastTransitionTime": now.to_string()});
        if let Some(status) = marked.get_mut("status").and_then(Value::as_object_mut)
            && let Some(conditions) = status.entry("conditions").or_insert_with(|| json!([])).as_array_mut()
        {
            conditions.push(why);
        }
        mirror.put_own(key.clone(), marked);
    }
    delete(mirror, key, options, now).map(|_| ())
}

/// Only pods that a node has are given time.
fn grace(key: &Key, current: &Value, options: &DeleteOptions) -> u64 {
    let bound = current.pointer("/spec/nodeName").is_some_and(|name| name != "");
    let over = matches!(current.pointer("/status/phase").and_then(Value::as_str), Some("Succeeded" | "Failed"));
    if key.kind.kind != "Pod" || !bound || over {
        return 0;
    }
    let own = current.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_u64);
    options.grace_secs.or(own).unwrap_or(30)
}

fn is_ending(object: &Value) -> bool {
    object.pointer("/metadata/deletionTimestamp").is_some()
}

fn is_held(object: &Value) -> bool {
    object.pointer("/metadata/finalizers").and_then(Value::as_array).is_some_and(|list| !list.is_empty())
}

/// What the namespace controller does: everything in the namespace is deleted, and it ends with the last of it.
fn empty(mirror: &mut Mirror, namespace: &str, now: jiff::Timestamp) {
    for kind in KINDS.iter().filter(|kind| kind.namespaced) {
        for object in mirror.list(kind, namespace) {
            let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
            let key = Key { kind, namespace: namespace.to_owned(), name };
            if mirror.is_own(&key) {
                delete(mirror, &key, &DeleteOptions::default(), now).ok();
            }
        }
    }
    end_namespace(mirror, namespace);
}

fn end_namespace(mirror: &mut Mirror, namespace: &str) {
    let Some(kind) = named("Namespace") else { return };
    let key = Key { kind, namespace: String::new(), name: namespace.to_owned() };
    let ending = mirror.is_own(&key) && mirror.get(&key).is_some_and(|found| is_ending(&found));
    let inhabited = || KINDS.iter().any(|kind| kind.namespaced && !mirror.list(kind, namespace).is_empty());
    if ending && !inhabited() {
        mirror.remove(&key);
    }
}

/// The budget that a client made and that an eviction of this pod would break.
pub fn blocking_budget(mirror: &Mirror, pod: &Value) -> Option<StoreError> {
    let namespace = pod.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
    let (budgets, pods) = (named("PodDisruptionBudget")?, named("Pod")?);
    if !is_ready(pod) {
        return None;
    }
    mirror.list(budgets, namespace).into_iter().find_map(|budget| {
        let name = budget.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        let key = Key { kind: budgets, namespace: namespace.to_owned(), name: name.to_owned() };
        let selector = budget.pointer("/spec/selector/matchLabels").and_then(Value::as_object)?;
        if !mirror.is_own(&key) || !takes(selector, pod) {
            return None;
        }
        let all = mirror.list(pods, namespace).into_iter().filter(|other| takes(selector, other));
        let all: Vec<Arc<Value>> = all.collect();
        let has = u32::try_from(all.iter().filter(|pod| is_ready(pod) && !is_ending(pod)).count()).unwrap_or(u32::MAX);
        let needs = needed(&budget, u32::try_from(all.len()).unwrap_or(u32::MAX));
        (has <= needs).then(|| StoreError::Blocked { budget: name.to_owned(), needs, has })
    })
}

fn takes(selector: &Map<String, Value>, pod: &Value) -> bool {
    let labels = pod.pointer("/metadata/labels");
    selector.iter().all(|(name, value)| labels.and_then(|labels| labels.get(name)) == Some(value))
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    conditions.is_some_and(|all| {
        all.iter().any(|one| one.get("type") == Some(&json!("Ready")) && one.get("status") == Some(&json!("True")))
    })
}

/// How many of `all` pods a budget wants to be healthy.
fn needed(budget: &Value, all: u32) -> u32 {
    let share = |value: &Value| match value.as_str() {
        Some(text) => {
            let percent: u32 = text.trim_end_matches('%').parse().unwrap_or(0);
            all.saturating_mul(percent).div_ceil(100)
        }
        None => value.as_u64().and_then(|number| u32::try_from(number).ok()).unwrap_or(0),
    };
    match (budget.pointer("/spec/minAvailable"), budget.pointer("/spec/maxUnavailable")) {
        (Some(least), _) => share(least),
        (None, Some(most)) => all.saturating_sub(share(most)),
        (None, None) => 0,
    }
}
