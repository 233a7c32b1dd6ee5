//! The database of etcd is full, and takes no more writes.

use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::spec::Distribution;
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::EtcdNospaceAlarm,
    class: Class::FirstStep,
    often: Often::Medium,
    symptom: "mvcc: database space exceeded",
    precondition: "none",
    budget: "none",
    effect: "names the commands; compacting is a person's",
    evidence: &["https://talos.dev/v1.10/advanced/etcd-maintenance", "https://gitlab.com/sylva-projects/sylva-core/-/issues/829"],
    diagnosis: Some(Diagnosis { gates: &[GateId::ControlPlane, GateId::NodesReady, GateId::HostHealth], find, remake: None }),
};

const WORDS: &[&str] = &["database space exceeded"];

fn find(case: &Case<'_>) -> Option<Finding> {
    let said = case.logged(WORDS)?;
    Some(Finding::new(format!("etcd takes no more writes: {}", said.quoted()), make_room(case.view.spec.distribution)))
}

/// A full database is still read, so etcd must run for all of it; k3s brings no `etcdctl` of its own.
fn make_room(distribution: Distribution) -> String {
    let (unit, tls, ca, pair) = match distribution {
        Distribution::K3s => ("k3s", "/var/lib/rancher/k3s/server/tls/etcd", "server-ca", "client"),
        Distribution::Kubeadm => ("kubelet", "/etc/kubernetes/pki/etcd", "ca", "server"),
    };
    format!(
        "start {unit} on the servers, then on one of them, as root and with an `etcdctl` of the release of its etcd: \
         `export ETCDCTL_ENDPOINTS=https://127.0.0.1:2379 ETCDCTL_CACERT={tls}/{ca}.crt ETCDCTL_CERT={tls}/{pair}.crt \
         ETCDCTL_KEY={tls}/{pair}.key`, `etcdctl snapshot save /root/etcd.db`, \
         `etcdctl compact $(etcdctl endpoint status -w json | grep -o '\"revision\":[0-9]*' | cut -d: -f2)`, \
         `etcdctl defrag --cluster`, `etcdctl alarm disarm`"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trap::testing::of_log;

    /// As it is told, and what is near and is not it.
    const YES: &str = "etcdserver: mvcc: database space exceeded";
    const NO: &str = "etcdserver: database space is at 61 percent of its quota";

    #[test]
    fn it_is_known_by_its_words() {
        assert_eq!(of_log(YES), Some(ENTRY.trap));
        assert_ne!(of_log(NO), Some(ENTRY.trap));
    }

    #[test]
    fn its_commands_can_be_pasted() {
        let text = make_room(Distribution::K3s);
        assert!(text.contains("ETCDCTL_CACERT=/var/lib/rancher/k3s/server/tls/etcd/server-ca.crt "), "{text}");
        assert!(text.contains("ETCDCTL_KEY=/var/lib/rancher/k3s/server/tls/etcd/client.key`"), "{text}");
        let revision = r#"$(etcdctl endpoint status -w json | grep -o '"revision":[0-9]*' | cut -d: -f2)`"#;
        assert!(text.contains(&format!("`etcdctl compact {revision}")), "{text}");
        assert!(make_room(Distribution::Kubeadm).contains("ETCDCTL_CERT=/etc/kubernetes/pki/etcd/server.crt "));
    }
}
