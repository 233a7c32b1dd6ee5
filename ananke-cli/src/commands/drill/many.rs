//! Many drills on all cores, shards of them, and shards put together.

use std::fs;
use std::io::{IsTerminal, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ananke_sim::campaign::{Campaign, Compared, Counts, Seed};
use ananke_sim::swarm::Ending;

use super::page;
use crate::args::{self, Shard};
use crate::commands::print;
use crate::exit::Exit;
use crate::wire::Failure;

/// Who waits at a terminal hears of it this often.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// Plays each seed of the range, or of this shard of it.
#[expect(clippy::disallowed_methods, reason = "the rate of drills is measured in real time, and never judged")]
pub(super) fn run(
    args: &args::Drill,
    drills: &str,
    seeds: &Range<u64>,
    play: impl Fn(u64) -> Seed + Sync,
) -> Result<Exit, Failure> {
    let began = Instant::now();
    let shard = args.shard.unwrap_or_default();
    let jobs = args.jobs.or_else(|| std::thread::available_parallelism().ok()).map_or(1, std::num::NonZero::get);
    let (next, done, failed) = (AtomicU64::new(shard.first(seeds)), AtomicU64::new(0), AtomicU64::new(0));
    let over = AtomicBool::new(false);
    let work = || {
        let mut mine = Campaign::new(drills.to_owned());
        loop {
            let seed = next.fetch_add(shard.of, Ordering::Relaxed);
            if seed >= seeds.end {
                break mine;
            }
            let played = play(seed);
            done.fetch_add(1, Ordering::Relaxed);
            if played.is_failure() {
                failed.fetch_add(1, Ordering::Relaxed);
                // A shard that is killed has told of it.
                writeln!(std::io::stderr(), "{}: {}", played.ending, played.reproduce).unwrap_or_default();
            }
            mine.add(&played);
        }
    };
    let tell = || {
        while std::io::stderr().is_terminal() && !over.load(Ordering::Relaxed) {
            std::thread::park_timeout(TOLD_EVERY);
            if !over.load(Ordering::Relaxed) {
                let (done, failed) = (done.load(Ordering::Relaxed), failed.load(Ordering::Relaxed));
                let rate = rate(done, began.elapsed());
                let line = format!("{done} of {} drills, {rate} a second, {failed} failed", shard.count(seeds));
                let _unread = writeln!(std::io::stderr(), "{line}");
            }
        }
    };
    let parts: Vec<Option<Campaign>> = std::thread::scope(|scope| {
        let teller = scope.spawn(tell);
        let threads: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        let parts = threads.into_iter().map(|thread| thread.join().ok()).collect();
        over.store(true, Ordering::Relaxed);
        teller.thread().unpark();
        parts
    });
    let mut whole = Campaign::new(drills.to_owned());
    for part in parts {
        let part = part.ok_or_else(|| Failure::Internal("a thread of drills died".to_owned()))?;
        whole.merge(&part).map_err(Failure::Internal)?;
    }
    whole.seeds.insert((seeds.start, seeds.end, shard.to_string()));
    let took = began.elapsed();
    whole.millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    whole.runs_per_second = rate(whole.runs, took);
    finish(args, &whole)
}

fn rate(done: u64, took: Duration) -> u64 {
    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1);
    done.saturating_mul(1000) / millis
}

/// What the shards wrote, as one campaign.
pub(super) fn merge(args: &args::Drill) -> Result<Exit, Failure> {
    let (mut whole, mut all): (Option<Campaign>, bool) = (None, true);
    for file in &args.merge {
        let Some(part) = read(file)? else {
            writeln!(std::io::stderr(), "{} is empty: its shard ended before it wrote", file.display()).unwrap_or_default();
            all = false;
            continue;
        };
        match &mut whole {
            None => whole = Some(part),
            Some(whole) => whole.merge(&part).map_err(|why| Failure::Usage(format!("{}: {why}", file.display())))?,
        }
    }
    let whole = whole.ok_or_else(|| Failure::Usage("--merge needs the files of at least one shard".to_owned()))?;
    for missing in whole.missing() {
        writeln!(std::io::stderr(), "not there: {missing}; its drills are not counted").unwrap_or_default();
        all = false;
    }
    // What is not there may have failed.
    let worst = finish(args, &whole)?;
    Ok(if worst == Exit::Done && !all { Exit::NotInTime } else { worst })
}

/// None of a file that is empty: so it is where a shard was killed.
fn read(file: &Path) -> Result<Option<Campaign>, Failure> {
    let wrong =
        |why: String| Failure::Usage(format!("{} is no campaign that `ananke drill -o json` wrote: {why}", file.display()));
    let text = fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    if text.trim().is_empty() {
        return Ok(None);
    }
    let campaign: Campaign = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    if campaign.schema != ananke_sim::campaign::SCHEMA {
        return Err(wrong(format!("its schema is {}", campaign.schema)));
    }
    Ok(Some(campaign))
}

fn finish(args: &args::Drill, campaign: &Campaign) -> Result<Exit, Failure> {
    if let Some(file) = &args.html {
        page::write(file, &page::of_campaign(campaign))?;
    }
    print(args.output.output, campaign, told)?;
    Ok(worst(campaign))
}

/// The worst ending of all; that people are needed in some drills is no failure of theirs.
fn worst(campaign: &Campaign) -> Exit {
    let has = |ending: Ending| campaign.endings.contains_key(ending.id());
    match (has(Ending::Crashed), has(Ending::Forbidden)) {
        (true, _) => Exit::Internal,
        (false, true) => Exit::Forbidden,
        (false, false) if campaign.failed > 0 => Exit::NotInTime,
        (false, false) => Exit::Done,
    }
}

fn told(campaign: &Campaign) -> String {
    let Campaign { runs, failed, recovered, manual, runs_per_second, recovery_seconds, .. } = campaign;
    let mut text = format!(
        "{runs} drills, {runs_per_second} a second: {recovered} recovered, {manual} need a person, {failed} failed\n\
         recovery in simulated seconds: {}\n",
        spread(recovery_seconds, |seconds| seconds.to_string())
    );
    if let Some(compared) = &campaign.compared {
        text.push_str(&beside(compared));
    }
    if !campaign.troubled_over_shortest.is_empty() {
        let told = spread(&campaign.troubled_over_shortest, page::thousandths);
        text.push_str(&format!("over the shortest time without trouble, where trouble came: {told}\n"));
    }
    for failure in &campaign.failures {
        text.push_str(&format!("{}: {}\n", failure.ending, failure.reproduce));
        for violation in &failure.violations {
            text.push_str(&format!("  {violation}\n"));
        }
    }
    if let Some(more) = failed.checked_sub(u64::try_from(campaign.failures.len()).unwrap_or(u64::MAX)).filter(|more| *more > 0) {
        text.push_str(&format!("and {more} more failed\n"));
    }
    text
}

fn beside(compared: &Compared) -> String {
    let ratio = |counts: &Counts| spread(counts, page::thousandths);
    let Compared { waiting_never, runbook_never, slower_than_waiting, beaten, .. } = compared;
    let mut text = format!(
        "over the shortest time: {}\n\
         power on and wait:      {}; {waiting_never} never\n\
         runbook:                {}; {runbook_never} never\n",
        ratio(&compared.over_shortest),
        ratio(&compared.waiting_over_shortest),
        ratio(&compared.runbook_over_shortest),
    );
    for (seeds, what) in
        [(slower_than_waiting, "waiting was quicker with seed"), (beaten, "quicker than the shortest time: seed")]
    {
        for seed in seeds {
            text.push_str(&format!("{what} {seed}\n"));
        }
    }
    text
}

fn spread(counts: &Counts, told: impl Fn(u64) -> String) -> String {
    let [min, median, p90, max] = [0, 50, 90, 100].map(|percent| told(counts.percentile(percent)));
    format!("min {min}, median {median}, p90 {p90}, max {max}")
}

impl Shard {
    fn first(self, seeds: &Range<u64>) -> u64 {
        seeds.start.saturating_add(self.index)
    }

    fn count(self, seeds: &Range<u64>) -> u64 {
        seeds.end.saturating_sub(self.first(seeds)).div_ceil(self.of.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_campaign_ends_with_the_code_of_its_worst_drill() {
        let of = |endings: &[&str], failed: u64| {
            let endings = endings.iter().map(|ending| ((*ending).to_owned(), 1)).collect();
            worst(&Campaign { endings, failed, ..Campaign::new(String::new()) })
        };
        assert_eq!(of(&["recovered", "manual"], 0), Exit::Done);
        assert_eq!(of(&["recovered", "stuck"], 1), Exit::NotInTime);
        assert_eq!(of(&["stuck", "forbidden"], 2), Exit::Forbidden);
        assert_eq!(of(&["crashed", "forbidden"], 2), Exit::Internal);
    }

    #[test]
    fn shards_take_every_seed_once() {
        for (from, to, of) in [(0, 10, 3), (5, 6, 4), (0, 100, 1), (7, 50, 8)] {
            let seeds = from..to;
            let of_shard = |index| (Shard { index, of }.first(&seeds)..to).step_by(usize::try_from(of).unwrap());
            let mut all: Vec<u64> = (0..of).flat_map(of_shard).collect();
            all.sort_unstable();
            assert_eq!(all, (from..to).collect::<Vec<_>>());
            let counted: u64 = (0..of).map(|index| Shard { index, of }.count(&seeds)).sum();
            assert_eq!(counted, to - from);
        }
    }

    #[test]
    fn shards_that_are_not_there_are_named() {
        let of = |parts: &[&str]| {
            let seeds = parts.iter().map(|part| (0, 6, (*part).to_owned())).collect();
            Campaign { seeds, ..Campaign::new("drills".to_owned()) }.missing()
        };
        assert!(of(&["0/1"]).is_empty() && of(&["0/2", "1/2"]).is_empty());
        assert_eq!(of(&["0/4", "2/4"]), ["shard 1/4, 3/4 of the seeds 0..6"]);
        let many = of(&["0/18446744073709551615"]);
        assert!(many[0].ends_with("20/18446744073709551615 and 18446744073709551594 more of the seeds 0..6"), "{many:?}");
    }
}
