//! Where one gate stands in a run, and how a judgement moves it: deadlines, regressions, what is left to a person.

use std::collections::BTreeSet;
use std::time::Duration;

use super::basis::Basis;
use super::walk::named;
use crate::gate::{Overdue, Row};
use crate::name::{Moment, Subject};
use crate::phase::deadline::Limit;
use crate::report::GateStatus;
use crate::trap::{self, Class};
use crate::verdict::{BlockerKind, Judgement, Trap, Verdict};

/// Where one gate stands in this run.
#[derive(Debug, Clone)]
pub struct GateRun {
    pub status: GateStatus,
    pub judgement: Judgement,
    pub opened: Option<Moment>,
    /// Since when it has been settled without a break.
    pub settled: Option<Moment>,
    /// When it passed for the first time.
    pub passed: Option<Moment>,
    /// Since when it waits, for its deadline.
    pub(super) waiting_since: Option<Moment>,
    /// Subjects whose deadline passed.
    pub overdue: BTreeSet<Subject>,
    pub regressions: u64,
    /// Some of its subjects were given up for what comes after it, in a shutdown that must be over by a given time.
    pub(super) cut_short: bool,
    /// What the judgement rests on.
    pub(super) basis: Option<Basis>,
}

impl GateRun {
    pub(super) fn new() -> Self {
        Self {
            status: GateStatus::Pending,
            judgement: Judgement::default(),
            opened: None,
            settled: None,
            passed: None,
            waiting_since: None,
            overdue: BTreeSet::new(),
            regressions: 0,
            cut_short: false,
            basis: None,
        }
    }

    /// Moves every time that something is waited for since.
    pub(super) fn waits(&mut self, moved: impl Fn(Moment) -> Moment) {
        for at in [&mut self.opened, &mut self.settled, &mut self.passed, &mut self.waiting_since] {
            *at = at.map(&moved);
        }
    }

    #[cfg(test)]
    pub(crate) fn opened_at(now: Moment) -> Self {
        Self { opened: Some(now), ..Self::new() }
    }

    pub(super) fn step(
        &mut self,
        row: &Row,
        judgement: Judgement,
        open: bool,
        now: Moment,
        limit: Limit,
        causes: &BTreeSet<Subject>,
    ) {
        self.judgement = judgement;
        let was = self.status;
        if !open && was == GateStatus::Passed && self.judgement.passes() {
            return;
        }
        if !open && self.is_late(row, now, limit.patience) {
            self.status = GateStatus::Failed;
        } else if !open {
            self.status = GateStatus::Pending;
            self.settled = None;
            self.waiting_since = None;
        } else {
            self.opened.get_or_insert(now);
            self.status = self.open_status(row, now, limit, causes);
            match self.status {
                GateStatus::Passed | GateStatus::Manual | GateStatus::NotApplicable | GateStatus::CutShort => {
                    self.settled.get_or_insert(now);
                    self.waiting_since = None;
                }
                GateStatus::Pending | GateStatus::Holding | GateStatus::Unknown | GateStatus::Failed => {
                    self.settled = None;
                    self.waiting_since.get_or_insert(now);
                }
            }
        }
        match (was == GateStatus::Passed, self.status == GateStatus::Passed) {
            (false, true) => {
                self.passed.get_or_insert(now);
            }
            (true, false) => self.regressions = self.regressions.saturating_add(1),
            (true, true) | (false, false) => {}
        }
    }

    fn open_status(&mut self, row: &Row, now: Moment, limit: Limit, causes: &BTreeSet<Subject>) -> GateStatus {
        if self.judgement.not_applicable.is_some() {
            return GateStatus::NotApplicable;
        }
        if self.judgement.passes() {
            self.overdue.clear();
            return GateStatus::Passed;
        }
        let overdue = self.is_overdue(now, limit.patience);
        let cut = limit.cut.is_some_and(|cut| now >= cut);
        if self.is_late(row, now, limit.patience) || overdue && row.overdue == Overdue::Fatal {
            return GateStatus::Failed;
        }
        let (mut unsettled, mut person) = (false, false);
        let mut unknown = true;
        for (subject, verdict) in &mut self.judgement.subjects {
            match verdict {
                Verdict::Pass(_) => {
                    self.overdue.remove(subject);
                }
                Verdict::Hold(blocker) => match &blocker.kind {
                    BlockerKind::Person => (unknown, person) = (false, true),
                    BlockerKind::Follows(cause) if causes.contains(cause) => (unknown, person) = (false, true),
                    BlockerKind::Follows(_) | BlockerKind::Waiting | BlockerKind::Repairable(_) => {
                        unknown = false;
                        if overdue || self.overdue.contains(subject) {
                            person = true;
                            self.overdue.insert(subject.clone());
                        } else if cut {
                            (self.cut_short, self.basis) = (true, None);
                            verdict.cut_short();
                        } else {
                            unsettled = true;
                        }
                    }
                },
                Verdict::Unknown(_) => {
                    if overdue || self.overdue.contains(subject) {
                        person = true;
                        self.overdue.insert(subject.clone());
                    } else if cut {
                        (self.cut_short, self.basis) = (true, None);
                        verdict.cut_short();
                    } else {
                        unsettled = true;
                    }
                }
            }
        }
        match (unsettled, unknown, person) {
            (true, true, _) => GateStatus::Unknown,
            (true, false, _) => GateStatus::Holding,
            (false, _, true) => GateStatus::Manual,
            (false, _, false) => GateStatus::CutShort,
        }
    }

    /// What is judged of its subjects, of which none holds a gate that has passed: a large cluster has thousands.
    pub(super) fn held(&self) -> impl Iterator<Item = (&Subject, &Verdict)> {
        (self.status != GateStatus::Passed).then_some(&self.judgement.subjects).into_iter().flatten()
    }

    pub(super) fn is_overdue(&self, now: Moment, patience: Duration) -> bool {
        self.waiting_since.is_some_and(|since| now.since(since) >= patience)
    }

    /// What never holds for long is overdue from when it could have begun to.
    fn is_late(&self, row: &Row, now: Moment, patience: Duration) -> bool {
        row.overdue == Overdue::Ends && self.opened.is_some_and(|opened| now.since(opened) >= patience)
    }

    /// Since when it has stood as it does: settled, or waiting; none before what it requires has passed.
    pub fn since(&self) -> Option<Moment> {
        self.settled.or(self.waiting_since)
    }

    pub(super) fn wants_person(&self) -> bool {
        self.status == GateStatus::Manual
    }

    /// It failed, and what is wrong was recognised by its words as something that a person gets out of.
    pub(super) fn failed_for_a_person(&self) -> bool {
        let of_a_person = |trap: Trap| trap::entry(trap).is_some_and(|it| it.class != Class::Auto && it.diagnosis.is_some());
        self.status == GateStatus::Failed && self.judgement.subjects.values().filter_map(Verdict::trap).any(of_a_person)
    }

    /// One line for the journal and the screen: the evidence, or the first blockers.
    pub fn headline(&self) -> String {
        if let Some(why) = &self.judgement.not_applicable {
            return format!("not applicable: {why}");
        }
        let (passed, all) = self.judgement.counts();
        let waiting: Vec<(&Subject, &Verdict)> =
            self.judgement.subjects.iter().filter(|(_, verdict)| !verdict.is_pass()).collect();
        match (waiting.as_slice(), all) {
            ([], 1) => self.judgement.subjects.values().next().map_or_else(String::new, |only| only.text().to_owned()),
            ([], _) => format!("all {all}"),
            ([(subject, verdict)], 1) => named(subject, verdict.text()),
            ([(subject, verdict), rest @ ..], _) => {
                let first = named(subject, verdict.text());
                match rest.len() {
                    0 => format!("{passed} of {all}; {first}"),
                    more => format!("{passed} of {all}; {first}; and {more} more"),
                }
            }
        }
    }
}
