//! The host booted another kernel, without a module that it needs.

use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::KernelChangedAtBoot,
    class: Class::FirstStep,
    often: Often::Medium,
    symptom: "the unit ends because a kernel module cannot be loaded",
    precondition: "none",
    budget: "none",
    effect: "names the module; which kernel is booted is a person's choice",
    evidence: &["https://github.com/pivpn/pivpn/issues/1175", "https://github.com/MichaIng/DietPi/issues/7665"],
    diagnosis: Some(Diagnosis { gates: &[GateId::ControlPlane, GateId::NodesReady, GateId::HostHealth], find, remake: None }),
};

const WORDS: &[&str] = &["modprobe: fatal: module", "could not insert", "failed to load kernel module"];

fn find(case: &Case<'_>) -> Option<Finding> {
    let said = case.logged(WORDS)?;
    Some(Finding::new(
        format!("a kernel module is missing: {}", said.quoted()),
        format!(
            "on {}: compare `uname -r` with the kernel of the day before (`last reboot`), and boot that one or install its modules",
            said.place()
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trap::testing::of_log;

    /// As it is told, and what is near and is not it.
    const YES: &str = "modprobe: FATAL: Module br_netfilter not found in directory /lib/modules/6.12.48+rpt-rpi-2712";
    const NO: &str = "Module br_netfilter was already loaded";

    #[test]
    fn it_is_known_by_its_words() {
        assert_eq!(of_log(YES), Some(ENTRY.trap));
        assert_ne!(of_log(NO), Some(ENTRY.trap));
    }
}
