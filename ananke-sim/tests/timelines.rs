//! The simulated controllers beside recordings of the real ones: the same is done to the same cluster at the same times,
//! and the same must come of it.
//!
//! Each object has a history: its states as a client of the API sees them, one after the other. The histories of both
//! sides must be equal, state by state, with times within two seconds, and what the recording has more than a second
//! apart must come in the same order. Names that controllers make up are left aside.
//!
//! What is not compared, and why:
//!
//! | left out | because |
//! |---|---|
//! | `ERROR` lines | a watch of the recorder failed: they name no object and tell nothing of the cluster |
//! | how the counts of a workload get from one value to another while several of its pods change at once | it depends on which write comes first; the last value is compared, and those in between must lie in the recorded range |
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "timelines/compare.rs"]
mod compare;
#[path = "timelines/recording.rs"]
mod recording;
#[path = "timelines/shown.rs"]
mod shown;
#[path = "timelines/stage.rs"]
mod stage;

use ananke_sim::Ms;

fn recording(name: &str) -> recording::Recording {
    recording::parse(&std::fs::read_to_string(format!("tests/recordings/controllers-1.36.2/{name}.jsonl")).unwrap())
}

/// `beat` is when the recorded kubelets renewed and posted, of every ten seconds.
#[track_caller]
fn check(name: &str, beat: Ms, seed: u64) {
    let recording = recording(name);
    let simulated = stage::play(&recording, beat, seed);
    let wrong = compare::differences(&recording.histories(), &simulated);
    assert!(wrong.is_empty(), "{name}:\n{}", wrong.join("\n"));
}

#[test]
fn an_own_taint_shrinks_daemon_sets_and_unschedulable_does_not() {
    check("taint-against-unschedulable", 0, 1);
}

#[test]
fn evictions_take_their_part_of_the_budget() {
    check("drain-with-budget", 0, 1);
}

#[test]
fn one_lost_node_is_marked_tainted_evicted_and_taken_back() {
    check("one-node-lost", 9_900, 1);
}

/// Which of the nodes the tainter takes before the controller sees that all are lost is luck: with this seed it is the
/// recorded one.
#[test]
fn when_all_nodes_are_lost_nobody_is_evicted() {
    check("all-nodes-lost", 4_800, 2);
}

#[test]
fn what_differs_is_found() {
    let recording = recording("one-node-lost");
    let (recorded, simulated) = (recording.histories(), stage::play(&recording, 9_900, 1));
    let spoil = |spoil: &dyn Fn(&mut Vec<recording::Seen>)| {
        let mut histories = recorded.clone();
        spoil(histories.get_mut(&("Node".to_owned(), "worker-1".to_owned())).unwrap());
        compare::differences(&histories, &simulated).len()
    };
    assert_eq!(spoil(&|_| ()), 0);
    assert!(spoil(&|history| history[3].at += 3_000) > 0, "a time");
    assert!(spoil(&|history| drop(history.pop())) > 0, "a change too many");
    assert!(spoil(&|history| drop(history.remove(2))) > 0, "a change in between");
    assert!(spoil(&|history| history.swap(1, 2)) > 0, "an order");
    assert!(spoil(&|history| history[1].state = None) > 0, "a state");
}
