//! The doctor's look at the world in memory: what the API would tell, and nothing that is merely true.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ananke_core::doctor::map::{
    Applier, Budget, Claim, ClusterMap, ExternalSecret, Ingress, IngressClass, Job, MapNode, PodImage, Pull, SecretStore,
    Selector, Service, Source, Volume, Webhook, WebhookRule, Words, Workload,
};
use ananke_core::doctor::{Part, PartKind};
use ananke_core::name::{Kind, ObjectRef};
use ananke_core::port::{MapReads, PortError, without_password};
use async_trait::async_trait;

use super::SimPorts;
use super::half_alive::Needs;
use crate::world::{
    CHARTS, DRIVER, INGRESS_ADDRESS, INGRESS_CLASS, INGRESS_CONTROLLER, REPLICAS, SECRET_STORE, SECRET_STORE_URL, World,
};

/// A kubelet tells of so many images.
const TOLD: usize = 50;

#[async_trait]
impl MapReads for SimPorts {
    async fn map(&self) -> Result<ClusterMap, PortError> {
        self.call("read the map of the cluster", Needs::Cache).await?;
        Ok(map(self.sim.world().cached()))
    }
}

fn map(world: &World) -> ClusterMap {
    let label = |name: &Arc<str>| Words::from([("kubernetes.io/metadata.name".into(), name.clone())]);
    ClusterMap {
        nodes: world.nodes().iter().map(|node| map_node(world, node)).collect(),
        namespaces: world.namespaces().iter().map(|of| (of.name.clone(), label(&of.name))).collect(),
        workloads: workloads(world),
        services: services(world),
        ingresses: world.ingresses().iter().filter_map(|ingress| map_ingress(world, ingress)).collect(),
        ingress_classes: vec![IngressClass { name: INGRESS_CLASS.into(), controller: INGRESS_CONTROLLER.into(), default: true }],
        claims: world.volumes().iter().map(claim).collect(),
        volumes: world.volumes().iter().map(volume).collect(),
        storage_classes: Vec::new(),
        jobs: world.jobs().filter_map(|job| map_job(world, job)).collect(),
        budgets: world.workloads().iter().filter_map(budget).collect(),
        webhooks: vec![webhook()],
        external_secrets: secrets(world),
        secret_stores: vec![SecretStore { object: store(), url: Some(SECRET_STORE_URL.into()) }],
        sources: sources(world),
        appliers: appliers(world),
        hosts: BTreeMap::new(),
        unseen: Vec::new(),
    }
}

fn map_node(world: &World, node: &crate::world::Node) -> MapNode {
    let images = node.images.iter().filter_map(|row| world.workloads().get(*row)).take(TOLD);
    MapNode {
        name: node.name.clone(),
        server: node.server,
        labels: node.labels.clone(),
        more_images: node.images.len() >= TOLD,
        images: images.map(|workload| workload.image().into()).collect(),
    }
}

/// As three lists give them: one kind after the other, and by name.
fn workloads(world: &World) -> Vec<Workload> {
    let mut all: Vec<Workload> = world.workloads().iter().map(|workload| map_workload(world, workload)).collect();
    let rank = |kind: Kind| [Kind::Deployment, Kind::StatefulSet, Kind::DaemonSet].iter().position(|other| *other == kind);
    all.sort_by_key(|of| (rank(of.object.kind), of.object.clone()));
    all
}

fn map_workload(world: &World, workload: &crate::world::Workload) -> Workload {
    let of = &workload.object;
    let replicas = if workload.is_daemon() { workload.status.desired } else { workload.replicas };
    let claims = (0..replicas).filter(|_| workload.volumes).map(|ordinal| format!("data-{}-{ordinal}", of.name).into());
    let release = world.release_of(of).map(|release| &release.meta.object);
    let by = release.or_else(|| Some(&world.kustomizations().get(workload.kustomization?)?.meta.object));
    Workload {
        object: of.clone(),
        replicas,
        labels: Words::from([("app".into(), of.name.clone())]),
        images: vec![PodImage { image: workload.image().into(), pull: Pull::IfNotPresent }],
        claims: claims.collect(),
        secrets: workload.secret.then(|| of.name.clone()).into_iter().collect(),
        names: Vec::new(),
        provisions: Vec::new(),
        host_paths: Vec::new(),
        cluster_dns: workload.asks_cluster_dns(),
        node_selector: Words::new(),
        applied_by: by.and_then(Part::of),
    }
}

fn map_job(world: &World, job: &crate::world::Job) -> Option<Job> {
    let by = world.kustomizations().get(job.kustomization)?;
    Some(Job { object: job.object.clone(), applied_by: Part::of(&by.meta.object)? })
}

fn budget(workload: &crate::world::Workload) -> Option<Budget> {
    let (of, budget) = (&workload.object, workload.budget.as_ref()?);
    let pods = Selector { labels: Words::from([("app".into(), of.name.clone())]), expressions: Vec::new() };
    Some(Budget { namespace: of.namespace.clone(), name: budget.name.clone(), pods, desired_healthy: budget.min_available })
}

fn services(world: &World) -> Vec<Service> {
    let with_service = world.workloads().iter().enumerate().filter(|(_, workload)| workload.service);
    let mut all: Vec<Service> = with_service
        .map(|(row, workload)| Service {
            object: workload.service_ref(),
            selector: Words::from([("app".into(), workload.object.name.clone())]),
            addresses: world.service_addresses(row).iter().filter_map(|text| text.parse::<IpAddr>().ok()).collect(),
            external_name: None,
        })
        .collect();
    all.sort_by(|a, b| a.object.cmp(&b.object));
    all
}

fn map_ingress(world: &World, ingress: &crate::world::Ingress) -> Option<Ingress> {
    let backend = world.workloads().get(ingress.backend)?;
    Some(Ingress {
        object: ingress.object.clone(),
        class: Some(INGRESS_CLASS.into()),
        hosts: BTreeMap::from([(ingress.host.clone(), vec![backend.object.name.clone()])]),
        addresses: INGRESS_ADDRESS.parse().into_iter().collect(),
    })
}

fn claim(volume: &crate::world::Volume) -> Claim {
    Claim { object: volume.claim.clone(), volume: Some(volume.name.clone()), class: Some("longhorn".into()) }
}

fn volume(volume: &crate::world::Volume) -> Volume {
    Volume {
        name: volume.name.clone(),
        class: Some("longhorn".into()),
        driver: Some(DRIVER.into()),
        server: None,
        nodes: Vec::new(),
        replicas: Some(REPLICAS),
    }
}

/// cert-manager's, which asks about nothing but its own kinds.
fn webhook() -> Webhook {
    Webhook {
        part: Part::new(PartKind::ValidatingWebhookConfiguration, "", "cert-manager-webhook"),
        name: "webhook.cert-manager.io".into(),
        fail_closed: true,
        service: Some(ObjectRef::new(Kind::Service, "cert-manager", "cert-manager-webhook")),
        url: None,
        rules: vec![WebhookRule {
            groups: vec!["cert-manager.io".into(), "acme.cert-manager.io".into()],
            resources: vec!["*/*".into()],
            operations: vec!["CREATE".into(), "UPDATE".into()],
        }],
        namespaces: Selector::default(),
    }
}

fn store() -> Part {
    Part::new(PartKind::ClusterSecretStore, "", SECRET_STORE)
}

fn secrets(world: &World) -> Vec<ExternalSecret> {
    let with_secret = world.workloads().iter().filter(|workload| workload.secret).map(|workload| &workload.object);
    with_secret
        .map(|of| ExternalSecret {
            object: Part::new(PartKind::ExternalSecret, &of.namespace, &of.name),
            secret: of.name.clone(),
            store: store(),
        })
        .collect()
}

fn sources(world: &World) -> Vec<Source> {
    let source = world.source();
    let own = Part::of(&source.meta.object);
    let (url, secret) = (without_password(&source.url).into(), Some(source.meta.object.name.clone()));
    let git = own.map(|object| Source { object, url, secret });
    let charts = world.releases().iter().filter(|release| world.has(&release.meta.object)).map(|release| Source {
        object: Part::new(PartKind::HelmRepository, &release.meta.object.namespace, &release.chart),
        url: CHARTS.into(),
        secret: None,
    });
    git.into_iter().chain(charts).collect()
}

fn appliers(world: &World) -> Vec<Applier> {
    let source = Part::of(&world.source().meta.object);
    let part = |row: &usize| Part::of(&world.kustomizations().get(*row)?.meta.object);
    let root = part(&0);
    let mut all: Vec<Applier> = (world.kustomizations().iter())
        .filter_map(|of| {
            let depends_on = of.depends_on.iter().filter_map(part).collect();
            Some(Applier { object: Part::of(&of.meta.object)?, source: source.clone(), depends_on, applied_by: root.clone() })
        })
        .collect();
    all.sort_by(|a, b| a.object.cmp(&b.object));
    let mut releases: Vec<Applier> = (world.releases().iter())
        .filter(|of| world.has(&of.meta.object))
        .filter_map(|of| {
            let other = |row: &usize| Part::of(&world.releases().get(*row)?.meta.object);
            Some(Applier {
                object: Part::of(&of.meta.object)?,
                source: Some(Part::new(PartKind::HelmRepository, &of.meta.object.namespace, &of.chart)),
                depends_on: of.depends_on.iter().filter_map(other).collect(),
                applied_by: part(&of.kustomization),
            })
        })
        .collect();
    releases.sort_by(|a, b| a.object.cmp(&b.object));
    all.extend(releases);
    all
}
