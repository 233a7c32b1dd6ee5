//! Gates as a table with a bar for the time that each took.

use std::time::Duration;

use ananke_core::name::human;
use ananke_core::report::{GateReport, GateStatus, Outcome};
use ananke_sim::drill::status_word;

use super::{Html, Tone};

const BLOCKERS_SHOWN: usize = 5;
/// Width of a bar in its own units.
const WIDTH: u64 = 1000;
/// A gate that took no time is still to be seen.
const LEAST: u64 = 6;

/// A row a gate, its bar within the whole run.
pub(crate) fn gates(out: &mut Html, gates: &[GateReport], whole: Duration) {
    out.raw("<table><thead><tr><th>gate</th><th>status</th><th>when</th><th></th><th class=\"wide\"></th></tr></thead><tbody>");
    for gate in gates {
        out.raw("<tr><th>").text(gate.id.id()).raw("</th><td>").word(tone(gate.status), status_word(gate.status));
        out.raw("</td><td class=\"bar\">");
        if gate.status != GateStatus::Pending {
            bar(out, gate, whole);
        }
        out.raw("</td><td class=\"number\">");
        if gate.status != GateStatus::Pending {
            out.text(&human(gate.took));
        }
        out.raw("</td><td class=\"wide\"><small>").text(&gate.text).raw("</small></td></tr>");
        if tone(gate.status) != Tone::Good {
            out.raw("<tr class=\"narrow\"><td colspan=\"4\"><small>").text(&gate.text).raw("</small></td></tr>");
        }
        if gate.is_waited_for() && gate.blockers.len() > 1 {
            out.raw("<tr><td class=\"more\"></td><td class=\"more\" colspan=\"4\"><small>");
            for blocker in gate.blockers.iter().take(BLOCKERS_SHOWN) {
                out.text(&blocker.text).raw("<br>");
            }
            out.raw("</small>").more(gate.blockers.len(), BLOCKERS_SHOWN).raw("</td></tr>");
        }
    }
    out.raw("</tbody></table>");
}

fn bar(out: &mut Html, gate: &GateReport, whole: Duration) {
    let (x, width) = span(gate, whole);
    out.raw("<svg viewBox=\"0 0 1000 10\" preserveAspectRatio=\"none\" aria-hidden=\"true\">");
    out.raw("<rect class=\"track\" y=\"4\" width=\"1000\" height=\"2\"/><rect class=\"").raw(tone(gate.status).class());
    out.raw("\" x=\"").number(x).raw("\" width=\"").number(width).raw("\" height=\"10\"/></svg>");
}

/// Where a gate's time lies within the whole. One that did not pass has been open until the end.
fn span(gate: &GateReport, whole: Duration) -> (u64, u64) {
    let part = |time: Duration| {
        let whole = whole.as_millis().max(1);
        let part = time.as_millis().min(whole).saturating_mul(u128::from(WIDTH)).checked_div(whole);
        part.and_then(|part| u64::try_from(part).ok()).unwrap_or(WIDTH)
    };
    let end = part(gate.passed_after.unwrap_or(whole));
    let width = part(gate.took).max(LEAST);
    (end.saturating_sub(width).min(WIDTH.saturating_sub(LEAST)), width)
}

fn tone(status: GateStatus) -> Tone {
    match status {
        GateStatus::Passed => Tone::Good,
        GateStatus::Holding | GateStatus::Unknown | GateStatus::CutShort => Tone::Wait,
        GateStatus::Manual | GateStatus::Failed => Tone::Bad,
        GateStatus::Pending | GateStatus::NotApplicable => Tone::Info,
    }
}

pub(crate) fn tone_of(outcome: Outcome) -> Tone {
    match outcome {
        Outcome::Done => Tone::Good,
        Outcome::Manual | Outcome::Failed => Tone::Bad,
        Outcome::Refused | Outcome::Yielded | Outcome::Interrupted => Tone::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ananke_core::verdict::GateId;

    #[test]
    fn a_bar_lies_where_its_gate_was_open() {
        let secs = Duration::from_secs;
        let at = |took: u64, passed: Option<u64>, whole: u64| {
            let gate = GateReport {
                id: GateId::Guards,
                status: GateStatus::Passed,
                took: secs(took),
                normal: None,
                passed_after: passed.map(secs),
                subjects_passed: 0,
                subjects: 0,
                text: String::new(),
                blockers: Vec::new(),
                regressions: 0,
            };
            span(&gate, secs(whole))
        };
        assert_eq!(at(10, Some(60), 100), (500, 100));
        assert_eq!(at(40, None, 100), (600, 400), "it is open at the end");
        assert_eq!(at(0, Some(0), 100), (0, LEAST));
        assert_eq!(at(0, Some(100), 100), (994, LEAST));
        assert_eq!(at(500, Some(500), 100), (0, 1000), "the clock was set");
        assert_eq!(at(0, None, 0), (0, LEAST));
    }
}
