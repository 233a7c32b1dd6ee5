//! Who is told, and where the daemon shows what it knows.

use ananke_cli::config::{Channel, Notify, Post};
use expect_test::{Expect, expect};

use crate::desk::{Desk, GOOD};

fn post(url: &str) -> Post {
    Post { url: url.to_owned(), token_file: None, ca_file: None }
}

#[test]
fn every_kind_of_channel_is_read() {
    let desk = Desk::new();
    desk.write("token", b"secret\n", 0o600);
    let text = "notify:\n  - {ntfy: \"https://ntfy.example.org/ananke_1\", token_file: token}\n  - webhook: https://alerts.example.org/x?y=1\n  - command: [/bin/true, --from, ananke]\ndaemon: {notices_per_hour: 5}\n";
    let Notify { channels, per_hour } = desk.load(&format!("{GOOD}{text}")).unwrap().notify;
    let [Channel::Ntfy { post: ntfy, topic }, webhook, command] = channels.as_slice() else { panic!("{channels:?}") };
    assert_eq!((ntfy.url.as_str(), topic.as_str(), per_hour), ("https://ntfy.example.org/", "ananke_1", 5));
    assert!(ntfy.token_file.as_ref().is_some_and(|path| path.ends_with("token")));
    assert_eq!(*webhook, Channel::Webhook(post("https://alerts.example.org/x?y=1")));
    assert_eq!(*command, Channel::Command(["/bin/true", "--from", "ananke"].map(str::to_owned).to_vec()));
}

#[test]
fn what_is_not_there_keeps_no_run_from_beginning() {
    let text = "notify: [{webhook: \"https://x.example\", token_file: /nowhere/token}, {command: [/nowhere/tell]}]\n";
    let loaded = Desk::new().load(&format!("{GOOD}{text}")).unwrap();
    assert_eq!(loaded.notify.channels.len(), 2);
    let token = "notify[0].token_file: cannot read /nowhere/token: it does not exist";
    assert_eq!(loaded.warnings, [token, "notify[1].command[0]: cannot run /nowhere/tell: it does not exist"]);
}

#[test]
fn where_the_daemon_listens() {
    let listen = |text: &str| {
        let loaded = Desk::new().load(&format!("{GOOD}{text}")).unwrap();
        (loaded.listen.map(|at| at.to_string()), loaded.warnings.join("; "))
    };
    assert_eq!(listen(""), (Some("127.0.0.1:10477".to_owned()), String::new()));
    assert_eq!(listen("daemon: {listen: none}\n"), (None, String::new()));
    assert_eq!(listen("daemon: {listen: \"[::1]:0\"}\n"), (Some("[::1]:0".to_owned()), String::new()));
    let (at, warning) = listen("daemon: {listen: 10.0.0.5:80}\n");
    assert_eq!(at.as_deref(), Some("10.0.0.5:80"));
    assert_eq!(warning, "daemon.listen: whoever reaches 10.0.0.5:80 sees the status page, which asks for no password");
}

#[track_caller]
fn refused(text: &str, expected: Expect) {
    let desk = Desk::new();
    desk.write("token", b"secret\n", 0o600);
    desk.write("open", b"secret\n", 0o644);
    expected.assert_eq(&desk.refusal(desk.load(&format!("{GOOD}{text}"))));
}

#[test]
fn what_cannot_be_meant_is_refused() {
    refused(
        "notify: [\"https://ntfy.example.org/a\"]\n",
        expect![[r#"D/ananke.yaml:4:10: notify[0]: found something else; allowed: entries with ntfy, webhook or command"#]],
    );
    refused(
        "notify: [{}]\n",
        expect![
            "D/ananke.yaml:4:10: notify[0]: an entry has exactly one of ntfy, webhook and command; allowed: entries with ntfy, webhook or command"
        ],
    );
    refused(
        "notify: [{ntfy: \"https://ntfy.example.org/a/b\"}]\n",
        expect![[
            r#"D/ananke.yaml:4:17: notify[0].ntfy: found something else; allowed: the http:// or https:// URL of a topic, such as https://ntfy.example.org/ananke"#
        ]],
    );
    refused(
        "notify: [{ntfy: \"https://ntfy.example.org/a\", webhook: \"https://x.example\"}]\n",
        expect![
            "D/ananke.yaml:4:10: notify[0]: an entry has exactly one of ntfy, webhook and command; allowed: entries with ntfy, webhook or command"
        ],
    );
    refused(
        "notify: [{webhook: \"http://x.example\", token_file: token}]\n",
        expect![
            "D/ananke.yaml:4:20: notify[0].webhook: a token would go over the network in clear text; allowed: an https:// URL, or no token_file"
        ],
    );
    refused(
        "notify: [{webhook: \"https://x.example\", token_file: open}]\n",
        expect!["D/ananke.yaml:4:53: notify[0].token_file: other users can use D/open (mode 0644); run `chmod go-rwx D/open`"],
    );
    refused(
        "notify: [{command: [true]}]\n",
        expect!["D/ananke.yaml:4:21: notify[0].command[0]: found true; allowed: a text without zero bytes (as text, in quotes)"],
    );
    refused(
        "notify: [{webhok: \"https://x.example\"}]\n",
        expect![[r#"
        D/ananke.yaml:4:10: notify[0]: an entry has exactly one of ntfy, webhook and command; allowed: entries with ntfy, webhook or command
        D/ananke.yaml:4:11: notify[0].webhok: unknown key; did you mean webhook?"#]],
    );
    refused(
        "daemon: {listen: localhost}\n",
        expect![[
            r#"D/ananke.yaml:4:18: daemon.listen: found "localhost"; allowed: an address with its port, such as 127.0.0.1:10477, or none"#
        ]],
    );
}
