//! The API's shapes in our words, and orders in the API's. Pure: no file here knows a client.
//!
//! Shapes name only the fields that are read, so that the rest of an object is skipped while parsing and never held.

pub(crate) mod coordination;
pub(crate) mod endpoints;
pub(crate) mod event;
pub(crate) mod extensions;
pub(crate) mod flux;
pub(crate) mod ingress;
pub(crate) mod inventory;
pub(crate) mod job;
pub(crate) mod layer;
pub(crate) mod map;
pub(crate) mod meta;
pub(crate) mod namespace;
pub(crate) mod node;
pub(crate) mod order;
pub(crate) mod pod;
pub(crate) mod storage;
pub(crate) mod workload;
