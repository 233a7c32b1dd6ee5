//! The page, by its text: what stands where, and that texts from outside stay texts.

use ananke_core::intent::{Intent, IntentState};
use ananke_core::name::RunId;
use ananke_core::report::{Command, Progress};

use super::*;
use crate::commands::daemon::testing;

#[test]
fn texts_from_outside_stay_texts() {
    let page = html(&testing::full());
    assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"), "{page}");
    for harm in ["<script", "alert('", "\u{1b}", " onload", " style="] {
        assert!(!page.contains(harm), "{harm:?} in {page}");
    }
}

#[test]
fn what_a_person_must_do_stands_first_and_the_most_pressing_on_top() {
    let mut seen = testing::full();
    seen.running.clear();
    let page = html(&seen);
    let places = [
        "id=\"todo\"",
        "the keeper",
        "3 outages",
        "FSD still stands",
        "titan-07 is overdue",
        "titan-08 waits",
        "press its power button",
        "id=\"power\"",
        "id=\"leases\"",
        "The last start-up",
        "The last shutdown",
        "id=\"past\"",
    ];
    let found: Vec<_> = places.iter().map(|place| page.find(place).unwrap_or_else(|| panic!("no {place} in {page}"))).collect();
    assert!(found.is_sorted(), "{found:?}");
    assert!(page.contains("7 for a person"), "{page}");
}

#[test]
fn a_run_that_goes_on_takes_the_place_of_what_the_last_one_left() {
    let page = html(&testing::full());
    assert!(page.contains("a start-up goes on") && page.contains("about 1m30s to go"), "{page}");
    assert!(!page.contains("press its power button") && page.contains("and 3 more"), "{page}");
    assert!(page.contains("content=\"5\""), "it is looked at often");
}

#[test]
fn what_the_last_run_left_is_over_once_the_cluster_was_seen_to_be_well() {
    let left = |well| {
        let mut seen = testing::idle();
        (seen.reports, seen.well) = (vec![testing::report(Command::Startup)], well);
        html(&seen).contains("press its power button")
    };
    assert_eq!([None, Some(testing::ago(3601)), Some(testing::ago(3599))].map(left), [true, true, false]);
}

#[test]
fn a_dead_run_is_a_persons_where_nothing_goes_on_without() {
    let died = |command, run: &str, by_power, running: bool| {
        let mut seen = testing::full();
        if !running {
            seen.running.clear();
        }
        let progress = testing::progress();
        seen.died = vec![Progress { run: RunId::parse(run).unwrap(), command, updated: testing::ago(600), ..progress }];
        seen.intent = seen.intent.map(|intent| Intent { state: IntentState::ShuttingDown, by_power, ..intent });
        let page = html(&seen);
        ["startup --execute` goes on", "shutdown --execute` goes on"].map(|what| page.contains(what))
    };
    assert_eq!(died(Command::Startup, "startup-1", true, false), [true, false]);
    assert_eq!(died(Command::Shutdown, "startup-1", false, false), [false, true], "a person asked for it");
    assert_eq!(died(Command::Shutdown, "startup-1", true, false), [false, false], "power goes on with it, or is back");
    assert_eq!(died(Command::Shutdown, "shutdown-0", false, false), [false, false], "another run took its place");
    assert_eq!(died(Command::Shutdown, "startup-1", false, true), [false, false], "a run is at it");
}

#[test]
fn values_have_their_age() {
    assert!(html(&testing::full()).contains("charge 43 %, runtime 12m00s, 12 s ago"));
}

#[test]
fn an_idle_daemon_says_so() {
    let page = html(&testing::idle());
    assert!(page.contains("watching") && page.contains("<p>Nothing.</p>") && page.contains("No lease is outstanding"), "{page}");
}
