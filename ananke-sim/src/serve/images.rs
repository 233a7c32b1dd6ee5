//! What `ctr images import` finds in an archive that `docker save` wrote.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use serde_json::Value;

/// Names of its images that machines of this architecture can run; `Err` is what ctr says.
pub(super) fn fitting(archive: &[u8], architecture: &str) -> Result<Vec<Arc<str>>, String> {
    let files = files(archive).map_err(|_torn| "ctr: unexpected EOF".to_owned())?;
    let json = |name: &str| files.get(name).and_then(|bytes| serde_json::from_slice::<Value>(bytes).ok());
    let manifest = json("manifest.json").ok_or("ctr: unrecognized image format")?;
    let mut names = Vec::new();
    for image in manifest.as_array().into_iter().flatten() {
        let config = image.get("Config").and_then(Value::as_str).and_then(json).ok_or("ctr: image config not found")?;
        if config.get("architecture").and_then(Value::as_str) == Some(architecture) {
            names.extend(
                image.get("RepoTags").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).map(Arc::from),
            );
        }
    }
    if names.is_empty() { Err("ctr: no match for platform in manifest: not found".to_owned()) } else { Ok(names) }
}

fn files(archive: &[u8]) -> std::io::Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        let name = entry.path()?.display().to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        files.insert(name, bytes);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(files: &[(&str, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            builder.append_data(&mut header, name, text.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn only_what_the_machine_can_run_is_taken() {
        let manifest = r#"[{"Config":"a","RepoTags":["x/a:1","x/a:2"]},{"Config":"b","RepoTags":["x/b:1"]}]"#;
        let whole =
            archive(&[("a", r#"{"architecture":"amd64"}"#), ("b", r#"{"architecture":"arm64"}"#), ("manifest.json", manifest)]);
        assert_eq!(fitting(&whole, "amd64"), Ok(vec!["x/a:1".into(), "x/a:2".into()]));
        assert_eq!(fitting(&whole, "arm64"), Ok(vec!["x/b:1".into()]));
        assert_eq!(fitting(&whole, "s390x"), Err("ctr: no match for platform in manifest: not found".to_owned()));
        assert_eq!(fitting(&whole[..600], "amd64"), Err("ctr: unexpected EOF".to_owned()));
        assert!(fitting(&whole[..513], "amd64").is_err() && fitting(b"", "amd64").is_err());
    }
}
