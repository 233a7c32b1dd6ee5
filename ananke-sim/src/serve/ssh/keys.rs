//! Keys of a simulated site: made fresh each time, in OpenSSH's formats.

use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use russh::keys::key::safe_rng;
use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, PrivateKey, PublicKey};

/// A new ed25519 key.
pub fn generate() -> io::Result<PrivateKey> {
    PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519).map_err(io::Error::other)
}

/// Writes `path` (mode 0600) and `path.pub`; what was there is replaced.
pub fn write(path: &Path, key: &PrivateKey) -> io::Result<()> {
    let text = key.to_openssh(LineEnding::LF).map_err(io::Error::other)?;
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(text.as_bytes())?;
    let mut public = path.as_os_str().to_owned();
    public.push(".pub");
    std::fs::write(public, public_line(key.public_key())? + "\n")
}

/// `ssh-ed25519 AAAA…`, as `authorized_keys` and `known_hosts` hold it.
pub fn public_line(key: &PublicKey) -> io::Result<String> {
    key.to_openssh().map_err(io::Error::other)
}
