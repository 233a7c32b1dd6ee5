//! Hosts that ask a Service of this cluster for names: they cannot find a registry before it runs.

use std::collections::BTreeMap;

use super::super::map::ClusterMap;
use super::super::need::few;
use super::{Finding, Lint};
use crate::name::{NodeName, ObjectRef};

pub(super) fn look(map: &ClusterMap) -> Vec<Finding> {
    let mut asked: BTreeMap<&ObjectRef, Vec<&NodeName>> = BTreeMap::new();
    for (node, host) in &map.hosts {
        for service in &map.services {
            if host.nameservers.iter().any(|server| service.addresses.contains(server)) {
                asked.entry(&service.object).or_default().push(node);
            }
        }
    }
    let finding = |(service, nodes): (&ObjectRef, Vec<&NodeName>)| {
        let what = format!("the resolver of {} asks it, so their kubelets find no registry before it runs", few(&nodes));
        let to_do = "let the hosts ask a resolver outside of the cluster, the router's for one";
        Finding::new(Lint::NodeDnsInCluster, service, what, to_do)
    };
    asked.into_iter().map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::map::HostFacts;
    use super::super::super::testing::{check, lab, node};
    use super::*;

    #[test]
    fn a_resolver_that_is_a_service_is_found() {
        let mut lab = lab();
        lab.service("pihole", "dns", "192.168.22.53");
        let asks = |server: &str| HostFacts { nameservers: vec![server.parse().unwrap()], ..HostFacts::default() };
        lab.map.hosts.insert(node("titan-01"), asks("192.168.22.1"));
        check(&look(&lab.map), &[]);
        lab.map.hosts.insert(node("titan-02"), asks("192.168.22.53"));
        let found = "Service pihole/dns: the resolver of titan-02 asks it, so their kubelets find no registry before it runs";
        check(&look(&lab.map), &[found]);
    }
}
