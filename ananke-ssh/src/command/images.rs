//! Images from an archive of Ananke's own machine, which comes in on standard input.
//!
//! `ctr images import` takes what `docker save` and `ctr images export` write, and of it what the host's architecture can run.
//! It is given no flags: `--all-platforms` would ask for the content of every platform that an index names, where an archive
//! often has one; `--digests` adds names that no pod asks for; and with `--no-unpack` a full disk would show only at the pod.

use ananke_core::port::{ErrorKind, clean};
use ananke_core::spec::Distribution;

use super::{K3S, Output, Refusal, Remedy, SUDO, parse_order, refusal};

/// Where the packages of containerd put it. That of k3s is k3s itself, and its namespace is that of the kubelet by default.
const CTR: &str = "/usr/bin/ctr";

/// What ctr says of an archive that it can make nothing of, however often it is sent.
const BAD_ARCHIVE: &[&str] =
    &["unrecognized image format", "unexpected EOF", "invalid tar header", "no match for platform", "not found", "untar"];

/// Newer ones draw their progress on standard output.
pub(super) fn line(distribution: Distribution) -> String {
    format!("{SUDO} {} >/dev/null", as_root(distribution))
}

pub(super) fn as_root(distribution: Distribution) -> String {
    match distribution {
        Distribution::K3s => format!("{K3S} ctr images import -"),
        Distribution::Kubeadm => format!("{CTR} -n k8s.io images import -"),
    }
}

pub(super) fn parse(output: &Output, distribution: Distribution) -> Result<(), Refusal> {
    parse_order(output).map_err(|refused| {
        let said = String::from_utf8_lossy(&output.stderr);
        // Warnings come before it.
        let Some(error) = said.lines().rev().find(|line| line.starts_with("ctr: ")) else {
            let remedy = if refused.kind == ErrorKind::Missing { Some(program(distribution)) } else { refused.remedy };
            return Refusal { remedy, ..refused };
        };
        let (kind, remedy) = if error.contains("no space left") {
            (ErrorKind::Transient, Some(Remedy::Space))
        } else if BAD_ARCHIVE.iter().any(|words| error.contains(words)) {
            (ErrorKind::Invalid, Some(Remedy::Archive))
        } else {
            (ErrorKind::Transient, None)
        };
        Refusal { found: clean(error, 200), ..refusal(kind, output, remedy) }
    })
}

fn program(distribution: Distribution) -> Remedy {
    match distribution {
        Distribution::K3s => Remedy::K3s,
        Distribution::Kubeadm => Remedy::Ctr,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(exit: u32, stderr: &str) -> Result<(), (ErrorKind, String, Option<Remedy>)> {
        let output = Output { stdout: Vec::new(), stderr: stderr.as_bytes().to_vec(), exit: Some(exit) };
        parse(&output, Distribution::Kubeadm).map_err(|refusal| (refusal.kind, refusal.found, refusal.remedy))
    }

    #[test]
    fn what_ctr_says_is_told_and_what_can_be_done_about_it() {
        let failed = |stderr: &str, kind, found: &str, remedy| {
            assert_eq!(load(1, stderr), Err((kind, found.to_owned(), remedy)), "{stderr}");
        };
        assert_eq!(load(0, "time=\"x\" level=warning msg=\"slow\""), Ok(()));
        let full = "ctr: failed to ingest \"blobs/sha256/00\": write /var/lib/x: no space left on device";
        failed(&format!("level=warning msg=slow\n{full}\n"), ErrorKind::Transient, full, Some(Remedy::Space));
        for bad in [
            "ctr: unrecognized image format",
            "ctr: unexpected EOF",
            "ctr: content digest sha256:00: not found",
            "ctr: no match for platform in manifest: not found",
        ] {
            failed(bad, ErrorKind::Invalid, bad, Some(Remedy::Archive));
        }
        let down = "ctr: cannot access containerd socket \"/run/containerd/containerd.sock\": no such file or directory";
        failed(down, ErrorKind::Transient, down, None);
    }

    #[test]
    fn what_sudo_says_is_no_word_of_ctr() {
        let kind = |exit, stderr| load(exit, stderr).map_err(|(kind, _, remedy)| (kind, remedy));
        assert_eq!(kind(1, "sudo: a password is required"), Err((ErrorKind::Denied, Some(Remedy::Sudoers))));
        assert_eq!(kind(1, "sudo: /usr/bin/ctr: command not found"), Err((ErrorKind::Missing, Some(Remedy::Ctr))));
    }
}
