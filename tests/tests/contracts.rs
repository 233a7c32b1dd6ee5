//! What adapters owe to the ports, on real sockets: one program, since linking each by itself takes longer than running it.

mod contract_archives;
mod contract_conflicts;
mod contract_flux;
mod contract_half_alive;
mod contract_k8s;
mod contract_kubeadm;
mod contract_login;
mod contract_sessions;
mod contract_ssh;
mod contract_sudo;
mod contract_volumes;
mod contract_watch;
