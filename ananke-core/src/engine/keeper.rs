//! The lease keeper: settles what runs left behind, for `ananke daemon` and for `ananke lease`.
//!
//! A sweep looks at the records on disk and at the nodes, and ends every lease whose time is over: given back where the
//! node is proved, else marked for a person. It starts no repair, and it leaves a live run's leases to that run.

mod listing;
mod release;
mod sweep;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::driver::{Hands, Reads};
use super::run_id;
use super::view::Trust;
use super::walk::{Plan, Walk};
use crate::lease::{LeaseState, Purpose};
use crate::name::{LeaseId, Moment, NodeName};
use crate::report::Command;
use crate::spec::Spec;
use sweep::{Live, Sweeper};

pub use listing::list;

/// A port call that has not come back by then counts as failed.
const CALL_DEADLINE: Duration = Duration::from_secs(60);
/// A sweep begins no other look, and no other order after a look, after this long: its daemon counts as stuck where it never
/// ends. The next one goes on.
const LONGEST: Duration = Duration::from_secs(60);
/// A sweep at least this often.
const EVERY: Duration = Duration::from_secs(60);
/// What a sweep does may leave something for the next look; this many looks are enough for any lease.
const ROUNDS: usize = 5;

/// Sweeps leases for as long as it lives. What it saw at one sweep proves something at the next, so a daemon keeps one.
#[derive(Debug)]
pub struct Keeper {
    spec: Spec,
    /// What was seen, and the leases; none before the first sweep, for a clock is asked then.
    walk: Option<Walk>,
    seq: u64,
}

/// What one sweep came to: each line is a sentence for a log or a screen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tick {
    pub at: Moment,
    /// Leases that were adopted, closed, given back or marked.
    pub done: Vec<String>,
    /// Leases whose time is over and that could not be settled yet; to be told loudly.
    pub overdue: Vec<String>,
    /// What was tried and failed; the next sweep tries it again.
    pub failed: Vec<String>,
    /// Seen and left alone: cordons of other clusters, of other Anankes, of live runs.
    pub notes: Vec<String>,
    /// Nodes that wait for a person, each with the sentence that they are marked with.
    pub manual: Vec<String>,
    /// When the next sweep is due: within a minute, sooner where a lease ends sooner.
    pub next: Moment,
}

/// What a person wants released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    Node(NodeName),
    Lease(LeaseId),
}

/// What a release came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Released {
    pub node: NodeName,
    /// What was taken away or closed, in sentences; empty where nothing of Ananke's stood there.
    pub done: Vec<String>,
}

/// A lease as `ananke lease list` shows it: the record on disk joined with the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    pub node: NodeName,
    /// None: a taint of Ananke's key whose value is no lease ID.
    pub lease: Option<LeaseId>,
    /// As the disk has it; none where only the node knows of the lease.
    pub state: Option<LeaseState>,
    pub purpose: Purpose,
    pub holder: String,
    pub reason: String,
    pub acquired: Option<Moment>,
    pub expires: Option<Moment>,
    /// Its window is over, by the clock that counts for it.
    pub expired: bool,
    /// Whether the node carries the taint; none where the nodes could not be read.
    pub on_node: Option<bool>,
    /// The sentence of the mark for manual action, as the node has it.
    pub manual: Option<String>,
    /// The command with which a person removes it without Ananke.
    pub remove_with: String,
}

/// The leases, and what could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// Those that stand or are outstanding first, then settled ones, newest first.
    pub leases: Vec<Listed>,
    /// One sentence each: the API or the disk did not answer, a cordon is another cluster's.
    pub notes: Vec<String>,
}

impl Keeper {
    pub fn new(spec: Spec) -> Self {
        Self { spec, walk: None, seq: 0 }
    }

    /// One sweep. It waits for ports and for nothing else; a port that does not answer ends in `failed` or `overdue`.
    pub async fn tick(&mut self, reads: Reads<'_>, hands: Hands<'_>) -> Tick {
        let now = reads.clock.now();
        let mut sweep = self.begin(reads, hands).await;
        let mut rounds = 0;
        while rounds < ROUNDS && (rounds == 0 || sweep.has_time(now)) && sweep.look().await && sweep.act().await {
            rounds = rounds.saturating_add(1);
        }
        sweep.give_back_coordination().await;
        sweep.finish()
    }

    async fn begin<'a>(&'a mut self, reads: Reads<'a>, hands: Hands<'a>) -> Sweeper<'a> {
        let now = reads.clock.now();
        let spec = &self.spec;
        let walk = self.walk.get_or_insert_with(|| {
            let plan = Plan { command: Command::Status, rows: Vec::new(), remedies: &[], latching: false, partial: true };
            Walk::new(plan, spec.clone(), run_id("keeper", now), now, Trust::Proven)
        });
        walk.actions.clear();
        walk.notes.clear();
        let mut tick = Tick {
            at: now,
            done: Vec::new(),
            overdue: Vec::new(),
            failed: Vec::new(),
            notes: Vec::new(),
            manual: Vec::new(),
            next: now.plus(EVERY),
        };
        match reads.state.leases().await {
            Ok(leases) => walk.leases = leases,
            Err(error) => tick.failed.push(format!("the leases on disk cannot be read: {error}")),
        }
        let live = Live::of(reads, now, walk.spec.intent_max_age).await;
        Sweeper { walk, seq: &mut self.seq, reads, hands, live, tick, coordinated: false }
    }
}
