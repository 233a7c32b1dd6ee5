//! An idle daemon beside `upsmon`: both watch the same UPS of a real upsd for ten minutes, and the daemon a cluster besides.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::{TICKS, high_water};
use crate::cargo::build_dist;

/// `BENCH_SECONDS` makes it shorter, for whoever changes this file.
const LASTS: Duration = Duration::from_secs(600);
/// What a process does when it starts is not idling.
const SETTLES: Duration = Duration::from_secs(20);
const STARTS: Duration = Duration::from_secs(60);

/// A process that ends with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _killed = self.0.kill();
        let _reaped = self.0.wait();
    }
}

pub(super) fn run() -> Result<String, String> {
    for (program, package) in [("/lib/nut/upsd", "nut-server"), ("/lib/nut/upsmon", "nut-client")] {
        if !Path::new(program).exists() {
            return Err(format!("{program} is missing: install {package}"));
        }
    }
    let lasts = std::env::var("BENCH_SECONDS").ok().and_then(|text| text.parse().ok()).map_or(LASTS, Duration::from_secs);
    let ananke = build_dist(&[])?;
    let dir = std::env::temp_dir().join(format!("ananke-bench-daemon-{}", std::process::id()));
    let measured = measure(&ananke, &dir, lasts);
    let _removed = fs::remove_dir_all(&dir);
    measured
}

fn measure(ananke: &Path, dir: &Path, lasts: Duration) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("prepare {}: {error}", dir.display());
    let (nut, lab) = (dir.join("nut"), dir.join("lab"));
    fs::create_dir_all(nut.join("state")).map_err(failed)?;
    let port = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).map_err(failed)?.port();
    let write = |name: &str, text: String| -> Result<(), String> {
        let file = nut.join(name);
        fs::write(&file, text).map_err(failed)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).map_err(failed)
    };
    write("ups.conf", "pollinterval = 2\n[rack]\n  driver = dummy-ups\n  port = rack.dev\n".to_owned())?;
    write("rack.dev", "ups.status: OL\nbattery.charge: 100\nbattery.runtime: 3000\n".to_owned())?;
    write("upsd.conf", format!("LISTEN 127.0.0.1 {port}\n"))?;
    write(
        "upsd.users",
        "[ananke]\n  password = secret\n  upsmon secondary\n[monitor]\n  password = secret\n  upsmon primary\n".to_owned(),
    )?;
    write(
        "upsmon.conf",
        format!("MONITOR rack@127.0.0.1:{port} 1 monitor secret primary\nSHUTDOWNCMD /bin/true\nRUN_AS_USER {}\n", user()?),
    )?;
    write("password", "secret\n".to_owned())?;
    let started = |program: &str, args: &[&str]| -> Result<Running, String> {
        let mut command = Command::new(program);
        command
            .args(args)
            .env("NUT_CONFPATH", &nut)
            .env("NUT_STATEPATH", nut.join("state"))
            .env("NUT_ALTPIDPATH", nut.join("state"));
        spawned(&mut command)
    };
    let user = user()?;
    let _driver = started("/lib/nut/dummy-ups", &["-a", "rack", "-F", "-u", &user])?;
    until("the driver", || nut.join("state/dummy-ups-rack").exists())?;
    let _server = started("/lib/nut/upsd", &["-F", "-u", &user])?;
    until("upsd", || TcpStream::connect(("127.0.0.1", port)).is_ok())?;

    let mut up = Command::new(ananke);
    let _lab = spawned(up.args(["sim", "up", "--scenario", "healthy", "--nodes", "12", "--dir"]).arg(&lab))?;
    until("the served cluster", || lab.join("ready").exists())?;
    let config = lab.join("ananke.yaml");
    let text = fs::read_to_string(&config).map_err(failed)?;
    let nut_keys = format!("nut: {{user: ananke, password_file: {}}}\n", nut.join("password").display());
    // The served cluster has batteries of its own, which no upsmon watches.
    let rest: String = text
        .lines()
        .filter(|line| !line.starts_with("ups:") && !line.starts_with("nut:"))
        .flat_map(|line| [line, "\n"])
        .collect();
    fs::write(&config, format!("ups: [rack@127.0.0.1:{port}]\n{nut_keys}{rest}")).map_err(failed)?;

    let mut daemon = Command::new(ananke);
    let daemon = spawned(daemon.args(["daemon", "--config"]).arg(&config))?;
    let upsmon = started("/lib/nut/upsmon", &["-F"])?;
    sleep(SETTLES);
    // upsmon keeps a second process, which waits as root for the shutdown.
    let of_upsmon = family(upsmon.0.id());
    let (watched, begun) = ([vec![daemon.0.id()], of_upsmon], Instant::now());
    let before = watched.each_ref().map(|pids| used(pids));
    sleep(lasts);
    let seconds = begun.elapsed().as_secs_f64();
    let mut out =
        format!("idle for {seconds:.0} s: one UPS; the daemon keeps the leases of 12 nodes and serves its page besides\n");
    for ((name, pids), before) in ["ananke daemon", "upsmon"].into_iter().zip(&watched).zip(before) {
        let cpu = used(pids) - before;
        let [resident, anonymous] = ["Rss:", "Anonymous:"].map(|of| pids.iter().filter_map(|pid| rollup(*pid, of)).sum::<f64>());
        let peak: f64 = pids.iter().filter_map(|pid| high_water(*pid)).sum();
        if resident <= 0.0 {
            return Err(format!("{name} did not live to the end"));
        }
        let percent = cpu * 100.0 / seconds;
        out.push_str(&format!(
            "  {name:<16} {resident:>6.1} MiB resident, {peak:.1} at most, {anonymous:.1} its own and the rest pages of files; \
             {cpu:.2} s CPU, {percent:.3} % of a core\n"
        ));
    }
    Ok(out)
}

fn spawned(command: &mut Command) -> Result<Running, String> {
    let name = format!("{command:?}");
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    child.map(Running).map_err(|error| format!("cannot run {name}: {error}"))
}

fn until(what: &str, mut is_there: impl FnMut() -> bool) -> Result<(), String> {
    let end = Instant::now() + STARTS;
    while !is_there() {
        if Instant::now() > end {
            return Err(format!("{what} was not there within {} s", STARTS.as_secs()));
        }
        sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// NUT changes to a user of its own otherwise, who cannot read our directory.
fn user() -> Result<String, String> {
    let out = Command::new("id").arg("-un").output().map_err(|error| format!("cannot run id: {error}"))?;
    Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned())
}

/// A process and its children.
fn family(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    std::iter::once(pid).chain(children.split_whitespace().filter_map(|pid| pid.parse().ok())).collect()
}

/// Processor time so far, in seconds: fields 14 and 15 of `/proc/PID/stat`.
fn used(pids: &[u32]) -> f64 {
    let of = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(2);
        fields.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>()
    };
    pids.iter().map(of).sum::<f64>() / TICKS
}

/// In MiB.
fn rollup(pid: u32, of: &str) -> Option<f64> {
    let all = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = all.lines().find_map(|line| line.strip_prefix(of))?;
    line.trim().strip_suffix(" kB")?.parse::<f64>().ok().map(|kib| kib / 1024.0)
}
