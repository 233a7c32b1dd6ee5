//! What is asked of a cluster before Ananke is set up for it: its machines, and which rights are missing.

use std::collections::BTreeMap;

use ananke_core::name::NodeName;
use ananke_core::port::{PortError, clean};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::connect::KubeCluster;
use crate::error;
use crate::translate::meta::List;

/// A machine as the API has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    pub name: NodeName,
    /// It carries the control plane.
    pub server: bool,
    /// Its internal address.
    pub address: Option<String>,
}

/// Something that Ananke does to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Right {
    group: &'static str,
    resource: &'static str,
    verbs: &'static [&'static str],
    /// Empty: all of them.
    namespace: &'static str,
}

const fn right(group: &'static str, resource: &'static str, verbs: &'static [&'static str]) -> Right {
    Right { group, resource, verbs, namespace: "" }
}

/// What `deploy/rbac.yaml` grants. Kinds that not every cluster serves (Flux's, Longhorn's and those of External Secrets) are
/// left out: whether they are there, the gates say.
const RIGHTS: &[Right] = &[
    right("", "nodes", &["get", "list", "watch", "patch"]),
    right("", "pods", &["list", "watch", "delete"]),
    right("", "pods/eviction", &["create"]),
    right("", "namespaces", &["list", "watch"]),
    right("", "persistentvolumeclaims", &["list", "watch"]),
    right("", "services", &["list", "watch"]),
    right("", "events", &["list"]),
    right("", "persistentvolumes", &["list"]),
    right("", "configmaps", &["get"]),
    right("storage.k8s.io", "storageclasses", &["list"]),
    right("policy", "poddisruptionbudgets", &["list"]),
    right("networking.k8s.io", "ingressclasses", &["list"]),
    right("apps", "deployments", &["list", "watch", "patch"]),
    right("apps", "statefulsets", &["list", "watch", "patch"]),
    right("apps", "daemonsets", &["list", "watch"]),
    right("batch", "jobs", &["list", "watch", "delete"]),
    right("networking.k8s.io", "ingresses", &["list", "watch"]),
    right("discovery.k8s.io", "endpointslices", &["list", "watch"]),
    right("storage.k8s.io", "csinodes", &["list", "watch"]),
    right("storage.k8s.io", "volumeattachments", &["list", "watch"]),
    right("admissionregistration.k8s.io", "validatingwebhookconfigurations", &["list", "watch"]),
    right("admissionregistration.k8s.io", "mutatingwebhookconfigurations", &["list", "watch"]),
    right("apiregistration.k8s.io", "apiservices", &["list", "watch"]),
    Right { namespace: "kube-system", ..right("coordination.k8s.io", "leases", &["create"]) },
    Right { namespace: "kube-node-lease", ..right("coordination.k8s.io", "leases", &["list", "watch"]) },
    Right { namespace: "default", ..right("", "events", &["create"]) },
];

/// What `deploy/rbac-bootstrap.yaml` grants besides.
const RIGHTS_FOR_LAYERS: &[Right] = &[
    right("", "namespaces", &["get", "create"]),
    right("", "serviceaccounts", &["get", "create"]),
    right("", "configmaps", &["create"]),
    right("", "services", &["get", "create"]),
    right("apps", "deployments", &["get", "create"]),
    right("apps", "statefulsets", &["get", "create"]),
    right("apps", "daemonsets", &["get", "create"]),
    right("networking.k8s.io", "ingresses", &["get", "create"]),
];

#[derive(Deserialize)]
struct Node {
    metadata: Metadata,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
struct Status {
    #[serde(default)]
    addresses: Vec<Address>,
}

#[derive(Deserialize)]
struct Address {
    #[serde(rename = "type")]
    kind: String,
    address: String,
}

#[derive(Deserialize)]
struct Review {
    status: Answer,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    allowed: bool,
}

impl KubeCluster {
    /// The machines of the cluster by name; the first 500 of them.
    pub async fn machines(&self) -> Result<Vec<Machine>, PortError> {
        const TRIED: &str = "list nodes";
        let list: List<Node> = self.get(TRIED, "/api/v1/nodes?limit=500").await?;
        let machines: Result<Vec<_>, _> = list.items.into_iter().map(machine).collect();
        machines.map_err(|why| error::nonsense(TRIED, &self.server, why))
    }

    /// Rights that this kubeconfig does not have, as `VERB RESOURCE`.
    pub async fn missing_rights(&self) -> Result<Vec<String>, PortError> {
        self.missing_of(RIGHTS).await
    }

    /// The same of the rights that only layers need.
    pub async fn missing_rights_for_layers(&self) -> Result<Vec<String>, PortError> {
        self.missing_of(RIGHTS_FOR_LAYERS).await
    }

    async fn missing_of(&self, rights: &[Right]) -> Result<Vec<String>, PortError> {
        let mut missing = Vec::new();
        for (right, verb) in rights.iter().flat_map(|right| right.verbs.iter().map(move |verb| (right, verb))) {
            missing.extend(self.review(right, verb).await?);
        }
        Ok(missing)
    }

    async fn review(&self, right: &Right, verb: &str) -> Result<Option<String>, PortError> {
        const TRIED: &str = "review access";
        let (resource, sub) = right.resource.split_once('/').unwrap_or((right.resource, ""));
        let spec = json!({"resourceAttributes": {"group": right.group, "resource": resource, "subresource": sub,
            "verb": verb, "namespace": right.namespace}});
        let review: Value = json!({"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "spec": spec});
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        let answer: Review = self.ask(TRIED, path, &review).await?;
        let place = if right.namespace.is_empty() { String::new() } else { format!(" in {}", right.namespace) };
        let group = if right.group.is_empty() { String::new() } else { format!(".{}", right.group) };
        Ok((!answer.status.allowed).then(|| format!("{verb} {}{group}{place}", right.resource)))
    }
}

fn machine(node: Node) -> Result<Machine, String> {
    let Metadata { name, labels } = node.metadata;
    let name = NodeName::parse(&name).map_err(|error| error.to_string())?;
    let server = ["control-plane", "master"].iter().any(|role| labels.contains_key(&format!("node-role.kubernetes.io/{role}")));
    let internal = node.status.addresses.into_iter().find(|address| address.kind == "InternalIP");
    let address = internal.map(|address| clean(&address.address, 64));
    Ok(Machine { name, server, address })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rights_are_those_that_the_manifests_grant() {
        check(RIGHTS, include_str!("../../deploy/rbac.yaml"));
        check(RIGHTS_FOR_LAYERS, include_str!("../../deploy/rbac-bootstrap.yaml"));
    }

    fn check(rights: &[Right], manifest: &str) {
        for Right { group, resource, verbs, .. } in rights {
            let rule = manifest.split("- apiGroups: ").find(|rule| {
                let lists = |key: &str, word: &str| {
                    let line = rule.lines().find_map(|line| line.trim().strip_prefix(&format!("{key}: [")));
                    line.is_some_and(|line| line.trim_end_matches(']').split(", ").any(|one| one == word))
                };
                let group = if group.is_empty() { "[\"\"]" } else { &format!("[{group}]") };
                rule.starts_with(group) && lists("resources", resource) && verbs.iter().all(|verb| lists("verbs", verb))
            });
            assert!(rule.is_some(), "{resource} of {group:?}: {verbs:?}");
        }
    }
}
