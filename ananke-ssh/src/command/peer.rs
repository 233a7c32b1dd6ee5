//! What one Ananke may ask of another, and how the other one knows it again.

use std::time::Duration;

use ananke_core::port::PeerRequest;

use super::Command;

/// The other one's daemon looks every second, and is waited for there.
pub(super) const DECIDES: Duration = Duration::from_secs(20);
/// A day, which five digits hold: a battery that lasts longer is no reason to hurry.
const LONGEST: u64 = 24 * 3600;
/// The other one takes none for a mistake, as on its command line, and would refuse the shutdown that is most pressing.
const SHORTEST: u64 = 1;
const WITHIN: &str = "--within ";

/// What comes after `ananke peer`.
pub(super) fn words(request: PeerRequest) -> String {
    match request {
        PeerRequest::Shutdown { within: Some(within) } => {
            format!("shutdown {WITHIN}{:05}s", within.as_secs().clamp(SHORTEST, LONGEST))
        }
        PeerRequest::Shutdown { within: None } => "shutdown".to_owned(),
        PeerRequest::Startup => "startup".to_owned(),
    }
}

/// The part of the words whose digits differ.
pub(super) fn hole(request: PeerRequest) -> Option<String> {
    match request {
        PeerRequest::Shutdown { within: Some(_) } => words(request).split_once(WITHIN).map(|(_, digits)| digits.to_owned()),
        PeerRequest::Shutdown { within: None } | PeerRequest::Startup => None,
    }
}

/// Which command of a peer this line is, as the forced command of its key gets it; none for anything else.
pub fn of_peer(line: &str) -> Option<Command> {
    let within = line.split_once(WITHIN).and_then(|(_, rest)| rest.get(..5)?.parse().ok()).map(Duration::from_secs);
    let each = [Command::PeerIntent, Command::PeerAsk(PeerRequest::Shutdown { within }), Command::PeerAsk(PeerRequest::Startup)];
    each.into_iter().find(|command| command.line() == line)
}

/// All that a peer may be asked, each once.
pub fn of_peers() -> Vec<Command> {
    let within = Some(Duration::from_secs(540));
    let asks = [PeerRequest::Shutdown { within: None }, PeerRequest::Shutdown { within }, PeerRequest::Startup];
    std::iter::once(Command::PeerIntent).chain(asks.map(Command::PeerAsk)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_peer_sends_is_known_again() {
        for command in of_peers() {
            assert_eq!(of_peer(&command.line()), Some(command));
        }
        let ask = |secs| Command::PeerAsk(PeerRequest::Shutdown { within: Some(Duration::from_secs(secs)) }).line();
        assert!(of_peer(&ask(7)).is_some());
        assert_eq!(ask(1_000_000), ask(24 * 3600), "a battery that lasts for weeks");
        assert_eq!(ask(0), ask(1), "one that was told to switch off");
        let longer = format!("{}; reboot", ask(7));
        let near = ["", "ananke peer startup", "sudo -n /usr/local/bin/ananke peer startup", longer.as_str()];
        let other = ask(7).replace("00007s", "0000as");
        for line in near.into_iter().chain([other.as_str(), &Command::PowerOff.line()]) {
            assert_eq!(of_peer(line), None, "{line}");
        }
    }
}
