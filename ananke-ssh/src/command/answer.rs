//! Answers in JSON: etcd's snapshots as k3s lists them, and the intent of another Ananke.
//!
//! Each comes after a marked line of ours, so that no greeting is taken for it.

use ananke_core::intent::Intent;
use ananke_core::name::NodeName;
use ananke_core::observation::{SnapshotCheck, SnapshotState};
use ananke_core::port::{ErrorKind, PeerAnswer, clean};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Output, Refusal, Remedy, invalid, parse_order, refusal};

/// It stands on a line of its own before the answer.
pub(super) const MARK: &str = "ananke:answer";

/// More snapshots than any retention keeps: what comes after is not looked at.
const MOST: usize = 10_000;

/// Reads what `k3s etcd-snapshot ls -o json` printed: the whole snapshots that were taken on `node`.
///
/// k3s has printed three shapes: a list of `ETCDSnapshotFile` objects (since 1.29), before that an object with one snapshot
/// for each name, and first an array of them.
pub fn parse_snapshots(output: &Output, node: &NodeName) -> Result<Vec<SnapshotState>, Refusal> {
    if output.exit != Some(0) {
        return Err(no_snapshots(output));
    }
    let rows = match answer::<Value>(output)? {
        Value::Array(rows) => rows,
        Value::Object(mut object) => match object.remove("items") {
            Some(Value::Array(rows)) => rows,
            Some(Value::Null) => Vec::new(),
            Some(_) => return Err(invalid("the list of snapshots has no list in it")),
            None => object.into_iter().map(|(_, row)| row).collect(),
        },
        Value::Null => Vec::new(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => return Err(invalid("the answer is no list of snapshots")),
    };
    rows.into_iter().take(MOST).filter_map(|row| snapshot(row, node).transpose()).collect()
}

/// Reads what `ananke intent show -o json` printed.
pub fn parse_intent(output: &Output) -> Result<Option<Intent>, Refusal> {
    parse_order(output)?;
    answer(output)
}

/// Reads what `ananke peer shutdown` or `ananke peer startup` printed.
pub fn parse_answer(output: &Output) -> Result<PeerAnswer, Refusal> {
    parse_order(output)?;
    let PeerAnswer { taken, text } = answer(output)?;
    Ok(PeerAnswer { taken, text: clean(&text, 200) })
}

/// One row in any of the shapes.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    // `ETCDSnapshotFile`
    spec: Option<RowSpec>,
    status: Option<Value>,
    // What came before it.
    name: Option<String>,
    node_name: Option<String>,
    size: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RowSpec {
    snapshot_name: String,
    node_name: Option<String>,
}

/// None for one that failed, is empty or is of another server.
fn snapshot(row: Value, node: &NodeName) -> Result<Option<SnapshotState>, Refusal> {
    let row: Row = serde_json::from_value(row).map_err(|error| invalid(format!("a snapshot cannot be read: {error}")))?;
    let status = row.status.unwrap_or(Value::Null);
    let (name, server, size, whole) = match row.spec {
        Some(spec) => {
            let whole = status.get("readyToUse").and_then(Value::as_bool).unwrap_or(false);
            (spec.snapshot_name, spec.node_name, status.get("size").cloned(), whole)
        }
        None => {
            let Some(name) = row.name else { return Err(invalid("a snapshot has no name")) };
            (name, row.node_name, row.size, status.as_str().is_none_or(|status| status == "successful"))
        }
    };
    let bytes = match size {
        Some(size) => bytes(&size)?,
        None => 0,
    };
    // Copies in S3 are of `s3`, whichever server took them.
    let here = server.is_none_or(|server| server == node.as_str() || server == "s3");
    let check = check(&name, bytes);
    Ok((here && whole && bytes > 0).then(|| SnapshotState { name: clean(&name, 200).into(), bytes, check }))
}

/// k3s brings no program that reads a snapshot again. But one is the pages of a store and the SHA-256 of them, 32 bytes, so its
/// size tells whether its end was cut off; that its bytes are right, it does not tell. k3s compresses to `.zip`.
fn check(name: &str, bytes: u64) -> SnapshotCheck {
    if name.ends_with(".zip") || bytes % 512 == 32 {
        return SnapshotCheck::None;
    }
    SnapshotCheck::Failed(format!("its {bytes} bytes do not end in the hash of a store").into())
}

/// A number, or a Kubernetes quantity as k3s writes it: `5042208`, `5M`, `12Mi`.
fn bytes(size: &Value) -> Result<u64, Refusal> {
    let wrong = || invalid(format!("size {} is no number of bytes", clean(&size.to_string(), 40)));
    let Some(text) = size.as_str() else { return size.as_u64().ok_or_else(wrong) };
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match text.get(digits.len()..) {
        Some("") => 1,
        Some("k") => 1_000,
        Some("M") => 1_000_000,
        Some("G") => 1_000_000_000,
        Some("Ki") => 1 << 10,
        Some("Mi") => 1 << 20,
        Some("Gi") => 1 << 30,
        Some(_) | None => return Err(wrong()),
    };
    digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).ok_or_else(wrong)
}

fn no_snapshots(output: &Output) -> Refusal {
    let said = String::from_utf8_lossy(&output.stderr);
    let says = |words: &str| said.contains(words);
    match parse_order(output) {
        // sudo says it of k3s itself, and that is no word on its datastore.
        Err(Refusal { kind: ErrorKind::Missing, .. }) if says("command not found") => {
            refusal(ErrorKind::Invalid, output, Some(Remedy::K3s))
        }
        Err(denied @ Refusal { kind: ErrorKind::Denied, .. }) => denied,
        // A server on sqlite or on a database of its own has no etcd, and does not serve this at all.
        Ok(()) | Err(_) if says("etcd database not found") || says("404") => refusal(ErrorKind::Missing, output, None),
        Ok(()) | Err(_) => refusal(ErrorKind::Transient, output, None),
    }
}

/// The one value after the mark; what follows it does not count.
pub(super) fn answer<T: DeserializeOwned>(output: &Output) -> Result<T, Refusal> {
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.split_inclusive('\n');
    if !lines.by_ref().any(|line| line.trim_end() == MARK) {
        return Err(invalid("the command printed nothing of what was asked"));
    }
    let rest: String = lines.collect();
    match serde_json::Deserializer::from_str(&rest).into_iter::<T>().next() {
        Some(Ok(value)) => Ok(value),
        Some(Err(error)) => Err(invalid(format!("the answer cannot be read: {error}"))),
        None => Err(invalid("the answer is empty")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(stdout: &str) -> Output {
        Output { stdout: stdout.as_bytes().to_vec(), stderr: Vec::new(), exit: Some(0) }
    }

    fn failed(exit: u32, stderr: &str) -> Output {
        Output { stdout: Vec::new(), stderr: stderr.as_bytes().to_vec(), exit: Some(exit) }
    }

    fn node() -> NodeName {
        NodeName::parse("titan-01").unwrap()
    }

    fn snapshots(json: &str) -> Result<Vec<(String, u64)>, String> {
        let found = parse_snapshots(&output(&format!("Welcome! [\n{MARK}\n{json}\nbye {{\n")), &node());
        found
            .map(|found| found.into_iter().map(|one| (one.name.to_string(), one.bytes)).collect())
            .map_err(|refusal| format!("{:?}: {}", refusal.kind, refusal.found))
    }

    #[test]
    fn snapshots_are_read_in_all_shapes_that_k3s_has_printed() {
        let want = Ok(vec![("ananke-a-titan-01-1773453971".to_owned(), 5_042_208)]);
        let file = r#"{"name":"ananke-a-titan-01-1773453971","location":"file:///x","nodeName":"titan-01","createdAt":"2026-03-14T02:06:11Z","size":5042208,"status":"successful","compressed":false}"#;
        assert_eq!(snapshots(&format!("[{file}]")), want);
        assert_eq!(snapshots(&format!(r#"{{"local-ananke":{file}}}"#)), want);
        let object = r#"{"kind":"ETCDSnapshotFileList","apiVersion":"k3s.cattle.io/v1","metadata":{},"items":[{"metadata":{"name":"local-x"},"spec":{"snapshotName":"ananke-a-titan-01-1773453971","nodeName":"titan-01","location":"file:///x"},"status":{"size":"5042208","creationTime":"2026-03-14T02:06:11Z","readyToUse":true}}]}"#;
        assert_eq!(snapshots(object), want);
        for none in ["[]", "null", "{}", r#"{"kind":"ETCDSnapshotFileList","items":null}"#] {
            assert_eq!(snapshots(none), Ok(Vec::new()), "{none}");
        }
    }

    #[test]
    fn what_is_no_whole_snapshot_of_this_server_is_left_out() {
        let row = |spec: &str, status: &str| format!(r#"{{"items":[{{"spec":{spec},"status":{status}}}]}}"#);
        let mine = r#"{"snapshotName":"a","nodeName":"titan-01"}"#;
        assert_eq!(snapshots(&row(mine, r#"{"size":"5M","readyToUse":true}"#)), Ok(vec![("a".to_owned(), 5_000_000)]));
        assert_eq!(snapshots(&row(mine, r#"{"size":"5M","readyToUse":false}"#)), Ok(Vec::new()));
        assert_eq!(snapshots(&row(mine, r#"{"size":"0","readyToUse":true}"#)), Ok(Vec::new()));
        let other = r#"{"snapshotName":"a","nodeName":"titan-02"}"#;
        assert_eq!(snapshots(&row(other, r#"{"size":"5Mi","readyToUse":true}"#)), Ok(Vec::new()));
        assert_eq!(snapshots(r#"[{"name":"a","nodeName":"s3","size":7,"status":"successful"}]"#), Ok(vec![("a".to_owned(), 7)]));
        assert_eq!(snapshots(r#"[{"name":"a","size":7,"status":"failed"}]"#), Ok(Vec::new()));
    }

    #[test]
    fn a_snapshot_that_was_cut_off_fails_its_check() {
        let failed = |name: &str, bytes| matches!(check(name, bytes), SnapshotCheck::Failed(_));
        assert!(!failed("a-titan-01-1", 20_512) && !failed("a-titan-01-1.zip", 7_001));
        assert!(failed("a-titan-01-1", 20_480) && failed("a-titan-01-1", 20_511));
    }

    #[test]
    fn an_answer_that_makes_no_sense_is_none() {
        assert_eq!(snapshots("7"), Err("Invalid: the answer is no list of snapshots".to_owned()));
        assert_eq!(snapshots(r#"[{"size":1}]"#), Err("Invalid: a snapshot has no name".to_owned()));
        assert_eq!(snapshots(r#"[{"name":"a","size":"-1"}]"#), Err("Invalid: size \"-1\" is no number of bytes".to_owned()));
        assert_eq!(
            snapshots(r#"[{"name":"a","size":"99999999999G"}]"#),
            Err("Invalid: size \"99999999999G\" is no number of bytes".to_owned())
        );
        assert!(snapshots("[{").unwrap_err().starts_with("Invalid: the answer cannot be read: "));
        let unmarked = parse_snapshots(&output("[]"), &node()).unwrap_err();
        assert_eq!(unmarked.found, "the command printed nothing of what was asked");
    }

    #[test]
    fn a_server_without_etcd_is_told_from_one_without_k3s() {
        let kind = |exit, stderr: &str| parse_snapshots(&failed(exit, stderr), &node()).unwrap_err().kind;
        assert_eq!(kind(1, "level=fatal msg=\"etcd database not found in /var/lib/rancher/k3s/server\""), ErrorKind::Missing);
        assert_eq!(
            kind(1, "level=fatal msg=\"see server log for details: https://127.0.0.1:6443/db/snapshot: 404 Not Found\""),
            ErrorKind::Missing
        );
        assert_eq!(kind(1, "sudo: /usr/local/bin/k3s: command not found"), ErrorKind::Invalid);
        assert_eq!(kind(1, "sudo: a password is required"), ErrorKind::Denied);
        assert_eq!(kind(1, "level=fatal msg=\"dial tcp 127.0.0.1:6443: connect: connection refused\""), ErrorKind::Transient);
    }

    #[test]
    fn the_intent_of_a_peer_is_read_or_its_absence() {
        let text = r#"{"state":"shutting_down","run":"shutdown-1","at":"2026-03-14T02:06:11.000Z","reason":"battery"}"#;
        let intent: Intent = serde_json::from_str(text).unwrap();
        let printed = serde_json::to_string_pretty(&Some(&intent)).unwrap();
        assert_eq!(parse_intent(&output(&format!("hello\n\n{MARK}\n{printed}\n"))), Ok(Some(intent)));
        assert_eq!(parse_intent(&output(&format!("{MARK}\nnull\n"))), Ok(None));
        assert_eq!(parse_intent(&output(&format!("{MARK}\n"))).unwrap_err().found, "the answer is empty");
        let denied = parse_intent(&failed(1, "sudo: a password is required")).unwrap_err();
        assert_eq!((denied.kind, denied.remedy), (ErrorKind::Denied, Some(Remedy::Sudoers)));
    }
}
