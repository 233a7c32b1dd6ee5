//! Gate `flux-source`: the artifact is of the expected URL and branch, and was fetched in this life of the cluster.
//!
//! A source says Ready from before the outage while its artifact is gone; only a request that it handled since, or an
//! artifact that is younger, counts.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::view::{Trust, View};
use crate::name::{Moment, Subject};
use crate::observation::{Reconcile, SourceState, Tri};
use crate::verdict::{Judgement, Reason, Trap, Verdict};

pub(super) fn evaluate(view: &View<'_>) -> Judgement {
    let source = &view.spec.flux.source;
    let subject = Subject::Object(source.clone());
    match view.flux() {
        Err(gap) => Judgement::of(subject, Verdict::unknown(gap, "look at the API server: it does not list Flux's sources")),
        Ok(None) => Judgement::not_applicable("the cluster serves no Flux API"),
        Ok(Some(flux)) => {
            let found = flux.sources.iter().find(|found| found.object == *source);
            let verdict = match found {
                Some(found) => judge(view, found),
                None => Verdict::waiting(
                    Reason::SourceAbsent,
                    format!("{source} does not exist"),
                    format!("bootstrap Flux again, or correct flux_source in the config: there is no {source}"),
                ),
            };
            Judgement::of(subject, verdict)
        }
    }
}

/// The verdict on one source; the Kustomizations that come from it ask too.
pub(crate) fn judge(view: &View<'_>, source: &SourceState) -> Verdict {
    if let Some(verdict) = wrong_place(view, source) {
        return verdict;
    }
    let object = &source.object;
    if source.reconcile.suspended {
        return Verdict::person(
            Reason::Suspended,
            format!("{object} is suspended, so nothing is fetched"),
            format!("find out who suspended {object}, then `flux resume source git {} -n {}`", object.name, object.namespace),
        );
    }
    let state = &source.reconcile;
    if state.ready != Tri::True || state.observed_generation != state.generation || source.revision.is_none() {
        return Verdict::waiting(
            Reason::SourceNotReady,
            format!("{object} is not ready: {}", said(state)),
            format!("look at `kubectl describe gitrepository {} -n {}`", object.name, object.namespace),
        );
    }
    if !proved(view, source) {
        return Verdict::repairable(
            Reason::NotProvedThisBoot,
            Trap::FluxArtifactReadyLie,
            format!("{object} says Ready, but its artifact was not fetched since the cluster came up"),
            format!("look at the logs of source-controller: {object} does not handle a reconcile request"),
        );
    }
    Verdict::pass(format!("{} fetched since the cluster came up", source.revision.as_deref().unwrap_or_default()))
}

/// URL and branch: what is there, and what should be.
fn wrong_place(view: &View<'_>, source: &SourceState) -> Option<Verdict> {
    let object = &source.object;
    if let Some(expected) = &view.spec.flux.expected_url
        && *expected != source.url
    {
        return Some(Verdict::person(
            Reason::SourceUrlDiffers,
            format!("{object} points at {}, expected is {expected}", source.url),
            format!("set spec.url of {object} to {expected}, or correct expected_flux_source_url"),
        ));
    }
    let wanted = wanted_branch(view)?;
    if let Some(pin) = &source.pinned {
        return Some(Verdict::person(
            Reason::BranchPinned,
            format!("{object} is pinned by spec.ref.{pin}, which outranks branch {wanted}"),
            format!("remove spec.ref.{pin} from {object} if branch {wanted} shall be followed"),
        ));
    }
    let branch = source.branch.as_deref().unwrap_or("master");
    if branch == wanted.as_ref() {
        return None;
    }
    let text = format!("{object} is on branch {branch}, expected is {wanted}");
    Some(if view.spec.flux.force_branch.is_some() {
        Verdict::repairable(
            Reason::BranchDiffers,
            Trap::FluxWrongBranch,
            text,
            format!("set spec.ref.branch of {object} to {wanted}"),
        )
    } else {
        let instruction = format!("run startup again with --force-flux-branch {wanted}, or set expected_flux_branch: {branch}");
        Verdict::person(Reason::BranchDiffers, text, instruction)
    })
}

pub(crate) fn wanted_branch<'a>(view: &View<'a>) -> Option<&'a Arc<str>> {
    view.spec.flux.force_branch.as_ref().or(view.spec.flux.expected_branch.as_ref())
}

fn proved(view: &View<'_>, source: &SourceState) -> bool {
    believable(view, &source.reconcile) || source.artifact_updated.is_some_and(|at| at >= view.floor)
}

/// A cluster that has been up for this long has reconciled everything by itself, if its controllers run at all.
const LONG_UP: Duration = Duration::from_secs(1800);

/// Whether what the object says was said in this life of the cluster. A single look cannot ask for proof, so it believes a
/// cluster that has been up for long.
pub(crate) fn believable(view: &View<'_>, state: &Reconcile) -> bool {
    let known = view.floor > Moment::from_millis(0);
    let long_up = view.trust == Trust::Stated && known && view.now.since(view.floor) >= LONG_UP;
    handled_since(state, view.floor) || long_up
}

/// Whether the controller handled a reconcile request that was made at or after `floor`.
fn handled_since(state: &Reconcile, floor: Moment) -> bool {
    state.handled_at.as_deref().and_then(|token| Moment::parse(token).ok()).is_some_and(|at| at >= floor)
}

/// Reason and message of the Ready condition.
pub(crate) fn said(state: &Reconcile) -> String {
    match (state.reason.is_empty(), state.message.is_empty()) {
        (true, true) => "it says nothing".to_owned(),
        (false, true) => state.reason.to_string(),
        (true, false) => crate::port::clean(&state.message, 160),
        (false, false) => format!("{}: {}", state.reason, crate::port::clean(&state.message, 160)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::Bench;

    const SOURCE: &str = "GitRepository flux-system/flux-system";

    #[test]
    fn an_artifact_from_before_the_outage_does_not_pass() {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.check(evaluate, &format!("{SOURCE}: pass"));
        bench.change_source(|source| {
            source.artifact_updated = Some(Moment::from_millis(0));
            source.reconcile.handled_at = Some("2020-01-01T00:00:00Z".into());
        });
        bench.check(evaluate, &format!("{SOURCE}: hold not-proved-this-boot repairable"));
    }

    #[test]
    fn another_branch_is_a_persons_choice_unless_one_is_forced() {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.change_source(|source| source.branch = Some("incident".into()));
        bench.check(evaluate, &format!("{SOURCE}: hold branch-differs person"));
        bench.spec.flux.force_branch = Some("main".into());
        bench.check(evaluate, &format!("{SOURCE}: hold branch-differs repairable"));
        bench.change_source(|source| source.pinned = Some("tag=v1".into()));
        bench.check(evaluate, &format!("{SOURCE}: hold branch-pinned person"));
    }

    #[test]
    fn another_url_a_suspension_and_an_absent_source_hold() {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.change_source(|source| source.reconcile.suspended = true);
        bench.check(evaluate, &format!("{SOURCE}: hold suspended person"));
        bench.change_source(|source| source.url = "ssh://elsewhere".into());
        bench.check(evaluate, &format!("{SOURCE}: hold source-url-differs person"));
        bench.change_flux(|flux| flux.sources.clear());
        bench.check(evaluate, &format!("{SOURCE}: hold source-absent waiting"));
    }
}
