//! UPS readings from upsd (Network UPS Tools), over one connection for each UPS that is kept and made anew: upsd takes one
//! `LOGIN` on each.
//!
//! With a user, every UPS is logged in to while the cluster may run: the primary's upsmon counts us then, and waits for us
//! before it switches the UPS off. Readings need no login: where it is refused, they count all the same. With a CA, nothing is said before TLS is up and the server's certificate verified.

mod protocol;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use ananke_core::observation::UpsReading;
use ananke_core::port::{ErrorKind, PortError, UpsReads, clean};
use async_trait::async_trait;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use crate::web;
pub(crate) use protocol::is_word;
use protocol::{Line, MAX_LINE, MAX_LINES};

/// upsd answers from memory.
const PATIENCE: Duration = Duration::from_secs(5);
/// The port that NUT has of IANA.
const PORT: u16 = 3493;
/// After a login that was refused; upsd takes a user and a password once on each connection.
const LOGIN_ANEW: Duration = Duration::from_secs(60);

/// How upsd is spoken to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nut {
    pub user: Option<String>,
    pub password_file: Option<PathBuf>,
    /// Certificates that the servers' are verified with; with them TLS is a must.
    pub ca_file: Option<PathBuf>,
}

/// A target as NUT writes it: `name@host[:port]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// All that are asked.
#[derive(Debug)]
pub(crate) struct NutUps {
    settings: Nut,
    /// Nothing is left to be waited for.
    done: AtomicBool,
    sessions: Mutex<BTreeMap<Target, Arc<Mutex<Option<Session>>>>>,
    /// UPSes, as the config names them, whose primary does not wait for us.
    refused: std::sync::Mutex<BTreeMap<String, PortError>>,
}

struct Session {
    stream: BufReader<Box<dyn Stream>>,
    logged_in: bool,
    /// When its login was refused, and why.
    refused: Option<(Instant, String)>,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Target {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (name, server) = text.split_once('@')?;
        let (host, port) = crate::config::host_and_port(server)?;
        is_word(name).then(|| Self { name: name.to_owned(), host, port: port.unwrap_or(PORT) })
    }
}

/// Why a look came to nothing.
enum Trouble {
    /// The connection is of no use any more.
    Broken(ErrorKind, String),
    /// upsd's own word; the connection is well.
    Refused(String),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Broken(ErrorKind::Transient, error.to_string())
    }
}

impl NutUps {
    pub(crate) fn new(settings: Nut) -> Self {
        Self { settings, done: AtomicBool::default(), sessions: Mutex::default(), refused: std::sync::Mutex::default() }
    }

    /// Of which UPSes the login was refused at the last look: their primary waits for nobody here.
    pub(crate) fn refused_logins(&self) -> BTreeMap<String, PortError> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the cluster is down: a primary that waited on would empty its battery for nothing.
    pub(crate) fn is_done(&self, done: bool) {
        self.done.store(done, Ordering::Relaxed);
    }

    /// The reading, and why the login was refused.
    async fn look(&self, target: &Target) -> Result<(UpsReading, Option<String>), Trouble> {
        let slot = Arc::clone(self.sessions.lock().await.entry(target.clone()).or_default());
        let mut slot = slot.lock().await;
        slot.take_if(|kept| kept.refused.as_ref().is_some_and(|(at, _)| at.elapsed() >= LOGIN_ANEW));
        if let Some(mut left) = slot.take_if(|kept| kept.logged_in && self.done.load(Ordering::Relaxed)) {
            // upsd counts us until then; one that is gone counts nobody.
            left.send("LOGOUT").await.unwrap_or_default();
        }
        // What was kept may have ended with its upsd: then one made anew tells.
        if let Some(mut kept) = slot.take() {
            let found = self.ask(&mut kept, target).await;
            if !matches!(found, Err(Trouble::Broken(..))) {
                let refused = slot.insert(kept).refused();
                return found.map(|reading| (reading, refused));
            }
        }
        let mut fresh = self.connect(target).await?;
        let found = self.ask(&mut fresh, target).await;
        let refused = fresh.refused();
        if !matches!(found, Err(Trouble::Broken(..))) {
            *slot = Some(fresh);
        }
        found.map(|reading| (reading, refused))
    }

    async fn connect(&self, target: &Target) -> Result<Session, Trouble> {
        let tcp = ananke_ssh::tcp::connect(&target.host, target.port).await?;
        tcp.set_nodelay(true)?;
        let Some(ca) = &self.settings.ca_file else {
            return Ok(Session { stream: BufReader::new(Box::new(tcp)), logged_in: false, refused: None });
        };
        let untrusted = |found: String| Trouble::Broken(ErrorKind::Untrusted, found);
        let name = ServerName::try_from(target.host.clone())
            .map_err(|_| untrusted(format!("{} is no name that TLS can verify", target.host)))?;
        let roots = web::roots(ca).map_err(|found| untrusted(format!("{}: {found}", ca.display())))?;
        let config = web::only_trusting(roots).map_err(untrusted)?;
        let mut plain = BufReader::new(tcp);
        plain.write_all(b"STARTTLS\n").await?;
        match protocol::parse(&line(&mut plain).await?, "") {
            Ok(Line::Ok) => {}
            Ok(Line::Err(word)) => return Err(untrusted(format!("upsd has no TLS ({word}), and nut.ca_file asks for it"))),
            Ok(_) | Err(_) => return Err(untrusted("the answer to STARTTLS is none".to_owned())),
        }
        // What was sent before TLS began is nobody's.
        if !plain.buffer().is_empty() {
            return Err(untrusted("upsd spoke on in clear text".to_owned()));
        }
        let tls =
            TlsConnector::from(config).connect(name, plain.into_inner()).await.map_err(|error| untrusted(error.to_string()))?;
        Ok(Session { stream: BufReader::new(Box::new(tls)), logged_in: false, refused: None })
    }

    async fn ask(&self, session: &mut Session, target: &Target) -> Result<UpsReading, Trouble> {
        let name = &target.name;
        match self.log_in(session, name).await {
            Err(Trouble::Broken(ErrorKind::Denied, why)) => session.refused = Some((Instant::now(), why)),
            other => other?,
        }
        session.send(&format!("LIST VAR {name}")).await?;
        let mut vars = BTreeMap::new();
        for _ in 0..MAX_LINES {
            let text = line(&mut session.stream).await?;
            match protocol::parse(&text, name).map_err(nonsense)? {
                Line::Begin | Line::Ok => {}
                Line::Var(key, value) => drop(vars.insert(key, value)),
                Line::Err(word) => return Err(Trouble::Refused(word)),
                Line::End => return protocol::reading(&vars).map_err(Trouble::Refused),
            }
        }
        Err(nonsense(format!("more than {MAX_LINES} variables")))
    }

    async fn log_in(&self, session: &mut Session, name: &str) -> Result<(), Trouble> {
        let is_due = !session.logged_in && session.refused.is_none() && !self.done.load(Ordering::Relaxed);
        let Some(user) = self.settings.user.as_ref().filter(|_| is_due) else { return Ok(()) };
        let denied = |found: String| Trouble::Broken(ErrorKind::Denied, found);
        let password = match &self.settings.password_file {
            Some(file) => secret(file).map_err(denied)?,
            None => String::new(),
        };
        for request in [format!("USERNAME {user}"), format!("PASSWORD {password}"), format!("LOGIN {name}")] {
            session.must(&request).await?;
        }
        session.logged_in = true;
        Ok(())
    }
}

/// The first line of a file that only its owner can use.
fn secret(file: &std::path::Path) -> Result<String, String> {
    crate::config::private(file)?;
    let text = std::fs::read_to_string(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    let word = text.lines().next().unwrap_or_default().trim_end().to_owned();
    if is_word(&word) { Ok(word) } else { Err(format!("{} has no password in its first line", file.display())) }
}

fn nonsense(found: String) -> Trouble {
    Trouble::Broken(ErrorKind::Invalid, clean(&found, 200))
}

async fn line<S: AsyncRead + Unpin>(stream: &mut BufReader<S>) -> Result<String, Trouble> {
    let mut bytes = Vec::new();
    let most = u64::try_from(MAX_LINE).unwrap_or(u64::MAX);
    stream.take(most).read_until(b'\n', &mut bytes).await?;
    match bytes.pop() {
        Some(b'\n') => Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned()),
        Some(_) if bytes.len() + 1 >= MAX_LINE => Err(nonsense(format!("a line of more than {MAX_LINE} bytes"))),
        Some(_) | None => Err(Trouble::Broken(ErrorKind::Transient, "upsd closed the connection".to_owned())),
    }
}

impl Session {
    fn refused(&self) -> Option<String> {
        self.refused.as_ref().map(|(_, why)| why.clone())
    }

    async fn send(&mut self, request: &str) -> Result<(), Trouble> {
        Ok(self.stream.write_all(format!("{request}\n").as_bytes()).await?)
    }

    /// What upsd must agree to.
    async fn must(&mut self, request: &str) -> Result<(), Trouble> {
        self.send(request).await?;
        let word = request.split(' ').next().unwrap_or_default();
        match protocol::parse(&line(&mut self.stream).await?, "") {
            Ok(Line::Ok) => Ok(()),
            Ok(Line::Err(why)) => Err(Trouble::Broken(ErrorKind::Denied, format!("upsd refuses {word} ({why})"))),
            Ok(_) | Err(_) => Err(nonsense(format!("the answer to {word} is none"))),
        }
    }
}

#[async_trait]
impl UpsReads for NutUps {
    async fn read(&self, ups: &str) -> Result<UpsReading, PortError> {
        const TRIED: &str = "read the UPS";
        let error = |kind, found: String| PortError::new(kind, TRIED, ups, found);
        let Some(target) = Target::parse(ups) else {
            return Err(error(ErrorKind::Invalid, "this is no UPS as NUT writes it: name@host[:port]".to_owned()));
        };
        let server = format!("{}:{}", target.host, target.port);
        match timeout(PATIENCE, self.look(&target)).await {
            Ok(Ok((reading, refused))) => {
                let mut all = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
                all.remove(ups);
                all.extend(refused.map(|why| {
                    let login = PortError::new(ErrorKind::Denied, "log in to the UPS", ups, format!("{server}: {why}"));
                    (ups.to_owned(), login.with_remedy(LOOK_AT_USERS))
                }));
                Ok(reading)
            }
            Ok(Err(Trouble::Broken(kind, found))) => {
                let remedy = match kind {
                    ErrorKind::Denied => LOOK_AT_USERS.to_owned(),
                    ErrorKind::Untrusted => "look at nut.ca_file, and at CERTFILE in upsd.conf on the server".to_owned(),
                    ErrorKind::Transient | ErrorKind::Conflict | ErrorKind::Missing | ErrorKind::Blocked | ErrorKind::Invalid => {
                        format!("on {}: `systemctl status nut-server`, and LISTEN in upsd.conf", target.host)
                    }
                };
                Err(error(kind, format!("{server}: {found}")).with_remedy(remedy))
            }
            Ok(Err(Trouble::Refused(word))) => Err(refused(error, &target, &word)),
            Err(_) => Err(error(ErrorKind::Transient, format!("{server} did not answer within {} s", PATIENCE.as_secs()))),
        }
    }
}

const LOOK_AT_USERS: &str = "look at nut.user and nut.password_file, and at upsd.users on the server";

/// upsd's own words.
fn refused(error: impl Fn(ErrorKind, String) -> PortError, target: &Target, word: &str) -> PortError {
    let Target { name, host, .. } = target;
    let driver = format!("on {host}: `systemctl restart nut-driver@{name}`, and look at the cable of the UPS");
    match word {
        "DATA-STALE" => {
            error(ErrorKind::Transient, "upsd has heard nothing of it for a while (DATA-STALE)".to_owned()).with_remedy(driver)
        }
        "DRIVER-NOT-CONNECTED" => {
            error(ErrorKind::Transient, "its driver does not run (DRIVER-NOT-CONNECTED)".to_owned()).with_remedy(driver)
        }
        "UNKNOWN-UPS" => error(ErrorKind::Missing, format!("upsd on {host} knows no {name} (UNKNOWN-UPS)"))
            .with_remedy(format!("`upsc -l {host}` lists what it knows; correct ups in the config")),
        "ACCESS-DENIED" => error(ErrorKind::Denied, "upsd says ACCESS-DENIED".to_owned()).with_remedy(LOOK_AT_USERS),
        other => error(ErrorKind::Transient, format!("upsd says {}", clean(other, 100))),
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("logged_in", &self.logged_in).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex as Told;

    use tokio::net::TcpListener;

    use super::*;

    /// Answers one connection after the other, and keeps what it was asked; `login`: what it says to that.
    async fn upsd(listener: TcpListener, told: Arc<Told<Vec<String>>>, login: &'static str) {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = BufReader::new(stream);
            let mut request = String::new();
            while stream.read_line(&mut request).await.is_ok_and(|read| read > 0) {
                let answer = match request.trim() {
                    "LOGIN rack" => login,
                    "LIST VAR rack" => "BEGIN LIST VAR rack\nVAR rack ups.status \"OL\"\nEND LIST VAR rack\n",
                    _ => "OK\n",
                };
                told.lock().unwrap().push(request.trim().to_owned());
                request.clear();
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn nobody_is_to_wait_for_us_once_the_cluster_is_down() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ups = format!("rack@{}", listener.local_addr().unwrap());
        let told = Arc::new(Told::default());
        tokio::spawn(upsd(listener, Arc::clone(&told), "OK\n"));
        let nut = NutUps::new(Nut { user: Some("ananke".to_owned()), ..Nut::default() });
        for (done, expected) in [
            (false, &["USERNAME ananke", "PASSWORD ", "LOGIN rack", "LIST VAR rack"][..]),
            (false, &["LIST VAR rack"]),
            (true, &["LOGOUT", "LIST VAR rack"]),
            (true, &["LIST VAR rack"]),
            (false, &["USERNAME ananke", "PASSWORD ", "LOGIN rack", "LIST VAR rack"]),
        ] {
            nut.is_done(done);
            nut.read(&ups).await.unwrap();
            let asked: Vec<String> = std::mem::take(&mut told.lock().unwrap());
            let expected: Vec<&str> = expected.iter().map(|line| line.trim()).collect();
            assert_eq!(asked, expected, "done: {done}");
        }
    }

    #[tokio::test]
    async fn a_reading_counts_where_the_login_is_refused_and_that_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ups = format!("rack@{}", listener.local_addr().unwrap());
        let told = Arc::new(Told::default());
        tokio::spawn(upsd(listener, Arc::clone(&told), "ERR ACCESS-DENIED\n"));
        let nut = NutUps::new(Nut { user: Some("ananke".to_owned()), ..Nut::default() });
        for expected in [&["USERNAME ananke", "PASSWORD", "LOGIN rack", "LIST VAR rack"][..], &["LIST VAR rack"]] {
            assert_eq!(nut.read(&ups).await.unwrap().status, ["OL".into()]);
            assert_eq!(*std::mem::take(&mut *told.lock().unwrap()), *expected);
            let login = nut.refused_logins().remove(&ups).unwrap();
            assert!(login.to_string().ends_with("upsd refuses LOGIN (ACCESS-DENIED)") && login.remedy.is_some(), "{login}");
        }
        // A password file that cannot be used is the same.
        let settings = Nut { password_file: Some("/nowhere".into()), ..nut.settings.clone() };
        drop(nut);
        let no_file = NutUps::new(settings);
        no_file.read(&ups).await.unwrap();
        assert_eq!((no_file.refused_logins().len(), told.lock().unwrap().as_slice()), (1, &["LIST VAR rack".to_owned()][..]));
    }
}
