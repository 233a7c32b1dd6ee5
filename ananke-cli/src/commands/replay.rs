//! `replay`: a journal's verdicts and orders, made again from what it says was seen. It takes the file and nothing else.

use ananke_core::engine::replay::{Counts, ReplayError, replay};
use ananke_core::name::RunId;
use ananke_core::report::Outcome;
use serde::Serialize;

use super::print;
use crate::args::Replay;
use crate::exit::Exit;
use crate::state;
use crate::wire::Failure;

#[derive(Debug, Serialize)]
struct Replayed {
    run: RunId,
    #[serde(flatten)]
    counts: Counts,
    /// None: the journal ends before its run.
    outcome: Option<Outcome>,
    notes: Vec<String>,
}

/// Code 1 at the first difference, and where the journal cannot be replayed.
pub(super) fn run(args: &Replay) -> Result<Exit, Failure> {
    let next = "name a file of the directory `journal` in the state directory, such as startup-20260314T020611Z.jsonl";
    let journal = state::read_journal_file(&args.journal).map_err(Failure::asked(next))?;
    let name = args.journal.display();
    let replayed = replay(&journal.entries).map_err(|error| {
        let warnings: String = journal.warnings.iter().map(|warning| format!("\n  {warning}")).collect();
        Failure::Internal(match error {
            ReplayError::Differs(difference) => format!("{name}: {difference}{warnings}"),
            ReplayError::Empty | ReplayError::NoRecord | ReplayError::Unusable { .. } => {
                format!("{name} cannot be replayed: {error}{warnings}")
            }
        })
    })?;
    let (run, counts, outcome) = (replayed.run, replayed.counts, replayed.outcome);
    print(args.output.output, &Replayed { run, counts, outcome, notes: journal.warnings }, text)?;
    Ok(Exit::Done)
}

fn text(replayed: &Replayed) -> String {
    let Counts { entries, readings, judgements, verdicts, actions } = replayed.counts;
    let end = match replayed.outcome {
        Some(outcome) => format!("the run ended: {}", format!("{outcome:?}").to_lowercase()),
        None => "the journal ends before the run did: it died, or goes on".to_owned(),
    };
    let notes: String = replayed.notes.iter().map(|note| format!("note: {note}\n")).collect();
    format!(
        "{}: {entries} entries with {readings} readings and {judgements} judgements; {verdicts} verdicts and {actions} actions \
         came out the same\n{end}\n{notes}",
        replayed.run
    )
}
