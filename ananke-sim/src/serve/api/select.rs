//! Label and field selectors.

use serde_json::Value;

use super::kinds::Kind;
use super::status::{Failure, bad_request};

/// What a list or a watch is narrowed to. The default takes everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<FieldTerm>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    In(Vec<String>),
    /// An absent label passes.
    NotIn(Vec<String>),
    Exists,
    Absent,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct FieldTerm {
    path: String,
    equal: bool,
    value: String,
}

impl Selector {
    pub fn parse(kind: &Kind, labels: &str, fields: &str) -> Result<Self, Failure> {
        let labels = split_terms(labels).into_iter().map(requirement).collect::<Result<_, _>>()?;
        let fields = fields.split(',').filter(|term| !term.trim().is_empty());
        let fields = fields.map(|term| field_term(kind, term)).collect::<Result<_, _>>()?;
        Ok(Self { labels, fields })
    }

    /// Whether it takes everything.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    pub fn takes(&self, object: &Value) -> bool {
        let labels = object.pointer("/metadata/labels");
        self.labels.iter().all(|requirement| {
            let found = labels.and_then(|labels| labels.get(&requirement.key)).and_then(Value::as_str);
            match (&requirement.test, found) {
                (Test::In(values), Some(found)) => values.iter().any(|value| value == found),
                (Test::NotIn(values), Some(found)) => values.iter().all(|value| value != found),
                (Test::In(_), None) | (Test::Exists, None) | (Test::Absent, Some(_)) => false,
                (Test::NotIn(_), None) | (Test::Absent, None) | (Test::Exists, Some(_)) => true,
            }
        }) && self.fields.iter().all(|term| (field(object, &term.path) == term.value) == term.equal)
    }
}

/// Commas inside parentheses do not split.
fn split_terms(text: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    text.split(|c: char| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    })
    .map(str::trim)
    .filter(|term| !term.is_empty())
    .collect()
}

fn requirement(term: &str) -> Result<Requirement, Failure> {
    let made = |key: &str, test| {
        let key = key.trim();
        let valid = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b));
        if valid {
            Ok(Requirement { key: key.to_owned(), test })
        } else {
            Err(bad_request(format!(
                "unable to parse requirement: <nil>: Invalid value: {key:?}: name part must consist of alphanumeric characters, '-', '_' or '.'"
            )))
        }
    };
    if let Some((left, values)) = term.strip_suffix(')').and_then(|term| term.split_once('(')) {
        let values = values.split(',').map(|value| value.trim().to_owned()).collect();
        return match left.trim().rsplit_once(char::is_whitespace) {
            Some((key, "in")) => made(key, Test::In(values)),
            Some((key, "notin")) => made(key, Test::NotIn(values)),
            _ => Err(bad_request(format!("unable to parse requirement: found '{left}', expected: in, notin"))),
        };
    }
    let equality = |key: &str, value: &str, equal: bool| {
        let value = value.trim();
        if value.starts_with('=') {
            return Err(bad_request("unable to parse requirement: found '=', expected: identifier"));
        }
        let values = vec![value.to_owned()];
        made(key, if equal { Test::In(values) } else { Test::NotIn(values) })
    };
    if let Some((key, value)) = term.split_once("!=") {
        equality(key, value, false)
    } else if let Some((key, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
        equality(key, value, true)
    } else if let Some(key) = term.strip_prefix('!') {
        made(key, Test::Absent)
    } else {
        made(term, Test::Exists)
    }
}

fn field_term(kind: &Kind, term: &str) -> Result<FieldTerm, Failure> {
    let (path, equal, value) = if let Some((path, value)) = term.split_once("!=") {
        (path, false, value)
    } else if let Some((path, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
        (path, true, value)
    } else {
        return Err(bad_request(format!("invalid selector: '{term}'; can't understand '{term}'")));
    };
    let path = path.trim();
    let known: &[&str] = match kind.plural {
        "nodes" => &["spec.unschedulable"],
        "pods" => &["spec.nodeName", "status.phase", "spec.restartPolicy", "spec.schedulerName", "status.podIP"],
        "namespaces" => &["status.phase"],
        "events" => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "reason",
            "type",
            "source",
        ],
        _ => &[],
    };
    let always = path == "metadata.name" || (path == "metadata.namespace" && kind.namespaced);
    if always || known.contains(&path) {
        Ok(FieldTerm { path: path.to_owned(), equal, value: value.trim().to_owned() })
    } else {
        Err(bad_request(format!("field label not supported: {path}")))
    }
}

/// A field as selectors see it: absent is empty, except for the one boolean, which is `false`.
fn field(object: &Value, path: &str) -> String {
    let found = path.split('.').try_fold(object, |at, step| at.get(step));
    match found {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Bool(yes)) => yes.to_string(),
        Some(_) => String::new(),
        None if path == "spec.unschedulable" => "false".to_owned(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::kinds::named;
    use super::*;

    fn takes(labels: &str, fields: &str) -> bool {
        let pod = json!({"metadata": {"name": "web-0", "namespace": "apps", "labels": {"app": "web", "tier": "front"}},
            "spec": {"nodeName": "titan-01"}, "status": {"phase": "Running"}});
        Selector::parse(named("Pod").unwrap(), labels, fields).unwrap().takes(&pod)
    }

    #[test]
    fn labels_are_selected_by_equality_sets_and_presence() {
        for yes in ["", "app=web", "app==web,tier!=back", "app in (web, db)", "tier notin (a,b)", "app,!gone", "gone!=x"] {
            assert!(takes(yes, ""), "{yes}");
        }
        for no in ["app=db", "app!=web", "app in (db)", "gone", "!app", "gone=x", "app notin (web)"] {
            assert!(!takes(no, ""), "{no}");
        }
    }

    #[test]
    fn fields_are_selected_and_unknown_ones_are_refused() {
        assert!(takes("", "spec.nodeName=titan-01,status.phase!=Failed,metadata.name=web-0"));
        assert!(!takes("", "status.phase=Pending"));
        let refused = Selector::parse(named("Node").unwrap(), "", "spec.nonsense=true").unwrap_err();
        assert_eq!((refused.code, refused.body["message"].as_str()), (400, Some("field label not supported: spec.nonsense")));
        let refused = Selector::parse(named("Node").unwrap(), "a===b", "").unwrap_err();
        assert_eq!(refused.body["message"], "unable to parse requirement: found '=', expected: identifier");
    }

    #[test]
    fn a_node_without_the_field_is_schedulable() {
        let selector = Selector::parse(named("Node").unwrap(), "", "spec.unschedulable=false").unwrap();
        assert!(selector.takes(&json!({"spec": {}})));
        assert!(!selector.takes(&json!({"spec": {"unschedulable": true}})));
    }
}
