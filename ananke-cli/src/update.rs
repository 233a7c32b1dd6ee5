//! What an update of Ananke itself is made of. `commands/update.rs` puts it together.

mod builder;
mod git;
mod log;
mod record;
mod swap;
mod unit;

pub(crate) use builder::{Builder, Failed, run};
pub(crate) use git::Git;
pub(crate) use log::Log;
pub(crate) use record::{Commit, PutBack, Record, Swapping};
pub(crate) use swap::Program;
pub(crate) use unit::Daemon;
