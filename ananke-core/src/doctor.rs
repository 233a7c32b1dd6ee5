//! What would keep a cluster from coming back, found while it is well: bootstrap circles, and settings that make an outage
//! worse.
//!
//! [`ClusterMap`] is what was seen, [`circles`] and [`lint()`] judge it; both are pure, so a recorded map is judged as a live
//! one. A start-up may ask for the circles of the cluster that it waits for, too.

mod circle;
mod cure;
pub mod dot;
mod graph;
pub mod image;
mod lint;
pub mod map;
mod need;
mod part;
pub mod svg;
#[cfg(test)]
mod testing;

use serde::Serialize;

pub use circle::{Circle, circles};
pub use graph::needs;
pub use lint::{Finding, Lint, lint};
pub use map::ClusterMap;
pub use need::{Cached, Need, Severity, When};
pub use part::{Part, PartKind};

use crate::spec::Spec;

/// Everything that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Examination {
    pub circles: Vec<Circle>,
    pub findings: Vec<Finding>,
    /// Lints that could not look, each with what they lack.
    pub skipped: Vec<String>,
}

impl Examination {
    pub fn is_clean(&self) -> bool {
        self.circles.is_empty() && self.findings.is_empty()
    }
}

/// Without a spec, what only the config can tell is skipped.
pub fn examine(map: &ClusterMap, spec: Option<&Spec>) -> Examination {
    let (findings, skipped) = lint(map, spec);
    Examination { circles: circles(map), findings, skipped }
}
