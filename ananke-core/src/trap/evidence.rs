//! What kubelets, controllers and units said, by what it is about.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::engine::view::View;
use crate::name::{Moment, NodeName, ObjectRef};
use crate::observation::{EventState, PodState};

/// Made once for a judgement, and only where something waits.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// Pods that are not ready and of which something is said, by the workload that owns them.
    pods: BTreeMap<&'a ObjectRef, Vec<&'a PodState>>,
    events: BTreeMap<&'a ObjectRef, Vec<&'a EventState>>,
    all: &'a [PodState],
    /// The places of all pods that have a node, in the order of their nodes; worked out once a trap asks.
    by_node: OnceCell<Vec<usize>>,
}

/// An Event says something of now for this long after it was last seen: controllers repeat what lasts.
const TELLS_FOR: std::time::Duration = std::time::Duration::from_secs(15 * 60);

impl<'a> Evidence<'a> {
    pub(crate) fn of(view: &View<'a>) -> Self {
        let young = |last: Moment| last >= view.floor() && view.now.since(last) <= TELLS_FOR;
        let mut events: BTreeMap<&ObjectRef, Vec<&EventState>> = BTreeMap::new();
        for event in view.events().iter().filter(|event| event.last.is_some_and(young)) {
            events.entry(&event.about).or_default().push(event);
        }
        let tells = |pod: &&PodState| !pod.message.is_empty() || pod.is_backing_off() || events.contains_key(&pod.object);
        let mut pods: BTreeMap<&ObjectRef, Vec<&PodState>> = BTreeMap::new();
        let all = view.pods().unwrap_or_default();
        for pod in all.iter().filter(|pod| !pod.ready).filter(tells) {
            if let Some(owner) = &pod.owner {
                pods.entry(owner).or_default().push(pod);
            }
        }
        Self { pods, events, all, by_node: OnceCell::new() }
    }

    /// Pods of a workload that are not ready and of which something is said.
    pub(crate) fn pods(&self, owner: &ObjectRef) -> &[&'a PodState] {
        self.pods.get(owner).map(Vec::as_slice).unwrap_or_default()
    }

    /// All pods of a node.
    pub(crate) fn pods_on<'n>(&'n self, node: &'n NodeName) -> impl Iterator<Item = &'a PodState> + use<'a, 'n> {
        let node_of = |place: &usize| self.all.get(*place).and_then(|pod| pod.node.as_ref());
        let by_node = self.by_node.get_or_init(|| {
            let mut places: Vec<usize> = (0..self.all.len()).filter(|place| node_of(place).is_some()).collect();
            places.sort_by(|one, other| node_of(one).cmp(&node_of(other)));
            places
        });
        let from = by_node.partition_point(|place| node_of(place) < Some(node));
        let on_it = by_node.iter().skip(from).take_while(move |place| node_of(place) == Some(node));
        on_it.filter_map(|place| self.all.get(*place))
    }

    pub(crate) fn events(&self, about: &ObjectRef) -> impl Iterator<Item = &'a EventState> + use<'a, '_> {
        self.events.get(about).into_iter().flatten().copied()
    }
}

/// Whether a text says one of these, whatever its case. Patterns are in lower case.
pub(crate) fn says(text: &str, any: &[&str]) -> bool {
    let text = text.to_lowercase();
    any.iter().any(|pattern| text.contains(pattern))
}

/// The words of a report, shortened for a line.
pub(crate) fn quoted(text: &Arc<str>) -> String {
    format!("{:?}", crate::port::clean(text, 160))
}
