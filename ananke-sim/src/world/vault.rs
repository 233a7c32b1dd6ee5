//! Vault: sealed when it starts, where the fault `vault-sealed` says so; else something opens it at once, as most have it.
//!
//! It is one Vault, whatever the number of its pods, and its API answers as soon as a pod runs: its Service publishes pods
//! that are not ready, for a sealed one must be reached to be unsealed.

use std::collections::BTreeSet;

use ananke_core::observation::VaultState;

use super::http::Page;
use super::{Event, HttpAnswer, World};

/// Shares that exist, and shares that open it.
const SHARES: u64 = 3;
const THRESHOLD: usize = 2;

#[derive(Debug, Clone, Default)]
pub(crate) struct Vault {
    /// Row of its workload.
    pub(crate) workload: usize,
    /// It seals itself whenever it stops.
    seals: bool,
    sealed: bool,
    /// Nobody but a person has its keys.
    of_a_person: bool,
    given: BTreeSet<String>,
}

impl World {
    /// What its operator keeps in the key file.
    pub fn vault_shares(&self) -> Vec<String> {
        (0..SHARES).map(|nth| self.rng.hex("vault-share", nth, 0, 66)).collect()
    }

    /// What it says of itself; `None` where nothing of it runs.
    pub fn vault_state(&self) -> Option<VaultState> {
        self.vault_runs().then_some(VaultState { initialised: true, sealed: self.vault.sealed })
    }

    pub(crate) fn vault_is_a_persons(&mut self) {
        self.vault.of_a_person = true;
    }

    /// It stays sealed until a person comes.
    pub(super) fn vault_waits_for_a_person(&self) -> bool {
        self.vault.sealed && self.vault.of_a_person
    }

    /// The fault: sealed now, and after each stop.
    pub(super) fn seal_vault(&mut self) {
        (self.vault.seals, self.vault.sealed) = (true, true);
        self.vault.given.clear();
        for row in self.workloads[self.vault.workload].pods.clone() {
            self.change_pod(row, |pod| pod.serving = false);
            if self.pods[row].running {
                self.publish(row);
            }
        }
    }

    /// Opens it as its shares would. `false` where nothing of it runs.
    pub fn unseal_vault(&mut self) -> bool {
        let runs = self.vault_runs();
        if runs && self.vault.sealed {
            self.note(|_| "Vault unsealed".to_owned());
            self.vault.sealed = false;
            self.vault.given.clear();
            for row in self.workloads[self.vault.workload].pods.clone() {
                let epoch = self.pods[row].epoch;
                let span = self.draw("unseal", row, u64::from(epoch), 500, 3_000);
                self.after(span, Event::PodProbe(row, epoch));
            }
        }
        runs
    }

    /// Whether a pod of `workload` is kept from serving.
    pub(super) fn vault_holds(&self, workload: usize) -> bool {
        self.vault.sealed && workload == self.vault.workload
    }

    /// Containers died: without any of its own, it has forgotten its key.
    pub(super) fn vault_forgets(&mut self) {
        if self.vault.seals && !self.vault_runs() {
            self.vault.sealed = true;
            self.vault.given.clear();
        }
    }

    fn vault_runs(&self) -> bool {
        self.workloads[self.vault.workload].pods.iter().any(|row| self.pods[*row].running)
    }

    /// Its API, as far as anybody asks; `None` for other paths.
    pub(super) fn vault_get(&self, path: &str) -> Option<HttpAnswer> {
        (path == "/v1/sys/seal-status").then(|| self.seal_status())
    }

    pub(super) fn vault_put(&mut self, path: &str, body: &[u8]) -> HttpAnswer {
        if path != "/v1/sys/unseal" {
            return refused(404, "no handler for this path");
        }
        let asked: Option<serde_json::Value> = serde_json::from_slice(body).ok();
        let share = asked.as_ref().and_then(|asked| asked.get("key")).and_then(serde_json::Value::as_str).unwrap_or_default();
        if share.is_empty() || !share.bytes().all(|b| b.is_ascii_hexdigit()) {
            return refused(400, "'key' must be a valid hex or base64 string");
        }
        if self.vault.sealed {
            self.vault.given.insert(share.to_owned());
            if self.vault.given.len() >= THRESHOLD {
                let shares = self.vault_shares();
                if !std::mem::take(&mut self.vault.given).iter().all(|given| shares.contains(given)) {
                    return refused(400, "the shares do not make the key");
                }
                self.unseal_vault();
            }
        }
        self.seal_status()
    }

    fn seal_status(&self) -> HttpAnswer {
        let status = serde_json::json!({
            "type": "shamir", "initialized": true, "sealed": self.vault.sealed, "t": THRESHOLD, "n": SHARES,
            "progress": self.vault.given.len(), "nonce": "", "version": "1.21.0", "storage_type": "raft",
        });
        HttpAnswer::Page(Page::json(200, &status))
    }
}

fn refused(status: u16, why: &str) -> HttpAnswer {
    HttpAnswer::Page(Page::json(status, &serde_json::json!({ "errors": [why] })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Fault;
    use crate::scenario::Scenario;

    fn put(world: &mut World, share: &str) -> u16 {
        let body = serde_json::json!({ "key": share }).to_string();
        match world.vault_put("/v1/sys/unseal", body.as_bytes()) {
            HttpAnswer::Page(page) => page.status,
            HttpAnswer::Refused | HttpAnswer::NoAnswer => 0,
        }
    }

    #[test]
    fn it_opens_with_enough_of_its_own_shares_and_forgets_them_with_the_power() {
        let mut world = World::new(&Scenario::named("healthy").unwrap(), 1);
        assert_eq!(world.vault_state(), Some(VaultState { initialised: true, sealed: false }));
        world.inject(Fault::VaultSealed, None).unwrap();
        let shares = world.vault_shares();
        assert_eq!([put(&mut world, "zz"), put(&mut world, "ab"), put(&mut world, &shares[0])], [400, 200, 400]);
        assert_eq!([put(&mut world, &shares[0]), put(&mut world, &shares[0])], [200, 200], "one share twice is one share");
        assert!(world.vault_state().unwrap().sealed && world.truly_healthy().is_err());
        assert_eq!(put(&mut world, &shares[2]), 200);
        world.advance_to(60_000);
        assert_eq!((world.vault_state().unwrap().sealed, world.truly_healthy()), (false, Ok(())));
        world.power_cut();
        world.advance_to(30 * 60_000);
        assert_eq!(world.vault_state(), None);
        world.power_restore();
        world.advance_to(60 * 60_000);
        assert!(world.vault_state().unwrap().sealed);
    }
}
