//! kubectl against the served API: what each command says and how it ends, in `kubectl.sh`.

#![expect(clippy::disallowed_methods, reason = "it starts the script")]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use ananke_tests::{Cluster, Going, require};

/// Some sixty commands, some of which wait.
const LIMIT: Duration = Duration::from_secs(300);

#[test]
fn kubectl_finds_a_server_that_behaves_like_the_real_one() {
    if !require("kubectl", "kubernetes-client") || !require("curl", "curl") {
        return;
    }
    let cluster = Cluster::up(&["--scenario", "healthy", "--nodes", "4", "--speed", "10"]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("kubectl.sh");
    let mut command = Command::new("bash");
    command.arg(script).env("KUBECONFIG", cluster.path("kubeconfig")).env("HOME", cluster.dir());
    let said = Going::spawn(&mut command).end(LIMIT).ok();
    println!("{said}");
}
