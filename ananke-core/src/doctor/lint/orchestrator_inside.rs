//! What a shutdown needs runs on what it stops: Ananke itself, the upsd that says when, or all that would tell of an outage.

use super::super::map::{ClusterMap, Workload};
use super::{Finding, Lint};
use crate::power::UpsSpec;
use crate::spec::Spec;

pub(super) fn look(map: &ClusterMap, spec: &Spec) -> Vec<Finding> {
    let ananke = is_node(map, &spec.holder).then(|| {
        let what = "Ananke runs on a node of the cluster: the shutdown of that host ends it, and nothing outside sees the rest";
        Finding::new(Lint::OrchestratorInside, &spec.holder, what, "run it on a host that is no node of the cluster")
    });
    let upses = spec.power.upses.iter().filter_map(|ups| of_ups(map, ups));
    // Where Ananke hears a UPS itself, another listener inside takes nothing away.
    let agents = map.workloads.iter().filter(|_| spec.power.upses.is_empty()).filter_map(of_agent);
    ananke.into_iter().chain(upses).chain(agents).collect()
}

/// Programs that hear a UPS, as their images are called: upsd and upsmon of NUT, apcupsd, PeaNUT.
const AGENTS: &[&str] = &["upsd", "upsmon", "apcupsd", "peanut"];

fn of_agent(workload: &Workload) -> Option<Finding> {
    let agent = workload.images.iter().find_map(|of| agent(&of.image))?;
    let what = format!("its {agent} is all that hears a UPS, as far as the config says: it is silent once the cluster stops");
    let to_do = "run upsd on a host that is stopped last, and is no node, and name its UPS under ups";
    Some(Finding::new(Lint::OrchestratorInside, &workload.object, what, to_do))
}

/// By a whole word of the repository's path; tag, digest and registry say nothing.
fn agent(image: &str) -> Option<&'static str> {
    let path = image.split('@').next()?;
    let path = path.rsplit_once('/').map_or(path, |(_, last)| last).split(':').next()?;
    let words: Vec<&str> = path.split(['-', '_', '.']).collect();
    AGENTS.iter().copied().find(|agent| words.contains(agent))
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
    fn a_listener_inside_is_found_where_ananke_hears_no_ups() {
        let mut lab = lab();
        let mut spec = spec(&["titan-01"]);
        lab.deployment("power", "nut", "docker.io/instantlinux/nut-upsd:2.8.3-r2@sha256:00");
        lab.deployment("power", "peanut", "brandawg93/peanut:5");
        lab.deployment("power", "exporter", "ghcr.io/druggeri/nut_exporter:3");
        lab.deployment("home", "upsd-like", "registry.example/upsd/backups:1");
        check(
            &look(&lab.map, &spec),
            &[
                "Deployment power/nut: its upsd is all that hears a UPS, as far as the config says: it is silent once the cluster stops",
                "Deployment power/peanut: its peanut is all that hears a UPS, as far as the config says: it is silent once the cluster stops",
            ],
        );
        spec.power.upses = vec![UpsSpec::feeding_all("rack@ananke-01".into())];
        check(&look(&lab.map, &spec), &[]);
    }

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
