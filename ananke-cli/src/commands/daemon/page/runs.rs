//! Runs on the page: the one that goes on, the last ones with their timelines, those before.

use std::time::Duration;

use ananke_core::name::human;
use ananke_core::report::{Outcome, Progress, Report};

use crate::commands::daemon::seen::Seen;
use crate::html::{Html, gates, tone_of};
use crate::notify::run_name;

const PAST_SHOWN: usize = 10;

pub(super) fn under_way(out: &mut Html, seen: &Seen) {
    for run in &seen.running {
        progress(out, run, seen);
    }
    for (command, (since, why)) in &seen.known.runs {
        if !seen.running.iter().any(|run| run.command == *command) {
            let ago = human(seen.now.since(*since));
            out.raw("<section class=\"run\"><h2>").text(&format!("A {} begins", run_name(*command))).raw("</h2><p>");
            out.text(&format!("since {ago}: {why}")).raw("</p></section>\n");
        }
    }
}

fn progress(out: &mut Html, run: &Progress, seen: &Seen) {
    let later = seen.wall.since(run.updated);
    let took = seen.wall.since(run.started);
    out.raw("<section class=\"run\"><h2>").text(&format!("The {} that goes on", run_name(run.command))).raw("</h2><p>");
    let left = run.remaining.map(|left| format!("; about {} to go", human(left.saturating_sub(later)))).unwrap_or_default();
    out.text(&format!("began {} ago, last heard {} ago{left}", human(took), human(later))).raw("</p>");
    if let Some((_, why)) = seen.known.runs.get(&run.command) {
        out.raw("<p>").text(&format!("why: {why}")).raw("</p>");
    }
    gates(out, &run.gates, took);
    out.raw("<p><small>").text(&format!("{}: {} actions so far", run.run, run.actions.len())).raw("</small></p></section>\n");
}

pub(super) fn last(out: &mut Html, seen: &Seen) {
    for run in &seen.reports {
        report(out, run, seen);
    }
}

fn report(out: &mut Html, run: &Report, seen: &Seen) {
    out.raw("<section class=\"run\"><h2>").text(&format!("The last {}", run_name(run.command))).raw("</h2><p>");
    out.word(tone_of(run.outcome), outcome_word(run.outcome)).raw(" ").text(&run.summary).raw("</p><p><small>");
    let ago = human(seen.wall.since(run.ended));
    let normal = run.normal.map(|normal| format!(" (normally {})", human(normal))).unwrap_or_default();
    out.text(&format!("ended {ago} ago, took {}{normal}; {} actions", human(run.took), run.actions.len()));
    if !run.reason.is_empty() && run.reason != run_name(run.command) {
        out.text(&format!("; why: {}", run.reason));
    }
    out.raw("</small></p>");
    gates(out, &run.gates, run.took);
    out.raw("</section>\n");
}

pub(super) fn past(out: &mut Html, seen: &Seen) {
    if seen.past.is_empty() {
        return;
    }
    out.raw("<section id=\"past\"><h2>Runs that got through</h2><table><tbody>");
    for run in seen.past.iter().take(PAST_SHOWN) {
        out.raw("<tr><th>").text(&format!("{:.19}Z", run.started.to_string())).raw("</th><td>").text(run_name(run.command));
        out.raw("</td><td>").word(tone_of(run.outcome), outcome_word(run.outcome)).raw("</td><td class=\"number\">");
        out.text(&human(Duration::from_secs(run.seconds))).raw("</td></tr>");
    }
    out.raw("</tbody></table></section>\n");
}

fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::Manual => "done, but for a person's part",
        Outcome::Failed => "failed",
        Outcome::Refused => "refused",
        Outcome::Yielded => "yielded",
        Outcome::Interrupted => "interrupted",
    }
}
