//! The host ports themselves: a command is run, its answer parsed, its failure put into words.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use ananke_core::doctor::map::HostFacts;
use ananke_core::engine::Permit;
use ananke_core::intent::Intent;
use ananke_core::name::{Moment, NodeName, UnitName};
use ananke_core::observation::{HostState, SnapshotState};
use ananke_core::order::HostOrder;
use ananke_core::port::{Clock, HostActions, HostReads, PeerAnswer, PeerRequest, PortError};
use ananke_core::spec::{Distribution, HostNeeds};
use async_trait::async_trait;

use crate::command::{
    Command, Inspection, Refusal, parse_answer, parse_checked_snapshots, parse_inspection, parse_intent, parse_settings,
    parse_snapshots,
};
use crate::connection::{Access, Host, Request, broke_off};
use crate::feed::Feed;
use crate::identity::Identity;
use crate::pool::Pool;
use crate::settings::SshSettings;
use crate::tcp::Addresses;

/// Hosts over SSH.
pub struct SshHosts {
    pool: Pool,
    clock: Arc<dyn Clock>,
    distribution: Distribution,
}

impl SshHosts {
    /// Reads the identities; connects nowhere yet. The clock is ours, and the hosts' are compared with it. The hosts are k3s's.
    pub fn new(settings: SshSettings, clock: Arc<dyn Clock>) -> Result<Self, PortError> {
        let logins = settings.routes.values().flat_map(|route| std::iter::once(&route.login).chain(&route.jump));
        let identities = Identity::of_all(logins, settings.agent.as_deref())?;
        let pool = Pool::new(Access { settings, identities, clock: Arc::clone(&clock), addresses: Addresses::default() });
        Ok(Self { pool, clock, distribution: Distribution::K3s })
    }

    /// The same hosts, as that distribution set them up.
    #[must_use]
    pub fn with_distribution(self, distribution: Distribution) -> Self {
        Self { distribution, ..self }
    }

    async fn order(&self, node: &NodeName, order: &HostOrder) -> Result<(), PortError> {
        let command = Command::of(order, self.distribution);
        let mut feed = None;
        if let HostOrder::LoadImages(archive) = order {
            feed = Some(Feed::open(self.pool.archives(), archive).await?);
        }
        let output = self.pool.run(node, &Request { feed: feed.as_ref(), ..Request::of(&command) }).await?;
        command.parse(&output).map_err(|refusal| self.refused(node, &command, refusal))
    }

    /// What the operator last wanted of the cluster, as the Ananke on that machine has it: a peer is one of the targets.
    pub async fn intent(&self, peer: &NodeName) -> Result<Option<Intent>, PortError> {
        let command = Command::PeerIntent;
        let output = self.pool.run(peer, &Request::of(&command)).await?;
        parse_intent(&output).map_err(|refusal| self.refused(peer, &command, refusal))
    }

    /// Asks the Ananke on that machine for something.
    pub async fn ask(&self, peer: &NodeName, request: PeerRequest) -> Result<PeerAnswer, PortError> {
        let command = Command::PeerAsk(request);
        let output = self.pool.run(peer, &Request::of(&command)).await?;
        parse_answer(&output).map_err(|refusal| self.refused(peer, &command, refusal))
    }

    fn refused(&self, node: &NodeName, command: &Command, refusal: Refusal) -> PortError {
        let login = match self.pool.route(node, command) {
            Ok(route) => &route.login,
            Err(error) => return error,
        };
        let error = Host { node: node.as_str(), login }.error(refusal.kind, &command.title(), refusal.found);
        // A host that answers is not dark, whatever it says.
        let error = if command.only_reads() { broke_off(error) } else { error };
        match refusal.remedy {
            Some(remedy) => error.with_remedy(remedy.sentence(command, &login.target.user, node.as_str())),
            None => error,
        }
    }
}

#[async_trait]
impl HostReads for SshHosts {
    async fn inspect(&self, node: &NodeName, unit: &UnitName, needs: &HostNeeds) -> Result<HostState, PortError> {
        let command = Command::Inspect { unit: unit.clone(), needs: needs.clone(), distribution: self.distribution };
        let asked = AtomicI64::new(self.clock.now().as_millis());
        let started = || asked.store(self.clock.now().as_millis(), Ordering::Relaxed);
        let output = self.pool.run(node, &Request { started: &started, ..Request::of(&command) }).await?;
        let answered = self.clock.now();
        let Inspection { boot_id, machine_id, uptime, time, took, unit, health, leftovers, words } =
            parse_inspection(&output, needs).map_err(|refusal| self.refused(node, &command, refusal))?;
        let clock_skew_millis = skew_millis(Moment::from_millis(asked.into_inner()), answered, time.plus(took / 2));
        Ok(HostState { boot_id, machine_id, uptime, clock_skew_millis, unit, health, leftovers, words })
    }

    async fn snapshots(&self, node: &NodeName) -> Result<Vec<SnapshotState>, PortError> {
        let command = Command::ListSnapshots(self.distribution);
        let output = self.pool.run(node, &Request::of(&command)).await?;
        let found = match self.distribution {
            Distribution::K3s => parse_snapshots(&output, node),
            Distribution::Kubeadm => parse_checked_snapshots(&output),
        };
        found.map_err(|refusal| self.refused(node, &command, refusal))
    }

    async fn settings(&self, node: &NodeName) -> Result<HostFacts, PortError> {
        let command = Command::Settings;
        let output = self.pool.run(node, &Request::of(&command)).await?;
        parse_settings(&output).map_err(|refusal| self.refused(node, &command, refusal))
    }
}

#[async_trait]
impl HostActions for SshHosts {
    async fn perform(&self, node: &NodeName, order: &HostOrder, permit: &Permit) -> Result<(), PortError> {
        tracing::debug!(%node, ?order, run = %permit.run(), seq = permit.seq(), "performing");
        self.order(node, order).await
    }
}

/// The host's time in the middle of its answer minus ours in the middle of our request: its error is at most half of what goes by
/// on the way, however long the look itself takes.
fn skew_millis(asked: Moment, answered: Moment, host: Moment) -> i64 {
    let half = answered.since(asked) / 2;
    host.as_millis().saturating_sub(asked.plus(half).as_millis())
}

/// The contract suite proves what reaches a host, and only the engine can make a permit. No release is built with this.
#[cfg(feature = "contract")]
impl SshHosts {
    pub async fn perform_without_permit(&self, node: &NodeName, order: &HostOrder) -> Result<(), PortError> {
        self.order(node, order).await
    }
}

impl fmt::Debug for SshHosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SshHosts").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skew_is_measured_against_the_middle_of_the_exchange() {
        let at = Moment::from_millis;
        assert_eq!(skew_millis(at(1_000), at(3_000), at(2_000)), 0);
        assert_eq!(skew_millis(at(1_000), at(3_000), at(9_500)), 7_500);
        assert_eq!(
            skew_millis(at(3_000), at(1_000), at(2_000)),
            -1_000,
            "a clock of ours that was set back does not count as an exchange"
        );
        assert_eq!(skew_millis(at(0), at(0), at(i64::MIN)), i64::MIN);
    }
}
