//! Gate `node-ssh`: each expected node authenticated *and* ran a command. One that did not is named with what was tried;
//! after the deadline it is a person's job, and never a wall for the others.

use crate::engine::view::View;
use crate::name::{BootId, NodeName, Subject, human};
use crate::observation::HostState;
use crate::port::ErrorKind;
use crate::remedy::wake_hosts;
use crate::spec::NodeSpec;
use crate::verdict::{Judgement, Reason, Verdict};

pub(super) fn evaluate(view: &View<'_>) -> Judgement {
    // Two names of one machine: no other has its boot ID.
    #[expect(clippy::disallowed_types, reason = "it is asked and never walked, so its order does not matter")]
    let mut seen = std::collections::HashMap::<&BootId, &NodeName>::new();
    let mut judgement: Judgement = (view.with_hosts(view.spec.managed()))
        .map(|(name, (node, host))| {
            let twin = host.and_then(|host| seen.insert(&host.boot_id, name));
            let verdict = twin.map_or_else(|| judge(view, name, node, host), |twin| one_machine(name, twin));
            (Subject::Node(name.clone()), verdict)
        })
        .collect();
    leave_out(view, &mut judgement);
    judgement
}

/// Tells which nodes are not asked over SSH; where that is all of them, there is nothing to judge.
pub(super) fn leave_out(view: &View<'_>, judgement: &mut Judgement) {
    let left_out = view.spec.nodes.iter().filter(|(_, node)| !node.is_managed());
    judgement.notes.extend(left_out.map(|(name, _)| format!("{name} has no SSH, as configured: its host is not looked at")));
    if view.spec.managed().next().is_none() {
        judgement.not_applicable = Some("no node has SSH, as configured".to_owned());
    }
}

fn one_machine(name: &NodeName, twin: &NodeName) -> Verdict {
    Verdict::person(
        Reason::MachineDiffers,
        format!("{name} and {twin} are one machine: the same boot ID answers at both addresses"),
        format!("correct the entries of {name} and {twin} in ssh_node_hosts, or the names and DHCP reservations behind them"),
    )
}

fn judge(view: &View<'_>, name: &NodeName, node: &NodeSpec, known: Option<&HostState>) -> Verdict {
    // A refused key is a refused key, even while an answer from before it is young.
    if let Some(error) = view.host_fact(name).and_then(|fact| fact.newest_failure())
        && error.kind == ErrorKind::Untrusted
    {
        let instruction = error.remedy.clone().unwrap_or_else(|| format!("verify the host key of {name} at its console"));
        return Verdict::person(Reason::HostKeyRefused, error.to_string(), instruction);
    }
    match known.map_or_else(|| view.host(name), Ok) {
        Ok(host) => {
            let woken = wake_hosts::came_up(view, name, host.uptime).map_or_else(String::new, |woken| format!(", {woken}"));
            Verdict::pass(format!("boot {}, up {}{woken}", host.boot_id, human(host.uptime)))
        }
        Err(gap) => {
            let error = gap.error.as_ref();
            let instruction =
                error.and_then(|error| error.remedy.clone()).unwrap_or_else(|| match error.and_then(|error| error.reason) {
                    Some(Reason::SshRefused) => see_its_sshd(name, node, "does not answer though the machine runs"),
                    Some(Reason::SshBroken) => see_its_sshd(name, node, "lets us in and breaks off before it has answered"),
                    Some(Reason::HostNotAsked) => {
                        format!("look at this machine, which could not ask {name}: its network, its resolver, its load")
                    }
                    _ => {
                        let woken = wake_hosts::stayed_dark(view, name, node);
                        woken.map_or_else(String::new, |woken| format!("{woken}: ")) + &go_and_look(name, node)
                    }
                });
            Verdict::unknown(gap, instruction)
        }
    }
}

/// The instruction for a box that does not answer.
pub(crate) fn go_and_look(name: &NodeName, node: &NodeSpec) -> String {
    let (place, then) = (place(node), must_work(node));
    format!("go to {name}{place}: press its power button if its power light is off, else check its network cable{then}")
}

/// The instruction for a box whose kernel answers, and whose sshd does not do as it should.
fn see_its_sshd(name: &NodeName, node: &NodeSpec, what: &str) -> String {
    let (place, then) = (place(node), must_work(node));
    format!("at the console of {name}{place}: `systemctl status ssh sshd`, which {what}{then}")
}

fn place(node: &NodeSpec) -> String {
    if node.location.is_empty() { String::new() } else { format!(" ({})", node.location) }
}

fn must_work(node: &NodeSpec) -> String {
    node.target.as_ref().map_or_else(String::new, |t| format!("; then `ssh -p {} {}@{}` must work", t.port, t.user, t.host))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::{Bench, node};
    use crate::port::PortError;

    #[test]
    fn a_dark_host_is_unknown_and_a_changed_key_is_a_persons_job_at_once() {
        let mut bench = Bench::new(3);
        bench.host_up(1);
        let fail = |kind| PortError::new(kind, "ssh", "n", "found");
        bench.obs.hosts.entry(node(2)).or_default().fold(Err(fail(ErrorKind::Transient)), bench.now);
        bench.host_up(3);
        bench.obs.hosts.entry(node(3)).or_default().fold(Err(fail(ErrorKind::Untrusted)), bench.now);
        bench.check(evaluate, "n1: pass\nn2: unknown\nn3: hold host-key-refused person");
    }

    #[test]
    fn a_node_without_ssh_is_left_out_and_told() {
        let mut bench = Bench::new(2);
        bench.host_up(1);
        bench.unmanage(2);
        bench.check(evaluate, "n1: pass\nnote: n2 has no SSH, as configured: its host is not looked at");
        bench.unmanage(1);
        assert!(evaluate(&bench.view()).not_applicable.is_some());
    }

    #[test]
    fn whoever_goes_to_a_dark_host_is_told_where_it_is_and_what_must_work_then() {
        let mut bench = Bench::new(1);
        let told = |bench: &Bench| match evaluate(&bench.view()).subjects.remove(&Subject::Node(node(1))) {
            Some(Verdict::Unknown(unknown)) => unknown.if_it_lasts,
            other => panic!("{other:?}"),
        };
        let then = "then `ssh -p 22 ops@10.0.0.1` must work";
        let look = format!("press its power button if its power light is off, else check its network cable; {then}");
        assert_eq!(told(&bench), format!("go to n1: {look}"));
        bench.spec.nodes.get_mut(&node(1)).unwrap().location = "rack 2".to_owned();
        assert_eq!(told(&bench), format!("go to n1 (rack 2): {look}"));
        let refused = PortError::new(ErrorKind::Transient, "connect", "n1", "refused").with_reason(Reason::SshRefused);
        bench.obs.hosts.entry(node(1)).or_default().fold(Err(refused), bench.now);
        let look = "`systemctl status ssh sshd`, which does not answer though the machine runs";
        assert_eq!(told(&bench), format!("at the console of n1 (rack 2): {look}; {then}"));
        let broken = PortError::new(ErrorKind::Transient, "ssh", "n1", "the connection broke").with_reason(Reason::SshBroken);
        bench.obs.hosts.entry(node(1)).or_default().fold(Err(broken), bench.now);
        let look = "`systemctl status ssh sshd`, which lets us in and breaks off before it has answered";
        assert_eq!(told(&bench), format!("at the console of n1 (rack 2): {look}; {then}"));
        let unasked = PortError::new(ErrorKind::Transient, "ssh", "n1", "no descriptors").with_reason(Reason::HostNotAsked);
        assert!(!crate::proof::is_silence(&unasked) && !crate::proof::shows_life(&unasked), "it says nothing of the host");
        bench.obs.hosts.entry(node(1)).or_default().fold(Err(unasked), bench.now);
        assert_eq!(told(&bench), "look at this machine, which could not ask n1: its network, its resolver, its load");
    }

    #[test]
    fn one_machine_is_not_taken_for_two() {
        let mut bench = Bench::new(3);
        (1..=3).for_each(|n| bench.host_up(n));
        bench.host(3, |host| host.boot_id = BootId::parse("boot-1").unwrap());
        bench.check(evaluate, "n1: pass\nn2: pass\nn3: hold machine-differs person");
    }

    #[test]
    fn what_came_of_waking_a_host_is_told() {
        let mut bench = Bench::new(1);
        let mac = crate::name::MacAddress::parse("52:54:00:00:00:01").unwrap();
        bench.spec.nodes.get_mut(&node(1)).unwrap().wake = Some(mac.clone());
        bench.done(&crate::order::Order::Wake { node: node(1), mac });
        let told = |bench: &Bench| match evaluate(&bench.view()).subjects.remove(&Subject::Node(node(1))) {
            Some(Verdict::Unknown(unknown)) => unknown.if_it_lasts,
            Some(Verdict::Pass(evidence)) => evidence.into_owned(),
            other => panic!("{other:?}"),
        };
        let dark = "n1 stays dark though it was sent what wakes it at 2026-03-14T02:06:00.000Z: go to n1: press";
        assert!(told(&bench).starts_with(dark), "{}", told(&bench));
        bench.now = bench.now.plus(std::time::Duration::from_secs(90));
        bench.host_up(1);
        bench.host(1, |host| host.uptime = std::time::Duration::from_secs(20));
        assert!(told(&bench).ends_with("up 20s, woken at 2026-03-14T02:06:00.000Z"), "{}", told(&bench));
        bench.host(1, |host| host.uptime = std::time::Duration::from_secs(200));
        assert!(!told(&bench).contains("woken"), "it was up before");
    }
}
