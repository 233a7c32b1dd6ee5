//! Why a gate holds, from what was seen last: for whoever asks while everything is down. Nothing is asked of the world.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::walk::{GateRun, Walk};
use crate::fact::Fact;
use crate::name::{Kind, Moment, RunId, Subject, human};
use crate::remedy::Action;
use crate::report::{ActionReport, Command, GateStatus, Outcome};
use crate::verdict::{BlockerKind, GateId, Reason, Trap, Verdict};

/// Where a run stood at `at`, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    pub run: RunId,
    pub command: Command,
    pub started: Moment,
    pub at: Moment,
    /// None: it died, or still goes on.
    pub outcome: Option<Outcome>,
    pub gates: Vec<GateExplained>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateExplained {
    pub gate: GateId,
    pub status: GateStatus,
    /// The evidence, or what it waits for, in one line.
    pub text: String,
    /// Since when it is settled, or waits; none before what it requires has passed.
    pub since: Option<Moment>,
    /// When its patience ends, if it is counting.
    pub deadline: Option<Moment>,
    /// Seconds from its opening to its settling in the middle one of the runs before; none where there is no history yet.
    pub normal_seconds: Option<u64>,
    /// Gates that it requires and that have not settled.
    pub requires: Vec<GateId>,
    pub subjects: Vec<SubjectExplained>,
}

/// What a gate says of one subject, and what it says it from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubjectExplained {
    pub subject: Subject,
    pub kind: Whose,
    pub reason: Option<Reason>,
    pub text: String,
    pub evidence: Vec<Evidence>,
    /// What Ananke tried about it, oldest first.
    pub tried: Vec<ActionReport>,
    /// What comes next, in one sentence; empty where it passes.
    pub next: String,
}

/// Whose job it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Whose {
    Passes,
    /// It can pass by itself.
    Waiting,
    /// Ananke has a remedy.
    Repairable(Trap),
    /// Waiting cannot help.
    Person,
    /// Broken because this subject is.
    Follows(Subject),
    /// Not known: the newest attempt failed, or its answer is too old.
    Unknown,
}

/// A part of the observation that the verdict rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    pub of: String,
    /// Seconds from when it was last seen to the end of the journal; none if it never was.
    pub age_seconds: Option<u64>,
    /// The error of the newest attempt, if it failed.
    pub error: Option<String>,
}

/// What is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// Every gate that has not settled as it should.
    Unsettled,
    Gate(GateId),
    /// A node, an object (`namespace/name`, with or without its kind), a URL, a UPS, a peer: all that is said of it.
    Subject(String),
}

impl About {
    /// `text` as an operator types it.
    pub fn parse(text: Option<&str>) -> Self {
        match text {
            None => Self::Unsettled,
            Some(text) => GateId::ALL
                .iter()
                .find(|gate| gate.id() == text)
                .map_or_else(|| Self::Subject(text.to_owned()), |gate| Self::Gate(*gate)),
        }
    }

    fn takes(&self, subject: &Subject, verdict: &Verdict, only_passes: bool) -> bool {
        match self {
            Self::Unsettled => !verdict.is_pass(),
            Self::Gate(_) => !verdict.is_pass() || only_passes,
            Self::Subject(text) => is_named(subject, text),
        }
    }
}

/// Whether `text` is how an operator would name `subject`.
fn is_named(subject: &Subject, text: &str) -> bool {
    if subject.to_string() == text {
        return true;
    }
    match subject {
        Subject::Object(object) => *object.name == *text || format!("{}/{}", object.namespace, object.name) == text,
        Subject::Ups(name) | Subject::Peer(name) => **name == *text,
        Subject::Cluster | Subject::Ananke | Subject::Node(_) | Subject::Url(_) => false,
    }
}

/// Explains a run that was replayed to `at`.
pub fn explain(walk: &mut Walk, at: Moment, about: &About) -> Explanation {
    // What a run that has ended would have done next, it will not do.
    let planned = if walk.outcome.is_none() { walk.orders(at) } else { Vec::new() };
    let explainer = Explainer { walk, at, planned: &planned };
    let gates = walk.plan.rows.iter().filter_map(|row| {
        let gate = walk.gates.get(&row.id)?;
        let only_passes = gate.judgement.passes();
        let subjects = gate.judgement.subjects.iter().filter(|(subject, verdict)| about.takes(subject, verdict, only_passes));
        let deadline = walk.deadline(row.id, at);
        let subjects: Vec<SubjectExplained> =
            subjects.map(|(subject, verdict)| explainer.subject(subject, verdict, deadline)).collect();
        let wanted = match about {
            About::Unsettled => !well(gate),
            About::Gate(wanted) => *wanted == row.id,
            About::Subject(_) => !subjects.is_empty(),
        };
        let unsettled = |id: &GateId| walk.gates.get(id).is_some_and(|gate| gate.settled.is_none());
        wanted.then(|| GateExplained {
            gate: row.id,
            status: gate.status,
            text: gate.headline(),
            since: gate.since(),
            deadline,
            normal_seconds: walk.past.gate(row.id).map(|normal| normal.median.as_secs()),
            requires: row.needs.iter().map(|need| need.gate()).filter(unsettled).collect(),
            subjects,
        })
    });
    let gates = gates.collect();
    Explanation { run: walk.run.clone(), command: walk.plan.command, started: walk.started, at, outcome: walk.outcome, gates }
}

fn well(gate: &GateRun) -> bool {
    match gate.status {
        GateStatus::Passed | GateStatus::NotApplicable => true,
        GateStatus::Pending
        | GateStatus::Holding
        | GateStatus::Unknown
        | GateStatus::Manual
        | GateStatus::CutShort
        | GateStatus::Failed => false,
    }
}

struct Explainer<'a> {
    walk: &'a Walk,
    at: Moment,
    /// What would be sent next.
    planned: &'a [Action],
}

impl Explainer<'_> {
    fn subject(&self, subject: &Subject, verdict: &Verdict, deadline: Option<Moment>) -> SubjectExplained {
        let before = self.walk.earlier.iter().flat_map(|run| &run.actions);
        let tried = before.chain(&self.walk.actions).filter(|action| action.subject == *subject);
        let (kind, lasts) = match verdict {
            Verdict::Pass(_) => (Whose::Passes, ""),
            Verdict::Unknown(unknown) => (Whose::Unknown, unknown.if_it_lasts.as_str()),
            Verdict::Hold(blocker) => {
                let kind = match &blocker.kind {
                    BlockerKind::Waiting => Whose::Waiting,
                    BlockerKind::Repairable(trap) => Whose::Repairable(*trap),
                    BlockerKind::Person => Whose::Person,
                    BlockerKind::Follows(cause) => Whose::Follows(cause.clone()),
                };
                (kind, blocker.if_it_lasts.as_str())
            }
        };
        let ends = self.ends(deadline, lasts);
        let next = match &kind {
            Whose::Passes => String::new(),
            Whose::Person => lasts.to_owned(),
            Whose::Follows(cause) => format!("it is judged again when {cause} has settled"),
            Whose::Waiting | Whose::Unknown => ends,
            Whose::Repairable(trap) => match self.planned.iter().find(|action| action.order.subject() == *subject) {
                Some(action) => format!("ananke is about to {}; {ends}", action.order),
                None => format!("ananke repairs {trap} within its pauses and budgets; {ends}"),
            },
        };
        let (text, evidence) = (verdict.text().to_owned(), self.evidence(subject));
        let reason = verdict.reason();
        SubjectExplained { subject: subject.clone(), kind, reason, text, evidence, tried: tried.cloned().collect(), next }
    }

    /// What becomes of a wait.
    fn ends(&self, deadline: Option<Moment>, lasts: &str) -> String {
        match (self.walk.outcome, deadline) {
            (Some(_), _) => format!("the run has ended; {lasts}"),
            (None, Some(end)) if end > self.at => format!("if that lasts for {} more: {lasts}", human(end.since(self.at))),
            (None, Some(_)) => format!("its time is over: {lasts}"),
            (None, None) => format!("if that lasts: {lasts}"),
        }
    }

    /// The parts of the observation that tell of `subject`, with their ages.
    fn evidence(&self, subject: &Subject) -> Vec<Evidence> {
        let (obs, at) = (&self.walk.obs, self.at);
        let api = || Evidence::of("the API server", &obs.api, at);
        match subject {
            Subject::Cluster => vec![api()],
            Subject::Ananke => {
                vec![Evidence::of("the intent", &obs.intent, at), Evidence::of("our own clock", &obs.own_clock, at)]
            }
            Subject::Node(node) => {
                let host = obs.hosts.get(node).map(|host| Evidence::of("its host, over SSH", host, at));
                let beat = obs.heartbeats.get(node).map(|beat| Evidence {
                    of: "its kubelet's Lease, seen to advance".to_owned(),
                    age_seconds: beat.advanced_at.map(|seen| at.since(seen).as_secs()),
                    error: None,
                });
                host.into_iter().chain([Evidence::of("the list of nodes", &obs.nodes, at)]).chain(beat).collect()
            }
            Subject::Object(object) => vec![self.listed(object.kind), api()],
            Subject::Ups(name) => obs.ups.get(name).map(|ups| Evidence::of("upsd", ups, at)).into_iter().collect(),
            Subject::Peer(name) => obs.peers.get(name).map(|peer| Evidence::of("the peer", peer, at)).into_iter().collect(),
            Subject::Url(url) => {
                let asked = obs.probes.iter().filter(|(key, _)| key.split(' ').any(|word| *word == **url));
                asked.map(|(key, answer)| Evidence::of(key, answer, at)).collect()
            }
        }
    }

    /// The list that tells of objects of a kind.
    fn listed(&self, kind: Kind) -> Evidence {
        let (obs, at) = (&self.walk.obs, self.at);
        match kind {
            Kind::Node => Evidence::of("the list of nodes", &obs.nodes, at),
            Kind::Namespace => Evidence::of("the list of namespaces", &obs.namespaces, at),
            Kind::Pod => Evidence::of("the list of pods", &obs.pods, at),
            // Of the last two there is no list: they are made with a workload that is absent.
            Kind::Deployment | Kind::StatefulSet | Kind::DaemonSet | Kind::ConfigMap | Kind::ServiceAccount => {
                Evidence::of("the list of workloads", &obs.workloads, at)
            }
            Kind::Ingress => Evidence::of("the list of ingresses", &obs.ingresses, at),
            Kind::GitRepository | Kind::Kustomization | Kind::OCIRepository | Kind::Bucket | Kind::HelmRelease => {
                Evidence::of("the list of Flux objects", &obs.flux, at)
            }
            Kind::CronJob => Evidence::of("the list of Events", &obs.events, at),
            Kind::Job => Evidence::of("the list of jobs", &obs.jobs, at),
            Kind::Service => Evidence::of("the list of endpoints", &obs.endpoints, at),
            Kind::PersistentVolumeClaim | Kind::VolumeAttachment | Kind::CephCluster => {
                Evidence::of("the list of volumes", &obs.storage, at)
            }
        }
    }
}

impl Evidence {
    fn of<T>(of: &str, fact: &Fact<T>, at: Moment) -> Self {
        Self {
            of: of.to_owned(),
            age_seconds: fact.seen_at().map(|seen| at.since(seen).as_secs()),
            error: fact.newest_failure().map(ToString::to_string),
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.age_seconds {
            Some(age) => write!(f, "{} ({} old)", self.of, human(std::time::Duration::from_secs(age)))?,
            None => write!(f, "{} (not seen yet)", self.of)?,
        }
        match &self.error {
            Some(error) => write!(f, ", then: {error}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passes => f.write_str("passes"),
            Self::Waiting => f.write_str("waiting"),
            Self::Repairable(trap) => write!(f, "repairable: {trap}"),
            Self::Person => f.write_str("a person's job"),
            Self::Follows(cause) => write!(f, "follows {cause}"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}
