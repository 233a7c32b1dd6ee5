//! What can be made to go wrong: the registry that `ananke sim faults` prints.

use std::fmt;

use crate::world::{ApiFault, ClusterTrouble, Cure, PodTrouble, SiteTrouble, UnitTrouble, Way};

/// One kind of trouble. Most are there from the moment they are injected until the world ends;
/// those of the API are over after a minute, or when they are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    NeverBoots,
    StaysOff,
    Unplugged,
    SlowBoot,
    SshKeyChanged,
    SshdDown,
    SshNoisy,
    SshStalls,
    SshCuts,
    SudoPassword,
    UnitDisabled,
    NodeNeverReady,
    CsiNotRegistered,
    VolumeFaulted,
    DnsDown,
    KubeletWedged,
    RootReadOnly,
    RootReadOnlyOnce,
    DiskFull,
    MountMissing,
    ClockSkew,
    Api500,
    ApiRefused,
    StoreHang,
    ApiTls,
    ApiCertificate,
    ApiUnauthorized,
    ApiForbidsLeases,
    ApiForbidsNodes,
    ApiThrottles,
    ApiInternalError,
    ApiUnavailable,
    ApiTimesOut,
    ApiHangs,
    ApiCloses,
    StaleCache,
    WrongBranch,
    WorkloadCrashloop,
    ImmutableJob,
    ScaledToZero,
    VaultSealed,
    GitPruned,
    ImagesLost,
    Pod(PodTrouble),
    Unit(UnitTrouble),
    Cluster(ClusterTrouble),
    Site(SiteTrouble),
}

impl Fault {
    pub const ALL: &[Self] = &[
        Self::NeverBoots,
        Self::StaysOff,
        Self::Unplugged,
        Self::SlowBoot,
        Self::SshKeyChanged,
        Self::SshdDown,
        Self::SshNoisy,
        Self::SshStalls,
        Self::SshCuts,
        Self::SudoPassword,
        Self::UnitDisabled,
        Self::NodeNeverReady,
        Self::CsiNotRegistered,
        Self::VolumeFaulted,
        Self::DnsDown,
        Self::KubeletWedged,
        Self::RootReadOnly,
        Self::RootReadOnlyOnce,
        Self::DiskFull,
        Self::MountMissing,
        Self::ClockSkew,
        Self::Api500,
        Self::ApiRefused,
        Self::StoreHang,
        Self::ApiTls,
        Self::ApiCertificate,
        Self::ApiUnauthorized,
        Self::ApiForbidsLeases,
        Self::ApiForbidsNodes,
        Self::ApiThrottles,
        Self::ApiInternalError,
        Self::ApiUnavailable,
        Self::ApiTimesOut,
        Self::ApiHangs,
        Self::ApiCloses,
        Self::StaleCache,
        Self::WrongBranch,
        Self::WorkloadCrashloop,
        Self::ImmutableJob,
        Self::ScaledToZero,
        Self::VaultSealed,
        Self::GitPruned,
        Self::ImagesLost,
        Self::Pod(PodTrouble::WedgedDns),
        Self::Pod(PodTrouble::StaleMount),
        Self::Pod(PodTrouble::LateNas),
        Self::Pod(PodTrouble::LostContainer),
        Self::Pod(PodTrouble::BackOff),
        Self::Pod(PodTrouble::RateLimited),
        Self::Pod(PodTrouble::TornImage),
        Self::Pod(PodTrouble::TornVolume),
        Self::Pod(PodTrouble::Multipath),
        Self::Pod(PodTrouble::LeakedAddresses),
        Self::Pod(PodTrouble::LostSandboxes),
        Self::Pod(PodTrouble::MissingProject),
        Self::Pod(PodTrouble::ShutdownLeftover),
        Self::Pod(PodTrouble::TurnedAway),
        Self::Pod(PodTrouble::StaleShare),
        Self::Pod(PodTrouble::MissingSecret),
        Self::Pod(PodTrouble::NodeResolver),
        Self::Pod(PodTrouble::LateWan),
        Self::Pod(PodTrouble::NoPrimary),
        Self::Pod(PodTrouble::StaleLeader),
        Self::Pod(PodTrouble::LostReplicas),
        Self::Unit(UnitTrouble::Address),
        Self::Unit(UnitTrouble::Swap),
        Self::Unit(UnitTrouble::Kernel),
        Self::Unit(UnitTrouble::Etcd),
        Self::Unit(UnitTrouble::Certificates),
        Self::Unit(UnitTrouble::Password),
        Self::Unit(UnitTrouble::Database),
        Self::Cluster(ClusterTrouble::LeftCordon),
        Self::Cluster(ClusterTrouble::ForeignCordons),
        Self::Cluster(ClusterTrouble::StaleAttachment),
        Self::Cluster(ClusterTrouble::StuckAttachment),
        Self::Cluster(ClusterTrouble::ClosedWebhook),
        Self::Cluster(ClusterTrouble::UsedUpRelease),
        Self::Cluster(ClusterTrouble::LockedRelease),
        Self::Cluster(ClusterTrouble::FailedInstall),
        Self::Cluster(ClusterTrouble::NetworkPlugin),
        Self::Cluster(ClusterTrouble::NodePlugin),
        Self::Cluster(ClusterTrouble::AgentTaint),
        Self::Cluster(ClusterTrouble::RefusedCertificates),
        Self::Cluster(ClusterTrouble::LateNames),
        Self::Cluster(ClusterTrouble::DeniedSource),
        Self::Cluster(ClusterTrouble::LittleCharge),
        Self::Cluster(ClusterTrouble::LatchedShutdown),
        Self::Cluster(ClusterTrouble::OrphanedApi),
        Self::Cluster(ClusterTrouble::RebootLock),
        Self::Cluster(ClusterTrouble::WedgedController),
        Self::Cluster(ClusterTrouble::SilentSpeakers),
        Self::Cluster(ClusterTrouble::OutOfService),
        Self::Cluster(ClusterTrouble::SickOsd),
        Self::Cluster(ClusterTrouble::Herd),
        Self::Cluster(ClusterTrouble::OtherAutomation),
        Self::Cluster(ClusterTrouble::RebuildStorm),
        Self::Cluster(ClusterTrouble::Failback),
        Self::Cluster(ClusterTrouble::CephFlags),
        Self::Cluster(ClusterTrouble::Bypass),
        Self::Cluster(ClusterTrouble::MissedStarts),
        Self::Site(SiteTrouble::NoSpace),
        Self::Site(SiteTrouble::DiskPressure),
        Self::Site(SiteTrouble::WaitsForItself),
        Self::Site(SiteTrouble::LostAddress),
        Self::Site(SiteTrouble::Emergency),
        Self::Site(SiteTrouble::LostServers),
        Self::Site(SiteTrouble::OwnAgent),
        Self::Site(SiteTrouble::Hangs),
    ];

    pub fn id(self) -> &'static str {
        self.entry().0
    }

    /// One line for a person.
    pub fn doc(self) -> &'static str {
        self.entry().1
    }

    pub fn needs_node(self) -> bool {
        self.entry().2
    }

    /// It is a server's alone.
    pub fn needs_server(self) -> bool {
        matches!(self, Self::Unit(UnitTrouble::Address | UnitTrouble::Etcd | UnitTrouble::Database))
    }

    /// It is no server's: what a quorum makes of it is told by servers that do not boot.
    pub fn needs_worker(self) -> bool {
        self == Self::Unplugged
    }

    /// Only a person at the machine can help.
    pub fn needs_person(self) -> bool {
        match self {
            Self::NeverBoots
            | Self::Unplugged
            | Self::SshKeyChanged
            | Self::SshdDown
            | Self::SshStalls
            | Self::SshCuts
            | Self::NodeNeverReady
            | Self::CsiNotRegistered
            | Self::VolumeFaulted
            | Self::DnsDown
            | Self::RootReadOnly
            | Self::DiskFull
            | Self::MountMissing
            | Self::ClockSkew
            | Self::WorkloadCrashloop
            | Self::Unit(_) => true,
            Self::Pod(trouble) => trouble.kind().cure == Cure::Person,
            Self::Cluster(trouble) => trouble.entry().3 == Way::Person,
            Self::Site(trouble) => trouble.entry().3 == Way::Person,
            Self::StaysOff
            | Self::SlowBoot
            | Self::SshNoisy
            | Self::SudoPassword
            | Self::UnitDisabled
            | Self::KubeletWedged
            | Self::RootReadOnlyOnce
            | Self::Api500
            | Self::ApiRefused
            | Self::StoreHang
            | Self::ApiTls
            | Self::ApiCertificate
            | Self::ApiUnauthorized
            | Self::ApiForbidsLeases
            | Self::ApiForbidsNodes
            | Self::ApiThrottles
            | Self::ApiInternalError
            | Self::ApiUnavailable
            | Self::ApiTimesOut
            | Self::ApiHangs
            | Self::ApiCloses
            | Self::StaleCache
            | Self::VaultSealed
            | Self::GitPruned
            | Self::ImagesLost
            | Self::ImmutableJob
            | Self::ScaledToZero
            | Self::WrongBranch => false,
        }
    }

    /// What it does to the API; such a fault lasts a while and is over.
    pub fn of_the_api(self) -> Option<ApiFault> {
        match self {
            Self::Api500 => Some(ApiFault::Answers500),
            Self::ApiRefused => Some(ApiFault::Refused),
            Self::StoreHang => Some(ApiFault::StoreHangs),
            Self::ApiTls => Some(ApiFault::TlsFails),
            Self::ApiCertificate => Some(ApiFault::WrongCertificate),
            Self::ApiUnauthorized => Some(ApiFault::Unauthorized),
            Self::ApiForbidsLeases => Some(ApiFault::ForbidsLeases),
            Self::ApiForbidsNodes => Some(ApiFault::ForbidsNodes),
            Self::ApiThrottles => Some(ApiFault::Throttles),
            Self::ApiInternalError => Some(ApiFault::InternalError),
            Self::ApiUnavailable => Some(ApiFault::Unavailable),
            Self::ApiTimesOut => Some(ApiFault::TimesOut),
            Self::ApiHangs => Some(ApiFault::Hangs),
            Self::ApiCloses => Some(ApiFault::Closes),
            Self::StaleCache => Some(ApiFault::StaleCache),
            Self::NeverBoots
            | Self::StaysOff
            | Self::Unplugged
            | Self::SlowBoot
            | Self::SshKeyChanged
            | Self::SshdDown
            | Self::SshNoisy
            | Self::SshStalls
            | Self::SshCuts
            | Self::SudoPassword
            | Self::UnitDisabled
            | Self::NodeNeverReady
            | Self::CsiNotRegistered
            | Self::VolumeFaulted
            | Self::DnsDown
            | Self::KubeletWedged
            | Self::RootReadOnly
            | Self::RootReadOnlyOnce
            | Self::DiskFull
            | Self::MountMissing
            | Self::ClockSkew
            | Self::WrongBranch
            | Self::WorkloadCrashloop
            | Self::ImmutableJob
            | Self::ScaledToZero
            | Self::VaultSealed
            | Self::GitPruned
            | Self::ImagesLost
            | Self::Pod(_)
            | Self::Unit(_)
            | Self::Cluster(_)
            | Self::Site(_) => None,
        }
    }

    pub fn parse(id: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|fault| fault.id() == id)
    }

    fn entry(self) -> (&'static str, &'static str, bool) {
        match self {
            Self::NeverBoots => ("never-boots", "the host stays dark: no boot, no ping, no SSH", true),
            Self::StaysOff => ("stays-off", "the host stays off when its power returns, until it is woken or switched on", true),
            Self::Unplugged => ("unplugged", "the host runs, its containers too, and nothing reaches it over the network", true),
            Self::SlowBoot => ("slow-boot", "the host checks its disks and takes six to nine minutes to boot", true),
            Self::SshKeyChanged => ("ssh-key-changed", "the host answers with another SSH key than known_hosts has", true),
            Self::SshdDown => ("sshd-down", "the host boots and runs k3s, but its sshd does not start", true),
            Self::SshNoisy => ("ssh-noisy", "banners, greetings and login scripts print around what the host answers", true),
            Self::SshStalls => ("ssh-stalls", "the host answers half of every command over SSH, and no more", true),
            Self::SshCuts => ("ssh-cuts", "the host's connection ends half way through every answer over SSH", true),
            Self::SudoPassword => ("sudo-password", "sudo asks for a password on the host, and nobody gives one", true),
            Self::UnitDisabled => ("unit-disabled", "the k3s unit does not start with the host", true),
            Self::NodeNeverReady => ("node-never-ready", "the kubelet renews its lease but never reports Ready", true),
            Self::CsiNotRegistered => {
                ("csi-not-registered", "the CSI driver does not register again until its pod on the node is made anew", true)
            }
            Self::VolumeFaulted => ("volume-faulted", "no replica of the volume of home/mosquitto can be used", false),
            Self::DnsDown => ("dns-down", "the pods of cluster DNS crash on start", false),
            Self::KubeletWedged => {
                ("kubelet-wedged", "the kubelet renews its lease but is not Ready until its unit is restarted", true)
            }
            Self::RootReadOnly => {
                ("root-read-only", "the root file system of the host is read-only, and k3s does not run on it", true)
            }
            Self::RootReadOnlyOnce => (
                "root-read-only-once",
                "the root file system of the host is read-only, and k3s does not run on it, until the host is rebooted",
                true,
            ),
            Self::DiskFull => ("disk-full", "the disk of the host is full, and k3s does not run on it", true),
            Self::MountMissing => ("mount-missing", "the Longhorn disk of the host is not mounted", true),
            Self::ClockSkew => ("clock-skew", "the host's clock is 90 s ahead and follows no source", true),
            Self::Api500 => ("api-500", "the API server answers 500 for 60 s", false),
            Self::ApiRefused => ("api-refused", "the API server refuses connections for 60 s", false),
            Self::StoreHang => ("store-hang", "etcd hangs for 60 s: writes and quorum reads fail, cached lists answer", false),
            Self::ApiTls => ("api-tls", "TLS handshakes with the API server fail for 60 s", false),
            Self::ApiCertificate => {
                ("api-certificate", "the API server shows a certificate of another authority for 60 s", false)
            }
            Self::ApiUnauthorized => ("api-unauthorized", "the API server accepts no credentials (401) for 60 s", false),
            Self::ApiForbidsLeases => {
                ("api-forbids-leases", "nobody may create leases.coordination.k8s.io (403) for 60 s", false)
            }
            Self::ApiForbidsNodes => ("api-forbids-nodes", "nobody may list nodes (403) for 60 s", false),
            Self::ApiThrottles => ("api-throttles", "the API server answers 429 with Retry-After for 60 s", false),
            Self::ApiInternalError => {
                ("api-internal-error", "the API server answers 500 for a reason of its own for 60 s", false)
            }
            Self::ApiUnavailable => ("api-unavailable", "the API server answers 503 for 60 s", false),
            Self::ApiTimesOut => {
                ("api-times-out", "the API server answers 504 for 60 s, and carries out writes all the same", false)
            }
            Self::ApiHangs => ("api-hangs", "the API server accepts connections and says nothing for 60 s", false),
            Self::ApiCloses => (
                "api-closes",
                "the API server closes connections without an answer for 60 s, and carries out writes all the same",
                false,
            ),
            Self::StaleCache => {
                ("stale-cache", "lists and watches show the cluster as it was, quorum reads and writes fail, for 60 s", false)
            }
            Self::WrongBranch => ("wrong-branch", "the Flux source is left on branch `incident`", false),
            Self::ImmutableJob => (
                "immutable-job",
                "Git has another template for the finished Job keycloak/realm-import than it was made from",
                false,
            ),
            Self::ScaledToZero => {
                ("scaled-to-zero", "office/vaultwarden was scaled to zero before the outage, and forgotten", false)
            }
            Self::WorkloadCrashloop => ("workload-crashloop", "the pods of media/jellyfin crash on start", false),
            Self::Pod(trouble) => (trouble.kind().id, trouble.kind().doc, false),
            Self::Unit(trouble) => (trouble.entry().0, trouble.entry().1, true),
            Self::Cluster(trouble) => (trouble.entry().0, trouble.entry().1, trouble.entry().2),
            Self::Site(trouble) => (trouble.entry().0, trouble.entry().1, trouble.entry().2),
            Self::VaultSealed => ("vault-sealed", "Vault is sealed, and seals itself again whenever it stops", false),
            Self::GitPruned => {
                ("git-pruned", "Flux pruned the Git server and the registry that it needs, and cannot fetch them back", false)
            }
            Self::ImagesLost => {
                ("images-lost", "no node has an image any more, and those of the registry come from the registry", false)
            }
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}
