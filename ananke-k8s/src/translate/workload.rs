//! Deployments, StatefulSets and DaemonSets.

use std::sync::Arc;

use ananke_core::name::Kind;
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
#[serde(default)]
struct Spec {
    replicas: Option<i64>,
    template: Template,
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
    Ok(WorkloadState {
        object: of.metadata.object(kind),
        version: of.metadata.version()?,
        registries: registries(&of.spec.template),
        // The server writes the default of 1 itself.
        desired: count(of.spec.replicas.unwrap_or(1)),
        ready: count(of.status.ready_replicas),
        updated: count(of.status.updated_replicas),
        generation: of.metadata.generation,
        observed_generation: of.status.observed_generation,
        scaled_from: of.metadata.annotations.scaled_from.as_deref().and_then(|text| text.parse().ok()),
        reboot_lock: None,
    })
}

pub(crate) fn daemon_set(of: DaemonSet) -> Result<Option<WorkloadState>, String> {
    Ok(Some(WorkloadState {
        object: of.metadata.object(Kind::DaemonSet),
        version: of.metadata.version()?,
        registries: registries(&of.spec.template),
        desired: count(of.status.desired_number_scheduled),
        ready: count(of.status.number_ready),
        updated: count(of.status.updated_number_scheduled),
        generation: of.metadata.generation,
        observed_generation: of.status.observed_generation,
        scaled_from: None,
        reboot_lock: of.metadata.annotations.kured_lock.as_deref().and_then(holder),
    }))
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
