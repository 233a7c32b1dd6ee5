//! Maps for tests: a cluster of two nodes whose Git and registry are elsewhere, and what can be put into it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::lint::Finding;
use super::map::{
    Applier, Claim, ClusterMap, Ingress, MapNode, PodImage, Pull, Selector, Service, Source, Volume, Webhook, WebhookRule, Words,
    Workload,
};
use super::part::{Part, PartKind};
use crate::name::{Kind, NodeName, ObjectRef, UnitName};
use crate::spec::{NodeRole, NodeSpec, Spec};

pub(super) struct Lab {
    pub(super) map: ClusterMap,
}

pub(super) fn node(name: &str) -> NodeName {
    NodeName::parse(name).unwrap()
}

/// A spec that knows `nodes`, all workers.
pub(super) fn spec(nodes: &[&str]) -> Spec {
    let worker = |name: &&str| (node(name), NodeSpec::new(NodeRole::Worker, UnitName::parse("k3s-agent").unwrap(), name));
    Spec::new("ananke-01", nodes.iter().map(worker).collect())
}

#[track_caller]
pub(super) fn check(findings: &[Finding], expected: &[&str]) {
    let told: Vec<String> = findings.iter().map(|of| format!("{}: {}", of.subject, of.what)).collect();
    assert_eq!(told, expected);
}

fn words(words: &[(&str, &str)]) -> Words {
    words.iter().map(|(key, value)| (Arc::from(*key), Arc::from(*value))).collect()
}

/// Flux fetches from git.example and runs from ghcr.io; CoreDNS comes with the distribution.
pub(super) fn lab() -> Lab {
    let mut lab = Lab { map: ClusterMap::default() };
    for name in ["titan-01", "titan-02"] {
        lab.node(name);
    }
    lab.deployment("kube-system", "coredns", "docker.io/rancher/mirrored-coredns-coredns:1.14");
    lab.map.workloads[0].cluster_dns = false;
    lab.service("kube-system", "coredns", "10.43.0.10");
    lab.map.services[0].object.name = "kube-dns".into();
    for name in ["source-controller", "kustomize-controller"] {
        lab.deployment("flux-system", name, &format!("ghcr.io/fluxcd/{name}:v1"));
        lab.applied("flux-system");
    }
    lab.map.sources.push(Source {
        object: Part::new(PartKind::GitRepository, "flux-system", "flux-system"),
        url: "ssh://git@git.example/iac".into(),
        secret: None,
    });
    lab.kustomization("flux-system");
    lab
}

impl Lab {
    pub(super) fn node(&mut self, name: &str) {
        let labels = words(&[("kubernetes.io/hostname", name)]);
        self.map.nodes.push(MapNode { name: node(name), server: false, labels, images: Vec::new(), more_images: false });
    }

    fn namespace(&mut self, name: &str) {
        self.map.namespaces.insert(name.into(), words(&[("kubernetes.io/metadata.name", name)]));
    }

    pub(super) fn deployment(&mut self, namespace: &str, name: &str, image: &str) {
        self.namespace(namespace);
        self.map.workloads.push(Workload {
            object: ObjectRef::new(Kind::Deployment, namespace, name),
            replicas: 1,
            labels: words(&[("app", name)]),
            images: vec![PodImage { image: image.into(), pull: Pull::IfNotPresent }],
            claims: Vec::new(),
            secrets: Vec::new(),
            names: Vec::new(),
            provisions: Vec::new(),
            host_paths: Vec::new(),
            cluster_dns: true,
            node_selector: Words::new(),
            applied_by: None,
        });
    }

    /// A Kustomization of that name applied the workload that was added last.
    pub(super) fn applied(&mut self, by: &str) {
        self.map.workloads.last_mut().unwrap().applied_by = Some(Part::new(PartKind::Kustomization, "flux-system", by));
    }

    pub(super) fn kustomization(&mut self, name: &str) {
        self.map.appliers.push(Applier {
            object: Part::new(PartKind::Kustomization, "flux-system", name),
            source: Some(Part::new(PartKind::GitRepository, "flux-system", "flux-system")),
            depends_on: Vec::new(),
            applied_by: Some(Part::new(PartKind::Kustomization, "flux-system", "flux-system")),
        });
    }

    /// It leads to the workload of its name.
    pub(super) fn service(&mut self, namespace: &str, name: &str, address: &str) {
        self.map.services.push(Service {
            object: ObjectRef::new(Kind::Service, namespace, name),
            selector: words(&[("app", name)]),
            addresses: vec![address.parse().unwrap()],
            external_name: None,
        });
    }

    pub(super) fn ingress(&mut self, host: &str, (namespace, service): (&str, &str)) {
        self.map.ingresses.push(Ingress {
            object: ObjectRef::new(Kind::Ingress, namespace, service),
            class: None,
            hosts: BTreeMap::from([(host.into(), vec![service.into()])]),
            addresses: Vec::new(),
        });
    }

    /// Harbor, which Flux applies, at harbor.titan.example.
    pub(super) fn harbor(&mut self) {
        self.deployment("harbor", "harbor-core", "goharbor/harbor-core:v2");
        self.applied("registry");
        self.kustomization("registry");
        self.service("harbor", "harbor-core", "10.43.0.20");
        self.ingress("harbor.titan.example", ("harbor", "harbor-core"));
    }

    /// Gitea, which Flux applies and fetches from, at scm.titan.example.
    pub(super) fn gitea(&mut self, image: &str) {
        self.deployment("gitea", "gitea", image);
        self.applied("git");
        self.kustomization("git");
        self.service("gitea", "gitea", "10.43.0.21");
        self.ingress("scm.titan.example", ("gitea", "gitea"));
        self.map.sources[0].url = "ssh://git@scm.titan.example/ops/iac.git".into();
    }

    /// A volume of Longhorn's with a claim.
    pub(super) fn volume(&mut self, (namespace, claim): (&str, &str), replicas: Option<u32>) {
        let name: Arc<str> = format!("pvc-{namespace}-{claim}").into();
        let object = ObjectRef::new(Kind::PersistentVolumeClaim, namespace, claim);
        self.map.claims.push(Claim { object, volume: Some(name.clone()), class: Some("longhorn".into()) });
        self.map.volumes.push(Volume {
            name,
            class: Some("longhorn".into()),
            driver: Some("driver.longhorn.io".into()),
            server: None,
            nodes: Vec::new(),
            replicas,
        });
    }

    /// It asks `service` about all new pods, and fails closed.
    pub(super) fn webhook(&mut self, name: &str, (namespace, service): (&str, &str)) {
        self.map.webhooks.push(Webhook {
            part: Part::new(PartKind::ValidatingWebhookConfiguration, "", name),
            name: format!("{name}.example").into(),
            fail_closed: true,
            service: Some(ObjectRef::new(Kind::Service, namespace, service)),
            url: None,
            rules: vec![WebhookRule {
                groups: vec!["".into()],
                resources: vec!["pods".into()],
                operations: vec!["CREATE".into()],
            }],
            namespaces: Selector::default(),
        });
    }
}
