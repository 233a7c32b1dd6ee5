//! Asks hosts again and again over connections that are kept, and says what one answer costs; a look asks for all that is to
//! be known of a host, `settings` runs one small command:
//! `warm look|settings IDENTITY KNOWN_HOSTS PASSES USER HOST:PORT...`.
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a command that is run by hand, and by `cargo xtask bench`")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ananke_core::name::{Moment, NodeName, UnitName};
use ananke_core::port::clock::Uptime;
use ananke_core::port::{Clock, HostReads};
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
    let mut next = || args.next().ok_or("usage: warm look|settings IDENTITY KNOWN_HOSTS PASSES USER HOST:PORT...");
    let small = next()? == "settings";
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
    let all = f64::from(passes) * f64::from(u32::try_from(nodes.len())?);
    pass(&hosts, &nodes, small).await?;
    let (began, used) = (Instant::now(), cpu()?);
    for _ in 0..passes {
        pass(&hosts, &nodes, small).await?;
    }
    let wall = began.elapsed().as_secs_f64() * 1000.0 / all;
    println!("{wall:.2} ms, {:.2} ms of its own CPU", (cpu()? - used) * 1000.0 / all);
    Ok(())
}

async fn pass(hosts: &SshHosts, nodes: &[NodeName], small: bool) -> Result<(), Box<dyn std::error::Error>> {
    let (unit, needs) = (UnitName::parse("k3s")?, HostNeeds::default());
    let ask = |node| {
        let (unit, needs) = (&unit, &needs);
        async move { if small { hosts.settings(node).await.map(drop) } else { hosts.inspect(node, unit, needs).await.map(drop) } }
    };
    let answers = join_all(nodes.iter().map(ask)).await;
    // A host without systemd answers too, and its answer makes no sense.
    let unheard = answers.into_iter().filter_map(Result::err).find(|error| ["connect", "log in"].contains(&error.tried.as_str()));
    unheard.map_or(Ok(()), |error| Err(error.into()))
}

/// Seconds of processor that this process has used.
fn cpu() -> Result<f64, Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string("/proc/self/schedstat")?;
    Ok(text.split(' ').next().unwrap_or_default().parse::<f64>()? / 1e9)
}
