//! What hosts must have, how closely their clocks must agree, and which other Anankes there are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ananke_core::name::{HostPath, NodeName, PackageName, UnitName};
use ananke_core::spec::{HostNeeds, TimeSync, Transport};

use super::reader::Reader;
use super::ssh::{self, Known, Own, Peer, Usual};
use super::text;

const PATH: &str = "an absolute path of letters, digits, '/', '-', '_', '.' and ','";
const PACKAGE: &str = "a package: lower case letters, digits, '+', '-' and '.'";
const UNIT: &str = "a systemd unit: letters, digits, '-', '_', '.', '@' and ':'";
const MANAGED: &str = "ssh_managed_nodes";
const PEER: &str = "name, user@name or user@name:port, where name is a host name or an IPv4 address";

/// One command line carries them all, and the shell that reads it is a person's.
const MOST: usize = 50;

/// What hosts must have: all of them, and single ones besides.
pub(crate) struct Needs {
    all: HostNeeds,
    mounts: BTreeMap<NodeName, Vec<HostPath>>,
}

impl Needs {
    pub(crate) fn read(reader: &mut Reader<'_>, known: &Known<'_>) -> Self {
        let all = HostNeeds {
            mounts: few(reader, "required_mounts", PATH, |text| HostPath::parse(text).ok()),
            packages: few(reader, "required_packages", PACKAGE, |text| PackageName::parse(text).ok()),
            units: few(reader, "required_units", UNIT, |text| UnitName::parse(text).ok()),
        };
        Self { all, mounts: own_mounts(reader, known) }
    }

    pub(crate) fn of(&self, node: &NodeName) -> HostNeeds {
        let mut needs = self.all.clone();
        let own = self.mounts.get(node).into_iter().flatten();
        needs.mounts.extend(own.filter(|path| !self.all.mounts.contains(path)).cloned());
        needs
    }
}

/// A worker has its Longhorn disk, and a server may have none.
fn own_mounts(reader: &mut Reader<'_>, known: &Known<'_>) -> BTreeMap<NodeName, Vec<HostPath>> {
    let mut out = BTreeMap::new();
    for (name, found) in reader.map("node_required_mounts", "node names, each with a list of paths") {
        match known.node(name) {
            Ok(node) => {
                let paths = reader.items_of(&found, &format!("a list of: {PATH}"));
                let paths = paths.iter().filter_map(|found| reader.parsed(found, PATH, |text| HostPath::parse(text).ok()));
                out.insert(node, paths.collect());
            }
            Err(why) => reader.problem_with_key(&found, why),
        }
    }
    out
}

fn few<T: Ord + Clone>(reader: &mut Reader<'_>, path: &str, allowed: &str, parse: impl Fn(&str) -> Option<T>) -> Vec<T> {
    let all = reader.list(path, allowed, parse);
    if all.len() > MOST {
        reader.problem_at(path, format!("found {} entries; allowed: at most {MOST}", all.len()));
    }
    all
}

pub(crate) fn time_sync(reader: &mut Reader<'_>, servers: usize) -> TimeSync {
    let quorum = reader.key("startup.time_sync_mode", "strict or quorum", |text| match text {
        "strict" => Some(false),
        "quorum" => Some(true),
        _ => None,
    });
    let most = u64::try_from(servers.max(1)).unwrap_or(u64::MAX);
    let wanted = reader.number("startup.time_sync_quorum", 1..=most).and_then(|number| usize::try_from(number).ok());
    match quorum {
        Some(true) => TimeSync::Quorum(wanted.unwrap_or(servers / 2 + 1)),
        Some(false) | None => TimeSync::Strict,
    }
}

/// How the hosts of nodes are reached that are not reached as all are.
pub(crate) fn transports(reader: &mut Reader<'_>, known: &Known<'_>) -> BTreeMap<NodeName, Transport> {
    let parse = |text: &str| match text {
        "ssh" => Some(Transport::Ssh),
        "none" => Some(Transport::None),
        _ => None,
    };
    let mut single = ssh::by_node(reader, "ssh_node_transport", "ssh or none", known, parse);
    if reader.is_set(MANAGED) {
        let mut managed = BTreeSet::new();
        for found in reader.items(MANAGED, "a list of node names") {
            match known.node(found.value.as_str().unwrap_or_default()) {
                Ok(node) => drop(managed.insert(node)),
                Err(why) => reader.problem(&found, why),
            }
        }
        for node in known.nodes.difference(&managed) {
            single.entry(node.clone()).or_insert(Transport::None);
        }
    }
    single
}

/// Other Anankes by their names in the config. The file may be the same on every machine: an entry that names this host is
/// left out.
pub(crate) fn peers(reader: &mut Reader<'_>, usual: &mut Usual<'_>, this: &str) -> BTreeMap<Arc<str>, Peer> {
    let mut out: BTreeMap<Arc<str>, Peer> = BTreeMap::new();
    for found in reader.items("coordination.peer_hosts", &format!("a list of: {PEER}")) {
        let Some((name, host, own)) = reader.parsed(&found, PEER, peer) else { continue };
        if host.as_str().eq_ignore_ascii_case(this) {
            continue;
        }
        if out.values().any(|other| other.host == host) {
            reader.problem(&found, format!("a second entry for {host}; allowed: each host once"));
        }
        out.insert(name, Peer { route: usual.peer(&host, own), host });
    }
    out
}

fn peer(text: &str) -> Option<(Arc<str>, NodeName, Own)> {
    let (user, rest) = match text.split_once('@') {
        Some((user, rest)) => (Some(text::user(user)?), rest),
        None => (None, text),
    };
    // Names of hosts have no case; this is also the name under which the SSH pool keeps it.
    let (host, port) = text::host_and_port(&rest.to_ascii_lowercase())?;
    Some((text.into(), NodeName::parse(&host).ok()?, Own { host: None, port, user }))
}
