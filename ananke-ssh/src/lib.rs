//! Ananke's host ports over russh: authenticated, verified connections that run a closed set of commands.
//!
//! [`command`] answers which commands can ever run on a host, [`known_hosts`] which hosts are believed; [`tcp`] reaches a name, for
//! whoever else connects to one. Nothing here
//! trusts on first use, takes a password, or decides whether something should be done.

pub mod command;
mod connection;
mod feed;
mod hosts;
mod identity;
mod jump;
pub mod known_hosts;
mod leash;
mod login;
mod pin;
mod pool;
mod scan;
pub mod settings;
pub mod tcp;
mod verify;

pub use hosts::SshHosts;
pub use pin::Pin;
pub use scan::{Shown, shown_key};
pub use settings::{Login, Route, SshSettings};
