//! The batteries by the protocol of NUT's upsd, one connection a client: what a real upsd answers to clients that look and
//! log in. Nobody may set or command anything here, and there is no TLS.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, Weak};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::cluster::Cluster;
use crate::executor::lock;
use crate::world::{Quirk, Ups, World};

/// Who may log in; the config of a served cluster names it.
pub const USER: &str = "ananke";
pub const PASSWORD: &str = "secret";

/// A request is a short line; whoever sends a longer one speaks another protocol.
const LINE_LIMIT: u64 = 1024;

const VERSION: &str = concat!("Network UPS Tools upsd ", env!("CARGO_PKG_VERSION"), " of a simulated cluster");
/// What upsd 2.8 speaks.
const PROTOCOL: &str = "1.3";
const HELP: &str = "Commands: HELP VER GET LIST SET INSTCMD LOGIN LOGOUT USERNAME PASSWORD STARTTLS";

/// Serves until it is dropped.
pub async fn run(listener: TcpListener, cluster: Arc<Cluster>) -> io::Result<()> {
    let logins = Arc::<Logins>::default();
    loop {
        let (stream, from) = listener.accept().await?;
        let (cluster, client) = (cluster.clone(), Client::of(from.ip(), logins.clone()));
        tokio::spawn(async move {
            // Whoever went away needs no answer.
            serve(stream, client, &cluster).await.ok();
        });
    }
}

async fn serve(stream: TcpStream, mut client: Client, cluster: &Cluster) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while !client.is_gone {
        let mut line = Vec::new();
        (&mut stream).take(LINE_LIMIT).read_until(b'\n', &mut line).await?;
        if line.pop() != Some(b'\n') {
            break;
        }
        let answer = cluster.look(|world| client.ask(&String::from_utf8_lossy(&line), world));
        stream.write_all(answer.as_bytes()).await?;
    }
    Ok(())
}

/// Who is logged in, over all connections: a login ends with its connection.
#[derive(Debug, Default)]
struct Logins(Mutex<Vec<Weak<Login>>>);

#[derive(Debug)]
struct Login {
    ups: Arc<str>,
    from: IpAddr,
}

impl Logins {
    fn add(&self, login: &Arc<Login>) {
        let mut all = lock(&self.0);
        all.retain(|login| login.strong_count() > 0);
        all.push(Arc::downgrade(login));
    }

    fn at(&self, ups: &str) -> Vec<Arc<Login>> {
        lock(&self.0).iter().filter_map(Weak::upgrade).filter(|login| &*login.ups == ups).collect()
    }
}

/// One connection.
#[derive(Debug)]
struct Client {
    from: IpAddr,
    user: Option<String>,
    password: Option<String>,
    login: Option<Arc<Login>>,
    logins: Arc<Logins>,
    is_gone: bool,
}

/// upsd's own word for what is wrong.
type Refusal = &'static str;

impl Client {
    fn of(from: IpAddr, logins: Arc<Logins>) -> Self {
        Self { from, user: None, password: None, login: None, logins, is_gone: false }
    }

    /// Lines, each with its end.
    fn ask(&mut self, line: &str, world: &World) -> String {
        let words = words(line);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match self.answer(&words, world) {
            Ok(text) => format!("{text}\n"),
            Err(word) => format!("ERR {word}\n"),
        }
    }

    fn answer(&mut self, words: &[&str], world: &World) -> Result<String, Refusal> {
        let (command, rest) = words.split_first().ok_or("UNKNOWN-COMMAND")?;
        match (command.to_ascii_uppercase().as_str(), rest) {
            ("VER", []) => Ok(VERSION.to_owned()),
            ("NETVER" | "PROTVER", []) => Ok(PROTOCOL.to_owned()),
            ("HELP", []) => Ok(HELP.to_owned()),
            ("STARTTLS", []) => Err("FEATURE-NOT-CONFIGURED"),
            ("LIST", [what, of @ ..]) => list(&what.to_ascii_uppercase(), of, world, &self.logins),
            ("GET", [what, of @ ..]) => get(&what.to_ascii_uppercase(), of, world, &self.logins),
            ("USERNAME", [name]) => once(&mut self.user, name, "ALREADY-SET-USERNAME"),
            ("PASSWORD", [word]) => once(&mut self.password, word, "ALREADY-SET-PASSWORD"),
            ("LOGIN", [ups]) => self.log_in(ups, world),
            ("LOGOUT", []) => {
                self.is_gone = true;
                Ok("OK Goodbye".to_owned())
            }
            ("SET" | "INSTCMD" | "FSD" | "PRIMARY" | "MASTER", [_, ..]) => self.known().and(Err("ACCESS-DENIED")),
            (
                "VER" | "NETVER" | "PROTVER" | "HELP" | "STARTTLS" | "LIST" | "GET" | "USERNAME" | "PASSWORD" | "LOGIN"
                | "LOGOUT" | "SET" | "INSTCMD" | "FSD" | "PRIMARY" | "MASTER",
                _,
            ) => Err("INVALID-ARGUMENT"),
            _ => Err("UNKNOWN-COMMAND"),
        }
    }

    fn log_in(&mut self, ups: &str, world: &World) -> Result<String, Refusal> {
        let (user, password) = self.known()?;
        if self.login.is_some() {
            return Err("ALREADY-LOGGED-IN");
        }
        let ups = named(world, ups)?.name.clone();
        if (user, password) != (USER, PASSWORD) {
            return Err("ACCESS-DENIED");
        }
        let login = Arc::new(Login { ups, from: self.from });
        self.logins.add(&login);
        self.login = Some(login);
        Ok("OK".to_owned())
    }

    /// Whoever said both; only a login finds out whether they are right.
    fn known(&self) -> Result<(&str, &str), Refusal> {
        let user = self.user.as_deref().ok_or("USERNAME-REQUIRED")?;
        Ok((user, self.password.as_deref().ok_or("PASSWORD-REQUIRED")?))
    }
}

fn once(slot: &mut Option<String>, word: &str, already: Refusal) -> Result<String, Refusal> {
    if slot.is_some() {
        return Err(already);
    }
    *slot = Some(word.to_owned());
    Ok("OK".to_owned())
}

fn list(what: &str, of: &[&str], world: &World, logins: &Logins) -> Result<String, Refusal> {
    let (head, lines): (String, Vec<String>) = match (what, of) {
        ("UPS", _) => {
            let lines = world.upses().iter().map(|ups| format!("UPS {} \"{}\"", ups.name, described(ups)));
            (what.to_owned(), lines.collect())
        }
        ("VAR", [name]) => {
            let ups = heard(world, name)?;
            let lines = variables(world, ups).into_iter().map(|(name, value)| format!("VAR {} {name} \"{value}\"", ups.name));
            (format!("{what} {name}"), lines.collect())
        }
        ("CLIENT", [name]) => {
            let ups = &named(world, name)?.name;
            let lines = logins.at(ups).into_iter().map(|login| format!("CLIENT {ups} {}", login.from));
            (format!("{what} {ups}"), lines.collect())
        }
        ("CMD" | "RW", [name]) => (format!("{what} {}", named(world, name)?.name), Vec::new()),
        _ => return Err("INVALID-ARGUMENT"),
    };
    Ok(std::iter::once(format!("BEGIN LIST {head}"))
        .chain(lines)
        .chain([format!("END LIST {head}")])
        .collect::<Vec<_>>()
        .join("\n"))
}

fn get(what: &str, of: &[&str], world: &World, logins: &Logins) -> Result<String, Refusal> {
    match (what, of) {
        ("VAR", [name, variable]) => {
            let ups = heard(world, name)?;
            let found = variables(world, ups).into_iter().find(|(name, _)| name == variable);
            let (name, value) = found.ok_or("VAR-NOT-SUPPORTED")?;
            Ok(format!("VAR {} {name} \"{value}\"", ups.name))
        }
        ("UPSDESC", [name]) => {
            let ups = named(world, name)?;
            Ok(format!("UPSDESC {} \"{}\"", ups.name, described(ups)))
        }
        ("NUMLOGINS", [name]) => {
            let ups = &named(world, name)?.name;
            Ok(format!("NUMLOGINS {ups} {}", logins.at(ups).len()))
        }
        _ => Err("INVALID-ARGUMENT"),
    }
}

fn named<'a>(world: &'a World, name: &str) -> Result<&'a Ups, Refusal> {
    world.upses().iter().find(|ups| &*ups.name == name).ok_or("UNKNOWN-UPS")
}

/// One whose driver tells something.
fn heard<'a>(world: &'a World, name: &str) -> Result<&'a Ups, Refusal> {
    let ups = named(world, name)?;
    if ups.has(Quirk::Silent) { Err("DATA-STALE") } else { Ok(ups) }
}

fn described(ups: &Ups) -> String {
    format!("battery of {}", ups.name)
}

/// In order of their names, as upsd lists them. Spans are those of the clock outside.
fn variables(world: &World, ups: &Ups) -> [(&'static str, String); 7] {
    [
        ("battery.charge", (world.charge(ups) / 10).to_string()),
        ("battery.runtime", world.wall_span(world.claimed_runtime(ups)).as_secs().to_string()),
        ("device.mfr", "Ananke".to_owned()),
        ("device.model", "simulated".to_owned()),
        ("device.type", "ups".to_owned()),
        ("driver.name", "ananke-sim".to_owned()),
        ("ups.status", world.ups_status(ups).join(" ")),
    ]
}

/// Words, of which quoted ones may have spaces; `\` takes the next letter as it is.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), None::<String>, false);
    let mut letters = line.trim_end_matches('\r').chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => word.get_or_insert_default().extend(letters.next()),
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' | '\t' if !quoted => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;

    fn world() -> World {
        World::new(&Scenario::named("healthy").unwrap().with_nodes(4), 1)
    }

    /// Every request with its answer, on one connection.
    fn check(world: &World, exchange: &[(&str, &str)]) -> Client {
        check_beside(&Arc::default(), world, exchange)
    }

    /// The same beside other connections.
    fn check_beside(logins: &Arc<Logins>, world: &World, exchange: &[(&str, &str)]) -> Client {
        let mut client = Client::of(IpAddr::from([127, 0, 0, 1]), logins.clone());
        for (request, answer) in exchange {
            assert_eq!(client.ask(request, world).trim_end(), *answer, "{request}");
        }
        client
    }

    #[test]
    fn batteries_are_told_as_they_are() {
        let mut world = world();
        let status = |world: &World, answer: &str| drop(check(world, &[("GET VAR rack-a ups.status", answer)]));
        status(&world, r#"VAR rack-a ups.status "OL""#);
        check(
            &world,
            &[
                ("LIST UPS", "BEGIN LIST UPS\nUPS rack-a \"battery of rack-a\"\nUPS rack-b \"battery of rack-b\"\nEND LIST UPS"),
                ("GET VAR rack-b battery.charge", r#"VAR rack-b battery.charge "100""#),
                ("get var \"rack-b\" battery.runtime\r", r#"VAR rack-b battery.runtime "720""#),
            ],
        );
        world.power_cut();
        world.advance_to(world.now() + 6 * 60_000);
        status(&world, r#"VAR rack-a ups.status "OB DISCHRG""#);
        check(&world, &[("GET VAR rack-a battery.charge", r#"VAR rack-a battery.charge "50""#)]);
        world.power_restore();
        status(&world, r#"VAR rack-a ups.status "OL CHRG""#);
        world.set_quirk(0, Quirk::Silent, true);
        status(&world, "ERR DATA-STALE");
        check(&world, &[("LIST VAR rack-a", "ERR DATA-STALE"), ("LIST RW rack-a", "BEGIN LIST RW rack-a\nEND LIST RW rack-a")]);
    }

    #[test]
    fn who_has_no_right_user_and_password_is_not_logged_in() {
        let world = world();
        let client = check(
            &world,
            &[
                ("STARTTLS", "ERR FEATURE-NOT-CONFIGURED"),
                ("LOGIN rack-a", "ERR USERNAME-REQUIRED"),
                ("USERNAME ananke", "OK"),
                ("LOGIN rack-a", "ERR PASSWORD-REQUIRED"),
                ("PASSWORD secret", "OK"),
                ("LOGIN rack-z", "ERR UNKNOWN-UPS"),
                ("LOGIN rack-a", "OK"),
                ("LOGIN rack-b", "ERR ALREADY-LOGGED-IN"),
                ("INSTCMD rack-a load.off", "ERR ACCESS-DENIED"),
                ("LOGOUT", "OK Goodbye"),
            ],
        );
        assert!(client.is_gone);
        check(&world, &[("USERNAME ananke", "OK"), ("PASSWORD other", "OK"), ("LOGIN rack-a", "ERR ACCESS-DENIED")]);
    }

    #[test]
    fn a_login_is_listed_at_its_ups_while_its_connection_lasts() {
        let (world, logins) = (world(), Arc::default());
        let empty = [
            ("LIST CLIENT rack-a", "BEGIN LIST CLIENT rack-a\nEND LIST CLIENT rack-a"),
            ("GET NUMLOGINS rack-a", "NUMLOGINS rack-a 0"),
        ];
        let log_in = [("USERNAME ananke", "OK"), ("PASSWORD secret", "OK"), ("LOGIN rack-a", "OK")];
        let client = check_beside(&logins, &world, &log_in);
        check_beside(
            &logins,
            &world,
            &[
                ("LIST CLIENT rack-a", "BEGIN LIST CLIENT rack-a\nCLIENT rack-a 127.0.0.1\nEND LIST CLIENT rack-a"),
                ("GET NUMLOGINS rack-a", "NUMLOGINS rack-a 1"),
                ("LIST CLIENT rack-b", "BEGIN LIST CLIENT rack-b\nEND LIST CLIENT rack-b"),
                ("LIST CLIENT rack-z", "ERR UNKNOWN-UPS"),
                ("LIST CLIENT", "ERR INVALID-ARGUMENT"),
            ],
        );
        drop(client);
        check_beside(&logins, &world, &empty);
    }
}
