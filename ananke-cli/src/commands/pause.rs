//! `pause` and `resume`: a person holds the daemon back, never for longer than a day.

use ananke_core::port::{Clock, clean};
use ananke_core::power::Pause;

use super::print;
use crate::args::{self, Format};
use crate::clock::SystemClock;
use crate::config::Overrides;
use crate::exit::Exit;
use crate::state::StateDir;
use crate::wire::{self, Failure};

pub(super) fn pause(args: &args::Pause) -> Result<Exit, Failure> {
    let loaded = wire::load(&args.config.config, &Overrides::default())?;
    let at = SystemClock::start().now();
    let pause = Pause { at, until: at.plus(args.span), reason: clean(&args.reason, 200) };
    StateDir::open(&loaded.state_dir)?.set_pause(Some(pause.clone()))?;
    print(Format::Text, &(), |()| {
        format!("until {} the daemon stops and starts nothing, on battery either; `ananke resume` lets it go on", pause.until)
    })?;
    Ok(Exit::Done)
}

pub(super) fn resume(args: &args::Resume) -> Result<Exit, Failure> {
    let loaded = wire::load(&args.config.config, &Overrides::default())?;
    StateDir::open(&loaded.state_dir)?.set_pause(None)?;
    print(Format::Text, &(), |()| "the daemon goes on".to_owned())?;
    Ok(Exit::Done)
}
