//! Names that this cluster itself answers to: hosts of its Ingresses, Services, addresses; and who resolves them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::super::map::{ClusterMap, Ingress, Service};
use super::super::need::{When, few};
use super::super::part::{Part, PartKind};
use super::Needs;
use crate::gate::foundation;
use crate::gate::ingress::serves;

pub(in super::super) use foundation::host_of;

/// By convention `kube-dns`, whatever serves it; some distributions name it after CoreDNS.
pub(super) fn is_cluster_dns(service: &Service) -> bool {
    &*service.object.namespace == "kube-system"
        && matches!(&*service.object.name, "kube-dns" | "coredns" | "rke2-coredns-rke2-coredns")
}

/// After everything else that needs hosts by their names was added.
pub(super) fn add(map: &ClusterMap, needs: &mut Needs) {
    for service in &map.services {
        let from = Part::service(&service.object);
        for workload in map.behind(service).filter_map(|workload| Part::of(&workload.object)) {
            needs.add(&from, &workload, When::Start, "its endpoints");
        }
        if let Some(name) = &service.external_name {
            needs.add(&from, &Part::host(name), When::Start, "the name that it stands for");
        }
    }
    for ingress in &map.ingresses {
        let from = Part::new(PartKind::Ingress, &ingress.object.namespace, &ingress.object.name);
        for controller in controllers(map, ingress) {
            needs.add(&from, &controller, When::Start, "its controller");
        }
    }
    let mut hosts: BTreeSet<&str> = BTreeSet::new();
    let images = map.workloads.iter().flat_map(|workload| &workload.images);
    let registries: BTreeSet<&str> = images.map(|of| host_of(super::super::image::registry(&of.image))).collect();
    hosts.extend(&registries);
    hosts.extend(map.sources.iter().map(|source| host_of(&source.url)));
    hosts.extend(map.secret_stores.iter().filter_map(|store| store.url.as_deref()).map(host_of));
    hosts.extend(map.webhooks.iter().filter_map(|webhook| webhook.url.as_deref()).map(host_of));
    hosts.extend(map.services.iter().filter_map(|service| service.external_name.as_deref()));
    hosts.extend(map.volumes.iter().filter_map(|volume| volume.server.as_deref()));
    for host in hosts {
        answer(map, host, needs);
    }
    for registry in registries.into_iter().filter(|registry| registry.parse::<IpAddr>().is_err()) {
        resolve(map, registry, needs);
    }
}

/// What answers to `host`, where it is in this cluster.
fn answer(map: &ClusterMap, host: &str, needs: &mut Needs) {
    let from = Part::host(host);
    for service in at_address(map, host).chain(by_name(map, host)) {
        needs.add(&from, &Part::service(&service.object), When::Start, "an answer");
    }
    for ingress in &map.ingresses {
        let namespace = &ingress.object.namespace;
        for (_, services) in ingress.hosts.iter().filter(|(pattern, _)| serves(pattern, host)) {
            let part = Part::new(PartKind::Ingress, namespace, &ingress.object.name);
            needs.add(&from, &part, When::Start, "an answer");
            for service in services {
                let service = Part::new(PartKind::Service, namespace, service);
                needs.add(&part, &service, When::Start, format!("requests to {host}"));
            }
        }
    }
}

/// Whether this cluster itself serves `host`.
pub(in super::super) fn is_served(map: &ClusterMap, host: &str) -> bool {
    let mut needs = Needs::default();
    answer(map, host, &mut needs);
    !needs.0.is_empty()
}

fn at_address<'a>(map: &'a ClusterMap, host: &str) -> impl Iterator<Item = &'a Service> {
    let address = host.parse::<IpAddr>().ok();
    map.services.iter().filter(move |service| address.is_some_and(|address| service.addresses.contains(&address)))
}

fn by_name<'a>(map: &'a ClusterMap, host: &str) -> impl Iterator<Item = &'a Service> {
    foundation::in_cluster(host).and_then(|object| map.service(&object)).into_iter()
}

/// Kubelets resolve a registry's name by what their host asks, which may be a Service of the cluster.
fn resolve(map: &ClusterMap, registry: &str, needs: &mut Needs) {
    for service in &map.services {
        let asks = |node: &&crate::name::NodeName| {
            map.hosts.get(*node).is_some_and(|host| host.nameservers.iter().any(|server| service.addresses.contains(server)))
        };
        let nodes: Vec<_> = map.hosts.keys().filter(asks).collect();
        if !nodes.is_empty() {
            let why = format!("its address, which {} must resolve", few(&nodes));
            needs.add(&Part::host(registry), &Part::service(&service.object), When::Start, why);
        }
    }
}

/// The workloads behind the address that an Ingress is reached at; without one, those that look like its class's controller.
fn controllers(map: &ClusterMap, ingress: &Ingress) -> BTreeSet<Part> {
    let reached = |service: &&Service| service.addresses.iter().any(|address| ingress.addresses.contains(address));
    let behind = map.services.iter().filter(reached).flat_map(|service| map.behind(service));
    let mut found: BTreeSet<Part> = behind.filter_map(|workload| Part::of(&workload.object)).collect();
    if found.is_empty()
        && let Some(name) = class_of(map, ingress)
    {
        let runs = |image: &str| image.split(['/', ':']).any(|word| word == name);
        let like = map.workloads.iter().filter(|workload| workload.images.iter().any(|of| runs(&of.image)));
        found.extend(like.filter_map(|workload| Part::of(&workload.object)));
    }
    found
}

/// The word by which the images of a class's controller are known: `k8s.io/ingress-nginx` is `ingress-nginx`.
fn class_of<'a>(map: &'a ClusterMap, ingress: &Ingress) -> Option<&'a str> {
    let chosen = |class: &&super::super::map::IngressClass| match &ingress.class {
        Some(name) => class.name == *name,
        None => class.default,
    };
    let controller = &map.ingress_classes.iter().find(chosen)?.controller;
    let (domain, name) = controller.split_once('/').unwrap_or(("", controller));
    if name == "ingress-controller" { domain.split('.').next() } else { Some(name) }
}
