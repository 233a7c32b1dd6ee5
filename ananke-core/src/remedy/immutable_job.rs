//! Deletes a finished Job whose template cannot be changed, so that Flux makes it anew (trap `flux-immutable-field`). Jobs only,
//! only those that the stuck object itself applied and that may run once more, never one that runs or that somebody wants kept: it
//! may have filled a database that people have worked in since.

use std::time::Duration;

use super::{Action, Budget, Pace, Stage};
use crate::engine::view::View;
use crate::fact::Gap;
use crate::gate::flux_source::believable;
use crate::name::{Moment, ObjectRef, Subject};
use crate::observation::{IDEMPOTENT_LABEL, JobEnd, JobState, Reconcile, Tri};
use crate::order::{ClusterOrder, Order, Push};
use crate::spec::RemedyMode;
use crate::verdict::{Reason, Trap, Verdict};

const TRAP: Trap = Trap::FluxImmutableField;
/// A Job that comes back with the same trouble twice is not the trouble.
const DELETE: Budget = Budget { trap: TRAP, times: 2, pause: Duration::from_secs(120) };
/// Once it is gone, nothing but Flux's own interval would bring it back.
const RECONCILE: Budget = Budget { trap: TRAP, times: 3, pause: Duration::from_secs(30) };
/// The nudge is the request for a reconciliation that every object gets which is not proved; its answer decides.
const PACE: Pace = Pace { wait: Duration::from_secs(10), nudge: Duration::ZERO };

/// What stands in the way of a Kustomization or HelmRelease that says that a Job's template is immutable.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Blocked<'a> {
    Finished(&'a JobState, JobEnd),
    /// It has ended, and nothing says that it may run once more.
    Once(&'a JobState, JobEnd),
    Running(&'a JobState),
    /// Marked by somebody as to be kept.
    Kept(&'a JobState),
    /// Applied by another object, as its labels tell.
    Foreign(&'a JobState),
    /// No Job of this name is known: it is gone, or nobody's.
    Absent(&'a str),
    Unknown(Gap),
}

pub(super) fn plan(view: &View<'_>) -> Vec<Action> {
    let Ok(Some(flux)) = view.flux() else { return Vec::new() };
    let kustomizations = flux.kustomizations.iter().map(|found| (&found.object, &found.reconcile));
    let releases = flux.helm_releases.iter().filter(|found| found.stalled.is_none());
    let all = kustomizations.chain(releases.map(|found| (&found.object, &found.reconcile)));
    all.filter_map(|(object, state)| step(view, object, state)).collect()
}

fn step(view: &View<'_>, object: &ObjectRef, state: &Reconcile) -> Option<Action> {
    // What was said before the outage is first asked for again.
    if state.suspended || !believable(view, state) {
        return None;
    }
    let blocked = blocked(view, object, state)?;
    if PACE.stage(view, TRAP, &Subject::Object(object.clone())) != Stage::Act {
        return None;
    }
    match blocked {
        Blocked::Finished(job, end) => {
            let order = Order::Cluster(ClusterOrder::DeleteJob { job: job.object.clone(), uid: job.uid.clone() });
            let why = format!("it has ended ({}), and {object} cannot change its template", word(end));
            DELETE.allows(view, &order).then_some(Action { order, why })
        }
        Blocked::Absent(name) => {
            let gone = deleted(view, name)?;
            if handled_after(state, gone) {
                return None;
            }
            let order = Order::Cluster(ClusterOrder::Reconcile { object: object.clone(), token: view.now, push: Push::None });
            RECONCILE.allows(view, &order).then(|| Action { order, why: format!("Job {name} is out of its way") })
        }
        Blocked::Once(..) | Blocked::Running(_) | Blocked::Kept(_) | Blocked::Foreign(_) | Blocked::Unknown(_) => None,
    }
}

fn handled_after(state: &Reconcile, at: Moment) -> bool {
    state.handled_at.as_deref().and_then(|token| Moment::parse(token).ok()).is_some_and(|token| token > at)
}

/// The verdict on an object that says that a Job's template is immutable; none for one that says anything else.
pub(crate) fn judge(view: &View<'_>, object: &ObjectRef, state: &Reconcile) -> Option<Verdict> {
    let hold = |text: String, instruction: String| Verdict::repairable(Reason::JobImmutable, TRAP, text, instruction);
    let by_hand = |job: &ObjectRef| {
        format!(
            "run `kubectl delete job {} -n {}` if it may run once more, then `flux reconcile` {object}",
            job.name, job.namespace
        )
    };
    Some(match blocked(view, object, state)? {
        Blocked::Finished(job, end) => hold(
            format!("{object} cannot change the template of {}, which has ended ({})", job.object, word(end)),
            by_hand(&job.object),
        ),
        Blocked::Once(job, end) => Verdict::person(
            Reason::JobImmutable,
            format!(
                "{object} cannot change the template of {}, which has ended ({}), and nothing says that it may run once more",
                job.object,
                word(end)
            ),
            format!("{}; where it always may, label it {IDEMPOTENT_LABEL}=true in Git", by_hand(&job.object)),
        ),
        Blocked::Running(job) => Verdict::waiting(
            Reason::JobImmutable,
            format!("{object} cannot change the template of {}, which still runs", job.object),
            format!("look at `kubectl describe job {} -n {}`: it does not end", job.object.name, job.object.namespace),
        ),
        Blocked::Kept(job) => Verdict::person(
            Reason::JobImmutable,
            format!("{object} cannot change the template of {}, which is marked as to be kept", job.object),
            by_hand(&job.object),
        ),
        Blocked::Foreign(job) => Verdict::person(
            Reason::JobImmutable,
            format!("{object} cannot change the template of {}, which another object applied", job.object),
            by_hand(&job.object),
        ),
        Blocked::Absent(name) if deleted(view, name).is_some() => {
            hold(format!("Job {name} is gone; {object} is to apply it anew"), format!("run `flux reconcile` for {object}"))
        }
        Blocked::Absent(name) => Verdict::waiting(
            Reason::JobImmutable,
            format!("{object} cannot change the template of Job {name}, and no Job of that name carries its labels"),
            format!("find Job {name}, and who made it; delete it if it has ended and may run once more"),
        ),
        Blocked::Unknown(gap) => Verdict::unknown(gap, "look at the API server: it does not list Jobs"),
    })
}

fn blocked<'a>(view: &View<'a>, object: &ObjectRef, state: &'a Reconcile) -> Option<Blocked<'a>> {
    if state.ready == Tri::True {
        return None;
    }
    let name = immutable_job(&state.message)?;
    let jobs = match view.jobs() {
        Ok(jobs) => jobs,
        Err(gap) => return Some(Blocked::Unknown(gap)),
    };
    let mut named = jobs.iter().filter(|job| job.object.name.as_ref() == name && in_place(&state.message, job));
    let ours = |job: &&JobState| job.applied_by.as_ref() == Some(object);
    Some(match named.clone().find(ours) {
        None => named.next().map_or(Blocked::Absent(name), Blocked::Foreign),
        Some(job) if job.keep => Blocked::Kept(job),
        Some(job) => match job.ended {
            None => Blocked::Running(job),
            Some(end) if job.idempotent || all_may_run_again(view) => Blocked::Finished(job, end),
            Some(end) => Blocked::Once(job, end),
        },
    })
}

/// The config says so of all Jobs.
fn all_may_run_again(view: &View<'_>) -> bool {
    view.spec.remedies.get(&TRAP).is_some_and(|remedy| remedy.mode == Some(RemedyMode::Auto))
}

/// Kustomizations say which namespace they mean (`Job/namespace/name dry-run failed`); releases have but one.
fn in_place(message: &str, job: &JobState) -> bool {
    !message.contains("Job/") || message.contains(&format!("Job/{}/{} ", job.object.namespace, job.object.name))
}

/// The Job that a message says cannot be changed: `… Job.batch "name" is invalid: spec.template: … field is immutable`, as the
/// API server words it, whoever passes it on.
fn immutable_job(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("Job.batch \"")?;
    let (name, rest) = rest.split_once('"')?;
    (rest.starts_with(" is invalid: ") && rest.contains("immutable")).then_some(name)
}

/// When Ananke deleted a Job of this name.
fn deleted(view: &View<'_>, name: &str) -> Option<Moment> {
    view.history().last_landed("delete-job", |subject| matches!(subject, Subject::Object(job) if job.name.as_ref() == name))
}

fn word(end: JobEnd) -> &'static str {
    match end {
        JobEnd::Complete => "complete",
        JobEnd::Failed => "failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::Fact;
    use crate::gate::testing::Bench;
    use crate::name::{Kind, Uid};
    use std::sync::Arc;

    const MESSAGE: &str = "Job/apps/migrate dry-run failed (Invalid): Job.batch \"migrate\" is invalid: spec.template: Invalid value: {\"labels\":… field is immutable";

    #[test]
    fn the_job_is_read_from_the_api_servers_own_words() {
        for (message, name) in [
            (MESSAGE, Some("migrate")),
            (
                "Job/a/label-nodes dry-run failed, reason: Invalid, error: Job.batch \"label-nodes\" is invalid: spec.template: Invalid value: core.PodTemplateSpec{…}: field is immutable",
                Some("label-nodes"),
            ),
            (
                "Helm upgrade failed for release g/web with chart g@7: cannot patch \"m-5\" with kind Job: Job.batch \"m-5\" is invalid: spec.template: Invalid value: …: field is immutable",
                Some("m-5"),
            ),
            (
                "Job/a/b dry-run failed (Invalid): Job.batch \"b\" is invalid: spec.template.spec.restartPolicy: Unsupported value",
                None,
            ),
            (
                "StatefulSet/a/db dry-run failed (Invalid): StatefulSet.apps \"db\" is invalid: spec: Forbidden: updates to statefulset spec",
                None,
            ),
            ("Service.core \"x\" is invalid: spec.clusterIP: Invalid value: field is immutable", None),
            ("Job.batch \"torn", None),
        ] {
            assert_eq!(immutable_job(message), name, "{message}");
        }
    }

    fn stuck(end: Option<JobEnd>) -> Bench {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.change_kustomization("apps", |it| {
            (it.reconcile.ready, it.reconcile.reason) = (Tri::False, "ReconciliationFailed".into());
            it.reconcile.message = MESSAGE.into();
        });
        job(&mut bench, |job| job.ended = end);
        bench.seen_for(TRAP, &subject(), Duration::from_secs(60));
        bench
    }

    fn subject() -> Subject {
        Subject::Object(ObjectRef::new(Kind::Kustomization, "flux-system", "apps"))
    }

    fn job(bench: &mut Bench, change: impl FnOnce(&mut JobState)) {
        let mut job = JobState {
            object: ObjectRef::new(Kind::Job, "apps", "migrate"),
            uid: Uid::parse("job-1").unwrap(),
            ended: Some(JobEnd::Complete),
            applied_by: Some(ObjectRef::new(Kind::Kustomization, "flux-system", "apps")),
            keep: false,
            idempotent: true,
        };
        change(&mut job);
        bench.obs.jobs = Fact::known(Arc::new(vec![job]), bench.now);
    }

    fn texts(bench: &Bench) -> Vec<String> {
        plan(&bench.view()).iter().map(|action| action.order.to_string()).collect()
    }

    fn check(bench: &Bench, apps: &str) {
        let gate = crate::gate::STARTUP.iter().find(|row| row.id == crate::verdict::GateId::Kustomizations).unwrap();
        let expected = format!("Kustomization flux-system/apps: {apps}\nKustomization flux-system/core: pass");
        bench.check(gate.evaluate, &expected);
    }

    #[test]
    fn a_finished_job_is_deleted_and_its_kustomization_asked_to_go_on() {
        let mut bench = stuck(Some(JobEnd::Failed));
        check(&bench, "hold job-immutable repairable");
        assert_eq!(texts(&bench), ["delete Job apps/migrate, which has finished"]);
        let Action { order, why } = plan(&bench.view()).remove(0);
        assert_eq!(why, "it has ended (failed), and Kustomization flux-system/apps cannot change its template");
        bench.carried_out(&order, TRAP);
        assert!(texts(&bench).is_empty(), "the list is older than the deletion");
        bench.obs.jobs = Fact::known(Arc::default(), bench.now);
        check(&bench, "hold job-immutable repairable");
        assert_eq!(texts(&bench), ["ask Flux to reconcile Kustomization flux-system/apps"]);
        let later = bench.now.plus(Duration::from_secs(5)).to_string();
        bench.change_kustomization("apps", |it| it.reconcile.handled_at = Some(later.into()));
        assert!(texts(&bench).is_empty(), "it was asked since");
    }

    #[test]
    fn what_was_said_before_the_outage_is_asked_for_again_first() {
        let mut bench = stuck(Some(JobEnd::Complete));
        bench.change_kustomization("apps", |it| it.reconcile.handled_at = Some("2020-01-01T00:00:00Z".into()));
        assert!(texts(&bench).is_empty());
        let mut early = stuck(Some(JobEnd::Complete));
        early.seen_for(TRAP, &subject(), Duration::from_secs(1));
        assert!(texts(&early).is_empty());
    }

    #[test]
    fn a_job_that_runs_is_kept_or_is_not_ours_stays() {
        let mut bench = stuck(None);
        check(&bench, "hold job-immutable waiting");
        assert!(texts(&bench).is_empty());
        job(&mut bench, |job| job.keep = true);
        check(&bench, "hold job-immutable person");
        assert!(texts(&bench).is_empty());
        job(&mut bench, |job| job.applied_by = Some(ObjectRef::new(Kind::Kustomization, "flux-system", "core")));
        check(&bench, "hold job-immutable person");
        assert!(texts(&bench).is_empty());
        job(&mut bench, |job| job.object = ObjectRef::new(Kind::Job, "elsewhere", "migrate"));
        check(&bench, "hold job-immutable waiting");
        assert!(texts(&bench).is_empty());
        bench.obs.jobs = Fact::default();
        check(&bench, "unknown");
        assert!(texts(&bench).is_empty());
    }

    #[test]
    fn a_job_that_may_have_done_its_work_for_good_is_a_persons_unless_somebody_says_otherwise() {
        let mut bench = stuck(Some(JobEnd::Complete));
        job(&mut bench, |job| job.idempotent = false);
        check(&bench, "hold job-immutable person");
        assert!(texts(&bench).is_empty());
        let of = |mode| [(TRAP, crate::spec::RemedySpec { mode, budget: None })].into();
        for other in [None, Some(RemedyMode::Ask)] {
            bench.spec.remedies = of(other);
            check(&bench, "hold job-immutable person");
        }
        bench.spec.remedies = of(Some(RemedyMode::Auto));
        check(&bench, "hold job-immutable repairable");
        assert_eq!(texts(&bench).len(), 1);
    }

    #[test]
    fn a_job_that_comes_back_stuck_is_not_deleted_for_ever() {
        let mut bench = stuck(Some(JobEnd::Complete));
        for _ in 0..2 {
            let order = plan(&bench.view()).remove(0).order;
            bench.carried_out(&order, TRAP);
            bench.now = bench.now.plus(Duration::from_secs(300));
            bench.fresh_lists();
        }
        assert!(texts(&bench).is_empty());
    }
}
