//! What an apply takes away: fields that its manager applied before and applies no more, and that nobody owns now.
//!
//! As structured-merge-diff does it (`prune` in `merge/update.go`), with one exception. A field of a struct goes with everything
//! in it, defaults of the server too, when nobody owns a part of it; an item of a list and a key of a map go when nobody owns the
//! item or key itself, whatever is owned inside. The exception: keys of a map that are in nobody's books stay. The simulated
//! world keeps no books of what it writes, and the real server has no such keys.

use serde_json::{Map, Value};

use super::fields::{FieldSet, Look, Parts, item_step};

/// Takes away what is in `last`, the manager's set before this apply, and not in `owned`, what all managers own after it.
pub fn prune(look: Look, value: &mut Value, last: &FieldSet, owned: &FieldSet) {
    let nothing = FieldSet::default();
    let owned = |step: &str| owned.below(step).unwrap_or(&nothing);
    match (look.parts(value), value) {
        (Parts::Fields, Value::Object(map)) => {
            for (step, last) in last.steps() {
                let Some(name) = step.strip_prefix("f:") else { continue };
                let (child, owned) = (look.child(name), owned(step));
                let whole = if look.is_map() { is_lost(last, owned) } else { owned.is_empty() && !child.is_map() };
                if whole {
                    map.remove(name);
                } else if let Some(field) = map.get_mut(name) {
                    prune(child, field, last, owned);
                    if is_emptied(field) && !owned.is_member() {
                        map.remove(name);
                    }
                }
            }
        }
        (Parts::Items(keys), Value::Array(items)) => items.retain_mut(|item| {
            let step = item_step(look, keys, item);
            let Some(last) = last.below(&step) else { return true };
            prune(look.item(), item, last, owned(&step));
            !is_lost(last, owned(&step))
        }),
        (Parts::Words, Value::Array(items)) => {
            items.retain(|item| {
                let step = format!("v:{item}");
                !last.below(&step).is_some_and(|last| is_lost(last, owned(&step)))
            });
        }
        _ => {}
    }
}

fn is_lost(last: &FieldSet, owned: &FieldSet) -> bool {
    last.is_member() && !owned.is_member()
}

fn is_emptied(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
}
