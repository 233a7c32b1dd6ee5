//! The keys of SSH, and the file of OpenSSH that one of them names.

use std::collections::BTreeSet;
use std::path::PathBuf;

use ananke_cli::config::{Loaded, Ssh};
use ananke_core::name::NodeName;
use ananke_ssh::{Login, Route};
use expect_test::{Expect, expect};

use crate::desk::{Desk, GOOD, check};

#[test]
fn a_node_without_ssh_has_no_host_and_any_other_transport_is_a_mistake() {
    let loaded = Desk::new().load(&format!("{GOOD}ssh_node_transport: {{titan-11: none, titan-01: ssh}}\n")).unwrap();
    let node = NodeName::parse("titan-11").unwrap();
    assert_eq!((&loaded.spec.nodes[&node].target, loaded.ssh.routes.contains_key(&node)), (&None, false));
    assert_eq!(loaded.spec.managed().count(), 4);
    check(
        "ssh_node_transport: {titan-11: talos}\n",
        expect![[r#"D/ananke.yaml:4:32: ssh_node_transport.titan-11: found "talos"; allowed: ssh or none"#]],
    );
}

#[test]
fn nodes_that_the_list_of_managed_ones_leaves_out_have_no_ssh_unless_they_are_named() {
    let managed = |text: &str| {
        let loaded = Desk::new().load(&format!("{GOOD}{text}")).unwrap();
        loaded.spec.managed().map(|(name, _)| name.to_string()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(managed("ssh_managed_nodes: [titan-01, titan-11]\n"), "titan-01 titan-11");
    assert_eq!(managed("ssh_managed_nodes: [titan-01]\nssh_node_transport: {titan-11: ssh, titan-01: none}\n"), "titan-11");
    check(
        "ssh_managed_nodes: [titan-1]\n",
        expect![
            "D/ananke.yaml:4:21: ssh_managed_nodes[0]: no such node in control_planes, workers or ignore_nodes; did you mean titan-12?"
        ],
    );
}

#[test]
fn impossible_values_of_ssh_are_errors() {
    check(
        "ssh_node_hosts: {titan-1: 10.0.0.1}\n",
        expect![
            "D/ananke.yaml:4:18: ssh_node_hosts.titan-1: no such node in control_planes, workers or ignore_nodes; did you mean titan-12?"
        ],
    );
    check(
        "ssh_node_fingerprints: {titan-01: SHA256:short}\n",
        expect![[
            r#"D/ananke.yaml:4:35: ssh_node_fingerprints.titan-01: found "SHA256:short"; allowed: a fingerprint as `ssh-keygen -lf KEY` prints it, such as SHA256:T7SvZ2cslqpPj6nKzitCBHHlpVF3r3MvLwmFL0fk0IE"#
        ]],
    );
    check(
        "ssh_jump_host: root@bastion\n",
        expect![[
            r#"D/ananke.yaml:4:16: ssh_jump_host: found "root@bastion"; allowed: host, host:port or [v6]:port (the user stands in ssh_jump_user)"#
        ]],
    );
    check(
        "ssh_jump_user: root\n",
        expect!["D/ananke.yaml:4:16: ssh_jump_user: there is no ssh_jump_host; allowed: both, or the host alone"],
    );
    check(
        "ssh_node_hosts: {titan-01: root@10.0.0.1}\n",
        expect![[
            r#"D/ananke.yaml:4:28: ssh_node_hosts.titan-01: found "root@10.0.0.1"; allowed: host, host:port or [v6]:port (the user stands in ssh_node_users)"#
        ]],
    );
    check(
        "ssh_user: -oProxyCommand=x\n",
        expect![[
            r#"D/ananke.yaml:4:11: ssh_user: found "-oProxyCommand=x"; allowed: a user name: letters, digits, '-', '_' and '.', at most 32"#
        ]],
    );
}

#[test]
fn peers_are_machines_that_ssh_reaches_and_never_this_one() {
    let text = format!(
        "{GOOD}ssh_user: atlas\nssh_port: 2200\ncoordination: {{peer_hosts: [TITAN-DB, tethys, \"ops@10.0.0.3:2222\"]}}\n"
    );
    let loaded = Desk::new().load(&text).unwrap();
    let peers: Vec<String> = loaded.ssh.peers.iter().map(|(name, peer)| format!("{name}: {}", at(&peer.route.login))).collect();
    assert_eq!(peers, ["ops@10.0.0.3:2222: ops@10.0.0.3:2222", "tethys: atlas@tethys:2200"]);
    assert_eq!(loaded.spec.peers.iter().map(|peer| &**peer).collect::<Vec<_>>(), ["ops@10.0.0.3:2222", "tethys"]);
    check(
        "coordination: {peer_hosts: [\"a@b c\", tethys, \"ops@tethys\", \"[fd00::3]:22\"]}\n",
        expect![[r#"
            D/ananke.yaml:4:29: coordination.peer_hosts[0]: found "a@b c"; allowed: name, user@name or user@name:port, where name is a host name or an IPv4 address
            D/ananke.yaml:4:46: coordination.peer_hosts[2]: a second entry for tethys; allowed: each host once
            D/ananke.yaml:4:60: coordination.peer_hosts[3]: found "[fd00::3]:22"; allowed: name, user@name or user@name:port, where name is a host name or an IPv4 address"#]],
    );
}

#[test]
fn whom_ssh_believes_and_how_it_gets_there() {
    let desk = Desk::new().env("SSH_AUTH_SOCK", "/run/agent");
    let pin = "SHA256:T7SvZ2cslqpPj6nKzitCBHHlpVF3r3MvLwmFL0fk0IE";
    let text =
        format!("{GOOD}ssh_user: ops\nssh_port: 2200\nssh_jump_host: bastion\nssh_node_fingerprints: {{titan-01: \"{pin}\"}}\n");
    let ssh = desk.load(&text).unwrap().ssh;
    assert_eq!(ssh.pins.iter().map(|(node, pin)| format!("{node} {pin}")).collect::<Vec<_>>(), [format!("titan-01 {pin}")]);
    assert_eq!(ssh.agent, Some(PathBuf::from("/run/agent")));
    let jumps = |ssh: &Ssh| ssh.routes.values().map(|route| at(route.jump.as_ref().unwrap())).collect::<BTreeSet<_>>();
    assert_eq!(jumps(&ssh), BTreeSet::from(["ops@bastion:2200".to_owned()]));
    let ssh = desk.load(&format!("{GOOD}ssh_jump_host: bastion:22\nssh_jump_user: atlas\n")).unwrap().ssh;
    assert_eq!(jumps(&ssh), BTreeSet::from(["atlas@bastion:22".to_owned()]));
}

fn at(Login { target, .. }: &Login) -> String {
    format!("{}@{}:{}", target.user, target.host, target.port)
}

/// What a file of OpenSSH leads to: a line for each of two nodes and the peer tethys, and the warnings.
fn leads_to(file: &str, keys: &str, expect: Expect) {
    let desk = Desk::new();
    desk.write("ssh.conf", file.as_bytes(), 0o644);
    let text = format!("{GOOD}ssh_config_file: ssh.conf\ncoordination: {{peer_hosts: [tethys]}}\n{keys}");
    let place = desk.dir.path().to_str().unwrap().to_owned();
    let told = match desk.load(&text) {
        Err(error) => error.to_string(),
        Ok(Loaded { ssh, warnings, .. }) => {
            let nodes = ["titan-01", "titan-02"].map(|name| (name, ssh.routes.get(&NodeName::parse(name).unwrap()).unwrap()));
            let peers = ssh.peers.values().map(|peer| (peer.host.as_str(), &peer.route));
            let route = |(name, route): (&str, &Route)| {
                let key =
                    |login: &Login| login.identity_file.as_ref().map_or("agent".to_owned(), |file| file.display().to_string());
                let jump = route.jump.as_ref().map_or(String::new(), |jump| format!(" over {} with {}", at(jump), key(jump)));
                let (login, known) = (&route.login, route.login.known_hosts.display());
                format!("{name}: {} with {} by {known}{jump}", at(login), key(login))
            };
            nodes.into_iter().chain(peers).map(route).chain(warnings).collect::<Vec<_>>().join("\n")
        }
    };
    expect.assert_eq(&told.replace(&place, "D"));
}

#[test]
fn a_file_of_openssh_says_how_each_host_is_reached() {
    leads_to(
        "",
        "",
        expect![[r#"
        titan-01: root@titan-01:22 with agent by D/home/.ssh/known_hosts
        titan-02: root@titan-02:22 with agent by D/home/.ssh/known_hosts
        tethys: root@tethys:22 with agent by D/home/.ssh/known_hosts"#]],
    );
    leads_to(
        "User ops\nHost titan-* !titan-02\n  HostName %h.example.org\n  Port 2201\n  Port 2202\n  IdentityFile ~/.ssh/id\n  \
         ProxyJump hop@bastion:2222\nHost titan-02\n  HostName 10.0.0.2\n  ProxyJump bastion\nHost bastion tethys\n  HostName = \
         10.9.9.9\n  Port 22\n  User late\n  IdentityFile none\nHost *\n  UserKnownHostsFile \"~/.ssh/known_hosts\"\n  Port 2299\n",
        "",
        expect![[r#"
            titan-01: ops@titan-01.example.org:2201 with D/home/.ssh/id by D/home/.ssh/known_hosts over hop@10.9.9.9:2222 with agent
            titan-02: ops@10.0.0.2:2299 with agent by D/home/.ssh/known_hosts over ops@10.9.9.9:22 with agent
            tethys: ops@10.9.9.9:22 with agent by D/home/.ssh/known_hosts"#]],
    );
    // What is set in the config wins, and is not looked for in the file.
    leads_to(
        "Host titan-* bastion\n  HostName x\n  Port 1\n  User ops\n  IdentityFile /nowhere\n  ProxyJump a,b\n  UserKnownHostsFile /a /b\n",
        "ssh_user: atlas\nssh_port: 22\nssh_identity_file: home/.ssh/id\nssh_known_hosts_file: home/.ssh/known_hosts\n\
         ssh_jump_host: bastion\nssh_node_hosts: {titan-01: \"10.0.0.1:2222\"}\nssh_node_users: {titan-01: root}\n",
        expect![[r#"
            titan-01: root@10.0.0.1:2222 with D/home/.ssh/id by D/home/.ssh/known_hosts over atlas@x:22 with D/home/.ssh/id
            titan-02: atlas@x:22 with D/home/.ssh/id by D/home/.ssh/known_hosts over atlas@x:22 with D/home/.ssh/id
            tethys: atlas@tethys:22 with D/home/.ssh/id by D/home/.ssh/known_hosts"#]],
    );
    // As `ssh` has it: whoever is the jump host is not behind itself, and the first of two ways counts.
    leads_to(
        "Host tethys\n  ProxyCommand none\nHost *\n  ProxyJump titan-01\n",
        "",
        expect![[r#"
        titan-01: root@titan-01:22 with agent by D/home/.ssh/known_hosts
        titan-02: root@titan-02:22 with agent by D/home/.ssh/known_hosts over root@titan-01:22 with agent
        tethys: root@tethys:22 with agent by D/home/.ssh/known_hosts"#]],
    );
}

#[test]
fn what_is_not_followed_in_a_file_of_openssh_is_told_with_its_line() {
    leads_to(
        "Include more\nHost github.com\n  ProxyCommand nc %h %p\nHost titan-*\n  ProxyCommand nc %h %p\n  StrictHostKeyChecking no\n  \
         IdentityFile ~/.ssh/id\n  IdentityFile ~/.ssh/id2\n  HostKeyAlias titan\nMatch user ops\n  Port 1\nHost *\n  \
         StrictHostKeyChecking yes\n",
        "",
        expect![[r#"
            titan-01: root@titan-01:22 with D/home/.ssh/id by D/home/.ssh/known_hosts
            titan-02: root@titan-02:22 with D/home/.ssh/id by D/home/.ssh/known_hosts
            tethys: root@tethys:22 with agent by D/home/.ssh/known_hosts
            D/ssh.conf:1: Include is not followed: write what the nodes need into this file
            D/ssh.conf:5: ProxyCommand is not run: the host is reached directly; name a host in ProxyJump
            D/ssh.conf:6: StrictHostKeyChecking is not followed: host keys are always verified
            D/ssh.conf:8: a second IdentityFile is not used: that of line 7 is
            D/ssh.conf:9: HostKeyAlias is not followed: a host is known by its address
            D/ssh.conf:10: Match is not followed: nothing under it applies"#]],
    );
}

#[test]
fn what_must_not_be_passed_over_in_a_file_of_openssh_is_an_error() {
    leads_to(
        "Host titan-*\n  ProxyJump one,two\n  HostName -oProxyCommand=x\n  Port 0\n  User \"a b\"\n  IdentityFile id\n  UserKnownHostsFile \
         /a /b\n  RevokedHostKeys /etc/ssh/revoked\nHost tethys\n  ProxyJump hop\nHost hop\n  ProxyJump next\n  IdentityFile \
         ~/.ssh/nothing\n",
        "",
        expect![[r#"
            D/ananke.yaml:4:18: ssh_config_file: D/ssh.conf:2: proxyjump: found "one,two"; allowed: one host to go through: host, user@host or user@host:port, or none
            D/ananke.yaml:4:18: ssh_config_file: D/ssh.conf:3: hostname: found "-oProxyCommand=x"; allowed: a host name or an address, in which %h is the name after Host
            D/ananke.yaml:4:18: ssh_config_file: D/ssh.conf:4: port: found "0"; allowed: a number from 1 to 65535
            D/ananke.yaml:4:18: ssh_config_file: D/ssh.conf:5: user: found "a b"; allowed: a user name: letters, digits, '-', '_' and '.', at most 32
            D/ananke.yaml:4:18: ssh_config_file: D/ssh.conf:6: identityfile: found "id"; allowed: an absolute path, or one below ~/ (which needs HOME); of tokens %d and %n
            D/ananke.yaml:4:18: ssh_config_file: D/ssh.conf:7: userknownhostsfile: found "/a /b"; allowed: one file
            D/ananke.yaml:4:18: ssh_config_file: D/ssh.conf:8: RevokedHostKeys is not read; allowed: @revoked lines in the known hosts, and RevokedHostKeys none
            D/ananke.yaml:4:18: ssh_config_file: D/ssh.conf:10: ProxyJump: hop is itself behind next; allowed: one host to go through
            D/ananke.yaml:4:18: ssh_config_file: cannot read D/home/.ssh/nothing: it does not exist; allowed: a file that Ananke can read"#]],
    );
    leads_to(
        "Host \"titan\nPort\n",
        "",
        expect![[r#"
        D/ananke.yaml:4:18: ssh_config_file: D/ssh.conf:1: Host: a quote has no end; allowed: quotes in pairs
        D/ananke.yaml:4:18: ssh_config_file: D/ssh.conf:2: Port has no value; needed: one"#]],
    );
    let desk = Desk::new();
    let load = |text: &str| desk.refusal(desk.load(&format!("{GOOD}{text}")));
    expect!["D/ananke.yaml:4:18: ssh_config_file: cannot read D/ssh.conf: it does not exist"]
        .assert_eq(&load("ssh_config_file: ssh.conf\n"));
    desk.write("ssh.conf", b"", 0o666);
    expect!["D/ananke.yaml:4:18: ssh_config_file: other users can write D/ssh.conf (mode 0666); run `chmod go-w D/ssh.conf`"]
        .assert_eq(&load("ssh_config_file: ssh.conf\n"));
    desk.write("ssh.conf", b"Host \xff", 0o644);
    expect!["D/ananke.yaml:4:18: ssh_config_file: D/ssh.conf is not UTF-8 text at byte 5"]
        .assert_eq(&load("ssh_config_file: ssh.conf\n"));
}
