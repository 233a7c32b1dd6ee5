//! Remedies of start-up, one file each: pure plans over what is seen and what was done before.
//!
//! Wait first, then nudge, then act (`Pace`); a budget per trap and per object (`Budget`); a brake on storms over all
//! objects (`brake`). A remedy is eligible by its own preconditions, judged on the newest observation, never by its gate's
//! place in the walk.

pub mod dead_node_pods;
pub mod fetch_from_mirror;
pub mod flux_branch;
pub mod immutable_job;
pub mod leftover_cordon;
pub mod load_images;
pub mod reboot_host;
pub mod reconcile;
pub mod remake_pods;
pub mod reset_release;
pub mod restart_agent;
pub mod restore_layers;
pub mod restore_scale;
pub mod resume;
pub mod start_units;
pub mod unseal_vault;
pub mod wake_hosts;

use std::time::Duration;

use crate::coordination;
use crate::engine::history::Brake;
use crate::engine::view::{Trust, View};
use crate::name::Subject;
use crate::order::Order;
use crate::spec::{RemedyMode, RemedySpec};
use crate::verdict::Trap;

/// One order with the reason why it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    pub order: Order,
    pub why: String,
}

#[derive(Debug, Clone, Copy)]
pub enum Remedy {
    /// Of no trap: what any run owes.
    Duty(fn(&View<'_>) -> Vec<Action>),
    Of(Trap, fn(&View<'_>) -> Vec<Action>),
    /// One step for many traps.
    Shared(fn(&View<'_>) -> Vec<(Trap, Action)>),
}

impl Remedy {
    /// What it would do now, each with what it is about.
    pub(crate) fn plan(&self, view: &View<'_>) -> Vec<(Option<Trap>, Action)> {
        match self {
            Self::Duty(plan) => plan(view).into_iter().map(|action| (None, action)).collect(),
            Self::Of(trap, plan) => plan(view).into_iter().map(|action| (Some(*trap), action)).collect(),
            Self::Shared(plan) => plan(view).into_iter().map(|(trap, action)| (Some(trap), action)).collect(),
        }
    }
}

/// Remedies of a start-up, most urgent first.
pub const STARTUP: &[Remedy] = &[
    Remedy::Of(Trap::NodeLeftCordoned, leftover_cordon::plan),
    Remedy::Duty(coordination::plan),
    Remedy::Of(Trap::HostDark, wake_hosts::plan),
    Remedy::Of(Trap::HostServiceNotEnabled, start_units::plan),
    Remedy::Of(Trap::KubeletWedged, restart_agent::plan),
    Remedy::Of(Trap::RootReadOnly, reboot_host::plan),
    Remedy::Of(Trap::VaultSealed, unseal_vault::plan),
    Remedy::Of(Trap::RegistryInClusterDeadlock, load_images::plan),
    Remedy::Of(Trap::FluxSourceIsInClusterGit, restore_layers::plan),
    Remedy::Of(Trap::FluxSourceIsInClusterGit, fetch_from_mirror::plan),
    Remedy::Of(Trap::FluxWrongBranch, flux_branch::plan),
    Remedy::Of(Trap::FluxSuspendedLooksReady, resume::plan),
    Remedy::Of(Trap::FluxImmutableField, immutable_job::plan),
    Remedy::Of(Trap::HelmRetriesExhausted, reset_release::plan),
    Remedy::Of(Trap::FluxArtifactReadyLie, reconcile::plan),
    Remedy::Of(Trap::ScaledToZeroNotRestored, restore_scale::plan),
    Remedy::Of(Trap::PodTerminatingOnDeadNode, dead_node_pods::plan),
    Remedy::Shared(remake_pods::plan),
];

/// How often one trap may be worked on at one object with one kind of order, and how long a try has before the next.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    pub(crate) trap: Trap,
    pub(crate) times: u32,
    pub(crate) pause: Duration,
}

impl Budget {
    pub(crate) fn allows(&self, view: &View<'_>, order: &Order) -> bool {
        view.history().allows_for(self.trap, order, view.now, self.times, self.pause)
    }
}

/// What the operator wants of this action about `trap`. What ends a lease is owed, whatever is wanted of repairs.
pub(crate) fn wanted(view: &View<'_>, trap: Trap, order: &Order) -> RemedyMode {
    let RemedySpec { mode, budget } = view.spec.remedies.get(&trap).copied().unwrap_or_default();
    let spent = budget.is_some_and(|times| !view.history().allows_for(trap, order, view.now, times, Duration::ZERO));
    match (order.ends_a_lease(), spent) {
        (true, _) => RemedyMode::Auto,
        (false, true) => RemedyMode::Off,
        (false, false) => mode.unwrap_or_default(),
    }
}

/// How far a remedy may go with one object now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Much heals by itself.
    Wait,
    /// What changes nothing for good, or would have happened anyway.
    Nudge,
    Act,
}

/// How long a trap is looked at before it is nudged, and how long a nudge has to help.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) wait: Duration,
    pub(crate) nudge: Duration,
}

impl Pace {
    /// Counted from when a gate first held `subject` for `trap`. A single look plans what a run would come to.
    pub(crate) fn stage(&self, view: &View<'_>, trap: Trap, subject: &Subject) -> Stage {
        let seen_for = match (view.trust, view.first_seen(trap, subject)) {
            (Trust::Stated, _) => return Stage::Act,
            (Trust::Proven, None) => return Stage::Wait,
            (Trust::Proven, Some(first)) => view.now.since(first),
        };
        if seen_for < self.wait {
            Stage::Wait
        } else if seen_for < self.wait.saturating_add(self.nudge) {
            Stage::Nudge
        } else {
            Stage::Act
        }
    }
}

/// The brake on each trap's remedy: a rule that is wrong, or a cluster that is broken in a way that no rule foresaw, must
/// not be repaired object by object as fast as the API takes it. `None` where a whole cluster is owed the order at once: what
/// gives something back, calls for a person or starts what should run.
#[expect(clippy::wildcard_enum_match_arm, reason = "most traps have the usual brake")]
pub(crate) const fn brake(trap: Trap) -> Option<Brake> {
    match trap {
        Trap::HostDark
        | Trap::HostServiceNotEnabled
        | Trap::ControlPlaneWaits
        | Trap::NodeLeftCordoned
        | Trap::FluxSuspendedLooksReady => None,
        // A request changes nothing by itself, and comes only when the parents are ready.
        Trap::FluxArtifactReadyLie | Trap::FluxDependencyChainSlow => Some(Brake { a_minute: 600, a_run: 20_000 }),
        Trap::FluxWrongBranch | Trap::VaultSealed => Some(Brake { a_minute: 6, a_run: 60 }),
        Trap::FluxImmutableField | Trap::HelmRetriesExhausted => Some(Brake { a_minute: 10, a_run: 100 }),
        // A layer is made at once.
        Trap::FluxSourceIsInClusterGit => Some(Brake { a_minute: 200, a_run: 1_000 }),
        // What is deleted has ended already.
        Trap::ScaledToZeroNotRestored | Trap::PodShutdownLeftovers => Some(Brake { a_minute: 20, a_run: 400 }),
        Trap::PodTerminatingOnDeadNode => Some(Brake { a_minute: 10, a_run: 400 }),
        Trap::NodeReadyButOff | Trap::KubeletWedged => Some(Brake { a_minute: 10, a_run: 100 }),
        // The others announce while one is made anew, and it has its time to help.
        Trap::LbVipNotAnnounced => Some(Brake { a_minute: 1, a_run: 60 }),
        Trap::RootReadOnly => Some(Brake { a_minute: 2, a_run: 10 }),
        _ => Some(Brake { a_minute: 6, a_run: 60 }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::walk::Walk;
    use crate::gate::testing::Bench;
    use crate::name::{Kind, ObjectRef};

    #[test]
    fn a_storm_is_braked_over_all_objects_and_what_is_owed_is_not() {
        let mut bench = Bench::new(1);
        bench.all_up();
        for n in 0..30 {
            bench.workload(Kind::Deployment, &format!("web-{n}"), &[]);
            bench.change_workload(&format!("web-{n}"), |it| it.scaled_from = Some(1));
        }
        let mut resumed = 0;
        bench.change_flux(|flux| {
            let one = flux.kustomizations[0].clone();
            flux.kustomizations = (0..700).map(|_| one.clone()).collect();
            for found in &mut flux.kustomizations {
                found.object = ObjectRef::new(Kind::Kustomization, "flux-system", &format!("k-{resumed}"));
                (found.reconcile.suspended, found.suspend_stamp) = (true, Some("shutdown-1".into()));
                resumed += 1;
            }
        });
        let run = crate::name::RunId::parse("startup-1").unwrap();
        let mut walk = Walk::new(crate::engine::startup_plan(), bench.spec.clone(), run, bench.now, Trust::Stated);
        walk.obs = bench.obs.clone();
        let actions = walk.plan_actions(bench.now);
        let of = |actions: &[Action], verb: &str| actions.iter().filter(|action| action.order.verb() == verb).count();
        assert_eq!((of(&actions, "scale"), of(&actions, "resume")), (20, 700));
        let note = "storm brake: at most 20 actions a minute and 400 a run about scaled-to-zero-not-restored; the rest waits";
        assert_eq!(walk.notes, [note]);
        for action in actions.iter().filter(|action| action.order.verb() == "scale") {
            walk.record_sent(&action.order, &action.why, bench.now);
            walk.history.answered(&action.order, None);
        }
        assert_eq!(of(&walk.plan_actions(bench.now), "scale"), 0);
        let later = walk.plan_actions(bench.now.plus(Duration::from_secs(60)));
        assert_eq!(of(&later, "scale"), 10, "a minute later the rest follows");
    }

    #[test]
    fn the_operator_has_remedies_ask_do_less_or_nothing_and_leases_end_all_the_same() {
        const TRAP: Trap = Trap::ScaledToZeroNotRestored;
        let mut bench = Bench::new(2);
        bench.all_up();
        bench.cordon(2);
        bench.workload(Kind::Deployment, "web", &[]);
        bench.change_workload("web", |it| it.scaled_from = Some(1));
        let run = crate::name::RunId::parse("startup-1").unwrap();
        let walk = |mode: RemedyMode, budget: Option<u32>| {
            let mut walk = Walk::new(crate::engine::startup_plan(), bench.spec.clone(), run.clone(), bench.now, Trust::Stated);
            (walk.obs, walk.leases) = (bench.obs.clone(), bench.leases.clone());
            for trap in [TRAP, Trap::NodeLeftCordoned] {
                walk.spec.remedies.insert(trap, RemedySpec { mode: Some(mode), budget });
            }
            walk
        };
        let verbs = |walk: &mut Walk| -> Vec<&'static str> {
            walk.plan_actions(bench.now).iter().map(|action| action.order.verb()).filter(|verb| *verb != "coordinate").collect()
        };
        assert_eq!(verbs(&mut walk(RemedyMode::Auto, None)), ["uncordon", "scale"]);
        assert_eq!(verbs(&mut walk(RemedyMode::Auto, Some(1))), ["uncordon", "scale"]);
        assert_eq!(verbs(&mut walk(RemedyMode::Auto, Some(0))), ["uncordon"]);
        assert_eq!(verbs(&mut walk(RemedyMode::Off, None)), ["uncordon"]);
        let mut asks = walk(RemedyMode::Ask, None);
        assert_eq!(verbs(&mut asks), ["uncordon"]);
        let told = "remedies.scaled-to-zero-not-restored.mode is ask, so this was left to you: scale Deployment apps/web to 1";
        assert_eq!(asks.notes, [told]);
    }

    #[test]
    fn a_trap_is_waited_for_then_nudged_then_acted_upon() {
        const PACE: Pace = Pace { wait: Duration::from_secs(30), nudge: Duration::from_secs(60) };
        let (trap, subject) = (Trap::FluxImmutableField, Subject::Cluster);
        let mut bench = Bench::new(1);
        assert_eq!(PACE.stage(&bench.view(), trap, &subject), Stage::Wait, "no gate has held it yet");
        let mut at = |secs| {
            bench.seen_for(trap, &subject, Duration::from_secs(secs));
            PACE.stage(&bench.view(), trap, &subject)
        };
        assert_eq!([at(0), at(29), at(30), at(89), at(90)], [Stage::Wait, Stage::Wait, Stage::Nudge, Stage::Nudge, Stage::Act]);
    }
}
