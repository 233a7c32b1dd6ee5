//! What is asked of a cluster before Ananke is set up for it: its machines, and which rights are missing.

use std::collections::BTreeMap;

use ananke_core::name::NodeName;
use ananke_core::port::{PortError, clean};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::collection::Collection;
use crate::connect::KubeCluster;

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
    /// Empty: all of them.
    name: &'static str,
}

const fn right(group: &'static str, resource: &'static str, verbs: &'static [&'static str]) -> Right {
    Right { group, resource, verbs, namespace: "", name: "" }
}

/// What `deploy/rbac.yaml` grants of what every cluster serves.
const RIGHTS: &[Right] = &[
    right("", "nodes", &["get", "list", "watch", "patch"]),
    right("", "pods", &["list", "watch", "delete"]),
    right("", "pods/eviction", &["create"]),
    right("", "namespaces", &["list", "watch"]),
    Right { name: "kube-system", ..right("", "namespaces", &["get"]) },
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
    right("coordination.k8s.io", "leases", &["list"]),
    Right { namespace: "kube-system", ..right("coordination.k8s.io", "leases", &["create"]) },
    Right { namespace: "kube-system", name: "ananke", ..right("coordination.k8s.io", "leases", &["get", "patch"]) },
    Right { namespace: "kube-node-lease", ..right("coordination.k8s.io", "leases", &["list", "watch"]) },
    Right { namespace: "default", ..right("", "events", &["create"]) },
];

/// What it grants of what not every cluster serves: asked for where it is served.
const RIGHTS_WHERE_SERVED: &[Right] = &[
    right("source.toolkit.fluxcd.io", "gitrepositories", &["list", "watch", "patch"]),
    right("source.toolkit.fluxcd.io", "ocirepositories", &["list", "watch", "patch"]),
    right("source.toolkit.fluxcd.io", "buckets", &["list", "watch", "patch"]),
    right("source.toolkit.fluxcd.io", "helmrepositories", &["list"]),
    right("kustomize.toolkit.fluxcd.io", "kustomizations", &["list", "watch", "patch"]),
    right("helm.toolkit.fluxcd.io", "helmreleases", &["list", "watch", "patch"]),
    right("longhorn.io", "nodes", &["list", "watch"]),
    right("longhorn.io", "volumes", &["list", "watch"]),
    right("external-secrets.io", "externalsecrets", &["list"]),
    right("external-secrets.io", "secretstores", &["list"]),
    right("external-secrets.io", "clustersecretstores", &["list"]),
    right("ceph.rook.io", "cephclusters", &["list"]),
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

const RIGHTS_FOR_LAYERS_WHERE_SERVED: &[Right] = &[
    right("kustomize.toolkit.fluxcd.io", "kustomizations", &["get"]),
    right("helm.toolkit.fluxcd.io", "helmreleases", &["get"]),
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

static MACHINES: Collection<Node, Machine> = Collection::new("list nodes", "/api/v1/nodes", machine);

impl KubeCluster {
    /// The machines of the cluster by name.
    pub async fn machines(&self) -> Result<Vec<Machine>, PortError> {
        self.list(&MACHINES).await
    }

    /// Rights that this kubeconfig does not have, as `VERB RESOURCE`, with a name and a namespace where it is only there.
    pub async fn missing_rights(&self) -> Result<Vec<String>, PortError> {
        self.missing_of(RIGHTS, RIGHTS_WHERE_SERVED).await
    }

    /// The same of the rights that only layers need.
    pub async fn missing_rights_for_layers(&self) -> Result<Vec<String>, PortError> {
        self.missing_of(RIGHTS_FOR_LAYERS, RIGHTS_FOR_LAYERS_WHERE_SERVED).await
    }

    async fn missing_of(&self, rights: &[Right], where_served: &[Right]) -> Result<Vec<String>, PortError> {
        let mut rights: Vec<&Right> = rights.iter().collect();
        for right in where_served {
            if !self.versions_of("discover what is served", (right.group, &[right.resource])).await?.is_empty() {
                rights.push(right);
            }
        }
        let mut missing = Vec::new();
        for (right, verb) in rights.into_iter().flat_map(|right| right.verbs.iter().map(move |verb| (right, verb))) {
            missing.extend(self.review(right, verb).await?);
        }
        Ok(missing)
    }

    async fn review(&self, right: &Right, verb: &str) -> Result<Option<String>, PortError> {
        const TRIED: &str = "review access";
        let (resource, sub) = right.resource.split_once('/').unwrap_or((right.resource, ""));
        let spec = json!({"resourceAttributes": {"group": right.group, "resource": resource, "subresource": sub,
            "verb": verb, "namespace": right.namespace, "name": right.name}});
        let review: Value = json!({"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "spec": spec});
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        let answer: Review = self.ask(TRIED, path, &review).await?;
        let place = if right.namespace.is_empty() { String::new() } else { format!(" in {}", right.namespace) };
        let group = if right.group.is_empty() { String::new() } else { format!(".{}", right.group) };
        let name = if right.name.is_empty() { String::new() } else { format!(" {}", right.name) };
        Ok((!answer.status.allowed).then(|| format!("{verb} {}{group}{name}{place}", right.resource)))
    }
}

fn machine(node: Node) -> Result<Option<Machine>, String> {
    let Metadata { name, labels } = node.metadata;
    let name = NodeName::parse(&name).map_err(|error| error.to_string())?;
    let server = ["control-plane", "master"].iter().any(|role| labels.contains_key(&format!("node-role.kubernetes.io/{role}")));
    let internal = node.status.addresses.into_iter().find(|address| address.kind == "InternalIP");
    let address = internal.map(|address| clean(&address.address, 64));
    Ok(Some(Machine { name, server, address }))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::reads::scripted::{Answer, Server};

    #[tokio::test]
    async fn machines_are_told_from_every_page() {
        let server = Server::start(|request| {
            let (name, token) = if request.contains("continue=more") { ("two", "") } else { ("one", "more") };
            Answer::Json(200, format!(r#"{{"metadata":{{"continue":"{token}"}},"items":[{{"metadata":{{"name":"{name}"}}}}]}}"#))
        });
        let machines = server.await.cluster().machines().await.unwrap();
        assert_eq!(machines.iter().map(|machine| machine.name.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    }

    #[test]
    fn the_rights_are_those_that_the_manifests_grant_and_all_of_them() {
        assert_eq!(asked(&[RIGHTS, RIGHTS_WHERE_SERVED].concat()), granted(include_str!("../../deploy/rbac.yaml")));
        let layers = [RIGHTS_FOR_LAYERS, RIGHTS_FOR_LAYERS_WHERE_SERVED].concat();
        assert_eq!(asked(&layers), granted(include_str!("../../deploy/rbac-bootstrap.yaml")));
    }

    /// Namespace, group, resource, name and verb of each.
    fn asked(rights: &[Right]) -> BTreeSet<[String; 5]> {
        let each = rights.iter().flat_map(|right| right.verbs.iter().map(move |verb| (right, verb)));
        each.map(|(Right { group, resource, namespace, name, .. }, verb)| {
            [namespace, group, resource, name, verb].map(|it| it.to_string())
        })
        .collect()
    }

    fn granted(manifest: &str) -> BTreeSet<[String; 5]> {
        let mut all = BTreeSet::new();
        for document in manifest.split("\n---\n") {
            let (head, rules) = document.split_once("\nrules:\n").unwrap_or((document, ""));
            let namespace = head.lines().find_map(|line| line.strip_prefix("  namespace: ")).unwrap_or_default();
            for rule in rules.split("- apiGroups: ").skip(1) {
                let group = rule.lines().next().unwrap().trim_matches(['[', ']', '"']);
                let list = |key: &str| {
                    let line = rule.lines().find_map(|line| line.trim().strip_prefix(&format!("{key}: [")))?;
                    Some(line.trim_end_matches(']').split(", ").collect::<Vec<_>>())
                };
                let (resources, verbs) = (list("resources").unwrap(), list("verbs").unwrap());
                let names = list("resourceNames").unwrap_or(vec![""]);
                let of = |resource| names.iter().map(move |name| (resource, name));
                for ((resource, name), verb) in
                    resources.iter().flat_map(of).flat_map(|one| verbs.iter().map(move |verb| (one, verb)))
                {
                    all.insert([namespace, group, resource, name, verb].map(str::to_owned));
                }
            }
        }
        assert!(all.len() > 10, "it is read: {all:?}");
        all
    }
}
