//! `drill --swarm` and `drill --replay`: whole stories, each from a seed or from a file.

use std::fmt::Write;
use std::ops::Range;
use std::path::Path;

use ananke_sim::campaign::Seed;
use ananke_sim::swarm::{self, Ending, Run, Story};
use serde::Serialize;

use super::{many, page};
use crate::args;
use crate::commands::print;
use crate::exit::Exit;
use crate::wire::Failure;

#[derive(Debug, Serialize)]
struct Played {
    #[serde(flatten)]
    run: Run,
    /// The smallest story that fails in the same way; none where it did not fail.
    cut: Option<Story>,
}

pub(super) fn run(args: &args::Drill) -> Result<Exit, Failure> {
    match &args.seeds {
        Some(seeds) => campaign(args, seeds),
        None => one(args, &swarm::draw(args.seed)),
    }
}

fn campaign(args: &args::Drill, seeds: &Range<u64>) -> Result<Exit, Failure> {
    many::run(args, "--swarm", seeds, |seed| {
        let run = swarm::run(&swarm::draw(seed));
        Seed::of_swarm(run, format!("ananke drill --swarm --seed {seed}"))
    })
}

pub(super) fn replay(args: &args::Drill, file: &Path) -> Result<Exit, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        Failure::Usage(format!("read the story {}: {error}; `ananke drill --swarm` prints one", file.display()))
    })?;
    let story: Story = text.parse().map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))?;
    one(args, &story)
}

fn one(args: &args::Drill, story: &Story) -> Result<Exit, Failure> {
    let run = swarm::run(story);
    let cut = run.ending.is_failure().then(|| swarm::cut(&run));
    let played = Played { run, cut };
    print(args.output.output, &played, told)?;
    let ending = played.run.ending;
    if let Some(file) = &args.html {
        page::write(file, &page::of_run(&Seed::of_swarm(played.run, String::new()).timeline()))?;
    }
    Ok(match ending {
        Ending::Recovered => Exit::Done,
        Ending::Manual => Exit::PersonNeeded,
        Ending::Stuck => Exit::NotInTime,
        Ending::Forbidden => Exit::Forbidden,
        Ending::Crashed => Exit::Internal,
    })
}

fn told(played: &Played) -> String {
    let Played { run, cut } = played;
    let mut text =
        format!("{}{} after {} s, in {} runs: {}\n", run.story, run.ending.id(), run.recovery_seconds, run.runs, run.summary);
    for violation in &run.violations {
        writeln!(text, "  {violation}").ok();
    }
    if let Some(cut) = cut {
        writeln!(text, "the same in short, for `ananke drill --replay FILE`:\n{cut}").ok();
    }
    text
}
