//! Images come from a registry that runs in this cluster, and is not up.

use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::RegistryInClusterDeadlock,
    class: Class::FirstStep,
    often: Often::Medium,
    symptom: "pulls fail at a registry whose host leads to a workload of this cluster",
    precondition: "none",
    budget: "none",
    effect: "waits for the registry, which the gate foundation judges; what misses its own image is named",
    evidence: &["https://github.com/goharbor/harbor/issues/20524", "https://github.com/spegel-org/spegel/issues/2"],
    diagnosis: Some(Diagnosis { gates: &[GateId::Workloads, GateId::Foundation], find, remake: None }),
};

const WORDS: &[&str] = &["failed to pull image", "back-off pulling image", "failed to resolve reference"];

fn find(case: &Case<'_>) -> Option<Finding> {
    let said = case.said(WORDS)?;
    let host = case.inside_registry(said.text)?;
    let text = format!("its image comes from {host}, which this cluster serves itself: {}", said.quoted());
    Some(Finding::new(
        text,
        format!(
            "bring up the registry {host} first; if this is part of it, load its image on {} from an archive (`sudo k3s ctr images import`)",
            said.place()
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trap::testing::of_bench;

    #[test]
    fn a_registry_elsewhere_is_another_matter() {
        let named = |host: &str| {
            of_bench(|bench| {
                bench.ingress(&["harbor.titan.example"]);
                let text = format!("Back-off pulling image \"{host}/infra/gitea:1\"");
                bench.pod("web-0", |pod| pod.message = text.as_str().into());
            })
        };
        assert_eq!(named("harbor.titan.example"), Some(Trap::RegistryInClusterDeadlock));
        assert_eq!(named("quay.example"), None);
    }
}
