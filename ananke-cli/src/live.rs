//! What a long run shows while it runs: on a terminal the gates in place, elsewhere one plain line for each event.

use std::io::IsTerminal;
use std::time::Duration;

use ananke_core::audit;
use ananke_core::engine::News;
use ananke_core::engine::walk::Walk;
use ananke_core::eta::outlook;
use ananke_core::name::{Moment, human};
use ananke_core::order::Order;
use ananke_core::report::GateStatus;
use ananke_sim::drill::status_word;

use crate::render::{clip, normally};
use crate::terminal;

/// The screen is drawn again at most this often.
const FRAME: Duration = Duration::from_millis(250);
const MINUTE: Duration = Duration::from_secs(60);

pub(crate) struct Live {
    terminal: bool,
    /// Lines drawn last time, to be drawn over.
    drawn: usize,
    last: Option<Moment>,
}

/// What the auditor has against an order; it is sent all the same.
pub(crate) fn log_objections(walk: &Walk, now: Moment, order: &Order) {
    for objection in audit::objections(walk, now, order) {
        tracing::error!(run = %walk.run, "an order breaks a rule: {objection}");
    }
}

impl Live {
    pub(crate) fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), drawn: 0, last: None }
    }

    pub(crate) fn tell(&mut self, walk: &Walk, now: Moment, news: &News<'_>) {
        match news {
            News::Tick if self.terminal => self.draw(walk, now),
            News::Tick => self.tell_waits(walk, now),
            News::Gate(_) if self.terminal => {}
            News::Gate(change) => {
                self.say(walk, now, &format!("{:<17} {:<8} {}", change.gate, status_word(change.status), change.text));
            }
            News::Acting(action) => {
                log_objections(walk, now, &action.order);
                self.say(walk, now, &format!("{:<17} {} ({})", "do", action.order, action.why));
            }
            News::Acted { order, error: Some(error) } => self.say(walk, now, &format!("{:<17} {order}: {error}", "failed")),
            News::Acted { error: None, .. } => {}
        }
    }

    /// Where nothing is drawn in place, a line a minute says what is waited for, and for how long that is normal.
    fn tell_waits(&mut self, walk: &Walk, now: Moment) {
        if walk.outcome.is_some() || now.since(*self.last.get_or_insert(now)) < MINUTE {
            return;
        }
        self.last = Some(now);
        let reports = walk.gate_reports(now);
        let waits = reports.iter().filter(|gate| gate.is_waited_for());
        let waits: Vec<String> = waits.map(|gate| format!("{} {}", gate.id, gate.waited(Duration::ZERO))).collect();
        self.say(walk, now, &format!("{:<17} {}; {}", "waiting", waits.join(", "), outlook(walk.remaining(now))));
    }

    /// A line that stays.
    fn say(&mut self, walk: &Walk, now: Moment, text: &str) {
        let text = if self.terminal { clip(text, width().saturating_sub(10)) } else { text.to_owned() };
        if terminal::line(&self.wipe(), &format!("{:>7}  {text}\n", human(now.since(walk.started)))) {
            self.drawn = 0;
        }
        if self.terminal {
            self.last = None;
            self.draw(walk, now);
        }
    }

    fn draw(&mut self, walk: &Walk, now: Moment) {
        if !self.terminal || self.last.is_some_and(|last| now.since(last) < FRAME) && walk.outcome.is_none() {
            return;
        }
        self.last = Some(now);
        let mut text = self.wipe();
        if walk.outcome.is_some() {
            if terminal::frame(text) {
                self.drawn = 0;
            }
            return;
        }
        let width = width();
        let reports = walk.gate_reports(now);
        for gate in &reports {
            let took = if gate.status == GateStatus::Pending { String::new() } else { human(gate.took) };
            let normal = normally(gate);
            let line = format!("  {:<17} {:<8} {took:>7}  {normal}{}", gate.id, status_word(gate.status), gate.text);
            text.push_str(&clip(&terminal::plain(&line), width));
            text.push('\n');
        }
        text.push_str(&format!("  elapsed {}, {}\n", human(now.since(walk.started)), outlook(walk.remaining(now))));
        // What was left out has drawn over nothing.
        if terminal::frame(text) {
            self.drawn = reports.len().saturating_add(1);
        }
    }

    fn wipe(&self) -> String {
        if self.drawn > 0 { format!("\x1b[{}A\x1b[J", self.drawn) } else { String::new() }
    }
}

fn width() -> usize {
    terminal_size::terminal_size_of(std::io::stderr()).map_or(100, |(terminal_size::Width(columns), _)| usize::from(columns))
}
