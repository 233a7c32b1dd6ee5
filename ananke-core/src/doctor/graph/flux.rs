//! What Flux fetches, from where, and what it applies.

use super::super::map::{ClusterMap, Workload};
use super::super::need::When;
use super::super::part::{Part, PartKind};
use super::Needs;
use super::names::host_of;

const CONTROLLERS: [&str; 4] = ["source-controller", "kustomize-controller", "helm-controller", "notification-controller"];

pub(super) fn add(map: &ClusterMap, needs: &mut Needs) {
    for source in &map.sources {
        let from = &source.object;
        needs.add(from, &Part::host(host_of(&source.url)), When::Start, "what it fetches");
        if let Some(secret) = &source.secret {
            needs.add(from, &Part::new(PartKind::Secret, &from.namespace, secret), When::Start, "its credentials");
        }
        control(map, from, "source-controller", needs);
    }
    for applier in &map.appliers {
        let from = &applier.object;
        let controller = if from.kind == PartKind::HelmRelease { "helm-controller" } else { "kustomize-controller" };
        control(map, from, controller, needs);
        if let Some(source) = &applier.source {
            needs.add(from, source, When::Start, "what it applies");
        }
        for other in &applier.depends_on {
            needs.add(from, other, When::Start, "its dependsOn");
        }
        if let Some(by) = applier.applied_by.as_ref().filter(|by| *by != from) {
            needs.add(from, by, When::Apply, "its object");
        }
    }
}

/// Flux's own controllers: that Flux also applies itself is how it is installed, and no circle that anybody could break.
pub(super) fn is_controller(workload: &Workload) -> bool {
    CONTROLLERS.contains(&&*workload.object.name)
}

fn control(map: &ClusterMap, from: &Part, name: &str, needs: &mut Needs) {
    for workload in map.workloads.iter().filter(|workload| &*workload.object.name == name) {
        if let Some(to) = Part::of(&workload.object) {
            needs.add(from, &to, When::Start, "its controller");
        }
    }
}
