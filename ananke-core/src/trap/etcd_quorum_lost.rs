//! So few members of etcd can start that they never have a quorum.

use super::{Case, Class, Diagnosis, Entry, Finding, Often, etcd_member_corrupt};
use crate::engine::view::{Trust, View};
use crate::verdict::{GateId, Reason, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::EtcdQuorumLost,
    class: Class::Person,
    often: Often::Medium,
    symptom: "for most of the time that the control plane has, a quorum of servers is dark or cannot read its own data",
    precondition: "none",
    budget: "none",
    effect: "names the servers whose machines must come back, the only cure that loses nothing; a reset of etcd is decided by a person",
    evidence: &[
        "https://github.com/k3s-io/k3s/issues/2227",
        "https://github.com/k3s-io/k3s/issues/3723",
        "https://etcd.io/docs/current/op-guide/recovery/",
    ],
    diagnosis: Some(Diagnosis { gates: &[GateId::ControlPlane], find, remake: None }),
};

fn find(case: &Case<'_>) -> Option<Finding> {
    let view = case.view;
    if answered(view) || !outlasts_a_boot(view) {
        return None;
    }
    let (mut dark, mut damaged, mut left) = (vec![], vec![], vec![]);
    for (name, node) in view.spec.servers() {
        let of = match view.known_host(name) {
            None if node.is_managed() => &mut dark,
            Some(_) if etcd_member_corrupt::damaged(view, name).is_some() => &mut damaged,
            // Where nobody is asked, nobody knows.
            None | Some(_) => &mut left,
        };
        of.push(name.as_str());
    }
    let all = view.spec.servers().count();
    // A store of one server has no quorum to lose.
    if all < 2 || left.len() >= view.spec.quorum() {
        return None;
    }
    let told = [(dark, "dark"), (damaged, "with damaged data")].into_iter().filter(|(servers, _)| !servers.is_empty());
    let told: Vec<String> = told.map(|(servers, how)| format!("{} {how}", servers.join(", "))).collect();
    let last = left.first().map_or_else(
        || "restore the newest snapshot of etcd on one of them".to_owned(),
        |server| view.spec.distribution.go_on_alone(server),
    );
    Some(Finding::new(
        format!("etcd has lost its quorum: {} of {all} members can start, {}", left.len(), told.join(", ")),
        format!(
            "bring these machines back first ({}): with their disks nothing is lost. Only if they never return, which loses what \
             they alone had written, {last}",
            told.join(", ")
        ),
    ))
}

/// It said no for a reason of its own: there is a quorum, or nobody knows that there is none.
fn answered(view: &View<'_>) -> bool {
    let reason = view.api_fact().newest_failure().and_then(|error| error.reason);
    matches!(reason, Some(Reason::ApiUnauthorized | Reason::ApiForbidden | Reason::ApiThrottled))
}

/// Hosts that check their disks take as long as nine minutes to boot: two thirds of the gate's own patience come first.
fn outlasts_a_boot(view: &View<'_>) -> bool {
    let opened = view.gate(GateId::ControlPlane).and_then(|gate| gate.opened);
    view.trust == Trust::Stated || opened.is_some_and(|at| view.has_passed(view.spec.deadline(GateId::ControlPlane) * 2 / 3, at))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::gate::testing::Bench;
    use crate::name::Subject;
    use crate::observation::UnitState;
    use crate::trap::testing::recognised;

    /// As etcd logs it.
    const TORN: &str = "{\"level\":\"fatal\",\"msg\":\"failed to recover v3 backend from snapshot\"}";

    fn named(minutes: u64, change: impl FnOnce(&mut Bench)) -> Option<Trap> {
        let mut bench = Bench::new(3);
        bench.servers(3);
        bench.open(GateId::ControlPlane);
        bench.now = bench.now.plus(Duration::from_secs(minutes * 60));
        (1..=3).for_each(|n| bench.host_up(n));
        (1..=3).for_each(|n| bench.host(n, |host| host.unit = UnitState::Activating));
        change(&mut bench);
        recognised(&bench, GateId::ControlPlane, &Subject::Cluster)
    }

    fn dark(bench: &mut Bench, n: usize) {
        bench.obs.hosts.remove(&crate::gate::testing::node(n));
    }

    #[test]
    fn it_is_a_quorum_that_cannot_start_and_not_one_that_is_slow() {
        let two = |bench: &mut Bench| [2, 3].into_iter().for_each(|n| dark(bench, n));
        assert_eq!(named(11, two), Some(ENTRY.trap));
        assert_eq!(named(5, two), None, "they may still boot");
        assert_eq!(named(11, |bench| dark(bench, 3)), None, "two of three are enough");
        assert_eq!(named(11, |_| {}), None, "all are there, and wait for each other");
    }

    #[test]
    fn a_member_that_cannot_read_its_data_is_no_member() {
        let torn = |bench: &mut Bench| bench.host(2, |host| host.words = vec![TORN.into()]);
        let both = |bench: &mut Bench| {
            dark(bench, 3);
            torn(bench);
        };
        assert_eq!(named(11, both), Some(ENTRY.trap));
        assert_eq!(named(11, torn), Some(Trap::EtcdMemberCorrupt), "the other two go on");
    }
}
