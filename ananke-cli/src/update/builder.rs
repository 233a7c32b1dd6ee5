//! Programs of an update. What was fetched is not trusted yet, so Git, the build and the gate run as a user without rights,
//! with an environment of their own. Everything has a limit: time, and what is kept of the output.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::io::{PipeReader, Read};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use ananke_core::name::human;
use ananke_core::port::Clock;

use crate::clock::SteadyClock;

/// Enough for the end of a compiler's complaint or of a list of failed tests.
const TAIL: usize = 8 * 1024;
const LOOK: Duration = Duration::from_millis(50);
/// What a program said last comes through the pipe within this time; somebody it left behind may hold it open.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// All that a build gets of our environment.
const KEPT: [&str; 10] = [
    "CARGO_HOME",
    "RUSTUP_HOME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "https_proxy",
    "http_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// A program that did not do what it was asked for.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) why: String,
    /// Its last words.
    pub(crate) said: String,
}

impl Failed {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), said: String::new() }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

/// A line of `/etc/passwd`.
#[derive(Debug, PartialEq, Eq)]
struct Account {
    uid: u32,
    gid: u32,
    home: PathBuf,
}

/// Who builds.
#[derive(Debug)]
pub(crate) struct Builder {
    /// None: whoever we are.
    account: Option<Account>,
    env: Vec<(String, OsString)>,
}

impl Builder {
    /// `user` builds where root updates; anybody else builds as himself.
    pub(crate) fn new(user: &str) -> Result<Self, Failed> {
        let is_root = own_uid()? == 0;
        let account = if is_root { Some(lookup(user)?) } else { None };
        let home = account.as_ref().map(|account| account.home.clone()).or_else(|| inherited("HOME").map(PathBuf::from));
        let home = home.ok_or_else(|| Failed::new("HOME is not set; set it, or update as root"))?;
        let mut path = home.join(".cargo/bin").into_os_string();
        path.push(":");
        path.push(inherited("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into()));
        let mut env: Vec<(String, OsString)> = vec![
            ("PATH".to_owned(), path),
            ("HOME".to_owned(), home.into_os_string()),
            ("LANG".to_owned(), "C.UTF-8".into()),
            ("GIT_TERMINAL_PROMPT".to_owned(), "0".into()),
            ("GIT_SSH_COMMAND".to_owned(), "ssh -oBatchMode=yes -oConnectTimeout=20".into()),
        ];
        env.extend(KEPT.iter().filter_map(|key| Some(((*key).to_owned(), inherited(key)?))));
        Ok(Self { account, env })
    }

    /// Whom the files of a build belong to.
    pub(crate) fn uid(&self) -> Result<u32, Failed> {
        self.account.as_ref().map_or_else(own_uid, |account| Ok(account.uid))
    }

    /// All that was printed, or at least the end of it.
    pub(crate) fn run(&self, directory: &Path, words: &[&str], limit: Duration) -> Result<String, Failed> {
        let mut command = command(words)?;
        command.env_clear().envs(self.env.iter().map(|(key, value)| (key, value))).current_dir(directory);
        // Not from root to root: it would drop root's groups.
        if let Some(account) = self.account.as_ref().filter(|account| account.uid != 0) {
            command.uid(account.uid).gid(account.gid);
        }
        watched(command, &words.join(" "), limit)
    }
}

/// The same as ourselves, with our own environment.
pub(crate) fn run(words: &[&str], limit: Duration) -> Result<String, Failed> {
    watched(command(words)?, &words.join(" "), limit)
}

#[expect(clippy::disallowed_methods, reason = "Git, systemctl, the new program, and what the config names, without a shell")]
fn command(words: &[&str]) -> Result<Command, Failed> {
    let (program, arguments) = words.split_first().ok_or_else(|| Failed::new("there is nothing to run"))?;
    let mut command = Command::new(program);
    command.args(arguments);
    Ok(command)
}

fn watched(mut command: Command, line: &str, limit: Duration) -> Result<String, Failed> {
    let failed = |error: std::io::Error| Failed::new(format!("cannot run {line}: {error}"));
    let (reader, writer) = std::io::pipe().map_err(failed)?;
    command.stdin(Stdio::null()).stdout(writer.try_clone().map_err(failed)?).stderr(writer);
    let mut child = command.spawn().map_err(failed)?;
    // With it our ends of the pipe.
    drop(command);
    let tail = Arc::new(Mutex::new(VecDeque::new()));
    let listens = listen(reader, tail.clone());
    let clock = SteadyClock::start();
    let began = clock.now();
    let ended = loop {
        match child.try_wait().map_err(failed)? {
            Some(status) => break Some(status),
            None if clock.now().since(began) >= limit => break None,
            None => std::thread::sleep(LOOK),
        }
    };
    if ended.is_none() {
        // What it started itself ends with its pipes, or with the unit that we run in.
        child.kill().and_then(|()| child.wait()).map_err(failed)?;
    }
    let said = last_words(&listens, &tail);
    match ended {
        Some(status) if status.success() => Ok(said),
        ended => Err(Failed { why: format!("{line} {}", how(ended, limit)), said }),
    }
}

fn how(ended: Option<ExitStatus>, limit: Duration) -> String {
    ended.map_or_else(|| format!("did not end within {}", human(limit)), |status| format!("ended with {status}"))
}

fn listen(mut reader: PipeReader, tail: Arc<Mutex<VecDeque<u8>>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = reader.read(&mut bytes) {
            let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
            tail.extend(bytes.iter().take(count));
            let excess = tail.len().saturating_sub(TAIL);
            tail.drain(..excess);
        }
    })
}

fn last_words(listens: &JoinHandle<()>, tail: &Mutex<VecDeque<u8>>) -> String {
    let looks = LAST_WORDS.as_millis() / LOOK.as_millis();
    for _ in 0..looks {
        if listens.is_finished() {
            break;
        }
        std::thread::sleep(LOOK);
    }
    let tail: Vec<u8> = tail.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect();
    String::from_utf8_lossy(&tail).into_owned()
}

#[expect(clippy::disallowed_methods, reason = "an update hands a part of its environment to the build")]
fn inherited(key: &str) -> Option<OsString> {
    std::env::var_os(key).filter(|value| !value.is_empty())
}

fn own_uid() -> Result<u32, Failed> {
    let metadata = std::fs::metadata("/proc/self");
    Ok(metadata.map_err(|error| Failed::new(format!("look at /proc/self: {error}")))?.uid())
}

fn lookup(user: &str) -> Result<Account, Failed> {
    let passwd = std::fs::read_to_string("/etc/passwd").map_err(|error| Failed::new(format!("read /etc/passwd: {error}")))?;
    passwd.lines().find_map(|line| account(line, user)).ok_or_else(|| {
        let how = "`cargo xtask install` makes it where systemd-sysusers is, or name another one in update.user";
        Failed::new(format!("there is no user {user} on this machine to build as; {how}"))
    })
}

fn account(line: &str, user: &str) -> Option<Account> {
    let mut fields = line.split(':');
    if fields.next() != Some(user) {
        return None;
    }
    let (uid, gid, home) = (fields.nth(1)?, fields.next()?, fields.nth(1)?);
    Some(Account { uid: uid.parse().ok()?, gid: gid.parse().ok()?, home: home.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, limit: Duration) -> Result<String, Failed> {
        run(&["sh", "-c", script], limit)
    }

    #[test]
    fn what_is_printed_is_kept_from_its_end() {
        assert_eq!(sh("echo out; echo err >&2", LAST_WORDS * 5).unwrap(), "out\nerr\n");
        let long = sh("seq 1 20000; exit 3", LAST_WORDS * 5).unwrap_err();
        assert_eq!(long.why, "sh -c seq 1 20000; exit 3 ended with exit status: 3");
        assert!(long.said.len() == TAIL && long.said.ends_with("\n19999\n20000\n"), "{}", long.said);
    }

    #[test]
    fn what_takes_too_long_is_ended_and_what_it_leaves_is_not_waited_for() {
        let slow = sh("echo before; exec sleep 60", Duration::from_millis(300)).unwrap_err();
        assert_eq!(
            (slow.why.as_str(), slow.said.as_str()),
            ("sh -c echo before; exec sleep 60 did not end within 0s", "before\n")
        );
        assert_eq!(sh("sleep 20 & echo done", LAST_WORDS * 5).unwrap(), "done\n");
    }

    #[test]
    fn a_user_is_found_by_name_only() {
        let line = "ananke:x:998:997:Builds of Ananke:/var/cache/ananke:/usr/sbin/nologin";
        assert_eq!(account(line, "ananke"), Some(Account { uid: 998, gid: 997, home: "/var/cache/ananke".into() }));
        for torn in ["ananke", "ananke:x", "ananke:x:a:1::/:/x", "ananke2:x:1:1::/:/x"] {
            assert_eq!(account(torn, "ananke"), None, "{torn}");
        }
    }
}
