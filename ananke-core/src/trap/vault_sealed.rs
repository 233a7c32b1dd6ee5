//! Vault starts sealed.

use super::{Class, Entry, Often};
use crate::verdict::Trap;

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::VaultSealed,
    class: Class::FirstStep,
    often: Often::Medium,
    symptom: "seal-status says sealed",
    precondition: "a key file or a break-glass command is configured",
    budget: "six tries a minute at most",
    effect: "unseals by the key file, then by the command; without either, a person does",
    evidence: &["https://github.com/hashicorp/vault/issues/15780", "https://github.com/bank-vaults/vault-operator/issues/480"],
    diagnosis: None,
};
