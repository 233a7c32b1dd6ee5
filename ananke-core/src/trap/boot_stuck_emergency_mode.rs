//! A host came up as far as a maintenance shell, and waits there for somebody at its console.

use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::verdict::{GateId, Reason, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::BootStuckEmergencyMode,
    class: Class::Person,
    often: Often::Medium,
    symptom: "its kernel refuses connections on the port of SSH, and its kubelet is silent though the API answers",
    precondition: "none",
    budget: "none",
    effect: "sends a person to its console, with what stops a boot most often",
    evidence: &[
        "https://quirky-guy.com/on-premise-kubernetes-power-ubuntu",
        "https://docs.crud-in-the.cloud/reference/linux/filesystem-recovery/",
    ],
    diagnosis: Some(Diagnosis { gates: &[GateId::NodeSsh], find, remake: None }),
};

fn find(case: &Case<'_>) -> Option<Finding> {
    let (node, view) = (case.node_name()?, case.view);
    let refused = view.host_fact(node)?.newest_failure()?.reason == Some(Reason::SshRefused);
    // Where nothing but its sshd is missing, its kubelet lives.
    let found = refused && view.api().is_ok() && view.node(node).is_ok() && view.kubelet_silent(node);
    found.then(|| {
        Finding::new(
            "its kernel answers, and neither its sshd nor its kubelet runs",
            format!(
                "at the console of {node}: if it shows a maintenance shell, `systemctl --failed` names what stopped the boot; \
                 run `fsck` on a file system that is not clean, give mounts in /etc/fstab that the boot does not need `nofail`, \
                 then `systemctl default`"
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::{Bench, node};
    use crate::name::Subject;
    use crate::port::{ErrorKind, PortError};
    use crate::trap::testing::recognised;

    fn named(reason: Reason, change: impl FnOnce(&mut Bench)) -> Option<Trap> {
        let mut bench = Bench::new(3);
        bench.all_up();
        change(&mut bench);
        let error = PortError::new(ErrorKind::Transient, "ssh", "n3", "connection refused on port 22").with_reason(reason);
        bench.obs.hosts.remove(&node(3));
        bench.obs.hosts.entry(node(3)).or_default().fold(Err(error), bench.now);
        recognised(&bench, GateId::NodeSsh, &Subject::Node(node(3)))
    }

    #[test]
    fn a_host_of_which_nothing_but_its_kernel_answers_is_stuck() {
        assert_eq!(named(Reason::SshRefused, |bench| bench.node_dies(3)), Some(ENTRY.trap));
        assert_eq!(named(Reason::SshRefused, |_| {}), None, "its kubelet lives: it is sshd alone");
        assert_eq!(named(Reason::HostUnreachable, |bench| bench.node_dies(3)), None, "nothing answers at all");
    }
}
