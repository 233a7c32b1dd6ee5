//! Vault's seal over its API. Key shares come from the key file or from the break-glass command, and go into request bodies
//! only: never into a URL, an argument, a log or an error. What held one is overwritten before its memory is given back; what
//! TLS made of it is encrypted, in buffers that are TLS' own.

use std::fmt;
use std::io::{ErrorKind as IoError, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use ananke_core::engine::Permit;
use ananke_core::observation::VaultState;
use ananke_core::port::{ErrorKind, PortError, VaultActions, VaultReads, clean};
use async_trait::async_trait;
use http::Method;
use hyper::body::Bytes;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::config::VaultSettings;
use crate::web::{Ask, Got, Web};

const TRIED: &str = "unseal";
/// At the last share Vault reads its storage, which may have just come up itself.
const DEADLINE: Duration = Duration::from_secs(20);
/// A person may have to touch a token; longer, and nobody is there.
const COMMAND_DEADLINE: Duration = Duration::from_secs(60);
/// Looks, 10 ms apart, at whether a command that has closed its output has ended too.
const LAST_BREATH: u32 = 200;
/// Shares are some ninety characters each, and few.
const MAX_KEYS: usize = 16 * 1024;
/// A seal status has some hundred bytes.
const MAX_ANSWER: usize = 16 * 1024;
const ANY_RIGHT_OF_OTHERS: u32 = 0o077;

/// The ports on Vault; without settings there is none.
#[derive(Debug)]
pub(crate) struct HttpVault {
    settings: Option<VaultSettings>,
    web: Web,
    command_deadline: Duration,
}

/// What Vault says of itself.
#[derive(Debug, Deserialize)]
struct SealStatus {
    initialized: bool,
    sealed: bool,
    /// Shares that it takes.
    #[serde(default)]
    t: u64,
}

#[derive(Debug, Deserialize)]
struct Errors {
    errors: Vec<String>,
}

impl HttpVault {
    pub(crate) fn new(settings: Option<VaultSettings>) -> Self {
        let web = Web::new(settings.as_ref().and_then(|settings| settings.ca_file.as_deref()), DEADLINE);
        Self { settings, web, command_deadline: COMMAND_DEADLINE }
    }

    fn settings(&self, tried: &str) -> Result<&VaultSettings, PortError> {
        let none = || PortError::new(ErrorKind::Missing, tried, "Vault", "startup.vault_address is not set");
        self.settings.as_ref().ok_or_else(none)
    }

    async fn status(&self, settings: &VaultSettings) -> Result<SealStatus, PortError> {
        let url = format!("{}/v1/sys/seal-status", settings.address);
        let got = self.web.ask(&ask(Method::GET, &url, settings, None)).await?;
        understood("GET", &url, &got, &Shares::default())
    }

    /// Gives Vault one share after the other until it is unsealed.
    async fn give(&self, settings: &VaultSettings, shares: &Shares) -> Result<(), PortError> {
        let url = format!("{}/v1/sys/unseal", settings.address);
        let mut wanted = 0;
        for share in &shares.0 {
            let got = self.web.ask(&ask(Method::PUT, &url, settings, Some(request(share)))).await?;
            let status = understood(TRIED, &url, &got, shares)?;
            if !status.sealed {
                return Ok(());
            }
            wanted = status.t;
        }
        let found = format!("it took {} key shares and is still sealed; it wants {wanted}", shares.0.len());
        Err(PortError::new(ErrorKind::Invalid, TRIED, &url, found))
    }

    async fn run_command(&self, settings: &VaultSettings) -> Result<(), PortError> {
        let (command, deadline) = (settings.breakglass.clone(), self.command_deadline);
        let printed = tokio::task::spawn_blocking(move || run(&command, deadline)).await;
        let failed = |found: &dyn fmt::Display| PortError::new(ErrorKind::Transient, TRIED, "the break-glass command", found);
        let shares = printed.map_err(|error| failed(&error))??;
        if !shares.0.is_empty() {
            return self.give(settings, &shares).await;
        }
        match self.status(settings).await?.sealed {
            false => Ok(()),
            true => Err(failed(&"it printed no key shares, and Vault is still sealed")),
        }
    }

    /// Unseals it: by the key file, and where that cannot be used or does not fit, by the break-glass command.
    async fn open(&self) -> Result<(), PortError> {
        let settings = self.settings(TRIED)?;
        if !self.status(settings).await?.sealed {
            return Ok(());
        }
        if let Some(path) = &settings.key_file {
            let given = match key_file(path) {
                Ok(shares) => self.give(settings, &shares).await,
                Err(error) => Err(error),
            };
            match given {
                // Only keys that cannot be had, or do not fit, are a reason to break the glass: a Vault that is away is not.
                Err(error) if error.kind != ErrorKind::Transient && !settings.breakglass.is_empty() => {
                    tracing::warn!(%error, "the key file did not unseal Vault; the break-glass command is run");
                }
                given => return given,
            }
        }
        if settings.breakglass.is_empty() {
            let found = "neither startup.vault_unseal_key_file nor startup.vault_unseal_breakglass_command is set";
            return Err(PortError::new(ErrorKind::Missing, TRIED, &settings.address, found));
        }
        self.run_command(settings).await
    }
}

#[async_trait]
impl VaultReads for HttpVault {
    async fn seal_status(&self) -> Result<VaultState, PortError> {
        let status = self.status(self.settings("ask for the seal status")?).await?;
        Ok(VaultState { initialised: status.initialized, sealed: status.sealed })
    }
}

#[async_trait]
impl VaultActions for HttpVault {
    async fn unseal(&self, _: &Permit) -> Result<(), PortError> {
        self.open().await
    }
}

/// The body that gives Vault one share.
fn request(key: &str) -> Bytes {
    #[derive(Serialize)]
    struct Unseal<'a> {
        key: &'a str,
    }
    // Room for the whole of it, so that nothing is left behind by growing.
    let mut body = Zeroizing::new(Vec::with_capacity(key.len().saturating_mul(2).saturating_add(32)));
    // Nothing can refuse to be written into memory.
    serde_json::to_writer(&mut *body, &Unseal { key }).ok();
    Bytes::from_owner(body)
}

fn ask<'a>(method: Method, url: &'a str, settings: &'a VaultSettings, json: Option<Bytes>) -> Ask<'a> {
    Ask { method, url, at: settings.at.as_ref(), json, authorization: None, limit: MAX_ANSWER }
}

fn understood(tried: &str, url: &str, got: &Got, shares: &Shares) -> Result<SealStatus, PortError> {
    let refused = |kind| {
        let said = serde_json::from_slice::<Errors>(&got.body).map(|said| said.errors.join("; ")).unwrap_or_default();
        PortError::new(kind, tried, url, format!("Vault answers {}: {}", got.status, clean(&shares.cut_out_of(&said), 200)))
    };
    match got.status {
        200 => serde_json::from_slice(&got.body)
            .map_err(|_| PortError::new(ErrorKind::Invalid, tried, url, "the answer is not the seal status of a Vault")),
        400 => Err(refused(ErrorKind::Invalid)),
        401 | 403 => Err(refused(ErrorKind::Denied)),
        // Whoever stands in front of a Vault that is not up yet answers like this.
        _ => Err(refused(ErrorKind::Transient)),
    }
}

/// Key shares; never printed.
#[derive(Default, PartialEq, Eq)]
struct Shares(Vec<Zeroizing<String>>);

impl fmt::Debug for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} key shares", self.0.len())
    }
}

impl Shares {
    /// One share on each line; empty lines do not count.
    fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        let text = std::str::from_utf8(bytes).map_err(|_| "it is not text")?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let shares: Vec<Zeroizing<String>> = lines.map(|line| Zeroizing::new(line.to_owned())).collect();
        let plausible = |share: &Zeroizing<String>| share.bytes().all(|b| b.is_ascii_graphic());
        match shares.iter().all(plausible) {
            true => Ok(Self(shares)),
            false => Err("it holds something else than key shares, one on each line"),
        }
    }

    /// A server that repeats what it was given must not get it into a report.
    fn cut_out_of(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, share| text.replace(share.as_str(), "[key share]"))
    }
}

/// The shares in the key file, if they are its owner's alone.
fn key_file(path: &Path) -> Result<Shares, PortError> {
    let refuse = |kind, found: String| PortError::new(kind, "read the key file", path.display(), found);
    let unreadable = |error: std::io::Error| {
        let kind = if error.kind() == IoError::NotFound { ErrorKind::Missing } else { ErrorKind::Denied };
        refuse(kind, error.to_string())
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    // Asked of the open file, so that what is checked is what is read.
    let metadata = file.metadata().map_err(unreadable)?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & ANY_RIGHT_OF_OTHERS != 0 {
        let path = path.display();
        return Err(refuse(ErrorKind::Denied, format!("other users can use it (mode {mode:04o})"))
            .with_remedy(format!("run `chmod 600 {path}`, and take the key shares in it for known")));
    }
    let bytes = read_all(file).map_err(unreadable)?;
    match Shares::parse(&bytes) {
        Ok(shares) if shares.0.is_empty() => Err(refuse(ErrorKind::Invalid, "it is empty".to_owned())),
        Ok(shares) => Ok(shares),
        Err(found) => Err(refuse(ErrorKind::Invalid, found.to_owned())),
    }
}

/// At most [`MAX_KEYS`], into memory that is overwritten when it is not needed any more. It has room for all of it from the
/// beginning, so that nothing is left behind by growing.
fn read_all(from: impl Read) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_KEYS.saturating_add(1)));
    from.take(MAX_KEYS as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Runs the break-glass command and reads the shares that it prints. What it says on stderr is dropped: it may hold secrets.
fn run(command: &[String], deadline: Duration) -> Result<Shares, PortError> {
    let failed = |kind, found: String| {
        PortError::new(kind, TRIED, "the break-glass command", found)
            .with_remedy("run the break-glass command by hand and unseal Vault")
    };
    let Some((program, arguments)) = command.split_first() else {
        return Err(failed(ErrorKind::Missing, "it is empty".to_owned()));
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "the operator's own break-glass command, as the config has it, without a shell"
    )]
    let mut command = std::process::Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| failed(ErrorKind::Missing, format!("cannot start {program}: {error}")))?;
    let printed = child.stdout.take().and_then(|stdout| read_within(stdout, deadline));
    let (Some(bytes), Some(status)) = (printed, ended(&mut child)) else {
        child.kill().ok();
        child.wait().ok();
        return Err(failed(ErrorKind::Transient, format!("it did not end within {deadline:?}")));
    };
    if !status.success() {
        return Err(failed(ErrorKind::Transient, format!("{program} ended with {status}")));
    }
    Shares::parse(&bytes).map_err(|found| failed(ErrorKind::Invalid, format!("what it printed is not usable: {found}")))
}

/// All that is printed until the end; none if the end does not come in time.
fn read_within(stdout: ChildStdout, deadline: Duration) -> Option<Zeroizing<Vec<u8>>> {
    let (sender, printed) = mpsc::channel();
    // The thread ends with the pipe; nobody waits for it after the deadline.
    std::thread::spawn(move || {
        if let Ok(bytes) = read_all(stdout) {
            sender.send(bytes).ok();
        }
    });
    printed.recv_timeout(deadline).ok()
}

/// A command that has closed its output is as good as over.
fn ended(child: &mut Child) -> Option<ExitStatus> {
    for _ in 0..LAST_BREATH {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    None
}

#[cfg(test)]
mod tests;
