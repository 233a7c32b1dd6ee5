//! `config trust`: the one way to believe a host for what it shows, and a person says yes to it each time.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use ananke_core::name::NodeName;
use ananke_core::port::{ErrorKind, PortError};
use ananke_core::spec::SshTarget;
use ananke_ssh::known_hosts::{Trust, refusal_of};
use ananke_ssh::{Route, Shown, shown_key};

use super::{fail, print};
use crate::args::{Format, WithConfig};
use crate::clock::SystemClock;
use crate::config::{Loaded, Overrides};
use crate::exit::Exit;
use crate::wire::{self, Failure};

/// No answer of a person is longer.
const ANSWER: u64 = 64;

pub(super) async fn run(name: &str, yes: bool, config: &WithConfig) -> Result<Exit, Failure> {
    let loaded = wire::load(&config.config, &Overrides::default())?;
    let (node, route) = expected(&loaded, name)?;
    let (target, file) = (&route.login.target, &route.login.known_hosts);
    let next = format!("see that {node} is on and its sshd runs, and check its address: ssh_node_hosts in the config");
    let shown = shown_key(node, route, loaded.ssh.agent.as_deref(), Arc::new(SystemClock::start()));
    let shown = shown.await.map_err(Failure::asked(next))?;
    match &shown.trust {
        Trust::Trusted => {
            let text = format!("{node} is trusted already: {} ({})", shown.fingerprint, shown.kind);
            print(Format::Text, &(), |()| text)?;
            return Ok(Exit::Done);
        }
        Trust::Unknown { .. } => {}
        Trust::Changed { line, .. }
        | Trust::Revoked { line }
        | Trust::AuthorityRevoked { line, .. }
        | Trust::Stranger { line, .. }
        | Trust::Flawed { line, .. } => {
            let refusal = refusal_of(&shown.trust, &shown.fingerprint, node.as_str(), target, file);
            let why = refusal.map(|error| error.to_string()).unwrap_or_default();
            let advice = format!("if this is right, remove line {line} of {}, and run this again", file.display());
            return Ok(fail(Exit::Refused, &format!("{why}\n  {advice}")));
        }
    }
    print(Format::Text, &(), |()| seen(node, target, &shown))?;
    if !yes && !io::stdin().is_terminal() {
        print(Format::Text, &(), |()| shown.line.clone())?;
        let what = "nothing was written: there is no terminal to say yes on";
        let advice = format!("compare the key, then give --yes, or write this line to {}", file.display());
        return Ok(fail(Exit::Usage, &format!("{what}\n  {advice}")));
    }
    if !yes && !agreed() {
        return Ok(fail(Exit::Refused, "nothing was written"));
    }
    append(file, &shown.line).map_err(|error| {
        let error = PortError::new(ErrorKind::Denied, "write the host key", file.display(), error);
        Failure::asked("let ananke write its known_hosts, and the directory that it lies in")(error)
    })?;
    print(Format::Text, &(), |()| format!("{node} is trusted: written to {}", file.display()))?;
    Ok(Exit::Done)
}

fn expected<'l>(loaded: &'l Loaded, name: &str) -> Result<(&'l NodeName, &'l Route), Failure> {
    let found = loaded.ssh.routes.iter().find(|(node, _)| node.as_str() == name);
    let Some((node, route)) = found else {
        return Err(Failure::Usage(format!("{name} is no node of this config: name one of control_planes or workers")));
    };
    if loaded.ssh.pins.contains_key(node) {
        return Err(Failure::Usage(format!("ssh_node_fingerprints has the key of {node}: change it there")));
    }
    Ok((node, route))
}

fn seen(node: &NodeName, target: &SshTarget, shown: &Shown) -> String {
    let Shown { fingerprint, kind, .. } = shown;
    format!(
        "{node} ({}:{}) shows {fingerprint} ({kind})\n  compare it at the console of {node}: \
         for key in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -lf $key; done",
        target.host, target.port
    )
}

fn agreed() -> bool {
    let mut err = io::stderr().lock();
    err.write_all(b"Is it the same? [y/N] ").and_then(|()| err.flush()).unwrap_or_default();
    let mut answer = String::new();
    let read = io::BufRead::read_line(&mut io::stdin().lock().take(ANSWER), &mut answer);
    read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}

/// Adds one line, on disk when this returns. A new file is its owner's alone.
fn append(path: &Path, line: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    let begin = if ends_within_a_line(&mut file)? { "\n" } else { "" };
    file.write_all(format!("{begin}{line}\n").as_bytes())?;
    file.sync_all()?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

fn ends_within_a_line(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_line_is_added_and_no_other_is_touched() {
        for (before, after) in [(None, "new\n"), (Some(""), "new\n"), (Some("a\n"), "a\nnew\n"), (Some("a"), "a\nnew\n")] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("known_hosts");
            if let Some(text) = before {
                std::fs::write(&path, text).unwrap();
            }
            append(&path, "new").unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), after, "{before:?}");
            assert!(before.is_some() || path.metadata().unwrap().mode() & 0o777 == 0o600);
        }
    }
}
