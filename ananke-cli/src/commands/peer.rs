//! `peer`: what another Ananke of this cluster asks. It comes over SSH with the rights of one account, whose key may be held
//! to this by a forced command.

use std::os::unix::process::CommandExt;
use std::time::Duration;

use ananke_core::intent::{Intent, IntentState};
use ananke_core::port::{Clock, PeerAnswer, PeerRequest, StateReads, clean};
use ananke_core::power::Pause;
use ananke_ssh::command::of_peer;

use super::{fail, print};
use crate::args::{self, Format, WithConfig};
use crate::clock::SystemClock;
use crate::config::Overrides;
use crate::exit::Exit;
use crate::state::{StateDir, lock};
use crate::wire::{self, Failure};

/// The daemon looks every second.
const DECIDES: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(200);

pub(super) async fn run(args: args::Peer) -> Result<Exit, Failure> {
    let (request, config) = match args {
        args::Peer::Answer => return Ok(answer()),
        args::Peer::Shutdown { within, config } => (PeerRequest::Shutdown { within }, config),
        args::Peer::Startup { config } => (PeerRequest::Startup, config),
    };
    let answer = ask(request, &config).await?;
    print(Format::Json, &answer, |_| String::new())?;
    Ok(Exit::Done)
}

async fn ask(request: PeerRequest, config: &WithConfig) -> Result<PeerAnswer, Failure> {
    let loaded = wire::load(&config.config, &Overrides::default())?;
    let state = StateDir::open(&loaded.state_dir)?;
    let clock = SystemClock::start();
    // What cannot be read keeps nobody from stopping; a start-up judges it by itself.
    let intent = state.intent().await.unwrap_or_default();
    let paused = state.pause()?.filter(|pause| pause.holds(clock.now()));
    if let Some(answer) = at_once(request, intent.as_ref(), paused.as_ref(), lock::starts_up(&state)) {
        return Ok(answer);
    }
    state.leave_request(request, clock.now())?;
    let clock = clock.steady();
    let until = clock.now().plus(DECIDES);
    while state.request_waits()? {
        if clock.now() >= until && state.take_request(SystemClock::start().now())?.is_some() {
            return Err(Failure::Internal("no daemon took the request within 10 s: is `ananke daemon` running here?".to_owned()));
        }
        clock.sleep_until(clock.now().plus(LOOK)).await;
    }
    Ok(PeerAnswer { taken: true, text: "the daemon has it".to_owned() })
}

/// What needs no daemon to be answered; `starts`: a start-up is under way, and not only in the intent of one that died.
fn at_once(request: PeerRequest, intent: Option<&Intent>, paused: Option<&Pause>, starts: bool) -> Option<PeerAnswer> {
    let answer = |taken: bool, text: String| Some(PeerAnswer { taken, text });
    if let Some(pause) = paused {
        return answer(false, format!("a person holds its daemon back until {}: {}", pause.until, clean(&pause.reason, 200)));
    }
    let intent = intent?;
    match (request, intent.state) {
        (PeerRequest::Shutdown { .. }, IntentState::ShutdownComplete) => answer(true, "the cluster is down".to_owned()),
        (PeerRequest::Startup, IntentState::StartupInProgress) if starts => answer(true, "it is under way".to_owned()),
        (PeerRequest::Startup, IntentState::ShuttingDown) if !intent.by_power => {
            answer(false, format!("a person shuts the cluster down: {}", clean(&intent.reason, 200)))
        }
        (PeerRequest::Startup, IntentState::ShutdownComplete) if !intent.by_power => {
            answer(false, format!("a person has shut the cluster down: {}", clean(&intent.reason, 200)))
        }
        (PeerRequest::Shutdown { .. } | PeerRequest::Startup, _) => None,
    }
}

/// Runs what was asked for, if a peer may ask for it. The text that the shell gets is one of ours, to the letter.
#[expect(clippy::disallowed_methods, reason = "sshd hands the request over in the environment, and a fixed command answers it")]
fn answer() -> Exit {
    let asked = std::env::var("SSH_ORIGINAL_COMMAND").unwrap_or_default();
    if of_peer(&asked).is_none() {
        return fail(Exit::Refused, "a peer may ask for the intent, a shutdown or a start-up, and nothing else");
    }
    let error = std::process::Command::new("/bin/sh").args(["-c", &asked]).exec();
    fail(Exit::Internal, &format!("run /bin/sh: {error}"))
}

#[cfg(test)]
mod tests {
    use ananke_core::name::{Moment, RunId};

    use super::*;

    const NOW: Moment = Moment::from_millis(1_773_453_971_000);

    #[test]
    fn a_person_is_not_overruled_and_what_is_done_is_not_done_again() {
        let intent = |state, by_power| {
            let run = RunId::parse("run-1").unwrap();
            Intent { state, run, at: NOW, reason: "why".to_owned(), by_power, of: None }
        };
        let (down, up) = (PeerRequest::Shutdown { within: None }, PeerRequest::Startup);
        let taken = |request, intent: Option<Intent>, paused: Option<&Pause>| {
            at_once(request, intent.as_ref(), paused, true).map(|answer| answer.taken)
        };
        let pause = Pause { at: NOW, until: NOW.plus(DECIDES), reason: "a new battery".to_owned() };
        assert_eq!((taken(down, None, Some(&pause)), taken(up, None, Some(&pause))), (Some(false), Some(false)));
        let cases = [
            (IntentState::Normal, false, None, None),
            (IntentState::StartupInProgress, false, None, Some(true)),
            (IntentState::ShuttingDown, false, None, Some(false)),
            (IntentState::ShuttingDown, true, None, None),
            (IntentState::ShutdownComplete, false, Some(true), Some(false)),
            (IntentState::ShutdownComplete, true, Some(true), None),
        ];
        for (state, by_power, shutdown, startup) in cases {
            let found = (taken(down, Some(intent(state, by_power)), None), taken(up, Some(intent(state, by_power)), None));
            assert_eq!(found, (shutdown, startup), "{state:?} {by_power}");
        }
        assert_eq!((taken(down, None, None), taken(up, None, None)), (None, None));
        let dead = intent(IntentState::StartupInProgress, true);
        assert_eq!(at_once(up, Some(&dead), None, false), None, "it died, or failed: the daemon begins another one");
    }
}
