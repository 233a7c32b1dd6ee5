//! How long to wait before a watch is begun anew. No clock, no chance of its own.

use std::time::Duration;

/// Long enough for a server that closed a connection to take the next one, and hardly noticed.
const FIRST: Duration = Duration::from_millis(200);
/// A cluster comes back in the middle of a pause, so the longest is short.
const LONGEST: Duration = Duration::from_secs(10);
/// A server that asks for more is asked again after this: half of what a list may take, so that who waits for it hears of it.
const LONGEST_ASKED_FOR: Duration = Duration::from_secs(30);

/// The pause after `failures` rounds that did not last: doubling, and by chance up to half of it shorter, so that the watches
/// of one run do not all come back in the same moment. `draw` is any number.
pub(super) fn pause(failures: u32, draw: u64) -> Duration {
    let longest = FIRST.saturating_mul(1 << failures.min(6)).min(LONGEST);
    let half = u64::try_from(longest.as_millis() / 2).unwrap_or(u64::MAX);
    longest.saturating_sub(Duration::from_millis(draw.checked_rem(half).unwrap_or(0)))
}

/// The part of `pause` that nobody cuts short: not nothing, and all that the server asked for, which may be more than the pause.
pub(super) fn least(pause: Duration, asked_for: Option<Duration>) -> Duration {
    pause.min(FIRST).max(asked_for.unwrap_or_default().min(LONGEST_ASKED_FOR))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_differ() {
        let ms = |failures, draw| pause(failures, draw).as_millis();
        assert_eq!([0, 1, 2, 3, 4, 5, 6, 60].map(|n| ms(n, 0)), [200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        assert_eq!([0, 49, 99, 100].map(|draw| ms(0, draw)), [200, 151, 101, 200]);
        assert_eq!(ms(60, u64::MAX), 10_000 - u128::from(u64::MAX % 5000));
    }

    #[test]
    fn what_the_server_asked_for_is_kept_within_bounds() {
        let ms =
            |pause, asked_for: Option<u64>| least(Duration::from_millis(pause), asked_for.map(Duration::from_secs)).as_millis();
        assert_eq!([ms(150, None), ms(6400, None), ms(6400, Some(0))], [150, 200, 200]);
        assert_eq!([ms(200, Some(7)), ms(6400, Some(7)), ms(200, Some(3600))], [7000, 7000, 30_000]);
    }
}
