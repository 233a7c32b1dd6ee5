//! How hosts are switched on from afar: the group `power`.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use ananke_core::name::{MacAddress, NodeName};

use super::reader::Reader;
use super::ssh::{Known, by_node};

const MAC: &str = "a MAC address, such as 52:54:00:12:34:56";
const ADDRESS: &str = "address:port to send UDP to, such as 192.168.1.255:9";

pub(crate) struct Power {
    pub(crate) macs: BTreeMap<NodeName, MacAddress>,
    /// None: a problem tells why.
    pub(crate) wol_address: Option<SocketAddr>,
}

pub(crate) fn read(reader: &mut Reader<'_>, known: &Known<'_>) -> Power {
    let parse = |text: &str| MacAddress::parse(&text.to_ascii_lowercase().replace('-', ":")).ok();
    let macs = by_node(reader, "power.wol_mac", MAC, known, parse);
    let mut owners = BTreeMap::new();
    for (node, mac) in &macs {
        if let Some(other) = owners.insert(mac, node) {
            reader.problem_at("power.wol_mac", format!("{node} and {other} have the same address {mac}; allowed: each its own"));
        }
    }
    Power { macs, wol_address: reader.key("power.wol_address", ADDRESS, |text| text.parse().ok()) }
}
