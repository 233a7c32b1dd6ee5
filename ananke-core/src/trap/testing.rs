//! A workload, a node or a Flux object that waits, and what traps make of it.

use crate::fact::Fact;
use crate::gate::testing::{Bench, node};
use crate::gate::{self, Row};
use crate::name::{Kind, Subject};
use crate::observation::{PodPhase, Tri, UnitState};
use crate::verdict::{Blocker, GateId, Judgement, Trap, Verdict};

/// All is well, but for Deployment `apps/web`, whose pod on n1 is not ready and has been there since before the outage.
pub(crate) fn bench() -> Bench {
    let mut bench = Bench::new(2);
    bench.all_up();
    bench.workload(Kind::Deployment, "web", &[(1, false)]);
    bench
}

fn row(id: GateId) -> &'static Row {
    gate::STARTUP.iter().find(|row| row.id == id).unwrap()
}

fn judged(bench: &Bench, id: GateId) -> Judgement {
    let view = bench.view();
    let mut judgement = (row(id).evaluate)(&view);
    super::explain(&view, id, &mut judgement);
    judgement
}

fn trap_of(judgement: &Judgement, is: impl Fn(&Subject) -> bool) -> Option<Trap> {
    let (_, verdict) = judgement.subjects.iter().find(|(subject, _)| is(subject))?;
    match verdict {
        Verdict::Hold(Blocker { trap, .. }) => *trap,
        Verdict::Pass(_) | Verdict::Unknown(_) => None,
    }
}

/// What the subject is recognised as that waits at a gate.
pub(crate) fn recognised(bench: &Bench, gate: GateId, waits: &Subject) -> Option<Trap> {
    trap_of(&judged(bench, gate), |subject| subject == waits)
}

/// What is said of the subject that holds a gate.
pub(crate) fn told(bench: &Bench, gate: GateId, waits: &Subject) -> Option<String> {
    match judged(bench, gate).subjects.get(waits)? {
        Verdict::Hold(blocker) => Some(blocker.text.clone()),
        Verdict::Pass(_) | Verdict::Unknown(_) => None,
    }
}

/// What Deployment `apps/web` is recognised as, after a change.
pub(crate) fn of_bench(change: impl FnOnce(&mut Bench)) -> Option<Trap> {
    let mut bench = bench();
    change(&mut bench);
    trap_of(&judged(&bench, GateId::Workloads), |subject| subject.to_string() == "Deployment apps/web")
}

/// The same, where its pod says so.
pub(crate) fn of_pod(message: &str) -> Option<Trap> {
    of_bench(|bench| bench.pod("web-0", |pod| pod.message = message.into()))
}

/// What a workload of `apps` of that name is recognised as, whose pod is not ready.
pub(crate) fn of_workload(kind: Kind, name: &str) -> Option<Trap> {
    let mut bench = bench();
    bench.workload(kind, name, &[(1, false)]);
    trap_of(&judged(&bench, GateId::Workloads), |subject| subject.to_string() == format!("{kind} apps/{name}"))
}

/// What node n1 is recognised as.
pub(crate) fn of_node(bench: &Bench) -> Option<Trap> {
    trap_of(&judged(bench, GateId::NodesReady), |subject| *subject == Subject::Node(node(1)))
}

/// What the soak is held back by.
pub(crate) fn of_soak(bench: &Bench) -> Option<Trap> {
    trap_of(&judged(bench, GateId::Soak), |_| true)
}

/// The pod has ended, and its object is kept.
pub(crate) fn end(bench: &mut Bench, name: &str, phase: PodPhase, reason: &str) {
    let mut pods = bench.obs.pods.last().unwrap().to_vec();
    let place = pods.iter().position(|pod| pod.object.name.as_ref() == name).unwrap();
    let mut ended = pods.remove(place);
    (ended.phase, ended.reason) = (phase, reason.into());
    bench.obs.pods = Fact::known(pods.into(), bench.now);
    bench.obs.ended = Fact::known(vec![ended].into(), bench.now);
}

/// What node n1 is recognised as, whose unit logged this and ended.
pub(crate) fn of_log(line: &str) -> Option<Trap> {
    let mut bench = bench();
    bench.host(1, |host| (host.unit, host.words) = (UnitState::Failed, vec!["Starting k3s".into(), line.into()]));
    bench.change_node(1, |node| node.ready = Tri::False);
    of_node(&bench)
}

/// What a source or a Kustomization is recognised as that is not ready and says so.
pub(crate) fn of_flux(message: &str) -> Option<Trap> {
    let mut bench = bench();
    bench.change_source(|it| (it.reconcile.ready, it.reconcile.message) = (Tri::False, message.into()));
    let of_source = trap_of(&judged(&bench, GateId::FluxSource), |_| true);
    bench.all_up();
    bench.change_kustomization("core", |it| (it.reconcile.ready, it.reconcile.message) = (Tri::False, message.into()));
    of_source.or_else(|| trap_of(&judged(&bench, GateId::Kustomizations), |subject| subject.to_string().ends_with("/core")))
}

/// Pods that the remedy would make anew once `trap` has held the gate for five minutes.
pub(crate) fn deleted(bench: &mut Bench, gate: GateId, trap: Trap) -> Vec<String> {
    let judgement = judged(bench, gate);
    for (subject, verdict) in &judgement.subjects {
        if matches!(verdict, Verdict::Hold(blocker) if blocker.trap == Some(trap)) {
            bench.seen_for(trap, subject, std::time::Duration::from_secs(300));
        }
    }
    bench.stands(gate, crate::report::GateStatus::Holding, judgement);
    let view = bench.view();
    let planned = crate::remedy::STARTUP.iter().flat_map(|remedy| remedy.plan(&view)).filter(|(about, _)| *about == Some(trap));
    planned.map(|(_, action)| action.order.subject().to_string()).collect()
}

/// The same for `apps/web`, whose pod says so.
pub(crate) fn remade(message: &str) -> Vec<String> {
    let mut bench = bench();
    bench.pod("web-0", |pod| pod.message = message.into());
    let trap = of_pod(message).unwrap();
    deleted(&mut bench, GateId::Workloads, trap)
}
