//! What can be made to go wrong: the registry that `ananke sim faults` prints.

use std::fmt;

/// One kind of trouble. Most are there from the moment they are injected until the world ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    NeverBoots,
    SlowBoot,
    SshKeyChanged,
    SshdDown,
    UnitDisabled,
    NodeNeverReady,
    CsiNotRegistered,
    VolumeFaulted,
    DnsDown,
    KubeletWedged,
    RootReadOnly,
    MountMissing,
    ClockSkew,
    Api500,
    ApiRefused,
    StoreHang,
    WrongBranch,
    WorkloadCrashloop,
    ImmutableJob,
    ScaledToZero,
    VaultSealed,
}

impl Fault {
    pub const ALL: &[Self] = &[
        Self::NeverBoots,
        Self::SlowBoot,
        Self::SshKeyChanged,
        Self::SshdDown,
        Self::UnitDisabled,
        Self::NodeNeverReady,
        Self::CsiNotRegistered,
        Self::VolumeFaulted,
        Self::DnsDown,
        Self::KubeletWedged,
        Self::RootReadOnly,
        Self::MountMissing,
        Self::ClockSkew,
        Self::Api500,
        Self::ApiRefused,
        Self::StoreHang,
        Self::WrongBranch,
        Self::WorkloadCrashloop,
        Self::ImmutableJob,
        Self::ScaledToZero,
        Self::VaultSealed,
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

    /// Only a person at the machine can help.
    pub fn needs_person(self) -> bool {
        match self {
            Self::NeverBoots
            | Self::SshKeyChanged
            | Self::SshdDown
            | Self::NodeNeverReady
            | Self::CsiNotRegistered
            | Self::VolumeFaulted
            | Self::DnsDown
            | Self::RootReadOnly
            | Self::MountMissing
            | Self::ClockSkew
            | Self::WorkloadCrashloop => true,
            Self::SlowBoot
            | Self::UnitDisabled
            | Self::KubeletWedged
            | Self::Api500
            | Self::ApiRefused
            | Self::StoreHang
            | Self::VaultSealed
            | Self::ImmutableJob
            | Self::ScaledToZero
            | Self::WrongBranch => false,
        }
    }

    pub fn parse(id: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|fault| fault.id() == id)
    }

    fn entry(self) -> (&'static str, &'static str, bool) {
        match self {
            Self::NeverBoots => ("never-boots", "the host stays dark: no boot, no ping, no SSH", true),
            Self::SlowBoot => ("slow-boot", "the host checks its disks and takes six to nine minutes to boot", true),
            Self::SshKeyChanged => ("ssh-key-changed", "the host answers with another SSH key than known_hosts has", true),
            Self::SshdDown => ("sshd-down", "the host boots and runs k3s, but its sshd does not start", true),
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
            Self::MountMissing => ("mount-missing", "the Longhorn disk of the host is not mounted", true),
            Self::ClockSkew => ("clock-skew", "the host's clock is 90 s ahead and follows no source", true),
            Self::Api500 => ("api-500", "the API server answers 500 for 60 s", false),
            Self::ApiRefused => ("api-refused", "the API server refuses connections for 60 s", false),
            Self::StoreHang => ("store-hang", "etcd hangs for 60 s: writes and quorum reads fail, cached lists answer", false),
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
            Self::VaultSealed => ("vault-sealed", "Vault is sealed, and seals itself again whenever it stops", false),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}
