//! The registry of all keys: path, shape, default, meaning. The defaults layer, the check for unknown keys and the
//! reference file all come from it, so they cannot disagree.

use Shape::{Duration, Flag, List, Map, Number, Text};

/// What a key holds. In the environment, `Text` and `Duration` are taken literally, the others are read as YAML.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Text,
    Duration,
    Number,
    Flag,
    List,
    /// Its keys are names that the operator chooses.
    Map,
}

#[derive(Debug)]
pub(crate) struct Key {
    /// Groups and key, joined by dots.
    pub(crate) path: &'static str,
    pub(crate) shape: Shape,
    pub(crate) value: Value,
    pub(crate) doc: &'static str,
}

/// YAML, as it would stand in the file.
#[derive(Debug)]
pub(crate) enum Value {
    Default(&'static str),
    /// No default, must be given.
    Required(&'static str),
    /// No default, may be left out.
    Example(&'static str),
}

/// Groups of keys and what they are about, in the order of the reference file.
pub(crate) const GROUPS: &[(&str, &str)] = &[
    ("coordination", "Which Ananke acts, and what keeps a start-up from beginning."),
    ("startup", "What must be true before a start-up is called done."),
    ("ingress", "How the ingress hosts of the cluster are checked from outside."),
    ("storage", "Which volumes a start-up waits for."),
    ("recovery", "Brakes on Ananke's own cordons."),
    ("bootstrap", "What is kept for a cluster that waits for itself: Git or the registry runs in it, and is needed to start it."),
    ("nut", "How upsd is spoken to."),
    ("power", "What follows from the batteries, and how hosts that stay dark are switched on."),
    ("daemon", "What `ananke daemon` shows, and how often it tells something."),
    ("drain", "How nodes are emptied before a shutdown."),
    ("shutdown", "How the cluster is stopped."),
    ("update", "Where `ananke update` gets a new Ananke from, and what must hold before it is taken."),
    ("deadlines", "Patience of each gate and phase, counted from when what it requires had passed."),
];

/// Keys of one entry of `startup.post_start_probes`.
pub(crate) const PROBE_KEYS: &[&str] =
    &["name", "url", "method", "accepted_statuses", "redirect", "headers", "body", "ca_file", "resolve"];

/// Keys of one entry of `ups`.
pub(crate) const UPS_KEYS: &[&str] = &["name", "feeds"];

/// Keys of one entry of `notify`; each has one of the first three.
pub(crate) const NOTIFY_KEYS: &[&str] = &["ntfy", "webhook", "command", "token_file", "ca_file"];

const ANSWERS: &str = "[200, 204, 301, 302, 303, 307, 308, 401, 403]";

pub(crate) const KEYS: &[Key] = &[
    required(
        "kubeconfig",
        Text,
        "/etc/rancher/k3s/k3s.yaml",
        "Access to the API server. Relative paths are relative to this file; ~/ is $HOME.",
    ),
    maybe(
        "api_servers",
        List,
        "[\"https://10.0.0.12:6443\", \"https://10.0.0.13:6443\"]",
        "Other servers of that API, for when the one in the kubeconfig is not well: https:// and an address that their certificate has.",
    ),
    with("state_dir", Text, "/var/lib/ananke", "Ananke's own durable state. Elsewhere, both units need ReadWritePaths= for it."),
    required("control_planes", List, "[titan-01, titan-02, titan-03]", "Kubernetes names of the servers."),
    maybe("workers", List, "[titan-11, titan-12]", "Kubernetes names of the workers."),
    maybe("ignore_nodes", List, "[titan-12]", "Nodes that are left out on purpose; every report lists them."),
    with(
        "distribution",
        Text,
        "k3s",
        "k3s or kubeadm. With kubeadm, the hosts need containerd and /usr/bin/crictl, and servers etcdctl and etcdutl in /usr/local/bin.",
    ),
    maybe("server_unit", Text, "k3s", "systemd unit on servers; without it k3s, with kubeadm kubelet."),
    maybe("worker_unit", Text, "k3s-agent", "systemd unit on workers; without it k3s-agent, with kubeadm kubelet."),
    maybe("node_locations", Map, "{titan-01: \"rack 1, shelf 2\"}", "Where a box stands, for the person who must touch it."),
    maybe("required_mounts", List, "[/var/lib/longhorn]", "Paths that must be mounted read-write on every host."),
    maybe("required_packages", List, "[open-iscsi]", "Packages that must be installed on every host, by dpkg's names."),
    maybe("required_units", List, "[iscsid]", "systemd units that must be active on every host."),
    maybe(
        "node_required_mounts",
        Map,
        "{titan-11: [/var/lib/longhorn]}",
        "Paths that must be mounted read-write on single hosts, besides those of required_mounts.",
    ),
    maybe(
        "remedies",
        Map,
        "{nfs-stale-or-hung: {mode: ask}, crashloop-backoff-lag: {budget: 0}, kubelet-wedged: {enabled: false}}",
        "Repairs that are wanted otherwise, by the trap as `ananke drill --list` names it: mode is auto (the default), ask (it is told, and left to you) or off, enabled: false is mode: off, and budget is how often at most at one object, where that is less than docs/traps.md has. flux-immutable-field takes a finished Job only where the Job is labelled for it; mode: auto, written down, says so of all Jobs.",
    ),
    maybe(
        "ups",
        List,
        "[{name: rack-a@titan-db, feeds: [titan-01, titan-02, titan-11]}, {name: rack-b@titan-db, feeds: [titan-03, titan-11]}]",
        "UPSes as NUT writes them, name@host or name@host:port, and the nodes that each feeds; without feeds: all. A node with several runs on any of them.",
    ),
    with(
        "runtime_safety_factor",
        Number,
        "2",
        "A shutdown on battery begins when the runtime is less than so many times what a shutdown takes.",
    ),
    with("default_budget_seconds", Number, "300", "What a shutdown takes; those before count where they took longer."),
    with("minimum_charge_percent", Number, "30", "A start-up waits for this charge of every UPS, 0 to 100."),
    with(
        "guard_wait",
        Duration,
        "10m",
        "Longest wait for what is normally away just after an outage: a peer, a upsd, the charge.",
    ),
    with("poll", Duration, "2s", "Time between two looks at the same part of the cluster, 100ms to 5m."),
    maybe(
        "ssh_config_file",
        Text,
        "~/.ssh/config",
        "A file as ssh has it. Of its Host blocks, by the names of nodes and peers: HostName, Port, User, IdentityFile, UserKnownHostsFile and ProxyJump (one host). What is set here wins over it.",
    ),
    with("ssh_user", Text, "root", "User on the nodes."),
    with("ssh_port", Number, "22", "SSH port of nodes whose entry in ssh_node_hosts names none."),
    maybe(
        "ssh_identity_file",
        Text,
        "~/.ssh/id_ed25519",
        "Private key for the nodes, readable by its owner only; one with a passphrase is used through the SSH agent. Without it: the agent's keys, at SSH_AUTH_SOCK.",
    ),
    maybe(
        "ssh_known_hosts_file",
        Text,
        "~/.ssh/known_hosts",
        "Host keys that are trusted; this one by default. Others may not be able to write it.",
    ),
    maybe(
        "ssh_node_hosts",
        Map,
        "{titan-01: 10.0.0.11, titan-02: \"10.0.0.12:2222\", titan-03: \"[fd00::3]:22\"}",
        "Addresses of nodes that are not reached by their own name: host, host:port or [v6]:port.",
    ),
    maybe(
        "ssh_node_transport",
        Map,
        "{titan-12: none}",
        "ssh or none for single nodes: none where the system has no SSH, such as Talos. The API alone judges such a node, and what would be done on its host is left to a person.",
    ),
    maybe(
        "ssh_managed_nodes",
        List,
        "[titan-01, titan-02, titan-03]",
        "The nodes that have SSH; without it all. Those that it leaves out are as with ssh_node_transport none, which wins where both name a node.",
    ),
    maybe("ssh_node_users", Map, "{titan-01: atlas}", "Users of single nodes."),
    maybe(
        "ssh_node_fingerprints",
        Map,
        "{titan-01: \"SHA256:T7SvZ2cslqpPj6nKzitCBHHlpVF3r3MvLwmFL0fk0IE\"}",
        "Host keys of single nodes, as `ssh-keygen -lf` prints them: of the ed25519 key where the node has one. The known hosts are not asked about these nodes.",
    ),
    maybe(
        "ssh_jump_host",
        Text,
        "bastion.example.org:22",
        "A host that the nodes are reached through: host, host:port or [v6]:port. Where it does not answer or forward, they are reached directly.",
    ),
    maybe("ssh_jump_user", Text, "atlas", "User on the jump host; ssh_user by default."),
    with("flux_source", Text, "flux-system/flux-system", "namespace/name of the GitRepository that all else comes from."),
    maybe("expected_flux_source_url", Text, "ssh://git@git.example.org/atlas/cluster.git", "URL that the source must have."),
    maybe("expected_flux_branch", Text, "main", "Branch that the source must have."),
    maybe(
        "required_kustomizations",
        List,
        "[flux-system/core]",
        "namespace/name of Kustomizations that must be ready; none named: all.",
    ),
    maybe("required_namespaces", List, "[core]", "Namespaces that must exist."),
    maybe(
        "required_workloads",
        List,
        "[Deployment core/gitea]",
        "Kind namespace/name of Deployments, StatefulSets and DaemonSets that must converge; none named: all.",
    ),
    maybe(
        "notify",
        List,
        "[{ntfy: \"https://ntfy.example.org/ananke\", token_file: /etc/ananke/ntfy-token}, {webhook: \"https://alerts.example.org/ananke\"}, {command: [/usr/local/sbin/tell, --from, ananke]}]",
        "Who is told of outages, of runs that begin and end, and of what a person must do: a topic of ntfy, a URL that takes JSON by POST, a program run without a shell (the notice on its standard input, its title as the last argument). Nothing of these may need the cluster. token_file holds a token that goes along, for its owner only; ca_file holds CA certificates that are trusted besides the system's.",
    ),
    with("coordination.role", Text, "coordinator", "coordinator, or peer: a peer starts nothing unless told to."),
    maybe(
        "coordination.peer_hosts",
        List,
        "[tethys, \"atlas@10.0.0.3:2222\"]",
        "Other machines with an Ananke for this cluster: name, user@name or user@name:port. A shutdown under way there keeps a start-up from beginning here.",
    ),
    with(
        "coordination.fallback_local_shutdown",
        Flag,
        "true",
        "Whether the daemon of a peer shuts the cluster down by itself when its power ends and no other Ananke takes it on.",
    ),
    with(
        "coordination.auto_peer_failover",
        Flag,
        "false",
        "Whether the daemon of a peer starts the cluster by itself when its power is back and no other Ananke answers for guard_wait.",
    ),
    with("coordination.allow_startup_on_battery", Flag, "false", "Start although a UPS is on battery."),
    with(
        "coordination.startup_guard_max_age_seconds",
        Number,
        "21600",
        "A shutdown intent older than this no longer blocks a start-up.",
    ),
    with(
        "startup.time_sync_mode",
        Text,
        "strict",
        "strict: the clock of every host must be in step and follow a source; quorum: those of enough servers, the others are reported.",
    ),
    maybe("startup.time_sync_quorum", Number, "2", "Servers whose clocks must be in step in mode quorum; a majority by default."),
    with("startup.require_post_start_probes", Flag, "true", "Whether the probes must answer before a start-up is done."),
    maybe(
        "startup.post_start_probes",
        List,
        "[\"https://git.example.org/\", {name: registry, url: \"https://registry.example.org/v2/\", accepted_statuses: [401], headers: {www-authenticate: Bearer}}, {name: sso, url: \"https://sso.example.org/realms/atlas/.well-known/openid-configuration\", body: issuer}, {name: storage, url: \"https://longhorn.example.org/\", redirect: \"https://sso.example.org/\", resolve: \"10.0.0.200:443\"}]",
        "The service checklist: a URL, or an entry with url, name, method (GET or HEAD), accepted_statuses (by default those of ingress), redirect (how Location begins), headers (each with a text that it contains, \"\" if it must only be there), body (texts that stand in its first 64 KiB), ca_file and resolve (host:port instead of ingress.address).",
    ),
    with(
        "startup.unit_grace",
        Duration,
        "60s",
        "Time that a booted node has to start its unit by itself; after that Ananke starts it.",
    ),
    with(
        "startup.require_storage_ready",
        Flag,
        "true",
        "Whether CSI drivers, volumes and claims must be usable before a start-up is done.",
    ),
    maybe(
        "startup.foundation_workloads",
        List,
        "[StatefulSet databases/postgres]",
        "What the Flux source, the registry and Vault stand on, beside the workloads that are found behind their host names.",
    ),
    maybe(
        "startup.critical_services",
        List,
        "[kube-system/traefik]",
        "namespace/name of Services that must have ready endpoints; none named: those behind the checked ingress hosts.",
    ),
    with("startup.soak", Duration, "60s", "How long everything must hold, at most 24h."),
    maybe(
        "startup.vault_address",
        Text,
        "https://vault.example.org",
        "Vault, whose seal is looked at; a name without a port is taken to be at ingress.address, where that is set.",
    ),
    maybe(
        "startup.vault_ca_file",
        Text,
        "/etc/ananke/vault-ca.pem",
        "CA certificates that are trusted for Vault besides the system's; ingress.ca_file by default.",
    ),
    maybe(
        "startup.vault_unseal_key_file",
        Text,
        "/etc/ananke/vault-keys",
        "Key shares that unseal Vault, one on each line; readable by its owner only.",
    ),
    maybe(
        "startup.vault_unseal_breakglass_command",
        List,
        "[/usr/local/sbin/vault-keys, --from, safe]",
        "A program with its arguments, run without a shell where the key file is missing or does not fit. It must end within a minute; what it prints is taken for key shares, one on each line, and if it prints nothing, it is taken to have unsealed Vault itself.",
    ),
    maybe(
        "ingress.address",
        Text,
        "10.0.0.200:443",
        "host:port that every ingress host is taken to be at; without it DNS is asked.",
    ),
    maybe(
        "ingress.scheme",
        Text,
        "https",
        "http or https, whatever the Ingress says; without it https where the Ingress has TLS for the host.",
    ),
    maybe(
        "ingress.ca_file",
        Text,
        "/etc/ananke/ca.pem",
        "CA certificates that are trusted for all checks besides the system's; others may not be able to write the file.",
    ),
    maybe("ingress.include", List, "[git.example.org]", "The only hosts that are checked; none named: all that Ingresses name."),
    maybe("ingress.exclude", List, "[old.example.org]", "Hosts that are not checked."),
    with("ingress.accepted_statuses", List, ANSWERS, "Statuses that prove that the service behind a host answers."),
    maybe("ingress.accepted_by_host", Map, "{api.example.org: [404]}", "Statuses of single hosts, instead."),
    maybe(
        "storage.drivers",
        List,
        "[driver.longhorn.io]",
        "CSI drivers that must register on every node; none named: those that a node is seen to use.",
    ),
    maybe(
        "storage.required_claims",
        List,
        "[databases/data-postgres-0]",
        "Claims that must be usable; none named: all that are bound.",
    ),
    with("recovery.cordon_window", Duration, "1h", "A cordon is given back or marked for a person within this time, 5s to 24h."),
    with("recovery.max_cordons", Number, "3", "Cordons at once for repairs."),
    with(
        "recovery.restart_after",
        Duration,
        "3m",
        "A node whose host runs is silent or not Ready for this long before its agent is restarted.",
    ),
    maybe(
        "nut.user",
        Text,
        "ananke",
        "User of upsd.users with `upsmon secondary`: after FSD, upsd's primary waits HOSTSYNC seconds for who is logged in. Its upsmon.conf says 15 where it says nothing: a shutdown needs more.",
    ),
    maybe(
        "nut.password_file",
        Text,
        "/etc/ananke/nut-password",
        "Its password, in the first line of a file that only its owner can use.",
    ),
    maybe("nut.ca_file", Text, "/etc/ananke/nut-ca.pem", "Certificates that verify upsd; with them nothing is said without TLS."),
    with("power.charge_floor_percent", Number, "20", "On battery, a shutdown begins at this charge, whatever the runtime."),
    with("power.debounce", Duration, "15s", "On battery for less is no outage; on line for less does not end one."),
    with("power.hold_off", Duration, "2m", "Mains are back for this long before the daemon starts what power had stopped."),
    with(
        "power.max_outages",
        Number,
        "3",
        "So many outages within power.outage_window, and a person decides when to start again.",
    ),
    with("power.outage_window", Duration, "1h", ""),
    with(
        "power.shutdown_mode",
        Text,
        "cluster-only",
        "What the daemon does when batteries end: cluster-only, or poweroff, which switches the hosts off too, workers first. Ananke's own host stays on. Hosts that are off come back by power.wol_mac or by their firmware.",
    ),
    maybe(
        "power.needs_all_supplies",
        List,
        "[titan-11]",
        "Nodes with several UPSes that need all of them; the others run on any.",
    ),
    maybe(
        "power.wol_mac",
        Map,
        "{titan-01: \"52:54:00:12:34:56\"}",
        "Network cards of hosts that Wake-on-LAN switches on. Try it while all is well: the firmware must allow it, and the card must keep it (`ethtool CARD` says `Wake-on: g`).",
    ),
    with(
        "power.wol_address",
        Text,
        "255.255.255.255:9",
        "Where magic packets go: the broadcast address of the hosts' network, where it is not that of this machine's first route.",
    ),
    with(
        "power.wake_after",
        Duration,
        "2m",
        "A host that has been dark for this long is woken, and once more after twice as long.",
    ),
    with(
        "daemon.listen",
        Text,
        "127.0.0.1:10477",
        "Where the status page, /metrics and /healthz are served, without a password: an address with its port (0: any that is free), or none.",
    ),
    with(
        "daemon.notices_per_hour",
        Number,
        "20",
        "More than so many are held back, and summed up in the next one; a quarter is kept for alarms.",
    ),
    with(
        "bootstrap.wait",
        Duration,
        "3m",
        "How long a workload of a layer, or an image of the cluster's own registry, is missed before what is kept is used; the mirror has three times as long.",
    ),
    maybe(
        "bootstrap.layers",
        List,
        "[flux-system/infrastructure, flux-system/gitea]",
        "Kustomizations whose objects are kept on every healthy day, in the order in which what is absent of them is made again. Secrets are not kept.",
    ),
    maybe(
        "bootstrap.mirror_url",
        Text,
        "ssh://git@nas.lan/atlas/titan.git",
        "A mirror of the Git repository outside the cluster, from which Flux fetches while its source cannot be had.",
    ),
    maybe(
        "bootstrap.image_archives",
        Text,
        "/var/lib/ananke/images",
        "Directory of archives of images, as `docker save` and `ctr images export` write them: NAME.tar, not compressed.",
    ),
    with("drain.batch", Number, "5", "Nodes drained at once."),
    with("drain.concurrency", Number, "32", "Evictions and deletions that are under way at once."),
    with("drain.patience", Duration, "2m", "How long a pod may refuse eviction before it is deleted with its grace period."),
    with("shutdown.etcd_snapshot", Flag, "true", "Save etcd before anything is stopped, and check the snapshot."),
    with("shutdown.concurrency", Number, "16", "Hosts that are stopped, cleaned or powered off at once."),
    with(
        "shutdown.poweroff_this_host",
        Flag,
        "false",
        "With --mode poweroff, the host that Ananke runs on goes off too, when all else is done and the report is written.",
    ),
    maybe(
        "update.remote",
        Text,
        "https://git.example.org/atlas/ananke.git",
        "Git repository of Ananke: an https:// or ssh:// URL without a password, user@host:path, or a whole path on this machine.",
    ),
    with("update.branch", Text, "main", "Branch that is followed."),
    with(
        "update.directory",
        Text,
        "/var/cache/ananke/source",
        "Where it is fetched to and built; nothing else may be kept there.",
    ),
    with(
        "update.user",
        Text,
        "ananke",
        "Whom Git, the build and the gate run as, where root updates: what is fetched is not root's.",
    ),
    with(
        "update.build",
        List,
        "[cargo, build, --profile, dist, --locked, -p, ananke-cli]",
        "Builds it: a program and its arguments, without a shell.",
    ),
    with("update.gate", List, "[cargo, xtask, quality-gate]", "What a new commit must pass before it is taken."),
    with("update.binary", Text, "target/dist/ananke", "What the build makes, in update.directory."),
    with("update.program", Text, "/usr/local/bin/ananke", "What it replaces; the one before stays beside it as ananke.previous."),
    with(
        "update.settle",
        Duration,
        "10s",
        "The daemon must run for so long after its restart, or the program before is put back.",
    ),
    with("update.log", Text, "/var/log/ananke/update.log", "Every step of every update, and what came of it."),
    with("deadlines.guards", Duration, "10m", ""),
    with("deadlines.inventory", Duration, "1m", ""),
    with("deadlines.node-ssh", Duration, "10m", ""),
    with("deadlines.host-health", Duration, "10m", ""),
    with("deadlines.control-plane", Duration, "15m", ""),
    with("deadlines.nodes-ready", Duration, "10m", ""),
    with("deadlines.dns-cni", Duration, "10m", ""),
    with("deadlines.storage", Duration, "15m", ""),
    with("deadlines.secrets", Duration, "10m", ""),
    with("deadlines.foundation", Duration, "20m", ""),
    with("deadlines.flux-source", Duration, "15m", ""),
    with("deadlines.kustomizations", Duration, "30m", ""),
    with("deadlines.workloads", Duration, "20m", ""),
    with("deadlines.ingress", Duration, "10m", ""),
    with("deadlines.services", Duration, "10m", ""),
    with("deadlines.endpoints", Duration, "10m", ""),
    with("deadlines.soak", Duration, "30m", ""),
    with("deadlines.intent-recorded", Duration, "1m", ""),
    with("deadlines.flux-suspended", Duration, "2m", ""),
    with("deadlines.etcd-snapshot", Duration, "2m", ""),
    with("deadlines.cordoned", Duration, "2m", ""),
    with("deadlines.drained", Duration, "10m", ""),
    with("deadlines.volumes-detached", Duration, "2m", ""),
    with("deadlines.workers-stopped", Duration, "5m", ""),
    with("deadlines.pods-stopped", Duration, "5m", ""),
    with("deadlines.cordons-released", Duration, "2m", ""),
    with("deadlines.servers-stopped", Duration, "5m", ""),
    with("deadlines.powered-off", Duration, "5m", ""),
];

pub(crate) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// Names that may stand directly in `group`; the top level is the empty group.
pub(crate) fn names_in(group: &str) -> Vec<&'static str> {
    let own = KEYS.iter().filter_map(|key| match key.path.split_once('.') {
        Some((of, name)) if of == group => Some(name),
        None if group.is_empty() => Some(key.path),
        Some(_) | None => None,
    });
    own.chain(GROUPS.iter().filter(|_| group.is_empty()).map(|(name, _)| *name)).collect()
}

/// A commented file with every key: those with a default carry it, those without stand as a comment.
pub(crate) fn reference() -> String {
    let mut out = String::from(
        "# Ananke's configuration: every key, with its default. Where there is none, an example stands as a comment.\n\
         # Any key can be set from the environment too: ANANKE_CONFIG__STARTUP__SOAK=90s.\n",
    );
    for key in KEYS.iter().filter(|key| !key.path.contains('.')) {
        entry(&mut out, "", key.path, key);
    }
    for (group, doc) in GROUPS {
        out.push_str(&format!("\n# {doc}\n{group}:\n"));
        for key in KEYS {
            if let Some((of, name)) = key.path.split_once('.')
                && of == *group
            {
                entry(&mut out, "  ", name, key);
            }
        }
    }
    out
}

fn entry(out: &mut String, indent: &str, name: &str, key: &Key) {
    let doc = if key.doc.is_empty() { String::new() } else { format!("{indent}# {}\n", key.doc) };
    let (mark, value) = match key.value {
        Value::Default(value) => ("", value),
        Value::Required(value) => ("", value),
        Value::Example(value) => ("#", value),
    };
    out.push_str(&format!("{doc}{indent}{mark}{name}: {value}\n"));
}

const fn with(path: &'static str, shape: Shape, default: &'static str, doc: &'static str) -> Key {
    Key { path, shape, value: Value::Default(default), doc }
}

const fn required(path: &'static str, shape: Shape, example: &'static str, doc: &'static str) -> Key {
    Key { path, shape, value: Value::Required(example), doc }
}

const fn maybe(path: &'static str, shape: Shape, example: &'static str, doc: &'static str) -> Key {
    Key { path, shape, value: Value::Example(example), doc }
}
