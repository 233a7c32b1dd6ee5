//! Nodes ask a resolver for the registry that runs in the cluster, and it is not there yet.

use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::NodeDnsServedByCluster,
    class: Class::FirstStep,
    often: Often::Medium,
    symptom: "a pull fails because the resolver of the node does not answer",
    precondition: "none",
    budget: "waits for the gate's deadline",
    effect: "waits; then asks for another resolver on the node. `ananke doctor` finds it before the outage (node-dns-in-cluster)",
    evidence: &["https://github.com/k3s-io/k3s/issues/4486", "https://github.com/MoJo2600/pihole-kubernetes/issues/88"],
    diagnosis: Some(Diagnosis { gates: &[GateId::Workloads, GateId::Foundation], find, remake: None }),
};

const WORDS: &[&str] = &["failed to do request"];

fn find(case: &Case<'_>) -> Option<Finding> {
    let said = case.said(WORDS)?;
    // The resolver is asked at port 53; one that answers that there is no such host is there.
    let asked = said.text.contains("dial tcp: lookup ") && said.text.contains(":53");
    (asked && !said.text.contains("no such host")).then(|| {
        let place = said.place();
        Finding::new(
            format!("the resolver of {place} does not answer: {}", said.quoted()),
            format!(
                "on {place}: look at /etc/resolv.conf; if this cluster serves that resolver, let the hosts ask another (the router's) \
                 until it runs, and from then on before it"
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trap::testing::of_pod;

    /// As it is told, and what is near and is not it.
    const YES: &str = "Failed to pull image \"docker.io/pihole/pihole:2025.03\": failed to resolve reference: failed to do request: Head \"https://registry-1.docker.io/v2/pihole/pihole/manifests/2025.03\": dial tcp: lookup registry-1.docker.io on 192.168.1.53:53: read udp 192.168.1.11:41234->192.168.1.53:53: read: connection refused";
    const NO: &str = "Failed to pull image \"git.example/app:1\": failed to resolve reference: failed to do request: Head \"https://git.example/v2/app/manifests/1\": dial tcp: lookup git.example on 192.168.1.53:53: no such host";

    #[test]
    fn it_is_known_by_its_words() {
        assert_eq!(of_pod(YES), Some(ENTRY.trap));
        assert_ne!(of_pod(NO), Some(ENTRY.trap));
    }
}
