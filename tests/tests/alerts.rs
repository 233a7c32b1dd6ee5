//! `deploy/prometheus-rules.yaml` and the queries of `deploy/grafana-dashboard.json`, as Prometheus itself reads them.

#![expect(clippy::disallowed_methods, reason = "a test starts real programs")]

use std::fs;
use std::process::Command;

use ananke_tests::{Going, LIMIT, require};
use serde_json::{Value, json};

fn promtool(args: &[&str]) {
    if require("promtool", "prometheus") {
        let mut command = Command::new("promtool");
        command.args(args).current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        Going::spawn(&mut command).end(LIMIT).ok();
    }
}

#[test]
fn promtool_takes_the_alert_rules() {
    promtool(&["check", "rules", "--lint-fatal", "deploy/prometheus-rules.yaml"]);
}

#[test]
fn alerts_fire_when_they_should_and_not_else() {
    promtool(&["test", "rules", "tests/prometheus-rules-test.yaml"]);
}

#[test]
fn the_queries_of_the_dashboard_are_promql() {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/grafana-dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let queries: Vec<&str> = targets.map(|target| target["expr"].as_str().unwrap()).collect();
    assert!(queries.len() >= panels.len(), "every panel asks something");
    let rules: Vec<Value> =
        queries.iter().enumerate().map(|(n, query)| json!({"record": format!("q{n}"), "expr": query})).collect();
    // JSON is YAML.
    let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    fs::write(file.path(), json!({"groups": [{"name": "dashboard", "rules": rules}]}).to_string()).unwrap();
    promtool(&["check", "rules", &file.path().display().to_string()]);
}
