//! The reduced schemas of the served API are those that the real server and Flux publish, where these are at hand:
//! in `../shared/recordings/openapi-v3-1.36.2` and `../shared/crds`, from the project's root.
//!
//! `UPDATE_EXPECT=1` writes the reduction anew instead of comparing it.
#![cfg(feature = "serve")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and says what it skips"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ananke_sim::serve::api::discovery;
use ananke_sim::serve::api::store::Face;
use serde_json::{Value, json};

const KINDS: &[&str] = &[
    "Bucket",
    "CSINode",
    "ConfigMap",
    "CronJob",
    "DaemonSet",
    "Deployment",
    "EndpointSlice",
    "Endpoints",
    "Event",
    "GitRepository",
    "HelmRelease",
    "HelmRepository",
    "Ingress",
    "Job",
    "Kustomization",
    "Lease",
    "Namespace",
    "Node",
    "OCIRepository",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Pod",
    "PodDisruptionBudget",
    "ReplicaSet",
    "ReplicationController",
    "Secret",
    "Service",
    "ServiceAccount",
    "StatefulSet",
    "StorageClass",
    "VolumeAttachment",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn written() -> PathBuf {
    root().join("ananke-sim/src/serve/api/data/types.txt")
}

/// A folder beside the project; none where it is not there.
fn shared(name: &str) -> Option<PathBuf> {
    let folder = root().join("../shared").join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: there is no ../shared/{name} to compare with");
    None
}

/// Types as lines, made from JSON schemas.
#[derive(Default)]
struct Reduction {
    schemas: BTreeMap<String, Value>,
    types: BTreeMap<String, Vec<String>>,
}

impl Reduction {
    fn define(&mut self, name: &str) -> String {
        let short = name.replace("io.k8s.api.", "").replace("io.k8s.apimachinery.pkg.", "").replace("io.fluxcd.toolkit.", "");
        if !self.types.contains_key(&short) {
            let schema = self.schemas[name].clone();
            self.emit(&short, &schema);
        }
        short
    }

    fn emit(&mut self, name: &str, schema: &Value) {
        let atomic = if schema["x-kubernetes-map-type"] == "atomic" { " atomic" } else { "" };
        // A type may hold itself.
        self.types.insert(name.to_owned(), vec![format!("{name}{atomic}")]);
        let custom = ["helm.", "kustomize.", "source."].iter().any(|group| name.starts_with(group));
        let properties = schema["properties"].as_object().cloned().unwrap_or_default();
        for (field, property) in &properties {
            let shape = self.shape(property, &format!("{name}.{field}"));
            let required = schema["required"].as_array().is_some_and(|names| names.contains(&json!(field)));
            let mut words = vec![format!("  {field} {shape}")];
            words.extend(required.then(|| "required".to_owned()));
            words.extend(flags(property, custom));
            self.types.get_mut(name).unwrap().push(words.join(" "));
        }
    }

    fn shape(&mut self, schema: &Value, name: &str) -> String {
        if let Some(of) = reference(schema) {
            let of = of.to_owned();
            return if self.schemas[&of].get("properties").is_some() { self.define(&of) } else { scalar(&self.schemas[&of]) };
        }
        match schema["type"].as_str() {
            Some("array") => format!("[]{}", self.shape(&schema["items"], name)),
            Some("object") if schema.get("properties").is_some() => {
                self.emit(name, schema);
                name.to_owned()
            }
            Some("object") if schema["additionalProperties"].is_object() => {
                format!("{{}}{}", self.shape(&schema["additionalProperties"], name))
            }
            _ => scalar(schema),
        }
    }
}

fn reference(schema: &Value) -> Option<&str> {
    let of = schema.get("$ref").or_else(|| schema.pointer("/allOf/0/$ref"))?.as_str()?;
    of.rsplit('/').next()
}

fn scalar(schema: &Value) -> String {
    match schema["type"].as_str() {
        Some(name @ ("string" | "integer" | "number" | "boolean")) => name.to_owned(),
        _ => "any".to_owned(),
    }
}

fn flags(property: &Value, custom: bool) -> Vec<String> {
    let mut flags = Vec::new();
    let text = |at: &str| property[at].as_str().unwrap_or_default();
    if property["default"] == json!({}) && reference(property).is_some() {
        flags.push("value".to_owned());
    }
    match text("x-kubernetes-list-type") {
        "map" => {
            let keys: Vec<&str> =
                property["x-kubernetes-list-map-keys"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
            flags.push(format!("map={}", keys.join(",")));
        }
        "set" => flags.push("set".to_owned()),
        _ => {}
    }
    if text("x-kubernetes-map-type") == "atomic" {
        flags.push("atomic".to_owned());
    }
    if text("x-kubernetes-patch-strategy").contains("merge") {
        let key = property.get("x-kubernetes-patch-merge-key").map(|key| format!("={}", key.as_str().unwrap()));
        flags.push(format!("merge{}", key.unwrap_or_default()));
    }
    let default = &property["default"];
    let zero = [json!(null), json!({}), json!(""), json!(0), json!(false)].contains(default);
    if !default.is_null() && (custom || !zero) {
        flags.push(format!("default={default}"));
    }
    if custom {
        let items = if property["type"] == "array" { &property["items"] } else { property };
        flags.extend(items.get("enum").map(|values| format!("enum={values}")));
        for rule in ["minLength", "maxLength", "minimum", "maximum", "pattern"] {
            flags.extend(items.get(rule).map(|value| format!("{rule}={value}")));
        }
    }
    flags
}

fn lines(types: &BTreeMap<String, Vec<String>>) -> String {
    types.values().flatten().map(|line| format!("{line}\n")).collect()
}

#[test]
fn the_types_are_those_of_the_published_schemas() {
    let Some(folder) = shared("recordings/openapi-v3-1.36.2") else { return };
    let mut reduction = Reduction::default();
    for file in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let document: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        let schemas = document.pointer("/components/schemas").and_then(Value::as_object).cloned().unwrap_or_default();
        reduction.schemas.extend(schemas);
    }
    let mut kinds = BTreeSet::new();
    for (name, schema) in reduction.schemas.clone() {
        for of in schema["x-kubernetes-group-version-kind"].as_array().into_iter().flatten() {
            let text = |at: &str| of[at].as_str().unwrap().to_owned();
            if KINDS.contains(&text("kind").as_str()) && schema.get("properties").is_some() {
                kinds.insert((text("group"), text("version"), text("kind"), reduction.define(&name)));
            }
        }
    }
    let slash = |group: &str| if group.is_empty() { String::new() } else { format!("{group}/") };
    let head: String =
        kinds.iter().map(|(group, version, kind, name)| format!("kind {}{version} {kind} {name}\n", slash(group))).collect();
    let made = head + &lines(&reduction.types);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(written(), &made).unwrap();
    }
    let here = std::fs::read_to_string(written()).unwrap();
    let differs = made.lines().zip(here.lines()).find(|(made, here)| made != here);
    assert!(made == here, "the first line that differs, published and here: {differs:?}");
}

#[test]
fn the_types_of_custom_resources_are_those_of_their_definitions() {
    let Some(folder) = shared("crds") else { return };
    let here = std::fs::read_to_string(written()).unwrap();
    for file in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let definition: Value = serde_saphyr::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        let kind = definition.pointer("/spec/names/kind").and_then(Value::as_str).unwrap();
        let group = definition.pointer("/spec/group").and_then(Value::as_str).unwrap().split('.').next().unwrap();
        let versions = definition.pointer("/spec/versions").and_then(Value::as_array).unwrap();
        let version = versions.iter().find(|version| version["storage"] == true).expect("a version is stored");
        let name = format!("{group}.{}.{kind}", version["name"].as_str().unwrap());
        let mut reduction = Reduction::default();
        reduction.emit(&name, version.pointer("/schema/openAPIV3Schema").unwrap());
        for lines in reduction.types.values() {
            let mut rows = here.lines().skip_while(|line| *line != lines[0]);
            for line in lines {
                // Every object has the same metadata, which a definition does not spell out.
                let expected = if line == "  metadata any" { "  metadata apis.meta.v1.ObjectMeta" } else { line };
                assert_eq!(rows.next(), Some(expected), "{}", lines[0]);
            }
        }
    }
}

#[test]
fn aggregated_discovery_is_that_of_the_recorded_server() {
    let Some(folder) = shared("recordings/openapi-v3-1.36.2") else { return };
    let face = Face { version: "v1.36.2", extras: false, compacted: false };
    for (file, core) in [("aggregated_discovery_api.json", true), ("aggregated_discovery_apis.json", false)] {
        let there: Value = serde_json::from_str(&std::fs::read_to_string(folder.join(file)).unwrap()).unwrap();
        let here = discovery::aggregated(face, core);
        assert_eq!(here, there);
    }
}
