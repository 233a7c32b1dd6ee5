//! Whatever a host prints or a file holds: every parser ends with an answer or a refusal, and an answer stays within what was
//! asked. The targets in `fuzz` feed the same parsers without end.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use ananke_core::name::{HostPath, NodeName, PackageName, UnitName};
use ananke_core::spec::HostNeeds;
use ananke_ssh::command::inspect::synced;
use ananke_ssh::command::{Output, parse_checked_snapshots, parse_inspection, parse_intent, parse_snapshots};
use ananke_ssh::known_hosts::KnownKeys;
use proptest::prelude::*;
use proptest::sample::Index;

const INSPECTION: &str = include_str!("../../fuzz/corpus/inspection/whole");
const SNAPSHOTS: &str = include_str!("../../fuzz/corpus/snapshots/objects");
const CHECKED: &str = include_str!("../../fuzz/corpus/snapshots/kubeadm");
const INTENT: &str = include_str!("../../fuzz/corpus/intent/shutting-down");
const KNOWN_HOSTS: &str = include_str!("../../fuzz/corpus/known_hosts/lines");

fn needs() -> HostNeeds {
    HostNeeds {
        mounts: vec![HostPath::parse("/srv").unwrap()],
        packages: vec![PackageName::parse("open-iscsi").unwrap()],
        units: vec![UnitName::parse("iscsid").unwrap()],
    }
}

fn output(stdout: &[u8], exit: Option<u32>) -> Output {
    Output { stdout: stdout.to_vec(), stderr: stdout.to_vec(), exit }
}

fn node() -> NodeName {
    NodeName::parse("titan-01").unwrap()
}

/// All parsers on one input.
fn check(bytes: &[u8], exit: Option<u32>) {
    let (output, text) = (output(bytes, exit), String::from_utf8_lossy(bytes));
    if let Ok(found) = parse_inspection(&output, &needs()) {
        let health = found.health;
        assert!(health.missing_mounts.len() <= 1 && health.missing_packages.len() <= 1 && health.missing_units.len() <= 1);
        assert!(health.space.iter().all(|one| one.path.as_str() == "/srv" || one.path.as_str().starts_with("/var/lib/")));
        assert!(health.space.iter().all(|one| one.free_percent <= 100 && one.free_inodes_percent.is_none_or(|free| free <= 100)));
    }
    if let Ok(found) = parse_snapshots(&output, &node()) {
        assert!(exit == Some(0) && found.iter().all(|one| one.bytes > 0 && one.name.chars().count() <= 201));
    }
    if let Ok(found) = parse_checked_snapshots(&output) {
        assert!(exit == Some(0) && found.iter().all(|one| one.name.chars().count() <= 201));
    }
    assert!(exit == Some(0) || parse_intent(&output).is_err(), "a command that failed has no answer");
    synced(&text);
    KnownKeys::parse(&text, "titan-01", 22);
}

/// A piece of an answer is replaced.
fn changed(whole: &str, from: Index, to: Index, with: &[u8]) -> Vec<u8> {
    let (one, other) = (from.index(whole.len()), to.index(whole.len()));
    let (start, end) = (one.min(other), one.max(other));
    [&whole.as_bytes()[..start], with, &whole.as_bytes()[end..]].concat()
}

#[test]
fn the_seeds_are_answers() {
    assert!(parse_inspection(&output(INSPECTION.as_bytes(), Some(0)), &needs()).is_ok());
    assert_eq!(parse_snapshots(&output(SNAPSHOTS.as_bytes(), Some(0)), &node()).map(|found| found.len()), Ok(1));
    let checked = Output { stderr: Vec::new(), ..output(CHECKED.as_bytes(), Some(0)) };
    assert_eq!(parse_checked_snapshots(&checked).map(|found| found.len()), Ok(2));
    assert!(matches!(parse_intent(&output(INTENT.as_bytes(), Some(0))), Ok(Some(_))));
    assert_ne!(KnownKeys::parse(KNOWN_HOSTS, "titan-01", 22), KnownKeys::default());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..2000), exit in prop::option::of(0..256_u32)) {
        check(&bytes, exit);
    }

    #[test]
    fn no_answer_is_broken_in_a_way_that_matters(
        whole in prop::sample::select(vec![INSPECTION, SNAPSHOTS, CHECKED, INTENT, KNOWN_HOSTS]),
        from in any::<Index>(),
        to in any::<Index>(),
        with in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        check(&changed(whole, from, to, &with), Some(0));
    }
}
