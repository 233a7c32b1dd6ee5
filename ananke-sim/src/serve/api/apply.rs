//! Server-side apply: what a manager applies is merged, what it no longer applies is removed, and what others own is a conflict.

use serde_json::Value;

use super::fields::{self, FieldSet, Look, Parts, item_step};
use super::kinds::Kind;
use super::managed::{self, Entry, Writer};
use super::prune::prune;
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
        let mut owned = set.clone();
        for entry in &entries {
            owned.union(&entry.set);
        }
        prune(Look::of_kind(kind), &mut merged, &mine.set, &owned);
        let gone = fields::difference(kind, &ownable(live), &ownable(&merged)).removed;
        for entry in &mut entries {
            entry.set = entry.set.without(&gone);
        }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::kinds::named;
    use super::*;

    const FLUX: &str = "kustomize-controller";

    fn writer(manager: &str) -> Writer<'_> {
        Writer { manager, subresource: "", now: "2026-01-01T00:00:00Z" }
    }

    /// A Deployment that Ananke made in Flux's name, after Flux made its *Update* entry its *Apply* one.
    fn taken_over(spec: Value) -> Value {
        let kind = named("Deployment").unwrap();
        let mut made = json!({"metadata": {"name": "git", "labels": {"app": "git", "tier": "old"}}, "spec": spec});
        managed::update(kind, &managed::nothing(kind), &mut made, &writer(FLUX));
        made["metadata"]["managedFields"][0]["operation"] = json!("Apply");
        made
    }

    fn container(more: &Value) -> Value {
        let mut container = json!({"name": "git", "image": "git:1"});
        container.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"template": {"spec": {"containers": [container]}}})
    }

    fn applied(live: &Value, manager: &str, labels: Value, spec: Value) -> Value {
        let wanted = json!({"metadata": {"name": "git", "labels": labels}, "spec": spec});
        apply(named("Deployment").unwrap(), live, &wanted, &writer(manager), true).unwrap()
    }

    fn labels(object: &Value) -> Value {
        object["metadata"]["labels"].clone()
    }

    #[test]
    fn fields_taken_over_from_an_update_lose_only_what_git_lost() {
        let ports = json!([{"containerPort": 22, "protocol": "TCP"}, {"containerPort": 3000, "protocol": "TCP"}]);
        let live = taken_over(container(&json!({"ports": ports, "args": ["serve"], "tty": true})));
        let spec = container(&json!({"ports": [{"containerPort": 3000, "protocol": "TCP"}]}));
        let after = applied(&live, FLUX, json!({"app": "git"}), spec.clone());
        assert_eq!((labels(&after), &after["spec"]), (json!({"app": "git"}), &spec));
    }

    #[test]
    fn what_another_manager_owns_as_well_stays() {
        let live = taken_over(container(&json!({"tty": true})));
        let mut shared = applied(&live, "somebody", json!({"tier": "old"}), container(&json!({"tty": true})));
        // An update of one field inside an item does not own the item.
        let before = shared.clone();
        shared["spec"]["replicas"] = json!(2);
        managed::update(named("Deployment").unwrap(), &before, &mut shared, &writer("autoscaler"));
        let after = applied(&shared, FLUX, json!({"app": "git"}), json!({}));
        assert_eq!(labels(&after), json!({"app": "git", "tier": "old"}));
        let left = container(&json!({"tty": true}));
        assert_eq!((&after["spec"]["template"], &after["spec"]["replicas"]), (&left["template"], &json!(2)));
    }

    #[test]
    fn a_struct_goes_with_what_the_server_filled_in_and_a_map_keeps_what_is_nobodys() {
        let probe = json!({"readinessProbe": {"httpGet": {"path": "/", "port": 80}}});
        let mut live = applied(&json!({"metadata": {"name": "git"}}), FLUX, json!({"app": "git"}), container(&probe));
        live["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]["periodSeconds"] = json!(10);
        live["metadata"]["labels"]["site"] = json!("of the world");
        let after = applied(&live, FLUX, json!({}), container(&json!({})));
        assert_eq!((labels(&after), &after["spec"]), (json!({"site": "of the world"}), &container(&json!({}))));
    }

    #[test]
    fn an_item_goes_with_the_field_that_an_update_changed_in_it() {
        let two = |image: &str| json!({"template": {"spec": {"containers": [{"name": "git", "image": "git:1"}, {"name": "helper", "image": image}]}}});
        let live = applied(&json!({"metadata": {"name": "git"}}), FLUX, json!({}), two("helper:1"));
        let mut changed = applied(&live, FLUX, json!({}), two("helper:1"));
        changed["spec"]["template"]["spec"]["containers"][1]["image"] = json!("helper:2");
        managed::update(named("Deployment").unwrap(), &live, &mut changed, &writer("kubectl-set"));
        let after = applied(&changed, FLUX, json!({}), container(&json!({})));
        assert_eq!(after["spec"], container(&json!({})));
        let owners: Vec<String> = managed::entries(&after).iter().map(|entry| entry.manager.clone()).collect();
        assert_eq!(owners, [FLUX]);
    }
}
