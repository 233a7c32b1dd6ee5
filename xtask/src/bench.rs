//! Measurements, each beside a peer in the same run: what counts is the ratio, not the second.

mod daemon;
mod drill;
mod large_cluster;
mod ssh;

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often the memory of a process is looked at; the kernel keeps the peak, so only the very end can be missed.
const LOOK: Duration = Duration::from_millis(5);
/// The kernel counts processor time in this many ticks a second, for every process there is (`sysconf(_SC_CLK_TCK)`).
const TICKS: f64 = 100.0;

/// What one process took, with those that it started and waited for.
#[derive(Clone, Copy)]
struct Cost {
    wall: Duration,
    /// User and system time in seconds.
    cpu: f64,
    /// `VmHWM` of the process itself, in MiB.
    peak: f64,
}

pub(crate) fn run(which: Option<&str>) -> ExitCode {
    type Bench = (&'static str, fn() -> Result<String, String>);
    let all: [Bench; 4] =
        [("large-cluster", large_cluster::run), ("ssh", ssh::run), ("daemon", daemon::run), ("drill", drill::run)];
    let chosen: Vec<&Bench> = all.iter().filter(|(name, _)| which.is_none_or(|which| which == *name)).collect();
    if chosen.is_empty() {
        eprintln!("there is no bench of that name; there are large-cluster, ssh, daemon and drill");
        return ExitCode::from(2);
    }
    for (name, bench) in chosen {
        match bench() {
            Ok(text) => println!("\n{text}"),
            Err(why) => {
                eprintln!("bench {name}: {why}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

/// One line of a table.
fn line(name: &str, cost: Cost) -> String {
    format!("  {name:<44} {:>7.2} s  {:>7.2} s CPU  {:>7.1} MiB\n", cost.wall.as_secs_f64(), cost.cpu, cost.peak)
}

/// Runs it to its end, its output to a file.
fn cost(mut command: Command, dir: &Path, expected: &[i32]) -> Result<Cost, String> {
    let name = format!("{command:?}");
    let failed = |error: std::io::Error| format!("cannot run {name}: {error}");
    let output = File::create(dir.join("output")).map_err(failed)?;
    let (begun, used) = (Instant::now(), ticks());
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
    let wall = begun.elapsed();
    Ok(Cost { wall, cpu: (ticks() - used) / TICKS, peak })
}

/// Processor time of all children that were waited for: fields 16 and 17 of `/proc/self/stat`, counted after the name.
fn ticks() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(13).take(2);
    fields.filter_map(|field| field.parse::<f64>().ok()).sum()
}

fn high_water(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse::<f64>().ok().map(|kib| kib / 1024.0)
}

/// By each measure on its own.
fn median(costs: &[Cost]) -> Cost {
    let middle = |of: fn(&Cost) -> f64| {
        let mut all: Vec<f64> = costs.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all.get(costs.len() / 2).copied().unwrap_or_default()
    };
    let wall = Duration::from_secs_f64(middle(|cost| cost.wall.as_secs_f64()));
    Cost { wall, cpu: middle(|cost| cost.cpu), peak: middle(|cost| cost.peak) }
}
