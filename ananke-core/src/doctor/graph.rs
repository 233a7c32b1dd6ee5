//! The graph of a cluster: every need that can be read from its objects.
//!
//! Where several can serve a need (the workloads behind one Service), all of them count: which one comes up is not known.

mod environment;
mod flux;
pub(super) mod names;
mod pods;
mod secrets;
mod volumes;
mod webhooks;

use super::map::ClusterMap;
use super::need::{Need, When};
use super::part::Part;

/// Without doubles, in an order that depends on the map alone.
pub fn needs(map: &ClusterMap) -> Vec<Need> {
    let mut needs = Needs::default();
    pods::add(map, &mut needs);
    environment::add(map, &mut needs);
    names::add(map, &mut needs);
    volumes::add(map, &mut needs);
    secrets::add(map, &mut needs);
    webhooks::add(map, &mut needs);
    flux::add(map, &mut needs);
    needs.0.sort();
    needs.0.dedup();
    needs.0
}

#[derive(Debug, Default)]
struct Needs(Vec<Need>);

impl Needs {
    fn add(&mut self, from: &Part, to: &Part, when: When, why: impl Into<String>) {
        self.0.push(Need { from: from.clone(), to: to.clone(), when, why: why.into() });
    }
}

#[cfg(test)]
mod tests;
