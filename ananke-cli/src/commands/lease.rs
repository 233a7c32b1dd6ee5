//! `lease`: the cordons that Ananke placed, where they stand, and how they end.

use std::fmt::Write as _;

use ananke_core::engine::keeper::{self, Keeper, Listed, Listing, Released, Wish};
use ananke_core::lease::LeaseState;
use ananke_core::name::{LeaseId, Moment, NodeName, human};
use ananke_core::port::Clock;

use super::{fail, print};
use crate::args::Lease;
use crate::config::{Loaded, Overrides};
use crate::exit::Exit;
use crate::state::StateDir;
use crate::wire::{self, Adapters, Failure};

/// Settled leases that a list spells out; `-o json` has them all.
const SETTLED_SHOWN: usize = 10;

pub(super) async fn run(args: Lease) -> Result<Exit, Failure> {
    match args {
        Lease::List { config, output } => {
            let (listing, now) = listing(&load(&config.config)?).await?;
            print(output.output, &listing, |listing| text(listing, now))?;
            Ok(Exit::Done)
        }
        Lease::Show { what, config, output } => {
            let (mut listing, now) = listing(&load(&config.config)?).await?;
            let known = known(&listing);
            listing.leases.retain(|lease| names(lease, &what));
            if listing.leases.is_empty() {
                return Err(unknown(&what, &known, &listing.notes));
            }
            print(output.output, &listing, |listing| text(listing, now))?;
            Ok(Exit::Done)
        }
        Lease::Release { what, config, output } => {
            let loaded = load(&config.config)?;
            let adapters = Adapters::new(&loaded, StateDir::open(&loaded.state_dir)?).await?;
            let listing = keeper::list(&loaded.spec, adapters.reads()).await;
            let Some(wish) = wish(&what, &loaded, &listing) else {
                return Err(unknown(&what, &known(&listing), &listing.notes));
            };
            match Keeper::new(loaded.spec).release(adapters.reads(), adapters.hands(), &wish).await {
                Ok(released) => {
                    print(output.output, &released, told)?;
                    Ok(Exit::Done)
                }
                Err(error) => {
                    let way_out = error.remedy.clone().unwrap_or_else(|| way_out(&what, &listing));
                    Ok(fail(Exit::from(error.kind), &format!("{error}\n  {way_out}")))
                }
            }
        }
    }
}

fn load(config: &std::path::Path) -> Result<Loaded, Failure> {
    Ok(wire::load(config, &Overrides::default())?)
}

async fn listing(loaded: &Loaded) -> Result<(Listing, Moment), Failure> {
    let adapters = Adapters::new(loaded, StateDir::open_read_only(&loaded.state_dir)?).await?;
    let listing = keeper::list(&loaded.spec, adapters.reads()).await;
    Ok((listing, adapters.clock.now()))
}

fn names(lease: &Listed, what: &str) -> bool {
    lease.node.as_str() == what || lease.lease.as_ref().is_some_and(|id| id.as_str() == what)
}

/// A node of the config or of a lease, or the ID of a lease; a node's name goes first.
fn wish(what: &str, loaded: &Loaded, listing: &Listing) -> Option<Wish> {
    let node = NodeName::parse(what).ok().filter(|node| {
        let listed = listing.leases.iter().any(|lease| lease.node == *node);
        listed || loaded.spec.nodes.contains_key(node) || loaded.spec.ignored.contains(node)
    });
    let lease = || LeaseId::parse(what).ok().filter(|id| listing.leases.iter().any(|lease| lease.lease.as_ref() == Some(id)));
    node.map(Wish::Node).or_else(|| lease().map(Wish::Lease))
}

fn known(listing: &Listing) -> String {
    let names: Vec<String> = listing.leases.iter().map(one_name).collect();
    if names.is_empty() { "there are no leases".to_owned() } else { format!("there are {}", names.join(", ")) }
}

fn one_name(lease: &Listed) -> String {
    match &lease.lease {
        Some(id) => format!("{id} on {}", lease.node),
        None => lease.node.to_string(),
    }
}

fn unknown(what: &str, known: &str, notes: &[String]) -> Failure {
    let notes: String = notes.iter().map(|note| format!("\n  {note}")).collect();
    Failure::Usage(format!("{what:?} is no node with a lease and no lease; {known}{notes}"))
}

/// What a person can do who does not get what they asked for.
fn way_out(what: &str, listing: &Listing) -> String {
    let by_hand = listing.leases.iter().find(|lease| names(lease, what)).map(|lease| lease.remove_with.as_str());
    match by_hand {
        Some(command) => format!("try again, or remove it yourself: {command}"),
        None => "try again when the API answers".to_owned(),
    }
}

fn told(released: &Released) -> String {
    if released.done.is_empty() {
        return format!("{}: nothing of Ananke's stands there", released.node);
    }
    released.done.join("\n")
}

fn text(listing: &Listing, now: Moment) -> String {
    let mut out = String::new();
    let (open, settled): (Vec<&Listed>, Vec<&Listed>) = listing.leases.iter().partition(|lease| open(lease));
    if open.is_empty() {
        line(&mut out, "no node is cordoned by Ananke, and no lease is outstanding");
    }
    for lease in open {
        block(&mut out, lease, now);
    }
    if !settled.is_empty() {
        line(&mut out, "\nsettled:");
    }
    for lease in settled.iter().take(SETTLED_SHOWN) {
        let since = lease.acquired.map(|at| format!(", taken {at}")).unwrap_or_default();
        line(&mut out, &format!("  {}: {}{since}: {}", one_name(lease), word(lease.state), lease.reason));
    }
    let more = settled.len().saturating_sub(SETTLED_SHOWN);
    if more > 0 {
        line(&mut out, &format!("  and {more} more; `ananke lease list -o json` has them all"));
    }
    for note in &listing.notes {
        line(&mut out, &format!("note: {note}"));
    }
    out
}

/// It stands on a node, may do so, or waits for a person.
fn open(lease: &Listed) -> bool {
    lease.on_node == Some(true)
        || lease.manual.is_some()
        || match lease.state {
            Some(LeaseState::Intended | LeaseState::Held | LeaseState::Manual) | None => true,
            Some(LeaseState::Released | LeaseState::TakenAway) => false,
        }
}

fn word(state: Option<LeaseState>) -> &'static str {
    match state {
        Some(LeaseState::Intended) => "intended",
        Some(LeaseState::Held) => "held",
        Some(LeaseState::Released) => "released",
        Some(LeaseState::TakenAway) => "taken away",
        Some(LeaseState::Manual) => "needs a person",
        None => "not on disk",
    }
}

fn block(out: &mut String, lease: &Listed, now: Moment) {
    let until = match lease.expires {
        // A mark for a person has no end of its own.
        _ if lease.state == Some(LeaseState::Manual) => String::new(),
        None => String::new(),
        Some(at) if now >= at => format!(", OVERDUE since {at} ({})", human(now.since(at))),
        Some(at) if lease.expired => format!(", OVERDUE: it was to last until {at}"),
        Some(at) => format!(", until {at} (in {})", human(at.since(now))),
    };
    line(out, &format!("{}: {}{until}: {}", lease.node, word(lease.state), lease.reason));
    let id = lease.lease.as_ref().map_or("none".to_owned(), ToString::to_string);
    let since = lease.acquired.map(|at| format!(" since {at}")).unwrap_or_default();
    line(out, &format!("  lease      {id}, of {}{since}", lease.holder));
    let stands = match lease.on_node {
        Some(true) => "carries the taint",
        Some(false) => "carries no taint of it",
        None => "not known: the nodes could not be read",
    };
    line(out, &format!("  node       {stands}"));
    if let Some(sentence) = &lease.manual {
        line(out, &format!("  a person   {sentence}"));
    }
    line(out, &format!("  give back  ananke lease release {}", lease.node));
    line(out, &format!("  without    {}", lease.remove_with));
}

fn line(out: &mut String, text: &str) {
    // Writing to a String cannot fail.
    writeln!(out, "{text}").unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ananke_core::lease::Purpose;

    use super::*;

    fn lease(node: &str, state: Option<LeaseState>) -> Listed {
        let at = Moment::parse("2026-03-14T02:00:00Z").unwrap();
        Listed {
            node: NodeName::parse(node).unwrap(),
            lease: LeaseId::parse(&format!("l-{node}")).ok(),
            state,
            purpose: Purpose::Repair,
            holder: "titan-db".to_owned(),
            reason: "the kubelet is stuck".to_owned(),
            acquired: Some(at),
            expires: Some(at.plus(Duration::from_secs(3600))),
            expired: false,
            on_node: Some(true),
            manual: None,
            remove_with: "kubectl taint".to_owned(),
        }
    }

    #[test]
    fn a_list_says_of_each_lease_where_it_stands_and_how_it_ends() {
        let now = Moment::parse("2026-03-14T03:10:00Z").unwrap();
        let mut released = lease("n3", Some(LeaseState::Released));
        released.on_node = Some(false);
        let mut manual = lease("n1", Some(LeaseState::Manual));
        manual.manual = Some("look at n1".to_owned());
        let notes = vec!["the API did not answer".to_owned()];
        let listing = Listing { leases: vec![manual, lease("n2", None), released], notes };
        expect_test::expect![[r#"
            n1: needs a person: the kubelet is stuck
              lease      l-n1, of titan-db since 2026-03-14T02:00:00.000Z
              node       carries the taint
              a person   look at n1
              give back  ananke lease release n1
              without    kubectl taint
            n2: not on disk, OVERDUE since 2026-03-14T03:00:00.000Z (10m00s): the kubelet is stuck
              lease      l-n2, of titan-db since 2026-03-14T02:00:00.000Z
              node       carries the taint
              give back  ananke lease release n2
              without    kubectl taint

            settled:
              l-n3 on n3: released, taken 2026-03-14T02:00:00.000Z: the kubelet is stuck
            note: the API did not answer
        "#]]
        .assert_eq(&text(&listing, now));
        let none = Listing { leases: Vec::new(), notes: Vec::new() };
        assert_eq!(text(&none, now), "no node is cordoned by Ananke, and no lease is outstanding\n");
    }
}
