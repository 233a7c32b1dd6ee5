//! Pods: those that have not ended, and apart from them what is left of those that have.

use std::sync::Arc;

use ananke_core::name::{Kind, Moment, NodeName, ObjectRef, Texts};
use ananke_core::observation::{PodPhase, PodState, Tri};
use ananke_core::port::clean;
use serde::Deserialize;

use super::meta::{Condition, Meta, condition, named, null_is_default, set};

named!(Pod);

/// Ended pods are left out by the server already.
pub(crate) const SELECTOR: &str = "status.phase!=Succeeded,status.phase!=Failed";
/// The others.
pub(crate) const ENDED: &str = "status.phase!=Pending,status.phase!=Running,status.phase!=Unknown";

/// Zalando's operator, CloudNativePG and Patroni by itself.
const ROLES: &[&str] = &["spilo-role", "cnpg.io/instanceRole", "role"];

#[derive(Debug, Deserialize)]
pub(crate) struct Pod {
    metadata: Meta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    node_name: String,
    #[serde(deserialize_with = "null_is_default")]
    volumes: Vec<Volume>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Volume {
    #[serde(rename = "persistentVolumeClaim", deserialize_with = "null_is_default")]
    claim: Claim,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Claim {
    #[serde(rename = "claimName")]
    name: Option<Arc<str>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    phase: String,
    reason: String,
    message: String,
    #[serde(deserialize_with = "null_is_default")]
    conditions: Vec<Condition>,
    #[serde(deserialize_with = "null_is_default")]
    init_container_statuses: Vec<Container>,
    #[serde(deserialize_with = "null_is_default")]
    container_statuses: Vec<Container>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Container {
    state: ContainerState,
    /// How it ended the last time.
    #[serde(deserialize_with = "null_is_default")]
    last_state: ContainerState,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ContainerState {
    waiting: Option<Why>,
    terminated: Option<Why>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Why {
    reason: String,
    message: String,
}

pub(crate) fn pod(pod: Pod) -> Result<Option<PodState>, String> {
    if has_ended(&pod) { Ok(None) } else { state(pod).map(Some) }
}

/// Of those that ended only what a workload had is kept: the others are Jobs' and people's.
pub(crate) fn ended(pod: Pod) -> Result<Option<PodState>, String> {
    if has_ended(&pod) && owner(&pod.metadata).is_some() { state(pod).map(Some) } else { Ok(None) }
}

fn has_ended(pod: &Pod) -> bool {
    matches!(phase(&pod.status.phase), PodPhase::Succeeded | PodPhase::Failed)
}

fn state(pod: Pod) -> Result<PodState, String> {
    let Pod { metadata, spec, status } = pod;
    let phase = phase(&status.phase);
    let ready = condition(&status.conditions, "Ready").is_some_and(|ready| ready.tri() == Tri::True);
    let node = if spec.node_name.is_empty() {
        None
    } else {
        Some(NodeName::parse(&spec.node_name).map_err(|error| format!("pod {}: {error}", metadata.name))?)
    };
    Ok(PodState {
        object: metadata.object(Kind::Pod),
        uid: metadata.uid()?,
        owner: owner(&metadata),
        node,
        phase,
        ready,
        reason: if ready { "".into() } else { reason(&status) },
        message: if ready { "".into() } else { message(&status) },
        created: metadata.creation_timestamp.as_deref().and_then(|text| Moment::parse(text).ok()),
        deleting: metadata.deletion_timestamp.is_some(),
        claims: spec.volumes.into_iter().filter_map(|volume| set(volume.claim.name)).collect(),
        mirror: metadata.annotations.mirror.is_some(),
        bare: metadata.owner_references.is_empty(),
        role: ROLES.iter().find_map(|label| metadata.labels.get(*label)).map(|role| role.as_str().into()),
    })
}

/// EndpointSlices name pods again, and pods name their nodes, owners and reasons.
pub(crate) fn share(pod: &mut PodState, texts: &mut Texts) {
    pod.object.share(texts);
    texts.share(&mut pod.reason);
    texts.share(&mut pod.message);
    if let Some(owner) = &mut pod.owner {
        owner.share(texts);
    }
    if let Some(node) = &mut pod.node {
        node.share(texts);
    }
    if let Some(role) = &mut pod.role {
        texts.share(role);
    }
}

fn phase(text: &str) -> PodPhase {
    match text {
        "Pending" => PodPhase::Pending,
        "Running" => PodPhase::Running,
        "Succeeded" => PodPhase::Succeeded,
        "Failed" => PodPhase::Failed,
        _ => PodPhase::Unknown,
    }
}

/// The controller; for a ReplicaSet the Deployment behind it, whose name is the ReplicaSet's without the pod template's
/// hash. That spares a list of ReplicaSets, of which every Deployment keeps ten.
fn owner(metadata: &Meta) -> Option<ObjectRef> {
    let owner = metadata.owner_references.iter().find(|owner| owner.controller)?;
    let (kind, name) = match owner.kind.as_str() {
        "ReplicaSet" => {
            let hash = metadata.labels.get("pod-template-hash")?;
            (Kind::Deployment, owner.name.strip_suffix(hash.as_str())?.strip_suffix('-')?)
        }
        "StatefulSet" => (Kind::StatefulSet, owner.name.as_str()),
        "DaemonSet" => (Kind::DaemonSet, owner.name.as_str()),
        _ => return None,
    };
    Some(ObjectRef::new(kind, &metadata.namespace, name))
}

/// The most telling word: what a container waits for, else why it has no node, else the pod's own reason.
fn reason(status: &Status) -> Arc<str> {
    let waiting = || {
        let all = status.init_container_statuses.iter().chain(&status.container_statuses);
        all.filter_map(|container| container.state.waiting.as_ref()).map(|waiting| waiting.reason.as_str())
    };
    // These two are what every pod goes through.
    let trouble = waiting().find(|reason| !reason.is_empty() && !["PodInitializing", "ContainerCreating"].contains(reason));
    let unscheduled = condition(&status.conditions, "PodScheduled").filter(|scheduled| scheduled.tri() == Tri::False);
    trouble
        .or(unscheduled.map(|scheduled| scheduled.reason.as_str()))
        .or_else(|| waiting().next())
        .unwrap_or(&status.reason)
        .into()
}

/// Messages are kept to this many characters: what tells stands at their beginning, and remote text is bounded.
const MESSAGE: usize = 400;

/// What is said beside the reason: why containers wait, how they ended, why there is no node, and the pod's own word.
fn message(status: &Status) -> Arc<str> {
    let all = || status.init_container_statuses.iter().chain(&status.container_statuses);
    let waiting = all().filter_map(|container| container.state.waiting.as_ref()).map(|why| why.message.clone());
    let ended = all().filter_map(|container| container.state.terminated.as_ref().or(container.last_state.terminated.as_ref()));
    // A clean end, and what merely ended with an error, say nothing.
    let ended = ended.filter(|why| !["Completed", "Error", ""].contains(&why.reason.as_str()) || !why.message.is_empty());
    let ended = ended.map(|why| format!("{}: {}", why.reason, why.message));
    let unscheduled = condition(&status.conditions, "PodScheduled").filter(|scheduled| scheduled.tri() == Tri::False);
    let own = unscheduled.map(|scheduled| scheduled.message.clone()).into_iter().chain([status.message.clone()]);
    let said: Vec<String> = waiting.chain(ended).chain(own).filter(|text| !text.is_empty()).collect();
    clean(&said.join("; "), MESSAGE).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Option<PodState> {
        pod(serde_json::from_str(text).unwrap()).unwrap()
    }

    #[test]
    fn a_member_of_a_database_has_the_role_that_its_operator_gives_it() {
        let role = |labels: &str| {
            check(&format!(r#"{{"metadata":{{"name":"db-0","namespace":"apps","uid":"u","labels":{labels}}}}}"#)).unwrap().role
        };
        assert_eq!(role(r#"{"application":"spilo","spilo-role":"master"}"#).as_deref(), Some("master"));
        assert_eq!(
            role(r#"{"cnpg.io/cluster":"db","cnpg.io/instanceRole":"replica","role":"replica"}"#).as_deref(),
            Some("replica")
        );
        assert_eq!(role(r#"{"app":"web"}"#), None);
    }

    #[test]
    fn what_a_shutdown_left_of_a_pod_is_kept_apart_with_its_reason() {
        let text = |kind: &str, phase: &str| {
            format!(
                r#"{{"metadata":{{"name":"db-0","namespace":"apps","resourceVersion":"7","uid":"u","ownerReferences":[{{"kind":"{kind}","name":"db","controller":true}}]}},"spec":{{"nodeName":"n1"}},"status":{{"phase":"{phase}","reason":"Terminated","message":"Pod was terminated in response to imminent node shutdown."}}}}"#
            )
        };
        let apart = |text: &str| ended(serde_json::from_str(text).unwrap()).unwrap();
        let left = apart(&text("StatefulSet", "Failed")).unwrap();
        assert_eq!((left.phase, left.reason.as_ref(), left.ready), (PodPhase::Failed, "Terminated", false));
        assert!(left.message.starts_with("Pod was terminated"));
        assert_eq!(apart(&text("StatefulSet", "Running")), None);
        assert_eq!(apart(&text("Job", "Succeeded")), None);
        assert_eq!(check(&text("StatefulSet", "Failed")), None);
    }

    #[test]
    fn an_evicted_pod_is_ready_and_deleting_until_it_is_gone() {
        let state = check(
            r#"{"apiVersion":"v1","kind":"Pod","metadata":{"creationTimestamp":"2026-11-22T17:15:43Z","deletionGracePeriodSeconds":30,"deletionTimestamp":"2026-11-22T17:16:13Z","generation":2,"labels":{"app":"free"},"name":"free-0","namespace":"apps","resourceVersion":"256","uid":"5890170f"},"spec":{"containers":[{"image":"registry.example/app:1","name":"c","resources":{}}],"nodeName":"titan-01"},"status":{"conditions":[{"lastProbeTime":null,"lastTransitionTime":"2026-01-01T00:00:00Z","status":"True","type":"Ready"},{"message":"Eviction API: evicting","reason":"EvictionByEvictionAPI","status":"True","type":"DisruptionTarget"}],"containerStatuses":[{"image":"registry.example/app:1","imageID":"i","lastState":{},"name":"c","ready":true,"restartCount":0,"state":{"running":{"startedAt":"2026-01-01T00:00:00Z"}}}],"phase":"Running","qosClass":"BestEffort"}}"#,
        )
        .unwrap();
        assert_eq!((state.ready, state.deleting, state.mirror, state.phase), (true, true, false, PodPhase::Running));
        assert_eq!((state.node.unwrap().as_str(), state.owner, state.reason.as_ref()), ("titan-01", None, ""));
    }

    #[test]
    fn a_pod_of_a_replica_set_belongs_to_the_deployment() {
        let with = |kind: &str, name: &str| {
            let text = format!(
                r#"{{"metadata":{{"name":"p","namespace":"apps","uid":"u","labels":{{"pod-template-hash":"6d4cf56db6"}},"ownerReferences":[{{"kind":"{kind}","name":"{name}","controller":true}}]}}}}"#
            );
            check(&text).unwrap().owner.map(|owner| owner.to_string())
        };
        assert_eq!(with("ReplicaSet", "web-6d4cf56db6").as_deref(), Some("Deployment apps/web"));
        assert_eq!(with("ReplicaSet", "handmade"), None);
        assert_eq!(with("DaemonSet", "agent").as_deref(), Some("DaemonSet apps/agent"));
        assert_eq!(with("Node", "titan-01"), None);
    }

    #[test]
    fn the_reason_is_the_most_telling_one() {
        let with = |status: &str| {
            check(&format!(r#"{{"metadata":{{"name":"p","namespace":"a","uid":"u"}},"status":{status}}}"#))
                .unwrap()
                .reason
                .to_string()
        };
        let init = r#"{"phase":"Pending","initContainerStatuses":[{"state":{"waiting":{"reason":"ImagePullBackOff"}}}],"containerStatuses":[{"state":{"waiting":{"reason":"PodInitializing"}}}]}"#;
        assert_eq!(with(init), "ImagePullBackOff");
        let nowhere = r#"{"phase":"Pending","conditions":[{"type":"PodScheduled","status":"False","reason":"Unschedulable"}]}"#;
        assert_eq!(with(nowhere), "Unschedulable");
        assert_eq!(with(r#"{"phase":"Running","reason":"NodeLost"}"#), "NodeLost");
        assert_eq!(
            with(r#"{"phase":"Pending","containerStatuses":[{"state":{"waiting":{"reason":"ContainerCreating"}}}]}"#),
            "ContainerCreating"
        );
    }

    #[test]
    fn a_pod_that_ended_is_left_out() {
        assert_eq!(check(r#"{"metadata":{"name":"job","namespace":"a","uid":"u"},"status":{"phase":"Succeeded"}}"#), None);
    }
}
