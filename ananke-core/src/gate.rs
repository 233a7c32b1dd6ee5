//! Start-up gates: one file each, and the table that says what each requires.
//!
//! All gates are always evaluated, so that the operator sees every reason at once; a gate *passes* only when what it
//! requires has.

pub(crate) mod admission;
pub mod control_plane;
pub mod dns_cni;
pub mod endpoints;
pub mod flux_source;
pub mod foundation;
pub mod guards;
pub mod host_health;
pub mod http_check;
pub mod ingress;
pub mod inventory;
pub mod kustomizations;
pub mod node_ssh;
pub mod nodes_ready;
pub mod secrets;
pub mod services;
pub mod soak;
pub mod storage;
#[cfg(test)]
pub(crate) mod testing;
pub mod workloads;

use crate::engine::view::View;
use crate::verdict::{GateId, Judgement};

/// What a gate needs of another before it may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// All of it; parts that only a person can bring back are left out.
    Whole(GateId),
    /// Any part: the gate judges by itself which part its own subjects need.
    Part(GateId),
}

impl Need {
    pub const fn gate(self) -> GateId {
        match self {
            Self::Whole(id) | Self::Part(id) => id,
        }
    }
}

/// What happens when a gate's deadline passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overdue {
    /// Each subject that did not pass becomes a person's job; the rest goes on.
    Person,
    /// Nothing after it makes sense: the run ends.
    Fatal,
    /// The run ends, and the time counts from when it first opened: it bounds a cluster that comes up and falls back for ever.
    Ends,
}

#[derive(Debug, Clone, Copy)]
pub struct Row {
    pub id: GateId,
    pub needs: &'static [Need],
    pub overdue: Overdue,
    pub evaluate: fn(&View<'_>) -> Judgement,
}

use GateId as G;
use Need::{Part, Whole};
use Overdue::{Ends, Fatal, Person};

/// The walk of a start-up.
#[rustfmt::skip]
pub const STARTUP: &[Row] = &[
    Row { id: G::Guards,         needs: &[],                                            overdue: Fatal,  evaluate: guards::evaluate },
    Row { id: G::Inventory,      needs: &[Whole(G::Guards)],                            overdue: Person, evaluate: inventory::evaluate },
    Row { id: G::NodeSsh,        needs: &[Whole(G::Inventory)],                         overdue: Person, evaluate: node_ssh::evaluate },
    Row { id: G::HostHealth,     needs: &[Part(G::NodeSsh)],                            overdue: Person, evaluate: host_health::evaluate },
    Row { id: G::ControlPlane,   needs: &[Whole(G::Inventory)],                         overdue: Fatal,  evaluate: control_plane::evaluate },
    Row { id: G::NodesReady,     needs: &[Whole(G::ControlPlane)],                      overdue: Person, evaluate: nodes_ready::evaluate },
    Row { id: G::DnsCni,         needs: &[Whole(G::ControlPlane), Part(G::NodesReady)], overdue: Person, evaluate: dns_cni::evaluate },
    Row { id: G::Storage,        needs: &[Whole(G::ControlPlane), Part(G::NodesReady)], overdue: Person, evaluate: storage::evaluate },
    Row { id: G::Secrets,        needs: &[Whole(G::ControlPlane), Part(G::NodesReady)], overdue: Person, evaluate: secrets::evaluate },
    Row { id: G::Foundation,     needs: &[Whole(G::ControlPlane), Part(G::NodesReady)], overdue: Person, evaluate: foundation::evaluate },
    Row { id: G::FluxSource,     needs: &[Whole(G::ControlPlane), Part(G::NodesReady)], overdue: Person, evaluate: flux_source::evaluate },
    Row { id: G::Kustomizations, needs: &[Whole(G::FluxSource)],                        overdue: Person, evaluate: kustomizations::evaluate },
    Row { id: G::Workloads,      needs: &[Whole(G::ControlPlane), Part(G::NodesReady)], overdue: Person, evaluate: workloads::evaluate },
    Row { id: G::Ingress,        needs: &[Part(G::Workloads)],                          overdue: Person, evaluate: ingress::evaluate },
    Row { id: G::Services,       needs: &[Part(G::Workloads)],                          overdue: Person, evaluate: services::evaluate },
    Row { id: G::Endpoints,      needs: &[Part(G::Workloads)],                          overdue: Person, evaluate: endpoints::evaluate },
    Row { id: G::Soak,           needs: &[
        Whole(G::NodeSsh), Whole(G::HostHealth), Whole(G::NodesReady), Whole(G::DnsCni), Whole(G::Storage), Whole(G::Secrets),
        Whole(G::Foundation), Whole(G::Kustomizations), Whole(G::Workloads), Whole(G::Ingress), Whole(G::Services), Whole(G::Endpoints),
    ],                                                                                  overdue: Ends,   evaluate: soak::evaluate },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_gate_requires_only_gates_before_it() {
        for (index, row) in STARTUP.iter().enumerate() {
            for need in row.needs {
                let id = need.gate();
                assert!(STARTUP[..index].iter().any(|earlier| earlier.id == id), "{} requires {id}", row.id);
            }
        }
    }
}
