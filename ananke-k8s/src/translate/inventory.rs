//! What a Kustomization has applied, as its status lists it.

use std::fmt;

use ananke_core::name::{Kind, ObjectRef};
use serde::Deserialize;

use super::meta::null_is_default;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Inventory {
    #[serde(deserialize_with = "null_is_default")]
    entries: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    id: String,
}

/// `<namespace>_<name>_<group>_<kind>`. Only names can have an underscore in them: two stand for each colon of a role's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Applied<'a> {
    namespace: &'a str,
    name: &'a str,
    group: &'a str,
    kind: &'a str,
}

impl Inventory {
    pub(crate) fn applied(&self) -> impl Iterator<Item = Applied<'_>> {
        self.entries.iter().filter_map(|entry| Applied::parse(&entry.id))
    }
}

impl<'a> Applied<'a> {
    fn parse(id: &'a str) -> Option<Self> {
        let (namespace, rest) = id.split_once('_')?;
        let (rest, kind) = rest.rsplit_once('_')?;
        let (name, group) = rest.rsplit_once('_')?;
        Some(Self { namespace, name, group, kind })
    }

    /// None for kinds that the core has no word for.
    pub(crate) fn object(self) -> Option<ObjectRef> {
        let kind = match (self.group, self.kind) {
            ("", "Namespace") => Kind::Namespace,
            ("", "ServiceAccount") => Kind::ServiceAccount,
            ("", "ConfigMap") => Kind::ConfigMap,
            ("", "Service") => Kind::Service,
            ("apps", "Deployment") => Kind::Deployment,
            ("apps", "StatefulSet") => Kind::StatefulSet,
            ("apps", "DaemonSet") => Kind::DaemonSet,
            ("networking.k8s.io", "Ingress") => Kind::Ingress,
            ("source.toolkit.fluxcd.io", "GitRepository") => Kind::GitRepository,
            ("source.toolkit.fluxcd.io", "OCIRepository") => Kind::OCIRepository,
            ("source.toolkit.fluxcd.io", "Bucket") => Kind::Bucket,
            ("helm.toolkit.fluxcd.io", "HelmRelease") => Kind::HelmRelease,
            _ => return None,
        };
        Some(ObjectRef::new(kind, self.namespace, self.name))
    }
}

impl fmt::Display for Applied<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.replace("__", ":");
        if self.namespace.is_empty() {
            write!(f, "{} {name}", self.kind)
        } else {
            write!(f, "{} {}/{name}", self.kind, self.namespace)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(id: &str, told: &str, known: bool) {
        let applied = Applied::parse(id).unwrap();
        assert_eq!((applied.to_string().as_str(), applied.object().is_some()), (told, known));
    }

    #[test]
    fn an_id_names_its_object() {
        check("home_home-assistant_apps_StatefulSet", "StatefulSet home/home-assistant", true);
        check("home_web__Service", "Service home/web", true);
        check("_home__Namespace", "Namespace home", true);
        check("git_data__PersistentVolumeClaim", "PersistentVolumeClaim git/data", false);
        check("_traefik_networking.k8s.io_IngressClass", "IngressClass traefik", false);
        check("web_old_extensions_Ingress", "Ingress web/old", false);
    }

    #[test]
    fn colons_of_a_role_are_two_underscores() {
        check("_system__reader_rbac.authorization.k8s.io_ClusterRole", "ClusterRole system:reader", false);
        check("kube-system_a__b__c_rbac.authorization.k8s.io_Role", "Role kube-system/a:b:c", false);
    }

    #[test]
    fn what_is_no_id_is_nobodys() {
        assert_eq!(Applied::parse("torn"), None);
        assert_eq!(Applied::parse("home_web_Service"), None);
    }
}
