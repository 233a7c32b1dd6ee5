//! What changed between two values of one kind: small enough to be written down at every look, and exact when it is put
//! together again.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The way from one value to the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Delta {
    /// The next value, whole.
    #[serde(rename = "is")]
    Whole(Value),
    /// Fields of an object that changed; its other fields stay.
    #[serde(rename = "set")]
    Fields(BTreeMap<String, Delta>),
    #[serde(rename = "list")]
    List(ListDelta),
}

/// Items are cut by their place in the list before, then put by their place in the list after, in rising order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ListDelta {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cut: Vec<usize>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub put: Vec<Put>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Put {
    pub at: usize,
    /// The item of the list before that it was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<usize>,
    #[serde(flatten)]
    pub item: Delta,
}

/// A delta that does not fit the value it is applied to, or whose result is not of its type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a recorded change does not fit what was recorded before it: {0}")]
pub struct Misfit(String);

impl Misfit {
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

/// A value of its own type as JSON. What Ananke observes always can be written so.
fn value<T: Serialize>(of: &T) -> Value {
    serde_json::to_value(of).unwrap_or(Value::Null)
}

fn typed<T: DeserializeOwned>(value: Value) -> Result<T, Misfit> {
    serde_json::from_value(value).map_err(|error| Misfit(error.to_string()))
}

impl Delta {
    pub fn whole<T: Serialize>(new: &T) -> Self {
        Self::Whole(value(new))
    }

    /// For any value; lists of objects inside it are compared item by item.
    pub fn between<T: Serialize>(old: &T, new: &T) -> Self {
        let (old, new) = (value(old), value(new));
        // Equal to the last field: what is compared by other means than its JSON differs nevertheless.
        between_values(&old, &new).unwrap_or(Self::Fields(BTreeMap::new()))
    }

    /// For a list whose items have a name each: only items that differ are written at all.
    pub fn between_lists<'a, T, K>(old: &'a [T], new: &'a [T], name: impl Fn(&'a T) -> K) -> Self
    where
        T: Serialize + PartialEq,
        K: Ord,
    {
        Self::List(list(old, new, name, |old, new| match old {
            Some(old) => Self::between(old, new),
            None => Self::whole(new),
        }))
    }

    /// The next value, from `old`.
    pub fn apply<T: Serialize + DeserializeOwned>(self, old: Option<&T>) -> Result<T, Misfit> {
        typed(self.apply_value(old.map(value))?)
    }

    /// The next list, from `old`.
    pub fn apply_list<T: Serialize + DeserializeOwned + Clone>(self, old: Option<&[T]>) -> Result<Vec<T>, Misfit> {
        match (self, old) {
            (Self::List(list), Some(old)) => list.apply(old, |from, item| item.apply(from)),
            (delta, _) => delta.apply(None::<&Vec<T>>),
        }
    }

    fn apply_value(self, old: Option<Value>) -> Result<Value, Misfit> {
        match (self, old) {
            (Self::Whole(new), _) => Ok(new),
            (Self::Fields(fields), Some(Value::Object(mut old))) => {
                for (name, delta) in fields {
                    let new = delta.apply_value(old.remove(&name))?;
                    old.insert(name, new);
                }
                Ok(Value::Object(old))
            }
            (Self::List(list), Some(Value::Array(old))) => {
                list.apply(&old, |from, item| item.apply_value(from.cloned())).map(Value::Array)
            }
            // Nothing of it changed.
            (Self::Fields(fields), Some(old)) if fields.is_empty() => Ok(old),
            (Self::Fields(_) | Self::List(_), _) => Err(Misfit("there is nothing that it could have changed".to_owned())),
        }
    }
}

impl ListDelta {
    fn apply<T: Clone>(self, old: &[T], make: impl Fn(Option<&T>, Delta) -> Result<T, Misfit>) -> Result<Vec<T>, Misfit> {
        let mut cut = self.cut.into_iter().peekable();
        let kept = old.iter().enumerate().filter(|(place, _)| cut.next_if_eq(place).is_none()).map(|(_, item)| item);
        let mut kept = kept.cloned();
        let mut next = Vec::with_capacity(old.len());
        for put in self.put {
            let missing = put.at.checked_sub(next.len()).ok_or_else(|| Misfit("its items are out of order".to_owned()))?;
            next.extend(kept.by_ref().take(missing));
            if next.len() != put.at {
                return Err(Misfit(format!("item {} is put into a list of {}", put.at, next.len())));
            }
            let from = put.from.map(|place| old.get(place).ok_or_else(|| Misfit(format!("there is no item {place}"))));
            next.push(make(from.transpose()?, put.item)?);
        }
        next.extend(kept);
        Ok(next)
    }
}

fn between_values(old: &Value, new: &Value) -> Option<Delta> {
    match (old, new) {
        _ if old == new => None,
        (Value::Object(old), Value::Object(new)) if same_fields(old, new) => {
            let changed = new.iter().filter_map(|(name, new)| Some((name.clone(), between_values(old.get(name)?, new)?)));
            Some(Delta::Fields(changed.collect()))
        }
        (Value::Array(old), Value::Array(new)) => Some(Delta::List(list(old, new, identity, |old, new| {
            old.and_then(|old| between_values(old, new)).unwrap_or_else(|| Delta::Whole(new.clone()))
        }))),
        _ => Some(Delta::Whole(new.clone())),
    }
}

fn same_fields(old: &Map<String, Value>, new: &Map<String, Value>) -> bool {
    old.len() == new.len() && old.keys().all(|name| new.contains_key(name))
}

/// What an item of a list is called, as far as its JSON tells: another name only costs room.
fn identity(item: &Value) -> String {
    let name = ["object", "name", "node", "service"].iter().find_map(|field| item.get(field));
    name.unwrap_or(item).to_string()
}

fn list<'a, T: PartialEq, K: Ord>(
    old: &'a [T],
    new: &'a [T],
    name: impl Fn(&'a T) -> K,
    item: impl Fn(Option<&T>, &T) -> Delta,
) -> ListDelta {
    let mut places: Option<BTreeMap<K, usize>> = None;
    let mut kept = vec![false; old.len()];
    let (mut put, mut cursor) = (Vec::new(), 0);
    for (at, next) in new.iter().enumerate() {
        // Lists keep their order, mostly: where the next item is what it was expected to be, nothing is looked up.
        let named = name(next);
        let from = match old.get(cursor) {
            Some(old) if name(old) == named => Some(cursor),
            Some(_) | None => {
                let by_name = || old.iter().enumerate().map(|(place, item)| (name(item), place)).collect();
                places.get_or_insert_with(by_name).get(&named).copied()
            }
        };
        let before = from.and_then(|place| old.get(place));
        if let (Some(place), Some(before)) = (from, before)
            && place >= cursor
        {
            cursor = place.saturating_add(1);
            if before == next {
                kept.iter_mut().skip(place).take(1).for_each(|kept| *kept = true);
                continue;
            }
        }
        put.push(Put { at, from, item: item(before, next) });
    }
    let cut = kept.iter().enumerate().filter(|(_, kept)| !**kept).map(|(place, _)| place).collect();
    ListDelta { cut, put }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Item {
        name: u8,
        size: u8,
        parts: Vec<(u8, u8)>,
    }

    fn item((name, size): &(u8, u8)) -> Item {
        Item { name: *name, size: *size, parts: vec![(*size, *name)] }
    }

    #[test]
    fn what_changed_is_all_that_is_written() {
        let old: Vec<Item> = (0..50).map(|name| item(&(name, 1))).collect();
        let mut new = old.clone();
        new.remove(3);
        new.insert(40, item(&(99, 2)));
        new[7].size = 9;
        let delta = Delta::between_lists(&old, &new, |item| item.name);
        let text = serde_json::to_string(&delta).unwrap();
        assert_eq!(
            text,
            r#"{"list":{"cut":[3,8],"put":[{"at":7,"from":8,"set":{"size":{"is":9}}},{"at":40,"is":{"name":99,"parts":[[2,99]],"size":2}}]}}"#
        );
        assert_eq!(serde_json::from_str::<Delta>(&text).unwrap().apply_list(Some(&old)), Ok(new));
    }

    #[test]
    fn a_change_of_something_else_is_refused() {
        let delta = Delta::between_lists(&[item(&(1, 1))], &[item(&(1, 2))], |item| item.name);
        assert!(delta.clone().apply_list::<Item>(None).is_err());
        assert!(delta.apply_list::<Item>(Some(&[])).is_err());
    }

    proptest::proptest! {
        #[test]
        fn every_list_is_put_together_as_it_was(old: Vec<(u8, u8)>, new: Vec<(u8, u8)>) {
            let (old, new): (Vec<Item>, Vec<Item>) = (old.iter().map(item).collect(), new.iter().map(item).collect());
            let delta = Delta::between_lists(&old, &new, |item| item.name);
            proptest::prop_assert_eq!(delta.apply_list(Some(&old)), Ok(new.clone()));
            let whole = Delta::between(&old, &new);
            let text = serde_json::to_string(&whole).unwrap();
            proptest::prop_assert_eq!(serde_json::from_str::<Delta>(&text).unwrap().apply(Some(&old)), Ok(new));
        }
    }
}
