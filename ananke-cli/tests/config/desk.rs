//! What the tests of the config share: a directory with a home, and the refusal of a text.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use ananke_cli::config::{ConfigError, Host, Loaded, Overrides, load};
use expect_test::Expect;

/// What every config has.
pub(crate) const GOOD: &str =
    "kubeconfig: kubeconfig\ncontrol_planes: [titan-01, titan-02, titan-03]\nworkers: [titan-11, titan-12]\n";

/// A directory with the files that a config names.
pub(crate) struct Desk {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) host: Host,
    pub(crate) overrides: Overrides,
}

impl Desk {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        fs::create_dir_all(home.join(".ssh")).unwrap();
        let desk = Self { host: Host { name: "titan-db".to_owned(), ..Host::default() }, overrides: Overrides::default(), dir };
        for (name, mode) in [("kubeconfig", 0o600), ("home/.ssh/known_hosts", 0o644), ("home/.ssh/id", 0o600)] {
            desk.write(name, b"x", mode);
        }
        desk.env("HOME", home.to_str().unwrap())
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.host.env.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8], mode: u32) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    pub(crate) fn load(&self, text: &str) -> Result<Loaded, ConfigError> {
        load(&self.write("ananke.yaml", text.as_bytes(), 0o600), &self.host, &self.overrides)
    }

    /// The message, with the directory taken out.
    pub(crate) fn refusal(&self, result: Result<Loaded, ConfigError>) -> String {
        result.unwrap_err().to_string().replace(self.dir.path().to_str().unwrap(), "D")
    }
}

/// `text` after the keys that every config has.
pub(crate) fn check(text: &str, expect: Expect) {
    let desk = Desk::new();
    expect.assert_eq(&desk.refusal(desk.load(&format!("{GOOD}{text}"))));
}

pub(crate) fn check_whole(text: &str, expect: Expect) {
    let desk = Desk::new();
    expect.assert_eq(&desk.refusal(desk.load(text)));
}
