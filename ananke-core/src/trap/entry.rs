//! What is known of one trap.

use super::case::{Case, Finding};
use crate::observation::PodState;
use crate::verdict::{GateId, Trap};

/// Who gets out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A: Ananke, by itself.
    Auto,
    /// B: Ananke takes a gentle first step, or waits; then a person.
    FirstStep,
    /// H: a person. Ananke says what to do, and touches nothing.
    Person,
}

impl Class {
    pub const fn letter(self) -> &'static str {
        match self {
            Self::Auto => "A",
            Self::FirstStep => "B",
            Self::Person => "H",
        }
    }

    /// How a drill of it may end.
    pub const fn ending(self) -> Ending {
        match self {
            Self::Auto => Ending::Recovered,
            Self::FirstStep => Ending::RecoveredOrInstruction,
            Self::Person => Ending::Instruction,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Recovered,
    RecoveredOrInstruction,
    Instruction,
}

impl Ending {
    pub const fn id(self) -> &'static str {
        match self {
            Self::Recovered => "recovered",
            Self::RecoveredOrInstruction => "recovered-or-instruction",
            Self::Instruction => "instruction",
        }
    }
}

/// How often independent reports of it turn up: a judgement, not a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Often {
    High,
    Medium,
    Low,
}

impl Often {
    pub const fn word(self) -> &'static str {
        match self {
            Self::High => "often",
            Self::Medium => "sometimes",
            Self::Low => "seldom",
        }
    }
}

/// One trap, as its file has it at its top.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    pub trap: Trap,
    pub class: Class,
    pub often: Often,
    /// How it shows.
    pub symptom: &'static str,
    /// What must hold before anything is done.
    pub precondition: &'static str,
    /// How much is done at most.
    pub budget: &'static str,
    /// What is done, or what a person is asked for.
    pub effect: &'static str,
    /// Reports of it; empty for what was met otherwise.
    pub evidence: &'static [&'static str],
    /// None where its gate knows it without help.
    pub diagnosis: Option<Diagnosis>,
}

/// How a blocker is recognised as this trap.
#[derive(Debug, Clone, Copy)]
pub struct Diagnosis {
    /// Whose blockers are looked at.
    pub gates: &'static [GateId],
    pub find: fn(&Case<'_>) -> Option<Finding>,
    /// Pods whose making anew is the gentle step: only such as were made before this life of the cluster, so each is made
    /// anew once.
    pub remake: Option<for<'a> fn(&Case<'a>) -> Vec<&'a PodState>>,
}
