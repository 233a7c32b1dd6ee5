//! Where a new Ananke comes from.

use std::path::Path;

use expect_test::expect;

use crate::desk::{Desk, GOOD, check};

#[test]
fn without_a_remote_nothing_is_updated_and_with_one_the_rest_has_defaults() {
    assert!(Desk::new().load(GOOD).unwrap().update.is_none());
    let text = format!("{GOOD}update: {{remote: \"git@git.example.org:atlas/ananke.git\"}}\n");
    let update = Desk::new().load(&text).unwrap().update.unwrap();
    assert_eq!((update.remote.as_str(), update.branch.as_str()), ("git@git.example.org:atlas/ananke.git", "main"));
    assert_eq!(update.build.join(" "), "cargo build --profile dist --locked -p ananke-cli");
    assert_eq!(update.gate.join(" "), "cargo xtask quality-gate");
    assert_eq!(
        (update.program.as_path(), update.log.as_path()),
        (Path::new("/usr/local/bin/ananke"), Path::new("/var/log/ananke/update.log"))
    );
}

#[test]
fn impossible_values_of_update_are_errors() {
    check(
        "update: {remote: \"https://me:secret@git.example.org/a.git\"}\n",
        expect![
            "D/ananke.yaml:4:18: update.remote: found something else; allowed: an https:// or ssh:// URL without a password, user@host:path, or the whole path of a repository on this machine"
        ],
    );
    check(
        "update: {branch: \"a..b\", directory: cache, program: ananke}\n",
        expect![[r#"
        D/ananke.yaml:4:18: update.branch: found "a..b"; allowed: a branch name, such as main
        D/ananke.yaml:4:37: update.directory: found "cache"; allowed: a whole path, such as /usr/local/bin/ananke
        D/ananke.yaml:4:53: update.program: found "ananke"; allowed: a whole path, such as /usr/local/bin/ananke"#]],
    );
    check(
        "update: {binary: ../x, build: [], gate: \"cargo test\", user: \"-x\"}\n",
        expect![[r#"
        D/ananke.yaml:4:18: update.binary: found "../x"; allowed: a path below update.directory, such as target/dist/ananke
        D/ananke.yaml:4:31: update.build: found an empty list; allowed: a list of a program and its arguments
        D/ananke.yaml:4:41: update.gate: found "cargo test"; allowed: a list of a program and its arguments
        D/ananke.yaml:4:61: update.user: found "-x"; allowed: a user of this machine, such as ananke"#]],
    );
}

#[test]
fn whoever_builds_updates_is_no_user_for_ssh() {
    let warnings = |text: &str| {
        let told = Desk::new().load(&format!("{GOOD}{text}")).unwrap().warnings;
        told.into_iter().filter(|told| told.contains("update.user")).collect::<Vec<_>>()
    };
    let peers = "ssh_user: ananke\ncoordination: {peer_hosts: [tethys, ops@rhea]}\n";
    let of_peers = "coordination.peer_hosts: tethys would be reached over SSH as ananke, who builds updates (update.user); \
                    take another user for it";
    assert_eq!(warnings(peers), [of_peers]);
    let of_nodes = "ssh_user: nodes would be reached over SSH as ananke, who builds updates (update.user); \
                    take another user for it";
    let updated = format!("{peers}update: {{remote: /srv/git/ananke.git}}\n");
    assert_eq!(warnings(&updated), [of_peers, of_nodes]);
    assert!(warnings(&updated.replace("ssh_user: ananke", "ssh_user: atlas")).is_empty());
    assert!(warnings("ssh_user: ananke\n").is_empty(), "a node is no host of Ananke");
}
