//! Pods that have ended: their kubelet ended them for the shutdown of its node, or turned them away. The object stays. A
//! Deployment makes another at once; a StatefulSet or DaemonSet, of some versions, takes the object for the pod.

use ananke_core::observation::PodPhase;

use super::World;
use super::trouble::Kind;

impl World {
    /// The kubelet's last word on the pod.
    pub(super) fn end_for_good(&mut self, row: usize, kind: Kind, phase: PodPhase) {
        self.change_pod(row, |pod| {
            (pod.phase, pod.reason, pod.ended) = (phase, kind.reason, Some(kind.words));
            (pod.ready, pod.running, pod.serving) = (false, false, false);
            pod.epoch += 1;
        });
    }

    /// Whether the kubelet turns the pod away that it was about to start.
    pub(super) fn turned_away(&mut self, row: usize) -> bool {
        let ended = self.trouble_of(&self.pods[row]).and_then(|kind| Some((kind, kind.told.phase()?)));
        if let Some((kind, phase)) = ended {
            self.end_for_good(row, kind, phase);
        }
        ended.is_some()
    }
}
