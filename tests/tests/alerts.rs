//! `deploy/prometheus-rules.yaml`, as Prometheus itself reads it.

#![expect(clippy::disallowed_methods, reason = "a test starts real programs")]

use std::process::Command;

use ananke_tests::{Going, LIMIT, require};

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
