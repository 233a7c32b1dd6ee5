//! The port [`LayerReads`] on a real API server: object by object, one after the other, since nobody waits for them.

use std::collections::BTreeSet;
use std::sync::Arc;

use ananke_core::bootstrap::{Layer, Manifest};
use ananke_core::name::{Moment, ObjectRef};
use ananke_core::port::{ErrorKind, LayerReads, PortError};
use async_trait::async_trait;
use serde_json::Value;

use crate::connect::KubeCluster;
use crate::translate::layer::{self, Applier, Contents, Release};

const TRIED: &str = "read the layer";

#[async_trait]
impl LayerReads for KubeCluster {
    async fn layer(&self, kustomization: &ObjectRef, at: Moment) -> Result<Layer, PortError> {
        let (revision, contents) = layer::applied(self.applier(kustomization).await?).map_err(missing(kustomization))?;
        let mut read = Read { objects: Vec::new(), left_out: contents.left_out };
        for object in contents.objects {
            read.take(object.clone(), self.whole(&object).await?);
        }
        for object in contents.releases {
            match self.release(&object).await? {
                Some((release, contents)) => self.read_release(&release, contents, &mut read).await?,
                None => drop(read.left_out.insert(object.to_string().into())),
            }
        }
        Ok(Layer::of(kustomization.clone(), (revision, at), read.objects, read.left_out))
    }
}

/// What was read so far.
struct Read {
    objects: Vec<Manifest>,
    left_out: BTreeSet<Arc<str>>,
}

impl Read {
    fn take(&mut self, object: ObjectRef, found: Option<Value>) {
        match found.and_then(|body| Manifest::of(object.clone(), body)) {
            Some(manifest) => self.objects.push(manifest),
            None => drop(self.left_out.insert(object.to_string().into())),
        }
    }
}

impl KubeCluster {
    async fn applier(&self, object: &ObjectRef) -> Result<Applier, PortError> {
        let path = self.flux_path(TRIED, object).await?;
        self.get(TRIED, &path).await.map_err(|error| PortError { on: object.to_string(), ..error })
    }

    /// None for one that is gone, or that does not say what it installed.
    async fn release(&self, object: &ObjectRef) -> Result<Option<(Release, Contents)>, PortError> {
        match self.applier(object).await {
            Ok(found) => layer::installed(found).map_err(missing(object)),
            Err(error) if error.kind == ErrorKind::Missing => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn read_release(&self, release: &Release, contents: Contents, read: &mut Read) -> Result<(), PortError> {
        read.left_out.extend(contents.left_out);
        for object in contents.objects {
            let found = self.whole(&object).await?.filter(|found| release.owns(found));
            read.take(object, found);
        }
        Ok(())
    }

    /// None where somebody took it away; Flux makes it again.
    async fn whole(&self, object: &ObjectRef) -> Result<Option<Value>, PortError> {
        match self.get(TRIED, &layer::path(TRIED, object)?).await {
            Ok(body) => Ok(Some(body)),
            Err(error) if error.kind == ErrorKind::Missing => Ok(None),
            Err(error) => Err(PortError { on: object.to_string(), ..error }),
        }
    }
}

fn missing(object: &ObjectRef) -> impl FnOnce(String) -> PortError {
    move |why| PortError::new(ErrorKind::Missing, TRIED, object, why)
}

#[cfg(test)]
mod tests {
    use ananke_core::name::Kind;

    use super::*;
    use crate::reads::scripted::{Answer, Server, discovery};

    const KUSTOMIZATION: &str = r#"{"metadata":{"name":"git","namespace":"flux-system","generation":1},"status":{"observedGeneration":1,
        "lastAppliedRevision":"main@sha1:0","conditions":[{"type":"Ready","status":"True"}],"inventory":{"entries":[
        {"id":"git_gitea_apps_StatefulSet"},{"id":"git_gitea__ConfigMap"},{"id":"git_gone__Service"},{"id":"git_key__Secret"}]}}}"#;

    const WITH_CHART: &str = r#"{"metadata":{"name":"git","namespace":"flux-system","generation":1},"status":{"observedGeneration":1,
        "lastAppliedRevision":"main@sha1:0","conditions":[{"type":"Ready","status":"True"}],"inventory":{"entries":[
        {"id":"git_chart_helm.toolkit.fluxcd.io_HelmRelease"},{"id":"git_old_helm.toolkit.fluxcd.io_HelmRelease"}]}}}"#;

    const CHART: &str = r#"{"metadata":{"name":"chart","namespace":"git","generation":1},"spec":{},"status":{"observedGeneration":1,
        "conditions":[{"type":"Ready","status":"True"}],"history":[{"name":"gitea","namespace":"git"}],"inventory":{"entries":[
        {"id":"git_gitea_apps_Deployment"},{"id":"git_other__Service"},{"id":"git_gitea-init__Secret"}]}}}"#;

    const INSTALLED: &str = r#"{"metadata":{"name":"gitea","labels":{"app.kubernetes.io/managed-by":"Helm"},"annotations":{
        "meta.helm.sh/release-name":"gitea","meta.helm.sh/release-namespace":"git"}}}"#;

    async fn read(
        kustomization: &'static str,
        of: impl Fn(&str) -> Answer + Send + Sync + 'static,
    ) -> (Result<Layer, PortError>, Vec<String>) {
        let server = Server::start(move |request| {
            let path = request.split(' ').nth(1).unwrap_or_default();
            if path.ends_with("/kustomizations/git") {
                Answer::Json(200, kustomization.to_owned())
            } else if path.contains(".fluxcd.io") && !path.contains("/helmreleases/") {
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
        let (layer, requests) = read(KUSTOMIZATION, |path| match path.rsplit('/').next() {
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
    async fn what_a_chart_installed_is_kept_where_its_release_says_so() {
        let (layer, requests) = read(WITH_CHART, |path| match path.rsplit('/').next() {
            Some("chart") => Answer::Json(200, CHART.to_owned()),
            Some("gitea") => Answer::Json(200, INSTALLED.to_owned()),
            Some("old") => Answer::Json(200, CHART.replace("inventory", "unknown")),
            _ => Answer::Json(200, r#"{"metadata":{"name":"other"}}"#.to_owned()),
        })
        .await;
        let layer = layer.unwrap();
        let objects: Vec<String> = layer.objects.iter().map(|it| it.object.to_string()).collect();
        assert_eq!(objects, ["Deployment git/gitea"]);
        let left_out: Vec<&str> = layer.left_out.iter().map(AsRef::as_ref).collect();
        assert_eq!(left_out, ["HelmRelease git/old", "Secret git/gitea-init", "Service git/other"]);
        assert!(requests.iter().all(|request| !request.contains("secrets")), "{requests:?}");
    }

    #[tokio::test]
    async fn a_release_that_is_not_well_is_no_reason_to_keep_less() {
        let (layer, _) = read(WITH_CHART, |_| Answer::Json(200, CHART.replace("True", "False"))).await;
        let error = layer.unwrap_err();
        assert_eq!((error.kind, error.on.as_str()), (ErrorKind::Missing, "HelmRelease git/chart"));
    }

    #[tokio::test]
    async fn half_a_layer_is_none() {
        let (layer, _) = read(KUSTOMIZATION, |path| match path.contains("/configmaps/") {
            true => Answer::Json(403, r#"{"message":"configmaps \"gitea\" is forbidden: User \"ananke\" cannot get resource \"configmaps\" in API group \"\" in the namespace \"git\""}"#.to_owned()),
            false => Answer::Json(200, r#"{"metadata":{}}"#.to_owned()),
        })
        .await;
        let error = layer.unwrap_err();
        assert_eq!((error.kind, error.on.as_str()), (ErrorKind::Denied, "ConfigMap git/gitea"));
        assert_eq!(error.remedy.as_deref(), Some("grant get on configmaps in namespace git to user ananke"));
    }
}
