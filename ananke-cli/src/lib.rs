//! The `ananke` command, as a library: config, state directory, host adapters, commands and what they print.

mod archives;
pub mod args;
mod clock;
pub mod commands;
pub mod config;
pub mod exit;
mod html;
mod live;
mod machine;
mod notify;
mod nut;
mod peers;
pub mod poweroff;
mod probe;
mod render;
pub mod state;
mod terminal;
mod update;
mod vault;
mod wake;
mod web;
mod wire;
