//! Orders about cordons and coordination, carried out with the same care as on a real API server.

use ananke_core::lease::{ANNOTATION, Lease, MANUAL_ANNOTATION, MANUAL_LABEL, TAINT_EFFECT, TAINT_KEY};
use ananke_core::name::{LeaseId, Moment, NodeName, ResourceVersion};
use ananke_core::observation::{CoordinationState, Taint};
use ananke_core::order::COORDINATION_LASTS;
use serde::Deserialize;

use super::cluster::version;
use crate::world::{Node, NodeEvent, NodePatch, Refusal, World, parsed};

/// One taint and one annotation beside those of others; a node that carries a cordon of Ananke already is a conflict.
pub(super) fn cordon(world: &mut World, node: &NodeName, seen: &ResourceVersion, lease: &Lease) -> Result<(), Refusal> {
    let found = row(world, node)?;
    if found.uid != lease.node_uid {
        return Err(Refusal::OtherUid { found: found.uid.clone() });
    }
    if found.taints.iter().any(|taint| &*taint.key == TAINT_KEY) {
        return Err(Refusal::Conflict { found: found.rv });
    }
    let note = serde_json::to_string(lease).map_err(|error| Refusal::Invalid(error.to_string()))?;
    let mut taints = found.taints.clone();
    taints.push(Taint { key: TAINT_KEY.into(), value: lease.id.as_str().into(), effect: TAINT_EFFECT.into() });
    let annotations = vec![(ANNOTATION.into(), Some(note.into()))];
    world.patch_node(node, version(seen)?, NodePatch { taints: Some(taints), annotations, ..NodePatch::default() })
}

/// Takes away the taint and the annotation of that lease, as far as they stand.
pub(super) fn uncordon(world: &mut World, node: &NodeName, seen: &ResourceVersion, lease: &LeaseId) -> Result<(), Refusal> {
    let found = row(world, node)?;
    let is_ours = |taint: &Taint| &*taint.key == TAINT_KEY && &*taint.value == lease.as_str();
    let tainted = found.taints.iter().any(is_ours);
    let taints = found.taints.iter().filter(|taint| !is_ours(taint)).cloned().collect();
    let noted = found.annotations.get(ANNOTATION).and_then(|note| noted_lease(note)).as_deref() == Some(lease.as_str());
    let annotations = if noted { vec![(ANNOTATION.into(), None)] } else { Vec::new() };
    let patch = NodePatch { taints: tainted.then_some(taints), annotations, ..NodePatch::default() };
    world.patch_node(node, version(seen)?, patch)
}

/// Annotation, label and Event say the same sentence; the Event's name makes a second try the same Event.
pub(super) fn mark_manual(
    world: &mut World,
    node: &NodeName,
    seen: &ResourceVersion,
    lease: &LeaseId,
    (sentence, at): (&str, Moment),
) -> Result<(), Refusal> {
    let found = row(world, node)?;
    if !found.taints.iter().any(|taint| &*taint.key == TAINT_KEY && &*taint.value == lease.as_str()) {
        return Err(Refusal::Conflict { found: found.rv });
    }
    let node_uid = found.uid.clone();
    let annotations = vec![(MANUAL_ANNOTATION.into(), Some(sentence.into()))];
    let labels = vec![(MANUAL_LABEL.into(), Some("required".into()))];
    world.patch_node(node, version(seen)?, NodePatch { annotations, labels, ..NodePatch::default() })?;
    let name = format!("{lease} {sentence}");
    world.write_event(NodeEvent { name, node: node.clone(), node_uid, message: sentence.to_owned(), at });
    Ok(())
}

pub(super) fn clear_mark(world: &mut World, node: &NodeName, seen: &ResourceVersion) -> Result<(), Refusal> {
    let annotations = vec![(MANUAL_ANNOTATION.into(), None)];
    let labels = vec![(MANUAL_LABEL.into(), None)];
    world.patch_node(node, version(seen)?, NodePatch { annotations, labels, ..NodePatch::default() })
}

pub(super) fn coordinate(world: &mut World, seen: Option<&ResourceVersion>, holder: &str, at: Moment) -> Result<(), Refusal> {
    let seen = seen.map(version).transpose()?.flatten();
    world.coordinate(seen, Some(holder), at, COORDINATION_LASTS)
}

pub(super) fn uncoordinate(world: &mut World, seen: &ResourceVersion) -> Result<(), Refusal> {
    world.uncoordinate(version(seen)?.unwrap_or_default())
}

pub(super) fn coordination(world: &World) -> Option<CoordinationState> {
    world.coordination().map(|lease| CoordinationState {
        version: parsed(ResourceVersion::parse, &lease.rv.to_string()),
        holder: lease.holder.clone(),
        renewed: Some(lease.renewed),
        lasts: lease.lasts,
    })
}

fn row<'a>(world: &'a World, node: &NodeName) -> Result<&'a Node, Refusal> {
    let row = world.node_row(node).and_then(|row| world.nodes().get(row));
    row.ok_or_else(|| Refusal::Missing(format!("nodes \"{node}\"")))
}

fn noted_lease(note: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Note {
        id: String,
    }
    serde_json::from_str::<Note>(note).ok().map(|note| note.id)
}
