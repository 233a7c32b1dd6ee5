//! Three of the patch formats: merge, JSON and strategic merge. Server-side apply is in `apply.rs`.
//!
//! Lists without a merge key (taints among them) are replaced whole.

use serde_json::{Map, Value};

use super::kinds::Kind;
use super::schema::{self, Merge, Shape};
use super::status::{Failure, bad_request, unprocessable, unsupported_media};

/// The media type of server-side apply.
pub const APPLY: &str = "application/apply-patch+yaml";

/// Applies `body` to `object` in the format that `content_type` names.
pub fn apply(kind: &Kind, object: &Value, content_type: &str, body: &[u8]) -> Result<Value, Failure> {
    let media = content_type.split(';').next().unwrap_or_default().trim();
    let mut patched = object.clone();
    match media {
        "application/merge-patch+json" => json_patch::merge(&mut patched, &parse(body)?),
        "application/strategic-merge-patch+json" if kind.is_custom() => return Err(unsupported_media(true)),
        "application/strategic-merge-patch+json" => strategic(schema::shape(kind), &mut patched, &parse(body)?),
        "application/json-patch+json" => {
            let patch: json_patch::Patch =
                serde_json::from_slice(body).map_err(|error| bad_request(format!("error decoding patch: {error}")))?;
            json_patch::patch(&mut patched, &patch).map_err(|_| unprocessable())?;
        }
        _ => return Err(unsupported_media(kind.is_custom())),
    }
    if patched.get("metadata").is_some_and(Value::is_object) { Ok(patched) } else { Err(unprocessable()) }
}

fn parse(body: &[u8]) -> Result<Value, Failure> {
    match serde_json::from_slice(body) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err(bad_request("error decoding patch: json: cannot unmarshal into Go value of type map[string]interface {}")),
        Err(error) => Err(bad_request(format!("error decoding patch: {error}"))),
    }
}

fn strategic(shape: Shape, target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if patch.get("$patch").and_then(Value::as_str) == Some("replace") {
        *target = Value::Object(without_directives(patch));
        return;
    }
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(map) = target else { return };
    for (field, change) in patch {
        if let Some(list) = field.strip_prefix("$deleteFromPrimitiveList/") {
            if let (Some(Value::Array(items)), Value::Array(gone)) = (map.get_mut(list), change) {
                items.retain(|item| !gone.contains(item));
            }
        } else if field.starts_with('$') {
            // $setElementOrder and $retainKeys only order or prune what the merge below already has right for our objects.
        } else {
            merge_field(shape, map, field, change);
        }
    }
}

fn merge_field(shape: Shape, map: &mut Map<String, Value>, name: &str, change: &Value) {
    let field = shape.of().and_then(|of| of.field(name));
    let below = if let Shape::Map(item) = shape { *item } else { field.map_or(Shape::Any, |field| field.shape) };
    match (change, field.and_then(|field| field.merge)) {
        (Value::Null, _) => {
            map.remove(name);
        }
        (Value::Object(_), _) => strategic(below, map.entry(name).or_insert(Value::Null), change),
        (Value::Array(items), Some(Merge::By(key))) => {
            let item = if let Shape::List(item) = below { *item } else { Shape::Any };
            merge_list(item, map.entry(name).or_insert(Value::Array(vec![])), items, key);
        }
        (Value::Array(items), Some(Merge::Union)) => union(map.entry(name).or_insert(Value::Null), items),
        (_, _) => {
            map.insert(name.to_owned(), change.clone());
        }
    }
}

fn without_directives(patch: &Map<String, Value>) -> Map<String, Value> {
    patch.iter().filter(|(field, _)| !field.starts_with('$')).map(|(field, value)| (field.clone(), value.clone())).collect()
}

fn merge_list(shape: Shape, target: &mut Value, changes: &[Value], key: &str) {
    if !target.is_array() {
        *target = Value::Array(Vec::new());
    }
    let Value::Array(items) = target else { return };
    if changes.iter().any(|change| change.get(key).is_none() && change.get("$patch").and_then(Value::as_str) == Some("replace")) {
        *items = changes.iter().filter(|change| change.get("$patch").is_none()).cloned().collect();
        return;
    }
    for change in changes {
        let same = |item: &Value| item.get(key).is_some() && item.get(key) == change.get(key);
        if change.get("$patch").and_then(Value::as_str) == Some("delete") {
            items.retain(|item| !same(item));
        } else if let Some(item) = items.iter_mut().find(|item| same(item)) {
            strategic(shape, item, change);
        } else {
            items.push(change.clone());
        }
    }
}

fn union(target: &mut Value, additions: &[Value]) {
    if !target.is_array() {
        *target = Value::Array(Vec::new());
    }
    let Value::Array(items) = target else { return };
    for addition in additions {
        if !items.contains(addition) {
            items.push(addition.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::kinds::named;
    use super::*;

    fn node() -> Value {
        json!({"metadata": {"name": "n", "annotations": {"a": "1"}}, "spec": {"taints": [{"key": "old", "effect": "NoSchedule"}]},
            "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "DiskPressure", "status": "False"}]}})
    }

    fn patched(format: &str, patch: Value) -> Result<Value, u16> {
        let body = patch.to_string();
        apply(named("Node").unwrap(), &node(), &format!("application/{format}-patch+json; charset=utf-8"), body.as_bytes())
            .map_err(|refused| refused.code)
    }

    #[test]
    fn a_strategic_patch_merges_maps_and_keyed_lists_and_replaces_taints() {
        let patch = json!({"metadata": {"annotations": {"a": null, "b": "2"}},
            "spec": {"unschedulable": true, "taints": [{"key": "new", "effect": "NoExecute"}]},
            "status": {"$setElementOrder/conditions": [{"type": "Ready"}],
                "conditions": [{"type": "Ready", "status": "Unknown"}, {"type": "DiskPressure", "$patch": "delete"}]}});
        assert_eq!(
            patched("strategic-merge", patch).unwrap(),
            json!({"metadata": {"name": "n", "annotations": {"b": "2"}},
                "spec": {"unschedulable": true, "taints": [{"key": "new", "effect": "NoExecute"}]},
                "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}})
        );
    }

    #[test]
    fn a_json_patch_whose_test_fails_changes_nothing() {
        let patch = json!([{"op": "test", "path": "/metadata/annotations/a", "value": "2"}, {"op": "remove", "path": "/spec"}]);
        assert_eq!(patched("json", patch), Err(422));
        let patch = json!([{"op": "test", "path": "/metadata/annotations/a", "value": "1"},
            {"op": "replace", "path": "/metadata/annotations/a", "value": "3"}]);
        assert_eq!(patched("json", patch).unwrap()["metadata"]["annotations"]["a"], "3");
    }

    #[test]
    fn unknown_formats_and_strategic_patches_of_custom_resources_are_refused() {
        assert_eq!(patched("nonsense", json!({})), Err(415));
        let flux = named("Kustomization").unwrap();
        let refused = apply(flux, &node(), "application/strategic-merge-patch+json", b"{}").unwrap_err();
        assert_eq!(refused.code, 415);
        assert_eq!(apply(flux, &node(), "application/merge-patch+json", b"[").unwrap_err().code, 400);
    }
}
