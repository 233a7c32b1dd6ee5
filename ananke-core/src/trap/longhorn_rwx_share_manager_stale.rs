//! A volume that many pods share is served anew, and its pods still look for the old server.

use super::evidence::says;
use super::{Case, Class, Diagnosis, Entry, Finding, Often, own_old_pods};
use crate::observation::PodState;
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::LonghornRwxShareManagerStale,
    class: Class::FirstStep,
    often: Often::Medium,
    symptom: "the share of a Longhorn volume is not yet available, or its NFS mount fails",
    precondition: "the pod is from before this start, its node is alive, and no share-manager of its volumes is still starting",
    budget: "one deletion a pod",
    effect: "makes the pods that mount it anew",
    evidence: &["https://github.com/longhorn/longhorn/issues/6924", "https://github.com/longhorn/longhorn/issues/6857"],
    diagnosis: Some(Diagnosis { gates: &[GateId::Workloads, GateId::Foundation], find, remake: Some(consumers) }),
};

/// Longhorn exports a volume under its own name.
const WORDS: &[&str] = &["share not yet available", ":/pvc-"];
const NOT_IT: &[&str] = &["fsck", "multipath"];

fn find(case: &Case<'_>) -> Option<Finding> {
    let said = case.said(WORDS).filter(|said| !says(said.text, NOT_IT))?;
    let (text, look) = match starting(case) {
        Some(server) => (
            format!("{} is not ready yet", server.object),
            format!("look at `kubectl logs {} -n longhorn-system`", server.object.name),
        ),
        None => (format!("it does not reach the share of its volume: {}", said.quoted()), case.describe()),
    };
    Some(Finding::new(text, look))
}

fn consumers<'a>(case: &Case<'a>) -> Vec<&'a PodState> {
    if starting(case).is_some() { Vec::new() } else { own_old_pods(case) }
}

/// A pod that serves a volume of the workload, and is not ready.
fn starting<'a>(case: &Case<'a>) -> Option<&'a PodState> {
    let claims = &case.view.storage().ok()?.claims;
    let of = |pod: &PodState| {
        let mounts = |found: &&crate::observation::ClaimState| {
            found.object.namespace == pod.object.namespace && pod.claims.contains(&found.object.name)
        };
        claims
            .iter()
            .filter(mounts)
            .filter_map(|claim| Some(format!("share-manager-{}", claim.volume.as_ref()?)))
            .collect::<Vec<_>>()
    };
    let servers: Vec<String> = case.pods().iter().flat_map(|pod| of(pod)).collect();
    let pods = case.view.pods().ok()?.iter();
    pods.filter(|pod| !pod.ready).find(|pod| servers.iter().any(|server| pod.object.name.as_ref() == server))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::{Kind, ObjectRef};
    use crate::observation::ClaimState;
    use crate::trap::testing::{bench, deleted, of_pod};

    /// As it is told, and what is near and is not it.
    const YES: &str = "MountVolume.MountDevice failed for volume \"pvc-254b\" : rpc error: code = Aborted desc = volume pvc-254b share not yet available";
    const NO: &str = "MountVolume.SetUp failed for volume \"tv\" : mount failed: exit status 32\nOutput: mount.nfs: Connection refused for nas.example:/tv";

    #[test]
    fn it_is_known_by_its_words() {
        assert_eq!(of_pod(YES), Some(ENTRY.trap));
        let mount = "MountVolume.SetUp failed for volume \"pvc-7bf1\" : mount failed: exit status 32\nMounting arguments: /bin/mount -t nfs -o vers=4.1,noresvport,soft 10.43.211.0:/pvc-7bf1 /var/lib/kubelet/x\nOutput: mount.nfs: Connection timed out";
        assert_eq!(of_pod(mount), Some(ENTRY.trap));
        assert_ne!(of_pod(NO), Some(ENTRY.trap));
    }

    #[test]
    fn its_server_comes_first() {
        let remade = |ready: bool| {
            let mut bench = bench();
            bench.workload(Kind::DaemonSet, "share-manager-pvc-1", &[(1, ready)]);
            bench.pod("share-manager-pvc-1-0", |pod| pod.object.name = "share-manager-pvc-1".into());
            bench.pod("web-0", |pod| (pod.message, pod.claims) = (YES.into(), vec!["data".into()]));
            let object = ObjectRef::new(Kind::PersistentVolumeClaim, "apps", "data");
            bench.storage(|storage| {
                storage.claims.push(ClaimState { object, bound: true, lost: false, volume: Some("pvc-1".into()) })
            });
            deleted(&mut bench, GateId::Workloads, ENTRY.trap)
        };
        assert_eq!(remade(true), ["Pod apps/web-0"]);
        assert!(remade(false).is_empty());
    }
}
