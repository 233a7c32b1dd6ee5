//! The diagnosis as an operator reads it: circles first, the worst first, and what to do about each.

use std::fmt::Write;

use ananke_core::doctor::{Circle, Severity};

use super::Diagnosis;

pub(super) fn told(of: &Diagnosis<'_>) -> String {
    let mut out = String::new();
    let (circles, findings) = (&of.found.circles, &of.found.findings);
    line(
        &mut out,
        &format!(
            "{} and {} in {} and {}",
            counted(circles.len(), "circle"),
            counted(findings.len(), "finding"),
            counted(of.nodes, "node"),
            counted(of.workloads, "workload")
        ),
    );
    for circle in circles {
        line(&mut out, "");
        tell(&mut out, circle);
    }
    for finding in findings {
        line(&mut out, &format!("\n{}: {}\n  {}\n  do  {}", finding.lint, finding.subject, finding.what, finding.to_do));
    }
    if !of.unseen.is_empty() || !of.found.skipped.is_empty() {
        line(&mut out, "");
    }
    for unseen in of.unseen {
        line(&mut out, &format!("not seen: {unseen}"));
    }
    for skipped in &of.found.skipped {
        line(&mut out, &format!("not looked for: {skipped}"));
    }
    out
}

fn tell(out: &mut String, circle: &Circle) {
    let chance = match circle.severity {
        Severity::High => "the next power loss closes it",
        Severity::Medium => "only copies keep it open",
        Severity::Low => "only a rebuild meets it",
    };
    let more = circle.component.len().saturating_sub(circle.needs.len());
    let more = if more == 0 { String::new() } else { format!("; {more} more wait in longer circles") };
    line(out, &format!("{}: a circle of {} ({chance}{more})", circle.severity, circle.needs.len()));
    for sentence in circle.sentences() {
        line(out, &format!("  {sentence}"));
    }
    for (nth, closes) in circle.breaks.iter().enumerate() {
        line(out, &format!("  {:<11}  {closes}", if nth == 0 { "closes when" } else { "and" }));
    }
    for (nth, to_do) in circle.to_do.iter().enumerate() {
        line(out, &format!("  {:<11}  {to_do}", if nth == 0 { "do" } else { "or" }));
    }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn line(out: &mut String, text: &str) {
    // Writing to a String does not fail.
    let _ = writeln!(out, "{text}");
}
