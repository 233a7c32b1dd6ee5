//! A recorded timeline: what was done, and what was seen of each object.

use std::collections::{BTreeMap, BTreeSet};

use ananke_sim::Ms;
use serde_json::Value;

use super::shown::{self, State};

/// Kind and name.
pub(crate) type Id = (String, String);

/// One state of an object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    pub(crate) at: Ms,
    /// It was so at this time, since whenever: the watch began then.
    pub(crate) by_then: bool,
    /// None: the object is gone.
    pub(crate) state: Option<State>,
}

/// Histories by the real names of their objects.
pub(crate) type Histories = BTreeMap<Id, Vec<Seen>>;

pub(crate) struct Recording {
    pub(crate) dos: Vec<(Ms, String)>,
    pub(crate) events: Vec<Event>,
}

pub(crate) struct Event {
    at: Ms,
    what: What,
    pub(crate) id: Id,
    pub(crate) state: State,
}

#[derive(Clone, Copy, PartialEq)]
enum What {
    /// How it is at the start.
    Start,
    Added,
    Modified,
    Deleted,
}

pub(crate) fn parse(text: &str) -> Recording {
    let mut recording = Recording { dos: Vec::new(), events: Vec::new() };
    for line in text.lines().filter(|line| !line.is_empty()) {
        let line: Value = serde_json::from_str(line).unwrap();
        let at = tenths(&line["t"]) * 100;
        if let Some(what) = line["do"].as_str() {
            recording.dos.push((at, what.to_owned()));
            continue;
        }
        let what = match line["event"].as_str().unwrap() {
            "STATE" => What::Start,
            "ADDED" => What::Added,
            "MODIFIED" => What::Modified,
            "DELETED" => What::Deleted,
            "ERROR" => continue,
            other => panic!("an event {other} in the recording"),
        };
        let word = |field: &str| line[field].as_str().unwrap().to_owned();
        let id = (word("kind"), word("name"));
        recording.events.push(Event { at, what, state: shown::recorded(&id.0, &line), id });
    }
    recording
}

/// The recorder wrote tenths of seconds.
fn tenths(seconds: &Value) -> Ms {
    let (whole, part) = seconds.to_string().split_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    whole.parse::<Ms>().unwrap() * 10 + part.parse::<Ms>().unwrap()
}

impl Recording {
    /// How it was at the start.
    pub(crate) fn start(&self) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(|event| event.what == What::Start)
    }

    pub(crate) fn histories(&self) -> Histories {
        let listed: BTreeSet<&str> = self.start().map(|event| event.id.0.as_str()).collect();
        let mut histories = Histories::new();
        for Event { at, what, id, state } in &self.events {
            let history = histories.entry(id.clone()).or_default();
            // An object that was not there at the start is new if its kind was listed then, else its watch has just begun.
            let began = match what {
                What::Start => true,
                What::Added if history.is_empty() => !listed.contains(id.0.as_str()),
                What::Added => history.iter().all(|seen| seen.by_then),
                What::Modified | What::Deleted => false,
            };
            let state = (*what != What::Deleted).then(|| state.clone());
            if history.last().is_none_or(|last| last.state != state) {
                history.push(Seen { at: *at, by_then: began, state });
            }
        }
        histories
    }
}
