//! People who do what a report asks of them, and no more: what they then still cannot have, they were not told of.

use ananke_core::intent::IntentState;
use ananke_core::name::{NodeName, Subject};
use ananke_core::report::{ManualAction, Outcome, Report};

use super::Stage;
use crate::check::What;
use crate::executor::lock;
use crate::fault::Fault;
use crate::swarm::gear::Gear;
use crate::swarm::remedy;

/// So often people do all that they are asked; then they have had enough.
const ROUNDS: u32 = 5;

impl Stage<'_> {
    /// Whether people have done something about it, and a start-up may get further.
    pub(super) fn is_done_what_is_asked(&self, report: &Report, rounds: &mut u32) -> bool {
        if report.outcome == Outcome::Refused {
            return self.clears_intent();
        }
        if !self.story.has(Gear::Hands) || report.outcome != Outcome::Manual {
            return false;
        }
        *rounds += 1;
        let mut done = 0;
        let mut left = Vec::new();
        let struck = std::mem::take(&mut *lock(&self.struck));
        for (fault, node) in struck {
            let asked = report.manual.iter().any(|action| remedy::is_asked_for(fault, node.as_ref(), action));
            let mended = asked && self.scenery.sim.world().mend(fault, node.as_ref());
            done += u32::from(mended);
            if !mended {
                left.push((fault, node));
            }
        }
        let lifted = report.manual.iter().filter(|action| self.lifts(action)).count();
        done += u32::try_from(lifted).unwrap_or(u32::MAX);
        lock(&self.struck).extend(left.iter().cloned());
        if done > 0 && *rounds <= ROUNDS {
            return true;
        }
        if let Some(why) = told_too_little(report, &left, *rounds) {
            self.scenery.note(What::Stuck(why));
        }
        false
    }

    /// `ananke intent clear`, by whoever was told that a shutdown stands in the way, and sees that it is dead.
    fn clears_intent(&self) -> bool {
        let intent = &mut self.own.state.kept().intent;
        let dead = intent.take_if(|intent| intent.state == IntentState::ShuttingDown && !self.power.is_stopping());
        dead.is_some()
    }

    /// The mark of a repair that came to nothing goes once a person has been there.
    fn lifts(&self, action: &ManualAction) -> bool {
        let Subject::Node(node) = &action.subject else { return false };
        self.scenery.sim.world().lift_mark(node)
    }
}

fn told_too_little(report: &Report, left: &[(Fault, Option<NodeName>)], rounds: u32) -> Option<String> {
    let asked: Vec<String> = report.manual.iter().take(4).map(|it| format!("{}: {}", it.subject, it.instruction)).collect();
    let left: Vec<String> = (left.iter().filter(|(fault, _)| fault.needs_person()))
        .map(|(fault, node)| node.as_ref().map_or_else(|| fault.to_string(), |node| format!("{fault} on {node}")))
        .collect();
    let asked = asked.join(" | ");
    Some(match rounds > ROUNDS {
        true => format!("people did {ROUNDS} times what they were asked, and are asked again: {asked}"),
        false => format!(
            "nothing of what people are asked mends {}: {asked}",
            if left.is_empty() { "anything".to_owned() } else { left.join(", ") }
        ),
    })
}
