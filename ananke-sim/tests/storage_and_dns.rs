//! Drills in which storage or cluster DNS does not come back: one instruction for the root, and nothing else is given up.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use ananke_core::verdict::{GateId, Reason};
use ananke_sim::drill::{self, Drill, Ending};
use ananke_sim::{Fault, Scenario};

fn drill(fault: Fault, seed: u64) -> Drill {
    let drill = drill::run(&Scenario::default().with_nodes(6).with_fault(fault, None), seed).unwrap();
    assert_eq!((drill.outcome, &drill.violations), (Ending::Manual, &Vec::new()), "{fault}: {}", drill.story.join("\n"));
    drill
}

fn told(drill: &Drill) -> Vec<(String, GateId, Option<Reason>)> {
    drill.report.manual.iter().map(|action| (action.subject.to_string(), action.gate, action.reason)).collect()
}

#[test]
fn a_driver_that_does_not_register_is_one_instruction_for_its_node() {
    for seed in [1, 2] {
        let drill = drill(Fault::CsiNotRegistered, seed);
        assert_eq!(told(&drill), [("titan-06".to_owned(), GateId::Storage, Some(Reason::DriverNotRegistered))], "seed {seed}");
    }
}

#[test]
fn a_faulted_volume_is_one_instruction_and_what_stands_on_it_follows() {
    for seed in [1, 2] {
        let drill = drill(Fault::VolumeFaulted, seed);
        let claim = "PersistentVolumeClaim home/data-mosquitto-0".to_owned();
        assert_eq!(told(&drill), [(claim, GateId::Storage, Some(Reason::VolumeFaulted))], "seed {seed}");
        let held = &drill.report.manual[0].holds_back;
        assert!(held.iter().any(|subject| subject.to_string() == "StatefulSet home/zigbee2mqtt"), "{held:?}");
    }
}

#[test]
fn cluster_dns_that_crashes_is_one_instruction() {
    for seed in [1, 2] {
        let drill = drill(Fault::DnsDown, seed);
        let dns = "Deployment kube-system/coredns".to_owned();
        assert_eq!(told(&drill), [(dns, GateId::Workloads, Some(Reason::PodCrashLoop))], "seed {seed}");
    }
}

#[test]
fn a_power_loss_proves_storage_dns_foundation_and_endpoints() {
    let drill = drill::run(&Scenario::default().with_nodes(6), 1).unwrap();
    assert_eq!((drill.outcome, &drill.violations), (Ending::Recovered, &Vec::new()), "{}", drill.story.join("\n"));
    let subjects = |gate: GateId| drill.gates.iter().find(|found| found.id == gate).unwrap().subjects;
    // Every node and the claims of the StatefulSets; CoreDNS; Gitea and Harbor at least; a Service for each ingress host.
    let [storage, dns, foundation, endpoints] =
        [GateId::Storage, GateId::DnsCni, GateId::Foundation, GateId::Endpoints].map(subjects);
    assert!(storage > 30 && dns == 1 && foundation >= 2 && endpoints > 10, "{storage} {dns} {foundation} {endpoints}");
}
