//! Longhorn's manager waits for the webhook that it serves itself.

use super::{Case, Class, Diagnosis, Entry, Finding, Often, own_old_pods};
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::LonghornWebhookLoop,
    class: Class::FirstStep,
    often: Often::Medium,
    symptom: "longhorn-manager is not ready, and its webhook has no ready endpoint",
    precondition: "its pods are from before this start",
    budget: "one deletion a pod",
    effect: "makes the manager's pods anew",
    evidence: &["https://github.com/longhorn/longhorn/issues/6553", "https://github.com/longhorn/longhorn/issues/8005"],
    diagnosis: Some(Diagnosis { gates: &[GateId::Workloads, GateId::Foundation], find, remake: Some(own_old_pods) }),
};

const WEBHOOKS: &[&str] = &["longhorn-admission-webhook", "longhorn-conversion-webhook"];

fn find(case: &Case<'_>) -> Option<Finding> {
    case.workload().filter(|workload| workload.name.as_ref() == "longhorn-manager")?;
    let endpoints = case.view.endpoints().unwrap_or_default();
    let webhook = endpoints.iter().find(|found| WEBHOOKS.contains(&found.service.name.as_ref()) && found.ready == 0)?;
    let text = format!("it waits for {}, which it serves itself", webhook.service);
    Some(Finding::new(
        text,
        format!("{}; if its pods keep waiting for {}, versions of Longhorn are mixed", case.describe(), webhook.service),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trap::testing::{bench, deleted};

    #[test]
    fn the_manager_is_made_anew_where_its_webhook_does_not_serve() {
        let named = |ready: u32| {
            let mut bench = bench();
            bench.workload(crate::name::Kind::DaemonSet, "longhorn-manager", &[(1, false)]);
            bench.endpoints("apps", "longhorn-admission-webhook", ready, &["longhorn-manager-0"]);
            deleted(&mut bench, GateId::Workloads, ENTRY.trap)
        };
        assert_eq!(named(0), ["Pod apps/longhorn-manager-0"]);
        assert!(named(1).is_empty());
    }
}
