//! The kinds that the served API knows: one row each, read by discovery, routing and the projection of the world.
//!
//! Kinds that the simulated cluster never has are listed too, because clients ask for them and expect an empty list, not a 404.

/// One resource of the API.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// Empty for the core group.
    pub group: &'static str,
    pub version: &'static str,
    pub plural: &'static str,
    pub kind: &'static str,
    pub namespaced: bool,
    pub short: &'static [&'static str],
    pub categories: &'static [&'static str],
    pub subresources: &'static [&'static str],
}

impl Kind {
    pub fn singular(&self) -> String {
        self.kind.to_ascii_lowercase()
    }

    /// `v1` or `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }

    /// As error messages name it: `nodes`, `leases.coordination.k8s.io`.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// Defined by a CustomResourceDefinition: strategic merge patches are refused, list items carry their type.
    pub fn is_custom(&self) -> bool {
        self.group.ends_with(".fluxcd.io") || self.group == LONGHORN.0
    }

    pub fn has_status(&self) -> bool {
        self.subresources.contains(&"status")
    }

    /// Whether `metadata.generation` counts changes of the spec.
    pub fn has_generation(&self) -> bool {
        !matches!(
            self.plural,
            "nodes"
                | "namespaces"
                | "services"
                | "events"
                | "leases"
                | "endpointslices"
                | "persistentvolumeclaims"
                | "persistentvolumes"
                | "csinodes"
                | "volumeattachments"
        )
    }
}

const NONE: &[&str] = &[];
const ALL: &[&str] = &["all"];
const STATUS: &[&str] = &["status"];
const SCALED: &[&str] = &["scale", "status"];
const FLUX: &[&str] = &["all", "fluxcd", "fluxcd-appliers"];
const FLUX_SOURCES: &[&str] = &["all", "fluxcd", "fluxcd-sources"];

type Names = &'static [&'static str];

const fn row(
    at: (&'static str, &'static str),
    names: (&'static str, &'static str),
    short: Names,
    categories: Names,
    sub: Names,
) -> Kind {
    Kind { group: at.0, version: at.1, plural: names.0, kind: names.1, namespaced: true, short, categories, subresources: sub }
}

const fn wide(at: (&'static str, &'static str), names: (&'static str, &'static str), short: Names, sub: Names) -> Kind {
    Kind {
        group: at.0,
        version: at.1,
        plural: names.0,
        kind: names.1,
        namespaced: false,
        short,
        categories: NONE,
        subresources: sub,
    }
}

const CORE: (&str, &str) = ("", "v1");
const APPS: (&str, &str) = ("apps", "v1");
const BATCH: (&str, &str) = ("batch", "v1");
const STORAGE: (&str, &str) = ("storage.k8s.io", "v1");
const LONGHORN: (&str, &str) = ("longhorn.io", "v1beta2");

/// Sorted by group, core first, as discovery prints them.
pub static KINDS: &[Kind] = &[
    row(CORE, ("configmaps", "ConfigMap"), &["cm"], NONE, NONE),
    row(CORE, ("endpoints", "Endpoints"), &["ep"], NONE, NONE),
    row(CORE, ("events", "Event"), &["ev"], NONE, NONE),
    wide(CORE, ("namespaces", "Namespace"), &["ns"], STATUS),
    wide(CORE, ("nodes", "Node"), &["no"], STATUS),
    row(CORE, ("persistentvolumeclaims", "PersistentVolumeClaim"), &["pvc"], NONE, STATUS),
    wide(CORE, ("persistentvolumes", "PersistentVolume"), &["pv"], STATUS),
    row(CORE, ("pods", "Pod"), &["po"], ALL, &["eviction", "status"]),
    row(CORE, ("replicationcontrollers", "ReplicationController"), &["rc"], ALL, SCALED),
    row(CORE, ("secrets", "Secret"), NONE, NONE, NONE),
    row(CORE, ("serviceaccounts", "ServiceAccount"), &["sa"], NONE, NONE),
    row(CORE, ("services", "Service"), &["svc"], ALL, STATUS),
    row(APPS, ("daemonsets", "DaemonSet"), &["ds"], ALL, STATUS),
    row(APPS, ("deployments", "Deployment"), &["deploy"], ALL, SCALED),
    row(APPS, ("replicasets", "ReplicaSet"), &["rs"], ALL, SCALED),
    row(APPS, ("statefulsets", "StatefulSet"), &["sts"], ALL, SCALED),
    row(("autoscaling", "v2"), ("horizontalpodautoscalers", "HorizontalPodAutoscaler"), &["hpa"], ALL, STATUS),
    row(BATCH, ("cronjobs", "CronJob"), &["cj"], ALL, STATUS),
    row(BATCH, ("jobs", "Job"), NONE, ALL, STATUS),
    row(("coordination.k8s.io", "v1"), ("leases", "Lease"), NONE, NONE, NONE),
    row(("discovery.k8s.io", "v1"), ("endpointslices", "EndpointSlice"), NONE, NONE, NONE),
    row(("helm.toolkit.fluxcd.io", "v2"), ("helmreleases", "HelmRelease"), &["hr"], FLUX, STATUS),
    row(("kustomize.toolkit.fluxcd.io", "v1"), ("kustomizations", "Kustomization"), &["ks"], FLUX, STATUS),
    row(LONGHORN, ("nodes", "Node"), &["lhn"], &["longhorn"], STATUS),
    row(LONGHORN, ("volumes", "Volume"), &["lhv"], &["longhorn"], STATUS),
    row(("networking.k8s.io", "v1"), ("ingresses", "Ingress"), &["ing"], NONE, STATUS),
    row(("policy", "v1"), ("poddisruptionbudgets", "PodDisruptionBudget"), &["pdb"], NONE, STATUS),
    row(("source.toolkit.fluxcd.io", "v1"), ("buckets", "Bucket"), NONE, FLUX_SOURCES, STATUS),
    row(("source.toolkit.fluxcd.io", "v1"), ("gitrepositories", "GitRepository"), &["gitrepo"], FLUX_SOURCES, STATUS),
    row(("source.toolkit.fluxcd.io", "v1"), ("helmrepositories", "HelmRepository"), &["helmrepo"], FLUX_SOURCES, STATUS),
    row(("source.toolkit.fluxcd.io", "v1"), ("ocirepositories", "OCIRepository"), &["ocirepo"], FLUX_SOURCES, STATUS),
    wide(STORAGE, ("csinodes", "CSINode"), NONE, NONE),
    wide(STORAGE, ("storageclasses", "StorageClass"), &["sc"], NONE),
    wide(STORAGE, ("volumeattachments", "VolumeAttachment"), NONE, STATUS),
];

/// The kind behind a path, if the API has it.
pub fn find(group: &str, version: &str, plural: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.group == group && kind.version == version && kind.plural == plural)
}

/// A kind by its CamelCase name, for code that names it literally; Longhorn's Node is behind Kubernetes' own.
pub fn named(kind: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|known| known.kind == kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_kinds_share_a_path_or_a_name_in_their_group() {
        assert_eq!(named("Node").map(|kind| kind.group), Some(""));
        for (at, kind) in KINDS.iter().enumerate() {
            let same = KINDS.iter().filter(|other| other.kind == kind.kind && other.group == kind.group);
            assert_eq!(same.count(), 1, "{}", kind.kind);
            assert_eq!(find(kind.group, kind.version, kind.plural), Some(&KINDS[at]), "{}", kind.plural);
        }
    }
}
