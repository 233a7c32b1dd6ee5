//! What can need something, and what can be needed: one point of the graph.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::name::{self, ObjectRef};

/// An object of the cluster, or a name that something in it is asked by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Part {
    pub kind: PartKind,
    #[serde(default, skip_serializing_if = "is_empty")]
    pub namespace: Arc<str>,
    pub name: Arc<str>,
}

fn is_empty(text: &Arc<str>) -> bool {
    text.is_empty()
}

/// The kinds of the API, and [`PartKind::Host`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PartKind {
    Deployment,
    StatefulSet,
    DaemonSet,
    Service,
    Ingress,
    PersistentVolumeClaim,
    PersistentVolume,
    StorageClass,
    Secret,
    ExternalSecret,
    SecretStore,
    ClusterSecretStore,
    ValidatingWebhookConfiguration,
    MutatingWebhookConfiguration,
    GitRepository,
    OCIRepository,
    HelmRepository,
    Bucket,
    Kustomization,
    HelmRelease,
    /// A name or an address in a URL or in front of an image.
    Host,
}

impl Part {
    pub fn new(kind: PartKind, namespace: &str, name: &str) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into() }
    }

    pub(super) fn host(name: &str) -> Self {
        Self::new(PartKind::Host, "", name)
    }

    pub(super) fn service(of: &ObjectRef) -> Self {
        Self::new(PartKind::Service, &of.namespace, &of.name)
    }

    /// None for objects that no part of the graph stands for.
    pub fn of(object: &ObjectRef) -> Option<Self> {
        let kind = match object.kind {
            name::Kind::Deployment => PartKind::Deployment,
            name::Kind::StatefulSet => PartKind::StatefulSet,
            name::Kind::DaemonSet => PartKind::DaemonSet,
            name::Kind::Service => PartKind::Service,
            name::Kind::Ingress => PartKind::Ingress,
            name::Kind::PersistentVolumeClaim => PartKind::PersistentVolumeClaim,
            name::Kind::GitRepository => PartKind::GitRepository,
            name::Kind::OCIRepository => PartKind::OCIRepository,
            name::Kind::Bucket => PartKind::Bucket,
            name::Kind::Kustomization => PartKind::Kustomization,
            name::Kind::HelmRelease => PartKind::HelmRelease,
            name::Kind::Node
            | name::Kind::Namespace
            | name::Kind::Pod
            | name::Kind::Job
            | name::Kind::VolumeAttachment
            | name::Kind::ConfigMap
            | name::Kind::ServiceAccount
            | name::Kind::CephCluster
            | name::Kind::CronJob => return None,
        };
        Some(Self { kind, namespace: object.namespace.clone(), name: object.name.clone() })
    }
}

impl PartKind {
    /// A name or an address, which needs nothing but what stands behind it.
    pub(super) fn only_leads_on(self) -> bool {
        [Self::Host, Self::Ingress, Self::Service, Self::PersistentVolumeClaim].contains(&self)
    }

    /// It makes pods.
    pub(super) fn is_workload(self) -> bool {
        [Self::Deployment, Self::StatefulSet, Self::DaemonSet].contains(&self)
    }

    /// Flux fetches from it.
    pub(super) fn is_source(self) -> bool {
        [Self::GitRepository, Self::OCIRepository, Self::HelmRepository, Self::Bucket].contains(&self)
    }
}

impl fmt::Display for PartKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, namespace, name } = self;
        if *kind == PartKind::Host {
            f.write_str(name)
        } else if namespace.is_empty() {
            write!(f, "{kind} {name}")
        } else {
            write!(f, "{kind} {namespace}/{name}")
        }
    }
}
