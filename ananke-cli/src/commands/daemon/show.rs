//! Shows and tells what the board knows: the server, and the sending of notices.

use std::collections::BTreeSet;
use std::time::Duration;

use ananke_core::name::Moment;
use ananke_core::notice::{Notice, Throttle, Told};
use ananke_core::port::Clock as _;
use futures::future::{Either, join, select};
use tokio::sync::mpsc;

use super::board::Board;
use super::{Until, news, say, server};
use crate::config::Loaded;
use crate::notify;
use crate::state::StateDir;

/// A daemon that is told to stop is waited for.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Beside the keepers, until they end; then the last notices have a moment to get out.
pub(super) async fn beside<T>(
    keepers: impl Future<Output = T>,
    loaded: &Loaded,
    board: &Board,
    sending: impl Future<Output = ()>,
    until: Until<'_>,
) -> T {
    let serve = async {
        if let Some(at) = loaded.listen {
            server::serve(at, board, &loaded.state_dir, until).await;
        }
    };
    let (keepers, shown) = (std::pin::pin!(keepers), std::pin::pin!(join(serve, sending)));
    match select(keepers, shown).await {
        Either::Left((kept, shown)) => {
            board.close();
            tokio::time::timeout(LAST_WORDS, shown).await.map(drop).unwrap_or_default();
            kept
        }
        Either::Right((_, keepers)) => keepers.await,
    }
}

/// What people were told before this daemon began; the end of a run is told again where another one may have come between.
pub(super) fn told_before(state: &StateDir, now: Moment) -> Told {
    let told = state.told().unwrap_or_else(|error| {
        say(now, "failed", &format!("what people were told cannot be read and may be told again: {error}"));
        Told::default()
    });
    told.taken_over(now, news::lasts)
}

/// Sends what the throttle lets through, until no notice can come any more. What was sent is noted after it is: a daemon
/// that dies between the two says it twice and not never.
pub(super) async fn send(loaded: &Loaded, state: &StateDir, board: &Board, mut notices: mpsc::Receiver<Notice>) {
    let mut throttle = Throttle::new(loaded.notify.per_hour, board.told_before.clone());
    let mut kept = Kept { state, told: board.told_before.clone(), is_failing: false };
    let mut failing = BTreeSet::new();
    loop {
        let clock = board.clock;
        let notice = match throttle.due() {
            None => match notices.recv().await {
                Some(notice) => throttle.take(notice, clock.now()),
                None => return,
            },
            Some(due) => tokio::select! {
                biased;
                notice = notices.recv() => match notice {
                    Some(notice) => throttle.take(notice, clock.now()),
                    None => return,
                },
                () = clock.sleep_until(due) => throttle.rest(clock.now()),
            },
        };
        let sent = match &notice {
            Some(notice) => notify::send(&loaded.notify, &loaded.spec.holder, notice, clock.now()).await,
            None => Vec::new(),
        };
        match notice {
            Some(notice) if sent.iter().all(Result::is_err) => throttle.failed(notice, clock.now()),
            Some(notice) => throttle.went_out(&notice, clock.now()),
            None => {}
        }
        for sent in sent {
            board.count(sent.as_ref().map_or_else(|unsent| unsent.channel.as_str(), String::as_str), sent.is_ok());
            match sent {
                Ok(channel) => {
                    if failing.remove(&channel) {
                        say(clock.now(), "over", &format!("{channel} takes notices again"));
                    }
                }
                Err(unsent) => {
                    if failing.insert(unsent.channel.clone()) {
                        say(clock.now(), "failed", &unsent.to_string());
                    }
                }
            }
        }
        kept.keep(throttle.told(), clock.now());
    }
}

/// What was told, as it is on disk.
struct Kept<'a> {
    state: &'a StateDir,
    told: Told,
    is_failing: bool,
}

impl Kept<'_> {
    fn keep(&mut self, told: &Told, now: Moment) {
        if self.told == *told {
            return;
        }
        let saved = self.state.save_told(told);
        if let Err(error) = &saved
            && !self.is_failing
        {
            say(now, "failed", &format!("what people were told cannot be noted, and a restarted daemon tells it again: {error}"));
        }
        self.is_failing = saved.is_err();
        self.told.clone_from(told);
    }
}
