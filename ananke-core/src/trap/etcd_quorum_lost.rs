//! So few members of etcd can start that they never have a quorum.

use super::{Case, Class, Diagnosis, Entry, Finding, Often, etcd_member_corrupt};
use crate::engine::view::{Trust, View};
use crate::name::NodeName;
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
    // A single look cannot tell a machine that boots from one that is dead.
    let look = view.trust == Trust::Stated;
    if answered(view) || !(look || outlasts_a_boot(view)) {
        return None;
    }
    let (mut dark, mut damaged, mut left) = (vec![], vec![], vec![]);
    for (name, _) in view.spec.servers() {
        let of = match view.known_host(name) {
            None if !look && view.is_dark(name) => &mut dark,
            Some(_) if etcd_member_corrupt::damaged(view, name).is_some() => &mut damaged,
            // Where nobody is asked or let in, nobody knows.
            None | Some(_) => &mut left,
        };
        of.push(name);
    }
    let all = view.spec.servers().count();
    // A store of one server has no quorum to lose.
    if all < 2 || left.len() >= view.spec.quorum() {
        return None;
    }
    let told = [(dark, "dark"), (damaged, "with damaged data")].into_iter().filter(|(servers, _)| !servers.is_empty());
    let told: Vec<String> = told.map(|(servers, how)| format!("{} {how}", names(&servers))).collect();
    let alone = left.iter().find(|name| view.known_host(name).is_some()).or(left.first());
    let last = alone.map_or_else(
        || "restore the newest snapshot of etcd on one of them".to_owned(),
        |server| view.spec.distribution.go_on_alone(server.as_str()),
    );
    Some(Finding::new(
        format!("etcd has lost its quorum: at most {} of {all} members can start, {}", left.len(), told.join(", ")),
        format!(
            "bring these machines back first ({}): with their disks nothing is lost. Only if they never return, which loses what \
             they alone had written, {last}",
            told.join(", ")
        ),
    ))
}

fn names(servers: &[&NodeName]) -> String {
    servers.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ")
}

/// It said no for a reason of its own: there is a quorum, or nobody knows that there is none.
fn answered(view: &View<'_>) -> bool {
    let reason = view.api_fact().newest_failure().and_then(|error| error.reason);
    matches!(reason, Some(Reason::ApiUnauthorized | Reason::ApiForbidden | Reason::ApiThrottled))
}

/// Hosts that check their disks take as long as nine minutes to boot: two thirds of the gate's own patience come first.
fn outlasts_a_boot(view: &View<'_>) -> bool {
    let opened = view.gate(GateId::ControlPlane).and_then(|gate| gate.opened);
    opened.is_some_and(|at| view.has_passed(view.spec.deadline(GateId::ControlPlane) * 2 / 3, at))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::fact::Fact;
    use crate::gate::testing::{Bench, node};
    use crate::name::Subject;
    use crate::observation::UnitState;
    use crate::port::{ErrorKind, PortError};
    use crate::trap::evidence::Evidence;
    use crate::trap::testing::recognised;
    use crate::verdict::Verdict;

    /// As etcd logs it.
    const TORN: &str = "{\"level\":\"fatal\",\"msg\":\"failed to recover v3 backend from snapshot\"}";

    fn bench(minutes: u64) -> Bench {
        let mut bench = Bench::new(3);
        bench.servers(3);
        bench.open(GateId::ControlPlane);
        bench.now = bench.now.plus(Duration::from_secs(minutes * 60));
        (1..=3).for_each(|n| bench.host_up(n));
        (1..=3).for_each(|n| bench.host(n, |host| host.unit = UnitState::Activating));
        bench
    }

    fn named(minutes: u64, change: impl FnOnce(&mut Bench)) -> Option<Trap> {
        let mut bench = bench(minutes);
        change(&mut bench);
        recognised(&bench, GateId::ControlPlane, &Subject::Cluster)
    }

    fn found(view: &View<'_>) -> Option<Finding> {
        let verdict = Verdict::waiting(Reason::NoQuorum, "too few servers answer", "bring them up");
        let Verdict::Hold(blocker) = verdict else { return None };
        find(&Case::new(view, &Evidence::of(view), &Subject::Cluster, &blocker))
    }

    fn dark(bench: &mut Bench, n: usize) {
        fails(bench, n, ErrorKind::Transient, None);
    }

    /// The host was asked, and only this came of it.
    fn fails(bench: &mut Bench, n: usize, kind: ErrorKind, reason: Option<Reason>) {
        let mut error = PortError::new(kind, "connect", format!("n{n}"), "it did not let us in");
        error.reason = reason;
        let (mut fact, now) = (Fact::default(), bench.now);
        fact.fold(Err(error), now);
        bench.obs.hosts.insert(node(n), fact);
    }

    fn torn(bench: &mut Bench, n: usize) {
        bench.host(n, |host| host.words = vec![TORN.into()]);
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
        let both = |bench: &mut Bench| {
            dark(bench, 3);
            torn(bench, 2);
        };
        assert_eq!(named(11, both), Some(ENTRY.trap));
        assert_eq!(named(11, |bench| torn(bench, 2)), Some(Trap::EtcdMemberCorrupt), "the other two go on");
    }

    #[test]
    fn a_machine_that_runs_is_not_dark_though_nobody_gets_in() {
        let both = |kind, reason| named(11, |bench| [2, 3].into_iter().for_each(|n| fails(bench, n, kind, reason)));
        assert_eq!(both(ErrorKind::Transient, None), Some(ENTRY.trap));
        assert_eq!(both(ErrorKind::Untrusted, None), None, "their keys changed");
        assert_eq!(both(ErrorKind::Denied, None), None, "they deny us");
        assert_eq!(both(ErrorKind::Transient, Some(Reason::SshRefused)), None);
        assert_eq!(both(ErrorKind::Transient, Some(Reason::SshBroken)), None);
        assert_eq!(named(11, |bench| bench.obs.hosts.clear()), None, "nobody has been asked");
    }

    #[test]
    fn who_goes_on_alone_is_a_member_that_is_known_to_run() {
        let mut bench = bench(11);
        bench.spec.nodes.extend(Bench::new(5).spec.nodes.into_iter().skip(3));
        bench.servers(5);
        fails(&mut bench, 1, ErrorKind::Untrusted, None);
        torn(&mut bench, 2);
        [4, 5].into_iter().for_each(|n| dark(&mut bench, n));
        let Finding { text, instruction } = found(&bench.view()).unwrap();
        let told = "etcd has lost its quorum: at most 2 of 5 members can start, n4, n5 dark, n2 with damaged data";
        assert_eq!(text.as_deref(), Some(told));
        assert!(instruction.contains("on n3: copy"), "{instruction}");
    }

    #[test]
    fn a_single_look_believes_damage_and_no_silence() {
        let look = |change: &dyn Fn(&mut Bench, usize)| {
            let mut bench = bench(0);
            [2, 3].into_iter().for_each(|n| change(&mut bench, n));
            found(&View { trust: Trust::Stated, ..bench.view() }).is_some()
        };
        assert!(!look(&dark), "they may be booting");
        assert!(look(&torn));
    }
}
