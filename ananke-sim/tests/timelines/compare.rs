//! Two sets of histories beside each other.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::RangeInclusive;

use ananke_sim::Ms;

use super::recording::{Histories, Id, Seen};

/// How far times may differ.
const SLACK: Ms = 2_000;
/// What lies closer together in the recording may come in any order.
const CONCURRENT: Ms = 1_000;
/// Pods of a workload that become ready or unready this closely after one another do so at once.
const BURST: Ms = 500;

/// When a burst was.
type Window = RangeInclusive<Ms>;
type Grouped = BTreeMap<Id, Vec<Vec<Seen>>>;

/// Everything in which `simulated` is not as `recorded`.
pub(crate) fn differences(recorded: &Histories, simulated: &Histories) -> Vec<String> {
    let (mut wrong, mut pairs) = (Vec::new(), Vec::new());
    let bursts = bursts(recorded);
    let mut simulated = grouped(simulated);
    for (id, expected) in &grouped(recorded) {
        let mut found = simulated.remove(id).unwrap_or_default();
        let windows = bursts.get(&id.1).filter(|_| is_aggregate(id)).map(Vec::as_slice).unwrap_or_default();
        for history in expected {
            match take_match(history, &mut found, windows) {
                Ok(times) => pairs.extend(times.into_iter().map(|pair| (pair, id.clone()))),
                Err(why) => wrong.push(format!("{id:?}: recorded\n{}{why}", told(history))),
            }
        }
        wrong.extend(found.iter().map(|left| format!("{id:?}: simulated alone\n{}", told(left))));
    }
    for (id, histories) in simulated {
        let changed = histories.iter().filter(|history| history.iter().any(|seen| !seen.by_then));
        wrong.extend(changed.map(|left| format!("{id:?}: simulated alone\n{}", told(left))));
    }
    if wrong.is_empty() { disorder(&pairs) } else { wrong }
}

/// Takes the first of `found` that is as `recorded`, and gives the times of its changes.
fn take_match(recorded: &[Seen], found: &mut Vec<Vec<Seen>>, windows: &[Window]) -> Result<Vec<(Ms, Ms)>, String> {
    let wanted = last_of_bursts(recorded, windows, 0);
    let mut wrong = String::new();
    for at in 0..found.len() {
        let simulated = &found[at];
        let fits = in_range(recorded, simulated, windows);
        match fits.and_then(|()| matched(&wanted, &last_of_bursts(simulated, windows, SLACK))) {
            Ok(times) => {
                found.remove(at);
                return Ok(times);
            }
            Err(why) => write!(wrong, "  simulated: {why}\n{}", told(simulated)).unwrap(),
        }
    }
    Err(wrong)
}

/// Matches two histories, state by state, and gives the times of their changes.
fn matched(recorded: &[Seen], simulated: &[Seen]) -> Result<Vec<(Ms, Ms)>, String> {
    let (mut at, mut pairs) = (0, Vec::new());
    if let [first, ..] = recorded
        && !first.by_then
        && simulated.first().is_some_and(|start| start.by_then)
    {
        // The recorder saw it for the first time when it changed.
        at = 1;
    }
    for (nth, seen) in recorded.iter().enumerate() {
        if nth == 0 && seen.by_then {
            // Whatever came before the watch began is not known.
            let until = |next: usize| simulated.get(next).is_none_or(|next| next.at >= seen.at - SLACK);
            let held = |(at, other): &(usize, &Seen)| other.state == seen.state && other.at <= seen.at + SLACK && until(at + 1);
            at = simulated.iter().enumerate().find(held).ok_or_else(|| format!("never as at {}", seen.at))?.0 + 1;
            continue;
        }
        let Some(other) = simulated.get(at).filter(|other| other.state == seen.state) else {
            return Err(format!("another state at {}", seen.at));
        };
        let early = seen.at - other.at;
        if early > SLACK && !seen.by_then || early < -SLACK {
            return Err(format!("at {} instead of {}", other.at, seen.at));
        }
        if !seen.by_then {
            pairs.push((seen.at, other.at));
        }
        at += 1;
    }
    if simulated.len() > at { Err(format!("{} changes too many", simulated.len() - at)) } else { Ok(pairs) }
}

/// What is apart in the recording must not be the other way round.
fn disorder(pairs: &[((Ms, Ms), Id)]) -> Vec<String> {
    let mut wrong = Vec::new();
    for ((first, first_here), one) in pairs {
        for ((second, second_here), other) in pairs {
            if second - first > CONCURRENT && second_here < first_here {
                wrong.push(format!("{other:?} changed at {second_here}, before {one:?} at {first_here}"));
            }
        }
    }
    wrong
}

fn is_aggregate((kind, _): &Id) -> bool {
    !matches!(kind.as_str(), "Node" | "Pod")
}

/// The workload of a made-up name, or the name itself.
fn common(kind: &str, name: &str) -> String {
    let stem = name.split('-').next().unwrap();
    match kind {
        "Pod" if stem == "db" => name.to_owned(),
        "Pod" | "EndpointSlice" => stem.to_owned(),
        _ => name.to_owned(),
    }
}

fn grouped(histories: &Histories) -> Grouped {
    let mut groups = Grouped::new();
    for ((kind, name), history) in histories {
        groups.entry((kind.clone(), common(kind, name))).or_default().push(history.clone());
    }
    groups
}

/// When several pods of a workload became ready or unready at once, by workload.
fn bursts(recorded: &Histories) -> BTreeMap<String, Vec<Window>> {
    let mut changes: BTreeMap<String, Vec<(Ms, &str)>> = BTreeMap::new();
    for ((_, name), history) in recorded.iter().filter(|((kind, _), _)| kind == "Pod") {
        let stem = name.split('-').next().unwrap().to_owned();
        let ready = |seen: &Seen| seen.state.as_ref().and_then(|state| state["Ready"].as_str().map(str::to_owned));
        let turns =
            history.windows(2).filter(|pair| matches!((ready(&pair[0]), ready(&pair[1])), (Some(was), Some(is)) if was != is));
        let mine = turns.map(|pair| (pair[1].at, name.as_str()));
        changes.entry(stem).or_default().extend(mine);
    }
    let windows = changes.into_iter().map(|(stem, mut changes)| {
        changes.sort_unstable();
        let runs = changes.chunk_by(|one, next| next.0 - one.0 <= BURST);
        let several = runs.filter(|run| run.iter().any(|(_, name)| *name != run[0].1));
        (stem, several.map(|run| run[0].0 - BURST..=run[run.len() - 1].0 + BURST).collect())
    });
    windows.collect()
}

fn wider(window: &Window, by: Ms) -> Window {
    window.start() - by..=window.end() + by
}

/// Of what falls into one window, only the last.
fn last_of_bursts(history: &[Seen], windows: &[Window], slack: Ms) -> Vec<Seen> {
    let window = |seen: &Seen| windows.iter().position(|window| wider(window, slack).contains(&seen.at));
    let kept = history.iter().enumerate().filter(|(nth, seen)| {
        let next = history.get(nth + 1);
        window(seen).is_none() || next.is_none_or(|next| window(next) != window(seen))
    });
    let mut kept: Vec<Seen> = kept.map(|(_, seen)| seen.clone()).collect();
    // Where the watch began in the middle of a burst, what came before is as little known.
    if let (Some(first), Some(was)) = (kept.first_mut(), history.first()) {
        first.by_then = was.by_then;
    }
    kept
}

/// In a burst no count leaves the range that it has in the recording, its start included.
fn in_range(recorded: &[Seen], simulated: &[Seen], windows: &[Window]) -> Result<(), String> {
    let counts = |seen: &Seen| -> Vec<i64> {
        seen.state.iter().flat_map(|state| state.values()).filter_map(|count| count.as_i64()).collect()
    };
    for window in windows {
        let (from, to) = (wider(window, SLACK), window);
        let before = simulated.iter().rev().find(|seen| seen.at < *from.start());
        let known: Vec<Vec<i64>> = recorded.iter().filter(|seen| to.contains(&seen.at)).chain(before).map(counts).collect();
        for seen in simulated.iter().filter(|seen| from.contains(&seen.at)) {
            for (nth, count) in counts(seen).iter().enumerate() {
                let range = known.iter().filter_map(|known| known.get(nth));
                if range.clone().min() > Some(count) || range.max() < Some(count) {
                    return Err(format!("a count of {count} at {} is out of range", seen.at));
                }
            }
        }
    }
    Ok(())
}

fn told(history: &[Seen]) -> String {
    let mut text = String::new();
    for seen in history {
        let state = seen.state.as_ref().map(|state| serde_json::to_string(state).unwrap());
        writeln!(text, "    {:>7} {}{}", seen.at, if seen.by_then { "by then " } else { "" }, state.as_deref().unwrap_or("gone"))
            .unwrap();
    }
    text
}
