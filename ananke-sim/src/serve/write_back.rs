//! A client's change of an object, taken apart into what the world can be told.
//!
//! What the model has no notion of is refused by name, rather than accepted and lost.

use std::sync::Arc;

use ananke_core::name::{Kind, NodeName, ObjectRef};
use ananke_core::observation::Taint;
use serde_json::{Map, Value, json};

use super::api::store::{Key, StoreError};
use crate::world::{NodePatch, Refusal, World};

/// Labels or annotations that change: new value, or none to remove.
type Words = Vec<(Arc<str>, Option<Arc<str>>)>;

/// What a change comes down to.
#[derive(Debug, Default)]
pub struct Plan {
    node: Option<NodePatch>,
    annotations: Words,
    suspend: Option<bool>,
    branch: Option<String>,
    url: Option<String>,
    replicas: Option<u32>,
    /// Fields of `metadata` that the model does not keep for this kind.
    pub overlaid: Vec<&'static str>,
}

/// Finds out what `wanted` changes in `current`, or which field of it cannot be changed here.
pub fn plan(key: &Key, current: &Value, wanted: &Value) -> Result<Plan, StoreError> {
    let mut plan = Plan::default();
    let mut taken: Vec<&str> = vec![
        "/metadata/managedFields",
        "/metadata/resourceVersion",
        "/metadata/generation",
        "/metadata/labels",
        "/metadata/annotations",
    ];
    let changed = |at: &str| current.pointer(at) != wanted.pointer(at);
    match key.kind.kind {
        "Node" if key.kind.group.is_empty() => {
            taken.extend(["/spec/taints", "/spec/unschedulable"]);
            plan.node = Some(NodePatch {
                labels: words(current, wanted, "/metadata/labels"),
                annotations: words(current, wanted, "/metadata/annotations"),
                taints: changed("/spec/taints").then(|| taints(wanted)).transpose()?,
                unschedulable: changed("/spec/unschedulable").then(|| truth(wanted, "/spec/unschedulable")),
            });
        }
        "GitRepository" | "Kustomization" | "HelmRelease" => {
            taken.push("/spec/suspend");
            plan.annotations = words(current, wanted, "/metadata/annotations");
            plan.suspend =
                (truth(current, "/spec/suspend") != truth(wanted, "/spec/suspend")).then(|| truth(wanted, "/spec/suspend"));
            if key.kind.kind == "GitRepository" {
                taken.extend(["/spec/ref/branch", "/spec/url"]);
                plan.url = text(wanted, "/spec/url").filter(|_| changed("/spec/url")).map(str::to_owned);
                if changed("/spec/ref/branch") {
                    plan.branch = Some(text(wanted, "/spec/ref/branch").unwrap_or("master").to_owned());
                }
            }
            plan.overlaid = vec!["labels"];
        }
        "Deployment" | "StatefulSet" => {
            taken.push("/spec/replicas");
            if changed("/spec/replicas") {
                let asked = wanted.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(1);
                plan.replicas = Some(u32::try_from(asked).map_err(|_| invalid("spec.replicas", "too many"))?);
            }
            plan.overlaid = vec!["labels", "annotations"];
        }
        _ => plan.overlaid = vec!["labels", "annotations"],
    }
    match first_difference(&without(current, &taken), &without(wanted, &taken), String::new()) {
        Some(field) => Err(invalid(&field, "the simulated cluster does not model a change of this field")),
        None => {
            plan.overlaid.push("managedFields");
            plan.overlaid.retain(|field| {
                let at = format!("/metadata/{field}");
                current.pointer(&at) != wanted.pointer(&at)
            });
            Ok(plan)
        }
    }
}

/// Tells the world. The version was checked before, under the same lock.
pub fn apply(world: &mut World, key: &Key, plan: Plan) -> Result<(), StoreError> {
    let object = |kind| ObjectRef::new(kind, &key.namespace, &key.name);
    if let Some(patch) = plan.node {
        let name = NodeName::parse(&key.name).map_err(|error| invalid("metadata.name", error))?;
        world.patch_node(&name, None, patch).map_err(refused)?;
    }
    let flux = match key.kind.kind {
        "GitRepository" => Some(object(Kind::GitRepository)),
        "Kustomization" => Some(object(Kind::Kustomization)),
        "HelmRelease" => Some(object(Kind::HelmRelease)),
        _ => None,
    };
    if let Some(flux) = flux {
        if let Some(branch) = &plan.branch {
            world.set_branch(&flux, None, branch).map_err(refused)?;
        }
        if let Some(url) = &plan.url {
            world.set_url(&flux, None, url).map_err(refused)?;
        }
        if let Some(suspend) = plan.suspend {
            world.suspend_flux(&flux, None, suspend).map_err(refused)?;
        }
        if !plan.annotations.is_empty() {
            world.annotate_flux(&flux, None, plan.annotations).map_err(refused)?;
        }
    }
    if let Some(replicas) = plan.replicas {
        let kind = if key.kind.kind == "StatefulSet" { Kind::StatefulSet } else { Kind::Deployment };
        world.scale(&object(kind), None, replicas).map_err(refused)?;
    }
    Ok(())
}

/// The world's refusals in the store's words; budgets get their numbers from the caller.
pub fn refused(refusal: Refusal) -> StoreError {
    match refusal {
        Refusal::Missing(_) => StoreError::NotFound,
        Refusal::Conflict { .. } => StoreError::Conflict,
        Refusal::OtherUid { found } => StoreError::OtherUid { found: found.as_str().to_owned() },
        Refusal::Blocked { budget } => StoreError::Blocked { budget: budget.to_string(), needs: 0, has: 0 },
        Refusal::Invalid(found) => invalid("spec", found),
    }
}

fn invalid(field: &str, found: impl ToString) -> StoreError {
    StoreError::Invalid { field: field.to_owned(), found: found.to_string() }
}

fn text<'a>(object: &'a Value, at: &str) -> Option<&'a str> {
    object.pointer(at).and_then(Value::as_str)
}

fn truth(object: &Value, at: &str) -> bool {
    object.pointer(at).and_then(Value::as_bool).unwrap_or(false)
}

fn words(current: &Value, wanted: &Value, at: &str) -> Words {
    let empty = Map::new();
    let before = current.pointer(at).and_then(Value::as_object).unwrap_or(&empty);
    let after = wanted.pointer(at).and_then(Value::as_object).unwrap_or(&empty);
    let removed = before.keys().filter(|name| !after.contains_key(*name)).map(|name| (Arc::from(name.as_str()), None));
    let set = after.iter().filter(|(name, value)| before.get(*name) != Some(value));
    removed.chain(set.map(|(name, value)| (Arc::from(name.as_str()), value.as_str().map(Arc::from)))).collect()
}

fn taints(object: &Value) -> Result<Vec<Taint>, StoreError> {
    let list = object.pointer("/spec/taints").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let each = list.iter().map(|taint| {
        let part = |field: &str| taint.get(field).and_then(Value::as_str).unwrap_or_default();
        if part("key").is_empty() || !matches!(part("effect"), "NoSchedule" | "PreferNoSchedule" | "NoExecute") {
            return Err(invalid(
                "spec.taints",
                format!("Invalid value: {taint}: a taint has a key and one of the known effects"),
            ));
        }
        Ok(Taint { key: part("key").into(), value: part("value").into(), effect: part("effect").into() })
    });
    each.collect()
}

fn without(object: &Value, fields: &[&str]) -> Value {
    let mut rest = object.clone();
    for field in fields {
        if let Some((parent, name)) = field.rsplit_once('/')
            && let Some(map) = rest.pointer_mut(parent).and_then(Value::as_object_mut)
        {
            map.remove(name);
        }
    }
    rest
}

/// The path of the first field that differs, as `spec.template.spec`.
fn first_difference(one: &Value, other: &Value, path: String) -> Option<String> {
    if one == other {
        return None;
    }
    if let (Value::Object(one), Value::Object(other)) = (one, other) {
        let names = one.keys().chain(other.keys());
        let below = names.filter_map(|name| {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            first_difference(one.get(name).unwrap_or(&json!(null)), other.get(name).unwrap_or(&json!(null)), path)
        });
        return below.into_iter().next();
    }
    Some(path)
}
