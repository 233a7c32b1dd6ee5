//! A monitor or an OSD of Ceph does not start.

use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::CephPgsUnavailable,
    class: Class::Person,
    often: Often::Medium,
    symptom: "a Deployment rook-ceph-mon-… or rook-ceph-osd-… does not become ready",
    precondition: "none",
    budget: "none",
    effect: "names the daemon, monitors before OSDs; nothing of Ceph is forced, since a lost monitor or a wrong device is decided by a person",
    evidence: &["https://github.com/rook/rook/issues/13048", "https://github.com/rook/rook/issues/5614"],
    diagnosis: Some(Diagnosis { gates: &[GateId::Workloads, GateId::Foundation], find, remake: None }),
};

const MONITOR: &str = "rook-ceph-mon-";
const OSD: &str = "rook-ceph-osd-";

fn find(case: &Case<'_>) -> Option<Finding> {
    let object = case.workload()?;
    let (name, namespace) = (&object.name, &object.namespace);
    if name.starts_with(MONITOR) {
        return Some(Finding::new(
            "without most of its monitors Ceph serves nothing",
            format!(
                "look at `kubectl logs deployment/{name} -n {namespace}`; a monitor whose store is lost is replaced as Rook's guide on disaster recovery says"
            ),
        ));
    }
    let id = name.strip_prefix(OSD).filter(|id| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()))?;
    let monitors = case.view.workloads().unwrap_or_default().iter().filter(|found| found.object.name.starts_with(MONITOR));
    let waiting = monitors.filter(|found| found.ready < found.desired).count();
    let text = match waiting {
        0 => format!("osd.{id} does not start: placement groups may be unavailable"),
        1 => format!("osd.{id} waits for the monitors, of which 1 is not ready"),
        _ => format!("osd.{id} waits for the monitors, of which {waiting} are not ready"),
    };
    let logs = format!("kubectl logs deployment/{name} -n {namespace} --all-containers");
    Some(Finding::new(
        text,
        format!(
            "look at `{logs}`: which device does it name, and is that of osd.{id}? Then at `ceph health detail` in the toolbox"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Kind;
    use crate::trap::testing::of_workload;

    #[test]
    fn it_is_a_daemon_of_ceph_and_not_what_stands_beside_it() {
        let named = |name: &str| of_workload(Kind::Deployment, name);
        assert_eq!(named("rook-ceph-mon-a"), Some(ENTRY.trap));
        assert_eq!(named("rook-ceph-osd-3"), Some(ENTRY.trap));
        assert_eq!(named("rook-ceph-osd-prepare"), None);
        assert_eq!(named("rook-ceph-tools"), None);
    }
}
