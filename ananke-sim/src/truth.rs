//! What is true, asked of the world alone: checkers judge Ananke's reports by it.

use std::collections::BTreeSet;

use ananke_core::lease::{MANUAL_ANNOTATION, TAINT_KEY};
use ananke_core::name::{Kind, NodeName};
use ananke_core::observation::{HostHealth, Tri, UnitState};
use ananke_core::order::SUSPENDED_ANNOTATION;

use crate::world::{FluxObject, Host, Job, Manner, Power, Workload, World};

/// A disk with less room than this, in percent, is not well.
const FULL: u8 = 20;

impl World {
    /// Everything that can be healthy is. `Err` says what is not, one line each.
    ///
    /// What waits for a person (a pod on a node that does not come back, a program that crashes, and all that stands on
    /// them) is left out.
    pub fn truly_healthy(&self) -> Result<(), Vec<String>> {
        let mut wrong = Vec::new();
        if self.control_is_lost() || self.address_is_lost() {
            return Ok(());
        }
        if !self.api_up() || self.fault().is_some() {
            wrong.push("the API does not answer".to_owned());
        }
        self.check_nodes(&mut wrong);
        let excused = self.excused();
        for (row, workload) in self.workloads.iter().enumerate() {
            let (up, wanted) = self.up_and_wanted(row);
            if up < wanted && !excused.contains(&row) {
                wrong.push(format!("{}: {up} of {wanted} pods serve", workload.object));
            }
        }
        self.check_flux(&excused, &mut wrong);
        let door = self.known.ingress;
        let shut = self.address_barred() || excused.contains(&door) && self.workloads[door].endpoints == 0;
        for ingress in self.ingresses.iter().filter(|_| !shut) {
            let served = !excused.contains(&ingress.backend) || self.workloads[ingress.backend].endpoints > 0;
            if served && !self.site_works(&ingress.host) {
                wrong.push(format!("{}: does not answer", ingress.host));
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    fn serves_now(&self, pod: usize) -> bool {
        self.pods[pod].serving && self.pods[pod].ready
    }

    /// Pods of a workload that serve, and how many there are to be.
    fn up_and_wanted(&self, row: usize) -> (usize, usize) {
        let workload = &self.workloads[row];
        let up = workload.pods.iter().filter(|pod| self.serves_now(**pod)).count();
        let wanted = if workload.is_daemon() { self.daemons_wanted(row) } else { workload.replicas.max(workload.forgotten) };
        (up, usize::try_from(wanted).unwrap_or(0))
    }

    /// Workloads that are what their spec asks for, and whose pods serve whatever the API says of them.
    pub fn workloads_up(&self) -> usize {
        let serve = |pod: &&usize| self.serves_now(**pod);
        let up = |workload: &&Workload| {
            let serving = u32::try_from(workload.pods.iter().filter(serve).count()).unwrap_or(u32::MAX);
            workload.converged() && serving >= workload.status.ready
        };
        self.workloads.iter().filter(up).count()
    }

    /// Nodes that nobody brings back from afar.
    pub fn person_needed(&self) -> Vec<NodeName> {
        let lost = |row: &usize| {
            let (host, node) = (&self.hosts[*row], &self.nodes[*row]);
            let sick = self.is_left(*row) || host.health.clock_synced == Some(false) || !host.health.missing_mounts.is_empty();
            let mute = matches!(host.manner, Manner::Stalls | Manner::Cuts);
            // Nobody sees them while there is no API to list nodes: who asks for that to be mended asks again after it.
            let listed = !self.control_is_lost() && !self.address_is_lost();
            let sick = sick && (listed || !is_seen_by_its_node_alone(host));
            let storage = node.storage.broken && !self.plugin_is_old(*row);
            let of_node = listed && (node.never_ready || storage || self.cannot_be_spared(*row));
            host.never_boots || host.unplugged || host.key_changed || host.sshd_broken || mute || of_node || sick
        };
        (0..self.hosts.len()).filter(lost).map(|row| self.hosts[row].name.clone()).collect()
    }

    /// Nodes with which anything is wrong at all, whoever ends it.
    pub fn sick(&self) -> Vec<NodeName> {
        let is_sick = |row: &usize| {
            let (host, node) = (&self.hosts[*row], &self.nodes[*row]);
            let there = host.is_reached() && node.alive_since.is_some() && node.ready == Tri::True && !node.wedged;
            let HostHealth { root_read_only, clock_synced, missing_mounts, missing_packages, missing_units, agents, space } =
                &host.health;
            let lacks = !missing_mounts.is_empty() || !missing_packages.is_empty() || !missing_units.is_empty();
            let full = space.iter().any(|space| space.free_percent < FULL);
            let unsound = *root_read_only || *clock_synced == Some(false) || lacks || !agents.is_empty() || full;
            let storage = node.storage.driver && !node.storage.broken;
            !there
                || unsound
                || !storage
                || host.manner != Manner::Usual
                || is_silent(host)
                || node.boot_id.as_ref() != Some(&host.boot_id)
        };
        (0..self.hosts.len()).filter(is_sick).map(|row| self.hosts[row].name.clone()).collect()
    }

    fn check_nodes(&self, wrong: &mut Vec<String>) {
        for (row, (host, node)) in self.hosts.iter().zip(&self.nodes).enumerate() {
            let unwell = host.never_boots || host.unplugged || node.never_ready || self.is_left(row) || is_silent(host);
            let marked = unwell && node.annotations.contains_key(MANUAL_ANNOTATION);
            if !marked && node.taints.iter().any(|taint| &*taint.key == TAINT_KEY) {
                wrong.push(format!("{}: carries a cordon of Ananke", node.name));
            }
            if host.never_boots
                || host.unplugged
                || self.is_left(row)
                || node.never_ready
                || self.network_barred(row)
                || self.cannot_be_spared(row)
            {
                continue;
            }
            if host.power != Power::Up || node.alive_since.is_none() {
                wrong.push(format!("{}: no live kubelet", node.name));
            } else if node.ready != Tri::True || node.boot_id.as_ref() != Some(&host.boot_id) {
                wrong.push(format!("{}: not Ready in this boot", node.name));
            }
        }
    }

    fn check_flux(&self, excused: &BTreeSet<usize>, wrong: &mut Vec<String>) {
        let known = &self.known;
        let needed = [known.dns, known.ingress, known.git, known.source_controller, known.kustomize_controller];
        let none = |row: &usize| excused.contains(row) && self.workloads[*row].endpoints == 0;
        if self.source_denied() || needed.iter().any(none) {
            return;
        }
        if !self.source.stored || self.source.meta.ready != Tri::True {
            wrong.push("the Flux source has no artifact in its store".to_owned());
        }
        // Parents stand before their children in the table.
        let mut waiting = BTreeSet::new();
        for (row, kust) in self.kustomizations.iter().enumerate() {
            let own: Vec<usize> =
                (0..self.releases.len()).filter(|release| self.releases[*release].kustomization == row).collect();
            let mut lost = own.iter().filter_map(|release| self.trouble_of_release(*release));
            let mut behind = own.iter().flat_map(|release| &self.releases[*release].depends_on);
            let held = suspended_by_a_person(&kust.meta)
                || self.kustomization_barred(row)
                || lost.any(|trouble| trouble.needs_person())
                || none(&known.helm_controller) && !own.is_empty()
                || behind.any(|release| waiting.contains(&self.releases[*release].kustomization))
                || kust.workloads.iter().any(|workload| excused.contains(workload) && !self.is_whole(*workload))
                || kust.depends_on.iter().any(|parent| waiting.contains(parent));
            if held {
                waiting.insert(row);
                continue;
            }
            let current = kust.applied_revision == self.source.revision && kust.reconciled_at > Some(self.api_since());
            let mut releases = self.releases.iter().filter(|release| release.kustomization == row);
            if releases.any(|it| it.meta.suspended || it.meta.ready != Tri::True || it.reconciled_at <= Some(self.api_since())) {
                wrong.push(format!("{}: a HelmRelease of it was not reconciled since the API is up", kust.meta.object));
            }
            // While it is reconciled again at its interval, or its parent is, it is not Ready, and still what it was.
            let failed = kust.meta.ready == Tri::False && kust.meta.reason != "DependencyNotReady";
            if kust.meta.suspended || failed || !current {
                wrong.push(format!("{}: not reconciled since the API is up", kust.meta.object));
            }
        }
        // Until its Kustomization is applied again, nobody can know what Git has.
        let seen = |job: &&Job| self.kustomizations[job.kustomization].runs > job.seen_after;
        let stale = self.jobs().filter(|job| job.template != job.wanted && !waiting.contains(&job.kustomization)).filter(seen);
        wrong.extend(stale.map(|job| format!("{}: made from another template than Git has", job.object)));
    }

    /// Workloads that cannot be whole without a person.
    fn excused(&self) -> BTreeSet<usize> {
        let mut excused: BTreeSet<usize> = (0..self.workloads.len())
            .filter(|row| {
                self.workloads[*row].crashing
                    || self.workloads[*row].is_lost()
                    || self.waits_for_decision(*row)
                    || self.is_stranded(*row)
            })
            .collect();
        loop {
            let more: Vec<usize> = (0..self.workloads.len())
                .filter(|row| !excused.contains(row))
                .filter(|row| {
                    let gone = |need: &usize| excused.contains(need) && self.workloads[*need].endpoints == 0;
                    let needs = &self.workloads[*row].needs;
                    let cure = self.cured_by(*row);
                    // A pod of another that would be made anew for it might get none either.
                    let loses = |by: usize| by != *row && !self.workloads[by].is_daemon() && self.pulls_from_here(by);
                    let withheld = cure.is_some_and(loses) && self.beside_registry().any(|part| excused.contains(&part));
                    let unpulled = self.lacks_image(*row) && self.serve_images().iter().any(gone);
                    needs.iter().chain(&cure).any(gone) || unpulled || withheld
                })
                .collect();
            if more.is_empty() {
                return excused;
            }
            excused.extend(more);
        }
    }

    /// It is what its spec asks for, and its Kustomization can be told so.
    fn is_whole(&self, row: usize) -> bool {
        let (up, wanted) = self.up_and_wanted(row);
        up >= wanted && self.workloads[row].converged()
    }

    /// What it lacks are pods that wait for a person: what can be made in their place, or is not wanted there, is not lacking.
    fn is_stranded(&self, row: usize) -> bool {
        let workload = &self.workloads[row];
        let stranded = workload.pods.iter().filter(|pod| self.stranded(**pod) && !self.serves_now(**pod)).count();
        let (up, wanted) = self.up_and_wanted(row);
        // The next pod of a StatefulSet waits for the one before it.
        stranded > 0 && (workload.object.kind == Kind::StatefulSet || up + stranded >= wanted)
    }

    /// Bound to a node that does not come back, or to a volume that does not: it waits for a person too.
    fn stranded(&self, pod: usize) -> bool {
        let row = &self.pods[pod];
        if self.volume_of(row).is_some_and(|volume| volume.faulted) {
            return true;
        }
        row.node.is_some_and(|node| {
            let mounts = !row.serving && self.workloads[row.workload].volumes;
            let storage = &self.nodes[node].storage;
            let lost = storage.broken || !storage.driver && self.waits_for_decision(self.known.storage);
            if lost && mounts {
                return true;
            }
            let host = &self.hosts[node];
            host.never_boots
                || host.unplugged
                || host.cannot_write()
                || self.is_left(node)
                || self.nodes[node].never_ready
                || self.network_barred(node)
                || self.cannot_be_spared(node)
        })
    }

    /// The same of a host whose root is read-only while containers run on it: nobody reboots it from afar.
    fn is_left(&self, row: usize) -> bool {
        let host = &self.hosts[row];
        left_to_a_person(host) || host.health.root_read_only && self.leftovers(row).shims > 0
    }

    /// A restart of its agent would help, and takes a quorum from servers that are so few.
    fn cannot_be_spared(&self, node: usize) -> bool {
        let servers = self.hosts.iter().filter(|host| host.server).count();
        self.nodes[node].wedged && self.hosts[node].server && servers <= 2
    }
}

/// What a shutdown suspended has its stamp; without one it is a person's wish, and what stands on it waits with it.
fn suspended_by_a_person(of: &FluxObject) -> bool {
    of.suspended && !of.annotations.contains_key(SUSPENDED_ANNOTATION)
}

/// What keeps the agent of a worker from running is told where its node is judged.
fn is_seen_by_its_node_alone(host: &Host) -> bool {
    !host.server && host.words.is_some() && !host.sshd_broken && !host.cannot_write()
}

/// Its kubelet may be well, and nobody can ask the host itself which boot that is.
fn is_silent(host: &Host) -> bool {
    host.key_changed || host.sshd_broken || matches!(host.manner, Manner::Stalls | Manner::Cuts)
}

/// What keeps it down is ended by nobody but a person: Ananke reboots no server, and starts no unit where it has no hands.
fn left_to_a_person(host: &Host) -> bool {
    let runs = matches!(host.unit_state, UnitState::Active | UnitState::Activating);
    let unhandy = matches!(host.manner, Manner::AsksPassword | Manner::Stalls | Manner::Cuts);
    let out_of_reach = unhandy || host.key_changed || host.sshd_broken;
    let unfit = out_of_reach || !host.health.missing_mounts.is_empty();
    host.is_lost() || host.server && host.health.root_read_only || unfit && !runs
}
