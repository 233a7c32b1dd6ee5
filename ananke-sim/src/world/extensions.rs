//! What extends the API server: the metrics API, which a Deployment serves, and webhooks.

use ananke_core::name::{Kind, ObjectRef};

use super::{World, catalogue};

pub const METRICS_API: &str = "v1beta1.metrics.k8s.io";
/// The one namespace that the policy engine leaves alone.
pub const NOT_ASKED: &str = "kube-system";
/// Its Kustomization applies a Certificate.
const CERTIFIED: &str = "identity";

impl World {
    /// The Service behind the metrics API, and whether it has an endpoint; none where nothing of the kind is installed.
    pub fn metrics_api(&self) -> Option<(ObjectRef, bool)> {
        let server = ObjectRef::new(Kind::Deployment, "kube-system", "metrics-server");
        let row = *self.workload_names.get(&server)?;
        Some((ObjectRef { kind: Kind::Service, ..server }, self.workloads[row].endpoints > 0))
    }

    /// What serves a webhook that must allow every new pod: without it, none is made.
    pub fn webhook(&self) -> Option<&ObjectRef> {
        self.troubles.webhook.map(|engine| &self.workloads[engine].object)
    }

    /// The API server makes no pods of the workload.
    pub(crate) fn refuses_pods(&self, workload: usize) -> bool {
        self.troubles.webhook.is_some_and(|engine| self.workloads[engine].endpoints == 0)
            && &*self.workloads[workload].object.namespace != NOT_ASKED
    }

    /// A person sets the webhook's failurePolicy to Ignore.
    pub fn relax_webhook(&mut self) {
        self.troubles.webhook = None;
        for workload in 0..self.workloads.len() {
            self.mark_dirty(workload);
        }
        self.settle();
    }

    /// The API server's word on a Certificate, which cert-manager's webhook must allow.
    pub(super) fn certificate_refused(&self, kustomization: usize) -> Option<String> {
        let certified = self.troubles.certificates.is_some() && kustomization == catalogue::kustomization(CERTIFIED);
        certified.then(|| {
            "Certificate/keycloak/sso dry-run failed (InternalError): Internal error occurred: failed calling webhook \"webhook.cert-manager.io\": failed to call webhook: Post \"https://cert-manager-webhook.cert-manager.svc:443/validate?timeout=30s\": tls: failed to verify certificate: x509: certificate signed by unknown authority".to_owned()
        })
    }

    /// An APIService that outlived what it leads to.
    pub fn orphaned_api(&self) -> Option<(&'static str, ObjectRef)> {
        let service = ObjectRef::new(Kind::Service, "monitoring", "prometheus-adapter");
        self.troubles.orphan.then_some(("v1beta1.custom.metrics.k8s.io", service))
    }
}
