//! The kinds that the served API knows, read by discovery, routing and the projection of the world.
//!
//! They are those of the recorded server, from `data/resources.txt`: clients ask for kinds that the simulated cluster never
//! has, and expect an empty list, not a 404.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// One resource of the API. Kinds compare by their place in discovery.
#[derive(Debug)]
pub struct Kind {
    at: usize,
    /// Empty for the core group.
    pub group: &'static str,
    pub version: &'static str,
    pub plural: &'static str,
    pub kind: &'static str,
    pub singular: String,
    pub namespaced: bool,
    /// In the order in which the real server names them.
    pub verbs: &'static [&'static str],
    pub short: Vec<&'static str>,
    pub categories: Vec<&'static str>,
    pub subresources: Vec<Subresource>,
    /// Not on the recorded server.
    pub extra: bool,
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Kind {}

impl PartialOrd for Kind {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Kind {
    fn cmp(&self, other: &Self) -> Ordering {
        self.at.cmp(&other.at)
    }
}

#[derive(Debug)]
pub struct Subresource {
    pub name: &'static str,
    /// Empty where discovery leaves the group out.
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
    pub verbs: Vec<&'static str>,
}

impl Kind {
    /// `v1` or `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }

    /// As error messages name it: `nodes`, `leases.coordination.k8s.io`.
    pub fn qualified(&self) -> String {
        dotted(self.plural, self.group)
    }

    /// As messages about invalid objects name it: `Node`, `Deployment.apps`.
    pub fn qualified_kind(&self) -> String {
        dotted(self.kind, self.group)
    }

    /// Defined by a CustomResourceDefinition: strategic merge patches are refused, list items carry their type.
    pub fn is_custom(&self) -> bool {
        self.verbs == CUSTOM
    }

    /// Objects of it are stored; others are only computed or received.
    pub fn is_stored(&self) -> bool {
        self.verbs.contains(&"watch")
    }

    pub fn has_subresource(&self, name: &str) -> bool {
        self.subresources.iter().any(|sub| sub.name == name)
    }

    pub fn has_status(&self) -> bool {
        self.has_subresource("status")
    }

    /// Whether `metadata.generation` counts changes of the spec.
    pub fn has_generation(&self) -> bool {
        self.is_custom()
            || matches!(
                self.kind,
                "Pod"
                    | "Deployment"
                    | "StatefulSet"
                    | "DaemonSet"
                    | "ReplicaSet"
                    | "ReplicationController"
                    | "Job"
                    | "CronJob"
                    | "Ingress"
                    | "PodDisruptionBudget"
                    | "EndpointSlice"
            )
    }
}

fn dotted(name: &str, group: &str) -> String {
    if group.is_empty() { name.to_owned() } else { format!("{name}.{group}") }
}

const BUILT_IN: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const CUSTOM: &[&str] = &["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];
/// Namespaces are deleted one by one.
const NAMESPACES: &[&str] = &["create", "delete", "get", "list", "patch", "update", "watch"];

/// In the order of discovery, core first.
pub static KINDS: LazyLock<Vec<Kind>> = LazyLock::new(|| read(include_str!("data/resources.txt")));

/// By CamelCase name; of two with the same name the first.
static BY_NAME: LazyLock<BTreeMap<&str, &Kind>> = LazyLock::new(|| KINDS.iter().rev().map(|kind| (kind.kind, kind)).collect());

fn read(text: &'static str) -> Vec<Kind> {
    let mut kinds: Vec<Kind> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some(sub) = line.strip_prefix("  ") {
            if let (Some(kind), Some(sub)) = (kinds.last_mut(), subresource(sub)) {
                kind.subresources.push(sub);
            }
        } else {
            kinds.extend(resource(line, kinds.len()));
        }
    }
    kinds
}

fn resource(line: &'static str, at: usize) -> Option<Kind> {
    let extra = line.strip_prefix("extra ");
    let mut words = extra.unwrap_or(line).split(' ');
    let (path, plural, kind, scope, verbs) = (words.next()?, words.next()?, words.next()?, words.next()?, words.next()?);
    let (group, version) = path.split_once('/').unwrap_or(("", path));
    let mut row = Kind {
        at,
        group,
        version,
        plural,
        kind,
        singular: kind.to_ascii_lowercase(),
        namespaced: scope == "namespaced",
        verbs: match verbs {
            "*" => BUILT_IN,
            "crd" => CUSTOM,
            "create" => &["create"],
            "get,list" => &["get", "list"],
            _ => NAMESPACES,
        },
        short: Vec::new(),
        categories: Vec::new(),
        subresources: Vec::new(),
        extra: extra.is_some(),
    };
    for (name, values) in words.filter_map(|word| word.split_once('=')) {
        match name {
            "short" => row.short = values.split(',').collect(),
            "in" => row.categories = values.split(',').collect(),
            _ => values.clone_into(&mut row.singular),
        }
    }
    Some(row)
}

fn subresource(line: &'static str) -> Option<Subresource> {
    let mut words = line.split(' ');
    let (name, kind, verbs) = (words.next()?, words.next()?, words.next()?);
    let (at, kind) = kind.rsplit_once('/').unwrap_or(("", kind));
    let (group, version) = at.rsplit_once('/').unwrap_or(("", at));
    Some(Subresource { name, group, version, kind, verbs: verbs.split(',').collect() })
}

/// The kind behind a path, if the API has it.
pub fn find(group: &str, version: &str, plural: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.group == group && kind.version == version && kind.plural == plural)
}

/// A kind by its CamelCase name, for code that names it literally; of two with the same name, Kubernetes' older one.
pub fn named(kind: &str) -> Option<&'static Kind> {
    BY_NAME.get(kind).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_kinds_share_a_path_and_every_row_is_read() {
        assert_eq!(named("Node").map(|kind| kind.group), Some(""));
        assert_eq!(named("HorizontalPodAutoscaler").map(|kind| kind.version), Some("v2"));
        for (at, kind) in KINDS.iter().enumerate() {
            assert_eq!(find(kind.group, kind.version, kind.plural), Some(&KINDS[at]), "{}", kind.plural);
        }
        let rows = include_str!("data/resources.txt").lines().filter(|line| !line.starts_with('#'));
        let read = KINDS.iter().map(|kind| 1 + kind.subresources.len()).sum::<usize>();
        assert_eq!(rows.count(), read);
    }

    #[test]
    fn only_namespaces_have_the_short_list_of_verbs() {
        let short = KINDS.iter().filter(|kind| kind.verbs == NAMESPACES).map(|kind| kind.plural);
        assert_eq!(short.collect::<Vec<_>>(), ["namespaces"]);
    }
}
