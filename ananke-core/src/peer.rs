//! Two Anankes of one cluster: a peer hands what its power asks for to the coordinator, and acts itself only where that one
//! cannot.
//!
//! What a peer wants is its intent, written before it asks anybody: while that says that the cluster is to be down, the
//! coordinator starts nothing (gate `guards`).

use std::sync::Arc;
use std::time::Duration;

use crate::intent::{Intent, IntentState};
use crate::name::{Moment, human};
use crate::phase;
use crate::port::{Clock, PeerActions, PeerReads, PeerRequest, PortError};
use crate::spec::Spec;

/// Between two looks at how the other one gets on.
const LOOK: Duration = Duration::from_secs(5);
/// The other one has begun by then, or has stopped wanting it.
const BEGINS: Duration = Duration::from_secs(30);
/// Silent for this long, it counts as gone: it may have lost its power first.
const SILENT: Duration = Duration::from_secs(30);

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handed {
    /// This one has it.
    To(Arc<str>),
    /// This one lives and does not want it: a person or its own facts have decided.
    Refused { by: Arc<str>, why: String },
    /// None of them has it; what was tried.
    Nobody { tried: String },
}

/// Asks them in this order until one has decided.
pub async fn hand(actions: &dyn PeerActions, peers: &[Arc<str>], request: PeerRequest) -> Handed {
    let mut tried: Vec<String> = Vec::new();
    for peer in peers {
        match actions.ask(peer, request).await {
            Ok(answer) if answer.taken => return Handed::To(peer.clone()),
            Ok(answer) => return Handed::Refused { by: peer.clone(), why: answer.text },
            Err(error) => tried.push(error.to_string()),
        }
    }
    let tried =
        if tried.is_empty() { "there is no other Ananke in coordination.peer_hosts".to_owned() } else { tried.join("; ") };
    Handed::Nobody { tried }
}

/// Hands a start-up over, trying for as long as `wait` while none is heard. One that lives, and whose daemon does not take
/// it, is not gone: that is a person's matter.
pub async fn hand_startup(
    actions: &dyn PeerActions,
    reads: &dyn PeerReads,
    clock: &dyn Clock,
    peers: &[Arc<str>],
    wait: Duration,
) -> Handed {
    let until = clock.now().plus(wait);
    loop {
        let handed = hand(actions, peers, PeerRequest::Startup).await;
        let Handed::Nobody { tried } = &handed else { return handed };
        for peer in peers {
            if reads.intent(peer).await.is_ok() {
                return Handed::Refused { by: peer.clone(), why: format!("it lives, and takes no request: {tried}") };
            }
        }
        let now = clock.now();
        if now >= until {
            return handed;
        }
        clock.sleep_until(now.plus(LOOK)).await;
    }
}

/// For how long a shutdown elsewhere is relied upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// What power here gives it.
    pub within: Option<Duration>,
    /// Its intent may stand as it is for this long: whoever is at it renews it, and nobody is without an end.
    pub whole: Duration,
}

impl Patience {
    /// Nothing takes longer than all phases together, each with the whole of its patience.
    pub fn of(spec: &Spec, within: Option<Duration>) -> Self {
        Self { within, whole: phase::SHUTDOWN.iter().map(|row| spec.deadline(row.id)).sum() }
    }
}

/// What became of a shutdown elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Followed {
    Done,
    /// Power here asks for it no more.
    Unwanted,
    /// Why it is not relied upon any more.
    Doubted(String),
}

/// Looks on while `peer` shuts the cluster down, as long as that `is_wanted` here.
pub async fn follow_shutdown(
    reads: &dyn PeerReads,
    clock: &dyn Clock,
    peer: &str,
    patience: Patience,
    is_wanted: impl Fn() -> bool,
) -> Followed {
    let asked = clock.now();
    let (mut heard, mut moved, mut newest, mut began) = (asked, asked, None, false);
    loop {
        let told = reads.intent(peer).await;
        let now = clock.now();
        match told {
            Ok(intent) => {
                heard = now;
                match intent.as_ref().map(|intent| intent.state) {
                    Some(IntentState::ShutdownComplete) => return Followed::Done,
                    Some(IntentState::ShuttingDown) => began = true,
                    Some(IntentState::Normal | IntentState::StartupInProgress) | None if began || now.since(asked) >= BEGINS => {
                        return Followed::Doubted(format!("{peer} does not shut the cluster down"));
                    }
                    Some(IntentState::Normal | IntentState::StartupInProgress) | None => {}
                }
                if intent != newest {
                    (moved, newest) = (now, intent);
                }
            }
            Err(error) if now.since(heard) >= SILENT => {
                return Followed::Doubted(format!("{peer} was not heard for {}: {error}", human(SILENT)));
            }
            Err(_) => {}
        }
        if !is_wanted() {
            return Followed::Unwanted;
        }
        if let Some(within) = patience.within.filter(|within| now.since(asked) >= *within) {
            return Followed::Doubted(format!("{peer} has not shut the cluster down within {}", human(within)));
        }
        if now.since(moved) >= patience.whole {
            return Followed::Doubted(format!("the intent of {peer} has stood as it is for {}", human(patience.whole)));
        }
        clock.sleep_until(now.plus(LOOK)).await;
    }
}

/// Whether another Ananke keeps the cluster down, as far as it tells; an intent older than `max_age` does not count.
pub fn keeps_down(told: &Result<Option<Intent>, PortError>, max_age: Duration, now: Moment) -> bool {
    let Ok(Some(intent)) = told else { return false };
    intent.state == IntentState::ShuttingDown && now.since(intent.at) <= max_age
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use futures::FutureExt;

    use super::*;
    use crate::name::RunId;
    use crate::port::clock::Uptime;
    use crate::port::{ErrorKind, PeerAnswer};

    const START: Moment = Moment::from_millis(1_773_453_971_000);

    /// What is said from which second on: `-` is silence.
    type Says = &'static [(u64, &'static str)];

    /// The other one, by the seconds that have passed.
    struct Other {
        says: Says,
        now: Mutex<Moment>,
    }

    impl Other {
        fn new(says: Says) -> Self {
            Self { says, now: Mutex::new(START) }
        }

        fn word(&self) -> &'static str {
            let passed = self.now().since(START).as_secs();
            self.says.iter().rev().find(|(from, _)| *from <= passed).map_or("-", |(_, word)| word)
        }

        fn silent(&self, peer: &str) -> PortError {
            PortError::new(ErrorKind::Transient, "connect", peer, "no route to host")
        }

        /// Within so many seconds, if that is known; power here asks for it for the first so many.
        fn followed(&self, within: Option<u64>, wanted: u64) -> String {
            let patience = Patience { within: within.map(Duration::from_secs), whole: Duration::from_secs(2400) };
            let took = || self.now().since(START).as_secs();
            let followed = follow_shutdown(self, self, "titan-db", patience, || took() < wanted).now_or_never().unwrap();
            let followed = match followed {
                Followed::Done => "done".to_owned(),
                Followed::Unwanted => "unwanted".to_owned(),
                Followed::Doubted(why) => why,
            };
            format!("{}: {followed}", took())
        }
    }

    #[async_trait]
    impl Clock for Other {
        fn now(&self) -> Moment {
            *self.now.lock().unwrap()
        }

        fn uptime(&self) -> Option<Uptime> {
            None
        }

        async fn sleep_until(&self, until: Moment) {
            *self.now.lock().unwrap() = until;
        }
    }

    #[async_trait]
    impl PeerReads for Other {
        async fn intent(&self, peer: &str) -> Result<Option<Intent>, PortError> {
            let state = match self.word() {
                "down" => IntentState::ShutdownComplete,
                "stops" | "goes on" => IntentState::ShuttingDown,
                "normal" => IntentState::Normal,
                _ => return Err(self.silent(peer)),
            };
            let run = RunId::parse("shutdown-1").unwrap();
            let at = if self.word() == "goes on" { START.plus(Duration::from_secs(1000)) } else { START };
            Ok(Some(Intent { state, run, at, reason: "battery".to_owned(), by_power: true, of: None }))
        }
    }

    /// The first that answers decides.
    struct Desk;

    #[async_trait]
    impl PeerActions for Desk {
        async fn ask(&self, peer: &str, _: PeerRequest) -> Result<PeerAnswer, PortError> {
            match peer {
                "dark" => Err(PortError::new(ErrorKind::Transient, "connect", peer, "no route to host")),
                name => Ok(PeerAnswer { taken: name == "willing", text: "it is paused".to_owned() }),
            }
        }
    }

    #[test]
    fn the_first_that_decides_has_it() {
        let handed = |peers: &[&str]| {
            let peers: Vec<Arc<str>> = peers.iter().map(|peer| (*peer).into()).collect();
            hand(&Desk, &peers, PeerRequest::Startup).now_or_never().unwrap()
        };
        assert_eq!(handed(&["dark", "willing"]), Handed::To("willing".into()));
        assert_eq!(handed(&["paused", "willing"]), Handed::Refused { by: "paused".into(), why: "it is paused".to_owned() });
        assert_eq!(handed(&["dark"]), Handed::Nobody { tried: "connect on dark: no route to host".to_owned() });
        assert!(matches!(handed(&[]), Handed::Nobody { .. }));
    }

    #[test]
    fn a_shutdown_elsewhere_is_followed_until_it_is_over_or_in_doubt() {
        let cases: [(Says, &str); 6] = [
            (&[(0, "down")], "0: done"),
            (&[(0, "normal"), (10, "stops"), (200, "down")], "200: done"),
            (&[(0, "stops"), (20, "-"), (45, "stops"), (100, "down")], "100: done"),
            (&[(0, "normal")], "30: titan-db does not shut the cluster down"),
            (&[(0, "stops"), (60, "normal")], "60: titan-db does not shut the cluster down"),
            (&[(0, "stops"), (60, "-")], "85: titan-db was not heard for 30s: connect on titan-db: no route to host"),
        ];
        for (says, expected) in cases {
            assert_eq!(Other::new(says).followed(None, u64::MAX), expected, "{says:?}");
        }
    }

    #[test]
    fn a_shutdown_elsewhere_is_not_followed_without_end() {
        let stands = "the intent of titan-db has stood as it is for 40m00s";
        let late = "titan-db has not shut the cluster down within 10m00s";
        let cases: [(Says, Option<u64>, u64, String); 5] = [
            (&[(0, "stops")], None, u64::MAX, format!("2400: {stands}")),
            (&[(0, "stops"), (1000, "goes on")], None, u64::MAX, format!("3400: {stands}")),
            (&[(0, "stops"), (1000, "goes on")], Some(600), u64::MAX, format!("600: {late}")),
            (&[(0, "stops")], Some(600), 200, "200: unwanted".to_owned()),
            (&[(0, "stops"), (200, "down")], Some(600), 200, "200: done".to_owned()),
        ];
        for (says, within, wanted, expected) in cases {
            assert_eq!(Other::new(says).followed(within, wanted), expected, "{says:?} within {within:?}");
        }
    }

    #[test]
    fn no_shutdown_has_more_patience_than_its_phases() {
        let spec = crate::gate::testing::Bench::new(1).spec;
        let patience = Patience::of(&spec, None);
        assert!(patience.whole > Duration::from_secs(1200) && patience.whole < Duration::from_secs(3600), "{patience:?}");
    }

    #[test]
    fn a_start_up_is_taken_over_from_one_that_is_silent_and_never_from_one_that_lives() {
        let handed = |says, wait| {
            let other = Other::new(says);
            let peers = ["dark".into()];
            let handed = hand_startup(&Desk, &other, &other, &peers, Duration::from_secs(wait)).now_or_never().unwrap();
            (matches!(handed, Handed::Nobody { .. }), other.now().since(START).as_secs())
        };
        assert_eq!(handed(&[], 0), (true, 0));
        assert_eq!(handed(&[], 60), (true, 60));
        assert_eq!(handed(&[(20, "normal")], 60), (false, 20), "it came up");
    }

    #[test]
    fn an_old_wish_keeps_nothing_down() {
        let other = Other::new(&[(0, "stops")]);
        let told = other.intent("tethys").now_or_never().unwrap();
        let hour = Duration::from_secs(3600);
        assert!(keeps_down(&told, hour, START.plus(hour)));
        assert!(!keeps_down(&told, hour, START.plus(hour * 2)));
        assert!(!keeps_down(&Ok(None), hour, START) && !keeps_down(&Err(other.silent("tethys")), hour, START));
    }
}
