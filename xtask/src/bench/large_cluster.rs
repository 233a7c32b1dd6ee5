//! A large cluster: `ananke status` beside kubectl, and what a watch and a run keep in memory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::{cost, line, median};
use crate::cargo::{build_dist, build_example};

const NODES: &str = "5000";
const PODS: &str = "50000";
/// Hosts that are asked over SSH too: the rest of the cluster is known by its API only, as it is to the peer.
const HOSTS: usize = 10;
const RUNS: usize = 3;
/// Seconds; kubelets renew their Leases every ten.
const WATCHED: &str = "60";
/// For a world of that size to come up.
const PATIENCE: Duration = Duration::from_secs(180);

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

pub(super) fn run() -> Result<String, String> {
    let ananke = build_dist(&[])?;
    let watch = build_example("ananke-k8s", "watch")?;
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
    let mut watch = Command::new(watch);
    watch.arg(&kubeconfig).arg(WATCHED);
    let watching = cost(watch, &served.dir, &[0])?;
    let mut startup = Command::new(&ananke);
    startup.arg("startup").arg("--execute").arg("--config").arg(&config);
    let run = cost(startup, &served.dir, &[0])?;
    let (ours, theirs) = (median(&ours), median(&theirs));
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
