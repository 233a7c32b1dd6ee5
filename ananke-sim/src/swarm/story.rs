//! A story: where a world begins, what befalls it, and when it is left in peace. Plain data, written as a text of one line a
//! step that can be read back, so that a failure can be cut smaller and kept.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::gear::Gear;
use crate::fault::Fault;
use crate::scenario::{MAX_NODES, Scenario};
use crate::world::{Quirk, World};

/// Longest span that a story may speak of: a day.
const LONGEST: u64 = 86_400;
/// A clock may be wrong by more: a machine without a battery for it boots in 1970.
const FARTHEST: u64 = 60 * 366 * LONGEST;

/// What the UPSes of a story can do, by its word.
const QUIRKS: &[(&str, Quirk)] =
    &[("silent", Quirk::Silent), ("low", Quirk::Low), ("tests", Quirk::Tests), ("calibrates", Quirk::Calibrates)];

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Story {
    /// Every span that the story does not tell is drawn from it.
    pub seed: u64,
    /// A scenario's name.
    pub scenario: String,
    pub nodes: usize,
    pub servers: usize,
    /// In the order of their kinds, each once.
    pub gear: Vec<Gear>,
    /// In the order of their time.
    pub steps: Vec<Step>,
    /// When nothing befalls the world any more, and people take back what they did; in seconds.
    pub calm: u64,
}

/// Nodes are counted from 1, servers first: a step on a node that is not there does nothing, and so does one on a workload or
/// a Kustomization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// In seconds.
    pub at: u64,
    pub act: Act,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// One of the API lasts so many seconds.
    Fault {
        fault: Fault,
        node: Option<usize>,
        lasts: Option<u64>,
    },
    /// Mains and batteries are gone for so many seconds.
    Outage(u64),
    /// Mains are gone for so many seconds, and the batteries carry.
    Blip(u64),
    /// Every UPS does that for so many seconds.
    Ups(Quirk, u64),
    /// A person stops the cluster with Ananke, and wants it to be down for so many seconds at least.
    Shutdown(u64),
    /// Ananke dies, and is started again so many seconds later.
    Kill(u64),
    /// Another Ananke starts the cluster too.
    Peer,
    /// Somebody has a dry run look.
    Look,
    /// Nothing can be written on Ananke's disk for so many seconds.
    DiskFull(u64),
    /// Ananke's own clock is set so many seconds ahead of what it was, or back.
    Clock(i64),
    Cordon(usize),
    Uncordon(usize),
    /// A person takes the taint of Ananke off a node.
    Lift(usize),
    /// A person confirms that a node is off, if it is.
    ConfirmOff(usize),
    Reboot(usize),
    Suspend(String),
    Resume(String),
    /// `namespace/name`
    Scale(String, u32),
    DeletePod(String),
}

impl Story {
    /// Where it begins.
    ///
    /// # Errors
    /// If there is no such scenario.
    pub fn scenario(&self) -> Result<Scenario, String> {
        let scenario = Scenario::named(&self.scenario).ok_or_else(|| format!("there is no scenario {:?}", self.scenario))?;
        Ok(scenario.with_nodes(self.nodes).with_servers(self.servers))
    }

    /// The world that it begins in, before the first step.
    ///
    /// # Errors
    /// If there is no such scenario.
    pub fn world(&self) -> Result<World, String> {
        let mut world = World::new(&self.scenario()?, self.seed);
        self.gear.iter().for_each(|gear| gear.shapes(&mut world));
        Ok(world)
    }

    pub fn has(&self, gear: Gear) -> bool {
        self.gear.contains(&gear)
    }

    /// The same without what a change made impossible, in the order of time.
    pub(super) fn tidy(mut self) -> Self {
        self.steps.sort_by_key(|step| step.at);
        self.servers = self.servers.min(self.nodes);
        self.gear.sort_unstable();
        self.gear.dedup();
        self
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}", self.seed)?;
        writeln!(f, "world {} nodes {} servers {}", self.scenario, self.nodes, self.servers)?;
        if !self.gear.is_empty() {
            write!(f, "site")?;
            self.gear.iter().try_for_each(|gear| write!(f, " {gear}"))?;
            writeln!(f)?;
        }
        for Step { at, act } in &self.steps {
            writeln!(f, "{:>3}:{:02} {act}", at / 60, at % 60)?;
        }
        writeln!(f, "{:>3}:{:02} calm", self.calm / 60, self.calm % 60)
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault { fault, node, lasts } => {
                write!(f, "fault {fault}")?;
                if let Some(node) = node {
                    write!(f, " node {node}")?;
                }
                if let Some(lasts) = lasts {
                    write!(f, " for {lasts}")?;
                }
                Ok(())
            }
            Self::Outage(span) => write!(f, "outage for {span}"),
            Self::Blip(span) => write!(f, "blip for {span}"),
            Self::Ups(quirk, span) => {
                let word = QUIRKS.iter().find(|(_, of)| of == quirk).map_or("", |(word, _)| word);
                write!(f, "ups {word} for {span}")
            }
            Self::Shutdown(span) => write!(f, "shutdown for {span}"),
            Self::Kill(span) => write!(f, "kill for {span}"),
            Self::Peer => write!(f, "peer"),
            Self::Look => write!(f, "look"),
            Self::DiskFull(span) => write!(f, "disk-full for {span}"),
            Self::Clock(by) => write!(f, "clock {by}"),
            Self::Cordon(node) => write!(f, "cordon node {node}"),
            Self::Uncordon(node) => write!(f, "uncordon node {node}"),
            Self::Lift(node) => write!(f, "lift node {node}"),
            Self::ConfirmOff(node) => write!(f, "confirm-off node {node}"),
            Self::Reboot(node) => write!(f, "reboot node {node}"),
            Self::Suspend(name) => write!(f, "suspend {name}"),
            Self::Resume(name) => write!(f, "resume {name}"),
            Self::Scale(workload, replicas) => write!(f, "scale {workload} {replicas}"),
            Self::DeletePod(workload) => write!(f, "delete-pod {workload}"),
        }
    }
}

/// A line of a trace that says nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, {found:?}, is none of a story: {wanted}")]
pub struct NotAStory {
    line: usize,
    found: String,
    wanted: &'static str,
}

impl FromStr for Story {
    type Err = NotAStory;

    /// Empty lines and those that begin with `#` are left out.
    fn from_str(text: &str) -> Result<Self, NotAStory> {
        let (mut seed, mut world, mut gear, mut steps, mut calm) = (None, None, Vec::new(), Vec::new(), None);
        for (at, line) in text.lines().enumerate() {
            let wrong = |wanted| NotAStory { line: at.saturating_add(1), found: line.chars().take(80).collect(), wanted };
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                [] => {}
                [first, ..] if first.starts_with('#') => {}
                ["seed", number] => seed = Some(number.parse().map_err(|_| wrong("a seed is a number"))?),
                ["world", scenario, "nodes", nodes, "servers", servers] => {
                    let fits =
                        |(nodes, servers): &(usize, usize)| (1..=MAX_NODES).contains(nodes) && (1..=*nodes).contains(servers);
                    let shape = number(nodes).zip(number(servers)).filter(fits);
                    let (nodes, servers) = shape.ok_or_else(|| wrong("servers are some of the nodes"))?;
                    world = Some(((*scenario).to_owned(), nodes, servers));
                }
                ["site", words @ ..] => {
                    let named = words.iter().map(|word| Gear::parse(word).ok_or_else(|| wrong("a site has no such thing")));
                    gear = named.collect::<Result<_, _>>()?;
                }
                [time, "calm"] => calm = Some(moment(time).ok_or_else(|| wrong("a time is minutes:seconds, within a day"))?),
                [time, act @ ..] => {
                    let at = moment(time).ok_or_else(|| wrong("a step begins with its time, minutes:seconds, within a day"))?;
                    steps.push(Step { at, act: Act::of(act).ok_or_else(|| wrong("there is no such step"))? });
                }
            }
        }
        let missing = |wanted| NotAStory { line: text.lines().count(), found: String::new(), wanted };
        let (scenario, nodes, servers) = world.ok_or_else(|| missing("`world SCENARIO nodes N servers N` is missing"))?;
        let seed = seed.ok_or_else(|| missing("`seed N` is missing"))?;
        let calm = calm.ok_or_else(|| missing("it ends with `MINUTES:SECONDS calm`"))?;
        Ok(Self { seed, scenario, nodes, servers, gear, steps, calm }.tidy())
    }
}

impl Act {
    pub fn fault(&self) -> Option<Fault> {
        if let Self::Fault { fault, .. } = self { Some(*fault) } else { None }
    }

    /// In seconds; what stays has no end of its own.
    pub(super) fn lasts(&self) -> u64 {
        match self {
            Self::Fault { lasts, .. } => lasts.unwrap_or(0),
            Self::Outage(span)
            | Self::Blip(span)
            | Self::Ups(_, span)
            | Self::Shutdown(span)
            | Self::Kill(span)
            | Self::DiskFull(span) => *span,
            Self::Peer
            | Self::Look
            | Self::Clock(_)
            | Self::Cordon(_)
            | Self::Uncordon(_)
            | Self::Lift(_)
            | Self::ConfirmOff(_)
            | Self::Reboot(_)
            | Self::Suspend(_)
            | Self::Resume(_)
            | Self::Scale(..)
            | Self::DeletePod(_) => 0,
        }
    }

    fn of(words: &[&str]) -> Option<Self> {
        match words {
            ["fault", id, rest @ ..] => {
                let fault = Fault::parse(id)?;
                let (node, rest) = match rest {
                    ["node", node, rest @ ..] => (Some(number(node)?), rest),
                    rest => (None, rest),
                };
                let lasts = match rest {
                    [] => None,
                    ["for", lasts] => Some(span(lasts)?),
                    _ => return None,
                };
                Some(Self::Fault { fault, node, lasts })
            }
            ["outage", "for", lasts] => span(lasts).map(Self::Outage),
            ["blip", "for", lasts] => span(lasts).map(Self::Blip),
            ["ups", word, "for", lasts] => {
                let quirk = QUIRKS.iter().find(|(of, _)| of == word)?.1;
                span(lasts).map(|lasts| Self::Ups(quirk, lasts))
            }
            ["shutdown", "for", lasts] => span(lasts).map(Self::Shutdown),
            ["kill", "for", lasts] => span(lasts).map(Self::Kill),
            ["disk-full", "for", lasts] => span(lasts).map(Self::DiskFull),
            ["peer"] => Some(Self::Peer),
            ["look"] => Some(Self::Look),
            ["clock", by] => by.parse().ok().filter(|by: &i64| by.unsigned_abs() <= FARTHEST).map(Self::Clock),
            ["cordon", "node", node] => number(node).map(Self::Cordon),
            ["uncordon", "node", node] => number(node).map(Self::Uncordon),
            ["lift", "node", node] => number(node).map(Self::Lift),
            ["confirm-off", "node", node] => number(node).map(Self::ConfirmOff),
            ["reboot", "node", node] => number(node).map(Self::Reboot),
            ["suspend", name] => Some(Self::Suspend((*name).to_owned())),
            ["resume", name] => Some(Self::Resume((*name).to_owned())),
            ["scale", workload, replicas] => {
                replicas.parse().ok().filter(|n| *n <= 100).map(|n| Self::Scale((*workload).to_owned(), n))
            }
            ["delete-pod", workload] => Some(Self::DeletePod((*workload).to_owned())),
            _ => None,
        }
    }
}

fn number(text: &str) -> Option<usize> {
    text.parse().ok()
}

fn span(text: &str) -> Option<u64> {
    text.parse().ok().filter(|span| *span <= LONGEST)
}

fn moment(text: &str) -> Option<u64> {
    let (minutes, seconds) = text.split_once(':')?;
    let (minutes, seconds): (u64, u64) = (minutes.parse().ok()?, seconds.parse().ok()?);
    minutes.checked_mul(60)?.checked_add(seconds).filter(|at| *at <= LONGEST && seconds < 60)
}

impl TryFrom<String> for Story {
    type Error = NotAStory;
    fn try_from(text: String) -> Result<Self, NotAStory> {
        text.parse()
    }
}

impl From<Story> for String {
    fn from(story: Story) -> Self {
        story.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story_is_a_text_that_can_be_read_back() {
        let text = "seed 7\n\
                    world power-loss nodes 12 servers 3\n\
                    site daemon mirror hands\n\
                    \x20 0:00 fault never-boots node 7\n\
                    \x20 0:30 fault api-hangs for 25\n\
                    \x20 1:05 cordon node 3\n\
                    \x20 2:00 kill for 20\n\
                    \x20 2:10 clock -90\n\
                    \x20 3:00 scale media/sonarr 2\n\
                    \x20 4:00 ups silent for 90\n\
                    \x20 5:00 shutdown for 300\n\
                    \x2020:00 calm\n";
        let story: Story = format!("# what it shows\n\n{text}").parse().unwrap();
        assert_eq!(story.to_string(), text);
        assert_eq!(serde_json::from_str::<Story>(&serde_json::to_string(&story).unwrap()).unwrap(), story);
    }

    #[test]
    fn whatever_is_drawn_can_be_read_back() {
        for seed in 0..300 {
            let story = super::super::draw(seed);
            assert_eq!(story.to_string().parse(), Ok(story), "seed {seed}");
        }
    }

    #[test]
    fn what_is_no_story_is_told_by_its_line() {
        for (text, wanted) in [
            ("", "line 0, \"\", is none of a story: `world SCENARIO nodes N servers N` is missing"),
            ("seed x", "line 1, \"seed x\", is none of a story: a seed is a number"),
            (
                "world a nodes 2 servers 3",
                "line 1, \"world a nodes 2 servers 3\", is none of a story: servers are some of the nodes",
            ),
            ("0:00 dance", "line 1, \"0:00 dance\", is none of a story: there is no such step"),
            ("0:77 calm", "line 1, \"0:77 calm\", is none of a story: a time is minutes:seconds, within a day"),
            ("seed 1\nworld a nodes 1 servers 1", "line 2, \"\", is none of a story: it ends with `MINUTES:SECONDS calm`"),
        ] {
            assert_eq!(text.parse::<Story>().unwrap_err().to_string(), wanted, "{text:?}");
        }
    }
}
