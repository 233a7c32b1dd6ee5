//! The private key that Ananke logs in with. It is refused where others can read it, and its text reaches no message.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use ananke_core::port::{ErrorKind, PortError};
use russh::keys::{HashAlg, PrivateKey};

const TRIED: &str = "read the SSH identity";

/// A loaded key and what messages may say of it.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) key: Arc<PrivateKey>,
    pub(crate) file: String,
}

impl Identity {
    pub(crate) fn load(path: &Path) -> Result<Self, PortError> {
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
        let key = russh::keys::decode_secret_key(&text, None).map_err(|error| {
            let remedy = "give ananke a key of its own without a passphrase: ssh-keygen -t ed25519 -N ''";
            PortError::new(ErrorKind::Invalid, TRIED, &file, error).with_remedy(remedy)
        })?;
        Ok(Self { key: Arc::new(key), file })
    }

    pub(crate) fn fingerprint(&self) -> String {
        self.key.public_key().fingerprint(HashAlg::Sha256).to_string()
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("file", &self.file).finish_non_exhaustive()
    }
}
