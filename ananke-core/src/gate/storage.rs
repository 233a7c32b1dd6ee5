//! Gate `storage`: CSI drivers are registered where they are used, Longhorn serves, claims can be used, and no attachment
//! stands in the way of a pod.
//!
//! Each node, claim and attachment is a subject of its own, so that one bad disk holds up nothing but what needs it.

mod ceph;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::engine::view::{View, joined};
use crate::engine::walk::as_node;
use crate::name::{Kind, NodeName, ObjectRef, Subject};
use crate::observation::{
    AttachmentState, ClaimState, CsiNodeState, LonghornNode, LonghornVolume, NodeState, PodState, StorageState, Tri,
};
use crate::port::clean;
use crate::proof;
use crate::spec::NodeSpec;
use crate::verdict::{GateId, Judgement, Reason, Trap, Verdict};

/// Longhorn's CSI driver: it belongs on every node that Longhorn knows, whether a volume is attached there or not.
const LONGHORN: &str = "driver.longhorn.io";

pub(super) fn evaluate(view: &View<'_>) -> Judgement {
    if !view.spec.storage.required {
        return Judgement::not_applicable("storage is not required (startup.require_storage_ready)");
    }
    let seen = match Seen::of(view) {
        Ok(seen) => seen,
        Err(gap) => {
            return Judgement::of(Subject::Cluster, Verdict::unknown(gap, "look at the API server: it does not list volumes"));
        }
    };
    if !seen.uses_csi(view) {
        return Judgement::not_applicable("the cluster uses no CSI driver, and none is configured (storage.drivers)");
    }
    let mut judgement: Judgement = (seen.of_nodes(view))
        .filter_map(|(name, of)| Some((Subject::Node(name.clone()), judge_node(view, &seen, name, &of)?)))
        .collect();
    judge_claims(view, &seen, &mut judgement);
    judge_attachments(view, &seen, &mut judgement);
    for (object, verdict) in seen.storage.ceph.iter().filter_map(|found| Some((&found.object, ceph::judge(view, found)?))) {
        judgement.set(Subject::Object(object.clone()), verdict);
    }
    judgement
}

/// What was seen, by name.
struct Seen<'a> {
    storage: &'a StorageState,
    view: View<'a>,
    nodes: &'a [NodeState],
    /// Empty where none is asked for.
    pods: &'a [PodState],
    longhorn_nodes: BTreeMap<&'a NodeName, &'a LonghornNode>,
    longhorn_volumes: BTreeMap<&'a str, &'a LonghornVolume>,
}

impl<'a> Seen<'a> {
    fn of(view: &View<'a>) -> Result<Self, crate::fact::Gap> {
        let (storage, nodes) = (view.storage()?, view.nodes()?);
        let longhorn = storage.longhorn.as_ref();
        let longhorn_nodes = longhorn.map(|found| found.nodes.as_slice()).unwrap_or_default();
        let longhorn_volumes = longhorn.map(|found| found.volumes.as_slice()).unwrap_or_default();
        let mut seen = Self {
            storage,
            view: *view,
            nodes,
            pods: &[],
            longhorn_nodes: longhorn_nodes.iter().map(|found| (&found.node, found)).collect(),
            longhorn_volumes: longhorn_volumes.iter().map(|found| (found.name.as_ref(), found)).collect(),
        };
        // Pods come and go all the time, and say nothing to storage that is well.
        let faulted = storage.claims.iter().any(|claim| faulted_volume(&seen, claim).is_some());
        if faulted || suspects(view, &seen).next().is_some() {
            seen.pods = view.pods()?;
        }
        Ok(seen)
    }

    fn uses_csi(&self, view: &View<'_>) -> bool {
        let configured = !view.spec.storage.drivers.is_empty() || !view.spec.storage.claims.is_empty();
        let registered = self.storage.csi_nodes.iter().any(|node| !node.drivers.is_empty());
        configured
            || registered
            || !self.storage.attachments.is_empty()
            || self.storage.longhorn.is_some()
            || !self.storage.ceph.is_empty()
    }

    /// The nodes that are expected, each with what there is of it.
    fn of_nodes<'s>(&'s self, view: &'s View<'_>) -> impl Iterator<Item = (&'s NodeName, OfNode<'s>)> {
        let csi: BTreeMap<&NodeName, &CsiNodeState> = self.storage.csi_nodes.iter().map(|found| (&found.node, found)).collect();
        let mut used: BTreeMap<&NodeName, Vec<&str>> = BTreeMap::new();
        for attachment in &self.storage.attachments {
            used.entry(&attachment.node).or_default().push(&attachment.driver);
        }
        let longhorn = self.longhorn_nodes.iter().map(|(name, found)| (*name, *found));
        let gate = view.gate(GateId::NodesReady);
        let judged = gate.into_iter().flat_map(|gate| &gate.judgement.subjects);
        let judged = judged.filter_map(|(subject, verdict)| Some((as_node(subject)?, verdict.is_pass())));
        let rows = joined(joined(joined(joined(view.spec.nodes.iter(), csi.into_iter()), used.into_iter()), longhorn), judged);
        rows.map(move |(name, ((((spec, csi), used), longhorn), judged))| {
            let registered = csi.map(|found| found.drivers.as_slice()).unwrap_or_default();
            // Where its gate is not walked, a kubelet that is alive is proof enough.
            let proved = if gate.is_some() { judged == Some(true) } else { view.kubelet_alive(name) };
            (name, OfNode { spec, registered, used: used.unwrap_or_default(), longhorn, proved })
        })
    }

    fn node(&self, name: &NodeName) -> Option<&'a NodeState> {
        self.view.listed(self.nodes, name)
    }

    /// Storage nodes that are expected and do not serve: replicas on them are missing.
    fn away(&self, view: &View<'_>) -> Vec<&'a NodeName> {
        let serves = |name: &NodeName, node: &LonghornNode| node.ready == Tri::True && view.kubelet_alive(name);
        self.longhorn_nodes.iter().filter(|(name, node)| !serves(name, node)).map(|(name, _)| *name).collect()
    }
}

/// A node that is expected.
struct OfNode<'a> {
    spec: &'a NodeSpec,
    /// Drivers that its kubelet knows.
    registered: &'a [Arc<str>],
    /// Drivers that attachments name there.
    used: Vec<&'a str>,
    longhorn: Option<&'a LonghornNode>,
    /// It has passed its own gate.
    proved: bool,
}

impl<'a> OfNode<'a> {
    /// Drivers that the node must have: those that are configured, and those that it is seen to use. A driver that keeps to
    /// some nodes by a selector is not missed on the others.
    fn wanted(&self, view: &'a View<'_>) -> Vec<&'a str> {
        let configured = view.spec.storage.drivers.iter().map(AsRef::as_ref);
        let longhorn = self.longhorn.is_some().then_some(LONGHORN);
        let mut wanted = Vec::new();
        for driver in configured.chain(self.used.iter().copied()).chain(longhorn) {
            if !wanted.contains(&driver) {
                wanted.push(driver);
            }
        }
        wanted
    }
}

/// None where nothing of storage is expected of the node.
fn judge_node(view: &View<'_>, seen: &Seen<'_>, name: &NodeName, of: &OfNode<'_>) -> Option<Verdict> {
    let wanted = of.wanted(view);
    if wanted.is_empty() {
        return None;
    }
    // What the API has of a node that is not back is from before the outage.
    if !of.proved {
        let text = format!("the storage of {name} counts once the node is back");
        return Some(Verdict::follows(Reason::StorageNodeNotReady, Subject::Node(name.clone()), text));
    }
    let mut missing = wanted.iter().filter(|driver| !of.registered.iter().any(|has| has.as_ref() == **driver));
    if let Some(driver) = missing.next() {
        return Some(Verdict::waiting(
            Reason::DriverNotRegistered,
            format!("CSI driver {driver} is not registered with the kubelet of {name}"),
            register_anew(driver, name, of.spec.unit.as_str()),
        ));
    }
    let trouble = of.longhorn.and_then(|longhorn| longhorn_trouble(seen, name, longhorn));
    let ready = if of.longhorn.is_some() { ", Longhorn ready" } else { "" };
    Some(trouble.unwrap_or_else(|| Verdict::pass(format!("{} registered{ready}", wanted.join(", ")))))
}

/// What a person does about a driver that the kubelet of a node does not know.
pub(crate) fn register_anew(driver: &str, name: &NodeName, unit: &str) -> String {
    format!(
        "delete the pod of the node plugin of {driver} on {name} once; if it is still not registered, restart {unit} on {name}"
    )
}

fn longhorn_trouble(seen: &Seen<'_>, name: &NodeName, found: &LonghornNode) -> Option<Verdict> {
    let what = if found.ready != Tri::True {
        "is not ready"
    } else if found.schedulable != Tri::True && !seen.node(name).is_some_and(|node| node.unschedulable) {
        // Longhorn follows a person's cordon, which is that person's business and holds nothing.
        "takes no replicas"
    } else {
        return None;
    };
    let why = if found.message.is_empty() { String::new() } else { format!(": {}", clean(&found.message, 200)) };
    Some(Verdict::waiting(
        Reason::StorageNodeNotReady,
        format!("Longhorn on {name} {what}{why}"),
        format!("look at `kubectl describe nodes.longhorn.io {name} -A` and at the longhorn-manager pod on {name}"),
    ))
}

fn judge_claims(view: &View<'_>, seen: &Seen<'_>, judgement: &mut Judgement) {
    let required = &view.spec.storage.claims;
    for object in required.iter().filter(|object| !seen.storage.claims.iter().any(|claim| claim.object == **object)) {
        let verdict = Verdict::waiting(
            Reason::ClaimNotBound,
            format!("{object} does not exist"),
            format!("find what should create {object}, or take it out of storage.required_claims"),
        );
        judgement.set(Subject::Object(object.clone()), verdict);
    }
    for claim in &seen.storage.claims {
        let faulted = faulted_volume(seen, claim).filter(|_| required.is_empty() && !is_wanted(seen, &claim.object));
        if let Some(volume) = faulted {
            judgement.notes.push(format!("the Longhorn volume {volume} of {} is faulted, and no pod wants it", claim.object));
        } else if required.contains(&claim.object) || required.is_empty() && claim.bound {
            judgement.set(Subject::Object(claim.object.clone()), judge_claim(view, seen, claim));
        } else if required.is_empty() && claim.lost {
            // Nothing can tell whether it was lost in this outage; a workload that needs it holds at its own gate.
            judgement.notes.push(format!("{} has lost its volume", claim.object));
        }
    }
}

fn judge_claim(view: &View<'_>, seen: &Seen<'_>, claim: &ClaimState) -> Verdict {
    let object = &claim.object;
    if claim.lost {
        return Verdict::person(
            Reason::ClaimNotBound,
            format!("{object} has lost its volume {}", claim.volume.as_deref().unwrap_or_default()),
            format!("bring the PersistentVolume of {object} back from a backup, then create the claim anew"),
        );
    }
    let volume = claim.volume.as_deref().filter(|_| claim.bound);
    let Some(volume) = volume else {
        return Verdict::waiting(
            Reason::ClaimNotBound,
            format!("{object} is not bound"),
            format!("look at `kubectl describe pvc {} -n {}`", object.name, object.namespace),
        );
    };
    if let Some(volume) = faulted_volume(seen, claim) {
        return faulted(view, seen, object, volume);
    }
    match seen.longhorn_volumes.get(volume) {
        None => Verdict::pass(format!("bound to {volume}")),
        Some(found) => Verdict::pass(format!("bound to {volume}, {} and {}", found.state, found.robustness)),
    }
}

/// The volume of Longhorn's that the claim is bound to, if it is faulted.
fn faulted_volume<'a>(seen: &Seen<'_>, claim: &'a ClaimState) -> Option<&'a str> {
    let volume = claim.volume.as_deref().filter(|_| claim.bound && !claim.lost)?;
    seen.longhorn_volumes.get(volume).is_some_and(|found| found.robustness.as_ref() == "faulted").then_some(volume)
}

/// Whether a pod mounts the claim, or waits for it. What is at zero, or was taken away and left its claim, needs none of it.
fn is_wanted(seen: &Seen<'_>, claim: &ObjectRef) -> bool {
    let mut near = seen.pods.iter().filter(|pod| pod.object.namespace == claim.namespace);
    near.any(|pod| pod.claims.contains(&claim.name))
}

/// Longhorn salvages by itself from the replicas that are there, so all storage nodes come first.
fn faulted(view: &View<'_>, seen: &Seen<'_>, claim: &ObjectRef, volume: &str) -> Verdict {
    let away = seen.away(view);
    let (more, first) = match away.as_slice() {
        [] => (String::new(), String::new()),
        [one] => (format!("; the replicas on {one} are away"), format!("bring back {one} first, then ")),
        [one, rest @ ..] => (
            format!("; the replicas on {one} and {} other nodes are away", rest.len()),
            format!("bring back {one} and {} other nodes first, then ", rest.len()),
        ),
    };
    Verdict::waiting(
        Reason::VolumeFaulted,
        format!("the Longhorn volume {volume} of {claim} is faulted{more}"),
        format!("{first}choose the replica to salvage for {volume} in Longhorn's UI, or restore it from a backup"),
    )
    .known_as(Trap::LonghornVolumeFaulted)
}

fn judge_attachments(view: &View<'_>, seen: &Seen<'_>, judgement: &mut Judgement) {
    let mut suspects = suspects(view, seen).peekable();
    if suspects.peek().is_none() {
        return;
    }
    let waiting = waiting_for(seen);
    for found in suspects {
        let pods = waiting.get(found.volume.as_ref()).map(Vec::as_slice).unwrap_or_default();
        let verdict = if view.kubelet_silent(&found.node) {
            let elsewhere = pods.iter().find(|pod| pod.node.as_ref() != Some(&found.node));
            elsewhere.map(|pod| stale(view, seen, found, pod).known_as(Trap::StaleVolumeattachmentMultiAttach))
        } else {
            pods.first().map(|pod| being_deleted(found, pod))
        };
        if let Some(verdict) = verdict {
            judgement.set(Subject::Object(found.object.clone()), verdict);
        }
    }
}

/// Attachments in question: a node that is not in the cluster is silent too.
fn suspects<'a>(view: &View<'_>, seen: &Seen<'a>) -> impl Iterator<Item = &'a AttachmentState> {
    seen.storage.attachments.iter().filter(|found| found.deleting || view.kubelet_silent(&found.node))
}

/// Pods that are not ready and mount a volume, by that volume.
fn waiting_for<'a>(seen: &Seen<'a>) -> BTreeMap<&'a str, Vec<&'a PodState>> {
    let volumes: BTreeMap<(&str, &str), &str> = (seen.storage.claims.iter())
        .filter_map(|claim| Some(((claim.object.namespace.as_ref(), claim.object.name.as_ref()), claim.volume.as_deref()?)))
        .collect();
    let mut waiting: BTreeMap<&str, Vec<&PodState>> = BTreeMap::new();
    for pod in seen.pods.iter().filter(|pod| !pod.claims.is_empty() && !pod.ready && !pod.deleting) {
        for claim in &pod.claims {
            if let Some(volume) = volumes.get(&(pod.object.namespace.as_ref(), claim.as_ref())) {
                waiting.entry(volume).or_default().push(pod);
            }
        }
    }
    waiting
}

fn stale(view: &View<'_>, seen: &Seen<'_>, found: &AttachmentState, pod: &PodState) -> Verdict {
    let (node, name) = (&found.node, &found.object.name);
    let text = format!("{} is still attached to {node}, and {} needs it elsewhere", found.volume, pod.object);
    let by_hand = format!("`kubectl delete volumeattachment {name}`");
    match seen.node(node) {
        None => Verdict::waiting(
            Reason::AttachmentStale,
            format!("{text}; {node} is not in the cluster"),
            format!("make sure that {node} is switched off, then {by_hand}"),
        ),
        Some(state) => match proof::of(view, state) {
            Some(proof) => Verdict::waiting(
                Reason::AttachmentStale,
                format!("{text}; {proof}"),
                format!("{proof}, so it is safe: {by_hand}"),
            ),
            None if view.spec.nodes.contains_key(node) => {
                Verdict::follows(Reason::AttachmentStale, Subject::Node(node.clone()), text)
            }
            None => Verdict::waiting(
                Reason::AttachmentStale,
                text,
                format!("bring {node} back, or make sure that it is switched off and then {by_hand}"),
            ),
        },
    }
}

fn being_deleted(found: &AttachmentState, pod: &PodState) -> Verdict {
    let name = &found.object.name;
    let error = found.error.as_ref().map(|error| format!(": {}", clean(error, 200))).unwrap_or_default();
    Verdict::waiting(
        Reason::AttachmentStale,
        format!("{} of {} is being deleted, and {} waits for it{error}", found.object, found.volume, pod.object),
        format!("look at the attacher of {} (`kubectl describe volumeattachment {name}`): only it may finish", found.driver),
    )
    .known_as(Trap::VolumeattachmentBeingDeleted)
}

/// What of storage these pods wait for: each pod that is not ready must wait for something that this gate holds.
pub(crate) fn behind(view: &View<'_>, pods: &[&PodState]) -> Option<Subject> {
    let gate = view.gate(GateId::Storage)?;
    let held = |subject: &Subject| match gate.judgement.subjects.get(subject) {
        Some(Verdict::Hold(blocker)) => Some(blocker.reason),
        Some(Verdict::Pass(_) | Verdict::Unknown(_)) | None => None,
    };
    let storage = view.storage().ok()?;
    let cause = |pod: &PodState| {
        for name in &pod.claims {
            let claim = Subject::Object(ObjectRef {
                kind: Kind::PersistentVolumeClaim,
                namespace: pod.object.namespace.clone(),
                name: name.clone(),
            });
            if held(&claim).is_some() {
                return Some(claim);
            }
            let is_it = |claim: &&ClaimState| claim.object.namespace == pod.object.namespace && claim.object.name == *name;
            let volume = storage.claims.iter().find(is_it)?.volume.as_ref()?;
            let attachments = storage.attachments.iter().filter(|found| found.volume == *volume);
            let mut subjects = attachments.map(|found| Subject::Object(found.object.clone()));
            if let Some(attachment) = subjects.find(|subject| held(subject).is_some()) {
                return Some(attachment);
            }
        }
        let node = Subject::Node(pod.node.clone()?);
        (!pod.claims.is_empty() && held(&node) == Some(Reason::DriverNotRegistered)).then_some(node)
    };
    let mut waiting = pods.iter().filter(|pod| !pod.ready);
    let first = cause(waiting.next()?)?;
    waiting.all(|pod| cause(pod).is_some()).then_some(first)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::fact::Fact;
    use crate::gate::testing::{Bench, node};
    use crate::name::Uid;
    use crate::observation::LonghornState;

    /// `data-db-0` is bound to `pvc-db-0`, which is attached to the node.
    fn attached(storage: &mut StorageState, pod: &str, at: usize) {
        let volume: Arc<str> = format!("pvc-{pod}").into();
        storage.attachments.push(AttachmentState {
            object: ObjectRef::new(Kind::VolumeAttachment, "", &format!("csi-{pod}")),
            uid: Uid::parse("u").unwrap(),
            node: node(at),
            driver: LONGHORN.into(),
            volume: volume.clone(),
            attached: true,
            deleting: false,
            error: None,
        });
        storage.claims.push(ClaimState {
            object: ObjectRef::new(Kind::PersistentVolumeClaim, "apps", &format!("data-{pod}")),
            bound: true,
            lost: false,
            volume: Some(volume),
        });
    }

    fn registered(storage: &mut StorageState, at: usize) {
        storage.csi_nodes.push(CsiNodeState { node: node(at), drivers: vec![LONGHORN.into()] });
    }

    /// A StatefulSet `db` with one pod on n2, and the volume that it mounts.
    fn bench() -> Bench {
        let mut bench = Bench::new(2);
        bench.all_up();
        bench.workload(Kind::StatefulSet, "db", &[(2, false)]);
        bench.pod("db-0", |pod| pod.claims = vec!["data-db-0".into()]);
        bench.storage(|storage| {
            attached(storage, "db-0", 2);
            registered(storage, 2);
        });
        bench
    }

    fn longhorn(change: impl FnOnce(&mut LonghornState)) -> Option<LonghornState> {
        let nodes = [1, 2].map(|n| LonghornNode { node: node(n), ready: Tri::True, schedulable: Tri::True, message: "".into() });
        let volume =
            LonghornVolume { name: "pvc-db-0".into(), claim: None, state: "attached".into(), robustness: "degraded".into() };
        let mut state = LonghornState { nodes: nodes.into(), volumes: vec![volume] };
        change(&mut state);
        Some(state)
    }

    #[test]
    fn a_cluster_without_csi_and_one_that_does_not_ask_have_nothing_to_judge() {
        let mut bench = Bench::new(1);
        bench.check(evaluate, "the cluster: unknown");
        bench.all_up();
        let none = "not applicable: the cluster uses no CSI driver, and none is configured (storage.drivers)";
        bench.check(evaluate, none);
        bench.storage(|storage| storage.csi_nodes.push(CsiNodeState { node: node(1), drivers: Vec::new() }));
        bench.check(evaluate, none);
        bench.storage(|storage| storage.csi_nodes[0].drivers.push("hostpath.csi.k8s.io".into()));
        bench.check(evaluate, "");
        bench.storage(|storage| storage.csi_nodes.clear());
        bench.spec.storage.drivers = vec!["nfs.csi.k8s.io".into()];
        bench.check(evaluate, "n1: hold driver-not-registered waiting");
        bench.spec.storage.required = false;
        bench.check(evaluate, "not applicable: storage is not required (startup.require_storage_ready)");
    }

    #[test]
    fn pods_are_asked_for_only_where_storage_may_stand_in_their_way() {
        let mut bench = bench();
        let well = "n2: pass\nPersistentVolumeClaim apps/data-db-0: pass";
        bench.judged(GateId::NodesReady, crate::gate::nodes_ready::evaluate);
        bench.check(evaluate, well);
        bench.obs.pods = Fact::default();
        bench.check(evaluate, well);
        bench.storage(|storage| storage.attachments[0].deleting = true);
        bench.check(evaluate, "the cluster: unknown");
    }

    #[test]
    fn a_driver_is_missed_where_a_volume_is_attached_and_its_node_is_back() {
        let mut bench = bench();
        bench.check(evaluate, "n2: pass\nPersistentVolumeClaim apps/data-db-0: pass");
        bench.storage(|storage| storage.csi_nodes.clear());
        bench.check(evaluate, "n2: hold driver-not-registered waiting\nPersistentVolumeClaim apps/data-db-0: pass");
        bench.node_dies(2);
        bench.check(evaluate, "n2: hold storage-node-not-ready follows n2\nPersistentVolumeClaim apps/data-db-0: pass");
    }

    #[test]
    fn longhorn_must_serve_on_its_nodes_and_a_persons_cordon_is_left_alone() {
        let mut bench = bench();
        bench.storage(|storage| {
            registered(storage, 1);
            storage.longhorn = longhorn(|longhorn| longhorn.nodes[0].schedulable = Tri::False);
        });
        let claim = "PersistentVolumeClaim apps/data-db-0: pass";
        bench.check(evaluate, &format!("n1: hold storage-node-not-ready waiting\nn2: pass\n{claim}"));
        bench.change_node(1, |node| node.unschedulable = true);
        bench.check(evaluate, &format!("n1: pass\nn2: pass\n{claim}"));
        bench.storage(|storage| storage.longhorn = longhorn(|longhorn| longhorn.nodes[1].ready = Tri::Unknown));
        bench.check(evaluate, &format!("n1: pass\nn2: hold storage-node-not-ready waiting\n{claim}"));
    }

    #[test]
    fn a_claim_must_be_bound_and_its_volume_not_faulted() {
        let mut bench = bench();
        bench.storage(|storage| {
            registered(storage, 1);
            storage.longhorn = longhorn(|longhorn| longhorn.volumes[0].robustness = "faulted".into());
        });
        bench.check(evaluate, "n1: pass\nn2: pass\nPersistentVolumeClaim apps/data-db-0: hold volume-faulted waiting");
        let told = |bench: &Bench| {
            let claim = Subject::Object(ObjectRef::new(Kind::PersistentVolumeClaim, "apps", "data-db-0"));
            evaluate(&bench.view()).subjects[&claim].text().to_owned()
        };
        let faulted = "the Longhorn volume pvc-db-0 of PersistentVolumeClaim apps/data-db-0 is faulted";
        assert_eq!(told(&bench), faulted);
        let mut sick = bench.obs.storage.last().unwrap().longhorn.clone().unwrap();
        sick.nodes[0].ready = Tri::False;
        bench.storage(|storage| storage.longhorn = Some(sick));
        assert_eq!(told(&bench), format!("{faulted}; the replicas on n1 are away"));
        let beat = bench.obs.heartbeats.remove(&node(2)).unwrap();
        assert_eq!(told(&bench), format!("{faulted}; the replicas on n1 and 1 other nodes are away"));
        bench.obs.heartbeats.insert(node(2), beat);
        bench.storage(|storage| {
            storage.longhorn = None;
            storage.claims[0].bound = false;
        });
        bench.check(evaluate, "n2: pass");
        let claim = |name| ObjectRef::new(Kind::PersistentVolumeClaim, "apps", name);
        bench.spec.storage.claims = vec![claim("data-db-0"), claim("gone")];
        bench.check(
            evaluate,
            "n2: pass\nPersistentVolumeClaim apps/data-db-0: hold claim-not-bound waiting\n\
             PersistentVolumeClaim apps/gone: hold claim-not-bound waiting",
        );
        bench.storage(|storage| storage.claims[0].lost = true);
        bench.spec.storage.claims.pop();
        bench.check(evaluate, "n2: pass\nPersistentVolumeClaim apps/data-db-0: hold claim-not-bound person");
        bench.spec.storage.claims.clear();
        bench.check(evaluate, "n2: pass\nnote: PersistentVolumeClaim apps/data-db-0 has lost its volume");
    }

    #[test]
    fn a_faulted_volume_that_no_pod_wants_is_a_note_unless_its_claim_is_required() {
        let mut bench = bench();
        bench.storage(|storage| {
            registered(storage, 1);
            storage.longhorn = longhorn(|longhorn| longhorn.volumes[0].robustness = "faulted".into());
        });
        let held = "n1: pass\nn2: pass\nPersistentVolumeClaim apps/data-db-0: hold volume-faulted waiting";
        bench.pod("db-0", |pod| pod.node = None);
        bench.check(evaluate, held);
        let note = "n1: pass\nn2: pass\n\
             note: the Longhorn volume pvc-db-0 of PersistentVolumeClaim apps/data-db-0 is faulted, and no pod wants it";
        bench.pod("db-0", |pod| pod.claims = vec!["data".into()]);
        bench.check(evaluate, note);
        bench.pod("db-0", |pod| (pod.claims, pod.object.namespace) = (vec!["data-db-0".into()], "other".into()));
        bench.check(evaluate, note);
        bench.spec.storage.claims = vec![ObjectRef::new(Kind::PersistentVolumeClaim, "apps", "data-db-0")];
        bench.check(evaluate, held);
    }

    #[test]
    fn an_attachment_to_a_dead_node_is_stale_only_where_its_volume_is_wanted_elsewhere() {
        let mut bench = bench();
        bench.node_dies(2);
        let claim = "PersistentVolumeClaim apps/data-db-0: pass";
        bench.check(evaluate, &format!("n2: hold storage-node-not-ready follows n2\n{claim}"));
        bench.pod("db-0", |pod| pod.node = Some(node(1)));
        let stale = "VolumeAttachment csi-db-0: hold attachment-stale";
        bench.check(evaluate, &format!("n2: hold storage-node-not-ready follows n2\n{claim}\n{stale} follows n2"));
        let expected = bench.spec.nodes.remove(&node(2)).unwrap();
        bench.check(evaluate, &format!("{claim}\n{stale} waiting"));
        bench.spec.nodes.insert(node(2), expected);
        let confirmed = crate::observation::Confirmation { node: node(2), at: bench.now, boot_id: None };
        bench.obs.confirmations = Fact::known(vec![confirmed], bench.now);
        bench.check(evaluate, &format!("n2: hold storage-node-not-ready follows n2\n{claim}\n{stale} waiting"));
        bench.pod("db-0", |pod| pod.ready = true);
        bench.check(evaluate, &format!("n2: hold storage-node-not-ready follows n2\n{claim}"));
    }

    #[test]
    fn an_attachment_that_is_being_deleted_holds_only_who_waits_for_it() {
        let mut bench = bench();
        bench.storage(|storage| storage.attachments[0].deleting = true);
        let rest = "n2: pass\nPersistentVolumeClaim apps/data-db-0: pass";
        bench.check(evaluate, &format!("{rest}\nVolumeAttachment csi-db-0: hold attachment-stale waiting"));
        bench.pod("db-0", |pod| pod.ready = true);
        bench.check(evaluate, rest);
    }

    #[test]
    fn what_waits_for_storage_names_the_volume_or_the_node() {
        let mut bench = bench();
        let cause = |bench: &Bench| {
            let pods = bench.obs.pods.last().unwrap().clone();
            behind(&bench.view(), &pods.iter().collect::<Vec<_>>()).map(|subject| subject.to_string())
        };
        bench.storage(|storage| {
            let other =
                ClaimState { object: ObjectRef::new(Kind::PersistentVolumeClaim, "apps", "z"), ..storage.claims[0].clone() };
            storage.claims.insert(0, ClaimState { volume: None, ..other });
        });
        bench.judged(GateId::Storage, evaluate);
        assert_eq!(cause(&bench), None);
        bench.storage(|storage| storage.csi_nodes.clear());
        bench.judged(GateId::Storage, evaluate);
        assert_eq!(cause(&bench).as_deref(), Some("n2"));
        bench.storage(|storage| storage.attachments[0].deleting = true);
        bench.judged(GateId::Storage, evaluate);
        assert_eq!(cause(&bench).as_deref(), Some("VolumeAttachment csi-db-0"));
        bench.pod("db-0", |pod| pod.claims.clear());
        assert_eq!(cause(&bench), None, "a pod without a volume waits for something else");
    }

    #[test]
    fn what_was_seen_of_volumes_ages() {
        let mut bench = bench();
        bench.now = bench.now.plus(Duration::from_secs(3600));
        bench.check(evaluate, "the cluster: unknown");
    }
}
