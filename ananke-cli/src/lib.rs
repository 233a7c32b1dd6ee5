//! The parts of the `ananke` command that stand by themselves: config, state directory, exit codes.

pub mod config;
pub mod exit;
pub mod probe;
pub mod state;
