//! `ananke config trust`: the only way by which a host key comes to be believed for being shown.

use std::fs;

use ananke_tests::Cluster;

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
