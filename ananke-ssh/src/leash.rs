//! A stream that ends with whoever opened it, until it is set free.
//!
//! russh gives a stream to a task of its own once the other end has said that it speaks SSH, and that task waits for the key
//! exchange without end: whoever stops waiting for it must end the stream, or the socket stays.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

pub(crate) struct Leashed<S> {
    stream: S,
    state: State,
}

/// Dropped, it ends the stream.
pub(crate) struct Leash(oneshot::Sender<()>);

enum State {
    Held(oneshot::Receiver<()>),
    Free,
    Ended,
}

pub(crate) fn leash<S>(stream: S) -> (Leashed<S>, Leash) {
    let (leash, held) = oneshot::channel();
    (Leashed { stream, state: State::Held(held) }, Leash(leash))
}

impl Leash {
    /// The stream lives on by itself.
    pub(crate) fn free(self) {
        // Where the stream is gone, nothing is left to be freed.
        self.0.send(()).ok();
    }
}

impl<S> Leashed<S> {
    /// Whoever reads is woken when the leash goes.
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if let State::Held(held) = &mut self.state {
            match Pin::new(held).poll(cx) {
                Poll::Ready(Ok(())) => self.state = State::Free,
                Poll::Ready(Err(_)) => self.state = State::Ended,
                Poll::Pending => {}
            }
        }
        match self.state {
            State::Held(_) | State::Free => Ok(()),
            State::Ended => Err(io::Error::new(io::ErrorKind::ConnectionAborted, "nobody waits for it any more")),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Leashed<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this.check(cx) {
            Ok(()) => Pin::new(&mut this.stream).poll_read(cx, buf),
            Err(ended) => Poll::Ready(Err(ended)),
        }
    }
}

/// What is written while it ends is of no use to anybody: the next read tells the end.
impl<S: AsyncWrite + Unpin> AsyncWrite for Leashed<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn it_ends_with_its_leash_and_lives_on_where_it_was_freed() {
        let (ours, theirs) = tokio::io::duplex(8);
        let (mut stream, leash) = leash(ours);
        let reader = tokio::spawn(async move { stream.read_u8().await });
        tokio::task::yield_now().await;
        drop(leash);
        assert_eq!(reader.await.unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
        drop(theirs);

        let (ours, mut theirs) = tokio::io::duplex(8);
        let (mut stream, leash) = super::leash(ours);
        leash.free();
        tokio::io::AsyncWriteExt::write_u8(&mut theirs, 7).await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), 7);
    }
}
