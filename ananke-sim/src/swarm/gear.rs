//! What the site of a story has beside the usual, or lacks, and what its people are like.

use std::fmt;

use ananke_core::spec::{ShutdownMode, Spec};

use crate::world::{Graph, MIRROR, Ms, World};

/// A battery that carries its rack no longer than a shutdown takes.
const SMALL_BATTERY: Ms = 7 * 60_000;
const FILLS: Ms = 20 * 60_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gear {
    /// Ananke's daemon watches the batteries, and stops and starts the cluster.
    Daemon,
    /// A shutdown powers the hosts off.
    PowersOff,
    /// Flux may fetch from a mirror of its source.
    Mirror,
    /// The operator wants the expected branch whatever is set.
    ForcesBranch,
    /// No host can be woken.
    NoWake,
    /// The keys of Vault are a person's.
    NoKeys,
    /// Nothing is kept of what Flux applied.
    NoLayers,
    /// No images are kept.
    NoArchives,
    SmallBatteries,
    /// People do what a report asks of them, and start again.
    Hands,
    /// What Kustomizations depend on.
    Graph(Graph),
}

impl Gear {
    pub const ALL: &[Self] = &[
        Self::Daemon,
        Self::PowersOff,
        Self::Mirror,
        Self::ForcesBranch,
        Self::NoWake,
        Self::NoKeys,
        Self::NoLayers,
        Self::NoArchives,
        Self::SmallBatteries,
        Self::Hands,
        Self::Graph(Graph::Chain),
        Self::Graph(Graph::Fan),
        Self::Graph(Graph::Diamonds),
    ];

    pub fn id(self) -> &'static str {
        match self {
            Self::Daemon => "daemon",
            Self::PowersOff => "powers-off",
            Self::Mirror => "mirror",
            Self::ForcesBranch => "forces-branch",
            Self::NoWake => "no-wake",
            Self::NoKeys => "no-keys",
            Self::NoLayers => "no-layers",
            Self::NoArchives => "no-archives",
            Self::SmallBatteries => "small-batteries",
            Self::Hands => "hands",
            Self::Graph(Graph::Chain) => "graph-chain",
            Self::Graph(Graph::Fan) => "graph-fan",
            Self::Graph(Graph::Diamonds) => "graph-diamonds",
        }
    }

    pub fn parse(id: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|gear| gear.id() == id)
    }

    /// The world as it has it from the beginning.
    pub(super) fn shapes(self, world: &mut World) {
        match self {
            Self::SmallBatteries => {
                for ups in 0..world.upses().len() {
                    let charge = world.upses().get(ups).map_or(1000, |row| world.charge(row));
                    world.set_battery(ups, SMALL_BATTERY, FILLS, charge);
                }
            }
            Self::NoKeys => world.vault_is_a_persons(),
            Self::Graph(graph) => world.reshape(graph),
            Self::Daemon
            | Self::PowersOff
            | Self::Mirror
            | Self::ForcesBranch
            | Self::NoWake
            | Self::NoLayers
            | Self::NoArchives
            | Self::Hands => {}
        }
    }

    /// The operator's expectations where it is so.
    pub(super) fn expects(self, spec: &mut Spec) {
        match self {
            Self::PowersOff => {
                (spec.shutdown.mode, spec.power.shutdown_mode) = (ShutdownMode::Poweroff, ShutdownMode::Poweroff);
            }
            Self::Mirror => spec.bootstrap.mirror = Some(MIRROR.into()),
            Self::ForcesBranch => spec.flux.force_branch.clone_from(&spec.flux.expected_branch),
            Self::NoWake => spec.nodes.values_mut().for_each(|node| node.wake = None),
            Self::NoKeys => spec.vault.iter_mut().for_each(|vault| vault.can_unseal = false),
            Self::NoLayers => (spec.bootstrap.layers, spec.bootstrap.cache) = Default::default(),
            Self::NoArchives => spec.bootstrap.archives.clear(),
            Self::Daemon | Self::SmallBatteries | Self::Hands | Self::Graph(_) => {}
        }
    }
}

impl fmt::Display for Gear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}
