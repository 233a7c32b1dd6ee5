//! Phase `volumes-detached`: no volume is attached to a node any more: one that is cut off while it is attached comes back
//! with a stale attachment, or with replicas that differ. Servers have some too, where they run pods.

use std::collections::BTreeMap;

use super::{STOPPED, api_is_stopped, drained};
use crate::engine::view::View;
use crate::gate::admission::Bars;
use crate::name::{NodeName, Subject};
use crate::observation::{AttachmentState, PodState};
use crate::verdict::{Judgement, Reason, Verdict};

/// Attachments that a line for a person names.
const NAMED: usize = 3;

pub(super) fn evaluate(view: &View<'_>) -> Judgement {
    if view.spec.drain.skip {
        return Judgement::not_applicable("--skip-drain");
    }
    if api_is_stopped(view) {
        return Judgement::not_applicable(STOPPED);
    }
    // Of nodes that are not known nobody can say that their kubelets are silent.
    let storage = match view.nodes().and_then(|_| view.storage()) {
        Ok(storage) => storage,
        Err(gap) => {
            return Judgement::of(
                Subject::Cluster,
                super::without_api(view, gap, "look at the API server: it does not list volumes"),
            );
        }
    };
    let mut attached: BTreeMap<&NodeName, Vec<&AttachmentState>> = BTreeMap::new();
    for attachment in &storage.attachments {
        attached.entry(&attachment.node).or_default().push(attachment);
    }
    let (mut judgement, bars) = (Judgement::default(), Bars::of(view));
    for name in view.spec.nodes.keys() {
        let verdict = match attached.get(name) {
            None => Verdict::pass("no volume is attached"),
            // Nobody there can unmount, and nothing is forced without proof of death.
            Some(left) if view.kubelet_silent(name) => {
                Verdict::pass(format!("its kubelet is silent: {} volumes are left attached", left.len()))
            }
            Some(left) if keeps_pods(view, &bars, name) => {
                Verdict::pass(format!("{} volumes stay attached to pods that stay", left.len()))
            }
            Some(left) => held(name, left),
        };
        judgement.set(Subject::Node(name.clone()), verdict);
    }
    judgement
}

/// Whether pods with volumes were left on the node: they would not be made again, or the drain leaves their kind.
fn keeps_pods(view: &View<'_>, bars: &Bars<'_>, node: &NodeName) -> bool {
    let stays = |pod: &PodState| !drained::must_end(view, pod) || bars.on(&pod.object.namespace).is_some();
    let kept = |pod: &PodState| pod.node.as_ref() == Some(node) && !pod.claims.is_empty() && stays(pod);
    view.pods().is_ok_and(|pods| pods.iter().any(kept))
}

fn held(node: &NodeName, left: &[&AttachmentState]) -> Verdict {
    let names: Vec<&str> = left.iter().take(NAMED).map(|attachment| attachment.volume.as_ref()).collect();
    Verdict::waiting(
        Reason::VolumesAttached,
        format!("{node}: {} volumes are attached ({})", left.len(), names.join(", ")),
        format!(
            "look at `kubectl get volumeattachments`: what is attached to {node} has a pod left, or its CSI attacher is away"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::Bench;

    #[test]
    fn a_node_with_a_volume_holds_and_a_silent_one_is_left_as_it_is() {
        let mut bench = Bench::new(3);
        bench.all_up();
        bench.attach(1);
        bench.check(evaluate, "n1: hold volumes-attached waiting\nn2: pass\nn3: pass");
        bench.attach(2);
        bench.check(evaluate, "n1: hold volumes-attached waiting\nn2: hold volumes-attached waiting\nn3: pass");
        bench.node_dies(2);
        bench.check(evaluate, "n1: hold volumes-attached waiting\nn2: pass\nn3: pass");
        assert_eq!(
            evaluate(&bench.view()).subjects.values().nth(1).unwrap().text(),
            "its kubelet is silent: 1 volumes are left attached"
        );
    }

    #[test]
    fn a_volume_of_a_pod_that_the_drain_leaves_is_not_waited_for() {
        let mut bench = Bench::new(2);
        bench.all_up();
        bench.attach(2);
        bench.workload(crate::name::Kind::Deployment, "debug", &[(2, true)]);
        bench.pod("debug-0", |pod| pod.claims = vec!["data".into()]);
        bench.check(evaluate, "n1: pass\nn2: hold volumes-attached waiting");
        bench.pod("debug-0", |pod| (pod.owner, pod.bare) = (None, true));
        bench.check(evaluate, "n1: pass\nn2: pass");
    }

    #[test]
    fn without_a_drain_and_without_an_api_there_is_nothing_to_wait_for() {
        let mut bench = Bench::new(2);
        bench.check(evaluate, "the cluster: unknown");
        bench.host_up(1);
        bench.host(1, |host| host.unit = crate::observation::UnitState::Inactive);
        bench.check(evaluate, "not applicable: the servers are stopped already");
        bench.spec.drain.skip = true;
        bench.check(evaluate, "not applicable: --skip-drain");
    }
}
