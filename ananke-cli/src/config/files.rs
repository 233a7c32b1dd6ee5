//! The files behind a config: readable, plausible, and not in the hands of other users.

use std::collections::BTreeSet;
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::error::ConfigError;
use super::reader::Reader;
use super::{HOW_TO_CREATE, Loaded};
use crate::archives;

/// A config for ten thousand nodes has well under this.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

const WRITABLE_BY_OTHERS: u32 = 0o022;
const READABLE_BY_OTHERS: u32 = 0o044;
const ANY_RIGHT_OF_OTHERS: u32 = 0o077;
const ANYBODY_RUNS: u32 = 0o111;

/// The text of the config file.
pub(crate) fn read(path: &Path) -> Result<String, ConfigError> {
    let refuse = |text: String| ConfigError::one(path, text);
    let file = File::open(path).map_err(|error| refuse(cannot_read(&error)))?;
    // Asked of the open file, so that what is checked is what is read.
    let metadata = file.metadata().map_err(|error| refuse(cannot_read(&error)))?;
    if metadata.is_dir() {
        return Err(refuse(format!("is a directory; {HOW_TO_CREATE}")));
    }
    if let Some(mode) = has(&metadata, WRITABLE_BY_OTHERS) {
        return Err(refuse(format!("other users can write it (mode {mode:04o}); run `chmod go-w {}`", path.display())));
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| refuse(cannot_read(&error)))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(refuse(format!("is larger than {} MiB; this is not a config of Ananke", MAX_BYTES >> 20)));
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(refuse(format!("is empty; {HOW_TO_CREATE}")));
    }
    let binary = |offset: usize| {
        refuse(format!("is not text: byte {offset} is not UTF-8 text; restore it from a copy, or {HOW_TO_CREATE}"))
    };
    if let Some(offset) = bytes.iter().position(|byte| *byte == 0) {
        return Err(binary(offset));
    }
    String::from_utf8(bytes).map_err(|error| binary(error.utf8_error().valid_up_to()))
}

/// The files that the config names.
pub(crate) fn check(reader: &mut Reader<'_>, loaded: &mut Loaded) {
    if let Some(metadata) = must_exist(reader, "kubeconfig", &loaded.kubeconfig) {
        not_writable(reader, "kubeconfig", &loaded.kubeconfig, &metadata);
        if has(&metadata, READABLE_BY_OTHERS).is_some() {
            let path = loaded.kubeconfig.display();
            loaded.warnings.push(format!("kubeconfig {path} can be read by other users; run `chmod go-r {path}`"));
        }
    }
    // A key of the config wins over the file of OpenSSH, so what is wrong is wrong there.
    let key = |key: &'static str| if reader.is_set(key) { key } else { "ssh_config_file" };
    let (identity_key, known_key) = (key("ssh_identity_file"), key("ssh_known_hosts_file"));
    let identities: BTreeSet<&Path> = loaded.ssh.logins().filter_map(|login| login.identity_file.as_deref()).collect();
    for path in identities {
        if let Some(metadata) = must_exist(reader, identity_key, path)
            && let Some(mode) = has(&metadata, ANY_RIGHT_OF_OTHERS)
        {
            let path = path.display();
            reader.problem_at(identity_key, format!("other users can use {path} (mode {mode:04o}); run `chmod 600 {path}`"));
        }
    }
    if let Some(directory) = &loaded.image_archives {
        let (found, warnings) = archives::read(directory);
        loaded.spec.bootstrap.archives = found;
        loaded.warnings.extend(warnings);
    }
    let known_hosts: BTreeSet<&Path> = loaded.ssh.logins().map(|login| login.known_hosts.as_path()).collect();
    for path in known_hosts {
        match std::fs::metadata(path) {
            Ok(metadata) => not_writable(reader, known_key, path, &metadata),
            Err(error) => loaded.warnings.push(format!(
                "cannot read {}: {}; no node can be trusted over SSH until its host key stands there",
                path.display(),
                words(&error)
            )),
        }
    }
}

/// The text of a file that nobody else can change.
pub(crate) fn text(path: &Path) -> Result<String, String> {
    let at = path.display();
    let unread = |error: io::Error| format!("cannot read {at}: {}", words(&error));
    let file = File::open(path).map_err(unread)?;
    let metadata = file.metadata().map_err(unread)?;
    if !metadata.is_file() {
        return Err(format!("cannot read {at}: it is not a file"));
    }
    if let Some(mode) = has(&metadata, WRITABLE_BY_OTHERS) {
        return Err(format!("other users can write {at} (mode {mode:04o}); run `chmod go-w {at}`"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unread)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("{at} is larger than {} MiB; allowed: a file that is not", MAX_BYTES >> 20));
    }
    String::from_utf8(bytes).map_err(|error| format!("{at} is not UTF-8 text at byte {}", error.utf8_error().valid_up_to()))
}

/// A file that nobody else can change: CA certificates.
pub(crate) fn trusted(path: &Path) -> Result<(), String> {
    allowed(path, WRITABLE_BY_OTHERS, "write", "go-w")
}

/// A file that is nobody else's business: keys.
pub(crate) fn private(path: &Path) -> Result<(), String> {
    allowed(path, ANY_RIGHT_OF_OTHERS, "use", "go-rwx")
}

/// A directory that nobody else can put something into.
pub(crate) fn nobody_elses(directory: &Path) -> Result<(), String> {
    // What cannot be looked at cannot be read either, and that says why.
    match std::fs::metadata(directory).ok().and_then(|metadata| has(&metadata, WRITABLE_BY_OTHERS)) {
        Some(mode) => Err(format!("other users can write {0} (mode {mode:04o}); run `chmod go-w {0}`", directory.display())),
        None => Ok(()),
    }
}

/// A program that nobody else can exchange.
pub(crate) fn program(path: &Path) -> Result<(), String> {
    let looked = std::fs::metadata(path).map_err(|error| format!("cannot run {}: {}", path.display(), words(&error)))?;
    if !looked.is_file() || has(&looked, ANYBODY_RUNS).is_none() {
        return Err(format!("cannot run {}: it is not a program", path.display()));
    }
    match has(&looked, WRITABLE_BY_OTHERS) {
        Some(mode) => Err(format!("other users can write {0} (mode {mode:04o}); run `chmod go-w {0}`", path.display())),
        None => Ok(()),
    }
}

fn allowed(path: &Path, bits: u32, verb: &str, chmod: &str) -> Result<(), String> {
    let at = path.display();
    // Looked at first: to open a pipe is to wait for whoever writes into it.
    match std::fs::metadata(path).and_then(|of| if of.is_file() { File::open(path)?.metadata() } else { Ok(of) }) {
        Ok(metadata) if !metadata.is_file() => Err(format!("cannot read {at}: it is not a file")),
        Ok(metadata) => match has(&metadata, bits) {
            Some(mode) => Err(format!("other users can {verb} {at} (mode {mode:04o}); run `chmod {chmod} {at}`")),
            None => Ok(()),
        },
        Err(error) => Err(format!("cannot read {at}: {}", words(&error))),
    }
}

fn must_exist(reader: &mut Reader<'_>, key: &str, path: &Path) -> Option<Metadata> {
    // Opened, not only looked up: a file that cannot be read is found here and not in the middle of a recovery.
    let looked = File::open(path).and_then(|file| file.metadata());
    let text = match looked {
        Ok(metadata) if metadata.is_file() => return Some(metadata),
        Ok(_) => "it is not a file".to_owned(),
        Err(error) => words(&error),
    };
    reader.problem_at(key, format!("cannot read {}: {text}; allowed: a file that Ananke can read", path.display()));
    None
}

fn not_writable(reader: &mut Reader<'_>, key: &str, path: &Path, metadata: &Metadata) {
    if let Some(mode) = has(metadata, WRITABLE_BY_OTHERS) {
        let path = path.display();
        reader.problem_at(key, format!("other users can write {path} (mode {mode:04o}); run `chmod go-w {path}`"));
    }
}

/// The mode, if it has any of `bits`.
fn has(metadata: &Metadata, bits: u32) -> Option<u32> {
    let mode = metadata.permissions().mode() & 0o7777;
    (mode & bits != 0).then_some(mode)
}

fn cannot_read(error: &io::Error) -> String {
    if error.kind() == ErrorKind::NotFound {
        format!("does not exist; {HOW_TO_CREATE}")
    } else if error.kind() == ErrorKind::PermissionDenied {
        "cannot be read by this user; run ananke as root or with sudo, or name another file with --config".to_owned()
    } else {
        format!("cannot be read: {error}")
    }
}

fn words(error: &io::Error) -> String {
    if error.kind() == ErrorKind::NotFound { "it does not exist".to_owned() } else { error.to_string() }
}
