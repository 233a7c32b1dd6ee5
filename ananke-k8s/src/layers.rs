//! The port [`LayerReads`] on a real API server: object by object, one after the other, since nobody waits for them.

use ananke_core::bootstrap::{Layer, Manifest};
use ananke_core::name::{Moment, ObjectRef};
use ananke_core::port::{ErrorKind, LayerReads, PortError};
use async_trait::async_trait;

use crate::connect::KubeCluster;
use crate::translate::layer;

#[async_trait]
impl LayerReads for KubeCluster {
    async fn layer(&self, kustomization: &ObjectRef, at: Moment) -> Result<Layer, PortError> {
        const TRIED: &str = "read the layer";
        let on = |error| PortError { on: kustomization.to_string(), ..error };
        let path = self.flux_path(TRIED, kustomization).await?;
        let found = self.get(TRIED, &path).await.map_err(on)?;
        let contents = layer::contents(found).map_err(|why| PortError::new(ErrorKind::Missing, TRIED, kustomization, why))?;
        let (mut objects, mut left_out) = (Vec::new(), contents.left_out);
        for object in contents.objects {
            let manifest = match self.get(TRIED, &layer::path(TRIED, &object)?).await {
                Ok(body) => Manifest::of(object.clone(), body),
                // Somebody took it away; Flux makes it again.
                Err(error) if error.kind == ErrorKind::Missing => None,
                Err(error) => return Err(PortError { on: object.to_string(), ..error }),
            };
            match manifest {
                Some(manifest) => objects.push(manifest),
                None => drop(left_out.insert(object.to_string().into())),
            }
        }
        Ok(Layer::of(kustomization.clone(), (contents.revision, at), objects, left_out))
    }
}

#[cfg(test)]
mod tests {
    use ananke_core::name::Kind;

    use super::*;
    use crate::reads::scripted::{Answer, Server, discovery};

    const KUSTOMIZATION: &str = r#"{"metadata":{"name":"git","namespace":"flux-system","generation":1},"status":{"observedGeneration":1,
        "lastAppliedRevision":"main@sha1:0","conditions":[{"type":"Ready","status":"True"}],"inventory":{"entries":[
        {"id":"git_gitea_apps_StatefulSet"},{"id":"git_gitea__ConfigMap"},{"id":"git_gone__Service"},{"id":"git_key__Secret"}]}}}"#;

    async fn read(of: impl Fn(&str) -> Answer + Send + Sync + 'static) -> (Result<Layer, PortError>, Vec<String>) {
        let server = Server::start(move |request| {
            let path = request.split(' ').nth(1).unwrap_or_default();
            if path.ends_with("/kustomizations/git") {
                Answer::Json(200, KUSTOMIZATION.to_owned())
            } else if path.contains(".fluxcd.io") {
                Answer::Json(200, discovery(request))
            } else {
                of(path)
            }
        })
        .await;
        let kustomization = ObjectRef::new(Kind::Kustomization, "flux-system", "git");
        let layer = server.cluster().layer(&kustomization, Moment::from_millis(7)).await;
        (layer, server.requests())
    }

    #[tokio::test]
    async fn what_is_kept_is_read_and_no_secret_is_asked_for() {
        let (layer, requests) = read(|path| match path.rsplit('/').next() {
            Some("gone") => Answer::Json(404, r#"{"message":"services \"gone\" not found"}"#.to_owned()),
            _ => Answer::Json(200, r#"{"metadata":{"name":"gitea","uid":"u"},"status":{}}"#.to_owned()),
        })
        .await;
        let layer = layer.unwrap();
        let objects: Vec<String> = layer.objects.iter().map(|it| format!("{} {}", it.object, it.body)).collect();
        assert_eq!(
            objects,
            [r#"ConfigMap git/gitea {"metadata":{"name":"gitea"}}"#, r#"StatefulSet git/gitea {"metadata":{"name":"gitea"}}"#]
        );
        assert_eq!((layer.revision.as_ref(), layer.taken), ("main@sha1:0", Moment::from_millis(7)));
        assert_eq!(layer.left_out.iter().map(AsRef::as_ref).collect::<Vec<_>>(), ["Secret git/key", "Service git/gone"]);
        assert!(requests.iter().all(|request| !request.contains("secrets")), "{requests:?}");
    }

    #[tokio::test]
    async fn half_a_layer_is_none() {
        let (layer, _) = read(|path| match path.contains("/configmaps/") {
            true => Answer::Json(403, r#"{"message":"configmaps \"gitea\" is forbidden: User \"ananke\" cannot get resource \"configmaps\" in API group \"\" in the namespace \"git\""}"#.to_owned()),
            false => Answer::Json(200, r#"{"metadata":{}}"#.to_owned()),
        })
        .await;
        let error = layer.unwrap_err();
        assert_eq!((error.kind, error.on.as_str()), (ErrorKind::Denied, "ConfigMap git/gitea"));
        assert_eq!(error.remedy.as_deref(), Some("grant get on configmaps in namespace git to user ananke"));
    }
}
