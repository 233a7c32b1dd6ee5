//! Hosts whose clock follows nothing: after a boot it may be off by years, and certificates are not valid then.

use super::super::map::ClusterMap;
use super::{Finding, Lint};

pub(super) fn look(map: &ClusterMap) -> Vec<Finding> {
    let finding = |(node, what): (_, &str)| {
        let to_do = "run a time service on it (systemd-timesyncd, chrony), best with a source on the local network";
        Finding::new(Lint::ClockNotSynced, node, what, to_do)
    };
    let hosts = map.hosts.iter().filter_map(|(node, host)| match host.clock_synced {
        Some(true) => None,
        Some(false) => Some((node, "its clock follows no time source")),
        None => Some((node, "nothing on it tells whether its clock follows a time source")),
    });
    hosts.map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::map::HostFacts;
    use super::super::super::testing::{check, lab, node};
    use super::*;

    #[test]
    fn a_clock_must_be_known_to_follow_a_source() {
        for (clock_synced, expected) in [
            (Some(true), &[][..]),
            (Some(false), &["titan-01: its clock follows no time source"]),
            (None, &["titan-01: nothing on it tells whether its clock follows a time source"]),
        ] {
            let mut lab = lab();
            lab.map.hosts.insert(node("titan-01"), HostFacts { clock_synced, ..HostFacts::default() });
            check(&look(&lab.map), expected);
        }
    }
}
