//! Keys about batteries and about hosts that stay dark.

use std::time::Duration;

use ananke_core::name::NodeName;
use ananke_core::spec::ShutdownMode;
use expect_test::expect;

use crate::desk::{Desk, GOOD, check};

#[test]
fn batteries_and_what_they_feed_are_read() {
    let desk = Desk::new();
    desk.write("secret", b"x", 0o600);
    let text = "ups:\n  - {name: rack-a@titan-db, feeds: [titan-01, titan-11]}\n  - rack-b@10.0.0.9:3494\n\
                runtime_safety_factor: 1.25\ndefault_budget_seconds: 240\nnut: {user: ananke, password_file: secret}\n\
                power:\n  debounce: 30s\n  shutdown_mode: poweroff\n  charge_floor_percent: 35\n  needs_all_supplies: [titan-11]\n  \
                wol_mac: {titan-01: \"52-54-00-AB-cd-01\"}\n  wol_address: 192.168.1.255:9\n";
    let loaded = desk.load(&format!("{GOOD}{text}")).unwrap();
    let power = &loaded.spec.power;
    let told: Vec<String> = power.upses.iter().map(|ups| format!("{} {}", ups.name, ups.feeds.len())).collect();
    assert_eq!(told, ["rack-a@titan-db 2", "rack-b@10.0.0.9:3494 0"]);
    assert_eq!((power.safety_factor_thousandths, power.charge_floor), (1250, 35));
    assert_eq!(power.reserve(None), Duration::from_secs(300));
    assert_eq!((power.debounce, power.needs_all.len()), (Duration::from_secs(30), 1));
    assert_eq!((power.shutdown_mode, loaded.spec.shutdown.mode), (ShutdownMode::Poweroff, ShutdownMode::ClusterOnly));
    assert_eq!(loaded.spec.for_power(Duration::ZERO).shutdown.mode, ShutdownMode::Poweroff);
    let wake = loaded.spec.nodes[&NodeName::parse("titan-01").unwrap()].wake.clone();
    assert_eq!(wake.unwrap().as_str(), "52:54:00:ab:cd:01");
    assert_eq!(loaded.wol_address.to_string(), "192.168.1.255:9");
    assert_eq!(loaded.nut.user.as_deref(), Some("ananke"));
}

#[test]
fn impossible_values_of_power_are_errors() {
    for (text, expected) in [
        (
            "ups: [rack]\n",
            expect![[
                r#"D/ananke.yaml:4:7: ups[0]: found "rack"; allowed: name@host or name@host:port, as NUT writes it, or an entry with name and feeds"#
            ]],
        ),
        ("ups: [a@h, {name: a@h}]\n", expect!["D/ananke.yaml:4:12: ups[1]: a second entry for a@h; allowed: each UPS once"]),
        (
            "ups: [{name: a@h, feeds: [titan-99]}]\n",
            expect![[r#"D/ananke.yaml:4:27: ups[0].feeds[0]: found "titan-99"; allowed: a node of control_planes or workers"#]],
        ),
        (
            "ups: [a@h, {name: office@h, feeds: []}]\n",
            expect![[
                r#"D/ananke.yaml:4:36: ups[1].feeds: an empty list; allowed: the nodes that it feeds, or no feeds where it feeds every node"#
            ]],
        ),
        (
            "ups: [{feeds: [titan-01], feed: 1}]\n",
            expect![[r#"
            D/ananke.yaml:4:7: ups[0]: the entry has no name; allowed: name@host or name@host:port, as NUT writes it
            D/ananke.yaml:4:27: ups[0].feed: unknown key; did you mean feeds?"#]],
        ),
        (
            "runtime_safety_factor: 0.5\n",
            expect!["D/ananke.yaml:4:24: runtime_safety_factor: found 0.5; allowed: a number from 1 to 20, such as 1.5"],
        ),
        (
            "power: {shutdown_mode: halt}\n",
            expect![[r#"D/ananke.yaml:4:24: power.shutdown_mode: found "halt"; allowed: cluster-only or poweroff"#]],
        ),
        (
            "nut: {password_file: ananke.yaml}\n",
            expect!["D/ananke.yaml:4:22: nut.password_file: there is no nut.user; allowed: both, or neither"],
        ),
        (
            "power: {wol_mac: {titan-01: \"52:54:00:12:34:5x\"}}\n",
            expect![[
                r#"D/ananke.yaml:4:29: power.wol_mac.titan-01: found "52:54:00:12:34:5x"; allowed: a MAC address, such as 52:54:00:12:34:56"#
            ]],
        ),
        (
            "power: {wol_mac: {titan-01: \"52:54:00:12:34:56\", titan-02: \"52:54:00:12:34:56\"}}\n",
            expect![
                "D/ananke.yaml:4:18: power.wol_mac: titan-02 and titan-01 have the same address 52:54:00:12:34:56; allowed: each its own"
            ],
        ),
        (
            "power: {wol_address: broadcast}\n",
            expect![[
                r#"D/ananke.yaml:4:22: power.wol_address: found "broadcast"; allowed: address:port to send UDP to, such as 192.168.1.255:9"#
            ]],
        ),
    ] {
        check(text, expected);
    }
}

#[test]
fn what_no_ups_feeds_or_several_do_without_saying_so_is_told() {
    for (text, expected) in [
        ("ups: [a@h]\n", expect![[""]]),
        ("ups: [{name: a@h, feeds: [titan-01, titan-02, titan-03]}, {name: b@h, feeds: [titan-11, titan-12]}]\n", expect![[""]]),
        (
            "ups: [{name: a@h, feeds: [titan-01, titan-02, titan-03]}, {name: b@h, feeds: [titan-11]}]\n",
            expect!["ups: no UPS feeds titan-12, so nothing is done when their power is about to end; add them to feeds"],
        ),
        (
            "ups: [a@h, b@h]\n",
            expect![
                "ups: without feeds, a UPS feeds every node (a@h and b@h), also those that another one feeds: none of them is at risk before all that feed it end; name what it feeds"
            ],
        ),
    ] {
        expected.assert_eq(&Desk::new().load(&format!("{GOOD}{text}")).unwrap().warnings.join("\n"));
    }
}

#[test]
fn a_ups_of_which_nobody_would_hear_after_a_shutdown_for_power_is_told() {
    let warnings = |text: &str| Desk::new().load(&format!("{GOOD}{text}")).unwrap().warnings.join("\n");
    let upses = "ssh_node_hosts: {titan-11: 10.0.0.11}\npower: {shutdown_mode: poweroff}\n\
                 ups: [{name: a@Titan-01, feeds: [titan-01, titan-02, titan-03]}, {name: b@10.0.0.11, feeds: [titan-11, titan-12]}]\n";
    let expected = expect![
        "ups: power.shutdown_mode: poweroff also switches off the hosts that tell of a@Titan-01 (titan-01), b@10.0.0.11 (titan-11): where no other UPS is heard then, nobody knows that mains are back, and the cluster stays off until a person starts it; run upsd on Ananke's own host, or on one that is no node"
    ];
    expected.assert_eq(&warnings(upses));
    for text in [
        "ups: [a@titan-01]\n",
        "ups: [a@titan-db]\npower: {shutdown_mode: poweroff}\n",
        "ups: [a@127.0.0.1]\nssh_node_hosts: {titan-11: 127.0.0.1}\npower: {shutdown_mode: poweroff}\n",
        "ups: [a@titan-11]\nssh_node_transport: {titan-11: none}\npower: {shutdown_mode: poweroff}\n",
    ] {
        assert_eq!(warnings(text), "", "{text}");
    }
    let own = format!("{}ups: [a@titan-db]\npower: {{shutdown_mode: poweroff}}\n", GOOD.replace("titan-12", "titan-db"));
    assert_eq!(Desk::new().load(&own).unwrap().warnings, Vec::<String>::new(), "Ananke's own host stays on");
}
