//! SSH settings as plain data: which node is where, who we are, whom we trust.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use ananke_core::name::NodeName;
use ananke_core::spec::SshTarget;
use ananke_ssh::Pin;

use super::error::suggest;
use super::reader::Reader;
use super::text;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ssh {
    /// Every expected node.
    pub targets: BTreeMap<NodeName, SshTarget>,
    /// Other Anankes, by their names in the config; each host is a valid node name.
    pub peers: BTreeMap<Arc<str>, SshTarget>,
    /// None: the keys of the SSH agent.
    pub identity_file: Option<PathBuf>,
    /// `SSH_AUTH_SOCK`
    pub agent: Option<PathBuf>,
    pub known_hosts: PathBuf,
    pub pins: BTreeMap<NodeName, Pin>,
    /// For the nodes; peers are reached directly.
    pub jump: Option<SshTarget>,
}

/// What is known of the names that maps by node may use.
pub(crate) struct Known<'n> {
    pub(crate) nodes: &'n BTreeSet<NodeName>,
    pub(crate) ignored: &'n [NodeName],
}

const HOST: &str = "host, host:port or [v6]:port (the user stands in ssh_node_users)";
const JUMP: &str = "host, host:port or [v6]:port (the user stands in ssh_jump_user)";
const USER: &str = "a user name: letters, digits, '-', '_' and '.', at most 32";

impl Known<'_> {
    /// The node of this name, or what is wrong with it.
    pub(crate) fn node(&self, name: &str) -> Result<NodeName, String> {
        let is_known = |node: &NodeName| self.nodes.contains(node) || self.ignored.contains(node);
        NodeName::parse(name).ok().filter(is_known).ok_or_else(|| {
            let hint = suggest(name, self.nodes.iter().map(NodeName::as_str));
            format!("no such node in control_planes, workers or ignore_nodes{hint}")
        })
    }
}

/// Who we are where nothing else is said.
pub(crate) struct Usual {
    pub(crate) user: String,
    pub(crate) port: u16,
}

pub(crate) fn usual(reader: &mut Reader<'_>) -> Usual {
    Usual {
        user: reader.key("ssh_user", USER, text::user).unwrap_or_default(),
        port: reader.number("ssh_port", 1..=65535).and_then(|port| u16::try_from(port).ok()).unwrap_or_default(),
    }
}

/// Address and user of each node; a node without an entry is reached by its own name.
pub(crate) fn targets(reader: &mut Reader<'_>, known: &Known<'_>, usual: &Usual) -> BTreeMap<NodeName, SshTarget> {
    let Usual { user, port } = usual;
    let hosts = by_node(reader, "ssh_node_hosts", HOST, known, text::host_and_port);
    let users = by_node(reader, "ssh_node_users", USER, known, text::user);
    let target = |node: &NodeName| {
        let (host, own_port) = hosts.get(node).cloned().unwrap_or_else(|| (node.to_string(), None));
        SshTarget { host, port: own_port.unwrap_or(*port), user: users.get(node).unwrap_or(user).clone() }
    };
    known.nodes.iter().map(|node| (node.clone(), target(node))).collect()
}

/// Nodes whose host key stands in the config.
pub(crate) fn pins(reader: &mut Reader<'_>, known: &Known<'_>) -> BTreeMap<NodeName, Pin> {
    by_node(reader, "ssh_node_fingerprints", Pin::ALLOWED, known, Pin::parse)
}

pub(crate) fn jump(reader: &mut Reader<'_>, usual: &Usual) -> Option<SshTarget> {
    let user = reader.key("ssh_jump_user", USER, text::user);
    if user.is_some() && reader.get("ssh_jump_host").is_none() {
        reader.problem_at("ssh_jump_user", "there is no ssh_jump_host; allowed: both, or the host alone");
    }
    let (host, port) = reader.key("ssh_jump_host", JUMP, text::host_and_port)?;
    Some(SshTarget { host, port: port.unwrap_or(usual.port), user: user.unwrap_or_else(|| usual.user.clone()) })
}

/// A map whose keys are nodes of the config.
pub(crate) fn by_node<T>(
    reader: &mut Reader<'_>,
    path: &str,
    allowed: &str,
    known: &Known<'_>,
    parse: impl Fn(&str) -> Option<T>,
) -> BTreeMap<NodeName, T> {
    let mut out = BTreeMap::new();
    for (name, found) in reader.map(path, &format!("node names, each with: {allowed}")) {
        let node = known.node(name).map_err(|why| reader.problem_with_key(&found, why));
        if let (Ok(node), Some(value)) = (node, reader.parsed(&found, allowed, &parse)) {
            out.insert(node, value);
        }
    }
    out
}
