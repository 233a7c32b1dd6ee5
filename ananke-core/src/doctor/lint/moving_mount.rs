//! Mounts by a kernel's name for a disk, which the next boot may give to another one.

use super::super::map::ClusterMap;
use super::{Finding, Lint};

/// Names that are given out in the order in which disks are found.
const IN_ORDER: [&str; 5] = ["/dev/sd", "/dev/hd", "/dev/vd", "/dev/xvd", "/dev/nvme"];

pub(super) fn look(map: &ClusterMap) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (node, host) in &map.hosts {
        for mount in host.mounts.iter().filter(|mount| IN_ORDER.iter().any(|name| mount.source.starts_with(name))) {
            let what = format!("{} is mounted from {}, which may be another disk after a boot", mount.path, mount.source);
            let to_do = "name it by UUID= or LABEL= in /etc/fstab (blkid tells them), with nofail if the host boots without it";
            findings.push(Finding::new(Lint::MovingMount, node, what, to_do));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::super::map::{HostFacts, Mount};
    use super::super::super::testing::{check, lab, node};
    use super::*;

    #[test]
    fn a_disk_is_named_by_what_stays_with_it() {
        let found = "titan-01: /srv/data is mounted from /dev/sdb1, which may be another disk after a boot";
        for (source, expected) in [
            ("/dev/sdb1", &[found][..]),
            ("UUID=3f1c", &[]),
            ("/dev/disk/by-id/ata-x-part1", &[]),
            ("/dev/mapper/vg-data", &[]),
            ("nas.example:/export", &[]),
        ] {
            let mut lab = lab();
            let mounts = vec![Mount { source: source.into(), path: "/srv/data".into() }];
            lab.map.hosts.insert(node("titan-01"), HostFacts { mounts, ..HostFacts::default() });
            check(&look(&lab.map), expected);
        }
    }
}
