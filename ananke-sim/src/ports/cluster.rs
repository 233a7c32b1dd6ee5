//! The Kubernetes API in memory.

use std::sync::Arc;

use ananke_core::engine::Permit;
use ananke_core::name::{Kind, ResourceVersion};
use ananke_core::observation::{
    ApiHealth, CoordinationState, EndpointsState, EventState, ExtensionsState, FluxState, IngressState, JobState, LeaderState,
    NodeState, PodState, StorageState, WorkloadState,
};
use ananke_core::order::{ClusterOrder, REQUESTED_ANNOTATION, SUSPENDED_ANNOTATION, URL_ANNOTATION};
use ananke_core::port::{ClusterActions, ClusterReads, ErrorKind, PortError};
use ananke_core::verdict::Reason;
use async_trait::async_trait;

use super::half_alive::{Needs, Trouble, trouble};
use super::{NO_ANSWER, SimPorts, leases, views};
use crate::world::{Ms, Power, Refusal, World};

/// How a call that reached the API server goes on.
enum Reached {
    /// As it should.
    Well,
    /// With its effect, and with this error after a while all the same.
    Unheard(Ms, PortError),
}

impl SimPorts {
    /// Comes back once a read has reached the API server, and with the error if it did not.
    pub(super) async fn call(&self, tried: &str, needs: Needs) -> Result<(), PortError> {
        match self.reach(tried, needs).await? {
            Reached::Well => Ok(()),
            Reached::Unheard(after, error) => {
                self.sim.delay(after).await;
                Err(error)
            }
        }
    }

    async fn reach(&self, tried: &str, needs: Needs) -> Result<Reached, PortError> {
        self.latency("api-latency", 5, 20).await;
        let fail =
            |reason, found: &str| Err(PortError::new(ErrorKind::Transient, tried, "the API server", found).with_reason(reason));
        let (up, fault, reachable) = {
            let world = self.sim.world();
            let reachable = world.hosts().iter().any(|host| host.server && host.power == Power::Up);
            (world.api_up(), world.fault(), reachable)
        };
        if !reachable {
            self.sim.delay(NO_ANSWER).await;
            return fail(Reason::ApiNotAnswering, "no answer within 5 s");
        }
        if !up {
            return fail(Reason::ApiRefused, "connection refused");
        }
        let Some(Trouble { after, error, done }) = fault.and_then(|fault| trouble(fault, tried, needs)) else {
            return Ok(Reached::Well);
        };
        if done {
            return Ok(Reached::Unheard(after, error));
        }
        self.sim.delay(after).await;
        Err(error)
    }
}

#[async_trait]
impl ClusterReads for SimPorts {
    async fn health(&self) -> Result<ApiHealth, PortError> {
        const TRIED: &str = "read through the quorum";
        self.call(TRIED, Needs::Health).await?;
        let world = self.sim.world();
        let kube_system = world.namespaces().iter().find(|namespace| &*namespace.name == "kube-system");
        match kube_system {
            Some(namespace) => Ok(ApiHealth { cluster_uid: namespace.uid.clone(), version: "v1.36.2+k3s1".to_owned() }),
            None => Err(PortError::new(ErrorKind::Missing, TRIED, "the API server", "there is no namespace kube-system")),
        }
    }

    async fn nodes(&self) -> Result<Arc<Vec<NodeState>>, PortError> {
        self.call("list nodes", Needs::Nodes).await?;
        Ok(views(self).nodes(self.sim.world().cached()))
    }

    async fn flux(&self) -> Result<Arc<Option<FluxState>>, PortError> {
        self.call("list Flux objects", Needs::Cache).await?;
        Ok(views(self).flux(self.sim.world().cached()))
    }

    async fn workloads(&self) -> Result<Arc<Vec<WorkloadState>>, PortError> {
        self.call("list workloads", Needs::Cache).await?;
        Ok(views(self).workloads(self.sim.world().cached()))
    }

    async fn pods(&self) -> Result<Arc<Vec<PodState>>, PortError> {
        self.call("list pods", Needs::Cache).await?;
        Ok(views(self).pods(self.sim.world().cached()))
    }

    async fn ingresses(&self) -> Result<Arc<Vec<IngressState>>, PortError> {
        self.call("list ingresses", Needs::Cache).await?;
        Ok(views(self).ingresses(self.sim.world().cached()))
    }

    async fn namespaces(&self) -> Result<Arc<Vec<Arc<str>>>, PortError> {
        self.call("list namespaces", Needs::Cache).await?;
        Ok(views(self).namespaces(self.sim.world().cached()))
    }

    async fn storage(&self) -> Result<Arc<StorageState>, PortError> {
        self.call("list volumes", Needs::Cache).await?;
        Ok(views(self).storage(self.sim.world().cached()))
    }

    async fn endpoints(&self) -> Result<Arc<Vec<EndpointsState>>, PortError> {
        self.call("list endpoints", Needs::Cache).await?;
        Ok(views(self).endpoints(self.sim.world().cached()))
    }

    async fn jobs(&self) -> Result<Arc<Vec<JobState>>, PortError> {
        self.call("list jobs", Needs::Cache).await?;
        Ok(views(self).jobs(self.sim.world().cached()))
    }

    async fn extensions(&self) -> Result<Arc<ExtensionsState>, PortError> {
        self.call("list webhooks and APIServices", Needs::Cache).await?;
        Ok(views(self).extensions(self.sim.world().cached()))
    }

    async fn events(&self) -> Result<Arc<Vec<EventState>>, PortError> {
        self.call("list events", Needs::Cache).await?;
        Ok(super::storage_views::events(self.sim.world().cached()))
    }

    async fn ended(&self) -> Result<Arc<Vec<PodState>>, PortError> {
        self.call("list ended pods", Needs::Cache).await?;
        Ok(views(self).ended(self.sim.world().cached()))
    }

    async fn leaders(&self) -> Result<Arc<Vec<LeaderState>>, PortError> {
        self.call("list leases", Needs::Cache).await?;
        Ok(super::storage_views::leaders(self.sim.world().cached()))
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
            ClusterOrder::SetUrl { .. } => "set the URL",
            ClusterOrder::Create(_) => "create the object",
            ClusterOrder::Reconcile { .. } => "annotate the object",
            ClusterOrder::Suspend { .. } | ClusterOrder::Resume { .. } => "patch the object",
        };
        let reached = self.reach(tried, Needs::Write).await?;
        let carried_out = carry_out(&mut self.sim.world(), order);
        if let Reached::Unheard(after, error) = reached {
            self.sim.delay(after).await;
            return Err(error);
        }
        carried_out.map_err(|refusal| {
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
        ClusterOrder::SetUrl { source, seen, url, from } => {
            world.set_url(source, version(seen)?, url)?;
            world.annotate_flux(source, None, vec![(URL_ANNOTATION.into(), from.clone())])
        }
        ClusterOrder::Create(manifest) => world.create(&manifest.object, &manifest.body),
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
