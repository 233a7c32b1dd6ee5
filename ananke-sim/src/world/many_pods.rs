//! Trouble of workloads that no world has by itself, and of many at once.

use ananke_core::name::Kind as ObjectKind;

use super::World;
use super::trouble::{Cure, Kind, Told};

/// The OSD that comes to the wrong device.
const OSD: Kind = Kind {
    id: "ceph-pgs-unavailable",
    doc: "",
    workload: "rook-ceph/rook-ceph-osd-0",
    reason: "CrashLoopBackOff",
    told: Told::Status,
    words: "back-off 5m0s restarting failed container=activate pod=rook-ceph-osd-0-5c4f7d_rook-ceph(7c1e)",
    cure: Cure::Person,
};

/// What is slow while everything starts.
const SLOW: Kind = Kind {
    id: "thundering-herd",
    doc: "",
    workload: "",
    reason: "ContainersNotReady",
    told: Told::Event("Unhealthy"),
    words: "Liveness probe failed: Get \"http://10.42.3.9:8080/healthz\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
    cure: Cure::Passes(8 * 60_000),
};
const HERD: &[(&str, &str)] = &[
    ("dashboards", "uptime-kuma"),
    ("office", "wallabag"),
    ("office", "miniflux"),
    ("media", "prowlarr"),
    ("media", "radarr"),
    ("velero", "velero"),
];

/// What stands on volumes that are being rebuilt.
const REBUILT: Kind = Kind { id: "longhorn-rebuild-storm", told: Told::Status, words: "", ..SLOW };
const ON_VOLUMES: &[(&str, &str)] =
    &[("media", "prowlarr"), ("media", "radarr"), ("media", "navidrome"), ("office", "paperless")];

impl World {
    pub(super) fn install_ceph(&mut self) {
        for (name, sick) in [("rook-ceph-mon-a", false), ("rook-ceph-osd-0", true)] {
            let row = self.install(ObjectKind::Deployment, "rook-ceph", name);
            self.workloads[row].replicas = 1;
            self.workloads[row].trouble = sick.then_some((OSD, self.now));
            self.mark_dirty(row);
        }
    }

    pub(super) fn rebuild_many(&mut self) -> Result<(), String> {
        for (namespace, name) in ON_VOLUMES {
            let row = self.row_of(namespace, name)?;
            self.rebuild_volumes(row, true);
            self.give_trouble(row, REBUILT);
        }
        Ok(())
    }

    pub(super) fn start_all_at_once(&mut self) -> Result<(), String> {
        for (namespace, name) in HERD {
            let row = self.row_of(namespace, name)?;
            self.give_trouble(row, SLOW);
        }
        Ok(())
    }
}
