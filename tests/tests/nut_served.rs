//! The upsd of the served simulator beside a real one: the same requests, answers of the same shape, and NUT's own client.

#![expect(clippy::expect_used, clippy::disallowed_methods, reason = "a test fails by panicking, and starts real programs")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::Command;

use ananke_tests::upsd::Nut;
use ananke_tests::{Cluster, LIMIT, require};

/// Each on one connection; `@` stands for a UPS that is there.
const EXCHANGES: [&[&str]; 4] = [
    &[
        "VER",
        "NETVER",
        "HELP",
        "",
        "NONSENSE",
        "LIST",
        "LIST UPS",
        "LIST VAR",
        "LIST VAR nope",
        "LIST VAR @",
        "LIST NOPE @",
        "LIST CLIENT",
        "LIST CLIENT nope",
        "LIST CLIENT @",
        "GET",
        "GET VAR @",
        "GET VAR nope ups.status",
        "GET VAR @ nope.nope",
        "GET VAR @ ups.status",
        "GET VAR @ battery.charge",
        "get var \"@\" \"battery.runtime\"",
        "GET UPSDESC @",
        "GET NOPE @",
        "GET NUMLOGINS",
        "GET NUMLOGINS nope",
        "GET NUMLOGINS @",
    ],
    &[
        "STARTTLS",
        "LOGIN @",
        "USERNAME",
        "USERNAME a b",
        "USERNAME ananke",
        "USERNAME ananke",
        "LOGIN @",
        "PASSWORD secret",
        "PASSWORD secret",
        "LOGIN",
        "LOGIN nope",
        "LOGIN @",
        "LIST CLIENT @",
        "GET NUMLOGINS @",
        "LOGIN @",
        "SET VAR @ ups.id x",
        "INSTCMD @ load.off",
        "FSD @",
        "LOGOUT",
    ],
    &["USERNAME ananke", "PASSWORD wrong", "LOGIN @", "LOGOUT"],
    &["SET VAR @ ups.id x", "INSTCMD @ load.off", "FSD @", "LOGOUT x"],
];

/// What it answers to each request, without what differs from one UPS to another.
fn shapes(port: u16, ups: &str, requests: &[&str]) -> Vec<(String, BTreeSet<String>)> {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("upsd listens");
    stream.set_read_timeout(Some(LIMIT)).expect("a timeout");
    let mut stream = BufReader::new(stream);
    let mut line = move |request: Option<&str>| {
        if let Some(request) = request {
            stream.get_mut().write_all(format!("{request}\n").as_bytes()).expect("it takes a request");
        }
        let mut line = String::new();
        stream.read_line(&mut line).expect("it answers");
        line
    };
    let answers = requests.iter().map(|request| {
        let mut answer = vec![line(Some(&request.replace('@', ups)))];
        if answer.iter().any(|first| first.starts_with("BEGIN LIST")) {
            while !answer.iter().any(|line| line.starts_with("END LIST")) {
                answer.push(line(None));
            }
        }
        ((*request).to_owned(), answer.iter().map(|line| shape(line, request)).collect())
    });
    answers.collect()
}

fn shape(line: &str, request: &str) -> String {
    if request == "VER" {
        return line.split(' ').take(4).collect::<Vec<_>>().join(" ");
    }
    let quoted = line.split('"').step_by(2).collect::<Vec<_>>().join("\"…\"");
    let word = |word: &str| match word {
        "rack" | "rack-a" | "rack-b" => "@".to_owned(),
        // Drivers have variables of their own.
        name if name.contains('.') && request.starts_with("LIST") => "variable".to_owned(),
        other => other.to_owned(),
    };
    quoted.trim_end().split(' ').map(word).collect::<Vec<_>>().join(" ")
}

fn served() -> (Cluster, u16) {
    let cluster = Cluster::up(&["--nodes", "3", "--scenario", "healthy"]);
    let config = std::fs::read_to_string(cluster.config()).expect("the config");
    let (_, rest) = config.split_once("rack-a@127.0.0.1:").expect("it names the UPS");
    let port = rest.split('"').next().and_then(|port| port.parse().ok()).expect("a port");
    (cluster, port)
}

#[test]
fn the_served_upsd_answers_as_a_real_one() {
    let Some(nut) = Nut::up("OL 100 3000") else { return };
    let (_cluster, port) = served();
    for requests in EXCHANGES {
        assert_eq!(shapes(port, "rack-a", requests), shapes(nut.port, "rack", requests));
    }
}

#[test]
fn upsc_reads_the_served_batteries() {
    if !require("upsc", "nut-client") {
        return;
    }
    let (cluster, port) = served();
    let upsc = |args: &[&str]| {
        let out = Command::new("upsc").args(args).output().expect("upsc is there");
        // It says on its other stream that it has no certificates.
        let said = String::from_utf8_lossy(&out.stderr).lines().filter(|line| line.starts_with("Error")).collect::<String>();
        (String::from_utf8_lossy(&out.stdout).trim_end().to_owned(), said)
    };
    let (at, well) = (format!("127.0.0.1:{port}"), |text: &str| (text.to_owned(), String::new()));
    let rack = format!("rack-a@{at}");
    assert_eq!(upsc(&["-l", &at]), well("rack-a\nrack-b"));
    assert_eq!(upsc(&[&rack, "ups.status"]), well("OL"));
    let (all, _) = upsc(&[&rack]);
    assert!(["battery.charge: 100", "battery.runtime: 720", "ups.status: OL"].iter().all(|line| all.contains(line)), "{all}");
    assert_eq!(upsc(&[&rack, "nope.nope"]).1, "Error: Variable not supported by UPS");
    assert_eq!(upsc(&[&format!("nope@{at}")]).1, "Error: Unknown UPS");
    cluster.power("cut");
    assert_eq!(upsc(&[&rack, "ups.status"]), well("OB DISCHRG"));
}
