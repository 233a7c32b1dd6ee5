//! Who needs whom, and when: the lines of the graph.

use std::fmt;

use serde::Serialize;

use super::part::Part;
use crate::name::NodeName;

/// `from` needs `to`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Need {
    pub from: Part,
    pub to: Part,
    pub when: When,
    /// What for, as the end of a sentence: `its claim data`.
    pub why: String,
}

/// What must have happened for the need to show.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case", tag = "case")]
pub enum When {
    /// Nothing: each start needs it.
    Start,
    /// Its image is not on the node where it starts.
    Image { image: String, cached: Cached },
    /// Its pods are made anew, and not only restarted where they are.
    NewPods,
    /// Its object is not in the cluster, or must change.
    Apply,
}

/// Where an image is already.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cached {
    Nowhere,
    /// No node tells of it, but nodes tell of their largest images only.
    Untold,
    On(Vec<NodeName>),
}

/// How likely it is that a power loss brings it about; the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Nothing keeps it from happening.
    High,
    /// What keeps it from happening is a copy that somebody else may clear away.
    Medium,
    /// The objects in etcd keep it from happening: only a rebuild meets it.
    Low,
}

impl Severity {
    pub const ALL: [Self; 3] = [Self::High, Self::Medium, Self::Low];
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
        })
    }
}

impl When {
    pub fn severity(&self) -> Severity {
        match self {
            Self::Start | Self::Image { cached: Cached::Nowhere, .. } => Severity::High,
            Self::Image { cached: Cached::Untold | Cached::On(_), .. } | Self::NewPods => Severity::Medium,
            Self::Apply => Severity::Low,
        }
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => f.write_str("at each start"),
            Self::Image { cached: Cached::Nowhere, .. } => f.write_str("no node has the image"),
            Self::Image { cached: Cached::Untold, .. } => f.write_str("no node tells of the image"),
            Self::Image { cached: Cached::On(nodes), .. } => write!(f, "the image is on {}", few(nodes)),
            Self::NewPods => f.write_str("when its pods are made anew"),
            Self::Apply => f.write_str("when it is made anew"),
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, why, when } = self;
        write!(f, "{from} needs {to} for {why}")?;
        match when {
            When::Start => Ok(()),
            When::Image { .. } | When::NewPods | When::Apply => write!(f, " ({when})"),
        }
    }
}

/// The first three, and how many more.
pub(super) fn few<T: ToString>(all: &[T]) -> String {
    let shown: Vec<String> = all.iter().take(3).map(ToString::to_string).collect();
    match all.len().saturating_sub(shown.len()) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
