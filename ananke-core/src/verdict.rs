//! Three answers, each with a reason: `Pass`, `Hold`, `Unknown`. Only `Pass` lets anything go on; an error is `Unknown`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::fact::Gap;
use crate::name::Subject;

/// What a gate says of one subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// With the evidence, in one line.
    Pass(Cow<'static, str>),
    Hold(Blocker),
    Unknown(Unknown),
}

/// Not known, and what a person can look at if that lasts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unknown {
    pub gap: Gap,
    pub if_it_lasts: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocker {
    pub reason: Reason,
    /// One line for a person: what is, not what should be.
    pub text: String,
    pub kind: BlockerKind,
    /// What it was recognised as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trap: Option<Trap>,
    /// One concrete instruction, should the gate's deadline pass with this blocker.
    pub if_it_lasts: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BlockerKind {
    /// It can pass by itself.
    Waiting,
    /// Ananke has a remedy: the trap's id in `traps.md` terms.
    Repairable(Trap),
    /// Waiting cannot help: a person must act.
    Person,
    /// Broken because this subject is, which has its own blocker and instruction at another gate.
    Follows(Subject),
}

macro_rules! registry {
    ($(#[$doc:meta])* $type:ident { $($(#[$variant_doc:meta])* $variant:ident = $id:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $type { $($(#[$variant_doc])* #[serde(rename = $id)] $variant,)* }

        impl $type {
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The name that leaves the process: reports, journals, metrics.
            pub const fn id(self) -> &'static str {
                match self { $(Self::$variant => $id,)* }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.id())
            }
        }
    };
}

registry!(
    /// Gates of start-up and phases of shutdown.
    GateId {
        Guards = "guards",
        Inventory = "inventory",
        NodeSsh = "node-ssh",
        HostHealth = "host-health",
        ControlPlane = "control-plane",
        NodesReady = "nodes-ready",
        DnsCni = "dns-cni",
        Storage = "storage",
        Secrets = "secrets",
        Foundation = "foundation",
        FluxSource = "flux-source",
        Kustomizations = "kustomizations",
        Workloads = "workloads",
        Ingress = "ingress",
        Services = "services",
        Endpoints = "endpoints",
        Soak = "soak",
        IntentRecorded = "intent-recorded",
        FluxSuspended = "flux-suspended",
        EtcdSnapshot = "etcd-snapshot",
        Cordoned = "cordoned",
        Drained = "drained",
        VolumesDetached = "volumes-detached",
        WorkersStopped = "workers-stopped",
        PodsStopped = "pods-stopped",
        CordonsReleased = "cordons-released",
        ServersStopped = "servers-stopped",
        PoweredOff = "powered-off",
    }
);

registry!(
    /// Why a gate holds, or does not know.
    Reason {
        ShutdownIntent = "shutdown-intent",
        RoleIsPeer = "role-is-peer",
        OnBattery = "on-battery",
        ChargeLow = "charge-low",
        NoHostForNode = "no-host-for-node",
        DuplicateHost = "duplicate-host",
        HostKeyRefused = "host-key-refused",
        UnitNotRunning = "unit-not-running",
        UnitStarting = "unit-starting",
        UnitMissing = "unit-missing",
        NoQuorum = "no-quorum",
        ApiNotAnswering = "api-not-answering",
        NodeAbsent = "node-absent",
        NodeNotReady = "node-not-ready",
        HeartbeatNotSeen = "heartbeat-not-seen",
        HostUnreachable = "host-unreachable",
        BootIdDiffers = "boot-id-differs",
        ClocksApart = "clocks-apart",
        CordonOutstanding = "cordon-outstanding",
        NodeCordoned = "node-cordoned",
        ManualActionMarked = "manual-action-marked",
        SourceUrlDiffers = "source-url-differs",
        BranchDiffers = "branch-differs",
        BranchPinned = "branch-pinned",
        SourceAbsent = "source-absent",
        SourceNotReady = "source-not-ready",
        NotProvedThisBoot = "not-proved-this-boot",
        Suspended = "suspended",
        SuspendedByAnanke = "suspended-by-ananke",
        DependencyNotReady = "dependency-not-ready",
        KustomizationAbsent = "kustomization-absent",
        KustomizationNotReady = "kustomization-not-ready",
        RevisionBehind = "revision-behind",
        NamespaceAbsent = "namespace-absent",
        WorkloadNotConverged = "workload-not-converged",
        WorkloadAbsent = "workload-absent",
        PodsNotProved = "pods-not-proved",
        StatusRefused = "status-refused",
        NotHeldLongEnough = "not-held-long-enough",
        PodCrashLoop = "pod-crash-loop",
        ImagePullFailure = "image-pull-failure",
        IntentNotDurable = "intent-not-durable",
        NotSuspended = "not-suspended",
        NotCordoned = "not-cordoned",
        PodsLeft = "pods-left",
        BudgetBlocks = "budget-blocks",
        UnitRunning = "unit-running",
        ClockNotSynced = "clock-not-synced",
        PeerShutsDown = "peer-shuts-down",
        RootReadOnly = "root-read-only",
        MountMissing = "mount-missing",
        PackageMissing = "package-missing",
        UnitDown = "unit-down",
        EtcdUnhealthy = "etcd-unhealthy",
        CertificateInvalid = "certificate-invalid",
        DnsNotServing = "dns-not-serving",
        NetworkNotReady = "network-not-ready",
        DriverNotRegistered = "driver-not-registered",
        AttachmentStale = "attachment-stale",
        ClaimNotBound = "claim-not-bound",
        StorageNodeNotReady = "storage-node-not-ready",
        VolumeFaulted = "volume-faulted",
        VaultSealed = "vault-sealed",
        VaultNotInitialised = "vault-not-initialised",
        VaultNotAnswering = "vault-not-answering",
        HelmReleaseNotReady = "helm-release-not-ready",
        ScaledToZero = "scaled-to-zero",
        JobImmutable = "job-immutable",
        PodOnDeadNode = "pod-on-dead-node",
        RedirectDiffers = "redirect-differs",
        HeaderDiffers = "header-differs",
        BodyDiffers = "body-differs",
        NoEndpoints = "no-endpoints",
        CoordinationHeld = "coordination-held",
        TooManySick = "too-many-sick",
        SnapshotMissing = "snapshot-missing",
        VolumesAttached = "volumes-attached",
        PodsRunning = "pods-running",
        StillPowered = "still-powered",
        CutShort = "cut-short",
        ApiRefused = "api-refused",
        ApiTlsFailed = "api-tls-failed",
        ApiUnauthorized = "api-unauthorized",
        ApiForbidden = "api-forbidden",
        ApiThrottled = "api-throttled",
        ApiServerError = "api-server-error",
        ApiUnavailable = "api-unavailable",
        ApiTimeout = "api-timeout",
        ApiClosed = "api-closed",
        WebhookNotServing = "webhook-not-serving",
        DiskFull = "disk-full",
        SshRefused = "ssh-refused",
        MachineDiffers = "machine-differs",
        AddressNotAnswering = "address-not-answering",
        CephFlagsSet = "ceph-flags-set",
        UpsBypassed = "ups-bypassed",
        SshBroken = "ssh-broken",
        HostNotAsked = "host-not-asked",
    }
);

registry!(
    /// Traps that Ananke knows: [`crate::trap`] tells what each is.
    Trap {
        /// Units that a cluster-only shutdown stopped, or that did not start with the host.
        HostServiceNotEnabled = "host-service-not-enabled",
        ControlPlaneWaits = "control-plane-waits-for-first-server",
        NodeLeftCordoned = "node-left-cordoned",
        FluxArtifactReadyLie = "flux-artifact-ready-lie",
        FluxDependencyChainSlow = "flux-dependency-chain-slow",
        FluxSuspendedLooksReady = "flux-suspended-looks-ready",
        FluxWrongBranch = "flux-wrong-branch",
        NodeReadyButOff = "node-ready-but-off",
        KubeletWedged = "kubelet-wedged",
        FluxImmutableField = "flux-immutable-field",
        ScaledToZeroNotRestored = "scaled-to-zero-not-restored",
        PodTerminatingOnDeadNode = "pod-terminating-on-dead-node",
        VaultSealed = "vault-sealed",
        HelmRetriesExhausted = "helm-retries-exhausted",
        HostDark = "host-dark-no-ac-recovery",
        RootReadOnly = "root-filesystem-read-only",
        UpsPowerRaceHostsStayOff = "ups-power-race-hosts-stay-off",
        UpsChargeTooLowToStart = "ups-charge-too-low-to-start",
        SecondOutageMidRecovery = "second-outage-mid-recovery",
        UpsFlapOrSelftest = "ups-flap-or-selftest",
        UpsCommsLostDataStale = "ups-comms-lost-data-stale",
        UpsFsdLatched = "ups-fsd-latched",
        UpsLowBatteryFlagLies = "ups-low-battery-flag-lies",
        UpsStaleOnBatteryCounter = "ups-stale-on-battery-counter",
        DrainBlockedByPdb = "drain-blocked-by-pdb",
        ClockSkewNoRtc = "clock-skew-no-rtc",
        DataDiskNotMounted = "data-disk-not-mounted",
        FullDisruptionNoEvictions = "full-disruption-no-evictions",
        StaleVolumeattachmentMultiAttach = "stale-volumeattachment-multi-attach",
        VolumeattachmentBeingDeleted = "volumeattachment-being-deleted",
        LonghornVolumeFaulted = "longhorn-volume-faulted",
        WebhookFailClosedDeadlock = "webhook-fail-closed-deadlock",
        ApiserviceUnavailableNsTerminating = "apiservice-unavailable-ns-terminating",
        FluxSourceIsInClusterGit = "flux-source-is-in-cluster-git",
        HelmRemediationDestructive = "helm-remediation-destructive",
        NodeIpChanged = "node-ip-changed",
        SwapReEnabled = "swap-re-enabled",
        KernelChangedAtBoot = "kernel-changed-at-boot",
        EtcdMemberCorrupt = "etcd-member-corrupt",
        EtcdNospaceAlarm = "etcd-nospace-alarm",
        KineSqliteMalformed = "kine-sqlite-malformed",
        ControlPlaneCertsExpired = "control-plane-certs-expired",
        K3sNodePasswordRejected = "k3s-node-password-rejected",
        ContainerdMetadataCorrupt = "containerd-metadata-corrupt",
        ImageLayerCorrupt = "image-layer-corrupt",
        CniIpPoolLeaked = "cni-ip-pool-leaked",
        ForeignCordon = "foreign-cordon",
        LonghornMultipathdGrabsDevice = "longhorn-multipathd-grabs-device",
        PvcFilesystemDamaged = "pvc-filesystem-damaged",
        NfsStaleOrHung = "nfs-stale-or-hung",
        NasUpAfterCluster = "nas-up-after-cluster",
        RegistryRateLimited = "registry-rate-limited",
        PodUnknownContainerStatus = "pod-unknown-container-status",
        GaleraNoSafeBootstrap = "galera-no-safe-bootstrap",
        DiskPressureTaint = "disk-pressure-taint",
        CniNotReady = "cni-not-ready",
        CiliumAgentTaintGap = "cilium-agent-taint-gap",
        CorednsDown = "coredns-down",
        CsiDriverNotRegistered = "csi-driver-not-registered",
        LonghornWebhookLoop = "longhorn-webhook-loop",
        RegistryRewriteToMissingProxy = "registry-rewrite-to-missing-proxy",
        RegistryInClusterDeadlock = "registry-in-cluster-deadlock",
        FluxSourceDenied = "flux-source-denied",
        FluxSourceCannotResolve = "flux-source-cannot-resolve",
        HelmOperationInProgress = "helm-operation-in-progress",
        CertManagerWebhookNotServing = "cert-manager-webhook-not-serving",
        CrashloopBackoffLag = "crashloop-backoff-lag",
        PodShutdownLeftovers = "pod-shutdown-leftovers",
        PodUnexpectedAdmissionError = "pod-unexpected-admission-error",
        KuredLockStuck = "kured-lock-stuck",
        LonghornRwxShareManagerStale = "longhorn-rwx-share-manager-stale",
        ExternalSecretsBackoff = "external-secrets-backoff",
        FluxControllerWedged = "flux-controller-wedged",
        LbVipNotAnnounced = "lb-vip-not-announced",
        OutOfServiceTaintLeft = "out-of-service-taint-left",
        CephPgsUnavailable = "ceph-pgs-unavailable",
        ThunderingHerd = "thundering-herd",
        LonghornRebuildStorm = "longhorn-rebuild-storm",
        OtherAutomationFightsRecovery = "other-automation-fights-recovery",
        LbFailbackTooEarly = "lb-failback-too-early",
        BootStuckEmergencyMode = "boot-stuck-emergency-mode",
        ApiVipDeadlock = "api-vip-deadlock",
        NodeDnsServedByCluster = "node-dns-served-by-cluster",
        OrchestratorInsideBlastRadius = "orchestrator-inside-blast-radius",
        WanOrSwitchUpLate = "wan-or-switch-up-late",
        EtcdQuorumLost = "etcd-quorum-lost",
        CephFlagsLeftSet = "ceph-flags-left-set",
        StaleLeaderLease = "stale-leader-lease",
        CronjobMissedStarts = "cronjob-missed-starts",
        PostgresOperatorNoRecovery = "postgres-operator-no-recovery",
        ShutdownHangs = "shutdown-hangs-or-becomes-reboot",
        TwoShutdownBrains = "two-shutdown-brains",
        UpsLoadoffOnMains = "ups-loadoff-on-mains-disables-backup",
    }
);

impl Verdict {
    pub fn pass(evidence: impl Into<Cow<'static, str>>) -> Self {
        Self::Pass(evidence.into())
    }

    pub fn waiting(reason: Reason, text: impl Into<String>, if_it_lasts: impl Into<String>) -> Self {
        Self::hold(reason, text, BlockerKind::Waiting, if_it_lasts)
    }

    pub fn repairable(reason: Reason, trap: Trap, text: impl Into<String>, if_it_lasts: impl Into<String>) -> Self {
        Self::hold(reason, text, BlockerKind::Repairable(trap), if_it_lasts)
    }

    /// Waiting cannot help.
    pub fn person(reason: Reason, text: impl Into<String>, instruction: impl Into<String>) -> Self {
        Self::hold(reason, text, BlockerKind::Person, instruction)
    }

    pub fn follows(reason: Reason, cause: Subject, text: impl Into<String>) -> Self {
        let see = format!("see {cause}");
        Self::hold(reason, text, BlockerKind::Follows(cause), see)
    }

    /// The same, recognised as a trap, where there is one.
    #[must_use]
    pub(crate) fn known_as(mut self, trap: impl Into<Option<Trap>>) -> Self {
        if let (Self::Hold(blocker), Some(trap)) = (&mut self, trap.into()) {
            blocker.trap = Some(trap);
        }
        self
    }

    pub(crate) fn hold(reason: Reason, text: impl Into<String>, kind: BlockerKind, if_it_lasts: impl Into<String>) -> Self {
        let trap = match &kind {
            BlockerKind::Repairable(trap) => Some(*trap),
            BlockerKind::Waiting | BlockerKind::Person | BlockerKind::Follows(_) => None,
        };
        Self::Hold(Blocker { reason, text: text.into(), kind, trap, if_it_lasts: if_it_lasts.into() })
    }

    pub fn unknown(gap: Gap, if_it_lasts: impl Into<String>) -> Self {
        Self::Unknown(Unknown { gap, if_it_lasts: if_it_lasts.into() })
    }

    /// What is not done by now will not be: what comes after it is worth more.
    pub(crate) fn cut_short(&mut self) {
        let text = format!("cut short: {}", self.text());
        let if_it_lasts = match self {
            Self::Pass(_) => return,
            Self::Hold(blocker) => std::mem::take(&mut blocker.if_it_lasts),
            Self::Unknown(unknown) => std::mem::take(&mut unknown.if_it_lasts),
        };
        *self = Self::waiting(Reason::CutShort, text, if_it_lasts);
    }

    pub fn is_pass(&self) -> bool {
        matches!(self, Self::Pass(_))
    }

    /// The subject whose trouble this one only follows.
    pub fn cause(&self) -> Option<&Subject> {
        match self {
            Self::Hold(Blocker { kind: BlockerKind::Follows(cause), .. }) => Some(cause),
            Self::Hold(_) | Self::Pass(_) | Self::Unknown(_) => None,
        }
    }

    /// What a blocker was recognised as.
    pub fn trap(&self) -> Option<Trap> {
        match self {
            Self::Hold(blocker) => blocker.trap,
            Self::Pass(_) | Self::Unknown(_) => None,
        }
    }

    /// What machines call it; none for a pass, and where nobody can tell why something is not known.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Pass(_) => None,
            Self::Hold(blocker) => Some(blocker.reason),
            Self::Unknown(unknown) => unknown.gap.error.as_ref().and_then(|error| error.reason),
        }
    }

    /// One line for a person.
    pub fn text(&self) -> &str {
        match self {
            Self::Pass(evidence) => evidence,
            Self::Hold(blocker) => &blocker.text,
            Self::Unknown(unknown) => &unknown.gap.text,
        }
    }
}

/// What a gate says: one verdict per subject, and whether it has anything to judge at all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Judgement {
    pub subjects: BTreeMap<Subject, Verdict>,
    /// Why the gate does not apply to this cluster; then there are no subjects.
    pub not_applicable: Option<String>,
    /// Seen, and reported, but not waited for.
    pub notes: Vec<String>,
}

impl FromIterator<(Subject, Verdict)> for Judgement {
    fn from_iter<T: IntoIterator<Item = (Subject, Verdict)>>(subjects: T) -> Self {
        Self { subjects: subjects.into_iter().collect(), ..Self::default() }
    }
}

impl Judgement {
    pub fn of(subject: Subject, verdict: Verdict) -> Self {
        Self { subjects: BTreeMap::from([(subject, verdict)]), ..Self::default() }
    }

    pub fn not_applicable(why: impl Into<String>) -> Self {
        Self { not_applicable: Some(why.into()), ..Self::default() }
    }

    pub fn set(&mut self, subject: Subject, verdict: Verdict) {
        self.subjects.insert(subject, verdict);
    }

    pub fn passes(&self) -> bool {
        self.subjects.values().all(Verdict::is_pass)
    }

    pub fn counts(&self) -> (usize, usize) {
        (self.subjects.values().filter(|verdict| verdict.is_pass()).count(), self.subjects.len())
    }
}
