//! `report`: what the last run came to, long after its terminal is gone.

use ananke_core::report::{Command, Report};

use super::print;
use crate::args;
use crate::config::Overrides;
use crate::exit::Exit;
use crate::render;
use crate::state::StateDir;
use crate::wire::{self, Failure};

pub(super) fn run(args: &args::Report) -> Result<Exit, Failure> {
    let loaded = wire::load(&args.config.config, &Overrides::default())?;
    let state = StateDir::open_read_only(&loaded.state_dir)?;
    let commands: &[Command] = match args.of {
        Some(args::ReportOf::Startup) => &[Command::Startup],
        Some(args::ReportOf::Shutdown) => &[Command::Shutdown],
        None => &[Command::Startup, Command::Shutdown],
    };
    let mut newest: Option<Report> = None;
    for command in commands {
        let found = state.last_report(*command)?;
        newest = newest.into_iter().chain(found).max_by_key(|report| report.ended);
    }
    print(args.output.output, &newest, |newest| match newest {
        Some(report) => format!("{} of {}, ended {}\n{}", report.run, report.started, report.ended, render::report(report)),
        None => format!("there is no report in {}: no run has ended yet", loaded.state_dir.display()),
    })?;
    Ok(Exit::Done)
}
