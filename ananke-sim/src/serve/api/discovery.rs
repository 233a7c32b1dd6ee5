//! Discovery documents, made from the table of kinds.

use serde_json::{Value, json};

use super::kinds::{KINDS, Kind};

pub const VERSION: &str = "v1.36.2+k3s1";

pub fn version() -> Value {
    json!({"major": "1", "minor": "36", "emulationMajor": "1", "emulationMinor": "36", "minCompatibilityMajor": "1",
        "minCompatibilityMinor": "35", "gitVersion": VERSION, "gitCommit": "0000000000000000000000000000000000000000",
        "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z", "goVersion": "go1.26.6", "compiler": "gc", "platform": "linux/amd64"})
}

/// `/api`.
pub fn core_versions(address: &str) -> Value {
    json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]})
}

/// `/apis`.
pub fn groups() -> Value {
    let mut seen: Vec<&Kind> = Vec::new();
    for kind in KINDS.iter().filter(|kind| !kind.group.is_empty()) {
        if seen.iter().all(|known| known.group != kind.group) {
            seen.push(kind);
        }
    }
    let groups: Vec<Value> = seen.iter().map(|kind| group_entry(kind)).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/GROUP`.
pub fn group(name: &str) -> Option<Value> {
    let kind = KINDS.iter().find(|kind| kind.group == name && !name.is_empty())?;
    let mut group = group_entry(kind);
    if let Some(map) = group.as_object_mut() {
        map.insert("kind".to_owned(), json!("APIGroup"));
        map.insert("apiVersion".to_owned(), json!("v1"));
    }
    Some(group)
}

fn group_entry(kind: &Kind) -> Value {
    let version = json!({"groupVersion": kind.api_version(), "version": kind.version});
    json!({"name": kind.group, "versions": [version], "preferredVersion": version})
}

/// `/api/v1` and `/apis/GROUP/VERSION`.
pub fn resources(group: &str, version: &str) -> Option<Value> {
    let kinds: Vec<&Kind> = KINDS.iter().filter(|kind| kind.group == group && kind.version == version).collect();
    let first = kinds.first()?;
    let mut resources = Vec::new();
    for kind in &kinds {
        resources.push(resource(kind));
        resources.extend(kind.subresources.iter().map(|sub| subresource(kind, sub)));
    }
    let mut list = json!({"kind": "APIResourceList", "groupVersion": first.api_version(), "resources": resources});
    if let (Some(map), false) = (list.as_object_mut(), group.is_empty()) {
        map.insert("apiVersion".to_owned(), json!("v1"));
    }
    Some(list)
}

fn resource(kind: &Kind) -> Value {
    let mut entry = json!({"name": kind.plural, "singularName": kind.singular(), "namespaced": kind.namespaced, "kind": kind.kind,
        "verbs": ["create", "delete", "get", "list", "patch", "update", "watch"]});
    if let Some(map) = entry.as_object_mut() {
        if !kind.short.is_empty() {
            map.insert("shortNames".to_owned(), json!(kind.short));
        }
        if !kind.categories.is_empty() {
            map.insert("categories".to_owned(), json!(kind.categories));
        }
    }
    entry
}

fn subresource(kind: &Kind, sub: &str) -> Value {
    let name = format!("{}/{sub}", kind.plural);
    match sub {
        "eviction" => json!({"name": name, "singularName": "", "namespaced": true, "group": "policy", "version": "v1",
            "kind": "Eviction", "verbs": ["create"]}),
        "scale" => json!({"name": name, "singularName": "", "namespaced": true, "group": "autoscaling", "version": "v1",
            "kind": "Scale", "verbs": ["get", "patch", "update"]}),
        _ => json!({"name": name, "singularName": "", "namespaced": kind.namespaced, "kind": kind.kind,
            "verbs": ["get", "patch", "update"]}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_eviction_subresource_is_what_kubectl_drain_looks_for() {
        let core = resources("", "v1").unwrap();
        let eviction = core["resources"].as_array().unwrap().iter().find(|entry| entry["name"] == "pods/eviction").unwrap();
        assert_eq!(
            (&eviction["group"], &eviction["version"], &eviction["kind"]),
            (&json!("policy"), &json!("v1"), &json!("Eviction"))
        );
    }

    #[test]
    fn every_group_in_the_list_can_be_asked_for() {
        let list = groups();
        for entry in list["groups"].as_array().unwrap() {
            let name = entry["name"].as_str().unwrap();
            assert_eq!(group(name).unwrap()["versions"], entry["versions"]);
            assert!(resources(name, entry["preferredVersion"]["version"].as_str().unwrap()).is_some(), "{name}");
        }
        assert_eq!(group(""), None);
        assert_eq!(resources("nothing.example", "v1"), None);
    }
}
