//! `metadata.managedFields`: who wrote which field last, kept through updates and server-side apply.

use serde_json::{Map, Value, json};

use super::fields::{self, Difference, FieldSet};
use super::kinds::Kind;

/// Who writes.
#[derive(Debug, Clone)]
pub struct Writer<'a> {
    pub manager: &'a str,
    /// Empty for the object itself.
    pub subresource: &'a str,
    /// RFC 3339, whole seconds.
    pub now: &'a str,
}

/// One manager's fields.
#[derive(Debug, Clone)]
pub struct Entry {
    pub manager: String,
    pub applied: bool,
    pub api_version: String,
    pub subresource: String,
    time: String,
    pub set: FieldSet,
}

impl Entry {
    fn read(value: &Value) -> Self {
        let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        Self {
            manager: text("manager"),
            applied: text("operation") == "Apply",
            api_version: text("apiVersion"),
            subresource: text("subresource"),
            time: text("time"),
            set: FieldSet::from_json(value.get("fieldsV1").unwrap_or(&Value::Null)),
        }
    }

    fn write(&self) -> Value {
        let mut entry = json!({"apiVersion": self.api_version, "fieldsType": "FieldsV1", "fieldsV1": self.set.to_json(),
            "manager": self.manager, "operation": if self.applied { "Apply" } else { "Update" }, "time": self.time});
        if let (Some(map), false) = (entry.as_object_mut(), self.subresource.is_empty()) {
            map.insert("subresource".to_owned(), json!(self.subresource));
        }
        entry
    }

    pub fn is_of(&self, writer: &Writer<'_>, applied: bool) -> bool {
        self.manager == writer.manager && self.applied == applied && self.subresource == writer.subresource
    }

    /// As conflicts name it.
    pub fn described(&self) -> String {
        let using = if self.applied { String::new() } else { format!(" using {}", self.api_version) };
        let sub = if self.subresource.is_empty() { String::new() } else { format!(" with subresource {:?}", self.subresource) };
        format!("{:?}{sub}{using}", self.manager)
    }
}

pub fn entries(object: &Value) -> Vec<Entry> {
    let list = object.pointer("/metadata/managedFields").and_then(Value::as_array);
    list.map(|list| list.iter().map(Entry::read).collect()).unwrap_or_default()
}

/// What no manager can own: the object's identity, and its status where that is written elsewhere.
pub fn ownable(kind: &Kind, object: &Value, subresource: &str) -> Value {
    let mut map = object.as_object().cloned().unwrap_or_default();
    map.remove("apiVersion");
    map.remove("kind");
    if kind.has_status() && subresource != "status" {
        map.remove("status");
    }
    if let Some(metadata) = map.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in [
            "name",
            "namespace",
            "uid",
            "resourceVersion",
            "generation",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "selfLink",
            "managedFields",
        ] {
            metadata.remove(field);
        }
    }
    Value::Object(map)
}

/// Notes in `after` what `writer` changed since `before`, in the books that `after` brings: a writer may set these right.
pub fn update(kind: &Kind, before: &Value, after: &mut Value, writer: &Writer<'_>) {
    let sub = writer.subresource;
    let change = fields::difference(kind, &ownable(kind, before, sub), &ownable(kind, after, sub));
    let brought = entries(after);
    let mut entries = if brought.is_empty() { entries(before) } else { brought };
    take(&mut entries, kind, writer, &change);
    put(after, entries);
}

/// The fields of `change` go over to the writer; what is gone is nobody's.
fn take(entries: &mut Vec<Entry>, kind: &Kind, writer: &Writer<'_>, change: &Difference) {
    let mut taken = change.added.clone();
    taken.union(&change.changed);
    let mut mine = entries.iter().position(|entry| entry.is_of(writer, false));
    if mine.is_none() && !taken.is_empty() {
        mine = Some(entries.len());
        entries.push(Entry {
            manager: writer.manager.to_owned(),
            applied: false,
            api_version: kind.api_version(),
            subresource: writer.subresource.to_owned(),
            time: writer.now.to_owned(),
            set: FieldSet::default(),
        });
    }
    for (at, entry) in entries.iter_mut().enumerate() {
        let mut set = entry.set.without(&change.removed);
        if Some(at) == mine {
            set.union(&taken);
        } else {
            set = set.without(&taken);
        }
        if set != entry.set {
            entry.set = set;
            if Some(at) == mine {
                writer.now.clone_into(&mut entry.time);
            }
        }
    }
}

/// Writes the entries in the order of the real server; those that own nothing are left out.
pub fn put(object: &mut Value, mut entries: Vec<Entry>) {
    entries.retain(|entry| !entry.set.is_empty());
    entries.sort_by(|one, other| {
        let key = |entry: &Entry| {
            (!entry.applied, entry.time.clone(), entry.manager.clone(), entry.api_version.clone(), entry.subresource.clone())
        };
        key(one).cmp(&key(other))
    });
    let list: Vec<Value> = entries.iter().map(Entry::write).collect();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        if list.is_empty() {
            metadata.remove("managedFields");
        } else {
            metadata.insert("managedFields".to_owned(), Value::Array(list));
        }
    }
}

/// The entry of an applier, with the fields that it applied now.
pub fn applied(kind: &Kind, writer: &Writer<'_>, set: FieldSet, before: Option<&Entry>) -> Entry {
    let time = before.filter(|before| before.set == set).map_or(writer.now, |before| &before.time).to_owned();
    Entry {
        manager: writer.manager.to_owned(),
        applied: true,
        api_version: kind.api_version(),
        subresource: writer.subresource.to_owned(),
        time,
        set,
    }
}

/// An object of which nothing is known yet: what a creation is compared with.
pub fn nothing(kind: &Kind) -> Value {
    let mut object = Map::new();
    object.insert("metadata".to_owned(), json!({}));
    if kind.kind == "Event" {
        // These are always written out, empty or not.
        for field in ["eventTime", "firstTimestamp", "lastTimestamp"] {
            object.insert(field.to_owned(), Value::Null);
        }
        for field in ["reportingComponent", "reportingInstance"] {
            object.insert(field.to_owned(), json!(""));
        }
    }
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use super::super::kinds::named;
    use super::*;

    fn written(before: &Value, mut after: Value, manager: &str, subresource: &str, now: &str) -> Value {
        if let (Some(list), Some(metadata)) = (before.pointer("/metadata/managedFields"), after["metadata"].as_object_mut()) {
            metadata.insert("managedFields".to_owned(), list.clone());
        }
        update(named("Node").unwrap(), before, &mut after, &Writer { manager, subresource, now });
        after
    }

    fn told(object: &Value) -> Vec<String> {
        let entries = entries(object);
        entries
            .iter()
            .map(|entry| format!("{} {} {}: {}", entry.time, entry.manager, entry.subresource, entry.set.paths().join(" ")))
            .collect()
    }

    #[test]
    fn fields_go_over_to_who_wrote_them_last() {
        let created =
            written(&nothing(named("Node").unwrap()), json!({"metadata": {"name": "n", "labels": {"a": "1"}}}), "one", "", "t1");
        let changed = written(
            &created,
            json!({"metadata": {"name": "n", "labels": {"a": "2"}}, "spec": {"unschedulable": true}}),
            "two",
            "",
            "t2",
        );
        assert_eq!(told(&changed), ["t1 one : .metadata.labels", "t2 two : .metadata.labels.a .spec.unschedulable"]);
        let back = written(&changed, json!({"metadata": {"name": "n"}}), "one", "", "t3");
        assert_eq!(told(&back), Vec::<String>::new());
    }

    #[test]
    fn who_changes_nothing_owns_nothing_and_leaves_the_times_alone() {
        let created =
            written(&nothing(named("Node").unwrap()), json!({"metadata": {"name": "n", "labels": {"a": "1"}}}), "one", "", "t1");
        let same = written(&created, json!({"metadata": {"name": "n", "labels": {"a": "1"}}}), "two", "", "t2");
        assert_eq!(told(&same), ["t1 one : .metadata.labels .metadata.labels.a"]);
        assert_eq!(same["metadata"], created["metadata"]);
    }
}
