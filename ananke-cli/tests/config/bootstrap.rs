//! What is kept for a cluster that waits for itself.

use std::fs;

use expect_test::expect;

use crate::desk::{Desk, GOOD, check};

#[test]
fn without_keys_nothing_is_kept_and_with_them_it_is_what_they_say() {
    let bare = Desk::new().load(GOOD).unwrap();
    assert_eq!((bare.spec.bootstrap, bare.image_archives), (ananke_core::bootstrap::BootstrapSpec::default(), None));
    let desk = Desk::new();
    fs::create_dir(desk.dir.path().join("images")).unwrap();
    desk.write("images/torn.tar", b"half", 0o644);
    let keys = "bootstrap: {layers: [flux-system/harbor, flux-system/gitea], mirror_url: \"ssh://git@nas.lan/titan.git\", image_archives: images}\n";
    let loaded = desk.load(&format!("{GOOD}{keys}")).unwrap();
    let spec = &loaded.spec.bootstrap;
    let layers: Vec<_> = spec.layers.iter().map(ToString::to_string).collect();
    assert_eq!(layers, ["Kustomization flux-system/harbor", "Kustomization flux-system/gitea"]);
    assert_eq!(spec.mirror.as_deref(), Some("ssh://git@nas.lan/titan.git"));
    assert_eq!(loaded.image_archives, Some(desk.dir.path().join("images")));
    assert!(spec.archives.is_empty() && loaded.warnings.len() == 1, "{:?}", loaded.warnings);
    assert!(loaded.warnings[0].contains("images/torn.tar cannot be loaded: "), "{:?}", loaded.warnings);
}

#[test]
fn impossible_values_of_bootstrap_are_errors() {
    check(
        "bootstrap: {layers: [harbor, a/b, a/b], mirror_url: \"https://me:secret@git.example.org/a.git\", image_archives: 7}\n",
        expect![[r#"
            D/ananke.yaml:4:22: bootstrap.layers[0]: found "harbor"; allowed: namespace/name of a Kustomization
            D/ananke.yaml:4:35: bootstrap.layers[2]: "a/b" stands twice in the list
            D/ananke.yaml:4:53: bootstrap.mirror_url: found "https://…@git.example.org/a.git"; allowed: an http://, https:// or ssh:// URL without a password
            D/ananke.yaml:4:112: bootstrap.image_archives: found 7; allowed: a path; ~/ needs HOME (as text, in quotes)"#]],
    );
}
