//! PodDisruptionBudgets: the controller that counts for them, and the Eviction that asks them.

use ananke_core::name::Uid;
use ananke_core::observation::PodPhase;

use super::{Budget, BudgetStatus, DisruptionTarget, Refusal, World};

impl World {
    /// `policy/v1` Eviction.
    pub fn evict(&mut self, namespace: &str, name: &str, uid: Option<&Uid>) -> Result<(), Refusal> {
        let row = self.named_pod(namespace, name, uid)?;
        if self.pods[row].deleting.is_some() {
            return Ok(());
        }
        if let Some(budget) = self.blocked_by(row) {
            return Err(Refusal::Blocked { budget: budget.name.clone() });
        }
        if self.refuses_pods(self.pods[row].workload) {
            self.harmed(format!("{namespace}/{name} was evicted while a webhook lets no pod be made in its place"));
        }
        self.note(|_| format!("evicted {namespace}/{name}"));
        if self.pods[row].ready {
            self.take_from_budget(self.pods[row].workload);
        }
        self.change_pod(row, |pod| pod.disruption_target = Some(DisruptionTarget::Eviction));
        self.terminate(row);
        self.settle();
        Ok(())
    }

    /// The budget that covers a pod, if the pod may not go. It is asked for what its status says, as the API server does.
    fn blocked_by(&self, pod: usize) -> Option<&Budget> {
        let pod = &self.pods[pod];
        let budget = self.workloads[pod.workload].budget.as_ref()?;
        // An unready pod of a healthy enough set may go (`IfHealthyBudget`), and one that has not begun always.
        let blocked = match (pod.phase, pod.ready) {
            (PodPhase::Pending, _) => false,
            (_, true) => budget.status.allowed == 0,
            (_, false) => budget.status.healthy < budget.min_available,
        };
        blocked.then_some(budget)
    }

    /// The eviction itself takes its part, before the controller has counted again.
    fn take_from_budget(&mut self, workload: usize) {
        if let Some(budget) = &mut self.workloads[workload].budget {
            budget.status.allowed = budget.status.allowed.saturating_sub(1);
            self.touch_budget(workload);
        }
    }

    pub(super) fn sync_budget(&mut self, workload: usize) {
        let of = &mut self.workloads[workload];
        let counts = of.counts;
        let Some(budget) = &mut of.budget else { return };
        let allowed = counts.live_ready.saturating_sub(budget.min_available);
        let status = BudgetStatus { healthy: counts.live_ready, expected: counts.pods, allowed };
        if budget.status != status {
            budget.status = status;
            self.touch_budget(workload);
        }
    }

    fn touch_budget(&mut self, workload: usize) {
        self.revision += 1;
        let rv = self.revision;
        if let Some(budget) = &mut self.workloads[workload].budget {
            budget.rv = rv;
        }
        self.keep_frame();
    }
}
