//! `/metrics`: what is seen at one moment, in Prometheus' text format. Names stand in `docs/registry.md`.

use std::fmt::{Display, Write as _};
use std::time::Duration;

use ananke_core::intent::IntentState;
use ananke_core::lease::LeaseState;
use ananke_core::power::UpsState;
use ananke_core::report::{Command, GateReport, Outcome};

use super::seen::Seen;

struct Metric {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
}

const fn gauge(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: "gauge", help }
}

const BUILD_INFO: Metric = gauge("ananke_build_info", "The running version.");
const START: Metric = gauge("ananke_start_time_seconds", "When the daemon started, by the wall clock of then.");
const KEEPER_AGE: Metric = gauge("ananke_keeper_age_seconds", "Since a keeper of the daemon last came round.");
const MANUAL: Metric = gauge("ananke_manual_actions", "Things that a person must do.");
const UNREAD: Metric = gauge("ananke_state_unreadable", "Files of the state directory that cannot be read.");
const UPS_STATE: Metric = gauge("ananke_ups_state", "1 for the state that a UPS is in.");
const UPS_CHARGE: Metric = gauge("ananke_ups_charge_ratio", "Last known charge of the battery, 0 to 1.");
const UPS_RUNTIME: Metric = gauge("ananke_ups_runtime_seconds", "Last known runtime, by the word of the UPS.");
const UPS_AGE: Metric = gauge("ananke_ups_reading_age_seconds", "Since the UPS was last heard.");
const UPS_REFUSED: Metric = gauge("ananke_ups_login_refused", "1 while upsd refuses the login, and waits for nobody here.");
const RESERVE: Metric = gauge("ananke_shutdown_reserve_seconds", "Runtime at which a shutdown begins.");
const OUTAGES: Metric = gauge("ananke_outages", "Outages within power.outage_window.");
const HELD_DOWN: Metric = gauge("ananke_held_down", "1 while the cluster stays down until a person starts it.");
const PAUSED: Metric = gauge("ananke_paused", "1 while a person holds the daemon back.");
const LEASES: Metric = gauge("ananke_leases", "Cordon leases on record, by state.");
const OVERDUE: Metric = gauge("ananke_leases_overdue", "Leases whose time is over and that could not be settled yet.");
const MARKED: Metric = gauge("ananke_nodes_manual", "Nodes that are marked for a person.");
const SWEEP_FAILURES: Metric = gauge("ananke_sweep_failures", "What failed in the last sweep of the leases.");
const INTENT: Metric = gauge("ananke_intent", "1 for what was last wanted of the cluster.");
const RUN_UNDER_WAY: Metric = gauge("ananke_run_under_way", "1 while a run goes on, whoever began it.");
const RUN_AGE: Metric = gauge("ananke_run_age_seconds", "For how long a run goes on.");
const GATE: Metric = gauge("ananke_gate_status", "1 for where a gate of the newest run stands.");
const GATE_SECONDS: Metric = gauge("ananke_gate_seconds", "From the opening of a gate of the newest run to its settling.");
const LAST_OUTCOME: Metric = gauge("ananke_last_run_outcome", "1 for how the last run ended.");
const LAST_END: Metric = gauge("ananke_last_run_end_timestamp_seconds", "When the last run ended.");
const LAST_SECONDS: Metric = gauge("ananke_last_run_seconds", "How long the last run took.");
const LAST_MANUAL: Metric = gauge("ananke_last_run_manual_actions", "What the last run left to a person.");
const NOTICES: Metric =
    Metric { name: "ananke_notices_total", kind: "counter", help: "Notices that were sent, or could not be, by channel." };

pub(super) fn text(seen: &Seen) -> String {
    let mut out = Text::default();
    out.family(&BUILD_INFO, [sample(&[("version", env!("CARGO_PKG_VERSION"))], 1)]);
    out.family(&START, [sample(&[], millis(seen.began.as_millis()))]);
    out.family(&KEEPER_AGE, seen.ages.iter().map(|(keeper, age, _)| sample(&[("keeper", keeper)], secs(*age))));
    out.family(&MANUAL, [sample(&[], seen.todo().len())]);
    out.family(&UNREAD, [sample(&[], seen.unread.len())]);
    power(&mut out, seen);
    leases(&mut out, seen);
    runs(&mut out, seen);
    let notices = seen.known.sent.iter().flat_map(|(channel, (sent, failed))| {
        let of = |result, count| sample(&[("channel", channel), ("result", result)], count);
        [of("sent", *sent), of("failed", *failed)]
    });
    out.family(&NOTICES, notices);
    out.0
}

fn power(out: &mut Text, seen: &Seen) {
    let Some(power) = &seen.known.power else { return };
    let upses = || power.upses.iter();
    let states = upses().flat_map(|ups| {
        let is = state_word(&ups.state);
        UPS_STATES.iter().map(move |state| sample(&[("ups", &*ups.name), ("state", state)], u8::from(is == *state)))
    });
    out.family(&UPS_STATE, states);
    let charge = |charge: u8| f64::from(charge) / 100.0;
    out.family(
        &UPS_CHARGE,
        upses().filter_map(|ups| Some(sample(&[("ups", &*ups.name)], charge(ups.reading.as_ref()?.charge_percent?)))),
    );
    out.family(
        &UPS_RUNTIME,
        upses().filter_map(|ups| Some(sample(&[("ups", &*ups.name)], secs(ups.reading.as_ref()?.runtime?)))),
    );
    out.family(&UPS_AGE, upses().filter_map(|ups| Some(sample(&[("ups", &*ups.name)], secs(seen.now.since(ups.heard?))))));
    out.family(&UPS_REFUSED, upses().map(|ups| sample(&[("ups", &*ups.name)], u8::from(ups.is_refused))));
    out.family(&RESERVE, [sample(&[], secs(power.reserve))]);
    out.family(&OUTAGES, [sample(&[], power.outages)]);
    out.family(&HELD_DOWN, [sample(&[], u8::from(power.holding.is_some()))]);
    out.family(&PAUSED, [sample(&[], u8::from(power.paused.is_some()))]);
}

fn leases(out: &mut Text, seen: &Seen) {
    let count = |state: LeaseState| seen.leases.iter().filter(|record| record.state == state).count();
    let states = [
        ("intended", LeaseState::Intended),
        ("held", LeaseState::Held),
        ("released", LeaseState::Released),
        ("taken-away", LeaseState::TakenAway),
        ("manual", LeaseState::Manual),
    ];
    out.family(&LEASES, states.map(|(word, state)| sample(&[("state", word)], count(state))));
    if let Some((_, tick)) = &seen.known.swept {
        out.family(&OVERDUE, [sample(&[], tick.overdue.len())]);
        out.family(&MARKED, [sample(&[], tick.manual.len())]);
        out.family(&SWEEP_FAILURES, [sample(&[], tick.failed.len())]);
    }
    if let Some(intent) = &seen.intent {
        let states = [
            ("normal", IntentState::Normal),
            ("startup_in_progress", IntentState::StartupInProgress),
            ("shutting_down", IntentState::ShuttingDown),
            ("shutdown_complete", IntentState::ShutdownComplete),
        ];
        out.family(&INTENT, states.map(|(word, state)| sample(&[("state", word)], u8::from(intent.state == state))));
    }
}

fn runs(out: &mut Text, seen: &Seen) {
    let running = |command| seen.running.iter().find(|run| run.command == command);
    let commands = [Command::Startup, Command::Shutdown];
    let labels = commands.map(|command| (command, [("command", command_word(command))]));
    out.family(&RUN_UNDER_WAY, labels.iter().map(|(command, label)| sample(label, u8::from(running(*command).is_some()))));
    let age = |command| Some(secs(seen.wall.since(running(command)?.started)));
    out.family(&RUN_AGE, labels.iter().filter_map(|(command, label)| Some(sample(label, age(*command)?))));
    let report = |command| seen.reports.iter().find(|report| report.command == command);
    let gates = |command| -> &[GateReport] {
        running(command).map(|run| run.gates.as_slice()).or(report(command).map(|run| run.gates.as_slice())).unwrap_or_default()
    };
    let each = || commands.into_iter().flat_map(|command| gates(command).iter().map(move |gate| (command_word(command), gate)));
    let status = |(command, gate): (&'static str, &GateReport)| {
        sample(&[("command", command), ("gate", gate.id.id()), ("status", gate.status.id())], 1)
    };
    out.family(&GATE, each().map(status));
    out.family(
        &GATE_SECONDS,
        each().map(|(command, gate)| sample(&[("command", command), ("gate", gate.id.id())], secs(gate.took))),
    );
    let last = || labels.iter().filter_map(|(command, label)| Some((label, report(*command)?)));
    let outcomes = last().flat_map(|(label, report)| {
        OUTCOMES.iter().map(move |(word, outcome)| {
            let [(_, command)] = label;
            sample(&[("command", command), ("outcome", word)], u8::from(report.outcome == *outcome))
        })
    });
    out.family(&LAST_OUTCOME, outcomes);
    out.family(&LAST_END, last().map(|(label, report)| sample(label, millis(report.ended.as_millis()))));
    out.family(&LAST_SECONDS, last().map(|(label, report)| sample(label, secs(report.took))));
    out.family(&LAST_MANUAL, last().map(|(label, report)| sample(label, report.manual.len())));
}

const UPS_STATES: &[&str] = &["line", "wavers", "calibrates", "battery", "critical", "lost", "latched", "unknown"];

pub(super) fn state_word(state: &UpsState) -> &'static str {
    match state {
        UpsState::Line { .. } => "line",
        UpsState::Wavers { .. } => "wavers",
        UpsState::Calibrates { .. } => "calibrates",
        UpsState::Battery { .. } => "battery",
        UpsState::Critical { .. } => "critical",
        UpsState::Lost { .. } => "lost",
        UpsState::Latched => "latched",
        UpsState::Unknown => "unknown",
    }
}

const OUTCOMES: &[(&str, Outcome)] = &[
    ("done", Outcome::Done),
    ("manual", Outcome::Manual),
    ("failed", Outcome::Failed),
    ("refused", Outcome::Refused),
    ("yielded", Outcome::Yielded),
    ("interrupted", Outcome::Interrupted),
];

fn command_word(command: Command) -> &'static str {
    match command {
        Command::Startup => "startup",
        Command::Shutdown => "shutdown",
        Command::Status => "status",
    }
}

/// Labels as they are written, and the value.
type Sample = (String, String);

fn sample(labels: &[(&str, &str)], value: impl Display) -> Sample {
    let label = |(name, value): &(&str, &str)| format!("{name}=\"{}\"", escaped(value));
    let labels: Vec<String> = labels.iter().map(label).collect();
    let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
    (labels, value.to_string())
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn secs(span: Duration) -> String {
    format!("{}.{:03}", span.as_secs(), span.subsec_millis())
}

fn millis(millis: i64) -> String {
    format!("{}.{:03}", millis.div_euclid(1000), millis.rem_euclid(1000))
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, metric: &Metric, samples: impl IntoIterator<Item = Sample>) {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return;
        }
        let Metric { name, kind, help } = metric;
        writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}").unwrap_or_default();
        for (labels, value) in samples {
            writeln!(self.0, "{name}{labels} {value}").unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests;
