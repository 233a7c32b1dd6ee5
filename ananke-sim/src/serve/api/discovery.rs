//! Discovery documents, made from the table of kinds: one by one as older clients ask for them, and aggregated.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::kinds::{KINDS, Kind, Subresource};
use super::store::Face;

pub const VERSION: &str = "v1.36.2+k3s1";

/// The media type of aggregated discovery.
pub const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// What `/readyz?verbose` goes through between the ping and the shutdown.
const CHECKS: &[&str] = &[
    "log",
    "informer-sync",
    "poststarthook/start-apiserver-admission-initializer",
    "poststarthook/generic-apiserver-start-informers",
    "poststarthook/priority-and-fairness-config-consumer",
    "poststarthook/priority-and-fairness-filter",
    "poststarthook/storage-object-count-tracker-hook",
    "poststarthook/start-apiextensions-informers",
    "poststarthook/start-apiextensions-controllers",
    "poststarthook/crd-informer-synced",
    "poststarthook/start-system-namespaces-controller",
    "poststarthook/peer-endpoint-reconciler-controller",
    "poststarthook/start-cluster-authentication-info-controller",
    "poststarthook/start-kube-apiserver-identity-lease-controller",
    "poststarthook/start-kube-apiserver-identity-lease-garbage-collector",
    "poststarthook/storage-readiness",
    "poststarthook/start-legacy-token-tracking-controller",
    "poststarthook/start-service-ip-repair-controllers",
    "poststarthook/rbac/bootstrap-roles",
    "poststarthook/scheduling/bootstrap-system-priority-classes",
    "poststarthook/priority-and-fairness-config-producer",
    "poststarthook/bootstrap-controller",
    "poststarthook/start-kubernetes-service-cidr-controller",
    "poststarthook/start-kube-aggregator-informers",
    "poststarthook/apiservice-status-local-available-controller",
    "poststarthook/apiservice-status-remote-available-controller",
    "poststarthook/apiservice-registration-controller",
    "poststarthook/apiservice-wait-for-first-sync",
    "poststarthook/apiservice-discovery-controller",
    "poststarthook/kube-apiserver-autoregistration",
    "autoregister-completion",
    "poststarthook/apiservice-openapi-controller",
    "poststarthook/apiservice-openapiv3-controller",
];

/// `/readyz?verbose` and its like.
pub fn verbose(endpoint: &str) -> String {
    let checks = CHECKS.iter().map(|check| format!("[+]{check} ok\n")).collect::<String>();
    format!("[+]ping ok\n{checks}[+]shutdown ok\n{endpoint} check passed\n")
}

pub fn version(face: Face) -> Value {
    json!({"major": "1", "minor": "36", "emulationMajor": "1", "emulationMinor": "36", "minCompatibilityMajor": "1",
        "minCompatibilityMinor": "35", "gitVersion": face.version, "gitCommit": "0000000000000000000000000000000000000000",
        "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z", "goVersion": "go1.26.6", "compiler": "gc", "platform": "linux/amd64"})
}

/// `/api`.
pub fn core_versions(address: &str) -> Value {
    json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]})
}

fn served(face: Face) -> impl Iterator<Item = &'static Kind> {
    KINDS.iter().filter(move |kind| face.extras || !kind.extra)
}

/// The groups behind `/apis`, each with its versions, the preferred one first.
fn versions(face: Face) -> Vec<(&'static str, Vec<&'static str>)> {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for kind in served(face).filter(|kind| !kind.group.is_empty()) {
        match groups.iter_mut().find(|(group, _)| *group == kind.group) {
            Some((_, versions)) if versions.contains(&kind.version) => {}
            Some((_, versions)) => versions.push(kind.version),
            None => groups.push((kind.group, vec![kind.version])),
        }
    }
    groups
}

/// `/apis`.
pub fn groups(face: Face) -> Value {
    let groups: Vec<Value> = versions(face).iter().map(|(group, versions)| group_entry(group, versions)).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/GROUP`.
pub fn group(face: Face, name: &str) -> Option<Value> {
    let (name, versions) = versions(face).into_iter().find(|(group, _)| *group == name)?;
    let mut group = group_entry(name, &versions);
    put(&mut group, "kind", json!("APIGroup"));
    put(&mut group, "apiVersion", json!("v1"));
    Some(group)
}

fn group_entry(name: &str, versions: &[&str]) -> Value {
    let versions: Vec<Value> =
        versions.iter().map(|version| json!({"groupVersion": format!("{name}/{version}"), "version": version})).collect();
    let preferred = versions.first().cloned();
    json!({"name": name, "versions": versions, "preferredVersion": preferred})
}

/// `/api/v1` and `/apis/GROUP/VERSION`.
pub fn resources(face: Face, group: &str, version: &str) -> Option<Value> {
    let kinds: Vec<&Kind> = served(face).filter(|kind| kind.group == group && kind.version == version).collect();
    let first = kinds.first()?;
    let mut resources = Vec::new();
    for kind in &kinds {
        resources.push(resource(kind));
        resources.extend(kind.subresources.iter().map(|sub| subresource(kind, sub)));
    }
    let mut list = json!({"kind": "APIResourceList", "groupVersion": first.api_version(), "resources": resources});
    if !group.is_empty() {
        put(&mut list, "apiVersion", json!("v1"));
    }
    Some(list)
}

fn resource(kind: &Kind) -> Value {
    let mut entry = json!({"name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced, "kind": kind.kind,
        "verbs": kind.verbs});
    names(&mut entry, kind);
    if kind.is_stored() {
        put(&mut entry, "storageVersionHash", json!(storage_hash(kind)));
    }
    entry
}

fn names(entry: &mut Value, kind: &Kind) {
    if !kind.short.is_empty() {
        put(entry, "shortNames", json!(kind.short));
    }
    if !kind.categories.is_empty() {
        put(entry, "categories", json!(kind.categories));
    }
}

/// How the real server names the version that objects are stored in.
fn storage_hash(kind: &Kind) -> String {
    let name = format!("{}/{}/{}", kind.group, kind.version, kind.kind);
    let digest = ring::digest::digest(&ring::digest::SHA256, name.as_bytes());
    STANDARD.encode(digest.as_ref().get(..8).unwrap_or_default())
}

fn subresource(kind: &Kind, sub: &Subresource) -> Value {
    let mut entry = json!({"name": format!("{}/{}", kind.plural, sub.name), "singularName": "", "namespaced": kind.namespaced,
        "kind": sub.kind, "verbs": sub.verbs});
    if !sub.group.is_empty() && !kind.is_custom() {
        put(&mut entry, "group", json!(sub.group));
        put(&mut entry, "version", json!(sub.version));
    }
    entry
}

/// `/api` and `/apis` for clients that want everything in two answers.
pub fn aggregated(face: Face, core: bool) -> Value {
    let mut groups = if core { vec![("", vec!["v1"])] } else { versions(face) };
    // Here groups of custom resources stand by name, and not as they came.
    let custom = |group: &str| KINDS.iter().any(|kind| kind.group == group && kind.is_custom());
    groups.sort_by_key(|(group, _)| custom(group).then_some(*group));
    let items: Vec<Value> = groups
        .into_iter()
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions.iter().map(|version| aggregated_version(face, group, version)).collect();
            let metadata = if group.is_empty() { json!({}) } else { json!({"name": group}) };
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

fn aggregated_version(face: Face, group: &str, version: &str) -> Value {
    let kinds = served(face).filter(|kind| kind.group == group && kind.version == version);
    let resources: Vec<Value> = kinds
        .map(|kind| {
            let scope = if kind.namespaced { "Namespaced" } else { "Cluster" };
            let at = if kind.is_custom() { (kind.group, kind.version) } else { ("", "") };
            let mut entry = json!({"resource": kind.plural, "responseKind": response_kind(at.0, at.1, kind.kind), "scope": scope,
                "singularResource": kind.singular, "verbs": kind.verbs});
            names(&mut entry, kind);
            let subs: Vec<Value> = kind
                .subresources
                .iter()
                .map(|sub| {
                    json!({"subresource": sub.name,
                "responseKind": response_kind(sub.group, sub.version, sub.kind), "verbs": sub.verbs})
                })
                .collect();
            if !subs.is_empty() {
                put(&mut entry, "subresources", json!(subs));
            }
            entry
        })
        .collect();
    json!({"version": version, "resources": resources, "freshness": "Current"})
}

fn response_kind(group: &str, version: &str, kind: &str) -> Value {
    json!({"group": group, "version": version, "kind": kind})
}

fn put(entry: &mut Value, field: &str, value: Value) {
    entry.as_object_mut().unwrap_or(&mut Map::new()).insert(field.to_owned(), value);
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACE: Face = Face { version: VERSION, extras: true, compacted: true };

    #[test]
    fn the_eviction_subresource_is_what_kubectl_drain_looks_for() {
        let core = resources(FACE, "", "v1").unwrap();
        let eviction = core["resources"].as_array().unwrap().iter().find(|entry| entry["name"] == "pods/eviction").unwrap();
        assert_eq!(
            (&eviction["group"], &eviction["version"], &eviction["kind"]),
            (&json!("policy"), &json!("v1"), &json!("Eviction"))
        );
    }

    #[test]
    fn every_group_in_the_list_can_be_asked_for() {
        let list = groups(FACE);
        for entry in list["groups"].as_array().unwrap() {
            let name = entry["name"].as_str().unwrap();
            assert_eq!(group(FACE, name).unwrap()["versions"], entry["versions"]);
            assert!(resources(FACE, name, entry["preferredVersion"]["version"].as_str().unwrap()).is_some(), "{name}");
        }
        assert_eq!(group(FACE, ""), None);
        assert_eq!(resources(FACE, "nothing.example", "v1"), None);
    }

    #[test]
    fn what_is_not_on_the_cluster_is_not_discovered() {
        let bare = Face { extras: false, ..FACE };
        assert!(group(FACE, "longhorn.io").is_some());
        assert_eq!(group(bare, "longhorn.io"), None);
    }
}
