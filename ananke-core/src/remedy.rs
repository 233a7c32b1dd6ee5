//! Remedies of start-up, one file each: pure plans over what is seen and what was done before.
//!
//! Wait first, then nudge, then act; a budget per kind and per object. A remedy is eligible by its own preconditions,
//! never by its gate's place in the walk.

pub mod flux_branch;
pub mod leftover_cordon;
pub mod reconcile;
pub mod resume;
pub mod start_units;

use crate::engine::view::View;
use crate::order::Order;
use crate::verdict::Trap;

/// One order with the reason why it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    pub order: Order,
    pub why: String,
}

#[derive(Debug, Clone, Copy)]
pub struct Remedy {
    pub trap: Option<Trap>,
    pub plan: fn(&View<'_>) -> Vec<Action>,
}

/// Remedies of a start-up, most urgent first.
pub const STARTUP: &[Remedy] = &[
    Remedy { trap: Some(Trap::NodeLeftCordoned), plan: leftover_cordon::plan },
    Remedy { trap: Some(Trap::HostServiceNotEnabled), plan: start_units::plan },
    Remedy { trap: Some(Trap::FluxWrongBranch), plan: flux_branch::plan },
    Remedy { trap: Some(Trap::FluxSuspendedLooksReady), plan: resume::plan },
    Remedy { trap: Some(Trap::FluxArtifactReadyLie), plan: reconcile::plan },
];
