//! A file of this machine that a command reads on its standard input: an archive of images.
//!
//! It is opened before anything is sent, and read block by block as the host takes it: an archive may be larger than the
//! memory that Ananke has.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use ananke_core::name::ArchiveName;
use ananke_core::port::{ErrorKind, PortError};
use russh::ChannelWriteHalf;
use russh::client::Msg;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use crate::command::Output;
use crate::connection::Unanswered;

/// Read at once. How much is on its way beyond that is the host's to say.
const BLOCK: usize = 64 * 1024;
/// An SD card that has seen better days writes some 4 MiB a second, and each byte is written more than once: as it came, and
/// what it unpacks to.
const BYTES_A_SECOND: u64 = 1024 * 1024;

pub(crate) struct Feed {
    file: File,
    path: PathBuf,
    bytes: u64,
}

impl Feed {
    pub(crate) async fn open(directory: Option<&Path>, archive: &ArchiveName) -> Result<Self, PortError> {
        const TRIED: &str = "open the archive";
        let Some(directory) = directory else {
            let error = PortError::new(ErrorKind::Missing, TRIED, archive, "no directory of archives is configured");
            return Err(error.with_remedy("set bootstrap.image_archives"));
        };
        let path = directory.join(archive.as_str());
        let wrong = |kind, found: String| PortError::new(kind, TRIED, path.display(), found);
        let unread = |error: io::Error| {
            if error.kind() == io::ErrorKind::NotFound {
                return wrong(ErrorKind::Missing, "there is no such file".to_owned());
            }
            let denied = error.kind() == io::ErrorKind::PermissionDenied;
            wrong(if denied { ErrorKind::Denied } else { ErrorKind::Invalid }, error.to_string())
        };
        // A pipe would keep who opens it waiting.
        if !tokio::fs::metadata(&path).await.map_err(unread)?.is_file() {
            return Err(wrong(ErrorKind::Invalid, "it is not a file".to_owned()));
        }
        let file = File::open(&path).await.map_err(unread)?;
        match file.metadata().await.map_err(unread)?.len() {
            0 => Err(wrong(ErrorKind::Invalid, "it is empty".to_owned())),
            bytes => Ok(Self { file, path, bytes }),
        }
    }

    /// How long it may take until all of it is on the host's disk.
    pub(crate) fn lasts(&self) -> Duration {
        Duration::from_secs(self.bytes / BYTES_A_SECOND)
    }

    /// Sends it while the answer is awaited: a command that ends early is not sent the rest.
    pub(crate) async fn beside(
        &self,
        answer: impl Future<Output = Result<Output, Unanswered>>,
        input: ChannelWriteHalf<Msg>,
    ) -> Result<Output, Unanswered> {
        let input = Input { half: Some(input) };
        let mut answer = pin!(answer);
        tokio::select! {
            biased;
            answer = &mut answer => return answer,
            sent = self.send(&input) => sent.map_err(|error| (ErrorKind::Invalid, error))?,
        }
        answer.await
    }

    /// From its beginning to its end, and the end is told; `Err`: it could not be read whole. Where the host takes no more,
    /// its answer says why.
    async fn send(&self, input: &Input) -> Result<(), String> {
        let unread = |error: io::Error| format!("{} cannot be read: {error}", self.path.display());
        let Some(half) = &input.half else { return Ok(()) };
        let mut file = self.file.try_clone().await.map_err(unread)?;
        file.rewind().await.map_err(unread)?;
        let mut file = file.take(self.bytes);
        loop {
            let mut block = vec![0; BLOCK];
            let read = file.read(&mut block).await.map_err(unread)?;
            if read == 0 {
                break;
            }
            block.truncate(read);
            if half.data_bytes(block).await.is_err() {
                return Ok(());
            }
        }
        match file.limit() {
            0 => half.eof().await.or(Ok(())),
            short => Err(format!("{} is {short} bytes shorter than it was", self.path.display())),
        }
    }
}

/// What the command reads. Closed when this goes, so that no command waits there for what nobody will send.
struct Input {
    half: Option<ChannelWriteHalf<Msg>>,
}

impl Drop for Input {
    fn drop(&mut self) {
        if let (Some(half), Ok(runtime)) = (self.half.take(), tokio::runtime::Handle::try_current()) {
            // Whoever closed it before us is as good.
            runtime.spawn(async move { half.close().await.ok() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn opened(name: &str) -> Result<u64, (ErrorKind, String)> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR"));
        let archive = ArchiveName::parse(name).unwrap();
        let feed = Feed::open(Some(directory), &archive).await;
        feed.map(|feed| feed.bytes).map_err(|error| (error.kind, error.found))
    }

    #[tokio::test]
    async fn what_cannot_be_sent_is_told_before_anything_is() {
        let found = |text: &str| text.to_owned();
        assert_eq!(opened("none.tar").await, Err((ErrorKind::Missing, found("there is no such file"))));
        assert_eq!(opened("src").await, Err((ErrorKind::Invalid, found("it is not a file"))));
        assert!(opened("Cargo.toml").await.is_ok_and(|bytes| bytes > 0));
        let archive = ArchiveName::parse("a.tar").unwrap();
        let error = Feed::open(None, &archive).await.err().unwrap();
        assert_eq!(error.remedy.as_deref(), Some("set bootstrap.image_archives"));
    }
}
