//! Gate `node-ssh`: each expected node authenticated *and* ran a command. One that did not is named with what was tried;
//! after the deadline it is a person's job, and never a wall for the others.

use crate::engine::view::View;
use crate::name::{NodeName, Subject, human};
use crate::port::ErrorKind;
use crate::spec::NodeSpec;
use crate::verdict::{Judgement, Reason, Verdict};

pub(super) fn evaluate(view: &View<'_>) -> Judgement {
    let mut judgement = Judgement::default();
    for (name, node) in view.spec.managed() {
        judgement.set(Subject::Node(name.clone()), judge(view, name, node));
    }
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

fn judge(view: &View<'_>, name: &NodeName, node: &NodeSpec) -> Verdict {
    // A refused key is a refused key, even while an answer from before it is young.
    if let Some(error) = view.obs.hosts.get(name).and_then(|fact| fact.newest_failure())
        && error.kind == ErrorKind::Untrusted
    {
        let instruction = error.remedy.clone().unwrap_or_else(|| format!("verify the host key of {name} at its console"));
        return Verdict::person(Reason::HostKeyRefused, error.to_string(), instruction);
    }
    match view.host(name) {
        Ok(host) => Verdict::pass(format!("boot {}, up {}", host.boot_id, human(host.uptime))),
        Err(gap) => {
            let remedy = gap.error.as_ref().and_then(|error| error.remedy.clone());
            let instruction = remedy.unwrap_or_else(|| go_and_look(name, node));
            Verdict::unknown(gap, instruction)
        }
    }
}

/// The instruction for a box that does not answer.
pub(crate) fn go_and_look(name: &NodeName, node: &NodeSpec) -> String {
    let place = if node.location.is_empty() { String::new() } else { format!(" ({})", node.location) };
    let target =
        node.target.as_ref().map_or_else(String::new, |t| format!("; then `ssh -p {} {}@{}` must work", t.port, t.user, t.host));
    format!("go to {name}{place}: check its power light, its power button and its network cable{target}")
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
        let look = "check its power light, its power button and its network cable; then `ssh -p 22 ops@10.0.0.1` must work";
        assert_eq!(told(&bench), format!("go to n1: {look}"));
        bench.spec.nodes.get_mut(&node(1)).unwrap().location = "rack 2".to_owned();
        assert_eq!(told(&bench), format!("go to n1 (rack 2): {look}"));
    }
}
