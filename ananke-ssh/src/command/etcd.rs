//! etcd on a server that kubeadm made: saved by etcdctl, read back by etcdutl.
//!
//! A snapshot ends in the SHA-256 of what precedes it. `snapshot status` does not look at it, and neither does `snapshot save`:
//! only a restore does. So a snapshot is restored once, into a directory beside it, before it gets its name; what has a name
//! was whole then. That its store can be read, and what it holds, is asked each time it is listed.

use ananke_core::name::SnapshotName;
use ananke_core::observation::{SnapshotCheck, SnapshotState};
use ananke_core::port::{ErrorKind, clean};
use serde::Deserialize;

use super::answer::{MARK, answer};
use super::{Output, PLAIN, Refusal, Remedy, parse_order, refusal, sudo_says_no};

/// Where k3s has its own binaries, too. Those of the etcd release that runs in the pod belong here.
const ETCDCTL: &str = "/usr/local/bin/etcdctl";
const ETCDUTL: &str = "/usr/local/bin/etcdutl";
/// The member on this host, with the certificates that kubeadm made for it.
const MEMBER: &str = concat!(
    "--endpoints=https://127.0.0.1:2379 --cacert=/etc/kubernetes/pki/etcd/ca.crt ",
    "--cert=/etc/kubernetes/pki/etcd/server.crt --key=/etc/kubernetes/pki/etcd/server.key",
);
/// Names and sizes in it are for everybody; the files are for root.
const DIRECTORY: &str = "/var/lib/etcd-snapshots";
const UNCHECKED: &str = "/var/lib/etcd-snapshots/unchecked";

/// Bytes of the SHA-256 behind the store.
const HASH: u64 = 32;

/// A save that nobody waits for any more still works here: a second one beside it would have its file published unchecked, so
/// the directory is locked for as long as the shell lives.
pub(super) fn save_line(name: &SnapshotName) -> String {
    let [make, clear, save, restore, publish] = save_as_root(name).map(|command| format!("sudo -n {command}"));
    format!(
        concat!(
            r#"sh -c '{plain} {make} || exit; exec 9<{directory}; "#,
            r#"flock -n 9 || {{ echo "ananke: refused: another snapshot is being saved" >&2; exit 75; }}; "#,
            r#"{clear} && {make} && {save} && {restore} && {publish}; x=$?; {clear}; exit $x' >/dev/null"#,
        ),
        plain = PLAIN,
        make = make,
        directory = DIRECTORY,
        clear = clear,
        save = save,
        restore = restore,
        publish = publish,
    )
}

pub(super) fn save_as_root(name: &SnapshotName) -> [String; 5] {
    [
        format!("/usr/bin/install -d -m 0755 {DIRECTORY} {UNCHECKED}"),
        format!("/usr/bin/rm -rf {UNCHECKED}"),
        format!("{ETCDCTL} {MEMBER} snapshot save {UNCHECKED}/db"),
        format!("{ETCDUTL} snapshot restore {UNCHECKED}/db --data-dir {UNCHECKED}/restored"),
        format!("/usr/bin/mv {UNCHECKED}/db {DIRECTORY}/{name}.db"),
    ]
}

/// The newest two: that of this run, and that of a run which died before it. A check reads the whole file.
pub(super) fn list_line() -> String {
    format!(
        concat!(
            r#"sh -c '{plain} echo; echo {mark}; echo "["; for n in $(ls -t {directory} 2>/dev/null "#,
            r#"| grep -x "ananke-shutdown-[0-9]\{{8\}}T[0-9]\{{9\}}\.db" | head -n 2); do f={directory}/$n; "#,
            r#"printf "{{\"name\":\"%s\",\"bytes\":%s,\"status\":" "${{n%.db}}" "$(stat -c %s "$f")"; "#,
            r#"sudo -n {etcdutl} snapshot status "$f" -w json || echo null; echo "}},"; done; echo "null]"'"#,
        ),
        plain = PLAIN,
        mark = MARK,
        directory = DIRECTORY,
        etcdutl = ETCDUTL,
    )
}

pub(super) fn list_as_root(name: &SnapshotName) -> String {
    format!("{ETCDUTL} snapshot status {DIRECTORY}/{name}.db -w json")
}

pub(super) fn parse_save(output: &Output) -> Result<(), Refusal> {
    parse_order(output).map_err(|refused| {
        let said = String::from_utf8_lossy(&output.stderr);
        // Both log before they fail, and the failure is told last.
        let found = said.lines().last().map_or(refused.found, |last| clean(last, 200));
        let missing = refused.kind == ErrorKind::Missing;
        Refusal { found, remedy: if missing { Some(Remedy::EtcdTools) } else { refused.remedy }, ..refused }
    })
}

#[derive(Deserialize)]
struct Row {
    name: String,
    bytes: u64,
    status: Option<Status>,
}

/// What `etcdutl snapshot status -w json` prints.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    hash: u32,
    revision: i64,
    total_key: u64,
    /// Of the store, without the hash behind it.
    total_size: u64,
}

/// Reads the list, which ends in a null: an answer that was cut is none.
pub fn parse_checked_snapshots(output: &Output) -> Result<Vec<SnapshotState>, Refusal> {
    let said = String::from_utf8_lossy(&output.stderr);
    let rows = answer::<Vec<Option<Row>>>(output);
    // The line's end is no verdict. But where each was read, sudo ran all, whatever else it said.
    if !rows.as_ref().is_ok_and(|rows| rows.iter().flatten().all(|row| row.status.is_some())) {
        if said.contains("command not found") {
            return Err(refusal(ErrorKind::Invalid, output, Some(Remedy::EtcdTools)));
        }
        if sudo_says_no(&said) {
            return Err(refusal(ErrorKind::Denied, output, Some(Remedy::Sudoers)));
        }
    }
    parse_order(output)?;
    Ok(rows?.into_iter().flatten().map(|row| snapshot(&row, &said)).collect())
}

fn snapshot(row: &Row, said: &str) -> SnapshotState {
    let check = match &row.status {
        None => SnapshotCheck::Failed(clean(said.lines().last().unwrap_or("it cannot be read"), 200).into()),
        // A store that lost its last pages can still be read.
        Some(status) if status.total_size.checked_add(HASH) != Some(row.bytes) => {
            SnapshotCheck::Failed(format!("{} bytes of a store, and the file has {}", status.total_size, row.bytes).into())
        }
        Some(Status { hash, revision, total_key, .. }) => {
            SnapshotCheck::Passed { hash: *hash, revision: *revision, keys: *total_key }
        }
    };
    SnapshotState { name: clean(&row.name, 200).into(), bytes: row.bytes, check }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(rows: &str, stderr: &str) -> Result<Vec<SnapshotState>, (ErrorKind, Option<Remedy>)> {
        let stdout = format!("Welcome\n\n{MARK}\n[\n{rows}\nnull]\n").into_bytes();
        let output = Output { stdout, stderr: stderr.as_bytes().to_vec(), exit: Some(0) };
        parse_checked_snapshots(&output).map_err(|refusal| (refusal.kind, refusal.remedy))
    }

    fn check(row: &str, stderr: &str) -> SnapshotCheck {
        listed(row, stderr).unwrap().remove(0).check
    }

    #[test]
    fn a_snapshot_that_can_be_read_says_what_it_holds() {
        let row = r#"{"name":"ananke-shutdown-20260314T020611000","bytes":20512,"status":{"hash":1570803455,"revision":2,"totalKey":5,"totalSize":20480}
},"#;
        let check = SnapshotCheck::Passed { hash: 1_570_803_455, revision: 2, keys: 5 };
        let name = "ananke-shutdown-20260314T020611000".into();
        assert_eq!(listed(row, ""), Ok(vec![SnapshotState { name, bytes: 20_512, check }]));
        assert_eq!(listed("", ""), Ok(Vec::new()));
        let odd = "sudo: Hostname titan-01 kann nicht aufgelöst werden";
        assert_eq!(listed(row, odd), listed(row, ""), "what was read was allowed");
    }

    #[test]
    fn a_snapshot_that_cannot_be_read_or_was_cut_fails() {
        let failed = |why: &str| SnapshotCheck::Failed(why.into());
        let unreadable = r#"{"name":"a","bytes":3000,"status":null
},"#;
        assert_eq!(check(unreadable, "Error: invalid database\n"), failed("Error: invalid database"));
        assert_eq!(check(unreadable, ""), failed("it cannot be read"));
        let cut = r#"{"name":"a","bytes":20000,"status":{"hash":1,"revision":2,"totalKey":5,"totalSize":20480}},"#;
        assert_eq!(check(cut, ""), failed("20480 bytes of a store, and the file has 20000"));
    }

    #[test]
    fn what_the_host_does_not_allow_or_have_is_no_verdict_on_a_snapshot() {
        let row = r#"{"name":"a","bytes":3000,"status":null},"#;
        assert_eq!(listed(row, "sudo: a password is required"), Err((ErrorKind::Denied, Some(Remedy::Sudoers))));
        let missing = "sudo: /usr/local/bin/etcdutl: command not found";
        assert_eq!(listed(row, missing), Err((ErrorKind::Invalid, Some(Remedy::EtcdTools))));
        let output = |stdout: &str| Output { stdout: stdout.into(), stderr: Vec::new(), exit: Some(0) };
        let cut = parse_checked_snapshots(&output(&format!("{MARK}\n[\n{row}\n"))).unwrap_err();
        assert_eq!(cut.kind, ErrorKind::Invalid, "{}", cut.found);
        let save = Output { exit: Some(1), stderr: missing.replace("utl", "ctl").into(), stdout: Vec::new() };
        assert_eq!(parse_save(&save).map_err(|refusal| refusal.remedy), Err(Some(Remedy::EtcdTools)));
    }
}
