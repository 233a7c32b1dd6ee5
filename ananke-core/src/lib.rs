//! The decisions of Ananke, without I/O: what is seen is judged by gates, repaired by remedies, and journaled.
//!
//! The crate has no runtime, no clock, no randomness and no environment. Everything it needs of the world is a port
//! ([`port`]); time is an argument. Embedders bring their own ports, or take Ananke's adapters.
//!
//! # To embed it
//!
//! 1. Write down what is expected of the cluster: [`spec::Spec::new`], and change what differs.
//! 2. Implement the ports that no run can do without: [`port::Clock`], [`port::ClusterReads`] and [`port::HostReads`] to look,
//!    [`port::ClusterActions`] and [`port::HostActions`] to act. [`port::memory::MemoryState`] keeps the state, and
//!    [`port::nothing::Nothing`] stands for what is not there.
//! 3. Make a [`engine::walk::Walk`] with [`engine::startup`], [`engine::shutdown`] or [`engine::status`].
//! 4. Hand it to [`engine::execute`], or to [`engine::look`], which has no hands and so cannot change anything. Both are
//!    futures without a runtime; they end with a [`report::Report`].
//!
//! `examples/embed.rs` does all of that in less than a hundred lines. What a run recorded can be lived through again with
//! [`engine::replay`], and explained with [`engine::explain`].

pub mod audit;
pub mod baseline;
pub mod bootstrap;
pub mod coordination;
pub mod doctor;
pub mod engine;
pub mod eta;
pub mod fact;
pub mod gate;
pub mod intent;
pub mod lease;
pub mod name;
pub mod notice;
pub mod observation;
pub mod order;
pub mod peer;
pub mod phase;
pub mod port;
pub mod power;
pub mod proof;
pub mod remedy;
pub mod report;
pub mod spec;
pub mod trap;
pub mod verdict;
