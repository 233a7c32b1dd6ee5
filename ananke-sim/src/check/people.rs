//! What people put on the cluster stays until they take it away.

use std::collections::{BTreeMap, BTreeSet};

use ananke_core::name::NodeName;
use ananke_core::order::{ClusterOrder, Order};

use super::{Look, Record, What, Wish};

#[derive(Default)]
struct Wishes {
    cordoned: BTreeSet<NodeName>,
    suspended: BTreeSet<String>,
    scaled: BTreeMap<String, u32>,
}

impl Wishes {
    fn take(&mut self, wish: &Wish) {
        match wish {
            Wish::Cordoned(node, true) => drop(self.cordoned.insert(node.clone())),
            Wish::Cordoned(node, false) => drop(self.cordoned.remove(node)),
            Wish::Suspended(name, true) => drop(self.suspended.insert(name.clone())),
            Wish::Suspended(name, false) => drop(self.suspended.remove(name)),
            Wish::Scaled(name, replicas) => drop(self.scaled.insert(name.clone(), *replicas)),
            Wish::Nothing => *self = Self::default(),
        }
    }

    fn overruled(&self, look: &Look) -> Vec<String> {
        let mut found: Vec<String> = self
            .cordoned
            .difference(&look.unschedulable)
            .map(|node| format!("the cordon of a person on {node} is gone"))
            .collect();
        let resumed = self.suspended.difference(&look.suspended);
        found.extend(resumed.map(|name| format!("{name} was resumed, which a person had suspended")));
        let differs = |(name, wanted): (&String, &u32)| {
            let is = *look.replicas.get(name)?;
            (is != *wanted).then(|| format!("{name} was scaled to {is}, a person wants {wanted}"))
        };
        found.extend(self.scaled.iter().filter_map(differs));
        found
    }
}

pub(super) fn check(record: &Record) -> Vec<String> {
    let mut wishes = Wishes::default();
    let mut found = Vec::new();
    for event in &record.events {
        match &event.what {
            What::Wished(wish) => wishes.take(wish),
            What::Sent(sent) if !sent.scene.forces_branch => {
                if let Order::Cluster(ClusterOrder::SetBranch { branch, .. }) = &sent.order {
                    found.push(format!("the source was set to branch {branch}, and nobody asked for that"));
                }
            }
            What::Looked(look) => found.extend(wishes.overruled(look)),
            _ => {}
        }
    }
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use ananke_core::name::{Kind, ObjectRef, ResourceVersion};

    use super::super::testing::{node, reboot, sent};
    use super::*;

    #[test]
    fn the_branch_is_set_only_by_whoever_lets_it_be() {
        let with = |forces_branch| {
            let mut order = reboot(1);
            let source = ObjectRef::new(Kind::GitRepository, "flux-system", "flux-system");
            let seen = ResourceVersion::parse("1").unwrap();
            order.order = Order::Cluster(ClusterOrder::SetBranch { source, seen, branch: "main".into() });
            order.scene.forces_branch = forces_branch;
            check(&sent([order]))
        };
        assert_eq!(with(true), Vec::<String>::new());
        assert_eq!(with(false), ["the source was set to branch main, and nobody asked for that"]);
    }

    #[test]
    fn a_wish_holds_until_it_is_taken_back() {
        let wish = |record: &mut Record, wish| record.note(0, What::Wished(wish));
        let mut record = Record::default();
        wish(&mut record, Wish::Cordoned(node(1), true));
        wish(&mut record, Wish::Suspended("media".to_owned(), true));
        wish(&mut record, Wish::Scaled("media/sonarr".to_owned(), 2));
        let theirs = Look {
            unschedulable: BTreeSet::from([node(1)]),
            suspended: BTreeSet::from(["media".to_owned()]),
            replicas: BTreeMap::from([("media/sonarr".to_owned(), 2)]),
            ..Look::default()
        };
        record.note(0, What::Looked(theirs.clone()));
        assert_eq!(check(&record), Vec::<String>::new());
        let replicas = BTreeMap::from([("media/sonarr".to_owned(), 1)]);
        record.note(0, What::Looked(Look { replicas, ..Look::default() }));
        assert_eq!(
            check(&record),
            [
                "the cordon of a person on titan-01 is gone",
                "media was resumed, which a person had suspended",
                "media/sonarr was scaled to 1, a person wants 2"
            ]
        );
        let mut record = Record::default();
        wish(&mut record, Wish::Cordoned(node(1), true));
        wish(&mut record, Wish::Nothing);
        record.note(0, What::Looked(Look::default()));
        assert_eq!(check(&record), Vec::<String>::new());
    }
}
