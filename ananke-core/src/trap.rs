//! Traps: what is known to go wrong after a power loss, one file each, named after the trap's id.
//!
//! A gate says *that* something holds; a trap says *what it is*, from the words that kubelets, controllers and units leave:
//! a blocker that waits is looked at by the traps of its gate, and the first that knows it names it, with what to do. A
//! trap is looked for only where something required does not pass, so a cluster that is merely slow shows none.
//!
//! [`ALL`] is the catalogue; `docs/traps.md` is made from it.

mod case;
mod entry;
pub mod evidence;
#[cfg(test)]
mod testing;

mod api_vip_deadlock;
mod apiservice_unavailable_ns_terminating;
mod boot_stuck_emergency_mode;
mod catalogue;
mod ceph_flags_left_set;
mod ceph_pgs_unavailable;
mod cert_manager_webhook_not_serving;
mod cilium_agent_taint_gap;
mod clock_skew_no_rtc;
mod cni_ip_pool_leaked;
mod cni_not_ready;
mod containerd_metadata_corrupt;
mod control_plane_certs_expired;
mod control_plane_waits_for_first_server;
mod coredns_down;
mod crashloop_backoff_lag;
pub(crate) mod cronjob_missed_starts;
mod csi_driver_not_registered;
mod data_disk_not_mounted;
mod disk_pressure_taint;
mod drain_blocked_by_pdb;
mod etcd_member_corrupt;
mod etcd_nospace_alarm;
mod etcd_quorum_lost;
mod external_secrets_backoff;
mod flux_artifact_ready_lie;
mod flux_controller_wedged;
mod flux_dependency_chain_slow;
mod flux_immutable_field;
mod flux_source_cannot_resolve;
mod flux_source_denied;
mod flux_source_is_in_cluster_git;
mod flux_suspended_looks_ready;
mod flux_wrong_branch;
mod foreign_cordon;
mod full_disruption_no_evictions;
mod galera_no_safe_bootstrap;
mod helm_operation_in_progress;
mod helm_remediation_destructive;
mod helm_retries_exhausted;
mod host_dark_no_ac_recovery;
mod host_service_not_enabled;
mod image_layer_corrupt;
mod k3s_node_password_rejected;
mod kernel_changed_at_boot;
mod kine_sqlite_malformed;
mod kubelet_wedged;
mod kured_lock_stuck;
mod lb_failback_too_early;
mod lb_vip_not_announced;
mod longhorn_multipathd_grabs_device;
mod longhorn_rebuild_storm;
mod longhorn_rwx_share_manager_stale;
mod longhorn_volume_faulted;
mod longhorn_webhook_loop;
mod nas_up_after_cluster;
mod nfs_stale_or_hung;
mod node_dns_served_by_cluster;
mod node_ip_changed;
mod node_left_cordoned;
mod node_ready_but_off;
mod orchestrator_inside_blast_radius;
mod other_automation_fights_recovery;
mod out_of_service_taint_left;
mod pod_shutdown_leftovers;
mod pod_terminating_on_dead_node;
mod pod_unexpected_admission_error;
mod pod_unknown_container_status;
pub(crate) mod postgres_operator_no_recovery;
mod pvc_filesystem_damaged;
pub(crate) mod registry_in_cluster_deadlock;
mod registry_rate_limited;
mod registry_rewrite_to_missing_proxy;
mod root_filesystem_read_only;
mod scaled_to_zero_not_restored;
mod second_outage_mid_recovery;
mod shutdown_hangs_or_becomes_reboot;
mod stale_leader_lease;
mod stale_volumeattachment_multi_attach;
mod swap_re_enabled;
mod thundering_herd;
mod two_shutdown_brains;
mod ups_charge_too_low_to_start;
mod ups_comms_lost_data_stale;
mod ups_flap_or_selftest;
mod ups_fsd_latched;
mod ups_loadoff_on_mains_disables_backup;
mod ups_low_battery_flag_lies;
mod ups_power_race_hosts_stay_off;
mod ups_stale_on_battery_counter;
mod vault_sealed;
mod volumeattachment_being_deleted;
mod wan_or_switch_up_late;
mod webhook_fail_closed_deadlock;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use std::time::Duration;

pub use case::{Case, Finding};
use case::{own_old_pods, own_old_pods_that_say};
pub use catalogue::ALL;
pub use entry::{Class, Diagnosis, Ending, Entry, Often};
use evidence::Evidence;
pub(crate) use registry_in_cluster_deadlock::Load;

use crate::engine::view::{Trust, View};
use crate::gate::admission;
use crate::name::Subject;
use crate::observation::PodState;
use crate::report::GateStatus;
use crate::verdict::{Blocker, BlockerKind, GateId, Judgement, Reason, Trap, Unknown, Verdict};

pub(crate) use flux_source_denied::is_refused;

/// The entry of a trap.
pub fn entry(trap: Trap) -> Option<&'static Entry> {
    ALL.iter().copied().find(|entry| entry.trap == trap)
}

/// Those that may know what a gate waits for.
fn of_gate(gate: GateId) -> &'static [(&'static Entry, &'static Diagnosis)] {
    static BY_GATE: LazyLock<BTreeMap<GateId, Vec<(&Entry, &Diagnosis)>>> = LazyLock::new(|| {
        let mut by_gate = BTreeMap::<_, Vec<_>>::new();
        for (entry, diagnosis) in ALL.iter().filter_map(|entry| Some((*entry, entry.diagnosis.as_ref()?))) {
            for gate in diagnosis.gates {
                by_gate.entry(*gate).or_default().push((entry, diagnosis));
            }
        }
        by_gate
    });
    BY_GATE.get(&gate).map(Vec::as_slice).unwrap_or_default()
}

/// Names what a gate waits for, where a trap knows it.
pub(crate) fn explain(view: &View<'_>, gate: GateId, judgement: &mut Judgement) {
    if of_gate(gate).is_empty() {
        return;
    }
    if !judgement.subjects.values().any(|verdict| open(view, verdict, gate)) {
        return;
    }
    let evidence = Evidence::of(view);
    for (subject, verdict) in &mut judgement.subjects {
        if !open(view, verdict, gate) {
            continue;
        }
        match verdict {
            Verdict::Hold(blocker) => drop(name(view, &evidence, gate, subject, blocker)),
            Verdict::Unknown(unknown) => {
                let Some(reason) = unanswered(view, gate, unknown) else { continue };
                let text = unknown.gap.text.clone();
                let mut blocker = Blocker { reason, text, kind: BlockerKind::Waiting, trap: None, if_it_lasts: String::new() };
                if name(view, &evidence, gate, subject, &mut blocker).is_some() {
                    *verdict = Verdict::Hold(blocker);
                }
            }
            Verdict::Pass(_) => {}
        }
    }
}

/// Whether a verdict leaves open what is wrong. A unit that is started again, or an API that does not answer, has a reason
/// that its log may tell; a host that does not answer, one that its kubelet may; an address, one that the others may.
fn open(view: &View<'_>, verdict: &Verdict, gate: GateId) -> bool {
    match verdict {
        Verdict::Pass(_) => false,
        Verdict::Unknown(unknown) => unanswered(view, gate, unknown).is_some(),
        Verdict::Hold(blocker) => match blocker.kind {
            BlockerKind::Waiting => true,
            BlockerKind::Repairable(trap) => {
                matches!(trap, Trap::KubeletWedged | Trap::HostServiceNotEnabled | Trap::ControlPlaneWaits)
            }
            BlockerKind::Person | BlockerKind::Follows(_) => false,
        },
    }
}

/// What it is called where what a gate asks does not answer: an address, once what should be behind it is well.
fn unanswered(view: &View<'_>, gate: GateId, unknown: &Unknown) -> Option<Reason> {
    if matches!(gate, GateId::ControlPlane | GateId::NodeSsh) {
        return unknown.gap.error.as_ref().and_then(|error| error.reason).or(Some(Reason::ApiNotAnswering));
    }
    if matches!(gate, GateId::WorkersStopped | GateId::ServersStopped) {
        return unknown.gap.error.as_ref().and_then(|error| error.reason).or(Some(Reason::HostUnreachable));
    }
    let settled = |id| view.gate(id).is_some_and(|gate| gate.settled.is_some());
    let well = || settled(GateId::Workloads) && settled(GateId::Endpoints) || nothing_comes(view);
    let way_in = matches!(gate, GateId::Ingress | GateId::Services) && well();
    way_in.then_some(Reason::AddressNotAnswering)
}

/// Whether no workload is about to be ready that is not: what is missing waits for images, which may come the way that does
/// not answer, for a person, or for a node that does not come.
fn nothing_comes(view: &View<'_>) -> bool {
    let Some(gate) = view.gate(GateId::Workloads).filter(|_| lasts(view, GateId::Workloads)) else { return false };
    let nodes = view.gate(GateId::NodesReady).is_some_and(|gate| gate.settled.is_some());
    let namespace = |subject: &Subject| if let Subject::Object(object) = subject { Some(object.namespace.clone()) } else { None };
    let subjects = &gate.judgement.subjects;
    let staying = subjects.iter().filter(|(_, verdict)| matches!(verdict, Verdict::Hold(blocker) if stays(blocker)));
    let staying: BTreeSet<_> = staying.filter_map(|(subject, _)| namespace(subject)).collect();
    subjects.iter().all(|(subject, verdict)| match verdict {
        Verdict::Pass(_) => true,
        Verdict::Unknown(_) => false,
        Verdict::Hold(blocker) => {
            let follows = nodes && matches!(blocker.kind, BlockerKind::Follows(_));
            // What has no word of its own most likely waits for its neighbour.
            let beside = || blocker.trap.is_none() && namespace(subject).is_some_and(|name| staying.contains(&name));
            stays(blocker) || follows || gate.overdue.contains(subject) || beside()
        }
    })
}

/// Whether what waits for this has no other way out than one that begins outside the cluster.
fn stays(blocker: &Blocker) -> bool {
    let of_a_person = || blocker.trap.and_then(entry).is_some_and(|entry| entry.class != Class::Auto);
    match blocker.kind {
        BlockerKind::Person => true,
        // Whatever its first step was, it has been taken.
        BlockerKind::Waiting => blocker.reason == Reason::ImagePullFailure || of_a_person(),
        BlockerKind::Repairable(_) | BlockerKind::Follows(_) => blocker.reason == Reason::ImagePullFailure,
    }
}

/// Whether a trap knows what `subject` waits for.
pub(crate) fn knows(view: &View<'_>, evidence: &Evidence<'_>, gate: GateId, subject: &Subject, blocker: &Blocker) -> bool {
    name(view, evidence, gate, subject, &mut blocker.clone()).is_some()
}

fn name(view: &View<'_>, evidence: &Evidence<'_>, gate: GateId, subject: &Subject, blocker: &mut Blocker) -> Option<()> {
    let case = Case::new(view, evidence, subject, blocker);
    let found = of_gate(gate).iter().find_map(|(entry, diagnosis)| Some((entry, diagnosis, (diagnosis.find)(&case)?)));
    let (entry, diagnosis, finding) = found?;
    let remakes = diagnosis.remake.is_some_and(|remake| !remake(&case).is_empty());
    let repairs =
        remakes || entry.trap == Trap::RegistryInClusterDeadlock && !registry_in_cluster_deadlock::loads(&case).is_empty();
    let why_not = diagnosis.remake.filter(|_| !repairs).and_then(|_| case.why_not());
    let barred = diagnosis.remake.and_then(|_| barred(&case)).filter(|by| by != subject && !repairs);
    let Finding { text, instruction } = finding;
    if blocker.kind == BlockerKind::Waiting {
        blocker.kind = match (repairs, barred, entry.class) {
            (true, ..) => BlockerKind::Repairable(entry.trap),
            (false, Some(by), _) => BlockerKind::Follows(by),
            // Other servers may make up the quorum, whatever is wrong with one; and a host may still boot.
            (false, None, Class::Person) if !matches!(gate, GateId::ControlPlane | GateId::NodeSsh) && lasts(view, gate) => {
                BlockerKind::Person
            }
            (false, None, Class::Person | Class::Auto | Class::FirstStep) => BlockerKind::Waiting,
        };
    }
    blocker.trap = Some(entry.trap);
    if let Some(text) = text {
        blocker.text = format!("{}; {text}", blocker.text);
    }
    blocker.if_it_lasts = instruction;
    if let Some((why, first)) = why_not {
        blocker.text = format!("{}; {why}", blocker.text);
        blocker.if_it_lasts = format!("{first}, then {}", blocker.if_it_lasts);
    }
    Some(())
}

/// What must serve before any pod can be made anew for what waits.
fn barred(case: &Case<'_>) -> Option<Subject> {
    admission::behind(case.view, case.object().map_or("", |object| object.namespace.as_ref()))
}

/// Nobody is called before what was said had its time to pass by itself.
const PATIENCE: Duration = Duration::from_secs(180);

fn lasts(view: &View<'_>, gate: GateId) -> bool {
    let opened = view.gate(gate).and_then(|gate| gate.opened);
    view.trust == Trust::Stated || opened.is_some_and(|at| view.has_passed(PATIENCE, at))
}

/// The pods that the remedy of `trap` would make anew for `subject`.
pub(crate) fn remade<'a>(
    view: &'a View<'a>,
    evidence: &'a Evidence<'a>,
    subject: &'a Subject,
    blocker: &'a Blocker,
    trap: Trap,
) -> Vec<&'a PodState> {
    let remake = entry(trap).and_then(|entry| entry.diagnosis.as_ref()?.remake);
    remake.map_or_else(Vec::new, |remake| remake(&Case::new(view, evidence, subject, blocker)))
}

/// The images that could be loaded for `subject`.
pub(crate) fn loads<'a>(view: &'a View<'a>, evidence: &'a Evidence<'a>, subject: &'a Subject, blocker: &'a Blocker) -> Vec<Load> {
    registry_in_cluster_deadlock::loads(&Case::new(view, evidence, subject, blocker))
}

/// Something has been holding for long enough that it may be more than slow.
const WORTH_ASKING: Duration = Duration::from_secs(60);

/// Whether the Events of the cluster are worth reading: some gate that they can explain holds, or is left to a person who is
/// to be told what it is.
pub(crate) fn wants_events(view: &View<'_>) -> bool {
    let old_enough = |gate: &crate::engine::walk::GateRun| gate.opened.is_some_and(|at| view.now.since(at) >= WORTH_ASKING);
    // While all has to hold, what holds no gate can be told of.
    let soaks = view.gate(GateId::Soak).is_some_and(|gate| gate.opened.is_some() && gate.settled.is_none());
    let mut held = [GateId::Workloads, GateId::Foundation, GateId::Storage, GateId::DnsCni, GateId::NodesReady]
        .iter()
        .filter_map(|id| view.gate(*id))
        .filter(|gate| matches!(gate.status, GateStatus::Holding | GateStatus::Manual) && old_enough(gate));
    soaks || held.next().is_some()
}
