//! For the contract suite only: orders without the engine's permit, and requests as any client makes them, by which the
//! suite arranges a cluster and looks past the port. No release is built with this.

use ananke_core::order::ClusterOrder;
use ananke_core::port::PortError;
use http::{Method, Request};
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde_json::Value;

use crate::connect::KubeCluster;
use crate::error;

/// One request; the body's type says how it is sent.
#[derive(Debug)]
pub struct Raw<'a> {
    pub method: Method,
    pub path: &'a str,
    pub content_type: &'a str,
    /// Null: none.
    pub body: Value,
}

impl KubeCluster {
    /// Only the engine can make a permit, and the suite proves what an order does to a cluster.
    ///
    /// # Errors
    /// As [`ananke_core::port::ClusterActions::perform`].
    pub async fn perform_without_permit(&self, order: &ClusterOrder) -> Result<(), PortError> {
        self.carry_out(order).await
    }

    /// The status and the JSON that came with it; null where the body is none.
    ///
    /// # Errors
    /// If no answer came at all.
    pub async fn raw(&self, raw: Raw<'_>) -> Result<(u16, Value), PortError> {
        const TRIED: &str = "ask";
        let body = if raw.body.is_null() { Vec::new() } else { raw.body.to_string().into_bytes() };
        let request = Request::builder().method(raw.method).uri(raw.path).header(http::header::CONTENT_TYPE, raw.content_type);
        let request = request.body(Body::from(body)).map_err(|why| error::nonsense(TRIED, raw.path, why))?;
        let failed = |why: &(dyn std::error::Error + 'static)| error::from_transport(TRIED, raw.path, why);
        let answer = self.asked().client.send(request).await.map_err(|why| failed(&why))?;
        let status = answer.status().as_u16();
        let bytes = answer.into_body().collect().await.map_err(|why| failed(&why))?.to_bytes();
        Ok((status, serde_json::from_slice(&bytes).unwrap_or_default()))
    }
}
