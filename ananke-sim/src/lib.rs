//! A simulated cluster: a deterministic world on virtual time, with Ananke's ports in memory.
//!
//! The model has no clock, no threads and no randomness but its seed; it compiles for wasm32. The same world on real
//! sockets is behind the feature `serve`.

pub mod campaign;
#[expect(clippy::wildcard_enum_match_arm, reason = "a rule looks at what it is about, and at nothing else")]
pub mod check;
pub mod daemon;
pub mod drill;
pub mod executor;
pub mod fault;
#[expect(clippy::indexing_slicing, reason = "rows of a `Table` are never removed, and their numbers come from it")]
pub mod oracle;
#[expect(clippy::indexing_slicing, reason = "rows of a `Table` are never removed, and their numbers come from it")]
pub mod ports;
pub mod rivals;
pub mod rng;
pub mod scenario;
#[cfg(feature = "serve")]
pub mod serve;
#[expect(clippy::wildcard_enum_match_arm, reason = "a cue, an act or a canary is about little of what there is")]
pub mod swarm;
pub mod table;
pub mod trap;
#[expect(clippy::indexing_slicing, reason = "rows of a `Table` are never removed, and their numbers come from it")]
mod truth;
#[expect(clippy::indexing_slicing, reason = "rows of a `Table` are never removed, and their numbers come from it")]
pub mod world;

pub use executor::{Sim, SimClock, Stalled};
pub use fault::Fault;
pub use ports::{MemoryState, SimPorts};
pub use scenario::Scenario;
pub use world::{Ms, World};
