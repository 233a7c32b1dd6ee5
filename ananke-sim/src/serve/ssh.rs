//! SSH for every simulated host: one port on loopback each, one host key each, one key that may log in.
//!
//! Whether a host answers, refuses or is dark is asked of the [`HostBackend`] at every connection and while it lasts, so
//! that a power cut ends what was open. There is no shell here: a line goes to the backend and its answer back.

pub mod keys;
mod session;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Shutdown};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ananke_core::name::NodeName;
use async_trait::async_trait;
use russh::keys::{PrivateKey, PublicKey};
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

pub use super::host_shell::ExecReply;
use crate::world::Manner;

/// Simulated time has no bell that rings outside, so open connections look this often whether their host still stands.
const LOOK: Duration = Duration::from_millis(50);
/// Open connections per host; more are closed at once.
const MAX_CONNECTIONS: usize = 32;
/// Lines that the log of requests keeps.
const MAX_REQUESTS: usize = 10_000;

/// How a host meets a new connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    Answer,
    /// The host is up and sshd is not: closed at once.
    Refuse,
    /// The host is off: silence until it is not.
    Dark,
}

/// The hosts behind the servers.
#[async_trait]
pub trait HostBackend: Send + Sync {
    fn reach(&self, node: &NodeName) -> Reach;
    /// Another number means another host key; 0 is the one that is in `known_hosts`.
    fn host_key_generation(&self, node: &NodeName) -> u32;
    fn manner(&self, _node: &NodeName) -> Manner {
        Manner::Usual
    }
    /// `input`: all that came in, where the line waits for it.
    async fn exec(&self, node: &NodeName, line: &str, input: &[u8]) -> ExecReply;
}

/// The servers of all hosts.
#[derive(Debug)]
pub struct SshServers;

/// Servers that run until this is dropped.
pub struct Running {
    pub ports: BTreeMap<NodeName, u16>,
    /// Lines for `known_hosts`, in the order of the nodes.
    pub known_hosts: Vec<String>,
    requests: Requests,
    _tasks: JoinSet<()>,
}

/// Every line that any host was asked to run, in order.
#[derive(Clone, Default)]
struct Requests(Arc<Mutex<VecDeque<(NodeName, String)>>>);

/// One host's server.
struct Server {
    node: NodeName,
    backend: Arc<dyn HostBackend>,
    authorized: PublicKey,
    host_keys: Mutex<BTreeMap<u32, PrivateKey>>,
    requests: Requests,
}

impl SshServers {
    /// Binds a port for each node and serves it. Call within a tokio runtime.
    pub async fn start(nodes: &[NodeName], backend: Arc<dyn HostBackend>, authorized: &PublicKey) -> io::Result<Running> {
        let requests = Requests::default();
        let (mut ports, mut known_hosts, mut tasks) = (BTreeMap::new(), Vec::new(), JoinSet::new());
        for node in nodes {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            let port = listener.local_addr()?.port();
            let key = keys::generate()?;
            known_hosts.push(format!("[127.0.0.1]:{port} {}", keys::public_line(key.public_key())?));
            ports.insert(node.clone(), port);
            let server = Server {
                node: node.clone(),
                backend: Arc::clone(&backend),
                authorized: authorized.clone(),
                host_keys: Mutex::new(BTreeMap::from([(0, key)])),
                requests: requests.clone(),
            };
            tasks.spawn(Arc::new(server).accept(listener));
        }
        Ok(Running { ports, known_hosts, requests, _tasks: tasks })
    }
}

impl Running {
    /// What was asked so far, oldest first; beyond 10,000 lines the oldest are dropped.
    pub fn requests(&self) -> Vec<(NodeName, String)> {
        self.requests.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

impl Requests {
    fn note(&self, node: &NodeName, line: &str) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MAX_REQUESTS {
            kept.pop_front();
        }
        kept.push_back((node.clone(), line.to_owned()));
    }
}

impl Server {
    async fn accept(self: Arc<Self>, listener: TcpListener) {
        let mut open = JoinSet::new();
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                // Out of descriptors, most likely: it may pass.
                sleep(LOOK).await;
                continue;
            };
            while open.try_join_next().is_some() {}
            if open.len() < MAX_CONNECTIONS {
                open.spawn(Arc::clone(&self).connection(stream));
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream) {
        match self.backend.reach(&self.node) {
            Reach::Refuse => {}
            Reach::Dark => {
                // The stream is held and never read, for as long as the client waits.
                tokio::select! {
                    biased;
                    () = given_up(&stream) => {}
                    () = self.until(|reach, _| reach != Reach::Dark) => {}
                }
            }
            Reach::Answer => {
                // An error here is the client's: it went away, or did not believe our key.
                let _ended = self.serve(stream).await;
            }
        }
    }

    async fn serve(self: &Arc<Self>, stream: TcpStream) -> io::Result<()> {
        let generation = self.backend.host_key_generation(&self.node);
        let key = self.host_key(generation)?;
        stream.set_nodelay(true)?;
        let stream = stream.into_std()?;
        let _cut = Cut(stream.try_clone()?);
        let session = session::serve(Arc::clone(self), key, TcpStream::from_std(stream)?);
        tokio::select! {
            biased;
            ended = session => ended.map_err(io::Error::other),
            () = self.until(|reach, now| reach != Reach::Answer || now != generation) => Ok(()),
        }
    }

    async fn until(&self, gone: impl Fn(Reach, u32) -> bool) {
        while !gone(self.backend.reach(&self.node), self.backend.host_key_generation(&self.node)) {
            sleep(LOOK).await;
        }
    }

    fn host_key(&self, generation: u32) -> io::Result<PrivateKey> {
        let mut made = self.host_keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = made.get(&generation) {
            return Ok(key.clone());
        }
        let key = keys::generate()?;
        made.insert(generation, key.clone());
        Ok(key)
    }
}

/// Comes when the client has closed its side; what it sent before stays unread.
async fn given_up(stream: &TcpStream) {
    while stream.ready(Interest::READABLE).await.is_ok_and(|ready| !ready.is_read_closed()) {
        sleep(LOOK).await;
    }
}

/// Ends the socket when dropped, whoever else still holds it: russh serves a session in a task of its own.
struct Cut(std::net::TcpStream);

impl Drop for Cut {
    fn drop(&mut self) {
        // Already closed is as good.
        let _gone = self.0.shutdown(Shutdown::Both);
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("ports", &self.ports).finish_non_exhaustive()
    }
}
