//! Workloads that are kept outside of the cluster, because Flux needs them to fetch what would make them, and that the
//! cluster does not have.

use std::collections::BTreeSet;

use crate::bootstrap::{Layer, Manifest};
use crate::engine::view::View;
use crate::gate::flux_source;
use crate::name::{Kind, ObjectRef, Subject};
use crate::observation::WorkloadState;
use crate::verdict::{Reason, Trap, Verdict};

/// None are missed where Flux can fetch: what is absent then is absent in Git too, or on its way.
pub(super) fn judge(view: &View<'_>, workloads: &[WorkloadState]) -> Vec<(ObjectRef, Verdict)> {
    if is_fetched(view) {
        return Vec::new();
    }
    let mut found: Vec<(ObjectRef, Verdict)> = Vec::new();
    for layer in &view.spec.bootstrap.cache.layers {
        let before = found.first().map(|(object, _)| object.clone());
        for manifest in layer.absent(workloads) {
            found.push((manifest.object.clone(), absent(view, layer, manifest, before.as_ref())));
        }
    }
    found
}

fn is_fetched(view: &View<'_>) -> bool {
    let Ok(Some(flux)) = view.flux() else { return false };
    let source = flux.sources.iter().find(|source| source.object == view.spec.flux.source);
    source.is_some_and(|source| flux_source::why_held(view, source).is_none())
}

fn absent(view: &View<'_>, layer: &Layer, manifest: &Manifest, before: Option<&ObjectRef>) -> Verdict {
    let object = &manifest.object;
    let storage = match view.storage() {
        Ok(storage) => storage,
        Err(gap) => return Verdict::unknown(gap, "look at the API server: it does not list claims"),
    };
    let there: BTreeSet<&str> = (storage.claims.iter().map(|claim| &claim.object))
        .filter(|claim| claim.namespace == object.namespace)
        .map(|claim| claim.name.as_ref())
        .collect();
    let gone: Vec<String> = manifest
        .claims()
        .into_iter()
        .filter(|claim| !there.contains(claim.as_ref()))
        .map(|claim| ObjectRef::new(Kind::PersistentVolumeClaim, &object.namespace, &claim).to_string())
        .collect();
    let made_by = &layer.kustomization;
    if !gone.is_empty() {
        let gone = gone.join(", ");
        return Verdict::person(
            Reason::ClaimNotBound,
            format!("{object} does not exist, nor does {gone}: made again, it would begin with nothing"),
            format!("restore {gone} from a backup, or make it empty if that is what you want; {object} follows by itself"),
        );
    }
    let text = format!("{object} does not exist, and Flux cannot fetch {made_by}, which makes it");
    match before {
        Some(before) => Verdict::follows(Reason::WorkloadAbsent, Subject::Object(before.clone()), text),
        None => Verdict::repairable(
            Reason::WorkloadAbsent,
            Trap::FluxSourceIsInClusterGit,
            text,
            format!("make {object} as {made_by} had it, or give Flux another source to fetch it from"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use crate::gate::foundation::evaluate;
    use crate::gate::testing::Bench;
    use crate::observation::Tri;

    fn bench() -> Bench {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.keep("registry", "images");
        bench.keep("gitea", "data");
        bench.change_source(|source| source.reconcile.ready = Tri::False);
        bench
    }

    #[test]
    fn what_flux_cannot_fetch_is_missed_layer_by_layer() {
        let mut bench = bench();
        bench.check(
            evaluate,
            "Deployment git/gitea: hold workload-absent follows Deployment git/registry\n\
             Deployment git/registry: hold workload-absent repairable",
        );
        bench.change_source(|source| source.reconcile.ready = Tri::True);
        bench.check(evaluate, "not applicable: outside of this cluster: git.example (the Flux source)");
    }

    #[test]
    fn what_would_begin_with_nothing_is_a_persons() {
        let mut bench = bench();
        bench.storage(|storage| storage.claims.retain(|claim| &*claim.object.name == "data"));
        bench.check(
            evaluate,
            "Deployment git/gitea: hold workload-absent follows Deployment git/registry\n\
             Deployment git/registry: hold claim-not-bound person",
        );
    }
}
