//! Measurements, each beside a peer in the same run: what counts is the ratio, not the second.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::cargo::{cargo, root};

const NODES: &str = "5000";
const PODS: &str = "50000";
/// Hosts that are asked over SSH too: the rest of the cluster is known by its API only, as it is to the peer.
const HOSTS: usize = 10;
const RUNS: usize = 3;
/// Seconds; kubelets renew their Leases every ten.
const WATCHED: &str = "60";
/// How often the memory of a process is looked at; the kernel keeps the peak, so only the very end can be missed.
const LOOK: Duration = Duration::from_millis(10);
/// For a world of that size to come up.
const PATIENCE: Duration = Duration::from_secs(180);

/// What one process took.
#[derive(Clone, Copy)]
struct Cost {
    wall: Duration,
    /// `VmHWM`, in MiB.
    peak: f64,
}

pub(crate) fn run() -> ExitCode {
    match large_cluster() {
        Ok(text) => {
            println!("\n{text}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("bench: {why}");
            ExitCode::FAILURE
        }
    }
}

/// A simulated cluster that is served while this lives.
struct Served {
    child: Child,
    dir: PathBuf,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        fs::remove_dir_all(&self.dir).ok();
    }
}

fn large_cluster() -> Result<String, String> {
    cargo(&["build", "--release", "-p", "ananke-cli"]).status()?;
    cargo(&["build", "--release", "-p", "ananke-k8s", "--example", "watch"]).status()?;
    let ananke = root().join("target/release/ananke");
    println!("serving {NODES} nodes and {PODS} pods");
    let served = serve(&ananke)?;
    let config = fewer_hosts(&served.dir.join("ananke.yaml"))?;
    let kubeconfig = served.dir.join("kubeconfig");
    let status = || {
        let mut command = Command::new(&ananke);
        command.arg("status").arg("--config").arg(&config);
        command
    };
    let kubectl = || {
        let mut command = Command::new("kubectl");
        command.arg("--kubeconfig").arg(&kubeconfig).args(["get", "nodes,pods,kustomizations", "-A", "-o", "json"]);
        command
    };
    let mut ours = Vec::new();
    let mut theirs = Vec::new();
    for _ in 0..RUNS {
        ours.push(cost(status(), &served.dir, &[0])?);
        theirs.push(cost(kubectl(), &served.dir, &[0])?);
    }
    let mut watch = Command::new(root().join("target/release/examples/watch"));
    watch.arg(&kubeconfig).arg(WATCHED);
    let watching = cost(watch, &served.dir, &[0])?;
    let mut startup = Command::new(&ananke);
    startup.arg("startup").arg("--execute").arg("--config").arg(&config);
    let run = cost(startup, &served.dir, &[0])?;
    let (ours, theirs) = (median(ours), median(theirs));
    let line = |name: &str, cost: Cost| format!("  {name:<44} {:>7.2} s  {:>7.1} MiB\n", cost.wall.as_secs_f64(), cost.peak);
    let mut text = format!("{NODES} nodes, {PODS} pods, {HOSTS} hosts over SSH; median of {RUNS}\n");
    text.push_str(&line("ananke status", ours));
    text.push_str(&line("kubectl get nodes,pods,kustomizations -A", theirs));
    text.push_str(&format!(
        "  ratio: {:.2} of the time (aim 0.33), {:.2} of the memory (aim 0.20)\n",
        ours.wall.as_secs_f64() / theirs.wall.as_secs_f64(),
        ours.peak / theirs.peak
    ));
    text.push_str(&line("a watch of everything (aim 64 MiB)", watching));
    text.push_str(&line("ananke startup --execute, with its journal", run));
    Ok(text)
}

fn serve(ananke: &Path) -> Result<Served, String> {
    let dir = std::env::temp_dir().join(format!("ananke-bench-{}", std::process::id()));
    fs::create_dir_all(&dir).map_err(|error| format!("cannot make {}: {error}", dir.display()))?;
    let mut command = Command::new(ananke);
    command.args(["sim", "up", "--scenario", "healthy", "--nodes", NODES, "--pods", PODS]).arg("--dir").arg(&dir);
    let child = command.stdout(Stdio::null()).spawn().map_err(|error| format!("cannot run ananke sim up: {error}"))?;
    let served = Served { child, dir };
    let begun = Instant::now();
    while !served.dir.join("ready").exists() {
        if begun.elapsed() > PATIENCE {
            return Err(format!("the simulated cluster was not ready after {PATIENCE:?}"));
        }
        sleep(Duration::from_millis(100));
    }
    Ok(served)
}

/// A config beside the whole one that knows the servers and a few workers only, and keeps its soak short.
fn fewer_hosts(whole: &Path) -> Result<PathBuf, String> {
    let failed = |error: std::io::Error| format!("cannot rewrite {}: {error}", whole.display());
    let text = fs::read_to_string(whole).map_err(failed)?;
    let mut kept = Vec::new();
    let mut hosts = 0;
    for line in text.lines() {
        if let Some(workers) = line.strip_prefix("workers: [") {
            let some: Vec<&str> = workers.trim_end_matches(']').split(", ").take(HOSTS - 3).collect();
            kept.push(format!("workers: [{}]", some.join(", ")));
        } else if line.starts_with("  titan-") {
            hosts += 1;
            if hosts <= HOSTS {
                kept.push(line.to_owned());
            }
        } else if line.starts_with("  soak:") {
            kept.push("  soak: 20s".to_owned());
        } else {
            kept.push(line.to_owned());
        }
    }
    let path = whole.with_file_name("bench.yaml");
    fs::write(&path, kept.join("\n")).map_err(failed)?;
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).map_err(failed)?;
    Ok(path)
}

/// Runs it to its end, its output to a file.
fn cost(mut command: Command, dir: &Path, expected: &[i32]) -> Result<Cost, String> {
    let name = format!("{command:?}");
    let failed = |error: std::io::Error| format!("cannot run {name}: {error}");
    let output = File::create(dir.join("output")).map_err(failed)?;
    let begun = Instant::now();
    let mut child = command.stdout(output).spawn().map_err(failed)?;
    let mut peak = 0.0_f64;
    let status = loop {
        peak = peak.max(high_water(child.id()).unwrap_or(0.0));
        if let Some(status) = child.try_wait().map_err(failed)? {
            break status;
        }
        sleep(LOOK);
    };
    if !status.code().is_some_and(|code| expected.contains(&code)) {
        return Err(format!("{name} ended with {status}"));
    }
    Ok(Cost { wall: begun.elapsed(), peak })
}

fn high_water(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse::<f64>().ok().map(|kib| kib / 1024.0)
}

/// By wall time and by memory, each on its own.
fn median(costs: Vec<Cost>) -> Cost {
    let middle = costs.len() / 2;
    let (mut walls, mut peaks): (Vec<Duration>, Vec<f64>) = costs.into_iter().map(|cost| (cost.wall, cost.peak)).unzip();
    walls.sort();
    peaks.sort_by(f64::total_cmp);
    Cost { wall: walls.get(middle).copied().unwrap_or_default(), peak: peaks.get(middle).copied().unwrap_or_default() }
}
