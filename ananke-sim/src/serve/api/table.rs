//! Tables: what `kubectl get` prints, computed by the server as the real one does.

use std::sync::Arc;

use serde_json::{Value, json};

use super::kinds::Kind;

/// A column's name and whether it is shown without `-o wide`.
type Column = (&'static str, bool);

const SHOWN: bool = true;
const WIDE: bool = false;

/// A table of `objects`, whose ages are told at `now` (milliseconds since the epoch).
pub fn table(kind: &Kind, objects: &[Arc<Value>], now: i64, list_metadata: Value) -> Value {
    let columns: Vec<Value> = columns(kind).iter().map(definition).collect();
    let rows: Vec<Value> =
        objects.iter().map(|object| json!({"cells": cells(kind, object, now), "object": metadata_only(object)})).collect();
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": list_metadata, "columnDefinitions": columns, "rows": rows})
}

/// The object without spec and status.
pub fn metadata_only(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object.get("metadata")})
}

fn definition((name, shown): &Column) -> Value {
    let format = if *name == "Name" { "name" } else { "" };
    let kind = if matches!(*name, "Restarts" | "Up-to-date" | "Available" | "Desired" | "Current" | "Data") {
        "integer"
    } else {
        "string"
    };
    let text = if *name == "Name" { "Name must be unique within a namespace." } else { "" };
    json!({"name": name, "type": kind, "format": format, "description": text, "priority": i32::from(!shown)})
}

fn columns(kind: &Kind) -> &'static [Column] {
    match kind.plural {
        "nodes" if kind.is_custom() => &[("Name", SHOWN), ("Ready", SHOWN), ("AllowScheduling", SHOWN), ("Age", SHOWN)],
        "volumes" => &[("Name", SHOWN), ("State", SHOWN), ("Robustness", SHOWN), ("Node", SHOWN), ("Age", SHOWN)],
        "csinodes" => &[("Name", SHOWN), ("Drivers", SHOWN), ("Age", SHOWN)],
        "volumeattachments" => {
            &[("Name", SHOWN), ("Attacher", SHOWN), ("PV", SHOWN), ("Node", SHOWN), ("Attached", SHOWN), ("Age", SHOWN)]
        }
        "persistentvolumeclaims" => {
            &[("Name", SHOWN), ("Status", SHOWN), ("Volume", SHOWN), ("Capacity", SHOWN), ("StorageClass", SHOWN), ("Age", SHOWN)]
        }
        "nodes" => &[
            ("Name", SHOWN),
            ("Status", SHOWN),
            ("Roles", SHOWN),
            ("Age", SHOWN),
            ("Version", SHOWN),
            ("Internal-IP", WIDE),
            ("External-IP", WIDE),
            ("OS-Image", WIDE),
            ("Kernel-Version", WIDE),
            ("Container-Runtime", WIDE),
        ],
        "pods" => &[
            ("Name", SHOWN),
            ("Ready", SHOWN),
            ("Status", SHOWN),
            ("Restarts", SHOWN),
            ("Age", SHOWN),
            ("IP", WIDE),
            ("Node", WIDE),
        ],
        "namespaces" => &[("Name", SHOWN), ("Status", SHOWN), ("Age", SHOWN)],
        "deployments" => &[("Name", SHOWN), ("Ready", SHOWN), ("Up-to-date", SHOWN), ("Available", SHOWN), ("Age", SHOWN)],
        "replicasets" => &[("Name", SHOWN), ("Desired", SHOWN), ("Current", SHOWN), ("Ready", SHOWN), ("Age", SHOWN)],
        "statefulsets" => &[("Name", SHOWN), ("Ready", SHOWN), ("Age", SHOWN)],
        "daemonsets" => &[
            ("Name", SHOWN),
            ("Desired", SHOWN),
            ("Current", SHOWN),
            ("Ready", SHOWN),
            ("Up-to-date", SHOWN),
            ("Available", SHOWN),
            ("Node Selector", SHOWN),
            ("Age", SHOWN),
        ],
        "ingresses" => {
            &[("Name", SHOWN), ("Class", SHOWN), ("Hosts", SHOWN), ("Address", SHOWN), ("Ports", SHOWN), ("Age", SHOWN)]
        }
        "services" => {
            &[("Name", SHOWN), ("Type", SHOWN), ("Cluster-IP", SHOWN), ("External-IP", SHOWN), ("Port(s)", SHOWN), ("Age", SHOWN)]
        }
        "configmaps" => &[("Name", SHOWN), ("Data", SHOWN), ("Age", SHOWN)],
        "secrets" => &[("Name", SHOWN), ("Type", SHOWN), ("Data", SHOWN), ("Age", SHOWN)],
        "leases" => &[("Name", SHOWN), ("Holder", SHOWN), ("Age", SHOWN)],
        "events" => &[("Last Seen", SHOWN), ("Type", SHOWN), ("Reason", SHOWN), ("Object", SHOWN), ("Message", SHOWN)],
        "poddisruptionbudgets" => &[
            ("Name", SHOWN),
            ("Min Available", SHOWN),
            ("Max Unavailable", SHOWN),
            ("Allowed Disruptions", SHOWN),
            ("Age", SHOWN),
        ],
        "gitrepositories" => &[("Name", SHOWN), ("URL", SHOWN), ("Age", SHOWN), ("Ready", SHOWN), ("Status", SHOWN)],
        "kustomizations" => &[("Name", SHOWN), ("Age", SHOWN), ("Ready", SHOWN), ("Status", SHOWN)],
        _ => &[("Name", SHOWN), ("Age", SHOWN)],
    }
}

fn cells(kind: &Kind, object: &Value, now: i64) -> Vec<Value> {
    let row = Row { object, now };
    let name = row.text("/metadata/name");
    let age = row.age("/metadata/creationTimestamp");
    match kind.plural {
        "nodes" if kind.is_custom() => vec![name, row.ready("status"), row.any("/spec/allowScheduling"), age],
        "volumes" => {
            vec![name, row.text("/status/state"), row.text("/status/robustness"), row.text("/status/currentNodeID"), age]
        }
        "configmaps" => vec![name, row.count("/data"), age],
        "secrets" => vec![name, row.text("/type"), row.count("/data"), age],
        "csinodes" => vec![name, json!(row.list("/spec/drivers").len()), age],
        "volumeattachments" => {
            let volume = row.text("/spec/source/persistentVolumeName");
            vec![name, row.text("/spec/attacher"), volume, row.text("/spec/nodeName"), row.any("/status/attached"), age]
        }
        "persistentvolumeclaims" => {
            let (phase, capacity) = (row.text("/status/phase"), row.text("/status/capacity/storage"));
            vec![name, phase, row.text("/spec/volumeName"), capacity, row.text("/spec/storageClassName"), age]
        }
        "nodes" => row.node(name, age),
        "pods" => row.pod(name, age),
        "namespaces" => vec![name, row.text("/status/phase"), age],
        "deployments" => vec![
            name,
            row.of("/status/readyReplicas", "/spec/replicas"),
            row.number("/status/updatedReplicas"),
            row.number("/status/availableReplicas"),
            age,
        ],
        "replicasets" => {
            vec![name, row.number("/spec/replicas"), row.number("/status/replicas"), row.number("/status/readyReplicas"), age]
        }
        "statefulsets" => vec![name, row.of("/status/readyReplicas", "/spec/replicas"), age],
        "daemonsets" => vec![
            name,
            row.number("/status/desiredNumberScheduled"),
            row.number("/status/currentNumberScheduled"),
            row.number("/status/numberReady"),
            row.number("/status/updatedNumberScheduled"),
            row.number("/status/numberAvailable"),
            json!("<none>"),
            age,
        ],
        "ingresses" => row.ingress(name, age),
        "services" => vec![
            name,
            row.or_none("/spec/type"),
            row.or_none("/spec/clusterIP"),
            json!("<none>"),
            json!(row.joined("/spec/ports", |port| Some(format!("{}/TCP", port.get("port")?)))),
            age,
        ],
        "leases" => vec![name, row.text("/spec/holderIdentity"), age],
        "events" => {
            let of = format!("{}/{}", row.str("/involvedObject/kind").to_ascii_lowercase(), row.str("/involvedObject/name"));
            vec![row.age("/lastTimestamp"), row.text("/type"), row.text("/reason"), json!(of), row.text("/message")]
        }
        "poddisruptionbudgets" => vec![
            name,
            row.any("/spec/minAvailable"),
            row.any("/spec/maxUnavailable"),
            row.number("/status/disruptionsAllowed"),
            age,
        ],
        "gitrepositories" => vec![name, row.text("/spec/url"), age, row.ready("status"), row.ready("message")],
        "kustomizations" => vec![name, age, row.ready("status"), row.ready("message")],
        _ => vec![name, age],
    }
}

struct Row<'a> {
    object: &'a Value,
    now: i64,
}

impl<'a> Row<'a> {
    fn str(&self, at: &str) -> &'a str {
        self.object.pointer(at).and_then(Value::as_str).unwrap_or_default()
    }

    fn text(&self, at: &str) -> Value {
        json!(self.str(at))
    }

    fn or_none(&self, at: &str) -> Value {
        let text = self.str(at);
        json!(if text.is_empty() { "<none>" } else { text })
    }

    fn count(&self, at: &str) -> Value {
        json!(self.object.pointer(at).and_then(Value::as_object).map_or(0, serde_json::Map::len))
    }

    fn int(&self, at: &str) -> i64 {
        self.object.pointer(at).and_then(Value::as_i64).unwrap_or(0)
    }

    fn number(&self, at: &str) -> Value {
        json!(self.int(at))
    }

    fn any(&self, at: &str) -> Value {
        match self.object.pointer(at) {
            Some(Value::String(text)) => json!(text),
            Some(found) => json!(found.to_string()),
            None => json!("N/A"),
        }
    }

    fn of(&self, part: &str, whole: &str) -> Value {
        json!(format!("{}/{}", self.int(part), self.int(whole)))
    }

    fn list(&self, at: &str) -> &'a [Value] {
        self.object.pointer(at).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    fn joined(&self, at: &str, each: impl Fn(&Value) -> Option<String>) -> String {
        self.list(at).iter().filter_map(each).collect::<Vec<_>>().join(",")
    }

    fn age(&self, at: &str) -> Value {
        match self.str(at).parse::<jiff::Timestamp>() {
            Ok(stamp) => json!(age((self.now - stamp.as_millisecond()) / 1000)),
            Err(_) => json!("<unknown>"),
        }
    }

    fn ready(&self, field: &str) -> Value {
        let ready = self.list("/status/conditions").iter().find(|condition| condition.get("type") == Some(&json!("Ready")));
        json!(ready.and_then(|ready| ready.get(field)).and_then(Value::as_str).unwrap_or_default())
    }

    fn node(&self, name: Value, age: Value) -> Vec<Value> {
        let ready = self.ready("status");
        let mut status = if ready == json!("True") { "Ready" } else { "NotReady" }.to_owned();
        if ready == json!("") {
            "Unknown".clone_into(&mut status);
        }
        if self.object.pointer("/spec/unschedulable") == Some(&json!(true)) {
            status.push_str(",SchedulingDisabled");
        }
        let labels = self.object.pointer("/metadata/labels").and_then(Value::as_object);
        let roles = labels.into_iter().flatten().filter_map(|(label, _)| label.strip_prefix("node-role.kubernetes.io/"));
        let roles = roles.collect::<Vec<_>>().join(",");
        let address = |kind: &str| {
            let found = self.list("/status/addresses").iter().find(|address| address.get("type") == Some(&json!(kind)));
            json!(found.and_then(|address| address.get("address")).and_then(Value::as_str).unwrap_or("<none>"))
        };
        let info = |field: &str| match self.str(&format!("/status/nodeInfo/{field}")) {
            "" => "<unknown>".to_owned(),
            known => known.to_owned(),
        };
        let kernel = match info("kernelVersion") {
            unknown if unknown == "<unknown>" => unknown,
            known => format!("{known} ({})", self.str("/status/nodeInfo/architecture")),
        };
        vec![
            name,
            json!(status),
            json!(if roles.is_empty() { "<none>" } else { &roles }),
            age,
            self.text("/status/nodeInfo/kubeletVersion"),
            address("InternalIP"),
            address("ExternalIP"),
            json!(info("osImage")),
            json!(kernel),
            json!(info("containerRuntimeVersion")),
        ]
    }

    fn pod(&self, name: Value, age: Value) -> Vec<Value> {
        let containers = self.list("/status/containerStatuses");
        let ready = containers.iter().filter(|one| one.get("ready") == Some(&json!(true))).count();
        let restarts: i64 = containers.iter().filter_map(|one| one.get("restartCount")?.as_i64()).sum();
        let waiting = containers.iter().find_map(|one| {
            let reason = one.pointer("/state/waiting/reason").or_else(|| one.pointer("/state/terminated/reason"));
            reason.and_then(Value::as_str)
        });
        let status = if self.object.pointer("/metadata/deletionTimestamp").is_some() {
            if self.str("/status/reason") == "NodeLost" { "Unknown" } else { "Terminating" }
        } else if !self.str("/status/reason").is_empty() {
            self.str("/status/reason")
        } else {
            waiting.unwrap_or_else(|| self.str("/status/phase"))
        };
        let total = self.list("/spec/containers").len();
        vec![
            name,
            json!(format!("{ready}/{total}")),
            json!(status),
            json!(restarts),
            age,
            self.or_none("/status/podIP"),
            self.or_none("/spec/nodeName"),
        ]
    }

    fn ingress(&self, name: Value, age: Value) -> Vec<Value> {
        let hosts = self.joined("/spec/rules", |rule| Some(rule.get("host")?.as_str()?.to_owned()));
        let address = self.joined("/status/loadBalancer/ingress", |one| Some(one.get("ip")?.as_str()?.to_owned()));
        let ports = if self.list("/spec/tls").is_empty() { "80" } else { "80, 443" };
        vec![
            name,
            self.or_none("/spec/ingressClassName"),
            json!(if hosts.is_empty() { "*" } else { &hosts }),
            json!(address),
            json!(ports),
            age,
        ]
    }
}

/// As kubectl writes durations: two units where the larger one alone would be too coarse.
fn age(secs: i64) -> String {
    let secs = secs.max(0);
    let (minutes, hours, days) = (secs / 60, secs / 3600, secs / 86_400);
    let two = |large: i64, unit: &str, rest: i64, small: &str| {
        if rest == 0 { format!("{large}{unit}") } else { format!("{large}{unit}{rest}{small}") }
    };
    match secs {
        0..120 => format!("{secs}s"),
        120..600 => two(minutes, "m", secs % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, "d", hours % 24, "h"),
        _ => format!("{days}d"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::kinds::named;
    use super::*;

    fn row(kind: &str, object: Value) -> String {
        let table = table(named(kind).unwrap(), &[Arc::new(object)], 600_000, json!({}));
        let shown = table["columnDefinitions"].as_array().unwrap().iter().map(|column| column["priority"] == json!(0));
        let cells = table["rows"][0]["cells"].as_array().unwrap();
        assert_eq!(shown.len(), cells.len(), "{kind}");
        let text = |cell: &Value| cell.as_str().map_or_else(|| cell.to_string(), str::to_owned);
        cells.iter().zip(shown).filter(|(_, shown)| *shown).map(|(cell, _)| text(cell)).collect::<Vec<_>>().join(" | ")
    }

    const META: &str = "1970-01-01T00:00:00Z";

    #[test]
    fn a_cordoned_server_reads_as_kubectl_prints_it() {
        let node = json!({"metadata": {"name": "titan-00", "creationTimestamp": META, "labels": {"node-role.kubernetes.io/master": ""}},
            "spec": {"unschedulable": true}, "status": {"conditions": [{"type": "Ready", "status": "Unknown"}], "nodeInfo": {"kubeletVersion": "v1.36.2"}}});
        assert_eq!(row("Node", node), "titan-00 | NotReady,SchedulingDisabled | master | 10m | v1.36.2");
    }

    #[test]
    fn a_pod_shows_why_it_waits() {
        let pod = json!({"metadata": {"name": "web", "creationTimestamp": META}, "spec": {"containers": [{}]}, "status": {"phase": "Pending",
            "containerStatuses": [{"ready": false, "restartCount": 2, "state": {"waiting": {"reason": "ImagePullBackOff"}}}]}});
        assert_eq!(row("Pod", pod), "web | 0/1 | ImagePullBackOff | 2 | 10m");
    }

    #[test]
    fn flux_objects_show_age_ready_and_status() {
        let object = json!({"metadata": {"name": "core", "creationTimestamp": META},
            "status": {"conditions": [{"type": "Ready", "status": "False", "message": "dependency not ready"}]}});
        assert_eq!(row("Kustomization", object), "core | 10m | False | dependency not ready");
    }

    #[test]
    fn every_kind_has_as_many_cells_as_columns() {
        for kind in super::super::kinds::KINDS.iter() {
            row(kind.kind, json!({"metadata": {"name": "x"}}));
        }
    }

    #[test]
    fn ages_are_as_coarse_as_kubectl_makes_them() {
        let ages = [119, 125, 660, 10_860, 30_000, 180_000, 700_000].map(age);
        assert_eq!(ages, ["119s", "2m5s", "11m", "3h1m", "8h", "2d2h", "8d"]);
    }
}
