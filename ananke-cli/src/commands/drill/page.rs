//! What drills came to, as one HTML file with pictures and without a script.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use ananke_core::name::human;
use ananke_core::order::VERBS;
use ananke_core::report::GateStatus;
use ananke_core::trap;
use ananke_sim::Fault;
use ananke_sim::campaign::{Campaign, Compared, Counts, Part, Timeline, WHOLE};

use crate::html::{Html, STYLE, Tone, gates};
use crate::wire::Failure;

/// Bars of a distribution, and the height of its highest, in units of the picture.
const BINS: u64 = 100;
const WIDTH: u64 = 1000;
const HEIGHT: u64 = 100;
const ACTIONS_SHOWN: usize = 60;

/// # Errors
/// If the file cannot be written.
pub(super) fn write(file: &Path, html: &str) -> Result<(), Failure> {
    std::fs::write(file, html).map_err(|error| Failure::Usage(format!("write the page to {}: {error}", file.display())))
}

pub(super) fn of_run(timeline: &Timeline) -> String {
    let mut out = head(&timeline.title);
    run(&mut out, timeline);
    out.raw("</body></html>\n");
    out.done()
}

pub(super) fn of_campaign(campaign: &Campaign) -> String {
    let mut out = head("Drills");
    endings(&mut out, campaign);
    times(&mut out, campaign);
    gate_times(&mut out, campaign);
    let ids = |all: &[Fault]| all.iter().map(|fault| fault.id().to_owned()).collect::<Vec<_>>();
    fired(&mut out, "Faults in the drilled worlds", &ids(Fault::ALL), &campaign.faults);
    let traps = trap::ALL.iter().map(|entry| entry.trap.id().to_owned()).collect::<Vec<_>>();
    let of_traps = campaign.traps.iter().map(|(trap, count)| (trap.id().to_owned(), *count)).collect();
    fired(&mut out, "Traps that were met", &traps, &of_traps);
    let verbs = VERBS.iter().map(|verb| (*verb).to_owned()).collect::<Vec<_>>();
    fired(&mut out, "Orders that were sent", &verbs, &campaign.orders);
    failures(&mut out, campaign);
    for timeline in &campaign.timelines {
        run(&mut out, timeline);
    }
    out.raw("</body></html>\n");
    out.done()
}

fn head(title: &str) -> Html {
    let mut out = Html::default();
    out.raw("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    out.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>").text(title);
    out.raw(" · Ananke</title><style>").raw(STYLE).raw(include_str!("page.css"));
    out.raw("</style></head><body>\n<header><h1>").text(title).raw("</h1></header>\n");
    out
}

/// What was played, parts that follow on each other as one.
fn seeds(parts: &BTreeSet<Part>) -> String {
    let mut joined: Vec<Part> = Vec::new();
    for part in parts {
        match joined.last_mut() {
            Some(last) if part.2 == WHOLE && last.2 == WHOLE && last.1 == part.0 => last.1 = part.1,
            _ => joined.push(part.clone()),
        }
    }
    let told = joined.iter().map(|(from, to, shard)| match shard.as_str() {
        WHOLE => format!("{from}..{to}"),
        _ => format!("{from}..{to} (shard {shard})"),
    });
    told.collect::<Vec<_>>().join(", ")
}

fn endings(out: &mut Html, campaign: &Campaign) {
    out.raw("<section><h2>How they ended</h2><p><small>").text(&format!("ananke drill {}", campaign.drills)).raw("; seeds ");
    let Campaign { runs, runs_per_second, .. } = campaign;
    let each = if campaign.seeds.len() > 1 { " in each part" } else { "" };
    out.text(&seeds(&campaign.seeds)).text(&format!("; {runs} drills, {runs_per_second} a second{each}"));
    for missing in campaign.missing() {
        out.text(&format!("; not there: {missing}"));
    }
    out.raw("</small></p><table><tbody>");
    for (ending, count) in &campaign.endings {
        let tone = match ending.as_str() {
            "recovered" => Tone::Good,
            "manual" => Tone::Wait,
            _ => Tone::Bad,
        };
        out.raw("<tr><th>").word(tone, ending).raw("</th><td class=\"bar\">");
        bar(out, tone, *count, campaign.runs);
        out.raw("</td><td class=\"number\">").number(*count).raw("</td></tr>");
    }
    out.raw("</tbody></table></section>\n");
}

fn bar(out: &mut Html, tone: Tone, part: u64, whole: u64) {
    let width = part.saturating_mul(WIDTH).div_ceil(whole.max(1)).min(WIDTH);
    out.raw("<svg viewBox=\"0 0 1000 10\" preserveAspectRatio=\"none\" aria-hidden=\"true\">");
    out.raw("<rect class=\"track\" y=\"4\" width=\"1000\" height=\"2\"/><rect class=\"").raw(tone.class());
    out.raw("\" width=\"").number(width).raw("\" height=\"10\"/></svg>");
}

/// How long recovery took, one picture under the other on one scale.
fn times(out: &mut Html, campaign: &Campaign) {
    let mut rows = vec![("Ananke", Tone::Good, &campaign.recovery_seconds, None, 0)];
    if let Some(compared) = &campaign.compared {
        let Compared { shortest_seconds, waiting_seconds, runbook_seconds, .. } = compared;
        rows = vec![
            ("the shortest that each world allows", Tone::Info, shortest_seconds, None, 0),
            ("Ananke", Tone::Good, &campaign.recovery_seconds, Some(&compared.over_shortest), 0),
            (
                "power on and wait for Flux",
                Tone::Wait,
                waiting_seconds,
                Some(&compared.waiting_over_shortest),
                compared.waiting_never,
            ),
            (
                "a runbook, step after step",
                Tone::Wait,
                runbook_seconds,
                Some(&compared.runbook_over_shortest),
                compared.runbook_never,
            ),
        ];
    }
    let longest = rows.iter().map(|(_, _, counts, ..)| counts.max()).max().unwrap_or(0);
    out.raw("<section><h2>Time to recovery, of those that recovered</h2>");
    for (name, tone, counts, over, never) in rows {
        out.raw("<div class=\"times\"><p><b>").text(name).raw("</b> <small>");
        out.text(&format!("median {}, p90 {}, longest {}", span(counts, 50), span(counts, 90), span(counts, 100)));
        if let Some(over) = over {
            let [median, p90, worst] = [50, 90, 100].map(|percent| thousandths(over.percentile(percent)));
            out.text(&format!("; over the shortest: median {median}, p90 {p90}, worst {worst}"));
        }
        if never > 0 {
            out.text(&format!("; {never} never"));
        }
        out.raw("</small></p>");
        distribution(out, tone, counts, longest);
        out.raw("</div>");
    }
    out.raw("<p class=\"axis\"><small>0s</small><small>").text(&human(Duration::from_secs(longest / 2)));
    out.raw("</small><small>").text(&human(Duration::from_secs(longest))).raw("</small></p></section>\n");
}

fn span(counts: &Counts, percent: u64) -> String {
    human(Duration::from_secs(counts.percentile(percent)))
}

/// A ratio in thousandths, with three digits.
pub(super) fn thousandths(ratio: u64) -> String {
    format!("{}.{:03}", ratio / 1000, ratio % 1000)
}

fn distribution(out: &mut Html, tone: Tone, counts: &Counts, longest: u64) {
    let mut bins: BTreeMap<u64, u64> = BTreeMap::new();
    for (seconds, count) in counts.iter() {
        let bin = seconds.saturating_mul(BINS) / longest.max(1);
        *bins.entry(bin.min(BINS - 1)).or_default() += count;
    }
    let highest = bins.values().max().copied().unwrap_or(1).max(1);
    out.raw("<svg class=\"tall\" viewBox=\"0 0 1000 100\" preserveAspectRatio=\"none\" aria-hidden=\"true\">");
    out.raw("<rect class=\"track\" y=\"99\" width=\"1000\" height=\"1\"/>");
    for (bin, count) in bins {
        let height = count.saturating_mul(HEIGHT).div_ceil(highest);
        out.raw("<rect class=\"").raw(tone.class()).raw("\" x=\"").number(bin * WIDTH / BINS).raw("\" y=\"");
        out.number(HEIGHT.saturating_sub(height)).raw("\" width=\"9\" height=\"").number(height).raw("\"/>");
    }
    out.raw("</svg>");
}

/// The slowest first, and how often each ended in what way.
fn gate_times(out: &mut Html, campaign: &Campaign) {
    let statuses = [GateStatus::Passed, GateStatus::Manual, GateStatus::Failed, GateStatus::NotApplicable, GateStatus::Pending];
    let mut gates: Vec<_> = campaign.gates.iter().collect();
    gates.sort_by_key(|(id, tally)| (std::cmp::Reverse(tally.seconds.percentile(50)), **id));
    let longest = gates.iter().map(|(_, tally)| tally.seconds.percentile(90)).max().unwrap_or(0);
    out.raw("<section><h2>Gates, the slowest first</h2><table><thead><tr><th>gate</th><th>median, and 90 of 100</th><th></th><th></th>");
    for status in statuses {
        out.raw("<th>").text(ananke_sim::drill::status_word(status)).raw("</th>");
    }
    out.raw("<th>other</th></tr></thead><tbody>");
    for (id, tally) in gates {
        let [median, p90] = [50, 90].map(|percent| tally.seconds.percentile(percent));
        out.raw("<tr><th>").text(id.id()).raw("</th><td class=\"bar\">");
        bar(out, Tone::Info, median, longest);
        bar(out, Tone::Wait, p90, longest);
        for seconds in [median, p90] {
            out.raw("</td><td class=\"number\">").text(&human(Duration::from_secs(seconds)));
        }
        let of = |status: GateStatus| tally.endings.get(status.id()).copied().unwrap_or(0);
        let known: u64 = statuses.into_iter().map(of).sum();
        let other = tally.endings.values().sum::<u64>().saturating_sub(known);
        for count in statuses.into_iter().map(of).chain([other]) {
            out.raw("</td><td class=\"number\">").number(count);
        }
        out.raw("</td></tr>");
    }
    out.raw("</tbody></table></section>\n");
}

/// What can be counted, the most frequent first; what never came is said.
fn fired(out: &mut Html, title: &'static str, all: &[String], counts: &BTreeMap<String, u64>) {
    let mut rows: Vec<(&String, u64)> = counts.iter().map(|(id, count)| (id, *count)).filter(|(_, count)| *count > 0).collect();
    rows.sort_by_key(|(id, count)| (std::cmp::Reverse(*count), *id));
    let most = rows.first().map_or(0, |(_, count)| *count);
    out.raw("<section><h2>").raw(title).raw("</h2><details><summary><small>");
    let never: Vec<&str> = all.iter().filter(|id| !counts.contains_key(*id)).map(String::as_str).collect();
    out.text(&format!("{} of {} came", all.len().saturating_sub(never.len()), all.len())).raw("</small></summary><table><tbody>");
    for (id, count) in rows {
        out.raw("<tr><th>").text(id).raw("</th><td class=\"bar\">");
        bar(out, Tone::Info, count, most);
        out.raw("</td><td class=\"number\">").number(count).raw("</td></tr>");
    }
    out.raw("</tbody></table></details>");
    if !never.is_empty() {
        out.raw("<p><small>never: ").text(&never.join(", ")).raw("</small></p>");
    }
    out.raw("</section>\n");
}

fn failures(out: &mut Html, campaign: &Campaign) {
    if campaign.failures.is_empty() {
        return;
    }
    out.raw("<section class=\"todo\"><h2>Failures</h2><ul>");
    for failure in &campaign.failures {
        out.raw("<li><b>").text(&failure.reproduce).raw("</b>").word(Tone::Bad, &failure.ending).raw("<small>");
        for violation in &failure.violations {
            out.raw("<br>").text(violation);
        }
        out.raw("</small></li>");
    }
    let failed = usize::try_from(campaign.failed).unwrap_or(usize::MAX);
    out.raw("</ul>").more(failed, campaign.failures.len()).raw("</section>\n");
}

fn run(out: &mut Html, timeline: &Timeline) {
    let whole = Duration::from_secs(timeline.seconds);
    out.raw("<section class=\"run\"><h2>").text(&timeline.title).raw("</h2><p><small>");
    out.text(&format!("{}; {} actions", human(whole), timeline.actions.len())).raw("</small></p>");
    gates(out, &timeline.gates, whole);
    acted(out, timeline);
    out.raw("</section>\n");
}

/// A stroke for each action on the scale of the gates, and a list of them.
fn acted(out: &mut Html, timeline: &Timeline) {
    if timeline.actions.is_empty() {
        return;
    }
    out.raw("<h2>Actions</h2><svg viewBox=\"0 0 1000 10\" preserveAspectRatio=\"none\" aria-hidden=\"true\">");
    out.raw("<rect class=\"track\" y=\"4\" width=\"1000\" height=\"2\"/>");
    for (at, _) in &timeline.actions {
        let x = at.saturating_mul(WIDTH) / timeline.seconds.max(1);
        out.raw("<rect class=\"info\" x=\"").number(x.min(WIDTH - 2)).raw("\" width=\"2\" height=\"10\"/>");
    }
    out.raw("</svg><details><summary><small>what was done, and when</small></summary><table><tbody>");
    for (at, text) in timeline.actions.iter().take(ACTIONS_SHOWN) {
        out.raw("<tr><td class=\"number\">").text(&human(Duration::from_secs(*at))).raw("</td><td>").text(text).raw("</td></tr>");
    }
    out.raw("</tbody></table>").more(timeline.actions.len(), ACTIONS_SHOWN).raw("</details>");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_follow_on_each_other_are_told_as_one() {
        let part = |from, to, shard: &str| (from, to, shard.to_owned());
        let told = |parts: &[Part]| seeds(&parts.iter().cloned().collect());
        let whole = [part(0, 10, WHOLE), part(10, 20, WHOLE), part(30, 40, WHOLE)];
        assert_eq!(told(&whole), "0..20, 30..40");
        assert_eq!(told(&[part(0, 10, "0/2"), part(0, 10, "1/2")]), "0..10 (shard 0/2), 0..10 (shard 1/2)");
    }
}
