//! A file of OpenSSH, read by the config and by `ssh` itself, and a real sshd that is reached by it.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test fails by panicking, and this one asks ssh")]

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use ananke_cli::config::{self, Host, Loaded, Overrides};
use ananke_core::name::NodeName;
use ananke_ssh::{Login, Route, SshHosts, SshSettings};
use ananke_tests::sshd::{Desk, node, target};
use ananke_tests::{WallClock, require};

/// A config whose nodes are reached as the file says.
fn load(dir: &Path, nodes: &[&str], file: &str) -> Loaded {
    std::fs::write(dir.join("kubeconfig"), "").unwrap();
    std::fs::write(dir.join("ssh_config"), file).unwrap();
    let text = format!("kubeconfig: kubeconfig\nssh_config_file: ssh_config\ncontrol_planes: [{}]\n", nodes.join(", "));
    std::fs::write(dir.join("ananke.yaml"), text).unwrap();
    let env = BTreeMap::from([("HOME".to_owned(), dir.display().to_string())]);
    let host = Host { name: "titan-db".to_owned(), env };
    config::load(&dir.join("ananke.yaml"), &host, &Overrides::default()).unwrap()
}

#[tokio::test]
async fn a_host_is_reached_as_the_file_of_openssh_says() {
    let Some(desk) = Desk::new() else { return };
    desk.key("own", "");
    desk.key("hop", "");
    let (host, jump) = (desk.sshd("host", ""), desk.sshd("jump", ""));
    std::fs::write(desk.path("authorized_keys"), desk.text("own.pub") + &desk.text("hop.pub")).unwrap();
    std::fs::write(desk.path("hosts of titan"), host.line() + "\n").unwrap();
    std::fs::write(desk.path("hops"), jump.line() + "\n").unwrap();
    let (place, user) = (desk.path("").display().to_string(), target(0).user);
    let file = format!(
        "Host titan-* !titan-99\n  HostName 127.0.0.1\n  Port {}\n  IdentityFile {place}own\n  ProxyJump bastion\n  \
         UserKnownHostsFile \"{place}hosts of titan\"\nHost bastion\n  HostName 127.0.0.1\n  Port = {}\n  \
         IdentityFile {place}hop\n  UserKnownHostsFile {place}hops\nHost *\n  User {user}\n  IdentityFile {place}id\n",
        host.port, jump.port
    );
    let loaded = load(&desk.path(""), &["titan-01"], &file);
    let hosts = SshHosts::new(SshSettings::new(loaded.ssh.routes), Arc::new(WallClock)).unwrap();
    hosts.intent(&node()).await.unwrap();
    assert!(jump.said().contains("server_request_direct_tcpip"), "{}", jump.said());
    assert!(host.said().contains("Accepted publickey"), "{}", host.said());

    // `id` is accepted nowhere any more, so each went in with its own key; and each is known by its own file alone.
    std::fs::write(desk.path("hops"), host.line() + "\n").unwrap();
    let loaded = load(&desk.path(""), &["titan-01"], &file);
    let hosts = SshHosts::new(SshSettings::new(loaded.ssh.routes), Arc::new(WallClock)).unwrap();
    let before = jump.said().matches("server_request_direct_tcpip").count();
    hosts.intent(&node()).await.unwrap();
    assert_eq!(jump.said().matches("server_request_direct_tcpip").count(), before, "an unknown jump host carries nothing");
}

/// What is compared is set for both nodes in each.
const FILES: [&str; 3] = [
    "Host titan-01\n HostName 10.0.0.1\n Port 2201\n Port 2202\nHost titan-??\n\tHostName=10.0.0.2\n\tPort\t= 2203\n\
     User ops # people\n IdentityFile PLACE/k\\ 1\n IdentityFile PLACE/k2\n UserKnownHostsFile 'PLACE/known hosts'\n\
     ProxyJump hop@bastion:2222\n",
    "USER first\nHost \"titan-01\" x\n user second\n Port 1\nHost * !titan-01\n Port 2\nhost *\n hostname %h.example.org\n\
     identityfile \"PLACE/k\"#2\n userknownhostsfile PLACE/known\n proxyjump none\nHost *\n ProxyJump bastion\n",
    "Host !titan-01\n Port 7\nHost titan-0* !titan-02\n Port 8\nMatch host nobody\n Port 6\nHost *1 *2\n Port 9\n User a\n\
     HostName h\n IdentityFile PLACE/k2\n UserKnownHostsFile PLACE/known\n ProxyCommand none\n ProxyJump bastion\n",
];

#[test]
fn a_file_means_what_it_means_to_ssh() {
    if !require("ssh", "openssh-client") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for key in ["k 1", "k2", "k#2"] {
        std::fs::write(dir.path().join(key), "").unwrap();
        std::fs::set_permissions(dir.path().join(key), PermissionsExt::from_mode(0o600)).unwrap();
    }
    let names = ["titan-01", "titan-02"];
    for file in FILES {
        let loaded = load(dir.path(), &names, &file.replace("PLACE", &dir.path().display().to_string()));
        for name in names {
            let out = Command::new("ssh").args(["-G", "-F"]).arg(dir.path().join("ssh_config")).arg(name).output().unwrap();
            assert!(out.status.success(), "{file}: {}", String::from_utf8_lossy(&out.stderr));
            let out = String::from_utf8(out.stdout).unwrap();
            let theirs = |keyword: &str| out.lines().find_map(|line| line.strip_prefix(keyword)?.strip_prefix(' '));
            let Route { login: Login { target, identity_file, known_hosts }, jump } =
                &loaded.ssh.routes[&NodeName::parse(name).unwrap()];
            let hop = theirs("proxyjump").map(|hop| hop.rsplit(['@', ':']).find(|part| part.parse::<u16>().is_err()).unwrap());
            let said = [
                ("hostname", Some(target.host.clone())),
                ("port", Some(target.port.to_string())),
                ("user", Some(target.user.clone())),
                ("identityfile", identity_file.as_ref().map(|file| file.display().to_string())),
                ("userknownhostsfile", Some(known_hosts.display().to_string())),
            ];
            for (keyword, ours) in said {
                assert_eq!(ours.as_deref(), theirs(keyword), "{keyword} of {name} in {file}");
            }
            assert_eq!(jump.as_ref().map(|jump| jump.target.host.as_str()), hop, "proxyjump of {name} in {file}");
        }
    }
}
