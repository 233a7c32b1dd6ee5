//! One file a command; here is only what they share.

mod config;
mod confirm_off;
mod daemon;
mod doctor;
mod drill;
mod explain;
mod intent;
mod layers;
mod lease;
mod man;
mod pause;
mod peer;
mod replay;
mod report;
mod sim;
mod trust;
mod update;
mod walk;

use std::io::Write;

use serde::Serialize;
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::args::{Args, Command, Format};
use crate::exit::Exit;
use crate::state::lock::LockError;
use crate::terminal;
use crate::wire::Failure;

/// Runs a command to its exit code. Errors go to standard error, as one line and what to do.
pub fn run(args: Args) -> Exit {
    log_to_stderr(args.verbose);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(Exit::Internal, &format!("start the runtime: {error}")),
    };
    let result = match args.command {
        Command::Drill(args) => drill::run(&args),
        Command::Doctor(args) => runtime.block_on(doctor::run(args)),
        Command::Snapshot(args) => runtime.block_on(doctor::keep(args)),
        Command::Config(args) => runtime.block_on(config::run(args)),
        Command::Status(args) => runtime.block_on(walk::status(args)),
        Command::Startup(args) => runtime.block_on(walk::startup(args)),
        Command::Shutdown(args) => runtime.block_on(walk::shutdown(args)),
        Command::Sim(args) => runtime.block_on(sim::run(args)),
        Command::Intent(args) => runtime.block_on(intent::run(args)),
        Command::Lease(args) => runtime.block_on(lease::run(args)),
        Command::ConfirmOff(args) => runtime.block_on(confirm_off::run(args)),
        Command::Daemon(args) => runtime.block_on(daemon::run(args)),
        Command::Pause(args) => pause::pause(&args),
        Command::Resume(args) => pause::resume(&args),
        Command::Peer(args) => runtime.block_on(peer::run(args)),
        Command::Report(args) => report::run(&args),
        Command::Explain(args) => runtime.block_on(explain::run(args)),
        Command::Replay(args) => replay::run(&args),
        Command::Update(args) => runtime.block_on(update::run(args)),
        Command::Completions(args) => man::completions(&args),
        Command::Man(args) => man::pages(&args),
    };
    // What a worker thread still does (a name look-up) is not waited for.
    runtime.shutdown_background();
    terminal::rest();
    result.unwrap_or_else(|failure| {
        let exit = match &failure {
            Failure::Config(_) | Failure::Usage(_) => Exit::Usage,
            Failure::Port(error) if error.kind == ananke_core::port::ErrorKind::Invalid => Exit::Usage,
            Failure::Port(_) | Failure::Internal(_) => Exit::Internal,
            Failure::Asked { error, .. } => Exit::from(error.kind),
            Failure::Lock(LockError::Held { .. }) => Exit::Refused,
            Failure::Lock(LockError::Failed(_)) => Exit::Internal,
        };
        let remedy = match &failure {
            Failure::Port(error) => error.remedy.as_ref().map(|remedy| format!("\n  {remedy}")).unwrap_or_default(),
            Failure::Asked { error, next } => format!("\n  {}", error.remedy.as_ref().unwrap_or(next)),
            Failure::Lock(LockError::Failed(error)) => {
                error.remedy.as_ref().map(|remedy| format!("\n  {remedy}")).unwrap_or_default()
            }
            Failure::Config(_) | Failure::Usage(_) | Failure::Internal(_) | Failure::Lock(LockError::Held { .. }) => {
                String::new()
            }
        };
        fail(exit, &format!("{failure}{remedy}"))
    })
}

/// Warnings are always shown, and only our own: a client library that complains of a cluster that is down tells nothing that
/// the gates do not tell better. A second subscriber in the same process (tests) is no error.
fn log_to_stderr(verbose: u8) {
    let level = match verbose {
        0 => Level::WARN,
        1 => Level::INFO,
        2.. => Level::DEBUG,
    };
    let lines =
        tracing_subscriber::fmt::layer().with_writer(|| terminal::Lines).with_ansi(false).without_time().with_target(verbose > 0);
    let ours = Targets::new().with_target("ananke", level);
    tracing_subscriber::registry().with(lines).with(ours).try_init().unwrap_or_default();
}

fn fail(exit: Exit, text: &str) -> Exit {
    terminal::rest();
    let mut err = std::io::stderr().lock();
    writeln!(err, "ananke: {}", terminal::plain(text)).unwrap_or_default();
    exit
}

/// Prints `value` as JSON, or `text` of it.
fn print<T: Serialize>(format: Format, value: &T, text: impl FnOnce(&T) -> String) -> Result<(), Failure> {
    let mut shown = match format {
        Format::Text => terminal::plain(&text(value)).into_owned(),
        Format::Json => serde_json::to_string_pretty(value).map_err(|error| Failure::Internal(format!("write JSON: {error}")))?,
    };
    if !shown.ends_with('\n') {
        shown.push('\n');
    }
    // On a terminal it comes after what was said before.
    terminal::rest();
    put(&shown);
    Ok(())
}

/// A closed pipe is not an error.
fn put(text: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn ends(args: &[&str]) -> Exit {
        run(Args::try_parse_from([&["ananke"], args].concat()).unwrap())
    }

    #[test]
    fn what_does_not_answer_and_what_is_not_there_are_no_internal_errors() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let nobody = "apiVersion: v1\nkind: Config\nclusters: [{name: a, cluster: {server: \"https://127.0.0.1:1\"}}]\n\
                      users: [{name: a, user: {token: a}}]\ncontexts: [{name: a, context: {cluster: a, user: a}}]\n\
                      current-context: a\n";
        std::fs::write(path("kubeconfig"), nobody).unwrap();
        assert_eq!(ends(&["config", "init", "--kubeconfig", &path("kubeconfig")]), Exit::NotInTime);
        assert_eq!(ends(&["config", "init", "--kubeconfig", &path("nothing")]), Exit::Usage);
        assert_eq!(ends(&["replay", &path("nothing")]), Exit::Usage);
        assert_eq!(ends(&["doctor", "--snapshot", &path("nothing")]), Exit::Usage);
    }
}
