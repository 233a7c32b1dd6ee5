//! Progress and reports as data: what `startup-progress.json` and the last reports hold, and what commands print.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::name::{Moment, NodeName, RunId, Subject};
use crate::verdict::{GateId, Reason, Trap};

pub const SCHEMA: u32 = 1;

/// What a run was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    Startup,
    Shutdown,
    Status,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Everything passed.
    Done,
    /// Everything that can be had is there; the rest needs a person.
    Manual,
    /// A gate did not pass in time.
    Failed,
    /// A guard refused.
    Refused,
    /// A shutdown took over.
    Yielded,
    /// Interrupted by the operator.
    Interrupted,
}

/// Where a gate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GateStatus {
    /// What it requires has not passed.
    Pending,
    Holding,
    Unknown,
    Passed,
    /// What it still misses is a person's job; what does not need that goes on.
    Manual,
    NotApplicable,
    /// Given up for what comes after it: the whole must be over by a given time.
    CutShort,
    /// Its deadline passed.
    Failed,
}

impl GateStatus {
    /// As reports have it.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Holding => "holding",
            Self::Unknown => "unknown",
            Self::Passed => "passed",
            Self::Manual => "manual",
            Self::NotApplicable => "not-applicable",
            Self::CutShort => "cut-short",
            Self::Failed => "failed",
        }
    }
}

/// A gate in a progress file or a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateReport {
    pub id: GateId,
    pub status: GateStatus,
    /// From when it could be judged in earnest (what it requires had passed) until it settled, or until now.
    #[serde(rename = "seconds", with = "seconds")]
    pub took: Duration,
    /// What it took in the middle one of the runs before this one; none where there is no history yet.
    #[serde(rename = "normal_seconds", with = "maybe_seconds", skip_serializing_if = "Option::is_none", default)]
    pub normal: Option<Duration>,
    /// From the start of the run to its passing.
    #[serde(rename = "passed_after_seconds", with = "maybe_seconds", skip_serializing_if = "Option::is_none", default)]
    pub passed_after: Option<Duration>,
    pub subjects_passed: u64,
    pub subjects: u64,
    /// The evidence, or what it waits for, in one line.
    pub text: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blockers: Vec<BlockerReport>,
    /// How often it fell back after it had passed.
    pub regressions: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockerReport {
    pub subject: Subject,
    /// None where it is not known.
    pub reason: Option<Reason>,
    /// What it was recognised as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trap: Option<Trap>,
    pub text: String,
}

/// An order that was carried out, or tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionReport {
    pub at: Moment,
    /// [`crate::order::Order::verb`].
    pub verb: String,
    pub subject: Subject,
    /// The order in words.
    pub text: String,
    pub why: String,
    pub outcome: ActionOutcome,
    /// What it is about; none for what is no trap's remedy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trap: Option<Trap>,
    /// What it came to, for a trap's remedy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
}

/// What a gate said of a subject when something was done about it, and what it says at the end of the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    pub gate: GateId,
    pub subject: Subject,
    pub before: String,
    /// Empty as long as the run goes on.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub after: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActionOutcome {
    /// Dry run: it would have been done.
    Planned,
    /// Sent, with no answer yet; after a crash it may or may not have happened.
    Sent,
    Done,
    Failed(String),
}

/// One concrete thing for a person to do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ManualAction {
    pub subject: Subject,
    pub gate: GateId,
    pub reason: Option<Reason>,
    /// What it was recognised as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trap: Option<Trap>,
    pub found: String,
    pub instruction: String,
    /// Parts of the cluster that wait for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holds_back: Vec<Subject>,
}

/// `startup-progress.json`: where a run stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    pub schema: u32,
    pub run: RunId,
    pub command: Command,
    pub dry_run: bool,
    pub started: Moment,
    pub updated: Moment,
    /// None while the run goes on, and for ever if it died.
    pub outcome: Option<Outcome>,
    /// What remains, if the rest goes as it did in the runs before; none where there is no history yet.
    #[serde(rename = "eta_seconds", with = "maybe_seconds", skip_serializing_if = "Option::is_none", default)]
    pub remaining: Option<Duration>,
    pub gates: Vec<GateReport>,
    pub actions: Vec<ActionReport>,
    /// Runs before this one that died on the same job, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<EarlierRun>,
    /// Reboots that runs before those ordered: no new start-up orders them again for a while.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reboots: Vec<ActionReport>,
    /// What Flux proved before proves nothing of this life of the cluster, which began with the end of a shutdown or of an API;
    /// none where only the hosts' boots tell when that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proofs_from: Option<Moment>,
}

/// What is known of a run that died.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlierRun {
    pub run: RunId,
    pub started: Moment,
    pub last_seen: Moment,
    pub gates_passed: Vec<GateId>,
    pub actions: Vec<ActionReport>,
}

/// One line of `runs.jsonl`: how long a run and its gates took, so that the next one can say what is normal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastRun {
    pub schema: u32,
    pub run: RunId,
    pub command: Command,
    pub started: Moment,
    pub outcome: Outcome,
    pub seconds: u64,
    /// Seconds from the opening of each gate to its settling, of those that passed.
    pub gates: BTreeMap<GateId, u64>,
}

/// `last-startup-report.json`, `last-shutdown-report.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub schema: u32,
    pub run: RunId,
    pub command: Command,
    pub dry_run: bool,
    pub reason: String,
    pub started: Moment,
    pub ended: Moment,
    #[serde(rename = "seconds", with = "seconds")]
    pub took: Duration,
    /// What a whole run took in the middle one of those before this one; none where there is no history yet.
    #[serde(rename = "normal_seconds", with = "maybe_seconds", skip_serializing_if = "Option::is_none", default)]
    pub normal: Option<Duration>,
    pub outcome: Outcome,
    /// One line: what came of it.
    pub summary: String,
    pub gates: Vec<GateReport>,
    pub actions: Vec<ActionReport>,
    pub manual: Vec<ManualAction>,
    /// Seen and reported, not waited for: foreign cordons, foreign suspensions, pinned sources.
    pub notes: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<EarlierRun>,
    /// Nodes that carry a cordon of Ananke at the end.
    pub cordons: Vec<NodeName>,
}

impl Report {
    /// Whether the run came to its end with everything that could be had.
    pub fn got_through(&self) -> bool {
        let failed = self.gates.iter().any(|gate| gate.status == GateStatus::Failed);
        matches!(self.outcome, Outcome::Done | Outcome::Manual) && !failed
    }
}

mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(span.as_secs())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_secs)
    }
}

mod maybe_seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(span: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match span {
            Some(span) => serializer.serialize_some(&span.as_secs()),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_secs))
    }
}
