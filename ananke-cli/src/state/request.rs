//! `request.json`: what another Ananke asks of the daemon here. Whoever takes it away has it, and nobody else.

use std::fs;
use std::io::ErrorKind;
use std::time::Duration;

use ananke_core::name::Moment;
use ananke_core::port::{PeerRequest, PortError};
use serde::{Deserialize, Serialize};

use super::file::{self, Content, io_error};
use super::{SCHEMA, StateDir};

const REQUEST: &str = "request.json";
const TAKEN: &str = "request.taken";

/// Whoever asked has given up long before that.
const LASTS: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Wanted {
    Shutdown,
    Startup,
}

#[derive(Debug, Serialize, Deserialize)]
struct Request {
    schema: u32,
    at: Moment,
    wanted: Wanted,
    within_seconds: Option<u64>,
}

impl StateDir {
    pub fn leave_request(&self, request: PeerRequest, at: Moment) -> Result<(), PortError> {
        let (wanted, within) = match request {
            PeerRequest::Shutdown { within } => (Wanted::Shutdown, within),
            PeerRequest::Startup => (Wanted::Startup, None),
        };
        let within_seconds = within.map(|within| within.as_secs());
        self.save(REQUEST, &Request { schema: SCHEMA, at, wanted, within_seconds })
    }

    /// Takes it away; none where there is none, it is too old, or it cannot be read: then nobody waits for it any more.
    pub fn take_request(&self, now: Moment) -> Result<Option<PeerRequest>, PortError> {
        let (left, taken) = (self.path(REQUEST), self.path(TAKEN));
        // On a read-only file system a rename fails whether or not there is anything.
        if !file::exists(&left)? {
            return Ok(None);
        }
        match fs::rename(&left, &taken) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("take the request", &left, &error)),
        }
        let content = file::read::<Request>(&taken, SCHEMA)?;
        file::remove(&taken)?;
        let Content::Whole(request) = content else { return Ok(None) };
        let recent = now.since(request.at) <= LASTS && request.at.since(now) <= LASTS;
        Ok(recent.then(|| match request.wanted {
            Wanted::Shutdown => PeerRequest::Shutdown { within: request.within_seconds.map(Duration::from_secs) },
            Wanted::Startup => PeerRequest::Startup,
        }))
    }

    /// Whether nobody has taken it yet.
    pub fn request_waits(&self) -> Result<bool, PortError> {
        file::exists(&self.path(REQUEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_taken_once_and_not_when_it_is_old() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(&dir.path().join("state")).unwrap();
        let now = Moment::from_millis(1_773_453_971_000);
        assert_eq!(state.take_request(now).unwrap(), None);
        let asks = [
            PeerRequest::Shutdown { within: Some(Duration::from_secs(540)) },
            PeerRequest::Shutdown { within: None },
            PeerRequest::Startup,
        ];
        for request in asks {
            state.leave_request(request, now).unwrap();
            assert!(state.request_waits().unwrap());
            assert_eq!(state.take_request(now.plus(LASTS)).unwrap(), Some(request));
            assert_eq!((state.request_waits().unwrap(), state.take_request(now).unwrap()), (false, None));
            state.leave_request(request, now).unwrap();
            assert_eq!(state.take_request(now.plus(LASTS * 2)).unwrap(), None, "whoever asked has done it itself");
        }
        fs::write(state.path(REQUEST), "{\"schema\":1,\"at\":").unwrap();
        assert_eq!(state.take_request(now).unwrap(), None, "torn");
    }
}
