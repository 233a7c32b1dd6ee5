//! What the real server fills in when an object is created: first the defaults of its fields, which the client then owns
//! with the rest, then what the server itself adds.

use serde_json::{Map, Value, json};

use super::kinds::Kind;
use super::validate;
use super::write::section;

/// Defaults of the fields that a client may set.
pub fn fill(kind: &Kind, object: &mut Value) {
    if kind.is_custom() {
        return validate::fill_defaults(kind, object);
    }
    match (kind.group, kind.kind) {
        ("", "Pod") => {
            let spec = section(object, "spec");
            pod_spec(spec);
            default(spec, "enableServiceLinks", json!(true));
        }
        ("", "Namespace") => {
            let name = object.pointer("/metadata/name").cloned().unwrap_or_default();
            section(section_value(object, "metadata"), "labels").insert("kubernetes.io/metadata.name".to_owned(), name);
        }
        ("", "Service") => service(section(object, "spec")),
        ("", "PersistentVolumeClaim") => default(section(object, "spec"), "volumeMode", json!("Filesystem")),
        ("", "Secret") => default_in(object, "type", json!("Opaque")),
        ("", "Event") => event(object),
        ("apps", name) => workload(name, section(object, "spec")),
        ("batch", "Job") => job(section(object, "spec")),
        ("batch", "CronJob") => cron_job(section(object, "spec")),
        ("discovery.k8s.io", "EndpointSlice") => {
            for port in items(object, "ports") {
                defaults(port, &[("name", json!("")), ("protocol", json!("TCP"))]);
            }
        }
        _ => {}
    }
}

/// What the server adds of its own: status, finalizers, and what admission writes. `uid` is the object's.
pub fn complete(kind: &Kind, object: &mut Value, uid: &str) {
    let status = match (kind.group, kind.kind) {
        ("", "Node") => {
            not_ready(section(object, "spec"));
            node_status()
        }
        ("", "Namespace") => {
            section(object, "spec").insert("finalizers".to_owned(), json!(["kubernetes"]));
            json!({"phase": "Active"})
        }
        ("", "Pod") => {
            let class = quality(object);
            scheduling(section(object, "spec"));
            json!({"phase": "Pending", "qosClass": class})
        }
        ("", "Service") => {
            addresses(section(object, "spec"), uid);
            json!({"loadBalancer": {}})
        }
        ("", "PersistentVolumeClaim") => {
            section(object, "metadata").entry("finalizers").or_insert_with(|| json!(["kubernetes.io/pvc-protection"]));
            json!({"phase": "Pending"})
        }
        ("", "PersistentVolume") => json!({"phase": "Pending"}),
        ("apps", "DaemonSet") => {
            json!({"currentNumberScheduled": 0, "desiredNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0})
        }
        ("apps", "StatefulSet") => json!({"availableReplicas": 0, "replicas": 0}),
        ("apps", "ReplicaSet") => json!({"replicas": 0}),
        ("apps", "Deployment") | ("batch", "CronJob") => json!({}),
        ("batch", "Job") => {
            own_pods(object, uid);
            json!({})
        }
        ("networking.k8s.io", "Ingress") => json!({"loadBalancer": {}}),
        ("policy", "PodDisruptionBudget") => {
            json!({"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0})
        }
        ("storage.k8s.io", "VolumeAttachment") => json!({"attached": false}),
        _ => Value::Null,
    };
    if !kind.has_status() {
        return;
    }
    match object.as_object_mut() {
        // A custom resource has the status that its schema defaults to, whatever the client sent.
        Some(map) if kind.is_custom() => {
            map.remove("status");
            validate::fill_defaults(kind, object);
        }
        Some(map) if status.is_null() => {
            map.remove("status");
        }
        Some(map) => {
            map.insert("status".to_owned(), status);
        }
        None => {}
    }
}

type Fields = Map<String, Value>;

fn default(fields: &mut Fields, name: &str, value: Value) {
    fields.entry(name).or_insert(value);
}

fn defaults(fields: &mut Fields, values: &[(&str, Value)]) {
    for (name, value) in values {
        default(fields, name, value.clone());
    }
}

fn default_in(object: &mut Value, name: &str, value: Value) {
    if let Some(map) = object.as_object_mut() {
        default(map, name, value);
    }
}

fn section_value<'a>(object: &'a mut Value, field: &str) -> &'a mut Value {
    section(object, field);
    &mut object[field]
}

/// The objects in a list.
fn items<'a>(object: &'a mut Value, list: &str) -> impl Iterator<Item = &'a mut Fields> {
    object.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
}

fn within<'a>(fields: &'a mut Fields, list: &str) -> impl Iterator<Item = &'a mut Fields> {
    fields.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
}

fn pod_spec(spec: &mut Fields) {
    let values = [
        ("dnsPolicy", json!("ClusterFirst")),
        ("restartPolicy", json!("Always")),
        ("schedulerName", json!("default-scheduler")),
        ("securityContext", json!({})),
        ("terminationGracePeriodSeconds", json!(30)),
    ];
    defaults(spec, &values);
    for list in ["containers", "initContainers"] {
        within(spec, list).for_each(container);
    }
}

fn container(container: &mut Fields) {
    let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
    let tag = image.rsplit('/').next().and_then(|name| name.split_once(':')).map(|(_, tag)| tag);
    let latest = !image.contains('@') && tag.is_none_or(|tag| tag == "latest");
    let values = [
        ("imagePullPolicy", json!(if latest { "Always" } else { "IfNotPresent" })),
        ("resources", json!({})),
        ("terminationMessagePath", json!("/dev/termination-log")),
        ("terminationMessagePolicy", json!("File")),
    ];
    defaults(container, &values);
    within(container, "ports").for_each(|port| default(port, "protocol", json!("TCP")));
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = container.get_mut(probe).and_then(Value::as_object_mut) {
            let values = [
                ("timeoutSeconds", json!(1)),
                ("periodSeconds", json!(10)),
                ("successThreshold", json!(1)),
                ("failureThreshold", json!(3)),
            ];
            defaults(probe, &values);
        }
    }
}

fn template(spec: &mut Fields) {
    if let Some(template) = spec.get_mut("template") {
        section(template, "metadata");
        pod_spec(section(template, "spec"));
    }
}

fn service(spec: &mut Fields) {
    let values = [("internalTrafficPolicy", json!("Cluster")), ("sessionAffinity", json!("None")), ("type", json!("ClusterIP"))];
    defaults(spec, &values);
    for port in within(spec, "ports") {
        default(port, "protocol", json!("TCP"));
        let number = port.get("port").cloned().unwrap_or_default();
        default(port, "targetPort", number);
    }
}

fn event(object: &mut Value) {
    for field in ["eventTime", "firstTimestamp", "lastTimestamp"] {
        default_in(object, field, Value::Null);
    }
    for field in ["reportingComponent", "reportingInstance"] {
        default_in(object, field, json!(""));
    }
}

fn workload(kind: &str, spec: &mut Fields) {
    let rolling = |settings: Value| json!({"type": "RollingUpdate", "rollingUpdate": settings});
    match kind {
        "Deployment" => {
            let values = [
                ("progressDeadlineSeconds", json!(600)),
                ("replicas", json!(1)),
                ("revisionHistoryLimit", json!(10)),
                ("strategy", rolling(json!({"maxSurge": "25%", "maxUnavailable": "25%"}))),
            ];
            defaults(spec, &values);
        }
        "StatefulSet" => {
            let values = [
                ("podManagementPolicy", json!("OrderedReady")),
                ("replicas", json!(1)),
                ("revisionHistoryLimit", json!(10)),
                ("updateStrategy", rolling(json!({"partition": 0}))),
                ("persistentVolumeClaimRetentionPolicy", json!({"whenDeleted": "Retain", "whenScaled": "Retain"})),
            ];
            defaults(spec, &values);
        }
        "DaemonSet" => {
            let values =
                [("revisionHistoryLimit", json!(10)), ("updateStrategy", rolling(json!({"maxSurge": 0, "maxUnavailable": 1})))];
            defaults(spec, &values);
        }
        "ReplicaSet" => default(spec, "replicas", json!(1)),
        _ => return,
    }
    template(spec);
}

fn job(spec: &mut Fields) {
    let values = [
        ("backoffLimit", json!(6)),
        ("completionMode", json!("NonIndexed")),
        ("completions", json!(1)),
        ("manualSelector", json!(false)),
        ("parallelism", json!(1)),
        ("podReplacementPolicy", json!("TerminatingOrFailed")),
        ("suspend", json!(false)),
    ];
    defaults(spec, &values);
    template(spec);
}

fn cron_job(spec: &mut Fields) {
    let values = [
        ("concurrencyPolicy", json!("Allow")),
        ("failedJobsHistoryLimit", json!(1)),
        ("successfulJobsHistoryLimit", json!(3)),
        ("suspend", json!(false)),
    ];
    defaults(spec, &values);
}

/// A node is not ready before its kubelet has said so.
fn not_ready(spec: &mut Fields) {
    let taint = json!({"effect": "NoSchedule", "key": "node.kubernetes.io/not-ready"});
    let taints = spec.entry("taints").or_insert_with(|| json!([]));
    if let Some(taints) = taints.as_array_mut().filter(|taints| !taints.contains(&taint)) {
        taints.push(taint);
    }
}

fn node_status() -> Value {
    let unknown: Map<String, Value> = [
        "architecture",
        "bootID",
        "containerRuntimeVersion",
        "kernelVersion",
        "kubeProxyVersion",
        "kubeletVersion",
        "machineID",
        "operatingSystem",
        "osImage",
        "systemUUID",
    ]
    .iter()
    .map(|field| ((*field).to_owned(), json!("")))
    .collect();
    json!({"daemonEndpoints": {"kubeletEndpoint": {"Port": 0}}, "nodeInfo": unknown})
}

fn scheduling(spec: &mut Fields) {
    defaults(spec, &[("preemptionPolicy", json!("PreemptLowerPriority")), ("priority", json!(0))]);
    let tolerations = spec.entry("tolerations").or_insert_with(|| json!([]));
    let Some(tolerations) = tolerations.as_array_mut() else { return };
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        if !tolerations.iter().any(|toleration| toleration.get("key") == Some(&json!(key))) {
            tolerations.push(json!({"effect": "NoExecute", "key": key, "operator": "Exists", "tolerationSeconds": 300}));
        }
    }
}

/// The quality of service that a pod's requests and limits come to.
fn quality(pod: &Value) -> &'static str {
    let containers = pod.pointer("/spec/containers").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let given = |container: &Value, list: &str, of: &str| container.pointer(&format!("/resources/{list}/{of}")).cloned();
    let none =
        |container: &Value| ["requests", "limits"].iter().all(|list| container.pointer(&format!("/resources/{list}")).is_none());
    let fixed = |container: &Value| {
        ["cpu", "memory"].iter().all(|of| {
            let limit = given(container, "limits", of);
            limit.is_some() && given(container, "requests", of).is_none_or(|request| Some(request) == limit)
        })
    };
    if containers.iter().all(none) {
        "BestEffort"
    } else if containers.iter().all(fixed) {
        "Guaranteed"
    } else {
        "Burstable"
    }
}

fn addresses(spec: &mut Fields, uid: &str) {
    if spec.get("type") == Some(&json!("ExternalName")) {
        return;
    }
    let hash = uid.bytes().fold(7_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(byte)));
    let address = json!(format!("10.43.{}.{}", 128 + hash / 250 % 120, 1 + hash % 250));
    default(spec, "clusterIP", address.clone());
    let address = spec.get("clusterIP").cloned().unwrap_or(address);
    defaults(
        spec,
        &[("clusterIPs", json!([address])), ("ipFamilies", json!(["IPv4"])), ("ipFamilyPolicy", json!("SingleStack"))],
    );
}

/// A Job looks for pods by its own UID.
fn own_pods(job: &mut Value, uid: &str) {
    let name = job.pointer("/metadata/name").cloned().unwrap_or_default();
    let labels = json!({"batch.kubernetes.io/controller-uid": uid, "batch.kubernetes.io/job-name": name,
        "controller-uid": uid, "job-name": name});
    let add = |labelled: &mut Value| {
        let own = section(section_value(labelled, "metadata"), "labels");
        for (label, value) in labels.as_object().into_iter().flatten() {
            default(own, label, value.clone());
        }
    };
    add(job);
    let spec = section_value(job, "spec");
    add(section_value(spec, "template"));
    if spec.get("manualSelector") != Some(&json!(true)) {
        default_in(spec, "selector", json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}));
    }
}
