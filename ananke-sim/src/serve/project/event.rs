//! Warnings of kubelets, as Events of the core API.

use ananke_core::name::Kind;
use serde_json::json;

use super::super::api::store::Key;
use super::{Projected, key, metadata, time};
use crate::world::{Ms, Warning, World};

/// A kubelet repeats what lasts about as often.
const REPEATED: Ms = 60_000;

pub(super) fn project<'a>(world: &'a World, out: &mut Vec<Projected<'a>>) {
    for warning in world.warnings() {
        let name = format!("{}.17c1e7c1e7c1e7c1", warning.about.name);
        if let Some(key) = key("Event", &warning.about.namespace, &name) {
            let (at, minute) = (key.clone(), world.now() / REPEATED);
            let stamp = u64::try_from(minute).unwrap_or(0);
            out.push(Projected { key, stamp, make: Box::new(move || make(world, &warning, &at, minute * REPEATED)) });
        }
    }
}

fn make(world: &World, warning: &Warning, key: &Key, last: Ms) -> serde_json::Value {
    let Warning { about, reason, message } = warning;
    let metadata = metadata(world, key, &super::implied_uid(key), last);
    let found = world.pods().find(|found| found.object == *about);
    let uid = found.map_or("", |pod| pod.uid.as_str());
    let host = found.and_then(|pod| world.nodes().get(pod.node?)).map_or("", |node| node.name.as_str());
    let (version, by) = if about.kind == Kind::CronJob { ("batch/v1", "cronjob-controller") } else { ("v1", "kubelet") };
    json!({"kind": "Event", "apiVersion": "v1", "metadata": metadata, "type": "Warning", "reason": reason, "message": message,
        "involvedObject": {"kind": about.kind, "apiVersion": version, "namespace": about.namespace, "name": about.name, "uid": uid},
        "source": {"component": by, "host": host}, "reportingComponent": by, "reportingInstance": host,
        "firstTimestamp": time(world, last), "lastTimestamp": time(world, last), "count": 1, "eventTime": null})
}
