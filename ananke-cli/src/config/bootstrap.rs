//! What is kept for a cluster that waits for itself: layers, a mirror of the Git repository, archives of images.

use std::path::PathBuf;

use ananke_core::bootstrap::BootstrapSpec;
use ananke_core::name::Kind;

use super::build::{DAY, Paths, SECOND};
use super::reader::Reader;
use super::text;

const LAYER: &str = "namespace/name of a Kustomization";
const MIRROR: &str = "an http://, https:// or ssh:// URL without a password";

/// With the directory of the archives, which are read later.
pub(crate) fn read(reader: &mut Reader<'_>, paths: &Paths<'_>) -> (BootstrapSpec, Option<PathBuf>) {
    let layers = reader.list("bootstrap.layers", LAYER, |text| text::object(Kind::Kustomization, text));
    let mirror = reader.key("bootstrap.mirror_url", MIRROR, mirror).map(Into::into);
    let archives = paths.key(reader, "bootstrap.image_archives");
    let usual = BootstrapSpec::default();
    let wait = reader.duration("bootstrap.wait", SECOND..=DAY).unwrap_or(usual.wait);
    (BootstrapSpec { wait, layers, mirror, ..usual }, archives)
}

/// It stands in journals and on the source, where everybody can read it.
fn mirror(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("://")?;
    let authority = rest.split('/').next().unwrap_or(rest);
    let password = authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'));
    text::source_url(text).filter(|_| !password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_is_a_url_that_everybody_may_read() {
        for good in ["ssh://git@nas.lan/atlas/titan.git", "https://git.example.org/titan", "http://10.0.0.9:3000/a"] {
            assert!(mirror(good).is_some(), "{good}");
        }
        for bad in ["https://me:secret@git.example.org/titan", "git@nas.lan:titan.git", "/srv/titan.git", "ssh://", ""] {
            assert!(mirror(bad).is_none(), "{bad}");
        }
    }
}
