//! From merged layers to types. Every key is read, whatever is wrong with the others, so that all problems show at once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ananke_core::name::{Kind, NodeName, UnitName};
use ananke_core::spec::{Distribution, DrainSpec, FluxSpec, NodeRole, NodeSpec, Role, Spec, Transport};
use ananke_core::verdict::GateId;
use ananke_ssh::Route;
use figment::value::Value;

use super::hosts::Needs;
use super::layers::child;
use super::reader::{Found, Reader};
use super::ssh::{self, Known, Ssh, Usual};
use super::{Alone, Host, Loaded, Overrides, bootstrap, hosts, http, notify, power, remedies, shutdown, storage, text, update};

pub(super) const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);

const NODE: &str = "a node name: lower case letters, digits, '-' and '.', at most 253";
const BRANCH: &str = "a branch name, such as main";

/// `None` only where a value that nothing can stand in for is missing; then a problem says so.
pub(crate) fn build(reader: &mut Reader<'_>, file: &Path, host: &Host, overrides: &Overrides) -> Option<Loaded> {
    let mut warnings = Vec::new();
    let paths =
        Paths { base: file.parent().unwrap_or(Path::new("")), home: host.env.get("HOME").filter(|home| !home.is_empty()) };
    let members = members(reader, &mut warnings);
    let known = Known { nodes: &members.all(), ignored: &members.ignored };
    let mut usual = Usual::read(reader, &paths);
    let transports = hosts::transports(reader, &known);
    let mut routes = ssh::routes(reader, &known, &mut usual);
    // Nobody can connect where there is no SSH.
    routes.retain(|node, _| transports.get(node) != Some(&Transport::None));
    let peers = hosts::peers(reader, &mut usual, &host.name);
    usual.tell(reader, &paths, &mut warnings);
    let power = power::read(reader, &known, &paths, &mut warnings);
    warnings.extend(power::switched_off(&power.spec, &routes, &host.name));
    let mut nodes = nodes(reader, &members, &known, &routes, &transports);
    nodes.iter_mut().for_each(|(name, node)| node.wake = power.macs.get(name).cloned());
    let checks = http::read(reader, &paths, &mut warnings);
    let role = |text: &str| role(text, overrides.allow_peer_startup);
    let shutdown = shutdown::read(reader, overrides);
    let needs = storage::read(reader);
    let (bootstrap, image_archives) = bootstrap::read(reader, &paths);
    let listen = notify::listen(reader, &mut warnings);
    let notify = notify::read(reader, &paths, &mut warnings);
    let spec = Spec {
        holder: host.name.clone(),
        role: reader.key("coordination.role", "coordinator or peer", role).unwrap_or(Role::Coordinator),
        distribution: members.distribution,
        nodes,
        ignored: members.ignored.clone(),
        power: power.spec,
        minimum_charge_percent: reader
            .number("minimum_charge_percent", 0..=100)
            .and_then(|n| u8::try_from(n).ok())
            .unwrap_or(100),
        allow_on_battery: reader.flag("coordination.allow_startup_on_battery").unwrap_or_default(),
        guard_wait: reader.duration("guard_wait", Duration::ZERO..=DAY).unwrap_or_default(),
        intent_max_age: Duration::from_secs(
            reader.number("coordination.startup_guard_max_age_seconds", 60..=2_592_000).unwrap_or_default(),
        ),
        flux: flux(reader, overrides),
        required_namespaces: texts(reader, "required_namespaces", "a namespace", |text| {
            text::is_label(text).then(|| text.into())
        }),
        required_workloads: reader.list("required_workloads", WORKLOAD, text::workload),
        ingress: checks.ingress,
        services: checks.services,
        unit_grace: reader.duration("startup.unit_grace", Duration::ZERO..=DAY).unwrap_or_default(),
        soak: reader.duration("startup.soak", Duration::ZERO..=DAY).unwrap_or_default(),
        poll: reader.duration("poll", Duration::from_millis(100)..=5 * MINUTE).unwrap_or_default(),
        cordon_window: reader.duration("recovery.cordon_window", 5 * SECOND..=DAY).unwrap_or_default(),
        max_cordons: size(reader, "recovery.max_cordons", 1000),
        repair_after: reader.duration("recovery.restart_after", SECOND..=DAY).unwrap_or_default(),
        wake_after: reader.duration("power.wake_after", SECOND..=DAY).unwrap_or_default(),
        ignored_servers: members.servers.iter().filter(|node| members.ignored.contains(node)).count(),
        deadlines: deadlines(reader),
        drain: DrainSpec {
            skip: overrides.skip_drain,
            batch: size(reader, "drain.batch", 1000),
            concurrency: size(reader, "drain.concurrency", 1000),
            patience: reader.duration("drain.patience", Duration::ZERO..=DAY).unwrap_or_default(),
        },
        peers: peers.keys().cloned().collect(),
        time_sync: hosts::time_sync(reader, members.servers.len()),
        storage: needs.storage,
        vault: checks.vault,
        foundation: needs.foundation,
        critical_services: needs.critical_services,
        bootstrap,
        remedies: remedies::read(reader),
        shutdown: shutdown.spec,
    };
    let kubeconfig = reader.require("kubeconfig", "path of a kubeconfig, such as /etc/rancher/k3s/k3s.yaml");
    let kubeconfig = kubeconfig.and_then(|found| paths.read(reader, &found));
    let api_servers = reader.list("api_servers", API_SERVER, text::api_server);
    let state_dir = paths.key(reader, "state_dir");
    let agent = host.env.get("SSH_AUTH_SOCK").filter(|socket| !socket.is_empty()).map(PathBuf::from);
    let ssh = Ssh { routes, peers, agent, pins: ssh::pins(reader, &known) };
    let poweroff_this_host = shutdown.poweroff_this_host;
    let alone = Alone {
        shutdown: reader.flag("coordination.fallback_local_shutdown").unwrap_or_default(),
        startup: reader.flag("coordination.auto_peer_failover").unwrap_or_default(),
    };
    let update = update::read(reader, &paths, &ssh, &mut warnings);
    let (kubeconfig, state_dir, wol_address) = (kubeconfig?, state_dir?, power.wol_address?);
    Some(Loaded {
        spec,
        kubeconfig,
        api_servers,
        state_dir,
        ssh,
        image_archives,
        http: checks.http,
        nut: power.nut,
        wol_address,
        poweroff_this_host,
        alone,
        listen,
        notify,
        update,
        warnings,
    })
}

fn role(text: &str, allow_startup: bool) -> Option<Role> {
    match text {
        "coordinator" => Some(Role::Coordinator),
        "peer" => Some(Role::Peer { allow_startup }),
        _ => None,
    }
}

/// The nodes by role, before anything is known of them.
struct Members {
    distribution: Distribution,
    servers: Vec<NodeName>,
    workers: Vec<NodeName>,
    ignored: Vec<NodeName>,
}

impl Members {
    /// Nodes that Ananke works with.
    fn all(&self) -> BTreeSet<NodeName> {
        self.servers.iter().chain(&self.workers).filter(|node| !self.ignored.contains(node)).cloned().collect()
    }
}

fn members(reader: &mut Reader<'_>, warnings: &mut Vec<String>) -> Members {
    let parse = |text: &str| NodeName::parse(text).ok();
    let given = reader.require("control_planes", "the names of the servers, such as [titan-01, titan-02, titan-03]");
    let servers = reader.list("control_planes", NODE, parse);
    let workers = reader.list("workers", NODE, parse);
    let ignored = reader.list("ignore_nodes", NODE, parse);
    if let Some(found) = given
        && matches!(found.value, Value::Array(_, items) if items.is_empty())
    {
        reader.wrong(&found, "the names of at least one server");
    }
    for found in reader.items_if_list("workers") {
        if found.value.as_str().and_then(parse).is_some_and(|node| servers.contains(&node)) {
            reader.problem(&found, "the node is in control_planes too; allowed: one of the two");
        }
    }
    let acting = servers.iter().filter(|node| !ignored.contains(node)).count();
    if !servers.is_empty() && acting == 0 {
        reader.problem_at("ignore_nodes", "every server is ignored; allowed: at least one that is not");
    }
    if servers.len() > 1 && servers.len().is_multiple_of(2) {
        let one_less = servers.len().saturating_sub(1);
        warnings.push(format!("{} servers bear no more failures than {one_less} do: etcd wants an odd number", servers.len()));
    }
    if acting < servers.len() {
        warnings.push("an ignored server still counts as a member of etcd: its quorum is counted without it here".to_owned());
    }
    let distribution = reader.key("distribution", "k3s or kubeadm", |text| match text {
        "k3s" => Some(Distribution::K3s),
        "kubeadm" => Some(Distribution::Kubeadm),
        _ => None,
    });
    Members { distribution: distribution.unwrap_or_default(), servers, workers, ignored }
}

fn nodes(
    reader: &mut Reader<'_>,
    members: &Members,
    known: &Known<'_>,
    routes: &BTreeMap<NodeName, Route>,
    transports: &BTreeMap<NodeName, Transport>,
) -> BTreeMap<NodeName, NodeSpec> {
    const UNIT: &str = "a systemd unit: letters, digits, '-', '_', '.', '@' and ':'";
    const PLACE: &str = "a text of at most 200 characters";
    let unit = |text: &str| UnitName::parse(text).ok();
    let mut unit_of = |key: &str, role| reader.key(key, UNIT, unit).or_else(|| unit(members.distribution.unit(role)));
    let server_unit = unit_of("server_unit", NodeRole::Server);
    let worker_unit = unit_of("worker_unit", NodeRole::Worker);
    let place = |text: &str| (text.chars().count() <= 200 && !text.chars().any(char::is_control)).then(|| text.to_owned());
    let locations = ssh::by_node(reader, "node_locations", PLACE, known, place);
    let needs = Needs::read(reader, known);
    let (Some(server_unit), Some(worker_unit)) = (server_unit, worker_unit) else { return BTreeMap::new() };
    let spec = |node: &NodeName| {
        let (role, unit) =
            if members.servers.contains(node) { (NodeRole::Server, &server_unit) } else { (NodeRole::Worker, &worker_unit) };
        let location = locations.get(node).cloned().unwrap_or_default();
        let transport = transports.get(node).copied().unwrap_or_default();
        let (target, needs) = (routes.get(node).map(|route| route.login.target.clone()), needs.of(node));
        NodeSpec { role, unit: unit.clone(), target, transport, wake: None, location, needs }
    };
    known.nodes.iter().map(|node| (node.clone(), spec(node))).collect()
}

fn flux(reader: &mut Reader<'_>, overrides: &Overrides) -> FluxSpec {
    const SOURCE: &str = "namespace/name of a GitRepository";
    const URL: &str = "an http://, https:// or ssh:// URL";
    let source = reader.key("flux_source", SOURCE, |text| text::object(Kind::GitRepository, text));
    let force_branch = overrides.force_flux_branch.as_deref();
    if let Some(name) = force_branch
        && text::branch(name).is_none()
    {
        reader.flag_problem("--force-flux-branch", name, BRANCH);
    }
    FluxSpec {
        source: source.unwrap_or_else(|| ananke_core::name::ObjectRef::new(Kind::GitRepository, "flux-system", "flux-system")),
        expected_url: reader.key("expected_flux_source_url", URL, text::source_url).map(Arc::from),
        expected_branch: reader.key("expected_flux_branch", BRANCH, text::branch).map(Arc::from),
        force_branch: force_branch.map(Arc::from),
        required: reader.list("required_kustomizations", "namespace/name", |text| text::object(Kind::Kustomization, text)),
    }
}

const API_SERVER: &str = "https:// addresses without a path, such as https://10.0.0.12:6443";
const WORKLOAD: &str = "Kind namespace/name, where Kind is Deployment, StatefulSet or DaemonSet";

fn deadlines(reader: &mut Reader<'_>) -> BTreeMap<GateId, Duration> {
    let gate = |gate: &GateId| Some((*gate, reader.duration(&child("deadlines", gate.id()), SECOND..=DAY)?));
    GateId::ALL.iter().filter_map(gate).collect()
}

fn texts(reader: &mut Reader<'_>, path: &str, allowed: &str, parse: impl Fn(&str) -> Option<Arc<str>>) -> Vec<Arc<str>> {
    reader.list(path, allowed, parse)
}

fn size(reader: &mut Reader<'_>, path: &str, most: u64) -> usize {
    reader.number(path, 1..=most).and_then(|number| usize::try_from(number).ok()).unwrap_or(1)
}

/// What paths in the config are relative to.
pub(crate) struct Paths<'p> {
    base: &'p Path,
    pub(crate) home: Option<&'p String>,
}

impl Paths<'_> {
    pub(crate) fn key(&self, reader: &mut Reader<'_>, key: &str) -> Option<PathBuf> {
        let found = reader.get(key)?;
        self.read(reader, &found)
    }

    pub(crate) fn read<'a>(&self, reader: &mut Reader<'a>, found: &Found<'a>) -> Option<PathBuf> {
        let home = self.home;
        reader.parsed(found, "a path; ~/ needs HOME", |text| match text.strip_prefix("~/") {
            Some(rest) => home.map(|home| Path::new(home).join(rest)),
            None => (!text.is_empty() && !text.contains('\0')).then(|| self.base.join(text)),
        })
    }
}
