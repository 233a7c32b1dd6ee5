//! Exit codes: a contract with scripts and units, append-only.

use std::process::ExitCode;

use ananke_core::report::Outcome;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Done = 0,
    /// A defect, or a state directory that cannot be used.
    Internal = 1,
    /// Flags or config.
    Usage = 2,
    /// A gate did not pass in time, or the doctor found something.
    NotInTime = 3,
    /// Everything that can be had is there; the rest needs a person.
    PersonNeeded = 4,
    /// A guard refused, another run holds the lock, or a shutdown took over.
    Refused = 5,
    /// A rule was broken in a drill.
    Forbidden = 6,
    Interrupted = 130,
}

impl Exit {
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl From<Outcome> for Exit {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::Done,
            Outcome::Manual => Self::PersonNeeded,
            Outcome::Failed => Self::NotInTime,
            Outcome::Refused | Outcome::Yielded => Self::Refused,
            Outcome::Interrupted => Self::Interrupted,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_the_code_of_the_contract() {
        use Outcome::*;
        let codes = [Done, Manual, Failed, Refused, Yielded, Interrupted].map(|outcome| Exit::from(outcome).code());
        assert_eq!(codes, [0, 4, 3, 5, 5, 130]);
        assert_eq!((Exit::Internal.code(), Exit::Usage.code()), (1, 2));
    }
}
