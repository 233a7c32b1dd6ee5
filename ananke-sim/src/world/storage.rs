//! Volumes: the claims that ask for them, what they are attached to, and the CSI driver that each kubelet knows of.
//!
//! The controller that attaches has the real one's manners: a volume goes with the pod that mounts it, is given up once the
//! pod is gone and its kubelet has unmounted it, and is taken from a dead kubelet only six minutes after the pod went.

use std::sync::Arc;

use ananke_core::name::{Kind, ObjectRef, Uid};

use super::{Event, Ms, Pod, What, World};

const ATTACH: (Ms, Ms) = (800, 3_000);
const DETACH: (Ms, Ms) = (600, 2_500);
/// The node plugin's registrar speaks to the kubelet a moment after its pod serves.
const REGISTER: (Ms, Ms) = (500, 3_000);
/// How long a kubelet that is away may still have a volume mounted, for all that the controller knows.
const FORCE_DETACH: Ms = 360_000;

pub const DRIVER: &str = "driver.longhorn.io";
pub const LONGHORN_NAMESPACE: &str = "longhorn-system";

/// A PersistentVolumeClaim with its volume, which Longhorn serves.
#[derive(Debug, Clone)]
pub struct Volume {
    /// Name of the PersistentVolume and of Longhorn's own object.
    pub name: Arc<str>,
    pub claim: ObjectRef,
    pub uid: Uid,
    pub rv: u64,
    pub created: Ms,
    pub workload: usize,
    /// Ordinal of the pod that mounts it.
    pub ordinal: u32,
    pub attachment: Option<Attachment>,
    /// True: no replica can be used, until a person chooses one.
    pub faulted: bool,
    /// Its replicas are being made whole.
    pub rebuilt: bool,
    waiters: Vec<usize>,
    epoch: u32,
}

/// A VolumeAttachment.
#[derive(Debug, Clone)]
pub struct Attachment {
    pub object: ObjectRef,
    pub uid: Uid,
    pub node: usize,
    pub since: Ms,
    pub attached: bool,
    pub deleting: bool,
}

/// What the API shows of storage on a node, and what is true.
#[derive(Debug, Clone, Default)]
pub struct NodeStorage {
    /// `CSINode` lists the driver.
    pub driver: bool,
    /// Longhorn says that the node is Ready.
    pub longhorn: bool,
    pub rv: u64,
    /// True: the driver does not register again until its pod is made anew.
    pub broken: bool,
    /// Pods that wait for the driver.
    waiters: Vec<usize>,
    epoch: u32,
}

impl Volume {
    /// `status.state` and `status.robustness` of Longhorn's own object.
    pub fn longhorn_words(&self) -> (&'static str, &'static str) {
        let attached = self.attachment.as_ref().is_some_and(|at| at.attached && !at.deleting);
        match (self.faulted, attached) {
            (true, _) => ("detached", "faulted"),
            (false, true) => ("attached", if self.rebuilt { "degraded" } else { "healthy" }),
            (false, false) => ("detached", "unknown"),
        }
    }
}

impl World {
    pub fn volumes(&self) -> &[Volume] {
        &self.volumes
    }

    /// The volume that a pod mounts.
    pub fn volume_of(&self, pod: &Pod) -> Option<&Volume> {
        self.volume_row(pod).and_then(|row| self.volumes.get(row))
    }

    fn volume_row(&self, pod: &Pod) -> Option<usize> {
        self.workloads[pod.workload].claims.get(usize::try_from(pod.ordinal).ok()?).copied()
    }

    /// A StatefulSet's claims are made with its pods, and outlive them.
    pub(super) fn claim_for(&mut self, workload: usize, ordinal: u32) {
        while self.workloads[workload].volumes && self.workloads[workload].claims.len() <= usize::try_from(ordinal).unwrap_or(0) {
            let nth = self.workloads[workload].claims.len();
            let of = &self.workloads[workload].object;
            let claim = ObjectRef {
                kind: Kind::PersistentVolumeClaim,
                namespace: of.namespace.clone(),
                name: format!("data-{}-{nth}", of.name).into(),
            };
            let row = self.volumes.len();
            let uid = self.uid("claim", row);
            let rv = self.touched(What::Added, &claim, row);
            let row = self.volumes.add(Volume {
                name: format!("pvc-{}", uid.as_str()).into(),
                claim,
                uid,
                rv,
                created: self.now,
                workload,
                ordinal: u32::try_from(nth).unwrap_or(u32::MAX),
                attachment: None,
                faulted: false,
                rebuilt: false,
                waiters: Vec::new(),
                epoch: 0,
            });
            self.workloads[workload].claims.push(row);
        }
    }

    /// Everything as it was while all was well.
    pub(super) fn all_attached(&mut self, since: Ms) {
        for row in 0..self.volumes.len() {
            self.volumes[row].created = since;
            if let Some(node) = self.wanted_on(row) {
                self.attach(row, node, since, true);
            }
        }
        let rv = self.storage_touched();
        for node in self.nodes.iter_mut() {
            (node.storage.driver, node.storage.longhorn, node.storage.rv) = (true, true, rv);
        }
    }

    /// Whether the pod must wait for its volume, or for the driver that mounts it; it is woken when that is there.
    pub(super) fn waits_for_volume(&mut self, pod: usize, node: usize) -> bool {
        let Some(row) = self.volume_row(&self.pods[pod]) else { return false };
        if !self.nodes[node].storage.driver {
            self.nodes[node].storage.waiters.push(pod);
            return true;
        }
        let volume = &mut self.volumes[row];
        let there = volume.attachment.as_ref().is_some_and(|at| at.node == node && at.attached && !at.deleting);
        if volume.faulted || !there {
            volume.waiters.push(pod);
            return true;
        }
        false
    }

    /// A pod was bound, or has gone.
    pub(super) fn volume_follows(&mut self, pod: usize) {
        if let Some(row) = self.volume_row(&self.pods[pod]) {
            self.sync_volume(row);
        }
    }

    pub(super) fn sync_volumes(&mut self) {
        for row in 0..self.volumes.len() {
            self.sync_volume(row);
        }
    }

    /// A kubelet is back: it unmounts what no pod of its node mounts.
    pub(super) fn unmount_unused(&mut self, node: usize) {
        for row in 0..self.volumes.len() {
            if self.volumes[row].attachment.as_ref().is_some_and(|at| at.node == node) && self.wanted_on(row) != Some(node) {
                self.sync_volume(row);
            }
        }
    }

    fn wanted_on(&self, row: usize) -> Option<usize> {
        let volume = &self.volumes[row];
        let pods = self.workloads[volume.workload].pods.iter().map(|pod| &self.pods[*pod]);
        pods.filter(|pod| pod.ordinal == volume.ordinal && !pod.gone).find_map(|pod| pod.node)
    }

    /// Takes the next step towards what the pods want; a volume is on one node at a time.
    fn sync_volume(&mut self, row: usize) {
        if !self.control.controllers || self.attachment_stuck(row) {
            return;
        }
        let wanted = self.wanted_on(row);
        let volume = &self.volumes[row];
        let (low, high) = match (&volume.attachment, wanted) {
            (None, None) => return,
            (None, Some(node)) => {
                self.attach(row, node, self.now, false);
                ATTACH
            }
            (Some(at), _) if at.deleting => DETACH,
            (Some(at), Some(node)) if at.node == node && at.attached => return,
            (Some(at), Some(node)) if at.node == node => ATTACH,
            (Some(at), _) if self.nodes[at.node].alive_since.is_some() => {
                self.change_attachment(row, |at| at.deleting = true);
                DETACH
            }
            (Some(_), _) => (FORCE_DETACH, FORCE_DETACH),
        };
        self.volumes[row].epoch += 1;
        let epoch = self.volumes[row].epoch;
        let takes = self.draw("volume", row, u64::from(epoch), low, high);
        self.after(takes, Event::VolumeStep(row, epoch));
    }

    pub(super) fn volume_step(&mut self, row: usize, epoch: u32) {
        if self.volumes[row].epoch != epoch || !self.control.controllers || self.attachment_stuck(row) {
            return;
        }
        let wanted = self.wanted_on(row);
        let Some(at) = &self.volumes[row].attachment else { return };
        let (node, alive) = (at.node, self.nodes[at.node].alive_since.is_some());
        if at.deleting || wanted != Some(node) && !alive {
            self.note(|world| format!("{} detached from {}", world.volumes[row].claim, world.nodes[node].name));
            self.detach(row);
            self.sync_volume(row);
        } else if wanted == Some(node) {
            self.change_attachment(row, |at| at.attached = true);
            let waiters = std::mem::take(&mut self.volumes[row].waiters);
            self.wake(waiters);
        } else {
            self.sync_volume(row);
        }
    }

    fn attach(&mut self, row: usize, node: usize, since: Ms, attached: bool) {
        let volume = &self.volumes[row];
        let uid = self.rng.uuid("attachment", row as u64, u64::from(volume.epoch));
        let object = ObjectRef::new(Kind::VolumeAttachment, "", &format!("csi-{}", uid.replace('-', "")));
        let uid = super::parsed(Uid::parse, &uid);
        let rv = self.touched(What::Added, &object, row);
        let volume = &mut self.volumes[row];
        (volume.rv, volume.attachment) = (rv, Some(Attachment { object, uid, node, since, attached, deleting: false }));
    }

    /// Sets its `deletionTimestamp`.
    pub(super) fn delete_attachment(&mut self, row: usize) {
        self.change_attachment(row, |at| at.deleting = true);
    }

    fn change_attachment(&mut self, row: usize, change: impl FnOnce(&mut Attachment)) {
        let Some(at) = &mut self.volumes[row].attachment else { return };
        change(at);
        let object = at.object.clone();
        self.volumes[row].rv = self.touched(What::Modified, &object, row);
    }

    fn detach(&mut self, row: usize) {
        if let Some(at) = self.volumes[row].attachment.take() {
            self.volumes[row].rv = self.touched(What::Deleted, &at.object, row);
        }
    }

    /// A pod of the storage's DaemonSet changed: the kubelet and Longhorn learn of it.
    pub(super) fn storage_pod_changed(&mut self, node: usize) {
        let here = self.nodes[node].pods.iter().map(|pod| &self.pods[*pod]);
        let here = here.filter(|pod| pod.workload == self.known.storage && !pod.gone);
        let (serves, ready) = here
            .fold((false, false), |(serves, ready), pod| (serves || pod.serving && pod.deleting.is_none(), ready || pod.ready));
        let storage = &self.nodes[node].storage;
        let (driver, broken) = (storage.driver, storage.broken);
        if storage.longhorn != ready {
            self.nodes[node].storage.longhorn = ready;
            self.nodes[node].storage.rv = self.storage_touched();
        }
        if serves && !driver && !broken {
            let storage = &mut self.nodes[node].storage;
            storage.epoch += 1;
            let epoch = storage.epoch;
            let takes = self.draw("register", node, u64::from(epoch), REGISTER.0, REGISTER.1);
            self.after(takes, Event::DriverUp(node, epoch));
        } else if !serves && driver && self.nodes[node].alive_since.is_some() {
            self.forget_driver(node);
        }
    }

    pub(super) fn driver_up(&mut self, node: usize, epoch: u32) {
        let row = &mut self.nodes[node];
        if row.storage.epoch != epoch || row.storage.broken || row.alive_since.is_none() {
            return;
        }
        row.storage.driver = true;
        let waiters = std::mem::take(&mut row.storage.waiters);
        self.nodes[node].storage.rv = self.storage_touched();
        self.wake(waiters);
    }

    /// The driver's socket is gone, or the kubelet began anew.
    pub(super) fn forget_driver(&mut self, node: usize) {
        let rv = self.storage_touched();
        let storage = &mut self.nodes[node].storage;
        (storage.driver, storage.rv, storage.epoch) = (false, rv, storage.epoch + 1);
    }

    pub(super) fn break_driver(&mut self, node: usize) {
        self.nodes[node].storage.broken = true;
        self.forget_driver(node);
    }

    /// Its containers died with the host.
    pub(super) fn nobody_waits(&mut self, node: usize) {
        self.nodes[node].storage.waiters.clear();
    }

    /// The replicas of a workload's volumes cannot be used any more.
    pub(super) fn fault_volumes(&mut self, workload: usize) {
        for row in self.workloads[workload].claims.clone() {
            self.volumes[row].faulted = true;
            let claim = self.volumes[row].claim.clone();
            self.volumes[row].rv = self.touched(What::Modified, &claim, row);
        }
        for pod in self.workloads[workload].pods.clone() {
            self.change_pod(pod, |pod| pod.serving = false);
            if self.pods[pod].running {
                self.publish(pod);
            }
        }
    }

    /// The replicas of a workload's volumes are made whole, or are whole again.
    pub(super) fn rebuild_volumes(&mut self, workload: usize, rebuilt: bool) {
        for row in self.workloads[workload].claims.clone() {
            if self.volumes[row].rebuilt != rebuilt {
                self.volumes[row].rebuilt = rebuilt;
                let claim = self.volumes[row].claim.clone();
                self.volumes[row].rv = self.touched(What::Modified, &claim, row);
            }
        }
    }

    fn storage_touched(&mut self) -> u64 {
        self.revision += 1;
        self.revisions.storage = self.revision;
        self.revision
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Fault;
    use crate::scenario::Scenario;

    const MINUTE: Ms = 60_000;

    fn healthy() -> World {
        World::new(&Scenario::named("healthy").unwrap().with_nodes(6), 1)
    }

    fn later(world: &mut World, span: Ms) {
        let until = world.now() + span;
        world.advance_to(until);
    }

    /// The volume of home/mosquitto, and the node it is attached to.
    fn attachment(world: &World) -> Option<(usize, bool, bool)> {
        let volume = world.volumes().iter().find(|volume| &*volume.claim.name == "data-mosquitto-0").unwrap();
        volume.attachment.as_ref().map(|at| (at.node, at.attached, at.deleting))
    }

    fn node_of(world: &World) -> usize {
        world.pods[world.find_pod("home", "mosquitto-0").unwrap()].node.unwrap()
    }

    #[test]
    fn a_volume_goes_where_its_pod_goes() {
        let mut world = healthy();
        let first = node_of(&world);
        assert_eq!(attachment(&world), Some((first, true, false)));
        let name = world.nodes[first].name.clone();
        world.person_cordon(&name).unwrap();
        world.delete_pod("home", "mosquitto-0", None).unwrap();
        later(&mut world, MINUTE);
        let second = node_of(&world);
        assert_ne!(second, first);
        assert_eq!(attachment(&world), Some((second, true, false)));
        assert!(world.pods[world.find_pod("home", "mosquitto-0").unwrap()].serving);
    }

    #[test]
    fn a_dead_kubelet_keeps_the_volume_for_six_minutes_after_its_pod_went() {
        let mut world = healthy();
        // Wherever the pod goes, its image is there.
        let all = 0..world.workloads.len();
        world.nodes.iter_mut().for_each(|node| node.images.extend(all.clone()));
        let node = node_of(&world);
        let name = world.nodes[node].name.clone();
        world.inject(Fault::NeverBoots, Some(&name)).unwrap();
        later(&mut world, 10 * MINUTE);
        assert_eq!(attachment(&world), Some((node, true, false)), "its pod stays Terminating on the dead node");
        world.force_delete_pod("home", "mosquitto-0", None).unwrap();
        later(&mut world, 5 * MINUTE);
        assert_eq!(attachment(&world), Some((node, true, false)));
        let pod = world.find_pod("home", "mosquitto-0").unwrap();
        assert!(!world.pods[pod].serving && world.pods[pod].node != Some(node));
        later(&mut world, 2 * MINUTE);
        assert!(attachment(&world).is_some_and(|(at, attached, _)| at != node && attached));
        assert!(world.pods[pod].serving);
    }

    #[test]
    fn after_a_boot_the_driver_is_missing_until_its_pod_serves() {
        let mut world = World::new(&Scenario::named("power-loss").unwrap().with_nodes(6), 1);
        assert!(world.nodes.iter().all(|node| node.storage.driver), "from before the outage");
        let mut missed = false;
        for _ in 0..600 {
            later(&mut world, 1_000);
            missed |=
                world.nodes.iter().any(|node| node.boot_id.as_ref() == Some(&world.hosts[0].boot_id) && !node.storage.driver);
        }
        assert!(missed, "the first server is back in this boot, and its driver is not");
        assert!(world.nodes.iter().all(|node| node.storage.driver && node.storage.longhorn));
        assert_eq!(
            world.truly_healthy().map_err(|wrong| wrong.join("\n")).err().filter(|wrong| wrong.contains("mosquitto")),
            None
        );
    }

    #[test]
    fn a_driver_that_does_not_register_comes_back_with_a_new_pod() {
        let mut world = healthy();
        let node = node_of(&world);
        let name = world.nodes[node].name.clone();
        world.inject(Fault::CsiNotRegistered, Some(&name)).unwrap();
        later(&mut world, 10 * MINUTE);
        assert!(!world.nodes[node].storage.driver);
        let plugin = world.nodes[node].pods.iter().map(|pod| &world.pods[*pod]).find(|pod| pod.workload == world.known.storage);
        let plugin = plugin.unwrap().object.clone();
        world.delete_pod(&plugin.namespace, &plugin.name, None).unwrap();
        later(&mut world, 2 * MINUTE);
        assert!(world.nodes[node].storage.driver);
    }
}
