//! Where a new Ananke comes from: the group `update`.

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::Ssh;
use super::build::Paths;
use super::reader::Reader;
use super::text;

const REMOTE: &str =
    "an https:// or ssh:// URL without a password, user@host:path, or the whole path of a repository on this machine";
const BRANCH: &str = "a branch name, such as main";
const USER: &str = "a user of this machine, such as ananke";
const COMMAND: &str = "a list of a program and its arguments";
const BINARY: &str = "a path below update.directory, such as target/dist/ananke";
const WHOLE: &str = "a whole path, such as /usr/local/bin/ananke";

/// How Ananke is updated.
#[derive(Debug, Clone)]
pub struct Update {
    pub remote: Remote,
    pub branch: String,
    pub directory: PathBuf,
    pub user: String,
    /// Program and arguments, never empty.
    pub build: Vec<String>,
    /// Program and arguments, never empty.
    pub gate: Vec<String>,
    /// Below `directory`.
    pub binary: PathBuf,
    pub program: PathBuf,
    pub settle: Duration,
    pub log: PathBuf,
}

/// A repository that Git can fetch from: verified by TLS, by SSH, or on this machine. It can be no option of Git, no helper
/// program, and holds no secret, so it may stand in logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote(String);

impl Remote {
    pub fn parse(text: &str) -> Option<Self> {
        let printable = text.len() <= 1000 && text.bytes().all(|b| b.is_ascii_graphic()) && !text.contains("::");
        let sound = if let Some(rest) = text.strip_prefix("https://") {
            authority(rest).is_some_and(|(user, host)| user.is_none() && is_host_and_port(host))
        } else if let Some(rest) = text.strip_prefix("ssh://") {
            authority(rest).is_some_and(|(user, host)| user.is_none_or(is_user) && is_host_and_port(host))
        } else if text.contains("://") {
            false
        } else if text.starts_with('/') {
            true
        } else {
            text.split_once(':').is_some_and(|(at, path)| {
                let named = at.split_once('@').is_some_and(|(user, host)| is_user(user) && text::is_host(host));
                named && !path.is_empty() && !path.starts_with('-')
            })
        };
        (printable && sound).then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// User and host of what follows a scheme; none where no path follows.
fn authority(rest: &str) -> Option<(Option<&str>, &str)> {
    let (authority, path) = rest.split_once('/')?;
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    (!path.is_empty()).then_some((user, host))
}

fn is_user(user: &str) -> bool {
    text::user(user).is_some()
}

fn is_host_and_port(host: &str) -> bool {
    text::host_and_port(host).is_some()
}

/// None without `update.remote`, and where a problem tells why not.
pub(crate) fn read(reader: &mut Reader<'_>, paths: &Paths<'_>, ssh: &Ssh, warnings: &mut Vec<String>) -> Option<Update> {
    let below = |text: &str| {
        let plain = Path::new(text).components().all(|part| matches!(part, Component::Normal(_)));
        (plain && !text.is_empty() && !text.contains('\0')).then(|| PathBuf::from(text))
    };
    let whole = |text: &str| (text.len() > 1 && text.starts_with('/') && !text.contains('\0')).then(|| PathBuf::from(text));
    let remote = remote(reader);
    let branch = reader.key("update.branch", BRANCH, text::branch);
    let directory = reader.key("update.directory", WHOLE, whole);
    let user = reader.key("update.user", USER, text::user);
    warnings.extend(user.iter().flat_map(|user| lent(user, remote.is_some(), ssh)));
    let (build, gate) = (command(reader, "update.build"), command(reader, "update.gate"));
    let binary = reader.key("update.binary", BINARY, below);
    let program = reader.key("update.program", WHOLE, whole);
    let settle = reader.duration("update.settle", Duration::ZERO..=Duration::from_secs(600));
    let log = paths.key(reader, "update.log");
    Some(Update {
        remote: remote?,
        branch: branch?,
        directory: directory?,
        user: user?,
        build: build?,
        gate: gate?,
        binary: binary?,
        program: program?,
        settle: settle?,
        log: log?,
    })
}

/// Where the one who builds what nobody has vetted would be given the rights that SSH has. A host of Ananke has this user even
/// where it is not updated, and a log-in as it ends at its shell.
fn lent(user: &str, updates: bool, ssh: &Ssh) -> Vec<String> {
    let peers: Vec<&str> =
        ssh.peers.iter().filter(|(_, peer)| peer.route.login.target.user == user).map(|(name, _)| &**name).collect();
    let nodes = updates && ssh.routes.values().any(|route| route.login.target.user == user);
    let told = |key: &str, who: &str| {
        format!("{key}: {who} would be reached over SSH as {user}, who builds updates (update.user); take another user for it")
    };
    let peers = (!peers.is_empty()).then(|| told("coordination.peer_hosts", &peers.join(", ")));
    peers.into_iter().chain(nodes.then(|| told("ssh_user", "nodes"))).collect()
}

/// What is wrong with it is told without its words: it may hold a password.
fn remote(reader: &mut Reader<'_>) -> Option<Remote> {
    let found = reader.get("update.remote")?;
    reader.parsed(&found, REMOTE, Remote::parse)
}

fn command(reader: &mut Reader<'_>, key: &str) -> Option<Vec<String>> {
    let items = reader.items(key, COMMAND);
    let word = |text: &str| (!text.is_empty() && !text.contains('\0')).then(|| text.to_owned());
    let words: Vec<_> = items.iter().map(|found| reader.parsed(found, "a text that is not empty", word)).collect();
    match words.is_empty() {
        true if reader.get(key).is_some_and(|found| found.value.as_array().is_some()) => {
            reader.problem_at(key, format!("found an empty list; allowed: {COMMAND}"));
            None
        }
        true => None,
        false => words.into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::Remote;

    #[test]
    fn a_remote_is_verified_and_holds_no_secret_and_no_option() {
        for good in [
            "https://git.example.org/atlas/ananke.git",
            "https://git.example.org:3000/atlas/ananke.git",
            "ssh://git@git.example.org:2222/atlas/ananke.git",
            "git@git.example.org:atlas/ananke.git",
            "/srv/git/ananke.git",
        ] {
            assert!(Remote::parse(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "http://git.example.org/ananke.git",
            "git://git.example.org/ananke.git",
            "https://user:secret@git.example.org/ananke.git",
            "https://token@git.example.org/ananke.git",
            "ssh://git:secret@git.example.org/ananke.git",
            "ssh://-oProxyCommand=x/ananke.git",
            "https://git.example.org",
            "ext::sh -c x",
            "ext::sh",
            "--upload-pack=x",
            "-x@host:path",
            "git@-x:path",
            "git@host:-x",
            "ananke.git",
            "/srv/a b",
        ] {
            assert!(Remote::parse(bad).is_none(), "{bad}");
        }
    }
}
