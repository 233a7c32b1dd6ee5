//! A host goes down by itself in the middle of a shutdown, for a service of its own watches the UPS too.

use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::name::UnitName;
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::TwoShutdownBrains,
    class: Class::Person,
    often: Often::Medium,
    symptom: "in a shutdown a host that nobody ordered off answers no more, and a service on it acts on the UPS by itself",
    precondition: "the host was looked at before, and nut-monitor, apcupsd, pwrstatd or PowerChute was active there",
    budget: "none",
    effect: "names the host and the service; which of the two leads is a person's to say. The gate host-health notes such services at every start",
    evidence: &[
        "https://github.com/siderolabs/extensions/issues/1084",
        "https://github.com/siderolabs/extensions/issues/676",
        "https://blog.rommelporras.com/kubernetes-ups-monitoring/",
    ],
    diagnosis: Some(Diagnosis { gates: &[GateId::WorkersStopped, GateId::ServersStopped], find, remake: None }),
};

fn find(case: &Case<'_>) -> Option<Finding> {
    let (node, view) = (case.node_name()?, case.view);
    let ordered = view.history().tries("power-off", case.subject).count > 0;
    if view.host(node).is_ok() || ordered {
        return None;
    }
    let agents = &view.host_fact(node)?.last()?.health.agents;
    if agents.is_empty() {
        return None;
    }
    let agents: Vec<&str> = agents.iter().map(UnitName::as_str).collect();
    let (named, all) = (agents.join(", "), agents.join(" "));
    Some(Finding::new(
        format!("{named} on it watches the UPS too, and may have switched it off by itself"),
        format!(
            "look whether {node} is off; then let one lead: on {node} `systemctl disable --now {all}`, or give it so low a \
             threshold that it acts after Ananke's shutdown only"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::{Bench, node};
    use crate::name::Subject;
    use crate::order::{HostOrder, Order};
    use crate::port::{ErrorKind, PortError};
    use crate::verdict::Verdict;

    fn named(agents: &[&str], change: impl FnOnce(&mut Bench)) -> Option<Trap> {
        let mut bench = Bench::new(3);
        bench.all_up();
        bench.host(3, |host| host.health.agents = agents.iter().map(|name| UnitName::parse(name).unwrap()).collect());
        bench.open(GateId::WorkersStopped);
        change(&mut bench);
        bench.now = bench.now.plus(std::time::Duration::from_secs(60));
        let error = PortError::new(ErrorKind::Transient, "ssh", "n3", "no answer within 5 s");
        bench.obs.hosts.get_mut(&node(3)).unwrap().fold(Err(error), bench.now);
        bench.host_up(2);
        let phase = crate::phase::SHUTDOWN.iter().find(|row| row.id == GateId::WorkersStopped).unwrap();
        let mut judgement = (phase.evaluate)(&bench.view());
        crate::trap::explain(&bench.view(), GateId::WorkersStopped, &mut judgement);
        judgement.subjects.get(&Subject::Node(node(3))).and_then(Verdict::trap)
    }

    #[test]
    fn it_is_a_host_with_an_agent_of_its_own_that_nobody_ordered_off() {
        assert_eq!(named(&["nut-monitor"], |_| {}), Some(ENTRY.trap));
        assert_eq!(named(&[], |_| {}), None, "it may be a broken cable");
        let ordered = |bench: &mut Bench| bench.done(&Order::Host { node: node(3), order: HostOrder::PowerOff });
        assert_eq!(named(&["nut-monitor"], ordered), None, "it went as it was told");
    }
}
