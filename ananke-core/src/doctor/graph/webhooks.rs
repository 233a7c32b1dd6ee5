//! Pods that are made must pass every webhook that fails closed, and so need whoever serves it.

use super::super::map::ClusterMap;
use super::super::need::When;
use super::super::part::Part;
use super::Needs;
use super::names::host_of;

pub(super) fn add(map: &ClusterMap, needs: &mut Needs) {
    for webhook in map.webhooks.iter().filter(|webhook| webhook.fail_closed) {
        let asked = |namespace| webhook.asks(map, namespace, ("", "pods"));
        for workload in map.workloads.iter().filter(|workload| asked(&workload.object.namespace)) {
            if let Some(from) = Part::of(&workload.object) {
                needs.add(&from, &webhook.part, When::NewPods, format!("the consent of {}", webhook.name));
            }
        }
        if let Some(service) = &webhook.service {
            needs.add(&webhook.part, &Part::service(service), When::Start, "its answers");
        } else if let Some(url) = &webhook.url {
            needs.add(&webhook.part, &Part::host(host_of(url)), When::Start, "its answers");
        }
    }
}
