//! What runs in the home lab: about sixty workloads and twenty Kustomizations.

use ananke_core::name::Kind;

pub(super) struct Entry {
    pub(super) namespace: &'static str,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) replicas: u32,
    pub(super) volumes: bool,
    /// `minAvailable` of its PodDisruptionBudget.
    pub(super) budget: Option<u32>,
    pub(super) kustomization: Option<&'static str>,
    /// `namespace/name` of what must serve first; cluster DNS goes without saying, except where [`NO_DNS`] says so.
    pub(super) needs: &'static [&'static str],
    pub(super) host: Option<&'static str>,
}

pub(super) const DNS: &str = "kube-system/coredns";
pub(super) const STORAGE: &str = "longhorn-system/longhorn-manager";
pub(super) const INGRESS: &str = "traefik/traefik";
pub(super) const VAULT: &str = "vault/vault";
pub(super) const GIT: &str = "gitea/gitea";
pub(super) const REGISTRY: &str = "harbor/harbor-registry";
/// Kustomizations that Flux needs to have anything to apply.
pub(super) const CIRCLE: [&str; 2] = ["registry", "git"];
pub(super) const SOURCE_CONTROLLER: &str = "flux-system/source-controller";
pub(super) const KUSTOMIZE_CONTROLLER: &str = "flux-system/kustomize-controller";
pub(super) const HELM_CONTROLLER: &str = "flux-system/helm-controller";
/// What a person scaled to zero before the outage, if one did.
pub(super) const FORGOTTEN: &str = "office/vaultwarden";
pub(super) const CRASHER: &str = "media/jellyfin";
/// Others stand on what it keeps.
pub(super) const FAULTY: &str = "home/mosquitto";
/// Namespaces whose pods start without cluster DNS.
pub(super) const NO_DNS: &[&str] = &["kube-system", "longhorn-system", "traefik", "metallb-system", "monitoring"];

/// Where a namespace's images come from: what Harbor itself stands on cannot come from Harbor.
pub(super) fn registry(namespace: &str) -> &'static str {
    match namespace {
        "kube-system" | "longhorn-system" | "traefik" | "databases" | "harbor" => "docker.io",
        "metallb-system" | "cert-manager" => "quay.io",
        "flux-system" => "ghcr.io",
        _ => HARBOR,
    }
}

/// The registry that the cluster serves itself.
pub(super) const HARBOR: &str = "harbor.titan.example";

/// Where the source and the images come from, in a cluster that serves neither.
pub(super) const OUTSIDE_GIT: &str = "ssh://git@github.com/titan/titan-iac.git";
pub(super) const OUTSIDE_REGISTRY: &str = "ghcr.io";

/// The repository that Flux fetches from: with its password, as nobody should have it and many do.
pub(super) const GIT_URL: &str = "https://flux:swordfish-7b1d@scm.titan.example/ops/titan-iac.git";
/// Another Git server that has what Gitea has.
pub(crate) const MIRROR: &str = "https://codeberg.org/titan/titan-iac.git";

/// Namespace and name of the workloads that have a Secret from Vault, of the same name.
pub(super) const SECRETS: &[(&str, &str)] = &[("keycloak", "keycloak"), ("office", "nextcloud")];

/// Name and what it depends on.
pub(super) const KUSTOMIZATIONS: &[(&str, &[&str])] = &[
    ("flux-system", &[]),
    ("infra-crds", &[]),
    ("infra-storage", &["infra-crds"]),
    ("infra-lb", &["infra-crds"]),
    ("infra-ingress", &["infra-lb"]),
    ("infra-certs", &["infra-crds"]),
    ("infra-dns", &["infra-ingress"]),
    ("infra-secrets", &["infra-storage", "infra-certs"]),
    ("databases", &["infra-storage"]),
    ("git", &["databases", "infra-ingress"]),
    ("registry", &["databases", "infra-ingress"]),
    ("identity", &["databases", "infra-secrets"]),
    ("monitoring", &["infra-storage", "infra-ingress"]),
    ("logging", &["monitoring"]),
    ("backup", &["infra-storage"]),
    ("media", &["infra-storage", "identity"]),
    ("home", &["infra-storage"]),
    ("office", &["databases", "identity"]),
    ("ci", &["git", "registry"]),
    ("dashboards", &["infra-ingress", "monitoring"]),
];

/// Namespace, name and Kustomization of the Jobs that run once.
pub(super) const JOBS: &[(&str, &str, &str)] =
    &[("keycloak", "realm-import", "identity"), ("harbor", "database-migration", "registry")];

/// Namespace, name, Kustomization and dependencies (rows of this table) of the HelmReleases; each is named after its chart.
pub(super) const RELEASES: &[(&str, &str, &str, &[usize])] =
    &[("monitoring", "kube-prometheus-stack", "monitoring", &[]), ("logging", "loki", "logging", &[0])];

/// The HelmRelease of the registry, where Git has it as a chart: namespace, name and Kustomization.
pub(super) const CHART: (&str, &str, &str) = ("harbor", "harbor", "registry");

type Row = (&'static str, &'static str, Option<&'static str>, &'static [&'static str], Option<&'static str>);

const fn deployment(replicas: u32, budget: Option<u32>, (namespace, name, kustomization, needs, host): Row) -> Entry {
    Entry { namespace, name, kind: Kind::Deployment, replicas, volumes: false, budget, kustomization, needs, host }
}

const fn stateful(replicas: u32, budget: Option<u32>, (namespace, name, kustomization, needs, host): Row) -> Entry {
    Entry { namespace, name, kind: Kind::StatefulSet, replicas, volumes: true, budget, kustomization, needs, host }
}

const fn daemon((namespace, name, kustomization, needs, host): Row) -> Entry {
    Entry { namespace, name, kind: Kind::DaemonSet, replicas: 0, volumes: false, budget: None, kustomization, needs, host }
}

const PG: &[&str] = &["databases/postgres"];
const KEYCLOAK: &[&str] = &["keycloak/keycloak"];

pub(super) const WORKLOADS: &[Entry] = &[
    deployment(2, Some(1), ("kube-system", "coredns", None, &[], None)),
    deployment(1, None, ("kube-system", "metrics-server", None, &[], None)),
    deployment(1, None, ("kube-system", "local-path-provisioner", None, &[], None)),
    deployment(1, None, ("flux-system", "source-controller", Some("flux-system"), &[], None)),
    deployment(1, None, ("flux-system", "kustomize-controller", Some("flux-system"), &[], None)),
    deployment(1, None, ("flux-system", "helm-controller", Some("flux-system"), &[], None)),
    deployment(1, None, ("flux-system", "notification-controller", Some("flux-system"), &[], None)),
    daemon(("longhorn-system", "longhorn-manager", Some("infra-storage"), &[], None)),
    deployment(2, Some(1), ("longhorn-system", "longhorn-driver-deployer", Some("infra-storage"), &[STORAGE], None)),
    deployment(2, None, ("longhorn-system", "csi-attacher", Some("infra-storage"), &[STORAGE], None)),
    deployment(2, None, ("longhorn-system", "csi-provisioner", Some("infra-storage"), &[STORAGE], None)),
    deployment(1, None, ("longhorn-system", "longhorn-ui", Some("infra-storage"), &[STORAGE], Some("longhorn"))),
    daemon(("metallb-system", "speaker", Some("infra-lb"), &[], None)),
    deployment(1, None, ("metallb-system", "controller", Some("infra-lb"), &[], None)),
    deployment(2, Some(1), ("traefik", "traefik", Some("infra-ingress"), &[], None)),
    deployment(1, None, ("cert-manager", "cert-manager", Some("infra-certs"), &[], None)),
    deployment(1, None, ("cert-manager", "cert-manager-webhook", Some("infra-certs"), &[], None)),
    deployment(1, None, ("cert-manager", "cert-manager-cainjector", Some("infra-certs"), &[], None)),
    deployment(1, None, ("external-dns", "external-dns", Some("infra-dns"), &[], None)),
    stateful(2, Some(1), ("pihole", "pihole", Some("infra-dns"), &[], Some("pihole"))),
    stateful(3, Some(2), ("vault", "vault", Some("infra-secrets"), &[], Some("vault"))),
    deployment(1, None, ("external-secrets", "external-secrets", Some("infra-secrets"), &["vault/vault"], None)),
    stateful(3, Some(2), ("databases", "postgres", Some("databases"), &[], None)),
    stateful(1, None, ("databases", "valkey", Some("databases"), &[], None)),
    stateful(1, None, ("databases", "mariadb", Some("databases"), &[], None)),
    deployment(1, None, ("gitea", "gitea", Some("git"), PG, Some("scm"))),
    deployment(1, None, ("harbor", "harbor-core", Some("registry"), PG, Some("harbor"))),
    deployment(1, None, ("harbor", "harbor-portal", Some("registry"), &["harbor/harbor-core"], None)),
    stateful(1, None, ("harbor", "harbor-registry", Some("registry"), &[], None)),
    stateful(1, None, ("harbor", "harbor-jobservice", Some("registry"), &["harbor/harbor-core"], None)),
    stateful(1, None, ("harbor", "harbor-trivy", Some("registry"), &[], None)),
    stateful(2, Some(1), ("keycloak", "keycloak", Some("identity"), PG, Some("sso"))),
    deployment(1, None, ("keycloak", "oauth2-proxy", Some("identity"), KEYCLOAK, None)),
    stateful(2, Some(1), ("monitoring", "prometheus", Some("monitoring"), &[], Some("prometheus"))),
    stateful(2, Some(1), ("monitoring", "alertmanager", Some("monitoring"), &[], None)),
    deployment(1, None, ("monitoring", "grafana", Some("monitoring"), &["monitoring/prometheus"], Some("grafana"))),
    deployment(1, None, ("monitoring", "kube-state-metrics", Some("monitoring"), &[], None)),
    daemon(("monitoring", "node-exporter", Some("monitoring"), &[], None)),
    stateful(1, None, ("logging", "loki", Some("logging"), &[], None)),
    deployment(2, None, ("logging", "alloy", Some("logging"), &["logging/loki"], None)),
    deployment(1, None, ("velero", "velero", Some("backup"), &[], None)),
    stateful(1, None, ("velero", "minio", Some("backup"), &[], None)),
    stateful(1, None, ("media", "jellyfin", Some("media"), &[], Some("jellyfin"))),
    stateful(1, None, ("media", "sonarr", Some("media"), &[], None)),
    stateful(1, None, ("media", "radarr", Some("media"), &[], None)),
    stateful(1, None, ("media", "prowlarr", Some("media"), &[], None)),
    stateful(1, None, ("media", "navidrome", Some("media"), &[], Some("music"))),
    deployment(1, None, ("media", "jellyseerr", Some("media"), &["media/jellyfin"], None)),
    stateful(1, None, ("home", "home-assistant", Some("home"), &["home/mosquitto"], Some("home"))),
    stateful(1, None, ("home", "mosquitto", Some("home"), &[], None)),
    stateful(1, None, ("home", "zigbee2mqtt", Some("home"), &["home/mosquitto"], None)),
    stateful(1, None, ("home", "frigate", Some("home"), &["home/mosquitto"], None)),
    stateful(1, None, ("office", "nextcloud", Some("office"), &["databases/mariadb"], Some("cloud"))),
    stateful(1, None, ("office", "paperless", Some("office"), &["databases/postgres", "databases/valkey"], Some("paperless"))),
    deployment(1, None, ("office", "vaultwarden", Some("office"), PG, Some("passwords"))),
    deployment(1, None, ("office", "miniflux", Some("office"), PG, None)),
    deployment(1, None, ("office", "wallabag", Some("office"), PG, None)),
    deployment(2, Some(1), ("ci", "gitea-runner", Some("ci"), &[GIT], None)),
    deployment(1, None, ("ci", "renovate", Some("ci"), &[GIT], None)),
    deployment(1, None, ("dashboards", "homepage", Some("dashboards"), &[], Some("start"))),
    deployment(1, None, ("dashboards", "uptime-kuma", Some("dashboards"), &[], None)),
];

/// Row of the Kustomization of that name.
pub(super) fn kustomization(name: &str) -> usize {
    KUSTOMIZATIONS.iter().position(|(other, _)| *other == name).unwrap_or(0)
}
