//! Proof of death: typed and rare. A refused or unreachable port proves nothing, and nothing is forced without one.
//!
//! A proof is asked for anew in every round and never kept: a machine that is heard of in any way ends it at once.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::engine::view::View;
use crate::fact::Fact;
use crate::name::{BootId, Moment, NodeName};
use crate::observation::{Confirmation, NodeState};
use crate::port::{ErrorKind, PortError};
use crate::verdict::Reason;

/// Why everything that ran on a machine is known to have ended. Only [`of`] makes one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeathProof {
    node: NodeName,
    how: How,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum How {
    /// A person saw it (`ananke confirm-off`).
    ConfirmedOff { at: Moment },
    /// The same machine runs in another boot than the one that the API knows, over a verified connection.
    Rebooted { was: BootId, is: BootId },
}

impl DeathProof {
    /// The machine itself is off. One that has rebooted is alive: its kubelet finds what it ran before and ends it, and
    /// could start it again beside a replacement that was forced.
    pub fn is_off(&self) -> bool {
        matches!(self.how, How::ConfirmedOff { .. })
    }
}

/// The proof that what the API shows on `node` is over, if there is one now.
pub fn of(view: &View<'_>, node: &NodeState) -> Option<DeathProof> {
    if let (Ok(host), Some(was)) = (view.host(&node.name), &node.boot_id) {
        // A host that answers is alive; what ran in an earlier boot of it is not. Another machine at its address proves nothing.
        return (host.boot_id != *was && node.runs_on(host) == Some(true))
            .then(|| DeathProof { node: node.name.clone(), how: How::Rebooted { was: was.clone(), is: host.boot_id.clone() } });
    }
    let confirmed = view.confirmations().iter().rev().find(|found| found.node == node.name)?;
    let off = same_boot(confirmed, node) && confirmed.at <= view.now && !heard_since(view, node, confirmed.at);
    off.then(|| DeathProof { node: node.name.clone(), how: How::ConfirmedOff { at: confirmed.at } })
}

/// It was confirmed for one boot. Where that boot was not known, because the API was away, the API's is the last one.
fn same_boot(confirmed: &Confirmation, node: &NodeState) -> bool {
    confirmed.boot_id.is_none() || confirmed.boot_id == node.boot_id
}

/// Whether a host that was asked over SSH and gave no answer is one that runs: a port that is refused and a session that breaks
/// prove a kernel, and whoever shows a wrong key or refuses a login has said something. What is dark says nothing.
pub fn shows_life(error: &PortError) -> bool {
    error.kind != ErrorKind::Transient || matches!(error.reason, Some(Reason::SshRefused | Reason::SshBroken))
}

/// Whether a failed look says that nothing answered: neither a refusal, nor trouble of our own.
pub fn is_silence(error: &PortError) -> bool {
    error.kind == ErrorKind::Transient && error.reason.is_none()
}

/// Any sign of life after the confirmation: an answer over SSH, even a bad one, or a kubelet. That a kubelet is silent is only
/// known once it was watched for long enough to have been heard, by our own clock: the machine's may be wrong.
fn heard_since(view: &View<'_>, node: &NodeState, at: Moment) -> bool {
    let host = view.host_fact(&node.name);
    let answered = host.and_then(Fact::seen_at).is_some_and(|seen| seen > at);
    let refused = host.and_then(|fact| fact.failed_since(at)).is_some_and(shows_life);
    let renewed = node.renewed.is_some_and(|renewed| renewed > at);
    let beat = view.heartbeat(&node.name).and_then(|beat| beat.advanced_by_wall).is_some_and(|beat| beat > at);
    answered || refused || renewed || beat || !view.kubelet_silent(&node.name)
}

impl fmt::Display for DeathProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.how {
            How::ConfirmedOff { at } => write!(f, "{} was confirmed to be off at {at}", self.node),
            How::Rebooted { was, is } => write!(f, "{} has rebooted, from boot {was} to {is}", self.node),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::gate::testing::{Bench, node};

    const MINUTE: Duration = Duration::from_secs(60);

    /// Node 2 is dark, and a person confirmed it a minute ago.
    fn confirmed() -> Bench {
        let mut bench = Bench::new(2);
        bench.all_up();
        bench.node_dies(2);
        let at = bench.now.minus(MINUTE);
        bench.obs.confirmations = Fact::known(vec![Confirmation { node: node(2), at, boot_id: None }], bench.now);
        bench.change_node(2, |node| node.renewed = Some(at.minus(MINUTE)));
        bench.obs.heartbeats.get_mut(&node(2)).unwrap().watched_since = at;
        bench
    }

    fn proof(bench: &Bench, n: usize) -> Option<String> {
        let view = bench.view();
        let found = view.nodes().unwrap().iter().find(|found| found.name == node(n)).unwrap();
        of(&view, found).map(|proof| proof.to_string())
    }

    #[test]
    fn a_dark_machine_is_dead_only_once_a_person_says_so() {
        let mut bench = confirmed();
        assert_eq!(proof(&bench, 2).unwrap(), format!("n2 was confirmed to be off at {}", bench.now.minus(MINUTE)));
        assert_eq!(proof(&bench, 1), None);
        bench.obs.confirmations = Fact::known(Vec::new(), bench.now);
        assert_eq!(proof(&bench, 2), None, "unreachable proves nothing");
    }

    #[test]
    fn any_sign_of_life_after_it_makes_a_confirmation_void() {
        let later = |bench: &Bench| bench.now.minus(MINUTE / 2);
        let mut renewed = confirmed();
        let at = later(&renewed);
        renewed.change_node(2, |node| node.renewed = Some(at));
        assert_eq!(proof(&renewed, 2), None, "its kubelet renewed since");

        let mut beat = confirmed();
        let at = later(&beat);
        beat.obs.heartbeats.get_mut(&node(2)).unwrap().advanced_by_wall = Some(at);
        assert_eq!(proof(&beat, 2), None, "we saw it renew since, whatever its own clock says");

        let mut answered = confirmed();
        answered.host_up(2);
        let refused = PortError::new(ErrorKind::Transient, "connect", "n2", "refused");
        let fact = answered.obs.hosts.get_mut(&node(2)).unwrap();
        fact.fold(Err(refused), answered.now);
        answered.now = answered.now.plus(MINUTE * 5);
        answered.fresh_lists();
        assert_eq!(proof(&answered, 2), None, "it answered over SSH since, and went dark again");
    }

    /// What became of a confirmation where SSH to the machine failed so, this long after it.
    fn after_failure(kind: ErrorKind, reason: Option<Reason>, after: Duration) -> Option<String> {
        let mut bench = confirmed();
        let error = PortError { reason, ..PortError::new(kind, "connect", "n2", "a test") };
        let at = bench.now.minus(MINUTE).plus(after);
        bench.obs.hosts.entry(node(2)).or_default().fold(Err(error), at);
        proof(&bench, 2)
    }

    #[test]
    fn an_answer_that_is_no_login_is_a_sign_of_life_too() {
        let later = MINUTE / 2;
        for reason in [Reason::SshRefused, Reason::SshBroken] {
            assert_eq!(after_failure(ErrorKind::Transient, Some(reason), later), None, "{reason:?}");
            let before = after_failure(ErrorKind::Transient, Some(reason), Duration::ZERO);
            assert!(before.is_some(), "{reason:?} was there when the person came, and the machine was cut off after it");
        }
        assert_eq!(after_failure(ErrorKind::Denied, None, later), None, "a login that is refused");
        assert_eq!(after_failure(ErrorKind::Untrusted, None, later), None, "a key that is not the one that is known");
        assert!(after_failure(ErrorKind::Transient, None, later).is_some(), "silence is none");
    }

    #[test]
    fn what_was_heard_no_later_than_a_confirmation_does_not_void_it() {
        let mut bench = confirmed();
        let (now, at) = (bench.now, bench.now.minus(MINUTE));
        bench.now = at;
        bench.host_up(2);
        bench.now = now;
        bench.change_node(2, |node| node.renewed = Some(at));
        let beat = bench.obs.heartbeats.get_mut(&node(2)).unwrap();
        (beat.advanced_at, beat.advanced_by_wall) = (Some(at), Some(at));
        assert!(proof(&bench, 2).is_some());
    }

    #[test]
    fn silence_that_was_not_waited_for_is_none() {
        let mut bench = confirmed();
        let now = bench.now;
        bench.obs.heartbeats.get_mut(&node(2)).unwrap().watched_since = now.minus(Duration::from_secs(5));
        assert_eq!(proof(&bench, 2), None);
    }

    #[test]
    fn it_holds_for_the_boot_that_was_confirmed_and_not_from_the_future() {
        let mut bench = confirmed();
        let (now, at) = (bench.now, bench.now.minus(MINUTE));
        let confirm = |boot: &str, at| {
            let boot_id = Some(BootId::parse(boot).unwrap());
            Fact::known(vec![Confirmation { node: node(2), at, boot_id }], now)
        };
        bench.obs.confirmations = confirm("boot-2", at);
        assert!(proof(&bench, 2).is_some());
        bench.obs.confirmations = confirm("boot-1", at);
        assert_eq!(proof(&bench, 2), None);
        bench.obs.confirmations = confirm("boot-2", now.plus(MINUTE));
        assert_eq!(proof(&bench, 2), None, "a clock that jumped confirms nothing");
    }

    #[test]
    fn a_machine_that_answers_in_another_boot_is_alive_and_what_it_ran_is_not() {
        let mut bench = confirmed();
        bench.host_up(2);
        bench.host(2, |host| host.boot_id = BootId::parse("boot-next").unwrap());
        assert_eq!(proof(&bench, 2).unwrap(), "n2 has rebooted, from boot boot-2 to boot-next");
        let view = bench.view();
        let node = view.nodes().unwrap().iter().find(|found| found.name == node(2)).unwrap();
        assert!(!of(&view, node).unwrap().is_off());
        bench.host(2, |host| host.boot_id = BootId::parse("boot-2").unwrap());
        assert_eq!(proof(&bench, 2), None, "the same boot over SSH: it never went down");
        bench.host(2, |host| (host.boot_id, host.machine_id) = (BootId::parse("boot-next").unwrap(), "machine-9".to_owned()));
        assert_eq!(proof(&bench, 2), None, "another machine answers at its address");
    }
}
