//! Deployments, StatefulSets and DaemonSets.

use ananke_core::name::Kind;
use ananke_core::observation::WorkloadState;
use serde::Deserialize;

use super::meta::{Meta, count};

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
struct Spec {
    replicas: Option<i64>,
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
    Ok(Some(replicated(Kind::Deployment, &of)))
}

pub(crate) fn stateful_set(of: Replicated) -> Result<Option<WorkloadState>, String> {
    Ok(Some(replicated(Kind::StatefulSet, &of)))
}

fn replicated(kind: Kind, of: &Replicated) -> WorkloadState {
    WorkloadState {
        object: of.metadata.object(kind),
        // The server writes the default of 1 itself.
        desired: count(of.spec.replicas.unwrap_or(1)),
        ready: count(of.status.ready_replicas),
        updated: count(of.status.updated_replicas),
        generation: of.metadata.generation,
        observed_generation: of.status.observed_generation,
    }
}

pub(crate) fn daemon_set(of: DaemonSet) -> Result<Option<WorkloadState>, String> {
    Ok(Some(WorkloadState {
        object: of.metadata.object(Kind::DaemonSet),
        desired: count(of.status.desired_number_scheduled),
        ready: count(of.status.number_ready),
        updated: count(of.status.updated_number_scheduled),
        generation: of.metadata.generation,
        observed_generation: of.status.observed_generation,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deployment_that_no_controller_saw_has_an_older_observed_generation() {
        let text = r#"{"metadata":{"generation":1,"name":"gitea","namespace":"apps"},"spec":{"replicas":3},"status":{}}"#;
        let state = deployment(serde_json::from_str(text).unwrap()).unwrap().unwrap();
        assert_eq!((state.desired, state.ready, state.updated), (3, 0, 0));
        assert_eq!((state.generation, state.observed_generation), (1, 0));
    }

    #[test]
    fn a_daemon_set_counts_by_its_own_words() {
        let text = r#"{"metadata":{"generation":2,"name":"agent","namespace":"apps"},"spec":{},"status":{"desiredNumberScheduled":4,"currentNumberScheduled":4,"numberReady":3,"updatedNumberScheduled":2,"observedGeneration":2}}"#;
        let state = daemon_set(serde_json::from_str(text).unwrap()).unwrap().unwrap();
        assert_eq!((state.desired, state.ready, state.updated, state.observed_generation), (4, 3, 2, 2));
    }
}
