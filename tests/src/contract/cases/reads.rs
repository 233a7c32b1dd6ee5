//! Every read returns what is there.

use std::time::Duration;

use ananke_core::lease::{ANNOTATION, MANUAL_ANNOTATION};
use ananke_core::name::{Kind, ObjectRef};
use ananke_core::observation::{Taint, Tri};

use crate::contract::{Outcome, Subject, absent, node_object};

pub async fn health_names_the_cluster(s: &Subject<'_>) -> Outcome {
    let health = s.port.health().await.unwrap();
    let kube_system = s.look(&ObjectRef::new(Kind::Namespace, "", "kube-system")).await;
    assert_eq!(health.cluster_uid.as_str(), kube_system.uid);
    assert!(health.version.starts_with('v'), "{}", health.version);
    Ok(())
}

pub async fn a_node_has_its_kubelets_lease_and_boot_id(s: &Subject<'_>) -> Outcome {
    let (name, boot) = s.stage.node().await?;
    let node = s.node_state(&name).await;
    assert_eq!((node.ready, node.boot_id.as_ref(), node.unschedulable), (Tri::True, Some(&boot), false));
    assert!(node.lease_note.is_none() && node.manual_note.is_none(), "{node:?}");
    assert_eq!(node.uid.as_str(), s.look_at_node(&name).await.uid);
    let renewed = node.renewed.expect("its Lease was renewed");
    // The stage's kubelets are alive, and another node's Lease is not this one's.
    let others = s.port.nodes().await.unwrap();
    let newest = others.iter().filter_map(|node| node.renewed).max().unwrap();
    assert!(newest.since(renewed) < Duration::from_secs(60), "{renewed} is old beside {newest}");
    Ok(())
}

pub async fn what_others_put_on_a_node_is_read(s: &Subject<'_>) -> Outcome {
    let (name, _) = s.stage.node().await?;
    let taint = Taint { key: "example.org/dedicated".into(), value: "gpu".into(), effect: "NoSchedule".into() };
    s.stage.taint(&name, &taint).await?;
    s.stage.cordon_as_person(&name).await?;
    s.stage.annotate(&node_object(&name), ANNOTATION, Some("{}")).await?;
    s.stage.annotate(&node_object(&name), MANUAL_ANNOTATION, Some("look at it")).await?;
    let node = s.node_state(&name).await;
    assert!(node.taints.contains(&taint) && node.unschedulable, "{node:?}");
    assert_eq!((node.lease_note.as_deref(), node.manual_note.as_deref()), (Some("{}"), Some("look at it")));
    Ok(())
}

pub async fn a_pod_is_read_with_its_node_and_owner(s: &Subject<'_>) -> Outcome {
    let expected = s.stage.pod().await?;
    let pods = s.port.pods().await.unwrap();
    assert_eq!(pods.iter().find(|pod| pod.object == expected.object), Some(&expected));
    Ok(())
}

pub async fn a_pod_that_has_ended_is_listed_apart_where_a_workload_owns_it(s: &Subject<'_>) -> Outcome {
    let (ended, owned) = s.stage.ended_pod().await?;
    let pods = s.port.pods().await.unwrap();
    assert!(pods.iter().all(|pod| pod.object != ended), "{ended} is listed");
    let apart = s.port.ended().await.unwrap();
    assert_eq!(apart.iter().any(|pod| pod.object == ended), owned, "{ended}");
    Ok(())
}

pub async fn leases_of_controllers_are_read_without_those_of_kubelets(s: &Subject<'_>) -> Outcome {
    let (namespace, name) = s.stage.leader().await?;
    let leaders = s.port.leaders().await.unwrap();
    let found = leaders.iter().find(|found| *found.namespace == *namespace && *found.name == *name);
    assert!(found.is_some_and(|found| found.renewed.is_some() && found.lasts.as_secs() == 15 && !found.holder.is_empty()));
    assert!(leaders.iter().all(|found| *found.namespace != *"kube-node-lease"), "those are read with the nodes");
    Ok(())
}

pub async fn workloads_have_their_wanted_replicas(s: &Subject<'_>) -> Outcome {
    for kind in [Kind::Deployment, Kind::StatefulSet, Kind::DaemonSet] {
        let (object, replicas) = s.stage.workload(kind).await?;
        let workloads = s.port.workloads().await.unwrap();
        let found = workloads.iter().find(|found| found.object == object);
        assert_eq!(found.map(|found| (found.desired, found.scaled_from)), Some((replicas, None)), "{object}");
        assert!(found.is_some_and(|found| found.generation > 0), "{object}");
    }
    Ok(())
}

pub async fn namespaces_are_named(s: &Subject<'_>) -> Outcome {
    let name = s.stage.namespace().await?;
    let namespaces = s.port.namespaces().await.unwrap();
    assert!(namespaces.contains(&name) && namespaces.iter().any(|name| &**name == "kube-system"), "{namespaces:?}");
    Ok(())
}

pub async fn claims_are_read(s: &Subject<'_>) -> Outcome {
    let expected = s.stage.claim().await?;
    let storage = s.port.storage().await.unwrap();
    assert_eq!(storage.claims.iter().find(|claim| claim.object == expected.object), Some(&expected));
    Ok(())
}

pub async fn attachments_are_read(s: &Subject<'_>) -> Outcome {
    let expected = s.stage.attachment().await?;
    let storage = s.port.storage().await.unwrap();
    assert_eq!(storage.attachments.iter().find(|found| found.object == expected.object), Some(&expected));
    Ok(())
}

pub async fn csi_nodes_are_read(s: &Subject<'_>) -> Outcome {
    let expected = s.stage.csi_node().await?;
    let storage = s.port.storage().await.unwrap();
    assert_eq!(storage.csi_nodes.iter().find(|found| found.node == expected.node), Some(&expected));
    Ok(())
}

pub async fn ingresses_are_read(s: &Subject<'_>) -> Outcome {
    let expected = s.stage.ingress().await?;
    let ingresses = s.port.ingresses().await.unwrap();
    assert_eq!(ingresses.iter().find(|found| found.object == expected.object), Some(&expected));
    Ok(())
}

pub async fn endpoints_are_read_by_service(s: &Subject<'_>) -> Outcome {
    let expected = s.stage.endpoints().await?;
    let endpoints = s.port.endpoints().await.unwrap();
    assert_eq!(endpoints.iter().find(|found| found.service == expected.service), Some(&expected));
    Ok(())
}

pub async fn jobs_that_flux_applied_are_read(s: &Subject<'_>) -> Outcome {
    let expected = s.stage.job().await?;
    let jobs = s.port.jobs().await.unwrap();
    assert_eq!(jobs.iter().find(|job| job.object == expected.object), Some(&expected));
    Ok(())
}

pub async fn apis_that_a_service_serves_are_read(s: &Subject<'_>) -> Outcome {
    let extensions = s.port.extensions().await.unwrap();
    let Some(api) = extensions.api_services.first() else { return absent("no Service serves an API here") };
    assert_eq!(api.service.kind, Kind::Service);
    assert!(!api.name.is_empty() && !api.service.name.is_empty(), "{api:?}");
    Ok(())
}

pub async fn warnings_are_read(s: &Subject<'_>) -> Outcome {
    let expected = s.stage.warning().await?;
    let events = s.port.events().await.unwrap();
    let found = events.iter().find(|event| event.about == expected.about).expect("the Warning");
    assert_eq!((&found.reason, &found.message), (&expected.reason, &expected.message));
    assert!(found.last.is_some(), "{found:?}");
    Ok(())
}

pub async fn objects_of_flux_are_read(s: &Subject<'_>) -> Outcome {
    for kind in [Kind::GitRepository, Kind::Kustomization, Kind::HelmRelease] {
        let object = s.stage.flux(kind).await?;
        let look = s.look(&object).await;
        let (_, state) = s.flux_state(&object).await;
        assert_eq!((state.suspended, look.suspended), (false, false), "{object}");
        assert!(state.generation > 0, "{object}");
    }
    Ok(())
}

pub async fn a_cluster_without_flux_is_a_normal_cluster(s: &Subject<'_>) -> Outcome {
    if s.stage.flux(Kind::Kustomization).await.is_ok() {
        return absent("this cluster has Flux");
    }
    assert!(s.port.flux().await.unwrap().is_none());
    Ok(())
}
