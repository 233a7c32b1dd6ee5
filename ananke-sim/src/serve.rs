//! The simulated cluster on real sockets: TLS Kubernetes API, SSH, HTTP, NUT, and a control socket.
//!
//! Nothing here decides how the cluster behaves: the world does, and this presents it in the protocols of the real thing.

pub mod api;
pub mod cluster;
pub mod control;
pub mod host_shell;
pub mod hosts;
pub mod http;
mod images;
pub mod mirror;
pub mod nut;
pub mod own;
pub mod project;
pub mod site;
pub mod ssh;
pub mod up;
pub mod wake;
pub mod write_back;

pub use cluster::Cluster;
pub use up::{ServeError, Served, UpOptions, up};
