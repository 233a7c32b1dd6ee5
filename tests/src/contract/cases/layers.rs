//! What a Kustomization applied is read whole, and made again where it is absent.

use std::collections::BTreeSet;

use ananke_core::bootstrap::{KINDS, Layer, Manifest};
use ananke_core::name::{Kind, ObjectRef};
use ananke_core::order::ClusterOrder;
use ananke_core::port::{ErrorKind, PortError};

use crate::contract::{Outcome, Subject, at, refused};

async fn read(s: &Subject<'_>, kustomization: &ObjectRef) -> Layer {
    s.port.layer(kustomization, at()).await.unwrap_or_else(|error| panic!("{error}"))
}

async fn make(s: &Subject<'_>, manifest: &Manifest) -> Result<(), PortError> {
    s.port.order(&ClusterOrder::Create(Box::new(manifest.clone()))).await
}

pub async fn a_layer_has_all_that_is_kept_and_names_the_rest(s: &Subject<'_>) -> Outcome {
    let (mut kinds, mut left_out, mut of_helm) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let layers = s.stage.layers().await?;
    for kustomization in layers.kustomizations {
        let layer = read(s, &kustomization).await;
        assert_eq!((&layer.kustomization, layer.taken), (&kustomization, at()));
        assert!(!layer.revision.is_empty());
        assert!(layer.objects.is_sorted_by_key(Manifest::rank), "{layer:?}");
        for Manifest { object, body } in &layer.objects {
            assert_eq!(body["kind"], object.kind.to_string(), "{body}");
            let found = |at: &str| body.pointer(at).cloned().unwrap_or_default();
            assert_eq!(found("/metadata/name"), *object.name, "{body}");
            if !found("/metadata/annotations/meta.helm.sh~1release-name").is_null() {
                assert_eq!(found("/metadata/labels/app.kubernetes.io~1managed-by"), "Helm", "{body}");
                of_helm.insert(object.to_string());
            }
            assert!(body["apiVersion"].is_string() && found("/metadata/uid").is_null() && found("/status").is_null(), "{body}");
        }
        kinds.extend(layer.objects.iter().map(|manifest| manifest.object.kind));
        left_out.extend(layer.left_out.iter().filter_map(|told| told.split(' ').next().map(str::to_owned)));
    }
    assert_eq!(kinds, KINDS.iter().copied().collect());
    assert_eq!(of_helm, layers.of_helm.iter().map(ToString::to_string).collect());
    assert_eq!(left_out, layers.others.iter().map(ToString::to_string).collect());
    Ok(())
}

pub async fn what_is_there_is_left_as_it_is(s: &Subject<'_>) -> Outcome {
    for kustomization in s.stage.layers().await?.kustomizations {
        for mut manifest in read(s, &kustomization).await.objects {
            let before = s.look(&manifest.object).await;
            if let Some(metadata) = manifest.body.pointer_mut("/metadata").and_then(serde_json::Value::as_object_mut) {
                metadata.insert("labels".to_owned(), serde_json::json!({"example.org/other": "yes"}));
            }
            make(s, &manifest).await.unwrap_or_else(|error| panic!("{error}"));
            let after = s.look(&manifest.object).await;
            assert_eq!((after.uid, after.labels), (before.uid, before.labels), "{}", manifest.object);
        }
    }
    Ok(())
}

pub async fn what_is_absent_is_made_again_in_fluxs_name(s: &Subject<'_>) -> Outcome {
    let kustomization = s.stage.layers().await?.kustomizations.remove(0);
    let layer = read(s, &kustomization).await;
    // With its namespace all would go that is in it.
    let objects: Vec<&Manifest> = layer.objects.iter().filter(|manifest| manifest.object.kind != Kind::Namespace).collect();
    assert!(objects.len() > 2, "{layer:?}");
    for manifest in &objects {
        s.stage.delete(&manifest.object).await?;
        assert_eq!(s.stage.look(&manifest.object).await, None, "{} is still there", manifest.object);
    }
    for manifest in &objects {
        make(s, manifest).await.unwrap_or_else(|error| panic!("{error}"));
        if let Some(managers) = s.look(&manifest.object).await.managers {
            assert!(managers.contains(&"kustomize-controller".to_owned()), "{}: {managers:?}", manifest.object);
            assert!(!managers.contains(&"ananke".to_owned()), "{}: {managers:?}", manifest.object);
        }
    }
    assert_eq!(read(s, &kustomization).await, layer);
    Ok(())
}

pub async fn an_object_without_its_namespace_is_missing(s: &Subject<'_>) -> Outcome {
    let object = ObjectRef::new(Kind::ConfigMap, "ananke-contract-nowhere", "settings");
    let metadata = serde_json::json!({"name": object.name, "namespace": object.namespace});
    let body = serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata});
    refused(make(s, &Manifest { object, body }).await, ErrorKind::Missing);
    Ok(())
}

pub async fn a_kustomization_that_is_gone_has_no_layer(s: &Subject<'_>) -> Outcome {
    let namespace = s.stage.layers().await?.kustomizations.remove(0).namespace;
    let gone = s.port.layer(&ObjectRef::new(Kind::Kustomization, &namespace, "absent"), at()).await;
    refused(gone.map(drop), ErrorKind::Missing);
    Ok(())
}
