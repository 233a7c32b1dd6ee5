//! Unseals Vault (trap `vault-sealed`) with what the operator put beside the config: the keys are the adapter's, and never come
//! here.

use std::time::Duration;

use super::Action;
use crate::engine::view::View;
use crate::observation::VaultState;
use crate::order::Order;
use crate::port::ErrorKind;

/// The same keys do not open tomorrow what they did not open today; what may pass by itself is a Vault that is still starting.
const BUDGET: u32 = 3;
/// A Vault that was unsealed has joined its cluster, or sealed itself again, by then.
const PAUSE: Duration = Duration::from_secs(30);

/// Only one that says itself that it is sealed and has data is unsealed: one that was never initialised has no keys, and one
/// that does not answer may be waiting for its storage.
pub(super) fn plan(view: &View<'_>) -> Vec<Action> {
    let Some(vault) = view.spec.vault.as_ref().filter(|vault| vault.can_unseal) else { return Vec::new() };
    let sealed = matches!(view.vault(), Ok(VaultState { initialised: true, sealed: true }));
    let (order, now) = (Order::Unseal, view.now);
    if !sealed || given_up(view) || !view.history().allows(order.verb(), &order.subject(), now, BUDGET, PAUSE) {
        return Vec::new();
    }
    vec![Action { order, why: format!("Vault at {} is sealed", vault.address) }]
}

/// Whether the keys were refused, or did not help often enough: more of the same helps nothing.
pub(crate) fn given_up(view: &View<'_>) -> bool {
    let tries = view.history().tries(Order::Unseal.verb(), &Order::Unseal.subject());
    let spent = tries.count >= BUDGET && tries.last.is_none_or(|last| view.now.since(last) >= PAUSE);
    let hopeless = tries.error.as_ref().is_some_and(|error| match error.kind {
        ErrorKind::Denied | ErrorKind::Untrusted | ErrorKind::Missing | ErrorKind::Invalid => true,
        ErrorKind::Transient | ErrorKind::Conflict | ErrorKind::Blocked => false,
    });
    !tries.in_flight && (spent || hopeless)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::Fact;
    use crate::gate::testing::Bench;
    use crate::spec::VaultSpec;

    fn bench(initialised: bool, sealed: bool) -> Bench {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.spec.vault = Some(VaultSpec { address: "https://vault.example".into(), can_unseal: true });
        bench.obs.vault = Fact::known(VaultState { initialised, sealed }, bench.now);
        bench
    }

    fn texts(bench: &Bench) -> Vec<String> {
        plan(&bench.view()).iter().map(|action| format!("{}: {}", action.order, action.why)).collect()
    }

    #[test]
    fn only_a_sealed_vault_with_data_is_unsealed_and_only_with_keys() {
        let mut sealed = bench(true, true);
        assert_eq!(texts(&sealed), ["unseal Vault: Vault at https://vault.example is sealed"]);
        assert!(texts(&bench(true, false)).is_empty());
        assert!(texts(&bench(false, true)).is_empty());
        sealed.spec.vault.as_mut().unwrap().can_unseal = false;
        assert!(texts(&sealed).is_empty());
        sealed.spec.vault = None;
        assert!(texts(&sealed).is_empty());
    }

    #[test]
    fn what_may_pass_is_tried_again_within_a_budget_and_what_cannot_is_not() {
        let mut bench = bench(true, true);
        for _ in 0..BUDGET {
            assert_eq!(texts(&bench).len(), 1);
            bench.refuse(&Order::Unseal, ErrorKind::Transient);
            assert!(texts(&bench).is_empty(), "a pause comes first");
            bench.now = bench.now.plus(PAUSE);
            bench.obs.vault = Fact::known(VaultState { initialised: true, sealed: true }, bench.now);
        }
        assert!(texts(&bench).is_empty() && given_up(&bench.view()), "the budget is spent");
        let mut bench = self::bench(true, true);
        bench.refuse(&Order::Unseal, ErrorKind::Invalid);
        bench.now = bench.now.plus(PAUSE);
        bench.obs.vault = Fact::known(VaultState { initialised: true, sealed: true }, bench.now);
        assert!(texts(&bench).is_empty(), "wrong keys stay wrong");
    }
}
