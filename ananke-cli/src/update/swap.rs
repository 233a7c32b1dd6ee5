//! The program, the one before it, and the one that is to come, side by side. Each step is one rename, so that there is a
//! whole program at every moment.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::Failed;

/// Ananke has some 25 MB.
const MAX_BYTES: u64 = 256 * 1024 * 1024;
const MODE: u32 = 0o755;

#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
}

impl Program {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// What is to come.
    pub(crate) fn next(&self) -> PathBuf {
        self.beside("next")
    }

    /// What was there before.
    pub(crate) fn previous(&self) -> PathBuf {
        self.beside("previous")
    }

    /// Copies what was built beside the program. It must be a file of whom we let build it: a link to somebody else's file
    /// would give that away.
    pub(crate) fn stage(&self, built: &Path, builder: u32) -> Result<(), Failed> {
        let failed = |error: io::Error| Failed::new(format!("copy {} to {}: {error}", built.display(), self.next().display()));
        let mut from = File::open(built).map_err(failed)?;
        let metadata = from.metadata().map_err(failed)?;
        if !metadata.is_file() || metadata.uid() != builder || metadata.len() > MAX_BYTES {
            let found = format!("it is no file of the user that built it (uid {builder}), or has more than {MAX_BYTES} bytes");
            return Err(Failed::new(format!("take {}: {found}", built.display())));
        }
        remove(&self.next()).map_err(failed)?;
        let mut to = OpenOptions::new().write(true).create_new(true).mode(MODE).open(self.next()).map_err(failed)?;
        let copied = io::copy(&mut from, &mut to)
            .and_then(|_| to.set_permissions(fs::Permissions::from_mode(MODE)))
            .and_then(|()| to.sync_all());
        if copied.is_err() {
            // What was written of it would keep a full disk full.
            drop(remove(&self.next()));
        }
        copied.map_err(failed)
    }

    pub(crate) fn discard(&self) -> Result<(), Failed> {
        remove(&self.next()).map_err(|error| Failed::new(format!("remove {}: {error}", self.next().display())))
    }

    /// The program becomes the previous one, and the next one the program.
    pub(crate) fn exchange(&self) -> Result<(), Failed> {
        let swap = || {
            twin(&self.path, &self.beside("keep"), &self.previous())?;
            fs::rename(self.next(), &self.path)?;
            self.sync()
        };
        swap().map_err(|error| Failed::new(format!("exchange {}: {error}", self.path.display())))
    }

    /// The previous one is the program again; it also stays the previous one.
    pub(crate) fn put_back(&self) -> Result<(), Failed> {
        let swap = || {
            twin(&self.previous(), &self.beside("back"), &self.path)?;
            self.sync()
        };
        swap().map_err(|error| {
            let (program, previous) = (self.path.display(), self.previous().display().to_string());
            Failed::new(format!("put {previous} back: {error}; run `cp --remove-destination {previous} {program}`"))
        })
    }

    fn beside(&self, what: &str) -> PathBuf {
        let mut path = self.path.as_os_str().to_owned();
        path.push(".");
        path.push(what);
        path.into()
    }

    fn sync(&self) -> io::Result<()> {
        File::open(self.path.parent().unwrap_or(Path::new("/")))?.sync_all()
    }
}

/// A second name for `from`, in place of whatever `to` was.
fn twin(from: &Path, by: &Path, to: &Path) -> io::Result<()> {
    remove(by)?;
    fs::hard_link(from, by)?;
    fs::rename(by, to)?;
    // A rename between two names of one file does nothing, and leaves both.
    remove(by)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_before_stays_and_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let (program, built) = (Program::new(&dir.path().join("ananke")), dir.path().join("built"));
        let texts = || [&program.path, &program.previous()].map(|path| fs::read_to_string(path).unwrap_or_default());
        fs::write(&program.path, "one").unwrap();
        let builder = fs::metadata(&program.path).unwrap().uid();
        let update = |text: &str| {
            fs::write(&built, text).unwrap();
            program.stage(&built, builder).unwrap();
            program.exchange().unwrap();
        };
        update("two");
        assert_eq!(texts(), ["two", "one"]);
        update("three");
        assert_eq!(texts(), ["three", "two"]);
        // Again, as after a power cut in the middle of it.
        for _ in 0..2 {
            program.put_back().unwrap();
            assert_eq!(texts(), ["two", "two"]);
        }
        update("four");
        assert_eq!(texts(), ["four", "two"]);
        assert_eq!(fs::metadata(&program.path).unwrap().permissions().mode() & 0o777, 0o755);
        assert!(!program.next().exists() && fs::read_dir(dir.path()).unwrap().count() == 3);
    }

    #[test]
    fn a_file_of_somebody_else_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        let (program, built) = (Program::new(&dir.path().join("ananke")), dir.path().join("built"));
        std::os::unix::fs::symlink("/proc/self/environ", &built).unwrap();
        let own = fs::metadata("/proc/self").unwrap().uid();
        let refused = program.stage(&built, own.wrapping_add(1)).unwrap_err();
        assert!(refused.why.contains("no file of the user that built it"), "{refused}");
        assert!(!program.next().exists());
    }
}
