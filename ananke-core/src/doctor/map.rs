//! What of a cluster tells who needs whom: plain, serialisable data without a Secret's content or the value of a variable.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::part::Part;
use crate::gate::foundation;
use crate::name::{NodeName, ObjectRef};

/// Labels and selectors.
pub type Words = BTreeMap<Arc<str>, Arc<str>>;

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ClusterMap {
    pub nodes: Vec<MapNode>,
    /// Namespaces with their labels, which webhooks select by.
    pub namespaces: BTreeMap<Arc<str>, Words>,
    pub workloads: Vec<Workload>,
    pub services: Vec<Service>,
    pub ingresses: Vec<Ingress>,
    pub ingress_classes: Vec<IngressClass>,
    pub claims: Vec<Claim>,
    pub volumes: Vec<Volume>,
    pub storage_classes: Vec<StorageClass>,
    pub jobs: Vec<Job>,
    pub budgets: Vec<Budget>,
    pub webhooks: Vec<Webhook>,
    pub external_secrets: Vec<ExternalSecret>,
    pub secret_stores: Vec<SecretStore>,
    pub sources: Vec<Source>,
    pub appliers: Vec<Applier>,
    /// Of the hosts that were asked.
    pub hosts: BTreeMap<NodeName, HostFacts>,
    /// What could not be read, each with why: what is needed there is not known.
    pub unseen: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapNode {
    pub name: NodeName,
    /// It runs the control plane.
    pub server: bool,
    pub labels: Words,
    /// Every name of every image in `status.images`. A kubelet tells its fifty largest, if it is not told otherwise.
    pub images: Vec<Arc<str>>,
    /// As many images as a kubelet tells, so there may be more.
    pub more_images: bool,
}

/// The pod template of a Deployment, StatefulSet or DaemonSet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    pub object: ObjectRef,
    /// `spec.replicas`; for a DaemonSet how many nodes should run it.
    pub replicas: u32,
    /// Its pods' labels.
    pub labels: Words,
    pub images: Vec<PodImage>,
    /// Claims of its namespace, also those that a StatefulSet makes from its templates.
    pub claims: Vec<Arc<str>>,
    /// Secrets without which its pods do not start.
    pub secrets: Vec<Arc<str>>,
    /// Services of this cluster that its environment names, with their namespace.
    #[serde(default)]
    pub names: Vec<ObjectRef>,
    /// Provisioners of storage that its arguments or its environment call it.
    #[serde(default)]
    pub provisions: Vec<Arc<str>>,
    /// Paths of the node that it mounts: a CSI driver keeps its socket in one of them.
    pub host_paths: Vec<Arc<str>>,
    /// Its pods ask cluster DNS for names.
    pub cluster_dns: bool,
    pub node_selector: Words,
    /// The Kustomization or HelmRelease whose labels it carries.
    pub applied_by: Option<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PodImage {
    pub image: Arc<str>,
    pub pull: Pull,
}

/// `imagePullPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Pull {
    Always,
    IfNotPresent,
    Never,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    pub object: ObjectRef,
    pub selector: Words,
    /// Cluster addresses, external addresses and those of its load balancer.
    pub addresses: Vec<IpAddr>,
    pub external_name: Option<Arc<str>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ingress {
    pub object: ObjectRef,
    pub class: Option<Arc<str>>,
    /// Services of its namespace, by host; the host may be a wildcard.
    pub hosts: BTreeMap<Arc<str>, Vec<Arc<str>>>,
    /// Where it can be reached, as its controller says.
    pub addresses: Vec<IpAddr>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngressClass {
    pub name: Arc<str>,
    /// `traefik.io/ingress-controller`
    pub controller: Arc<str>,
    /// For Ingresses that name no class.
    pub default: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    pub object: ObjectRef,
    /// Name of the PersistentVolume, where it is bound.
    pub volume: Option<Arc<str>>,
    #[serde(default)]
    pub class: Option<Arc<str>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageClass {
    pub name: Arc<str>,
    /// Who makes its volumes; for CSI the driver's name.
    pub provisioner: Arc<str>,
}

/// A Job that Flux applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    pub object: ObjectRef,
    pub applied_by: Part,
}

/// A PodDisruptionBudget.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    pub namespace: Arc<str>,
    pub name: Arc<str>,
    pub pods: Selector,
    /// How many of its pods must be healthy, as its controller counts.
    pub desired_healthy: u32,
}

/// A PersistentVolume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    pub name: Arc<str>,
    pub class: Option<Arc<str>>,
    /// CSI driver; none for a volume of the node's own, or of NFS without a driver.
    pub driver: Option<Arc<str>>,
    /// The machine that serves it, where the volume names one.
    pub server: Option<Arc<str>>,
    /// The only nodes that can use it; empty: any.
    pub nodes: Vec<Arc<str>>,
    /// Where the driver tells.
    pub replicas: Option<u32>,
}

/// One webhook of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// The configuration that it stands in.
    pub part: Part,
    /// Its own name in there.
    pub name: Arc<str>,
    /// `failurePolicy: Fail`: what it cannot be asked about is refused.
    pub fail_closed: bool,
    /// None for one that is called by a URL.
    pub service: Option<ObjectRef>,
    pub url: Option<Arc<str>>,
    pub rules: Vec<WebhookRule>,
    pub namespaces: Selector,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookRule {
    pub groups: Vec<Arc<str>>,
    pub resources: Vec<Arc<str>>,
    pub operations: Vec<Arc<str>>,
}

/// A label selector; empty: everything.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Selector {
    pub labels: Words,
    pub expressions: Vec<Expression>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expression {
    pub key: Arc<str>,
    pub operator: Operator,
    pub values: Vec<Arc<str>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExternalSecret {
    pub object: Part,
    /// Name of the Secret that it makes in its namespace.
    pub secret: Arc<str>,
    pub store: Part,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretStore {
    pub object: Part,
    /// Where Vault is, for a store that is one.
    pub url: Option<Arc<str>>,
}

/// What Flux fetches from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    pub object: Part,
    pub url: Arc<str>,
    /// The Secret with the credentials for it.
    pub secret: Option<Arc<str>>,
}

/// A Kustomization or HelmRelease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applier {
    pub object: Part,
    pub source: Option<Part>,
    pub depends_on: Vec<Part>,
    pub applied_by: Option<Part>,
}

/// What a host itself says of settings that matter when it boots.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HostFacts {
    /// Whether its clock follows a source; none where nothing on the host tells.
    pub clock_synced: Option<bool>,
    /// Of its own resolver.
    pub nameservers: Vec<IpAddr>,
    /// From `/etc/fstab`: what is mounted where.
    pub mounts: Vec<Mount>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// `/dev/sdb1`, `UUID=…`, `nas.example:/export`.
    pub source: Arc<str>,
    pub path: Arc<str>,
}

/// The Service that a name inside the cluster stands for: `name.namespace`, with `.svc` and the cluster's domain or without.
pub fn service_of(name: &str) -> Option<ObjectRef> {
    foundation::in_cluster(name)
}

impl ClusterMap {
    /// Of the words that workloads say in their environment, those that name something in this cluster.
    pub fn keep_known_names(&mut self) {
        let services: BTreeSet<&ObjectRef> = self.services.iter().map(|service| &service.object).collect();
        let classes = self.storage_classes.iter().map(|class| &class.provisioner);
        let storage: BTreeSet<&Arc<str>> = classes.chain(self.volumes.iter().filter_map(|of| of.driver.as_ref())).collect();
        for workload in &mut self.workloads {
            workload.names.retain(|name| services.contains(name));
            workload.provisions.retain(|name| storage.contains(name));
        }
    }

    pub(super) fn service(&self, object: &ObjectRef) -> Option<&Service> {
        self.services.iter().find(|service| service.object == *object)
    }

    /// The workloads whose pods a Service selects.
    pub(super) fn behind(&self, service: &Service) -> impl Iterator<Item = &Workload> {
        let in_namespace = |workload: &&Workload| workload.object.namespace == service.object.namespace;
        let chosen = move |workload: &&Workload| !service.selector.is_empty() && includes(&workload.labels, &service.selector);
        self.workloads.iter().filter(move |workload| in_namespace(workload) && chosen(workload))
    }
}

/// Whether `labels` has all of `wanted`.
pub(super) fn includes(labels: &Words, wanted: &Words) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

impl Selector {
    pub fn selects(&self, labels: &Words) -> bool {
        includes(labels, &self.labels) && self.expressions.iter().all(|expression| expression.holds(labels))
    }
}

impl Expression {
    fn holds(&self, labels: &Words) -> bool {
        let value = labels.get(&self.key);
        let listed = || value.is_some_and(|value| self.values.contains(value));
        match self.operator {
            Operator::In => listed(),
            Operator::NotIn => !listed(),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

impl Webhook {
    /// Whether objects of `resource` that are created in `namespace` must pass it.
    pub(super) fn asks(&self, map: &ClusterMap, namespace: &Arc<str>, (group, resource): (&str, &str)) -> bool {
        let labels = map.namespaces.get(namespace);
        let has = |list: &[Arc<str>], wanted: &[&str]| list.iter().any(|entry| wanted.contains(&&**entry));
        let covers = |rule: &WebhookRule| {
            has(&rule.groups, &[group, "*"])
                && has(&rule.resources, &[resource, "*", "*/*"])
                && has(&rule.operations, &["CREATE", "*"])
        };
        labels.is_some_and(|labels| self.namespaces.selects(labels)) && self.rules.iter().any(covers)
    }
}
