//! What a shutdown suspended is resumed only once its source was fetched in this life of the cluster: Flux would apply what Git
//! was before.

use ananke_core::name::Kind;
use ananke_core::order::{ClusterOrder, Order};

use super::Record;

pub(super) fn check(record: &Record) -> Vec<String> {
    let mut found = Vec::new();
    for (_, sent) in record.sent().filter(|(_, sent)| sent.run.as_str().starts_with("startup")) {
        let Order::Cluster(ClusterOrder::Resume { object, .. }) = &sent.order else { continue };
        if object.kind == Kind::Kustomization && !sent.scene.fetched {
            found.push(format!("{} was sent before the source was fetched", sent.order));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use ananke_core::name::{ObjectRef, ResourceVersion};

    use super::super::testing::{reboot, sent};
    use super::*;

    #[test]
    fn nothing_is_resumed_before_its_source_is_fetched() {
        let with = |fetched| {
            let mut order = reboot(1);
            let (object, seen) =
                (ObjectRef::new(Kind::Kustomization, "flux-system", "media"), ResourceVersion::parse("1").unwrap());
            order.order = Order::Cluster(ClusterOrder::Resume { object, seen });
            order.scene.fetched = fetched;
            check(&sent([order])).len()
        };
        assert_eq!((with(true), with(false)), (0, 1));
    }
}
