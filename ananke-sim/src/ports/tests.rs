use std::sync::Arc;

use ananke_core::name::{NodeName, UnitName};
use ananke_core::observation::{Tri, UnitState};
use ananke_core::port::{Clock, ClusterReads, ErrorKind, HostReads, ProbeRequest, Probes, UpsReads};
use ananke_core::spec::HostNeeds;

use super::SimPorts;
use crate::executor::Sim;
use crate::fault::Fault;
use crate::scenario::Scenario;
use crate::world::World;

fn sim(scenario: &str) -> (Sim, SimPorts) {
    let sim = Sim::new(World::new(&Scenario::named(scenario).unwrap(), 1));
    let ports = SimPorts::new(&sim);
    (sim, ports)
}

fn node(name: &str) -> NodeName {
    NodeName::parse(name).unwrap()
}

fn agent() -> UnitName {
    UnitName::parse("k3s-agent.service").unwrap()
}

#[test]
fn a_dark_host_is_given_up_after_five_seconds() {
    let (sim, ports) = sim("power-loss");
    let unit = agent();
    let error = sim.run(ports.inspect(&node("titan-09"), &unit, &HostNeeds::default()), 60_000).unwrap().unwrap_err();
    assert_eq!((error.kind, error.to_string().as_str()), (ErrorKind::Transient, "ssh on titan-09: no answer within 5 s"));
    assert_eq!(sim.world().now(), 5_000);
}

#[test]
fn a_host_says_which_boot_it_is_in_and_a_changed_key_is_never_trusted() {
    let (sim, ports) = sim("healthy");
    let unit = agent();
    let host = sim.run(ports.inspect(&node("titan-09"), &unit, &HostNeeds::default()), 60_000).unwrap().unwrap();
    assert_eq!((&host.boot_id, host.unit), (&sim.world().hosts()[8].boot_id, UnitState::Active));
    let server = sim.run(ports.inspect(&node("titan-01"), &unit, &HostNeeds::default()), 60_000).unwrap().unwrap();
    assert_eq!(server.unit, UnitState::NotFound);
    sim.world().inject(Fault::SshKeyChanged, Some(&node("titan-09"))).unwrap();
    let error = sim.run(ports.inspect(&node("titan-09"), &unit, &HostNeeds::default()), 60_000).unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Untrusted);
    assert!(error.remedy.unwrap().contains("ssh-keygen -R titan-09"));
}

#[test]
fn lists_are_the_same_until_something_changes_and_renewals_go_on() {
    let (sim, ports) = sim("healthy");
    let run = |span| sim.run(sim.delay(span), 600_000).unwrap();
    let pods = || sim.run(ports.pods(), 600_000).unwrap().unwrap();
    let nodes = || sim.run(ports.nodes(), 600_000).unwrap().unwrap();
    let (before, first) = (pods(), nodes());
    run(20_000);
    assert!(Arc::ptr_eq(&before, &pods()));
    let later = nodes();
    assert!(first.iter().zip(later.iter()).all(|(a, b)| b.renewed > a.renewed && a.version == b.version));
    sim.world().delete_pod("vault", "vault-2", None).unwrap();
    assert!(!Arc::ptr_eq(&before, &pods()));
}

#[test]
fn a_hanging_store_answers_lists_from_its_cache_and_stops_renewals() {
    let (sim, ports) = sim("healthy");
    sim.world().inject(Fault::StoreHang, None).unwrap();
    assert_eq!(sim.run(ports.health(), 600_000).unwrap().unwrap_err().kind, ErrorKind::Transient);
    let renewed = || sim.run(ports.nodes(), 600_000).unwrap().unwrap()[7].renewed;
    let first = renewed();
    sim.run(sim.delay(30_000), 600_000).unwrap();
    assert_eq!(renewed(), first);
    sim.run(sim.delay(30_000), 600_000).unwrap();
    assert!(renewed() > first);
    assert!(sim.run(ports.health(), 600_000).unwrap().is_ok());
}

#[test]
fn browsers_see_what_stands_behind_the_ingress() {
    let (sim, ports) = sim("healthy");
    let ask = |request: &ProbeRequest| sim.run(ports.ask(request), 600_000).unwrap();
    let get = |url: &str| ask(&ProbeRequest::plain(url.into())).map(|answer| answer.status);
    assert_eq!(get("https://scm.titan.example/"), Ok(200));
    assert_eq!(get("https://harbor.titan.example/v2/"), Ok(401));
    assert_eq!(get("https://nobody.titan.example"), Ok(404));
    let login = ask(&ProbeRequest {
        headers: [("location".into(), String::new())].into(),
        texts: vec!["302".to_owned(), "absent".to_owned()],
        ..ProbeRequest::plain("https://longhorn.titan.example/".into())
    });
    let login = login.unwrap();
    assert_eq!(login.location.as_deref(), Some("http://sso.titan.example/realms/titan/protocol/openid-connect/auth"));
    assert_eq!((login.status, login.missing), (302, vec!["absent".to_owned()]));
    sim.world()
        .scale(&ananke_core::name::ObjectRef::new(ananke_core::name::Kind::Deployment, "gitea", "gitea"), None, 0)
        .unwrap();
    sim.run(sim.delay(10_000), 600_000).unwrap();
    assert_eq!(get("https://scm.titan.example/"), Ok(503));
    let reading = sim.run(ports.read("rack-a@localhost"), 600_000).unwrap().unwrap();
    assert_eq!((reading.status, reading.charge_percent), (vec!["OL".into()], Some(100)));
}

#[test]
fn an_outage_looks_the_same_through_the_ports_each_time() {
    let watch = || {
        let (sim, ports) = sim("power-loss");
        let clock = sim.clock();
        let story = async {
            let mut lines = Vec::new();
            for _ in 0..150 {
                clock.sleep_until(clock.now().plus(std::time::Duration::from_secs(2))).await;
                let line = match ports.nodes().await {
                    Ok(nodes) => nodes.iter().filter(|node| node.ready == Tri::True).count().to_string(),
                    Err(error) => error.to_string(),
                };
                lines.push((clock.now(), line));
            }
            lines
        };
        sim.run(story, 3_600_000).unwrap()
    };
    let story = watch();
    assert_eq!(story, watch());
    assert_eq!(story[0].1, "list nodes on the API server: no answer within 5 s");
    assert!(story.iter().any(|(_, line)| line == "list nodes on the API server: connection refused"));
    assert_eq!(story.last().unwrap().1, "30");
}

#[test]
fn a_host_tells_what_is_missing_and_what_is_left() {
    let (sim, ports) = sim("healthy");
    sim.world().inject(Fault::MountMissing, Some(&node("titan-09"))).unwrap();
    let disk = ananke_core::name::HostPath::parse(crate::world::LONGHORN_DISK).unwrap();
    let needs = HostNeeds { mounts: vec![disk.clone()], ..HostNeeds::default() };
    let host = sim.run(ports.inspect(&node("titan-09"), &agent(), &needs), 60_000).unwrap().unwrap();
    assert_eq!((host.health.missing_mounts, host.health.clock_synced), (vec![disk], Some(true)));
    assert!(host.leftovers.shims > 0);
}

#[test]
fn snapshots_are_listed_where_etcd_runs() {
    let (sim, ports) = sim("healthy");
    let name = ananke_core::name::SnapshotName::parse("ananke-1").unwrap();
    sim.world().save_snapshot(&node("titan-01"), &name).unwrap();
    let list = |name: &'static str| sim.run(async { ports.snapshots(&node(name)).await }, 60_000).unwrap();
    assert_eq!((list("titan-01").unwrap().len(), list("titan-02").unwrap().len()), (1, 0));
    assert_eq!(list("titan-09").unwrap_err().kind, ErrorKind::Missing);
}
