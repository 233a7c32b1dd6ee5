//! The contract of the Kubernetes ports, run by each of their implementations: the simulator in memory, ananke-k8s on the
//! served simulator, and ananke-k8s on any cluster: the one of `ANANKE_TEST_KUBECONFIG`, else the served simulator again,
//! through nothing but its API.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, says what it skips, and is told which cluster to use"
)]

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::PathBuf;

use ananke_sim::serve::site::ANANKES;
use ananke_sim::{Scenario, Sim, SimPorts, World};
use ananke_tests::contract::api_stage::ApiStage;
use ananke_tests::contract::cases::{coordination, flux, layers, nodes, pods, reads, workloads};
use ananke_tests::contract::served::{self, NODES, SEED, client, on_runtime};
use ananke_tests::contract::world_stage::WorldStage;
use ananke_tests::contract::{Outcome, Subject};
use futures::FutureExt as _;

/// Virtual milliseconds in which a case must end in memory.
const PATIENCE: i64 = 600_000;

/// Whether the served simulator takes any object that a client makes, as a real server does. Until then cases that need
/// one are skipped there.
const SERVED_TAKES_ALL: bool = true;

fn told(outcome: Outcome) {
    if let Err(why) = outcome {
        // Past the harness, which keeps what a passing test prints.
        let line = format!("skipped: {}\n", why.0);
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        println!("skipped: {}", why.0);
    }
}

fn in_memory(case: impl AsyncFn(&Subject<'_>) -> Outcome) {
    let sim = Sim::new(World::new(&Scenario::named("healthy").unwrap().with_nodes(NODES), SEED));
    let (port, stage) = (SimPorts::new(&sim), WorldStage(sim.clone()));
    told(sim.run(case(&Subject { port: &port, stage: &stage }), PATIENCE).unwrap());
}

fn on_the_served_world(case: impl AsyncFn(&Subject<'_>) -> Outcome) {
    told(served::on_the_served_world(tempfile::tempdir().unwrap().path(), case));
}

fn on_any_cluster(case: impl AsyncFn(&Subject<'_>) -> Outcome) {
    let given = std::env::var_os("ANANKE_TEST_KUBECONFIG").map(PathBuf::from);
    let dir = tempfile::tempdir().unwrap();
    told(on_runtime(async {
        // The stage needs an administrator. Of a given cluster Ananke's own credentials are not known.
        let (served, admin, anankes) = match given {
            Some(file) => (None, file.clone(), file),
            None => (Some(served::served(dir.path()).await), dir.path().join("kubeconfig"), dir.path().join(ANANKES)),
        };
        let stage = ApiStage::new(client(&admin).await, served.is_none() || SERVED_TAKES_ALL).await?;
        let port = client(&anankes).await;
        let outcome = AssertUnwindSafe(case(&Subject { port: &port, stage: &stage })).catch_unwind().await;
        stage.clear().await;
        outcome.unwrap_or_else(|panic| resume_unwind(panic))
    }));
}

macro_rules! tests {
    ($($group:ident::$case:ident),+ $(,)?) => {
        mod memory {
            use super::*;
            $(#[test] fn $case() { in_memory($group::$case); })+
        }
        mod served_world {
            use super::*;
            $(#[test] fn $case() { on_the_served_world($group::$case); })+
        }
        mod any_cluster {
            use super::*;
            $(#[test] fn $case() { on_any_cluster($group::$case); })+
        }
    };
}

ananke_tests::k8s_contract!(tests);
