//! The status page: HTML made here, without a script. What a person must do stands on top.

mod runs;

use ananke_core::intent::IntentState;
use ananke_core::lease::LeaseRecord;
use ananke_core::name::human;
use ananke_core::power::UpsState;

use super::board::{Power, Ups};
use super::metrics::state_word;
use super::seen::Seen;
use crate::html::{Html, Tone};

/// A list is no page of a book.
const TODO_SHOWN: usize = 30;
const LEASES_SHOWN: usize = 20;
/// Between two looks, while a run goes on and else.
const SOON: &str = "5";
const SELDOM: &str = "30";

pub(super) fn html(seen: &Seen) -> String {
    let mut out = Html::default();
    let every = if seen.running.is_empty() { SELDOM } else { SOON };
    out.raw("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    out.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><meta http-equiv=\"refresh\" content=\"");
    out.text(every).raw("\"><title>").text(&headline(seen).1).raw(" · Ananke</title>");
    out.raw("<link rel=\"stylesheet\" href=\"/page.css\"></head><body>\n");
    let (tone, state) = headline(seen);
    out.raw("<header><h1>Ananke</h1>").word(tone, &state).raw("<small>");
    out.text(&format!(
        "at {:.19}Z; daemon {} up for {}",
        seen.wall.to_string(),
        env!("CARGO_PKG_VERSION"),
        human(seen.now.since(seen.began))
    ));
    out.raw("</small></header>\n");
    if let Some(intent) = &seen.intent {
        let (what, since) = (wanted(intent.state), intent.at.to_string());
        out.raw("<p><small>").text(&format!("The cluster is {what}, since {since:.19}Z: {}", intent.reason)).raw("</small></p>");
    }
    todo(&mut out, seen);
    runs::under_way(&mut out, seen);
    if let Some(power) = &seen.known.power {
        batteries(&mut out, power, seen);
    }
    leases(&mut out, seen);
    runs::last(&mut out, seen);
    runs::past(&mut out, seen);
    out.raw("<p><small><a href=\"/metrics\">metrics</a> · <a href=\"/healthz\">health</a></small></p></body></html>\n");
    out.done()
}

fn wanted(state: IntentState) -> &'static str {
    match state {
        IntentState::Normal => "to run",
        IntentState::StartupInProgress => "to be started",
        IntentState::ShuttingDown => "to be stopped",
        IntentState::ShutdownComplete => "to stay down",
    }
}

fn headline(seen: &Seen) -> (Tone, String) {
    if let Some(run) = seen.running.first() {
        return (Tone::Wait, format!("a {} goes on", crate::notify::run_name(run.command)));
    }
    let count = seen.todo().len();
    if count > 0 {
        return (Tone::Bad, format!("{count} for a person"));
    }
    let on_battery = |ups: &&Ups| matches!(ups.state, UpsState::Battery { .. } | UpsState::Critical { .. });
    if seen.known.power.iter().flat_map(|power| &power.upses).any(|ups| on_battery(&ups)) {
        return (Tone::Wait, "on battery".to_owned());
    }
    (Tone::Good, "watching".to_owned())
}

fn todo(out: &mut Html, seen: &Seen) {
    let list = seen.todo();
    if list.is_empty() {
        out.raw("<section id=\"todo\" class=\"nothing\"><h2>What you must do now</h2><p>Nothing.</p></section>\n");
        return;
    }
    out.raw("<section id=\"todo\" class=\"todo\"><h2>What you must do now</h2><ul>");
    for todo in list.iter().take(TODO_SHOWN) {
        out.raw("<li><b>").text(&todo.instruction).raw("</b><small>").text(&todo.about).raw("</small></li>");
    }
    out.raw("</ul>").more(list.len(), TODO_SHOWN).raw("</section>\n");
}

fn batteries(out: &mut Html, power: &Power, seen: &Seen) {
    out.raw("<section id=\"power\"><h2>Power</h2><ul>");
    power.upses.iter().for_each(|ups| battery(out, ups, seen));
    out.raw("</ul><p><small>");
    out.text(&format!("a shutdown begins when {} are left; outages of late: {}", human(power.reserve), power.outages));
    out.raw("</small></p>");
    if let Some(pause) = &power.paused {
        out.raw("<p>")
            .word(Tone::Wait, "paused")
            .raw(" ")
            .text(&format!("until {:.19}Z: {}", pause.until.to_string(), pause.reason))
            .raw("</p>");
    }
    out.raw("</section>\n");
}

fn battery(out: &mut Html, ups: &Ups, seen: &Seen) {
    let tone = match ups.state {
        UpsState::Line { .. } => Tone::Good,
        UpsState::Critical { .. } => Tone::Bad,
        UpsState::Wavers { .. }
        | UpsState::Calibrates { .. }
        | UpsState::Battery { .. }
        | UpsState::Lost { .. }
        | UpsState::Latched
        | UpsState::Unknown => Tone::Wait,
    };
    out.raw("<li><b>").text(&ups.name).raw(" ").word(tone, state_word(&ups.state)).raw("</b>");
    if let UpsState::Critical { why, .. } = &ups.state {
        out.raw("<p>").text(why).raw("</p>");
    }
    out.raw("<small>").text(&ups.values(seen.now));
    if let Some(reading) = &ups.reading {
        out.raw("; it says ").text(&reading.status.join(" "));
    }
    out.raw("</small>");
    if let Some(charge) = ups.reading.as_ref().and_then(|reading| reading.charge_percent) {
        out.raw("<svg viewBox=\"0 0 100 10\" preserveAspectRatio=\"none\" aria-hidden=\"true\">");
        out.raw("<rect class=\"track\" width=\"100\" height=\"10\"/><rect class=\"").raw(tone.class());
        out.raw("\" width=\"").number(u64::from(charge)).raw("\" height=\"10\"/></svg>");
    }
    out.raw("</li>");
}

fn leases(out: &mut Html, seen: &Seen) {
    out.raw("<section id=\"leases\"><h2>Cordon leases</h2>");
    let open: Vec<&LeaseRecord> = seen.leases.iter().filter(|record| record.state.outstanding()).collect();
    if open.is_empty() {
        out.raw("<p>No lease is outstanding.</p>");
    } else {
        out.raw("<table><thead><tr><th>node</th><th>until</th><th>why</th></tr></thead><tbody>");
        for record in open.iter().take(LEASES_SHOWN) {
            let lease = &record.lease;
            let left = lease.expires.since(seen.wall);
            out.raw("<tr><th>").text(lease.node.as_str()).raw("</th><td>");
            if left.is_zero() {
                out.word(Tone::Bad, "overdue");
            } else {
                out.text(&format!("{} left", human(left)));
            }
            out.raw("</td><td>").text(&lease.reason).raw("</td></tr>");
        }
        out.raw("</tbody></table>").more(open.len(), LEASES_SHOWN);
    }
    let Some((at, tick)) = &seen.known.swept else {
        out.raw("<p><small>The first sweep goes on.</small></p></section>\n");
        return;
    };
    out.raw("<p><small>").text(&format!("last sweep {} ago", human(seen.now.since(*at)))).raw("</small></p>");
    for text in tick.failed.iter().chain(&tick.notes).take(LEASES_SHOWN) {
        out.raw("<p><small>").text(text).raw("</small></p>");
    }
    out.raw("</section>\n");
}

#[cfg(test)]
mod tests;
