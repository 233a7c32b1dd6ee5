//! One pass over 64 hosts beside clush and parallel-ssh: 64 loopback addresses of one OpenSSH server.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use super::{Cost, cost, line, median};
use crate::cargo::{build_dist, build_example};

const HOSTS: usize = 64;
const RUNS: usize = 5;

/// A server on every loopback address, while this lives.
struct Server {
    child: Child,
    dir: PathBuf,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        fs::remove_dir_all(&self.dir).ok();
    }
}

pub(super) fn run() -> Result<String, String> {
    let program = build_dist(&[])?;
    let example = build_example("ananke-ssh", "warm")?;
    let server = serve()?;
    let config = config(&server)?;
    let ananke = || {
        let mut command = Command::new(&program);
        command.args(["startup", "--until", "node-ssh", "--config"]).arg(&config);
        command
    };
    let (options, remote) = (options(&server), "cat /proc/sys/kernel/random/boot_id");
    let nodes = server.dir.join("nodes");
    let list: Vec<String> = (1..=HOSTS).map(address).collect();
    let clush = || {
        let mut command = Command::new("clush");
        command.args(["-f", "64", "-o", &options, "-w", &list.join(","), remote]);
        command
    };
    let hosts: String = list.iter().map(|host| format!("{host}\n")).collect();
    fs::write(&nodes, hosts).map_err(|error| format!("cannot write {}: {error}", nodes.display()))?;
    let parallel = || {
        let mut command = Command::new("parallel-ssh");
        command.args(["-p", "64", "-i", "-x", &options, "-h"]).arg(&nodes).arg(remote);
        command
    };
    let mut costs: [Vec<Cost>; 3] = Default::default();
    for _ in 0..RUNS {
        let [ours, theirs, others] = &mut costs;
        ours.push(cost(ananke(), &server.dir, &[0])?);
        theirs.push(cost(clush(), &server.dir, &[0])?);
        others.push(cost(parallel(), &server.dir, &[0])?);
    }
    let [ours, clush, parallel] = costs.map(|costs| median(&costs));
    let ratio = |peer: Cost| {
        let wall = ours.wall.as_secs_f64() / peer.wall.as_secs_f64();
        format!("  ratio: {wall:.2} of the time (aim 0.33), {:.2} of the CPU (aim 0.10)\n", ours.cpu / peer.cpu)
    };
    let mut text = format!("{HOSTS} hosts behind one sshd, cold; median of {RUNS}\n");
    text.push_str(&line("ananke startup --until node-ssh (aim 24 MiB)", ours));
    text.push_str(&line("clush -f 64", clush));
    text.push_str(&ratio(clush));
    text.push_str(&line("parallel-ssh -p 64", parallel));
    text.push_str(&ratio(parallel));
    text.push_str(&format!("  warm, a look at a host over its kept connection (aim 2 ms): {}\n", warm(&server, &example)?));
    Ok(text)
}

/// What a look costs once all are connected.
fn warm(server: &Server, example: &Path) -> Result<String, String> {
    let mut command = Command::new(example);
    command.arg(server.dir.join("id")).arg(server.dir.join("known_hosts")).args(["20", &user()]);
    let output = command.args((1..=HOSTS).map(|nth| format!("{}:{}", address(nth), server.port))).output();
    let output = output.map_err(|error| format!("cannot run {command:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{command:?} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn user() -> String {
    std::env::var("USER").unwrap_or_else(|_| "root".to_owned())
}

/// Of the nth host.
fn address(nth: usize) -> String {
    format!("127.0.1.{nth}")
}

fn options(server: &Server) -> String {
    let dir = server.dir.display();
    format!(
        "-p {} -i {dir}/id -o UserKnownHostsFile={dir}/known_hosts -o BatchMode=yes -o IdentitiesOnly=yes -o LogLevel=ERROR",
        server.port
    )
}

fn serve() -> Result<Server, String> {
    let dir = std::env::temp_dir().join(format!("ananke-bench-ssh-{}", std::process::id()));
    let failed = |error: std::io::Error| format!("cannot prepare {}: {error}", dir.display());
    fs::create_dir_all(&dir).map_err(failed)?;
    for key in ["id", "host_key"] {
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(dir.join(key));
        let made = keygen.status().map_err(|error| format!("cannot run ssh-keygen (install openssh-client): {error}"))?;
        if !made.success() {
            return Err(format!("ssh-keygen ended with {made}"));
        }
    }
    fs::copy(dir.join("id.pub"), dir.join("authorized_keys")).map_err(failed)?;
    let port = TcpListener::bind("127.0.1.1:0").and_then(|listener| listener.local_addr()).map_err(failed)?.port();
    let host_key = fs::read_to_string(dir.join("host_key.pub")).map_err(failed)?;
    let known: String = (1..=HOSTS).map(|nth| format!("[{}]:{port} {host_key}", address(nth))).collect();
    fs::write(dir.join("known_hosts"), known).map_err(failed)?;
    let place = dir.display();
    // All addresses at once: the server must not throttle what the clients are compared by. A bash that thinks it is the
    // second one reads no start-up files, which may take longer than all the rest.
    let text = format!(
        "ListenAddress 0.0.0.0\nPort {port}\nHostKey {place}/host_key\nAuthorizedKeysFile {place}/authorized_keys\nPidFile none\n\
         StrictModes no\nUsePAM no\nPasswordAuthentication no\nMaxStartups 500\nSetEnv SHLVL=2\nLogLevel ERROR\n"
    );
    fs::write(dir.join("sshd_config"), text).map_err(failed)?;
    fs::create_dir_all("/run/sshd").ok();
    let mut sshd = Command::new("/usr/sbin/sshd");
    sshd.args(["-D", "-e", "-f"]).arg(dir.join("sshd_config")).stderr(Stdio::null());
    let child = sshd.spawn().map_err(|error| format!("cannot run sshd (install openssh-server): {error}"))?;
    let server = Server { child, dir, port };
    for _ in 0..100 {
        if std::net::TcpStream::connect((address(1), port)).is_ok() {
            return Ok(server);
        }
        sleep(Duration::from_millis(50));
    }
    Err("sshd did not start".to_owned())
}

/// A config of nodes of which only SSH is asked; its API server is a port that nobody listens on.
fn config(server: &Server) -> Result<PathBuf, String> {
    let user = user();
    let name = |nth: usize| format!("node-{nth:02}");
    let names = |from: usize, to: usize| (from..=to).map(name).collect::<Vec<_>>().join(", ");
    let mut text = format!(
        "kubeconfig: kubeconfig\nstate_dir: state\ncontrol_planes: [{}]\nworkers: [{}]\nssh_user: {user}\nssh_port: {}\n\
         ssh_identity_file: id\nssh_known_hosts_file: known_hosts\nssh_node_hosts:\n",
        names(1, 3),
        names(4, HOSTS),
        server.port
    );
    for nth in 1..=HOSTS {
        text.push_str(&format!("  {}: \"{}\"\n", name(nth), address(nth)));
    }
    let kubeconfig = "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: a, user: u}}]\n\
         users: [{name: u, user: {token: t}}]\nclusters: [{name: a, cluster: {server: \"https://127.0.0.1:1\"}}]\n";
    write_private(&server.dir.join("kubeconfig"), kubeconfig)?;
    let path = server.dir.join("ananke.yaml");
    write_private(&path, &text)?;
    let state = server.dir.join("state");
    fs::create_dir_all(&state)
        .and_then(|()| private(&state, 0o700))
        .map_err(|error| format!("cannot make the state: {error}"))?;
    Ok(path)
}

fn write_private(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).and_then(|()| private(path, 0o600)).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

fn private(path: &Path, mode: u32) -> std::io::Result<()> {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))
}
