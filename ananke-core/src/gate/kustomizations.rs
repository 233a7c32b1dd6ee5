//! Gate `kustomizations`: required Kustomizations are ready at the source's revision, reconciled since the cluster came
//! up, none suspended by mistake; required namespaces exist.

use super::flux_source::{self, believable, said};
use crate::engine::view::View;
use crate::name::{Kind, ObjectRef, Subject};
use crate::observation::{FluxState, KustomizationState, Tri};
use crate::port::clean;
use crate::verdict::{BlockerKind, GateId, Judgement, Reason, Trap, Verdict};

pub(super) fn evaluate(view: &View<'_>) -> Judgement {
    let mut judgement = Judgement::default();
    match view.flux() {
        Err(gap) => {
            judgement.set(Subject::Cluster, Verdict::unknown(gap, "look at the API server: it does not list Kustomizations"));
        }
        Ok(None) => {
            if view.spec.required_namespaces.is_empty() {
                return Judgement::not_applicable("the cluster serves no Flux API");
            }
            judgement.notes.push("the cluster serves no Flux API".to_owned());
        }
        Ok(Some(flux)) => judge_all(view, flux, &mut judgement),
    }
    for namespace in &view.spec.required_namespaces {
        let object = ObjectRef::new(Kind::Namespace, "", namespace);
        let verdict = match view.namespaces() {
            Err(gap) => Verdict::unknown(gap, "look at the API server: it does not list namespaces"),
            Ok(found) if found.contains(namespace) => Verdict::pass("exists"),
            Ok(_) => Verdict::waiting(
                Reason::NamespaceAbsent,
                format!("{object} does not exist"),
                format!("find the Kustomization that should create {object}"),
            ),
        };
        judgement.set(Subject::Object(object), verdict);
    }
    judgement
}

fn judge_all(view: &View<'_>, flux: &FluxState, judgement: &mut Judgement) {
    let required = &view.spec.flux.required;
    for object in required {
        if !flux.kustomizations.iter().any(|found| found.object == *object) {
            let text = format!("{object} does not exist");
            let verdict = Verdict::waiting(Reason::KustomizationAbsent, text, format!("find out what should create {object}"));
            judgement.set(Subject::Object(object.clone()), verdict);
        }
    }
    for found in &flux.kustomizations {
        if found.reconcile.suspended && found.suspend_stamp.is_none() {
            judgement.notes.push(format!("{} is suspended by someone else; left as it is", found.object));
        }
        if required.is_empty() || required.contains(&found.object) {
            judgement.set(Subject::Object(found.object.clone()), judge(view, flux, found));
        }
    }
}

/// The verdict on one Kustomization.
pub(crate) fn judge(view: &View<'_>, flux: &FluxState, found: &KustomizationState) -> Verdict {
    let object = &found.object;
    let look = format!("look at `kubectl describe kustomization {} -n {}`", object.name, object.namespace);
    if found.reconcile.suspended {
        return suspended(view, found);
    }
    let source = flux.sources.iter().find(|source| source.object == found.source);
    if let Some(source) = source
        && let Verdict::Hold(blocker) = flux_source::judge(view, source)
        && blocker.kind == BlockerKind::Person
    {
        return Verdict::follows(
            blocker.reason,
            Subject::Object(source.object.clone()),
            format!("{object} waits for {}", source.object),
        );
    }
    if let Some(parent) = found.depends_on.iter().find(|parent| !ready(view, flux, parent)) {
        let text = format!("{object} waits for {parent}");
        // A parent that does not exist has no verdict of its own to follow.
        return match flux.kustomizations.iter().any(|found| found.object == *parent) {
            true => Verdict::follows(Reason::DependencyNotReady, Subject::Object(parent.clone()), text),
            false => Verdict::waiting(Reason::DependencyNotReady, text, look),
        };
    }
    own(view, flux, found)
}

/// What a Kustomization says of itself, its parents left out: Flux, too, asks its direct parents only.
fn own(view: &View<'_>, flux: &FluxState, found: &KustomizationState) -> Verdict {
    let object = &found.object;
    let look = format!("look at `kubectl describe kustomization {} -n {}`", object.name, object.namespace);
    let source = flux.sources.iter().find(|source| source.object == found.source);
    let state = &found.reconcile;
    if state.ready != Tri::True || state.observed_generation != state.generation {
        let text = format!("{object} is not ready: {}", said(state));
        return match stuck_workload(view, found) {
            Some(cause) => Verdict::follows(Reason::KustomizationNotReady, cause, text),
            None => Verdict::waiting(Reason::KustomizationNotReady, text, look),
        };
    }
    if let Some(revision) = source.and_then(|source| source.revision.as_deref())
        && found.applied_revision.as_deref() != Some(revision)
    {
        let applied = found.applied_revision.as_deref().unwrap_or("nothing");
        return Verdict::waiting(
            Reason::RevisionBehind,
            format!("{object} has applied {applied}, the source is at {revision}"),
            look,
        );
    }
    if !believable(view, state) {
        return Verdict::repairable(
            Reason::NotProvedThisBoot,
            Trap::FluxDependencyChainSlow,
            format!("{object} says Ready, but was not reconciled since the cluster came up"),
            look,
        );
    }
    Verdict::pass(format!("ready at {}", found.applied_revision.as_deref().unwrap_or("its revision")))
}

/// A workload of this Kustomization that has not converged: its health check waits for it.
fn stuck_workload(view: &View<'_>, found: &KustomizationState) -> Option<Subject> {
    let workloads = view.gates.get(&GateId::Workloads)?;
    let mut subjects = found.workloads.iter().map(|object| Subject::Object(object.clone()));
    subjects.find(|subject| workloads.judgement.subjects.get(subject).is_some_and(|verdict| !verdict.is_pass()))
}

fn suspended(view: &View<'_>, found: &KustomizationState) -> Verdict {
    let object = &found.object;
    match &found.suspend_stamp {
        Some(stamp) => Verdict::repairable(
            Reason::SuspendedByAnanke,
            Trap::FluxSuspendedLooksReady,
            format!("{object} is suspended by Ananke ({})", clean(stamp, 80)),
            format!("run `flux resume kustomization {} -n {}`", object.name, object.namespace),
        ),
        None if view.spec.flux.required.contains(object) => Verdict::person(
            Reason::Suspended,
            format!("{object} is required, and suspended by someone else"),
            format!("find out who suspended {object}, then `flux resume kustomization {} -n {}`", object.name, object.namespace),
        ),
        None => Verdict::pass("suspended by someone else; left as it is"),
    }
}

/// Whether what depends on this Kustomization may go on.
pub(crate) fn ready(view: &View<'_>, flux: &FluxState, object: &ObjectRef) -> bool {
    flux.kustomizations.iter().find(|found| found.object == *object).is_some_and(|found| own(view, flux, found).is_pass())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::Bench;
    use crate::name::Moment;

    #[test]
    fn ready_from_before_the_outage_does_not_pass_and_children_wait_for_parents() {
        let mut bench = Bench::new(1);
        bench.all_up();
        let all = "Kustomization flux-system/apps: pass\nKustomization flux-system/core: pass";
        bench.check(evaluate, all);
        bench.change_kustomization("core", |k| k.reconcile.handled_at = Some(Moment::from_millis(0).to_string().into()));
        bench.check(
            evaluate,
            "Kustomization flux-system/apps: hold dependency-not-ready follows Kustomization flux-system/core\n\
             Kustomization flux-system/core: hold not-proved-this-boot repairable",
        );
    }

    #[test]
    fn only_our_own_suspension_is_ours_to_lift() {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.change_kustomization("apps", |k| k.reconcile.suspended = true);
        bench.check(
            evaluate,
            "Kustomization flux-system/apps: pass\nKustomization flux-system/core: pass\n\
             note: Kustomization flux-system/apps is suspended by someone else; left as it is",
        );
        bench.change_kustomization("apps", |k| k.suspend_stamp = Some("shutdown-1".into()));
        bench.check(
            evaluate,
            "Kustomization flux-system/apps: hold suspended-by-ananke repairable\nKustomization flux-system/core: pass",
        );
    }

    #[test]
    fn a_source_that_needs_a_person_is_the_cause_of_all_that_comes_from_it() {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.change_source(|source| source.branch = Some("incident".into()));
        bench.check(
            evaluate,
            "Kustomization flux-system/apps: hold branch-differs follows GitRepository flux-system/flux-system\n\
             Kustomization flux-system/core: hold branch-differs follows GitRepository flux-system/flux-system",
        );
    }

    #[test]
    fn a_required_namespace_must_exist() {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.change_flux(|flux| flux.kustomizations.clear());
        bench.spec.required_namespaces = vec!["media".into()];
        bench.check(evaluate, "Namespace media: hold namespace-absent waiting");
    }
}
