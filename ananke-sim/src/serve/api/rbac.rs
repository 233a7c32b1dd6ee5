//! The rights that an RBAC manifest grants to one ServiceAccount, and whether they cover a request.

use std::fmt;

use serde::Deserialize;

/// What is asked for, as RBAC sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attributes {
    pub verb: String,
    pub group: String,
    /// With its subresource: `pods/eviction`.
    pub resource: String,
    /// Empty for all namespaces, and for what has none.
    pub namespace: String,
    /// Empty where no object is named.
    pub name: String,
}

impl Attributes {
    /// As error messages name the resource: `leases.coordination.k8s.io`.
    pub fn qualified(&self) -> String {
        let plural = self.resource.split('/').next().unwrap_or_default();
        if self.group.is_empty() { plural.to_owned() } else { format!("{plural}.{}", self.group) }
    }
}

/// One right: one verb on one resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    pub verb: String,
    pub group: String,
    pub resource: String,
    /// Where it holds; none: everywhere.
    pub namespace: Option<String>,
    /// For which object; none: for all.
    pub name: Option<String>,
}

impl Right {
    pub fn covers(&self, asked: &Attributes) -> bool {
        let is = |granted: &str, asked: &str| granted == "*" || granted == asked;
        is(&self.verb, &asked.verb)
            && is(&self.group, &asked.group)
            && is(&self.resource, &asked.resource)
            && self.namespace.as_ref().is_none_or(|namespace| *namespace == asked.namespace)
            && self.name.as_ref().is_none_or(|name| *name == asked.name)
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verb, group, resource, namespace, name } = self;
        write!(f, "{verb} {resource}.{group}")?;
        name.iter().try_for_each(|name| write!(f, " {name:?}"))?;
        namespace.iter().try_for_each(|namespace| write!(f, " in {namespace}"))
    }
}

/// What of a manifest matters here; other kinds have other fields.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    kind: String,
    metadata: Metadata,
    #[serde(default)]
    rules: Vec<Rule>,
    role_ref: Option<Named>,
    #[serde(default)]
    subjects: Vec<Named>,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    name: String,
    #[serde(default)]
    namespace: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Named {
    kind: String,
    name: String,
    #[serde(default)]
    namespace: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    api_groups: Vec<String>,
    resources: Vec<String>,
    verbs: Vec<String>,
    #[serde(default)]
    resource_names: Vec<String>,
}

/// The rights that the bindings of a manifest give to a ServiceAccount, given as its namespace and name.
///
/// # Errors
/// If the manifest cannot be read, or binds a role that it does not have.
pub fn rights(manifest: &str, account: (&str, &str)) -> Result<Vec<Right>, String> {
    let documents: Vec<Document> = serde_saphyr::from_multiple(manifest).map_err(|error| error.to_string())?;
    let mut rights = Vec::new();
    for binding in &documents {
        let is_ours = |subject: &Named| {
            subject.kind == "ServiceAccount"
                && (subject.namespace.as_deref(), subject.name.as_str()) == (Some(account.0), account.1)
        };
        let Some(of) = binding.role_ref.as_ref().filter(|_| binding.subjects.iter().any(is_ours)) else { continue };
        // A RoleBinding gives a role in its own namespace only, whichever kind the role is of.
        let everywhere = binding.kind == "ClusterRoleBinding";
        let within = binding.metadata.namespace.as_ref().filter(|_| !everywhere);
        let is_role = |role: &&Document| {
            role.kind == of.kind
                && role.metadata.name == of.name
                && (of.kind == "ClusterRole" || role.metadata.namespace == binding.metadata.namespace)
        };
        let role = documents.iter().find(is_role).ok_or_else(|| format!("there is no {} {}", of.kind, of.name))?;
        rights.extend(role.rules.iter().flat_map(|rule| rule.rights(within)));
    }
    Ok(rights)
}

impl Rule {
    fn rights(&self, namespace: Option<&String>) -> Vec<Right> {
        let names =
            if self.resource_names.is_empty() { vec![None] } else { self.resource_names.iter().cloned().map(Some).collect() };
        let mut rights = Vec::new();
        for (group, resource) in self.api_groups.iter().flat_map(|group| self.resources.iter().map(move |it| (group, it))) {
            for (verb, name) in self.verbs.iter().flat_map(|verb| names.iter().map(move |name| (verb, name))) {
                rights.push(Right {
                    verb: verb.clone(),
                    group: group.clone(),
                    resource: resource.clone(),
                    namespace: namespace.cloned(),
                    name: name.clone(),
                });
            }
        }
        rights
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "
kind: ClusterRole
metadata: {name: reader}
rules:
- {apiGroups: [''], resources: [nodes, pods/eviction], verbs: [get]}
---
kind: ClusterRoleBinding
metadata: {name: reader}
roleRef: {kind: ClusterRole, name: reader}
subjects: [{kind: ServiceAccount, name: ananke, namespace: kube-system}]
---
kind: Role
metadata: {name: lease, namespace: kube-system}
rules:
- {apiGroups: [coordination.k8s.io], resources: [leases], resourceNames: [ananke], verbs: [patch]}
---
kind: RoleBinding
metadata: {name: lease, namespace: kube-system}
roleRef: {kind: Role, name: lease}
subjects: [{kind: ServiceAccount, name: ananke, namespace: kube-system}]
---
kind: RoleBinding
metadata: {name: of-another, namespace: default}
roleRef: {kind: Role, name: nowhere}
subjects: [{kind: ServiceAccount, name: other, namespace: kube-system}]
";

    fn may(asked: (&str, &str, &str, &str, &str)) -> bool {
        let (verb, group, resource, namespace, name) = asked;
        let [verb, group, resource, namespace, name] = [verb, group, resource, namespace, name].map(str::to_owned);
        let asked = Attributes { verb, group, resource, namespace, name };
        rights(MANIFEST, ("kube-system", "ananke")).unwrap().iter().any(|right| right.covers(&asked))
    }

    #[test]
    fn a_right_is_for_a_verb_a_resource_a_place_and_a_name() {
        assert!(may(("get", "", "nodes", "", "titan-01")));
        assert!(!may(("list", "", "nodes", "", "")), "another verb");
        assert!(!may(("get", "longhorn.io", "nodes", "longhorn-system", "titan-01")), "another group");
        assert!(may(("get", "", "pods/eviction", "apps", "web-0")) && !may(("get", "", "pods", "apps", "web-0")));
        let lease = |namespace, name| may(("patch", "coordination.k8s.io", "leases", namespace, name));
        assert!(lease("kube-system", "ananke"));
        assert!(!lease("kube-system", "other") && !lease("default", "ananke") && !lease("", "ananke"));
    }

    #[test]
    fn a_binding_to_a_role_that_is_not_there_is_an_error() {
        assert_eq!(rights(MANIFEST, ("kube-system", "other")), Err("there is no Role nowhere".to_owned()));
        assert_eq!(rights(MANIFEST, ("default", "ananke")), Ok(Vec::new()));
    }
}
