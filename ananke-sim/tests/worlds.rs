//! Worlds in memory and served, in one program: linking each suite by itself takes longer than most take to run. Those with
//! long proofs of their own stand beside it.

mod circle;
mod conflicts;
mod crash;
mod half_alive;
mod leases;
mod partition;
mod recordings;
mod remedies;
mod repair;
mod replay;
mod round_trip;
mod schemas;
mod served;
mod storage_and_dns;
mod timelines;
#[cfg(feature = "serve")]
#[path = "common/tls.rs"]
mod tls;
