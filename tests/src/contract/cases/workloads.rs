//! Jobs are deleted and workloads scaled, each as it was seen.

use ananke_core::name::{Kind, ObjectRef};
use ananke_core::observation::WorkloadState;
use ananke_core::order::{ClusterOrder, SCALED_ANNOTATION};
use ananke_core::port::ErrorKind;

use crate::contract::{Outcome, Subject, long_ago, nobody, refused};

pub async fn a_job_is_deleted_by_uid(s: &Subject<'_>) -> Outcome {
    let job = s.stage.job().await?;
    let order = |uid| ClusterOrder::DeleteJob { job: job.object.clone(), uid };
    refused(s.port.order(&order(nobody())).await, ErrorKind::Conflict);
    assert!(!s.look(&job.object).await.deleting);
    s.port.order(&order(job.uid.clone())).await.unwrap();
    let look = s.stage.look(&job.object).await;
    assert!(look.is_none_or(|look| look.deleting || look.uid != job.uid.as_str()), "{} is still there", job.object);
    Ok(())
}

pub async fn a_job_that_is_gone_is_missing(s: &Subject<'_>) -> Outcome {
    let namespace = s.stage.namespace().await?;
    let order = ClusterOrder::DeleteJob { job: ObjectRef::new(Kind::Job, &namespace, "absent"), uid: nobody() };
    refused(s.port.order(&order).await, ErrorKind::Missing);
    Ok(())
}

async fn state(s: &Subject<'_>, object: &ObjectRef) -> WorkloadState {
    let workloads = s.port.workloads().await.unwrap();
    workloads.iter().find(|found| found.object == *object).cloned().unwrap_or_else(|| panic!("{object} is not listed"))
}

fn scale(of: &WorkloadState, replicas: u32) -> ClusterOrder {
    ClusterOrder::Scale { workload: of.object.clone(), seen: of.version.clone(), replicas }
}

/// On the newest version, which a controller may change at any time.
async fn scaled(s: &Subject<'_>, object: &ObjectRef, replicas: u32) {
    for _ in 0..8 {
        match s.port.order(&scale(&state(s, object).await, replicas)).await {
            Err(error) if error.kind == ErrorKind::Conflict => s.stage.pause().await,
            done => return done.unwrap(),
        }
    }
    panic!("{object} changes all the time");
}

pub async fn a_workload_is_scaled_on_the_version_that_was_seen(s: &Subject<'_>) -> Outcome {
    for kind in [Kind::Deployment, Kind::StatefulSet] {
        let (object, replicas) = s.stage.workload(kind).await?;
        let late = scale(&state(s, &object).await, replicas + 3);
        s.stage.touch(&object).await?;
        refused(s.port.order(&late).await, ErrorKind::Conflict);
        assert_ne!(s.look(&object).await.replicas, Some(u64::from(replicas) + 3), "{object}");
        scaled(s, &object, replicas + 2).await;
        assert_eq!(s.look(&object).await.replicas, Some(u64::from(replicas) + 2), "{object}");
        assert_eq!(state(s, &object).await.desired, replicas + 2);
    }
    Ok(())
}

pub async fn scaling_back_takes_the_note_away(s: &Subject<'_>) -> Outcome {
    let (object, replicas) = s.stage.workload(Kind::Deployment).await?;
    s.stage.annotate(&object, SCALED_ANNOTATION, Some("5")).await?;
    s.stage.annotate(&object, "example.org/note", Some("keep me")).await?;
    assert_eq!(state(s, &object).await.scaled_from, Some(5));
    scaled(s, &object, replicas + 1).await;
    assert_eq!(state(s, &object).await.scaled_from, None);
    let look = s.look(&object).await;
    assert!(!look.annotations.contains_key(SCALED_ANNOTATION) && look.annotations.contains_key("example.org/note"), "{look:?}");
    Ok(())
}

pub async fn what_has_no_replicas_is_not_scaled(s: &Subject<'_>) -> Outcome {
    let (object, _) = s.stage.workload(Kind::DaemonSet).await?;
    refused(s.port.order(&scale(&state(s, &object).await, 0)).await, ErrorKind::Invalid);
    Ok(())
}

pub async fn a_workload_that_is_gone_is_missing(s: &Subject<'_>) -> Outcome {
    let namespace = s.stage.namespace().await?;
    let workload = ObjectRef::new(Kind::Deployment, &namespace, "absent");
    refused(s.port.order(&ClusterOrder::Scale { workload, seen: long_ago(), replicas: 1 }).await, ErrorKind::Missing);
    Ok(())
}
