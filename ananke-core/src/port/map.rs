//! The cluster as the doctor looks at it.

use async_trait::async_trait;

use super::PortError;
use crate::doctor::ClusterMap;

/// Who needs whom in the cluster: asked seldom, and never in a hurry.
#[async_trait]
pub trait MapReads: Send + Sync {
    /// All of it at once. What the cluster does not serve is left empty; what may not be read is named in
    /// [`ClusterMap::unseen`].
    async fn map(&self) -> Result<ClusterMap, PortError>;
}
