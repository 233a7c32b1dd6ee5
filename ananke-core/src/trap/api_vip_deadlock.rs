//! The API server runs, and the address that leads to it does not.

use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::name::NodeName;
use crate::observation::UnitState;
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
    let found = view.obs.api.newest_failure()?.reason?;
    if !matches!(found, Reason::ApiRefused | Reason::ApiNotAnswering) {
        return None;
    }
    // `Type=notify`: a unit is active when its API server has answered it, and activating until then.
    let active = |name: &&NodeName| view.host(name).is_ok_and(|host| host.unit == UnitState::Active);
    let running: Vec<&NodeName> = view.spec.servers().map(|(name, _)| name).filter(active).collect();
    let first = running.first().filter(|_| running.len() >= view.spec.quorum())?;
    Some(Finding::new(
        format!("k3s is active on {} servers: it may be the address alone that does not lead there", running.len()),
        format!(
            "on {first}: `curl -k https://127.0.0.1:6443/readyz`; if that answers, restart what holds the address of the kubeconfig \
             (the pod of kube-vip, or the balancer), or name a server's own address in the kubeconfig"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::Bench;
    use crate::name::Subject;
    use crate::port::{ErrorKind, PortError};
    use crate::trap::testing::recognised;

    fn named(reason: Reason, active: usize) -> Option<Trap> {
        let mut bench = Bench::new(3);
        bench.servers(3);
        for n in 1..=3 {
            bench.host_up(n);
            bench.host(n, |host| host.unit = if n <= active { UnitState::Active } else { UnitState::Activating });
        }
        let error = PortError::new(ErrorKind::Transient, "read through the quorum", "the API server", "it is not there");
        bench.obs.api.fold(Err(error.with_reason(reason)), bench.now);
        recognised(&bench, GateId::ControlPlane, &Subject::Cluster)
    }

    #[test]
    fn it_is_the_address_where_the_servers_themselves_are_there() {
        assert_eq!(named(Reason::ApiRefused, 2), Some(ENTRY.trap));
        assert_eq!(named(Reason::ApiRefused, 1), None, "the others still wait for a quorum");
        assert_eq!(named(Reason::EtcdUnhealthy, 3), None, "it answers, and says what is wrong");
    }
}
