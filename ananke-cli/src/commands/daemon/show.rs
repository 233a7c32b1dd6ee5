//! Shows and tells what the board knows: the server, and the sending of notices.

use std::collections::BTreeSet;
use std::time::Duration;

use ananke_core::notice::{Notice, Throttle};
use ananke_core::port::Clock as _;
use futures::future::{Either, join, select};
use tokio::sync::mpsc;

use super::board::Board;
use super::{Until, say, server};
use crate::config::Loaded;
use crate::notify;

/// A daemon that is told to stop is waited for.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Beside the keepers, until they end; then the last notices have a moment to get out.
pub(super) async fn beside<T>(
    keepers: impl Future<Output = T>,
    loaded: &Loaded,
    board: &Board,
    notices: mpsc::Receiver<Notice>,
    until: Until<'_>,
) -> T {
    let serve = async {
        if let Some(at) = loaded.listen {
            server::serve(at, board, &loaded.state_dir, until).await;
        }
    };
    let (keepers, shown) = (std::pin::pin!(keepers), std::pin::pin!(join(serve, send(loaded, board, notices))));
    match select(keepers, shown).await {
        Either::Left((kept, shown)) => {
            board.close();
            tokio::time::timeout(LAST_WORDS, shown).await.map(drop).unwrap_or_default();
            kept
        }
        Either::Right((_, keepers)) => keepers.await,
    }
}

async fn send(loaded: &Loaded, board: &Board, mut notices: mpsc::Receiver<Notice>) {
    let mut throttle = Throttle::new(loaded.notify.per_hour);
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
        let Some(notice) = notice else { continue };
        for sent in notify::send(&loaded.notify, &loaded.spec.holder, &notice, clock.now()).await {
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
    }
}
