//! SSH settings as plain data: which node is where, who we are, whom we trust.

mod openssh;
mod said;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ananke_core::name::NodeName;
use ananke_core::spec::SshTarget;
use ananke_ssh::{Login, Pin, Route};

use self::openssh::OpenSsh;
use self::said::{Book, Hop, Weight};
use super::build::Paths;
use super::error::suggest;
use super::reader::Reader;
use super::{files, text};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ssh {
    /// Every expected node.
    pub routes: BTreeMap<NodeName, Route>,
    /// Other Anankes, by their names in the config.
    pub peers: BTreeMap<Arc<str>, Peer>,
    /// `SSH_AUTH_SOCK`
    pub agent: Option<PathBuf>,
    pub pins: BTreeMap<NodeName, Pin>,
}

/// Another Ananke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its host, as it is called.
    pub host: NodeName,
    pub route: Route,
}

impl Ssh {
    /// Every machine that may be logged in to.
    pub(crate) fn logins(&self) -> impl Iterator<Item = &Login> {
        let routes = self.routes.values().chain(self.peers.values().map(|peer| &peer.route));
        routes.flat_map(|route| std::iter::once(&route.login).chain(&route.jump))
    }
}

/// What is known of the names that maps by node may use.
pub(crate) struct Known<'n> {
    pub(crate) nodes: &'n BTreeSet<NodeName>,
    pub(crate) ignored: &'n [NodeName],
}

const CONFIG_FILE: &str = "ssh_config_file";
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

/// What is said of all hosts: by the keys of the config, then by the file of OpenSSH, then by nobody.
pub(crate) struct Usual<'h> {
    /// These are set, or not.
    user: Option<String>,
    port: Option<u16>,
    identity_file: Option<PathBuf>,
    known_hosts: Option<PathBuf>,
    jump: Option<Hop>,
    book: Book,
    fallback: Fallback,
    home: Option<&'h str>,
}

/// Where nobody says anything.
struct Fallback {
    user: String,
    port: u16,
    known_hosts: PathBuf,
}

/// What the config says of one host.
#[derive(Debug, Default)]
pub(crate) struct Own {
    pub(crate) host: Option<String>,
    pub(crate) port: Option<u16>,
    pub(crate) user: Option<String>,
}

impl<'h> Usual<'h> {
    pub(crate) fn read(reader: &mut Reader<'_>, paths: &Paths<'h>) -> Self {
        let user = reader.key("ssh_user", USER, text::user).unwrap_or_default();
        let port = reader.number("ssh_port", 1..=65535).and_then(|port| u16::try_from(port).ok()).unwrap_or_default();
        let known_hosts = paths.key(reader, "ssh_known_hosts_file");
        let default_known_hosts = match (&known_hosts, paths.home) {
            (None, None) => {
                reader.require("ssh_known_hosts_file", "the file with the trusted host keys, since HOME is not set");
                PathBuf::new()
            }
            (_, home) => Path::new(home.map_or("", String::as_str)).join(".ssh/known_hosts"),
        };
        Self {
            user: reader.is_set("ssh_user").then(|| user.clone()),
            port: reader.is_set("ssh_port").then_some(port),
            identity_file: paths.key(reader, "ssh_identity_file"),
            known_hosts,
            jump: jump(reader),
            book: book(reader, paths),
            fallback: Fallback { user, port, known_hosts: default_known_hosts },
            home: paths.home.map(String::as_str),
        }
    }

    /// To a node: through the jump host of the config, or what the file says.
    fn node(&mut self, node: &NodeName, own: Own) -> Route {
        let hop = self.jump.clone();
        self.route(node.as_str(), own, hop)
    }

    /// The jump host of the config is for the nodes.
    pub(crate) fn peer(&mut self, host: &NodeName, own: Own) -> Route {
        self.route(host.as_str(), own, None)
    }

    fn route(&mut self, name: &str, own: Own, hop: Option<Hop>) -> Route {
        let login = self.login(name, own);
        let hop = hop.or_else(|| self.book.of(name, self.home).jump()).filter(|hop| hop.name != name);
        let jump = hop.map(|hop| {
            self.one_hop(&hop);
            self.login(&hop.name, Own { host: None, port: hop.port, user: hop.user })
        });
        Route { login, jump }
    }

    fn login(&mut self, name: &str, own: Own) -> Login {
        let mut said = self.book.of(name, self.home);
        let target = SshTarget {
            host: own.host.or_else(|| said.host()).unwrap_or_else(|| name.to_owned()),
            port: own.port.or(self.port).or_else(|| said.port()).unwrap_or(self.fallback.port),
            user: own.user.or_else(|| self.user.clone()).or_else(|| said.user()).unwrap_or_else(|| self.fallback.user.clone()),
        };
        let identity_file = match &self.identity_file {
            Some(file) => Some(file.clone()),
            None => said.identity_file().flatten(),
        };
        let known_hosts = self.known_hosts.clone().or_else(|| said.known_hosts());
        Login { target, identity_file, known_hosts: known_hosts.unwrap_or_else(|| self.fallback.known_hosts.clone()) }
    }

    /// `ssh` goes through the jump host of a jump host. A `Host *` that names the host itself asks for nothing.
    fn one_hop(&mut self, hop: &Hop) {
        // The config's own is reached directly, whatever the file says.
        let Some(line) = hop.line else { return };
        if let Some(second) = self.book.of(&hop.name, self.home).jump()
            && second.name != hop.name
        {
            let text = format!("ProxyJump: {} is itself behind {}; allowed: one host to go through", hop.name, second.name);
            self.book.say(Weight::Problem, line, text);
        }
    }

    /// What was found in the file of OpenSSH.
    pub(crate) fn tell(self, reader: &mut Reader<'_>, paths: &Paths<'_>, warnings: &mut Vec<String>) {
        let Some(file) = paths.key(reader, CONFIG_FILE) else { return };
        let said = |(line, text): (usize, String)| format!("{}:{line}: {text}", file.display());
        self.book.problems.into_iter().for_each(|problem| reader.problem_at(CONFIG_FILE, said(problem)));
        warnings.extend(self.book.warnings.into_iter().map(said));
    }
}

fn book(reader: &mut Reader<'_>, paths: &Paths<'_>) -> Book {
    let mut book = Book::default();
    let Some(file) = paths.key(reader, CONFIG_FILE) else { return book };
    match files::text(&file).map(|text| OpenSsh::parse(&text)) {
        Ok(Ok(parsed)) => book.file = parsed,
        Ok(Err(faults)) => book.problems.extend(faults),
        Err(why) => reader.problem_at(CONFIG_FILE, why),
    }
    book
}

fn jump(reader: &mut Reader<'_>) -> Option<Hop> {
    let user = reader.key("ssh_jump_user", USER, text::user);
    if user.is_some() && reader.get("ssh_jump_host").is_none() {
        reader.problem_at("ssh_jump_user", "there is no ssh_jump_host; allowed: both, or the host alone");
    }
    let (name, port) = reader.key("ssh_jump_host", JUMP, text::host_and_port)?;
    Some(Hop { line: None, name, port, user })
}

/// How each node is reached; one of which nothing is said is reached by its own name.
pub(crate) fn routes(reader: &mut Reader<'_>, known: &Known<'_>, usual: &mut Usual<'_>) -> BTreeMap<NodeName, Route> {
    let hosts = by_node(reader, "ssh_node_hosts", HOST, known, text::host_and_port);
    let users = by_node(reader, "ssh_node_users", USER, known, text::user);
    let mut route = |node: &NodeName| {
        let (host, port) = hosts.get(node).cloned().unzip();
        usual.node(node, Own { host, port: port.flatten(), user: users.get(node).cloned() })
    };
    known.nodes.iter().map(|node| (node.clone(), route(node))).collect()
}

/// Nodes whose host key stands in the config.
pub(crate) fn pins(reader: &mut Reader<'_>, known: &Known<'_>) -> BTreeMap<NodeName, Pin> {
    by_node(reader, "ssh_node_fingerprints", Pin::ALLOWED, known, Pin::parse)
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
