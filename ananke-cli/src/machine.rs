//! The machine that Ananke itself runs on, as far as a start-up depends on it: whether its clock follows a source.
//!
//! systemd's own word for it is the kernel's. Where that is not yes, chrony and ntpd are asked: a daemon may discipline the
//! clock and not tell the kernel. Fixed commands without a shell, which need no rights: nothing else tells without one.

use std::process::Stdio;
use std::time::Duration;

use ananke_core::port::{ErrorKind, MachineReads, PortError};
use ananke_ssh::command::inspect::synced;
use async_trait::async_trait;

const TIMEDATECTL: (&str, &[&str]) = ("timedatectl", &["show", "-p", "NTPSynchronized", "--value"]);
const CHRONYC: (&str, &[&str]) = ("chronyc", &["-n", "tracking"]);
const NTPQ: (&str, &[&str]) = ("ntpq", &["-n", "-c", "rv"]);

/// systemd-timedated is started by the question; on an SD card that takes seconds.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(20);

#[derive(Debug, Clone, Copy)]
pub(crate) struct ThisMachine;

#[async_trait]
impl MachineReads for ThisMachine {
    async fn clock_synced(&self) -> Result<Option<bool>, PortError> {
        let asked = tokio::task::spawn_blocking(|| any_source(&[TIMEDATECTL, CHRONYC, NTPQ], PATIENCE)).await;
        asked.map_err(|error| PortError::new(ErrorKind::Transient, "look at our own clock", "this machine", error))
    }
}

/// Whether one of them knows of a source; false where one knows of none and no other of any.
fn any_source(programs: &[(&str, &[&str])], patience: Duration) -> Option<bool> {
    let mut found = None;
    for (program, arguments) in programs {
        match ask(program, arguments, patience).and_then(|said| synced(&said)) {
            Some(true) => return Some(true),
            Some(false) => found = Some(false),
            None => {}
        }
    }
    found
}

/// What it printed; none if it is not there, fails or does not end in time. Either prints less than a pipe holds, so it
/// never waits for its reader.
fn ask(program: &str, arguments: &[&str], patience: Duration) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "fixed commands that only read, without a shell")]
    let mut command = std::process::Command::new(program);
    command.args(arguments).env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    for _ in 0..patience.as_millis() / LOOK.as_millis() {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => {
                let output = child.wait_with_output().ok()?;
                return Some(String::from_utf8_lossy(&output.stdout).into_owned());
            }
            Ok(Some(_)) | Err(_) => return None,
            Ok(None) => std::thread::sleep(LOOK),
        }
    }
    // It may be gone by itself since.
    child.kill().ok();
    child.wait().ok();
    None
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn said(scripts: &[&str], patience: Duration) -> Option<bool> {
        let dir = tempfile::tempdir().unwrap();
        let paths: Vec<String> = (0..scripts.len()).map(|n| dir.path().join(n.to_string()).display().to_string()).collect();
        for (path, script) in paths.iter().zip(scripts) {
            std::fs::write(path, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).unwrap();
        }
        let programs: Vec<(&str, &[&str])> = paths.iter().map(|path| (path.as_str(), &[] as &[&str])).collect();
        any_source(&programs, patience)
    }

    #[test]
    fn a_program_that_knows_of_a_source_is_believed() {
        let patience = Duration::from_secs(10);
        assert_eq!(said(&["echo yes", "exit 1"], patience), Some(true));
        assert_eq!(said(&["echo no", "exit 1"], patience), Some(false));
        let chrony = "echo 'Reference ID    : C0A80001'\necho 'Leap status     : Not synchronised'";
        assert_eq!(said(&["echo yes; exit 1", chrony], patience), Some(false));
        assert_eq!(said(&["echo no", "echo 'Leap status     : Normal'"], patience), Some(true));
        assert_eq!(said(&["exit 1", chrony, "echo 'leap_none, sync_ntp, 1 event'"], patience), Some(true));
        assert_eq!(said(&["echo perhaps", "exit 1"], patience), None);
        assert_eq!(any_source(&[("/nonexistent/timedatectl", &[])], patience), None);
    }

    #[test]
    fn a_program_that_does_not_end_is_ended() {
        assert_eq!(said(&["echo yes; exec sleep 600"], Duration::from_millis(100)), None);
    }
}
