//! Flags of Ceph that somebody set for the shutdown are still set.

use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::verdict::{GateId, Reason, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::CephFlagsLeftSet,
    class: Class::FirstStep,
    often: Often::Medium,
    symptom: "OSDMAP_FLAGS among the checks of a CephCluster names noout, norebalance, norecover, nobackfill or pause",
    precondition: "Rook has looked at Ceph since the cluster came up",
    budget: "waits for the gate's deadline",
    effect: "waits for whoever set them; then names the flags, what is still down, and the commands. Ananke's shutdown sets no flag of Ceph, so none is its own to take back",
    evidence: &[
        "https://github.com/adampetrovic/home-ops/pull/3316",
        "https://github.com/rook/rook/issues/14995",
        "https://github.com/ffind-dev/pve-ups/issues/1",
    ],
    diagnosis: Some(Diagnosis { gates: &[GateId::Storage], find, remake: None }),
};

fn find(case: &Case<'_>) -> Option<Finding> {
    (case.blocker.reason == Reason::CephFlagsSet).then(|| Finding::as_told(case))
}

#[cfg(test)]
mod tests {
    use crate::gate::testing::Bench;
    use crate::name::{Kind, Moment, ObjectRef, Subject};
    use crate::observation::CephState;
    use crate::trap::testing::recognised;
    use crate::verdict::{GateId, Trap, Verdict};

    fn bench(checked: &str, checks: &[(&str, &str)]) -> (Bench, Subject) {
        let mut bench = Bench::new(1);
        bench.all_up();
        let object = ObjectRef::new(Kind::CephCluster, "rook-ceph", "rook-ceph");
        let checks = checks.iter().map(|(check, message)| ((*check).into(), (*message).into())).collect();
        let state = CephState { object: object.clone(), checked: Moment::parse(checked).ok(), checks };
        bench.storage(|storage| storage.ceph = vec![state]);
        (bench, Subject::Object(object))
    }

    fn named(checked: &str, checks: &[(&str, &str)]) -> Option<Trap> {
        let (bench, subject) = bench(checked, checks);
        recognised(&bench, GateId::Storage, &subject)
    }

    fn told(checks: &[(&str, &str)]) -> String {
        let (bench, subject) = bench("2026-03-14T02:05:00Z", checks);
        let storage = crate::gate::STARTUP.iter().find(|row| row.id == GateId::Storage).unwrap();
        match (storage.evaluate)(&bench.view()).subjects.remove(&subject) {
            Some(Verdict::Hold(blocker)) => blocker.if_it_lasts,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn flags_that_hinder_are_told_and_others_are_a_choice() {
        let since = "2026-03-14T02:05:00Z";
        let left = Some(Trap::CephFlagsLeftSet);
        assert_eq!(named(since, &[("OSDMAP_FLAGS", "noout,norebalance flag(s) set")]), left);
        assert_eq!(named(since, &[("OSDMAP_FLAGS", "pauserd,pausewr flag(s) set")]), left);
        assert_eq!(named(since, &[("OSDMAP_FLAGS", "noscrub,nodeep-scrub flag(s) set")]), None);
        assert_eq!(named(since, &[("OSD_FLAGS", "1 OSDs or CRUSH {nodes, device-classes} have {NOOUT} flags set")]), None);
        let before = "2026-03-14T01:10:00Z";
        assert_eq!(named(before, &[("OSDMAP_FLAGS", "noout flag(s) set")]), None, "nobody has looked since");
    }

    #[test]
    fn what_is_down_comes_before_the_flags_whatever_health_is_called() {
        let flags = ("OSDMAP_FLAGS", "noout,pauserd,pausewr flag(s) set");
        let whole = told(&[flags, ("PG_NOT_SCRUBBED", "12 pgs not scrubbed in time")]);
        assert!(whole.starts_with("Ceph says of nothing that it is down: once `ceph status`"), "{whole}");
        assert!(whole.ends_with("namespace rook-ceph: `ceph osd unset noout`, `ceph osd unset pause`"), "{whole}");
        let down = told(&[flags, ("OSD_DOWN", "1 osds down")]);
        assert!(
            down.starts_with("first see to what is not well") && down.contains("OSD_DOWN (1 osds down); then, once"),
            "{down}"
        );
    }
}
