//! What the recorder wrote of an object, taken from its line and from an object of the API alike.

use std::collections::BTreeMap;

use serde_json::{Value, json};

pub(crate) type State = BTreeMap<String, Value>;

/// What is compared of each kind. Numbers that are not there are zero, as the API leaves them out.
const FIELDS: &[(&str, &[&str])] = &[
    ("Node", &["ready", "taints", "unschedulable"]),
    ("Pod", &["node", "phase", "reason", "Ready", "DisruptionTarget", "deleting", "scheduled"]),
    ("Deployment", &["replicas", "readyReplicas", "availableReplicas", "unavailableReplicas", "updatedReplicas"]),
    ("StatefulSet", &["replicas", "readyReplicas", "availableReplicas", "updatedReplicas"]),
    (
        "DaemonSet",
        &[
            "desiredNumberScheduled",
            "currentNumberScheduled",
            "numberReady",
            "numberAvailable",
            "numberUnavailable",
            "numberMisscheduled",
        ],
    ),
    ("PodDisruptionBudget", &["currentHealthy", "desiredHealthy", "disruptionsAllowed", "expectedPods"]),
    ("EndpointSlice", &["endpoints"]),
];

pub(crate) fn is_compared(kind: &str) -> bool {
    FIELDS.iter().any(|(known, _)| *known == kind)
}

fn fields(kind: &str) -> &'static [&'static str] {
    FIELDS.iter().find(|(known, _)| *known == kind).unwrap().1
}

/// From a line of a recording, which has no field that is not compared.
pub(crate) fn recorded(kind: &str, line: &Value) -> State {
    for field in line.as_object().unwrap().keys() {
        let known = ["t", "event", "kind", "name"].contains(&field.as_str()) || fields(kind).contains(&field.as_str());
        assert!(known, "{kind} has a field {field} in the recording");
    }
    state(kind, |field| line[field].clone())
}

/// From an object of the API.
pub(crate) fn projected(kind: &str, object: &Value) -> State {
    let condition = |kind: &str| {
        let all = object["status"]["conditions"].as_array();
        all.and_then(|all| all.iter().find(|condition| condition["type"] == kind)).cloned().unwrap_or_default()
    };
    let with_reason = |kind: &str| {
        let found = condition(kind);
        let words = found["status"].as_str().zip(found["reason"].as_str());
        words.map_or(Value::Null, |(status, reason)| json!(format!("{status}:{reason}")))
    };
    state(kind, |field| match (kind, field) {
        ("Node", "ready") => with_reason("Ready"),
        ("Node", "taints") => object["spec"]["taints"].as_array().into_iter().flatten().map(taint).collect(),
        ("Node", "unschedulable") => json!(object["spec"]["unschedulable"] == true),
        ("Pod", "node") => object["spec"]["nodeName"].clone(),
        ("Pod", "Ready") => condition("Ready")["status"].clone(),
        ("Pod", "DisruptionTarget") => with_reason("DisruptionTarget"),
        ("Pod", "scheduled") => condition("PodScheduled")["status"].clone(),
        ("Pod", "deleting") => json!(!object["metadata"]["deletionTimestamp"].is_null()),
        ("EndpointSlice", _) => object["endpoints"].as_array().into_iter().flatten().map(endpoint).collect(),
        _ => object["status"][field].clone(),
    })
}

fn state(kind: &str, field: impl Fn(&str) -> Value) -> State {
    let counts = !matches!(kind, "Node" | "Pod" | "EndpointSlice");
    let each = fields(kind).iter().map(|name| {
        let mut value = field(name);
        if counts && value.is_null() {
            value = json!(0);
        }
        if let Value::Array(list) = &mut value {
            list.sort_by_key(Value::to_string);
        }
        ((*name).to_owned(), value)
    });
    each.collect()
}

fn taint(taint: &Value) -> Value {
    let part = |field: &str| taint[field].as_str().unwrap_or_default();
    json!(format!("{}={}:{}", part("key"), part("value"), part("effect")))
}

fn endpoint(endpoint: &Value) -> Value {
    let conditions = &endpoint["conditions"];
    json!({"node": endpoint["nodeName"], "ready": conditions["ready"], "serving": conditions["serving"],
        "terminating": conditions["terminating"]})
}
