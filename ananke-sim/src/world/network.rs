//! Addresses and names that the world has without anybody asking: they stand still.

use super::World;

/// Where the ingress controller's load balancer answers.
pub const INGRESS_ADDRESS: &str = "192.168.22.9";
pub const INGRESS_CLASS: &str = "traefik";
pub const INGRESS_CONTROLLER: &str = "traefik.io/ingress-controller";
/// The router: the hosts ask it for names.
pub const RESOLVER: &str = "192.168.22.1";
/// What every host has in `/etc/fstab`.
pub const MOUNTS: [(&str, &str); 2] =
    [("UUID=6a1f7c0e-3d55-4f0b-9f57-2b1d6a0c9e11", "/"), ("UUID=c4be5d92-88a7-4c1e-a1f0-7f0b9d3e2a64", super::LONGHORN_DISK)];
/// The store of the External Secrets, and where its Vault is.
pub const SECRET_STORE: &str = "vault";
pub const SECRET_STORE_URL: &str = "http://vault.vault.svc:8200";
/// As many copies as Longhorn keeps of each volume.
pub const REPLICAS: u32 = 3;
/// Where the charts of HelmReleases are.
pub const CHARTS: &str = "https://charts.titan-apps.example/stable";

/// The cluster address of the Service of the workload in that row.
fn service_address(row: usize) -> String {
    format!("10.43.{}.{}", row / 250, row % 250 + 2)
}

impl World {
    /// The addresses of a workload's Service.
    pub fn service_addresses(&self, row: usize) -> Vec<String> {
        let balanced = (row == self.known.ingress).then(|| INGRESS_ADDRESS.to_owned());
        std::iter::once(service_address(row)).chain(balanced).collect()
    }
}
