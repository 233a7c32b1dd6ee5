use super::*;
use crate::gate::testing::Bench;
use crate::name::BootId;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn up(boot: &str, since_boot: u64) -> Uptime {
    Uptime { boot: BootId::parse(boot).unwrap(), since_boot: secs(since_boot) }
}

fn lease(bench: &mut Bench, clock: Option<Uptime>) -> Lease {
    bench.all_up();
    Lease { clock, ..bench.cordon(1).lease }
}

#[test]
fn nothing_leads_from_a_settled_lease_to_a_new_cordon() {
    use LeaseEvent::*;
    for settled in [LeaseState::Released, LeaseState::TakenAway] {
        assert!(settled.after(Placed).is_err());
        assert!(settled.after(Marked).is_err());
    }
    assert_eq!(LeaseState::Intended.after(Placed), Ok(LeaseState::Held));
    assert_eq!(LeaseState::Held.after(FoundGone), Ok(LeaseState::TakenAway));
    assert_eq!(LeaseState::Released.after(FoundAgain), Ok(LeaseState::Held));
}

#[test]
fn age_goes_by_the_boots_own_clock_within_a_boot_and_by_wall_time_across() {
    let mut bench = Bench::new(1);
    let (lease, start) = (lease(&mut bench, Some(up("b1", 100))), bench.now);
    let year = secs(365 * 86400);
    let rows = [
        ("same boot, same time", start, Some(up("b1", 100)), Age::Known(secs(0))),
        ("the wall clock jumped ahead", start.plus(year), Some(up("b1", 160)), Age::Known(secs(60))),
        ("the wall clock jumped back", start.minus(year), Some(up("b1", 160)), Age::Known(secs(60))),
        ("the boot's clock ran backwards", start, Some(up("b1", 99)), Age::Impossible),
        ("another boot", start.plus(secs(60)), Some(up("b2", 5)), Age::Known(secs(60))),
        ("another boot, a clock a little behind", start.minus(secs(20)), Some(up("b2", 5)), Age::Known(secs(0))),
        ("another boot, acquired in the future", start.minus(secs(31)), Some(up("b2", 5)), Age::Impossible),
        ("no boot clock here", start.plus(secs(60)), None, Age::Known(secs(60))),
    ];
    for (what, now, uptime, expected) in rows {
        assert_eq!(lease.age(now, uptime.as_ref()), expected, "{what}");
    }
    assert!(lease.expired(start.minus(year), None), "an impossible age counts as expired");
    let silly = Lease { expires: start.plus(year), ..lease };
    assert_eq!(silly.window(), MAX_WINDOW, "a window that no config allows is not believed");
}

#[test]
fn a_second_try_ends_when_the_first_would_have() {
    let mut bench = Bench::new(1);
    let first = lease(&mut bench, Some(up("b1", 100)));
    let later = first.acquired.plus(secs(10));
    let second = Lease { acquired: later, expires: first.expires.plus(secs(10)), clock: Some(up("b1", 110)), ..first.clone() };
    let tried = |state, node_uid: &str, at: u64| {
        let lease = Lease { node_uid: Uid::parse(node_uid).unwrap(), ..first.clone() };
        let records = [LeaseRecord { lease, state, since: first.acquired }];
        second.clone().of_first_try(&records, first.acquired.plus(secs(at)), Some(&up("b1", 100 + at)))
    };
    let uid = first.node_uid.as_str();
    assert_eq!(tried(LeaseState::Intended, uid, 10), first);
    assert_eq!(tried(LeaseState::Released, uid, 10), second, "a settled one is over");
    assert_eq!(tried(LeaseState::Intended, "another", 10), second, "another node under the same name");
    assert_eq!(tried(LeaseState::Intended, uid, 7200), second, "one that has ended");
}

#[test]
fn a_lease_survives_the_annotation_and_one_of_another_schema_is_not_ours_to_read() {
    let mut bench = Bench::new(1);
    let lease = lease(&mut bench, Some(up("b1", 100)));
    let note = serde_json::to_string(&lease).unwrap();
    for part in ["\"id\"", "titan-db", "uid-1", "cluster-1", "drain", "acquired", "expires", "\"schema\":1", "kubectl taint"] {
        assert!(note.contains(part), "{part} is missing in {note}");
    }
    assert_eq!(read_note(&note), Some(lease));
    assert_eq!(read_note(&note.replace("\"schema\":1", "\"schema\":2")), None);
    for cut in 0..note.len() {
        assert_eq!(read_note(&note[..cut]), None, "torn at {cut}");
    }
}

#[test]
fn a_lease_is_of_the_run_whose_id_it_begins_with() {
    let run = |text: &str| RunId::parse(text).unwrap();
    let mut lease = lease(&mut Bench::new(1), None);
    lease.id = id_for(&run("startup-7"), Purpose::Repair, 12).unwrap();
    assert_eq!(lease.id.as_str(), "startup-7-r12");
    assert!(lease.is_of(&run("startup-7")));
    assert!(!lease.is_of(&run("startup-77")) && !lease.is_of(&run("startup-7-r1")));
    assert_ne!(id_for(&run("startup-7"), Purpose::Drain, 12), Some(lease.id));
}

#[test]
fn neither_of_two_writers_loses_what_the_other_wrote() {
    let mut bench = Bench::new(3);
    bench.all_up();
    let (one, two, three) = (bench.cordon(1), bench.cordon(2), bench.cordon(3));
    let moved = LeaseRecord { state: LeaseState::Released, ..two.clone() };
    let ids = |records: &[LeaseRecord]| {
        records.iter().map(|record| format!("{} {:?}", record.lease.id, record.state)).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(ids(&merged(vec![one, moved], vec![two, three])), "lease-1 Held, lease-2 Released, lease-3 Held");
}

#[test]
fn only_intended_and_held_leases_are_outstanding() {
    use LeaseState::*;
    let outstanding = [Intended, Held, Released, TakenAway, Manual].map(LeaseState::outstanding);
    assert_eq!(outstanding, [true, true, false, false, false]);
}

#[test]
fn clocks_of_two_hosts_may_differ_a_little_and_no_window_is_longer_than_a_day() {
    let mut bench = Bench::new(1);
    let mut lease = lease(&mut bench, None);
    assert_eq!(lease.age(bench.now.minus(CLOCK_TOLERANCE), None), Age::Known(Duration::ZERO));
    assert_eq!(lease.age(bench.now.minus(CLOCK_TOLERANCE).minus(Duration::from_millis(1)), None), Age::Impossible);
    lease.expires = lease.acquired.plus(secs(86_400 * 365));
    assert_eq!(lease.window(), secs(86_400));
}

proptest::proptest! {
    #[test]
    fn whatever_happens_a_settled_lease_is_outstanding_again_only_if_it_was_found_on_the_node(events: Vec<u8>) {
        use LeaseEvent::*;
        let all = [Placed, GivenBack, FoundGone, NeverPlaced, Marked, FoundAgain];
        let mut state = LeaseState::Intended;
        for event in events.iter().filter_map(|index| all.get(usize::from(*index) % all.len())) {
            let Ok(next) = state.after(*event) else { continue };
            proptest::prop_assert!(state.outstanding() || !next.outstanding() || *event == FoundAgain);
            state = next;
        }
    }

    #[test]
    fn no_jump_of_the_wall_clock_moves_the_expiry_within_a_boot(jump in -10_000_000_000_i64..10_000_000_000, ran in 0_u64..10_000) {
        let mut bench = Bench::new(1);
        let lease = lease(&mut bench, Some(up("b1", 100)));
        let now = Moment::from_millis(bench.now.as_millis().saturating_add(jump));
        proptest::prop_assert_eq!(lease.expired(now, Some(&up("b1", 100 + ran))), ran >= 3600);
    }

    #[test]
    fn no_clock_keeps_a_lease_alive_beyond_its_window(wall in 0_u64..200_000_000, boot in 0_u64..100_000, same: bool) {
        let mut bench = Bench::new(1);
        let lease = lease(&mut bench, Some(up("b1", 100)));
        let uptime = up(if same { "b1" } else { "b2" }, boot);
        let now = bench.now.plus(secs(wall));
        let age = lease.age(now, Some(&uptime));
        let old = match age { Age::Known(age) => age >= secs(3600), Age::Impossible => true };
        proptest::prop_assert_eq!(lease.expired(now, Some(&uptime)), old);
        proptest::prop_assert!(same || (wall >= 3600) == old);
    }
}
