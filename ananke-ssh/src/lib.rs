//! Ananke's host ports over russh: authenticated, verified connections that run a closed set of commands.
//!
//! [`command`] answers which commands can ever run on a host, [`known_hosts`] which hosts are believed. Nothing here
//! trusts on first use, takes a password, or decides whether something should be done.

pub mod command;
mod connection;
mod hosts;
mod identity;
pub mod known_hosts;
mod pool;
pub mod settings;

pub use hosts::SshHosts;
pub use settings::SshSettings;
