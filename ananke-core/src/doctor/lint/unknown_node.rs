//! Nodes of the cluster that the config neither names nor leaves out: a start-up waits for none of them.

use super::super::map::ClusterMap;
use super::{Finding, Lint};
use crate::spec::Spec;

pub(super) fn look(map: &ClusterMap, spec: &Spec) -> Vec<Finding> {
    let unknown = map.nodes.iter().filter(|node| !spec.nodes.contains_key(&node.name) && !spec.ignored.contains(&node.name));
    let finding = |node: &super::super::map::MapNode| {
        let (role, list) = if node.server { ("server", "control_planes") } else { ("worker", "workers") };
        let what = format!("the config does not know this {role}: nothing starts it, waits for it or shuts it down");
        Finding::new(Lint::UnknownNode, &node.name, what, format!("add it to {list}, or to ignore_nodes"))
    };
    unknown.map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{check, lab, node, spec};
    use super::*;

    #[test]
    fn a_node_is_known_or_left_out() {
        let mut lab = lab();
        let mut spec = spec(&["titan-01", "titan-02"]);
        check(&look(&lab.map, &spec), &[]);
        lab.node("titan-03");
        let found = "titan-03: the config does not know this worker: nothing starts it, waits for it or shuts it down";
        check(&look(&lab.map, &spec), &[found]);
        spec.ignored = vec![node("titan-03")];
        check(&look(&lab.map, &spec), &[]);
    }
}
