//! What one daemon owes another: a peer hands what its power asks for to the coordinator, and neither starts what the other
//! keeps down.

use std::cell::Cell;
use std::time::Duration;

use ananke_core::engine;
use ananke_core::intent::{Intent, IntentState};
use ananke_core::name::Moment;
use ananke_core::peer::{Followed, Handed, Patience, follow_shutdown, hand, hand_startup, keeps_down};
use ananke_core::port::{Clock, PeerReads, PeerRequest, PortError, StateReads, StateWrites};
use ananke_core::spec::{Role, Spec};
use futures::FutureExt;

use super::power::Came;
use super::{Stop, for_shutdown, fresh, say, unless};
use crate::commands::walk;
use crate::config::Loaded;
use crate::state::lock;
use crate::wire::{Adapters, Failure};

/// What power here says of a shutdown that another Ananke was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Wants {
    /// It still asks for one.
    pub(super) asks: bool,
    /// Mains are back for good.
    pub(super) is_back: bool,
}

/// The power of a peer ends: the coordinator is to shut the cluster down, and this host does it where that one cannot.
pub(super) async fn shut_down(
    (loaded, daemon): (&Loaded, &Adapters),
    why: &str,
    within: Duration,
    wants: &Cell<Wants>,
    stop: &Stop,
) -> Result<Came, Failure> {
    let (adapters, spec) = (for_shutdown(loaded, daemon).await?, &loaded.spec);
    let clock = adapters.clock.steady();
    let asked = clock.now();
    if let Err(error) = want(&adapters, spec, IntentState::ShuttingDown, why).await {
        say(adapters.clock.now(), "failed", &format!("others cannot read that the cluster is to be down: {error}"));
    }
    let doubt = match unless(stop, by_another(&adapters, spec, within, wants)).await {
        Some(Err(doubt)) => doubt,
        Some(Ok(came)) => return Ok(came),
        None => return Ok(Came::stopped()),
    };
    if !loaded.alone.shutdown {
        return Ok(Came::NotYet(format!(
            "nobody shuts the cluster down, and coordination.fallback_local_shutdown is off: {doubt}"
        )));
    }
    // The other one was asked and followed for a while.
    if !wants.get().asks {
        return Ok(Came::NotYet(format!("power does not ask for it any more: {doubt}")));
    }
    say(adapters.clock.now(), "shuts down from here", &doubt);
    let spec = spec.for_power(within.saturating_sub(clock.now().since(asked)));
    walk::shut_down(spec, &adapters, why, true, stop.clone().boxed()).await.map(Came::ran)
}

/// Hands the shutdown on, and follows it; `Err` is why this host is to do it itself.
async fn by_another(adapters: &Adapters, spec: &Spec, within: Duration, wants: &Cell<Wants>) -> Result<Came, String> {
    match hand(&adapters.peers, &spec.peers, PeerRequest::Shutdown { within: Some(within) }).await {
        Handed::To(by) => {
            let patience = Patience::of(spec, Some(within));
            let clock = adapters.clock.steady();
            match follow_shutdown(&adapters.peers, &clock, &by, patience, || !wants.get().is_back).await {
                Followed::Done => Ok(Came::Elsewhere(format!("{by} has shut the cluster down"))),
                Followed::Unwanted => Ok(Came::NotYet(format!("power is back here, and {by} is not waited for"))),
                Followed::Doubted(doubt) => Err(doubt),
            }
        }
        Handed::Refused { by, why } => Ok(Came::NotYet(format!("{by} does not shut the cluster down: {why}"))),
        Handed::Nobody { tried } => Err(tried),
    }
}

/// The power of a peer is back: the coordinator is to start the cluster.
pub(super) async fn start_up((loaded, daemon): (&Loaded, &Adapters), why: &str, stop: &Stop) -> Result<Came, Failure> {
    let (adapters, mut spec) = (fresh(loaded, daemon).await?, loaded.spec.clone());
    // From here on this host keeps nothing down.
    want(&adapters, &spec, IntentState::ShutdownComplete, why).await?;
    let wait = if loaded.alone.startup { spec.guard_wait } else { Duration::ZERO };
    let clock = adapters.clock.steady();
    let handed = unless(stop, hand_startup(&adapters.peers, &adapters.peers, &clock, &spec.peers, wait)).await;
    let Some(handed) = handed else { return Ok(Came::stopped()) };
    let tried = match handed {
        Handed::To(by) => {
            want(&adapters, &spec, IntentState::Normal, why).await?;
            return Ok(Came::Elsewhere(format!("{by} starts the cluster")));
        }
        Handed::Refused { by, why } => return Ok(Came::NotYet(format!("{by} does not start the cluster: {why}"))),
        Handed::Nobody { tried } => tried,
    };
    if !loaded.alone.startup {
        let way = "`ananke startup --execute --auto-peer-failover` starts it from here";
        return Ok(Came::NotYet(format!("nobody starts the cluster; {way}: {tried}")));
    }
    // Power may have failed again meanwhile.
    if adapters.state.intent().await?.is_some_and(|intent| intent.state == IntentState::ShuttingDown) {
        return Ok(Came::NotYet("power failed again".to_owned()));
    }
    say(adapters.clock.now(), "starts up from here", &tried);
    spec.role = Role::Peer { allow_startup: true };
    walk::start_up(engine::startup_plan(), spec, &adapters, Some(why), stop.clone().boxed()).await.map(Came::ran)
}

/// What another Ananke keeps down, in one line. Where no UPS of our own tells of power, or a shutdown of another was seen, its
/// own word is needed.
pub(super) async fn kept_down(adapters: &Adapters, spec: &Spec) -> Result<Option<String>, PortError> {
    let now = adapters.clock.now();
    let seen = adapters.state.intent().await?.filter(is_anothers).and_then(|intent| intent.of);
    for peer in &spec.peers {
        let told = adapters.peers.intent(peer).await;
        if keeps_down(&told, spec.intent_max_age, now) {
            return Ok(Some(format!("{peer} keeps the cluster down, until its power is back")));
        }
        match (&told, &seen) {
            (Ok(Some(intent)), _) if intent.is_a_persons_stop(spec.intent_max_age, now) => {
                return Ok(Some(format!("a person shut the cluster down on {peer}")));
            }
            (Err(error), Some(host)) => {
                return Ok(Some(format!("{host} was seen to shut the cluster down, and {peer} does not answer: {error}")));
            }
            (Err(error), None) if spec.power.upses.is_empty() => {
                return Ok(Some(format!("no UPS is watched here, and {peer} does not tell of its own: {error}")));
            }
            (Ok(_) | Err(_), _) => {}
        }
    }
    match seen {
        Some(host) if spec.peers.is_empty() => Ok(Some(format!("{host} was seen to shut the cluster down"))),
        Some(_) => {
            want(adapters, spec, IntentState::ShutdownComplete, "another Ananke shut it down, and keeps it down no more").await?;
            Ok(None)
        }
        None => Ok(None),
    }
}

/// A shutdown that was seen in the cluster and is none of ours.
fn is_anothers(intent: &Intent) -> bool {
    intent.state == IntentState::ShuttingDown && intent.of.is_some()
}

/// Another one's power is back: a start-up is owed here, as if power had stopped the cluster from here.
pub(super) async fn owe_startup(adapters: &Adapters, spec: &Spec) -> Result<(), PortError> {
    let known = adapters.state.intent().await?;
    match known.as_ref().map(|intent| intent.state) {
        Some(IntentState::ShuttingDown) if !known.as_ref().is_some_and(is_anothers) => Ok(()),
        Some(IntentState::ShutdownComplete) => Ok(()),
        Some(IntentState::StartupInProgress) if lock::starts_up(&adapters.state) => Ok(()),
        // A start-up that died or failed is nobody's: nothing but this would begin it again.
        None | Some(IntentState::Normal | IntentState::ShuttingDown | IntentState::StartupInProgress) => {
            want(adapters, spec, IntentState::ShutdownComplete, "another Ananke shut it down; its power is back").await
        }
    }
}

/// Writes down what is wanted of the cluster, where every Ananke reads it.
async fn want(adapters: &Adapters, spec: &Spec, state: IntentState, why: &str) -> Result<(), PortError> {
    let known = adapters.state.intent().await.unwrap_or_default();
    let now = adapters.clock.now();
    if known.is_some_and(|known| stands(&known, state, spec.intent_max_age, now)) {
        return Ok(());
    }
    let by_power = state != IntentState::Normal;
    let intent = Intent { state, run: engine::run_id("power", now), at: now, reason: why.to_owned(), by_power, of: None };
    adapters.state.save_intent(&intent).await
}

/// Whether what is wanted now says it already. What a person stopped is not power's to start: it stays the person's.
fn stands(known: &Intent, wanted: IntentState, max_age: Duration, now: Moment) -> bool {
    let by_power = known.by_power && known.state == wanted;
    wanted != IntentState::Normal && (by_power || known.is_a_persons_stop(max_age, now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn power_does_not_make_a_persons_shutdown_its_own() {
        let (now, max_age) = (Moment::from_millis(1_773_453_971_000), Duration::from_secs(3600));
        let stands = |by_power: bool, wanted: IntentState| {
            let (state, run) = (IntentState::ShutdownComplete, engine::run_id("power", now));
            let known = Intent { state, run, at: now, reason: "maintenance".to_owned(), by_power, of: None };
            stands(&known, wanted, max_age, now)
        };
        assert!(stands(false, IntentState::ShuttingDown) && stands(false, IntentState::ShutdownComplete));
        assert!(!stands(false, IntentState::Normal), "the other Ananke was asked to start it");
        assert!(stands(true, IntentState::ShutdownComplete), "it is written down already");
        assert!(!stands(true, IntentState::ShuttingDown));
    }
}
