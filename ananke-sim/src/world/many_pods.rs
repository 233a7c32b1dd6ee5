//! Trouble of workloads that no world has by itself, and of many at once.

use ananke_core::name::{Kind as ObjectKind, ObjectRef};

use super::trouble::{Cure, Kind, Told, Warning};
use super::{Ms, World};

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

/// Events are kept longer; nobody looks later.
const SAID_FOR: Ms = 15 * 60_000;

/// A CronJob of every minute missed more than a hundred starts in this time.
const LATE: Ms = 2 * 60 * 60_000;

/// What Rook's operator says of its cluster.
#[derive(Debug, Clone)]
pub struct Ceph {
    pub object: ObjectRef,
    /// When it last looked: before the outage, or just now.
    pub checked: Ms,
    pub checks: Vec<(&'static str, &'static str)>,
}

impl World {
    /// The CronJob that missed its starts, and when it was last started.
    pub(crate) fn late_cron_job(&self) -> Option<(ObjectRef, Ms)> {
        let late = || (ObjectRef::new(ObjectKind::CronJob, "monitoring", "probe-targets"), -LATE);
        self.troubles.missed_starts.then(late)
    }

    /// The controller says it once, when it looks at the CronJob again.
    pub(super) fn missed_starts(&self) -> Option<Warning> {
        let (about, _) = self.late_cron_job()?;
        let now = self.controllers_work() && self.now - self.api_since() < SAID_FOR;
        now.then_some(Warning {
            about,
            reason: "TooManyMissedTimes",
            message: "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew",
        })
    }

    /// A Ceph cluster that was told not to move its data while its machines are down.
    pub(super) fn leave_flags(&mut self) {
        let operator = self.install(ObjectKind::Deployment, "rook-ceph", "rook-ceph-operator");
        self.workloads[operator].replicas = 1;
        self.mark_dirty(operator);
        self.troubles.flagged = Some(operator);
    }

    /// None where there is no Rook.
    pub fn ceph(&self) -> Option<Ceph> {
        let operator = &self.workloads[self.troubles.flagged?];
        let looks = operator.pods.iter().any(|pod| self.pods[*pod].serving);
        Some(Ceph {
            object: ObjectRef::new(ObjectKind::CephCluster, "rook-ceph", "rook-ceph"),
            checked: if looks { self.now - self.now % 60_000 } else { 0 },
            checks: vec![("OSDMAP_FLAGS", "noout,norebalance flag(s) set")],
        })
    }

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
