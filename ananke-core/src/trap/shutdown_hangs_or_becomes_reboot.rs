//! A host that was ordered off goes on answering, or has booted again.

use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::phase::powered_off::{self, Disobeys};
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::ShutdownHangs,
    class: Class::FirstStep,
    often: Often::Medium,
    symptom: "in a shutdown with --mode poweroff a host answers a minute after it was ordered off, or is up for less long than that",
    precondition: "force only where nothing of the cluster runs on the host any more",
    budget: "two orders, and one by force (`systemctl poweroff --force`)",
    effect: "orders it off again, by force where it hangs; then its button is a person's. What an HA manager of a hypervisor starts again looks the same, and is named with it",
    evidence: &[
        "https://github.com/siderolabs/talos/issues/14404",
        "https://github.com/siderolabs/talos/issues/7854",
        "https://github.com/siderolabs/talos/issues/11775",
    ],
    diagnosis: Some(Diagnosis { gates: &[GateId::PoweredOff], find, remake: None }),
};

fn find(case: &Case<'_>) -> Option<Finding> {
    let node = case.node_name()?;
    let (text, instruction) = match powered_off::disobeys(case.view, node)? {
        Disobeys::Hangs => (
            "was ordered off and does not go down",
            format!(
                "at {node}: `systemctl list-jobs` names what does not stop; if nothing of the cluster writes there, hold its power button"
            ),
        ),
        Disobeys::Rebooted => (
            "was ordered off and has booted again",
            format!(
                "at {node}: `last -x shutdown reboot` tells which it was; a hypervisor's HA manager starts its guests again until it is \
                 told to stop them. Then switch {node} off"
            ),
        ),
    };
    Some(Finding::new(text, instruction))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::gate::testing::{Bench, node};
    use crate::name::Subject;
    use crate::order::{HostOrder, Order};
    use crate::spec::ShutdownMode;
    use crate::verdict::Verdict;

    fn named(seconds: u64, uptime: u64, ordered: bool) -> Option<String> {
        let mut bench = Bench::new(2);
        bench.all_up();
        bench.spec.shutdown.mode = ShutdownMode::Poweroff;
        bench.open(GateId::PoweredOff);
        if ordered {
            bench.done(&Order::Host { node: node(2), order: HostOrder::PowerOff });
        }
        bench.now = bench.now.plus(Duration::from_secs(seconds));
        bench.host_up(2);
        bench.host(2, |host| host.uptime = Duration::from_secs(uptime));
        let phase = crate::phase::SHUTDOWN.iter().find(|row| row.id == GateId::PoweredOff).unwrap();
        let mut judgement = (phase.evaluate)(&bench.view());
        crate::trap::explain(&bench.view(), GateId::PoweredOff, &mut judgement);
        let verdict = judgement.subjects.get(&Subject::Node(node(2)))?;
        (verdict.trap() == Some(ENTRY.trap)).then(|| match verdict {
            Verdict::Hold(blocker) => blocker.text.clone(),
            Verdict::Pass(_) | Verdict::Unknown(_) => String::new(),
        })
    }

    #[test]
    fn it_is_a_host_that_was_ordered_off_and_had_its_time() {
        assert_eq!(named(90, 4000, true).unwrap(), "n2 is on; was ordered off and does not go down");
        assert_eq!(named(90, 20, true).unwrap(), "n2 is on; was ordered off and has booted again");
        assert_eq!(named(30, 4000, true), None, "it is still stopping what runs on it");
        assert_eq!(named(90, 4000, false), None, "nobody told it");
    }
}
