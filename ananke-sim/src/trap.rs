//! Which drill shows which trap.

use ananke_core::verdict::Trap;

use crate::drill::PowerStory;
use crate::fault::Fault;
use crate::scenario::{Exercise, Scenario};
use crate::world::SiteTrouble;

/// Traps that every power loss has.
pub(crate) const EVERYWHERE: &[Trap] = &[
    Trap::NodeReadyButOff,
    Trap::FullDisruptionNoEvictions,
    Trap::ControlPlaneWaits,
    Trap::FluxArtifactReadyLie,
    Trap::FluxDependencyChainSlow,
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
    // Its StatefulSets' pods are evicted five minutes after it was found lost, and stay Terminating.
    (Trap::PodTerminatingOnDeadNode, Fault::NeverBoots),
];

/// Traps that stand in a world's past, by the scenario that has it.
const SCENARIOS: &[(Trap, &str)] = &[
    (Trap::FluxSuspendedLooksReady, "after-shutdown"),
    (Trap::DrainBlockedByPdb, "shutdown"),
    (Trap::FluxSourceIsInClusterGit, "circle"),
    (Trap::RegistryInClusterDeadlock, "circle-cold"),
];

/// Traps that a shutdown meets.
const SHUTDOWNS: &[(Trap, Fault, Exercise)] = &[
    (Trap::TwoShutdownBrains, Fault::Site(SiteTrouble::OwnAgent), Exercise::Shutdown),
    (Trap::ShutdownHangs, Fault::Site(SiteTrouble::Hangs), Exercise::PowerOff),
];

/// Traps that the daemon meets while it watches.
const POWER: &[(Trap, PowerStory)] = &[
    (Trap::UpsFlapOrSelftest, PowerStory::Flaps),
    (Trap::UpsCommsLostDataStale, PowerStory::FallsSilent),
    (Trap::UpsLowBatteryFlagLies, PowerStory::SaysLow),
    (Trap::SecondOutageMidRecovery, PowerStory::StrikesTwice),
    (Trap::UpsStaleOnBatteryCounter, PowerStory::BlipsAddUp),
];

/// The fault that is the trap, in a power loss; none where every power loss has it, or none.
pub fn fault(trap: Trap) -> Option<Fault> {
    let named = FAULTS.iter().find(|(of, _)| *of == trap).map(|(_, fault)| *fault);
    named.or_else(|| Fault::parse(trap.id()))
}

/// Traps of a site smaller than the others: one server, whose store is no etcd.
const SMALL: &[(Trap, usize)] = &[(Trap::KineSqliteMalformed, 2)];

/// A world with that trap in it; none where there is none yet.
pub fn scenario(trap: Trap) -> Option<Scenario> {
    if let Some((_, name)) = SCENARIOS.iter().find(|(of, _)| *of == trap) {
        return Scenario::named(name);
    }
    if let Some((_, fault, exercise)) = SHUTDOWNS.iter().find(|(of, ..)| *of == trap) {
        return Scenario::named("shutdown").map(|scenario| scenario.with_exercise(*exercise).with_fault(*fault, None));
    }
    if let Some((_, story)) = POWER.iter().find(|(of, _)| *of == trap) {
        return Scenario::named("healthy").map(|scenario| scenario.with_exercise(Exercise::Power(*story)));
    }
    match fault(trap) {
        Some(fault) => {
            let nodes = SMALL.iter().find(|(of, _)| *of == trap).map(|(_, nodes)| *nodes);
            let scenario = Scenario::default().with_fault(fault, None);
            Some(if let Some(nodes) = nodes { scenario.with_nodes(nodes) } else { scenario })
        }
        None => EVERYWHERE.contains(&trap).then(Scenario::default),
    }
}
