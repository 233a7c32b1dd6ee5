//! What extends the API server: the metrics API, which a Deployment serves.

use ananke_core::name::{Kind, ObjectRef};

use super::World;

pub const METRICS_API: &str = "v1beta1.metrics.k8s.io";

impl World {
    /// The Service behind the metrics API, and whether it has an endpoint; none where nothing of the kind is installed.
    pub fn metrics_api(&self) -> Option<(ObjectRef, bool)> {
        let server = ObjectRef::new(Kind::Deployment, "kube-system", "metrics-server");
        let row = *self.workload_names.get(&server)?;
        Some((ObjectRef { kind: Kind::Service, ..server }, self.workloads[row].endpoints > 0))
    }
}
