//! What is wrong with an object: unknown fields, names, custom resources against their schema, and what cannot be changed.

use serde_json::{Map, Value, json};

use super::kinds::Kind;
use super::schema::{self, Field, Rule, Shape};
use super::status::Cause;

/// Drops the fields that the kind does not have, and names them: `spec.nonsense`.
pub fn prune(kind: &Kind, object: &mut Value) -> Vec<String> {
    let mut unknown = Vec::new();
    prune_value(schema::shape(kind), object, "", &mut unknown);
    unknown
}

fn prune_value(shape: Shape, value: &mut Value, path: &str, unknown: &mut Vec<String>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match (shape, value) {
        (Shape::Named(_), Value::Object(map)) => {
            let Some(of) = shape.of() else { return };
            map.retain(|name, _| {
                let known = of.field(name).is_some();
                if !known {
                    unknown.push(below(name));
                }
                known
            });
            for (name, value) in map.iter_mut() {
                if let Some(field) = of.field(name) {
                    prune_value(field.shape, value, &below(name), unknown);
                }
            }
        }
        (Shape::Map(item), Value::Object(map)) => {
            for (name, value) in map.iter_mut() {
                prune_value(*item, value, &below(name), unknown);
            }
        }
        (Shape::List(item), Value::Array(items)) => {
            for (at, value) in items.iter_mut().enumerate() {
                prune_value(*item, value, &format!("{path}[{at}]"), unknown);
            }
        }
        _ => {}
    }
}

/// Fills in the defaults of a custom resource.
pub fn fill_defaults(kind: &Kind, object: &mut Value) {
    fill(schema::shape(kind), object);
}

fn fill(shape: Shape, value: &mut Value) {
    match (shape, value) {
        (Shape::Named(_), Value::Object(map)) => {
            for field in shape.of().map_or(&[][..], |of| &of.fields) {
                if let (None, Some(default)) = (map.get(field.name), &field.default) {
                    map.insert(field.name.to_owned(), default.clone());
                }
                if let Some(value) = map.get_mut(field.name) {
                    fill(field.shape, value);
                }
            }
        }
        (Shape::Map(item), Value::Object(map)) => map.values_mut().for_each(|value| fill(*item, value)),
        (Shape::List(item), Value::Array(items)) => items.iter_mut().for_each(|value| fill(*item, value)),
        _ => {}
    }
}

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";

/// What is wrong with a new object, or with what an update made of it (`before`).
pub fn check(kind: &Kind, object: &Value, before: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    if before.is_none() {
        name(kind, object, &mut causes);
    }
    if kind.is_custom() {
        custom(schema::shape(kind), object, "", &mut causes);
        if causes.iter().any(|cause| cause.reason == "FieldValueRequired") {
            // The real server says so where it had rules in CEL left to check.
            causes.push(Cause::invalid(
                "<nil>",
                "Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation",
            ));
        }
    }
    taints(kind, object, &mut causes);
    selector(kind, object, &mut causes);
    if let Some(before) = before {
        unchangeable(kind, before, object, &mut causes);
    }
    causes
}

fn name(kind: &Kind, object: &Value, causes: &mut Vec<Cause>) {
    let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let (valid, rule) = match kind.kind {
        "Namespace" | "Service" => (is_label(name), LABEL),
        // Names of roles and the like are path segments only.
        _ if kind.group == "rbac.authorization.k8s.io" => return,
        _ => (name.split('.').all(is_label), SUBDOMAIN),
    };
    if !valid {
        causes.push(Cause::invalid("metadata.name", &format!("Invalid value: {name:?}: {rule}")));
    }
}

fn custom(shape: Shape, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match (shape, value) {
        (Shape::Named(_), Value::Object(map)) => {
            for field in shape.of().map_or(&[][..], |of| &of.fields) {
                let at = below(field.name);
                match map.get(field.name) {
                    Some(value) => one(field, value, &at, causes),
                    None if field.required => {
                        causes.push(Cause { field: at, reason: "FieldValueRequired", message: "Required value".to_owned() })
                    }
                    None => {}
                }
            }
        }
        (Shape::Map(item), Value::Object(map)) => {
            map.iter().for_each(|(name, value)| custom(*item, value, &below(name), causes));
        }
        (Shape::List(item), Value::Array(items)) => {
            items.iter().enumerate().for_each(|(at, value)| custom(*item, value, &format!("{path}[{at}]"), causes));
        }
        _ => {}
    }
}

fn one(field: &Field, value: &Value, at: &str, causes: &mut Vec<Cause>) {
    let expected = match (field.shape, value) {
        (Shape::Text, Value::String(_)) | (Shape::Boolean, Value::Bool(_)) | (Shape::Any | Shape::Named(_), _) => None,
        (Shape::Integer | Shape::Number, Value::Number(_)) | (Shape::List(_), Value::Array(_)) => None,
        (Shape::Map(_), Value::Object(_)) => None,
        (Shape::Text, _) => Some("string"),
        (Shape::Boolean, _) => Some("boolean"),
        (Shape::Integer, _) => Some("integer"),
        (Shape::Number, _) => Some("number"),
        (Shape::List(_), _) => Some("array"),
        (Shape::Map(_), _) => Some("object"),
    };
    if let Some(expected) = expected {
        let found = found_type(value);
        causes.push(Cause {
            field: at.to_owned(),
            reason: "FieldValueTypeInvalid",
            message: format!("Invalid value: {found:?}: {at} in body must be of type {expected}: {found:?}"),
        });
        return;
    }
    let words = if let Value::Array(items) = value { items.iter().collect() } else { vec![value] };
    for rule in &field.rules {
        causes.extend(words.iter().filter_map(|word| broken(rule, word, at)));
    }
    custom(field.shape, value, at, causes);
}

fn found_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn broken(rule: &Rule, value: &Value, at: &str) -> Option<Cause> {
    let text = value.as_str();
    let said = |holds: bool, wanted: String| {
        (!holds).then(|| Cause::invalid(at, &format!("Invalid value: {value}: {at} in body should {wanted}")))
    };
    match rule {
        Rule::OneOf(values) if values.contains(value) => None,
        Rule::OneOf(values) => {
            let known: Vec<String> = values.iter().map(Value::to_string).collect();
            Some(Cause {
                field: at.to_owned(),
                reason: "FieldValueNotSupported",
                message: format!("Unsupported value: {value}: supported values: {}", known.join(", ")),
            })
        }
        Rule::Pattern(pattern, regex) => said(text.is_none_or(|text| regex.is_match(text)), format!("match '{pattern}'")),
        Rule::MinLength(least) => {
            said(text.is_none_or(|text| text.chars().count() >= *least), format!("be at least {least} chars long"))
        }
        Rule::MaxLength(most) => {
            said(text.is_none_or(|text| text.chars().count() <= *most), format!("be at most {most} chars long"))
        }
        Rule::Minimum(least) => {
            said(value.as_i64().is_none_or(|number| number >= *least), format!("be greater than or equal to {least}"))
        }
        Rule::Maximum(most) => {
            said(value.as_i64().is_none_or(|number| number <= *most), format!("be less than or equal to {most}"))
        }
    }
}

const EFFECTS: &[&str] = &["NoExecute", "NoSchedule", "PreferNoSchedule"];

fn taints(kind: &Kind, object: &Value, causes: &mut Vec<Cause>) {
    if kind.kind != "Node" || !kind.group.is_empty() {
        return;
    }
    for (at, taint) in object.pointer("/spec/taints").and_then(Value::as_array).into_iter().flatten().enumerate() {
        let part = |field: &str| taint.get(field).and_then(Value::as_str).unwrap_or_default();
        if part("key").is_empty() {
            causes.push(Cause::invalid(&format!("spec.taints[{at}].key"), "Invalid value: \"\": name part must be non-empty"));
        }
        if !EFFECTS.contains(&part("effect")) {
            let known: Vec<String> = EFFECTS.iter().map(|effect| format!("{effect:?}")).collect();
            causes.push(Cause {
                field: format!("spec.taints[{at}].effect"),
                reason: "FieldValueNotSupported",
                message: format!("Unsupported value: {:?}: supported values: {}", part("effect"), known.join(", ")),
            });
        }
    }
}

/// The pods that a workload makes must be those that it looks for.
fn selector(kind: &Kind, object: &Value, causes: &mut Vec<Cause>) {
    if kind.group != "apps" {
        return;
    }
    let wanted = object.pointer("/spec/selector/matchLabels").and_then(Value::as_object);
    let labels = object.pointer("/spec/template/metadata/labels").cloned().unwrap_or_else(|| json!({}));
    let matches = |wanted: &Map<String, Value>| wanted.iter().all(|(name, value)| labels.get(name) == Some(value));
    if wanted.is_some_and(|wanted| !matches(wanted)) {
        let message = format!("Invalid value: {labels}: `selector` does not match template `labels`");
        causes.push(Cause::invalid("spec.template.metadata.labels", &message));
    }
}

fn unchangeable(kind: &Kind, before: &Value, after: &Value, causes: &mut Vec<Cause>) {
    let fixed: &[&str] = match kind.kind {
        "Deployment" | "DaemonSet" | "ReplicaSet" => &["/spec/selector"],
        "StatefulSet" => &["/spec/selector", "/spec/serviceName", "/spec/podManagementPolicy", "/spec/volumeClaimTemplates"],
        "Job" => &["/spec/selector", "/spec/template", "/spec/completions"],
        "Pod" => &["/spec/nodeName"],
        _ => &[],
    };
    for at in fixed {
        let value = after.pointer(at).cloned().unwrap_or_default();
        let unset = kind.kind == "Pod" && before.pointer(at).is_none();
        if before.pointer(at) != after.pointer(at) && !unset {
            let field = at.trim_start_matches('/').replace('/', ".");
            causes.push(Cause::invalid(&field, &format!("Invalid value: {value}: field is immutable")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::kinds::named;
    use super::*;

    fn told(kind: &str, object: Value) -> Vec<String> {
        let causes = check(named(kind).unwrap(), &object, None);
        causes.into_iter().map(|cause| format!("{} {}: {}", cause.reason, cause.field, cause.message)).collect()
    }

    #[test]
    fn a_custom_resource_is_held_to_its_schema() {
        let spec = json!({"interval": "often", "prune": "yes", "sourceRef": {"kind": "Barrel", "name": "x"}});
        assert_eq!(
            told("Kustomization", json!({"metadata": {"name": "core"}, "spec": spec})),
            [
                r#"FieldValueInvalid spec.interval: Invalid value: "often": spec.interval in body should match '^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$'"#,
                r#"FieldValueTypeInvalid spec.prune: Invalid value: "string": spec.prune in body must be of type boolean: "string""#,
                r#"FieldValueNotSupported spec.sourceRef.kind: Unsupported value: "Barrel": supported values: "OCIRepository", "GitRepository", "Bucket", "ExternalArtifact""#,
            ]
        );
    }

    #[test]
    fn unknown_fields_are_dropped_and_named_wherever_they_are() {
        let mut node = json!({"metadata": {"name": "n", "x": 1}, "spec": {"taints": [{"key": "a", "y": 2}], "z": 3}});
        let unknown = prune(named("Node").unwrap(), &mut node);
        assert_eq!(unknown, ["metadata.x", "spec.z", "spec.taints[0].y"]);
        assert_eq!(node, json!({"metadata": {"name": "n"}, "spec": {"taints": [{"key": "a"}]}}));
    }

    #[test]
    fn names_are_those_that_dns_takes() {
        for good in ["a", "a.b-c", "0"] {
            assert_eq!(told("Node", json!({"metadata": {"name": good}})), Vec::<String>::new(), "{good}");
        }
        for bad in ["", "A", "a_b", "-a", "a.", "a..b"] {
            assert_eq!(told("Node", json!({"metadata": {"name": bad}})).len(), 1, "{bad}");
        }
        assert_eq!(told("Namespace", json!({"metadata": {"name": "a.b"}})).len(), 1);
    }

    #[test]
    fn a_taint_without_a_known_effect_is_refused() {
        let node = json!({"metadata": {"name": "n"}, "spec": {"taints": [{"key": "a", "effect": "Never"}]}});
        assert_eq!(
            told("Node", node),
            [
                r#"FieldValueNotSupported spec.taints[0].effect: Unsupported value: "Never": supported values: "NoExecute", "NoSchedule", "PreferNoSchedule""#
            ]
        );
    }
}
