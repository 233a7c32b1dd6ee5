//! `explain`: why a gate holds, from the last run's own record, or from a snapshot. Nothing is asked of the cluster, so it
//! works while all is down.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use ananke_core::engine;
use ananke_core::engine::explain::{About, Explanation, GateExplained, SubjectExplained, Whose, explain};
use ananke_core::engine::replay::retrace;
use ananke_core::engine::walk::Walk;
use ananke_core::eta::Past;
use ananke_core::name::{Moment, RunId, human};
use ananke_core::port::{Clock, StateReads};
use ananke_core::report::{ActionOutcome, Command, GateStatus};
use ananke_core::verdict::GateId;
use ananke_sim::drill::status_word;
use serde::Serialize;

use super::doctor::NO_SNAPSHOT;
use super::print;
use crate::args::Explain;
use crate::clock::SystemClock;
use crate::config::Overrides;
use crate::exit::Exit;
use crate::render::clip;
use crate::state::{StateDir, snapshot};
use crate::wire::{self, Failure};

/// Subjects of one gate that the text spells out; JSON has them all.
const SUBJECTS_SHOWN: usize = 20;
/// Subjects of one gate that follow others, and that the text spells out.
const FOLLOWING_SHOWN: usize = 3;
/// Actions about one subject that the text spells out, newest last.
const TRIED_SHOWN: usize = 5;

#[derive(Debug, Serialize)]
struct Explained {
    #[serde(flatten)]
    explanation: Explanation,
    /// How old the journal's newest entry is, or the snapshot.
    age_seconds: u64,
    notes: Vec<String>,
}

/// Where a run or a look stood, and when.
struct Stood {
    walk: Walk,
    at: Moment,
    notes: Vec<String>,
}

pub(super) async fn run(args: Explain) -> Result<Exit, Failure> {
    let mut stood = match &args.snapshot {
        Some(file) => by_snapshot(file)?,
        None => by_journal(&args).await?,
    };
    let about = About::parse(args.what.as_deref());
    let explanation = explain(&mut stood.walk, stood.at, &about);
    if explanation.gates.is_empty() && about != About::Unsettled {
        return Err(unknown(args.what.as_deref().unwrap_or_default(), &stood.walk.plan.rows));
    }
    let age_seconds = SystemClock::start().now().since(stood.at).as_secs();
    print(args.output.output, &Explained { explanation, age_seconds, notes: stood.notes }, text)?;
    Ok(Exit::Done)
}

fn by_snapshot(file: &Path) -> Result<Stood, Failure> {
    let snapshot = snapshot::read(file).map_err(Failure::asked(NO_SNAPSHOT))?;
    let look = snapshot.look.ok_or_else(|| {
        let file = file.display();
        Failure::Usage(format!("{file} has nothing that gates rest on: take a new one with `ananke snapshot -o FILE`"))
    })?;
    let walk = engine::status_of(look.spec, look.seen, snapshot.taken);
    Ok(Stood { walk, at: snapshot.taken, notes: snapshot.map.unseen })
}

async fn by_journal(args: &Explain) -> Result<Stood, Failure> {
    let loaded = wire::load(&args.config.config, &Overrides::default())?;
    let state = StateDir::open_read_only(&loaded.state_dir)?;
    let place = loaded.state_dir.display();
    let run = match &args.run {
        Some(run) => RunId::parse(run).map_err(|error| Failure::Usage(format!("--run: {error}")))?,
        None => state.newest_run()?.ok_or_else(|| {
            Failure::Usage(format!("no run that acted is recorded in {place}: `ananke status` looks at the cluster as it is"))
        })?,
    };
    let journal = state.read_journal(&run)?;
    if journal.entries.is_empty() && journal.warnings.is_empty() {
        return Err(Failure::Usage(format!("no journal of a run {run} is in {place}")));
    }
    let mut replayed = retrace(&journal.entries).map_err(|error| Failure::Internal(format!("the journal of {run}: {error}")))?;
    replayed.walk.past = Past::of(&state.runs().await?, replayed.walk.plan.command);
    let mut notes = journal.warnings;
    notes.extend(replayed.difference.map(|difference| format!("this ananke would have judged otherwise: {difference}")));
    Ok(Stood { walk: replayed.walk, at: replayed.at, notes })
}

fn unknown(what: &str, rows: &[ananke_core::gate::Row]) -> Failure {
    let gates: Vec<&str> = rows.iter().map(|row| row.id.id()).collect();
    let gates = gates.join(", ");
    let elsewhere = GateId::ALL.iter().any(|gate| gate.id() == what);
    Failure::Usage(if elsewhere {
        format!("that run did not walk the gate {what}; it walked {gates}")
    } else {
        format!("nothing is known of {what:?}: name a node, namespace/name of an object, a URL, or one of the gates {gates}")
    })
}

fn text(explained: &Explained) -> String {
    let of = &explained.explanation;
    let age = human(Duration::from_secs(explained.age_seconds));
    let end = match (of.command, of.outcome) {
        (Command::Status, _) => "it was one look".to_owned(),
        (Command::Startup | Command::Shutdown, Some(outcome)) => format!("it ended: {}", format!("{outcome:?}").to_lowercase()),
        (Command::Startup | Command::Shutdown, None) => "it still goes on, or died".to_owned(),
    };
    let mut out = format!("{}, as it saw things at {} ({age} ago); {end}\n", of.run, of.at);
    if of.gates.is_empty() {
        out.push_str("\nevery gate passed\n");
    }
    for explained in &of.gates {
        out.push('\n');
        gate(&mut out, explained, of.at);
    }
    for note in &explained.notes {
        line(&mut out, format_args!("\nnote: {note}"));
    }
    out
}

fn gate(out: &mut String, gate: &GateExplained, at: Moment) {
    let since = gate.since.map(|since| format!(" for {}", human(at.since(since)))).unwrap_or_default();
    let normal = match gate.normal_seconds {
        // How long it took, or is to take, says nothing of what has stood for a while.
        _ if gate.status == GateStatus::Passed => String::new(),
        None => " (no history yet)".to_owned(),
        Some(seconds) => format!(" (normally {})", human(Duration::from_secs(seconds))),
    };
    let left = match gate.deadline {
        Some(deadline) if gate.status != GateStatus::Passed && deadline > at => {
            format!(", {} left until {deadline}", human(deadline.since(at)))
        }
        Some(_) | None => String::new(),
    };
    line(out, format_args!("{}: {}{since}{normal}{left}", gate.gate, status_word(gate.status)));
    line(out, format_args!("  {}", clip(&gate.text, 200)));
    if !gate.requires.is_empty() {
        let names: Vec<&str> = gate.requires.iter().map(|gate| gate.id()).collect();
        line(out, format_args!("  requires, and waits for: {}", names.join(", ")));
    }
    // Causes first; what only follows them is counted.
    let (following, causes): (Vec<_>, Vec<_>) =
        gate.subjects.iter().partition(|explained| matches!(explained.kind, Whose::Follows(_)));
    for explained in causes.iter().take(SUBJECTS_SHOWN) {
        subject(out, explained, at);
    }
    let more = causes.len().saturating_sub(SUBJECTS_SHOWN);
    if more > 0 {
        line(out, format_args!("  - and {more} more (-o json has them all)"));
    }
    match following.as_slice() {
        few if few.len() <= FOLLOWING_SHOWN => few.iter().for_each(|explained| subject(out, explained, at)),
        [first, rest @ ..] => {
            subject(out, first, at);
            line(out, format_args!("  - and {} more that follow another (-o json has them all)", rest.len()));
        }
        [] => {}
    }
}

fn subject(out: &mut String, explained: &SubjectExplained, at: Moment) {
    let reason = explained.reason.map(|reason| format!(", {reason}")).unwrap_or_default();
    let name = explained.subject.to_string();
    let text = clip(&explained.text, 200);
    let text = if text.contains(&name) { text } else { format!("{name}: {text}") };
    line(out, format_args!("  - {text}"));
    line(out, format_args!("      {}{reason}", explained.kind));
    for evidence in &explained.evidence {
        line(out, format_args!("      by {}", clip(&evidence.to_string(), 200)));
    }
    let old = explained.tried.len().saturating_sub(TRIED_SHOWN);
    if old > 0 {
        line(out, format_args!("      tried {old} times before that"));
    }
    for action in explained.tried.iter().skip(old) {
        let outcome = match &action.outcome {
            ActionOutcome::Planned => "planned".to_owned(),
            ActionOutcome::Sent => "no answer".to_owned(),
            ActionOutcome::Done => "done".to_owned(),
            ActionOutcome::Failed(error) => format!("failed: {}", clip(error, 120)),
        };
        line(out, format_args!("      tried {} ago: {} ({outcome})", human(at.since(action.at)), action.text));
    }
    if !explained.next.is_empty() {
        line(out, format_args!("      next: {}", explained.next));
    }
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    writeln!(out, "{text}").unwrap_or_default();
}
