//! Where it is all put together: from a config to ports.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use ananke_core::engine::{Hands, Reads};
use ananke_core::name::NodeName;
use ananke_core::port::{LayerReads, PortError};
use ananke_k8s::{Deadlines, KubeCluster, WatchedCluster};
use ananke_ssh::{Route, SshHosts, SshSettings};

use crate::clock::SystemClock;
use crate::config::{self, ConfigError, Host, Loaded, Overrides, Ssh};
use crate::machine::ThisMachine;
use crate::nut::NutUps;
use crate::peers::SshPeers;
use crate::probe::HttpProbes;
use crate::state::StateDir;
use crate::vault::HttpVault;
use crate::wake::WakeOnLan;

/// Why a command could not even begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Port(#[from] PortError),
    /// The cluster, a host, or a file that was named on the command line: the kind of error is how the command ends.
    #[error("{error}")]
    Asked {
        error: PortError,
        /// What to do next, where the error does not say it.
        next: String,
    },
    #[error("{0}")]
    Usage(String),
    /// A defect, or a machine that does not let us work.
    #[error("{0}")]
    Internal(String),
    #[error(transparent)]
    Lock(#[from] crate::state::lock::LockError),
}

impl Failure {
    pub(crate) fn asked(next: impl Into<String>) -> impl FnOnce(PortError) -> Self {
        let next = next.into();
        |error| Self::Asked { error, next }
    }

    pub(crate) fn of_cluster(error: PortError) -> Self {
        Self::asked("check the address in the kubeconfig, and those of api_servers; `ananke status` says which servers answer")(
            error,
        )
    }
}

/// The adapters of one run.
#[derive(Debug)]
pub(crate) struct Adapters {
    pub(crate) clock: SystemClock,
    cluster: KubeCluster,
    hosts: SshHosts,
    probes: HttpProbes,
    vault: HttpVault,
    power: WakeOnLan,
    pub(crate) ups: NutUps,
    machine: ThisMachine,
    pub(crate) peers: SshPeers,
    pub(crate) state: StateDir,
}

impl Adapters {
    /// Connects nothing yet: everything works while the cluster is down.
    pub(crate) async fn new(loaded: &Loaded, state: StateDir) -> Result<Self, PortError> {
        Self::with(loaded, state, kubeconfig(loaded).await?)
    }

    /// The same with a cluster whose kubeconfig was read before.
    pub(crate) fn with(loaded: &Loaded, state: StateDir, cluster: KubeCluster) -> Result<Self, PortError> {
        let clock = SystemClock::start();
        let peers = SshPeers::new(&loaded.ssh, Arc::new(clock))?;
        let mut settings = ssh(&loaded.ssh, loaded.ssh.routes.clone());
        settings.archives.clone_from(&loaded.image_archives);
        let hosts = SshHosts::new(settings, Arc::new(clock))?.with_distribution(loaded.spec.distribution);
        let probes = HttpProbes::new(&loaded.http.usual, &loaded.http.own);
        let vault = HttpVault::new(loaded.http.vault.clone());
        let power = WakeOnLan::new(loaded.wol_address);
        Ok(Self {
            clock,
            cluster,
            hosts,
            probes,
            vault,
            power,
            ups: NutUps::new(loaded.nut.clone()),
            machine: ThisMachine,
            peers,
            state,
        })
    }

    pub(crate) fn reads(&self) -> Reads<'_> {
        Reads {
            clock: &self.clock,
            cluster: &self.cluster,
            hosts: &self.hosts,
            probes: &self.probes,
            ups: &self.ups,
            machine: &self.machine,
            peers: &self.peers,
            vault: &self.vault,
            state: &self.state,
        }
    }

    pub(crate) fn cluster(&self) -> &KubeCluster {
        &self.cluster
    }

    pub(crate) fn layers(&self) -> &dyn LayerReads {
        &self.cluster
    }

    pub(crate) fn hosts(&self) -> &SshHosts {
        &self.hosts
    }

    /// For a run that goes on: what it reads of the cluster is watched as long as the answer lives.
    pub(crate) fn watched(&self) -> WatchedCluster {
        WatchedCluster::new(self.cluster.clone())
    }

    /// Only a command that may act asks for them.
    pub(crate) fn hands(&self) -> Hands<'_> {
        Hands { cluster: &self.cluster, hosts: &self.hosts, vault: &self.vault, power: &self.power, state: &self.state }
    }
}

pub(crate) async fn kubeconfig(loaded: &Loaded) -> Result<KubeCluster, PortError> {
    KubeCluster::of_servers(&loaded.kubeconfig, &loaded.api_servers, Deadlines::default()).await
}

/// How these machines are logged in to, and whom we believe there.
pub(crate) fn ssh(ssh: &Ssh, routes: BTreeMap<NodeName, Route>) -> SshSettings {
    let mut settings = SshSettings::new(routes);
    settings.agent.clone_from(&ssh.agent);
    settings.pins.clone_from(&ssh.pins);
    settings
}

pub(crate) fn load(path: &Path, overrides: &Overrides) -> Result<Loaded, ConfigError> {
    config::load(path, &this_host(), overrides)
}

#[expect(clippy::disallowed_methods, reason = "the composition root hands the environment to the config")]
fn this_host() -> Host {
    let env = std::env::vars_os().filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?))).collect();
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    Host { name: if name.is_empty() { "localhost".to_owned() } else { name.to_owned() }, env }
}
