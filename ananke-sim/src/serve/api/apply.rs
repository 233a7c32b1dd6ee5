//! Server-side apply: what a manager applies is merged, what it no longer applies is removed, and what others own is a conflict.

use serde_json::{Map, Value};

use super::fields::{self, FieldSet, Look, Parts, item_step};
use super::kinds::Kind;
use super::managed::{self, Entry, Writer};
use super::status::{self, Failure};

/// The object after `wanted` was applied to `live`.
pub fn apply(kind: &Kind, live: &Value, wanted: &Value, writer: &Writer<'_>, force: bool) -> Result<Value, Failure> {
    let ownable = |object: &Value| managed::ownable(kind, object, writer.subresource);
    let set = fields::all(kind, &ownable(wanted));
    let mut entries = managed::entries(live);
    let mine = entries.iter().position(|entry| entry.is_of(writer, true)).map(|at| entries.remove(at));

    let mut merged = merge(Look::of_kind(kind), live, wanted);
    let change = fields::difference(kind, &ownable(live), &ownable(&merged));
    let mut taken = change.added;
    taken.union(&change.changed);
    let conflicts: Vec<(&Entry, FieldSet)> =
        entries.iter().map(|entry| (entry, entry.set.common(&taken))).filter(|(_, common)| !common.is_empty()).collect();
    if !conflicts.is_empty() && !force {
        return Err(refused(&conflicts));
    }
    for entry in &mut entries {
        entry.set = entry.set.without(&taken);
    }
    if let Some(mine) = &mine {
        let mut gone = mine.set.without(&set);
        for entry in &entries {
            gone = gone.without(&entry.set);
        }
        prune(&mut merged, &gone);
    }
    entries.push(managed::applied(kind, writer, set, mine.as_ref()));
    managed::put(&mut merged, entries);
    Ok(merged)
}

fn merge(look: Look, live: &Value, wanted: &Value) -> Value {
    match (look.parts(wanted), live, wanted) {
        (Parts::Fields, Value::Object(live), Value::Object(wanted)) => {
            let mut merged = live.clone();
            for (name, value) in wanted {
                let value = match live.get(name) {
                    Some(before) => merge(look.child(name), before, value),
                    None => value.clone(),
                };
                merged.insert(name.clone(), value);
            }
            Value::Object(merged)
        }
        (Parts::Words, Value::Array(live), Value::Array(wanted)) => {
            let new = wanted.iter().filter(|item| !live.contains(item));
            Value::Array(live.iter().chain(new).cloned().collect())
        }
        (Parts::Items(keys), Value::Array(live), Value::Array(wanted)) => {
            let step = |item: &Value| item_step(look, keys, item);
            let mut merged = live.clone();
            for item in wanted {
                match merged.iter_mut().find(|known| step(known) == step(item)) {
                    Some(known) => *known = merge(look.item(), known, item),
                    None => merged.push(item.clone()),
                }
            }
            Value::Array(merged)
        }
        _ => wanted.clone(),
    }
}

/// Removes the fields of `gone`, and maps that it leaves empty.
fn prune(value: &mut Value, gone: &FieldSet) {
    for (step, below) in gone.steps() {
        let whole = below.is_member();
        match (step.split_once(':'), &mut *value) {
            (Some(("f", name)), Value::Object(map)) => {
                if whole {
                    map.remove(name);
                } else if let Some(field) = map.get_mut(name) {
                    prune(field, below);
                    if field.as_object().is_some_and(Map::is_empty) {
                        map.remove(name);
                    }
                }
            }
            (Some(("k", keys)), Value::Array(items)) => {
                let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
                let named = |item: &Value| keys.iter().all(|(key, value)| item.get(key).is_none_or(|found| found == value));
                if whole {
                    items.retain(|item| !named(item));
                } else if let Some(item) = items.iter_mut().find(|item| named(item)) {
                    prune(item, below);
                }
            }
            (Some(("v", word)), Value::Array(items)) => {
                let word: Value = serde_json::from_str(word).unwrap_or_default();
                items.retain(|item| *item != word);
            }
            _ => {}
        }
    }
}

fn refused(conflicts: &[(&Entry, FieldSet)]) -> Failure {
    let each = conflicts.iter().flat_map(|(entry, common)| common.paths().into_iter().map(|path| (entry.described(), path)));
    let causes: Vec<(String, String)> = each.collect();
    let message = match causes.as_slice() {
        [(who, path)] => format!("Apply failed with 1 conflict: conflict with {who}: {path}"),
        many => {
            let mut text = format!("Apply failed with {} conflicts: ", many.len());
            for (entry, common) in conflicts {
                let paths: String = common.paths().iter().map(|path| format!("\n- {path}")).collect();
                text.push_str(&format!("conflicts with {}:{paths}\n", entry.described()));
            }
            text.trim_end().to_owned()
        }
    };
    status::apply_conflict(message, &causes)
}
