//! Sets of fields, as `metadata.managedFields` records who owns what, and the differences between two objects as such sets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::kinds::Kind;
use super::schema::{self, Field, ListKind, Shape, Type};

/// A tree of paths. Steps are written as FieldsV1 writes them: `f:name`, `k:{"name":"c"}`, `v:"word"`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldSet {
    /// The path that leads here is in the set.
    member: bool,
    below: BTreeMap<String, FieldSet>,
}

impl FieldSet {
    pub fn is_empty(&self) -> bool {
        !self.member && self.below.values().all(Self::is_empty)
    }

    pub fn insert(&mut self, path: &[String]) {
        let mut at = self;
        for step in path {
            at = at.below.entry(step.clone()).or_default();
        }
        at.member = true;
    }

    pub fn union(&mut self, other: &Self) {
        self.member |= other.member;
        for (step, set) in &other.below {
            self.below.entry(step.clone()).or_default().union(set);
        }
    }

    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        self.combined(other, |here, there| here && !there)
    }

    #[must_use]
    pub fn common(&self, other: &Self) -> Self {
        self.combined(other, |here, there| here && there)
    }

    fn combined(&self, other: &Self, keep: fn(bool, bool) -> bool) -> Self {
        let nothing = Self::default();
        let below = self.below.iter().map(|(step, set)| {
            let there = other.below.get(step).unwrap_or(&nothing);
            (step.clone(), set.combined(there, keep))
        });
        let below = below.filter(|(_, set)| !set.is_empty()).collect();
        Self { member: keep(self.member, other.member), below }
    }

    /// Steps from here, with the set below each.
    pub fn steps(&self) -> impl Iterator<Item = (&str, &Self)> {
        self.below.iter().map(|(step, set)| (step.as_str(), set))
    }

    /// The set below one step; `.spec` of a set is `below("f:spec")`.
    pub fn below(&self, step: &str) -> Option<&Self> {
        self.below.get(step)
    }

    pub fn is_member(&self) -> bool {
        self.member
    }

    /// Forgets everything below a step.
    pub fn cut(&mut self, step: &str) {
        self.below.remove(step);
    }

    pub fn to_json(&self) -> Value {
        let mut map = Map::new();
        if self.member && !self.below.is_empty() {
            map.insert(".".to_owned(), json!({}));
        }
        map.extend(self.below.iter().map(|(step, set)| (step.clone(), set.to_json())));
        Value::Object(map)
    }

    pub fn from_json(value: &Value) -> Self {
        let Some(map) = value.as_object() else { return Self::default() };
        let mut set = Self { member: map.is_empty() || map.contains_key("."), below: BTreeMap::new() };
        set.below =
            map.iter().filter(|(step, _)| *step != ".").map(|(step, below)| (step.clone(), Self::from_json(below))).collect();
        set
    }

    /// Every path, as messages write them: `.metadata.annotations.owner`.
    pub fn paths(&self) -> Vec<String> {
        let mut out = Vec::new();
        self.collect(String::new(), &mut out);
        out
    }

    fn collect(&self, path: String, out: &mut Vec<String>) {
        if self.member {
            out.push(path.clone());
        }
        for (step, set) in &self.below {
            let step = match step.split_once(':') {
                Some(("f", name)) => format!(".{name}"),
                Some((_, rest)) => {
                    format!("[{}]", rest.trim_start_matches('{').trim_end_matches('}').replace("\":", "\"=").replace('"', ""))
                }
                None => step.clone(),
            };
            set.collect(format!("{path}{step}"), out);
        }
    }
}

/// What became of an object.
#[derive(Debug, Default)]
pub struct Difference {
    pub added: FieldSet,
    pub changed: FieldSet,
    pub removed: FieldSet,
}

/// How a value is looked at: its shape, and how a list or map of it is owned.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    shape: Shape,
    list: &'static ListKind,
    atomic: bool,
}

static ATOMIC: ListKind = ListKind::Atomic;
static EMPTY: LazyLock<Value> = LazyLock::new(|| json!({}));

impl Look {
    /// A whole object.
    pub fn of_kind(kind: &Kind) -> Self {
        Self::plain(schema::shape(kind))
    }

    fn any() -> Self {
        Self::plain(Shape::Any)
    }

    fn plain(shape: Shape) -> Self {
        let atomic = shape.of().is_some_and(|of| of.atomic);
        Self { shape, list: &ATOMIC, atomic }
    }

    fn field(field: &'static Field) -> Self {
        Self { list: &field.list, atomic: field.atomic || Self::plain(field.shape).atomic, shape: field.shape }
    }

    /// The fields, where the value is an object with known ones.
    pub fn of(self) -> Option<&'static Type> {
        self.shape.of()
    }

    /// Its keys are words of the client's choice.
    pub fn is_map(self) -> bool {
        matches!(self.shape, Shape::Map(_)) && !self.atomic
    }

    /// How the value behind a key is looked at.
    pub fn child(self, name: &str) -> Self {
        if let Shape::Map(item) = self.shape {
            return Self::plain(*item);
        }
        self.of().and_then(|of| of.field(name)).map_or_else(Self::any, Self::field)
    }

    pub fn item(self) -> Self {
        if let Shape::List(item) = self.shape { Self::plain(*item) } else { Self::any() }
    }

    /// How the parts of a value are owned.
    pub fn parts(self, value: &Value) -> Parts {
        match (value, self.list) {
            (Value::Object(_), _) if !self.atomic => Parts::Fields,
            (Value::Array(_), ListKind::Set) => Parts::Words,
            (Value::Array(_), ListKind::Map(keys)) => Parts::Items(keys),
            _ => Parts::None,
        }
    }
}

/// What a value falls apart into.
#[derive(Debug, Clone, Copy)]
pub enum Parts {
    Fields,
    Words,
    /// Items of a list, told apart by these keys.
    Items(&'static [&'static str]),
    /// It is owned as a whole.
    None,
}

/// The step to an item of a list: its keys, sorted, with the defaults of those that it leaves out.
pub fn item_step(look: Look, keys: &[&str], item: &Value) -> String {
    let mut named = Map::new();
    for key in keys {
        let default = look.item().of().and_then(|of| of.field(key)).and_then(|field| field.default.clone());
        if let Some(value) = item.get(key).cloned().or(default) {
            named.insert((*key).to_owned(), value);
        }
    }
    format!("k:{}", Value::Object(named))
}

/// Compares two objects of one kind.
pub fn difference(kind: &Kind, before: &Value, after: &Value) -> Difference {
    let mut walk = Walk { structs: !kind.is_custom(), out: Difference::default(), path: Vec::new() };
    walk.fields(Look::of_kind(kind), Some(before), Some(after));
    walk.out
}

/// All fields of what a client applies.
pub fn all(kind: &Kind, object: &Value) -> FieldSet {
    let mut set = FieldSet::default();
    let whole = Look::of_kind(kind);
    for (name, value) in object.as_object().into_iter().flatten() {
        own(whole.child(name), value, &mut vec![format!("f:{name}")], &mut set, false);
    }
    set
}

fn own(look: Look, value: &Value, path: &mut Vec<String>, set: &mut FieldSet, named: bool) {
    let mut into = |look: Look, step: String, value: &Value, named: bool, set: &mut FieldSet| {
        path.push(step);
        own(look, value, path, set, named);
        path.pop();
    };
    let empty = value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty);
    match (look.parts(value), value) {
        (Parts::Fields, Value::Object(map)) if !empty => {
            // Keys of a map are members by themselves, fields of a struct are not.
            for (name, value) in map {
                into(look.child(name), format!("f:{name}"), value, look.is_map(), set);
            }
        }
        (Parts::Items(keys), Value::Array(items)) if !empty => {
            for item in items {
                into(look.item(), item_step(look, keys, item), item, true, set);
            }
        }
        (Parts::Words, Value::Array(items)) if !empty => {
            for item in items {
                into(look.item(), format!("v:{item}"), item, true, set);
            }
        }
        _ => set.insert(path),
    }
    if named {
        set.insert(path);
    }
}

struct Walk {
    /// The objects are Go structs in the real server, not maps.
    structs: bool,
    out: Difference,
    path: Vec<String>,
}

impl Walk {
    fn enter(&mut self, look: Look, step: String, before: Option<&Value>, after: Option<&Value>) {
        if before.is_none() && after.is_none() {
            return;
        }
        self.path.push(step);
        self.value(look, before, after);
        self.path.pop();
    }

    fn value(&mut self, look: Look, before: Option<&Value>, after: Option<&Value>) {
        let empty = |value: Option<&Value>| {
            value.is_none_or(|value| {
                value.is_null() || value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
            })
        };
        let parts = after.filter(|value| !value.is_null()).or(before).map_or(Parts::None, |value| look.parts(value));
        if empty(before) && empty(after) {
            return self.leaf(before, after);
        }
        match parts {
            Parts::None => return self.leaf(before, after),
            Parts::Fields => self.fields(look, before, after),
            Parts::Words => self.words(look, before, after),
            Parts::Items(keys) => self.items(look, keys, before, after),
        }
        match (before, after) {
            (None, Some(_)) => self.out.added.insert(&self.path),
            (Some(_), None) => self.out.removed.insert(&self.path),
            (Some(_), Some(_)) | (None, None) => {}
        }
    }

    fn leaf(&mut self, before: Option<&Value>, after: Option<&Value>) {
        match (before, after) {
            (None, Some(_)) => self.out.added.insert(&self.path),
            (Some(_), None) => self.out.removed.insert(&self.path),
            (Some(before), Some(after)) if before != after => self.out.changed.insert(&self.path),
            (Some(_), Some(_)) | (None, None) => {}
        }
    }

    fn fields(&mut self, look: Look, before: Option<&Value>, after: Option<&Value>) {
        let keys = |value: Option<&Value>| -> BTreeSet<String> {
            value.and_then(Value::as_object).map(|map| map.keys().cloned().collect()).unwrap_or_default()
        };
        let names: BTreeSet<String> = keys(before).union(&keys(after)).cloned().collect();
        for name in names {
            let field = look.of().and_then(|of| of.field(&name));
            // A struct that is no pointer was there before if what it is in was, and so was a list that cannot be left out.
            let there = |parent: Option<&'_ Value>| match field.filter(|_| self.structs && parent.is_some()) {
                Some(field) if field.always => Some(&*EMPTY),
                Some(field) if field.required => Some(&Value::Null),
                Some(_) | None => None,
            };
            let was = before.and_then(|map| map.get(&name)).or_else(|| there(before));
            let is = after.and_then(|map| map.get(&name)).or_else(|| there(after));
            self.enter(look.child(&name), format!("f:{name}"), was, is);
        }
    }

    fn words(&mut self, look: Look, before: Option<&Value>, after: Option<&Value>) {
        let items = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
        let (before, after) = (items(before), items(after));
        let mut all = before.clone();
        all.extend(after.iter().filter(|item| !before.contains(item)).cloned());
        for item in &all {
            let (was, is) = (before.contains(item).then_some(item), after.contains(item).then_some(item));
            self.enter(look.item(), format!("v:{item}"), was, is);
        }
    }

    fn items(&mut self, look: Look, keys: &[&str], before: Option<&Value>, after: Option<&Value>) {
        let named = |value: Option<&Value>| -> BTreeMap<String, Value> {
            let items = value.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            items.iter().map(|item| (item_step(look, keys, item), item.clone())).collect()
        };
        let (before, after) = (named(before), named(after));
        let steps: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        for step in steps {
            self.enter(look.item(), step.clone(), before.get(step), after.get(step));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::kinds::named;
    use super::*;

    fn check(kind: &str, before: Value, after: Value, added: Value, changed: Value, removed: Value) {
        let found = difference(named(kind).unwrap(), &before, &after);
        assert_eq!((found.added.to_json(), found.changed.to_json(), found.removed.to_json()), (added, changed, removed));
    }

    #[test]
    fn a_map_that_was_not_there_is_added_itself_and_a_struct_is_not() {
        check(
            "Node",
            json!({}),
            json!({"metadata": {"labels": {"a": "1"}}, "spec": {"unschedulable": true}}),
            json!({"f:metadata": {"f:labels": {".": {}, "f:a": {}}}, "f:spec": {"f:unschedulable": {}}}),
            json!({}),
            json!({}),
        );
    }

    #[test]
    fn items_are_told_apart_by_their_keys_and_atomic_lists_are_not() {
        check(
            "Pod",
            json!({"spec": {"containers": [{"name": "c", "image": "a:1"}]}}),
            json!({"spec": {"containers": [{"name": "c", "image": "a:2", "resources": {}}, {"name": "d", "args": ["x"]}]}}),
            json!({"f:spec": {"f:containers": {"k:{\"name\":\"d\"}": {".": {}, "f:args": {}, "f:name": {}}}}}),
            json!({"f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {"f:image": {}}}}}),
            json!({}),
        );
        let taint = |key: &str| json!({"spec": {"taints": [{"key": key, "effect": "NoSchedule"}]}});
        check("Node", taint("a"), taint("b"), json!({}), json!({"f:spec": {"f:taints": {}}}), json!({}));
    }

    #[test]
    fn what_is_removed_is_named_leaf_by_leaf() {
        check(
            "Node",
            json!({"metadata": {"annotations": {"a": "1", "b": "2"}, "finalizers": ["x"]}}),
            json!({"metadata": {"annotations": {"b": "2"}}}),
            json!({}),
            json!({}),
            json!({"f:metadata": {"f:annotations": {"f:a": {}}, "f:finalizers": {".": {}, "v:\"x\"": {}}}}),
        );
    }

    #[test]
    fn a_set_is_read_back_and_named_in_words() {
        let written = json!({"f:metadata": {"f:annotations": {".": {}, "f:owner": {}}},
            "f:status": {"f:conditions": {"k:{\"type\":\"Ready\"}": {"f:status": {}}}}});
        let set = FieldSet::from_json(&written);
        assert_eq!(set.to_json(), written);
        assert_eq!(
            set.paths(),
            [".metadata.annotations", ".metadata.annotations.owner", ".status.conditions[type=Ready].status"]
        );
    }
}
