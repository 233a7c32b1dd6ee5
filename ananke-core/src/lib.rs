//! The decisions of Ananke, without I/O: what is seen is judged by gates, repaired by remedies, and journaled.
//!
//! The crate has no runtime, no clock, no randomness and no environment. Everything it needs of the world is a port
//! ([`port`]); time is an argument. Embedders bring their own ports, or take Ananke's adapters.

pub mod engine;
pub mod fact;
pub mod gate;
pub mod intent;
pub mod lease;
pub mod name;
pub mod observation;
pub mod order;
pub mod phase;
pub mod port;
pub mod remedy;
pub mod report;
pub mod spec;
pub mod verdict;
