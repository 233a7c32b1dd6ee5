//! `intent`: what was last wanted of the cluster.

use ananke_core::intent::IntentState;
use ananke_core::port::{PortError, StateReads};

use super::print;
use crate::args::{Format, Intent};
use crate::config::Overrides;
use crate::exit::Exit;
use crate::state::{StateDir, lock};
use crate::wire::{self, Failure};

pub(super) fn word(state: IntentState) -> &'static str {
    match state {
        IntentState::Normal => "normal",
        IntentState::StartupInProgress => "start-up in progress",
        IntentState::ShuttingDown => "shutting down",
        IntentState::ShutdownComplete => "shutdown complete",
    }
}

pub(super) async fn run(args: Intent) -> Result<Exit, Failure> {
    match args {
        Intent::Show { config, output } => {
            let loaded = wire::load(&config.config, &Overrides::default())?;
            // A lost intent is no mistake in flags or config.
            let lost = |error: PortError| {
                let way_out = error.remedy.as_ref().map(|remedy| format!("\n  {remedy}")).unwrap_or_default();
                Failure::Internal(format!("{error}{way_out}"))
            };
            let intent = StateDir::open_read_only(&loaded.state_dir)?.intent().await.map_err(lost)?;
            print(output.output, &intent, |intent| match intent {
                None => "nothing is recorded: the cluster may start".to_owned(),
                Some(intent) => format!("{} since {}: {} ({})", word(intent.state), intent.at, intent.reason, intent.run),
            })?;
        }
        Intent::Clear { config } => {
            let loaded = wire::load(&config.config, &Overrides::default())?;
            let state = StateDir::open(&loaded.state_dir)?;
            lock::refuse_during_shutdown(&state)?;
            let aside = state.clear_intent()?;
            print(Format::Text, &(), |()| match aside {
                None => "cleared: the cluster may start".to_owned(),
                Some(file) => format!("cleared: the cluster may start; what stood there is in {}", file.display()),
            })?;
        }
    }
    Ok(Exit::Done)
}
