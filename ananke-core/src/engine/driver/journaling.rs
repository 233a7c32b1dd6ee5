//! How a run writes its journal: decisions durably, what was seen along with them.

use super::Run;
use crate::engine::journal::{Entry, What};
use crate::name::Moment;
use crate::port::PortError;
use crate::report::Command;

impl Run<'_, '_> {
    /// Writes the journal's first line, if it is not written yet.
    pub(super) async fn open_journal(&mut self) -> Result<(), PortError> {
        let Some(opening) = self.opening.clone() else { return Ok(()) };
        let now = self.reads.clock.now();
        match (self.write_entry(opening.clone(), now).await, opening) {
            (Ok(_), _) => {}
            // A shutdown does not wait for room: without what it began with it cannot be replayed, and it can be done.
            (Err(error), What::RunStarted { command: command @ Command::Shutdown, resumes, start: Some(_) }) => {
                self.write_entry(What::RunStarted { command, resumes, start: None }, now).await?;
                self.seen = None;
                self.walk.note_once(format!("what is seen is not recorded, so that this run cannot be replayed: {error}"));
            }
            (Err(error), _) => return Err(error),
        }
        self.opening = None;
        Ok(())
    }

    pub(super) async fn journal_or_note(&mut self, what: What, at: Moment) {
        if let Err(error) = self.journal(what, at).await {
            self.walk.note_once(format!("the journal cannot be written: {error}"));
        }
    }

    /// What was read goes to the journal with the judgement that it led to.
    pub(super) async fn record_judgement(&mut self, now: Moment) {
        if let Some(seen) = self.seen.as_mut().map(std::mem::take) {
            self.record(What::Judged { seen, uptime: self.walk.uptime.clone() }, now).await;
        }
    }

    pub(super) async fn record_withheld(&mut self, why: &str, now: Moment) {
        if self.seen.is_some() {
            self.record(What::Withheld { why: why.to_owned() }, now).await;
        }
    }

    /// A record that is not whole cannot be replayed: after the first line that is lost, no more are written.
    async fn record(&mut self, what: What, at: Moment) {
        let Some(hands) = self.hands else { return };
        let recorded = match self.open_journal().await {
            Ok(()) => {
                let entry = Entry { run: self.walk.run.clone(), seq: self.seq.saturating_add(1), at, what };
                hands.state.record(&entry).await.map(|()| self.seq = entry.seq)
            }
            Err(error) => Err(error),
        };
        if let Err(error) = recorded {
            self.seen = None;
            self.walk.note_once(format!("what is seen is not recorded, so that this run cannot be replayed: {error}"));
        }
    }

    pub(super) async fn journal(&mut self, what: What, at: Moment) -> Result<u64, PortError> {
        let opened = self.open_journal().await;
        let ends_a_lease = matches!(&what, What::Acting { order, .. } if order.ends_a_lease());
        if !ends_a_lease {
            opened?;
        }
        self.write_entry(what, at).await
    }

    async fn write_entry(&mut self, what: What, at: Moment) -> Result<u64, PortError> {
        let Some(hands) = self.hands else { return Ok(0) };
        let entry = Entry { run: self.walk.run.clone(), seq: self.seq.saturating_add(1), at, what };
        hands.state.append(&entry).await?;
        self.seq = entry.seq;
        Ok(entry.seq)
    }
}
