//! Looks at hosts again and again over connections that are kept, and says what a look costs:
//! `warm IDENTITY KNOWN_HOSTS PASSES USER HOST:PORT...`.
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a command that is run by hand, and by `cargo xtask bench`")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ananke_core::name::{Moment, NodeName, UnitName};
use ananke_core::port::clock::Uptime;
use ananke_core::port::{Clock, HostReads, PortError};
use ananke_core::spec::{HostNeeds, SshTarget};
use ananke_ssh::{SshHosts, SshSettings};
use async_trait::async_trait;
use futures::future::join_all;

struct Wall;

#[async_trait]
impl Clock for Wall {
    fn now(&self) -> Moment {
        let millis = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        Moment::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
    }
    fn uptime(&self) -> Option<Uptime> {
        None
    }
    async fn sleep_until(&self, _: Moment) {}
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let mut next = || args.next().ok_or("usage: warm IDENTITY KNOWN_HOSTS PASSES USER HOST:PORT...");
    let (identity, known_hosts, passes, user) =
        (PathBuf::from(next()?), PathBuf::from(next()?), next()?.parse::<u32>()?, next()?);
    let mut targets = BTreeMap::new();
    for (row, place) in args.enumerate() {
        let (host, port) = place.split_once(':').ok_or("a host is HOST:PORT")?;
        let target = SshTarget { host: host.to_owned(), port: port.parse()?, user: user.clone() };
        targets.insert(NodeName::parse(&format!("node-{row}"))?, target);
    }
    let nodes: Vec<NodeName> = targets.keys().cloned().collect();
    let hosts = SshHosts::new(SshSettings::direct(targets, identity, known_hosts), Arc::new(Wall))?;
    let unit = UnitName::parse("k3s")?;
    let (needs, all) = (HostNeeds::default(), f64::from(passes) * f64::from(u32::try_from(nodes.len())?));
    pass(&hosts, &nodes, &unit, &needs).await?;
    let (began, used) = (Instant::now(), cpu()?);
    for _ in 0..passes {
        pass(&hosts, &nodes, &unit, &needs).await?;
    }
    let wall = began.elapsed().as_secs_f64() * 1000.0 / all;
    println!("{wall:.2} ms, {:.2} ms of its own CPU", (cpu()? - used) * 1000.0 / all);
    Ok(())
}

async fn pass(hosts: &SshHosts, nodes: &[NodeName], unit: &UnitName, needs: &HostNeeds) -> Result<(), PortError> {
    let answers = join_all(nodes.iter().map(|node| hosts.inspect(node, unit, needs))).await;
    // A host without systemd answers too, and its answer makes no sense.
    let unheard = answers.into_iter().filter_map(Result::err).find(|error| ["connect", "log in"].contains(&error.tried.as_str()));
    unheard.map_or(Ok(()), Err)
}

/// Seconds of processor that this process has used.
fn cpu() -> Result<f64, Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string("/proc/self/schedstat")?;
    Ok(text.split(' ').next().unwrap_or_default().parse::<f64>()? / 1e9)
}
