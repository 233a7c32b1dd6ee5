//! What may never happen, one rule a file. A rule looks at the world and at what was ordered, never at Ananke's opinion of
//! itself: all of that stands in a [`Record`], so that each rule is a pure function.

mod bounded;
mod budgets;
mod dry_run;
mod fresh;
mod guards;
mod harm;
mod journal;
mod leases;
mod people;
mod plans;
mod quorum;
mod reasons;
mod secrets;
mod shutdown;
mod stop;
mod success;
#[cfg(test)]
mod testing;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ananke_core::lease::{MANUAL_ANNOTATION, TAINT_KEY};
use ananke_core::name::{Moment, NodeName, RunId};
use ananke_core::order::Order;
use ananke_core::report::{Command, GateReport, GateStatus, Outcome, Report};
use ananke_core::verdict::{GateId, Trap};
use serde::{Deserialize, Serialize};

pub use secrets::SECRET;

use crate::fault::Fault;
use crate::world::{Ms, World};

/// What in a record breaks a rule, one line each.
pub type Rule = fn(&Record) -> Vec<String>;

/// Every rule by its name.
pub const ALL: &[(&str, Rule)] = &[
    ("leases", leases::check),
    ("people", people::check),
    ("dry-run", dry_run::check),
    ("journal", journal::check),
    ("guards", guards::check),
    ("plans", plans::check),
    ("budgets", budgets::check),
    ("quorum", quorum::check),
    ("fresh", fresh::check),
    ("harm", harm::check),
    ("reasons", reasons::check),
    ("secrets", secrets::check),
    ("success", success::check),
    ("stop", stop::check),
    ("shutdown", shutdown::check),
    (BOUNDED, bounded::check),
];

/// The one rule of which a break is no forbidden state: nothing bad was done, and nothing good either.
pub const BOUNDED: &str = "bounded";

/// A rule that was broken, and how.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Violation {
    pub checker: String,
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.checker, self.text)
    }
}

/// What happened in a run, in order.
#[derive(Debug, Clone, Default)]
pub struct Record {
    pub events: Vec<Event>,
}

#[derive(Debug, Clone)]
pub struct Event {
    pub at: Ms,
    pub what: What,
}

#[derive(Debug, Clone)]
pub enum What {
    /// A run of the Ananke of that name began.
    Began {
        by: &'static str,
        command: Command,
    },
    /// Its machine died, and whatever ran there.
    Died {
        by: &'static str,
    },
    /// An order left for the world.
    Sent(Box<Sent>),
    /// The auditor of plans objects to an order that is about to be sent.
    Objected(String),
    /// A gate moved.
    Gate {
        gate: GateId,
        status: GateStatus,
        text: String,
    },
    Ended(Box<Ended>),
    /// A fault came into the world.
    Struck(Fault),
    /// A gate named a trap, or the daemon met it.
    Met(Trap),
    /// Somebody did something that made things worse.
    Harmed(String),
    /// How the cluster looks now.
    Looked(Look),
    Wished(Wish),
    /// A dry run was over, and this is different from before it.
    DryRun {
        changed: Vec<String>,
    },
    /// A run did not end, or all of them came to nothing.
    Stuck(String),
}

/// What a person wants, until they want otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    Cordoned(NodeName, bool),
    Suspended(String, bool),
    Scaled(String, u32),
    /// Everything that they did is taken back.
    Nothing,
}

#[derive(Debug, Clone)]
pub struct Sent {
    pub by: &'static str,
    pub run: RunId,
    pub seq: u64,
    pub order: Order,
    pub scene: Scene,
}

/// What is true while an order leaves.
#[derive(Debug, Clone)]
pub struct Scene {
    /// The journal has this order under this number.
    pub journaled: bool,
    pub disk_full: bool,
    /// Where it is a cordon: its lease is on disk.
    pub lease_on_disk: bool,
    /// Who holds the coordination Lease.
    pub coordinator: Option<String>,
    /// Nodes under a cordon of Ananke.
    pub cordons: usize,
    pub servers: BTreeSet<NodeName>,
    /// Servers whose unit runs, as far as anybody can know.
    pub servers_up: BTreeSet<NodeName>,
    /// How long mains have been away.
    pub on_battery: Option<Ms>,
    /// Of the weakest battery, in percent.
    pub charge: i64,
    /// The Flux source was fetched in this life of the cluster.
    pub fetched: bool,
    /// Whoever runs this Ananke lets it set the branch of the source.
    pub forces_branch: bool,
}

/// A run is over, and so the world is then.
#[derive(Debug, Clone)]
pub struct Ended {
    pub by: &'static str,
    pub report: Report,
    pub truth: Truth,
    /// Nothing has befallen the world since before it looked last: it can be held to its word.
    pub quiet: bool,
    /// It began when all was calm, and none comes after it.
    pub last: bool,
}

#[derive(Debug, Clone, Default)]
pub struct Truth {
    /// What could be well and is not.
    pub wrong: Vec<String>,
    /// Nodes that nobody brings back from afar.
    pub needed: Vec<NodeName>,
    /// No machine decides it.
    pub choice: bool,
    /// The source is left on another branch.
    pub other_branch: bool,
    /// Hosts on which something of the cluster can write.
    pub writing: Vec<NodeName>,
    /// How many there are.
    pub nodes: usize,
    /// Those with which anything is wrong at all.
    pub sick: Vec<NodeName>,
    /// Nodes on which Ananke's mark asks for a person.
    pub marked: Vec<NodeName>,
    /// Nodes under a cordon of Ananke.
    pub tainted: Vec<NodeName>,
    /// Who cordoned a node under a lease, as the node has it.
    pub holders: BTreeMap<NodeName, String>,
}

/// The cluster as those see it who did not do anything to it.
#[derive(Debug, Clone, Default)]
pub struct Look {
    /// By the clock on the wall.
    pub wall: Option<Moment>,
    pub api: bool,
    pub unschedulable: BTreeSet<NodeName>,
    pub suspended: BTreeSet<String>,
    pub replicas: BTreeMap<String, u32>,
    /// Cordons of Ananke: when each is over, as far as the node tells, and whether a person was asked to see to it.
    pub cordons: BTreeMap<NodeName, (Option<Moment>, bool)>,
}

impl Truth {
    pub fn of(world: &World) -> Self {
        Self {
            wrong: world.truly_healthy().err().unwrap_or_default(),
            needed: world.person_needed(),
            choice: choice_for_a_person(world),
            other_branch: &*world.source().branch != "main",
            nodes: world.nodes().len(),
            sick: world.sick(),
            marked: marked(world),
            tainted: tainted(world),
            holders: holders(world),
            writing: world
                .hosts()
                .iter()
                .enumerate()
                .filter(|(row, _)| world.writes(*row))
                .map(|(_, host)| host.name.clone())
                .collect(),
        }
    }
}

fn marked(world: &World) -> Vec<NodeName> {
    let marked = world.nodes().iter().filter(|node| node.annotations.contains_key(MANUAL_ANNOTATION));
    marked.map(|node| node.name.clone()).collect()
}

fn tainted(world: &World) -> Vec<NodeName> {
    let tainted = world.nodes().iter().filter(|node| node.taints.iter().any(|taint| &*taint.key == TAINT_KEY));
    tainted.map(|node| node.name.clone()).collect()
}

fn holders(world: &World) -> BTreeMap<NodeName, String> {
    world.nodes().iter().filter_map(|node| Some((node.name.clone(), node.lease()?.holder))).collect()
}

/// What no machine decides: another branch, a program that crashes, a volume without a good replica, a webhook or a release
/// that stands in its own way.
fn choice_for_a_person(world: &World) -> bool {
    let crashing = world.workloads().iter().any(|workload| workload.crashing || workload.is_lost());
    &*world.source().branch != "main"
        || crashing
        || world.decision_wanted()
        || world.volumes().iter().any(|volume| volume.faulted)
}

impl Record {
    /// A run that nobody looked at but at its end.
    pub fn of_end(world: &World, report: &Report) -> Self {
        let ended = Ended { by: "titan-db", report: report.clone(), truth: Truth::of(world), quiet: true, last: true };
        let harm = world.harm().iter().cloned().map(What::Harmed);
        let events = std::iter::once(What::Ended(Box::new(ended))).chain(harm);
        Self { events: events.map(|what| Event { at: world.now(), what }).collect() }
    }

    pub fn note(&mut self, at: Ms, what: What) {
        self.events.push(Event { at, what });
    }

    /// What breaks a rule, each once.
    pub fn violations(&self) -> Vec<Violation> {
        let mut found: Vec<Violation> = Vec::new();
        for (checker, check) in ALL {
            for text in check(self) {
                let violation = Violation { checker: (*checker).to_owned(), text };
                if !found.contains(&violation) {
                    found.push(violation);
                }
            }
        }
        found
    }

    fn sent(&self) -> impl Iterator<Item = (Ms, &Sent)> {
        self.events.iter().filter_map(|event| match &event.what {
            What::Sent(sent) => Some((event.at, &**sent)),
            _ => None,
        })
    }

    /// Start-ups that came to their end.
    fn ends(&self) -> impl Iterator<Item = &Ended> {
        self.all_ends().filter(|ended| ended.report.command == Command::Startup)
    }

    fn all_ends(&self) -> impl Iterator<Item = &Ended> {
        self.events.iter().filter_map(|event| match &event.what {
            What::Ended(ended) => Some(&**ended),
            _ => None,
        })
    }
}
