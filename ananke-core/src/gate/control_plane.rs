//! Gate `control-plane`: the API server answered a quorum read and took a dry-run write. `/readyz` and cached lists
//! answer 200 while the store hangs, so they are not asked.

use crate::engine::view::View;
use crate::fact::Gap;
use crate::name::Subject;
use crate::observation::UnitState;
use crate::verdict::{Judgement, Reason, Trap, Verdict};

pub(super) fn evaluate(view: &View<'_>) -> Judgement {
    let verdict = match view.api() {
        Ok(api) => Verdict::pass(format!("{}: quorum read and dry-run write answered", api.version)),
        Err(gap) => explain(view, gap),
    };
    Judgement::of(Subject::Cluster, verdict)
}

/// Why the API does not answer, as far as the servers tell.
fn explain(view: &View<'_>, gap: Gap) -> Verdict {
    let (mut reached, mut running, mut stopped, mut missing, mut dark) = (0_usize, 0_usize, vec![], vec![], vec![]);
    for (name, node) in view.spec.servers() {
        let Ok(host) = view.host(name) else {
            dark.push(name.as_str());
            continue;
        };
        reached = reached.saturating_add(1);
        match host.unit {
            UnitState::Active | UnitState::Activating => running = running.saturating_add(1),
            UnitState::Inactive | UnitState::Failed | UnitState::Deactivating => stopped.push(format!("{} on {name}", node.unit)),
            UnitState::NotFound => missing.push(format!("{} on {name}", node.unit)),
        }
    }
    let quorum = view.spec.quorum();
    let all = view.spec.servers().count();
    if !missing.is_empty() && all.saturating_sub(missing.len()) < quorum {
        let units = missing.join(", ");
        return Verdict::person(
            Reason::UnitMissing,
            format!("no such unit: {units}"),
            format!("install k3s again: {units} is not there"),
        );
    }
    if reached < quorum {
        return Verdict::waiting(
            Reason::NoQuorum,
            format!("{reached} of {all} servers answer SSH, etcd needs {quorum}; waiting for {}", dark.join(", ")),
            format!("bring up the servers {}: etcd needs {quorum} of {all}", dark.join(", ")),
        );
    }
    if running < quorum && !stopped.is_empty() {
        let units = stopped.join(", ");
        return Verdict::repairable(
            Reason::UnitNotRunning,
            Trap::ControlPlaneWaits,
            format!("{running} of {all} server units run, etcd needs {quorum}; not running: {units}"),
            format!("look at `journalctl -u k3s` of {units}"),
        );
    }
    Verdict::unknown(gap, "look at `journalctl -u k3s` on the servers: their units run, and the API does not answer")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::Bench;

    #[test]
    fn an_api_that_is_away_is_explained_by_its_servers() {
        let mut bench = Bench::new(3);
        bench.servers(3);
        bench.check(evaluate, "the cluster: hold no-quorum waiting");
        bench.host_up(1);
        bench.host_up(2);
        bench.check(evaluate, "the cluster: unknown");
        for n in [1, 2] {
            bench.host(n, |host| host.unit = UnitState::Inactive);
        }
        bench.check(evaluate, "the cluster: hold unit-not-running repairable");
        bench.host(2, |host| host.unit = UnitState::NotFound);
        bench.host_up(3);
        bench.host(3, |host| host.unit = UnitState::NotFound);
        bench.check(evaluate, "the cluster: hold unit-missing person");
        bench.api_up();
        bench.check(evaluate, "the cluster: pass");
    }
}
