//! Which trouble it is that a report asks a person to end.

use ananke_core::name::{NodeName, Subject};
use ananke_core::report::ManualAction;
use ananke_core::verdict::{GateId, Reason, Trap};

use crate::fault::Fault;
use crate::trap;
use crate::world::{ClusterTrouble, SiteTrouble};

/// Whether what a person is asked for is to end this fault, on this node where it has one.
pub(super) fn is_asked_for(fault: Fault, node: Option<&NodeName>, action: &ManualAction) -> bool {
    let is_there = match node {
        Some(node) => matches!(&action.subject, Subject::Node(of) if of == node) || action.instruction.contains(node.as_str()),
        None => true,
    };
    is_there && (is_called(fault, action.trap) || has_reason(fault, action))
}

fn is_called(fault: Fault, trap: Option<Trap>) -> bool {
    trap.is_some_and(|trap| trap::fault(trap) == Some(fault))
}

/// What gates name without a trap, or a trap of many faces.
#[expect(clippy::wildcard_enum_match_arm, reason = "traps name the others")]
fn has_reason(fault: Fault, action: &ManualAction) -> bool {
    let said = |reasons: &[Reason]| action.reason.is_some_and(|reason| reasons.contains(&reason));
    // A person who goes to a host that does not answer finds what is wrong with it.
    let goes_there = action.gate == GateId::NodeSsh;
    let of = |name: &str| action.subject.to_string().ends_with(name);
    match fault {
        Fault::NeverBoots | Fault::StaysOff | Fault::Unplugged | Fault::SshdDown | Fault::SshStalls | Fault::SshCuts => {
            goes_there
        }
        Fault::SshKeyChanged => said(&[Reason::HostKeyRefused]),
        Fault::NodeNeverReady | Fault::KubeletWedged => {
            said(&[Reason::ManualActionMarked, Reason::NodeNotReady, Reason::TooManySick, Reason::NoQuorum])
        }
        // Whatever is said of the node: somebody goes there, and finds that its unit does not start, or why.
        Fault::SudoPassword | Fault::UnitDisabled => true,
        Fault::CsiNotRegistered => said(&[Reason::DriverNotRegistered]),
        Fault::VolumeFaulted => said(&[Reason::VolumeFaulted]),
        Fault::DnsDown => of("kube-system/coredns"),
        Fault::WorkloadCrashloop => of("media/jellyfin"),
        Fault::RootReadOnly | Fault::RootReadOnlyOnce => said(&[Reason::RootReadOnly]),
        Fault::DiskFull => said(&[Reason::DiskFull]),
        Fault::MountMissing => said(&[Reason::MountMissing]),
        Fault::ClockSkew => said(&[Reason::ClocksApart, Reason::ClockNotSynced]),
        Fault::WrongBranch => said(&[Reason::BranchDiffers]),
        Fault::VaultSealed => said(&[Reason::VaultSealed]),
        Fault::Cluster(ClusterTrouble::StaleAttachment) => goes_there || said(&[Reason::AttachmentStale]),
        Fault::Cluster(ClusterTrouble::StuckAttachment) => said(&[Reason::AttachmentStale]),
        Fault::Cluster(ClusterTrouble::ClosedWebhook) => said(&[Reason::WebhookNotServing]),
        Fault::Site(SiteTrouble::DiskPressure) => action.instruction.contains("free space on "),
        Fault::Cluster(ClusterTrouble::ForeignCordons) => action.instruction.contains("kubectl uncordon "),
        Fault::Cluster(ClusterTrouble::RebootLock) => action.instruction.contains("weave.works/kured-node-lock-"),
        Fault::Cluster(ClusterTrouble::FailedInstall) => said(&[Reason::HelmReleaseNotReady]),
        _ => false,
    }
}
