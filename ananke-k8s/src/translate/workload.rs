//! Deployments, StatefulSets and DaemonSets.

use std::sync::Arc;

use ananke_core::name::{Kind, ObjectRef};
use ananke_core::observation::WorkloadState;
use serde::Deserialize;

use super::meta::{Meta, count, named, null_is_default};

named!(Replicated, DaemonSet);

/// A Deployment or a StatefulSet.
#[derive(Debug, Deserialize)]
pub(crate) struct Replicated {
    metadata: Meta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: ReplicaStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    replicas: Option<i64>,
    /// Of a Deployment: no change of its template is rolled out.
    paused: bool,
    /// Of the other kinds.
    #[serde(deserialize_with = "null_is_default")]
    update_strategy: UpdateStrategy,
    template: Template,
}

impl Spec {
    /// Pods that stay as they are although the template has changed: they are deleted by hand, lie below the partition, or
    /// wait for the pause to end.
    fn held_back(&self, desired: u32) -> u32 {
        if self.paused || self.update_strategy.kind == "OnDelete" {
            return desired;
        }
        let partition = self.update_strategy.rolling_update.as_ref().and_then(|rolling| rolling.partition);
        count(partition.unwrap_or(0)).min(desired)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct UpdateStrategy {
    #[serde(rename = "type")]
    kind: String,
    rolling_update: Option<RollingUpdate>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RollingUpdate {
    partition: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Template {
    spec: PodSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PodSpec {
    #[serde(deserialize_with = "null_is_default")]
    init_containers: Vec<Container>,
    #[serde(deserialize_with = "null_is_default")]
    containers: Vec<Container>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Container {
    image: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ReplicaStatus {
    ready_replicas: i64,
    updated_replicas: i64,
    observed_generation: i64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct DaemonSet {
    metadata: Meta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: DaemonStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct DaemonStatus {
    desired_number_scheduled: i64,
    number_ready: i64,
    updated_number_scheduled: i64,
    observed_generation: i64,
}

pub(crate) fn deployment(of: Replicated) -> Result<Option<WorkloadState>, String> {
    replicated(Kind::Deployment, &of).map(Some)
}

pub(crate) fn stateful_set(of: Replicated) -> Result<Option<WorkloadState>, String> {
    replicated(Kind::StatefulSet, &of).map(Some)
}

fn replicated(kind: Kind, of: &Replicated) -> Result<WorkloadState, String> {
    // The server writes the default of 1 itself.
    let desired = count(of.spec.replicas.unwrap_or(1));
    Ok(WorkloadState {
        object: of.metadata.object(kind),
        version: of.metadata.version()?,
        registries: registries(&of.spec.template),
        desired,
        ready: count(of.status.ready_replicas),
        updated: count(of.status.updated_replicas).saturating_add(of.spec.held_back(desired)),
        generation: of.metadata.generation,
        observed_generation: of.status.observed_generation,
        scaled_from: of.metadata.annotations.scaled_from.as_deref().and_then(|text| text.parse().ok()),
        reboot_lock: None,
        release: release(&of.metadata),
    })
}

pub(crate) fn daemon_set(of: DaemonSet) -> Result<Option<WorkloadState>, String> {
    let desired = count(of.status.desired_number_scheduled);
    Ok(Some(WorkloadState {
        object: of.metadata.object(Kind::DaemonSet),
        version: of.metadata.version()?,
        registries: registries(&of.spec.template),
        desired,
        ready: count(of.status.number_ready),
        updated: count(of.status.updated_number_scheduled).saturating_add(of.spec.held_back(desired)),
        generation: of.metadata.generation,
        observed_generation: of.status.observed_generation,
        scaled_from: None,
        reboot_lock: of.metadata.annotations.kured_lock.as_deref().and_then(holder),
        release: release(&of.metadata),
    }))
}

/// As helm-controller labels what a chart has.
fn release(metadata: &Meta) -> Option<ObjectRef> {
    let label = |field: &str| metadata.labels.get(&format!("helm.toolkit.fluxcd.io/{field}"));
    Some(ObjectRef::new(Kind::HelmRelease, label("namespace")?, label("name")?))
}

/// kured writes one lock, or a list of them where several nodes may reboot at once.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum KuredLock {
    One(Locked),
    Many { locks: Vec<Locked> },
}

#[derive(Debug, Deserialize)]
struct Locked {
    #[serde(rename = "nodeID")]
    node: Arc<str>,
}

/// The first node that holds the lock; none where it is not understood.
fn holder(text: &str) -> Option<Arc<str>> {
    match serde_json::from_str(text).ok()? {
        KuredLock::One(lock) => Some(lock.node),
        KuredLock::Many { locks } => locks.into_iter().next().map(|lock| lock.node),
    }
}

/// The registries of all images, each once.
fn registries(template: &Template) -> Vec<Arc<str>> {
    let mut found: Vec<Arc<str>> = Vec::new();
    for container in template.spec.init_containers.iter().chain(&template.spec.containers) {
        let host = registry(&container.image);
        if !container.image.is_empty() && !found.iter().any(|known| known.as_ref() == host) {
            found.push(host.into());
        }
    }
    found
}

/// What stands before the first slash is a host if it can be nothing else; a short name is Docker Hub's.
fn registry(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        Some(_) | None => "docker.io",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deployment_that_no_controller_saw_has_an_older_observed_generation() {
        let text = r#"{"metadata":{"resourceVersion":"7","generation":1,"name":"gitea","namespace":"apps"},"spec":{"replicas":3},"status":{}}"#;
        let state = deployment(serde_json::from_str(text).unwrap()).unwrap().unwrap();
        assert_eq!((state.desired, state.ready, state.updated), (3, 0, 0));
        assert_eq!((state.generation, state.observed_generation), (1, 0));
    }

    #[test]
    fn a_daemon_set_counts_by_its_own_words() {
        let text = r#"{"metadata":{"resourceVersion":"7","generation":2,"name":"agent","namespace":"apps"},"spec":{},"status":{"desiredNumberScheduled":4,"currentNumberScheduled":4,"numberReady":3,"updatedNumberScheduled":2,"observedGeneration":2}}"#;
        let state = daemon_set(serde_json::from_str(text).unwrap()).unwrap().unwrap();
        assert_eq!((state.desired, state.ready, state.updated, state.observed_generation), (4, 3, 2, 2));
    }

    #[test]
    fn pods_that_are_not_to_be_replaced_count_as_updated() {
        let updated = |spec: serde_json::Value| {
            let mut object = serde_json::json!({"metadata": {"resourceVersion": "7", "name": "vault", "namespace": "vault"},
                "status": {"readyReplicas": 3, "updatedReplicas": 1}});
            object["spec"] = spec;
            stateful_set(serde_json::from_value(object).unwrap()).unwrap().unwrap().updated
        };
        let by = |strategy: serde_json::Value| updated(serde_json::json!({"replicas": 3, "updateStrategy": strategy}));
        assert_eq!(by(serde_json::json!({"type": "OnDelete"})), 4);
        assert_eq!(by(serde_json::json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 2}})), 3);
        assert_eq!(by(serde_json::json!({"type": "RollingUpdate", "rollingUpdate": null})), 1);
        assert_eq!(by(serde_json::Value::Null), 1);
        assert_eq!(updated(serde_json::json!({"replicas": 3, "paused": true, "strategy": {"type": "RollingUpdate"}})), 4);
    }

    #[test]
    fn the_lock_of_kured_names_its_holder() {
        let held = |lock: &str| {
            let text = serde_json::json!({"metadata": {"resourceVersion": "7", "name": "kured", "namespace": "kube-system",
                "annotations": {"weave.works/kured-node-lock": lock}}});
            daemon_set(serde_json::from_value(text).unwrap()).unwrap().unwrap().reboot_lock
        };
        assert_eq!(held(r#"{"nodeID":"n7","metadata":{"unschedulable":false},"TTL":0}"#).as_deref(), Some("n7"));
        assert_eq!(held(r#"{"maxOwners":2,"locks":[{"nodeID":"n8","metadata":{}}]}"#).as_deref(), Some("n8"));
        assert_eq!(held("n9"), None);
    }

    #[test]
    fn images_name_their_registries_and_short_names_are_docker_hubs() {
        for (image, host) in [
            ("nginx", "docker.io"),
            ("rancher/mirrored-coredns:1.12", "docker.io"),
            ("ghcr.io/fluxcd/source-controller:v1", "ghcr.io"),
            ("registry:5000/app@sha256:00", "registry:5000"),
            ("localhost/app", "localhost"),
        ] {
            assert_eq!(registry(image), host, "{image}");
        }
        let text = r#"{"metadata":{"resourceVersion":"7","name":"gitea","namespace":"apps"},"spec":{"template":{"spec":{"initContainers":null,"containers":[{"image":"harbor.example/git/gitea:1"},{"image":"harbor.example/x"},{"image":"valkey"}]}}}}"#;
        let state = deployment(serde_json::from_str(text).unwrap()).unwrap().unwrap();
        assert_eq!(state.registries, ["harbor.example".into(), "docker.io".into()]);
    }
}
