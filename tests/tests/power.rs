//! The daemon and the batteries: a real upsd with its dummy-ups, the built binary, and a served cluster that goes down and
//! comes back.

#![expect(clippy::expect_used, clippy::disallowed_methods, reason = "a test fails by panicking, and starts real programs")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use ananke_sim::serve::site::ANANKES;
use ananke_tests::upsd::Nut;
use ananke_tests::{Cluster, Going, LIMIT, until, without_ups};
use serde_json::Value;

/// A UPS on line and the cluster that it feeds, where there is a upsd.
fn powered() -> Option<(Nut, Site)> {
    let nut = Nut::up("OL 100 3000")?;
    let site = Site::new(&nut);
    site.tells("on line (OL)");
    Some((nut, site))
}

/// A running cluster whose power comes from the UPS, and its daemon.
struct Site {
    cluster: Cluster,
    daemon: Going,
    log: PathBuf,
}

impl Site {
    fn new(nut: &Nut) -> Self {
        let cluster = Cluster::up(&["--nodes", "4", "--speed", "40", "--scenario", "healthy"]);
        let port = nut.port;
        let (tell, notices) = (cluster.path("tell"), cluster.path("notices"));
        fs::write(&tell, format!("#!/bin/sh\n{{ echo \"$1\"; cat; echo; }} >> {}\n", notices.display())).expect("a program");
        assert!(Command::new("chmod").arg("755").arg(&tell).status().expect("chmod exists").success());
        cluster.edit_config(|text| {
            let power = "power:\n  debounce: 2s\n  hold_off: 3s";
            let ups = format!(
                "ups: [rack@127.0.0.1:{port}]\ndefault_budget_seconds: 10\nnut: {{user: ananke, password_file: nut-password}}\n\
                 notify: [{{command: [{}]}}]",
                tell.display()
            );
            format!("{ups}\n{}", without_ups(text).replacen("power:", power, 1))
        });
        let log = cluster.path("daemon.log");
        let daemon = start_daemon(&cluster, &log);
        Self { cluster, daemon, log }
    }

    fn told(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    #[track_caller]
    fn tells(&self, words: &str) {
        let end = Instant::now() + LIMIT;
        while !self.told().contains(words) {
            assert!(Instant::now() < end, "waited in vain until the daemon says {words:?}:\n{}", self.told());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn intent(&self) -> Value {
        let text = fs::read_to_string(self.cluster.path("state/intent.json")).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    #[track_caller]
    fn comes_to(&self, state: &str) {
        until(&format!("the intent is {state}; the daemon says\n{}", self.told()), LIMIT, || {
            self.intent().to_string().contains(&format!("\"{state}\"")).then_some(())
        });
    }

    /// Nothing is begun within some seconds.
    fn stays_up(&self, seconds: u64) {
        let end = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < end {
            assert!(!self.told().contains("shuts down"), "{}", self.told());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn ends(self) -> String {
        self.daemon.signal("TERM");
        self.daemon.end(LIMIT).exits(0);
        fs::read_to_string(&self.log).expect("the daemon's log")
    }
}

/// Its words go to a file, so that they can be read while it runs.
fn start_daemon(cluster: &Cluster, log: &Path) -> Going {
    let script = format!("exec \"$0\" daemon --config \"$1\" 2>> {}", log.display());
    let command = &mut Command::new("sh");
    Going::spawn(command.args(["-c", &script]).arg(ananke_tests::binary()).arg(cluster.config()))
}

#[test]
fn what_nobody_took_is_told_by_the_next_daemon() {
    let Some((nut, site)) = powered() else { return };
    let Site { cluster, daemon, log } = &site;
    let program = cluster.path("tell");
    let works = fs::read(&program).expect("the program that tells");
    fs::write(&program, "#!/bin/sh\nexit 1\n").expect("a program that fails");
    nut.says("OB DISCHRG 95 2900");
    site.tells("failed: tell the command");
    daemon.signal("TERM");
    until("the daemon ends", LIMIT, || site.told().contains("stops: ").then_some(()));
    fs::write(&program, works).expect("a program that works");
    let next = start_daemon(cluster, log);
    let notices = || fs::read_to_string(cluster.path("notices")).unwrap_or_default();
    until("it is told", LIMIT, || notices().contains("UPS rack@127.0.0.1").then_some(()));
    assert!(notices().contains("this could not be told when it was so, "), "{}", notices());
    next.signal("TERM");
    next.end(LIMIT).exits(0);
}

#[test]
fn a_battery_that_runs_out_stops_the_cluster_and_mains_bring_it_back() {
    let Some((nut, site)) = powered() else { return };
    nut.says("OB DISCHRG 95 2900");
    site.tells("on battery (OB DISCHRG)");
    site.tells("outage: number 1 within 1h00m");
    site.stays_up(3);
    site.cluster.ananke(&["pause", "--for", "1h", "--reason", "a new battery"]).ok();
    site.tells("paused: until ");
    nut.says("OB DISCHRG 60 18");
    site.tells("critical (OB DISCHRG)");
    site.stays_up(3);
    assert!(site.cluster.ananke(&["status"]).stdout.contains("the daemon is held back until "), "{}", site.told());
    // What a rotation left half-written does not stop it.
    let kubeconfig = site.cluster.path(ANANKES);
    let whole = fs::read(&kubeconfig).expect("a kubeconfig");
    fs::write(&kubeconfig, "{").expect("half a kubeconfig");
    site.cluster.ananke(&["resume"]).ok();
    site.tells("shuts down: rack@127.0.0.1");
    site.tells("the kubeconfig counts as it was");
    site.comes_to("shutdown_complete");
    fs::write(&kubeconfig, whole).expect("the kubeconfig");
    assert_eq!(site.intent()["by_power"], true, "{}", site.intent());
    nut.says("OL CHRG 25 300");
    site.tells("on line (OL CHRG)");
    std::thread::sleep(Duration::from_secs(5));
    assert!(!site.told().contains("starts up"), "the charge is too low: {}", site.told());
    nut.says("OL CHRG 31 400");
    site.tells("starts up: mains have been back for 3s");
    site.comes_to("normal");
    site.tells("start-up ended: done");
    assert_eq!(site.cluster.truth()["workloads_converged"], site.cluster.truth()["workloads"]);
    let notices = site.cluster.path("notices");
    let told = until("the end is told to people", LIMIT, || {
        fs::read_to_string(&notices).ok().filter(|told| told.contains("start-up ended: done"))
    });
    for (sentence, detail) in [
        (" is on battery\n", "charge 95 %, runtime 48m20s, 0 s ago"),
        (" asks for a shutdown\n", "charge 60 %, runtime 18s, 0 s ago"),
        (": shutdown begins\n", "charge 60 %, runtime 18s, "),
        (": shutdown ended: done\n", ""),
        (" is on line again\n", "charge 25 %, runtime 5m00s, "),
        (": start-up begins\n", "mains have been back for 3s"),
    ] {
        assert!(told.contains(sentence) && told.contains(detail), "{sentence:?} with {detail:?} in {told}");
        assert_eq!(told.matches(sentence).count(), 1, "{sentence:?} in {told}");
    }
    site.ends();
}

#[test]
fn blips_self_tests_and_a_server_that_dies_on_line_stop_nothing() {
    let Some((mut nut, site)) = powered() else { return };
    for (status, told) in [
        ("OL CAL", "calibrates its battery (OL CAL)"),
        ("OFF", "it says that its output is off (OFF)"),
        ("OL DISCHRG", "on line (OL DISCHRG)"),
        ("OL LB", "on line (OL LB)"),
    ] {
        nut.says(&format!("{status} 97 2000"));
        site.tells(told);
        nut.says("OL 100 3000");
        std::thread::sleep(Duration::from_millis(2500));
    }
    nut.kill();
    site.tells("not heard: read the UPS on rack@127.0.0.1");
    site.stays_up(5);
    nut.serve();
    nut.says("OL 99 3000");
    std::thread::sleep(Duration::from_secs(3));
    assert!(site.told().trim_end().lines().last().is_some_and(|line| line.contains("on line")), "{}", site.told());
    // A password that was changed meanwhile costs the login, and no reading.
    fs::write(site.cluster.path("nut-password"), "another\n").expect("the password's file");
    nut.kill();
    nut.serve();
    nut.says("OL 98 3000");
    site.tells("on line (OL); nobody waits for us: log in to the UPS on rack@127.0.0.1");
    let told = site.ends();
    assert!(!told.contains("outage:") && !told.contains("shuts down"), "{told}");
}

#[test]
fn a_server_that_dies_on_battery_is_a_dead_mans_timer_and_a_second_outage_meets_the_start_up() {
    let Some((mut nut, site)) = powered() else { return };
    nut.says("OB DISCHRG 90 28");
    site.tells("on battery");
    nut.kill();
    site.tells("shuts down: rack@127.0.0.1");
    site.comes_to("shutdown_complete");
    nut.says("OL CHRG 90 2000");
    nut.serve();
    site.tells("starts up");
    nut.says("FSD OB LB 5 10");
    site.tells("it was told to switch off (FSD)");
    until("a second shutdown is complete", LIMIT, || (site.told().matches("shutdown ended: done").count() == 2).then_some(()));
    assert_eq!(site.intent()["state"], "shutdown_complete", "{}\n{}", site.intent(), site.told());
    nut.says("OL CHRG 90 2000");
    site.comes_to("normal");
    let told = site.ends();
    assert!(told.contains("start-up ended: yielded to a shutdown"), "{told}");
}
