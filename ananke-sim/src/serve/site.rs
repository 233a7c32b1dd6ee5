//! The files of a served cluster: what a client needs to reach it, and the config that `ananke` runs with.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use ananke_core::spec::default_deadline;
use ananke_core::verdict::GateId;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::api::tls::Identity;
use super::nut;
use crate::world::{LONGHORN_DISK, World};

/// The addresses that the files name.
#[derive(Debug)]
pub struct Addresses {
    pub api: SocketAddr,
    pub http: SocketAddr,
    /// Where upsd listens.
    pub nut: SocketAddr,
    /// Where magic packets go.
    pub wake: SocketAddr,
    /// By node.
    pub ssh: Vec<(String, u16)>,
}

/// A directory that only its owner sees.
pub fn private_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
}

/// Writes a file for its owner only; what was there is replaced in one step.
pub fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?.write_all(text.as_bytes())?;
    fs::rename(&fresh, path)
}

/// The kubeconfig that `ananke.yaml` names, beside it.
pub const ANANKES: &str = "ananke.kubeconfig";

/// The administrator's, by certificate.
pub fn kubeconfig(identity: &Identity, api: SocketAddr) -> String {
    let (cert, key) = (STANDARD.encode(&identity.client_pem), STANDARD.encode(&identity.client_key_pem));
    let credentials = format!("client-certificate-data: {cert}\n    client-key-data: {key}");
    kubeconfig_of("sim-admin", &credentials, identity, api)
}

/// Ananke's own, by the token of its ServiceAccount: it may do what the manifests of `deploy/` grant.
pub fn anankes_kubeconfig(identity: &Identity, token: &str, api: SocketAddr) -> String {
    kubeconfig_of("ananke", &format!("token: {token}"), identity, api)
}

fn kubeconfig_of(user: &str, credentials: &str, identity: &Identity, api: SocketAddr) -> String {
    let ca = STANDARD.encode(&identity.ca_pem);
    format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: sim\n  cluster:\n    server: https://{api}\n    certificate-authority-data: {ca}\n\
         users:\n- name: {user}\n  user:\n    {credentials}\n\
         contexts:\n- name: sim\n  context:\n    cluster: sim\n    user: {user}\ncurrent-context: sim\n"
    )
}

/// `ananke.yaml`: paths are relative to it. Waits are shortened by `speed`, since the cluster lives that much faster.
pub fn config(world: &World, addresses: &Addresses, speed: u32) -> String {
    let names = |server: bool| {
        let of_role = world.hosts().iter().filter(|host| host.server == server);
        of_role.map(|host| host.name.as_str()).collect::<Vec<_>>().join(", ")
    };
    let scaled = |millis: u64, least: u64| format!("{}ms", (millis / u64::from(speed.max(1))).max(least));
    let mut out = format!("# Written by `ananke sim up`.\nkubeconfig: {ANANKES}\nstate_dir: state\n");
    let mut line = |text: String| writeln!(out, "{text}").unwrap_or_default();
    line(format!("control_planes: [{}]", names(true)));
    line(format!("workers: [{}]", names(false)));
    line(format!("required_mounts: [{LONGHORN_DISK}]"));
    line(format!("poll: {}\nguard_wait: {}", scaled(2000, 100), scaled(600_000, 1000)));
    line("ssh_user: ananke\nssh_identity_file: id_ed25519\nssh_known_hosts_file: known_hosts\nssh_node_hosts:".to_owned());
    for (node, port) in &addresses.ssh {
        line(format!("  {node}: \"127.0.0.1:{port}\""));
    }
    line(format!("ups: [{}]", upses(world, addresses.nut)));
    line(format!("nut: {{user: {}, password_file: {NUT_PASSWORD}}}", nut::USER));
    line(format!("default_budget_seconds: {}", (BUDGET_SECS / u64::from(speed.max(1))).max(LEAST_BUDGET_SECS)));
    let source = &world.source().meta.object;
    line(format!("flux_source: {}/{}", source.namespace, source.name));
    line(format!("expected_flux_source_url: {}\nexpected_flux_branch: main", world.source().url));
    line(format!("ingress:\n  address: \"{}\"\n  scheme: http", addresses.http));
    line(format!("startup:\n  unit_grace: {}\n  soak: {}", scaled(60_000, 1000), scaled(60_000, 1000)));
    if let Some(vault) = world.ingresses().iter().find(|ingress| ingress.host.starts_with("vault.")) {
        line(format!("  vault_address: \"http://{}\"\n  vault_unseal_key_file: {VAULT_KEYS}", vault.host));
    }
    line("  post_start_probes:".to_owned());
    for (name, prefix, path, expected) in PROBES {
        if let Some(ingress) = world.ingresses().iter().find(|ingress| ingress.host.starts_with(prefix)) {
            let host = &ingress.host;
            line(format!("    - {{name: {name}, url: \"http://{host}{path}\", {expected}}}"));
        }
    }
    line(format!("recovery:\n  cordon_window: {}\n  restart_after: {}", scaled(3_600_000, 5000), scaled(180_000, 1000)));
    line(format!("power:\n  debounce: {}\n  hold_off: {}", scaled(15_000, 1000), scaled(120_000, 1000)));
    line(format!("  wake_after: {}\n  wol_address: \"{}\"\n  wol_mac:", scaled(120_000, 1000), addresses.wake));
    for host in world.hosts() {
        line(format!("    {}: \"{}\"", host.name, host.mac));
    }
    line(format!("drain:\n  patience: {}", scaled(120_000, 1000)));
    // A port that is free: several served clusters have a daemon each.
    line("daemon:\n  listen: 127.0.0.1:0".to_owned());
    line("deadlines:".to_owned());
    for gate in GateId::ALL {
        let millis = u64::try_from(default_deadline(*gate).as_millis()).unwrap_or(u64::MAX);
        line(format!("  {gate}: {}", scaled(millis, LEAST_DEADLINE)));
    }
    out
}

/// As entries of `ups`, each with the nodes that it feeds.
fn upses(world: &World, at: SocketAddr) -> String {
    let entry = |(row, name): (usize, &str)| {
        let fed = world.hosts().iter().filter(|host| host.ups == row).map(|host| host.name.as_str());
        format!("{{name: \"{name}@{at}\", feeds: [{}]}}", fed.collect::<Vec<_>>().join(", "))
    };
    world.upses().iter().map(|ups| &*ups.name).enumerate().map(entry).collect::<Vec<_>>().join(", ")
}

/// What a shutdown takes before any has shown it, in virtual seconds, and in real ones at any speed.
const BUDGET_SECS: u64 = 300;
const LEAST_BUDGET_SECS: u64 = 10;

/// Connections take their real time, whatever the speed: a gate that waits for hosts needs a few attempts, in milliseconds.
const LEAST_DEADLINE: u64 = 20_000;

/// What unseals the served Vault, beside the config.
pub const VAULT_KEYS: &str = "vault-keys";

/// With which the config logs in to upsd, beside it.
pub const NUT_PASSWORD: &str = "nut-password";

/// Name, ingress host and path of the service checklist, and what the answer must be: a registry challenges strangers, and
/// what has no login of its own sends them to one.
const PROBES: &[(&str, &str, &str, &str)] = &[
    ("registry", "harbor.", "/v2/", "accepted_statuses: [401], headers: {www-authenticate: \"Bearer realm=\"}"),
    ("login", "sso.", "/realms/titan/.well-known/openid-configuration", "accepted_statuses: [200], body: issuer"),
    ("storage", "longhorn.", "/", "redirect: \"http://sso.\""),
    ("git", "scm.", "/", "method: HEAD, accepted_statuses: [200]"),
    ("dashboards", "grafana.", "/", "accepted_statuses: [200, 302]"),
];
