//! Who Ananke logs in as: a private key of its own, or keys that an SSH agent holds.
//!
//! A file is refused where others can read it, and its text reaches no message. A passphrase is never asked for: the
//! agent holds a key that has one.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ananke_core::port::{ErrorKind, PortError};
use russh::keys::{PrivateKey, PublicKey};

use crate::settings::Login;

const TRIED: &str = "read the SSH identity";

/// By their files; none: the agent's keys.
pub(crate) type Identities = BTreeMap<Option<PathBuf>, Identity>;

#[derive(Clone)]
pub(crate) enum Identity {
    File {
        key: Arc<PrivateKey>,
        file: String,
    },
    /// The key of an encrypted file, or every key of the agent.
    Agent {
        socket: PathBuf,
        only: Option<Box<Locked>>,
    },
}

/// An encrypted file, as far as it can be read.
#[derive(Clone)]
pub(crate) struct Locked {
    pub(crate) key: PublicKey,
    pub(crate) file: String,
}

impl Identity {
    /// Those of all logins; each file is read once.
    pub(crate) fn of_all<'l>(logins: impl IntoIterator<Item = &'l Login>, agent: Option<&Path>) -> Result<Identities, PortError> {
        let mut all = Identities::new();
        for login in logins {
            if !all.contains_key(&login.identity_file) {
                all.insert(login.identity_file.clone(), Self::load(login.identity_file.as_deref(), agent)?);
            }
        }
        Ok(all)
    }

    fn load(file: Option<&Path>, agent: Option<&Path>) -> Result<Self, PortError> {
        match (file, agent.map(Path::to_owned)) {
            (Some(path), agent) => Self::of_file(path, agent),
            (None, Some(socket)) => Ok(Self::Agent { socket, only: None }),
            (None, None) => {
                let found = "ssh_identity_file is not set, and no SSH agent is there (SSH_AUTH_SOCK)";
                let remedy = "name the private key for the nodes in ssh_identity_file, or start ananke where an agent is: sudo \
                              keeps it with --preserve-env=SSH_AUTH_SOCK";
                Err(PortError::new(ErrorKind::Invalid, TRIED, "this machine", found).with_remedy(remedy))
            }
        }
    }

    fn of_file(path: &Path, agent: Option<PathBuf>) -> Result<Self, PortError> {
        let file = path.display().to_string();
        let io = |error: std::io::Error| {
            let missing = error.kind() == std::io::ErrorKind::NotFound;
            let kind = if missing { ErrorKind::Missing } else { ErrorKind::Denied };
            PortError::new(kind, TRIED, &file, error).with_remedy("set ssh_identity_file to a private key that ananke can read")
        };
        let mode = std::fs::metadata(path).map_err(io)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            let found = format!("its mode is {mode:04o}: others can use it");
            return Err(PortError::new(ErrorKind::Denied, TRIED, &file, found).with_remedy(format!("chmod 600 {file}")));
        }
        let text = std::fs::read_to_string(path).map_err(io)?;
        let invalid = |found: String| PortError::new(ErrorKind::Invalid, TRIED, &file, found);
        let error = match russh::keys::decode_secret_key(&text, None) {
            Ok(key) => return Ok(Self::File { key: Arc::new(key), file }),
            Err(error) => error,
        };
        if !is_encrypted(&text) {
            let remedy = "name a private key as `ssh-keygen -t ed25519` writes it";
            return Err(invalid(error.to_string()).with_remedy(remedy));
        }
        let Some(key) = public_part(&text, path) else {
            let remedy = format!("write its public key beside it: ssh-keygen -y -f {file} > {file}.pub");
            return Err(invalid("it is encrypted, and does not tell its public key".to_owned()).with_remedy(remedy));
        };
        let Some(socket) = agent else {
            let remedy = format!(
                "run `ssh-add {file}` under an ssh-agent, and ananke with its SSH_AUTH_SOCK (sudo keeps it with \
                 --preserve-env=SSH_AUTH_SOCK); or give ananke a key of its own without a passphrase"
            );
            return Err(invalid("it is encrypted, and no SSH agent is there (SSH_AUTH_SOCK)".to_owned()).with_remedy(remedy));
        };
        Ok(Self::Agent { socket, only: Some(Box::new(Locked { key, file })) })
    }
}

/// OpenSSH's format says so within; those of OpenSSL in their text.
fn is_encrypted(text: &str) -> bool {
    let marks = ["-----BEGIN ENCRYPTED PRIVATE KEY-----", "Proc-Type: 4,ENCRYPTED"];
    PrivateKey::from_openssh(text).is_ok_and(|key| key.is_encrypted()) || marks.iter().any(|mark| text.contains(mark))
}

/// OpenSSH's format holds the public key in the clear; beside the others it stands in `FILE.pub`.
fn public_part(text: &str, path: &Path) -> Option<PublicKey> {
    if let Ok(key) = PrivateKey::from_openssh(text) {
        return Some(key.public_key().clone());
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(".pub");
    PublicKey::from_openssh(&std::fs::read_to_string(beside).ok()?).ok()
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File { file, .. } => f.debug_struct("File").field("file", file).finish_non_exhaustive(),
            Self::Agent { socket, .. } => f.debug_struct("Agent").field("socket", socket).finish_non_exhaustive(),
        }
    }
}
