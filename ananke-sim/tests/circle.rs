//! Harbor, Gitea and Flux waiting for each other, from a cold start: what is kept outside gets the cluster out of it, and
//! without it a person is told what to do.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use ananke_core::bootstrap::Cache;
use ananke_core::name::{Kind, ObjectRef};
use ananke_core::report::Outcome;
use ananke_core::spec::Spec;
use ananke_sim::World;
use ananke_sim::drill::{self, Drill, Ending};
use ananke_sim::scenario::Scenario;

fn drilled(scenario: &str, seed: u64, change: impl FnOnce(&mut Spec)) -> Drill {
    drill::run_with(&Scenario::named(scenario).unwrap(), seed, change).unwrap()
}

/// How often something of this kind was done.
fn times(drill: &Drill, verb: &str) -> usize {
    drill.report.actions.iter().filter(|action| action.verb == verb).count()
}

#[test]
fn with_images_on_the_nodes_the_layers_are_made_again() {
    for seed in 0..3 {
        let drill = drilled("circle", seed, |_| {});
        assert_eq!(drill.outcome, Ending::Recovered, "{:?}", drill.violations);
        assert_eq!((times(&drill, "create"), times(&drill, "load-images")), (14, 0));
    }
}

#[test]
fn without_images_they_are_loaded_from_archives() {
    for seed in 0..3 {
        let drill = drilled("circle-cold", seed, |_| {});
        assert_eq!(drill.outcome, Ending::Recovered, "{:?}", drill.violations);
        assert_eq!(times(&drill, "create"), 14);
        assert!(times(&drill, "load-images") > 0);
    }
}

#[test]
fn what_helm_installed_is_made_again_and_adopted_by_its_release() {
    for seed in 0..3 {
        let drill = drilled("circle-helm", seed, |_| {});
        assert_eq!(drill.outcome, Ending::Recovered, "{:?}", drill.violations);
        assert_eq!((times(&drill, "create"), times(&drill, "load-images")), (14, 0));
    }
}

#[test]
fn helm_refuses_what_does_not_say_that_it_is_its_own() {
    let drill = drilled("circle-helm", 0, |spec| {
        let mut cache = Cache::clone(&spec.bootstrap.cache);
        for manifest in cache.layers.iter_mut().flat_map(|layer| &mut layer.objects) {
            manifest.body["metadata"]["annotations"] = serde_json::Value::Null;
        }
        spec.bootstrap.cache = Arc::new(cache);
    });
    assert_eq!(drill.report.outcome, Outcome::Manual);
    let told = format!("{:#?}", drill.report.gates);
    assert!(told.contains("exists and cannot be imported"), "{told}");
}

#[test]
fn what_is_deleted_of_a_release_stays_away_as_without_drift_detection() {
    let mut world = World::new(&Scenario::named("helm").unwrap(), 1);
    let portal = ObjectRef::new(Kind::Deployment, "harbor", "harbor-portal");
    world.delete(&portal).unwrap();
    world.advance_to(3 * 3_600_000);
    assert!(!world.has(&portal));
    world.create(&portal, &serde_json::Value::Null).unwrap();
    assert!(world.has(&portal));
}

#[test]
fn a_mirror_is_enough_and_the_source_is_its_own_again() {
    for seed in 0..3 {
        let drill = drilled("circle", seed, |spec| {
            spec.bootstrap.cache = Arc::default();
            spec.bootstrap.mirror = Some("https://codeberg.org/titan/titan-iac.git".into());
        });
        assert_eq!(drill.outcome, Ending::Recovered, "{:?}", drill.violations);
        assert_eq!((times(&drill, "create"), times(&drill, "set-url")), (0, 2));
    }
}

#[test]
fn a_person_is_told_where_nothing_was_kept() {
    let drill = drilled("circle", 0, |spec| spec.bootstrap.cache = Arc::default());
    assert_eq!(drill.report.outcome, Outcome::Manual);
    let told: Vec<&str> = drill.report.manual.iter().map(|action| action.instruction.as_str()).collect();
    assert!(told[0].contains("make sure that cluster DNS answers and that the host of the source serves"), "{told:#?}");
}

#[test]
fn the_report_says_what_each_repair_came_to() {
    let drill = drilled("circle", 1, |_| {});
    let of = |name: &str| {
        let made = drill.report.actions.iter().find(|action| action.subject.to_string() == name).unwrap();
        made.effect.clone().map(|effect| (effect.before, effect.after)).unwrap()
    };
    let (before, after) = of("Deployment gitea/gitea");
    let missed = "Deployment gitea/gitea does not exist, and Flux cannot fetch Kustomization flux-system/git, which makes it";
    assert_eq!(before, missed);
    assert!(after.starts_with("1 of 1 ready"), "{after}");
}
