//! The hosts under the nodes, reached without Kubernetes.

use async_trait::async_trait;

use super::{ErrorKind, PortError};
use crate::doctor::map::HostFacts;
use crate::engine::Permit;
use crate::name::{NodeName, UnitName};
use crate::observation::HostState;
use crate::observation::SnapshotState;
use crate::order::HostOrder;
use crate::spec::HostNeeds;

/// Reads over an authenticated and verified connection.
#[async_trait]
pub trait HostReads: Send + Sync {
    /// Who the host is, since when it runs, how `unit` is doing, and what of `needs` is missing.
    ///
    /// # Errors
    /// `Transient` without a reason says that nothing answered: the host counts as dark, and as off after an order to power off.
    /// A port that refuses is [`Reason::SshRefused`], a session that breaks [`Reason::SshBroken`], another host key `Untrusted`, a
    /// login that is refused `Denied`: all of them are signs of life, and void a person's word that the machine is off. Trouble on
    /// our own side, such as a full queue, is [`Reason::HostNotAsked`].
    ///
    /// [`Reason::HostNotAsked`]: crate::verdict::Reason::HostNotAsked
    /// [`Reason::SshRefused`]: crate::verdict::Reason::SshRefused
    /// [`Reason::SshBroken`]: crate::verdict::Reason::SshBroken
    async fn inspect(&self, node: &NodeName, unit: &UnitName, needs: &HostNeeds) -> Result<HostState, PortError>;

    /// The newest snapshots of etcd that were taken on this server, and how their check went; k3s appends node and time to
    /// the name that was ordered.
    /// [`super::ErrorKind::Missing`] where the datastore is not etcd.
    async fn snapshots(&self, node: &NodeName) -> Result<Vec<SnapshotState>, PortError> {
        Err(PortError::new(ErrorKind::Missing, "list etcd snapshots", node, "there is no etcd that could be asked"))
    }

    /// Whom the host asks for names, and what it mounts; the clock is left to [`HostReads::inspect`].
    async fn settings(&self, node: &NodeName) -> Result<HostFacts, PortError> {
        Err(PortError::new(ErrorKind::Missing, "read the host's settings", node, "there is no host that could be asked"))
    }
}

/// Changes, from a closed set.
#[async_trait]
pub trait HostActions: Send + Sync {
    /// Carries out one order, once. `Ok`: the host took it; whether it helped, the next look tells.
    ///
    /// # Errors
    /// [`super::ErrorKind::Untrusted`] if the host is not who it should be: then nothing was sent. After `Transient` it may
    /// or may not have been done.
    async fn perform(&self, node: &NodeName, order: &HostOrder, permit: &Permit) -> Result<(), PortError>;
}
