//! Cordons and marks: what of Ananke stands on a node, beside what is of others.

use ananke_core::lease::{ANNOTATION, MANUAL_ANNOTATION, MANUAL_LABEL, TAINT_EFFECT, TAINT_KEY};
use ananke_core::name::NodeName;
use ananke_core::observation::{NodeState, Taint};
use ananke_core::order::ClusterOrder;
use ananke_core::port::{ErrorKind, PortError};

use crate::contract::{Given, Look, Outcome, Subject, at, lease, lease_id, long_ago, node_object, refused};

const ID: &str = "startup-20260314T0206-r5";
const NOTE: (&str, &str) = ("example.org/note", "keep me");
const SENTENCE: &str = "press the power button of it";

fn cordon(node: &NodeState) -> ClusterOrder {
    ClusterOrder::Cordon { node: node.name.clone(), seen: node.version.clone(), lease: Box::new(lease(node, ID)) }
}

fn uncordon(node: &NodeState, id: &str) -> ClusterOrder {
    ClusterOrder::Uncordon { node: node.name.clone(), seen: node.version.clone(), lease: lease_id(id) }
}

fn mark(node: &NodeState, id: &str) -> ClusterOrder {
    let (node, seen) = (node.name.clone(), node.version.clone());
    ClusterOrder::MarkManual { node, seen, lease: lease_id(id), sentence: SENTENCE.to_owned(), at: at() }
}

fn ours() -> Taint {
    Taint { key: TAINT_KEY.into(), value: ID.into(), effect: TAINT_EFFECT.into() }
}

fn foreign() -> Taint {
    Taint { key: "example.org/dedicated".into(), value: "gpu".into(), effect: "PreferNoSchedule".into() }
}

/// A node that somebody uses for something: with a taint and an annotation that are not ours.
async fn used_node(s: &Subject<'_>) -> Given<NodeName> {
    let (name, _) = s.stage.node().await?;
    s.stage.taint(&name, &foreign()).await?;
    s.stage.annotate(&node_object(&name), NOTE.0, Some(NOTE.1)).await?;
    Ok(name)
}

async fn cordoned_node(s: &Subject<'_>) -> Given<NodeName> {
    let name = used_node(s).await?;
    s.on_newest(&name, cordon).await.unwrap();
    Ok(name)
}

fn keeps_what_is_of_others(look: &Look) {
    assert!(look.taints.contains(&foreign()), "{look:?}");
    assert_eq!(look.annotations.get(NOTE.0).map(String::as_str), Some(NOTE.1), "{look:?}");
}

fn has_nothing_of_ours(look: &Look) {
    let keys = look.taints.iter().map(|taint| &*taint.key).chain(look.annotations.keys().map(String::as_str));
    let mut keys = keys.chain(look.labels.keys().map(String::as_str));
    assert!(keys.all(|key| !key.starts_with("ananke.dev/")), "{look:?}");
}

pub async fn a_cordon_is_a_taint_and_a_note_beside_those_of_others(s: &Subject<'_>) -> Outcome {
    let name = cordoned_node(s).await?;
    let look = s.look_at_node(&name).await;
    assert!(look.taints.contains(&ours()), "{look:?}");
    keeps_what_is_of_others(&look);
    assert!(!look.unschedulable, "that bit is the people's");
    if let Some(managers) = &look.managers {
        assert!(managers.iter().any(|manager| manager == "ananke"), "{managers:?}");
    }
    let node = s.node_state(&name).await;
    assert!(node.taints.contains(&ours()));
    let noted: ananke_core::lease::Lease = serde_json::from_str(node.lease_note.as_deref().unwrap()).unwrap();
    assert_eq!(noted, lease(&node, ID));
    assert_eq!(look.annotations.get(ANNOTATION).map(String::as_str), node.lease_note.as_deref());
    Ok(())
}

pub async fn a_persons_cordon_outlives_ours(s: &Subject<'_>) -> Outcome {
    let name = used_node(s).await?;
    s.stage.cordon_as_person(&name).await?;
    s.on_newest(&name, cordon).await.unwrap();
    assert!(s.look_at_node(&name).await.unschedulable);
    s.on_newest(&name, |node| uncordon(node, ID)).await.unwrap();
    let look = s.look_at_node(&name).await;
    assert!(look.unschedulable);
    has_nothing_of_ours(&look);
    Ok(())
}

pub async fn a_late_cordon_conflicts_and_changes_nothing(s: &Subject<'_>) -> Outcome {
    let name = used_node(s).await?;
    let late = cordon(&s.node_state(&name).await);
    s.stage.touch(&node_object(&name)).await?;
    refused(s.port.order(&late).await, ErrorKind::Conflict);
    let look = s.look_at_node(&name).await;
    has_nothing_of_ours(&look);
    keeps_what_is_of_others(&look);
    Ok(())
}

pub async fn a_cordon_is_for_the_node_of_one_uid(s: &Subject<'_>) -> Outcome {
    let (name, _) = s.stage.node().await?;
    let before = s.node_state(&name).await;
    s.stage.recreate(&name).await?;
    let done = s.on_newest(&name, |node| {
        let lease = Box::new(lease(&before, ID));
        ClusterOrder::Cordon { node: node.name.clone(), seen: node.version.clone(), lease }
    });
    refused(done.await, ErrorKind::Conflict);
    has_nothing_of_ours(&s.look_at_node(&name).await);
    Ok(())
}

pub async fn a_cordoned_node_takes_no_second_cordon(s: &Subject<'_>) -> Outcome {
    let name = cordoned_node(s).await?;
    let second = |node: &NodeState| ClusterOrder::Cordon {
        node: node.name.clone(),
        seen: node.version.clone(),
        lease: Box::new(lease(node, "another")),
    };
    refused(s.on_newest(&name, second).await, ErrorKind::Conflict);
    let look = s.look_at_node(&name).await;
    assert_eq!(look.taints.iter().filter(|taint| &*taint.key == TAINT_KEY).collect::<Vec<_>>(), [&ours()]);
    Ok(())
}

pub async fn an_uncordon_gives_back_its_own_lease_only(s: &Subject<'_>) -> Outcome {
    let name = cordoned_node(s).await?;
    s.on_newest(&name, |node| uncordon(node, ID)).await.unwrap();
    let look = s.look_at_node(&name).await;
    has_nothing_of_ours(&look);
    keeps_what_is_of_others(&look);
    assert!(!look.unschedulable);
    // Where nothing is left to give back, nothing is done.
    s.on_newest(&name, |node| uncordon(node, ID)).await.unwrap();
    assert_eq!(s.look_at_node(&name).await.taints, look.taints);
    Ok(())
}

pub async fn an_uncordon_of_a_foreign_lease_changes_nothing(s: &Subject<'_>) -> Outcome {
    let name = cordoned_node(s).await?;
    s.on_newest(&name, |node| uncordon(node, "another")).await.unwrap();
    let look = s.look_at_node(&name).await;
    assert!(look.taints.contains(&ours()) && look.annotations.contains_key(ANNOTATION), "{look:?}");
    Ok(())
}

pub async fn a_late_uncordon_conflicts_and_changes_nothing(s: &Subject<'_>) -> Outcome {
    let name = cordoned_node(s).await?;
    let late = uncordon(&s.node_state(&name).await, ID);
    s.stage.touch(&node_object(&name)).await?;
    refused(s.port.order(&late).await, ErrorKind::Conflict);
    let look = s.look_at_node(&name).await;
    assert!(look.taints.contains(&ours()) && look.annotations.contains_key(ANNOTATION), "{look:?}");
    Ok(())
}

pub async fn a_mark_says_one_sentence_in_three_places(s: &Subject<'_>) -> Outcome {
    let name = cordoned_node(s).await?;
    s.on_newest(&name, |node| mark(node, ID)).await.unwrap();
    // A run that died in between does it again, and it is the same mark.
    s.on_newest(&name, |node| mark(node, ID)).await.unwrap();
    let look = s.look_at_node(&name).await;
    assert_eq!(look.annotations.get(MANUAL_ANNOTATION).map(String::as_str), Some(SENTENCE));
    assert_eq!(look.labels.get(MANUAL_LABEL).map(String::as_str), Some("required"));
    assert!(look.taints.contains(&ours()), "the taint stays until a person lifts it");
    keeps_what_is_of_others(&look);
    assert_eq!(s.stage.events_about(&name).await.iter().filter(|told| *told == SENTENCE).count(), 1);
    assert_eq!(s.node_state(&name).await.manual_note.as_deref(), Some(SENTENCE));
    Ok(())
}

pub async fn a_mark_needs_the_cordon_it_speaks_of(s: &Subject<'_>) -> Outcome {
    let name = used_node(s).await?;
    refused(s.on_newest(&name, |node| mark(node, ID)).await, ErrorKind::Conflict);
    s.on_newest(&name, cordon).await.unwrap();
    refused(s.on_newest(&name, |node| mark(node, "another")).await, ErrorKind::Conflict);
    let late = mark(&s.node_state(&name).await, ID);
    s.stage.touch(&node_object(&name)).await?;
    refused(s.port.order(&late).await, ErrorKind::Conflict);
    let look = s.look_at_node(&name).await;
    assert!(!look.annotations.contains_key(MANUAL_ANNOTATION) && !look.labels.contains_key(MANUAL_LABEL), "{look:?}");
    assert!(s.stage.events_about(&name).await.is_empty());
    Ok(())
}

pub async fn a_mark_is_cleared_and_nothing_else(s: &Subject<'_>) -> Outcome {
    let name = cordoned_node(s).await?;
    s.on_newest(&name, |node| mark(node, ID)).await.unwrap();
    let clear = |node: &NodeState| ClusterOrder::ClearMark { node: node.name.clone(), seen: node.version.clone() };
    let late = clear(&s.node_state(&name).await);
    s.stage.touch(&node_object(&name)).await?;
    refused(s.port.order(&late).await, ErrorKind::Conflict);
    s.on_newest(&name, clear).await.unwrap();
    let look = s.look_at_node(&name).await;
    assert!(!look.annotations.contains_key(MANUAL_ANNOTATION) && !look.labels.contains_key(MANUAL_LABEL), "{look:?}");
    assert!(look.taints.contains(&ours()) && look.annotations.contains_key(ANNOTATION), "{look:?}");
    keeps_what_is_of_others(&look);
    Ok(())
}

pub async fn a_node_that_is_gone_is_missing(s: &Subject<'_>) -> Outcome {
    let (name, _) = s.stage.node().await?;
    let gone = NodeState { name: NodeName::parse("no-such-node").unwrap(), version: long_ago(), ..s.node_state(&name).await };
    let clear = ClusterOrder::ClearMark { node: gone.name.clone(), seen: gone.version.clone() };
    for order in [cordon(&gone), uncordon(&gone, ID), mark(&gone, ID), clear] {
        let error: PortError = refused(s.port.order(&order).await, ErrorKind::Missing);
        assert!(error.to_string().contains("no-such-node"), "{error}");
    }
    Ok(())
}
