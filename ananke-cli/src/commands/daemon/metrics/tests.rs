//! Names as they are registered and used, and a text that a scraper takes.

use std::collections::BTreeSet;
use std::path::Path;

use expect_test::expect;

use super::*;
use crate::commands::daemon::testing;

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    std::fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("read {path}: {error}"))
}

fn served() -> BTreeSet<String> {
    let text = text(&testing::full());
    text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn what_is_served_is_what_is_registered() {
    let registry = read("docs/registry.md");
    let section = registry.lines().skip_while(|line| *line != "## Metrics").skip(1).take_while(|line| !line.starts_with("## "));
    let names = section.filter_map(|line| line.strip_prefix("| `")?.split_once('`')).map(|(name, _)| name.to_owned());
    assert_eq!(names.collect::<BTreeSet<_>>(), served());
}

#[test]
fn alert_rules_and_dashboard_name_nothing_else() {
    let known = served();
    for path in ["deploy/prometheus-rules.yaml", "deploy/grafana-dashboard.json", "tests/prometheus-rules-test.yaml"] {
        let text = read(path);
        let words = text.split(|c: char| !(c.is_ascii_lowercase() || c == '_'));
        let named: BTreeSet<&str> = words.filter(|word| word.starts_with("ananke_")).collect();
        assert!(named.len() > 5, "{path} is read: {named:?}");
        let unknown: Vec<_> = named.iter().filter(|name| !known.contains(**name)).collect();
        assert!(unknown.is_empty(), "{path}: {unknown:?}");
    }
}

#[test]
fn an_idle_daemon_in_numbers() {
    let text = text(&testing::idle());
    let values: String = text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    expect![[r#"
        ananke_build_info{version="0.1.0"} 1
        ananke_start_time_seconds 1773446771.250
        ananke_keeper_age_seconds{keeper="leases"} 5.000
        ananke_manual_actions 0
        ananke_state_unreadable 0
        ananke_leases{state="intended"} 0
        ananke_leases{state="held"} 0
        ananke_leases{state="released"} 0
        ananke_leases{state="taken-away"} 0
        ananke_leases{state="manual"} 0
        ananke_leases_overdue 0
        ananke_nodes_manual 0
        ananke_sweep_failures 0
        ananke_run_under_way{command="startup"} 0
        ananke_run_under_way{command="shutdown"} 0
    "#]]
    .assert_eq(&values);
}

#[test]
fn labels_stay_labels() {
    assert_eq!(sample(&[("a", "x\"} 1\ny\\")], 7).0, r#"{a="x\"} 1\ny\\"}"#);
}
