//! Gate `flux-source`: the artifact is of the expected URL and branch, and was fetched in this life of the cluster.
//!
//! A source says Ready from before the outage while its artifact is gone; only a request that it handled since, or an
//! artifact that is younger, counts.

use std::sync::Arc;
use std::time::Duration;

use super::dns_cni;
use crate::engine::view::{Trust, View};
use crate::lease::CLOCK_TOLERANCE;
use crate::name::{Kind, Moment, Subject};
use crate::observation::{Reconcile, SourceState, Tri};
use crate::order::URL_ANNOTATION;
use crate::port::without_password;
use crate::trap;
use crate::verdict::{BlockerKind, Judgement, Reason, Trap, Verdict};

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
            let mut judgement = Judgement::of(subject, verdict);
            dns_cni::blame(view, &mut judgement, |_| true);
            judgement
        }
    }
}

/// The verdict on one source.
pub(crate) fn judge(view: &View<'_>, source: &SourceState) -> Verdict {
    if is_left(view, source) {
        return Verdict::pass("suspended by someone else; left as it is");
    }
    let fetched = || format!("{} fetched since the cluster came up", source.revision.as_deref().unwrap_or_default());
    held(view, source).unwrap_or_else(|| Verdict::pass(fetched()))
}

/// What holds a source, if anything does.
fn held(view: &View<'_>, source: &SourceState) -> Option<Verdict> {
    wrong_place(view, source).or_else(|| not_fetched(view, source).map(|why| why.verdict(view, source)))
}

/// Why it is held, for the Kustomizations that come from it: each asks, at every judgement. They make do with the artifact of
/// one that failed before the outage too.
pub(crate) fn why_held(view: &View<'_>, source: &SourceState) -> Option<(Reason, BlockerKind)> {
    match wrong_place(view, source) {
        Some(Verdict::Hold(blocker)) => Some((blocker.reason, blocker.kind)),
        Some(Verdict::Pass(_) | Verdict::Unknown(_)) | None => missed(view, source).map(|why| why.kind(view, source)),
    }
}

/// Whether what is applied from it is what Git has now, or its mirror.
pub(crate) fn is_fresh(view: &View<'_>, source: &SourceState) -> bool {
    let in_place = wrong_place(view, source).is_none_or(|verdict| verdict.trap() == Some(Trap::FluxSourceIsInClusterGit));
    in_place && missed(view, source).is_none()
}

/// Somebody suspended it who left it with an artifact: what comes from it goes on with that. Ananke suspends no sources. The main
/// one is not left, for recovery is what Git has.
pub(super) fn is_left(view: &View<'_>, source: &SourceState) -> bool {
    source.object != view.spec.flux.source && source.reconcile.suspended && source.revision.is_some()
}

/// It was not ready on the last healthy day either.
fn failed_before(view: &View<'_>, source: &SourceState) -> bool {
    let insisted = source.object == view.spec.flux.source || view.spec.flux.required.contains(&source.object);
    !insisted && view.baseline().is_some_and(|baseline| baseline.flux_failing.contains(&source.object))
}

/// Why what comes from it must wait.
fn missed(view: &View<'_>, source: &SourceState) -> Option<NotFetched> {
    let why = not_fetched(view, source)?;
    match why {
        NotFetched::Suspended | NotFetched::NotReady => (!failed_before(view, source)).then_some(why),
        NotFetched::NotProved => Some(why),
    }
}

/// Why a source's artifact is not what Git has now.
#[derive(Clone, Copy)]
enum NotFetched {
    Suspended,
    NotReady,
    NotProved,
}

fn not_fetched(view: &View<'_>, source: &SourceState) -> Option<NotFetched> {
    let state = &source.reconcile;
    if is_left(view, source) {
        None
    } else if state.suspended {
        Some(NotFetched::Suspended)
    } else if state.ready != Tri::True || state.observed_generation != state.generation || source.revision.is_none() {
        Some(NotFetched::NotReady)
    } else {
        (!proved(view, source)).then_some(NotFetched::NotProved)
    }
}

impl NotFetched {
    fn kind(self, view: &View<'_>, source: &SourceState) -> (Reason, BlockerKind) {
        let mirrored = source.object == view.spec.flux.source
            && view.spec.bootstrap.mirror.is_some()
            && source.reconcile.ready == Tri::False
            && !trap::is_refused(&source.reconcile.message);
        match self {
            Self::Suspended => (Reason::Suspended, BlockerKind::Person),
            Self::NotReady if mirrored => (Reason::SourceNotReady, BlockerKind::Repairable(Trap::FluxSourceIsInClusterGit)),
            Self::NotReady => (Reason::SourceNotReady, BlockerKind::Waiting),
            Self::NotProved => (Reason::NotProvedThisBoot, BlockerKind::Repairable(Trap::FluxArtifactReadyLie)),
        }
    }

    fn verdict(self, view: &View<'_>, source: &SourceState) -> Verdict {
        let object = &source.object;
        let (text, if_it_lasts) = match self {
            Self::Suspended => (
                format!("{object} is suspended, so nothing is fetched"),
                format!(
                    "find out who suspended {object}, then `flux resume source {} {} -n {}`",
                    short(object.kind),
                    object.name,
                    object.namespace
                ),
            ),
            Self::NotReady => {
                let kind = object.kind.to_string().to_lowercase();
                (
                    format!("{object} is not ready: {}", said(&source.reconcile)),
                    format!("look at `kubectl describe {kind} {} -n {}`", object.name, object.namespace),
                )
            }
            Self::NotProved => (
                format!("{object} says Ready, but its artifact was not fetched since the cluster came up"),
                format!("look at the logs of source-controller: {object} does not handle a reconcile request"),
            ),
        };
        let (reason, kind) = self.kind(view, source);
        Verdict::hold(reason, text, kind, if_it_lasts)
    }
}

/// URL and branch: what is there, and what should be. The config knows that of the main source, and of no other.
fn wrong_place(view: &View<'_>, source: &SourceState) -> Option<Verdict> {
    let object = &source.object;
    if *object != view.spec.flux.source {
        return None;
    }
    if let Some(from) = &source.url_from
        && view.spec.bootstrap.mirror.as_ref() == Some(&source.url)
    {
        return Some(Verdict::repairable(
            Reason::SourceUrlDiffers,
            Trap::FluxSourceIsInClusterGit,
            format!(
                "{object} is fetched from its mirror {} until {from} serves",
                without_password(&source.url),
                from = without_password(from)
            ),
            format!("set spec.url of {object} back to {}, and take its annotation {URL_ANNOTATION} away", without_password(from)),
        ));
    }
    if let Some(expected) = &view.spec.flux.expected_url
        && !view.spec.flux.expects(&source.url)
    {
        return Some(Verdict::person(
            Reason::SourceUrlDiffers,
            format!("{object} points at {}, expected is {}", without_password(&source.url), without_password(expected)),
            format!("set spec.url of {object} to {}, or correct expected_flux_source_url", without_password(expected)),
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
    if let Some(verdict) = set_back(view, source, branch, wanted) {
        return Some(verdict);
    }
    Some(if view.spec.flux.force_branch.is_some() {
        Verdict::repairable(
            Reason::BranchDiffers,
            Trap::FluxWrongBranch,
            text,
            format!("set spec.ref.branch of {object} to {wanted}"),
        )
    } else {
        let instruction = format!("run startup again with --force-flux-branch {wanted}, or set expected_flux_branch: {branch}");
        Verdict::person(Reason::BranchDiffers, text, instruction).known_as(Trap::FluxWrongBranch)
    })
}

/// Times a branch is set before whoever sets it back must be dealt with: the first time, an object may still have come from the
/// branch that was left.
pub(crate) const BRANCH_TRIES: u32 = 2;
/// What was set shows in the lists by then.
const SHOWN_AFTER: Duration = Duration::from_secs(15);

/// Something puts the branch back that `--force-flux-branch` changed: most likely the Kustomization that applies the source.
fn set_back(view: &View<'_>, source: &SourceState, branch: &str, wanted: &Arc<str>) -> Option<Verdict> {
    let object = &source.object;
    let tries = view.history().tries("set-branch", &Subject::Object(object.clone()));
    let shown = tries.last.is_some_and(|last| view.has_passed(SHOWN_AFTER, last));
    if tries.landed < BRANCH_TRIES || !shown {
        return None;
    }
    let flux = view.flux().ok().and_then(Option::as_ref)?;
    let applies = flux.kustomizations.iter().find(|it| it.applies.contains(object));
    let (who, instruction) = match applies {
        Some(it) => (
            format!(", which {} applies", it.object),
            format!("set spec.ref.branch of {object} to {wanted} in Git, where {} takes it from, or suspend it", it.object),
        ),
        None => (String::new(), format!("find out what sets spec.ref.branch of {object} back to {branch}")),
    };
    let text = format!("{object}{who}, was set to branch {wanted} {} times and is back on {branch}", tries.landed);
    Some(Verdict::person(Reason::BranchDiffers, text, instruction).known_as(Trap::FluxWrongBranch))
}

/// What the `flux` command calls a kind of source.
fn short(kind: Kind) -> &'static str {
    match kind {
        Kind::OCIRepository => "oci",
        Kind::Bucket => "bucket",
        Kind::GitRepository
        | Kind::Kustomization
        | Kind::HelmRelease
        | Kind::Node
        | Kind::Namespace
        | Kind::Pod
        | Kind::Deployment
        | Kind::StatefulSet
        | Kind::DaemonSet
        | Kind::Ingress
        | Kind::Job
        | Kind::Service
        | Kind::PersistentVolumeClaim
        | Kind::VolumeAttachment
        | Kind::ConfigMap
        | Kind::ServiceAccount
        | Kind::CephCluster
        | Kind::CronJob => "git",
    }
}

pub(crate) fn wanted_branch<'a>(view: &View<'a>) -> Option<&'a Arc<str>> {
    view.spec.flux.force_branch.as_ref().or(view.spec.flux.expected_branch.as_ref())
}

fn proved(view: &View<'_>, source: &SourceState) -> bool {
    believable(view, &source.reconcile) || source.artifact_updated.is_some_and(|at| at >= proofs_from(view))
}

/// A cluster that has been up for this long has reconciled everything by itself, if its controllers run at all.
const LONG_UP: Duration = Duration::from_secs(1800);

/// Whether what the object says was said in this life of the cluster. A single look cannot ask for proof, so it believes a
/// cluster that has been up for long.
pub(crate) fn believable(view: &View<'_>, state: &Reconcile) -> bool {
    let long_up = view.trust == Trust::Stated && is_floor_known(view) && view.now.since(view.floor()) >= LONG_UP;
    handled(view, state) || long_up
}

/// Until a host tells when it booted, only what a run that acts asked for itself counts.
pub(crate) fn proofs_from(view: &View<'_>) -> Moment {
    if is_floor_known(view) || view.trust == Trust::Stated { view.floor() } else { view.started }
}

fn is_floor_known(view: &View<'_>) -> bool {
    view.floor() > Moment::from_millis(0)
}

/// Whether the controller handled a reconcile request that was made in this life of the cluster. One that lies ahead was made
/// by a clock that has been set back since: nobody knows when that was.
fn handled(view: &View<'_>, state: &Reconcile) -> bool {
    let known = proofs_from(view)..=view.now.plus(CLOCK_TOLERANCE);
    state.handled_at.as_deref().and_then(|token| Moment::parse(token).ok()).is_some_and(|at| known.contains(&at))
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
        let ahead = bench.now.plus(Duration::from_secs(3600)).to_string();
        for handled in ["2020-01-01T00:00:00Z", &ahead] {
            bench.change_source(|source| {
                source.artifact_updated = Some(Moment::from_millis(0));
                source.reconcile.handled_at = Some(handled.into());
            });
            bench.check(evaluate, &format!("{SOURCE}: hold not-proved-this-boot repairable"));
        }
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
    #[test]
    fn a_branch_that_is_set_back_names_the_kustomization_that_does_it() {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.spec.flux.force_branch = Some("main".into());
        bench.change_source(|source| source.branch = Some("incident".into()));
        let order = crate::order::Order::Cluster(crate::order::ClusterOrder::SetBranch {
            source: bench.spec.flux.source.clone(),
            seen: crate::name::ResourceVersion::parse("1").unwrap(),
            branch: "main".into(),
        });
        for again in [false, true] {
            bench.carried_out(&order, Trap::FluxWrongBranch);
            bench.check(evaluate, &format!("{SOURCE}: hold branch-differs repairable"));
            bench.now = bench.now.plus(SHOWN_AFTER);
            bench.fresh_lists();
            let kind = if again { "person" } else { "repairable" };
            bench.check(evaluate, &format!("{SOURCE}: hold branch-differs {kind}"));
        }
        let source = bench.spec.flux.source.clone();
        bench.change_kustomization("core", |it| it.applies = vec![source.clone()]);
        let verdict = evaluate(&bench.view()).subjects.remove(&Subject::Object(source)).unwrap();
        assert!(verdict.text().contains("which Kustomization flux-system/core applies"), "{}", verdict.text());
    }

    #[test]
    fn a_handled_request_or_a_young_artifact_proves_a_source() {
        let mut bench = Bench::new(1);
        bench.all_up();
        let (now, long_ago) = (bench.now, Moment::from_millis(0));
        bench.change_source(|source| source.artifact_updated = Some(long_ago));
        bench.check(evaluate, &format!("{SOURCE}: pass"));
        bench.change_source(|source| {
            source.artifact_updated = Some(now);
            source.reconcile.handled_at = Some(long_ago.to_string().into());
        });
        bench.check(evaluate, &format!("{SOURCE}: pass"));
    }

    #[test]
    fn a_single_look_believes_a_cluster_that_is_known_to_be_up_for_long() {
        let mut bench = Bench::new(1);
        bench.all_up();
        let mut state = bench.obs.flux.last().unwrap().as_ref().as_ref().unwrap().sources[0].reconcile.clone();
        state.handled_at = None;
        let believed = |trust, floor| {
            let mut view = View { trust, ..bench.view() };
            view.behind.floor = floor;
            believable(&view, &state)
        };
        let long = bench.now.minus(LONG_UP);
        assert!(believed(Trust::Stated, long));
        assert!(!believed(Trust::Stated, long.plus(Duration::from_millis(1))));
        assert!(!believed(Trust::Stated, Moment::from_millis(0)), "nothing tells when it came up");
        assert!(!believed(Trust::Proven, long));
    }

    #[test]
    fn a_source_that_refuses_its_key_is_not_away() {
        let kind = |message: &str| {
            let mut bench = Bench::new(1);
            bench.all_up();
            bench.spec.bootstrap.mirror = Some("https://mirror.example/iac.git".into());
            bench.change_source(|source| {
                source.reconcile.ready = Tri::False;
                source.reconcile.message = message.into();
            });
            let view = bench.view();
            why_held(&view, &view.flux().unwrap().as_ref().unwrap().sources[0]).unwrap().1
        };
        assert_eq!(kind("dial tcp: i/o timeout"), BlockerKind::Repairable(Trap::FluxSourceIsInClusterGit));
        assert_eq!(kind("ssh: unable to authenticate, attempted methods [none publickey]"), BlockerKind::Waiting);
    }

    #[test]
    fn a_run_that_does_not_know_yet_when_the_cluster_came_up_believes_what_it_asked_for_itself() {
        let mut bench = Bench::new(1);
        bench.all_up();
        let mut state = bench.obs.flux.last().unwrap().as_ref().as_ref().unwrap().sources[0].reconcile.clone();
        let mut unknown = bench.view();
        unknown.behind.floor = Moment::from_millis(0);
        state.handled_at = Some(unknown.started.minus(Duration::from_secs(1)).to_string().into());
        assert!(!believable(&unknown, &state));
        state.handled_at = Some(unknown.started.to_string().into());
        assert!(believable(&unknown, &state));
    }

    #[test]
    fn a_suspended_source_is_resumed_by_the_name_that_flux_has_for_its_kind() {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.change_source(|source| source.reconcile.suspended = true);
        for (kind, name) in [(Kind::GitRepository, "git"), (Kind::OCIRepository, "oci"), (Kind::Bucket, "bucket")] {
            bench.spec.flux.source.kind = kind;
            bench.change_source(|source| source.object.kind = kind);
            let view = bench.view();
            let Verdict::Hold(blocker) = judge(&view, &view.flux().unwrap().as_ref().unwrap().sources[0]) else { panic!() };
            let resume = format!("`flux resume source {name} flux-system -n flux-system`");
            assert!(blocker.if_it_lasts.ends_with(&resume), "{}", blocker.if_it_lasts);
        }
    }

    #[test]
    fn a_source_that_is_behind_its_spec_or_has_fetched_nothing_is_not_ready() {
        let spoils: [fn(&mut SourceState); 3] =
            [|it| it.reconcile.ready = Tri::Unknown, |it| it.reconcile.generation = 2, |it| it.revision = None];
        for spoil in spoils {
            let mut bench = Bench::new(1);
            bench.all_up();
            bench.change_source(spoil);
            bench.check(evaluate, &format!("{SOURCE}: hold source-not-ready waiting"));
        }
    }
}
