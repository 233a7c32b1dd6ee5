//! A kubeconfig that names a server which stays dark, and a config that names another: the cluster comes back by that one.

use std::fs;
use std::net::TcpListener;

use ananke_tests::Cluster;

#[test]
fn a_cluster_comes_back_by_another_server_than_that_of_the_kubeconfig() {
    let cluster = Cluster::up(&["--nodes", "4", "--speed", "20"]);
    let dark = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let file = cluster.path("ananke.kubeconfig");
    let text = fs::read_to_string(&file).unwrap();
    let url = text.split_whitespace().map(|word| word.trim_matches('"')).find(|word| word.starts_with("https://")).unwrap();
    let well = url.trim_end_matches('/').to_owned();
    fs::write(&file, text.replace(url, &format!("https://{dark}"))).unwrap();
    cluster.edit_config(|config| format!("{config}\napi_servers: [\"{well}\"]\n"));
    let run = cluster.ananke(&["startup", "--execute"]).exits(0);
    assert!(run.said().contains("another API server is asked from now on"), "{run}");
    cluster.ananke(&["status"]).exits(0);
    let run = cluster.ananke(&["config", "check"]).exits(3);
    let well = well.trim_start_matches("https://");
    assert!(run.stdout.contains(&format!("API server {well}: v")) && run.stdout.contains(&dark.to_string()), "{run}");
}
