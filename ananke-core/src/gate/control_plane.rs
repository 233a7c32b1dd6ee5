//! Gate `control-plane`: the API server answered a quorum read and took a dry-run write. `/readyz` and cached lists
//! answer 200 while the store hangs, so they are not asked.
//!
//! Both read through etcd's quorum, the write by way of admission; that something is stored, the heartbeats of gate `nodes-ready`
//! prove. They come over a connection whose certificate was verified, so that is in order too. A certificate that is refused can
//! only be renewed by a person (trap `control-plane-certs-expired`).

use crate::engine::view::View;
use crate::fact::Gap;
use crate::name::Subject;
use crate::observation::UnitState;
use crate::port::{ErrorKind, PortError};
use crate::remedy::start_units;
use crate::spec::NodeRole;
use crate::verdict::{Judgement, Reason, Trap, Verdict};

pub(super) fn evaluate(view: &View<'_>) -> Judgement {
    // A refused certificate is refused, even while an answer from before it is young.
    let refused = view.api_fact().newest_failure().filter(|error| error.kind == ErrorKind::Untrusted);
    let verdict = match (refused, view.api()) {
        (Some(error), _) => untrusted(view, error),
        (None, Ok(api)) => Verdict::pass(format!("{}: quorum read and dry-run write answered over verified TLS", api.version)),
        (None, Err(gap)) => explain(view, gap),
    };
    Judgement::of(Subject::Cluster, verdict)
}

/// The clock first: one that is wrong makes every certificate look expired, or not valid yet.
fn untrusted(view: &View<'_>, error: &PortError) -> Verdict {
    let server = view.spec.servers().next();
    let (name, unit) = (server.map_or("a server", |(name, _)| name.as_str()), unit(view));
    let instruction = error.remedy.clone().unwrap_or_else(|| {
        format!(
            "check the clocks of {} and {name} with `timedatectl`; then {}",
            view.spec.holder,
            view.spec.distribution.renew_certificates(name, unit)
        )
    });
    Verdict::person(Reason::CertificateInvalid, error.to_string(), instruction)
}

/// Why the API does not answer as it should, as far as it says so itself, or the servers tell.
fn explain(view: &View<'_>, gap: Gap) -> Verdict {
    if let Some(remedy) = gap.error.as_ref().filter(|error| it_is_there(error)).map(|error| told(view, error)) {
        return Verdict::unknown(gap, remedy);
    }
    let (mut reached, mut running, mut stopped, mut missing, mut dark) = (0_usize, 0_usize, vec![], vec![], vec![]);
    for (name, node) in view.spec.servers() {
        // Nothing is known of it, so it explains nothing.
        if !node.is_managed() {
            (reached, running) = (reached.saturating_add(1), running.saturating_add(1));
            continue;
        }
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
            format!("install {} again: {units} is not there", view.spec.distribution.agent()),
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
        let text = format!("{running} of {all} server units run, etcd needs {quorum}; not running: {units}");
        let (text, look) = match view.spec.servers().find_map(|(name, _)| start_units::refused(view, name)) {
            Some((error, remedy)) => (format!("{text}: {error}"), remedy),
            None => (text, format!("look at `journalctl -u {}` of {units}", unit(view))),
        };
        return Verdict::repairable(Reason::UnitNotRunning, Trap::ControlPlaneWaits, text, look);
    }
    let remedy = gap.error.as_ref().map_or_else(|| look_at_the_journal(view), |error| told(view, error));
    Verdict::unknown(gap, remedy)
}

/// It took the request and said no for a reason of its own: what its host and its units do explains nothing.
fn it_is_there(error: &PortError) -> bool {
    matches!(error.reason, Some(Reason::ApiUnauthorized | Reason::ApiForbidden | Reason::ApiThrottled))
}

fn told(view: &View<'_>, error: &PortError) -> String {
    error.remedy.clone().unwrap_or_else(|| look_at_the_journal(view))
}

fn look_at_the_journal(view: &View<'_>) -> String {
    format!("look at `journalctl -u {}` on the servers: their units run, and the API does not answer as it should", unit(view))
}

fn unit<'a>(view: &View<'a>) -> &'a str {
    view.spec.servers().next().map_or(view.spec.distribution.unit(NodeRole::Server), |(_, node)| node.unit.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::Bench;

    #[test]
    fn a_certificate_that_is_refused_is_a_persons_job_at_once() {
        let mut bench = Bench::new(3);
        bench.api_up();
        bench.check(evaluate, "the cluster: pass");
        let error = PortError::new(ErrorKind::Untrusted, "read through the quorum", "the API server", "certificate has expired");
        bench.obs.api.fold(Err(error), bench.now);
        bench.check(evaluate, "the cluster: hold certificate-invalid person");
        bench.api_up();
        bench.check(evaluate, "the cluster: pass");
    }

    #[track_caller]
    fn check_unknown(reason: Reason, remedy: Option<&str>, expected: &str) {
        let mut bench = Bench::new(1);
        bench.servers(1);
        bench.host_up(1);
        let mut error = PortError::new(ErrorKind::Transient, "read through the quorum", "the API server", "it said no");
        (error.reason, error.remedy) = (Some(reason), remedy.map(str::to_owned));
        bench.obs.api.fold(Err(error), bench.now);
        let judgement = evaluate(&bench.view());
        let verdict = &judgement.subjects[&Subject::Cluster];
        let Verdict::Unknown(unknown) = verdict else { panic!("{verdict:?}") };
        assert_eq!(verdict.reason(), Some(reason));
        assert_eq!(unknown.if_it_lasts, expected);
    }

    #[test]
    fn an_api_that_is_half_alive_is_unknown_with_its_own_reason_and_instruction() {
        let journal = "look at `journalctl -u k3s` on the servers: their units run, and the API does not answer as it should";
        for reason in [Reason::ApiRefused, Reason::ApiTlsFailed, Reason::ApiClosed, Reason::EtcdUnhealthy] {
            check_unknown(reason, None, journal);
        }
        let grant = "grant create on leases.coordination.k8s.io in namespace kube-system to user ananke";
        check_unknown(Reason::ApiForbidden, Some(grant), grant);
    }

    #[test]
    fn an_api_that_says_no_itself_is_not_explained_by_servers_that_nobody_reaches() {
        let mut bench = Bench::new(3);
        bench.servers(3);
        let error = PortError::new(ErrorKind::Denied, "read through the quorum", "the API server", "401 Unauthorized");
        bench.obs.api.fold(Err(error.clone()), bench.now);
        bench.check(evaluate, "the cluster: hold no-quorum waiting");
        bench.obs.api.fold(Err(error.with_reason(Reason::ApiUnauthorized)), bench.now);
        bench.check(evaluate, "the cluster: unknown");
    }

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

    #[test]
    fn a_server_that_the_quorum_does_not_need_is_not_what_the_api_waits_for() {
        let mut bench = Bench::new(3);
        bench.servers(3);
        for n in 1..=3 {
            bench.host_up(n);
        }
        for unit in [UnitState::NotFound, UnitState::Inactive] {
            bench.host(3, |host| host.unit = unit);
            bench.check(evaluate, "the cluster: unknown");
        }
    }
}
