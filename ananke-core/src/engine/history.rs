//! What was already done, so that remedies have budgets and nothing is sent twice.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::name::{Moment, Subject};
use crate::order::Order;
use crate::port::{ErrorKind, PortError};
use crate::report::{ActionOutcome, ActionReport};
use crate::verdict::Trap;

/// The verb of `HostOrder::Reboot`.
pub(crate) const REBOOT: &str = "reboot";
/// For this long a host is not rebooted again, whatever has ended since: the run, or the power. A disk that one reboot did not
/// bring back would be started anew with every start-up.
pub(crate) const REBOOT_REMEMBERED: Duration = Duration::from_secs(24 * 3600);
/// The verb of `HostOrder::Restart`.
const RESTART: &str = "restart-unit";
/// The same repair of the same node is not tried more often, by whichever run, and whatever has booted since.
pub(crate) const REPAIR_REMEMBERED: Duration = Duration::from_secs(3600);

#[derive(Debug, Clone, Default)]
pub struct History {
    /// By the verb, and then by what it was done to.
    done: BTreeMap<String, BTreeMap<Subject, Tries>>,
    /// When something was done about a trap, at whatever object.
    about: BTreeMap<Trap, Vec<Moment>>,
}

/// How often one kind of action was tried on one subject.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tries {
    pub count: u32,
    pub first: Option<Moment>,
    pub last: Option<Moment>,
    pub in_flight: bool,
    /// The answer to the newest try, if it was an error.
    pub error: Option<PortError>,
    /// How many were answered without an error.
    pub landed: u32,
    /// The trap that the newest try was about.
    trap: Option<Trap>,
    shares: BTreeMap<Trap, Share>,
}

static NEVER: Tries =
    Tries { count: 0, first: None, last: None, in_flight: false, error: None, landed: 0, trap: None, shares: BTreeMap::new() };

/// What one trap has used of the tries: the same action on the same object can be owed for different reasons.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Share {
    count: u32,
    last: Option<Moment>,
}

/// How often something may be done about one trap, over all objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Brake {
    pub(crate) a_minute: usize,
    pub(crate) a_run: usize,
}

impl History {
    /// From the actions of runs before this one: their budgets stay spent.
    pub fn from_actions<'a>(actions: impl Iterator<Item = &'a ActionReport>) -> Self {
        let mut history = Self::default();
        for action in actions {
            history.note(&action.verb, &action.subject, action.trap, action.at);
            let Some(tries) = history.tried(&action.verb, &action.subject) else { continue };
            match action.outcome {
                // It may never have left: it costs budget, and nothing waits for its effect.
                ActionOutcome::Sent => tries.forget_pause(),
                ActionOutcome::Done => tries.landed = tries.landed.saturating_add(1),
                ActionOutcome::Planned | ActionOutcome::Failed(_) => {}
            }
        }
        history
    }

    pub fn tries(&self, verb: &str, subject: &Subject) -> &Tries {
        self.done.get(verb).and_then(|tried| tried.get(subject)).unwrap_or(&NEVER)
    }

    /// Whether one more try fits the budget and the pause since the last one.
    pub fn allows(&self, verb: &str, subject: &Subject, now: Moment, budget: u32, pause: Duration) -> bool {
        let tries = self.tries(verb, subject);
        !tries.in_flight && tries.count < budget && tries.last.is_none_or(|last| is_over(last, pause, now))
    }

    /// The same, of the tries that were about this trap.
    pub(crate) fn allows_for(&self, trap: Trap, order: &Order, now: Moment, budget: u32, pause: Duration) -> bool {
        let Some(tries) = self.done.get(order.verb()).and_then(|tried| tried.get(&order.subject())) else { return budget > 0 };
        let share = tries.shares.get(&trap).copied().unwrap_or_default();
        !tries.in_flight && share.count < budget && share.last.is_none_or(|last| is_over(last, pause, now))
    }

    /// How many more actions about `trap` the brake lets through.
    pub(crate) fn room(&self, trap: Trap, brake: Brake, now: Moment) -> usize {
        let about = self.about.get(&trap).map_or(&[][..], Vec::as_slice);
        let minute = about.iter().rev().take_while(|at| now.since(**at) < Duration::from_secs(60)).count();
        brake.a_minute.saturating_sub(minute).min(brake.a_run.saturating_sub(about.len()))
    }

    /// When the newest action of this kind that was answered without an error was sent, of those on such a subject.
    pub(crate) fn last_landed(&self, verb: &str, on: impl Fn(&Subject) -> bool) -> Option<Moment> {
        let landed = self.done.get(verb)?.iter().filter(|(subject, tries)| tries.landed > 0 && on(subject));
        landed.filter_map(|(_, tries)| tries.last).max()
    }

    #[cfg(test)]
    pub(crate) fn sent(&mut self, order: &Order, at: Moment) {
        self.sent_for(None, order, at);
    }

    pub(crate) fn sent_for(&mut self, trap: Option<Trap>, order: &Order, at: Moment) {
        let subject = order.subject();
        self.note(order.verb(), &subject, trap, at);
        if let Some(tries) = self.tried(order.verb(), &subject) {
            tries.in_flight = true;
        }
    }

    pub(crate) fn answered(&mut self, order: &Order, error: Option<PortError>) {
        if let Some(tries) = self.tried(order.verb(), &order.subject()) {
            tries.in_flight = false;
            // A conflict did nothing: what was judged was old, and what is newer is judged at once, within the budget.
            match &error {
                Some(error) if error.kind == ErrorKind::Conflict => tries.forget_pause(),
                Some(_) => {}
                None => tries.landed = tries.landed.saturating_add(1),
            }
            tries.error = error;
        }
    }

    /// Leaves out what was last tried before this run began, and before the life of its subject did. A reboot begins a new
    /// life of its host, which does not make it anew; nor does an outage make anew a node that a restart did not help. Says
    /// whether there was anything to leave out.
    pub(super) fn forget_before(&mut self, started: Moment, life: impl Fn(&Subject) -> Moment) -> bool {
        let whole = life(&Subject::Cluster);
        let known = self.len();
        for (verb, tried) in &mut self.done {
            tried.retain(|subject, tries| {
                let newest = tries.last.or(tries.first);
                let born = match verb.as_str() {
                    REBOOT => whole.min(started.minus(REBOOT_REMEMBERED)),
                    RESTART => life(subject).min(started.minus(REPAIR_REMEMBERED)),
                    _ => life(subject),
                };
                tries.in_flight || newest.is_none_or(|at| at >= started || at >= born)
            });
        }
        self.about.values_mut().for_each(|times| times.retain(|at| *at >= started || *at >= whole));
        self.len() != known
    }

    fn len(&self) -> usize {
        let (done, about) = (self.done.values().map(BTreeMap::len), self.about.values().map(Vec::len));
        done.chain(about).sum()
    }

    /// How many actions of this kind are under way.
    pub fn in_flight(&self, verb: &str) -> usize {
        self.done.get(verb).into_iter().flatten().filter(|(_, tries)| tries.in_flight).count()
    }

    pub(super) fn any_in_flight(&self) -> bool {
        self.done.values().flatten().any(|(_, tries)| tries.in_flight)
    }

    fn tried(&mut self, verb: &str, subject: &Subject) -> Option<&mut Tries> {
        self.done.get_mut(verb)?.get_mut(subject)
    }

    fn note(&mut self, verb: &str, subject: &Subject, trap: Option<Trap>, at: Moment) {
        let tries = self.done.entry(verb.to_owned()).or_default().entry(subject.clone()).or_default();
        tries.count = tries.count.saturating_add(1);
        tries.first.get_or_insert(at);
        tries.last = Some(at);
        tries.trap = trap;
        if let Some(trap) = trap {
            let share = tries.shares.entry(trap).or_default();
            (share.count, share.last) = (share.count.saturating_add(1), Some(at));
            self.about.entry(trap).or_default().push(at);
        }
    }
}

impl Tries {
    fn forget_pause(&mut self) {
        self.last = None;
        if let Some(share) = self.trap.and_then(|trap| self.shares.get_mut(&trap)) {
            share.last = None;
        }
    }
}

/// Whether so long has passed since then; a time that lies ahead is one of before the clock was set back.
fn is_over(last: Moment, pause: Duration, now: Moment) -> bool {
    last > now || now.since(last) >= pause
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::{NodeName, UnitName};
    use crate::order::HostOrder;

    fn start(node: &str) -> Order {
        Order::Host { node: NodeName::parse(node).unwrap(), order: HostOrder::Start(UnitName::parse("k3s").unwrap()) }
    }

    const PAUSE: Duration = Duration::from_secs(60);

    #[test]
    fn a_budget_and_a_pause_bound_every_repetition() {
        let order = start("titan-01");
        let subject = order.subject();
        let mut history = History::default();
        let t0 = Moment::from_millis(0);
        assert!(history.allows("start-unit", &subject, t0, 2, PAUSE));
        history.sent(&order, t0);
        assert!(!history.allows("start-unit", &subject, t0.plus(PAUSE), 2, PAUSE), "the first is still under way");
        history.answered(&order, None);
        assert!(!history.allows("start-unit", &subject, t0.plus(PAUSE / 2), 2, PAUSE));
        assert!(history.allows("start-unit", &subject, t0.plus(PAUSE), 2, PAUSE));
        history.sent(&order, t0.plus(PAUSE));
        history.answered(&order, None);
        assert!(!history.allows("start-unit", &subject, t0.plus(PAUSE * 10), 2, PAUSE), "the budget is spent");
        assert_eq!(history.tries("start-unit", &subject).landed, 2);
    }

    #[test]
    fn each_trap_has_its_own_share_of_the_same_action_on_the_same_object() {
        let (order, t0) = (start("titan-01"), Moment::from_millis(0));
        let (one, other) = (Trap::HostServiceNotEnabled, Trap::KubeletWedged);
        let mut history = History::default();
        assert!(!history.allows_for(one, &order, t0, 0, PAUSE));
        history.sent_for(Some(one), &order, t0);
        assert!(!history.allows_for(other, &order, t0, 1, PAUSE), "one at a time, whatever it is about");
        history.answered(&order, None);
        assert!(!history.allows_for(one, &order, t0.plus(PAUSE), 1, PAUSE));
        assert!(!history.allows_for(one, &order, t0, 2, PAUSE), "the pause");
        assert!(history.allows_for(one, &order, t0.plus(PAUSE), 2, PAUSE));
        assert!(history.allows_for(other, &order, t0, 1, PAUSE));
    }

    #[test]
    fn a_conflict_costs_budget_and_no_pause() {
        let (order, t0) = (start("titan-01"), Moment::from_millis(0));
        let trap = Trap::HostServiceNotEnabled;
        let mut history = History::default();
        history.sent_for(Some(trap), &order, t0);
        history.answered(&order, Some(PortError::new(ErrorKind::Conflict, "scale", "web", "changed")));
        assert!(history.allows_for(trap, &order, t0, 2, PAUSE) && !history.allows_for(trap, &order, t0, 1, PAUSE));
        assert_eq!(history.tries("start-unit", &order.subject()).landed, 0);
    }

    #[test]
    fn the_brake_counts_over_all_objects_by_the_minute_and_by_the_run() {
        let trap = Trap::HostServiceNotEnabled;
        let brake = Brake { a_minute: 2, a_run: 3 };
        let (mut history, t0) = (History::default(), Moment::from_millis(0));
        assert_eq!(history.room(trap, brake, t0), 2);
        history.sent_for(Some(trap), &start("titan-01"), t0);
        history.sent_for(Some(trap), &start("titan-02"), t0);
        assert_eq!(history.room(trap, brake, t0.plus(PAUSE / 2)), 0);
        assert_eq!(history.room(Trap::KubeletWedged, brake, t0), 2, "another trap has its own");
        assert_eq!(history.room(trap, brake, t0.plus(PAUSE)), 1, "the run's ceiling leaves one");
        history.sent_for(Some(trap), &start("titan-03"), t0.plus(PAUSE));
        assert_eq!(history.room(trap, brake, t0.plus(PAUSE * 9)), 0);
    }

    #[test]
    fn what_a_run_that_died_had_done_stays_spent() {
        let order = start("titan-01");
        let trap = Trap::HostServiceNotEnabled;
        let action = |outcome| ActionReport {
            at: Moment::from_millis(0),
            verb: order.verb().to_owned(),
            subject: order.subject(),
            text: order.to_string(),
            why: String::new(),
            outcome,
            trap: Some(trap),
            effect: None,
        };
        let actions = [action(ActionOutcome::Done), action(ActionOutcome::Sent)];
        let history = History::from_actions(actions.iter());
        let t1 = Moment::from_millis(1);
        assert!(!history.allows_for(trap, &order, t1, 2, PAUSE), "the one that was only sent costs budget too");
        assert!(history.allows_for(trap, &order, t1, 3, PAUSE), "and nothing waits for its effect");
        assert_eq!(history.tries("start-unit", &order.subject()).landed, 1);
    }

    #[test]
    fn what_landed_last_is_asked_by_kind_of_action_and_subject() {
        let (one, other) = (start("titan-01"), start("titan-02"));
        let mut history = History::default();
        assert!(!history.any_in_flight());
        history.sent(&one, Moment::from_millis(1));
        history.sent(&other, Moment::from_millis(2));
        assert!(history.any_in_flight());
        history.answered(&one, None);
        history.answered(&other, Some(PortError::new(ErrorKind::Transient, "start", "titan-02", "timed out")));
        assert!(!history.any_in_flight());
        assert_eq!(history.last_landed("start-unit", |_| true), Some(Moment::from_millis(1)), "the newer one failed");
        assert_eq!(history.last_landed("start-unit", |subject| *subject == other.subject()), None);
        assert_eq!(history.last_landed("restart-unit", |_| true), None);
    }

    #[test]
    fn only_what_this_run_did_or_its_subject_lived_to_see_is_remembered() {
        let trap = Trap::HostServiceNotEnabled;
        let (lives, rebooted, awaited) = (start("titan-01"), start("titan-02"), start("titan-03"));
        let at = Moment::from_millis;
        let mut history = History::default();
        history.sent_for(Some(trap), &awaited, at(10));
        for (order, when) in [(&lives, 60), (&rebooted, 60)] {
            history.sent_for(Some(trap), order, at(when));
            history.answered(order, None);
        }
        // This run began at 100; titan-02 has booted, and the cluster came up, after that.
        let forget = |history: &mut History| {
            let life = |subject: &Subject| at(if *subject == lives.subject() { 50 } else { 200 });
            history.forget_before(at(100), life);
        };
        let counts = |history: &History| [&lives, &rebooted, &awaited].map(|it| history.tries("start-unit", &it.subject()).count);
        let brake = Brake { a_minute: 9, a_run: 9 };
        forget(&mut history);
        assert_eq!(counts(&history), [1, 0, 1], "what is under way is never forgotten");
        assert_eq!(history.room(trap, brake, at(300)), 9);
        history.sent_for(Some(trap), &rebooted, at(120));
        history.answered(&rebooted, None);
        forget(&mut history);
        assert_eq!(counts(&history), [1, 1, 1], "this run's own");
        assert_eq!(history.room(trap, brake, at(300)), 8);
    }

    #[test]
    fn a_repair_is_remembered_for_an_hour_whatever_has_booted_since() {
        let unit = UnitName::parse("k3s-agent").unwrap();
        let restart = Order::Host { node: NodeName::parse("titan-04").unwrap(), order: HostOrder::Restart(unit) };
        let minutes = |count: i64| Moment::from_millis(count * 60_000);
        let remembered = |began: i64| {
            let mut history = History::default();
            history.sent(&restart, minutes(100));
            history.answered(&restart, None);
            // The host has booted a minute before this run began.
            history.forget_before(minutes(began), |_| minutes(began - 1));
            history.tries(RESTART, &restart.subject()).count
        };
        assert_eq!([remembered(130), remembered(159), remembered(161)], [1, 1, 0]);
    }
}
