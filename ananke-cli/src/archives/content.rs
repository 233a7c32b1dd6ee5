//! What one archive has: as `docker save` and skopeo's `docker-archive` write it (`manifest.json`), or as an OCI image layout
//! (`index.json`), which containerd prefers where both are there.
//!
//! Only headers and small JSON are read. An image counts for an architecture if its manifest is in the archive: what
//! `ctr images export` writes names every platform, and has one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use ananke_core::bootstrap::ArchivedImage;
use ananke_core::doctor::image::full;
use ananke_core::port::clean;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// An image has some dozens of layers.
const MOST_ENTRIES: usize = 50_000;
/// A manifest of a hundred layers has thirty kilobytes; the config of an image can tell a long history.
const MOST_JSON: u64 = 4 * 1024 * 1024;
/// All of it together.
const MOST_READ: u64 = 64 * 1024 * 1024;
/// An index, in it an index of platforms, in it a manifest.
const MOST_DEPTH: u8 = 3;

const LAYOUT: &str = "oci-layout";
const INDEX: &str = "index.json";
const MANIFEST: &str = "manifest.json";
/// As containerd, nerdctl and Docker name the image of a descriptor; and the OCI's, which may be but a tag.
const IMAGE_NAME: &str = "io.containerd.image.name";
const REF_NAME: &str = "org.opencontainers.image.ref.name";

const COMPRESSED: &[(&[u8], &str)] =
    &[(&[0x1f, 0x8b], "gzip"), (&[0x28, 0xb5, 0x2f, 0xfd], "zstd"), (&[0xfd, b'7', b'z', b'X', b'Z'], "xz"), (b"BZh", "bzip2")];

/// One image of `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    repo_tags: Option<Vec<String>>,
}

/// An index, or an image's manifest.
#[derive(Deserialize)]
struct Document {
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
}

/// What an image is made for.
#[derive(Deserialize)]
struct Config {
    architecture: Option<String>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
    platform: Option<Platform>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Platform {
    architecture: String,
    os: Option<String>,
}

/// `Err`: why it cannot be used.
pub(super) fn read(path: &Path) -> Result<Vec<ArchivedImage>, String> {
    let mut archive = Contents::open(path)?;
    let images = if archive.has(LAYOUT) && archive.has(INDEX) {
        archive.layout()?
    } else if archive.has(MANIFEST) {
        archive.saved()?
    } else {
        return Err(format!("it has neither {MANIFEST} nor {LAYOUT} with {INDEX}"));
    };
    if images.is_empty() {
        return Err("no image in it has a name and an architecture".to_owned());
    }
    let images = images.into_iter().map(|(reference, architecture)| ArchivedImage { reference, architecture });
    Ok(images.collect())
}

type Images = BTreeSet<(Arc<str>, Arc<str>)>;

/// An archive whose headers were read.
struct Contents {
    file: File,
    /// Where each file in it begins, and its length.
    entries: BTreeMap<String, (u64, u64)>,
    left: u64,
}

impl Contents {
    fn open(path: &Path) -> Result<Self, String> {
        let unread = |error: std::io::Error| format!("it cannot be read: {error}");
        let mut file = File::open(path).map_err(unread)?;
        let length = file.metadata().map_err(unread)?.len();
        let mut first = [0; 6];
        let read = file.read(&mut first).map_err(unread)?;
        let begins = |mark: &[u8]| first.get(..read).is_some_and(|first| first.starts_with(mark));
        if let Some((_, how)) = COMPRESSED.iter().find(|(mark, _)| begins(mark)) {
            return Err(format!("it is compressed with {how}: unpack it first"));
        }
        file.rewind().map_err(unread)?;
        let entries = entries(&file, length)?;
        Ok(Self { file, entries, left: MOST_READ })
    }

    fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    fn json<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, String> {
        let shown = clean(name, 100);
        let (start, size) = *self.entries.get(name).ok_or_else(|| format!("{shown} is not in it"))?;
        if size > MOST_JSON || size > self.left {
            return Err(format!("{shown} in it is too large"));
        }
        self.left = self.left.saturating_sub(size);
        let mut bytes = Vec::new();
        let read = self.file.seek(SeekFrom::Start(start)).and_then(|_| (&self.file).take(size).read_to_end(&mut bytes));
        read.map_err(|error| format!("it cannot be read: {error}"))?;
        serde_json::from_slice(&bytes).map_err(|error| format!("{shown} in it makes no sense: {error}"))
    }

    fn saved(&mut self) -> Result<Images, String> {
        let mut images = Images::new();
        for Saved { config, repo_tags } in self.json::<Vec<Saved>>(MANIFEST)? {
            let Some(architecture) = self.json::<Config>(config.trim_start_matches("./"))?.architecture else { continue };
            let names = repo_tags.into_iter().flatten().map(|name| (full(&name).into(), architecture.as_str().into()));
            images.extend(names);
        }
        Ok(images)
    }

    fn layout(&mut self) -> Result<Images, String> {
        let mut images = Images::new();
        for descriptor in self.json::<Document>(INDEX)?.manifests.unwrap_or_default() {
            let Some(name) = descriptor.name().map(Arc::<str>::from) else { continue };
            let architectures = self.architectures(&descriptor, MOST_DEPTH)?;
            images.extend(architectures.into_iter().map(|architecture| (Arc::clone(&name), architecture)));
        }
        Ok(images)
    }

    /// Kinds of machines that run what is described.
    fn architectures(&mut self, descriptor: &Descriptor, depth: u8) -> Result<BTreeSet<Arc<str>>, String> {
        let mut found = BTreeSet::new();
        let (Some(blob), Some(depth)) = (descriptor.blob(), depth.checked_sub(1)) else { return Ok(found) };
        if !self.has(&blob) || !descriptor.runs_on_linux() {
            return Ok(found);
        }
        let document: Document = self.json(&blob)?;
        for inner in document.manifests.iter().flatten() {
            found.append(&mut self.architectures(inner, depth)?);
        }
        let known = descriptor.platform.as_ref().map(|platform| platform.architecture.clone());
        match (known, document.config.as_ref().and_then(Descriptor::blob)) {
            (Some(architecture), Some(_)) => drop(found.insert(architecture.into())),
            (None, Some(config)) if self.has(&config) => {
                let config: Config = self.json(&config)?;
                found.extend(config.architecture.map(Arc::from));
            }
            (None | Some(_), None | Some(_)) => {}
        }
        Ok(found)
    }
}

/// As containerd names the image: the first as it stands, the other if it is more than a tag.
impl Descriptor {
    fn name(&self) -> Option<&str> {
        let annotations = self.annotations.as_ref()?;
        let of = |key: &str| annotations.get(key).map(String::as_str).filter(|name| !name.is_empty());
        of(IMAGE_NAME).or_else(|| of(REF_NAME).filter(|name| name.contains(['/', ':', '@'])))
    }

    fn blob(&self) -> Option<String> {
        self.digest.split_once(':').map(|(kind, digest)| format!("blobs/{kind}/{digest}"))
    }

    /// What attests an image is of no platform.
    fn runs_on_linux(&self) -> bool {
        self.platform.as_ref().is_none_or(|platform| platform.os.as_deref().is_none_or(|os| os == "linux"))
    }
}

/// Names fit into the plain header, so no other is read.
fn entries(file: &File, length: u64) -> Result<BTreeMap<String, (u64, u64)>, String> {
    let foreign = |error: std::io::Error| format!("it is torn, or no archive: {error}");
    let mut archive = tar::Archive::new(file);
    let mut found = BTreeMap::new();
    for (count, entry) in archive.entries_with_seek().map_err(foreign)?.raw(true).enumerate() {
        let entry = entry.map_err(foreign)?;
        let (start, size) = (entry.raw_file_position(), entry.size());
        if start.checked_add(size).is_none_or(|end| end > length) {
            return Err("it is torn: its last file is cut off".to_owned());
        }
        if count >= MOST_ENTRIES {
            return Err(format!("it has more than {MOST_ENTRIES} files"));
        }
        if entry.header().entry_type().is_file() {
            let name = String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").to_owned();
            found.insert(name, (start, size));
        }
    }
    Ok(found)
}

#[cfg(test)]
pub(super) mod testing {
    //! Archives as their makers write them.

    use serde_json::{Value, json};

    pub(in super::super) type File = (String, Vec<u8>);

    pub(in super::super) fn tar(files: &[File]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, bytes) in files {
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            let path = std::path::Path::new(name);
            header.set_path(path).unwrap();
            header.set_cksum();
            builder.append(&header, bytes.as_slice()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    /// Its digest stands for its content: nobody counts it here.
    pub(in super::super) fn blob(digest: &str) -> (String, String) {
        (format!("sha256:{digest}"), format!("blobs/sha256/{digest}"))
    }

    /// As `docker save` writes it, the layer first.
    pub(in super::super) fn docker(tags: &[&str], architecture: &str) -> Vec<File> {
        let manifest = json!([{"Config": "c0.json", "RepoTags": tags, "Layers": ["l0/layer.tar"]}]);
        vec![
            ("l0/layer.tar".to_owned(), vec![7; 3000]),
            file("c0.json", &json!({"architecture": architecture, "os": "linux", "config": {"Cmd": ["/bin/sh"]}})),
            file("manifest.json", &manifest),
        ]
    }

    pub(in super::super) fn file(name: &str, value: &Value) -> File {
        (name.to_owned(), value.to_string().into_bytes())
    }

    /// With what its index names.
    pub(in super::super) fn layout(index: &Value, blobs: &[(&str, Value)]) -> Vec<File> {
        let mut files = vec![file("oci-layout", &json!({"imageLayoutVersion": "1.0.0"})), file("index.json", index)];
        files.extend(blobs.iter().map(|(digest, value)| file(&blob(digest).1, value)));
        files
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::testing::{File, blob, docker, file, layout, tar};
    use super::*;

    fn read_bytes(bytes: &[u8]) -> Result<Vec<String>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.tar");
        std::fs::write(&path, bytes).unwrap();
        read(&path).map(|images| images.iter().map(|image| format!("{} {}", image.reference, image.architecture)).collect())
    }

    fn images(files: &[File]) -> Result<Vec<String>, String> {
        read_bytes(&tar(files))
    }

    fn one(digest: &str, annotations: &Value) -> Value {
        json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": blob(digest).0, "size": 1, "annotations": annotations})
    }

    fn platform(digest: &str, os: &str, architecture: &str) -> Value {
        json!({"digest": blob(digest).0, "size": 1, "platform": {"os": os, "architecture": architecture}})
    }

    fn manifest(config: &str) -> Value {
        json!({"schemaVersion": 2, "config": {"digest": blob(config).0, "size": 1}, "layers": []})
    }

    #[test]
    fn what_docker_saved_has_its_tags_for_one_architecture() {
        let files = docker(&["gitea/gitea:1.24", "registry:5000/gitea"], "arm64");
        assert_eq!(
            images(&files),
            Ok(vec!["docker.io/gitea/gitea:1.24 arm64".into(), "registry:5000/gitea:latest arm64".into()])
        );
        let mut dotted = files.clone();
        dotted.iter_mut().for_each(|(name, _)| name.insert_str(0, "./"));
        assert_eq!(images(&dotted), images(&files));
        let nameless = docker(&[], "arm64");
        assert_eq!(images(&nameless), Err("no image in it has a name and an architecture".to_owned()));
    }

    #[test]
    fn an_oci_layout_names_images_as_containerd_takes_them() {
        let named = |annotations: Value| {
            let index = json!({"schemaVersion": 2, "manifests": [one("m0", &annotations)]});
            images(&layout(
                &index,
                &[("m0", manifest("c0")), ("c0", json!({"architecture": "amd64", "os": "linux", "config": {}}))],
            ))
        };
        let found = Ok(vec!["quay.io/a/b:1 amd64".to_owned()]);
        assert_eq!(named(json!({IMAGE_NAME: "quay.io/a/b:1", REF_NAME: "1"})), found);
        assert_eq!(named(json!({REF_NAME: "quay.io/a/b:1"})), found);
        assert!(named(json!({REF_NAME: "latest"})).is_err(), "a tag is no name");
        assert!(named(json!({})).is_err() && named(Value::Null).is_err());
    }

    #[test]
    fn an_index_of_platforms_counts_for_those_that_are_there() {
        let index = json!({"manifests": [one("i0", &json!({IMAGE_NAME: "quay.io/a/b:1"}))]});
        let platforms = json!({"manifests": [
            platform("m0", "linux", "amd64"), platform("m1", "linux", "arm64"), platform("m2", "windows", "amd64"),
            platform("m3", "unknown", "unknown"), platform("gone", "linux", "s390x"), one("m4", &Value::Null),
        ]});
        let blobs = [
            ("i0", platforms),
            ("m0", manifest("c0")),
            ("m1", manifest("c0")),
            ("m2", manifest("c0")),
            ("m3", manifest("c0")),
            ("m4", manifest("c4")),
            ("c4", json!({"architecture": "riscv64"})),
        ];
        let expected = ["amd64", "arm64", "riscv64"].map(|one| format!("quay.io/a/b:1 {one}"));
        assert_eq!(images(&layout(&index, &blobs)), Ok(expected.into()));
    }

    #[test]
    fn where_both_are_there_the_layout_counts() {
        let index = json!({"manifests": [one("m0", &json!({IMAGE_NAME: "quay.io/a/b:1"}))]});
        let mut files = docker(&["nginx"], "arm64");
        files.extend(layout(&index, &[("m0", manifest("c0")), ("c0", json!({"architecture": "amd64"}))]));
        assert_eq!(images(&files), Ok(vec!["quay.io/a/b:1 amd64".to_owned()]));
    }

    #[test]
    fn what_is_torn_or_foreign_is_told() {
        let whole = tar(&docker(&["nginx"], "arm64"));
        assert_eq!(read_bytes(&whole[..700]), Err("it is torn: its last file is cut off".to_owned()));
        let told = |files: &[File]| images(files).unwrap_err();
        assert_eq!(told(&docker(&["nginx"], "arm64")[..2]), "it has neither manifest.json nor oci-layout with index.json");
        assert_eq!(told(&docker(&["nginx"], "arm64")[2..]), "c0.json is not in it");
        assert!(told(&[file("manifest.json", &json!({}))]).starts_with("manifest.json in it makes no sense: "));
        let large = ("manifest.json".to_owned(), vec![b' '; 5 * 1024 * 1024]);
        assert_eq!(told(&[large]), "manifest.json in it is too large");
        let text = read_bytes(&[b'x'; 2000]).unwrap_err();
        assert!(text.starts_with("it is torn, or no archive: "), "{text}");
        assert!(read_bytes(b"").is_err() && read_bytes(b"\x28\xb5\x2f\xfd").unwrap_err().contains("zstd"));
    }

    #[test]
    fn an_index_within_itself_has_an_end() {
        let index = json!({"manifests": [one("i0", &json!({IMAGE_NAME: "quay.io/a/b:1"}))]});
        let itself = json!({"manifests": [one("i0", &Value::Null), one("i0", &Value::Null)]});
        assert!(images(&layout(&index, &[("i0", itself)])).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_are_too_strange(at in 0_usize..4000, byte: u8, cut in 0_usize..6000) {
            let mut bytes = tar(&docker(&["nginx"], "arm64"));
            bytes[at] = byte;
            bytes.truncate(cut);
            let _any = read_bytes(&bytes);
        }
    }
}
