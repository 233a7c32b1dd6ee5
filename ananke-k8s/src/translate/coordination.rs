//! The coordination Lease, and the Event that goes with a mark for manual action.

use std::time::Duration;

use ananke_core::name::{LeaseId, Moment, NodeName, ResourceVersion};
use ananke_core::observation::{CoordinationState, LeaderState};
use ananke_core::order::{COORDINATION, COORDINATION_LASTS};
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::meta::{Meta, named};
use super::order::{JSON, MANAGER, MERGE, Write};

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces";

pub(crate) const LEADERS: &str = "metadata.namespace!=kube-node-lease";

named!(Lease);

#[derive(Debug, Deserialize)]
pub(crate) struct Lease {
    metadata: Meta,
    #[serde(default)]
    spec: Spec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    holder_identity: Option<String>,
    lease_duration_seconds: Option<i64>,
    renew_time: Option<String>,
}

pub(crate) fn path() -> String {
    let (namespace, name) = COORDINATION;
    format!("{LEASES}/{namespace}/leases/{name}")
}

pub(crate) fn state(lease: Lease) -> Result<CoordinationState, String> {
    let version = lease.metadata.version()?;
    let renewed = lease.spec.renew_time.as_deref().map(Moment::parse).transpose().map_err(|error| error.to_string())?;
    let lasts = lease.spec.lease_duration_seconds.and_then(|secs| u64::try_from(secs).ok()).unwrap_or(0);
    let holder = lease.spec.holder_identity.filter(|holder| !holder.is_empty());
    Ok(CoordinationState { version, holder, renewed, lasts: Duration::from_secs(lasts) })
}

/// None for a Lease that nobody holds.
pub(crate) fn leader(lease: Lease) -> Result<Option<LeaderState>, String> {
    let Lease { metadata, spec } = lease;
    let Some(holder) = spec.holder_identity.filter(|holder| !holder.is_empty()) else { return Ok(None) };
    let lasts = spec.lease_duration_seconds.and_then(|secs| u64::try_from(secs).ok()).unwrap_or(0);
    Ok(Some(LeaderState {
        namespace: metadata.namespace.into(),
        name: metadata.name.into(),
        holder: holder.into(),
        renewed: spec.renew_time.and_then(|text| Moment::parse(&text).ok()),
        lasts: Duration::from_secs(lasts),
    }))
}

/// Creates the Lease where none was seen, else takes or renews the one that was: whoever is late gets a conflict.
pub(crate) fn take(seen: Option<&ResourceVersion>, holder: &str, at: Moment) -> Write {
    let (namespace, name) = COORDINATION;
    let spec = json!({
        "holderIdentity": holder,
        "leaseDurationSeconds": COORDINATION_LASTS.as_secs(),
        "renewTime": micro_time(at),
    });
    match seen {
        Some(seen) => patch(json!({"metadata": {"resourceVersion": seen.as_str()}, "spec": spec})),
        None => Write {
            tried: "create the coordination Lease",
            on: format!("{namespace}/{name}"),
            method: Method::POST,
            path: format!("{LEASES}/{namespace}/leases?{MANAGER}"),
            content_type: JSON,
            body: json!({
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": name, "namespace": namespace},
                "spec": spec,
            }),
        },
    }
}

pub(crate) fn give_back(seen: &ResourceVersion) -> Write {
    patch(json!({"metadata": {"resourceVersion": seen.as_str()}, "spec": {"holderIdentity": null}}))
}

fn patch(body: Value) -> Write {
    let (namespace, name) = COORDINATION;
    let path = format!("{}?{MANAGER}", path());
    Write {
        tried: "write the coordination Lease",
        on: format!("{namespace}/{name}"),
        method: Method::PATCH,
        path,
        content_type: MERGE,
        body,
    }
}

/// The same sentence as the mark. Its name follows from the lease, so that a second try is the same Event. Events about
/// nodes live in the namespace `default`.
pub(crate) fn manual_event(node: &NodeName, uid: &str, lease: &LeaseId, sentence: &str, at: Moment) -> Write {
    let time = whole_seconds(at);
    Write {
        tried: "write the Event",
        on: node.to_string(),
        method: Method::POST,
        path: format!("/api/v1/namespaces/default/events?{MANAGER}"),
        content_type: JSON,
        body: json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": event_name(lease, sentence), "namespace": "default"},
            "involvedObject": {"apiVersion": "v1", "kind": "Node", "name": node.as_str(), "uid": uid},
            "reason": "ManualActionRequired",
            "message": sentence,
            "type": "Warning",
            "source": {"component": "ananke"},
            "firstTimestamp": time,
            "lastTimestamp": time,
            "count": 1,
        }),
    }
}

/// One name for each sentence, so that a second Ananke that marks the node for another reason is heard too, and what is
/// sent twice is written once. A lease ID may hold capitals, an object's name may not.
fn event_name(lease: &LeaseId, sentence: &str) -> String {
    let mark = sentence.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("ananke.{}.{mark:08x}", lease.as_str().to_ascii_lowercase())
}

/// `metav1.MicroTime` takes exactly six digits.
fn micro_time(at: Moment) -> String {
    format!("{}000Z", at.to_string().trim_end_matches('Z'))
}

/// `metav1.Time`.
fn whole_seconds(at: Moment) -> String {
    let text = at.to_string();
    format!("{}Z", text.split(['.', 'Z']).next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> Moment {
        Moment::parse("2026-03-14T02:06:11.25Z").unwrap()
    }

    fn seen() -> ResourceVersion {
        ResourceVersion::parse("7").unwrap()
    }

    #[test]
    fn a_controllers_lease_says_who_leads_and_since_when_it_was_not_renewed() {
        let of = |holder: &str| {
            let text = format!(
                r#"{{"metadata":{{"name":"external-attacher-leader-driver-longhorn-io","namespace":"longhorn-system"}},"spec":{{"holderIdentity":"{holder}","leaseDurationSeconds":15,"renewTime":"2026-03-14T02:06:11.250000Z","leaseTransitions":4}}}}"#
            );
            leader(serde_json::from_str(&text).unwrap()).unwrap()
        };
        let held = of("csi-attacher-6d8f5c9b7-x2k4q").unwrap();
        assert_eq!((held.holder.as_ref(), held.renewed, held.lasts.as_secs()), ("csi-attacher-6d8f5c9b7-x2k4q", Some(at()), 15));
        assert_eq!(of(""), None, "it was given back");
    }

    #[test]
    fn the_lease_is_created_taken_and_given_back_on_what_was_seen() {
        let made = take(None, "titan-db", at());
        assert_eq!(
            (made.method, made.path.as_str()),
            (Method::POST, "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases?fieldManager=ananke")
        );
        assert_eq!(
            made.body["spec"].to_string(),
            r#"{"holderIdentity":"titan-db","leaseDurationSeconds":30,"renewTime":"2026-03-14T02:06:11.250000Z"}"#
        );
        let renewed = take(Some(&seen()), "titan-db", at());
        assert_eq!((renewed.method, &renewed.body["metadata"]["resourceVersion"]), (Method::PATCH, &json!("7")));
        let back = give_back(&seen());
        assert_eq!(back.path, "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/ananke?fieldManager=ananke");
        assert_eq!(back.body.to_string(), r#"{"metadata":{"resourceVersion":"7"},"spec":{"holderIdentity":null}}"#);
    }

    #[test]
    fn what_is_read_is_what_was_written_and_a_lease_without_holder_is_free() {
        let read = |spec: Value| {
            state(serde_json::from_value(json!({"metadata": {"name": "ananke", "resourceVersion": "7"}, "spec": spec})).unwrap())
                .unwrap()
        };
        let held = read(take(None, "titan-db", at()).body["spec"].clone());
        assert_eq!((held.holder.as_deref(), held.renewed, held.lasts), (Some("titan-db"), Some(at()), COORDINATION_LASTS));
        for free in [json!({}), json!({"holderIdentity": null}), json!({"holderIdentity": "", "leaseDurationSeconds": -1})] {
            let free = read(free);
            assert_eq!((free.holder, free.lasts), (None, Duration::ZERO));
        }
    }

    #[test]
    fn the_event_has_a_valid_name_that_follows_from_the_lease_and_what_it_says() {
        let lease = LeaseId::parse("startup-20260314T0206-r5").unwrap();
        let event = |sentence| manual_event(&NodeName::parse("titan-05").unwrap(), "u-5", &lease, sentence, at());
        let name = |of: &Write| of.body["metadata"]["name"].as_str().unwrap().to_owned();
        let (event, other) = (event("look"), event("look again"));
        assert!(name(&event).starts_with("ananke.startup-20260314t0206-r5."), "{}", event.body);
        assert_ne!(name(&event), name(&other));
        assert_eq!(event.body["involvedObject"]["uid"], "u-5");
        assert_eq!((&event.body["message"], &event.body["lastTimestamp"]), (&json!("look"), &json!("2026-03-14T02:06:11Z")));
    }
}
