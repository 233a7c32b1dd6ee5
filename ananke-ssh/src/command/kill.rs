//! Ending what a stopped unit left running, and unmounting its volumes.
//!
//! It is done without grace, so only after a drain, and never beside a unit that runs, starts or stops. Whether it helped is
//! seen by the next look.

use ananke_core::name::UnitName;
use ananke_core::port::ErrorKind;
use ananke_core::spec::Distribution;

use super::{Output, PLAIN, Refusal, Remedy, parse_order, refusal, sudo_says_no};

/// k3s's own script ends its containers and unmounts their volumes, and it knows where each release keeps them. It does more:
/// it stops k3s, which it must find stopped already, and it removes the CNI's interfaces and packet filter rules, which the
/// next start of k3s makes anew. Its exit code is that of its last line and tells nothing.
const KILLALL: &str = "/usr/local/bin/k3s-killall.sh";
/// `rmp --all --force` stops every pod sandbox that is ready, which ends its containers, and removes it. A call may take longer
/// than the two seconds that crictl waits by itself.
const CRICTL: &str = "/usr/bin/crictl";
/// systemd has a unit for each mount, and stops what is mounted within a mount first. It reads the pattern itself.
const UNMOUNT: &str = r#"systemctl stop "var-lib-kubelet-*.mount""#;

const REFUSED_RUNS: u32 = 75;
const REFUSED_NO_PROGRAM: u32 = 69;

pub(super) fn line(unit: &UnitName, distribution: Distribution) -> String {
    let (program, name) = match distribution {
        Distribution::K3s => (KILLALL, "k3s-killall.sh"),
        Distribution::Kubeadm => (CRICTL, "crictl"),
    };
    let end: Vec<String> = as_root(distribution).iter().map(|command| format!("sudo -n {command} >/dev/null")).collect();
    format!(
        concat!(
            r#"sh -c '{plain} case "$(systemctl is-active {unit})" in inactive|failed) ;; "#,
            r#"*) echo "ananke: refused: the unit is not stopped" >&2; exit 75;; esac; "#,
            r#"[ -x {program} ] || {{ echo "ananke: refused: there is no {name}" >&2; exit 69; }}; {end}'"#,
        ),
        plain = PLAIN,
        unit = unit,
        program = program,
        name = name,
        end = end.join(" && "),
    )
}

pub(super) fn as_root(distribution: Distribution) -> Vec<String> {
    match distribution {
        Distribution::K3s => vec![KILLALL.to_owned()],
        Distribution::Kubeadm => vec![format!("{CRICTL} --timeout 50s rmp --all --force"), UNMOUNT.to_owned()],
    }
}

pub(super) fn parse(output: &Output, distribution: Distribution) -> Result<(), Refusal> {
    match (output.exit, distribution) {
        (Some(REFUSED_RUNS), _) => Err(refusal(ErrorKind::Conflict, output, None)),
        (Some(REFUSED_NO_PROGRAM), Distribution::K3s) => Err(refusal(ErrorKind::Missing, output, Some(Remedy::K3s))),
        (Some(REFUSED_NO_PROGRAM), Distribution::Kubeadm) => Err(refusal(ErrorKind::Missing, output, Some(Remedy::Crictl))),
        (_, Distribution::K3s) => parse_killall(output),
        (_, Distribution::Kubeadm) => parse_order(output),
    }
}

/// The script's trace is on standard error, and its exit code is no verdict.
fn parse_killall(output: &Output) -> Result<(), Refusal> {
    let text = String::from_utf8_lossy(&output.stderr);
    match output.exit {
        None => Err(refusal(ErrorKind::Transient, output, None)),
        Some(126 | 127) if !text.lines().any(|line| line.starts_with('+')) => Err(refusal(ErrorKind::Missing, output, None)),
        // sudo has run the script, whatever else it said.
        Some(0) => Ok(()),
        Some(_) if sudo_says_no(&text) => Err(refusal(ErrorKind::Denied, output, Some(Remedy::Sudoers))),
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kill(distribution: Distribution, exit: u32, stderr: &str) -> Result<(), (ErrorKind, Option<Remedy>)> {
        let output = Output { stdout: Vec::new(), stderr: stderr.as_bytes().to_vec(), exit: Some(exit) };
        parse(&output, distribution).map_err(|refusal| (refusal.kind, refusal.remedy))
    }

    #[test]
    fn the_lines_are_these() {
        let unit = UnitName::parse("k3s-agent.service").unwrap();
        assert_eq!(
            line(&unit, Distribution::K3s),
            r#"sh -c 'LC_ALL=C; export LC_ALL; case "$(systemctl is-active k3s-agent.service)" in inactive|failed) ;; *) echo "ananke: refused: the unit is not stopped" >&2; exit 75;; esac; [ -x /usr/local/bin/k3s-killall.sh ] || { echo "ananke: refused: there is no k3s-killall.sh" >&2; exit 69; }; sudo -n /usr/local/bin/k3s-killall.sh >/dev/null'"#
        );
        let unit = UnitName::parse("kubelet").unwrap();
        assert_eq!(
            line(&unit, Distribution::Kubeadm),
            r#"sh -c 'LC_ALL=C; export LC_ALL; case "$(systemctl is-active kubelet)" in inactive|failed) ;; *) echo "ananke: refused: the unit is not stopped" >&2; exit 75;; esac; [ -x /usr/bin/crictl ] || { echo "ananke: refused: there is no crictl" >&2; exit 69; }; sudo -n /usr/bin/crictl --timeout 50s rmp --all --force >/dev/null && sudo -n systemctl stop "var-lib-kubelet-*.mount" >/dev/null'"#
        );
    }

    #[test]
    fn the_end_of_the_killall_script_is_no_verdict_but_a_refusal_is() {
        let kill = |exit, stderr: &str| kill(Distribution::K3s, exit, stderr);
        assert_eq!(kill(0, "+ systemctl stop k3s.service"), Ok(()));
        assert_eq!(kill(0, "sudo: Hostname titan-01 kann nicht aufgelöst werden"), Ok(()));
        assert_eq!(kill(127, "+ ip link delete cni0\n/usr/local/bin/k3s-killall.sh: 91: ip6tables-restore: not found"), Ok(()));
        assert_eq!(kill(75, "ananke: refused: the unit is not stopped"), Err((ErrorKind::Conflict, None)));
        assert_eq!(kill(69, "ananke: refused: there is no k3s-killall.sh"), Err((ErrorKind::Missing, Some(Remedy::K3s))));
        assert_eq!(kill(1, "sudo: a password is required"), Err((ErrorKind::Denied, Some(Remedy::Sudoers))));
        assert_eq!(kill(127, "sh: 1: sudo: not found"), Err((ErrorKind::Missing, None)));
    }

    #[test]
    fn crictl_and_systemctl_say_themselves_whether_they_did_it() {
        let kill = |exit, stderr: &str| kill(Distribution::Kubeadm, exit, stderr);
        assert_eq!(
            kill(0, "time=\"2026-03-14T02:06:11Z\" level=warning msg=\"runtime connect using default endpoints\""),
            Ok(())
        );
        assert_eq!(
            kill(1, "level=fatal msg=\"stopping the pod sandbox \\\"a\\\" failed: context deadline exceeded\""),
            Err((ErrorKind::Transient, None))
        );
        assert_eq!(kill(1, "Job failed. See \"journalctl -xe\" for details."), Err((ErrorKind::Transient, None)));
        assert_eq!(kill(75, "ananke: refused: the unit is not stopped"), Err((ErrorKind::Conflict, None)));
        assert_eq!(kill(69, "ananke: refused: there is no crictl"), Err((ErrorKind::Missing, Some(Remedy::Crictl))));
        assert_eq!(kill(1, "sudo: a password is required"), Err((ErrorKind::Denied, Some(Remedy::Sudoers))));
    }
}
