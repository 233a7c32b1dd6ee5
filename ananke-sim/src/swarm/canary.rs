//! Defects planted in an Ananke of a story, none of which the product has. The campaign must find each, or it is blind.

use ananke_core::engine::walk::Change;
use ananke_core::intent::{Intent, IntentState};
use ananke_core::name::{NodeName, ResourceVersion, Subject};
use ananke_core::order::{ClusterOrder, HostOrder, Order};
use ananke_core::report::{Command, ManualAction, Outcome, Report};
use ananke_core::spec::Spec;

use crate::check::SECRET;
use crate::ports::MemoryState;
use crate::world::World;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Canary {
    /// Every fifth line of the journal is left out.
    NoJournalLine,
    /// Leases are not written.
    LeaseNotOnDisk,
    /// A cordon is neither given back nor marked.
    CordonKept,
    /// A pod is forced away where it was to be deleted with its grace period.
    ForcesPods,
    /// The batteries are not waited for.
    IgnoresPower,
    /// What a person cordoned is uncordoned when Flux is asked to reconcile.
    UncordonsPeople,
    /// What a person suspended is resumed when Flux is asked to reconcile.
    ResumesPeople,
    /// An order that takes something away is sent four times over.
    Repeats,
    /// Two servers are stopped when a unit is started.
    StopsServers,
    /// A run that needs a person says that it is done.
    AlwaysDone,
    /// Another node is named to the person.
    NamesAnotherNode,
    /// Gates that wait do not say for what.
    Mute,
    /// A password of the config stands in the report.
    TellsSecret,
    /// A dry run writes an intent.
    DryRunActs,
    /// A start-up gives up its last tries.
    GivesUp,
    /// A Kustomization is resumed as soon as its source is asked for.
    ResumesStale,
    /// A start-up is told of no shutdown.
    DeafToShutdown,
    /// The first of those things that a person is needed for is left out.
    ForgetsOne,
    /// Whoever is asked for one node is asked for a well one too.
    NamesWellNode,
    /// The branch of the source is set wherever another one is expected.
    TakesBranch,
    /// A worker that is well is rebooted when Flux is asked to reconcile.
    RebootsWell,
    /// A shutdown says that it is done whatever came of it.
    SaysItIsDown,
}

impl Canary {
    pub const ALL: &[Self] = &[
        Self::NoJournalLine,
        Self::LeaseNotOnDisk,
        Self::CordonKept,
        Self::ForcesPods,
        Self::IgnoresPower,
        Self::UncordonsPeople,
        Self::ResumesPeople,
        Self::Repeats,
        Self::StopsServers,
        Self::AlwaysDone,
        Self::NamesAnotherNode,
        Self::Mute,
        Self::TellsSecret,
        Self::DryRunActs,
        Self::GivesUp,
        Self::ResumesStale,
        Self::DeafToShutdown,
        Self::ForgetsOne,
        Self::NamesWellNode,
        Self::TakesBranch,
        Self::RebootsWell,
        Self::SaysItIsDown,
    ];

    /// The operator's expectations as this Ananke has them.
    pub(super) fn expects(self, spec: &mut Spec) {
        if self == Self::IgnoresPower {
            spec.allow_on_battery = true;
        }
        if self == Self::TakesBranch {
            spec.flux.force_branch.clone_from(&spec.flux.expected_branch);
        }
    }

    /// Orders that go out beside the `nth`.
    pub(super) fn also_sends(self, world: &World, order: &Order, nth: u64) -> Vec<Order> {
        match self {
            Self::Repeats if matches!(order.verb(), "restart-unit" | "delete-pod" | "reboot") => vec![order.clone(); 3],
            Self::StopsServers if nth == 30 => {
                let servers = world.hosts().iter().filter(|host| host.server).take(2);
                servers.map(|host| Order::Host { node: host.name.clone(), order: HostOrder::Stop(host.unit.clone()) }).collect()
            }
            Self::ResumesStale if matches!(order, Order::Cluster(ClusterOrder::Reconcile { .. })) && !world.source().fresh => {
                let object = world.kustomizations().iter().next().map(|it| it.meta.object.clone());
                let seen = ResourceVersion::parse("1").ok();
                let resume = object.zip(seen).map(|(object, seen)| Order::Cluster(ClusterOrder::Resume { object, seen }));
                resume.into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    /// Does something else than it was told; whether what it was told is still to be done.
    pub(super) fn meddles(self, world: &mut World, order: &Order) -> bool {
        let Order::Cluster(order) = order else { return true };
        match (self, order) {
            (Self::CordonKept, ClusterOrder::Uncordon { .. } | ClusterOrder::MarkManual { .. }) => return false,
            (Self::ForcesPods, ClusterOrder::Delete { pod, uid, .. }) => {
                world.force_delete_pod(&pod.namespace, &pod.name, Some(uid)).ok();
            }
            (Self::UncordonsPeople, ClusterOrder::Reconcile { .. }) => {
                let nodes: Vec<NodeName> = world.nodes().iter().map(|node| node.name.clone()).collect();
                nodes.iter().for_each(|node| drop(world.person_uncordon(node)));
            }
            (Self::ResumesPeople, ClusterOrder::Reconcile { .. }) => {
                let all: Vec<_> = world.kustomizations().iter().map(|it| it.meta.object.clone()).collect();
                all.iter().for_each(|object| drop(world.suspend_flux(object, None, false)));
            }
            (Self::RebootsWell, ClusterOrder::Reconcile { .. }) => {
                let worker = world.hosts().iter().rev().find(|host| !host.server).map(|host| host.name.clone());
                if let Some(worker) = worker {
                    world.is_told(&worker, &HostOrder::Reboot);
                    world.reboot(&worker).ok();
                }
            }
            _ => {}
        }
        true
    }

    pub(super) fn changes(self, change: &mut Change) {
        if self == Self::Mute {
            change.text.clear();
        }
    }

    pub(super) fn reports(self, world: &World, report: &mut Report) {
        match self {
            Self::AlwaysDone if report.outcome == Outcome::Manual => report.outcome = Outcome::Done,
            Self::GivesUp if report.outcome == Outcome::Done => report.outcome = Outcome::Failed,
            Self::NamesAnotherNode => {
                for action in &mut report.manual {
                    action.found = action.found.replace("titan-", "tethys-");
                    action.instruction = action.instruction.replace("titan-", "tethys-");
                }
            }
            Self::NamesWellNode => {
                let first = report.manual.first().cloned();
                let well = |nodes: &[NodeName]| nodes.iter().find(|name| !world.sick().contains(name)).cloned();
                let nodes: Vec<NodeName> = world.nodes().iter().map(|node| node.name.clone()).collect();
                report.manual.extend(
                    first.zip(well(&nodes)).map(|(action, node)| ManualAction { subject: Subject::Node(node), ..action }),
                );
            }
            Self::SaysItIsDown if report.command == Command::Shutdown => report.outcome = Outcome::Done,
            Self::ForgetsOne if !report.manual.is_empty() => drop(report.manual.remove(0)),
            Self::TellsSecret => report.notes.push(format!("fetched with {SECRET}")),
            _ => {}
        }
    }

    pub(super) fn looks(self, state: &MemoryState, intent: Intent) {
        if self == Self::DryRunActs {
            state.kept().intent = Some(Intent { state: IntentState::Normal, ..intent });
        }
    }
}
