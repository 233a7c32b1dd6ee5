//! The API server runs, and the address that leads to it does not.

use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::name::NodeName;
use crate::observation::UnitState;
use crate::spec::Distribution;
use crate::verdict::{GateId, Reason, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::ApiVipDeadlock,
    class: Class::FirstStep,
    often: Often::Medium,
    symptom: "k3s is active on a quorum of servers, and the address of the API server is refused or silent",
    precondition: "none",
    budget: "waits for the gate's deadline",
    effect: "names the servers that can be asked themselves, and what holds their common address",
    evidence: &["https://github.com/kube-vip/kube-vip/issues/799", "https://github.com/dell/omnia/pull/4992"],
    diagnosis: Some(Diagnosis { gates: &[GateId::ControlPlane], find, remake: None }),
};

fn find(case: &Case<'_>) -> Option<Finding> {
    let view = case.view;
    let found = view.api_fact().newest_failure()?.reason?;
    // k3s is `Type=notify`: active when its API server has answered it, and activating until then. A kubelet that is active says
    // nothing of the API server.
    if !matches!(found, Reason::ApiRefused | Reason::ApiNotAnswering) || view.spec.distribution != Distribution::K3s {
        return None;
    }
    let known = view.spec.servers().filter_map(|(name, _)| Some((name, view.host(name).ok()?.unit == UnitState::Active)));
    let (running, others): (Vec<_>, Vec<_>) = known.partition(|(_, active)| *active);
    let (first, _) = running.first().filter(|_| running.len() >= view.spec.quorum())?;
    Some(Finding::new(
        format!(
            "k3s is active on {} servers{}: it may be the address alone that does not lead there",
            running.len(),
            but_not_on(&others)
        ),
        format!(
            "on {first}: `curl -k https://127.0.0.1:6443/readyz`; if that answers, restart what holds the address of the kubeconfig \
             (the pod of kube-vip, or the balancer), or list the servers' own addresses under api_servers in Ananke's config"
        ),
    ))
}

/// Servers that the cluster can do without, and whose own trouble nothing else tells of while there is no API.
fn but_not_on(others: &[(&NodeName, bool)]) -> String {
    let names: Vec<&str> = others.iter().map(|(name, _)| name.as_str()).collect();
    if names.is_empty() { String::new() } else { format!(", not on {}", names.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::Bench;
    use crate::name::Subject;
    use crate::port::{ErrorKind, PortError};
    use crate::trap::testing::{recognised, told};

    fn refused(reason: Reason, active: usize) -> Bench {
        let mut bench = Bench::new(3);
        bench.servers(3);
        for n in 1..=3 {
            bench.host_up(n);
            bench.host(n, |host| host.unit = if n <= active { UnitState::Active } else { UnitState::Activating });
        }
        let error = PortError::new(ErrorKind::Transient, "read through the quorum", "the API server", "it is not there");
        bench.obs.api.fold(Err(error.with_reason(reason)), bench.now);
        bench
    }

    fn named(reason: Reason, active: usize) -> Option<Trap> {
        recognised(&refused(reason, active), GateId::ControlPlane, &Subject::Cluster)
    }

    #[test]
    fn it_is_the_address_where_the_servers_themselves_are_there() {
        assert_eq!(named(Reason::ApiRefused, 2), Some(ENTRY.trap));
        assert_eq!(named(Reason::ApiRefused, 1), None, "the others still wait for a quorum");
        assert_eq!(named(Reason::EtcdUnhealthy, 3), None, "it answers, and says what is wrong");
        let mut kubelets = refused(Reason::ApiRefused, 3);
        kubelets.spec.distribution = Distribution::Kubeadm;
        assert_eq!(recognised(&kubelets, GateId::ControlPlane, &Subject::Cluster), None, "what it runs may be down");
    }

    #[test]
    fn a_server_that_does_not_run_is_told_beside_it() {
        let said = |active| told(&refused(Reason::ApiRefused, active), GateId::ControlPlane, &Subject::Cluster);
        let whole = said(3).unwrap();
        assert!(whole.ends_with("k3s is active on 3 servers: it may be the address alone that does not lead there"), "{whole}");
        let one_less = said(2).unwrap();
        assert!(one_less.contains("k3s is active on 2 servers, not on n3: it may be"), "{one_less}");
    }
}
