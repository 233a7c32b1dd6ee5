//! Gate `secrets`: Vault is unsealed. A sealed one holds back whatever takes its secrets from there, so it is told early.

use super::http_check;
use crate::engine::view::View;
use crate::name::Subject;
use crate::observation::VaultState;
use crate::order::Order;
use crate::remedy::unseal_vault;
use crate::spec::VaultSpec;
use crate::verdict::{Judgement, Reason, Trap, Verdict};

pub(super) fn evaluate(view: &View<'_>) -> Judgement {
    match &view.spec.vault {
        None => Judgement::not_applicable("no Vault is configured (startup.vault_address)"),
        Some(vault) => Judgement::of(Subject::Url(vault.address.clone()), verdict(view, vault)),
    }
}

fn verdict(view: &View<'_>, vault: &VaultSpec) -> Verdict {
    let address = &vault.address;
    match view.vault() {
        Ok(VaultState { initialised: false, .. }) => Verdict::person(
            Reason::VaultNotInitialised,
            format!("Vault at {address} is not initialised: it found none of its data"),
            "restore Vault's storage from its volume or its backup; `vault operator init` makes an empty Vault, and the old \
             secrets are not in that",
        ),
        Ok(VaultState { sealed: true, .. }) => sealed(view, vault),
        Ok(VaultState { sealed: false, .. }) => Verdict::pass(format!("Vault at {address} is unsealed")),
        Err(gap) => match http_check::behind(view, http_check::host_of(address)) {
            Some(cause) => {
                let text = format!("Vault at {address} does not say whether it is sealed: {}", gap.text);
                Verdict::follows(Reason::VaultNotAnswering, cause, text)
            }
            None => {
                let remedy = gap.error.as_ref().and_then(|error| error.remedy.clone());
                let look = || format!("ask {address}/v1/sys/seal-status and look at Vault's pods");
                Verdict::unknown(gap, remedy.unwrap_or_else(look))
            }
        },
    }
}

fn sealed(view: &View<'_>, vault: &VaultSpec) -> Verdict {
    let address = &vault.address;
    let by_hand = format!("run `vault operator unseal -address={address}` with the key shares");
    if !vault.can_unseal {
        let text = format!("Vault at {address} is sealed, and nothing to unseal it with is configured");
        return Verdict::person(Reason::VaultSealed, text, by_hand);
    }
    if unseal_vault::given_up(view) {
        let error = view.history().tries(Order::Unseal.verb(), &Order::Unseal.subject()).error.as_ref();
        let why = error.map_or_else(|| "it sealed itself again each time".to_owned(), ToString::to_string);
        return Verdict::person(Reason::VaultSealed, format!("Vault at {address} is sealed: {why}"), by_hand);
    }
    Verdict::repairable(Reason::VaultSealed, Trap::VaultSealed, format!("Vault at {address} is sealed"), by_hand)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::Fact;
    use crate::gate::testing::Bench;
    use crate::name::Kind;
    use crate::port::{ErrorKind, PortError};
    use crate::verdict::GateId;

    fn bench(can_unseal: bool, initialised: bool, sealed: bool) -> Bench {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.spec.vault = Some(VaultSpec { address: "https://vault.example".into(), can_unseal });
        bench.obs.vault = Fact::known(VaultState { initialised, sealed }, bench.now);
        bench
    }

    #[test]
    fn a_cluster_without_vault_is_visibly_not_judged() {
        let mut bench = bench(true, true, true);
        bench.spec.vault = None;
        bench.check(evaluate, "not applicable: no Vault is configured (startup.vault_address)");
    }

    #[test]
    fn sealed_is_repairable_with_keys_and_a_persons_job_without() {
        bench(true, true, false).check(evaluate, "https://vault.example: pass");
        bench(true, true, true).check(evaluate, "https://vault.example: hold vault-sealed repairable");
        bench(false, true, true).check(evaluate, "https://vault.example: hold vault-sealed person");
        bench(true, false, true).check(evaluate, "https://vault.example: hold vault-not-initialised person");
    }

    #[test]
    fn keys_that_are_refused_are_a_persons_job_at_once() {
        let mut bench = bench(true, true, true);
        bench.refuse(&Order::Unseal, ErrorKind::Transient);
        bench.check(evaluate, "https://vault.example: hold vault-sealed repairable");
        bench.refuse(&Order::Unseal, ErrorKind::Denied);
        bench.check(evaluate, "https://vault.example: hold vault-sealed person");
    }

    #[test]
    fn a_silent_vault_is_unknown_and_follows_its_workload_where_that_is_stuck() {
        let mut bench = bench(true, true, false);
        bench.obs.vault = Fact::default();
        bench.obs.vault.fold(Err(PortError::new(ErrorKind::Transient, "ask", "Vault", "refused")), bench.now);
        bench.check(evaluate, "https://vault.example: unknown");
        bench.ingress(&["vault.example"]);
        bench.workload(Kind::StatefulSet, "vault", &[(1, false)]);
        let mut ingresses = bench.obs.ingresses.last().unwrap().to_vec();
        ingresses[0].services = vec!["vault".into()];
        bench.obs.ingresses = Fact::known(std::sync::Arc::new(ingresses), bench.now);
        bench.judged(GateId::Workloads, crate::gate::workloads::evaluate);
        bench.check(evaluate, "https://vault.example: hold vault-not-answering follows StatefulSet apps/vault");
    }
}
