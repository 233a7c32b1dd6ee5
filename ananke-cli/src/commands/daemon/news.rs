//! What is worth a notice: outages, runs, and what a person must do.

use std::time::Duration;

use ananke_core::engine::keeper::Tick;
use ananke_core::name::Moment;
use ananke_core::notice::{Notice, Told, Urgency};
use ananke_core::port::PortError;
use ananke_core::power::UpsState;
use ananke_core::report::Command;

use super::board::Ups;
use crate::notify::run_name;

/// A run that failed and begins again within this time is the same story.
pub(super) const SAME: Duration = Duration::from_secs(600);

/// A UPS that is not heard for so long while mains carry the load is worth a word: nobody would hear of an outage.
const SILENT: Duration = Duration::from_secs(600);

/// How bad it is; an outage is told again only when it gets worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Rank {
    #[default]
    Fine,
    Silent,
    Vague,
    OnBattery,
    Unheard,
    Critical,
}

/// How long a sentence stands over a restart of the daemon: a run that begins later is another one.
pub(super) fn lasts(about: &str) -> Duration {
    let is_run = [Command::Shutdown, Command::Startup].into_iter().any(|command| run_name(command) == about);
    if is_run { SAME } else { Duration::MAX }
}

/// How bad the news was that people heard of this UPS last.
pub(super) fn rank_told(name: &str, told: &Told) -> Rank {
    let last = told.last(&about_ups(name));
    let ranks = [Rank::Silent, Rank::Vague, Rank::OnBattery, Rank::Unheard, Rank::Critical];
    ranks.into_iter().find(|rank| last == Some(&sentence(name, *rank))).unwrap_or_default()
}

fn about_ups(name: &str) -> String {
    format!("UPS {name}")
}

fn sentence(name: &str, rank: Rank) -> String {
    let what = match rank {
        Rank::Fine => "is on line again",
        Rank::Silent => "is not heard any more: nobody here would know of an outage",
        Rank::Vague => "does not tell where its power comes from: nobody here would know of an outage",
        Rank::OnBattery => "is on battery",
        Rank::Unheard => "is on battery and is not heard any more",
        Rank::Critical => "asks for a shutdown",
    };
    format!("{} {what}", about_ups(name))
}

/// Notes in `ups` what is told.
pub(super) fn of_ups(ups: &mut Ups, now: Moment) -> Option<Notice> {
    let (rank, why) = match &ups.state {
        UpsState::Line { .. } | UpsState::Latched => (Rank::Fine, None),
        UpsState::Critical { why, .. } => (Rank::Critical, Some(why.clone())),
        UpsState::Battery { .. } if ups.is_lost => (Rank::Unheard, None),
        UpsState::Battery { .. } => (Rank::OnBattery, None),
        UpsState::Lost { since } if now.since(*since) >= SILENT => {
            (if ups.is_vague() { Rank::Vague } else { Rank::Silent }, None)
        }
        // It may be a blip, or over soon.
        UpsState::Wavers { .. } | UpsState::Calibrates { .. } | UpsState::Lost { .. } | UpsState::Unknown => return None,
    };
    let is_news = rank > ups.told || (rank == Rank::Fine && ups.told != Rank::Fine);
    ups.told = if is_news { rank } else { ups.told };
    let urgency = match rank {
        Rank::Fine => Urgency::Information,
        Rank::Silent | Rank::Vague | Rank::OnBattery => Urgency::Warning,
        Rank::Unheard | Rank::Critical => Urgency::Alarm,
    };
    let notice = || Notice::new(about_ups(&ups.name), urgency, &sentence(&ups.name, rank));
    is_news.then(|| notice().with(why.into_iter().chain([ups.values(now)])))
}

/// upsd refuses the login: a primary that switches its UPS off waits for nobody here.
pub(super) fn of_login(name: &str, why: &PortError) -> Notice {
    let sentence = format!("{} is read, and does not wait for the shutdown: its upsd refuses the login", about_ups(name));
    Notice::new(format!("login at {name}"), Urgency::Alarm, &sentence)
        .with([why.to_string()].into_iter().chain(why.remedy.clone()))
}

pub(super) fn of_holding(why: &str) -> Notice {
    let sentence = "the cluster stays down until a person starts it";
    Notice::new("hold-down", Urgency::Alarm, sentence).with([why.to_owned()])
}

/// Leases that are overdue or a person's, and were not before.
pub(super) fn of_leases(before: Option<&Tick>, tick: &Tick) -> Vec<Notice> {
    let is_new = |texts: fn(&Tick) -> &Vec<String>, text: &String| before.is_none_or(|before| !texts(before).contains(text));
    let overdue = tick.overdue.iter().filter(|text| is_new(|tick| &tick.overdue, text));
    let overdue = overdue.map(|text| Notice::new(format!("overdue {text}"), Urgency::Alarm, &format!("overdue: {text}")));
    let manual = tick.manual.iter().filter(|text| is_new(|tick| &tick.manual, text));
    let manual = manual.map(|text| Notice::new(format!("manual {text}"), Urgency::Alarm, &format!("a person is needed: {text}")));
    overdue.chain(manual).collect()
}

pub(super) fn of_begin(command: Command, why: &str, upses: Vec<String>) -> Notice {
    let (what, urgency) = match command {
        Command::Shutdown => (run_name(command), Urgency::Alarm),
        Command::Startup | Command::Status => (run_name(command), Urgency::Information),
    };
    Notice::new(what, urgency, &format!("{what} begins")).with(std::iter::once(why.to_owned()).chain(upses))
}

/// What another Ananke does, or why it is not done yet.
pub(super) fn of_other(command: Command, urgency: Urgency, text: &str) -> Notice {
    let what = run_name(command);
    Notice::new(what, urgency, &format!("{what}: {text}"))
}

/// `rack-a: charge 43 %, 12 s ago`, one a UPS.
pub(super) fn values(upses: &[Ups], now: Moment) -> Vec<String> {
    upses.iter().map(|ups| format!("{}: {}", ups.name, ups.values(now))).collect()
}
