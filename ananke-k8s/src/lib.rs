//! Ananke's Kubernetes ports over kube-rs.
//!
//! It translates: requests out of orders, facts out of answers, port errors out of whatever went wrong. It decides
//! nothing, repeats nothing but what keeps a list or a watch going, and skips no verification.

mod actions;
mod call;
mod collection;
mod connect;
#[cfg(feature = "contract")]
pub mod contract;
mod error;
mod flux_api;
mod layers;
mod map;
mod reads;
mod servers;
mod survey;
mod translate;
mod watch;
mod written;

pub use connect::{Deadlines, KubeCluster};
pub use survey::Machine;
pub use watch::WatchedCluster;
