//! What kubeadm's hosts are sent, against real programs: the snapshots of a real etcd are saved by a real sudo, listed,
//! checked and damaged, and a look counts real processes.
//!
//! All happens in namespaces of its own: there etcd has its usual port and directory, and its certificates are where kubeadm
//! puts them. The machine sees nothing of it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and runs programs"
)]

use std::fs;
use std::process::Command as Process;

use ananke_core::name::{SnapshotName, UnitName};
use ananke_core::observation::{SnapshotCheck, SnapshotState};
use ananke_core::port::ErrorKind;
use ananke_core::spec::{Distribution, HostNeeds, NodeRole};
use ananke_ssh::command::{Command, Output, parse_checked_snapshots, parse_inspection, sudoers};
use ananke_tests::{Going, LIMIT, as_root, require};
use tempfile::TempDir;

/// `$1` is the stage's directory; then come steps, which an account without rights runs, or root where they begin with `root:`.
/// Before etcd 3.5, etcdctl had the commands that are etcdutl's.
const SCRIPT: &str = r#"
dir=$1; shift
cp -a /etc "$dir/etc" && mount --bind "$dir/etc" /etc
cp "$dir/sudoers" /etc/sudoers && chown 0:0 /etc/sudoers && chmod 0440 /etc/sudoers
mount -t tmpfs -o mode=0755 none /var/lib
mount -t tmpfs -o mode=0755 none /usr/local/bin
cp "$(command -v etcdctl)" /usr/local/bin/etcdctl
cp "$(command -v etcdutl || command -v etcdctl)" /usr/local/bin/etcdutl
ip link set lo up
pki=/etc/kubernetes/pki/etcd; mkdir -p $pki
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=etcd \
    -addext subjectAltName=IP:127.0.0.1 -keyout $pki/server.key -out $pki/server.crt 2>/dev/null
cp $pki/server.crt $pki/ca.crt
etcd --data-dir /var/lib/etcd --listen-client-urls https://127.0.0.1:2379 --advertise-client-urls https://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380 --cert-file $pki/server.crt --key-file $pki/server.key \
    --client-cert-auth --trusted-ca-file $pki/ca.crt >"$dir/etcd.log" 2>&1 &
etcd=$!
ctl="etcdctl --endpoints=https://127.0.0.1:2379 --cacert=$pki/ca.crt --cert=$pki/server.crt --key=$pki/server.key"
tries=0
until $ctl endpoint health 2>/dev/null; do tries=$((tries + 1)); [ $tries -lt 200 ] || exit 1; sleep 0.1; done
$ctl put /registry/secrets/a a-value-that-is-long-enough-to-be-found
step=0
for line in "$@"; do
    case $line in
        root:*) set -- sh -c "${line#root:}" ;;
        *) set -- setpriv --reuid=nobody --regid=nogroup --clear-groups sh -c "$line" ;;
    esac
    code=0; "$@" >"$dir/stdout.$step" 2>"$dir/stderr.$step" || code=$?
    echo $code >"$dir/exit.$step"; step=$((step + 1))
done
kill $etcd; wait $etcd || true
"#;

const NAME: &str = "ananke-shutdown-20260314T020611000";

/// What each step printed, and how it ended; none where something is missing, which is told.
fn run(steps: &[&str]) -> Option<Vec<Output>> {
    let tools = [
        ("etcd", "etcd-server"),
        ("etcdctl", "etcd-client"),
        ("sudo", "sudo"),
        ("setpriv", "util-linux"),
        ("ip", "iproute2"),
        ("openssl", "openssl"),
    ];
    if !tools.iter().all(|(tool, package)| require(tool, package)) {
        return None;
    }
    let root = as_root()?;
    let dir = TempDir::new().unwrap();
    let unit = UnitName::parse("kubelet").unwrap();
    let allowed = sudoers::of_node(NodeRole::Server, &unit, Distribution::Kubeadm);
    let lines = allowed.iter().flat_map(|command| command.sudoers("nobody")).map(|line| line + "\n");
    fs::write(dir.path().join("sudoers"), lines.collect::<String>()).unwrap();
    let words: Vec<&str> = root.into_iter().chain(["unshare", "--mount", "--net", "sh", "-e", "-c", SCRIPT, "stage"]).collect();
    Going::spawn(Process::new(words[0]).args(&words[1..]).arg(dir.path()).args(steps)).end(LIMIT).ok();
    let read = |kind: &str, step| fs::read(dir.path().join(format!("{kind}.{step}"))).unwrap();
    let output = |step| {
        let exit = String::from_utf8(read("exit", step)).unwrap().trim().parse().ok();
        Output { stdout: read("stdout", step), stderr: read("stderr", step), exit }
    };
    Some((0..steps.len()).map(output).collect())
}

fn save() -> Command {
    Command::SaveSnapshot(SnapshotName::parse(NAME).unwrap(), Distribution::Kubeadm)
}

fn listed(output: &Output) -> Vec<SnapshotState> {
    parse_checked_snapshots(output).unwrap_or_else(|refusal| panic!("{refusal:?}"))
}

fn failed(output: &Output) -> String {
    match listed(output).remove(0).check {
        SnapshotCheck::Failed(why) => why.to_string(),
        check @ (SnapshotCheck::None | SnapshotCheck::Passed { .. }) => panic!("{check:?}"),
    }
}

#[test]
fn a_snapshot_of_a_real_etcd_is_saved_and_says_what_it_holds_and_a_cut_one_fails() {
    let (save, list) = (save(), Command::ListSnapshots(Distribution::Kubeadm).line());
    let cut = |bytes: &str| format!("root:truncate -s {bytes} /var/lib/etcd-snapshots/{NAME}.db");
    let (end, most) = (cut("-512"), cut("3000"));
    let Some(done) = run(&[&list, &save.line(), &list, "ls /var/lib/etcd-snapshots", &end, &list, &most, &list]) else {
        return;
    };
    assert_eq!(listed(&done[0]), Vec::new(), "there is no directory yet");
    assert_eq!(save.parse(&done[1]), Ok(()));
    let saved = listed(&done[2]);
    assert_eq!(saved.iter().map(|one| &*one.name).collect::<Vec<_>>(), [NAME]);
    let SnapshotCheck::Passed { revision, keys, .. } = saved[0].check else { panic!("{:?}", saved[0].check) };
    assert!(revision == 2 && keys > 0 && saved[0].bytes % 512 == 32, "{saved:?}");
    assert_eq!(done[3].stdout, format!("{NAME}.db\n").into_bytes(), "what was checked with is gone");
    assert!(failed(&done[5]).contains("bytes of a store"), "{}", failed(&done[5]));
    assert!(failed(&done[7]).contains("invalid database"), "{}", failed(&done[7]));
}

#[test]
fn no_snapshot_is_saved_beside_another_that_is_being_saved() {
    let save = save();
    let beside = format!("exec 8</var/lib/etcd-snapshots; flock 8; {}", save.line());
    let Some(done) = run(&["root:mkdir /var/lib/etcd-snapshots", &beside, &save.line()]) else { return };
    let refusal = save.parse(&done[1]).unwrap_err();
    assert_eq!(
        (refusal.kind, refusal.found.as_str()),
        (ErrorKind::Transient, "ananke: refused: another snapshot is being saved")
    );
    assert_eq!(save.parse(&done[2]), Ok(()), "{:?}", done[2]);
}

/// `snapshot status` would not see it: the byte is one of a value.
#[test]
fn a_snapshot_with_one_wrong_byte_gets_no_name() {
    const DAMAGE: &str = r#"root:mv /usr/local/bin/etcdctl /usr/local/bin/real && cat >/usr/local/bin/etcdctl <<'END' && chmod 0755 /usr/local/bin/etcdctl
#!/bin/sh
/usr/local/bin/real "$@" || exit
db=/var/lib/etcd-snapshots/unchecked/db
at=$(grep -abo a-value-that-is-long $db | head -n 1 | cut -d: -f1)
printf X | dd of=$db bs=1 seek="$at" conv=notrunc 2>/dev/null
END"#;
    let (save, list) = (save(), Command::ListSnapshots(Distribution::Kubeadm).line());
    let Some(done) = run(&[DAMAGE, &save.line(), &list, "ls /var/lib/etcd-snapshots"]) else { return };
    assert_eq!(done[0].exit, Some(0), "{:?}", done[0]);
    let refusal = save.parse(&done[1]).unwrap_err();
    assert_eq!(refusal.kind, ErrorKind::Transient);
    assert!(refusal.found.contains("expected sha256"), "{}", refusal.found);
    assert_eq!((listed(&done[2]), done[3].stdout.as_slice()), (Vec::new(), b"".as_slice()));
}

/// `$1` is the stage's directory, `$2` the line. Two shims of Kubernetes run, and one of Docker.
const SHIMS: &str = r#"
mkdir "$1/bin"
printf '#!/bin/sh\ntouch "$STAGE/$4"\nsleep 60\n' >"$1/bin/containerd-shim-runc-v2"
printf '#!/bin/sh\nfor unit in kubelet 1 2 3 4; do echo LoadState=loaded; echo ActiveState=inactive; done\n' >"$1/bin/systemctl"
chmod 0755 "$1/bin/containerd-shim-runc-v2" "$1/bin/systemctl"
mount -t overlay -o "lowerdir=$1/bin:/usr/bin" none /usr/bin
export STAGE="$1"
/usr/bin/containerd-shim-runc-v2 -namespace k8s.io -id a -address /run/containerd/containerd.sock &
/usr/bin/containerd-shim-runc-v2 -namespace k8s.io -id b -address /run/containerd/containerd.sock &
/usr/bin/containerd-shim-runc-v2 -namespace moby -id c -address /run/containerd/containerd.sock &
tries=0
until [ -e "$1/a" ] && [ -e "$1/b" ] && [ -e "$1/c" ]; do tries=$((tries + 1)); [ $tries -lt 200 ] || exit 1; sleep 0.1; done
sh -c "$2"
"#;

#[test]
fn a_look_counts_the_shims_of_kubernetes_and_not_those_of_docker() {
    let Some(root) = as_root() else { return };
    let dir = TempDir::new().unwrap();
    let unit = UnitName::parse("kubelet").unwrap();
    let look = Command::Inspect { unit, needs: HostNeeds::default(), distribution: Distribution::Kubeadm };
    let namespaces = ["unshare", "--mount", "--pid", "--fork", "--mount-proc"];
    let words: Vec<&str> = root.into_iter().chain(namespaces).chain(["sh", "-e", "-c", SHIMS, "stage"]).collect();
    let run = Going::spawn(Process::new(words[0]).args(&words[1..]).arg(dir.path()).arg(look.line())).end(LIMIT);
    let output = Output { stdout: run.stdout.clone().into_bytes(), stderr: Vec::new(), exit: Some(0) };
    let found = parse_inspection(&output, &HostNeeds::default()).unwrap_or_else(|refusal| panic!("{refusal:?}: {run}"));
    assert_eq!(found.leftovers.shims, 2, "{run}");
}
