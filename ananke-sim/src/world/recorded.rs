//! A world made of a recorded map: the nodes with their images, the workloads, budgets, claims, ingresses, Jobs and
//! Kustomizations of a real cluster, which then behave as the simulator's own do. What no object tells (how long things take)
//! is the simulator's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ananke_core::doctor::map::{self, ClusterMap};
use ananke_core::doctor::{Need, Part, PartKind, image, needs};
use ananke_core::name::{Kind, ObjectRef};

use super::build::{CREATED, DAY, add_host, add_namespaces, add_workload, budget, flux_object, pace};
use super::{ELSEWHERE, Ingress, KustStage, Kustomization, RECONCILED, Release, World};

/// Rows of the world, by what the map calls them.
struct Rows {
    needs: Vec<Need>,
    workloads: BTreeMap<Part, usize>,
}

pub(super) fn fill(world: &mut World, map: &ClusterMap) {
    add_nodes(world, map);
    let workloads = add_workloads(world, map);
    add_images(world, map);
    add_budgets(world, map);
    let rows = Rows { needs: needs(map), workloads };
    add_known(world, map, &rows);
    for (row, workload) in map.workloads.iter().enumerate() {
        let dns = world.known.dns;
        if workload.cluster_dns && dns != ELSEWHERE && dns != row {
            world.workloads[row].needs = vec![dns];
        }
    }
    add_ingresses(world, map, &rows);
    add_flux(world, map, &rows);
    super::jobs::add_recorded(world, &map.jobs);
    add_namespaces(world, map.namespaces.keys().cloned());
}

fn add_nodes(world: &mut World, map: &ClusterMap) {
    let mut nodes: Vec<&map::MapNode> = map.nodes.iter().collect();
    nodes.sort_by_key(|node| (!node.server, node.name.clone()));
    let has_server = nodes.iter().any(|node| node.server);
    for (row, node) in nodes.into_iter().enumerate() {
        // Where the control plane is nobody's node, one stands for it.
        add_host(world, node.name.clone(), node.server || (!has_server && row == 0));
    }
}

fn add_workloads(world: &mut World, map: &ClusterMap) -> BTreeMap<Part, usize> {
    let mut rows = BTreeMap::new();
    for of in &map.workloads {
        let row = add_workload(world, of.object.kind, &of.object.namespace, &of.object.name);
        let workload = &mut world.workloads[row];
        workload.replicas = of.replicas;
        workload.volumes = of.object.kind == Kind::StatefulSet && !of.claims.is_empty();
        workload.secret = !of.secrets.is_empty();
        workload.start = pace(of.object.kind, workload.volumes);
        if let Some(image) = of.images.first() {
            workload.registry = image.image.split_once('/').map_or("docker.io", |(registry, _)| registry).into();
        }
        if workload.is_daemon() {
            world.daemons.push(row);
        }
        rows.extend(Part::of(&of.object).map(|part| (part, row)));
    }
    rows
}

/// A node has the image of a workload if it tells of all images of its pods.
fn add_images(world: &mut World, map: &ClusterMap) {
    for of in &map.nodes {
        let Some(node) = world.node_row(&of.name) else { continue };
        let told: BTreeSet<String> = of.images.iter().map(|name| image::full(name)).collect();
        let has = |workload: &map::Workload| workload.images.iter().all(|wanted| told.contains(&image::full(&wanted.image)));
        let rows = map.workloads.iter().enumerate().filter(|(_, of)| !of.images.is_empty() && has(of));
        world.nodes[node].images.extend(rows.map(|(row, _)| row));
    }
}

/// Of a budget over several workloads each has its own.
fn add_budgets(world: &mut World, map: &ClusterMap) {
    for of in &map.budgets {
        for (row, workload) in map.workloads.iter().enumerate() {
            if workload.object.namespace == of.namespace && of.pods.selects(&workload.labels) {
                let made = budget(world, row, of.desired_healthy.min(workload.replicas));
                world.workloads[row].budget = Some(super::Budget { name: of.name.clone(), ..made });
            }
        }
    }
}

impl Rows {
    fn of(&self, part: &Part) -> Option<usize> {
        self.workloads.get(part).copied()
    }

    /// The workload that answers to a name: behind its Ingress, its Service, or both.
    fn behind(&self, part: &Part) -> usize {
        let mut at = vec![part];
        let mut seen = BTreeSet::new();
        while let Some(part) = at.pop().filter(|part| seen.insert(*part)) {
            if let Some(row) = self.of(part) {
                return row;
            }
            let next = self.needs.iter().filter(|need| need.from == *part && need.why != "its controller");
            at.extend(next.map(|need| &need.to));
        }
        ELSEWHERE
    }

    fn first(&self, wanted: impl Fn(&Need) -> bool) -> usize {
        let found = self.needs.iter().find(|need| wanted(need)).and_then(|need| self.of(&need.to));
        found.unwrap_or(ELSEWHERE)
    }
}

fn add_known(world: &mut World, map: &ClusterMap, rows: &Rows) {
    let named = |name: &str| map.workloads.iter().position(|of| &*of.object.name == name).unwrap_or(ELSEWHERE);
    let known = &mut world.known;
    known.dns = rows.first(|need| need.from.kind == PartKind::Service && is_dns(&need.from));
    let serves_storage = |need: &Need| matches!(need.from.kind, PartKind::PersistentVolume | PartKind::StorageClass);
    known.storage = rows.first(|need| serves_storage(need) && need.to.kind == PartKind::DaemonSet);
    known.ingress = rows.first(|need| need.from.kind == PartKind::Ingress && need.why == "its controller");
    known.source_controller = named("source-controller");
    known.kustomize_controller = named("kustomize-controller");
    known.helm_controller = named("helm-controller");
    if let Some(source) = source(map) {
        world.source.meta.object = ObjectRef::new(Kind::GitRepository, &source.object.namespace, &source.object.name);
        world.source.url = source.url.clone();
        let host = rows.needs.iter().find(|need| need.from == source.object && need.to.kind == PartKind::Host);
        world.known.git = host.map_or(ELSEWHERE, |need| rows.behind(&need.to));
    }
}

fn is_dns(part: &Part) -> bool {
    &*part.namespace == "kube-system" && matches!(&*part.name, "kube-dns" | "coredns")
}

/// The source that most is applied from.
pub(super) fn source(map: &ClusterMap) -> Option<&map::Source> {
    let used = |of: &&map::Source| map.appliers.iter().filter(|applier| applier.source.as_ref() == Some(&of.object)).count();
    map.sources.iter().filter(|of| of.object.kind == PartKind::GitRepository).max_by_key(used)
}

fn add_ingresses(world: &mut World, map: &ClusterMap, rows: &Rows) {
    for of in &map.ingresses {
        for (host, services) in of.hosts.iter().filter(|(host, _)| !host.is_empty() && !host.starts_with('*')) {
            let parts = services.iter().map(|name| Part::new(PartKind::Service, &of.object.namespace, name));
            let Some(backend) = parts.map(|part| rows.behind(&part)).find(|row| *row != ELSEWHERE) else { continue };
            let (uid, rv) = (world.uid("ingress", world.ingresses.len()), world.revision);
            world.ingresses.push(Ingress { object: of.object.clone(), uid, rv, created: CREATED, host: host.clone(), backend });
        }
    }
}

fn add_flux(world: &mut World, map: &ClusterMap, rows: &Rows) {
    let order = parents_first(map.appliers.iter().filter(|of| of.object.kind == PartKind::Kustomization).collect());
    let row_of = |part: &Part| order.iter().position(|of| of.object == *part);
    for (row, of) in order.iter().enumerate() {
        let object = ObjectRef::new(Kind::Kustomization, &of.object.namespace, &of.object.name);
        let revision = world.source.revision.clone();
        let message = format!("Applied revision: {}", revision.as_deref().unwrap_or_default());
        let applied = |workload: &&map::Workload| workload.applied_by.as_ref() == Some(&of.object);
        let workloads = map.workloads.iter().filter(applied).filter_map(|of| rows.of(&Part::of(&of.object)?));
        let workloads: Vec<usize> = workloads.collect();
        workloads.iter().for_each(|workload| world.workloads[*workload].kustomization = Some(row));
        world.kustomizations.add(Kustomization {
            meta: flux_object(world.rng, object, row as u64 + 1, &message),
            path: format!("./{}", of.object.name).into(),
            depends_on: of.depends_on.iter().filter_map(row_of).collect(),
            workloads,
            applied_revision: revision,
            ended: RECONCILED,
            reconciled_at: Some(-DAY / 100),
            stage: KustStage::Idle,
            again: false,
            token: None,
            runs: 0,
            epoch: 0,
        });
    }
    // What a person installed by hand is nobody's to bring back.
    let owner = |of: &map::Applier| of.applied_by.as_ref().and_then(row_of);
    let releases = map.appliers.iter().filter(|of| of.object.kind == PartKind::HelmRelease && owner(of).is_some());
    let releases = parents_first(releases.collect());
    let release_of = |part: &Part| releases.iter().position(|of| of.object == *part);
    for (row, of) in releases.iter().enumerate() {
        let Some(kustomization) = owner(of) else { continue };
        let object = ObjectRef::new(Kind::HelmRelease, &of.object.namespace, &of.object.name);
        let message = format!("Helm upgrade succeeded for release {}/{}", of.object.namespace, of.object.name);
        let mut meta = flux_object(world.rng, object, 1000 + row as u64, &message);
        meta.reason = "UpgradeSucceeded";
        let chart: Arc<str> = of.source.as_ref().map_or_else(|| of.object.name.clone(), |source| source.name.clone());
        world.releases.add(Release {
            meta,
            chart,
            depends_on: of.depends_on.iter().filter_map(release_of).collect(),
            kustomization,
            installs: Vec::new(),
            installed: true,
            reconciled_at: Some(-DAY / 100),
            at_work: false,
            token: None,
            runs: 0,
            epoch: 0,
        });
    }
}

/// What depends on nothing comes first, and the root of all before it; a circle of dependsOn is left where it stands.
fn parents_first(mut left: Vec<&map::Applier>) -> Vec<&map::Applier> {
    left.sort_by_key(|of| (&*of.object.name != "flux-system", of.object.clone()));
    let mut order: Vec<&map::Applier> = Vec::new();
    while !left.is_empty() {
        let known = |part: &Part| order.iter().any(|of| of.object == *part) || left.iter().all(|of| of.object != *part);
        let next = left.iter().position(|of| of.depends_on.iter().all(known)).unwrap_or(0);
        order.push(left.remove(next));
    }
    order
}

#[cfg(test)]
mod tests {
    use ananke_core::doctor::map::{Budget, Job, MapNode, PodImage, Pull, Selector, Words, Workload};
    use ananke_core::name::NodeName;

    use super::*;
    use crate::scenario::Scenario;

    const IMAGE: &str = "harbor.example/gitea:1";

    fn recorded() -> ClusterMap {
        let by = Part::new(PartKind::Kustomization, "flux-system", "flux-system");
        let node = |(name, image): (&str, &str)| MapNode {
            name: NodeName::parse(name).unwrap(),
            server: name == "a",
            labels: Words::new(),
            images: vec![image.into()],
            more_images: false,
        };
        let workload = |(name, image, replicas): (&str, &str, u32)| Workload {
            object: ObjectRef::new(Kind::Deployment, "flux-system", name),
            replicas,
            labels: Words::from([("app".into(), name.into())]),
            images: vec![PodImage { image: image.into(), pull: Pull::IfNotPresent }],
            claims: Vec::new(),
            secrets: Vec::new(),
            names: Vec::new(),
            provisions: Vec::new(),
            host_paths: Vec::new(),
            cluster_dns: false,
            node_selector: Words::new(),
            applied_by: Some(by.clone()),
        };
        let source = Part::new(PartKind::GitRepository, "flux-system", "flux-system");
        let pods = Selector { labels: Words::from([("app".into(), "gitea".into())]), expressions: Vec::new() };
        ClusterMap {
            nodes: [("a", "x"), ("b", IMAGE), ("c", "y"), ("d", IMAGE)].map(node).into(),
            workloads: [("source-controller", "s", 1), ("kustomize-controller", "k", 1), ("gitea", IMAGE, 2)]
                .map(workload)
                .into(),
            budgets: vec![Budget { namespace: "flux-system".into(), name: "git".into(), pods, desired_healthy: 1 }],
            jobs: ["migrate", "other"]
                .map(|name| Job { object: ObjectRef::new(Kind::Job, "gitea", name), applied_by: by.clone() })
                .into(),
            sources: vec![map::Source { object: source.clone(), url: "https://git.example/".into(), secret: None }],
            appliers: vec![map::Applier { object: by, source: Some(source), depends_on: Vec::new(), applied_by: None }],
            ..ClusterMap::default()
        }
    }

    #[test]
    fn jobs_budgets_and_images_are_those_of_the_file() {
        let world = World::new(&Scenario::named("healthy").unwrap().with_map(recorded()).unwrap(), 1);
        let jobs: Vec<String> = world.jobs().map(|job| job.object.to_string()).collect();
        assert_eq!(jobs, ["Job gitea/migrate", "Job gitea/other"]);
        let gitea = &world.workloads()[2];
        let budget = gitea.budget.as_ref().unwrap();
        assert_eq!((&*budget.name, budget.min_available, budget.status.allowed), ("git", 1, 1));
        let on: Vec<&str> = world.nodes().iter().filter(|node| node.images.contains(&2)).map(|node| node.name.as_str()).collect();
        assert_eq!(on, ["b", "d"], "its pods run where its image is");
    }
}
