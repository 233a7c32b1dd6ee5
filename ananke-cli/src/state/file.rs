//! One file at a time: read whole or found torn, replaced atomically, set aside without overwriting anything.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use ananke_core::port::{ErrorKind, PortError, without_password};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A progress of ten thousand nodes has a tenth of this.
pub(super) const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// More torn copies than this mean a dying disk; more of them would tell nobody anything.
const MAX_ASIDE: u32 = 1000;

const TEMPORARY: &str = ".tmp-";

pub(super) enum Content<T> {
    Absent,
    Whole(T),
    /// Neither absent nor ours: why, in a few words.
    Torn(String),
}

/// Why a write failed, and whether room on the disk would have helped.
#[derive(Debug)]
pub(super) struct WriteError {
    pub(super) full: bool,
    error: PortError,
}

impl WriteError {
    fn new(tried: &str, path: &Path, error: &io::Error) -> Self {
        let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        Self { full, error: io_error(tried, path, error) }
    }
}

impl From<PortError> for WriteError {
    fn from(error: PortError) -> Self {
        Self { full: false, error }
    }
}

impl From<WriteError> for PortError {
    fn from(failed: WriteError) -> Self {
        failed.error
    }
}

#[derive(Deserialize)]
struct Head {
    schema: u32,
}

/// Reads JSON with a `schema` field. An error only where the file cannot be read at all.
pub(super) fn read<T: DeserializeOwned>(path: &Path, schema: u32) -> Result<Content<T>, PortError> {
    let bytes = match content(path)? {
        Content::Whole(bytes) => bytes,
        Content::Absent => return Ok(Content::Absent),
        Content::Torn(why) => return Ok(Content::Torn(why)),
    };
    if bytes.is_empty() {
        return Ok(Content::Torn("it is empty".to_owned()));
    }
    let foreign = match serde_json::from_slice::<Head>(&bytes) {
        Ok(head) if head.schema == schema => None,
        Ok(head) => Some(format!("its schema is {}, this ananke knows {schema}", head.schema)),
        Err(error) => Some(format!("it is torn or not ours: {error}")),
    };
    if let Some(why) = foreign {
        return Ok(Content::Torn(why));
    }
    match serde_json::from_slice(&bytes) {
        Ok(value) => Ok(Content::Whole(value)),
        Err(error) => Ok(Content::Torn(format!("it is torn or not ours: {error}"))),
    }
}

/// The bytes of a file; torn is what no file of ours can be.
pub(super) fn content(path: &Path) -> Result<Content<Vec<u8>>, PortError> {
    if path.is_dir() {
        return Ok(Content::Torn("it is a directory".to_owned()));
    }
    Ok(match bytes(path)? {
        None => Content::Absent,
        Some(bytes) if bytes.len() as u64 > MAX_BYTES => Content::Torn("it is far too large".to_owned()),
        Some(bytes) => Content::Whole(bytes),
    })
}

/// The content, up to one byte more than is allowed.
pub(super) fn bytes(path: &Path) -> Result<Option<Vec<u8>>, PortError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error("read", path, &error)),
    }
}

/// Writes JSON so that after any crash the file is the old one or the new one, and after `Ok` the new one. No password of a
/// URL is kept, wherever it stands: in what names it, in an error, or in an event.
pub(super) fn replace<T: Serialize>(path: &Path, value: &T) -> Result<(), WriteError> {
    replace_text(path, without_password(&pretty(path, value)?).as_bytes())
}

/// The same, with all that is in it: what is made again from it must be what it was.
pub(super) fn replace_exactly<T: Serialize>(path: &Path, value: &T) -> Result<(), WriteError> {
    replace_text(path, pretty(path, value)?.as_bytes())
}

fn pretty<T: Serialize>(path: &Path, value: &T) -> Result<String, PortError> {
    let mut text = serde_json::to_string_pretty(value).map_err(|error| not_json(path, &error))?;
    text.push('\n');
    Ok(text)
}

pub(super) fn replace_text(path: &Path, text: &[u8]) -> Result<(), WriteError> {
    let temporary = temporary_for(path);
    let written = write_new(&temporary, text)
        .and_then(|()| fs::rename(&temporary, path).map_err(|error| WriteError::new("replace", path, &error)));
    if written.is_err() {
        // On a full disk, what was written so far is the first thing to give back.
        drop(fs::remove_file(&temporary));
    }
    written?;
    Ok(sync_parent(path)?)
}

/// Whether a line must be durable when the call returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durable {
    Yes,
    /// With the next line that must be.
    Later,
}

/// Appends one line of JSON, without the passwords of its URLs. What is torn before it keeps to itself, and what was written of
/// a line that does not fit is taken back.
pub(super) fn append<T: Serialize>(path: &Path, value: &T, durable: Durable) -> Result<(), WriteError> {
    let mut line = without_password(&serde_json::to_string(value).map_err(|error| not_json(path, &error))?);
    line.push('\n');
    let is_new = !exists(path)?;
    let mut file = super::private(OpenOptions::new().read(true).append(true).create(true))
        .open(path)
        .map_err(|error| WriteError::new("open for appending", path, &error))?;
    let (length, torn) = end_of(&mut file).map_err(|error| io_error("read", path, &error))?;
    if torn {
        line.insert(0, '\n');
    }
    if let Err(error) = file.write_all(line.as_bytes()) {
        // Nobody else appends to it; if it cannot be cut, the half line counts as torn.
        drop(file.set_len(length));
        return Err(WriteError::new("append", path, &error));
    }
    if durable == Durable::Yes {
        sync(&file, path)?;
    }
    if is_new { Ok(sync_parent(path)?) } else { Ok(()) }
}

/// The length of a file of lines, and whether its last line has no end.
fn end_of(file: &mut File) -> io::Result<(u64, bool)> {
    let length = file.seek(SeekFrom::End(0))?;
    if length == 0 {
        return Ok((0, false));
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok((length, last != *b"\n"))
}

/// An empty, durable file.
pub(super) fn touch(path: &Path) -> Result<(), WriteError> {
    if exists(path)? {
        return Ok(());
    }
    write_new(path, b"")?;
    Ok(sync_parent(path)?)
}

pub(super) fn exists(path: &Path) -> Result<bool, PortError> {
    path.try_exists().map_err(|error| io_error("look for", path, &error))
}

/// Nothing to remove is fine.
pub(super) fn remove(path: &Path) -> Result<(), PortError> {
    match fs::remove_file(path) {
        Ok(()) => sync_parent(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io_error("remove", path, &error)),
    }
}

/// Renames `NAME` to the first free `NAME.torn-<n>`.
pub(super) fn set_aside(path: &Path) -> Result<PathBuf, PortError> {
    for number in 1..=MAX_ASIDE {
        let aside = aside(path, number);
        if path.is_dir() {
            if exists(&aside)? {
                continue;
            }
            fs::rename(path, &aside).map_err(|error| io_error("set aside", path, &error))?;
            sync_parent(path)?;
            return Ok(aside);
        }
        // A hard link, unlike a rename, never takes the place of a copy that is there.
        match fs::hard_link(path, &aside) {
            Ok(()) => {
                remove(path)?;
                return Ok(aside);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(io_error("set aside", path, &error)),
        }
    }
    let error =
        PortError::new(ErrorKind::Invalid, "set aside", path.display(), format!("there are {MAX_ASIDE} torn copies already"));
    Err(error.with_remedy("check the disk, then remove the copies"))
}

/// The torn copy with the highest number.
pub(super) fn newest_aside(path: &Path) -> Result<Option<PathBuf>, PortError> {
    let mut newest = None;
    for number in 1..=MAX_ASIDE {
        let aside = aside(path, number);
        if exists(&aside)? {
            newest = Some(aside);
        }
    }
    Ok(newest)
}

pub(super) fn sync_directory(directory: &Path) -> Result<(), PortError> {
    File::open(directory).and_then(|file| file.sync_all()).map_err(|error| io_error("make durable", directory, &error))
}

pub(super) fn sync_parent(path: &Path) -> Result<(), PortError> {
    sync_directory(directory_of(path))
}

/// Of a bare name, the directory that we are in.
fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

/// Removes what writers that were killed left behind. Best effort: a leftover is ugly, not wrong.
pub(super) fn sweep_temporaries(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let writer = name.to_str().and_then(|name| name.split_once(TEMPORARY)).and_then(|(_, rest)| rest.split('-').next());
        // Whoever is alive may be about to rename it.
        let dead = writer.and_then(|pid| pid.parse::<u32>().ok()).is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists());
        if dead {
            drop(fs::remove_file(entry.path()));
        }
    }
}

/// An I/O error in our words: the path, what was found, and what a person can do.
#[expect(clippy::wildcard_enum_match_arm, reason = "the kinds of std are open-ended, and only a few have a way out of their own")]
pub(super) fn io_error(tried: &str, path: &Path, error: &io::Error) -> PortError {
    use io::ErrorKind as Io;
    let directory = directory_of(path).display();
    let on = path.display();
    let (kind, remedy) = match error.kind() {
        Io::StorageFull | Io::QuotaExceeded => {
            (ErrorKind::Transient, Some(format!("free space for {directory} (`df -h {directory}`, `df -i {directory}`)")))
        }
        Io::PermissionDenied => {
            (ErrorKind::Denied, Some(format!("run ananke as the user who owns {directory}, usually root with sudo")))
        }
        Io::ReadOnlyFilesystem => (
            ErrorKind::Denied,
            Some(format!("the file system of {directory} is read-only: see `dmesg`, then remount it writable")),
        ),
        Io::IsADirectory => (ErrorKind::Invalid, Some(format!("a directory stands where a file belongs: move {on} away"))),
        Io::NotADirectory | Io::InvalidFilename => (ErrorKind::Invalid, None),
        Io::NotFound => (ErrorKind::Missing, None),
        _ => (ErrorKind::Transient, None),
    };
    let port_error = PortError::new(kind, tried, on, error);
    match remedy {
        Some(remedy) => port_error.with_remedy(remedy),
        None => port_error,
    }
}

fn write_new(path: &Path, text: &[u8]) -> Result<(), WriteError> {
    let opened = super::private(OpenOptions::new().write(true).create_new(true)).open(path);
    let mut file = opened.map_err(|error| WriteError::new("create", path, &error))?;
    file.write_all(text).map_err(|error| WriteError::new("write", path, &error))?;
    sync(&file, path)
}

fn sync(file: &File, path: &Path) -> Result<(), WriteError> {
    file.sync_all().map_err(|error| WriteError::new("make durable", path, &error))
}

fn not_json(path: &Path, error: &serde_json::Error) -> PortError {
    PortError::new(ErrorKind::Invalid, "write as JSON", path.display(), error)
}

/// Its own for every write: a shutdown writes while a start-up that is about to yield still does.
fn temporary_for(path: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    suffixed(path, &format!("{TEMPORARY}{}-{count}", std::process::id()))
}

fn aside(path: &Path, number: u32) -> PathBuf {
    suffixed(path, &format!(".torn-{number}"))
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_and_a_missing_right_name_the_path_and_the_way_out() {
        let path = Path::new("/var/lib/ananke/leases.json");
        let words = |code| {
            let error = io_error("write", path, &io::Error::from_raw_os_error(code));
            (error.kind, error.to_string(), error.remedy.unwrap())
        };
        let (enospc, erofs, eacces) = (words(28), words(30), words(13));
        assert_eq!(enospc.0, ErrorKind::Transient);
        assert_eq!(enospc.1, "write on /var/lib/ananke/leases.json: No space left on device (os error 28)");
        assert!(enospc.2.contains("df -h /var/lib/ananke"), "{}", enospc.2);
        assert_eq!((erofs.0, eacces.0), (ErrorKind::Denied, ErrorKind::Denied));
        assert!(eacces.2.contains("sudo"), "{}", eacces.2);
    }

    #[test]
    fn a_bare_name_is_a_file_of_the_directory_that_we_are_in() {
        assert_eq!(sync_parent(Path::new("snapshot.json")), Ok(()));
        let of = |path: &'static str| directory_of(Path::new(path)).to_str();
        assert_eq!([of("a.json"), of("state/a.json"), of("/a.json"), of("/")], [Some("."), Some("state"), Some("/"), Some("/")]);
    }

    #[test]
    fn no_password_of_a_url_is_kept_wherever_it_stands() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        let with = |login: &str| {
            let url = format!("https://{login}h/");
            serde_json::json!({format!("GET {url}"): [url, 1, null], "on": format!("'https://{login}h'\n\"ups@h\"")})
        };
        let kept = || serde_json::from_str::<serde_json::Value>(&fs::read_to_string(&path).unwrap()).unwrap();
        replace(&path, &with("u:p@")).unwrap();
        assert_eq!(kept(), with(""));
        fs::write(&path, "").unwrap();
        append(&path, &with("u:p@q%2F@"), Durable::Later).unwrap();
        assert_eq!(kept(), with(""));
    }

    #[test]
    fn leftovers_of_the_dead_are_swept_and_those_of_the_living_stay() {
        let dir = tempfile::tempdir().unwrap();
        let mine = temporary_for(&dir.path().join("a.json"));
        let dead = dir.path().join("a.json.tmp-4194305-0");
        let state = dir.path().join("a.json");
        for path in [&mine, &dead, &state] {
            fs::write(path, "x").unwrap();
        }
        sweep_temporaries(dir.path());
        assert_eq!([mine.exists(), dead.exists(), state.exists()], [true, false, true]);
    }
}
