//! Archives of images in a directory of this machine: which images each has, and for machines of which kind.
//!
//! An archive that cannot be used is told and left out: what it lacks is seen when the image is wanted.

mod content;

use std::fs;
use std::io;
use std::path::Path;

use ananke_core::bootstrap::Archive;
use ananke_core::name::ArchiveName;
use ananke_core::port::clean;

use crate::config::{nobody_elses, trusted};

/// A cluster waits for itself with a dozen images.
const MOST_FILES: usize = 1000;

/// The archives of a directory, by name, and a sentence for each file that is none.
pub(crate) fn read(directory: &Path) -> (Vec<Archive>, Vec<String>) {
    let (mut archives, mut warnings) = (Vec::new(), Vec::new());
    if let Err(why) = nobody_elses(directory) {
        return (archives, vec![format!("no image can be loaded: {why}")]);
    }
    let names = match names(directory) {
        Ok(names) => names,
        Err(error) => {
            return (archives, vec![format!("no image can be loaded: {} cannot be read: {error}", directory.display())]);
        }
    };
    if names.len() > MOST_FILES {
        warnings.push(format!("{} has more than {MOST_FILES} files: the rest is not looked at", directory.display()));
    }
    for name in names.into_iter().take(MOST_FILES) {
        match one(directory, &name) {
            Ok(archive) => archives.push(archive),
            Err(why) => warnings.push(format!("{} cannot be loaded: {why}", directory.join(clean(&name, 128)).display())),
        }
    }
    (archives, warnings)
}

/// `12 images in 3 archives: 9 for amd64, 3 for arm64`.
pub(crate) fn told(archives: &[Archive]) -> String {
    let images: Vec<&str> =
        archives.iter().flat_map(|archive| &archive.images).map(|image| image.architecture.as_ref()).collect();
    let mut kinds = images.clone();
    kinds.sort_unstable();
    kinds.dedup();
    let count = |kind: &str| images.iter().filter(|image| **image == kind).count();
    let each: Vec<String> = kinds.iter().map(|kind| format!("{} for {kind}", count(kind))).collect();
    let colon = if each.is_empty() { "" } else { ": " };
    format!("{} images in {} archives{colon}{}", images.len(), archives.len(), each.join(", "))
}

/// Files by name; hidden ones are somebody else's, and so are directories.
fn names(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && !entry.path().is_dir() && names.len() <= MOST_FILES {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn one(directory: &Path, name: &str) -> Result<Archive, String> {
    if !name.ends_with(".tar") {
        return Err("its name does not end in .tar, and what is compressed must be unpacked first".to_owned());
    }
    let parsed = ArchiveName::parse(name).map_err(|error| error.to_string())?;
    let path = directory.join(name);
    // What runs in the cluster later is nobody else's to change.
    trusted(&path)?;
    Ok(Archive { name: parsed, images: content::read(&path)? })
}

#[cfg(test)]
mod tests {
    use ananke_core::bootstrap::ArchivedImage;

    use super::content::testing::{blob, docker, tar};
    use super::*;

    #[test]
    fn a_directory_has_its_archives_and_says_what_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, bytes: &[u8]| fs::write(dir.path().join(name), bytes).unwrap();
        put("b.tar", &tar(&docker(&["nginx"], "arm64")));
        put("a.tar", &tar(&docker(&["gitea/gitea:1.24", "gitea/gitea:latest"], "amd64")));
        put("c.tar.gz", b"\x1f\x8b");
        put("d.tar", b"\x1f\x8b and so on");
        put("e e.tar", b"x");
        put(".hidden", b"x");
        fs::create_dir(dir.path().join("more")).unwrap();
        let (archives, warnings) = read(dir.path());
        assert_eq!(archives.iter().map(|archive| archive.name.as_str()).collect::<Vec<_>>(), ["a.tar", "b.tar"]);
        assert_eq!(told(&archives), "3 images in 2 archives: 2 for amd64, 1 for arm64");
        assert_eq!(told(&[]), "0 images in 0 archives");
        let warnings: Vec<_> = warnings.iter().map(|text| text.replace(&format!("{}/", dir.path().display()), "")).collect();
        assert_eq!(
            warnings[..2],
            [
                "c.tar.gz cannot be loaded: its name does not end in .tar, and what is compressed must be unpacked first",
                "d.tar cannot be loaded: it is compressed with gzip: unpack it first",
            ]
        );
        assert!(warnings[2].starts_with("e e.tar cannot be loaded: ") && warnings.len() == 3, "{warnings:?}");
    }

    #[test]
    fn an_archive_that_others_can_write_is_left_out_and_so_is_a_directory_that_is_not_there() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.tar");
        fs::write(&path, tar(&docker(&["nginx"], "arm64"))).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        let (archives, warnings) = read(dir.path());
        assert!(archives.is_empty() && warnings[0].contains("other users can write"), "{warnings:?}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(read(dir.path()).0.len(), 1);
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o1777)).unwrap();
        let (archives, warnings) = read(dir.path());
        assert!(archives.is_empty() && warnings[0].contains("other users can write"), "{warnings:?}");
        let (archives, warnings) = read(&dir.path().join("none"));
        assert!(archives.is_empty() && warnings[0].starts_with("no image can be loaded: "), "{warnings:?}");
    }

    #[test]
    fn a_short_name_of_docker_is_made_whole_as_containerd_does() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.tar"), tar(&docker(&["nginx"], "arm64"))).unwrap();
        let image = ArchivedImage { reference: "docker.io/library/nginx:latest".into(), architecture: "arm64".into() };
        assert_eq!(read(dir.path()).0[0].images, [image]);
        assert!(!blob("x").0.is_empty());
    }
}
