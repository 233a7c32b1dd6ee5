//! `completions` and `man`: the flags, for shells and for `man`.

use std::io::{Error, Write};
use std::path::Path;

use clap::CommandFactory;

use crate::args::{self, Args};
use crate::exit::Exit;
use crate::wire::Failure;

pub(super) fn completions(args: &args::Completions) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "ananke", &mut script);
    show(&script);
    Ok(Exit::Done)
}

pub(super) fn pages(args: &args::Man) -> Result<Exit, Failure> {
    let failed = |at: &Path, error: &Error| Failure::Internal(format!("write the manual pages to {}: {error}", at.display()));
    match &args.out {
        Some(directory) => {
            let pages = clap_mangen::generate_to(whole(), directory);
            pages.map_err(|error| failed(directory, &error))?;
        }
        None => {
            let mut page = Vec::new();
            let made = clap_mangen::Man::new(whole()).render(&mut page);
            made.map_err(|error| failed(Path::new("standard output"), &error))?;
            show(&page);
        }
    }
    Ok(Exit::Done)
}

/// `help` has no page: every command has its own.
fn whole() -> clap::Command {
    Args::command().disable_help_subcommand(true)
}

/// A closed pipe is not an error.
fn show(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).unwrap_or_default();
}
