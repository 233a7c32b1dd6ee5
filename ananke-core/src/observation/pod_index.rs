//! Where the pods of a list stand in it: gates ask for some of them by name or by owner, and lists are long.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::PodState;
use crate::name::ObjectRef;

/// Of one list, which it keeps.
#[derive(Debug, Clone, Default)]
pub(crate) struct PodIndex {
    list: Arc<Vec<PodState>>,
    by_name: BTreeMap<ObjectRef, usize>,
    by_owner: BTreeMap<ObjectRef, Vec<usize>>,
}

impl PodIndex {
    pub(crate) fn of(list: &Arc<Vec<PodState>>) -> Self {
        let mut index = Self { list: list.clone(), ..Self::default() };
        for (place, pod) in list.iter().enumerate() {
            index.by_name.insert(pod.object.clone(), place);
            if let Some(owner) = &pod.owner {
                index.by_owner.entry(owner.clone()).or_default().push(place);
            }
        }
        index
    }

    pub(crate) fn is_of(&self, list: &Arc<Vec<PodState>>) -> bool {
        Arc::ptr_eq(&self.list, list)
    }

    /// Goes on to the next list; from one to the next, few pods come or go.
    pub(super) fn follow(&mut self, list: &Arc<Vec<PodState>>) {
        let stays = |(old, new): (&PodState, &PodState)| old.object == new.object && old.owner == new.owner;
        if self.list.len() == list.len() && self.list.iter().zip(list.iter()).all(stays) {
            self.list = list.clone();
        } else {
            *self = Self::of(list);
        }
    }

    pub(crate) fn named(&self, pod: &ObjectRef) -> Option<&PodState> {
        self.by_name.get(pod).and_then(|place| self.list.get(*place))
    }

    /// The pods of a workload, in the order of the list.
    pub(crate) fn owned_by(&self, owner: &ObjectRef) -> Vec<&PodState> {
        self.by_owner.get(owner).into_iter().flatten().filter_map(|place| self.list.get(*place)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::Bench;
    use crate::name::Kind;

    #[test]
    fn the_newest_list_is_what_is_found() {
        let mut bench = Bench::new(1);
        bench.workload(Kind::Deployment, "web", &[(1, true), (1, true)]);
        let list = |bench: &Bench| bench.obs.pods.last().unwrap().clone();
        let (name, owner) = (list(&bench)[1].object.clone(), ObjectRef::new(Kind::Deployment, "apps", "web"));
        let mut index = PodIndex::of(&list(&bench));
        assert_eq!((index.named(&name).map(|pod| pod.ready), index.owned_by(&owner).len()), (Some(true), 2));
        bench.pod(&name.name, |pod| pod.ready = false);
        index.follow(&list(&bench));
        assert_eq!((index.named(&name).map(|pod| pod.ready), index.owned_by(&owner).len()), (Some(false), 2));
        index.follow(&Arc::new(list(&bench)[..1].to_vec()));
        assert_eq!((index.named(&name), index.owned_by(&owner).len()), (None, 1));
    }
}
