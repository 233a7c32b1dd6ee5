//! What a shutdown needs runs on what it stops: Ananke itself, or the upsd that says when.

use super::super::map::ClusterMap;
use super::{Finding, Lint};
use crate::power::UpsSpec;
use crate::spec::Spec;

pub(super) fn look(map: &ClusterMap, spec: &Spec) -> Vec<Finding> {
    let ananke = is_node(map, &spec.holder).then(|| {
        let what = "Ananke runs on a node of the cluster: the shutdown of that host ends it, and nothing outside sees the rest";
        Finding::new(Lint::OrchestratorInside, &spec.holder, what, "run it on a host that is no node of the cluster")
    });
    let upses = spec.power.upses.iter().filter_map(|ups| of_ups(map, ups));
    ananke.into_iter().chain(upses).collect()
}

fn of_ups(map: &ClusterMap, ups: &UpsSpec) -> Option<Finding> {
    let (_, server) = ups.name.split_once('@')?;
    let host = server.rsplit_once(':').map_or(server, |(host, _)| host);
    let inside =
        if is_node(map, host) { format!("runs on the node {host}") } else { format!("is served by {}", served(map, host)?) };
    let what = format!("its upsd {inside}: batteries cannot be heard once the cluster stops");
    Some(Finding::new(Lint::OrchestratorInside, &ups.name, what, "run upsd on a host that is stopped last, and is no node"))
}

/// By its name, or by that in front of a domain.
fn is_node(map: &ClusterMap, host: &str) -> bool {
    let short = host.split('.').next().unwrap_or(host);
    map.nodes.iter().any(|node| node.name.as_str() == host || node.name.as_str() == short)
}

/// The Service or Ingress of the cluster behind a host.
fn served(map: &ClusterMap, host: &str) -> Option<String> {
    let address = host.parse().ok();
    let service = map.services.iter().find(|service| address.is_some_and(|address| service.addresses.contains(&address)));
    service.map(|service| service.object.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{check, lab, spec};
    use super::*;

    #[test]
    fn what_a_shutdown_needs_is_outside_of_what_it_stops() {
        let mut lab = lab();
        let mut spec = spec(&["titan-01", "titan-02"]);
        lab.service("power", "nut", "192.168.22.40");
        let ups = |name: &str| UpsSpec::feeding_all(name.into());
        spec.power.upses = vec![ups("rack@ananke-01"), ups("rack@192.168.22.2:3493"), ups("rack@titan-010.lan")];
        check(&look(&lab.map, &spec), &[]);
        spec.power.upses = vec![ups("rack@titan-01.lan:3493"), ups("rack@192.168.22.40")];
        spec.holder = "titan-02".to_owned();
        check(
            &look(&lab.map, &spec),
            &[
                "titan-02: Ananke runs on a node of the cluster: the shutdown of that host ends it, and nothing outside sees the rest",
                "rack@titan-01.lan:3493: its upsd runs on the node titan-01.lan: batteries cannot be heard once the cluster stops",
                "rack@192.168.22.40: its upsd is served by Service power/nut: batteries cannot be heard once the cluster stops",
            ],
        );
    }
}
