//! UPSes and what follows from them, and how hosts are switched on from afar: `ups` and the groups `nut` and `power`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ananke_core::name::{MacAddress, NodeName};
use ananke_core::power::{PowerSpec, UpsSpec};
use ananke_core::spec::ShutdownMode;
use ananke_ssh::Route;
use figment::value::Value;

use super::build::Paths;
use super::files;
use super::keys::UPS_KEYS;
use super::layers::child;
use super::reader::{Found, Reader};
use super::ssh::{Known, by_node};
use crate::nut::{Nut, Target, is_word};

const UPS: &str = "name@host or name@host:port, as NUT writes it";
const ENTRY: &str = "an entry with name and feeds";
const MAC: &str = "a MAC address, such as 52:54:00:12:34:56";
const ADDRESS: &str = "address:port to send UDP to, such as 192.168.1.255:9";
const NODE: &str = "a node of control_planes or workers";
const FACTOR: &str = "a number from 1 to 20, such as 1.5";
const MODE: &str = "cluster-only or poweroff";
const DAY: Duration = Duration::from_secs(24 * 3600);

pub(crate) struct Power {
    pub(crate) spec: PowerSpec,
    pub(crate) nut: Nut,
    pub(crate) macs: BTreeMap<NodeName, MacAddress>,
    /// None: a problem tells why.
    pub(crate) wol_address: Option<SocketAddr>,
}

pub(crate) fn read(reader: &mut Reader<'_>, known: &Known<'_>, paths: &Paths<'_>, warnings: &mut Vec<String>) -> Power {
    let seconds = |reader: &mut Reader<'_>, path: &str| Duration::from_secs(reader.number(path, 1..=86_400).unwrap_or(1));
    let span = |reader: &mut Reader<'_>, path: &str| reader.duration(path, Duration::ZERO..=DAY).unwrap_or_default();
    let percent = |reader: &mut Reader<'_>, path: &str| reader.number(path, 0..=100).and_then(|n| u8::try_from(n).ok());
    let usual = PowerSpec::default();
    let spec = PowerSpec {
        upses: upses(reader, known),
        needs_all: reader.list("power.needs_all_supplies", NODE, |text| known.node(text).ok()).into_iter().collect(),
        default_budget: seconds(reader, "default_budget_seconds"),
        safety_factor_thousandths: factor(reader, "runtime_safety_factor").unwrap_or(usual.safety_factor_thousandths),
        charge_floor: percent(reader, "power.charge_floor_percent").unwrap_or(usual.charge_floor),
        debounce: span(reader, "power.debounce"),
        hold_off: span(reader, "power.hold_off"),
        outages: reader.number("power.max_outages", 1..=1000).and_then(|n| usize::try_from(n).ok()).unwrap_or(usual.outages),
        outage_window: span(reader, "power.outage_window"),
        shutdown_mode: reader.key("power.shutdown_mode", MODE, mode).unwrap_or_default(),
    };
    warnings.extend(shared(&spec.upses).into_iter().chain(unfed(&spec.upses, known.nodes)));
    let nut = Nut {
        user: reader.key("nut.user", "a user of upsd.users", |text| is_word(text).then(|| text.to_owned())),
        password_file: file(reader, paths, "nut.password_file", files::private),
        ca_file: file(reader, paths, "nut.ca_file", files::trusted),
    };
    if nut.password_file.is_some() && nut.user.is_none() {
        reader.problem_at("nut.password_file", "there is no nut.user; allowed: both, or neither");
    }
    Power {
        spec,
        nut,
        macs: macs(reader, known),
        wol_address: reader.key("power.wol_address", ADDRESS, |text| text.parse().ok()),
    }
}

fn mode(text: &str) -> Option<ShutdownMode> {
    match text {
        "cluster-only" => Some(ShutdownMode::ClusterOnly),
        "poweroff" => Some(ShutdownMode::Poweroff),
        _ => None,
    }
}

/// A file that exists, and that nobody else can use or change.
fn file(
    reader: &mut Reader<'_>,
    paths: &Paths<'_>,
    key: &str,
    check: fn(&std::path::Path) -> Result<(), String>,
) -> Option<PathBuf> {
    let found = reader.get(key)?;
    let path = paths.read(reader, &found)?;
    if let Err(why) = check(&path) {
        reader.problem(&found, why);
    }
    Some(path)
}

fn upses(reader: &mut Reader<'_>, known: &Known<'_>) -> Vec<UpsSpec> {
    let mut out: Vec<UpsSpec> = Vec::new();
    for found in reader.items("ups", &format!("a list of: {UPS}, or of: {ENTRY}")) {
        let Some(ups) = ups(reader, known, &found) else { continue };
        if out.iter().any(|other| other.name == ups.name) {
            reader.problem(&found, format!("a second entry for {}; allowed: each UPS once", ups.name));
        }
        out.push(ups);
    }
    out
}

fn ups<'a>(reader: &mut Reader<'a>, known: &Known<'_>, found: &Found<'a>) -> Option<UpsSpec> {
    let name = |text: &str| Target::parse(text).map(|_| Arc::from(text));
    let Value::Dict(_, dict) = found.value else {
        return reader.parsed(found, &format!("{UPS}, or {ENTRY}"), name).map(UpsSpec::feeding_all);
    };
    reader.only(dict, &found.path, UPS_KEYS);
    let part = |key: &str| dict.get(key).map(|value| Found { path: child(&found.path, key), value });
    let feeds: BTreeSet<NodeName> = match part("feeds") {
        Some(feeds) => {
            let nodes = reader.items_of(&feeds, &format!("a list of: {NODE}"));
            // Left out, it means every node; nobody writes an empty list for that.
            if matches!(feeds.value, Value::Array(..)) && nodes.is_empty() {
                reader.problem(&feeds, "an empty list; allowed: the nodes that it feeds, or no feeds where it feeds every node");
            }
            nodes.iter().filter_map(|node| reader.parsed(node, NODE, |text| known.node(text).ok())).collect()
        }
        None => BTreeSet::new(),
    };
    let Some(target) = part("name") else {
        reader.problem(found, format!("the entry has no name; allowed: {UPS}"));
        return None;
    };
    Some(UpsSpec { name: reader.parsed(&target, UPS, name)?, feeds })
}

/// A UPS that counts as feeding every node beside others is the second supply of each of them.
fn shared(upses: &[UpsSpec]) -> Option<String> {
    let all: Vec<&str> = upses.iter().filter(|ups| ups.feeds.is_empty()).map(|ups| &*ups.name).collect();
    (upses.len() > 1 && !all.is_empty()).then(|| {
        format!(
            "ups: without feeds, a UPS feeds every node ({}), also those that another one feeds: none of them is at risk before \
             all that feed it end; name what it feeds",
            all.join(" and ")
        )
    })
}

/// Nodes that nothing which is watched feeds: when their power ends, nothing is asked for.
fn unfed(upses: &[UpsSpec], nodes: &BTreeSet<NodeName>) -> Option<String> {
    let fed = |node: &NodeName| upses.iter().any(|ups| ups.feeds.is_empty() || ups.feeds.contains(node));
    let bare: Vec<&str> = nodes.iter().filter(|node| !fed(node)).map(NodeName::as_str).collect();
    (!upses.is_empty() && !bare.is_empty()).then(|| {
        format!("ups: no UPS feeds {}, so nothing is done when their power is about to end; add them to feeds", bare.join(", "))
    })
}

/// UPSes whose upsd goes off with its host in a shutdown for power: with the last of them, nobody hears of mains any more. The host
/// of the daemon, `own`, stays on.
pub(crate) fn switched_off(power: &PowerSpec, routes: &BTreeMap<NodeName, Route>, own: &str) -> Option<String> {
    let is_own = |node: &NodeName| node.as_str() == own || own.split('.').next() == Some(node.as_str());
    let node_of = |ups: &UpsSpec| {
        let host = Target::parse(&ups.name)?.host;
        let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        let is = |name: &str| !is_here && host.eq_ignore_ascii_case(name);
        let mut others = routes.iter().filter(|(node, _)| !is_own(node));
        let (node, _) = others.find(|(node, route)| is(node.as_str()) || is(&route.login.target.host))?;
        Some(format!("{} ({node})", ups.name))
    };
    let found: Vec<String> = power.upses.iter().filter_map(node_of).collect();
    (power.shutdown_mode == ShutdownMode::Poweroff && !found.is_empty()).then(|| {
        format!(
            "ups: power.shutdown_mode: poweroff also switches off the hosts that tell of {}: where no other UPS is heard then, \
             nobody knows that mains are back, and the cluster stays off until a person starts it; run upsd on Ananke's own host, \
             or on one that is no node",
            found.join(", ")
        )
    })
}

/// In thousandths: no decision hangs on a float.
fn factor(reader: &mut Reader<'_>, path: &str) -> Option<u32> {
    let found = reader.get(path)?;
    let number = match found.value {
        Value::Num(_, number) => {
            number.to_i128().map(|whole| whole.to_string()).or_else(|| number.to_f64().map(|it| it.to_string()))
        }
        Value::String(_, text) => Some(text.clone()),
        Value::Char(..) | Value::Bool(..) | Value::Empty(..) | Value::Dict(..) | Value::Array(..) => None,
    };
    let factor = number.and_then(|text| thousandths(&text)).filter(|factor| (1_000..=20_000).contains(factor));
    if factor.is_none() {
        reader.wrong(&found, FACTOR);
    }
    factor
}

fn thousandths(text: &str) -> Option<u32> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = part.len() <= 3 && part.bytes().all(|b| b.is_ascii_digit());
    let part: u32 = digits.then(|| format!("{part:0<3}").parse().ok()).flatten()?;
    whole.parse::<u32>().ok()?.checked_mul(1000)?.checked_add(part)
}

fn macs(reader: &mut Reader<'_>, known: &Known<'_>) -> BTreeMap<NodeName, MacAddress> {
    let parse = |text: &str| MacAddress::parse(&text.to_ascii_lowercase().replace('-', ":")).ok();
    let macs = by_node(reader, "power.wol_mac", MAC, known, parse);
    let mut owners = BTreeMap::new();
    for (node, mac) in &macs {
        if let Some(other) = owners.insert(mac, node) {
            reader.problem_at("power.wol_mac", format!("{node} and {other} have the same address {mac}; allowed: each its own"));
        }
    }
    macs
}

#[cfg(test)]
mod tests {
    use super::thousandths;

    #[test]
    fn a_factor_has_at_most_three_decimals() {
        assert_eq!(
            ["1", "1.5", "2.125", "1.1234", "1.", "-1", "x", ""].map(thousandths),
            [Some(1000), Some(1500), Some(2125), None, Some(1000), None, None, None]
        );
    }
}
