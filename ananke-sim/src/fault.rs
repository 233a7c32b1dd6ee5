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
    Api500,
    ApiRefused,
    StoreHang,
    WrongBranch,
    WorkloadCrashloop,
}

impl Fault {
    pub const ALL: &[Self] = &[
        Self::NeverBoots,
        Self::SlowBoot,
        Self::SshKeyChanged,
        Self::SshdDown,
        Self::UnitDisabled,
        Self::NodeNeverReady,
        Self::Api500,
        Self::ApiRefused,
        Self::StoreHang,
        Self::WrongBranch,
        Self::WorkloadCrashloop,
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
            Self::NeverBoots | Self::SshKeyChanged | Self::SshdDown | Self::NodeNeverReady | Self::WorkloadCrashloop => true,
            Self::SlowBoot | Self::UnitDisabled | Self::Api500 | Self::ApiRefused | Self::StoreHang | Self::WrongBranch => false,
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
            Self::Api500 => ("api-500", "the API server answers 500 for 60 s", false),
            Self::ApiRefused => ("api-refused", "the API server refuses connections for 60 s", false),
            Self::StoreHang => ("store-hang", "etcd hangs for 60 s: writes and quorum reads fail, cached lists answer", false),
            Self::WrongBranch => ("wrong-branch", "the Flux source is left on branch `incident`", false),
            Self::WorkloadCrashloop => ("workload-crashloop", "the pods of media/jellyfin crash on start", false),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}
