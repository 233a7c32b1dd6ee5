//! Images are rewritten to a registry that came back without that project.

use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::RegistryRewriteToMissingProxy,
    class: Class::Person,
    often: Often::Low,
    symptom: "pulls are refused as unauthorized by a registry in this cluster",
    precondition: "none",
    budget: "none",
    effect: "names the image; what the registry lost is a person's to restore",
    evidence: &["https://github.com/gandazgul/k8s-infrastructure/pull/167"],
    diagnosis: Some(Diagnosis { gates: &[GateId::Workloads, GateId::Foundation], find, remake: None }),
};

const WORDS: &[&str] = &["authentication required", "unauthorized", "pull access denied", "project not found"];

fn find(case: &Case<'_>) -> Option<Finding> {
    let said = case.said(WORDS)?;
    let host = case.inside_registry(said.text)?;
    let text = format!("the registry {host} of this cluster refuses the image: {}", said.quoted());
    Some(Finding::new(
        text,
        format!("look in {host} whether the project of that image still exists and may be read; its database may be from before"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trap::testing::of_bench;

    #[test]
    fn it_is_a_registry_of_this_cluster_that_refuses() {
        let refused = |host: &str| format!("Failed to pull image \"{host}/hub/nginx:1\": unauthorized: authentication required");
        let named = |message: String| {
            of_bench(|bench| {
                bench.ingress(&["harbor.titan.example"]);
                bench.pod("web-0", |pod| pod.message = message.as_str().into());
            })
        };
        assert_eq!(named(refused("harbor.titan.example")), Some(Trap::RegistryRewriteToMissingProxy));
        assert_eq!(named(refused("registry.elsewhere.example")), None, "credentials of a registry elsewhere");
        assert_eq!(named("harbor.titan.example/hub/nginx:1: not found".to_owned()), None);
    }
}
