//! Flags and subcommands.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args as Group, Parser, Subcommand, ValueEnum};

use crate::exit::Exit;

/// Brings a Kubernetes cluster back on its feet after power trouble, from a host outside it.
///
/// Exit codes: 0 done, 1 internal error, 2 usage or config, 3 a gate did not pass in time or nothing answered, 4 a person is
/// needed, 5 refused by a guard or for want of a right, 6 a rule was broken in a drill, 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "ananke", version, max_term_width = 110)]
pub struct Args {
    /// Log more to standard error: -v what moves, -vv each call.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Look once at every gate: what is down, and why. Changes nothing.
    Status(Status),
    /// Walk the start-up gates. Without --execute nothing is changed: it says what it would do.
    Startup(Startup),
    /// Walk the shutdown phases. Without --execute nothing is changed: it says what it would do.
    Shutdown(Shutdown),
    /// Find bootstrap circles and unsafe settings of a cluster that is well. Changes nothing.
    ///
    /// Exit codes: 0 nothing was found, 3 something was, or the cluster did not answer.
    Doctor(Doctor),
    /// Write what doctor and the gates look at into a file, without Secrets. Changes nothing.
    Snapshot(Snapshot),
    /// Recover a simulated cluster on virtual time; needs no cluster.
    Drill(Drill),
    /// Serve a simulated cluster on loopback sockets, and act on it.
    #[command(subcommand)]
    Sim(Sim),
    /// Check or explain the config.
    #[command(subcommand)]
    Config(Config),
    /// Read or clear what was last wanted of the cluster.
    #[command(subcommand)]
    Intent(Intent),
    /// Show or give back the cordons that Ananke placed.
    #[command(subcommand)]
    Lease(Lease),
    /// Say that a machine has no power, as you saw with your own eyes: what ran on it counts as over.
    ConfirmOff(ConfirmOff),
    /// Watch the batteries, stop and start the cluster by them, and end every lease whose time is over.
    Daemon(Daemon),
    /// Hold the daemon back for a while, as for work on a UPS: it watches and tells, and stops or starts nothing.
    Pause(Pause),
    /// Let the daemon go on.
    Resume(Resume),
    /// What another Ananke of this cluster asks, over SSH.
    #[command(subcommand)]
    Peer(Peer),
    /// Print the report of the last run.
    Report(Report),
    /// Say why a gate holds, from the last run's own record; the cluster is not asked.
    Explain(Explain),
    /// Make every verdict and order of a journal again from what was seen, and fail at the first difference.
    Replay(Replay),
    /// Take a new Ananke from its Git repository, if it builds, passes the gate and is well; otherwise the old one goes on.
    Update(Update),
    /// Print what a shell needs to complete the command line.
    Completions(Completions),
    /// Print the manual page, or write it and those of the subcommands.
    Man(Man),
}

#[derive(Debug, Clone, Group)]
pub struct WithConfig {
    /// Config file.
    #[arg(long, value_name = "FILE", default_value = "/etc/ananke/ananke.yaml")]
    pub config: PathBuf,
}

#[derive(Debug, Clone, Group)]
pub struct Output {
    /// Output format.
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    pub output: Format,
}

#[derive(Debug, Group)]
pub struct Explain {
    /// A gate, a node, namespace/name of an object, a URL; without it every gate that has not passed.
    #[arg(value_name = "GATE|NODE|OBJECT")]
    pub what: Option<String>,
    /// The run to explain; without it the newest that acted.
    #[arg(long, value_name = "RUN")]
    pub run: Option<String>,
    /// Explain what `ananke snapshot` saw, by the gates of a start-up; neither config nor state is read.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["run", "config"])]
    pub snapshot: Option<PathBuf>,
    #[command(flatten)]
    pub config: WithConfig,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Debug, Group)]
pub struct Replay {
    /// `journal/<run>.jsonl` of a state directory, or a copy of it.
    pub journal: PathBuf,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Text,
    Json,
}

#[derive(Debug, Group)]
pub struct Status {
    #[command(flatten)]
    pub config: WithConfig,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Debug, Group)]
pub struct Startup {
    #[command(flatten)]
    pub config: WithConfig,
    #[command(flatten)]
    pub output: Output,
    /// Act. Without it, this is a dry run.
    #[arg(long)]
    pub execute: bool,
    /// For the unit at boot: do nothing where the cluster is down because a person wanted it so, where the daemon is held
    /// back, and where a battery stopped it, which the daemon undoes.
    #[arg(long, conflicts_with_all = ["only", "until"])]
    pub if_owed: bool,
    /// Put the Flux source on this branch.
    #[arg(long, value_name = "BRANCH")]
    pub force_flux_branch: Option<String>,
    /// Start although a UPS is on battery or not charged.
    #[arg(long)]
    pub allow_on_battery: bool,
    /// Start although this host is configured as a peer.
    #[arg(long)]
    pub allow_peer_startup: bool,
    /// On a peer: hand the start-up to the other Ananke, and start from here only if that one does not answer for guard_wait.
    #[arg(long, conflicts_with = "allow_peer_startup")]
    pub auto_peer_failover: bool,
    /// Judge and repair this gate alone, behind the guards.
    #[arg(long, value_name = "GATE", conflicts_with = "until")]
    pub only: Option<String>,
    /// Stop when this gate has passed.
    #[arg(long, value_name = "GATE")]
    pub until: Option<String>,
}

#[derive(Debug, Group)]
pub struct Shutdown {
    #[command(flatten)]
    pub config: WithConfig,
    #[command(flatten)]
    pub output: Output,
    /// Act. Without it, this is a dry run.
    #[arg(long)]
    pub execute: bool,
    /// Why, for the intent and the report.
    #[arg(long, default_value = "operator request")]
    pub reason: String,
    /// What is stopped.
    #[arg(long, value_enum, default_value_t = Mode::ClusterOnly)]
    pub mode: Mode,
    /// Neither cordon nor drain: stop the nodes as they are.
    #[arg(long)]
    pub skip_drain: bool,
    /// Take no snapshot of etcd.
    #[arg(long)]
    pub skip_etcd_snapshot: bool,
    /// Be over within this time, as on a battery, such as 10m. Phases are cut short in order of value, and the report says
    /// which; stopping k3s and giving cordons back never are.
    #[arg(long, value_name = "DURATION", value_parser = within)]
    pub within: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// k3s on every node; the hosts stay on.
    ClusterOnly,
    /// k3s on every node, then the hosts, workers first; with `shutdown.poweroff_this_host` this host last of all.
    Poweroff,
}

#[derive(Debug, Group)]
pub struct Doctor {
    /// Config file; /etc/ananke/ananke.yaml, or none with --snapshot.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Look at what `ananke snapshot` wrote; no cluster is asked.
    #[arg(long, value_name = "FILE")]
    pub snapshot: Option<PathBuf>,
    /// Output format; dot and svg draw the circles.
    #[arg(short, long, value_enum, default_value_t = DoctorFormat::Text)]
    pub output: DoctorFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DoctorFormat {
    Text,
    Json,
    Dot,
    Svg,
}

#[derive(Debug, Group)]
pub struct Snapshot {
    #[command(flatten)]
    pub config: WithConfig,
    /// The file to write; what stands there is replaced in one step.
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
}

#[derive(Debug, Group)]
pub struct Drill {
    #[command(flatten)]
    pub output: Output,
    /// Where the world begins.
    #[arg(long, default_value = "power-loss")]
    pub scenario: String,
    /// Every trap that Ananke knows, with its class and how its drill ends.
    #[arg(long, conflicts_with_all = ["scenario", "seed", "seeds", "nodes", "inject", "trap"])]
    pub list: bool,
    /// A power loss with that trap in it, as --list names it.
    #[arg(long, value_name = "ID", conflicts_with = "scenario")]
    pub trap: Option<String>,
    /// The one source of chance: the same seed is the same drill.
    #[arg(long, default_value_t = 1, conflicts_with = "seeds")]
    pub seed: u64,
    /// Many drills: A..B, B left out.
    #[arg(long, value_name = "A..B", value_parser = seeds)]
    pub seeds: Option<std::ops::Range<u64>>,
    /// Whole stories of what can happen, each drawn from its seed: trouble of many kinds, people, a second Ananke, then calm.
    #[arg(long, conflicts_with_all = ["scenario", "trap", "nodes", "inject", "from", "list", "merge", "compare"])]
    pub swarm: bool,
    /// A story from a file, as --swarm prints it.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["scenario", "trap", "nodes", "inject", "from", "list", "merge", "swarm", "seed", "seeds"])]
    pub replay: Option<PathBuf>,
    /// Drills at the same time; as many as there are cores, unless this is told.
    #[arg(long, value_name = "N", requires = "seeds")]
    pub jobs: Option<std::num::NonZero<usize>>,
    /// Only this part of the seeds, of so many; parts are counted from 0.
    #[arg(long, value_name = "I/N", value_parser = shard, requires = "seeds")]
    pub shard: Option<Shard>,
    /// Beside each drill, the shortest time that its world allows, and the time that others take in it.
    #[arg(long, requires = "seeds")]
    pub compare: bool,
    /// Put together what the parts of a campaign wrote with -o json. Where one is missing or empty, the exit code is 3 at least.
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["scenario", "seed", "seeds", "nodes", "inject", "trap", "from"])]
    pub merge: Vec<PathBuf>,
    /// Write a page with pictures there too.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Drill the cluster of a file that `ananke snapshot` wrote, in the place of the simulator's own.
    #[arg(long, value_name = "FILE", conflicts_with = "nodes")]
    pub from: Option<PathBuf>,
    /// Nodes of the cluster; three of them are servers.
    #[arg(long)]
    pub nodes: Option<usize>,
    /// Trouble from the beginning, as `ananke sim faults` lists it; may be repeated.
    #[arg(long, value_name = "FAULT[=NODE]")]
    pub inject: Vec<String>,
}

/// A part of a range of seeds: every `of`th from the `index`th on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    pub index: u64,
    pub of: u64,
}

impl Default for Shard {
    fn default() -> Self {
        Self { index: 0, of: 1 }
    }
}

impl std::fmt::Display for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

#[derive(Debug, Subcommand)]
pub enum Sim {
    /// Serve a simulated cluster until interrupted: Kubernetes API, SSH, HTTP.
    Up {
        /// Directory for kubeconfig, keys, known_hosts and ananke.yaml; the file `ready` in it appears when all answers.
        #[arg(long)]
        dir: PathBuf,
        /// Where the world begins, as `ananke sim faults` lists it.
        #[arg(long, default_value = "power-loss")]
        scenario: String,
        /// Nodes of the cluster; three of them are servers.
        #[arg(long)]
        nodes: Option<usize>,
        /// At least about so many pods.
        #[arg(long)]
        pods: Option<usize>,
        /// The same seed makes the same world.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Simulated seconds in a second.
        #[arg(long, default_value_t = 1)]
        speed: u32,
    },
    /// Cut or restore mains.
    Power {
        #[arg(value_enum)]
        what: Power,
        #[arg(long)]
        dir: PathBuf,
        #[command(flatten)]
        output: Output,
    },
    /// Make something go wrong.
    Inject {
        /// As `ananke sim faults` lists it.
        fault: String,
        #[arg(long)]
        dir: PathBuf,
        /// Where; for faults of one node.
        #[arg(long)]
        node: Option<String>,
        /// How long, in virtual seconds; for faults of the API, which last 60 unless this is told.
        #[arg(long)]
        seconds: Option<u32>,
        #[command(flatten)]
        output: Output,
    },
    /// List what can be injected, and the scenarios.
    Faults {
        #[command(flatten)]
        output: Output,
    },
    /// What is true of the simulated cluster, whatever its API says.
    Truth {
        #[arg(long)]
        dir: PathBuf,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Power {
    /// Mains fail; the UPSes carry the hosts for a while.
    Cut,
    Restore,
}

#[derive(Debug, Subcommand)]
pub enum Config {
    /// Read the config as a run would, ask the cluster, each host, UPS, peer and Vault once, and say what cannot work.
    Check {
        /// Only read it: nothing is connected to.
        #[arg(long)]
        offline: bool,
        #[command(flatten)]
        config: WithConfig,
        #[command(flatten)]
        output: Output,
    },
    /// Print every key with its default.
    Reference,
    /// Print the config as JSON Schema, for editors.
    Schema,
    /// Print a commented config for the cluster of a kubeconfig: its nodes, their addresses and its Flux source are filled in.
    Init {
        #[arg(long, value_name = "FILE", default_value = "/etc/rancher/k3s/k3s.yaml")]
        kubeconfig: PathBuf,
        /// Write it there, unless that file exists.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Show the host key of a node, and write it to the known hosts if you say that it is the right one.
    Trust {
        /// It is asked directly, without the jump host.
        node: String,
        /// Write it without asking: you compared it.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        config: WithConfig,
    },
    /// Print the sudoers lines that the SSH user needs on the nodes: these commands and no others.
    Sudoers {
        #[command(flatten)]
        config: WithConfig,
    },
}

#[derive(Debug, Subcommand)]
pub enum Intent {
    /// Print it.
    Show {
        #[command(flatten)]
        config: WithConfig,
        #[command(flatten)]
        output: Output,
    },
    /// Forget it: a start-up is allowed again.
    Clear {
        #[command(flatten)]
        config: WithConfig,
    },
}

#[derive(Debug, Subcommand)]
pub enum Lease {
    /// Every lease that the disk or a node knows of.
    List {
        #[command(flatten)]
        config: WithConfig,
        #[command(flatten)]
        output: Output,
    },
    /// One lease, or all of one node.
    Show {
        /// A node, or the ID of a lease.
        #[arg(value_name = "NODE|ID")]
        what: String,
        #[command(flatten)]
        config: WithConfig,
        #[command(flatten)]
        output: Output,
    },
    /// Take Ananke's cordon and its mark for a person from a node. It acts at once; what people put there stays.
    Release {
        /// A node, or the ID of a lease.
        #[arg(value_name = "NODE|ID")]
        what: String,
        #[command(flatten)]
        config: WithConfig,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Debug, Group)]
#[command(group = clap::ArgGroup::new("wanted").required(true))]
pub struct ConfirmOff {
    /// The node whose machine is off. Refused while it shows any life.
    #[arg(group = "wanted")]
    pub node: Option<String>,
    /// List the machines that are noted as off.
    #[arg(long, group = "wanted")]
    pub list: bool,
    /// Take back what was noted of this node.
    #[arg(long, value_name = "NODE", group = "wanted")]
    pub clear: Option<String>,
    #[command(flatten)]
    pub config: WithConfig,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Debug, Group)]
pub struct Pause {
    /// How long, such as 2h, up to 24h.
    #[arg(long = "for", value_name = "DURATION", value_parser = within)]
    pub span: Duration,
    /// Why, for whoever looks.
    #[arg(long)]
    pub reason: String,
    #[command(flatten)]
    pub config: WithConfig,
}

#[derive(Debug, Group)]
pub struct Resume {
    #[command(flatten)]
    pub config: WithConfig,
}

#[derive(Debug, Group)]
pub struct Daemon {
    #[command(flatten)]
    pub config: WithConfig,
}

#[derive(Debug, Subcommand)]
pub enum Peer {
    /// Answer what a peer may ask and nothing else: the forced command of its key in authorized_keys here.
    Answer,
    /// Have the daemon here shut the cluster down.
    Shutdown {
        /// What the asking one's batteries still give, such as 540s.
        #[arg(long, value_name = "DURATION", value_parser = within)]
        within: Option<Duration>,
        #[command(flatten)]
        config: WithConfig,
    },
    /// Have the daemon here start the cluster, if power had it shut down.
    Startup {
        #[command(flatten)]
        config: WithConfig,
    },
}

#[derive(Debug, Group)]
pub struct Report {
    /// Of which command; the newest of both where none is named.
    #[arg(value_enum)]
    pub of: Option<ReportOf>,
    #[command(flatten)]
    pub config: WithConfig,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportOf {
    Startup,
    Shutdown,
}

#[derive(Debug, Group)]
pub struct Update {
    #[command(flatten)]
    pub config: WithConfig,
    /// Only say whether there is something new.
    #[arg(long, conflicts_with_all = ["again", "allow_rewind"])]
    pub check: bool,
    /// Also take what is installed, or was put back before.
    #[arg(long)]
    pub again: bool,
    /// Also take a commit that does not go on from the one that is installed.
    #[arg(long)]
    pub allow_rewind: bool,
}

#[derive(Debug, Group)]
pub struct Completions {
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

#[derive(Debug, Group)]
pub struct Man {
    /// Write ananke.1 and a page for each subcommand into this directory, which is there.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Help and version are success, everything else that clap refuses is a usage error.
pub fn parse() -> Result<Args, ExitCode> {
    Args::try_parse().map_err(|error| {
        let code = if error.use_stderr() { Exit::Usage } else { Exit::Done };
        // Nothing is left to be told if the terminal is gone.
        error.print().unwrap_or_default();
        code.into()
    })
}

fn within(text: &str) -> Result<Duration, String> {
    let day = Duration::from_secs(24 * 3600);
    let parsed = text.parse::<jiff::SignedDuration>().ok().and_then(|parsed| Duration::try_from(parsed).ok());
    parsed
        .filter(|parsed| !parsed.is_zero() && *parsed <= day)
        .ok_or_else(|| "a duration with its unit, such as 90s or 10m, up to 24h".to_owned())
}

fn seeds(text: &str) -> Result<std::ops::Range<u64>, String> {
    let parsed = text.split_once("..").and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    match parsed {
        Some((a, b)) if a < b => Ok(a..b),
        Some(_) | None => Err(format!("expected A..B with A below B, e.g. 0..200; found {text:?}")),
    }
}

fn shard(text: &str) -> Result<Shard, String> {
    let parsed = text.split_once('/').and_then(|(index, of)| Some(Shard { index: index.parse().ok()?, of: of.parse().ok()? }));
    match parsed {
        Some(shard) if shard.index < shard.of => Ok(shard),
        Some(_) | None => Err(format!("expected I/N with I from 0 to N-1, e.g. 0/8; found {text:?}")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_flags_are_consistent() {
        Args::command().debug_assert();
        assert_eq!(seeds("0..200"), Ok(0..200));
        assert!(seeds("5..5").is_err() && seeds("x..1").is_err() && seeds("7").is_err());
    }

    #[test]
    fn the_daily_commands_work_to_the_letter() {
        for line in [
            "ananke status --config /etc/ananke/ananke.yaml",
            "ananke startup --config /etc/ananke/ananke.yaml --execute --force-flux-branch main",
            "ananke shutdown --config /etc/ananke/ananke.yaml --execute --reason graceful-maintenance --mode cluster-only",
        ] {
            assert!(Args::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
    }
}
