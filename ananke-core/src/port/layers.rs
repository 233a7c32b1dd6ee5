//! What single Kustomizations applied, with the whole of each object: read on healthy days, to be kept.

use async_trait::async_trait;

use super::PortError;
use crate::bootstrap::Layer;
use crate::name::{Moment, ObjectRef};

#[async_trait]
pub trait LayerReads: Send + Sync {
    /// The objects in the inventory of one Kustomization, of the kinds that are kept.
    ///
    /// # Errors
    /// [`super::ErrorKind::Missing`] where there is no such Kustomization, or it is not Ready with what it applies now.
    async fn layer(&self, kustomization: &ObjectRef, at: Moment) -> Result<Layer, PortError>;
}
