//! The address of a load balancer moves to nodes that have only just booted, and is away for a moment each time.

use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::verdict::{GateId, Reason, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::LbFailbackTooEarly,
    class: Class::Auto,
    often: Often::Low,
    symptom: "what is asked from outside fails for a moment and answers again, while nodes and workloads stay well",
    precondition: "none",
    budget: "waits for the gate's deadline",
    effect: "waits until all answers for the whole window of the soak; nothing is restarted for a single failure",
    evidence: &["https://github.com/metallb/metallb/issues/1710", "https://github.com/metallb/metallb/issues/805"],
    diagnosis: Some(Diagnosis { gates: &[GateId::Soak], find, remake: None }),
};

fn find(case: &Case<'_>) -> Option<Finding> {
    let fell = |id: GateId| case.view.gate(id).map_or(0, |gate| gate.regressions);
    let outside = fell(GateId::Ingress).max(fell(GateId::Services));
    let inside = [GateId::NodesReady, GateId::Workloads, GateId::Endpoints].into_iter().map(fell).max().unwrap_or(0);
    let soaks = case.blocker.reason == Reason::NotHeldLongEnough;
    (soaks && outside > 0 && inside == 0).then(|| {
        let times = if outside == 1 { "once".to_owned() } else { format!("{outside} times") };
        Finding::new(
            format!("what is asked from outside fell back {times}, and nothing inside did: the address may be moving between nodes"),
            "look which nodes announced the address (`kubectl get events -A --field-selector reason=nodeAssigned`), and at the network of those that booted last",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trap::testing::{bench, of_soak};

    #[test]
    fn it_is_the_way_in_that_falls_back_and_not_what_is_behind_it() {
        let named = |fell: &[GateId]| {
            let mut bench = bench();
            for id in [GateId::Workloads, GateId::Ingress] {
                bench.settles(id);
            }
            for id in fell {
                bench.falls_back(*id);
            }
            of_soak(&bench)
        };
        assert_eq!(named(&[GateId::Ingress]), Some(ENTRY.trap));
        assert_eq!(named(&[]), None);
        assert_eq!(named(&[GateId::Ingress, GateId::Workloads]), None);
    }
}
