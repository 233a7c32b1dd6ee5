//! `ananke config trust`: the only way by which a host key comes to be believed for being shown.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "helpers of tests, and a terminal made by a program")]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use ananke_tests::sshd::{Desk, closed_port, target};
use ananke_tests::{Cluster, ananke, binary, require};

#[test]
fn a_key_is_believed_when_a_person_says_so_and_never_in_the_place_of_another() {
    let cluster = Cluster::up(&["--scenario", "healthy", "--nodes", "4"]);
    let file = cluster.path("known_hosts");
    let all = fs::read_to_string(&file).unwrap();
    let (first, second) = (all.lines().next().unwrap(), all.lines().nth(1).unwrap());
    let (node, trust) = ("titan-01", ["config", "trust", "titan-01"]);
    assert!(cluster.ananke(&trust).ok().starts_with("titan-01 is trusted already: SHA256:"), "{node}");

    fs::remove_file(&file).unwrap();
    let run = cluster.ananke(&trust).exits(2);
    assert!(run.stdout.contains(" shows SHA256:") && run.stdout.contains("(ssh-ed25519)"), "{run}");
    assert!(run.stdout.ends_with(&format!("{first}\n")), "{run}");
    assert!(run.stderr.contains("give --yes, or write this line to "), "{run}");
    assert!(!file.exists(), "nothing is written unasked");

    cluster.ananke(&["config", "trust", "titan-01", "--yes"]).ok();
    assert_eq!(fs::read_to_string(&file).unwrap(), format!("{first}\n"));
    cluster.ananke(&trust).ok();

    let key_of_another = second.split_once(' ').unwrap().1;
    let wrong = format!("# by hand\n{} {key_of_another}\n", first.split_once(' ').unwrap().0);
    fs::write(&file, &wrong).unwrap();
    let run = cluster.ananke(&["config", "trust", "titan-01", "--yes"]).exits(5);
    assert!(run.stderr.contains("host key changed: line 2 of ") && run.stderr.contains("remove line 2 of "), "{run}");
    assert_eq!(fs::read_to_string(&file).unwrap(), wrong);

    let run = cluster.ananke(&["config", "trust", "titan-99", "--yes"]).exits(2);
    assert!(run.stderr.contains("titan-99 is no node of this config"), "{run}");
}

/// What is said on a terminal where a person answers, and the exit code.
fn asked(config: &Path, answer: &str) -> (String, Option<i32>) {
    let line = format!("{} config trust titan-01 --config {}", binary().display(), config.display());
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Open until it has ended: the end of what is typed counts as an answer too.
    let mut keys = child.stdin.take().unwrap();
    keys.write_all(answer.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    drop(keys);
    (String::from_utf8(out.stdout).unwrap(), out.status.code())
}

#[test]
fn on_a_terminal_only_yes_is_yes() {
    if !require("script", "bsdutils") {
        return;
    }
    let cluster = Cluster::up(&["--scenario", "healthy", "--nodes", "4"]);
    let file = cluster.path("known_hosts");
    let first = fs::read_to_string(&file).unwrap().lines().next().unwrap().to_owned() + "\n";
    for (answer, yes) in [("n\n", false), ("\n", false), ("yep\n", false), ("Y\n", true), ("yes\n", true), ("y\n", true)] {
        let _gone = fs::remove_file(&file);
        let (said, code) = asked(&cluster.config(), answer);
        assert!(said.contains("titan-01 (") && said.contains("Is it the same? [y/N] "), "{answer:?}: {said}");
        assert_eq!(code, Some(if yes { 0 } else { 5 }), "{answer:?}: {said}");
        assert_eq!(fs::read_to_string(&file).ok(), yes.then(|| first.clone()), "{answer:?}: {said}");
    }
}

#[test]
fn a_key_is_seen_through_the_jump_host_and_directly_where_that_does_not_help() {
    let Some(desk) = Desk::new() else { return };
    let (host, jump) = (desk.sshd("host", ""), desk.sshd("jump", ""));
    let user = target(0).user;
    let forwarded = || jump.said().matches("server_request_direct_tcpip").count();
    let shown = |over: u16| {
        let text = format!(
            "kubeconfig: id\ncontrol_planes: [titan-01]\nssh_user: {user}\nssh_identity_file: id\nssh_known_hosts_file: known_hosts\n\
             ssh_node_hosts: {{titan-01: \"127.0.0.1:{}\"}}\nssh_jump_host: 127.0.0.1:{over}\n",
            host.port
        );
        fs::write(desk.path("ananke.yaml"), text).unwrap();
        let run = ananke(&["config", "trust", "titan-01", "--config", desk.path("ananke.yaml").to_str().unwrap()]).exits(2);
        assert!(run.stdout.ends_with(&format!("{}\n", host.line())), "{run}");
        run
    };
    desk.believe(&[jump.line()]);
    shown(jump.port);
    assert_eq!(forwarded(), 1);
    let run = shown(closed_port());
    assert!(run.stderr.contains("the hosts are reached directly"), "{run}");
    desk.believe(&[]);
    let run = shown(jump.port);
    assert!(run.stderr.contains("is not in ") && forwarded() == 1, "a jump host that is not believed carries nothing: {run}");
}
