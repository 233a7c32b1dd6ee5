use super::super::circle::circles;
use super::super::map::{ExternalSecret, HostFacts, IngressClass, Pull, SecretStore, StorageClass};
use super::super::part::PartKind;
use super::super::testing::{Lab, lab, node};
use super::*;
use crate::name::{Kind, ObjectRef};
use expect_test::{Expect, expect};

/// Every circle as its needs, one a line, under its severity.
#[expect(clippy::needless_pass_by_value, reason = "an inline snapshot")]
#[track_caller]
fn check(lab: &Lab, expected: Expect) {
    let told = circles(&lab.map).into_iter().map(|circle| {
        let needs: String = circle.needs.iter().map(|need| format!("  {need}\n")).collect();
        format!("{}\n{needs}", circle.severity)
    });
    expected.assert_eq(&told.collect::<String>());
}

/// What a part needs, one a line.
#[expect(clippy::needless_pass_by_value, reason = "an inline snapshot")]
#[track_caller]
fn check_needs(lab: &Lab, from: &str, expected: Expect) {
    let needs = needs(&lab.map).into_iter().filter(|need| need.from.to_string() == from);
    expected.assert_eq(&needs.map(|need| format!("{need}\n")).collect::<String>());
}

#[test]
fn a_cluster_whose_git_and_registry_are_elsewhere_has_none() {
    let mut lab = lab();
    lab.deployment("apps", "web", "ghcr.io/apps/web:1");
    lab.applied("flux-system");
    check(&lab, expect![[""]]);
}

#[test]
fn flux_that_fetches_from_what_it_applies_is_a_circle_that_a_rebuild_meets() {
    let mut lab = lab();
    lab.gitea("ghcr.io/go-gitea/gitea:1");
    check(
        &lab,
        expect![[r#"
        low
          GitRepository flux-system/flux-system needs scm.titan.example for what it fetches
          scm.titan.example needs Ingress gitea/gitea for an answer
          Ingress gitea/gitea needs Service gitea/gitea for requests to scm.titan.example
          Service gitea/gitea needs Deployment gitea/gitea for its endpoints
          Deployment gitea/gitea needs Kustomization flux-system/git for its object (when it is made anew)
          Kustomization flux-system/git needs GitRepository flux-system/flux-system for what it applies
    "#]],
    );
}

#[test]
fn harbor_gitea_and_flux_wait_for_each_other() {
    let mut lab = lab();
    lab.harbor();
    lab.gitea("harbor.titan.example/gitea/gitea:1");
    lab.map.nodes[1].images = vec!["harbor.titan.example/gitea/gitea:1".into()];
    check(
        &lab,
        expect![[r#"
        low
          GitRepository flux-system/flux-system needs scm.titan.example for what it fetches
          scm.titan.example needs Ingress gitea/gitea for an answer
          Ingress gitea/gitea needs Service gitea/gitea for requests to scm.titan.example
          Service gitea/gitea needs Deployment gitea/gitea for its endpoints
          Deployment gitea/gitea needs harbor.titan.example for its image harbor.titan.example/gitea/gitea:1 (the image is on titan-02)
          harbor.titan.example needs Ingress harbor/harbor-core for an answer
          Ingress harbor/harbor-core needs Service harbor/harbor-core for requests to harbor.titan.example
          Service harbor/harbor-core needs Deployment harbor/harbor-core for its endpoints
          Deployment harbor/harbor-core needs Kustomization flux-system/registry for its object (when it is made anew)
          Kustomization flux-system/registry needs GitRepository flux-system/flux-system for what it applies
        low
          GitRepository flux-system/flux-system needs scm.titan.example for what it fetches
          scm.titan.example needs Ingress gitea/gitea for an answer
          Ingress gitea/gitea needs Service gitea/gitea for requests to scm.titan.example
          Service gitea/gitea needs Deployment gitea/gitea for its endpoints
          Deployment gitea/gitea needs Kustomization flux-system/git for its object (when it is made anew)
          Kustomization flux-system/git needs GitRepository flux-system/flux-system for what it applies
    "#]],
    );
}

#[test]
fn a_circle_is_told_in_a_sentence_for_each_that_waits() {
    let mut lab = lab();
    lab.gitea("ghcr.io/go-gitea/gitea:1");
    let circle = circles(&lab.map).remove(0);
    expect![[r#"
        GitRepository flux-system/flux-system needs scm.titan.example for what it fetches; by way of Ingress gitea/gitea, Service gitea/gitea, Deployment gitea/gitea
        Deployment gitea/gitea needs Kustomization flux-system/git for its object (when it is made anew)
        Kustomization flux-system/git needs GitRepository flux-system/flux-system for what it applies
    "#]]
    .assert_eq(&circle.sentences().iter().map(|line| format!("{line}\n")).collect::<String>());
    assert_eq!(
        circle.breaks,
        ["Deployment gitea/gitea is missing from etcd, or must change: after a rebuild, or a restored snapshot"]
    );
}

#[test]
fn a_registry_that_serves_its_own_image_holds_while_a_node_has_it() {
    let mut lab = lab();
    lab.harbor();
    lab.map.workloads.last_mut().unwrap().images[0].image = "harbor.titan.example/harbor/core:2".into();
    check(
        &lab,
        expect![[r#"
        high
          Deployment harbor/harbor-core needs harbor.titan.example for its image harbor.titan.example/harbor/core:2 (no node has the image)
          harbor.titan.example needs Ingress harbor/harbor-core for an answer
          Ingress harbor/harbor-core needs Service harbor/harbor-core for requests to harbor.titan.example
          Service harbor/harbor-core needs Deployment harbor/harbor-core for its endpoints
    "#]],
    );
    lab.map.nodes[0].more_images = true;
    check(
        &lab,
        expect![[r#"
        medium
          Deployment harbor/harbor-core needs harbor.titan.example for its image harbor.titan.example/harbor/core:2 (no node tells of the image)
          harbor.titan.example needs Ingress harbor/harbor-core for an answer
          Ingress harbor/harbor-core needs Service harbor/harbor-core for requests to harbor.titan.example
          Service harbor/harbor-core needs Deployment harbor/harbor-core for its endpoints
    "#]],
    );
    lab.map.nodes[0].images = vec!["harbor.titan.example/harbor/core:2".into()];
    check(
        &lab,
        expect![[r#"
        medium
          Deployment harbor/harbor-core needs harbor.titan.example for its image harbor.titan.example/harbor/core:2 (the image is on titan-01)
          harbor.titan.example needs Ingress harbor/harbor-core for an answer
          Ingress harbor/harbor-core needs Service harbor/harbor-core for requests to harbor.titan.example
          Service harbor/harbor-core needs Deployment harbor/harbor-core for its endpoints
    "#]],
    );
}

#[test]
fn a_pull_that_always_asks_does_not_care_for_what_the_node_has() {
    let mut lab = lab();
    lab.harbor();
    let harbor = lab.map.workloads.last_mut().unwrap();
    harbor.images[0].image = "harbor.titan.example/harbor/core:2".into();
    harbor.images[0].pull = Pull::Always;
    lab.map.nodes[0].images = vec!["harbor.titan.example/harbor/core:2".into()];
    check(
        &lab,
        expect![[r#"
        high
          Deployment harbor/harbor-core needs harbor.titan.example for its image harbor.titan.example/harbor/core:2, which it always asks for
          harbor.titan.example needs Ingress harbor/harbor-core for an answer
          Ingress harbor/harbor-core needs Service harbor/harbor-core for requests to harbor.titan.example
          Service harbor/harbor-core needs Deployment harbor/harbor-core for its endpoints
    "#]],
    );
    lab.map.workloads.last_mut().unwrap().images[0].pull = Pull::Never;
    check(&lab, expect![[""]]);
}

#[test]
fn hosts_that_ask_the_cluster_for_names_close_a_circle_around_any_registry() {
    let mut lab = lab();
    lab.deployment("pihole", "pihole", "docker.io/pihole/pihole:2026");
    lab.service("pihole", "pihole", "192.168.22.53");
    check(&lab, expect![[""]]);
    let nameservers = vec!["192.168.22.53".parse().unwrap()];
    lab.map.hosts.insert(node("titan-02"), HostFacts { nameservers, ..HostFacts::default() });
    check(
        &lab,
        expect![[r#"
        high
          Deployment pihole/pihole needs docker.io for its image docker.io/pihole/pihole:2026 (no node has the image)
          docker.io needs Service pihole/pihole for its address, which titan-02 must resolve
          Service pihole/pihole needs Deployment pihole/pihole for its endpoints
    "#]],
    );
}

#[test]
fn a_webhook_that_must_consent_to_its_own_pods_is_a_circle() {
    let mut lab = lab();
    lab.deployment("kyverno", "kyverno", "ghcr.io/kyverno/kyverno:1");
    lab.service("kyverno", "kyverno", "10.43.0.30");
    lab.webhook("kyverno", ("kyverno", "kyverno"));
    check(
        &lab,
        expect![[r#"
        medium
          Deployment kyverno/kyverno needs ValidatingWebhookConfiguration kyverno for the consent of kyverno.example (when its pods are made anew)
          ValidatingWebhookConfiguration kyverno needs Service kyverno/kyverno for its answers
          Service kyverno/kyverno needs Deployment kyverno/kyverno for its endpoints
    "#]],
    );
    lab.map.webhooks[0].fail_closed = false;
    check(&lab, expect![[""]]);
}

#[test]
fn a_secret_from_a_vault_that_cannot_start_without_it_is_a_circle() {
    let mut lab = lab();
    lab.deployment("vault", "vault", "docker.io/hashicorp/vault:1");
    lab.service("vault", "vault", "10.43.0.40");
    lab.map.workloads.last_mut().unwrap().secrets = vec!["tls".into()];
    let store = Part::new(PartKind::ClusterSecretStore, "", "vault");
    let object = Part::new(PartKind::ExternalSecret, "vault", "tls");
    lab.map.external_secrets.push(ExternalSecret { object, secret: "tls".into(), store: store.clone() });
    let url = Some("http://vault.vault.svc:8200".into());
    lab.map.secret_stores.push(SecretStore { object: store, url });
    check(
        &lab,
        expect![[r#"
        low
          Deployment vault/vault needs Secret vault/tls for its pods
          Secret vault/tls needs ExternalSecret vault/tls for what it holds (when it is made anew)
          ExternalSecret vault/tls needs ClusterSecretStore vault for what it fetches
          ClusterSecretStore vault needs vault.vault.svc for its Vault
          vault.vault.svc needs Service vault/vault for an answer
          Service vault/vault needs Deployment vault/vault for its endpoints
    "#]],
    );
}

#[test]
fn a_claim_needs_the_driver_of_its_volume() {
    let mut lab = lab();
    lab.deployment("longhorn-system", "longhorn-manager", "longhornio/longhorn-manager:1");
    lab.deployment("storage", "csi-nfs-node", "registry.k8s.io/csi-nfs:4");
    lab.map.workloads.last_mut().unwrap().host_paths = vec!["/var/lib/kubelet/plugins/nfs.csi.k8s.io/".into()];
    lab.volume(("apps", "data"), Some(2));
    check_needs(
        &lab,
        "PersistentVolumeClaim apps/data",
        expect![[r#"
        PersistentVolumeClaim apps/data needs PersistentVolume pvc-apps-data for its volume
    "#]],
    );
    check_needs(
        &lab,
        "PersistentVolume pvc-apps-data",
        expect![[r#"
        PersistentVolume pvc-apps-data needs Deployment longhorn-system/longhorn-manager for its driver driver.longhorn.io
    "#]],
    );
    lab.map.volumes[0].driver = Some("nfs.csi.k8s.io".into());
    lab.map.volumes[0].server = Some("nas.example".into());
    check_needs(
        &lab,
        "PersistentVolume pvc-apps-data",
        expect![[r#"
        PersistentVolume pvc-apps-data needs Deployment storage/csi-nfs-node for its driver nfs.csi.k8s.io
        PersistentVolume pvc-apps-data needs nas.example for the files that it serves
    "#]],
    );
}

#[test]
fn a_claim_without_a_volume_needs_whoever_makes_one() {
    let mut lab = lab();
    lab.deployment("storage", "nfs-provisioner", "registry.k8s.io/nfs-subdir:4");
    lab.map.workloads.last_mut().unwrap().provisions = vec!["nas.example/nfs".into()];
    let class = |name: &str, provisioner: &str| StorageClass { name: name.into(), provisioner: provisioner.into() };
    lab.map.storage_classes = vec![class("nfs", "nas.example/nfs"), class("local", "rancher.io/local-path")];
    lab.volume(("apps", "data"), None);
    (lab.map.claims[0].volume, lab.map.claims[0].class) = (None, Some("nfs".into()));
    check_needs(
        &lab,
        "PersistentVolumeClaim apps/data",
        expect![[r#"
        PersistentVolumeClaim apps/data needs StorageClass nfs for a volume
    "#]],
    );
    check_needs(
        &lab,
        "StorageClass nfs",
        expect![[r#"
        StorageClass nfs needs Deployment storage/nfs-provisioner for its provisioner nas.example/nfs
    "#]],
    );
    check_needs(&lab, "StorageClass local", expect![[""]]);
}

#[test]
fn a_database_that_the_environment_names_is_needed_unless_it_names_back() {
    let mut lab = lab();
    lab.gitea("ghcr.io/go-gitea/gitea:1");
    lab.map.workloads.last_mut().unwrap().names = vec![ObjectRef::new(Kind::Service, "gitea", "postgres")];
    lab.deployment("gitea", "postgres", "scm.titan.example/ops/postgres:18");
    lab.service("gitea", "postgres", "10.43.0.22");
    check(
        &lab,
        expect![[r#"
        high
          Deployment gitea/gitea needs Service gitea/postgres for what its environment names
          Service gitea/postgres needs Deployment gitea/postgres for its endpoints
          Deployment gitea/postgres needs scm.titan.example for its image scm.titan.example/ops/postgres:18 (no node has the image)
          scm.titan.example needs Ingress gitea/gitea for an answer
          Ingress gitea/gitea needs Service gitea/gitea for requests to scm.titan.example
          Service gitea/gitea needs Deployment gitea/gitea for its endpoints
        low
          GitRepository flux-system/flux-system needs scm.titan.example for what it fetches
          scm.titan.example needs Ingress gitea/gitea for an answer
          Ingress gitea/gitea needs Service gitea/gitea for requests to scm.titan.example
          Service gitea/gitea needs Deployment gitea/gitea for its endpoints
          Deployment gitea/gitea needs Kustomization flux-system/git for its object (when it is made anew)
          Kustomization flux-system/git needs GitRepository flux-system/flux-system for what it applies
    "#]],
    );
    lab.map.workloads.last_mut().unwrap().names = vec![ObjectRef::new(Kind::Service, "gitea", "gitea")];
    let named = needs(&lab.map).iter().filter(|need| need.why == "what its environment names").count();
    assert_eq!(named, 0, "each names the other");
}

#[test]
fn an_ingress_needs_its_controller_by_address_or_by_class() {
    let mut lab = lab();
    lab.deployment("traefik", "traefik", "docker.io/library/traefik:v3");
    lab.service("traefik", "traefik", "192.168.22.80");
    lab.ingress("web.example", ("apps", "web"));
    check_needs(&lab, "Ingress apps/web", expect![[""]]);
    lab.map.ingresses[0].addresses = vec!["192.168.22.80".parse().unwrap()];
    check_needs(
        &lab,
        "Ingress apps/web",
        expect![[r#"
        Ingress apps/web needs Deployment traefik/traefik for its controller
    "#]],
    );
    lab.map.ingresses[0].addresses.clear();
    let class = |controller: &str| IngressClass { name: "web".into(), controller: controller.into(), default: true };
    lab.map.ingress_classes = vec![class("traefik.io/ingress-controller")];
    check_needs(
        &lab,
        "Ingress apps/web",
        expect![[r#"
        Ingress apps/web needs Deployment traefik/traefik for its controller
    "#]],
    );
    lab.map.ingress_classes = vec![class("k8s.io/ingress-nginx")];
    check_needs(&lab, "Ingress apps/web", expect![[""]]);
}

#[test]
fn a_host_is_found_by_ingress_by_name_and_by_address() {
    for url in ["https://scm.titan.example/iac", "http://gitea.gitea.svc.cluster.local:3000/iac", "http://10.43.0.21/iac"] {
        let mut lab = lab();
        lab.gitea("ghcr.io/go-gitea/gitea:1");
        lab.map.sources[0].url = url.into();
        assert_eq!(circles(&lab.map).len(), 1, "{url}");
        lab.map.sources[0].url = "https://git.example/iac".into();
        assert_eq!(circles(&lab.map), [], "{url}");
    }
}
