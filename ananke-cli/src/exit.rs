//! Exit codes: a contract with scripts and units, append-only.

use std::process::ExitCode;

use ananke_core::port::ErrorKind;
use ananke_core::report::Outcome;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Done = 0,
    /// A defect, or a state directory that cannot be used.
    Internal = 1,
    /// Flags or config.
    Usage = 2,
    /// A gate did not pass in time, the doctor found something, or what was asked did not answer.
    NotInTime = 3,
    /// Everything that can be had is there; the rest needs a person.
    PersonNeeded = 4,
    /// A guard refused, another run holds the lock, a shutdown took over, or a right or a key is missing.
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

/// What was asked for did not come: later it may, somebody must allow it, or it was not there to be asked for.
impl From<ErrorKind> for Exit {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Transient | ErrorKind::Conflict => Self::NotInTime,
            ErrorKind::Denied | ErrorKind::Blocked | ErrorKind::Untrusted => Self::Refused,
            ErrorKind::Missing | ErrorKind::Invalid => Self::Usage,
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

    #[test]
    fn what_did_not_answer_is_no_internal_error() {
        use ErrorKind::*;
        let codes = [Transient, Conflict, Denied, Blocked, Untrusted, Missing, Invalid].map(|kind| Exit::from(kind).code());
        assert_eq!(codes, [3, 3, 5, 5, 5, 2, 2]);
    }
}
