//! A connection to a name that may have several addresses.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::net::{TcpStream, lookup_host};

/// An address that has not answered by then is waited for beside the next one (RFC 8305, section 5).
const STAGGER: Duration = Duration::from_millis(250);

/// The addresses that names had when they were looked up last: the resolver may go down with the cluster, and before its hosts.
#[derive(Debug, Default)]
pub(crate) struct Addresses(Mutex<BTreeMap<(String, u16), Vec<SocketAddr>>>);

impl Addresses {
    /// Of this name, as the resolver has them within `limit`, or as it had them.
    pub(crate) async fn of(&self, host: &str, port: u16, limit: Duration) -> io::Result<Vec<SocketAddr>> {
        let found = tokio::time::timeout(limit, lookup_host((host, port))).await;
        let late = |_| Err(io::Error::new(io::ErrorKind::TimedOut, "the resolver does not answer"));
        self.kept(host, port, found.unwrap_or_else(late).map(Iterator::collect))
    }

    fn kept(&self, host: &str, port: u16, found: io::Result<Vec<SocketAddr>>) -> io::Result<Vec<SocketAddr>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let name = (host.to_owned(), port);
        match found {
            Ok(found) => {
                known.insert(name, found.clone());
                Ok(found)
            }
            Err(error) => known.get(&name).cloned().ok_or(error),
        }
    }
}

/// Connects to the first address of `host` that answers. It has no deadline of its own.
///
/// # Errors
/// The resolver's, or that of an address: where some of them lie in a network that this machine is not in, as IPv6 often is, the
/// error of another one.
pub async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    first_of(lookup_host((host, port)).await?).await
}

/// One dead address of a name must not use up the time in which another one answers.
pub(crate) async fn first_of(addresses: impl Iterator<Item = SocketAddr>) -> io::Result<TcpStream> {
    let mut trying = FuturesUnordered::new();
    let mut refused = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let mut note = |error: io::Error| {
        if matches!(refused.kind(), io::ErrorKind::NotFound | io::ErrorKind::NetworkUnreachable) {
            refused = error;
        }
    };
    for address in addresses {
        trying.push(TcpStream::connect(address));
        match tokio::time::timeout(STAGGER, trying.next()).await {
            Ok(Some(Ok(stream))) => return Ok(stream),
            Ok(Some(Err(error))) => note(error),
            Ok(None) | Err(_) => {}
        }
    }
    while let Some(tried) = trying.next().await {
        match tried {
            Ok(stream) => return Ok(stream),
            Err(error) => note(error),
        }
    }
    Err(refused)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A port that takes nobody: its queue is full, and more are left waiting.
    fn silent() -> (TcpListener, Vec<std::net::TcpStream>, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        while let Ok(stream) = std::net::TcpStream::connect_timeout(&at, Duration::from_millis(100)) {
            queued.push(stream);
        }
        (listener, queued, at)
    }

    #[test]
    fn a_name_keeps_its_addresses_while_the_resolver_is_away() {
        let (names, at) = (Addresses::default(), SocketAddr::from(([10, 0, 0, 1], 22)));
        let away = || Err(io::Error::from(io::ErrorKind::TimedOut));
        let of = |host: &str, found| names.kept(host, 22, found).map_err(|error| error.kind());
        assert_eq!(of("titan-01", away()), Err(io::ErrorKind::TimedOut));
        assert_eq!(of("titan-01", Ok(vec![at])), Ok(vec![at]));
        assert_eq!(of("titan-01", away()), Ok(vec![at]));
        assert_eq!(of("titan-02", away()), Err(io::ErrorKind::TimedOut));
    }

    #[tokio::test]
    async fn the_first_address_that_answers_counts_and_none_is_waited_for_alone() {
        let (_listener, _queued, dead) = silent();
        let live = TcpListener::bind("127.0.0.1:0").unwrap();
        let live = live.local_addr().unwrap();
        let refusing = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let peer = async |addresses: &[SocketAddr]| {
            let found = tokio::time::timeout(Duration::from_secs(20), first_of(addresses.iter().copied())).await;
            found.expect("within its time").map(|stream| stream.peer_addr().unwrap()).map_err(|error| error.kind())
        };
        assert_eq!(peer(&[dead, refusing, live]).await, Ok(live));
        assert_eq!(peer(&[refusing]).await, Err(io::ErrorKind::ConnectionRefused));
        let nowhere = SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 22));
        assert_eq!(peer(&[refusing, nowhere]).await, Err(io::ErrorKind::ConnectionRefused));
        assert_eq!(peer(&[]).await, Err(io::ErrorKind::NotFound));
    }
}
