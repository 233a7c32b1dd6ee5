//! The control socket of a served cluster: what only the world outside can do to it. One JSON line asks, one answers.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ananke_core::lease::TAINT_KEY;
use ananke_core::name::NodeName;
use ananke_core::observation::UnitState;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

use super::cluster::Cluster;
use crate::fault::Fault;
use crate::world::{Node, Power, World};

/// A request is a short line; anything longer is a mistake.
const LINE_LIMIT: u64 = 4096;

/// The other side answers at once or is not there.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Request {
    /// Mains fail: hosts run on until their UPS is empty.
    PowerCut,
    PowerRestore,
    Inject {
        fault: String,
        node: Option<String>,
        /// How long it lasts, in virtual seconds; for faults of the API.
        #[serde(default)]
        seconds: Option<u32>,
    },
    Status,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    pub ok: bool,
    /// One line for a person.
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
}

/// The truth about the world, not what its API says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Virtual seconds since the world began.
    pub seconds: i64,
    pub mains: bool,
    pub hosts: usize,
    pub hosts_up: usize,
    pub api: bool,
    /// Hosts whose k3s runs.
    pub units_running: usize,
    /// Nodes that carry Ananke's taint.
    pub cordons: Vec<String>,
    pub workloads: usize,
    pub workloads_converged: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("no simulated cluster runs in {dir}: {source}; start one with `ananke sim up --dir {dir}`")]
    NotRunning { dir: PathBuf, source: io::Error },
    #[error("talk to the simulated cluster in {dir}: {found}")]
    Broken { dir: PathBuf, found: String },
}

/// Where the socket of `dir` is.
pub fn socket(dir: &Path) -> PathBuf {
    dir.join("control.sock")
}

/// Asks the cluster that is served in `dir`.
pub async fn send(dir: &Path, request: &Request) -> Result<Reply, ControlError> {
    let broken = |found: String| ControlError::Broken { dir: dir.to_owned(), found };
    let stream = UnixStream::connect(socket(dir)).await;
    let mut stream = stream.map_err(|source| ControlError::NotRunning { dir: dir.to_owned(), source })?;
    let exchange = async {
        let line = serde_json::to_string(request).map_err(io::Error::other)?;
        stream.write_all(format!("{line}\n").as_bytes()).await?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).await?;
        serde_json::from_str(&answer).map_err(io::Error::other)
    };
    match tokio::time::timeout(PATIENCE, exchange).await {
        Ok(done) => done.map_err(|error| broken(error.to_string())),
        Err(_) => Err(broken(format!("no answer within {} s", PATIENCE.as_secs()))),
    }
}

/// Serves until it is dropped.
pub async fn run(listener: UnixListener, cluster: Arc<Cluster>) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        let cluster = cluster.clone();
        tokio::spawn(async move {
            // Whoever asked and went away gets no answer.
            tokio::time::timeout(PATIENCE, serve(stream, &cluster)).await.ok();
        });
    }
}

async fn serve(stream: UnixStream, cluster: &Cluster) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    BufReader::new(read.take(LINE_LIMIT)).read_line(&mut line).await?;
    let reply = match serde_json::from_str::<Request>(&line) {
        Ok(request) => cluster.act(|world| perform(world, &request)),
        Err(error) => refusal(format!("not a request: {error}")),
    };
    let text = serde_json::to_string(&reply).map_err(io::Error::other)?;
    write.write_all(format!("{text}\n").as_bytes()).await
}

fn refusal(message: String) -> Reply {
    Reply { ok: false, message, status: None }
}

fn perform(world: &mut World, request: &Request) -> Reply {
    let done = |message: String| Reply { ok: true, message, status: None };
    match request {
        Request::PowerCut => {
            world.power_cut();
            done("mains are off; hosts run until their UPS is empty".to_owned())
        }
        Request::PowerRestore => {
            world.power_restore();
            done("mains are on; hosts boot".to_owned())
        }
        Request::Inject { fault, node, seconds } => match inject(world, fault, node.as_deref(), *seconds) {
            Ok(message) => done(message),
            Err(found) => refusal(found),
        },
        Request::Status => {
            let status = status(world);
            let message = format!(
                "{} of {} hosts up, API {}, {} of {} workloads converged",
                status.hosts_up,
                status.hosts,
                if status.api { "up" } else { "down" },
                status.workloads_converged,
                status.workloads
            );
            Reply { ok: true, message, status: Some(status) }
        }
    }
}

fn inject(world: &mut World, fault: &str, node: Option<&str>, seconds: Option<u32>) -> Result<String, String> {
    let known = || Fault::ALL.iter().map(|fault| fault.id()).collect::<Vec<_>>().join(", ");
    let fault = Fault::parse(fault).ok_or_else(|| format!("there is no fault {fault:?}; there are {}", known()))?;
    let node = node.map(NodeName::parse).transpose().map_err(|error| error.to_string())?;
    if let Some(seconds) = seconds {
        let of_the_api = fault.of_the_api().filter(|_| node.is_none());
        let of_the_api = of_the_api.ok_or_else(|| format!("fault {fault} lasts: only those of the API end by themselves"))?;
        world.inject_api_fault(of_the_api, i64::from(seconds).saturating_mul(1000));
        return Ok(format!("injected {fault} for {seconds} s"));
    }
    world.inject(fault, node.as_ref())?;
    Ok(node.map_or_else(|| format!("injected {fault}"), |node| format!("injected {fault} on {node}")))
}

fn status(world: &World) -> Status {
    Status {
        seconds: world.now().div_euclid(1000),
        mains: world.mains(),
        hosts: world.hosts().len(),
        hosts_up: world.hosts().iter().filter(|host| host.power == Power::Up).count(),
        api: world.api_up(),
        units_running: world.hosts().iter().filter(|host| host.unit_state == UnitState::Active).count(),
        cordons: world.nodes().iter().filter(|node| tainted(node)).map(|node| node.name.to_string()).collect(),
        workloads: world.workloads().len(),
        workloads_converged: world.workloads_up(),
    }
}

fn tainted(node: &Node) -> bool {
    node.taints.iter().any(|taint| taint.key.as_ref() == TAINT_KEY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;

    #[test]
    fn a_fault_that_does_not_exist_is_refused_with_the_ones_that_do() {
        let mut world = World::new(&Scenario::named("healthy").unwrap().with_nodes(4), 1);
        let asked = Request::Inject { fault: "gremlins".to_owned(), node: None, seconds: None };
        let reply = perform(&mut world, &asked);
        assert!(!reply.ok && reply.message.contains("never-boots"), "{}", reply.message);
        let asked: Request = serde_json::from_str(r#"{"do":"inject","fault":"api-refused","node":null}"#).unwrap();
        assert!(perform(&mut world, &asked).ok);
        assert_eq!(world.fault(), Some(crate::world::ApiFault::Refused));
        let asked: Request = serde_json::from_str(r#"{"do":"inject","fault":"dns-down","node":null,"seconds":5}"#).unwrap();
        assert!(!perform(&mut world, &asked).ok, "it does not end by itself");
        let asked: Request = serde_json::from_str(r#"{"do":"inject","fault":"api-closes","node":null,"seconds":5}"#).unwrap();
        assert_eq!(perform(&mut world, &asked).message, "injected api-closes for 5 s");
        assert_eq!(world.fault(), Some(crate::world::ApiFault::Closes));
        world.advance_to(world.now() + 5_000);
        assert_eq!(world.fault(), None);
    }
}
