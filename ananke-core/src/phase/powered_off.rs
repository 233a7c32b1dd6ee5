//! Phase `powered-off`: the hosts are off, workers first, servers after them (`--mode poweroff` only).
//!
//! Ananke's own host is not among them, even where it is a node: it goes last, when the report is written.

use std::time::Duration;

use super::{at_work, deadline, left_behind};
use crate::engine::view::{Trust, View};
use crate::fact::Gap;
use crate::name::{Moment, NodeName, Subject, human};
use crate::order::{HostOrder, Order};
use crate::port::PortError;
use crate::proof;
use crate::remedy::Action;
use crate::report::ActionOutcome;
use crate::spec::{NodeRole, ShutdownMode};
use crate::verdict::{GateId, Judgement, Reason, Verdict};

const VERB: &str = "power-off";
const FORCED: &str = "power-off-now";
const BUDGET: u32 = 2;
/// A host takes its time to stop what else runs on it.
const PAUSE: Duration = Duration::from_secs(60);
/// sshd is among the first that a host stops: only a silence that lasts counts.
const SILENT_FOR: Duration = Duration::from_secs(10);
/// The servers do not wait longer than this for workers that stay on.
const WORKERS_FIRST: Duration = Duration::from_secs(60);

pub(super) fn evaluate(view: &View<'_>) -> Judgement {
    match view.spec.shutdown.mode {
        ShutdownMode::ClusterOnly => return Judgement::not_applicable("--mode cluster-only: the hosts stay on"),
        ShutdownMode::Poweroff => {}
    }
    let mut judgement = Judgement::default();
    for (name, node) in &view.spec.nodes {
        if !node.is_managed() {
            let text = format!("{name} has no SSH, as configured: it stays on, and switching it off is left to a person");
            judgement.notes.push(text);
            continue;
        }
        let verdict = if is_own_host(view, name) {
            Verdict::pass("Ananke's own host: it goes last, when the report is written")
        } else {
            judge(view, name, node.role)
        };
        judgement.set(Subject::Node(name.clone()), verdict);
    }
    if judgement.subjects.is_empty() {
        judgement.not_applicable = Some("no node has SSH, as configured".to_owned());
    }
    judgement
}

fn judge(view: &View<'_>, name: &NodeName, role: NodeRole) -> Verdict {
    let command = format!("switch {name} off: `systemctl poweroff` on it, or its power button");
    if let Some(silence) = silent(view, name) {
        return Verdict::pass(format!(
            "ordered off, and has not answered SSH for {}: taken to be off, which nothing but its power supply could prove",
            human(silence)
        ));
    }
    let stopped = match role {
        NodeRole::Worker => GateId::WorkersStopped,
        NodeRole::Server => GateId::ServersStopped,
    };
    match answers(view, name) {
        Ok(()) => Verdict::waiting(Reason::StillPowered, format!("{name} is on"), command),
        Err(gap) if left_behind(view, stopped, name) => {
            let text = format!("{name} cannot be ordered off: {}", gap.text);
            Verdict::follows(Reason::HostUnreachable, Subject::Node(name.clone()), text)
        }
        Err(gap) => Verdict::unknown(gap, command),
    }
}

/// Whether the newest look at the host was answered. What it said before that is of no use here.
fn answers(view: &View<'_>, node: &NodeName) -> Result<(), Gap> {
    view.host(node)?;
    match view.host_fact(node).and_then(|fact| fact.newest_failure().map(|error| (fact, error))) {
        None => Ok(()),
        Some((fact, error)) => Err(fact.fresh(view.now, Duration::ZERO).err().unwrap_or_else(|| Gap {
            error: Some(error.clone()),
            at: None,
            text: error.to_string(),
        })),
    }
}

/// For how long a host has not answered that was ordered off, by this run or by one before it that died on the same
/// shutdown. No proof of death: a broken network looks the same, so nothing is ever forced on it.
pub(super) fn silent(view: &View<'_>, node: &NodeName) -> Option<Duration> {
    let ordered = ordered(view, node)?;
    let fact = view.host_fact(node)?;
    let gap = fact.fresh(view.now, Duration::ZERO).err()?;
    // A session that breaks was one of a machine that runs.
    let silent = |error: &PortError| proof::is_silence(error) || error.reason == Some(Reason::SshRefused);
    let unreachable = gap.error.as_ref().is_some_and(silent);
    let since = fact.seen_at().map_or(ordered, |seen| seen.max(ordered));
    let silence = view.now.since(since);
    (unreachable && gap.at.is_some_and(|at| at > since) && silence >= SILENT_FOR).then_some(silence)
}

/// When the host was last ordered off; an order that is still under way has not reached it yet.
fn ordered(view: &View<'_>, node: &NodeName) -> Option<Moment> {
    let subject = Subject::Node(node.clone());
    let (tries, forced) = (view.history().tries(VERB, &subject), view.history().tries(FORCED, &subject));
    if forced.count > 0 {
        return forced.last.filter(|_| !forced.in_flight);
    }
    if tries.count > 0 {
        return tries.last.filter(|_| !tries.in_flight);
    }
    let earlier = view.earlier.iter().flat_map(|run| &run.actions);
    let mut orders = earlier.filter(|action| action.verb == VERB && action.subject == subject);
    orders.rfind(|action| !matches!(action.outcome, ActionOutcome::Failed(_))).map(|action| action.at)
}

pub(super) fn plan(view: &View<'_>) -> Vec<Action> {
    if !at_work(view, GateId::PoweredOff) || view.spec.shutdown.mode == ShutdownMode::ClusterOnly {
        return Vec::new();
    }
    let mut actions = orders(view, NodeRole::Worker);
    if view.trust == Trust::Stated || workers_are_gone(view) {
        actions.extend(orders(view, NodeRole::Server));
    }
    if view.trust == Trust::Proven {
        actions.truncate(view.spec.shutdown.concurrency.saturating_sub(view.history().in_flight(VERB)));
    }
    actions
}

fn orders(view: &View<'_>, role: NodeRole) -> Vec<Action> {
    let of_role = view.spec.nodes.iter().filter(|(_, node)| node.role == role).map(|(name, _)| name);
    let on = of_role.filter(|name| answers(view, name).is_ok() && !is_own_host(view, name));
    on.filter_map(|name| {
        let how = disobeys(view, name);
        let forced = view.history().tries(FORCED, &Subject::Node(name.clone())).count > 0;
        if forced && how != Some(Disobeys::Rebooted) {
            return None;
        }
        let hangs = how == Some(Disobeys::Hangs);
        // Nothing of the cluster writes there any more, so nothing of it is cut short.
        let (order, verb, budget) = if hangs && at_rest(view, name, role) {
            (HostOrder::PowerOffNow, FORCED, 1)
        } else {
            (HostOrder::PowerOff, VERB, BUDGET)
        };
        let order = Order::Host { node: name.clone(), order };
        let allowed = view.history().allows(verb, &order.subject(), view.now, budget, PAUSE);
        allowed.then(|| Action { order, why: "--mode poweroff".to_owned() })
    })
    .collect()
}

/// How a host that was ordered off and answers goes against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disobeys {
    /// It has been stopping for so long.
    Hangs,
    /// It has booted since.
    Rebooted,
}

/// None for a host that does not answer, was not ordered off, or has its time to go down.
pub(crate) fn disobeys(view: &View<'_>, node: &NodeName) -> Option<Disobeys> {
    let ordered = ordered(view, node)?;
    answers(view, node).ok()?;
    let (since, uptime) = (view.now.since(ordered), view.host(node).ok()?.uptime);
    if uptime < since { Some(Disobeys::Rebooted) } else { (since >= PAUSE).then_some(Disobeys::Hangs) }
}

fn at_rest(view: &View<'_>, node: &NodeName, role: NodeRole) -> bool {
    let phase = match role {
        NodeRole::Worker => GateId::PodsStopped,
        NodeRole::Server => GateId::ServersStopped,
    };
    let gate = view.gate(phase);
    gate.is_some_and(|gate| gate.judgement.subjects.get(&Subject::Node(node.clone())).is_some_and(Verdict::is_pass))
}

/// The workers are off, or have had their time.
fn workers_are_gone(view: &View<'_>) -> bool {
    // One that cannot be reached was never ordered off, or is about to be silent for long enough.
    let on = |name: &NodeName| silent(view, name).is_none() && !left_behind(view, GateId::WorkersStopped, name);
    let opened = view.gate(GateId::PoweredOff).and_then(|gate| gate.opened);
    let had_their_time = opened.is_some_and(|opened| {
        let patience = deadline::limit(view.spec, GateId::PoweredOff, view.began, opened).patience;
        view.now.since(opened) >= WORKERS_FIRST.min(patience / 2)
    });
    had_their_time || !view.spec.workers().any(|(name, node)| node.is_managed() && !is_own_host(view, name) && on(name))
}

fn is_own_host(view: &View<'_>, node: &NodeName) -> bool {
    let holder = view.spec.holder.as_str();
    node.as_str() == holder || holder.split('.').next() == Some(node.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::{Bench, node};
    use crate::name::RunId;
    use crate::port::ErrorKind;
    use crate::report::{ActionReport, EarlierRun};

    fn bench() -> Bench {
        let mut bench = Bench::new(3);
        bench.all_up();
        bench.spec.shutdown.mode = ShutdownMode::Poweroff;
        bench.open(GateId::PoweredOff);
        bench
    }

    fn pass_time(bench: &mut Bench, seconds: u64) {
        bench.now = bench.now.plus(Duration::from_secs(seconds));
        for n in 1..=bench.spec.nodes.len() {
            let dark = bench.obs.hosts.get(&node(n)).is_none_or(|fact| fact.newest_failure().is_some());
            if dark { goes_dark(bench, n) } else { bench.host(n, |_| {}) }
        }
    }

    fn goes_dark(bench: &mut Bench, n: usize) {
        let error = PortError::new(ErrorKind::Transient, "ssh", node(n), "no answer within 5 s");
        let now = bench.now;
        bench.obs.hosts.entry(node(n)).or_default().fold(Err(error), now);
    }

    fn texts(bench: &Bench) -> Vec<String> {
        plan(&bench.view()).iter().map(|action| action.order.to_string()).collect()
    }

    /// Everything that is planned is sent and answered.
    fn act(bench: &mut Bench) {
        for action in plan(&bench.view()) {
            bench.done(&action.order);
        }
    }

    #[test]
    fn hosts_stay_on_unless_poweroff_is_asked_for() {
        let mut bench = bench();
        bench.spec.shutdown.mode = ShutdownMode::ClusterOnly;
        bench.check(evaluate, "not applicable: --mode cluster-only: the hosts stay on");
        assert!(texts(&bench).is_empty());
    }

    #[test]
    fn a_node_without_ssh_stays_on_and_is_not_waited_for() {
        let mut bench = bench();
        bench.unmanage(2);
        bench.unmanage(3);
        assert_eq!(texts(&bench), ["power off n1"]);
        let told =
            |n: usize| format!("note: n{n} has no SSH, as configured: it stays on, and switching it off is left to a person");
        bench.check(evaluate, &format!("n1: hold still-powered waiting\n{}\n{}", told(2), told(3)));
    }

    #[test]
    fn workers_go_first_and_a_host_is_taken_to_be_off_when_it_stays_silent() {
        let mut bench = bench();
        assert_eq!(texts(&bench), ["power off n2", "power off n3"]);
        act(&mut bench);
        assert!(texts(&bench).is_empty());
        pass_time(&mut bench, 1);
        (2..=3).for_each(|n| goes_dark(&mut bench, n));
        bench.check(evaluate, "n1: hold still-powered waiting\nn2: unknown\nn3: unknown");
        pass_time(&mut bench, 9);
        bench.check(evaluate, "n1: hold still-powered waiting\nn2: unknown\nn3: unknown");
        pass_time(&mut bench, 1);
        bench.check(evaluate, "n1: hold still-powered waiting\nn2: pass\nn3: pass");
        assert_eq!(texts(&bench), ["power off n1"]);
        act(&mut bench);
        pass_time(&mut bench, 1);
        goes_dark(&mut bench, 1);
        pass_time(&mut bench, 10);
        bench.check(evaluate, "n1: pass\nn2: pass\nn3: pass");
    }

    #[test]
    fn a_worker_that_stays_on_does_not_keep_the_servers_on_for_ever() {
        let mut bench = bench();
        act(&mut bench);
        pass_time(&mut bench, 59);
        assert!(texts(&bench).is_empty());
        pass_time(&mut bench, 1);
        assert_eq!(texts(&bench), ["power off n2", "power off n3", "power off n1"]);
    }

    #[test]
    fn a_host_that_hangs_is_forced_once_where_nothing_of_the_cluster_runs_on_it() {
        let mut bench = bench();
        bench.spec.deadlines.insert(GateId::PoweredOff, Duration::from_secs(1200));
        act(&mut bench);
        for n in [2, 3] {
            bench.host(n, |host| host.unit = crate::observation::UnitState::Inactive);
        }
        bench.host(3, |host| host.leftovers.shims = 1);
        bench.settle(GateId::PodsStopped, super::super::pods_stopped::evaluate);
        bench.open(GateId::PoweredOff);
        pass_time(&mut bench, 60);
        let forced = |n: usize| format!("power off n{n}, whatever does not stop there");
        assert_eq!(texts(&bench)[..2], [forced(2), "power off n3".to_owned()]);
        act(&mut bench);
        for seconds in [1, 89] {
            pass_time(&mut bench, seconds);
            assert!(!texts(&bench).iter().any(|text| text.contains("n2")), "force is the last that is tried");
        }
    }

    #[test]
    fn silence_without_an_order_is_not_off() {
        let mut bench = bench();
        goes_dark(&mut bench, 3);
        pass_time(&mut bench, 100);
        bench.check(evaluate, "n1: hold still-powered waiting\nn2: hold still-powered waiting\nn3: unknown");
    }

    #[test]
    fn the_order_of_a_run_that_died_counts() {
        let mut bench = bench();
        let action = |n| ActionReport {
            at: bench.now,
            verb: VERB.to_owned(),
            subject: Subject::Node(node(n)),
            text: String::new(),
            why: String::new(),
            trap: None,
            effect: None,
            outcome: if n == 2 { ActionOutcome::Sent } else { ActionOutcome::Failed("sudo asks for a password".to_owned()) },
        };
        let (run, gates_passed) = (RunId::parse("shutdown-1").unwrap(), Vec::new());
        let stop = ActionReport { verb: "stop-unit".to_owned(), subject: Subject::Node(node(1)), ..action(2) };
        let actions = vec![action(2), action(3), stop];
        bench.earlier.push(EarlierRun { run, started: bench.now, last_seen: bench.now, gates_passed, actions });
        pass_time(&mut bench, 20);
        bench.obs.hosts.remove(&node(2));
        goes_dark(&mut bench, 2);
        bench.check(evaluate, "n1: hold still-powered waiting\nn2: pass\nn3: hold still-powered waiting");
        (1..=3).for_each(|n| goes_dark(&mut bench, n));
        pass_time(&mut bench, 20);
        bench.check(evaluate, "n1: unknown\nn2: pass\nn3: unknown");
    }

    #[test]
    fn the_host_that_ananke_runs_on_is_left_to_the_end() {
        let mut bench = bench();
        bench.spec.holder = "n3.example.org".to_owned();
        assert_eq!(texts(&bench), ["power off n2"]);
        bench.check(evaluate, "n1: hold still-powered waiting\nn2: hold still-powered waiting\nn3: pass");
    }

    #[test]
    fn a_host_that_refuses_us_or_was_not_looked_at_since_is_not_taken_to_be_off() {
        let mut bench = bench();
        act(&mut bench);
        pass_time(&mut bench, 1);
        goes_dark(&mut bench, 2);
        bench.now = bench.now.plus(SILENT_FOR);
        let refused = PortError::new(ErrorKind::Untrusted, "ssh", node(3), "another host key");
        bench.obs.hosts.get_mut(&node(3)).unwrap().fold(Err(refused), bench.now);
        bench.check(evaluate, "n1: hold still-powered waiting\nn2: unknown\nn3: unknown");
        let broken = PortError::new(ErrorKind::Transient, "ssh", node(2), "it broke").with_reason(Reason::SshBroken);
        bench.obs.hosts.get_mut(&node(2)).unwrap().fold(Err(broken), bench.now);
        bench.check(evaluate, "n1: hold still-powered waiting\nn2: unknown\nn3: unknown");
    }

    #[test]
    fn a_worker_that_was_left_behind_is_not_waited_for_again() {
        let mut bench = bench();
        bench.obs.hosts.remove(&node(2));
        bench.settle(GateId::WorkersStopped, super::super::stopped::workers);
        bench.check(
            evaluate,
            "n1: hold still-powered waiting\nn2: hold host-unreachable follows n2\nn3: hold still-powered waiting",
        );
    }

    #[test]
    fn a_look_names_every_host_whatever_is_allowed_at_once() {
        let mut bench = bench();
        bench.spec.shutdown.concurrency = 1;
        let (run, look) = (plan(&bench.view()), plan(&View { trust: Trust::Stated, ..bench.view() }));
        assert_eq!((run.len(), look.len()), (1, 3));
    }

    #[test]
    fn where_time_is_short_the_servers_wait_for_half_of_it() {
        let mut bench = bench();
        bench.spec.deadlines.insert(GateId::PoweredOff, Duration::from_secs(40));
        act(&mut bench);
        pass_time(&mut bench, 19);
        assert!(texts(&bench).is_empty());
        pass_time(&mut bench, 1);
        assert_eq!(texts(&bench), ["power off n1"]);
    }
}
