//! What each trouble of the cluster is called, and who ends it.

use super::{ClusterTrouble, Way};

impl ClusterTrouble {
    /// Id, what it is, whether a node has it, and who ends it.
    #[expect(clippy::too_many_lines, reason = "a table")]
    pub const fn entry(self) -> (&'static str, &'static str, bool, Way) {
        match self {
            Self::LeftCordon => {
                ("node-left-cordoned", "a run of Ananke that the outage ended has left its cordon on the node", true, Way::Ananke)
            }
            Self::ForeignCordons => (
                "foreign-cordon",
                "somebody cordoned all nodes before the outage, and the pod of dashboards/homepage was evicted",
                false,
                Way::Person,
            ),
            Self::StaleAttachment => (
                "stale-volumeattachment-multi-attach",
                "the host stays dark, and somebody forced its pods away: their volumes are still attached there",
                true,
                Way::Person,
            ),
            Self::StuckAttachment => (
                "volumeattachment-being-deleted",
                "the attachment of the volume of media/navidrome is deleted, and its finalizer never goes",
                false,
                Way::Person,
            ),
            Self::ClosedWebhook => (
                "webhook-fail-closed-deadlock",
                "the pods of a policy engine were drained away, and its webhook must allow every new pod",
                false,
                Way::Person,
            ),
            Self::UsedUpRelease => (
                "helm-retries-exhausted",
                "the first HelmRelease used up its tries while nothing it needs was there",
                false,
                Way::Ananke,
            ),
            Self::LockedRelease => (
                "helm-operation-in-progress",
                "the outage cut off the upgrade of the last HelmRelease, whose record stays pending",
                false,
                Way::Person,
            ),
            Self::FailedInstall => {
                ("helm-remediation-destructive", "the last HelmRelease failed when it was first installed", false, Way::Person)
            }
            Self::NetworkPlugin => (
                "cni-not-ready",
                "the network plugin has written no configuration on the node until its pod there is made anew",
                true,
                Way::Ananke,
            ),
            Self::NodePlugin => (
                "csi-driver-not-registered",
                "the registrar of the CSI driver has lost the kubelet until the node plugin's pod is made anew",
                true,
                Way::Ananke,
            ),
            Self::AgentTaint => (
                "cilium-agent-taint-gap",
                "agents run and do not lift their taint until they are made anew, and the pod of dashboards/homepage was evicted",
                false,
                Way::Ananke,
            ),
            Self::RefusedCertificates => (
                "cert-manager-webhook-not-serving",
                "cert-manager's webhook has another authority than the API server knows until its pod is made anew",
                false,
                Way::Ananke,
            ),
            Self::LateNames => (
                "flux-source-cannot-resolve",
                "the resolver behind cluster DNS answers eight minutes after the mains",
                false,
                Way::Itself,
            ),
            Self::DeniedSource => ("flux-source-denied", "the deploy key of the Flux source was revoked", false, Way::Person),
            Self::LittleCharge => {
                ("ups-charge-too-low-to-start", "the outage has run the batteries down to 27 percent", false, Way::Itself)
            }
            Self::LatchedShutdown => (
                "ups-fsd-latched",
                "the UPS of the first rack still says FSD until somebody restarts its upsd after four minutes",
                false,
                Way::Itself,
            ),
            Self::OrphanedApi => (
                "apiservice-unavailable-ns-terminating",
                "the APIService of a metrics adapter is there, and the adapter is not",
                false,
                Way::Itself,
            ),
            Self::RebootLock => (
                "kured-lock-stuck",
                "kured has cordoned all nodes, one after the other, and its lock is held for a node that is no more",
                false,
                Way::Person,
            ),
            Self::WedgedController => (
                "flux-controller-wedged",
                "kustomize-controller does not reach source-controller until its pod is made anew",
                false,
                Way::Ananke,
            ),
            Self::SilentSpeakers => (
                "lb-vip-not-announced",
                "MetalLB's speakers run and announce no address until one is made anew",
                false,
                Way::Ananke,
            ),
            Self::OutOfService => (
                "out-of-service-taint-left",
                "somebody declared all nodes out of service while they were dark, and the taint is still there",
                false,
                Way::Person,
            ),
            Self::SickOsd => ("ceph-pgs-unavailable", "an OSD of Ceph finds another device than its own", false, Way::Person),
            Self::Herd => {
                ("thundering-herd", "six workloads are so slow for eight minutes that probes end them", false, Way::Itself)
            }
            Self::OtherAutomation => (
                "other-automation-fights-recovery",
                "kured reboots the node two and a half minutes after the mains",
                true,
                Way::Itself,
            ),
            Self::RebuildStorm => (
                "longhorn-rebuild-storm",
                "the volumes of four workloads are rebuilt for eight minutes, and these wait for them",
                false,
                Way::Itself,
            ),
            Self::Failback => (
                "lb-failback-too-early",
                "two minutes after the mains the address of the ingress moves to a node that is not ready, for eighty seconds",
                false,
                Way::Itself,
            ),
            Self::CephFlags => (
                "ceph-flags-left-set",
                "somebody set noout and norebalance on Ceph before the outage, and did not take them back",
                false,
                Way::Person,
            ),
            Self::Bypass => (
                "ups-loadoff-on-mains-disables-backup",
                "the UPS of the first rack was told to switch its load off with mains back, and stays in bypass",
                false,
                Way::Person,
            ),
            Self::MissedStarts => (
                "cronjob-missed-starts",
                "a CronJob of every minute was started for the last time two hours ago: its controller says so, and goes on with the next start",
                false,
                Way::Itself,
            ),
        }
    }
}
