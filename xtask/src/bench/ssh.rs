//! One pass over 64 hosts beside clush and parallel-ssh: 64 loopback addresses of one OpenSSH server.

mod server;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use super::{Cost, cost, line, median};
use crate::cargo::{build_dist, build_example};
use server::{Server, serve};

const HOSTS: usize = 64;
const RUNS: usize = 5;
/// Looks at each host over its kept connection.
const PASSES: usize = 20;
/// Commands over one kept connection of ssh.
const COMMANDS: usize = 100;

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
    // The cheapest thing that a client can ask for, by the key exchange that costs the server least.
    let bare = || {
        let mut command = Command::new("clush");
        let options = format!("{options} -o KexAlgorithms=curve25519-sha256");
        command.args(["-f", "64", "-o", &options, "-w", &list.join(","), "true"]);
        command
    };
    let (mut costs, mut shares): ([Vec<Cost>; 3], [Vec<f64>; 4]) = Default::default();
    for _ in 0..RUNS {
        let clients = [ananke(), clush(), parallel()];
        for ((command, costs), shares) in clients.into_iter().zip(&mut costs).zip(&mut shares) {
            let (cost, share) = served(&server, command)?;
            costs.push(cost);
            shares.push(share);
        }
        let [.., of_bare] = &mut shares;
        of_bare.push(served(&server, bare())?.1);
    }
    let [ours, clush, parallel] = costs.map(|costs| median(&costs));
    let shares = shares.map(middle);
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let least = shares.into_iter().fold(f64::INFINITY, f64::min) / processors as f64;
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
    let [of_ours, of_clush, of_parallel, of_bare] = shares;
    text.push_str(&format!(
        "  the server's own CPU: {of_ours:.2} s for ananke, {of_clush:.2} s for clush, {of_parallel:.2} s for parallel-ssh, \
         {of_bare:.2} s for logins that run `true`\n  \
         the server's floor on {processors} processors: {least:.2} s, {:.2} of clush's time: no client can be faster here\n",
        least / clush.wall.as_secs_f64()
    ));
    text.push_str(&warm(&server, &example, "look", of_ours)?);
    text.push_str(&warm(&server, &example, "settings", of_bare)?);
    text.push_str(&multiplexed(&server)?);
    Ok(text)
}

fn middle(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or_default()
}

/// What a client cost, and the processor time that it cost the server.
fn served(server: &Server, command: Command) -> Result<(Cost, f64), String> {
    server.settle();
    let before = server.cpu();
    let cost = cost(command, &server.dir, &[0])?;
    server.settle();
    Ok((cost, server.cpu() - before))
}

/// What an answer costs once all are connected; `cold`: what one pass with its logins costs the server.
fn warm(server: &Server, example: &Path, what: &str, cold: f64) -> Result<String, String> {
    let mut command = Command::new(example);
    command.arg(what).arg(server.dir.join("id")).arg(server.dir.join("known_hosts")).args([&PASSES.to_string(), &user()]);
    command.args((1..=HOSTS).map(|nth| format!("{}:{}", address(nth), server.port)));
    server.settle();
    let before = server.cpu();
    let output = command.output().map_err(|error| format!("cannot run {command:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{command:?} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr)));
    }
    server.settle();
    let share = (server.cpu() - before - cold) * 1000.0 / (PASSES * HOSTS) as f64;
    let said = String::from_utf8_lossy(&output.stdout);
    let said = said.trim();
    Ok(format!("  warm, {what} over a host's kept connection (aim 2 ms): {said}; {share:.2} ms of the server's CPU\n"))
}

/// The same with OpenSSH's own way to keep a connection, and a command that does nothing.
fn multiplexed(server: &Server) -> Result<String, String> {
    let socket = server.dir.join("control");
    let options = options(server);
    let ssh = |args: &[&str]| {
        let mut command = Command::new("ssh");
        command.args(options.split(' ')).arg("-S").arg(&socket).args(args);
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        let status = status.map_err(|error| format!("cannot run {command:?}: {error}"))?;
        if status.success() { Ok(()) } else { Err(format!("{command:?} ended with {status}")) }
    };
    let login = format!("{}@{}", user(), address(1));
    ssh(&["-M", "-f", "-N", &login])?;
    let (begun, before) = (Instant::now(), server.cpu());
    for _ in 0..COMMANDS {
        ssh(&[&login, "true"])?;
    }
    let per = |seconds: f64| seconds * 1000.0 / COMMANDS as f64;
    let (wall, share) = (per(begun.elapsed().as_secs_f64()), per(server.cpu() - before));
    ssh(&["-O", "exit", &login])?;
    Ok(format!("  warm, `true` over a kept connection of ssh (ControlMaster): {wall:.2} ms; {share:.2} ms of the server's CPU\n"))
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
