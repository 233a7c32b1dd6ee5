//! `bootstrap-cache/`: what Kustomizations applied on the last healthy day, a file for each.
//!
//! A file whose layer the config no longer names stays, and is not read.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;

use ananke_core::bootstrap::{Cache, Layer};
use ananke_core::name::ObjectRef;
use ananke_core::port::PortError;

use super::file::{self, io_error};
use super::{SCHEMA, StateDir, Versioned};

pub(super) const DIRECTORY: &str = "bootstrap-cache";

impl StateDir {
    /// What is kept of these, in their order; what is torn is set aside, and told as everything that is.
    pub fn layers(&self, wanted: &[ObjectRef]) -> Cache {
        let mut layers = Vec::new();
        for kustomization in wanted {
            let name = name(kustomization);
            match self.read_or_set_aside::<Versioned<Layer>>(&name) {
                Ok(Some(read)) if read.body.kustomization == *kustomization => layers.push(read.body),
                Ok(Some(read)) => {
                    let path = self.path(&name);
                    self.notice(format!("{} is not read: it is of {}", path.display(), read.body.kustomization));
                }
                Ok(None) => {}
                Err(error) => self.notice(error.to_string()),
            }
        }
        Cache { layers }
    }

    /// Writes one down; what was kept of it before is replaced.
    pub fn keep_layer(&self, layer: &Layer) -> Result<(), PortError> {
        self.refuse_unless_writable("keep a layer")?;
        let directory = self.path(DIRECTORY);
        if !file::exists(&directory)? {
            let mut builder = DirBuilder::new();
            builder.recursive(true).mode(0o700);
            builder.create(&directory).map_err(|error| io_error("create", &directory, &error))?;
            file::sync_directory(self.root())?;
        }
        Ok(file::replace_exactly(&self.path(&name(&layer.kustomization)), &Versioned { schema: SCHEMA, body: layer })?)
    }
}

/// No namespace has a `_`.
fn name(kustomization: &ObjectRef) -> String {
    format!("{DIRECTORY}/{}_{}.json", kustomization.namespace, kustomization.name)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use ananke_core::bootstrap::Manifest;
    use ananke_core::name::{Kind, Moment};
    use serde_json::json;

    use super::*;

    fn kustomization(name: &str) -> ObjectRef {
        ObjectRef::new(Kind::Kustomization, "flux-system", name)
    }

    fn layer(name: &str) -> Layer {
        let object = ObjectRef::new(Kind::ConfigMap, "git", name);
        let data = json!({"large": "1.50", "n": 7, "url": "https://bot:hunter2@git.example/"});
        let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data});
        Layer {
            kustomization: kustomization(name),
            revision: "main@sha1:00".into(),
            taken: Moment::from_millis(1_773_453_971_250),
            objects: vec![Manifest { object, body }],
            left_out: ["Secret git/gitea".into()].into(),
        }
    }

    #[test]
    fn what_is_kept_is_read_again_in_the_order_of_the_config() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("state");
        let state = StateDir::open(&root).unwrap();
        assert_eq!(state.layers(&[kustomization("gitea")]), Cache::default());
        for name in ["gitea", "harbor", "more"] {
            state.keep_layer(&layer(name)).unwrap();
        }
        state.keep_layer(&layer("gitea")).unwrap();
        let wanted = ["harbor", "absent", "gitea"].map(kustomization);
        assert_eq!(state.layers(&wanted).layers, [layer("harbor"), layer("gitea")]);
        assert_eq!(StateDir::open_read_only(&root).unwrap().layers(&wanted).layers.len(), 2);
        assert_eq!(state.take_notices(), Vec::<String>::new());
        let mode = |path: &str| fs::metadata(root.join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(DIRECTORY), mode("bootstrap-cache/flux-system_gitea.json")), (0o700, 0o600));
        assert_eq!(fs::read_dir(root.join(DIRECTORY)).unwrap().count(), 3, "nothing else is left");
    }

    #[test]
    fn a_torn_layer_is_set_aside_and_the_others_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let (gitea, harbor) = (dir.path().join(name(&kustomization("gitea"))), dir.path().join(name(&kustomization("harbor"))));
        for name in ["gitea", "harbor", "more"] {
            state.keep_layer(&layer(name)).unwrap();
        }
        let whole = fs::read(&gitea).unwrap();
        fs::write(&gitea, &whole[..whole.len() / 2]).unwrap();
        fs::write(&harbor, &whole).unwrap();
        let wanted = ["gitea", "harbor", "more"].map(kustomization);
        assert_eq!(state.layers(&wanted).layers, [layer("more")]);
        let notices = state.take_notices();
        assert!(notices[0].contains("was set aside as"), "{notices:?}");
        assert!(notices[1].contains("it is of Kustomization flux-system/gitea") && notices.len() == 2, "{notices:?}");
        assert!(!gitea.exists() && harbor.exists());
    }
}
