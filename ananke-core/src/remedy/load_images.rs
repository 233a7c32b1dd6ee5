//! Loads images from archives of this machine on the nodes that wait for a registry of their own cluster (trap
//! `registry-in-cluster-deadlock`). The kubelet finds them at its next try.

use std::time::Duration;

use super::{Action, Budget, Pace, Stage};
use crate::engine::view::View;
use crate::order::{HostOrder, Order};
use crate::trap::{self, evidence::Evidence};
use crate::verdict::{BlockerKind, Trap, Verdict};

const TRAP: Trap = Trap::RegistryInClusterDeadlock;
/// Each archive that a node needs, and one more try; a kubelet tries again within five minutes.
const BUDGET: Budget = Budget { trap: TRAP, times: 6, pause: Duration::from_secs(330) };

pub(super) fn plan(view: &View<'_>) -> Vec<Action> {
    let pace = Pace { wait: view.spec.bootstrap.wait, nudge: Duration::ZERO };
    let held: Vec<_> = (view.gates().values().flat_map(|gate| &gate.judgement.subjects))
        .filter_map(|(subject, verdict)| match verdict {
            Verdict::Hold(blocker) if blocker.kind == BlockerKind::Repairable(TRAP) => Some((subject, blocker)),
            Verdict::Hold(_) | Verdict::Pass(_) | Verdict::Unknown(_) => None,
        })
        .filter(|(subject, _)| pace.stage(view, TRAP, subject) == Stage::Act)
        .collect();
    if held.is_empty() {
        return Vec::new();
    }
    let evidence = Evidence::of(view);
    let mut actions = Vec::new();
    for (subject, blocker) in held {
        for load in trap::loads(view, &evidence, subject, blocker) {
            let order = Order::Host { node: load.node, order: HostOrder::LoadImages(load.archive) };
            if BUDGET.allows(view, &order) {
                let why = format!("{subject} waits for image {} there, which the cluster serves itself", load.image);
                actions.push(Action { order, why });
            }
        }
    }
    actions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bootstrap::{Archive, ArchivedImage};
    use crate::gate::testing::Bench;
    use crate::gate::workloads;
    use crate::name::{ArchiveName, Kind, ObjectRef, Subject};
    use crate::verdict::GateId;

    const IMAGE: &str = "harbor.titan.example/harbor/core:2";

    /// A pod that has waited for an image of its own registry, which is kept for machines of one kind.
    fn told(architecture: &str, secs: u64) -> Vec<String> {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.workload(Kind::Deployment, "web", &[(1, false)]);
        bench.ingress(&["harbor.titan.example"]);
        bench.pod("web-0", |pod| pod.message = format!("Back-off pulling image \"{IMAGE}\"").into());
        let image = ArchivedImage { reference: IMAGE.into(), architecture: architecture.into() };
        let archive = Archive { name: ArchiveName::parse("harbor.tar").unwrap(), images: vec![image] };
        bench.spec.bootstrap.archives = vec![archive];
        bench.judged(GateId::Workloads, workloads::evaluate);
        let mut gate = bench.gate(GateId::Workloads);
        trap::explain(&bench.view(), GateId::Workloads, &mut gate);
        bench.stands(GateId::Workloads, crate::report::GateStatus::Holding, gate);
        let web = Subject::Object(ObjectRef::new(Kind::Deployment, "apps", "web"));
        bench.seen_for(TRAP, &web, Duration::from_secs(secs));
        plan(&bench.view()).iter().map(|action| format!("{}: {}", action.order, action.why)).collect()
    }

    #[test]
    fn an_image_of_the_right_kind_of_machine_is_loaded_after_a_while() {
        let load = format!(
            "load the images of harbor.tar on n1: Deployment apps/web waits for image {IMAGE} there, which the cluster serves itself"
        );
        assert_eq!(told("arm64", 180), [load]);
        assert!(told("arm64", 179).is_empty());
        assert!(told("amd64", 180).is_empty());
    }
}
