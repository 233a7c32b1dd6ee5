//! Pods are evicted and deleted by UID.

use std::time::Duration;

use ananke_core::name::{Kind, NodeName, ObjectRef, Uid};
use ananke_core::observation::PodState;
use ananke_core::order::ClusterOrder;
use ananke_core::port::ErrorKind;
use ananke_core::proof::DeathProof;
use serde_json::json;

use crate::contract::{Outcome, Subject, at, nobody, refused};

/// A proof as a journal holds it: the engine alone makes new ones.
fn proof(node: Option<&NodeName>) -> DeathProof {
    let node = node.map_or("titan-01", NodeName::as_str);
    serde_json::from_value(json!({"node": node, "how": {"confirmed-off": {"at": at()}}})).unwrap()
}

fn orders(pod: &ObjectRef, uid: &Uid, node: Option<&NodeName>) -> [ClusterOrder; 3] {
    let (pod, uid) = (pod.clone(), uid.clone());
    [
        ClusterOrder::Evict { pod: pod.clone(), uid: uid.clone() },
        ClusterOrder::Delete { pod: pod.clone(), uid: uid.clone(), grace: None },
        ClusterOrder::ForceDelete { pod, uid, proof: proof(node) },
    ]
}

/// It is being deleted, or gone already.
async fn ends(s: &Subject<'_>, pod: &PodState) {
    let look = s.stage.look(&pod.object).await;
    assert!(look.is_none_or(|look| look.deleting || look.uid != pod.uid.as_str()), "{} goes on", pod.object);
    let pods = s.port.pods().await.unwrap();
    let found = pods.iter().find(|found| found.uid == pod.uid);
    assert!(found.is_none_or(|found| found.deleting), "{found:?}");
}

pub async fn an_evicted_pod_ends(s: &Subject<'_>) -> Outcome {
    let pod = s.stage.pod().await?;
    s.port.order(&ClusterOrder::Evict { pod: pod.object.clone(), uid: pod.uid.clone() }).await.unwrap();
    ends(s, &pod).await;
    Ok(())
}

pub async fn a_full_budget_blocks_and_is_named(s: &Subject<'_>) -> Outcome {
    let (pod, budget) = s.stage.guarded_pod().await?;
    let evict = ClusterOrder::Evict { pod: pod.object.clone(), uid: pod.uid.clone() };
    let error = refused(s.port.order(&evict).await, ErrorKind::Blocked);
    assert!(error.found.contains(&format!("disruption budget {budget}")), "{error}");
    let look = s.look(&pod.object).await;
    assert!(!look.deleting && look.uid == pod.uid.as_str());
    Ok(())
}

pub async fn a_pod_is_deleted_with_its_grace_period(s: &Subject<'_>) -> Outcome {
    let pod = s.stage.pod().await?;
    let (object, uid) = (pod.object.clone(), pod.uid.clone());
    s.port.order(&ClusterOrder::Delete { pod: object, uid, grace: Some(Duration::from_secs(20)) }).await.unwrap();
    assert!(s.look(&pod.object).await.deleting, "it has its grace period");
    ends(s, &pod).await;
    Ok(())
}

pub async fn a_forced_pod_is_gone_at_once(s: &Subject<'_>) -> Outcome {
    let pod = s.stage.pod().await?;
    let (object, uid, proof) = (pod.object.clone(), pod.uid.clone(), proof(pod.node.as_ref()));
    s.port.order(&ClusterOrder::ForceDelete { pod: object, uid, proof }).await.unwrap();
    let look = s.stage.look(&pod.object).await;
    assert!(look.is_none_or(|look| look.uid != pod.uid.as_str()), "{} is still there", pod.object);
    let pods = s.port.pods().await.unwrap();
    assert!(pods.iter().all(|found| found.uid != pod.uid));
    Ok(())
}

pub async fn a_pod_of_another_uid_is_left_alone(s: &Subject<'_>) -> Outcome {
    let pod = s.stage.pod().await?;
    for order in orders(&pod.object, &nobody(), pod.node.as_ref()) {
        refused(s.port.order(&order).await, ErrorKind::Conflict);
    }
    assert!(!s.look(&pod.object).await.deleting);
    Ok(())
}

pub async fn a_pod_that_is_gone_is_missing(s: &Subject<'_>) -> Outcome {
    let namespace = s.stage.namespace().await?;
    for order in orders(&ObjectRef::new(Kind::Pod, &namespace, "absent"), &nobody(), None) {
        let error = refused(s.port.order(&order).await, ErrorKind::Missing);
        assert!(error.to_string().contains("absent"), "{error}");
    }
    Ok(())
}
