//! Gate `soak`: everything held for the whole window, and no lease is outstanding.

use crate::engine::view::View;
use crate::lease::Lease;
use crate::name::{Subject, human};
use crate::remedy::remake_pods;
use crate::trap::{cronjob_missed_starts, postgres_operator_no_recovery, registry_in_cluster_deadlock};
use crate::verdict::{GateId, Judgement, Reason, Verdict};

pub(super) fn evaluate(view: &View<'_>) -> Judgement {
    let mut judgement = judge(view);
    judgement.notes.extend(cronjob_missed_starts::notes(view));
    judgement.notes.extend(postgres_operator_no_recovery::notes(view));
    judgement
}

fn judge(view: &View<'_>) -> Judgement {
    // A state directory that was carried here may hold leases of another cluster: they are no business of this one.
    let here = |lease: &Lease| view.api_fact().last().is_none_or(|api| api.cluster_uid == lease.cluster_uid);
    let mut outstanding = view.leases().iter().filter(|record| record.state.outstanding()).map(|record| &record.lease);
    if let Some(lease) = outstanding.find(|lease| here(lease)) {
        let text = format!("the cordon lease {} on {} is outstanding until {}", lease.id, lease.node, lease.expires);
        let verdict = Verdict::waiting(Reason::CordonOutstanding, text, format!("remove it with: {}", lease.remove_with));
        return Judgement::of(Subject::Cluster, verdict);
    }
    let mut since = view.began;
    for (id, gate) in view.gates().iter().filter(|(id, _)| **id != GateId::Soak) {
        match gate.settled {
            Some(settled) => since = since.max(settled),
            None => return Judgement::of(Subject::Cluster, not_yet(format!("{id} does not hold yet"))),
        }
    }
    if let Some(subject) = remake_pods::is_to_come(view) {
        return Judgement::of(Subject::Cluster, not_yet(format!("what {subject} waits for may yet be made anew")));
    }
    if let Some(subject) = registry_in_cluster_deadlock::is_to_come(view) {
        return Judgement::of(
            Subject::Cluster,
            not_yet(format!("the registry of {subject} answers, and its image may yet be pulled")),
        );
    }
    let held = view.now.since(since);
    let verdict = if view.has_passed(view.spec.soak, since) {
        Verdict::pass(format!("everything held for {}", human(held)))
    } else {
        not_yet(format!("everything holds for {} of {}", human(held), human(view.spec.soak)))
    };
    Judgement::of(Subject::Cluster, verdict)
}

fn not_yet(text: String) -> Verdict {
    Verdict::waiting(Reason::NotHeldLongEnough, text, "read which gates fell back in the report: something does not stay up")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::gate::testing::Bench;
    use crate::lease::LeaseState;
    use crate::name::Uid;
    use crate::spec::RemedyMode;
    use crate::verdict::Trap;

    /// All gates but this one have settled, and the window begins.
    fn bench() -> Bench {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.settles(GateId::Workloads);
        bench.open(GateId::Soak);
        bench
    }

    #[test]
    fn it_passes_once_everything_held_for_the_whole_window() {
        let mut bench = bench();
        bench.now = bench.now.plus(bench.spec.soak - Duration::from_secs(1));
        bench.check(evaluate, "the cluster: hold not-held-long-enough waiting");
        bench.now = bench.now.plus(Duration::from_secs(1));
        bench.check(evaluate, "the cluster: pass");
        bench.settles(GateId::Ingress);
        bench.check(evaluate, "the cluster: hold not-held-long-enough waiting");
        bench.now = bench.now.plus(bench.spec.soak);
        bench.check(evaluate, "the cluster: pass");
        bench.open(GateId::Storage);
        bench.check(evaluate, "the cluster: hold not-held-long-enough waiting");
    }

    #[test]
    fn no_run_ends_between_a_finding_and_its_remedy() {
        let seen_for = |seconds, mode| {
            let mut bench = bench();
            bench.now = bench.now.plus(bench.spec.soak);
            bench.spec.remedies.entry(Trap::LbVipNotAnnounced).or_default().mode = Some(mode);
            bench.seen_for(Trap::LbVipNotAnnounced, &Subject::Url("http://git.example/".into()), Duration::from_secs(seconds));
            evaluate(&bench.view()).passes()
        };
        assert!(!seen_for(1, RemedyMode::Auto), "it is waited for before anything is made anew");
        let soak = 60;
        assert!(!seen_for(180 + soak - 1, RemedyMode::Auto), "what was made anew had no time yet");
        assert!(seen_for(180 + soak, RemedyMode::Auto), "it did not help");
        assert!(seen_for(1, RemedyMode::Ask), "nothing comes");
    }

    #[test]
    fn it_waits_for_every_outstanding_lease_of_this_cluster() {
        let mut bench = bench();
        bench.now = bench.now.plus(bench.spec.soak);
        bench.cordon(1);
        bench.check(evaluate, "the cluster: hold cordon-outstanding waiting");
        bench.leases[0].state = LeaseState::Released;
        bench.check(evaluate, "the cluster: pass");
        (bench.leases[0].state, bench.leases[0].lease.cluster_uid) = (LeaseState::Held, Uid::parse("cluster-2").unwrap());
        bench.check(evaluate, "the cluster: pass");
    }
}
