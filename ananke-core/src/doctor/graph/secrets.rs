//! Secrets that come from a store outside of etcd, and the Vault behind it.

use super::super::map::ClusterMap;
use super::super::need::When;
use super::super::part::{Part, PartKind};
use super::Needs;
use super::names::host_of;

const CONTROLLER: &str = "external-secrets";

pub(super) fn add(map: &ClusterMap, needs: &mut Needs) {
    let mut controllers = map.workloads.iter().filter(|workload| &*workload.object.name == CONTROLLER);
    let controller = controllers.next().and_then(|workload| Part::of(&workload.object));
    for of in &map.external_secrets {
        let secret = Part::new(PartKind::Secret, &of.object.namespace, &of.secret);
        needs.add(&secret, &of.object, When::Apply, "what it holds");
        needs.add(&of.object, &of.store, When::Start, "what it fetches");
        if let Some(controller) = &controller {
            needs.add(&of.object, controller, When::Start, "its controller");
        }
    }
    for store in &map.secret_stores {
        if let Some(url) = &store.url {
            needs.add(&store.object, &Part::host(host_of(url)), When::Start, "its Vault");
        }
    }
}
