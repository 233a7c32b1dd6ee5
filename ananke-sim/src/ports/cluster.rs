//! The Kubernetes API in memory.

use std::sync::Arc;

use ananke_core::engine::Permit;
use ananke_core::name::{Kind, ResourceVersion};
use ananke_core::observation::{
    ApiHealth, CoordinationState, EndpointsState, FluxState, IngressState, JobState, NodeState, PodState, StorageState,
    WorkloadState,
};
use ananke_core::order::{ClusterOrder, REQUESTED_ANNOTATION, SUSPENDED_ANNOTATION};
use ananke_core::port::{ClusterActions, ClusterReads, ErrorKind, PortError};
use async_trait::async_trait;

use super::{NO_ANSWER, SimPorts, leases, views};
use crate::world::{ApiFault, Ms, Power, Refusal, World};

/// The API server gives up on its store after this long.
const STORE_TIMEOUT: Ms = 10_000;

/// What a call needs of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// A list that the API server has in its cache.
    Cache,
    Quorum,
}

impl SimPorts {
    /// Comes back once the call has reached the API server, and with the error if it did not.
    async fn call(&self, tried: &str, needs: Needs) -> Result<(), PortError> {
        self.latency("api-latency", 5, 20).await;
        let fail = |found: &str| Err(PortError::new(ErrorKind::Transient, tried, "the API server", found));
        let (up, fault, reachable) = {
            let world = self.sim.world();
            let reachable = world.hosts().iter().any(|host| host.server && host.power == Power::Up);
            (world.api_up(), world.fault(), reachable)
        };
        if !reachable {
            self.sim.delay(NO_ANSWER).await;
            return fail("no answer within 5 s");
        }
        match (up, fault, needs) {
            (false, _, _) | (true, Some(ApiFault::Refused), _) => fail("connection refused"),
            (true, Some(ApiFault::Answers500), _) => fail("500 Internal Server Error"),
            (true, Some(ApiFault::StoreHangs), Needs::Quorum) => {
                self.sim.delay(STORE_TIMEOUT).await;
                fail("500 etcdserver: request timed out")
            }
            (true, Some(ApiFault::StoreHangs), Needs::Cache) | (true, None, _) => Ok(()),
        }
    }
}

#[async_trait]
impl ClusterReads for SimPorts {
    async fn health(&self) -> Result<ApiHealth, PortError> {
        const TRIED: &str = "read through the quorum";
        self.call(TRIED, Needs::Quorum).await?;
        let world = self.sim.world();
        let kube_system = world.namespaces().iter().find(|namespace| &*namespace.name == "kube-system");
        match kube_system {
            Some(namespace) => Ok(ApiHealth { cluster_uid: namespace.uid.clone(), version: "v1.36.2+k3s1".to_owned() }),
            None => Err(PortError::new(ErrorKind::Missing, TRIED, "the API server", "there is no namespace kube-system")),
        }
    }

    async fn nodes(&self) -> Result<Arc<Vec<NodeState>>, PortError> {
        self.call("list nodes", Needs::Cache).await?;
        Ok(views(self).nodes(&self.sim.world()))
    }

    async fn flux(&self) -> Result<Arc<Option<FluxState>>, PortError> {
        self.call("list Flux objects", Needs::Cache).await?;
        Ok(views(self).flux(&self.sim.world()))
    }

    async fn workloads(&self) -> Result<Arc<Vec<WorkloadState>>, PortError> {
        self.call("list workloads", Needs::Cache).await?;
        Ok(views(self).workloads(&self.sim.world()))
    }

    async fn pods(&self) -> Result<Arc<Vec<PodState>>, PortError> {
        self.call("list pods", Needs::Cache).await?;
        Ok(views(self).pods(&self.sim.world()))
    }

    async fn ingresses(&self) -> Result<Arc<Vec<IngressState>>, PortError> {
        self.call("list ingresses", Needs::Cache).await?;
        Ok(views(self).ingresses(&self.sim.world()))
    }

    async fn namespaces(&self) -> Result<Arc<Vec<Arc<str>>>, PortError> {
        self.call("list namespaces", Needs::Cache).await?;
        Ok(views(self).namespaces(&self.sim.world()))
    }

    async fn storage(&self) -> Result<Arc<StorageState>, PortError> {
        self.call("list volumes", Needs::Cache).await?;
        Ok(views(self).storage(&self.sim.world()))
    }

    async fn endpoints(&self) -> Result<Arc<Vec<EndpointsState>>, PortError> {
        self.call("list endpoints", Needs::Cache).await?;
        Ok(views(self).endpoints(&self.sim.world()))
    }

    async fn jobs(&self) -> Result<Arc<Vec<JobState>>, PortError> {
        self.call("list jobs", Needs::Cache).await?;
        Ok(views(self).jobs(&self.sim.world()))
    }

    async fn coordination(&self) -> Result<Option<CoordinationState>, PortError> {
        self.call("read the coordination Lease", Needs::Quorum).await?;
        Ok(leases::coordination(&self.sim.world()))
    }
}

#[async_trait]
impl ClusterActions for SimPorts {
    async fn perform(&self, order: &ClusterOrder, _permit: &Permit) -> Result<(), PortError> {
        self.perform_without_permit(order).await
    }
}

impl SimPorts {
    /// Nothing can be harmed in a simulated world, so it may be changed without the engine's permit.
    ///
    /// # Errors
    /// As [`ClusterActions::perform`].
    pub async fn perform_without_permit(&self, order: &ClusterOrder) -> Result<(), PortError> {
        let tried = match order {
            ClusterOrder::Cordon { .. }
            | ClusterOrder::Uncordon { .. }
            | ClusterOrder::MarkManual { .. }
            | ClusterOrder::ClearMark { .. } => "patch the node",
            ClusterOrder::Evict { .. } => "evict the pod",
            ClusterOrder::Delete { .. } | ClusterOrder::ForceDelete { .. } => "delete the pod",
            ClusterOrder::DeleteJob { .. } => "delete the Job",
            ClusterOrder::Scale { .. } => "scale the workload",
            ClusterOrder::Coordinate { .. } | ClusterOrder::Uncoordinate { .. } => "write the coordination Lease",
            ClusterOrder::SetBranch { .. } => "set the branch",
            ClusterOrder::Reconcile { .. } => "annotate the object",
            ClusterOrder::Suspend { .. } | ClusterOrder::Resume { .. } => "patch the object",
        };
        self.call(tried, Needs::Quorum).await?;
        carry_out(&mut self.sim.world(), order).map_err(|refusal| {
            let kind = match refusal {
                Refusal::Missing(_) => ErrorKind::Missing,
                Refusal::Conflict { .. } | Refusal::OtherUid { .. } => ErrorKind::Conflict,
                Refusal::Blocked { .. } => ErrorKind::Blocked,
                Refusal::Invalid(_) => ErrorKind::Invalid,
            };
            let on = ananke_core::order::Order::Cluster(order.clone()).subject();
            PortError::new(kind, tried, on, refusal)
        })
    }
}

fn carry_out(world: &mut World, order: &ClusterOrder) -> Result<(), Refusal> {
    match order {
        ClusterOrder::Cordon { node, seen, lease } => leases::cordon(world, node, seen, lease),
        ClusterOrder::Uncordon { node, seen, lease } => leases::uncordon(world, node, seen, lease),
        ClusterOrder::MarkManual { node, seen, lease, sentence, at } => {
            leases::mark_manual(world, node, seen, lease, (sentence, *at))
        }
        ClusterOrder::ClearMark { node, seen } => leases::clear_mark(world, node, seen),
        ClusterOrder::Coordinate { seen, holder, at } => leases::coordinate(world, seen.as_ref(), holder, *at),
        ClusterOrder::Uncoordinate { seen } => leases::uncoordinate(world, seen),
        ClusterOrder::ForceDelete { pod, uid, .. } => world.force_delete_pod(&pod.namespace, &pod.name, Some(uid)),
        ClusterOrder::Scale { workload, seen, replicas } => world.scale(workload, version(seen)?, *replicas),
        ClusterOrder::DeleteJob { job, uid } => world.delete_job(job, Some(uid)),
        ClusterOrder::Evict { pod, uid } => world.evict(&pod.namespace, &pod.name, Some(uid)),
        ClusterOrder::Delete { pod, uid, .. } => world.delete_pod(&pod.namespace, &pod.name, Some(uid)),
        ClusterOrder::SetBranch { source, seen, branch } => world.set_branch(source, version(seen)?, branch),
        ClusterOrder::Reconcile { object, token, push } => {
            if push.annotation().is_some() && object.kind != Kind::HelmRelease {
                return Err(Refusal::Invalid(format!("{object} can be neither reset nor forced")));
            }
            let token: Arc<str> = token.to_string().into();
            let keys = [Some(REQUESTED_ANNOTATION), push.annotation()].into_iter().flatten();
            world.annotate_flux(object, None, keys.map(|key| (key.into(), Some(token.clone()))).collect())
        }
        ClusterOrder::Suspend { object, seen, run, at } => {
            let stamp: Arc<str> = format!("{run} {at}").into();
            world.suspend_flux(object, version(seen)?, true)?;
            world.annotate_flux(object, None, vec![(SUSPENDED_ANNOTATION.into(), Some(stamp))])
        }
        ClusterOrder::Resume { object, seen } => {
            world.annotate_flux(object, version(seen)?, vec![(SUSPENDED_ANNOTATION.into(), None)])?;
            world.suspend_flux(object, None, false)
        }
    }
}

pub(super) fn version(seen: &ResourceVersion) -> Result<Option<u64>, Refusal> {
    seen.as_str().parse().map(Some).map_err(|_| Refusal::Invalid(format!("resourceVersion {seen} is not a number")))
}
