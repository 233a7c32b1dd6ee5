//! Files that are whole at every moment: written beside, then renamed.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Put {
    Written,
    Unchanged,
}

pub(super) fn put(path: &Path, bytes: &[u8], mode: u32) -> Result<Put, String> {
    let failed = |error: std::io::Error| format!("write {}: {error}", path.display());
    let same_mode = fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o7777 == mode);
    if same_mode && fs::read(path).is_ok_and(|found| found == bytes) {
        return Ok(Put::Unchanged);
    }
    directory(path.parent().unwrap_or(Path::new("/")), 0o755)?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&beside).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.set_permissions(Permissions::from_mode(mode))).map_err(failed)?;
    file.sync_all().and_then(|()| fs::rename(&beside, path)).map_err(failed)?;
    Ok(Put::Written)
}

/// One that is there stays as it is.
pub(super) fn directory(path: &Path, mode: u32) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("create {}: {error}", path.display());
    if path.is_dir() {
        return Ok(());
    }
    // Those above it are everybody's.
    fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).map_err(failed)?;
    DirBuilder::new().mode(mode).create(path).map_err(failed)
}

pub(super) fn append(path: &Path, text: &str) -> Result<(), String> {
    let file = OpenOptions::new().append(true).create(true).mode(0o644).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| format!("write {}: {error}", path.display()))
}

pub(super) fn listed(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let failed = |error: std::io::Error| format!("list {}: {error}", directory.display());
    let entries = fs::read_dir(directory).map_err(failed)?;
    let mut paths = entries.map(|entry| Ok(entry.map_err(failed)?.path())).collect::<Result<Vec<_>, String>>()?;
    paths.sort();
    Ok(paths)
}
