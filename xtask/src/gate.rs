//! The quality gate: every step in one table, cheapest first. A failure does not stop the others, so that one run tells
//! everything there is to repair.

mod dependencies;
mod drills;
mod purity;
mod selects;
mod swarm;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::cargo::{cargo, in_ci};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    Quick,
    Full,
}

/// What came of a step.
pub(crate) enum Outcome {
    /// With what there is to say about it; may be empty.
    Passed(String),
    /// Could not be done here; in CI that counts as a failure.
    Skipped(String),
    Failed(String),
}

struct Step {
    name: &'static str,
    /// Left out of a quick run.
    slow: bool,
    run: fn() -> Outcome,
}

/// Tests come last, so that their closing lines stand right above the summary.
const STEPS: [Step; 11] = [
    Step { name: "fmt", slow: false, run: || plain(&["fmt", "--all", "--check"], &[]) },
    Step { name: "purity: dependencies", slow: false, run: purity::dependency_tree },
    Step { name: "purity: biased selects", slow: false, run: selects::check },
    Step { name: "bans, licences, sources", slow: false, run: dependencies::check },
    Step { name: "purity: wasm32", slow: true, run: purity::wasm },
    Step { name: "clippy", slow: false, run: || plain(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], &[]) },
    Step { name: "doc", slow: true, run: || plain(&["doc", "--workspace", "--no-deps"], &[("RUSTDOCFLAGS", "-D warnings")]) },
    Step { name: "drills", slow: true, run: drills::check },
    Step { name: "swarm", slow: true, run: swarm::check },
    Step { name: "doc tests", slow: true, run: || plain(&["test", "--workspace", "--doc"], &[]) },
    Step { name: "tests", slow: false, run: tests },
];

struct Line {
    name: &'static str,
    outcome: Outcome,
    took: Duration,
}

pub(crate) fn run(extent: Extent) -> ExitCode {
    if passes(extent) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs it, and says all that there is to say.
pub(crate) fn passes(extent: Extent) -> bool {
    let mut lines = Vec::new();
    for step in STEPS.iter().filter(|step| extent == Extent::Full || !step.slow) {
        println!("\n== {}", step.name);
        let start = Instant::now();
        let outcome = match (step.run)() {
            Outcome::Skipped(why) if in_ci() => Outcome::Failed(format!("{why}, and nothing may be left out in CI")),
            outcome @ (Outcome::Passed(_) | Outcome::Skipped(_) | Outcome::Failed(_)) => outcome,
        };
        lines.push(Line { name: step.name, outcome, took: start.elapsed() });
    }
    println!("\n{}", summary(&lines));
    !lines.iter().any(|line| matches!(line.outcome, Outcome::Failed(_)))
}

fn plain(args: &[&str], env: &[(&str, &str)]) -> Outcome {
    outcome(cargo(args).env(env).status())
}

fn tests() -> Outcome {
    if cargo(&["nextest", "--version"]).works() {
        // Two slots for each core: `.config/nextest.toml` says who takes how many.
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let slots = cores.saturating_mul(2).to_string();
        plain(&["nextest", "run", "--workspace", "--profile", "gate", "--test-threads", &slots], &[])
    } else {
        println!("cargo-nextest is not installed (cargo install cargo-nextest --locked): cargo test does it, more slowly");
        plain(&["test", "--workspace", "--lib", "--bins", "--tests"], &[])
    }
}

pub(crate) fn outcome(result: Result<(), String>) -> Outcome {
    match result {
        Ok(()) => Outcome::Passed(String::new()),
        Err(why) => Outcome::Failed(why),
    }
}

fn summary(lines: &[Line]) -> String {
    let mut out = String::from("quality gate\n");
    for Line { name, outcome, took } in lines {
        let (word, text) = match outcome {
            Outcome::Passed(text) => ("ok", text),
            Outcome::Skipped(text) => ("skipped", text),
            Outcome::Failed(text) => ("FAILED", text),
        };
        let line = format!("  {word:<8} {name:<24} {:>6.1}s  {text}", took.as_secs_f64());
        out.push_str(line.trim_end());
        out.push('\n');
    }
    let count = |wanted: fn(&Outcome) -> bool| lines.iter().filter(|line| wanted(&line.outcome)).count();
    let failed = count(|outcome| matches!(outcome, Outcome::Failed(_)));
    let skipped = count(|outcome| matches!(outcome, Outcome::Skipped(_)));
    let verdict = if failed == 0 { "passed" } else { "FAILED" };
    out.push_str(&format!("{verdict}: {} steps, {failed} failed, {skipped} skipped", lines.len()));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_names_what_failed_and_why() {
        let line = |name, outcome| Line { name, outcome, took: Duration::from_millis(1500) };
        let text = summary(&[
            line("fmt", Outcome::Passed(String::new())),
            line("doc", Outcome::Skipped("no tool".to_owned())),
            line("tests", Outcome::Failed("cargo test ended with exit status: 101".to_owned())),
        ]);
        expect_test::expect![[r#"
            quality gate
              ok       fmt                         1.5s
              skipped  doc                         1.5s  no tool
              FAILED   tests                       1.5s  cargo test ended with exit status: 101
            FAILED: 3 steps, 1 failed, 1 skipped"#]]
        .assert_eq(&text);
    }
}
