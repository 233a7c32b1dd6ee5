//! The nodes are up before the way out of the site is.

use std::net::IpAddr;

use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::WanOrSwitchUpLate,
    class: Class::Auto,
    often: Often::Medium,
    symptom: "a pull fails because there is no way to the address of a registry outside",
    precondition: "none",
    budget: "waits for the gate's deadline",
    effect: "waits: kubelets try again by themselves",
    evidence: &["https://github.com/rancher/k3os/pull/554", "https://github.com/adampetrovic/home-ops/pull/3316"],
    diagnosis: Some(Diagnosis { gates: &[GateId::Workloads, GateId::Foundation], find, remake: None }),
};

const WORDS: &[&str] = &["connect: network is unreachable", "connect: no route to host"];

fn find(case: &Case<'_>) -> Option<Finding> {
    let said = case.said(WORDS)?;
    dialled(said.text).filter(|address| !is_of_the_site(*address))?;
    Some(Finding::new(
        format!("there is no way out of the site yet: {}", said.quoted()),
        format!("look at the router, the modem and the switch of {}: what it needs is outside", said.place()),
    ))
}

/// The address in `dial tcp 192.0.2.7:443: …`.
fn dialled(text: &str) -> Option<IpAddr> {
    let (_, rest) = text.split_once("dial tcp ")?;
    let (address, _) = rest.split_once(": ")?;
    address.parse::<std::net::SocketAddr>().ok().map(|socket| socket.ip())
}

fn is_of_the_site(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_private() || address.is_loopback() || address.is_link_local(),
        IpAddr::V6(address) => address.is_unique_local() || address.is_loopback() || address.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trap::testing::of_pod;

    /// As it is told, and what is near and is not it.
    const YES: &str = "Failed to pull image \"ghcr.io/app:1\": failed to do request: Head \"https://ghcr.io/v2/app/manifests/1\": dial tcp 140.82.121.33:443: connect: network is unreachable";
    const NO: &str = "Failed to pull image \"harbor.example/app:1\": failed to do request: Head \"https://harbor.example/v2/app/manifests/1\": dial tcp 192.168.1.9:443: connect: no route to host";

    #[test]
    fn it_is_known_by_its_words() {
        assert_eq!(of_pod(YES), Some(ENTRY.trap));
        assert_ne!(of_pod(NO), Some(ENTRY.trap));
        assert_ne!(of_pod("dial tcp: connect: network is unreachable"), Some(ENTRY.trap), "nobody knows where");
    }
}
