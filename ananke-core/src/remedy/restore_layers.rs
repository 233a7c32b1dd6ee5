//! Makes what Flux needs to fetch what would make it (trap `flux-source-is-in-cluster-git`): absent objects of the first layer that
//! misses a workload, as they were on the last healthy day. What is there is left as it is, and Flux takes over what was made.

use std::time::Duration;

use super::{Action, Budget, Pace, Stage};
use crate::bootstrap::{Layer, Manifest};
use crate::engine::view::View;
use crate::name::{Kind, ObjectRef, Subject};
use crate::order::{ClusterOrder, Order};
use crate::verdict::{BlockerKind, GateId, Trap, Verdict};

const TRAP: Trap = Trap::FluxSourceIsInClusterGit;
const BUDGET: Budget = Budget { trap: TRAP, times: 3, pause: Duration::from_secs(60) };

pub(super) fn plan(view: &View<'_>) -> Vec<Action> {
    let layers = &view.spec.bootstrap.cache.layers;
    let Some(layer) = layers.iter().find(|layer| layer.workloads().any(|manifest| is_due(view, &manifest.object))) else {
        return Vec::new();
    };
    let absent: Vec<&Manifest> = layer.objects.iter().filter(|manifest| is_wanted(view, manifest)).collect();
    let namespaces: Vec<&Manifest> = absent.iter().copied().filter(|manifest| manifest.object.kind == Kind::Namespace).collect();
    let first = if namespaces.is_empty() { absent } else { namespaces };
    first.into_iter().filter_map(|manifest| action(view, layer, manifest)).collect()
}

/// The gate `foundation` has missed it for long enough.
fn is_due(view: &View<'_>, object: &ObjectRef) -> bool {
    let subject = Subject::Object(object.clone());
    let Some(gate) = view.gate(GateId::Foundation) else { return false };
    let missed = match gate.judgement.subjects.get(&subject) {
        Some(Verdict::Hold(blocker)) => blocker.kind == BlockerKind::Repairable(TRAP),
        Some(Verdict::Pass(_) | Verdict::Unknown(_)) | None => false,
    };
    // The circle is waited for once, not layer by layer.
    let found = view.history().last_landed("create", |_| true).is_some();
    let pace = Pace { wait: view.spec.bootstrap.wait, nudge: Duration::ZERO };
    missed && (found || pace.stage(view, TRAP, &subject) == Stage::Act)
}

/// Of what no list tells, one answer is enough.
fn is_wanted(view: &View<'_>, manifest: &Manifest) -> bool {
    let (object, kind) = (&manifest.object, manifest.object.kind);
    if manifest.is_workload() {
        is_due(view, object)
    } else if kind == Kind::Namespace {
        view.namespaces().is_ok_and(|list| !list.contains(&object.name))
    } else if kind == Kind::Service {
        view.endpoints().is_ok_and(|list| list.iter().all(|state| state.service != *object))
    } else if kind == Kind::Ingress {
        view.ingresses().is_ok_and(|list| list.iter().all(|state| state.object != *object))
    } else {
        view.history().tries("create", &Subject::Object(object.clone())).landed == 0
    }
}

fn action(view: &View<'_>, layer: &Layer, manifest: &Manifest) -> Option<Action> {
    let order = Order::Cluster(ClusterOrder::Create(Box::new(manifest.clone())));
    let why = format!(
        "{} made it, which Flux cannot fetch; kept since {}, at revision {}",
        layer.kustomization,
        layer.taken.day(),
        layer.revision
    );
    BUDGET.allows(view, &order).then_some(Action { order, why })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::foundation;
    use crate::gate::testing::Bench;
    use crate::observation::Tri;

    fn bench(secs: u64) -> Bench {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.keep("registry", "images");
        bench.keep("gitea", "data");
        bench.change_source(|source| source.reconcile.ready = Tri::False);
        bench.judged(GateId::Foundation, foundation::evaluate);
        let registry = Subject::Object(ObjectRef::new(Kind::Deployment, "git", "registry"));
        bench.seen_for(TRAP, &registry, Duration::from_secs(secs));
        bench
    }

    fn told(bench: &Bench) -> Vec<String> {
        plan(&bench.view()).iter().map(|action| action.order.to_string()).collect()
    }

    #[test]
    fn the_first_layer_that_misses_something_is_made_whole() {
        assert!(told(&bench(179)).is_empty());
        let all = ["make ConfigMap git/registry, which is absent", "make Service git/registry, which is absent"];
        let last = "make Deployment git/registry, which is absent";
        assert_eq!(told(&bench(180)), [all[0], all[1], last]);
        let mut there = bench(180);
        there.endpoints("git", "registry", 0, &[]);
        assert_eq!(told(&there), [all[0], last], "a Service that is there is left alone");
    }

    #[test]
    fn a_namespace_comes_before_what_is_in_it() {
        let mut bench = bench(180);
        let namespace = Manifest::of(ObjectRef::new(Kind::Namespace, "", "git"), serde_json::json!({"metadata": {}})).unwrap();
        let cache = std::sync::Arc::make_mut(&mut bench.spec.bootstrap.cache);
        cache.layers[0].objects.insert(0, namespace);
        assert_eq!(told(&bench), ["make Namespace git, which is absent"]);
    }

    #[test]
    fn nothing_is_made_that_would_begin_empty_or_that_flux_can_make() {
        let mut empty = bench(180);
        empty.storage(|storage| storage.claims.clear());
        empty.judged(GateId::Foundation, foundation::evaluate);
        assert!(told(&empty).is_empty());
        let mut fetched = bench(180);
        fetched.change_source(|source| source.reconcile.ready = Tri::True);
        fetched.judged(GateId::Foundation, foundation::evaluate);
        assert!(told(&fetched).is_empty());
    }
}
