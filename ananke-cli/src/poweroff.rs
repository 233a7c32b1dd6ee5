//! The last act of `shutdown --mode poweroff`: the host that Ananke runs on goes off, after everything is written.

use std::ffi::OsStr;

/// One command, fixed, without a shell. It is looked for in `PATH`, for distributions disagree on where it is.
const PROGRAM: &str = "systemctl";

/// Returns as soon as systemd has begun; the process is ended with all others.
pub(crate) fn power_off_this_host() -> Result<(), String> {
    power_off_with(OsStr::new(PROGRAM))
}

#[expect(clippy::disallowed_methods, reason = "the composition root powers its own host off: one fixed command")]
fn power_off_with(program: &OsStr) -> Result<(), String> {
    let failed = |why: String| format!("power off this host: {} poweroff: {why}; switch it off by hand", program.display());
    match std::process::Command::new(program).arg("poweroff").status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(failed(status.to_string())),
        Err(error) => Err(failed(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn systemd_is_asked_once_and_a_refusal_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let (program, log) = (dir.path().join("systemctl"), dir.path().join("log"));
        let script = |exit| format!("#!/bin/sh\necho \"$@\" >> {}\nexit {exit}\n", log.display());
        std::fs::write(&program, script(0)).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(power_off_with(program.as_os_str()), Ok(()));
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "poweroff\n");
        std::fs::write(&program, script(1)).unwrap();
        let refused = power_off_with(program.as_os_str()).unwrap_err();
        assert!(refused.ends_with("poweroff: exit status: 1; switch it off by hand"), "{refused}");
        assert!(power_off_with(OsStr::new("/nowhere/systemctl")).unwrap_err().contains("No such file"), "a missing one");
    }
}
