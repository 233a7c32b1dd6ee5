//! Room on the disk that is kept for giving cordons back and for a shutdown: a full disk stops new actions, never the end of a
//! lease, nor what the batteries ask for.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// The leases of a thousand nodes are 0.7 MiB, written beside the old ones, and the journal of their release is as much
/// again. A shutdown writes half a KiB for each order, most of them evictions: as much again is good for four thousand pods.
pub(super) const SIZE: u64 = 4 * 1024 * 1024;

/// Of that, for the next lines of a shutdown.
const PIECE: u64 = 16 * 1024;

/// The file that holds the room. Several processes may share it; each writes the same bytes at the same places.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
}

impl Reserve {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Makes it whole, or leaves it as it was: the last room on a disk is not taken away from those who need it.
    pub(super) fn top_up(&self) -> io::Result<()> {
        let before = self.length();
        if before >= SIZE {
            return Ok(());
        }
        let grown = self.grow(before);
        if grown.is_ok() {
            return grown;
        }
        if before == 0 {
            self.give_up();
        } else if let Ok(file) = OpenOptions::new().write(true).open(&self.path) {
            // If it cannot be cut, it is only larger than it was.
            drop(file.set_len(before));
        }
        grown
    }

    /// Gives the room up; `false` if there was none.
    pub(super) fn give_up(&self) -> bool {
        let gave = self.length() > 0 && fs::remove_file(&self.path).is_ok();
        if gave && let Some(directory) = self.path.parent() {
            // Some file systems hand freed blocks out only after this; where it fails, the next write finds out.
            drop(File::open(directory).and_then(|directory| directory.sync_all()));
        }
        gave
    }

    /// Gives up a piece of it; `false` if there is none left.
    pub(super) fn give_piece(&self) -> bool {
        let length = self.length();
        let cut = |file: File| {
            file.set_len(length.saturating_sub(PIECE))?;
            file.sync_all()
        };
        length > 0 && OpenOptions::new().write(true).open(&self.path).and_then(cut).is_ok()
    }

    /// Takes back what is left of the room, so that nobody else fills it.
    pub(super) fn take_back(&self) {
        // It ends where the disk does.
        drop(self.grow(0));
    }

    fn length(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |metadata| if metadata.is_file() { metadata.len() } else { 0 })
    }

    /// Real bytes that do not compress: a hole or a run of zeros would keep no room. What fits of them stays.
    fn grow(&self, from: u64) -> io::Result<()> {
        let file = super::private(OpenOptions::new().write(true).create(true).truncate(false)).open(&self.path)?;
        let begin = usize::try_from(from).unwrap_or(usize::MAX);
        file.write_all_at(noise().get(begin..).unwrap_or_default(), from)?;
        file.sync_all()
    }
}

/// The same bytes every time.
fn noise() -> Vec<u8> {
    let mut state: u32 = 0x9e37_79b9;
    let words = usize::try_from(SIZE / 4).unwrap_or_default();
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()
    };
    std::iter::repeat_with(next).take(words).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once_given_up_and_taken_back() {
        let dir = tempfile::tempdir().unwrap();
        let reserve = Reserve::new(dir.path().join("reserve"));
        assert!(!reserve.give_up(), "there is none yet");
        assert!(reserve.top_up().is_ok() && reserve.top_up().is_ok());
        assert_eq!(reserve.length(), SIZE);
        assert!(reserve.give_up());
        assert_eq!(reserve.length(), 0);
        reserve.take_back();
        assert_eq!(reserve.length(), SIZE);
    }

    #[test]
    fn it_is_given_up_piece_by_piece_to_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let reserve = Reserve::new(dir.path().join("reserve"));
        assert!(!reserve.give_piece(), "there is none yet");
        reserve.top_up().unwrap();
        let pieces = std::iter::from_fn(|| reserve.give_piece().then_some(reserve.length())).collect::<Vec<_>>();
        assert_eq!((pieces.len() as u64, pieces[0], pieces.last()), (SIZE / PIECE, SIZE - PIECE, Some(&0)));
        reserve.top_up().unwrap();
        assert_eq!(reserve.length(), SIZE);
    }

    #[test]
    fn its_bytes_do_not_compress() {
        let bytes = noise();
        assert_eq!(bytes.len() as u64, SIZE);
        let kinds: std::collections::BTreeSet<&[u8]> = bytes.chunks(4).collect();
        assert_eq!(kinds.len() as u64, SIZE / 4, "no word comes twice");
    }
}
