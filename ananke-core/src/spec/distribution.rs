//! How Kubernetes was installed: what its units are called, and what a person types on a host.

use serde::{Deserialize, Serialize};

use super::NodeRole;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Distribution {
    #[default]
    K3s,
    /// kubeadm with containerd: etcd and the API server are static pods, which a stopped kubelet leaves running.
    Kubeadm,
}

impl Distribution {
    /// systemd unit of a node, unless the config names another.
    pub fn unit(self, role: NodeRole) -> &'static str {
        match (self, role) {
            (Self::K3s, NodeRole::Server) => "k3s",
            (Self::K3s, NodeRole::Worker) => "k3s-agent",
            (Self::Kubeadm, NodeRole::Server | NodeRole::Worker) => "kubelet",
        }
    }

    /// What that unit runs, in a sentence.
    pub(crate) fn agent(self) -> &'static str {
        match self {
            Self::K3s => "k3s",
            Self::Kubeadm => "the kubelet",
        }
    }

    /// Ends what a stopped unit left running.
    pub(crate) fn end_containers(self) -> &'static str {
        match self {
            Self::K3s => "`k3s-killall.sh`",
            Self::Kubeadm => "`crictl rmp --all --force`, then `systemctl stop \"var-lib-kubelet-*.mount\"`",
        }
    }

    pub(crate) fn prune_images(self) -> &'static str {
        match self {
            Self::K3s => "`k3s crictl rmi --prune`",
            Self::Kubeadm => "`crictl rmi --prune`",
        }
    }

    /// Saves etcd under that name.
    pub(crate) fn save_snapshot(self, name: &str) -> String {
        match self {
            Self::K3s => format!("`k3s etcd-snapshot save --name {name}`"),
            Self::Kubeadm => format!("`etcdctl snapshot save /var/lib/etcd-snapshots/{name}.db`"),
        }
    }

    /// The last resort where most members of etcd are gone for good: one goes on alone, with what it has.
    pub(crate) fn go_on_alone(self, server: &str) -> String {
        match self {
            Self::K3s => format!(
                "on {server}: copy /var/lib/rancher/k3s/server/db aside, run `k3s server --cluster-reset`, start k3s, and let the \
                 others join anew with an empty server/db"
            ),
            Self::Kubeadm => format!(
                "on {server}: copy /var/lib/etcd aside, give etcd `--force-new-cluster` once in \
                 /etc/kubernetes/manifests/etcd.yaml, and let the others join anew with an empty /var/lib/etcd"
            ),
        }
    }

    /// What a person does about certificates that are refused, on a server with that unit.
    pub(crate) fn renew_certificates(self, server: &str, unit: &str) -> String {
        match self {
            Self::K3s => format!(
                "`k3s certificate check` on {server}: what is about to expire is renewed by `systemctl restart {unit}`, what has \
                 expired by `k3s certificate rotate` with {unit} stopped; if the CA changed, copy /etc/rancher/k3s/k3s.yaml to \
                 ananke's kubeconfig"
            ),
            Self::Kubeadm => format!(
                "`kubeadm certs check-expiration` on {server}: what has expired is renewed by `kubeadm certs renew all`, after \
                 which the static pods of the control plane must start anew; if the CA changed, copy \
                 /etc/kubernetes/admin.conf to ananke's kubeconfig"
            ),
        }
    }
}
