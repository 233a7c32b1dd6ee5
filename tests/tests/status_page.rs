//! What `ananke daemon` shows: by raw requests, by promtool, and by a real Chromium.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and starts real programs"
)]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use ananke_tests::{Cluster, Going, LIMIT, binary, require, until};

/// A served cluster and its daemon, which says where it serves.
struct Site {
    cluster: Cluster,
    log: PathBuf,
    at: String,
    daemon: Going,
}

impl Site {
    fn of(cluster: Cluster) -> Self {
        let log = cluster.path("daemon.log");
        let script = format!("exec \"$0\" daemon --config \"$1\" 2>> {}", log.display());
        let daemon = Going::spawn(Command::new("sh").args(["-c", &script]).arg(binary()).arg(cluster.config()));
        let at = until("the daemon serves", LIMIT, || {
            let told = fs::read_to_string(&log).unwrap_or_default();
            Some(told.split_once("serves: http://")?.1.split_once("/\n")?.0.to_owned())
        });
        Self { cluster, log, at, daemon }
    }

    fn get(&self, path: &str) -> String {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.at))
    }

    /// The whole answer, head and body.
    fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(&self.at).expect("the daemon listens");
        stream.write_all(request.as_bytes()).expect("a request is sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer comes");
        answer
    }

    /// Until the first sweep is over, all else may be as it was.
    fn swept(self) -> Self {
        until("the leases were swept", LIMIT, || self.get("/").contains("last sweep").then_some(()));
        self
    }

    fn told(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

fn cluster(scenario: &str) -> Cluster {
    Cluster::up(&["--nodes", "5", "--speed", "40", "--scenario", scenario])
}

#[test]
fn it_shows_itself_to_this_machine_only_and_changes_nothing() {
    let site = Site::of(cluster("healthy")).swept();
    let page = site.get("/");
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n") && page.contains("Nothing."), "{page}");
    for header in [
        "content-security-policy: default-src 'none'; style-src 'self'",
        "x-content-type-options: nosniff",
        "cache-control: no-store",
    ] {
        assert!(page.contains(header), "{header} in {page}");
    }
    assert!(site.get("/healthz").ends_with("\r\n\r\nok\n"), "{}", site.get("/healthz"));
    assert!(site.get("/../etc/passwd").starts_with("HTTP/1.1 404"), "{}", site.get("/../etc/passwd"));
    let rebound = site.ask("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    assert!(rebound.starts_with("HTTP/1.1 421") && !rebound.contains("<html"), "{rebound}");
    for method in ["POST", "DELETE", "PUT"] {
        let answer = site.ask(&format!("{method} / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 405") && answer.contains("allow: GET, HEAD"), "{answer}");
    }
    let head = site.ask("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
    site.daemon.signal("TERM");
    site.daemon.end(LIMIT).exits(0);
}

#[test]
fn clients_that_say_nothing_keep_nobody_out_for_long() {
    let site = Site::of(cluster("healthy"));
    let idle: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(&site.at).expect("it listens")).collect();
    assert!(site.get("/healthz").contains("200 OK"), "after {} silent ones: {}", idle.len(), site.told());
}

#[test]
fn a_port_that_somebody_has_is_told_and_leases_are_kept() {
    let first = Site::of(cluster("healthy"));
    let at = first.at.clone();
    let cluster = cluster("healthy");
    cluster.edit_config(|text| text.replace("127.0.0.1:0", &at));
    let daemon = cluster.start(&["daemon"]);
    let asked = || cluster.requests().iter().any(|line| line.starts_with("GET /api/v1/nodes"));
    until("it looks at the nodes", LIMIT, || asked().then_some(()));
    daemon.signal("TERM");
    let run = daemon.end(LIMIT).exits(0);
    assert!(run.stderr.contains(&format!("NOT SERVED: no status page and no metrics, for nobody can listen on {at}")), "{run}");
}

#[test]
fn a_run_that_goes_on_is_shown_with_its_gates() {
    let site = Site::of(cluster("power-loss"));
    let mut run = site.cluster.start(&["startup", "--execute"]);
    let page = until("the page shows the run", LIMIT, || {
        assert!(run.runs(), "it was over before it was seen: {}", site.told());
        Some(site.get("/")).filter(|page| page.contains("The start-up that goes on"))
    });
    assert!(page.contains("a start-up goes on") && page.contains("<th>guards</th>"), "{page}");
    assert!(site.get("/metrics").contains("ananke_run_under_way{command=\"startup\"} 1"), "{}", site.get("/metrics"));
    run.end(LIMIT).exits(0);
    let page = site.get("/");
    assert!(page.contains("The last start-up") && !page.contains("The start-up that goes on"), "{page}");
}

#[test]
fn promtool_takes_what_is_served() {
    if !require("promtool", "prometheus") {
        return;
    }
    let cluster = cluster("power-loss");
    cluster.ananke(&["startup", "--execute"]).ok();
    let site = Site::of(cluster).swept();
    let answer = site.get("/metrics");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    assert!(body.contains("ananke_last_run_outcome{command=\"startup\",outcome=\"done\"} 1"), "{body}");
    assert!(body.contains("ananke_gate_status{command=\"startup\",gate=\"soak\",status=\"passed\"} 1"), "{body}");
    let file = site.cluster.path("metrics");
    fs::write(&file, body).unwrap();
    let script = format!("exec promtool check metrics < {}", file.display());
    let run = Going::spawn(Command::new("sh").args(["-c", &script])).end(LIMIT);
    let said = run.said();
    run.ok();
    assert_eq!(said.trim(), "", "promtool has something to say");
}

#[test]
fn a_browser_shows_what_a_person_must_do() {
    if !require("chromium", "chromium") {
        return;
    }
    let cluster = cluster("power-loss");
    cluster.inject("never-boots", Some("titan-05"));
    cluster.ananke(&["startup", "--execute"]).exits(4);
    let site = Site::of(cluster).swept();
    let dom = chromium(&site, &["--dump-dom"]);
    let todo =
        dom.split_once("id=\"todo\"").and_then(|(_, rest)| rest.split_once("</section>")).expect("a list of things to do").0;
    let report = site.cluster.state("last-startup-report.json");
    let instruction = report["manual"][0]["instruction"].as_str().expect("an instruction");
    assert!(todo.contains(&escaped(instruction)), "{instruction:?} in {todo}");
    for part in ["The last start-up", "nodes-ready", "<svg", "No lease is outstanding"] {
        assert!(dom.contains(part), "{part} in {dom}");
    }
    assert!(!dom.contains("<script"), "{dom}");
    for (name, size) in [("desk", "1000,1400"), ("phone", "412,1400")] {
        let (picture, blank) = (site.cluster.path(&format!("{name}.png")), site.cluster.path("blank.png"));
        screenshot(&site, &picture, size, &format!("http://{}/", site.at));
        screenshot(&site, &blank, size, "about:blank");
        let bytes = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
        assert!(bytes(&picture) > 5 * bytes(&blank), "{} is blank: {} bytes", picture.display(), bytes(&picture));
        // For a person who wants to see them.
        if let Some(keep) = std::env::var_os("ANANKE_TEST_SCREENSHOTS") {
            fs::copy(&picture, Path::new(&keep).join(format!("{name}.png"))).unwrap();
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn screenshot(site: &Site, picture: &Path, size: &str, url: &str) {
    browse(site, &[&format!("--screenshot={}", picture.display()), &format!("--window-size={size}"), url]);
}

fn chromium(site: &Site, args: &[&str]) -> String {
    let url = format!("http://{}/", site.at);
    browse(site, &[args, &[&url]].concat())
}

/// A profile of its own, and nothing asked of the network.
fn browse(site: &Site, args: &[&str]) -> String {
    let profile = tempfile::tempdir_in(site.cluster.dir()).unwrap();
    let mut command = Command::new("chromium");
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]);
    command.arg(format!("--user-data-dir={}", profile.path().display())).args(args).env("HOME", profile.path());
    let run = Going::spawn(&mut command).end(LIMIT);
    if run.code != Some(0) {
        panic!("{run}");
    }
    run.stdout
}
