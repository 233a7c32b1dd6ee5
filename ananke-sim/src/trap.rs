//! Which drill shows which trap.

use ananke_core::verdict::Trap;

use crate::fault::Fault;
use crate::scenario::Scenario;

/// Traps that every power loss has.
const EVERYWHERE: &[Trap] = &[
    Trap::NodeReadyButOff,
    Trap::FullDisruptionNoEvictions,
    Trap::ControlPlaneWaits,
    Trap::FluxArtifactReadyLie,
    Trap::FluxDependencyChainSlow,
    Trap::FluxSourceIsInClusterGit,
];

/// Faults that are a trap under another name.
const FAULTS: &[(Trap, Fault)] = &[
    (Trap::UpsPowerRaceHostsStayOff, Fault::StaysOff),
    (Trap::HostDark, Fault::StaysOff),
    (Trap::RootReadOnly, Fault::RootReadOnly),
    (Trap::ClockSkewNoRtc, Fault::ClockSkew),
    (Trap::HostServiceNotEnabled, Fault::UnitDisabled),
    (Trap::DataDiskNotMounted, Fault::MountMissing),
    (Trap::KubeletWedged, Fault::KubeletWedged),
    (Trap::LonghornVolumeFaulted, Fault::VolumeFaulted),
    (Trap::FluxWrongBranch, Fault::WrongBranch),
    (Trap::FluxImmutableField, Fault::ImmutableJob),
    (Trap::ScaledToZeroNotRestored, Fault::ScaledToZero),
];

/// A power loss with that trap in it; none where the world does not have it yet.
pub fn scenario(trap: Trap) -> Option<Scenario> {
    let named = FAULTS.iter().find(|(of, _)| *of == trap).map(|(_, fault)| *fault);
    let scenario = Scenario::default();
    match named.or_else(|| Fault::parse(trap.id())) {
        Some(fault) => Some(scenario.with_fault(fault, None)),
        None => EVERYWHERE.contains(&trap).then_some(scenario),
    }
}
