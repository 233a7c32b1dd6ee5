//! Gate `kustomizations`: required Kustomizations and HelmReleases are ready at the source's revision, reconciled since the
//! cluster came up, none suspended by mistake; required namespaces exist. Sources beside the main one are judged here, for
//! only what comes from them needs them; one that a person suspended or that failed before the outage is left as it is.
//!
//! What was not ready before the outage is reported and not waited for, unless the config requires it by name.

pub(crate) mod helm;

use std::collections::BTreeMap;

use super::dns_cni;
use super::flux_source::{self, believable, proofs_from, said};
use crate::engine::view::View;
use crate::name::{Kind, ObjectRef, Subject};
use crate::observation::{FluxState, KustomizationState, Reconcile, SourceState, Tri};
use crate::port::clean;
use crate::remedy::immutable_job;
use crate::verdict::{BlockerKind, GateId, Judgement, Reason, Trap, Verdict};

pub(crate) fn evaluate(view: &View<'_>) -> Judgement {
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
    dns_cni::blame(view, &mut judgement, |_| true);
    judgement
}

fn judge_all(view: &View<'_>, flux: &FluxState, judgement: &mut Judgement) {
    let required = &view.spec.flux.required;
    // What is required has a verdict: this one, unless it is there.
    for object in required {
        let text = format!("{object} does not exist");
        let verdict = Verdict::waiting(Reason::KustomizationAbsent, text, format!("find out what should create {object}"));
        judgement.set(Subject::Object(object.clone()), verdict);
    }
    let mut sources: BTreeMap<&ObjectRef, &SourceState> = BTreeMap::new();
    for found in &flux.kustomizations {
        if found.reconcile.suspended && found.suspend_stamp.is_none() {
            judgement.notes.push(format!("{} is suspended by someone else; left as it is", found.object));
        }
        if !(required.is_empty() || required.contains(&found.object)) {
            continue;
        }
        match known_failure(view, &found.object, judge(view, flux, found)) {
            Ok(verdict) => judgement.set(Subject::Object(found.object.clone()), verdict),
            Err(note) => judgement.notes.push(note),
        }
        let other = flux.sources.iter().find(|source| source.object == found.source && source.object != view.spec.flux.source);
        sources.extend(other.map(|source| (&source.object, source)));
    }
    for source in sources.into_values() {
        if flux_source::is_left(view, source) {
            judgement.notes.push(format!("{} is suspended by someone else; left as it is", source.object));
        }
        match known_failure(view, &source.object, flux_source::judge(view, source)) {
            Ok(verdict) => judgement.set(Subject::Object(source.object.clone()), verdict),
            Err(note) => judgement.notes.push(note),
        }
    }
    helm::judge_all(view, flux, judgement);
}

/// What is not ready and was not before the outage either is only a note. What Ananke can give back or repair is more.
fn known_failure(view: &View<'_>, object: &ObjectRef, verdict: Verdict) -> Result<Verdict, String> {
    let Verdict::Hold(blocker) = &verdict else { return Ok(verdict) };
    let ours = matches!(blocker.kind, BlockerKind::Repairable(_)) || view.spec.flux.required.contains(object);
    match view.baseline().filter(|baseline| !ours && baseline.flux_failing.contains(object)) {
        Some(baseline) => {
            let (text, day) = (&blocker.text, baseline.day());
            Err(format!("{text}; it was not ready on {day}, before the outage: not waited for"))
        }
        None => Ok(verdict),
    }
}

/// The verdict on one Kustomization.
pub(crate) fn judge(view: &View<'_>, flux: &FluxState, found: &KustomizationState) -> Verdict {
    let object = &found.object;
    if found.reconcile.suspended {
        return suspended(view, object, found.suspend_stamp.as_deref());
    }
    if let Some(verdict) = waits_for_source(view, flux, found) {
        return verdict;
    }
    if let Some(parent) = found.depends_on.iter().find(|parent| !ready(view, flux, parent)) {
        let text = format!("{object} waits for {parent}");
        // A parent that does not exist has no verdict of its own to follow.
        return match flux.kustomizations.iter().any(|found| found.object == *parent) {
            true => Verdict::follows(Reason::DependencyNotReady, Subject::Object(parent.clone()), text),
            false => Verdict::waiting(Reason::DependencyNotReady, text, look(object)),
        };
    }
    own(view, flux, found)
}

/// The gate of the main source keeps this one closed while that can still pass: of it, only a person's job is told here.
fn waits_for_source(view: &View<'_>, flux: &FluxState, found: &KustomizationState) -> Option<Verdict> {
    let (object, needed) = (&found.object, &found.source);
    let text = || format!("{object} waits for {needed}");
    let main = *needed == view.spec.flux.source;
    let Some(source) = flux.sources.iter().find(|source| source.object == *needed) else {
        // The name of a kind that is not known here has its kind in it.
        let known = !main && !needed.name.contains('/');
        let instruction = || format!("find out what should create {needed}, or what {object} should come from");
        return known.then(|| Verdict::waiting(Reason::SourceAbsent, format!("{}, which does not exist", text()), instruction()));
    };
    let (reason, kind) = flux_source::why_held(view, source)?;
    let told = !main || kind == BlockerKind::Person || lost(view, needed);
    told.then(|| Verdict::follows(reason, Subject::Object(needed.clone()), text()))
}

/// The gate of the main source has left it to a person, be it for what it was recognised as.
fn lost(view: &View<'_>, source: &ObjectRef) -> bool {
    let gate = view.gate(GateId::FluxSource);
    let verdict = gate.and_then(|gate| gate.judgement.subjects.get(&Subject::Object(source.clone())));
    matches!(verdict, Some(Verdict::Hold(blocker)) if blocker.kind == BlockerKind::Person)
}

/// What a Kustomization says of itself, its parents left out: Flux, too, asks its direct parents only.
fn own(view: &View<'_>, flux: &FluxState, found: &KustomizationState) -> Verdict {
    let (object, state) = (&found.object, &found.reconcile);
    match standing(view, flux, found) {
        Standing::Renewed => Verdict::pass("was ready, and is reconciled again"),
        Standing::Proved => Verdict::pass(format!("ready at {}", found.applied_revision.as_deref().unwrap_or("its revision"))),
        Standing::NotReady => immutable_job::judge(view, object, state).unwrap_or_else(|| {
            let text = format!("{object} is not ready: {}", said(state));
            match stuck_workload(view, found).or_else(|| stuck_release(view, flux, found)) {
                Some(cause) => Verdict::follows(Reason::KustomizationNotReady, cause, text),
                None => Verdict::waiting(Reason::KustomizationNotReady, text, look(object)),
            }
        }),
        Standing::Behind(revision) => {
            let applied = found.applied_revision.as_deref().unwrap_or("nothing");
            let text = format!("{object} has applied {applied}, the source is at {revision}");
            Verdict::waiting(Reason::RevisionBehind, text, look(object))
        }
        Standing::NotProved => Verdict::repairable(
            Reason::NotProvedThisBoot,
            Trap::FluxDependencyChainSlow,
            format!("{object} says Ready, but was not reconciled since the cluster came up"),
            look(object),
        ),
    }
}

/// Where a Kustomization stands by its own word. Each that depends on it asks, at every judgement.
#[derive(Clone, Copy)]
enum Standing<'a> {
    Renewed,
    Proved,
    NotReady,
    /// The source is at this revision.
    Behind(&'a str),
    NotProved,
}

fn standing<'a>(view: &View<'_>, flux: &'a FluxState, found: &KustomizationState) -> Standing<'a> {
    let source = flux.sources.iter().find(|source| source.object == found.source);
    let state = &found.reconcile;
    if is_renewed(view, found, source) {
        return Standing::Renewed;
    }
    if state.ready != Tri::True || state.observed_generation != state.generation {
        return Standing::NotReady;
    }
    match source.and_then(|source| source.revision.as_deref()) {
        Some(revision) if found.applied_revision.as_deref() != Some(revision) => Standing::Behind(revision),
        Some(_) | None if believable(view, state) => Standing::Proved,
        Some(_) | None => Standing::NotProved,
    }
}

fn look(object: &ObjectRef) -> String {
    format!("look at `kubectl describe kustomization {} -n {}`", object.name, object.namespace)
}

/// Flux reconciles at every interval, and says Ready=Unknown meanwhile, and DependencyNotReady of what comes after it. What was
/// ready at this very revision still is, until Flux says otherwise: it gives up by itself after the Kustomization's timeout. A
/// first look has Flux's word for it alone, which counts where it is of this life of the cluster.
fn is_renewed(view: &View<'_>, found: &KustomizationState, source: Option<&SourceState>) -> bool {
    let state = &found.reconcile;
    let same = source.and_then(|source| source.revision.as_ref()) == found.applied_revision.as_ref();
    let again = state.ready == Tri::Unknown || state.ready == Tri::False && state.reason.as_ref() == "DependencyNotReady";
    let renewed = again && state.observed_generation == state.generation && same;
    if !(renewed && believable(view, state)) {
        return false;
    }
    let subject = Subject::Object(found.object.clone());
    let was = view.gate(GateId::Kustomizations).and_then(|gate| gate.judgement.subjects.get(&subject));
    found.succeeded_at.is_some_and(|at| at >= proofs_from(view)) || was.is_some_and(Verdict::is_pass)
}

/// A workload of this Kustomization that has not converged: its health check waits for it.
fn stuck_workload(view: &View<'_>, found: &KustomizationState) -> Option<Subject> {
    let workloads = view.gate(GateId::Workloads)?;
    let mut subjects = found.workloads.iter().map(|object| Subject::Object(object.clone()));
    subjects.find(|subject| workloads.judgement.subjects.get(subject).is_some_and(|verdict| !verdict.is_pass()))
}

/// A HelmRelease of this Kustomization that is not ready: its health check waits for it.
fn stuck_release(view: &View<'_>, flux: &FluxState, found: &KustomizationState) -> Option<Subject> {
    let mut releases = flux.helm_releases.iter().filter(|release| found.applies.contains(&release.object));
    releases.find(|release| !helm::judge(view, flux, release).is_pass()).map(|release| Subject::Object(release.object.clone()))
}

fn suspended(view: &View<'_>, object: &ObjectRef, stamp: Option<&str>) -> Verdict {
    let resume = format!("flux resume {} {} -n {}", object.kind.to_string().to_lowercase(), object.name, object.namespace);
    match stamp {
        Some(stamp) => Verdict::repairable(
            Reason::SuspendedByAnanke,
            Trap::FluxSuspendedLooksReady,
            format!("{object} is suspended by Ananke ({})", clean(stamp, 80)),
            format!("run `{resume}`"),
        ),
        None if view.spec.flux.required.contains(object) => Verdict::person(
            Reason::Suspended,
            format!("{object} is required, and suspended by someone else"),
            format!("find out who suspended {object}, then `{resume}`"),
        ),
        None => Verdict::pass("suspended by someone else; left as it is"),
    }
}

/// Whether what depends on this Kustomization may go on.
pub(crate) fn ready(view: &View<'_>, flux: &FluxState, object: &ObjectRef) -> bool {
    let found = flux.kustomizations.iter().find(|found| found.object == *object);
    found.is_some_and(|found| {
        let proved = || matches!(standing(view, flux, found), Standing::Renewed | Standing::Proved);
        left_ready(&found.reconcile, found.suspend_stamp.as_deref()).unwrap_or_else(proved)
    })
}

/// Whether what depends on an object that somebody else suspended may go on; none where nobody did. It is not reconciled, and
/// so proves nothing in this life of the cluster: Flux's own rule is what is left. That it is behind the source, Flux says of
/// what depends on it.
fn left_ready(state: &Reconcile, stamp: Option<&str>) -> Option<bool> {
    let left = state.suspended && stamp.is_none();
    left.then(|| state.ready == Tri::True && state.observed_generation == state.generation)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::fact::Fact;
    use crate::gate::testing::Bench;
    use crate::name::Moment;
    use crate::remedy::{Remedy, STARTUP};

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
    fn what_was_ready_stays_so_while_flux_reconciles_it_again() {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.change_kustomization("core", |k| k.reconcile.ready = Tri::Unknown);
        let waits = "Kustomization flux-system/apps: hold dependency-not-ready follows Kustomization flux-system/core\n\
             Kustomization flux-system/core: hold kustomization-not-ready waiting";
        bench.check(evaluate, waits);
        bench.change_kustomization("core", |k| k.reconcile.ready = Tri::True);
        bench.judged(GateId::Kustomizations, evaluate);
        bench.change_kustomization("core", |k| k.reconcile.ready = Tri::Unknown);
        bench.check(evaluate, "Kustomization flux-system/apps: pass\nKustomization flux-system/core: pass");
        // A new revision or spec has not been ready yet, and what has failed is not ready.
        bench.change_kustomization("core", |k| k.reconcile.generation += 1);
        bench.check(evaluate, waits);
        bench.change_kustomization("core", |k| {
            (k.reconcile.observed_generation, k.reconcile.ready) = (k.reconcile.generation, Tri::False)
        });
        bench.check(evaluate, waits);
    }

    #[test]
    fn a_first_look_takes_fluxs_word_for_what_is_reconciled_again() {
        let mut bench = Bench::new(1);
        bench.all_up();
        let at = Some(bench.now);
        bench.change_kustomization("core", |k| (k.reconcile.ready, k.succeeded_at) = (Tri::Unknown, at));
        let dependent = |k: &mut KustomizationState| {
            (k.reconcile.ready, k.reconcile.reason, k.succeeded_at) = (Tri::False, "DependencyNotReady".into(), at)
        };
        bench.change_kustomization("apps", dependent);
        bench.check(evaluate, "Kustomization flux-system/apps: pass\nKustomization flux-system/core: pass");
        let waits = "Kustomization flux-system/apps: hold dependency-not-ready follows Kustomization flux-system/core\n\
             Kustomization flux-system/core: hold kustomization-not-ready waiting";
        bench.change_kustomization("core", |k| k.succeeded_at = Moment::parse("2026-03-14T01:59:59Z").ok());
        bench.check(evaluate, waits);
        bench.change_kustomization("core", |k| (k.succeeded_at, k.applied_revision) = (at, Some("main@sha1:0ther".into())));
        bench.check(evaluate, waits);
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
    fn what_depends_on_one_that_a_person_suspended_goes_by_its_last_word() {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.change_kustomization("core", |k| {
            k.reconcile.suspended = true;
            k.reconcile.handled_at = Some(Moment::from_millis(0).to_string().into());
            k.applied_revision = Some("main@sha1:0".into());
        });
        let note = "note: Kustomization flux-system/core is suspended by someone else; left as it is";
        let all = format!("Kustomization flux-system/apps: pass\nKustomization flux-system/core: pass\n{note}");
        bench.check(evaluate, &all);
        let waits = format!(
            "Kustomization flux-system/apps: hold dependency-not-ready follows Kustomization flux-system/core\n\
             Kustomization flux-system/core: pass\n{note}"
        );
        bench.change_kustomization("core", |k| k.reconcile.generation += 1);
        bench.check(evaluate, &waits);
        bench.change_kustomization("core", |k| {
            (k.reconcile.observed_generation, k.reconcile.ready) = (k.reconcile.generation, Tri::False)
        });
        bench.check(evaluate, &waits);
        bench.change_kustomization("core", |k| {
            (k.reconcile.ready, k.suspend_stamp) = (Tri::True, Some("shutdown-1".into()));
        });
        bench.check(
            evaluate,
            "Kustomization flux-system/apps: hold dependency-not-ready follows Kustomization flux-system/core\n\
             Kustomization flux-system/core: hold suspended-by-ananke repairable",
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
        bench.obs.namespaces = Fact::known(Arc::new(vec!["media".into()]), bench.now);
        bench.check(evaluate, "Namespace media: pass");
    }

    #[test]
    fn what_is_required_must_exist_and_nobody_may_have_suspended_it() {
        let mut bench = Bench::new(1);
        bench.all_up();
        let flux = |name| ObjectRef::new(Kind::Kustomization, "flux-system", name);
        bench.spec.flux.required = vec![flux("apps"), flux("gone")];
        let gone = "Kustomization flux-system/gone: hold kustomization-absent waiting";
        bench.check(evaluate, &format!("Kustomization flux-system/apps: pass\n{gone}"));
        bench.change_kustomization("apps", |it| it.reconcile.suspended = true);
        let note = "note: Kustomization flux-system/apps is suspended by someone else; left as it is";
        bench.check(evaluate, &format!("Kustomization flux-system/apps: hold suspended person\n{gone}\n{note}"));
    }

    #[test]
    fn one_that_waits_for_a_parent_that_does_not_exist_has_nothing_to_follow() {
        let mut bench = Bench::new(1);
        bench.all_up();
        let gone = ObjectRef::new(Kind::Kustomization, "flux-system", "gone");
        bench.change_kustomization("apps", |it| it.depends_on = vec![gone]);
        bench.check(
            evaluate,
            "Kustomization flux-system/apps: hold dependency-not-ready waiting\nKustomization flux-system/core: pass",
        );
    }

    #[test]
    fn a_main_source_that_may_still_come_is_its_own_gates_business() {
        let mut bench = Bench::new(1);
        bench.all_up();
        let all = "Kustomization flux-system/apps: pass\nKustomization flux-system/core: pass";
        bench.change_source(|source| source.reconcile.ready = Tri::False);
        bench.check(evaluate, all);
        bench.change_flux(|flux| flux.sources.clear());
        bench.check(evaluate, all);
    }

    #[test]
    fn one_that_is_not_ready_follows_its_own_workload_while_that_has_not_converged() {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.workload(Kind::Deployment, "web", &[(1, false)]);
        let web = ObjectRef::new(Kind::Deployment, "apps", "web");
        bench.change_kustomization("apps", |it| (it.reconcile.ready, it.workloads) = (Tri::False, vec![web]));
        let apps = "Kustomization flux-system/apps: hold kustomization-not-ready";
        let core = "Kustomization flux-system/core: pass";
        bench.judged(GateId::Workloads, crate::gate::workloads::evaluate);
        bench.check(evaluate, &format!("{apps} follows Deployment apps/web\n{core}"));
        bench.change_workload("web", |it| it.ready = 1);
        bench.pod("web-0", |pod| pod.ready = true);
        bench.judged(GateId::Workloads, crate::gate::workloads::evaluate);
        bench.check(evaluate, &format!("{apps} waiting\n{core}"));
    }

    #[test]
    fn all_that_comes_from_a_source_that_was_left_to_a_person_follows_it() {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.change_source(|source| source.reconcile.ready = Tri::False);
        bench.change_kustomization("core", |it| it.reconcile.ready = Tri::False);
        bench.check(
            evaluate,
            "Kustomization flux-system/apps: hold dependency-not-ready follows Kustomization flux-system/core\n\
             Kustomization flux-system/core: hold kustomization-not-ready waiting",
        );
        let source = bench.spec.flux.source.clone();
        let denied = Verdict::person(Reason::SourceNotReady, "its key is refused", "renew it");
        let judgement = Judgement::of(Subject::Object(source.clone()), denied);
        bench.stands(GateId::FluxSource, crate::report::GateStatus::Manual, judgement);
        let follows = format!("hold source-not-ready follows {source}");
        bench.check(evaluate, &format!("Kustomization flux-system/apps: {follows}\nKustomization flux-system/core: {follows}"));
    }

    #[test]
    fn another_source_is_judged_with_what_comes_from_it_and_holds_nothing_else() {
        let mut bench = Bench::new(1);
        bench.all_up();
        let charts = ObjectRef::new(Kind::OCIRepository, "flux-system", "charts");
        bench.change_kustomization("apps", |it| it.source = charts.clone());
        bench.check(evaluate, "Kustomization flux-system/apps: hold source-absent waiting\nKustomization flux-system/core: pass");
        bench.change_flux(|flux| {
            let mut source = flux.sources[0].clone();
            (source.object, source.url) = (charts, "oci://harbor.example/apps".into());
            (source.branch, source.pinned) = (None, Some("tag=latest".into()));
            (source.reconcile.ready, source.revision) = (Tri::False, Some("latest@sha256:2".into()));
            let unused = SourceState { object: ObjectRef::new(Kind::OCIRepository, "flux-system", "unused"), ..source.clone() };
            flux.sources.extend([unused, source]);
        });
        bench.change_kustomization("apps", |it| it.applied_revision = Some("latest@sha256:2".into()));
        bench.check(
            evaluate,
            "Kustomization flux-system/apps: hold source-not-ready follows OCIRepository flux-system/charts\n\
             Kustomization flux-system/core: pass\n\
             OCIRepository flux-system/charts: hold source-not-ready waiting",
        );
        bench.change_flux(|flux| flux.sources[2].reconcile.ready = Tri::True);
        bench.check(
            evaluate,
            "Kustomization flux-system/apps: pass\nKustomization flux-system/core: pass\nOCIRepository flux-system/charts: pass",
        );
    }

    /// Both Kustomizations come from a source beside the main one.
    fn beside() -> Bench {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.change_flux(|flux| {
            let mut charts = flux.sources[0].clone();
            charts.object = ObjectRef::new(Kind::OCIRepository, "flux-system", "charts");
            for found in &mut flux.kustomizations {
                found.source = charts.object.clone();
            }
            flux.sources.push(charts);
        });
        bench
    }

    /// What Flux is asked to reconcile, and what is resumed.
    fn orders(bench: &Bench) -> Vec<String> {
        let is_it = |it: &&Remedy| matches!(it, Remedy::Of(Trap::FluxSuspendedLooksReady | Trap::FluxArtifactReadyLie, _));
        let remedies = STARTUP.iter().filter(is_it).flat_map(|remedy| remedy.plan(&bench.view()));
        remedies.map(|(_, action)| action.order.to_string()).collect()
    }

    const WAITS: &str = "Kustomization flux-system/apps: hold {} follows OCIRepository flux-system/charts\n\
         Kustomization flux-system/core: hold {} follows OCIRepository flux-system/charts\n\
         OCIRepository flux-system/charts: hold {}";
    const BOTH: &str = "Kustomization flux-system/apps: pass\nKustomization flux-system/core: pass";

    #[test]
    fn a_source_beside_the_main_one_that_a_person_suspended_is_left_with_its_artifact() {
        let mut bench = beside();
        bench.change_flux(|flux| {
            let state = &mut flux.sources[1].reconcile;
            (state.suspended, state.handled_at) = (true, None);
        });
        let note = "note: OCIRepository flux-system/charts is suspended by someone else; left as it is";
        bench.check(evaluate, &format!("{BOTH}\nOCIRepository flux-system/charts: pass\n{note}"));
        let long_ago = Some(Moment::from_millis(0).to_string().into());
        bench.change_kustomization("core", |it| it.reconcile.handled_at = long_ago);
        assert_eq!(orders(&bench), ["ask Flux to reconcile Kustomization flux-system/core"]);
        bench.change_flux(|flux| flux.sources[1].revision = None);
        bench.check(evaluate, &WAITS.replace("{} f", "suspended f").replace("{}", "suspended person"));
    }

    #[test]
    fn a_source_beside_the_main_one_that_failed_before_the_outage_is_a_note() {
        let mut bench = beside();
        bench.change_flux(|flux| flux.sources[1].reconcile.ready = Tri::False);
        let waits = WAITS.replace("{} f", "source-not-ready f").replace("{}", "source-not-ready waiting");
        bench.check(evaluate, &waits);
        let charts = ObjectRef::new(Kind::OCIRepository, "flux-system", "charts");
        let mut known = crate::baseline::Baseline::new(Moment::from_millis(0), Vec::new());
        known.flux_failing.insert(charts.clone());
        bench.obs.baseline = crate::fact::Fact::known(Some(known), bench.now);
        let note = "note: OCIRepository flux-system/charts is not ready: ReconciliationSucceeded; \
             it was not ready on 1970-01-01, before the outage: not waited for";
        bench.check(evaluate, &format!("{BOTH}\n{note}"));
        let both = ["apps", "core"].map(|name| ObjectRef::new(Kind::Kustomization, "flux-system", name));
        bench.spec.flux.required = both.into_iter().chain([charts]).collect();
        bench.check(evaluate, &waits);
        bench.spec.flux.required.clear();
        bench.change_kustomization("apps", |it| (it.reconcile.suspended, it.suspend_stamp) = (true, Some("shutdown-1".into())));
        assert!(orders(&bench).contains(&"resume Kustomization flux-system/apps".to_owned()), "{:?}", orders(&bench));
    }

    #[test]
    fn what_was_not_ready_before_the_outage_is_a_note_and_what_is_ours_is_still_given_back() {
        let mut bench = Bench::new(1);
        bench.all_up();
        let apps = ObjectRef::new(Kind::Kustomization, "flux-system", "apps");
        let mut known = crate::baseline::Baseline::new(Moment::from_millis(0), Vec::new());
        known.flux_failing.insert(apps);
        bench.obs.baseline = crate::fact::Fact::known(Some(known), bench.now);
        bench.change_kustomization("apps", |it| (it.reconcile.ready, it.reconcile.reason) = (Tri::False, "BuildFailed".into()));
        bench.check(
            evaluate,
            "Kustomization flux-system/core: pass\nnote: Kustomization flux-system/apps is not ready: BuildFailed; \
             it was not ready on 1970-01-01, before the outage: not waited for",
        );
        bench.change_kustomization("apps", |it| (it.reconcile.suspended, it.suspend_stamp) = (true, Some("shutdown-1".into())));
        bench.check(
            evaluate,
            "Kustomization flux-system/apps: hold suspended-by-ananke repairable\nKustomization flux-system/core: pass",
        );
    }
}
