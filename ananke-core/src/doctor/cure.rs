//! What closes a circle when all of it happens, and what opens it before.

use std::collections::BTreeSet;

use super::need::{Cached, Need, Severity, When, few};
use super::part::PartKind;

/// One line for each need that does not show at every start.
pub(super) fn breaks(needs: &[Need]) -> Vec<String> {
    let lines: Vec<String> = needs.iter().filter_map(closes).collect();
    if needs.iter().all(|need| need.when.severity() == Severity::High) {
        let mut all = vec!["power is lost: nothing of it starts before the rest".to_owned()];
        all.extend(lines);
        return all;
    }
    lines
}

fn closes(need: &Need) -> Option<String> {
    let from = &need.from;
    Some(match &need.when {
        When::Start => return None,
        When::Image { image, cached: Cached::Nowhere } => format!("{from} starts: no node where it may run has image {image}"),
        When::Image { image, cached: Cached::Untold } => {
            format!("{from} starts where image {image} is not, and no node tells of it")
        }
        When::Image { image, cached: Cached::On(nodes) } => {
            format!("{from} starts where image {image} is not: it is on {} alone", few(nodes))
        }
        When::NewPods => format!("{from} is asked for new pods, on a new node or after a drain"),
        When::Apply => format!("{from} is missing from etcd, or must change: after a rebuild, or a restored snapshot"),
    })
}

/// Any one of these opens it.
pub(super) fn to_do(needs: &[Need]) -> Vec<String> {
    let mut lines: BTreeSet<(u8, String)> = BTreeSet::new();
    for need in needs {
        let (from, to) = (&need.from, &need.to);
        match &need.when {
            When::Image { image, .. } => {
                lines.insert((0, format!("keep {image} where the cluster does not serve it: on the hosts, or at a mirror")));
            }
            When::NewPods => {
                lines.insert((1, format!("leave namespace {} out of {to}", from.namespace)));
            }
            When::Apply if from.kind == PartKind::Secret => {
                lines.insert((4, format!("keep a sealed copy of {from} outside of the cluster")));
            }
            When::Apply => {
                lines.insert((4, format!("keep manifests of {from} outside of the cluster, to apply by hand")));
            }
            When::Start => {
                if from.kind.is_source() && to.kind == PartKind::Host {
                    lines.insert((
                        3,
                        format!("give {from} a source that is not served by this cluster, or a mirror to switch to"),
                    ));
                } else if from.kind.is_workload() && to.kind == PartKind::Host {
                    // Any other image is asked for where it is not.
                    lines.insert((2, format!("let {from} pull IfNotPresent")));
                }
            }
        }
    }
    if lines.is_empty() {
        let parts: Vec<&super::part::Part> = needs.iter().map(|need| &need.to).collect();
        lines.insert((5, format!("serve one of these from outside of the cluster: {}", few(&parts))));
    }
    lines.into_iter().map(|(_, line)| line).collect()
}
