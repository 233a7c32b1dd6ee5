//! Keys about batteries and about hosts that stay dark.

use std::time::Duration;

use ananke_core::name::NodeName;
use expect_test::expect;

use crate::desk::{Desk, GOOD, check};

#[test]
fn batteries_and_what_they_feed_are_read() {
    let desk = Desk::new();
    desk.write("secret", b"x", 0o600);
    let text = "ups:\n  - {name: rack-a@titan-db, feeds: [titan-01, titan-11]}\n  - rack-b@10.0.0.9:3494\n\
                runtime_safety_factor: 1.25\ndefault_budget_seconds: 240\nnut: {user: ananke, password_file: secret}\n\
                power:\n  debounce: 30s\n  charge_floor_percent: 35\n  needs_all_supplies: [titan-11]\n  \
                wol_mac: {titan-01: \"52-54-00-AB-cd-01\"}\n  wol_address: 192.168.1.255:9\n";
    let loaded = desk.load(&format!("{GOOD}{text}")).unwrap();
    let power = &loaded.spec.power;
    let told: Vec<String> = power.upses.iter().map(|ups| format!("{} {}", ups.name, ups.feeds.len())).collect();
    assert_eq!(told, ["rack-a@titan-db 2", "rack-b@10.0.0.9:3494 0"]);
    assert_eq!((power.safety_factor_thousandths, power.charge_floor), (1250, 35));
    assert_eq!(power.reserve(None), Duration::from_secs(300));
    assert_eq!((power.debounce, power.needs_all.len()), (Duration::from_secs(30), 1));
    let wake = loaded.spec.nodes[&NodeName::parse("titan-01").unwrap()].wake.clone();
    assert_eq!(wake.unwrap().as_str(), "52:54:00:ab:cd:01");
    assert_eq!(loaded.wol_address.to_string(), "192.168.1.255:9");
    assert_eq!(loaded.nut.user.as_deref(), Some("ananke"));
}

#[test]
fn impossible_values_of_power_are_errors() {
    for (text, expected) in [
        ("ups: [rack]\n", expect![[r#""#]]),
        ("ups: [a@h, {name: a@h}]\n", expect![[r#""#]]),
        ("ups: [{name: a@h, feeds: [titan-99]}]\n", expect![[r#""#]]),
        ("ups: [{feeds: [titan-01], feed: 1}]\n", expect![[r#""#]]),
        ("runtime_safety_factor: 0.5\n", expect![[r#""#]]),
        ("nut: {password_file: ananke.yaml}\n", expect![[r#""#]]),
        ("power: {wol_mac: {titan-01: \"52:54:00:12:34:5x\"}}\n", expect![[r#""#]]),
        ("power: {wol_mac: {titan-01: \"52:54:00:12:34:56\", titan-02: \"52:54:00:12:34:56\"}}\n", expect![[r#""#]]),
        ("power: {wol_address: broadcast}\n", expect![[r#""#]]),
    ] {
        check(text, expected);
    }
}
