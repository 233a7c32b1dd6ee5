//! The config as an operator meets it: what a file says, and what is said of a bad one.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod bootstrap;
mod desk;
mod notify;
mod power;
mod ssh;
mod update;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use ananke_cli::config::{Overrides, load, reference};
use ananke_core::name::NodeName;
use ananke_core::spec::{HostNeeds, NodeRole, Role, TimeSync};
use ananke_core::verdict::GateId;
use desk::{Desk, GOOD, check, check_whole};
use expect_test::{Expect, expect};
use proptest::prelude::*;

#[test]
fn what_is_left_out_has_the_documented_default() {
    let loaded = Desk::new().load(GOOD).unwrap();
    let spec = &loaded.spec;
    assert_eq!(loaded.warnings, Vec::<String>::new());
    assert_eq!((spec.holder.as_str(), spec.role), ("titan-db", Role::Coordinator));
    assert_eq!((spec.nodes.len(), spec.quorum()), (5, 2));
    let worker = &spec.nodes[&NodeName::parse("titan-11").unwrap()];
    assert_eq!((worker.role, worker.unit.as_str()), (NodeRole::Worker, "k3s-agent"));
    let login = &loaded.ssh.routes[&NodeName::parse("titan-11").unwrap()].login;
    let target = &login.target;
    assert_eq!((target.host.as_str(), target.port, target.user.as_str()), ("titan-11", 22, "root"));
    assert_eq!(worker.target.as_ref(), Some(target));
    assert_eq!(spec.deadlines.len(), GateId::ALL.len());
    assert_eq!(spec.deadline(GateId::ControlPlane), Duration::from_secs(900));
    assert_eq!(spec.intent_max_age, Duration::from_secs(21600));
    assert_eq!((spec.soak, spec.poll), (Duration::from_secs(60), Duration::from_secs(2)));
    assert_eq!(spec.flux.source.to_string(), "GitRepository flux-system/flux-system");
    assert_eq!(loaded.state_dir, PathBuf::from("/var/lib/ananke"));
    assert!(loaded.kubeconfig.is_absolute() && login.known_hosts.ends_with("home/.ssh/known_hosts"));
}

#[test]
fn a_distribution_brings_the_names_of_its_units_and_a_given_name_wins() {
    let units = |text: &str| {
        let spec = Desk::new().load(&format!("{GOOD}{text}")).unwrap().spec;
        let unit = |name: &str| spec.nodes[&NodeName::parse(name).unwrap()].unit.to_string();
        format!("{:?} {} {}", spec.distribution, unit("titan-01"), unit("titan-11"))
    };
    assert_eq!(units(""), "K3s k3s k3s-agent");
    assert_eq!(units("distribution: kubeadm\n"), "Kubeadm kubelet kubelet");
    assert_eq!(units("distribution: kubeadm\nworker_unit: kubelet-arm\n"), "Kubeadm kubelet kubelet-arm");
    check("distribution: talos\n", expect![[r#"D/ananke.yaml:4:15: distribution: found "talos"; allowed: k3s or kubeadm"#]]);
}

#[test]
fn later_layers_win_key_by_key() {
    let mut desk = Desk::new()
        .env("ANANKE_CONFIG__STARTUP__SOAK", "90s")
        .env("ANANKE_CONFIG__WORKERS", "[titan-21]")
        .env("ANANKE_CONFIG__EXPECTED_FLUX_BRANCH", "1.0")
        .env("ANANKE_CONFIG__SSH_NODE_HOSTS__TITAN-01", "[fd00::1]:2222")
        .env("ANANKE_CONFIG__COORDINATION__ALLOW_STARTUP_ON_BATTERY", "false");
    desk.overrides = Overrides {
        allow_on_battery: true,
        allow_peer_startup: true,
        skip_drain: true,
        force_flux_branch: Some("main".into()),
        ..Overrides::default()
    };
    let text = format!(
        "{GOOD}startup: {{soak: 5m, require_post_start_probes: true}}\ncoordination:\n  role: peer\nssh_node_hosts: {{titan-02: 10.0.0.2}}\n"
    );
    let loaded = desk.load(&text).unwrap();
    let spec = &loaded.spec;
    assert_eq!(spec.soak, Duration::from_secs(90));
    assert_eq!(spec.flux.expected_branch.as_deref(), Some("1.0"));
    assert_eq!(spec.flux.force_branch.as_deref(), Some("main"));
    assert_eq!((spec.role, spec.allow_on_battery, spec.drain.skip), (Role::Peer { allow_startup: true }, true, true));
    assert_eq!(spec.workers().map(|(node, _)| node.as_str()).collect::<Vec<_>>(), ["titan-21"]);
    let targets: Vec<_> =
        loaded.ssh.routes.values().map(|route| &route.login.target).map(|at| format!("{} {}", at.host, at.port)).collect();
    assert_eq!(targets, ["fd00::1 2222", "10.0.0.2 22", "titan-03 22", "titan-21 22"]);
}

#[test]
fn the_reference_loads_with_its_defaults_and_with_every_comment_taken_in() {
    let desk = Desk::new()
        .env("ANANKE_CONFIG__KUBECONFIG", "kubeconfig")
        .env("ANANKE_CONFIG__SSH_IDENTITY_FILE", "~/.ssh/id")
        .env("ANANKE_CONFIG__SSH_CONFIG_FILE", "ssh.conf")
        .env("ANANKE_CONFIG__INGRESS__CA_FILE", "ca.pem")
        .env("ANANKE_CONFIG__BOOTSTRAP__IMAGE_ARCHIVES", "home")
        .env("ANANKE_CONFIG__NUT__USER", "ananke")
        .env("ANANKE_CONFIG__NUT__PASSWORD_FILE", "nut-password")
        .env("ANANKE_CONFIG__NUT__CA_FILE", "ca.pem")
        .env("ANANKE_CONFIG__NOTIFY", "[{ntfy: \"https://ntfy.example.org/ananke\", ca_file: ca.pem}, {command: [/bin/true]}]")
        .env("ANANKE_CONFIG__STARTUP__VAULT_ADDRESS", "https://vault.example.org")
        .env("ANANKE_CONFIG__STARTUP__VAULT_CA_FILE", "ca.pem")
        .env("ANANKE_CONFIG__STARTUP__VAULT_UNSEAL_KEY_FILE", "vault-keys")
        .env("ANANKE_CONFIG__STARTUP__VAULT_UNSEAL_BREAKGLASS_COMMAND", "[/bin/true]");
    desk.write("ca.pem", ca().as_bytes(), 0o644);
    desk.write("ssh.conf", b"", 0o644);
    desk.write("vault-keys", b"x", 0o600);
    desk.write("nut-password", b"x", 0o600);
    let whole: String = reference()
        .lines()
        .map(|line| line.replacen('#', if line.trim_start().starts_with("# ") { "#" } else { "" }, 1) + "\n")
        .collect();
    assert_ne!(whole, reference());
    let defaults = desk.load(&reference()).unwrap();
    assert_eq!(defaults.spec.poll, Duration::from_secs(2));
    assert_eq!(defaults.spec.power, ananke_core::power::PowerSpec::default());
    let loaded = desk.load(&whole).unwrap();
    assert_eq!(loaded.warnings, Vec::<String>::new());
    assert_eq!(loaded.spec.services.len(), 4);
    assert_eq!(loaded.http.usual.at.unwrap().to_string(), "10.0.0.200:443");
    for gate in GateId::ALL {
        assert!(whole.contains(&format!("\n  {gate}: ")), "{gate}");
        // The core's own defaults are what embedders and drills get: the config says the same.
        assert_eq!(defaults.spec.deadline(*gate), ananke_core::spec::default_deadline(*gate), "{gate}");
    }
}

#[test]
fn unknown_keys_are_errors_with_a_suggestion() {
    check("worker: [titan-13]\n", expect!["D/ananke.yaml:4:1: worker: unknown key; did you mean workers?"]);
    check("startup:\n  soack: 1m\n", expect!["D/ananke.yaml:5:3: startup.soack: unknown key; did you mean soak?"]);
    check("soak: 1m\n", expect!["D/ananke.yaml:4:1: soak: unknown key; did you mean startup.soak?"]);
    check(
        "deadlines: {nodes_ready: 5m}\n",
        expect!["D/ananke.yaml:4:13: deadlines.nodes_ready: unknown key; did you mean nodes-ready?"],
    );
    check("drain: {zzz: 1}\n", expect!["D/ananke.yaml:4:9: drain.zzz: unknown key; allowed: batch, concurrency, patience"]);
    check(
        "startup: {post_start_probes: [{url: \"https://a/\", status: 200}]}\n",
        expect![
            "D/ananke.yaml:4:51: startup.post_start_probes[0].status: unknown key; allowed: name, url, method, accepted_statuses, redirect, headers, body, ca_file, resolve"
        ],
    );
}

#[test]
fn wrong_types_say_what_was_found_and_what_is_allowed() {
    check("ssh_port: \"22\"\n", expect![[r#"D/ananke.yaml:4:11: ssh_port: found "22"; allowed: a number from 1 to 65535"#]]);
    check(
        "startup: 5\n",
        expect![
            "D/ananke.yaml:4:10: startup: found 5; allowed: a group with the keys time_sync_mode, time_sync_quorum, require_post_start_probes, post_start_probes, unit_grace, require_storage_ready, foundation_workloads, critical_services, soak, vault_address, vault_ca_file, vault_unseal_key_file, vault_unseal_breakglass_command"
        ],
    );
    check(
        "startup: {soak: 60}\n",
        expect![
            "D/ananke.yaml:4:17: startup.soak: found 60; allowed: a duration with its unit, such as 90s, 10m or 1h30m, from 0s to 24h00m"
        ],
    );
    check(
        "coordination: {allow_startup_on_battery: yes}\n",
        expect![[r#"D/ananke.yaml:4:42: coordination.allow_startup_on_battery: found "yes"; allowed: true or false"#]],
    );
    check(
        "ignore_nodes: titan-11\n",
        expect![[
            r#"D/ananke.yaml:4:15: ignore_nodes: found "titan-11"; allowed: a list of: a node name: lower case letters, digits, '-' and '.', at most 253"#
        ]],
    );
    check(
        "expected_flux_branch: 1.0\n",
        expect!["D/ananke.yaml:4:23: expected_flux_branch: found 1.0; allowed: a branch name, such as main (as text, in quotes)"],
    );
    check(
        "ssh_node_hosts: [titan-01]\n",
        expect![
            "D/ananke.yaml:4:17: ssh_node_hosts: found a list; allowed: node names, each with: host, host:port or [v6]:port (the user stands in ssh_node_users)"
        ],
    );
    check(
        "required_namespaces: [a, ]\nignore_nodes:\n  -\n",
        expect![
            "D/ananke.yaml:6:4: ignore_nodes[0]: found nothing; allowed: a node name: lower case letters, digits, '-' and '.', at most 253"
        ],
    );
}

#[test]
fn impossible_values_are_errors() {
    check("ssh_port: 0\n", expect!["D/ananke.yaml:4:11: ssh_port: found 0; allowed: a number from 1 to 65535"]);
    check(
        "minimum_charge_percent: 130\n",
        expect!["D/ananke.yaml:4:25: minimum_charge_percent: found 130; allowed: a number from 0 to 100"],
    );
    check(
        "startup: {soak: 25h}\n",
        expect![[
            r#"D/ananke.yaml:4:17: startup.soak: found "25h"; allowed: a duration with its unit, such as 90s, 10m or 1h30m, from 0s to 24h00m"#
        ]],
    );
    check(
        "poll: 0s\n",
        expect![[
            r#"D/ananke.yaml:4:7: poll: found "0s"; allowed: a duration with its unit, such as 90s, 10m or 1h30m, from 100ms to 5m00s"#
        ]],
    );
    check(
        "poll: -2s\n",
        expect![[
            r#"D/ananke.yaml:4:7: poll: found "-2s"; allowed: a duration with its unit, such as 90s, 10m or 1h30m, from 100ms to 5m00s"#
        ]],
    );
    check(
        "ignore_nodes: [Titan_01]\n",
        expect![[
            r#"D/ananke.yaml:4:16: ignore_nodes[0]: found "Titan_01"; allowed: a node name: lower case letters, digits, '-' and '.', at most 253"#
        ]],
    );
    check(
        "ignore_nodes: [titan-11, titan-11]\n",
        expect![[r#"D/ananke.yaml:4:26: ignore_nodes[1]: "titan-11" stands twice in the list"#]],
    );
    check(
        "ignore_nodes: [titan-01, titan-02, titan-03]\n",
        expect!["D/ananke.yaml:4:15: ignore_nodes: every server is ignored; allowed: at least one that is not"],
    );
    check(
        "required_workloads: [Pod core/gitea]\n",
        expect![[
            r#"D/ananke.yaml:4:22: required_workloads[0]: found "Pod core/gitea"; allowed: Kind namespace/name, where Kind is Deployment, StatefulSet or DaemonSet"#
        ]],
    );
    check(
        "expected_flux_source_url: git@example.org:atlas\n",
        expect![[
            r#"D/ananke.yaml:4:27: expected_flux_source_url: found "git@example.org:atlas"; allowed: an http://, https:// or ssh:// URL"#
        ]],
    );
    check(
        "startup: {post_start_probes: [\"https://u:secret@a/\"]}\n",
        expect![[
            r#"D/ananke.yaml:4:31: startup.post_start_probes[0]: found "https://…@a/"; allowed: an http:// or https:// URL without credentials, or an entry with url and what its answer must be"#
        ]],
    );
    check(
        "ingress: {accepted_by_host: {a.example.org: []}, accepted_statuses: [20]}\n",
        expect![[r#"
        D/ananke.yaml:4:45: ingress.accepted_by_host.a.example.org: found an empty list; allowed: at least one HTTP status
        D/ananke.yaml:4:70: ingress.accepted_statuses[0]: found 20; allowed: a number from 100 to 599"#]],
    );
    check(
        "coordination: {role: leader}\n",
        expect![[r#"D/ananke.yaml:4:22: coordination.role: found "leader"; allowed: coordinator or peer"#]],
    );
    check_whole(
        "kubeconfig: kubeconfig\ncontrol_planes: []\n",
        expect!["D/ananke.yaml:2:17: control_planes: found an empty list; allowed: the names of at least one server"],
    );
    check_whole(
        "kubeconfig: kubeconfig\ncontrol_planes: [a, b]\nworkers: [b]\n",
        expect!["D/ananke.yaml:3:11: workers[0]: the node is in control_planes too; allowed: one of the two"],
    );
}

#[test]
fn several_problems_are_listed_at_once_in_the_order_of_the_file() {
    check_whole(
        "ssh_port: 0\nworkers: [A]\npol: 1s\ndrain:\n  batch: 0\n",
        expect![[r#"
        D/ananke.yaml:1:11: ssh_port: found 0; allowed: a number from 1 to 65535
        D/ananke.yaml:2:11: workers[0]: found "A"; allowed: a node name: lower case letters, digits, '-' and '.', at most 253
        D/ananke.yaml:3:1: pol: unknown key; did you mean poll?
        D/ananke.yaml:5:10: drain.batch: found 0; allowed: a number from 1 to 1000
        D/ananke.yaml: control_planes: missing; needed: the names of the servers, such as [titan-01, titan-02, titan-03]
        D/ananke.yaml: kubeconfig: missing; needed: path of a kubeconfig, such as /etc/rancher/k3s/k3s.yaml"#]],
    );
}

#[test]
fn what_is_not_plain_yaml_is_refused() {
    check(
        "poll: 1s\npoll: 2s\nssh_port: 1\nssh_port: 2\n",
        expect![[r#"
        D/ananke.yaml:5:1: poll: the key stands twice, first on line 4
        D/ananke.yaml:7:1: ssh_port: the key stands twice, first on line 6"#]],
    );
    check(
        "workers: [a\n",
        expect![[r#"
        D/ananke.yaml:4:1: workers: the key stands twice, first on line 3
        D/ananke.yaml:5:1: not valid YAML: while parsing a flow sequence, expected ',' or ']'"#]],
    );
    check("ssh_user: &a root\n", expect!["D/ananke.yaml:4:11: found an anchor (&name); allowed: plain values"]);
    check("ssh_user: *a\n", expect!["D/ananke.yaml:4:11: not valid YAML: while parsing node, found unknown anchor"]);
    check("ssh_user: !!str root\n", expect!["D/ananke.yaml:4:11: found a tag (!name); allowed: plain values"]);
    check("---\npoll: 1s\n", expect!["D/ananke.yaml:4:1: a second document begins here; allowed: one document"]);
    check("[a, b]: c\n", expect!["D/ananke.yaml:4:1: a list or a map stands where a key should; allowed: text as key"]);
    check(&format!("poll: {}", "[".repeat(100)), expect!["D/ananke.yaml:4:22: nested too deep; allowed: 16 levels"]);
    check_whole("- a\n", expect!["D/ananke.yaml: found a list; allowed: keys with values, such as `kubeconfig: PATH`"]);
    check_whole(
        "# nothing\n",
        expect![
            "D/ananke.yaml: there is nothing in it but white space and comments; start from what `ananke config reference` prints, or name another file with --config"
        ],
    );
    check_whole(
        " \n",
        expect!["D/ananke.yaml: is empty; start from what `ananke config reference` prints, or name another file with --config"],
    );
}

#[test]
fn the_environment_is_named_where_it_is_wrong() {
    let desk = Desk::new()
        .env("ANANKE_CONFIG__SSH_PORT", "ssh")
        .env("ANANKE_CONFIG__STARTUP__SOAK", "1")
        .env("ANANKE_CONFIG__WORKERS", "titan-11")
        .env("ANANKE_CONFIG__WROKERS", "[a]");
    expect![[r#"
        environment variable ANANKE_CONFIG__WROKERS: wrokers: unknown key; did you mean workers?
        environment variable ANANKE_CONFIG__WORKERS: workers: found "titan-11"; allowed: a list of: a node name: lower case letters, digits, '-' and '.', at most 253
        environment variable ANANKE_CONFIG__SSH_PORT: ssh_port: found "ssh"; allowed: a number from 1 to 65535
        environment variable ANANKE_CONFIG__STARTUP__SOAK: startup.soak: found "1"; allowed: a duration with its unit, such as 90s, 10m or 1h30m, from 0s to 24h00m"#]].assert_eq(&desk.refusal(desk.load(GOOD)));
    let desk = Desk::new().env("ANANKE_CONFIG__A____B", "1").env("ANANKE_CONFIG__WORKERS", "[a");
    expect![[r#"
        environment variable ANANKE_CONFIG__A____B: the name has an empty part; allowed: ANANKE_CONFIG__GROUP__KEY
        environment variable ANANKE_CONFIG__WORKERS: not valid YAML: while parsing a flow sequence, expected ',' or ']'"#]]
    .assert_eq(&desk.refusal(desk.load(GOOD)));
    let mut desk = Desk::new();
    desk.overrides.force_flux_branch = Some("a b".to_owned());
    expect![[r#"command line: --force-flux-branch: found "a b"; allowed: a branch name, such as main"#]]
        .assert_eq(&desk.refusal(desk.load(GOOD)));
}

#[test]
fn missing_binary_and_foreign_files_are_refused_with_a_way_out() {
    let desk = Desk::new();
    let try_load = |path: PathBuf| desk.refusal(load(&path, &desk.host, &desk.overrides));
    expect![
        "D/nothing.yaml: does not exist; start from what `ananke config reference` prints, or name another file with --config"
    ]
    .assert_eq(&try_load(desk.dir.path().join("nothing.yaml")));
    expect!["D: is a directory; start from what `ananke config reference` prints, or name another file with --config"]
        .assert_eq(&try_load(desk.dir.path().to_owned()));
    expect!["D/b: is not text: byte 12 is not UTF-8 text; restore it from a copy, or start from what `ananke config reference` prints, or name another file with --config"].assert_eq(&try_load(desk.write("b", b"kubeconfig: \xff\xfe", 0o600)));
    expect!["D/z: is not text: byte 4 is not UTF-8 text; restore it from a copy, or start from what `ananke config reference` prints, or name another file with --config"].assert_eq(&try_load(desk.write("z", b"kube\0\0\0", 0o600)));
    expect!["D/e: is empty; start from what `ananke config reference` prints, or name another file with --config"]
        .assert_eq(&try_load(desk.write("e", b"", 0o600)));
    expect!["D/w: other users can write it (mode 0620); run `chmod go-w D/w`"].assert_eq(&try_load(desk.write(
        "w",
        GOOD.as_bytes(),
        0o620,
    )));
}

#[test]
fn keys_in_the_hands_of_others_are_refused() {
    let desk = Desk::new();
    desk.write("home/.ssh/known_hosts", b"x", 0o666);
    desk.write("kubeconfig", b"x", 0o602);
    desk.write("id", b"x", 0o640);
    expect![[r#"
        D/ananke.yaml:1:13: kubeconfig: other users can write D/kubeconfig (mode 0602); run `chmod go-w D/kubeconfig`
        D/ananke.yaml:4:20: ssh_identity_file: other users can use D/id (mode 0640); run `chmod 600 D/id`
        D/ananke.yaml: ssh_config_file: other users can write D/home/.ssh/known_hosts (mode 0666); run `chmod go-w D/home/.ssh/known_hosts`"#]].assert_eq(&desk.refusal(desk.load(&format!("{GOOD}ssh_identity_file: id\n"))));
    let desk = Desk::new();
    fs::remove_file(desk.dir.path().join("kubeconfig")).unwrap();
    expect!["D/ananke.yaml:1:13: kubeconfig: cannot read D/kubeconfig: it does not exist; allowed: a file that Ananke can read"]
        .assert_eq(&desk.refusal(desk.load(GOOD)));
}

#[test]
fn what_is_odd_but_possible_is_a_warning() {
    let desk = Desk::new();
    desk.write("kubeconfig", b"x", 0o644);
    fs::remove_file(desk.dir.path().join("home/.ssh/known_hosts")).unwrap();
    let text = "kubeconfig: kubeconfig\ncontrol_planes: [a, b]\nignore_nodes: [b]\nstartup: {require_post_start_probes: false, post_start_probes: [\"https://a/\"]}\n";
    let loaded = desk.load(text).unwrap();
    assert!(loaded.spec.services.is_empty());
    expect![[r#"
        2 servers bear no more failures than 1 do: etcd wants an odd number
        an ignored server still counts as a member of etcd: its quorum is counted without it here
        1 post-start probes are configured, but startup.require_post_start_probes is false
        kubeconfig D/kubeconfig can be read by other users; run `chmod go-r D/kubeconfig`
        cannot read D/home/.ssh/known_hosts: it does not exist; no node can be trusted over SSH until its host key stands there"#]].assert_eq(&loaded.warnings.join("\n").replace(desk.dir.path().to_str().unwrap(), "D"));
}

#[test]
fn a_config_cut_anywhere_is_read_or_refused_but_never_a_panic() {
    let desk = Desk::new();
    let whole = reference();
    for end in (0..whole.len()).filter(|end| whole.is_char_boundary(*end)).step_by(5) {
        if let Err(error) = desk.load(&whole[..end]) {
            assert!(!error.problems.is_empty(), "cut at {end}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn whatever_stands_behind_a_key_is_never_a_panic(
        key in prop::sample::select(vec!["control_planes", "startup", "ssh_node_hosts", "deadlines", "poll", "ingress", "ssh_port"]),
        value in "[-\\[\\]{}:,#&*!|>'\"%@a1 \n\t~é.]{0,40}",
    ) {
        let desk = Desk::new();
        if let Err(error) = desk.load(&format!("kubeconfig: kubeconfig\n{key}: {value}\n")) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}

/// The certificate of a CA, as PEM.
fn ca() -> String {
    rcgen::generate_simple_self_signed(["ca.example".to_owned()]).unwrap().cert.pem()
}

#[test]
fn a_service_check_says_what_a_healthy_answer_is() {
    let desk = Desk::new();
    desk.write("ca.pem", ca().as_bytes(), 0o644);
    let text = format!(
        "{GOOD}ingress: {{address: \"10.0.0.200:443\", include: [git.example.org]}}\n\
         startup:\n  post_start_probes:\n\
         \x20   - \"https://git.example.org/\"\n\
         \x20   - {{name: registry, url: \"https://r.example.org/v2/\", accepted_statuses: [401], headers: {{WWW-Authenticate: Bearer, Server: \"\"}}}}\n\
         \x20   - {{name: sso, url: \"https://sso.example.org/x\", body: [issuer, jwks], ca_file: ca.pem}}\n\
         \x20   - {{name: ui, url: \"https://ui.example.org/\", method: HEAD, redirect: \"https://sso.example.org/\", resolve: \"ui.lan:8443\"}}\n\
         \x20   - {{name: doc, url: \"https://ui.example.org/\", body: one text}}\n"
    );
    let loaded = desk.load(&text).unwrap();
    let checks = &loaded.spec.services;
    let said: Vec<String> = checks
        .iter()
        .map(|c| format!("{} {} {} {:?} {:?} {:?}", c.name, c.method, c.accepted_statuses.len(), c.redirect, c.headers, c.body))
        .collect();
    expect![[r#"
        https://git.example.org/ GET 9 None {} []
        registry GET 1 None {"server": "", "www-authenticate": "Bearer"} []
        sso GET 9 None {} ["issuer", "jwks"]
        ui HEAD 5 Some("https://sso.example.org/") {} []
        doc GET 9 None {} ["one text"]"#]]
    .assert_eq(&said.join("\n"));
    assert_eq!(loaded.spec.ingress.include, ["git.example.org".into()]);
    let own: Vec<String> = loaded
        .http
        .own
        .iter()
        .map(|(name, reach)| format!("{name} {} {}", reach.at.as_ref().unwrap(), reach.ca_file.is_some()))
        .collect();
    assert_eq!(own, ["sso 10.0.0.200:443 true", "ui ui.lan:8443 false"]);
    assert_eq!(loaded.spec.vault, None);
}

#[test]
fn expectations_that_no_answer_can_meet_are_errors() {
    let probe = |keys: &str, expect: Expect| {
        check(&format!("startup: {{post_start_probes: [{{url: \"https://a/\", {keys}}}]}}\n"), expect)
    };
    probe("methid: GET", expect!["D/ananke.yaml:4:51: startup.post_start_probes[0].methid: unknown key; did you mean method?"]);
    probe(
        "method: POST",
        expect![[r#"D/ananke.yaml:4:59: startup.post_start_probes[0].method: found "POST"; allowed: GET or HEAD"#]],
    );
    probe(
        "method: HEAD, body: x",
        expect![
            "D/ananke.yaml:4:71: startup.post_start_probes[0].body: an answer to HEAD has no body; allowed: method GET, or no body"
        ],
    );
    probe(
        "redirect: \"https://sso/?state=1\"",
        expect![[
            r#"D/ananke.yaml:4:61: startup.post_start_probes[0].redirect: found "https://sso/?state=1"; allowed: a URL or a path, or how it begins, without query"#
        ]],
    );
    probe(
        "headers: {\"a b\": x}",
        expect![
            "D/ananke.yaml:4:61: startup.post_start_probes[0].headers.a b: not the name of a header; allowed: one such as www-authenticate"
        ],
    );
    probe(
        "headers: {Server: x, server: y}",
        expect!["D/ananke.yaml:4:72: startup.post_start_probes[0].headers.server: the header stands twice, in other letters"],
    );
    probe(
        "headers: {server: \"a\\r\\nb\"}",
        expect![[
            r#"D/ananke.yaml:4:69: startup.post_start_probes[0].headers.server: found "a  b"; allowed: a text of 1 to 200 characters, or "" if it must only be there"#
        ]],
    );
    probe(
        "headers: [server]",
        expect![
            "D/ananke.yaml:4:60: startup.post_start_probes[0].headers: found a list; allowed: header names, each with a text that its value must contain"
        ],
    );
    probe(
        "headers: {server: }",
        expect![
            "D/ananke.yaml:4:60: startup.post_start_probes[0].headers: found no header with a value; allowed: header names, each with a text that its value must contain"
        ],
    );
    probe(
        "body: [\"\"]",
        expect![[
            r#"D/ananke.yaml:4:58: startup.post_start_probes[0].body[0]: found ""; allowed: a text of 1 to 200 characters, or a list of such"#
        ]],
    );
    probe(
        "resolve: ui.lan",
        expect![[r#"D/ananke.yaml:4:60: startup.post_start_probes[0].resolve: found "ui.lan"; allowed: host:port"#]],
    );
    check(
        "ingress: {include: [\"*.example.org\"]}\n",
        expect![[
            r#"D/ananke.yaml:4:21: ingress.include[0]: found "*.example.org"; allowed: a host name, such as git.example.org"#
        ]],
    );
}

#[test]
fn ca_files_are_certificates_that_others_cannot_exchange() {
    let desk = Desk::new();
    let said = |key: &str| desk.refusal(desk.load(&format!("{GOOD}ingress: {{ca_file: {key}}}\n")));
    desk.write("loose.pem", ca().as_bytes(), 0o666);
    desk.write("empty.pem", b"nothing here", 0o644);
    expect![
        "D/ananke.yaml:4:20: ingress.ca_file: cannot read D/absent.pem: it does not exist; allowed: a PEM file with the certificate of the CA"
    ]
    .assert_eq(&said("absent.pem"));
    expect![
        "D/ananke.yaml:4:20: ingress.ca_file: other users can write D/loose.pem (mode 0666); run `chmod go-w D/loose.pem`; allowed: a PEM file with the certificate of the CA"
    ]
    .assert_eq(&said("loose.pem"));
    expect![
        "D/ananke.yaml:4:20: ingress.ca_file: D/empty.pem: there is no certificate in it; allowed: a PEM file with the certificate of the CA"
    ]
    .assert_eq(&said("empty.pem"));
}

#[test]
fn what_unseals_vault_must_be_out_of_reach_of_others() {
    let desk = Desk::new();
    let load = |keys: &str| desk.load(&format!("{GOOD}ingress: {{address: \"10.0.0.9:443\"}}\nstartup: {{{keys}}}\n"));
    desk.write("keys", b"x", 0o600);
    desk.write("loose", b"x", 0o640);
    desk.write("script", b"x", 0o777);
    let loaded = load("vault_address: \"https://vault.example.org/\", vault_unseal_key_file: keys").unwrap();
    let settings = loaded.http.vault.unwrap();
    assert_eq!(
        (settings.address.as_str(), settings.at.unwrap().to_string()),
        ("https://vault.example.org", "10.0.0.9:443".to_owned())
    );
    assert_eq!(loaded.spec.vault.map(|vault| vault.can_unseal), Some(true));
    let loaded = load("vault_address: \"https://vault.lan:8200\"").unwrap();
    assert_eq!((loaded.http.vault.unwrap().at, loaded.spec.vault.map(|vault| vault.can_unseal)), (None, Some(false)));
    // Keys that are not there now keep nobody from starting the rest.
    let loaded = load("vault_address: \"https://vault.lan\", vault_unseal_key_file: on-a-stick").unwrap();
    let stick = desk.dir.path().join("on-a-stick");
    let warning = format!("startup.vault_unseal_key_file: cannot read {}: it does not exist", stick.display());
    assert!(loaded.warnings.contains(&warning), "{:?}", loaded.warnings);

    let said = |keys: &str| desk.refusal(load(keys));
    expect!["D/ananke.yaml:5:34: startup.vault_unseal_key_file: startup.vault_address is missing; needed: the address of the Vault that this is for"]
        .assert_eq(&said("vault_unseal_key_file: keys"));
    expect![
        "D/ananke.yaml:5:65: startup.vault_unseal_key_file: other users can use D/loose (mode 0640); run `chmod go-rwx D/loose`"
    ]
    .assert_eq(&said("vault_address: \"http://v.lan\", vault_unseal_key_file: loose"));
    let command = |command: &str| said(&format!("vault_address: \"http://v.lan\", vault_unseal_breakglass_command: {command}"));
    expect![[r#"D/ananke.yaml:5:75: startup.vault_unseal_breakglass_command: found "cat keys"; allowed: a list of a program with its whole path, and its arguments"#]]
        .assert_eq(&command("cat keys"));
    expect![[r#"D/ananke.yaml:5:76: startup.vault_unseal_breakglass_command[0]: found "cat"; allowed: the whole path of a program, such as /usr/local/sbin/vault-keys"#]]
        .assert_eq(&command("[cat, keys]"));
    expect!["D/ananke.yaml:5:76: startup.vault_unseal_breakglass_command[0]: cannot run /nowhere: it does not exist"]
        .assert_eq(&command("[/nowhere]"));
    let script = desk.dir.path().join("script");
    expect!["D/ananke.yaml:5:76: startup.vault_unseal_breakglass_command[0]: other users can write D/script (mode 0777); run `chmod go-w D/script`"]
        .assert_eq(&command(&format!("[{}]", script.display())));
}

#[test]
fn hosts_need_what_is_said_of_all_and_of_each() {
    let text = format!(
        "{GOOD}required_mounts: [/srv]\nrequired_packages: [open-iscsi]\nrequired_units: [iscsid]\n\
         node_required_mounts: {{titan-11: [/var/lib/longhorn, /srv]}}\n"
    );
    let loaded = Desk::new().load(&text).unwrap();
    let mounts = |node: &str| {
        let needs = &loaded.spec.nodes[&NodeName::parse(node).unwrap()].needs;
        assert_eq!((needs.packages.len(), needs.units.len()), (1, 1));
        needs.mounts.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(mounts("titan-11"), ["/srv", "/var/lib/longhorn"]);
    assert_eq!(mounts("titan-01"), ["/srv"]);
    let quiet = Desk::new().load(GOOD).unwrap();
    assert!(quiet.spec.nodes.values().all(|node| node.needs == HostNeeds::default()), "nothing is asked for unsaid");
}

#[test]
fn what_no_host_can_have_is_refused() {
    check(
        "required_mounts: [\"/a b\", srv]\n",
        expect![[r#"
            D/ananke.yaml:4:19: required_mounts[0]: found "/a b"; allowed: an absolute path of letters, digits, '/', '-', '_', '.' and ','
            D/ananke.yaml:4:27: required_mounts[1]: found "srv"; allowed: an absolute path of letters, digits, '/', '-', '_', '.' and ','"#]],
    );
    check(
        "node_required_mounts: {titan-12: /srv}\n",
        expect![[
            r#"D/ananke.yaml:4:34: node_required_mounts.titan-12: found "/srv"; allowed: a list of: an absolute path of letters, digits, '/', '-', '_', '.' and ','"#
        ]],
    );
    check(
        "node_required_mounts: {titan-13: [/srv]}\n",
        expect![
            "D/ananke.yaml:4:24: node_required_mounts.titan-13: no such node in control_planes, workers or ignore_nodes; did you mean titan-12?"
        ],
    );
}

#[test]
fn clocks_must_all_agree_unless_a_quorum_is_enough() {
    let mode = |text: &str| Desk::new().load(&format!("{GOOD}startup: {{{text}}}\n")).unwrap().spec.time_sync;
    assert_eq!(mode(""), TimeSync::Strict);
    assert_eq!(mode("time_sync_mode: strict, time_sync_quorum: 2"), TimeSync::Strict);
    assert_eq!(mode("time_sync_mode: quorum"), TimeSync::Quorum(2));
    assert_eq!(mode("time_sync_mode: quorum, time_sync_quorum: 3"), TimeSync::Quorum(3));
    check(
        "startup: {time_sync_mode: most, time_sync_quorum: 4}\n",
        expect![[r#"
            D/ananke.yaml:4:27: startup.time_sync_mode: found "most"; allowed: strict or quorum
            D/ananke.yaml:4:51: startup.time_sync_quorum: found 4; allowed: a number from 1 to 3"#]],
    );
}
