//! Brings a simulated cluster up on loopback: builds the world, binds the servers, writes the directory, keeps time.

use std::fs::{self, OpenOptions};
use std::future::Future;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ananke_core::name::{Moment, NodeName};
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::api::authorize::{Access, AccessError, BOOTSTRAP_MANIFEST, MANIFEST};
use super::api::discovery::VERSION;
use super::api::store::{Face, ObjectStore, State};
use super::api::tls::{self, TlsError};
use super::cluster::Cluster;
use super::hosts::Hosts;
use super::site::{self, Addresses};
use super::ssh::{self, SshServers};
use super::{api, control, http, nut, wake};
use crate::scenario::Scenario;
use crate::world::{WallClock, World};

/// Servers look at the world whenever they are asked; this is for watches, and for servers that come and go.
const TICK: Duration = Duration::from_millis(50);

/// Speeds beyond this leave no time to talk to the cluster.
pub const MAX_SPEED: u32 = 1000;

#[derive(Debug, Clone)]
pub struct UpOptions {
    pub dir: PathBuf,
    pub scenario: String,
    /// Hosts of the cluster; none: as many as the scenario has.
    pub nodes: Option<usize>,
    /// Pods of the cluster; none: what its nodes run usually.
    pub pods: Option<usize>,
    pub seed: u64,
    /// Virtual seconds in a second, from 1 to [`MAX_SPEED`].
    pub speed: u32,
}

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("there is no scenario {found:?}; there are {known}")]
    Scenario { found: String, known: String },
    #[error("speed {0} is not between 1 and {MAX_SPEED}")]
    Speed(u32),
    #[error("a simulated cluster already runs in {0}; stop it first, or take another --dir")]
    AlreadyUp(PathBuf),
    #[error("{tried} {on}: {source}")]
    Io { tried: &'static str, on: PathBuf, source: io::Error },
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Access(#[from] AccessError),
}

/// A cluster that runs until this is dropped; [`Served::run_until`] also tidies its directory.
#[derive(Debug)]
pub struct Served {
    dir: PathBuf,
    cluster: Arc<Cluster>,
    /// Ends the servers with it.
    _tasks: JoinSet<()>,
    /// Keeps the SSH servers alive.
    ssh: KeptSsh,
}

struct KeptSsh(ssh::Running);

impl std::fmt::Debug for KeptSsh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ssh").field("ports", &self.0.ports).finish_non_exhaustive()
    }
}

impl Served {
    /// The world behind the servers, for tests that look at the truth.
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    pub fn ssh_ports(&self) -> impl Iterator<Item = (&NodeName, u16)> {
        self.ssh.0.ports.iter().map(|(node, port)| (node, *port))
    }

    /// Serves until `signal` comes, then takes `ready` and the control socket away.
    pub async fn run_until(self, signal: impl Future<Output = ()>) {
        signal.await;
        for leftover in [ready(&self.dir), control::socket(&self.dir)] {
            // It may be gone already, with the whole directory.
            fs::remove_file(leftover).ok();
        }
    }
}

fn ready(dir: &Path) -> PathBuf {
    dir.join("ready")
}

/// Serves a new world in `options.dir`. When it returns, everything answers and `ready` exists.
pub async fn up(options: UpOptions) -> Result<Served, ServeError> {
    let world = world(&options)?;
    let dir = options.dir.clone();
    let io = |tried: &'static str, on: &Path| {
        let on = on.to_owned();
        move |source| ServeError::Io { tried, on, source }
    };
    site::private_dir(&dir).map_err(io("make the directory", &dir))?;
    let control = claim(&dir).await?;
    let state = dir.join("state");
    site::private_dir(&state).map_err(io("make the directory", &state))?;
    let open = |name: &str| {
        let path = dir.join(name);
        OpenOptions::new().append(true).create(true).mode(0o600).open(&path).map_err(io("open the log", &path))
    };
    let log = open("requests.log")?;
    let access = Arc::new(Access::new(&format!("{MANIFEST}---\n{BOOTSTRAP_MANIFEST}"), open("audit.log")?)?);

    let identity = tls::identity()?;
    let api = api::bind(0).map_err(io("take a port for", Path::new("the API")))?;
    let web = TcpListener::bind(("127.0.0.1", 0)).await.map_err(io("take a port for", Path::new("HTTP")))?;
    let upsd = TcpListener::bind(("127.0.0.1", 0)).await.map_err(io("take a port for", Path::new("NUT")))?;
    let packets = UdpSocket::bind(("127.0.0.1", 0)).await.map_err(io("take a port for", Path::new("Wake-on-LAN")))?;
    let client_key = ssh::keys::generate().map_err(io("make a key for", Path::new("SSH")))?;
    let names: Vec<NodeName> = world.hosts().iter().map(|host| host.name.clone()).collect();
    let cluster = Cluster::new(world, options.speed, log, Face { version: VERSION, extras: true, compacted: true });
    let backend = Arc::new(Hosts(cluster.clone()));
    let ssh =
        SshServers::start(&names, backend, client_key.public_key()).await.map_err(io("start servers for", Path::new("SSH")))?;

    let addresses = Addresses {
        api: api.address,
        http: web.local_addr().map_err(io("take a port for", Path::new("HTTP")))?,
        nut: upsd.local_addr().map_err(io("take a port for", Path::new("NUT")))?,
        wake: packets.local_addr().map_err(io("take a port for", Path::new("Wake-on-LAN")))?,
        ssh: ssh.ports.iter().map(|(node, port)| (node.to_string(), *port)).collect(),
    };
    let mut tasks = JoinSet::new();
    let store: Arc<dyn ObjectStore> = cluster.clone();
    tasks.spawn(ended(api::run(api, identity.server.clone(), access.clone(), store), "the API server", cluster.clone()));
    tasks.spawn(ended(http::run(web, cluster.clone()), "the HTTP server", cluster.clone()));
    tasks.spawn(ended(nut::run(upsd, cluster.clone()), "upsd", cluster.clone()));
    tasks.spawn(ended(wake::run(packets, cluster.clone()), "Wake-on-LAN", cluster.clone()));
    tasks.spawn(ended(control::run(control, cluster.clone()), "the control socket", cluster.clone()));
    tasks.spawn(keep_time(cluster.clone()));

    answers(&cluster, addresses.api).await.map_err(io("wait for", Path::new("the API")))?;
    let (config, keys) =
        cluster.act(|world| (site::config(world, &addresses, options.speed), world.vault_shares().join("\n") + "\n"));
    let key_path = dir.join("id_ed25519");
    ssh::keys::write(&key_path, &client_key).map_err(io("write", &key_path))?;
    let files = [
        ("known_hosts", ssh.known_hosts.join("\n") + "\n"),
        ("kubeconfig", site::kubeconfig(&identity, addresses.api)),
        (site::ANANKES, site::anankes_kubeconfig(&identity, access.token(), addresses.api)),
        (site::VAULT_KEYS, keys),
        (site::NUT_PASSWORD, format!("{}\n", nut::PASSWORD)),
        ("ananke.yaml", config),
        ("ready", String::new()),
    ];
    for (name, text) in files {
        let path = dir.join(name);
        site::write_private(&path, &text).map_err(io("write", &path))?;
    }
    Ok(Served { dir, cluster, _tasks: tasks, ssh: KeptSsh(ssh) })
}

#[expect(clippy::disallowed_methods, reason = "a served world lives in real time")]
fn world(options: &UpOptions) -> Result<World, ServeError> {
    let known = || Scenario::all().map(|(name, _)| name).collect::<Vec<_>>().join(", ");
    let mut scenario = Scenario::named(&options.scenario)
        .ok_or_else(|| ServeError::Scenario { found: options.scenario.clone(), known: known() })?;
    if !(1..=MAX_SPEED).contains(&options.speed) {
        return Err(ServeError::Speed(options.speed));
    }
    if let Some(nodes) = options.nodes {
        scenario = scenario.with_nodes(nodes);
    }
    if let Some(pods) = options.pods {
        scenario = scenario.with_pods(pods);
    }
    let mut world = World::new(&scenario, options.seed);
    let now = i64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_millis());
    // The world may begin after or before its own zero; the present is what its clock shows at the start.
    let past = world.now().div_euclid(i64::from(options.speed));
    let epoch = Moment::from_millis(now.unwrap_or(0).saturating_sub(past));
    world.set_wall(WallClock { epoch, speed: options.speed });
    Ok(world)
}

/// Takes the directory: whoever answers on its control socket is alive, a socket that nobody answers on is left over.
async fn claim(dir: &Path) -> Result<UnixListener, ServeError> {
    let path = control::socket(dir);
    if UnixStream::connect(&path).await.is_ok() {
        return Err(ServeError::AlreadyUp(dir.to_owned()));
    }
    for leftover in [ready(dir), path.clone()] {
        match fs::remove_file(&leftover) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(ServeError::Io { tried: "remove the leftover", on: leftover, source });
            }
            Ok(()) | Err(_) => {}
        }
    }
    UnixListener::bind(&path).map_err(|source| ServeError::Io { tried: "open the control socket", on: path, source })
}

/// Waits until the API takes connections, if the world lets it: a client that saw `ready` must not be refused by us.
async fn answers(cluster: &Cluster, api: std::net::SocketAddr) -> io::Result<()> {
    let mut tries = 400;
    while cluster.ticks().borrow().state != State::Refused {
        match TcpStream::connect(api).await {
            Ok(_) => return Ok(()),
            Err(error) if tries == 0 => return Err(error),
            Err(_) => tries -= 1,
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

async fn keep_time(cluster: Arc<Cluster>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        cluster.catch_up();
    }
}

/// A server that ends by itself leaves a line where the requests are.
async fn ended(server: impl Future<Output = io::Result<()>>, what: &'static str, cluster: Arc<Cluster>) {
    if let Err(error) = server.await {
        cluster.note(&format!("{what} ended: {error}"));
    }
}
